"""Networks out of this suite: safetensors, ONNX, and the formats that families bring. What is written is whole or not there at all."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import torch

from .bounded_files import check_writable
from .encoder import AudioEncoder
from .errors import ConfigError, nearest
from .formats import WEIGHTS, FolderFormat, OnnxFormat
from .onnx_file import WAVEFORM
from .registry import FAMILIES, family_package
from .untrained import check_trained
from .weights.checkpoints import CONFIG, SETTINGS, UNTRAINED
from .weights.downloads import digest_of
from .weights.task_head import head_of

log = logging.getLogger(__name__)
SAFETENSORS, ONNX = "safetensors", "onnx"
RANDOM = "RANDOM"  # in place of where weights come from: nothing was learned with them


def export_formats(model: AudioEncoder) -> tuple[str, ...]:
    """The formats that this network can be exported in, as far as its family says: safetensors first."""
    return (SAFETENSORS, *_formats(model))


def _formats(model: AudioEncoder) -> dict[str, FolderFormat | OnnxFormat]:
    """Those that the network's family brings, and ONNX of any network that reads samples, or was fine-tuned.

    What a family brings ends in the family's own head: of a fine-tuned network it would be another.
    """
    if head_of(model) is not None:
        return {ONNX: WAVEFORM}
    brought = _of_family(model.family) if model.family in FAMILIES else {}
    return {**({} if model.mel_settings else {ONNX: WAVEFORM}), **brought}


def _of_family(family: str) -> dict[str, FolderFormat | OnnxFormat]:
    return dict(getattr(family_package(family), "FORMATS", {}))


def export_model(
    model: AudioEncoder,
    path: str | Path,
    format: str = SAFETENSORS,
    blocks: Sequence[int] | None = None,
    untrained: bool = False,
) -> Path:
    """Write a network for others to load.

    Args:
        path: "safetensors": a folder (model.safetensors and config.json), or a file when it ends in .safetensors (the settings stand in its
            header). "onnx": a file when it ends in .onnx, its metadata beside it as .json; else a folder (model.onnx, model.json). Others: a folder.
        format: "safetensors": all weights exactly; `load_model(path)` reads it back.
            "onnx": waveform -> logits, probabilities and embeddings, checked in ONNX Runtime, with metadata in Essentia's schema and the file's
            size and sha256. Of families that bring a graph, of networks with classes that read samples, and of fine-tuned ones.
            Others: as the family that brings them says (`FORMATS` of its package).
        blocks: of "onnx": the layers whose embeddings are outputs, of graphs that have several (0-based; None: all; empty: none, the smallest file to
            send to a browser).
        untrained: the weights are random; the metadata then says so, and whoever reads them.

    Returns: `path`. Files of the same names are replaced.

    Raises: ConfigError for a format that is unknown or not the family's, and a path that cannot be written, WeightsError for a network that the
    format cannot express, or whose head is untrained, ImportError for "onnx" without onnx, onnxscript and onnxruntime.
    """
    known = dict.fromkeys([SAFETENSORS, *(name for family in FAMILIES for name in _of_family(family)), ONNX])
    if format not in known:
        raise ConfigError(f"There is no export format '{format}'; choose {', '.join(known)}.{nearest(str(format), known)}")
    if blocks is not None and format != ONNX:
        raise ConfigError(f"blocks belongs to format onnx; {format} holds the whole network.")
    if not isinstance(model, AudioEncoder):
        raise ConfigError(
            f"A {type(model).__name__} is no AudioEncoder: it does not say what it was built with, and cannot be exported."
        )
    check_trained(model, "be exported")
    path = Path(path)
    if format == SAFETENSORS:
        _safetensors(model, path, untrained)
        return path
    formats = _formats(model)
    if format not in formats:
        tuned = "Fine-tuned networks" if head_of(model) else "Networks"
        raise ConfigError(
            f"{tuned} of the family {model.family} are not exported as {format}: choose {' or '.join(export_formats(model))}."
        )
    chosen = formats[format]
    if isinstance(chosen, OnnxFormat):
        _onnx(model, path, chosen, blocks, untrained)
    else:
        _folder(model, path, format, chosen, untrained)
    return path


def _safetensors(model: AudioEncoder, path: Path, untrained: bool) -> None:
    settings = {**model.saved_settings, **({UNTRAINED: True} if untrained else {})}
    about = {"model_type": type(model).__name__.lower(), SETTINGS: settings, **_about(model, untrained)}
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    with _staged(path, path.suffix == ".safetensors") as stage:
        file = stage / (path.name if path.suffix == ".safetensors" else WEIGHTS)
        _save(state, file, {SETTINGS: json.dumps(settings)})
        if path.suffix != ".safetensors":
            _write_json(stage / CONFIG, about)


def _folder(model: AudioEncoder, path: Path, name: str, chosen: FolderFormat, untrained: bool) -> None:
    if path.suffix:
        log.warning("%s looks like a file's name; the format %s is a folder, and is written as one.", path, name)
    files = chosen.files(model, _about(model, untrained))
    with _staged(path, False) as stage:
        for file, content in files.items():
            if file.endswith(".safetensors"):
                _save(content, stage / file, {})
            elif file.endswith(".json"):
                _write_json(stage / file, content)
            else:
                (stage / file).write_text(content, encoding="utf-8")


def _onnx(model: AudioEncoder, path: Path, chosen: OnnxFormat, blocks: Sequence[int] | None, untrained: bool) -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"Export to ONNX needs onnx, onnxscript and onnxruntime ({error}): pip install 'maest[onnx]'."
        ) from error
    write = chosen.prepare(model, blocks)
    one_file = path.suffix == ".onnx"
    with _staged(path, one_file) as stage:
        file = stage / (path.name if one_file else "model.onnx")
        schema = write(file)
        # the page in web/ refuses a file under another one's metadata: its classes would be named wrongly
        identity = {"file": {"bytes": file.stat().st_size, "sha256": digest_of(file)}}
        said = (
            {"weights": RANDOM, "description": f"{RANDOM} weights, nothing was learned. {chosen.description}"}
            if untrained
            else {}
        )
        _write_json(file.with_suffix(".json"), {**_essentia(model, schema, chosen), **said, **identity})


def _essentia(model: AudioEncoder, schema: dict[str, Any], chosen: OnnxFormat) -> dict[str, Any]:
    """The fields of Essentia's model metadata (essentia.upf.edu/models), as far as they apply; and the family."""
    card = model.card
    return {
        "name": card.name if card is not None else type(model).__name__,
        "family": model.family,
        "type": chosen.type,
        "link": card.url if card is not None else "",
        "version": "1",
        "description": chosen.description,
        "release_date": date.today().isoformat(),
        "framework": "pytorch",
        "framework_version": torch.__version__,
        "classes": model.label_names,
        "model_types": ["onnx"],
        "schema": schema,
        "citation": chosen.citation,
        "inference": {"sample_rate": model.sample_rate, "window_seconds": model.max_seconds, "algorithm": "onnxruntime"},
        "licence": _licence(model),
    }


def _licence(model: AudioEncoder) -> str:
    return model.licence or "not stated (ask whoever trained them)"


def _about(model: AudioEncoder, untrained: bool) -> dict[str, Any]:
    """What every export says of the network beside its settings."""
    about: dict[str, Any] = {"sample_rate": model.sample_rate, "weights_licence": _licence(model)}
    if model.mel_settings is not None:
        about["front_end"] = model.mel_settings.name
    if model.card is not None:
        about["weights_from"] = model.card.name
    if (head := head_of(model)) is not None and head.begun_with is not None:
        about["weights_from"] = f"{head.begun_with}, fine-tuned"
    if untrained:
        about["weights_from"] = RANDOM
    return about


def _save(state: dict[str, Any], path: Path, header: dict[str, str]) -> None:
    from safetensors.torch import save_file

    save_file(state, path, metadata={"format": "pt", **header})
    os.chmod(path, 0o644)  # safetensors makes files that only their owner may read


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@contextmanager
def _staged(path: Path, is_file: bool) -> Iterator[Path]:
    """A folder beside the target to write into; behind the block its files are moved in place, weights first and settings last."""
    target = path.parent if is_file else path
    if path.is_dir() if is_file else path.is_file():
        raise ConfigError(
            f"{path} is a {'folder' if is_file else 'file'} already; the export is a {'file' if is_file else 'folder'}: choose another name."
        )
    check_writable(target, ConfigError, "place for the export")
    try:
        target.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=target))
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}.") from error
    from safetensors import SafetensorError  # late: it imports numpy's whole

    moved: list[str] = []
    try:
        yield stage
        for file in sorted(stage.iterdir(), key=lambda p: p.suffix in (".json", ".md")):
            os.replace(file, target / file.name)
            moved.append(file.name)
        if lost := [name for name in moved if not (target / name).is_file()]:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), lost[0])
    except (OSError, SafetensorError) as error:
        new = [name for name in moved if (target / name).is_file()]
        if not stage.is_dir():  # as rmtree, or somebody else, leaves it
            left = f"of it {', '.join(new)} stand there" if new else "nothing of it is there"
            raise ConfigError(
                f"{path} could not be written: {target} or files in it were removed while the command ran; {left}. Leave the folder alone, and give "
                "the command again."
            ) from error
        kept = f"{', '.join(new)} stand there new, the others are as they were" if new else "what stood there before is as it was"
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise ConfigError(f"{path} could not be written: {reason}; {kept}. Make room, or choose another export.out.") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
