"""A small network and data module with the batches of datasets/datamodule.py: label c is a band that is louder than the rest."""

from __future__ import annotations

# ruff: noqa: E402
from models._torchvision import ensure_torchvision

ensure_torchvision()  # before Lightning is imported

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from helpers.training import fit as training
from helpers.training.settings import HardwareSettings, TrainingSettings
from models.maest.augment import Masking
from models.maest.objective import SupervisedObjective

BANDS, FRAMES, LABELS = 12, 40, 6
RUN = dict(accelerator="cpu", precision="32", show_progress=False)
PLAIN = dict(mixup_alpha=0.0, masking=Masking(do=False))


def fit(objective, data, **named):
    """helpers.training.fit.fit, with the settings by their names."""
    settings = {name: named.pop(name) for name in list(named) if name in TrainingSettings.__dataclass_fields__}
    return training.fit(objective, data, TrainingSettings(**settings), **named)


def evaluate(objective, data, **named):
    """helpers.training.fit.evaluate, with the hardware by names."""
    hardware = {name: named.pop(name) for name in list(named) if name in HardwareSettings.__dataclass_fields__}
    return training.evaluate(objective, data, HardwareSettings(**hardware), **named)


class ToyNet(nn.Module):
    """net(x [B, 1, F, T], generator=...) -> (logits [B, L], features), the call of MAEST; in training it drops a random column."""

    def __init__(self, distilled_type: str = "mean", dropout: float = 0.0):
        super().__init__()
        self.distilled_type = distilled_type
        self.body = nn.Sequential(nn.Linear(BANDS, 16), nn.GELU(), nn.Dropout(dropout))
        self.head = nn.Linear(16, LABELS)
        self.head_dist = nn.Linear(16, LABELS)

    def forward(self, x, generator=None):
        x = x[:, 0]
        if self.training:
            column = int(torch.randint(x.shape[-1], (), generator=generator))
            x = torch.cat([x[..., :column], x[..., column + 1 :]], -1)
        features = self.body(x.mean(-1))
        if self.distilled_type == "separated":
            return self.head(features), self.head_dist(features), features
        return self.head(features), features


def objective(seed=0, **settings):
    torch.manual_seed(seed)
    return SupervisedObjective(ToyNet(), **settings)


def without_time(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def items(n: int, seed: int = 0, windows: int = 1) -> dict[str, np.ndarray]:
    g = np.random.default_rng(seed)
    y = g.random((n, LABELS)) < 0.3
    y[np.arange(LABELS), np.arange(LABELS)] = True
    index = np.repeat(np.arange(n), windows)
    x = g.normal(2.0, 0.5, (n * windows, BANDS, FRAMES))
    x[:, :LABELS] += 1.5 * y[index][:, :, None]
    return {
        "x": x.astype(np.float16),
        "y": y[index].astype(np.float32),
        "index": index,
        "window": np.tile(np.arange(windows), n),
        "n_windows": np.full(n * windows, windows),
        "valid": np.full(n * windows, FRAMES),
        "draw": np.arange(n * windows),
    }


def batch_of(data: dict[str, np.ndarray], rows) -> dict:
    out = {k: torch.from_numpy(np.asarray(v[rows])) for k, v in data.items()}
    out["key"] = [f"track{i}" for i in out["index"].tolist()]
    return out


class _Rows(torch.utils.data.Dataset):
    def __init__(self, data):
        self.data = data

    def __len__(self):
        return len(self.data["index"])

    def __getitem__(self, row):
        row, draw = row if isinstance(row, tuple) else (row, row)
        return {**{k: v[row] for k, v in self.data.items()}, "draw": draw, "key": f"track{self.data['index'][row]}"}


class EpochOrder(torch.utils.data.Sampler):
    """Rows shuffled by (seed, epoch), told the epoch by Lightning; under several processes each takes its block of every global batch."""

    def __init__(self, n, seed, batch, rank=0, world=1):
        self.n, self.seed, self.batch, self.rank, self.world, self.epoch = n, seed, batch, rank, world, 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return self.n // self.world

    def __iter__(self):
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.n)
        mine = np.arange(self.n).reshape(-1, self.world, self.batch)[:, self.rank].ravel()
        return iter([(int(order[draw]), int(draw)) for draw in mine])


class Resumable(DataLoader):
    """A loader that says how far it has come, and goes on there once, as datasets/loaders.py does it."""

    given, begin = 0, (-1, 0)

    def __iter__(self):
        first = self.begin[1] if self.begin[0] == self.sampler.epoch else 0
        self.given, self.begin = first, (-1, 0)
        for batch in list(super().__iter__())[first:]:
            self.given += 1
            yield batch

    def state_dict(self):
        return {"epoch": self.sampler.epoch, "batches": self.given}

    def load_state_dict(self, state):
        self.begin = state["epoch"], state["batches"]


class ToyData(pl.LightningDataModule):
    def __init__(self, n: int = 96, batch_size: int = 16, val_windows: int = 2, seed: int = 0, spoil: int | None = None):
        super().__init__()
        self.train_items, self.val_items = items(n, seed), items(48, seed + 1, val_windows)
        self.batch_size, self.seed = batch_size, seed
        if spoil is not None:
            self.train_items["x"][spoil] = np.nan

    def train_dataloader(self):
        world, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        sampler = EpochOrder(len(self.train_items["index"]), self.seed, self.batch_size, rank, world)
        return Resumable(_Rows(self.train_items), self.batch_size, sampler=sampler, generator=torch.Generator())

    def val_dataloader(self):
        data = self.val_items
        if self.trainer and self.trainer.world_size == 2:  # parts of unequal length that share some windows
            part = [slice(0, 41), slice(37, None)][self.trainer.global_rank]
            data = {k: v[part] for k, v in data.items()}
        return DataLoader(_Rows(data), self.batch_size, generator=torch.Generator())

    test_dataloader = val_dataloader
