"""Fine-tuning of an encoder on a target, seed by seed, judged as probes are: epoch chosen by validation, test tracks scored once, same table."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datasets.groundtruth.groundtruth import Groundtruth, match
from datasets.loading.batching import Batching
from datasets.loading.datamodule import TrackDataModule
from datasets.store.track_store import TrackStore
from datasets.utils.progress import JobProgress
from models.encoder import AudioEncoder
from models.errors import ConfigError, GroundtruthError
from models.export import export_model
from models.finetune import FineTuneObjective, fine_tuned, stored_logits
from models.weights.checkpoints import read_checkpoint

from ..data.heard import heard_of, read_heard
from ..metrics.aggregation import aggregate, check_aggregation
from ..metrics.metric import Predictions
from ..metrics.scores import SystemScores
from ..metrics.tasks import LOSS_CURVE, TaskSettings
from ..probe.inputs import refuse_shared, split_name
from ..probe.run import Targets, check_truths
from ..runtime.devices import autocast, resolve_accelerator, resolve_precision, work_of
from ..schedules import exp_warmup_linear_down
from ..training.fit import fit
from ..training.lightning_module import LitObjective
from ..training.optimization import Optimization
from ..training.settings import TrainingSettings

log = logging.getLogger(__name__)
NETWORK = "network.safetensors"  # of each seed: the encoder and its head, of the best epoch


@dataclass(frozen=True)
class FineTuneSettings:
    """layer: block that the head sees. blocks: how many up to it learn (none: the whole encoder; 0: the head alone). layer_decay: factor of the
    learning rate per block of depth. lr, head_lr: of the deepest block, of the head; AdamW with weight_decay, exponential warm-up over
    warmup_epochs, then linear down to 1 %. batch_size, batch_size_test: windows. One random window per track and epoch.
    """

    layer: int = -1
    blocks: int | None = None
    layer_decay: float = 0.75
    lr: float = 5e-5
    head_lr: float = 1e-3
    weight_decay: float = 0.01
    max_epochs: int = 20
    warmup_epochs: int = 2
    batch_size: int = 8
    batch_size_test: int = 20
    accelerator: str = "auto"
    precision: str | int = "auto"


@dataclass(frozen=True)
class FineTuneProtocol(TaskSettings):
    """How fine-tuned networks are judged.

    Attributes:
        task: what is asked. head: arguments of ProbeHead.
        loss, monitor: as of ProbeSettings; "auto": the task's first loss, and the first curve that training logs.
        aggregate: how the windows of a track become one prediction.
        seeds: a network is fine-tuned with each. skip_missing: leave tracks that the store lacks out. data: the data set's name.

    Raises ConfigError for what fine-tuning cannot do.
    """

    task: str = "multi-label"
    head: Mapping[str, Any] = field(default_factory=dict)
    loss: str = "auto"
    monitor: str = "auto"
    aggregate: str = "mean_prob"
    seeds: Sequence[int] = (0, 1, 2)
    skip_missing: bool = False
    data: str = ""

    def __post_init__(self) -> None:
        if self.spec.numeric or self.aggregate == "best":
            raise ConfigError(
                "Fine-tuning is for labels, with a named aggregation: data.task=regression and data.aggregate=best are the probe's."
            )
        check_aggregation(self.aggregate, self.loss_name)
        if self.curve not in self.curves:
            raise ConfigError(
                f"Fine-tuning for {self.task} picks its epoch by {' or '.join(self.curves)}; optimizer.monitor is {self.curve}."
            )
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise ConfigError(f"Fine-tuning needs one or more different seeds of 0 or more, not {list(self.seeds)}.")

    @property
    def curve(self) -> str:
        """The validation curve that picks the epoch."""
        return self.curves[0] if self.monitor == "auto" else self.spec.monitor(self.monitor)

    @property
    def curves(self) -> tuple[str, ...]:
        """The curves that training logs."""
        return (*self.spec.fit_curves, LOSS_CURVE)


def finetune(
    encoder: Callable[[int], AudioEncoder],
    store: str | Path,
    truths: Mapping[str, Groundtruth],
    settings: FineTuneSettings | None = None,
    protocol: FineTuneProtocol | None = None,
    *,
    out_dir: Path,
    about: Mapping[str, Any] | None = None,
    log_metric: Callable[[str, float, int], None] | None = None,
) -> SystemScores:
    """Fine-tune once per seed, and score the test tracks with each one's best epoch by validation.

    Args:
        encoder: the network of a seed, with its weights, not yet fine-tuned.
        store: what its windows are cut from.
        truths: train, val, test.
        settings: of the training.
        protocol: how it is judged.
        out_dir: out_dir/seed-<seed>/ has NETWORK, which is all that anybody needs, checkpoints, and curves.
        about: more that the scores say of themselves; "model": of the weights that it begins with.
        log_metric: called with the first seed's curves.

    Raises GroundtruthError or StoreError before training for what cannot be done.
    """
    settings, how = settings or FineTuneSettings(), protocol or FineTuneProtocol()
    spec = how.spec
    truths = _there(truths, store, how.skip_missing)
    parts = [Targets(split_name(how.data, part), truths[part].keys, truths[part].matrix()) for part in ("train", "val", "test")]
    check_truths(parts, truths["train"].labels, how.curve, how.task)
    test, predictions = truths["test"], []
    windows: dict[str, list[float]] = {}
    chosen: dict[str, list[float]] = {how.curve: [], "best_epoch": []}
    parameters = 0
    for seed in how.seeds:
        torch.manual_seed(seed)
        net = fine_tuned(encoder(seed), test.labels, settings.layer, how.loss_name, how.task, **how.head)  # type: ignore[arg-type]
        rates = {key: getattr(settings, key) for key in ("blocks", "layer_decay", "lr", "head_lr")}
        objective = FineTuneObjective(net, **rates)
        parameters = sum(p.numel() for p in objective.parameters() if p.requires_grad)
        module, folder = _data_module(net, store, truths, settings, seed), out_dir / f"seed-{seed}"
        _note_heard(module, folder, (about or {}).get("model"))
        best, value = _train(objective, module, settings, how, folder, seed, log_metric)
        export_model(net, folder / NETWORK)
        chosen[how.curve].append(value)
        chosen["best_epoch"].append(best)
        logits, track = predict(net, module, settings)
        predictions.append(aggregate(logits, track, len(test), how.aggregate, how.loss_name, spec.one_class))
        each = aggregate(logits, None, 0, how.aggregate, how.loss_name)
        for metric, score in spec.score(Predictions(test.matrix()[track], each, test.labels)).items():
            windows.setdefault(metric, []).append(score)
    return SystemScores(
        name="fine-tuned",
        split=split_name(how.data, "test"),
        labels=list(test.labels),
        keys=list(test.keys),
        targets=test.matrix(),
        predictions=np.stack(predictions),
        seeds=[int(seed) for seed in how.seeds],
        validation=chosen,
        settings={
            "system": "fine-tuned", **asdict(settings), "aggregate": how.aggregate, "chosen_by": how.curve, "trained_parameters": parameters,
            "train_tracks": len(truths["train"]), **(about or {}),
        },
        task=how.task,
        windows=windows,
        groups=test.group,
    )  # fmt: skip


def networks_left(scores: SystemScores, folder: Path) -> list[str]:
    """Return a line per seed: its network's file, and the epoch that it is of."""
    curve = str(scores.settings["chosen_by"])
    each = zip(scores.seeds, scores.validation["best_epoch"], scores.validation[curve])
    return [
        f"Seed {seed}, epoch {int(epoch) + 1} ({curve} {value:.4f}): {folder / f'seed-{seed}' / NETWORK}"
        for seed, epoch, value in each
    ]


def how_to_hear(network: Path, family: str, scripts: Mapping[str, str]) -> str:
    """Return the line that says how a network is used, ready for a shell; of a family that no script has, in Python.

    scripts: the script of each family.
    """
    if family not in scripts:
        return f"What one hears: models.load_model({str(network)!r}).tag(FILE)"
    words = shlex.join(["python", scripts[family], "predict", "with", f"family={family}", f"{family}.checkpoint={network}"])
    return f"What one hears: {words} predict.audio=FILE"


def _note_heard(module: TrackDataModule, folder: Path, model: str | None) -> None:
    """Keep which tracks are trained on and chosen by beside the network, with those that the weights it begins with had heard."""
    module.setup("fit")
    splits = {part: module.split(part) for part in ("train", "val")}
    folder.mkdir(parents=True, exist_ok=True)
    heard = heard_of({part: (split.reader.store, split.tracks) for part, split in splits.items()}, labelled=True)
    heard.joined(read_heard(model) if model is not None and Path(model).exists() else None).write(folder)


def _train(
    objective: FineTuneObjective,
    module: TrackDataModule,
    settings: FineTuneSettings,
    protocol: FineTuneProtocol,
    out_dir: Path,
    seed: int,
    log_metric: Callable[[str, float, int], None] | None,
) -> tuple[int, float]:
    """Train one network, and leave it with the weights of its best epoch; return that epoch and its value of the monitored curve."""
    mode = "max" if protocol.spec.sign(protocol.curve) > 0 else "min"
    found = fit(
        objective,
        module,
        TrainingSettings(
            out_dir=out_dir,
            max_epochs=settings.max_epochs,
            seed=seed,
            accelerator=settings.accelerator,
            precision=settings.precision,
            monitor=protocol.curve,
            monitor_mode=mode,
        ),
        optimization=_optimization(settings),
        log_metric=log_metric if seed == protocol.seeds[0] else None,
    )
    curve = np.array([row[protocol.curve] for row in found.history])
    best = int(curve.argmax() if mode == "max" else curve.argmin())
    assert found.best is not None
    LitObjective(objective).load_state_dict(read_checkpoint(found.best))
    return best, float(curve[best])


@torch.no_grad()
def predict(net: AudioEncoder, module: TrackDataModule, settings: FineTuneSettings) -> tuple[np.ndarray, np.ndarray]:
    """Logits float32 [W, L] of every window of the test tracks, and each one's track [W], rising."""
    device = resolve_accelerator(settings.accelerator)
    precision = resolve_precision(settings.precision, device, work_of(net))
    place = torch.device("cuda" if device == "gpu" else "cpu")
    net = net.to(place).eval()
    module.setup("test")
    parts, tracks, windows = [], [], []
    batches = module.test_dataloader()
    with JobProgress("Testing", len(batches), "batches") as progress:
        for batch in batches:
            with autocast(place.type, precision):
                parts.append(stored_logits(net, batch["x"].to(place)).float().cpu().numpy())
            tracks.append(batch["index"].numpy())
            windows.append(batch["window"].numpy())
            progress.advance(1)
    track, window = np.concatenate(tracks), np.concatenate(windows)
    order = np.lexsort((window, track))
    return np.concatenate(parts)[order], track[order]


def _there(truths: Mapping[str, Groundtruth], store: str | Path, skip_missing: bool) -> dict[str, Groundtruth]:
    """The groundtruths' tracks that the store has. Raises GroundtruthError for others, unless they may be left out."""
    names, found, known = TrackStore.open(store).names, {}, {}
    for part, truth in truths.items():
        matched = match(truth.keys, names)
        if matched.absent and not skip_missing:
            raise GroundtruthError(f"{part}: {matched.message(str(store))} Prepare them, or set data.skip_missing=True.")
        if matched.absent:
            log.warning("%s: %s They are left out.", part, matched.message(str(store)))
        found[part] = truth.subset(np.flatnonzero(matched.numbers >= 0)) if matched.absent else truth
        known[part] = [names[i] for i in matched.numbers[matched.numbers >= 0]]
    refuse_shared(known)
    return found


def _data_module(
    encoder: AudioEncoder, store: str | Path, truths: Mapping[str, Groundtruth], settings: FineTuneSettings, seed: int
) -> TrackDataModule:
    batching = Batching(
        encoder.window_length,
        encoder.stored,
        draw="uniform",
        batch_size_train=settings.batch_size,
        batch_size_test=settings.batch_size_test,
    )
    return TrackDataModule(store, {part: truths[part] for part in ("train", "val", "test")}, batching, seed=seed)


def _optimization(settings: FineTuneSettings) -> Optimization:
    down = max(settings.max_epochs - settings.warmup_epochs, 1)
    schedule = exp_warmup_linear_down(settings.warmup_epochs, down, settings.warmup_epochs, 0.01)
    return Optimization(name="adamw", lr=settings.lr, weight_decay=settings.weight_decay, schedule=schedule)
