"""Where and how precisely to compute: what "auto" means on this machine, and named refusals before work starts."""

from __future__ import annotations

import platform
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch

from models.errors import ConfigError, nearest

from .processes import job

PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")
STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false")
_FAST_BF16 = ("amx_bf16", "avx512_bf16")  # instructions that make bfloat16 matrix products faster than float32 ones


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


def resolve_precision(precision: str | int = "auto", accelerator: str = "cpu") -> str:
    """Lightning's name of the precision. "auto": bfloat16 autocast where the device multiplies it fast, else float32 (GPU: float16 autocast).

    "16-mixed" on a CPU, which has no float16 products, becomes bf16-mixed. Raises ConfigError for unknown names.
    """
    name = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true"}.get(str(precision), str(precision))
    if name not in PRECISIONS:
        raise ConfigError(
            f"Precision '{precision}' is not known; choose one of {', '.join(PRECISIONS)}.{nearest(name, PRECISIONS)}"
        )
    if name == "auto":
        if accelerator == "gpu":
            return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
        return "bf16-mixed" if cpu_has_fast_bf16() else "32-true"
    return "bf16-mixed" if name == "16-mixed" and accelerator == "cpu" else name


def autocast(device: str, precision: str | int = "32") -> AbstractContextManager[Any]:
    """Return what inference on a device ("cpu", "cuda") runs under; nothing for precision 32. Raises ConfigError as `resolve_precision`."""
    name = resolve_precision(precision, "cpu" if device == "cpu" else "gpu")
    if name == "32-true":
        return nullcontext()
    return torch.autocast(device, torch.bfloat16 if name == "bf16-mixed" else torch.float16)


def cpu_has_fast_bf16() -> bool:
    """Return whether this CPU has bfloat16 matrix instructions (Linux tells; elsewhere: no)."""
    cpuinfo = Path("/proc/cpuinfo")
    if platform.machine() not in ("x86_64", "AMD64") or not cpuinfo.is_file():
        return False
    flags = next((line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")), "").split()
    return any(flag in flags for flag in _FAST_BF16)


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
