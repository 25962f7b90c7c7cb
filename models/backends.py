"""Which backend computes a network's windows: named, or chosen by measuring torch beside ONNX Runtime on the first window, once per network."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .bounded_files import read_json
from .cache import cache_folder
from .encoder import AudioEncoder
from .errors import ConfigError, nearest
from .onnx_windows import INT8, ONNX, OnnxWindows, check_runtime, graph_key, on_onnx
from .processor import instructions, processor
from .weights.head_origin import weights_sha256

log = logging.getLogger(__name__)
AUTO, TORCH = "auto", "torch"
BACKENDS = (AUTO, TORCH, ONNX, INT8)
TOLERANCE = (
    0.02  # of a probability: what 8 bits may differ from float32 on the first window, to be chosen. Asked for, not measured
)
MOST_BYTES = 1 << 20  # of a choice that is kept
SMALL = 1e8  # parameters times windows: less is through before a trial's graphs were written, and its first batch is not parted for one window
UNTRIED_SECONDS = (
    10.0  # of torch that jobs must take where nothing says what a trial costs here: the first trial of a family tells
)
CLOSE = 1.5  # times the fastest backend's seconds: those that took less are timed once more, each by its least


@dataclass(frozen=True)
class Measured:
    """A choice and what it rests on: seconds of one window by each backend, and how far 8 bits were from float32 (largest difference)."""

    backend: str
    seconds: dict[str, float]
    difference: float

    def __str__(self) -> str:
        times = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in self.seconds.items())
        return (
            f"predict.backend=auto: {self.backend}. A window of the recording that was tried took {times}; the probabilities of {INT8} differed from "
            f"float32's by at most {self.difference:.4f} (up to {TOLERANCE} is taken)."
        )


def choose(seconds: Mapping[str, float], difference: float, tolerance: float = TOLERANCE) -> str:
    """The fastest backend by the seconds of each; INT8 only where its difference from float32 is within the tolerance."""
    allowed = [name for name in seconds if name != INT8 or difference <= tolerance]
    return min(allowed, key=lambda name: seconds[name])


def check_backend(backend: str) -> None:
    """Raise ConfigError for an unknown backend."""
    if backend not in BACKENDS:
        raise ConfigError(f"There is no backend '{backend}'; choose {', '.join(BACKENDS)}.{nearest(backend, BACKENDS)}")


def with_backend(network: AudioEncoder, backend: str, sha256: str | None = None) -> AudioEncoder | OnnxWindows:
    """Return the network as a named backend computes it. AUTO is torch here: what is stored must come out the same when a job is taken up again.

    sha256: of its weights, where that is known. Raises ConfigError for an unknown backend, and one that cannot compute this network here.
    """
    check_backend(backend)
    if backend in (AUTO, TORCH):
        return network
    log.info(
        "ONNX Runtime computes the windows, %s (predict.backend=%s).",
        "products in 8 bits" if backend == INT8 else "in float32",
        backend,
    )
    return on_onnx(network, backend, sha256=sha256)


def precision_on(backend: str | None, asked: str) -> str:
    """Return the precision to ask for where a backend computes: ONNX Runtime's are in float32, all others (and None) in what is asked for."""
    return "32" if backend in (ONNX, INT8) else asked


class Chooser:
    """Computes the probabilities of windows in batches by the backend that is fastest, which it finds with the first.

    Args:
        network: in eval mode, on its device.
        windows: how many there will be, about.
        said: is told the choice, in a sentence.
        sha256: of its weights, where that is known.
    """

    def __init__(self, network: AudioEncoder, windows: int, said: Callable[[str], None] = log.info, sha256: str | None = None):
        self.network, self.left, self._said = network, windows, said
        self._sha256 = sha256 or weights_sha256(network)
        self._chosen: Any = None
        self.backend = TORCH

    def __call__(self, windows: Tensor) -> Tensor:
        """Windows [W, ...] -> probabilities [W, L]."""
        if self._chosen is None:
            self._chosen = self._remembered()
        if self._chosen is None and sum(p.numel() for p in self.network.parameters()) * self.left < SMALL:
            self._chosen = self.network
        if self._chosen is not None:
            found: Tensor = self._chosen.window_probabilities(windows)
            return found
        start = time.perf_counter()
        first = self.network.window_probabilities(windows[:1])
        self._chosen = self._choose(windows[:1], time.perf_counter() - start)
        return torch.cat([first, self._chosen.window_probabilities(windows[1:])]) if len(windows) > 1 else first

    def _take(self, measured: Measured) -> Any:
        self.backend = measured.backend
        self._said(str(measured))
        return self.network if self.backend == TORCH else on_onnx(self.network, self.backend, False, self._sha256)

    def _file(self) -> Path:
        return _folder() / f"{graph_key(self.network, self._sha256, None, False)}-{_here()}.json"

    def _remembered(self) -> Any:
        try:
            kept = read_json(self._file(), MOST_BYTES)
            measured = Measured(
                str(kept["backend"]), {str(k): float(v) for k, v in kept["seconds"].items()}, float(kept["difference"])
            )
            if measured.backend != TORCH:
                check_runtime(self.network, measured.backend)
        except (ConfigError, OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
            return None
        return self._take(measured) if measured.backend in (TORCH, ONNX, INT8) else None

    def _choose(self, one: Tensor, seconds: float) -> Any:
        """Try the others on a window that torch took `seconds` for, as soon as torch would have taken these weights' jobs, earlier ones among them,
        longer than a trial takes: waiting then has cost no more than the trial does. Jobs that are SMALL do not count.
        """
        parameters = sum(p.numel() for p in self.network.parameters())
        known = _seconds_of(_costs_file()).get(self.network.family)
        cost = UNTRIED_SECONDS if known is None else known * parameters + 2 * seconds
        by_torch, key = _seconds_of(_torch_file()), self._file().stem
        earlier = by_torch.pop(key, 0.0)
        if earlier + seconds * (self.left - 1) < cost:
            _keep_json(_torch_file(), {**by_torch, key: earlier + seconds * self.left})
            log.info(
                "predict.backend=auto: torch. Others are tried once its jobs with these weights add up to %.1f s; before this one they had %.1f.",
                cost, earlier,
            )  # fmt: skip
            return self.network
        begun = time.perf_counter()
        try:
            check_runtime(self.network, ONNX)
            float32, int8 = (on_onnx(self.network, backend, False, self._sha256) for backend in (ONNX, INT8))
            float32.prepare()
            int8.prepare()
        except ConfigError as error:
            log.info("predict.backend=auto: torch. %s", error)
            return self.network
        costs = _seconds_of(_costs_file())
        _keep_json(_costs_file(), {**costs, self.network.family: (time.perf_counter() - begun) / parameters})
        _keep_json(_torch_file(), by_torch)
        times = {TORCH: seconds}
        times[ONNX], exact = _timed(float32, one)
        times[INT8], rough = _timed(int8, one)
        difference = float(np.abs(exact - rough).max())
        _time_again({TORCH: self.network, ONNX: float32, INT8: int8}, one, times, difference)
        measured = Measured(choose(times, difference), times, difference)
        _keep_json(self._file(), asdict(measured))
        return self._take(measured)


def _time_again(ways: Mapping[str, Any], one: Tensor, times: dict[str, float], difference: float) -> None:
    """Time those that are close to the fastest once more: the first call of each is its slowest, and one burst must not decide for good."""
    allowed = [name for name in times if name != INT8 or difference <= TOLERANCE]
    close = [name for name in allowed if times[name] < CLOSE * min(times[other] for other in allowed)]
    for name in close if len(close) > 1 else ():
        times[name] = min(times[name], _timed(ways[name], one)[0])


def _folder() -> Path:
    return cache_folder() / "backends"


def _here() -> str:
    """Return a mark of the machine that a time holds for: folders of users are shared by machines that are not alike."""
    about = [processor(), instructions(), os.cpu_count(), torch.get_num_threads()]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]


def _costs_file() -> Path:
    """Seconds per parameter that writing and loading graphs took here, by family, at its last trial."""
    return _folder() / f"trials-{_here()}.json"


def _torch_file() -> Path:
    """Seconds that torch took here for jobs of networks that were not tried, by their choices' names."""
    return _folder() / f"untried-{_here()}.json"


def _seconds_of(path: Path) -> dict[str, float]:
    try:
        found = {str(name): float(seconds) for name, seconds in read_json(path, MOST_BYTES).items()}
    except (ConfigError, OSError, ValueError, TypeError, AttributeError, OverflowError):
        return {}
    return {name: seconds for name, seconds in found.items() if 0 <= seconds < math.inf}


def _keep_json(path: Path, content: Any) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(content), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        log.info("What was measured of backends is not kept: %s.", error)


def _timed(network: Any, windows: Tensor) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    found = network.window_probabilities(windows)
    return time.perf_counter() - start, found.detach().float().cpu().numpy()
