"""Networks out of this suite: safetensors, Hugging Face's AST format, ONNX. What is written is whole or not there at all."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args

from .encoder import AudioEncoder
from .errors import ConfigError, nearest
from .weights.checkpoints import CONFIG, SETTINGS
from .weights.downloads import digest_of

log = logging.getLogger(__name__)
Format = Literal["safetensors", "ast", "onnx"]
WEIGHTS = "model.safetensors"


def export_model(
    model: AudioEncoder, path: str | Path, format: Format = "safetensors", blocks: Sequence[int] | None = None
) -> Path:
    """Write a network for others to load.

    Args:
        path: "safetensors": a folder (model.safetensors and config.json), or a file when it ends in .safetensors (the settings stand in its
            header). "ast": a folder. "onnx": a file when it ends in .onnx, its metadata beside it as .json; else a folder (model.onnx, model.json).
        format: "safetensors": all weights exactly; `get_maest(arch, checkpoint=path)` reads it back.
            "ast": a folder that transformers' ASTForAudioClassification loads, and this suite too; without `head_dist`. Logits are the network's
            within 1e-4: AST's classifier norm has eps 1e-6 where the network has 1e-5.
            "onnx": waveform -> logits, probabilities and embeddings, checked in ONNX Runtime, with metadata in Essentia's schema and the file's
            size and sha256. MAEST, and SampleCNN with a head.
        blocks: of "onnx" and MAEST: whose embeddings are outputs (0-based; None: all; empty: none, the smallest file to send to a browser).

    Returns: `path`. Files of the same names are replaced.

    Raises: ConfigError for an unknown format or a path that cannot be written, WeightsError for a network that the format cannot express, ImportError
    for "onnx" without onnx, onnxscript and onnxruntime.
    """
    if format not in get_args(Format):
        raise ConfigError(
            f"There is no export format '{format}'; choose {', '.join(get_args(Format))}.{nearest(str(format), get_args(Format))}"
        )
    if blocks is not None and format != "onnx":
        raise ConfigError(f"blocks belongs to format onnx; {format} holds the whole network.")
    path = Path(path)
    settings = getattr(model, "saved_settings", None)
    if not isinstance(settings, dict):
        raise ConfigError(f"{type(model).__name__} does not say what it was built with (settings): it cannot be exported.")
    if format == "safetensors":
        _safetensors(model, path, settings)
    elif format == "ast":
        from .maest import MAEST

        if not isinstance(model, MAEST):
            raise ConfigError(f"Format 'ast' is for MAEST; this is a {type(model).__name__}: export it as safetensors.")
        _ast(model, path)
    else:
        _onnx(model, path, blocks)
    return path


def _safetensors(model: AudioEncoder, path: Path, settings: dict[str, Any]) -> None:
    about = {"model_type": type(model).__name__.lower(), SETTINGS: settings, **_about(model)}
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    with _staged(path, path.suffix == ".safetensors") as stage:
        file = stage / (path.name if path.suffix == ".safetensors" else WEIGHTS)
        _save(state, file, {SETTINGS: json.dumps(settings)})
        if path.suffix != ".safetensors":
            _write_json(stage / CONFIG, about)


def _ast(model: Any, path: Path) -> None:
    from .maest import ast

    if path.suffix:
        log.warning("%s looks like a file's name; the AST format is a folder, and is written as one.", path)
    state = ast.ast_state(model)
    if model.distilled_type == "separated":
        log.warning(
            "This network has separated heads and AST has one, on the mean of CLS and DIST: head_dist is left out, and the folder's logits are "
            "not this network's. Its embeddings are."
        )
    log.info("AST's classifier norm has eps 1e-6, the network's head 1e-5: logits differ by some 1e-6 of their size.")
    with _staged(path, False) as stage:
        _save(state, stage / WEIGHTS, {})
        _write_json(stage / CONFIG, {**ast.ast_config(model), **_about(model)})
        _write_json(stage / "preprocessor_config.json", ast.preprocessor_config(model))
        (stage / "README.md").write_text(
            _AST_README.format(licence=_licence(model), frames=ast.max_length(model)), encoding="utf-8"
        )


def _onnx(model: AudioEncoder, path: Path, blocks: Sequence[int] | None) -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"Export to ONNX needs onnx, onnxscript and onnxruntime ({error}): pip install 'maest[onnx]'."
        ) from error
    family, write = _graph(model, blocks)
    one_file = path.suffix == ".onnx"
    with _staged(path, one_file) as stage:
        file = stage / (path.name if one_file else "model.onnx")
        schema = write(file)
        # the page in web/ refuses a file under another one's metadata: its classes would be named wrongly
        identity = {"file": {"bytes": file.stat().st_size, "sha256": digest_of(file)}}
        _write_json(file.with_suffix(".json"), {**_essentia(model, schema, family), **identity})


def _graph(model: AudioEncoder, blocks: Sequence[int] | None) -> tuple[ModuleType, Callable[[Path], dict[str, Any]]]:
    """The family's graph module, and what writes this network's file."""
    from .clmr import SampleCNN
    from .clmr import graph as samplecnn
    from .maest import MAEST
    from .maest import graph as maest

    if isinstance(model, MAEST):
        wanted = range(model.depth) if blocks is None else blocks
        layers = model.resolve_layers(wanted) if len(wanted) else ()
        return maest, lambda file: maest.write(model, file, layers)
    if isinstance(model, SampleCNN):
        if blocks is not None:
            raise ConfigError("blocks is for MAEST; a SampleCNN's file holds the last block's output, its representation.")
        _ = model.n_classes  # refused before work when there is no head
        return samplecnn, lambda file: samplecnn.write(model, file)
    raise ConfigError(f"Format 'onnx' is for MAEST and SampleCNN; this is a {type(model).__name__}: export it as safetensors.")


def _essentia(model: Any, schema: dict[str, Any], family: ModuleType) -> dict[str, Any]:
    """The fields of Essentia's model metadata (essentia.upf.edu/models), as far as they apply."""
    import torch

    card = model.card
    return {
        "name": card.name if card is not None else type(model).__name__,
        "type": family.TYPE,
        "link": card.url if card is not None else "",
        "version": "1",
        "description": family.DESCRIPTION,
        "release_date": date.today().isoformat(),
        "framework": "pytorch",
        "framework_version": torch.__version__,
        "classes": model.label_names,
        "model_types": ["onnx"],
        "schema": schema,
        "citation": family.CITATION,
        "inference": {"sample_rate": model.sample_rate, "window_seconds": model.max_seconds, "algorithm": "onnxruntime"},
        "licence": _licence(model),
    }


def _licence(model: AudioEncoder) -> str:
    return model.card.licence if model.card is not None else "not stated (ask whoever trained them)"


def _about(model: AudioEncoder) -> dict[str, Any]:
    about: dict[str, Any] = {"sample_rate": model.sample_rate, "weights_licence": _licence(model)}
    front_end = getattr(getattr(model, "melspectrogram", None), "settings", None)
    if front_end is not None:
        about["front_end"] = front_end.name
    if model.card is not None:
        about["weights_from"] = model.card.name
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
    try:
        target.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=target))
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}.") from error
    try:
        yield stage
        for file in sorted(stage.iterdir(), key=lambda p: p.suffix in (".json", ".md")):
            os.replace(file, target / file.name)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


_AST_README = """# MAEST in Hugging Face's AST format

`transformers.ASTForAudioClassification.from_pretrained(this_folder)` loads it. The input is MAEST's log-mel,
[batch, {frames} frames, 96 bands] at 16 kHz, hop 256, normalised: not what transformers' own ASTFeatureExtractor computes.
The package `maest` makes it, and reads this folder too:

```python
from maest.frontend import MaestMel

mel = MaestMel()(wave)  # wave [batch, samples] -> [batch, 96, frames]; give the network mel.transpose(1, 2), padded or cut to {frames} frames
```

The classifier's LayerNorm has eps 1e-6 here and 1e-5 in MAEST: logits differ by some 1e-6 of their size.

Licence of the weights: {licence}
"""
