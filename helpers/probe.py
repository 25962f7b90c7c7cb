"""Transfer learning: how well do frozen embeddings hold a set of labels? MAEST's protocol (arXiv 2309.16418, section 4), and CLMR's.

One vector per track (the mean over its windows; CLMR: one window to train on, every window to test), a small head trained with
binary cross-entropy, the epoch chosen by validation,
the test split scored once. Several seeds train together as one batched model; the inputs sit in memory as one array, so no item
is touched by Python.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch

from models.errors import ConfigError, GroundtruthError, nearest
from models.heads import Activation, ProbeHead

from .embeddings import load_embeddings, select_tokens
from .files import atomic
from .metrics import aggregate_tracks, tagging_scores
from .schedules import exp_warmup_linear_down
from .scores import SystemScores
from .stacked_heads import StackedHeads, initial_head

__all__ = ["ProbeResult", "ProbeSettings", "Split", "load_embeddings", "run_probe", "select_tokens"]

Scheduler = Literal["exp_warmup_linear_down", "cyclic", "exponential", "plateau"]
Monitor = Literal["val_roc", "val_ap", "val_loss"]
CYCLE_STEPS = 145  # steps up, and as many down, of the cyclic schedule


@dataclass(frozen=True)
class Split:
    """One part of a data set, in memory.

    name: what scores on it are reported under ("train", "validation", "test").
    keys: the N tracks.
    x: embeddings float32 [N, D]. y: labels, bool or 0/1 [N, L].
    owner: of a test split of many windows, x [W, D]: the track of each, int64 [W]; a track's score is the mean probability of its windows.
    """

    name: str
    keys: list[str]
    x: np.ndarray
    y: np.ndarray
    owner: np.ndarray | None = None


@dataclass(frozen=True)
class ProbeSettings:
    """How a probe is trained. The defaults are MAEST's.

    hidden, num_layers, activation, dropout, input_dropout: the head (models.heads.ProbeHead); num_layers=1 is a linear probe.
    max_epochs, batch_size: epochs; items a step (the last batch of an epoch may be smaller).
    optimizer: "adamw" (decoupled decay) or "adam". max_lr, weight_decay: the learning rate at its highest, and the decay.
    scheduler: "exp_warmup_linear_down": per epoch, exponential warm-up over `warmup_epochs`, then linear down from
        `max_lr_epochs` to the share `base_lr` of max_lr at the end; "cyclic": per step, triangles between base_lr and max_lr that
        halve each cycle (145 steps up); "exponential": per epoch, linear from base_lr to max_lr over `warmup_epochs`, from
        `max_lr_epochs` on times `gamma` every epoch; "plateau": max_lr, times `gamma` when the validation loss has not fallen for
        more than `patience` epochs.
    early_stopping: epochs without a better validation loss after which a head's training ends; none: it goes on to max_epochs.
    monitor: the epoch with the best validation macro ROC-AUC ("val_roc"), macro AP ("val_ap") or loss ("val_loss") is kept.
    standardise: shift and scale the inputs by the training split's mean and sd (constant columns are left unscaled).
    """

    hidden: int = 512
    num_layers: int = 2
    activation: Activation = "relu"
    dropout: float = 0.5
    input_dropout: float = 0.0
    max_epochs: int = 60
    batch_size: int = 128
    max_lr: float = 1e-4
    weight_decay: float = 1e-3
    scheduler: Scheduler = "exp_warmup_linear_down"
    warmup_epochs: int = 10
    max_lr_epochs: int = 10
    base_lr: float = 1e-7
    gamma: float = 0.5
    monitor: Monitor = "val_roc"
    standardise: bool = False
    optimizer: Literal["adamw", "adam"] = "adamw"
    patience: int = 5
    early_stopping: int | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("scheduler", self.scheduler, get_args(Scheduler)),
            ("monitor", self.monitor, get_args(Monitor)),
            ("optimizer", self.optimizer, ("adamw", "adam")),
        ):
            if value not in known:
                raise ConfigError(f"The probe's {name} is '{value}'; choose one of {', '.join(known)}.{nearest(value, known)}")
        for name in ("max_epochs", "batch_size", "warmup_epochs"):
            if getattr(self, name) < 1:
                raise ConfigError(f"The probe's {name} is {getattr(self, name)}; it must be 1 or more.")

    @property
    def apart(self) -> bool:
        """Whether what happens in an epoch depends on the epochs before, so that each head is trained by itself."""
        return self.scheduler == "plateau" or self.early_stopping is not None

    @property
    def head(self) -> dict:
        """The settings that are the head's own."""
        return {name: getattr(self, name) for name in ("hidden", "num_layers", "activation", "dropout", "input_dropout")}

    def learning_rate(self) -> Callable[[int, int], float]:
        """The learning rate as a function of (epoch, step), both from 0; the step counts over the whole training."""
        if self.scheduler == "exp_warmup_linear_down":
            rampdown = max(self.max_epochs - self.max_lr_epochs, 1)
            factor = exp_warmup_linear_down(self.warmup_epochs, rampdown, self.max_lr_epochs, self.base_lr)
            return lambda epoch, step: self.max_lr * factor(epoch)
        if self.scheduler == "plateau":
            return lambda epoch, step: self.max_lr
        if self.scheduler == "exponential":
            held = max(self.max_lr_epochs, self.warmup_epochs)
            span = self.max_lr - self.base_lr
            return lambda epoch, step: (
                self.base_lr + span * min(epoch / self.warmup_epochs, 1.0)
                if epoch <= held
                else self.max_lr * self.gamma ** (epoch - held)
            )

        def cyclic(epoch: int, step: int) -> float:
            cycle, within = divmod(step, 2 * CYCLE_STEPS)
            up = 1 - abs(within / CYCLE_STEPS - 1)
            return self.base_lr + (self.max_lr - self.base_lr) * up * 0.5**cycle

        return cyclic


@dataclass(frozen=True)
class ProbeResult:
    """A trained probe: the scores of all seeds, and each seed's head at its best epoch."""

    scores: SystemScores
    heads: list[ProbeHead]
    best: int  # index of the seed with the best validation score
    shift: np.ndarray | None = None  # [D], when the inputs were standardised
    scale: np.ndarray | None = None

    def save(self, folder: Path | str) -> Path:
        """Write scores.json, scores.npz and head.safetensors (the best seed's head by validation, and the standardisation) into
        `folder`.
        """
        from safetensors.torch import save_file

        state = {name: tensor.contiguous() for name, tensor in self.heads[self.best].state_dict().items()}
        if self.shift is not None and self.scale is not None:
            state |= {"input_shift": torch.from_numpy(self.shift), "input_scale": torch.from_numpy(self.scale)}
        with atomic(Path(folder) / "head.safetensors") as part:
            save_file(
                state, str(part), metadata={"seed": str(self.scores.seeds[self.best]), "labels": "\n".join(self.scores.labels)}
            )
        return self.scores.save(folder)


def run_probe(
    name: str,
    train: Split,
    validation: Split,
    test: Split,
    labels: Sequence[str],
    seeds: Sequence[int] = (0, 1, 2),
    settings: ProbeSettings | None = None,
    device: str = "cpu",
    log: Callable[[str, float, int], None] | None = None,
    about: dict | None = None,
) -> ProbeResult:
    """Train one head per seed, choose each one's epoch by validation, and score the test split once.

    name: what the system is called in tables.
    train, validation, test: the three splits, with the same D inputs and L labels.
    labels: names of the L labels.
    seeds: one head each.
    log: called after every epoch as log("val_roc", value, epoch) with the mean over seeds (of heads that are trained apart: the first),
        for train_loss, val_loss, val_roc and val_ap.
    about: plain values that are saved with the result (embeddings, block, token types).

    Raises GroundtruthError or ConfigError before training for splits that do not fit each other or hold values that are not
    finite, for a training or test split without items, and for a validation split on which the monitor is not defined.
    """
    settings = settings or ProbeSettings()
    check_splits(train, validation, test, labels, settings.monitor)
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise ConfigError(f"A probe needs one or more different seeds of 0 or more, not {list(seeds)}.")
    shift, scale = standardisation(train.x) if settings.standardise else (None, None)

    def inputs(split: Split) -> torch.Tensor:
        x = split.x if shift is None else (split.x - shift) / scale
        return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)).to(device)

    together = [[seed] for seed in seeds] if settings.apart else [list(seeds)]
    data = (inputs(train), train.y, inputs(validation), validation.y.astype(bool))
    parts, trained, logits = [], [], []
    for some in together:
        starts = [initial_head(seed, train.x.shape[1], len(labels), **settings.head) for seed in some]
        heads = StackedHeads(starts, some, device)
        *found, snapshot = _train(heads, *data, settings, log if some is together[0] else None)
        heads.restore(snapshot)
        parts.append(found)
        trained += [heads.head(h, **settings.head) for h in range(len(heads))]
        logits.append(heads.logits(inputs(test)).cpu().numpy())
    history = {name: np.concatenate([curves[name] for curves, _ in parts]) for name in parts[0][0]}
    best_epoch = np.concatenate([epochs for _, epochs in parts])
    predictions = np.stack([_of_tracks(one, test.owner) for one in np.concatenate(logits)])
    chosen = [float(history[settings.monitor][h, epoch]) for h, epoch in enumerate(best_epoch)]
    best = int(np.argmin(chosen) if settings.monitor == "val_loss" else np.argmax(chosen))
    scores = SystemScores(
        name=name,
        split=test.name,
        labels=list(labels),
        keys=list(test.keys),
        targets=test.y.astype(bool),
        predictions=predictions,
        seeds=[int(seed) for seed in seeds],
        validation={settings.monitor: chosen, "best_epoch": [int(epoch) for epoch in best_epoch]},
        history=history,
        settings={
            "system": "probe",
            **asdict(settings),
            "in_dim": train.x.shape[1],
            "chosen_by": settings.monitor,
            **(about or {}),
        },
    )
    return ProbeResult(scores, trained, best, shift, scale)


def _of_tracks(logits: np.ndarray, owner: np.ndarray | None) -> np.ndarray:
    """Probabilities of tracks [N, L] from logits of tracks, or of windows [W, L] with the track of each."""
    return aggregate_tracks(logits, np.arange(len(logits)) if owner is None else owner, "mean_prob").astype(np.float32)


def _train(
    heads: StackedHeads,
    x: torch.Tensor,
    y: np.ndarray,
    val_x: torch.Tensor,
    val_y: np.ndarray,
    settings: ProbeSettings,
    log: Callable[[str, float, int], None] | None,
) -> tuple[dict[str, np.ndarray], np.ndarray, list[torch.Tensor]]:
    """Returns the curves name -> [H, epochs] (nan behind an early end), each head's best epoch [H] and the parameters at it. Sees no test data."""
    n, size, device = len(x), settings.batch_size, x.device
    target, val_target = (torch.from_numpy(np.ascontiguousarray(t, dtype=np.float32)).to(device) for t in (y, val_y))
    maker = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    optimizer = maker(heads.parameters(), lr=settings.max_lr, weight_decay=settings.weight_decay, fused=True)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=settings.gamma, patience=settings.patience)
    rate, lowest, since = settings.learning_rate(), np.inf, 0
    names = ("train_loss", "val_loss", "val_roc", "val_ap")
    history = {name: np.full((len(heads), settings.max_epochs), np.nan) for name in names}
    best_value, best_epoch = np.full(len(heads), -np.inf), np.zeros(len(heads), dtype=np.int64)
    snapshot, step = heads.snapshot(), 0
    for epoch in range(settings.max_epochs):
        heads.train()
        orders, total = heads.orders(n).to(device), torch.zeros(len(heads), device=device)
        for start in range(0, n, size):
            batch = orders[:, start : start + size]
            if settings.scheduler != "plateau":
                optimizer.param_groups[0]["lr"] = rate(epoch, step)
            loss = heads.loss(x[batch], target[batch])
            optimizer.zero_grad(set_to_none=True)
            loss.sum().backward()
            optimizer.step()
            total += loss.detach() * batch.shape[1]
            step += 1
        history["train_loss"][:, epoch] = (total / n).cpu().numpy()
        logits = heads.logits(val_x)
        bce = torch.nn.functional.binary_cross_entropy_with_logits(logits, val_target.expand_as(logits), reduction="none")
        history["val_loss"][:, epoch] = bce.mean(dim=(1, 2)).cpu().numpy()
        for h, probabilities in enumerate(logits.sigmoid().cpu().numpy()):
            scores = tagging_scores(val_y, probabilities, warn=False)
            history["val_roc"][h, epoch], history["val_ap"][h, epoch] = scores["macro_roc"], scores["macro_ap"]
        value = history[settings.monitor][:, epoch] * (-1 if settings.monitor == "val_loss" else 1)
        better = value > best_value
        if better.any():
            heads.keep(snapshot, torch.from_numpy(better).to(device))
            best_value, best_epoch = np.where(better, value, best_value), np.where(better, epoch, best_epoch)
        if log is not None:
            for name in names:
                log(name, float(history[name][:, epoch].mean()), epoch)
        if settings.apart:  # one head
            now = float(history["val_loss"][0, epoch])
            if settings.scheduler == "plateau":
                plateau.step(now)
            lowest, since = (now, 0) if now < lowest else (lowest, since + 1)
            if settings.early_stopping is not None and since >= settings.early_stopping:
                break
    return history, best_epoch, snapshot


def standardisation(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sd of every column, [D] each, float32; the sd of a constant column is taken as 1."""
    shift, scale = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    return shift.astype(np.float32), np.where(scale > 1e-8 * (1 + np.abs(shift)), scale, 1.0).astype(np.float32)


def check_splits(train: Split, validation: Split, test: Split, labels: Sequence[str], monitor: str = "val_roc") -> None:
    """Refuse splits that cannot be trained on or scored, before any work. Raises GroundtruthError."""
    for split in (train, validation, test):
        n = len(split.keys)
        if n == 0:
            raise GroundtruthError(f"The {split.name} split has no tracks.")
        rows = n if split.owner is None else len(split.owner)
        if split.x.shape != (rows, train.x.shape[1]) or split.y.shape != (n, len(labels)):
            raise GroundtruthError(
                f"The {split.name} split has embeddings {split.x.shape} and labels {split.y.shape}; {n} tracks, {len(labels)} labels "
                f"and {train.x.shape[1]} inputs want {(rows, train.x.shape[1])} and {(n, len(labels))}."
            )
        bad = np.flatnonzero(~np.isfinite(split.x).all(axis=1))
        if len(bad):
            bad = bad if split.owner is None else np.unique(split.owner[bad])
            shown = ", ".join(split.keys[i] for i in bad[:5])
            raise GroundtruthError(
                f"{len(bad)} of {n} {split.name} tracks have embeddings that are not finite: {shown}. Extract them again."
            )
    used = {*train.keys, *validation.keys}
    shared = [key for key in test.keys if key in used]
    if shared:
        raise GroundtruthError(f"{len(shared)} test tracks are also used in training or validation: {', '.join(shared[:5])}.")
    y = validation.y.astype(bool)
    usable = y.any(axis=0) & ~y.all(axis=0) if monitor == "val_roc" else y.any(axis=0)
    if monitor != "val_loss" and not usable.any():
        raise GroundtruthError(
            f"No label has what {monitor} needs among the {len(y)} validation tracks; use more, or monitor val_loss."
        )
