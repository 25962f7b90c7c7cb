"""Self-supervised families: pre-train on audio without labels, extract. CLMR so far.

python ex_ssl.py                                               a small CLMR on the embedded demo music
python ex_ssl.py with clmr_pretrain datamodule.audio_dir=DIR   any formats, rates and channels
python ex_ssl.py extract_embeddings with clmr_inference datamodule.audio_dir=DIR
python ex_ssl.py print_named_configs | print_config | help COMMAND
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import configs
from configs.schema import defaults, docs
from configs.schema_ssl import ExSsl
from helpers.commands import continued_by, demo_without_data, starting_point
from helpers.sacred_glue import Experiment, Run, enter_job, is_first_process, metric_logger

log = logging.getLogger(__name__)
ROOT = Path(__file__).parent

ex = Experiment(
    "self_supervised",
    ExSsl,
    defaults=defaults(ExSsl),
    docs=docs(ExSsl),
    named={name: (n.values, n.doc) for name, n in configs.SSL.items()},
    root="trainer.default_root_dir",
    aliases={"inference": "predict"},
    implied=demo_without_data("ex_ssl.py", "clmr_demo"),
    continues=continued_by("main"),
    sources=[p for folder in ("configs", "models", "datasets", "helpers") for p in sorted((ROOT / folder).rglob("*.py"))],
    base_dir=str(ROOT),
)


# ---- config -> objects
def tracks(config: Mapping[str, Any], splits: Sequence[str], out_dir: Path) -> Any:
    """The store and the groundtruths (or bare splits) that the config names."""
    from helpers.data import find_tracks
    from helpers.devices import resolve_accelerator
    from helpers.families import family

    c, t, kind = config["datamodule"], config["trainer"], family(config["family"])
    resolve_accelerator(t["accelerator"], t["devices"])
    names = ("audio_dir", "base_dir", "base_dir_val", "groundtruth", "label_column", "group_column", "demo_tracks", "split_seed")
    return find_tracks(
        **{n: c[n] for n in names},
        labels={split: c[f"groundtruth_{split}"] for split in ("train", "val", "test", "predict")},
        splits=splits,
        out_dir=out_dir,
        waveform=kind.rate(config),
        unlabelled=None if kind.labelled(config) else c["val_share"],
    )


def network(config: Mapping[str, Any], labels: Sequence[str] | None, seed: int, **changes: Any) -> Any:
    """The config's network, with changes of its family's section."""
    from helpers.families import family

    return family(config["family"]).network(config, labels, seed, **changes)


def data_module(config: Mapping[str, Any], found: Any, net: Any, seed: int) -> Any:
    """The found tracks as batches."""
    from datasets.datamodule import TrackDataModule
    from helpers.families import family

    c = config["datamodule"]
    return TrackDataModule(
        found.store,
        **{f"groundtruth_{split}": truth for split, truth in found.truths.items()},
        store_val=found.store_val,
        **{name: c[name] for name in ("batch_size_train", "batch_size_test", "num_workers", "half_overlap", "tail", "epoch_len")},
        sampler_replace=c["replace"],
        seed=seed,
        **family(config["family"]).batches(config, net),
    )


def train(run: Run, config: Mapping[str, Any], seed: int, found: Any, folder: Path, start: Path | None) -> Any:
    """Train the config's network on the found tracks; all that is left of it stands in `folder`."""
    from helpers.build import build_experiment
    from helpers.families import family, settings
    from helpers.resume import experiment_of
    from helpers.training import fit

    t, o = config["trainer"], config["optimizer"]
    labels = found.truths["train"].labels or None
    net = network(config, labels, seed)
    data = data_module(config, found, net, seed)
    return fit(
        family(config["family"]).objective(config, net),
        data,
        out_dir=folder,
        optimization=settings.optimization(o, t, config["datamodule"]["batch_size_train"]),
        averaging=settings.averaging(config["averaging"]),
        early_stopping=o["early_stopping"],
        seed=seed,
        resume_from=start,
        experiment=build_experiment(experiment_of(config), data, t),
        log_metric=metric_logger(run),
        **{k: v for k, v in t.items() if k != "default_root_dir"},
    )


# ---- commands
@ex.main
def main(_run: Run, _config: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Pre-train: the default command. Leaves checkpoints/best.ckpt, last.ckpt and history.json in the run's folder."""
    start = starting_point(_config, ex.continued) if is_first_process() else None
    job = enter_job(_run, _config["trainer"], seed, lambda where: tracks(_config, ("train", "val"), where), start)
    found, folder, seed, start = job
    result = train(_run, _config, seed, found, folder, start)
    _say(f"Best epoch's weights: {result.best or result.last}", f"Last epoch's weights: {result.last}")
    return result.metrics


def _say(*lines: str) -> None:
    for line in lines if is_first_process() else ():
        print(line)


if __name__ == "__main__":
    ex.run_commandline(sys.argv)
