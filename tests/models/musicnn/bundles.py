"""Checkpoint bundles and wheels made on the spot, to be read and to be damaged. (An independent writer: the index's blocks hold two entries each.)"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.musicnn import MusiCNN, convert
from models.musicnn.bundle import MAGIC, _masked_crc
from models.weights import cards


def varint(n: int) -> bytes:
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def entry(shape: tuple[int, ...], offset: int, size: int, dtype: int = 1, **more: int) -> bytes:
    """more: fields f3=..., as numbers."""
    dimensions = b"".join(field(2, field(1, n)) for n in shape)
    text = field(1, dtype) + field(2, dimensions) + b"".join(field(int(k[1:]), v) for k, v in more.items())
    return text + field(4, offset) + field(5, size) + varint(6 << 3 | 5) + b"\0\0\0\0"


def block(pairs: list[tuple[bytes, bytes]], compression: int = 0) -> bytes:
    """Prefix-compressed keys, one restart; with compression's byte and checksum."""
    text, before = b"", b""
    for key, value in pairs:
        shared = next((i for i, (a, b) in enumerate(zip(key, before)) if a != b), min(len(key), len(before)))
        text += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    text += (0).to_bytes(4, "little") + (1).to_bytes(4, "little") + bytes([compression])
    return text + _masked_crc(text).to_bytes(4, "little")


def index_of(entries: Mapping[str, bytes], header: bytes = field(1, 1), compression: int = 0) -> bytes:
    """An `.index` file."""
    pairs = [(b"", header), *sorted((k.encode(), v) for k, v in entries.items())]
    out, handles = b"", []
    for k in range(0, len(pairs), 2):
        made = block(pairs[k : k + 2], compression)
        handles.append((pairs[min(k + 1, len(pairs) - 1)][0], varint(len(out)) + varint(len(made) - 5)))
        out += made
    meta = varint(len(out)) + varint(8)
    out += block([])
    index = block(handles)
    place = varint(len(out)) + varint(len(index) - 5)
    return out + index + (meta + place).ljust(40, b"\0") + MAGIC


def bundle(arrays: Mapping[str, np.ndarray]) -> tuple[bytes, bytes]:
    """(index, data) of float32 variables, an optimiser's beside them."""
    entries, data = {}, b""
    for name, x in {**arrays, "beta1_power": np.float32(0.9)}.items():
        content = np.ascontiguousarray(x, "<f4").tobytes()
        entries[name] = entry(np.shape(x), len(data), len(content))
        data += content
    return index_of(entries), data


def variables(net: MusiCNN) -> dict[str, np.ndarray]:
    """The network's numbers as the published bundle names and shapes them: the reverse of models/musicnn/convert.py, written apart from it."""
    state, out = net.state_dict(), {}
    for own, theirs in convert.variable_names().items():
        x = state[own].numpy()
        if own.startswith("front") and x.ndim == 4:
            x = np.transpose(x, (2, 3, 1, 0))
        elif x.ndim == 3:
            x = np.transpose(x, (2, 1, 0))[:, :, None]
        elif x.ndim == 2:
            x = x.T
        out[theirs] = x
    return out


def members_of(net: MusiCNN) -> dict[str, bytes]:
    """The members of a wheel that holds this network twice."""
    index, data = bundle(variables(net))
    info = "musicnn-0.1.0.dist-info"
    out = {
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: musicnn\nVersion: 0.1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
        "musicnn/__init__.py": b"raise SystemExit('imported')\n",
    }
    for member in convert.MEMBERS.values():
        out |= {f"{member.folder}.index": index, f"{member.folder}.data-00000-of-00001": data}
    return out


def write_wheel(path: Path, members: Mapping[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", kind) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def publish(monkeypatch: pytest.MonkeyPatch, path: Path, members: Mapping[str, bytes] | None = None) -> None:
    """Have the wheel at `path` be the published one: its hashes are what cards and code ask for. members: whose hashes are the members'."""
    sha, size = hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size
    monkeypatch.setattr(convert, "SHA256", sha)
    monkeypatch.setattr(convert, "SIZE", size)
    for name, member in convert.MEMBERS.items():
        monkeypatch.setitem(cards._CARDS, name, replace(cards.get_card(name), sha256=sha, size=size))
        if members is not None:
            data, index = (
                hashlib.sha256(members[f"{member.folder}{end}"]).hexdigest() for end in (".data-00000-of-00001", ".index")
            )
            monkeypatch.setitem(convert.MEMBERS, name, replace(member, data=data, index=index))


def random_network(seed: int = 0) -> MusiCNN:
    """The published size, with statistics of its own."""
    torch.manual_seed(seed)
    net = MusiCNN(labels=cards.load_labels("magnatagatune_50"))
    state = net.state_dict()
    for name, x in state.items():
        if name.endswith(("running_mean", "running_var")):
            state[name] = torch.rand(x.shape) + 0.5
    net.load_state_dict(state)
    return net.eval()
