"""The names of splits in tables: 'valid', 'dev', 'eval', ... and what they mean here."""

from __future__ import annotations

from collections.abc import Sequence

from models.errors import GroundtruthError

SPLITS = ("train", "val", "test")
SHOWN = 3  # tracks named in a message
CHECK = (  # the cure of faulty tables
    "The command check_data (datamodule.audio_dir=AUDIO datamodule.groundtruth=TABLE) lists all faults and writes a table without them."
)
_SPLIT_NAMES = {
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "va"), "val"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation", "te"), "test"),
}


def are_splits(cells: set[str], whole: bool = True) -> bool:
    """Return whether the different cells of a column, empty ones aside, are names of splits. whole: training must be among them, and
    another split.
    """
    found = {_SPLIT_NAMES.get(cell.lower()) for cell in cells if cell}
    return None not in found and (not whole or ("train" in found and len(found) > 1))


def split_names(values: Sequence[str], keys: Sequence[str] | None = None, faulty: bool = False) -> list[str]:
    """Return 'train', 'val' or 'test' for the names that tables use. keys: whose they are, for the message. faulty: others are left as they are.

    Raises GroundtruthError for others.
    """
    known = {value: _SPLIT_NAMES.get(str(value).strip().lower()) for value in set(values)}
    wrong = sorted(str(value) for value, name in known.items() if name is None)
    if wrong and not faulty:
        odd = [i for i, value in enumerate(values) if known[value] is None]
        examples = [] if keys is None else [repr(keys[i]) for i in odd[:SHOWN]] + ["..."] * (len(odd) > SHOWN)
        whose = f" ({len(odd)} tracks: {', '.join(examples)})" if examples else ""
        what = ", ".join(repr(value) if value.strip() else "an empty cell" for value in wrong)
        raise GroundtruthError(
            f"Splits are train, val (valid, validation, dev) and test; got {what}{whose}. Write one of the three for every track, or take "
            f"the column out: a split is then made. {CHECK}"
        )
    return [known[value] or str(value) for value in values]
