"""Packages that live outside this tree: the folders that an environment variable names."""

from __future__ import annotations

import os

_HOLD = {"MAEST_FAMILIES": ("models", "configs", "helpers"), "MAEST_DATASETS": ("datasets",)}  # variable -> what its folders hold


def folders_outside(variable: str, *inside: str) -> list[str]:
    """Return FOLDER/inside, absolute, for each folder that an environment variable names (separated as in PATH).

    Args:
        variable: MAEST_FAMILIES or MAEST_DATASETS.
        inside: parts of the path below each folder; what is extended by the result is the package of that path here.

    Raises ValueError for a name that is not a folder, and for a folder that holds nothing that belongs there.
    """
    found = []
    for folder in filter(None, os.environ.get(variable, "").split(os.pathsep)):
        if not os.path.isdir(folder):
            raise ValueError(
                f"The environment variable {variable} names {folder!r}, which is not a folder: correct it, or unset it."
            )
        if not any(os.path.isdir(os.path.join(folder, name)) for name in _HOLD[variable]):
            wanted = " or ".join(f"{name}/" for name in _HOLD[variable])
            raise ValueError(
                f"The environment variable {variable} names {folder!r}, which holds no {wanted}: name the folder above those."
            )
        found.append(os.path.join(os.path.abspath(folder), *inside))
    return list(dict.fromkeys(found))
