"""The command that writes the network for others to load."""

from __future__ import annotations

from pathlib import Path

from models.bounded_files import check_writable, check_writable_file
from models.errors import ConfigError
from models.export import export_model

from ..reports.wording import RANDOM, RANDOM_WEIGHTS
from .context import Context
from .networks import as_trained, load_network


def export(context: Context) -> str:
    """Write the config's network to export.out, for others to load: as export.format says."""
    section = context.config.export
    if section.out is None:
        raise ConfigError(
            "export.out says where the network goes: a folder, or a file that ends in .safetensors or .onnx. It is not set."
        )
    if section.format != "onnx" and section.blocks is not None:
        raise ConfigError(f"export.blocks is for export.format=onnx; {section.format} holds the whole network.")
    one_file = Path(section.out).suffix == f".{section.format}"  # .safetensors, .onnx
    (check_writable_file if one_file else check_writable)(section.out, ConfigError, "export.out")
    loaded = load_network(context, as_trained(context), classes=section.format == "onnx", use="be exported")
    random = loaded.weights == RANDOM
    path = export_model(loaded.network, section.out, section.format, section.blocks, untrained=random)
    context.print(*_sizes(path, section.format), *([RANDOM_WEIGHTS] if random else []))
    return str(path)


def _sizes(path: Path, format: str) -> list[str]:
    """Return a line per file that was written."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    if format == "onnx" and not path.is_dir():
        files.append(path.with_suffix(".json"))
    sizes = [file.stat().st_size for file in files]
    return [f"{file} ({n / 1e6:.1f} MB)" if n > 1e5 else f"{file} ({n / 1e3:.1f} kB)" for file, n in zip(files, sizes)]
