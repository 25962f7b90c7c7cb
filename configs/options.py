"""What a typed configuration is made of: options with their meaning, sections, and what is read from both. Data only."""

from __future__ import annotations

from dataclasses import asdict, field, fields, is_dataclass
from typing import Any


def opt(default: Any, doc: str, choices: tuple[Any, ...] | None = None) -> Any:
    """A field with its meaning (and the only values it may take)."""
    metadata = {"doc": doc, "choices": choices}
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def section(kind: type) -> Any:
    return field(default_factory=kind)


def defaults(kind: type) -> dict[str, Any]:
    """A schema's defaults as nested builtins, as Sacred wants them."""
    return asdict(kind())


def docs(kind: type, prefix: str = "") -> dict[str, str]:
    """Dotted key -> its meaning."""
    out = {}
    instance = kind()
    for f in fields(kind):
        value = getattr(instance, f.name)
        if is_dataclass(value):
            out[prefix + f.name] = (
                (type(value).__doc__ or "").strip() if not (type(value).__doc__ or "").startswith(type(value).__name__) else ""
            )
            out.update(docs(type(value), f"{prefix}{f.name}."))
        else:
            choices = f.metadata.get("choices")
            out[prefix + f.name] = f.metadata["doc"] + (
                f" ({' | '.join(map(str, choices))})" if choices and len(choices) > 1 else ""
            )
    return {k: v for k, v in out.items() if v}
