"""The published data sets on a terminal: all of them in a table, one of them in full, and the way to its own command.

python -m datasets                      # all
python -m datasets gtzan                # what there is to know of one
python -m datasets gtzan validate ...   # the same as python -m datasets.gtzan validate ...
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich import box
from rich.padding import Padding
from rich.table import Table

from models.errors import DataSetError

from ..utils.exit_codes import EXIT_OK, EXIT_STOPPED
from ..utils.terminal import Console, Text
from .command import VERBS
from .command import main as run_command
from .dataset import NAMES, DataSet, Variant, get_set


def overview() -> str:
    """Return all sets as a table in Markdown: docs/datasets.md carries it."""
    head = [
        "set",
        "what",
        "task",
        "variant: tracks in train/validation/test, labels",
        "groups in two splits",
        "terms",
        "size",
        "get it",
    ]
    lines = [head, ["---"] * len(head)]
    for name in NAMES:
        data = get_set(name)
        variants = []
        for variant, v in data.variants.items():
            counts = "/".join("?" if n is None else f"{n}" for n in v.counts) if any(v.counts) else "by rule"
            total = f" of {v.total}" if v.total else ""
            variants.append(f"{variant}: {counts}{total}, {v.n_labels}{'' if v.measured else ' *'}")
        how = f"`python -m datasets.{name}`" if data.bundles() else f"by hand, then `python -m datasets.{name}`"
        cells = [
            f"[{name}]({data.home})",
            data.about,
            data.task,
            "<br>".join(variants),
            f"{data.groups}: {data.overlap}",
            data.terms,
            data.size,
            how,
        ]
        lines.append([cell.replace("|", "\\|") for cell in cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    made = argparse.ArgumentParser(
        prog="python -m datasets",
        description="The published data sets that there are.",
        epilog=f"Sets: {', '.join(NAMES)}. Steps: {', '.join(VERBS)}; `python -m datasets NAME STEP --help` has their options, and "
        "`python -m datasets.NAME` does all steps.",
    )
    made.add_argument("name", nargs="?", metavar="NAME", help="a set: all about it, instead of the table of all")
    made.add_argument("step", nargs="?", metavar="STEP", help="one of its steps (what follows are the step's options)")
    made.add_argument("--markdown", action="store_true", help="the table of all sets in Markdown, with every column")
    return made


def main(argv: Sequence[str] | None = None, console: Console | None = None) -> int:
    """Run the command; return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    console = console or Console()
    if words and not words[0].startswith("-"):
        try:
            data = get_set(words[0])
        except DataSetError as error:
            Console(stderr=True).print(Text(str(error)))
            return EXIT_STOPPED
        if len(words) > 1:
            return run_command(data, words[1:])
        _print_one(data, console)
        return EXIT_OK
    if parser().parse_args(words).markdown:
        sys.stdout.write(overview())
    else:
        _print_all(console)
    return EXIT_OK


def _print_all(console: Console) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("set", style="bold", no_wrap=True)
    table.add_column("what")
    table.add_column("task", no_wrap=True)
    table.add_column("size")
    table.add_column("get it", no_wrap=True)
    for name in NAMES:
        data = get_set(name)
        table.add_row(name, data.about, data.task, data.size, "download" if data.bundles() else "by hand")
    console.print(table)
    console.print(Text("python -m datasets NAME   all about one: splits, labels, licence, how to get it"))
    console.print(Text("python -m datasets.NAME   all steps: download, prepare, groundtruth, validate"))


def _print_one(data: DataSet, console: Console) -> None:
    console.print(Text(f"{data.title}: {data.about}", style="bold"))
    console.print(Text(data.home))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("variant", "what", "train", "val", "test", "labels"):
        table.add_column(name, justify="left" if name in ("variant", "what") else "right", no_wrap=name != "what")
    for name, variant in data.variants.items():
        table.add_row(name, variant.about, *_counts(variant), f"{variant.n_labels}{'' if variant.measured else ' *'}")
    console.print(table)
    if not all(variant.measured for variant in data.variants.values()):
        console.print(Text("* figures of the publisher or the papers; the others were reproduced from the lists.\n"))
    parts = [
        ("Task", data.task),
        (f"{data.groups.capitalize()} in two splits", data.overlap),
        ("Licence", data.licence),
        ("Size", data.size),
        ("How to get it", data.get_it),
    ]
    for what, words in parts:
        console.print(Text(what, style="bold"))
        console.print(Padding(Text(words), (0, 0, 0, 2)))
    console.print(Text("Commands", style="bold"))
    first = "all steps" + ("" if data.bundles() else " but the download")
    lines = [
        (f"python -m datasets.{data.name}", first),
        (f"python -m datasets.{data.name} STEP", f"one of {', '.join(VERBS[1:])}"),
        (f"python -m datasets.{data.name} --help", "all options"),
    ]
    commands = Table.grid(padding=(0, 2))
    commands.add_column(no_wrap=True)
    for line in lines:
        commands.add_row(*map(Text, line))
    console.print(Padding(commands, (0, 0, 0, 2)))


def _counts(variant: Variant) -> list[str]:
    """Tracks in train, val, test."""
    if not any(variant.counts):
        return ["by rule", "", ""]
    return ["?" if n is None else str(n) for n in variant.counts]
