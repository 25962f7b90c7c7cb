"""Named errors. Each is a ValueError whose text says what came, what is wanted, and the cure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from .escapes import visible

SHOWN = 10  # names in a message before "and N more"


class SuiteError(ValueError):
    """What every named error is: a sentence, in which control characters of what a file says are escapes."""

    def __str__(self) -> str:
        return visible(super().__str__())


class AudioError(SuiteError):
    """Audio that cannot be used: unreadable, empty, too short, not finite, wrong shape, rate or type."""


class StoreError(SuiteError):
    """A track store that cannot be used: absent, damaged, exists already, or made by another front end."""


class StoreMismatchError(StoreError):
    """A track store, or a folder of arrays, that was made with other settings. differing: names of the attributes that differ."""

    def __init__(self, text: str, differing: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.differing = tuple(differing)


class StoreBusyError(StoreError):
    """A track store, or a folder of one, that another process is writing."""


class GroundtruthError(SuiteError):
    """Labels that cannot be used: absent, unreadable, or not fitting the audio."""


class LabelColumnError(GroundtruthError):
    """A table in which no column is known to hold the labels."""


class DataSetError(SuiteError):
    """A data set's files that cannot be used: absent, damaged, others than they should be, or an archive that is not safe to unpack."""


class WeightsError(SuiteError):
    """Weights that do not fit the network they are loaded into."""


class WeightsNotFoundError(WeightsError):
    """Weights that are not on this machine; the text names the file to place and where."""


class CheckpointError(SuiteError, OSError):
    """A checkpoint that could not be written; those that were there before it are as they were."""


class ConfigError(SuiteError):
    """An experiment's configuration that cannot be run."""


class JobError(SuiteError):
    """A job of several processes that cannot go on: one of them did not come, or failed."""


class ClusterError(SuiteError):
    """Machines that cannot be used together: no scheduler answers, or its workers do not fit."""


def nearest(name: str, known: Iterable[str]) -> str:
    """' Did you mean X?' for the closest of `known` ('X' or 'Y' where two are as near), or '' when none is close."""

    def strange(other: str) -> int:
        """Letters to change, add or leave out; difflib's own ratio holds 'seedz' nearer to 'seed' than to 'seeds'."""
        same = difflib.SequenceMatcher(None, name, other).get_matching_blocks()
        return max(len(name), len(other)) - sum(block.size for block in same)

    found = difflib.get_close_matches(name, list(known), n=2, cutoff=0.4)
    as_near = [f"'{other}'" for other in found if strange(other) <= strange(found[0])]
    return f" Did you mean {' or '.join(as_near)}?" if found else ""


def listed(names: Sequence[object], shown: int = SHOWN) -> str:
    """Return names for a message, the first `shown` of them: `'a', 'b' and 3 more`."""
    text = ", ".join(repr(name) for name in names[:shown])
    return text + (f" and {len(names) - shown} more" if len(names) > shown else "")
