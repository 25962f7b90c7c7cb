"""Pieces of report.html: the page's frame and style, tables, and text that is safe whatever a label is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from string import Template
from typing import Any

from ..utils.typed_config import flat

STYLE = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--soft:#5b6470;--line:#d9dee5;--panel:#f5f7f9;
--s0:#0b62b5;--s1:#b45309;--s2:#3f7d3a;--s3:#8b3fa8;--s4:#a3324a;--s5:#4b5563}
@media(prefers-color-scheme:dark){:root{--bg:#14171b;--fg:#e8ebef;--soft:#9aa5b1;--line:#343b44;--panel:#1c2127;
--s0:#6db3f8;--s1:#f0a04b;--s2:#86cf7e;--s3:#cf9be4;--s4:#f08a9d;--s5:#aab4c0}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:940px;margin:0 auto;padding:20px 16px 60px}
h1{font-size:1.65rem;line-height:1.2;margin:.4rem 0}h2{font-size:1.2rem;margin:2.4rem 0 .5rem}
h3{font-size:1rem;margin:1.2rem 0 .4rem}
p{margin:.5rem 0}.soft,.none,figcaption{color:var(--soft)}figcaption,.small{font-size:.87rem}
figure{margin:.8rem 0}.lead{font-size:1.08rem}
.scroll{overflow-x:auto;-webkit-overflow-scrolling:touch}
table{border-collapse:separate;border-spacing:0;font-size:.92rem;font-variant-numeric:tabular-nums;min-width:100%}
th,td{padding:.32rem .6rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{font-weight:600;vertical-align:bottom}thead th{border-bottom:2px solid var(--line)}
th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:var(--bg)}
td.text,th.text{text-align:left}td.wrap,th.wrap{white-space:normal;overflow-wrap:anywhere;min-width:12rem}
tr.best td{font-weight:600}
.panels{display:flex;flex-wrap:wrap;gap:8px 28px}.panels>figure{flex:1 1 300px;max-width:450px}
svg.chart{display:block;width:100%;max-width:560px;height:auto}
svg text{font:11.5px system-ui,sans-serif;fill:var(--soft)}svg .grid,svg .row{stroke:var(--line);stroke-width:1}
svg .row{stroke-dasharray:1 3}svg .chance{stroke:var(--soft);stroke-width:1.2;stroke-dasharray:5 4}
.line{fill:none;stroke-width:2}.mark .hollow{fill:var(--bg);stroke-width:2}
.line.s0,.mark.s0{stroke:var(--s0)}.line.s1,.mark.s1{stroke:var(--s1)}.line.s2,.mark.s2{stroke:var(--s2)}
.line.s3,.mark.s3{stroke:var(--s3)}.line.s4,.mark.s4{stroke:var(--s4)}.line.s5,.mark.s5{stroke:var(--s5)}
.mark{stroke-width:1}.mark.s0{fill:var(--s0)}.mark.s1{fill:var(--s1)}.mark.s2{fill:var(--s2)}
.mark.s3{fill:var(--s3)}.mark.s4{fill:var(--s4)}.mark.s5{fill:var(--s5)}
.legend{display:flex;flex-wrap:wrap;gap:2px 16px;font-size:.87rem;margin:.2rem 0 .4rem}
.legend span{display:inline-flex;align-items:center;gap:5px}
img.spectrogram{display:block;width:100%;height:clamp(120px,24vw,190px);object-fit:fill;border-radius:4px}
.axis{display:flex;justify-content:space-between;font-size:.8rem;color:var(--soft)}
.tags{list-style:none;margin:.6rem 0;padding:0;max-width:560px}
.tags li{display:grid;grid-template-columns:minmax(7rem,11rem) 1fr 3.2rem 3.6rem;gap:8px;align-items:center;padding:2px 0;font-size:.92rem}
.tags .name{overflow-wrap:anywhere}.bar{background:var(--panel);border-radius:3px;height:.8rem;overflow:hidden}
.bar i{display:block;height:100%;background:var(--s5)}.true .bar i{background:var(--s0)}.true .name{font-weight:600}
.num{text-align:right;font-variant-numeric:tabular-nums}
details{margin:.6rem 0}summary{cursor:pointer;font-weight:600;padding:.2rem 0}
.notes li{margin:.3rem 0;overflow-wrap:anywhere}code{font-size:.9em;overflow-wrap:anywhere}
.narrow{display:none}
@media(max-width:560px){th,td{padding:.3rem .4rem}table{font-size:.86rem}h1{font-size:1.4rem}
.wide{display:none}.narrow{display:block}td.wrap:first-child,th.wrap:first-child{min-width:5.5rem;overflow-wrap:break-word}}
@media print{details{display:block}}
"""

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
$body
</main>
</body>
</html>
""")


def page(title: str, body: Sequence[str]) -> str:
    """The whole page; the parts of the body are html already."""
    return _PAGE.substitute(title=escape(title), style=STYLE, body="\n".join(part for part in body if part))


def section(title: str, *parts: str) -> str:
    """A titled part of the page, '' when it has nothing in it."""
    inside = "\n".join(part for part in parts if part)
    return f"<section>\n<h2>{escape(title)}</h2>\n{inside}\n</section>" if inside else ""


def paragraph(text: str, kind: str = "") -> str:
    """Plain text as a paragraph."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def figure(content: str, caption: str) -> str:
    """A picture (html) with its caption (plain text)."""
    return f"<figure>{content}<figcaption>{escape(caption)}</figcaption></figure>"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], text_columns: Sequence[int] = (), best: int | None = None) -> str:
    """A table that scrolls sideways within the page; cells are plain text. best: row to stress."""
    head = "".join(f'<th scope="col"{_kind(i, text_columns)}>{escape(cell)}</th>' for i, cell in enumerate(header))
    body = []
    for r, row in enumerate(rows):
        cells = "".join(f"<td{_kind(i, text_columns)}>{escape(cell)}</td>" for i, cell in enumerate(row))
        body.append(f'<tr class="best">{cells}</tr>' if r == best else f"<tr>{cells}</tr>")
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def settings_table(settings: Mapping[str, Any]) -> str:
    """Nested settings as two columns, `section.key` and value."""
    rows = "".join(
        f'<tr><td><code>{escape(key)}</code></td><td class="text wrap">{escape(_text(value))}</td></tr>'
        for key, value in flat(settings).items()
    )
    return f'<div class="scroll" tabindex="0"><table><tbody>{rows}</tbody></table></div>' if rows else ""


def folded(title: str, content: str) -> str:
    """Content that opens on a click; '' when there is none."""
    return f"<details><summary>{escape(title)}</summary>{content}</details>" if content else ""


def notes(lines: Sequence[str | tuple[str, Sequence[str]]]) -> str:
    """Plain sentences as a list; (sentence, points) has a list of points below it."""
    pairs = [(line, ()) if isinstance(line, str) else line for line in lines]
    items = "".join(f"<li>{escape(line)}{notes(points)}</li>" for line, points in pairs)
    return f'<ul class="notes small">{items}</ul>' if items else ""


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)


def _kind(column: int, text_columns: Sequence[int]) -> str:
    return ' class="text"' if column in text_columns else ""
