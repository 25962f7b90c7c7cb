"""A network whose windows go through ONNX Runtime on the CPU, in float32 or with products in 8 bits; all else is the network's own.

Graphs are written once and kept in the user's cache (MAEST_CACHE, else ~/.cache/maest), under the hash of the weights, the windows' shape and what
is computed; a file has the hash of its content in its name, so that one that is cut short or was changed is not taken. A family may write its graphs
itself (formats.py); of others torch's exporter writes them.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .bounded_files import read_bytes
from .cache import cache_folder
from .encoder import AudioEncoder
from .errors import ConfigError
from .onnx_file import ACTIVATIONS, LOGITS, OPSET
from .registry import FAMILIES, family_package
from .weights.head_origin import weights_sha256
from .weights.task_head import head_of

log = logging.getLogger(__name__)
INPUT = "windows"
ONNX, INT8 = "onnx", "onnx-int8"
GRAPH_VERSION = 3  # raised where a change here, or in a family's writer, changes the graphs
KEPT = 8  # graphs in the cache: a full-size network's takes a third of a gigabyte
MOST = 2_000_000_000  # bytes of one ONNX file


def check_runtime(network: AudioEncoder, backend: str) -> None:
    """Raise ConfigError, before work, where ONNX Runtime cannot compute this network's windows here."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"predict.backend={backend} needs onnx and onnxruntime ({error}): pip install 'maest[onnx]', or take predict.backend=torch."
        ) from error
    if network.device.type != "cpu":
        raise ConfigError(
            f"predict.backend={backend} computes on the CPU: set trainer.accelerator=cpu, or take predict.backend=torch."
        )
    if network.training:
        raise ConfigError(f"predict.backend={backend} computes as a network in eval mode does, and this one is in training mode.")
    if (size := sum(p.numel() * 4 for p in network.parameters())) > MOST:
        raise ConfigError(
            f"predict.backend={backend}: an ONNX file holds 2 GB, and this network has {size / 1e9:.1f}: take predict.backend=torch."
        )


def check_length(network: AudioEncoder | OnnxWindows, length: int) -> None:
    """Raise ConfigError, before work, where whole windows are of another length (units) than the graph of a network that ONNX Runtime computes."""
    if isinstance(network, OnnxWindows) and length != network.window_length:
        raise ConfigError(
            f"predict.backend={network.backend} takes windows of {network.window_length}, and these are {length}: take predict.backend=torch."
        )


def on_onnx(
    network: AudioEncoder, backend: str, compared: bool = True, sha256: str | None = None, kept: bool = True
) -> OnnxWindows:
    """Return the network with its windows computed by ONNX Runtime.

    backend: ONNX or INT8. compared: have 8 bits compared with float32 on the first window, and the log say how they differ. sha256: of its weights,
    where that is known (a third of a second for a full-size network). kept: its graphs are kept for later commands. Raises ConfigError as
    `check_runtime`.
    """
    check_runtime(network, backend)
    return OnnxWindows(network, backend == INT8, compared, sha256, kept)


class OnnxWindows:
    """Stands for a network: its probabilities, logits and summaries of windows are ONNX Runtime's, and all else that is asked of it is its own.

    In 8 bits windows go one by one: the scale of a product's input is that of its extremes, and a window's numbers must not hang on its neighbours.
    A graph has one length: summaries of what is shorter, of a family of `own_lengths`, are torch's, in float32.
    """

    def __init__(self, network: AudioEncoder, int8: bool, compared: bool = True, sha256: str | None = None, kept: bool = True):
        self._network, self._int8, self._compared, self._kept = network, int8, compared and int8, kept
        self._sha256 = sha256 or weights_sha256(network)
        self._sessions: dict[tuple[int, ...] | None, Any] = {}
        self._told = False  # of windows that torch computes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    @property
    def backend(self) -> str:
        """ONNX or INT8."""
        return INT8 if self._int8 else ONNX

    def window_probabilities(self, windows: Tensor) -> Tensor:
        """As AudioEncoder.window_probabilities."""
        return self._run(None, [ACTIVATIONS], windows, lambda one: [self._network.window_probabilities(one)])[0]

    def window_logits(self, windows: Tensor) -> Tensor:
        """As AudioEncoder.window_logits."""
        return self._run(None, [LOGITS], windows, lambda one: [self._network.window_logits(one)])[0]

    def summaries(self, windows: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """As AudioEncoder.summaries."""
        if self._network.own_lengths and windows.shape[-1] != self._network.window_length:
            if not self._told:
                self._told = True
                log.info("predict.backend=%s: what is shorter than a window is computed by torch, in float32.", self.backend)
            with torch.autocast(windows.device.type, enabled=False):
                return self._network.summaries(windows, layers)
        names = [str(layer) for layer in layers]
        return self._run(tuple(sorted(set(layers))), names, windows, lambda one: self._network.summaries(one, layers))

    def prepare(self, layers: tuple[int, ...] | None = None) -> Any:
        """Write and load the graph of classes, or of layers' summaries, where that is not done. Returns its session."""
        if layers not in self._sessions:
            self._sessions[layers] = _session(self._network, self._sha256, layers, self._int8, self._kept)
        return self._sessions[layers]

    def moments(self, windows: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Raise ConfigError: vectors in time are torch's."""
        raise ConfigError(f"Vectors in time are not computed by predict.backend={self.backend}: take predict.backend=torch.")

    def _run(
        self, layers: tuple[int, ...] | None, names: list[str], windows: Tensor, exact: Callable[[Tensor], list[Tensor]]
    ) -> list[Tensor]:
        session, x = self.prepare(layers), windows.detach().float().contiguous().numpy()
        if list(x.shape[1:]) != session.get_inputs()[0].shape[1:]:
            raise ConfigError(
                f"predict.backend={self.backend} takes windows of {session.get_inputs()[0].shape[1:]}, and these are {list(x.shape[1:])}: "
                "take predict.backend=torch for windows of another length."
            )
        parts = [x[i : i + 1] for i in range(len(x))] if self._int8 else [x]
        parts = [session.run(names, {INPUT: part}) for part in parts]
        found = [torch.from_numpy(np.concatenate(values)) for values in zip(*parts)]
        if self._compared and len(windows):
            self._compared = False
            with torch.inference_mode(), torch.autocast(windows.device.type, enabled=False):
                log.warning("%s", difference_of([one[:1] for one in found], exact(windows[:1])))
        return found


def difference_of(rough: Sequence[Tensor], exact: Sequence[Tensor]) -> str:
    """Say how far numbers in 8 bits are from float32's."""
    apart = [(one - other).abs().max().item() for one, other in zip(rough, exact)]
    share = [(one - other).norm().item() / max(other.norm().item(), 1e-12) for one, other in zip(rough, exact)]
    return (
        f"predict.backend={INT8} computes in 8 bits: on the first window its numbers differ from float32's by at most {max(apart):.4f}, "
        f"{100 * max(share):.2f} % of their length."
    )


def _session(network: AudioEncoder, sha256: str, layers: tuple[int, ...] | None, int8: bool, kept: bool) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    # waiting threads sleep: they would take the time of what decodes meanwhile
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = cached_graph(network, sha256, layers, int8) if kept else write_graph(network, layers, int8)
    try:
        given = source if isinstance(source, bytes) else str(source)
        return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has a class for each kind of damage
        if isinstance(source, bytes):
            raise
        log.warning("%s cannot be read (%s): the graph is written anew.", source, type(error).__name__)
        source.unlink(missing_ok=True)
        content = cached_graph(network, sha256, layers, int8)
        given = content if isinstance(content, bytes) else str(content)
        return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])


# ---- the cache
def graph_key(network: AudioEncoder, sha256: str, layers: tuple[int, ...] | None, int8: bool) -> str:
    """What a graph is of: weights by their hash, settings (the shape of windows among them), outputs, and what wrote it."""
    writers = [importlib.metadata.version(name).partition("+")[0] for name in ("torch", "onnx", "onnxruntime")]
    about = [sha256, network.saved_settings, network.window_length, layers, int8, GRAPH_VERSION, writers]
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()[:32]


def cached_graph(network: AudioEncoder, sha256: str, layers: tuple[int, ...] | None, int8: bool) -> Path | bytes:
    """Return the graph's file, written where it is not there or not whole; its bytes where the cache cannot be written."""
    folder = cache_folder() / "graphs"
    key = graph_key(network, sha256, layers, int8)
    for path in folder.glob(f"{key}-*.onnx"):
        if path.is_file() and path.stem.rpartition("-")[2] == _digest(read_bytes(path, ConfigError, MOST)):
            os.utime(path)
            return path
    log.info("Writing the network for ONNX Runtime%s, once.", ", products in 8 bits" if int8 else "")
    content = write_graph(network, layers, int8)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as file:
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, folder / f"{key}-{_digest(content)}.onnx")
            except BaseException:
                os.unlink(file.name)
                raise
        for old in sorted(folder.glob("*.onnx"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
            old.unlink(missing_ok=True)
    except OSError as error:
        log.warning("The graph is not kept: %s.", error)
        return content
    return folder / f"{key}-{_digest(content)}.onnx"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


# ---- graphs
class _WindowGraph(nn.Module):
    """A network as torch's exporter takes it: windows [B, ...] -> logits and probabilities, or a summary of each of `layers`."""

    def __init__(self, network: AudioEncoder, layers: tuple[int, ...] | None):
        super().__init__()
        self.network, self.layers = network, layers

    def forward(self, windows: Tensor) -> tuple[Tensor, ...]:
        if self.layers is not None:
            return tuple(self.network.summaries(windows, self.layers))
        logits = self.network.window_logits(windows)
        return logits, self.network.probabilities(logits)


def write_graph(network: AudioEncoder, layers: tuple[int, ...] | None, int8: bool) -> bytes:
    """Return the ONNX file of a network's windows. Raises ConfigError for a network that the exporter cannot write."""
    formats = getattr(family_package(network.family), "FORMATS", {}) if network.family in FAMILIES else {}
    own = formats.get(ONNX)
    own_head = layers is not None or head_of(network) is None  # a family's graph of classes ends in the family's own head
    if own is not None and own.windows is not None and own_head:
        written: bytes = own.windows(network, layers, int8).SerializeToString()
        return written
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.onnx"
        _export(network, layers, path)
        return _in_8_bits(path) if int8 else path.read_bytes()


def _export(network: AudioEncoder, layers: tuple[int, ...] | None, path: Path) -> None:
    names = [LOGITS, ACTIVATIONS] if layers is None else [str(layer) for layer in layers]
    example = (
        torch.zeros(2, network.window_length, *network.stored_item).normal_(generator=torch.Generator().manual_seed(0)) * 0.1
    )
    # in float32, whatever the caller's autocast says
    with warnings.catch_warnings(), torch.no_grad(), torch.autocast("cpu", enabled=False):
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                _WindowGraph(network, layers).eval(), (network.from_stored(example),), str(path), dynamo=True, external_data=False,
                opset_version=OPSET, input_names=[INPUT], output_names=names, verbose=False,
                dynamic_shapes={"windows": {0: torch.export.Dim("batch")}},
            )  # fmt: skip
        except ConfigError:
            raise
        except Exception as error:  # the exporter has one class of error, and those of what it traces
            raise ConfigError(
                f"torch's exporter cannot write a network of the family {network.family} as a graph ({type(error).__name__}): "
                "take predict.backend=torch."
            ) from error


def _in_8_bits(path: Path) -> bytes:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(path)
    del model.graph.value_info[:]  # the exporter's shapes stop the quantiser's own
    out = path.with_name("int8.onnx")
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)  # advice on pre-processing, for each graph
    try:
        quantize_dynamic(
            model, out, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=["MatMul", "Gemm"],
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )  # fmt: skip
    finally:
        logging.disable(level)
    return out.read_bytes()
