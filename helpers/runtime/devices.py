"""Where and how precisely to compute: what "auto" means on this machine, and named refusals before work starts."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, Protocol

import torch

from models.arithmetic import computing, has_onednn
from models.errors import ConfigError, nearest

from .choice import arithmetic_of, choose, onednn_wins
from .machine import figures, unsettled
from .probe import CONVOLUTION, FILTERS, attention_kinds, layer_kind
from .processes import job

log = logging.getLogger(__name__)

AUTO = "auto"
PRECISIONS = (AUTO, "32-true", "32-onednn", "bf16-mixed", "16-mixed")
STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false")


def resolve_accelerator(accelerator: str = "auto", devices: int | str | list[int] = 1) -> str:
    """Lightning's name, "cpu" or "gpu", for `accelerator` = auto, cpu, gpu or cuda. Raises ConfigError when the GPUs asked for are not there."""
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if accelerator == "auto":
        return "gpu" if found else "cpu"
    if accelerator == "cpu":
        return "cpu"
    if accelerator not in ("gpu", "cuda"):
        raise ConfigError(f"Accelerator '{accelerator}' is not known; choose auto, cpu or gpu.")
    if isinstance(devices, list):
        wanted = max(devices, default=0) + 1
    else:
        wanted = max(int(devices), 1) if str(devices).lstrip("-").isdigit() else 1
    if found < wanted:
        raise ConfigError(
            f"The run asks for {wanted} GPU(s) and torch {torch.__version__} sees {found} here: set trainer.accelerator=cpu, or install the CUDA "
            "build of torch and check `nvidia-smi`."
        )
    return "gpu"


def resolve_precision(
    precision: str | int = AUTO, accelerator: str = "cpu", work: str | None = None, training: bool = False
) -> str:
    """Return a precision by its name here: "32-true", "32-onednn" (float32 whose products go through oneDNN), "bf16-mixed" or "16-mixed".

    Args:
        precision: such a name, or a short one (32, bf16, 16). "auto": what is fastest on this machine, as measured (choice.py); one line in the log
            says what and why. "16-mixed" on a CPU, which has no float16 products, becomes bf16-mixed; "32-onednn" on a GPU 32-true.
        accelerator: "cpu" or "gpu".
        work: what the time goes into (`work_of`); None: a transformer's layers of width 768.
        training: forward and backward passes, else forward passes alone.

    Raises ConfigError for unknown names.
    """
    name = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true"}.get(str(precision), str(precision))
    if name not in PRECISIONS:
        raise ConfigError(
            f"Precision '{precision}' is not known; choose one of {', '.join(PRECISIONS)}.{nearest(name, PRECISIONS)}"
        )
    if name == AUTO:
        kind, device = work or layer_kind(768), torch.device("cuda" if accelerator == "gpu" else "cpu")
        choice = choose(figures((kind,), device), kind, training, unsettled(device))
        _say(f"Computing in {choice.precision} ({choice.why}).")
        return choice.precision
    if accelerator == "gpu":
        return "32-true" if name == "32-onednn" else name
    if name == "32-onednn" and not has_onednn():
        raise ConfigError(f"Precision 32-onednn needs oneDNN, which torch {torch.__version__} has not here: choose 32.")
    return "bf16-mixed" if name == "16-mixed" else name


def faster_through_onednn(training: bool) -> bool:
    """Return whether this processor was measured to compute float32's products faster through oneDNN; measures it where that is not known."""
    kind = layer_kind(768)
    return has_onednn() and onednn_wins(figures((kind,), torch.device("cpu")), kind, training)


def work_of(network: object) -> str:
    """Return what a network's time goes into, as the machine's figures are called: convolutions, filters, or layers of its width.

    Raises ConfigError for a network that says something else.
    """
    network = getattr(network, "encoder", network)
    work = str(getattr(network, "work", "layer"))
    if work not in ("layer", CONVOLUTION, FILTERS):
        raise ConfigError(f"{type(network).__name__}.work is '{work}'; its time goes into layer, {CONVOLUTION} or {FILTERS}.")
    return layer_kind(int(getattr(network, "embed_dim", 768))) if work == "layer" else work


@functools.cache
def _say(line: str) -> None:
    log.info(line)


def lightning_precision(precision: str) -> str:
    """Return Lightning's name of a resolved precision."""
    return "32-true" if precision == "32-onednn" else precision


def computing_in(device: str, precision: str) -> AbstractContextManager[Any]:
    """Return the ways of computing that go with a resolved precision on a device ("cpu", "cuda"), autocast apart: what a training runs under."""
    if device != "cpu" or precision == "32-true":
        return nullcontext()
    kinds = tuple(attention_kinds(precision).values())
    return computing(arithmetic_of(figures(kinds, torch.device("cpu")), precision))


@contextmanager
def autocast(device: str, precision: str | int = "32", work: str | None = None) -> Iterator[None]:
    """What inference on a device ("cpu", "cuda") runs under; nothing for precision 32. Raises ConfigError as `resolve_precision`."""
    name = resolve_precision(precision, "cpu" if device == "cpu" else "gpu", work)
    with ExitStack() as stack:
        stack.enter_context(computing_in(device, name))
        if name in ("bf16-mixed", "16-mixed"):
            stack.enter_context(torch.autocast(device, torch.bfloat16 if name == "bf16-mixed" else torch.float16))
        yield


def resolve_devices(devices: int | str | list[int], accelerator: str) -> int | list[int]:
    """Processes per node, or the GPUs to take; "auto" and -1 are all GPUs, or one process on a CPU.

    Raises ConfigError for anything else.
    """
    if isinstance(devices, list) and devices:
        return [int(d) for d in devices]
    if str(devices) in ("auto", "-1"):
        return torch.cuda.device_count() if accelerator == "gpu" else 1
    if str(devices).isdigit() and int(str(devices)) > 0:
        return int(str(devices))
    raise ConfigError(f"devices is {devices!r}; give a number of 1 or more, auto, or a list of GPU numbers.")


def resolve_strategy(strategy: str, devices: int | list[int], num_nodes: int) -> str:
    """Lightning's strategy name. One process needs none, whatever is asked for: it must not be started again in a subprocess.

    With several processes "auto" and "ddp" mean DDP with a search for unused parameters, as in the published suite: a "mean" network never uses
    its second head. "ddp_find_unused_parameters_false" does without the search. Raises ConfigError for other strategies, fsdp among them.
    """
    if strategy.startswith(("fsdp", "deepspeed")):
        raise ConfigError(
            f"Strategy '{strategy}' splits the weights over the GPUs, for networks that one GPU cannot hold: weights, gradients and AdamW's state "
            "take 16 bytes per parameter, 1.4 GB for MAEST. Averaged weights and checkpoints need them whole: use trainer.strategy=ddp, and "
            "where memory is short a smaller batch with trainer.accumulate_grad_batches, or precision bf16-mixed."
        )
    if strategy not in STRATEGIES:
        raise ConfigError(
            f"Strategy '{strategy}' is not offered; choose one of {', '.join(STRATEGIES)}.{nearest(strategy, STRATEGIES)}"
        )
    if num_nodes == 1 and count_devices(devices) == 1:
        return "auto"
    return "ddp_find_unused_parameters_true" if strategy in ("auto", "ddp") else strategy


def count_devices(devices: int | list[int]) -> int:
    """Processes on each machine, of what `resolve_devices` gives."""
    return len(devices) if isinstance(devices, list) else devices


class Machines(Protocol):
    """What a config's section `trainer` says of processes and machines."""

    @property
    def accelerator(self) -> str:
        """Name of the device: auto, cpu, gpu."""

    @property
    def devices(self) -> int | str | list[int]:
        """Processes on each machine, "auto", or GPU numbers."""

    @property
    def num_nodes(self) -> int:
        """Machines."""


class Hardware(Machines, Protocol):
    """What it says besides of how they compute."""

    @property
    def precision(self) -> str | int:
        """Name of the precision, or "auto"."""

    @property
    def strategy(self) -> str:
        """How several processes train together."""


def count_processes(trainer: Machines) -> int:
    """Return the number of processes on all machines."""
    accelerator = resolve_accelerator(trainer.accelerator, trainer.devices)
    return count_devices(resolve_devices(trainer.devices, accelerator)) * int(trainer.num_nodes)


def job_of(trainer: Machines) -> AbstractContextManager[None]:
    """Return a block that as many processes run together as `trainer` asks for (processes.job)."""
    accelerator = resolve_accelerator(trainer.accelerator, trainer.devices)
    return job(count_devices(resolve_devices(trainer.devices, accelerator)), trainer.num_nodes, accelerator)
