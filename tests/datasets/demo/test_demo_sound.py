"""The labels of the embedded demo data can be heard: each is looked for in the signal by simple means."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.demo import FAMILIES, plan_track, render
from datasets.demo.drums import PATTERNS
from datasets.demo.drums import play as play_drums
from datasets.demo.harmony import accompaniment, beat_times, melody
from datasets.demo.labels import BEATS_PER_MINUTE, TrackPlan
from datasets.demo.mixing import cut_break, level_curve
from datasets.demo.picture import CALM, draw, example
from datasets.demo.synth import Notes, Ornament, hertz, play, sweeps

RATE = 16000


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def levels(wave: np.ndarray, seconds: float = 0.02, rate: int = RATE) -> np.ndarray:
    """RMS of consecutive pieces."""
    step = int(seconds * rate)
    pieces = wave[: len(wave) // step * step].reshape(-1, step)
    return np.sqrt((pieces.astype(np.float64) ** 2).mean(axis=1))


def loudest_pitch(wave: np.ndarray) -> float:
    """MIDI pitch of the highest peak of the spectrum."""
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 1 << 16))
    return 69 + 12 * np.log2(np.argmax(spectrum) * RATE / (1 << 16) / 440)


def forced(index: int, **values: str) -> TrackPlan:
    """A plan with some of its labels chosen."""
    plan = plan_track(0, "train", index)
    return replace(plan, values={**plan.values, **values}, sample_rate=RATE, channels=1)


@pytest.mark.parametrize("index", range(6))
def test_crescendo_rises_and_decrescendo_falls(index):
    for kind, sign in (("crescendo", 1), ("decrescendo", -1)):
        wave = render(forced(index, dynamics=kind, form="_through"))
        third = len(wave) // 3
        first, last = (np.sqrt(np.mean(part**2)) for part in (wave[:third], wave[-third:]))
        assert sign * 20 * np.log10(last / first) > 6


def test_swells_come_and_go():
    curve = 20 * np.log10(level_curve("swells", 8 * RATE, RATE, rng()))
    turns = np.flatnonzero(np.diff(np.sign(np.diff(curve[::160]))))
    assert len(turns) >= 5
    assert np.ptp(curve) > 8


def test_an_even_level_is_even():
    assert np.ptp(level_curve("_even", RATE, RATE, rng())) == 0


@pytest.mark.parametrize("index", range(4))
def test_a_break_is_a_silence_in_the_middle(index):
    def longest_quiet(form: str) -> float:
        wave = render(forced(index, form=form, dynamics="_even"))
        middle = levels(wave[len(wave) // 4 : -len(wave) // 4])
        quiet = "".join("q" if x else "." for x in middle < 0.08 * np.sqrt(np.mean(wave**2)))
        return max(map(len, quiet.split("."))) * 0.02

    assert longest_quiet("break") >= 0.6
    assert longest_quiet("_through") < 0.6


def test_a_break_is_cut_in_place_and_nothing_around_it():
    wave = np.ones(8 * RATE, dtype=np.float32)
    cut_break(wave, RATE, rng())
    silent = np.flatnonzero(wave == 0)
    assert 0.9 <= len(silent) / RATE <= 1.4
    assert (np.diff(silent) == 1).all()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_kicks_and_snares_strike_where_the_pattern_says(pattern):
    beat = 0.5
    beats, kicks, snares, _ = PATTERNS[pattern]
    wave = play_drums(pattern, 0.0, beat, int(2 * beats * beat * RATE), RATE, rng(1))
    spectra = np.abs(np.fft.rfft(wave.reshape(-1, 400), axis=1)) ** 2  # 25 ms pieces, bins of 40 Hz
    low = spectra[:, 1:3].sum(axis=1)  # 40 to 120 Hz: the kick's
    free = [p for p in np.arange(0.25, beats, 0.25) if all(abs(p - kick) > 0.2 for kick in kicks)]
    for place in (*kicks, *free):
        piece = int(place * beat / 0.025 + 1e-6)
        struck = low[piece : piece + 3].max() > max(0.2 * low.max(), 3 * low[piece - 1] if piece else 0.0)
        assert struck == (place in kicks), (pattern, place)
    everywhere = levels(wave, 0.025)
    for place in snares:
        piece = int(place * beat / 0.025 + 1e-6)
        assert everywhere[piece : piece + 2].max() > 3 * everywhere[max(piece - 1, 0)]


@pytest.mark.parametrize("tempo", BEATS_PER_MINUTE)
@pytest.mark.parametrize("rhythm", ["four on the floor", "no drums"])
def test_the_tempo_shows_in_the_onsets(tempo, rhythm):
    plan = forced(5, tempo=tempo, rhythm=rhythm, dynamics="_even", form="_through")
    slow, fast = BEATS_PER_MINUTE[tempo]
    plan = replace(plan, beats_per_minute=(slow + fast) / 2)
    low = np.fft.rfft(render(plan)[: RATE * 6].reshape(-1, 320), axis=1)[:, 1:4]  # 20 ms pieces, 50 to 200 Hz
    rise = np.maximum(np.diff(np.log(1e-3 + np.abs(low).sum(axis=1))), 0)
    rise -= rise.mean()
    self_likeness = np.correlate(rise, rise, "full")[len(rise) :]
    lags = np.arange(1, len(rise)) * 0.02
    beat = 60 / plan.beats_per_minute
    on_beat = self_likeness[np.abs(lags - beat) < 0.03].max()
    off_beat = self_likeness[np.abs(lags - 0.75 * beat) < 0.03].max()
    assert on_beat > 2 * max(off_beat, 0)


@pytest.mark.parametrize("texture", ["block chords", "stabs", "arpeggio"])
def test_the_mode_is_the_chords_third(texture):
    for mode, third, other in (("major", 4, 3), ("minor", 3, 4)):
        voices, _ = accompaniment(texture, mode, 60.0, 0.0, 0.5, 2.0, rng())  # the first four beats: the tonic
        wave = sum(play(v, "mellow", 2 * RATE, RATE, rng(), Ornament()) for v in voices)
        spectrum = np.abs(np.fft.rfft(wave, 1 << 16)) ** 2

        def at(pitch: float, spectrum: np.ndarray = spectrum) -> float:
            centre = int(hertz(np.array(pitch)) * (1 << 16) / RATE)
            return spectrum[centre - 8 : centre + 9].sum()

        assert at(60 + third) > 10 * at(60 + other)
        assert at(67) > 10 * at(66)


def test_the_textures_differ_in_time():
    def notes(texture: str) -> tuple[int, int, float]:
        voices, _ = accompaniment(texture, "major", 60.0, 0.0, 0.5, 8.0, rng())
        return len(voices), len(voices[0].onsets), voices[0].gate

    assert notes("block chords") == (3, 4, 1.0)
    assert notes("stabs")[:2] == (3, 16)
    assert notes("stabs")[2] <= 0.4
    assert notes("arpeggio")[:2] == (1, 32)
    assert accompaniment("_no chords", "major", 60.0, 0.0, 0.5, 8.0, rng()) == ([], [])


@pytest.mark.parametrize("bpm", [62, 78, 98, 118, 146, 176])
def test_melody_notes_move_and_are_as_long_at_every_tempo(bpm):
    notes = melody("minor", 72, 0.0, 60 / bpm, 9.0, 1.0, rng(bpm))
    assert 0.3 < np.diff(notes.onsets)[0] < 0.8
    assert (np.diff(notes.pitches) != 0).all()
    assert set((notes.pitches - 72) % 12) <= {0, 2, 3, 5, 7, 8, 10}


def test_notes_are_heard_at_their_pitch():
    notes = melody("major", 72, 0.0, 0.5, 4.0, 1.0, rng(2))
    wave = play(notes, "mellow", 4 * RATE, RATE, rng(), Ornament())
    ends = np.append(notes.onsets[1:], 4.0)
    heard = [loudest_pitch(wave[int(a * RATE) : int(b * RATE)]) for a, b in zip(notes.onsets, ends)]
    np.testing.assert_allclose(heard, notes.pitches, atol=0.3)


def test_sweeps_rise_or_fall_two_octaves():
    for kind, sign in (("rising", 1), ("falling", -1)):
        wave = sweeps(kind, 4 * RATE, RATE, rng(3))
        pitches = [loudest_pitch(wave[a : a + 640]) for a in range(0, 4 * RATE - 640, 640) if np.ptp(wave[a : a + 640]) > 2]
        steps = np.diff(pitches)
        assert (sign * steps > 0.2).mean() > 0.8
        assert np.ptp(pitches) == pytest.approx(24, abs=4)


@pytest.mark.parametrize("timbre", ["organ", "mellow"])
def test_staccato_leaves_silence_between_notes(timbre):
    def silence(gate: float) -> float:
        notes = Notes(np.arange(8) * 0.5, np.full(8, 76.0), gate)
        return (levels(play(notes, timbre, 4 * RATE, RATE, rng(), Ornament())) < 0.02).mean()

    assert silence(0.4) > 0.5
    assert silence(1.0) < 0.1


def test_timbres_begin_and_end_in_their_own_way():
    def envelope(timbre: str) -> np.ndarray:
        return levels(play(Notes(np.zeros(1), np.array([76.0])), timbre, RATE, RATE, rng(), Ornament()))  # one note of 1 s

    organ, pluck, bell, strings = (envelope(t) for t in ("organ", "pluck", "bell", "strings"))
    assert organ[2:-2].min() > 0.7 * organ.max()
    assert pluck[:5].max() > 10 * pluck[-10:].max()
    assert bell[:5].max() > 3 * bell[-10:-2].max()
    assert strings[2] < 0.3 * strings[40]


def test_a_pluck_darkens():
    wave = play(Notes(np.zeros(1), np.array([76.0])), "pluck", RATE, RATE, rng(), Ornament())
    spectra = [np.abs(np.fft.rfft(wave[a : a + 1024])) ** 2 for a in (160, 4000)]
    first, later = (float((s * np.arange(len(s))).sum() / s.sum()) for s in spectra)
    assert first > 1.2 * later


def test_no_partial_folds_back():
    wave = play(Notes(np.zeros(1), np.array([100.0])), "strings", RATE, RATE, rng(), Ornament())  # 2637 Hz: the fourth would fold
    spectrum = np.abs(np.fft.rfft(wave[4000:12000] * np.hanning(8000))) ** 2
    hz = np.arange(len(spectrum)) * RATE / 8000
    off = np.abs(hz / hertz(np.array(100.0)) - np.round(hz / hertz(np.array(100.0)))) > 0.05
    assert spectrum[off].sum() < 1e-3 * spectrum.sum()


def test_bells_are_not_harmonic():
    wave = play(Notes(np.zeros(1), np.array([69.0])), "bell", RATE, RATE, rng(), Ornament())
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(RATE))) ** 2
    near = np.minimum(np.arange(len(spectrum)) % 440, -np.arange(len(spectrum)) % 440) <= 10
    assert spectrum[~near].sum() > 0.1 * spectrum.sum()


def one_note(kind: str, rate: float, depth: float) -> np.ndarray:
    return play(Notes(np.zeros(1), np.array([76.0])), "mellow", 2 * RATE, RATE, rng(), Ornament(kind, rate, depth))


def test_tremolo_beats_and_nothing_else_does():
    def at(wave: np.ndarray, hz: float) -> float:
        envelope = levels(wave)
        spectrum = np.abs(np.fft.rfft(envelope - envelope.mean()))
        return spectrum[round(hz * 2)] / (len(envelope) * envelope.mean())

    assert at(one_note("tremolo", 8.0, 0.9), 8.0) > 0.15
    assert at(one_note("_plain", 8.0, 0.9), 8.0) < 0.01


@pytest.mark.parametrize(("kind", "swing"), [("vibrato", 2.0), ("trill", 3.0), ("_plain", 0.0)])
def test_the_pitch_swings_as_the_ornament_says(kind, swing):
    wave = one_note(kind, 6.0, 1.0)
    pieces = [loudest_pitch(wave[a : a + 480]) for a in range(1600, 2 * RATE - 1600, 240)]
    assert np.ptp(pieces) == pytest.approx(swing, abs=0.6)


def test_a_glide_comes_from_below():
    wave = one_note("glide", 6.0, 1.0)
    assert loudest_pitch(wave[:800]) < 72
    assert loudest_pitch(wave[RATE:]) == pytest.approx(76, abs=0.3)


def test_there_is_no_timbre_of_another_name():
    with pytest.raises(ValueError, match="gong"):
        play(Notes(np.zeros(1), np.array([76.0])), "gong", RATE, RATE, rng(), Ornament())


def test_beat_times_lie_on_the_grid_within_the_track():
    times = beat_times(-0.7, 0.5, 3.0, 1.0)
    np.testing.assert_allclose(times, [0.3, 0.8, 1.3, 1.8, 2.3, 2.8])


def test_the_examples_of_the_picture_differ_in_one_family():
    assert set(CALM) == set(FAMILIES)
    calm = example("form", "_through").values
    assert [k for k, v in example("sweep", "rising").values.items() if v != calm[k]] == ["sweep"]
    assert "minor" in example("mode", "minor").labels


@pytest.mark.slow
def test_the_picture_is_drawn(tmp_path: Path):
    draw(tmp_path / "demo.png")
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")
