"""report.html: one self-contained page that says what was run, what it scored, how surely, and what the numbers mean.

Nothing is loaded from elsewhere; charts are inline SVG, spectrograms PNG inside the page. Readable in light and dark, on a phone, and by ear.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from models.bounded_files import read_json
from models.errors import ConfigError

from ..metrics.differences import compare
from ..metrics.intervals import holm
from ..metrics.scores import SystemScores
from . import pages
from .images import spectrogram
from .outputs import output_charts, output_table, prediction_charts
from .pages import TableContent
from .score_charts import score_chart
from .training_charts import HISTOGRAMS, history_charts, probe_chart, usage_chart
from .winner import winner
from .wording import counted_outputs, difference, interval, intervals_are, over, runs, spread, versions


@dataclass(frozen=True)
class Example:
    """One track to look at: its spectrogram and what a system says of it.

    name: the track. mel: raw log-mel [frames, bands]. seconds: its length. labels: the L names; probabilities [L]; truth bool [L].
    system: who predicts. top: labels shown, most probable first; true labels beyond them are listed too.
    """

    name: str
    mel: np.ndarray
    seconds: float
    labels: Sequence[str]
    probabilities: np.ndarray
    truth: np.ndarray
    system: str = ""
    top: int = 8


@dataclass(frozen=True)
class Report:
    """What the page shows.

    systems: scored on the same split, best known first; the others are compared with `reference` (a system's name; default: the first),
    or where `compared` names pairs the two of each.
    curves: the pre-training's history: rows of {"epoch", "train_loss", "val_loss", ...}, or the JSON file of them, beside which the last
    validation's histograms may stand.
    class_counts: split -> tracks per label [L]. about: what was run, section -> settings. notes: further sentences on how to read the numbers.
    intro: a sentence or two under the title.

    Raises ConfigError for no systems, systems of different tasks, splits or labels, and counts that do not fit the labels.
    """

    title: str
    systems: Sequence[SystemScores]
    curves: str | Path | Sequence[Mapping[str, Any]] | None = None
    examples: Sequence[Example] = ()
    class_counts: Mapping[str, Sequence[int]] | None = None
    about: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    intro: str = ""
    reference: str | None = None
    compared: Sequence[tuple[str, str]] = ()

    def __post_init__(self) -> None:
        if not self.systems:
            raise ConfigError("A report needs at least one system's scores.")
        first = self.first
        for system in self.systems[1:]:
            if system.task != first.task:
                raise ConfigError(f"'{first.name}' is {first.task}, '{system.name}' {system.task}: they cannot share a table.")
            if system.split != first.split or system.labels != first.labels:
                raise ConfigError(
                    f"'{first.name}' ({first.split}, {len(first.labels)} labels) and '{system.name}' ({system.split}, {len(system.labels)} labels) "
                    "were not scored on the same split and labels: they cannot share a table."
                )
        for split, counts in (self.class_counts or {}).items():
            if len(counts) != len(first.labels):
                raise ConfigError(f"{len(counts)} counts of the {split} split for {len(first.labels)} labels.")

    @property
    def first(self) -> SystemScores:
        """The system that is listed first."""
        return self.systems[0]

    @property
    def pairs(self) -> list[tuple[SystemScores, SystemScores]]:
        """The systems whose differences are shown."""
        by_name = {s.name: s for s in self.systems}
        against = by_name.get(self.reference or "", self.first)
        return [(by_name[a], by_name[b]) for a, b in self.compared] or [(against, s) for s in self.systems if s is not against]

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        """The pre-training's history, epoch by epoch."""
        if isinstance(self.curves, (str, Path)):
            return list(read_json(self.curves))
        return list(self.curves or ())

    @property
    def histograms(self) -> Mapping[str, Sequence[int]]:
        """The pre-training's counts by name, of the file beside its history."""
        path = Path(self.curves).with_name(HISTOGRAMS) if isinstance(self.curves, (str, Path)) else None
        return dict(read_json(path)) if path is not None and path.is_file() else {}


def write_report(path: str | Path, report: Report) -> Path:
    """Write the page, whole or not at all. Returns its path."""
    systems, first = report.systems, report.first
    return pages.write_page(
        Path(path),
        "report.html.j2",
        title=report.title,
        verdict=_verdict(report),
        intro=report.intro,
        headline=" ".join(filter(None, (_headline(systems), "" if first.evidence().why else winner(systems)))),
        scores=_score_table(systems),
        scored=f"Split: {first.split}, {len(first.keys)} tracks. {_counted(first)}mean ± standard deviation over {over(systems)}; "
        f"{intervals_are(systems)}.",
        score_charts=[score_chart(systems, metric) for metric in first.spec.headline],
        differences=_differences(report.pairs),
        further=_further_metrics(systems),
        per_output=f"Per {first.spec.nouns[0]}",
        output_charts=output_charts(systems),
        prediction_charts=prediction_charts(systems),
        output_table=output_table(systems, report.class_counts),
        outputs_noun=first.spec.nouns[1],
        curve_charts=[*history_charts(report.rows), *usage_chart(report.histograms), *probe_chart(systems)],
        examples=[_example(example) for example in report.examples],
        about=report.about,
        systems={s.name: {**s.settings, "seeds": s.seeds, **s.validation} for s in systems},
        versions=versions(),
        notes=[*_definitions(systems), *report.notes],
    )


def _verdict(report: Report) -> str:
    """The page's first sentence; who is ahead where there is too little for intervals to judge by."""
    if not report.pairs:
        return _headline(report.systems)
    return winner(report.systems) if report.first.evidence().why else verdict(report.pairs)


def verdict(pairs: Sequence[tuple[SystemScores, SystemScores]]) -> str:
    """One sentence: which of the others the compared system beats, loses to, or cannot be told from, by the paired differences; all of it is right
    in 95 % (Holm).
    """
    first = pairs[0][0]
    main = first.spec.main
    sides: dict[str, list[str]] = {"beats": [], "loses to": [], "cannot be told from": []}
    found = [(other.name, compare(one, other, main)) for one, other in pairs if one.name == first.name]
    for (name, one), differs in zip(found, holm([one.p_value() for _, one in found])):
        side = "cannot be told from" if not differs else "beats" if main.sign * one.mean > 0 else "loses to"
        sides[side].append(name)
    said = [f"{side} {_and(names)}" for side, names in sides.items() if names]
    n = len(first.keys)
    where = f"by {main.short_title} on the {n} track{'s' if n != 1 else ''} of {first.split}"
    return f"{_title(first.name)} {_and(said)}, {where} (paired differences of these networks alone; a false one in 5 % at most)."


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _title(text: str) -> str:
    """A metric's title at the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def _counted(system: SystemScores) -> str:
    counted = counted_outputs(system)
    return f"{counted}; " if counted else ""


def _headline(systems: Sequence[SystemScores]) -> str:
    main = systems[0].spec.main
    scores = "; ".join(f"{system.name} {spread(system, main)}" for system in systems)
    return f"{_title(main.title)} on {systems[0].split} ({len(systems[0].keys)} tracks): {scores}."


def _score_table(systems: Sequence[SystemScores]) -> TableContent:
    spec = systems[0].spec
    header = [
        "System",
        *(text for metric in spec.headline for text in (_title(metric.title), "95 % interval")),
        over(systems).capitalize(),
    ]
    rows = [
        [s.name, *(text for metric in spec.headline for text in (spread(s, metric), interval(s, metric))), runs(s)]
        for s in systems
    ]
    best = int(np.argmax([spec.main.sign * s.mean() for s in systems]))
    return TableContent(header, rows, best=best)


def _further_metrics(systems: Sequence[SystemScores]) -> TableContent:
    metrics = [metric for metric in systems[0].spec.metrics if not metric.headline]
    rows = [[s.name, *(spread(s, metric) for metric in metrics)] for s in systems] if metrics else []
    return TableContent(["System", *(_title(metric.title) for metric in metrics)], rows)


def _differences(pairs: Sequence[tuple[SystemScores, SystemScores]]) -> TableContent:
    rows, headline = [], pairs[0][0].spec.headline if pairs else ()
    for one, other in pairs:
        cells = [f"{one.name} − {other.name}"]
        for metric in headline:
            found = compare(one, other, metric)
            cells += [f"{found.mean:+.3f}", difference(found)]
        rows.append(cells)
    return TableContent(["Difference", *(text for metric in headline for text in (_title(metric.title), "95 % interval"))], rows)


def _example(example: Example) -> dict[str, Any]:
    truth, order = np.asarray(example.truth, dtype=bool), np.argsort(-np.asarray(example.probabilities), kind="stable")
    shown = [int(i) for i in order[: example.top]]
    missed = [int(i) for i in order[example.top :] if truth[i]]
    by = f" by {example.system}" if example.system else ""
    beyond = f", then the true labels beyond the first {example.top}" if missed else ""
    names = ", ".join(example.labels[i] for i in np.flatnonzero(truth).tolist()) or "none"
    summary = f"Mel spectrogram of {example.name}, {example.seconds:.1f} seconds, {example.mel.shape[1]} bands"
    caption = f"{example.name}: log-mel spectrogram, low frequencies below. True labels: {names}."
    return {
        "picture": spectrogram(example.mel, summary),
        "ticks": [f"{seconds:.1f} s" for seconds in (example.seconds / 2, example.seconds)],
        "caption": caption,
        "words": f"Most probable labels{by}{beyond}; ✓ marks what the track really has.",
        "entries": [(example.labels[i], float(example.probabilities[i]), bool(truth[i])) for i in [*shown, *missed]],
    }


def _at_once(system: SystemScores) -> str:
    """Which scores of a cross-validation are of all tracks at once."""

    def named(*ways: str) -> str:
        return " and ".join(dict.fromkeys(one.short_title for one in system.spec.metrics if one.in_folds in ways))

    scaled, plain = named("comparable", "comparable_all"), named("together")
    said = f"; {scaled} is of all tracks at once, after each fold's logits were brought to mean 0 and sd 1" if scaled else ""
    return said + (f"; {plain} is of all tracks at once" if plain else "")


def _definitions(systems: Sequence[SystemScores]) -> list[str]:
    first, n = systems[0], len(systems[0].labels)
    noun, nouns = first.spec.nouns
    tested = "Nothing was chosen on these tracks; each system was scored on them once."
    if first.folds is not None:
        tested = (
            f"In each repetition every track is tested once, by a system that was trained and chosen on other folds; a {noun}'s score is its "
            f"mean over the folds that it is defined in{_at_once(first)}. All systems share the folds."
        )
    lines = [f"All scores are on {first.split}: {len(first.keys)} tracks, {n} {noun if n == 1 else nouns}. {tested}"]
    lines += [metric.definition for metric in first.spec.metrics if metric.definition]
    means = [metric for metric in first.spec.headline if metric.outputs]
    if means:
        each = ", ".join(f"{first.n_classes(metric)} of {n} enter {metric.short_title}" for metric in means)
        lines.append(
            f"A mean over {nouns} is unweighted. Those without a score among the scored tracks (a {noun} that none of them has) are left out and "
            f"counted: {each}."
        )
    lines.append(
        f"±: sample standard deviation over {over(systems)}. It holds what a new random start changes, not what other tracks would change. "
        f"{intervals_are(systems)} (1000 random halves of them, Student's quantiles)."
    )
    if corrected := dict.fromkeys(metric.short_title for metric in first.spec.headline if metric.about):
        lines.append(
            f"{' and '.join(corrected)} of few tracks is higher than of many; its interval is corrected for that, and may have the score near its "
            "upper end."
        )
    whys = dict.fromkeys(s.evidence(metric).why for s in systems for metric in first.spec.headline)
    if missing := [why for why in whys if why]:
        lines.append(f"Where no interval stands it would not hold what it says: {', '.join(missing)}.")
    if any(s.settings.get("deterministic") for s in systems):
        lines.append("Exact: the fit is convex and has no random part, so one run says all and there is no spread over seeds.")
    return lines
