"""The reader of config.gin: its grammar, what it refuses, and what settings come of it."""

from __future__ import annotations

import contextlib
import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import ConfigError
from models.omar_rq import parse_gin, read_gin
from models.omar_rq.gin_config import Reference
from models.omar_rq.settings import Masking, settings_of
from tests.models.omar_rq.golden import HERE, HUB
from tests.sentences import one_sentence

TEXT = """
# a comment
import somewhere.models
rate = 24000
names = ['a # b', "c 'd' = [", '@none', '%rate']
Waveform.sr = %rate   # behind a value
nets.waveform.Waveform.norm_std = 1e-3
omar_rq.nets.CQT.patch_size = \\
    (188, 4)
build_module.representation = [
    @nets.cqt.CQT, @MelSpectrogram(),   # two
]
train.params = {'devices': -1, 'names': %names, 'deep': [(), None, True]}
scope/Conformer.depth = 3
Unknown.thing = @whatever
"""


def test_the_grammar(caplog):
    config = parse_gin(TEXT)
    assert config.of("Waveform") == {"sr": 24000, "norm_std": 1e-3}
    assert config.of("waveform") == config.of("WAVEFORM")
    assert config.of("CQT") == {"patch_size": (188, 4)}
    assert config.of("build_module") == {"representation": [Reference("CQT"), Reference("MelSpectrogram")]}
    names = ["a # b", "c 'd' = [", "@none", "%rate"]
    assert config.of("train") == {"params": {"devices": -1, "names": names, "deep": [(), None, True]}}
    assert config.of("Conformer") == {}
    assert "under a scope" in caplog.text


@pytest.mark.parametrize(("text", "words"), [
    ("Conformer.depth = %no", "macro %no"), ("a = %b\nb = %a\nX.y = %a", "stand for each other"), ("X.y = [1,\n2", "has no end"),
    ("X.y 3", "no 'name = value'"), ("X.y = 3 +", "is no value"), ("X.y = __import__('os').system('true')", "is no value"),
    ("X.y = open('f')", "is no value"), ("X.y = 'open", "is no value"), ("include 'other.gin'", "includes another file"),
    ("X.y = lambda: 1", "is no value"), ("1x.y = 3", "no 'name = value'"), ("X.y = [i for i in 'ab']", "is no value"),
    ("X.y = " + "[" * 300 + "]" * 300, "."),
])  # fmt: skip
def test_what_is_no_config_is_refused_by_line(text, words):
    with pytest.raises(ConfigError, match=r"config") as error:
        parse_gin(text)
    assert words in str(error.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_gin(tmp_path / "none.gin")
    (tmp_path / "bytes.gin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="no text"):
        read_gin(tmp_path / "bytes.gin")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(string.printable.replace("\n", "").replace("\r", "").replace("\x0b", "").replace("\x0c", ""), max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text("ab#'", max_size=3), inner, max_size=2),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=80, deadline=None, derandomize=True)
@given(VALUES)
def test_values_come_back(value):
    assert parse_gin(f"a.B.c = {value!r}\nd.E.f = %m  # x\nm = {value!r}").of("b") == {"c": value}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.text(string.printable, max_size=60))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(ConfigError):
        parse_gin(text)


# ---- what published files say
def test_three_published_files():
    mel = settings_of(read_gin(HUB / "config.gin"))
    assert mel.conformer["embed_dim"] == 32
    assert mel.input == {
        "name": "MelSpectrogram", "freq_mask_param": 0, "hop_len": 256, "mel_scale": "slaney", "n_mel": 96, "norm": "slaney",
        "norm_mean": 2.06755686098554, "norm_std": 1.268292820667291, "power": 2, "sr": 16000, "stretch_factor": 1,
        "time_mask_param": 0, "win_len": 512,
    }  # fmt: skip
    assert (mel.checkpoint, mel.seconds, mel.masking.num_codebooks, mel.masking.codebook_size) == ("model.ckpt", 30.0, 4, 64)
    fsq = settings_of(read_gin(HERE / "hub_audio_25hz_fsq" / "config.gin"))
    assert [one["name"] for one in fsq.targets] == ["CQT", "EnCodec", "MelSpectrogram"]
    assert fsq.input == {"name": "Waveform", "norm_mean": 0, "norm_std": 0.1908563740990311, "patch_size": [1, 960], "sr": 24000}
    assert (fsq.masking.quantizer_type, list(fsq.masking.levels)) == ("finite_scalar_quantizer", [4, 4, 4])
    slow = settings_of(read_gin(HERE / "hub_audio_18p75" / "config.gin"))
    assert slow.input["patch_size"] == [1, 1280]
    assert slow.masking.quantizer_type == "random_codebook"  # nothing stayed of the file before


BASE = (HUB / "config.gin").read_text()
WHICH = "build_module.representation = "
ONE = f"{WHICH}@nets.melspectrogram.MelSpectrogram"


@pytest.mark.parametrize(("old", "new", "words"), [
    ("Conformer.depth = 3\n", "", "does not bind Conformer.depth"), ("Conformer.depth = 3", "Conformer.deptj = 3", "no parameter 'deptj'. Did you"),
    (ONE, f"{WHICH}@nets.Gammatone", "there are MelSpectrogram, CQT"), ("MelSpectrogram.sr = 16000", "MelSpectrogram.sr = @x", "is a class"),
    (f"{ONE}\n", "", "binds no build_module.representation"), (ONE, f"{WHICH}[@CQT, @EnCodec]", "does not bind CQT.patch_size"),
    ("@nets.conformer.Conformer", "@nets.transformer.Transformer", "build_module.net is @Transformer"),
    ("MaskingModel.mask_prob = 0.6", "MaskingModel.mask_prob = 1.5", "mask_prob lies between 0 and 1"),
    ("MaskingModel.seed = 0", "MaskingModel.quantizer_type = 'random_codebok'", "Did you mean 'random_codebook'"),
    ("MaskingModel.seed = 0", "MaskingModel.masking_noise_type = 'zeros'", "choose random_normal or shuffled_input"),
])  # fmt: skip
def test_what_cannot_be_honoured_is_refused(old, new, words):
    assert old in BASE
    with pytest.raises(ConfigError, match=r".") as error:
        settings_of(parse_gin(BASE.replace(old, new)))
    assert words in str(error.value)


def test_aliases_prefixes_and_the_files_own_patch_size():
    text = BASE.replace("@nets.melspectrogram.MelSpectrogram", "@melspectrogram").replace(
        "Conformer.", "omar_rq.nets.conformer.Conformer."
    )
    found = settings_of(parse_gin(text + "\nMelSpectrogram.patch_size = (96, 3)"))
    assert found.conformer["depth"] == 3
    assert found.input["patch_size"] == [96, 3]


def test_levels_that_are_not_the_codebooks_size():
    with pytest.raises(ConfigError, match="codebook_size is 8192, the product of the FSQ levels"):
        Masking(quantizer_type="finite_scalar_quantizer", levels=(4, 4))


def test_a_checkpoints_name_leads_nowhere_else():
    for path in ("../../etc/passwd", "/a/b/..", "C:\\\\x\\\\model.ckpt", ""):
        found = settings_of(parse_gin(BASE.replace("'/some/cluster/path/checkpoints/model.ckpt'", repr(path))))
        assert found.checkpoint in ("passwd", None, "model.ckpt")


def test_encodecs_files_stand_beside_the_config(tmp_path):
    text = (HERE / "hub_audio_25hz_fsq" / "config.gin").read_text()
    for said, meant in {
        "/etc/passwd": "passwd",
        "../../x/": "x",
        "C:\\y": "y",
        ".": None,
        "/a/..": None,
        "": None,
        3: None,
        "a\x1bb": None,
    }.items():
        for key in ("weights_path", "stats_path"):
            changed = re.sub(rf"EnCodec\.{key} = .*", lambda _, key=key, said=said: f"EnCodec.{key} = {said!r}", text)
            (tmp_path / "config.gin").write_text(changed)
            if meant is not None:
                found = settings_of(read_gin(tmp_path / "config.gin")).targets[1]
                assert found[key] == str(tmp_path / meant)
                assert key not in settings_of(parse_gin(changed)).targets[1]
                continue
            with pytest.raises(ConfigError, match=f"EnCodec.{key} is .*beside the config is wanted") as refused:
                settings_of(read_gin(tmp_path / "config.gin"))
            one_sentence(refused.value)


def test_one_encodec_beside_the_folders_of_several_models(tmp_path):
    text = (HERE / "hub_audio_25hz_fsq" / "config.gin").read_text()
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.gin").write_text(
        re.sub(r"EnCodec\.weights_path = .*", "EnCodec.weights_path = '/some/cluster/encodec'", text)
    )
    for place in (tmp_path / "encodec", model / "encodec"):  # the nearer one counts
        place.mkdir()
        assert settings_of(read_gin(model / "config.gin")).targets[1]["weights_path"] == str(place)
