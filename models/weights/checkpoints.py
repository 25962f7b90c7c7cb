"""Reading weight files of any form into one plain dict of the network's names, without running anything that the file may carry.

Forms: safetensors; torch files that hold a plain state dict, or one under "state_dict" (Lightning) or "model" (DeiT); this suite's training
checkpoints, which hold the trained network under "net.*" and, once there is one, the averaged network under "net_swa.*"; folders of such a file
and a config.json (this suite's exports, and those of foreign formats that a family reads); zip archives with one weight file in them.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..bounded_files import MOST_WEIGHTS, check_regular, check_zip, open_regular, parsed, read_bytes
from ..errors import WeightsError, WeightsNotFoundError
from ..settings import shown
from .cards import load_all
from .finite import check_finite
from .safetensors_files import load_safetensors, read_metadata
from .torch_files import FAULTS, load_torch

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)
RAW, AVERAGED = "net.", "net_swa."
_CONTAINERS = ("state_dict", "model")
SETTINGS = "network"  # entry of this suite's training checkpoints and exports: what the network was built with
FAMILY = "family"  # entry of these settings: the folder of models/ that builds the network; older files may lack it
HEAD = "task_head"  # entry of these settings, and beginning of names of weights: the head of a fine-tuning (weights/task_head.py)
UNTRAINED = "untrained"  # entry of the settings of an export: its weights are random, nothing was learned with them
CONFIG = "config.json"
MAX_ARCHIVED = 4 << 30  # bytes that a weight file in an archive may unpack to
_ARCHIVED = (".ckpt", ".pt", ".pth")
_FOLDER_FILES = ("model.safetensors", "pytorch_model.bin", "model.ckpt")
MOST_SETTINGS = 64 << 20  # bytes of a config.json
ConfigReader = Callable[[Mapping[str, Any]], dict[str, Any]]
SettingsReader = Callable[[Path], dict[str, Any]]
SettingsCheck = Callable[[Mapping[str, Any], str, type[ValueError]], None]
_KEPT: ContextVar[dict[Path, dict[str, Tensor]] | None] = ContextVar("heads of fine-tunings", default=None)
_CONFIG_READERS: dict[str, ConfigReader] = {}
_SETTINGS_CHECKS: dict[str, SettingsCheck] = {}
_SETTINGS_READERS: dict[str, SettingsReader] = {}


def register_config_reader(model_type: str, reader: ConfigReader) -> None:
    """Have `read_settings` read the config.json of a foreign format by `reader`, which gives the network's settings.

    model_type: what such a file says under that key. Families that read one call this in their `archs`.
    """
    _CONFIG_READERS[model_type] = reader


def register_settings_check(family: str, check: SettingsCheck) -> None:
    """Have `read_settings` compare what a file says of a network of this family with what it may be: check(settings, source, error class)."""
    _SETTINGS_CHECKS[family] = check


def register_settings_reader(suffix: str, reader: SettingsReader) -> None:
    """Have `read_settings` ask `reader` about files of a foreign format, known by their suffix (".whl"). Families that read one call this."""
    _SETTINGS_READERS[suffix] = reader


def weight_file(path: str | Path) -> Path:
    """The file of weights that a path means: itself, or in a folder model.safetensors, pytorch_model.bin, model.ckpt, or its only
    .safetensors.

    Raises WeightsNotFoundError for what is not there, naming what was looked for.
    """
    path = Path(path)
    if not path.is_dir():
        return _regular(path)
    there = [path / name for name in _FOLDER_FILES if os.path.lexists(path / name)] or sorted(path.glob("*.safetensors"))
    if not there or (there[0].name not in _FOLDER_FILES and len(there) > 1):
        what = "several .safetensors files" if there else "no weight file"
        raise WeightsNotFoundError(
            f"The folder {path} holds {what}: wanted one of {', '.join(_FOLDER_FILES)}, or name the file itself."
        )
    return _regular(there[0])


def _regular(path: Path) -> Path:
    try:
        check_regular(path, WeightsNotFoundError, MOST_WEIGHTS)
    except OSError as error:
        link = ": it is a link to nothing" if os.path.lexists(path) else ""
        said = "" if error.errno in (errno.ENOENT, errno.ENOTDIR) else f": {error.strerror or error}"
        raise WeightsNotFoundError(f"There is no weight file {path}{link or said}.") from None
    return path


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """All tensors of a weight file (or of the one in a folder) on the CPU, by the names that they have in it.

    Raises WeightsNotFoundError for an absent file, WeightsError for one that is truncated, of another kind, would run code, or holds no tensors.
    """
    path = weight_file(path)
    content = _read(path)
    for name in _CONTAINERS:
        inner = content.get(name) if isinstance(content, Mapping) else None
        if isinstance(inner, Mapping):
            content = inner
            break
    if not isinstance(content, Mapping):
        raise WeightsError(
            f"{path} holds a {type(content).__name__}, not a state dict (names and tensors): it is no weight file."
        )
    tensors = {str(k): v for k, v in content.items() if hasattr(v, "shape")}
    if not tensors or len(tensors) < len(content):
        other = sorted(str(k) for k in content if str(k) not in tensors)[:3]
        raise WeightsError(
            f"{path} holds no state dict: {len(tensors)} tensors and {len(content) - len(tensors)} other entries {other}."
        )
    if strange := [name for name in tensors if not name.isprintable()]:
        raise WeightsError(
            f"{path} holds a tensor of the name {shown(strange[0])}: names of weights are printable. Is it the right file?"
        )
    check_finite(tensors, path)
    return tensors


def read_settings(path: str | Path) -> dict[str, Any]:
    """What the network of one of this suite's training checkpoints or exports was built with, its family among it; {} for any other file.

    Folders of foreign formats are read as their families say (`register_config_reader`). `own_settings` leaves the family out.

    Raises as `read_checkpoint` does, and WeightsError for a config.json that cannot be read, and for settings that are no network's.
    """
    path = Path(path)
    file = weight_file(path)
    config = path / CONFIG
    if path.is_dir() and os.path.lexists(config):
        return _checked(_of_folder(config, file), str(config))
    if file.suffix in _SETTINGS_READERS:
        return _SETTINGS_READERS[file.suffix](file)
    if file.suffix == ".safetensors":
        return _checked(_of_config(_safetensors_header(file), file), str(file))
    content = _read(file, mmap=True)
    found = content.get(SETTINGS) if isinstance(content, Mapping) else None
    return _checked(dict(found), str(file)) if isinstance(found, Mapping) else {}


def _checked(settings: dict[str, Any], source: str) -> dict[str, Any]:
    """Return settings that the family they name finds possible; those of no family, or of one that registered nothing, as they are."""
    family = settings.get(FAMILY)
    if settings.get("finetuned") and family is None:
        raise WeightsError(
            f"{source} was fine-tuned by an earlier version, which left no family and no labels in it: fine-tune again."
        )
    if family is not None and not isinstance(family, str):
        raise WeightsError(f"The settings in {source} name as family {shown(family)}, wanted a text.")
    check_own_settings(settings, str(family), source)
    return settings


def check_own_settings(settings: Mapping[str, Any], family: str, source: str) -> None:
    """Raise WeightsError for what a file says of a network where that is no network of `family`."""
    if family in _SETTINGS_CHECKS:
        _SETTINGS_CHECKS[family](own_settings(settings), f"The network in {source}", WeightsError)


def own_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a file says of the family's network, the arguments of its class: not what it says beside it."""
    return {name: value for name, value in settings.items() if name not in (FAMILY, UNTRAINED, HEAD)}


def is_untrained(path: str | Path) -> bool:
    """Whether an export says that its weights are random. Other files do not say; they are not read for it."""
    path = Path(path)
    says = path.is_dir() or path.suffix == ".safetensors"
    return says and bool(read_settings(path).get(UNTRAINED, False))


def _of_folder(config: Path, file: Path) -> dict[str, Any]:
    """What the config.json of a folder says of its network. The weights' own header must not say otherwise."""
    try:
        content = _json(read_bytes(config, WeightsError, MOST_SETTINGS), config)
    except OSError as error:
        raise WeightsError(f"{config} cannot be read: {error.strerror or error}.") from error
    found = _of_config(content, config)
    own = _of_config(_safetensors_header(file), file) if file.suffix == ".safetensors" else {}
    if not own:
        if not found:
            log.warning(
                "%s says nothing of the network that is read here (it has no %r, and model_type %s is no format that is known): sizes are taken "
                "from the weights.", config, SETTINGS, shown(content.get("model_type")),
            )  # fmt: skip
        return found
    absent = object()
    other = [name for name in {**own, **found} if repr(own.get(name, absent)) != repr(found.get(name, absent))] if found else []
    if other:
        raise WeightsError(
            f"{config} and the header of {file.name} beside it differ in {', '.join(map(shown, other[:3]))}: {shown(found.get(other[0]))} and "
            f"{shown(own.get(other[0]))}. One of them was changed: restore it, or export again."
        )
    return own


def _of_config(config: Mapping[str, Any], source: Path) -> dict[str, Any]:
    kind = config.get("model_type")
    if kind is not None and not isinstance(kind, str):
        raise WeightsError(f"The settings in {source} name as model_type {shown(kind)}, wanted a text.")
    if isinstance(kind, str) and kind not in _CONFIG_READERS:
        load_all()  # a command imports its own family only
    if isinstance(kind, str) and (reader := _CONFIG_READERS.get(kind)) is not None:
        try:
            return reader(config)
        except WeightsError as error:  # a sentence of the family's own
            raise WeightsError(f"{source}: {error}") from error
        except (ValueError, TypeError, KeyError, ZeroDivisionError, OverflowError, AttributeError) as error:
            raise WeightsError(f"The settings in {source} are not those of the format {kind}: {error}.") from error
    found = config.get(SETTINGS, {})
    if not isinstance(found, Mapping):
        raise WeightsError(f"The settings in {source} hold under {SETTINGS!r} {shown(found)}, wanted names and values.")
    return dict(found)


def _safetensors_header(path: Path) -> dict[str, Any]:
    metadata = read_metadata(path)
    return {SETTINGS: _json(metadata[SETTINGS], path)} if SETTINGS in metadata else {}


def _json(text: str | bytes, path: Path) -> dict[str, Any]:
    try:
        content = parsed(text)
    except ValueError as error:
        raise WeightsError(f"The settings in {path} are no readable json: {error}.") from error
    if not isinstance(content, dict):
        raise WeightsError(f"The settings in {path} are a {type(content).__name__}, wanted names and values.")
    return content


def read_state(path: str | Path, averaged: bool = True) -> dict[str, Tensor]:
    """The network's state dict in a weight file, with the network's own names; without the head of a fine-tuning (saved_head.py).

    averaged: from a training checkpoint, the averaged weights if it holds any, else (or when False) the trained ones. Files with one set of
    weights give that.

    Raises as `read_checkpoint` does.
    """
    return encoder_state(read_checkpoint(path), path, averaged)


def encoder_state(state: Mapping[str, Tensor], path: str | Path, averaged: bool = True, begins: str = "") -> dict[str, Tensor]:
    """`read_state` of what `read_checkpoint(path)` gave. Inside `heads_kept` a fine-tuning's head is kept, else the log says that it is left out.

    begins: of names of the network, where "net." alone does not tell a training checkpoint's from the network's own.
    """
    own = dict(state)
    for prefix in (AVERAGED, RAW) if averaged else (RAW, AVERAGED):
        if any(k.startswith(f"{prefix}{begins}") for k in own):
            own = {k[len(prefix) :]: v for k, v in own.items() if k.startswith(prefix)}
            break
    while own and all(k.startswith("module.") for k in own):  # torch's AveragedModel and DistributedDataParallel
        own = {k[len("module.") :]: v for k, v in own.items()}
    head = {name: own.pop(name) for name in list(own) if name.startswith(f"{HEAD}.")}
    kept = _KEPT.get()
    if kept is not None:
        kept[weight_file(path)] = head
    elif head:
        log.info("%s: the head of its fine-tuning is left out, its encoder is taken.", path)
    return own


@contextmanager
def heads_kept() -> Iterator[dict[Path, dict[str, Tensor]]]:
    """A block in which the heads of fine-tunings are kept as files are read: by file, {} of one without."""
    kept: dict[Path, dict[str, Tensor]] = {}
    token = _KEPT.set(kept)
    try:
        yield kept
    finally:
        _KEPT.reset(token)


def _read(path: Path, mmap: bool = False) -> Any:
    if path.suffix == ".safetensors":
        return load_safetensors(path)
    inner = _archived(path)
    try:
        return load_torch(path if inner is None else inner, path, mmap and inner is None and zipfile.is_zipfile(path))
    except WeightsError:
        raise
    except FAULTS as error:
        raise WeightsError(f"{path} is no readable torch weight file: {_why(path, error)}") from error


def _why(path: Path, error: Exception) -> str:
    """What is wrong with a file that torch cannot read, and the cure. (torch's own advice is to let the file run code.)"""
    with open_regular(path, WeightsError) as file:
        head = file.read(4)
    if not head:
        return "it is empty (0 bytes). Fetch it again."
    if path.suffix == ".onnx":
        return "an ONNX file is for running, it is not read back. Export as safetensors too, and load that."
    if head[:2] != b"PK" and head[:1] != b"\x80":
        return "its first bytes are not those of a torch file. Is it the right file?"
    if "weights only" in str(error).lower() or "weights_only" in str(error):
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"{found[1]}, among others" if found else "more than tensors"
        return f"it holds {what}, which is refused because it could run code. Save its state dict alone."
    return "it is truncated or damaged. Fetch it again."


def _archived(path: Path) -> bytes | None:
    """The bytes of the one weight file in a zip archive; None for any other file, torch's own (which are archives too) included.

    Nothing is unpacked to the disk, so that no name in the archive can lead anywhere. Raises WeightsError for an archive with no weight file or
    several, one that would unpack to more than MAX_ARCHIVED bytes, or a damaged one.
    """
    check_regular(path, WeightsError, MOST_WEIGHTS)
    if not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            check_zip(archive, path)
            files = [m for m in archive.infolist() if not m.is_dir()]
            if any(m.filename.endswith("data.pkl") for m in files):
                return None
            weights = [m for m in files if m.filename.endswith(_ARCHIVED) and "__MACOSX" not in m.filename]
            if len(weights) != 1:
                found = ", ".join(m.filename for m in (weights or files)[:4]) or "nothing"
                raise WeightsError(
                    f"The archive {path} holds {len(weights)} weight files ({found}); wanted one: unpack it and name the file."
                )
            if weights[0].file_size > MAX_ARCHIVED:
                size = weights[0].file_size / 1e9
                raise WeightsError(f"{weights[0].filename} in {path} would unpack to {size:.1f} GB: unpack it yourself.")
            return archive.read(weights[0])
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise WeightsError(f"The archive {path} cannot be read: {error}. Fetch it again.") from error
