"""The page of one recording: what was heard in it over time, under its spectrogram, beside its sound; and the page of a folder of them.

Pages are self-contained: pictures and sound are part of them, nothing is fetched. Text comes from file names and labels and is escaped.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import soundfile

from models.audio import iterate
from models.tagging import SEPARATOR, Tagged

from .charts import heat_map, spectrogram
from .html import folded, page, paragraph, section, settings_table, table

EMBEDDED_RATE = 24000  # Hz, mono: about 0.3 MB per minute
COLUMNS = 900  # of the heat map
EACH_ITS_OWN = "Each class has a probability of its own: they do not add up to 1."
ONE_OF_ALL = "The classes exclude each other: their probabilities add up to 1."
_STYLE = """<style>
.heard{display:grid;grid-template-columns:clamp(6.5rem,27vw,14rem) minmax(0,1fr) 2.6rem;column-gap:8px;row-gap:6px;margin:.8rem 0}
.heard>*{min-width:0}.heard .spec,.heard .heatbox,.heard .axis{grid-column:2}
.heard img.spectrogram{height:clamp(110px,20vw,170px)}
.heard img.heat{display:block;width:100%;height:calc(var(--n)*24px);image-rendering:pixelated;border-radius:4px}
.heard ol{list-style:none;margin:0;padding:0;font-size:.87rem}
.heard li{height:24px;line-height:24px;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.heard .names{grid-column:1;grid-row:2;text-align:right}.heard .values{grid-column:3;grid-row:2;font-variant-numeric:tabular-nums}
.heard .overlay{grid-column:2;grid-row:1/3;position:relative;z-index:1}.heard .overlay.plays{cursor:pointer}
.heard .overlay i{position:absolute;top:0;bottom:0;left:0;width:2px;background:#7fe7ff;display:none}
.heard .overlay.plays i{display:block}
.heard .spec{grid-row:1}.heard .heatbox{grid-row:2}
.scale{display:flex;align-items:center;gap:8px;font-size:.8rem;color:var(--soft)}
.scale i{display:block;width:120px;height:10px;border-radius:3px;
background:linear-gradient(90deg,#000004,#3b0f70,#8c2981,#de4968,#fe9f6d,#fcfdbf)}
audio{width:100%;margin:.4rem 0}a{color:var(--s0)}
td.wrap{min-width:8rem}td.name{min-width:12rem;max-width:24rem;overflow-wrap:anywhere}
.tags .bar i{background:var(--s0)}
.tags li{grid-template-columns:minmax(6rem,38%) 1fr 3.2rem}
</style>"""
_SCRIPT = """<script>
(()=>{const a=document.querySelector("audio"),o=document.querySelector(".overlay");if(!a||!o)return;
const h=o.querySelector("i"),d=+o.dataset.seconds;o.classList.add("plays");
const move=()=>{h.style.left=100*Math.min(a.currentTime/d,1)+"%";if(!a.paused)requestAnimationFrame(move)};
for(const e of["play","seeked","timeupdate"])a.addEventListener(e,move);
o.addEventListener("click",e=>{const r=o.getBoundingClientRect();a.currentTime=d*(e.clientX-r.left)/r.width})})()
</script>"""


@dataclass(frozen=True)
class Row:
    """A recording on a folder's page. href: of its own page, relative. remark: what makes its numbers mean less, "" for nothing."""

    name: str
    duration: float
    top: Sequence[tuple[str, float]]
    href: str
    remark: str = ""


def readable(name: str) -> str:
    """A file's name as text: bytes that are none become �, line breaks a visible sign."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "␤" if c == "\n" else "�" for c in text)


def clock(seconds: float, fine: bool = True) -> str:
    """1:02:03, 4:05, or (fine) 0:07.3 below ten seconds."""
    if fine and round(seconds, 1) < 10:
        return f"0:{seconds:04.1f}"
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def shown(label: str) -> str:
    """A label for reading: Genre---Style as Genre / Style."""
    return label.replace(SEPARATOR, " / ")


def track_page(
    name: str,
    heard: Tagged,
    audio: str,
    about: Mapping[str, Any],
    top: int = 10,
    notes: Sequence[str] = (),
    neighbours: Sequence[tuple[str, float]] = (),
) -> str:
    """The page of one recording.

    audio: html of its player (`player`). about: settings to list. top: classes shown. neighbours: nearest recordings and their similarity.
    """
    best = heard.top(top)
    windows = len(heard.windows)
    lead = f"{clock(heard.duration)}, heard in {windows} window{'s' if windows > 1 else ''}."
    bars = [_bars([(shown(label), p) for label, p in best])]
    if genres := heard.genres():
        bars += [_bars(genres[:8])]
    body = [
        _STYLE,
        f"<h1>{escape(readable(name))}</h1>",
        paragraph(lead, "lead"),
        *(paragraph(note) for note in notes),
        audio,
        _heard(heard, best),
        section("Most probable", bars[0], paragraph(ONE_OF_ALL if heard.exclusive else EACH_ITS_OWN, "soft small")),
        section("Genres", bars[1], paragraph("Of each genre its most probable style.", "soft small")) if genres else "",
        section("Nearest recordings", _neighbours(neighbours)) if neighbours else "",
        folded("Windows", _windows(heard)),
        folded("How this was made", settings_table(about)),
        _SCRIPT,
    ]
    return page(readable(name), body)


def folder_page(
    title: str,
    rows: Sequence[Row],
    failed: Sequence[tuple[str, str]],
    about: Mapping[str, Any],
    notes: Sequence[str] = (),
) -> str:
    """The page of a folder: its recordings with links to their pages, and what could not be used."""
    lines = []
    for row in rows:
        cells = [
            f'<td class="text wrap name"><a href="{quote(os.fsencode(row.href))}">{escape(readable(row.name))}</a>{_soft(row.remark)}</td>'
            f"<td>{clock(row.duration)}</td>"
        ]
        cells += [f'<td class="text wrap">{_style_first(label)} {p:.2f}</td>' for label, p in row.top]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    most = max((len(row.top) for row in rows), default=0)
    head = '<th scope="col">recording</th><th scope="col">length</th>'
    head += f'<th scope="col" class="text" colspan="{most}">most probable</th>' if most else ""
    found = f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
    total = sum(row.duration for row in rows)
    lead = f"{len(rows)} recording{'s' if len(rows) != 1 else ''}, {clock(total)} of sound."
    body = [
        _STYLE,
        f"<h1>{escape(readable(title))}</h1>",
        paragraph(lead, "lead"),
        *(paragraph(note) for note in notes),
        found,
        section(
            "Not usable",
            table(["file", "reason"], [[readable(name), readable(reason)] for name, reason in failed], text_columns=(0, 1)),
        )
        if failed
        else "",
        folded("How this was made", settings_table(about)),
    ]
    return page(readable(title), body)


def player(path: Path, duration: float, limit_minutes: float) -> str:
    """The recording's player: its sound as a small mono MP3 within the page, or beyond the limit a link to the file where it lies."""
    if duration > 60 * limit_minutes:
        where = quote(os.fsencode(path.resolve()))
        note = (
            f"Longer than {limit_minutes:g} minutes: the sound is not part of this page, it is played from where the file lies."
        )
        return f'<audio controls preload="none" src="file://{where}"></audio>{paragraph(note, "soft small")}'
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", EMBEDDED_RATE, 1, format="MP3", subtype="MPEG_LAYER_III", compression_level=0.6) as out:
        for block in iterate(path, EMBEDDED_RATE, 30.0):
            out.write(np.clip(block, -1, 1))
    data = base64.b64encode(file.getvalue()).decode()
    return f'<audio controls preload="metadata" src="data:audio/mpeg;base64,{data}"></audio>'


def _heard(heard: Tagged, best: Sequence[tuple[str, float]]) -> str:
    """Spectrogram and heat map on one time axis."""
    numbers = [heard.labels.index(label) for label, _ in best]
    bounds, duration = heard.bounds(), float(heard.bounds()[-1])
    moments = (np.arange(COLUMNS) + 0.5) / COLUMNS * duration
    windows = np.clip(np.searchsorted(bounds, moments, side="right") - 1, 0, len(heard.windows) - 1)
    values = heard.windows[windows][:, numbers].T
    high = max(0.5, float(values.max(initial=0.0)))
    names = "".join(f'<li title="{escape(shown(label), quote=True)}">{_style_first(label)}</li>' for label, _ in best)
    means = "".join(f"<li>{p:.2f}</li>" for _, p in best)
    ticks = "".join(f"<span>{clock(duration * i / 4, duration < 10)}</span>" for i in range(5))
    picture = spectrogram(heard.overview, "Spectrogram: time to the right, mel bands upwards")
    heat = heat_map(values, f"Probability over time of {', '.join(shown(label) for label, _ in best[:3])} and others", high)
    return (
        f'<div class="heard" style="--n:{len(best)}"><div class="spec">{picture}</div><ol class="names">{names}</ol>'
        f'<div class="heatbox">{heat}</div><ol class="values">{means}</ol><div class="axis">{ticks}</div>'
        f'<div class="overlay" data-seconds="{duration:.3f}"><i></i></div></div>'
        f'<p class="scale">0 <i></i> {high:.2f} probability. A cell is what one window says; at the right the mean over time.</p>'
    )


def _style_first(label: str) -> str:
    """Html of a label whose end may be cut off: the style, and softly its genre."""
    genre, separator, style = label.partition(SEPARATOR)
    return f'{escape(style)} <span class="soft">{escape(genre)}</span>' if separator else escape(label)


def _soft(text: str) -> str:
    return f'<br><span class="soft small">{escape(text)}</span>' if text else ""


def _bars(entries: Sequence[tuple[str, float]]) -> str:
    items = "".join(
        f'<li><span class="name">{escape(name)}</span><span class="bar"><i style="width:{100 * p:.1f}%"></i></span>'
        f'<span class="num">{p:.3f}</span></li>'
        for name, p in entries
    )
    return f'<ul class="tags">{items}</ul>'


def _windows(heard: Tagged, most: int = 500) -> str:
    rows = []
    for (start, end), row in list(zip(heard.times, heard.windows))[:most]:
        best = np.argsort(-row, kind="stable")[:3]
        rows.append([f"{clock(float(start))} - {clock(float(end))}", *(f"{shown(heard.labels[i])} {row[i]:.2f}" for i in best)])
    more = paragraph(f"... and {len(heard.windows) - most} more.", "soft") if len(heard.windows) > most else ""
    width = max(len(row) for row in rows)
    return table(["window", *[""] * (width - 1)], rows, text_columns=range(width)) + more


def _neighbours(neighbours: Sequence[tuple[str, float]]) -> str:
    return table(
        ["recording", "similarity"], [[readable(name), f"{similarity:.3f}"] for name, similarity in neighbours], text_columns=(0,)
    )
