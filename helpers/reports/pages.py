"""Pages from jinja2 templates: one environment (autoescape), one base template with style for light, dark, phone and print, and tables for them.

Control characters, surrogates and marks of direction in labels and names are shown as escapes, as on a terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import jinja2

from datasets.utils.files import atomic
from datasets.utils.terminal import visible

from ..utils.typed_config import flat

TEMPLATES = Path(__file__).parent / "templates"
LIGHT = {
    "bg": "#fff", "fg": "#1b1f24", "soft": "#5b6470", "line": "#d9dee5", "panel": "#f5f7f9",
    "s0": "#0b62b5", "s1": "#b45309", "s2": "#3f7d3a", "s3": "#8b3fa8", "s4": "#a3324a", "s5": "#4b5563",
}  # fmt: skip
DARK = {
    "bg": "#14171b", "fg": "#e8ebef", "soft": "#9aa5b1", "line": "#343b44", "panel": "#1c2127",
    "s0": "#6db3f8", "s1": "#f0a04b", "s2": "#86cf7e", "s3": "#cf9be4", "s4": "#f08a9d", "s5": "#aab4c0",
}  # fmt: skip


class HasHtml(Protocol):
    """What a template takes as html: Markup, a drawing."""

    def __html__(self) -> str: ...


@dataclass(frozen=True)
class TableContent:
    """A table of plain texts. text_columns: columns of words, aligned left. best: row to stress."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: Sequence[int] = ()
    best: int | None = None


@dataclass(frozen=True)
class Captioned:
    """A chart or picture (Markup, or what has __html__) with its caption (text)."""

    chart: HasHtml
    caption: str = ""


def render(template: str, **content: Any) -> str:
    """A template's text; strings are escaped, Markup is taken as it is."""
    return environment().get_template(template).render(**content)


def write_page(path: Path, template: str, **content: Any) -> Path:
    """Write a page, whole or not at all. Returns its path."""
    text = render(template, **content)
    with atomic(path) as part:
        part.write_text(text, encoding="utf-8")
    return path


@lru_cache(maxsize=1)
def environment() -> jinja2.Environment:
    """The environment of all templates; a name that a template does not get is an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=plain_text,
    )
    filters: dict[str, Callable[..., Any]] = {"flat": flat, "setting": setting_text, "px": pixels}
    made.filters.update(filters)
    made.globals.update(light=LIGHT, dark=DARK, variables=variables)
    return made


def plain_text(value: Any) -> Any:
    """What a template shows of a value: of a text `visible`, all else (Markup, drawings, numbers) as it is."""
    return visible(value) if type(value) is str else value


def variables(colours: Mapping[str, str]) -> str:
    """Colours as CSS variables."""
    return ";".join(f"--{name}:{value}" for name, value in colours.items())


def pixels(value: float) -> str:
    """A length or place in a drawing, to a tenth."""
    return f"{value:.1f}"


def setting_text(value: Any) -> str:
    """A setting's value as text."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)
