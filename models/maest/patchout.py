"""Patchout: which patches of the spectrogram's grid are computed (PaSST, arXiv 2110.05069; MAEST, arXiv 2309.16418 section 3).

Conventions: the grid is f rows (frequency) x t columns (time); "drop" counts rows, columns or patches that are left out. Random drops act in
training only, one draw per batch; index and interleaved drops act in inference too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError

PATCH = 16  # frames and bands of a patch


@dataclass(frozen=True)
class Patchout:
    """A patchout setting.

    Args:
        s_patchout_t, s_patchout_f: random columns / rows dropped in training.
        u_patchout: random patches dropped in training from what the structured drops left.
        s_patchout_t_indices, s_patchout_f_indices: columns / rows dropped always (positions in the undropped grid).
        s_patchout_t_interleaved, s_patchout_f_interleaved: k > 1 keeps columns / rows 0, k, 2k, ... always, of those that the indices left.

    Raises:
        ValueError: negative or repeated numbers, or a random and a fixed drop on one axis (a random drop would change what the indices mean).
    """

    s_patchout_t: int = 0
    s_patchout_f: int = 0
    u_patchout: int = 0
    s_patchout_t_indices: tuple[int, ...] = ()
    s_patchout_f_indices: tuple[int, ...] = ()
    s_patchout_t_interleaved: int = 0
    s_patchout_f_interleaved: int = 0

    def __post_init__(self) -> None:
        for name in ("s_patchout_t", "s_patchout_f", "u_patchout", "s_patchout_t_interleaved", "s_patchout_f_interleaved"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ConfigError(f"{name} is {value!r}; it counts patches: give a whole number of 0 or more.")
        for axis in "tf":
            name = f"s_patchout_{axis}_indices"
            indices = tuple(int(i) for i in getattr(self, name))
            if any(i < 0 for i in indices) or len(set(indices)) < len(indices):
                raise ConfigError(f"{name} is {list(indices)}; give different positions of 0 or more.")
            object.__setattr__(self, name, indices)
            fixed = [n for n in (name, f"s_patchout_{axis}_interleaved") if getattr(self, n)]
            if getattr(self, f"s_patchout_{axis}") and fixed:
                raise ConfigError(
                    f"s_patchout_{axis}={getattr(self, f's_patchout_{axis}')} (random) and {' and '.join(fixed)} (fixed) drop patches of the same "
                    "axis: the indices would mean other patches in every batch. Set one of them to 0 or ()."
                )

    def _fixed(self, axis: str, n: int) -> Tensor:
        """Positions of an axis of length n that the index and interleaved drops keep, ascending."""
        dropped = set(getattr(self, f"s_patchout_{axis}_indices"))
        if dropped and max(dropped) >= n:
            raise ConfigError(
                f"s_patchout_{axis}_indices holds {max(dropped)}, but the grid has {n} patches on that axis (0..{n - 1})."
            )
        kept = [i for i in range(n) if i not in dropped]
        step = getattr(self, f"s_patchout_{axis}_interleaved")
        return torch.tensor(kept[::step] if step > 1 else kept, dtype=torch.long)

    def check(self, f: int, t: int) -> None:
        """Refuse a setting that leaves no patch of an f x t grid, in training or in inference. Raises ValueError with the numbers."""
        rows, columns = len(self._fixed("f", f)) - self.s_patchout_f, len(self._fixed("t", t)) - self.s_patchout_t
        for axis, left, of, drop in (("frequency", rows, f, self.s_patchout_f), ("time", columns, t, self.s_patchout_t)):
            if left < 1:
                raise ConfigError(
                    f"Patchout leaves no patch: the grid has {of} patches along {axis}, and dropping {drop or 'the listed'} of them leaves "
                    f"{max(left, 0)}. Drop fewer, or use a longer input."
                )
        if self.u_patchout >= rows * columns:
            raise ConfigError(
                f"Patchout leaves no patch: u_patchout={self.u_patchout} of the {rows} x {columns} = {rows * columns} patches that the other "
                "drops leave. Drop fewer."
            )

    def keep(self, f: int, t: int, training: bool, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Rows and columns of the kept patches of an f x t grid, [N] and [N] int64 on the CPU, frequency-major (row slow, column fast).

        Args:
            training: apply the random drops.
            generator: CPU generator of the random drops; torch's global one when None.

        Raises ValueError when nothing is left.
        """
        rows, columns = self._fixed("f", f), self._fixed("t", t)
        if training:
            columns = _drop(columns, self.s_patchout_t, generator)
            rows = _drop(rows, self.s_patchout_f, generator)
        if not len(rows) or not len(columns):
            self.check(f, t)  # this input's grid is smaller than the one checked at construction
            raise ConfigError(f"Patchout leaves no patch of a {f} x {t} grid.")
        grid = torch.cartesian_prod(rows, columns).reshape(-1, 2)
        if training and self.u_patchout:
            grid = grid[_drop(torch.arange(len(grid)), self.u_patchout, generator)]
            if not len(grid):
                raise ConfigError(
                    f"Patchout leaves no patch: u_patchout={self.u_patchout} of {len(rows) * len(columns)} patches."
                )
        return grid[:, 0], grid[:, 1]


def _drop(positions: Tensor, n: int, generator: torch.Generator | None) -> Tensor:
    """`positions` less n random ones, order kept."""
    if not n:
        return positions
    kept = torch.randperm(len(positions), generator=generator)[: max(len(positions) - n, 0)]
    return positions[kept.sort().values]


def tag(settings: Mapping[str, Any]) -> str:
    """Name of the patchouts of a mapping that act in inference, for folders: "" for none, "t_interleaved_2", "f_indices_0-3-7_t_..."."""
    parts = []
    for axis in "ft":
        if indices := settings.get(f"s_patchout_{axis}_indices"):
            parts.append(f"{axis}_indices_{'-'.join(map(str, indices))}")
        if (step := settings.get(f"s_patchout_{axis}_interleaved", 0)) > 1:
            parts.append(f"{axis}_interleaved_{step}")
    return "_".join(parts)
