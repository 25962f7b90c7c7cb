"""Self-supervised families: pre-train on audio without labels, extract. CLMR so far.

python ex_ssl.py                                               a small CLMR on the embedded demo music
python ex_ssl.py with clmr_pretrain datamodule.audio_dir=DIR   any formats, rates and channels
python ex_ssl.py extract_embeddings with clmr_inference datamodule.audio_dir=DIR
python ex_ssl.py predict with clmr_pretrain clmr.checkpoint=CKPT clmr.head_checkpoint=HEAD predict.audio=SONG
python ex_ssl.py print_named_configs | print_config | help COMMAND
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import configs
from configs.options import resume_rules
from configs.schema_ssl import ExSsl
from helpers.commands.shared import (
    continued_by,
    demo_without_data,
    export_network,
    extraction_lines,
    placed,
    report_study,
    run_extraction,
    starting_point,
    test_lines,
    tested_checkpoint,
    to_extract,
    what_is_heard,
)
from helpers.experiments.experiment import Experiment, Run
from helpers.experiments.job import enter_job, metric_logger, run_folder
from helpers.runtime.processes import is_first_process
from helpers.training.same_training import ResumeRules

ROOT = Path(__file__).parent
RULES = ResumeRules(**resume_rules(ExSsl))

ex = Experiment(
    "self_supervised",
    ExSsl,
    named=configs.SSL,
    root="trainer.default_root_dir",
    aliases={"inference": "predict"},
    implied=demo_without_data("ex_ssl.py", "clmr_demo"),
    continues=continued_by(RULES, "main", "report"),
    sources=[p for folder in ("configs", "models", "datasets", "helpers") for p in sorted((ROOT / folder).rglob("*.py"))],
    base_dir=str(ROOT),
)


# ---- config -> objects
def tracks(config: Mapping[str, Any], splits: Sequence[str], out_dir: Path) -> Any:
    """The store and the groundtruths (or bare splits) that the config names."""
    from helpers.data.find import find_tracks
    from helpers.families import family

    c, kind = config["datamodule"], family(config["family"])
    kind.check(config)
    if "train" in splits:
        kind.check_enough(config)
    names = ("audio_dir", "base_dir", "base_dir_val", "groundtruth", "label_column", "group_column", "demo_tracks", "split_seed")
    return find_tracks(
        **{n: c[n] for n in names},
        labels={split: c[f"groundtruth_{split}"] for split in ("train", "val", "test", "predict")},
        splits=splits,
        out_dir=out_dir,
        waveform=kind.rate(config),
        unlabelled=None if kind.labelled(config) else c["val_share"],
    )


def job(run: Run, config: Mapping[str, Any], seed: int, splits: Sequence[str]) -> tuple[Any, Path, int, Path | None]:
    """The tracks of a command that several processes may run together, its folder, its seed, and the checkpoint that its training goes on from:
    the same in all of them.
    """
    start = starting_point(config, ex.continued, RULES) if "train" in splits and is_first_process() else None
    return enter_job(run, SimpleNamespace(**config["trainer"]), seed, lambda folder: tracks(config, splits, folder), start)


def network(config: Mapping[str, Any], labels: Sequence[str] | None, seed: int, **changes: Any) -> Any:
    """The config's network, with changes of its family's section."""
    from helpers.families import family

    return family(config["family"]).network(config, labels, seed, **changes)


def data_module(config: Mapping[str, Any], found: Any, net: Any, seed: int) -> Any:
    """The found tracks as batches."""
    from datasets.loading.batching import Batching
    from datasets.loading.datamodule import TrackDataModule
    from helpers.families import family

    c = config["datamodule"]
    batching = Batching(
        **{name: c[name] for name in ("batch_size_train", "batch_size_test", "num_workers", "half_overlap", "tail", "epoch_len")},
        sampler_replace=c["replace"],
        **family(config["family"]).batches(config, net),
    )
    return TrackDataModule(found.store, found.truths, batching, store_val=found.store_val, seed=seed)


def train(run: Run, config: Mapping[str, Any], seed: int, found: Any, folder: Path, start: Path | None) -> Any:
    """Train the config's network on the found tracks; all that is left of it stands in `folder`."""
    from helpers.data.silence import warn_of_silence
    from helpers.families import family, settings
    from helpers.families.maest import build_identity
    from helpers.training.fit import fit
    from helpers.training.settings import TrainingSettings

    t, o = config["trainer"], config["optimizer"]
    labels = found.truths["train"].labels or None
    net = network(config, labels, seed)
    data = data_module(config, found, net, seed)
    more = {"trainer.max_epochs": t["max_epochs"]} if o["schedule"] == "cosine" else {}  # it ends with the last epoch
    kind, n_val = family(config["family"]), int(data.summary().get("tracks of val", 0))
    kind.say_validation(config, n_val)
    if is_first_process():
        for split, what in (("train", "training"), ("val", "validation")):
            if split in found.truths:
                warn_of_silence(data.split(split).reader.store, data.split(split).tracks, what)
    result = fit(
        kind.objective(config, net),
        data,
        TrainingSettings.of(
            SimpleNamespace(**t), out_dir=folder, seed=seed, resume_from=start, early_stopping=o["early_stopping"]
        ),
        optimization=settings.optimization(o, t, config["datamodule"]["batch_size_train"]),
        averaging=settings.averaging(config["averaging"]),
        identity=build_identity(config, data, RULES, **more),
        log_metric=metric_logger(run),
    )
    kind.warn_of_chance(config, n_val, result.metrics)
    return result


# ---- commands
@ex.main
def main(_run: Run, _config: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Pre-train: the default command. Leaves checkpoints/best.ckpt, last.ckpt and history.json in the run's folder."""
    found, folder, seed, start = job(_run, _config, seed, ("train", "val"))
    result = train(_run, _config, seed, found, folder, start)
    _say(f"Best epoch's weights: {result.best or result.last}", f"Last epoch's weights: {result.last}")
    return result.metrics


@ex.command
def test(_run: Run, _config: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Score a supervised network on the test tracks, per window and per track, by ckpt_path or its checkpoint. Writes test.json."""
    from helpers.families import family
    from helpers.training.fit import evaluate
    from models.errors import ConfigError

    kind = family(_config["family"])
    if not kind.labelled(_config):
        raise ConfigError(
            "test scores a network that was trained on labels (samplecnn_supervised); embeddings are scored by ex_tl.py."
        )
    checkpoint = tested_checkpoint(_config, RULES)
    config = kind.sized_by_checkpoint(_config, checkpoint)
    found, folder, seed, _ = job(_run, config, seed, ("test",))
    labels = found.truths["test"].labels
    kind.check_classes(checkpoint, labels)
    net = network(config, labels, seed)
    result = evaluate(
        kind.objective(config, net),
        data_module(config, found, net, seed),
        SimpleNamespace(**_config["trainer"]),
        checkpoint=checkpoint,
        out_dir=folder,
        log_metric=metric_logger(_run),
    )
    _say(*test_lines(result.metrics, len(labels)))
    return result.metrics


def extraction(config: Mapping[str, Any], run: Run, seed: int, of: Callable[[Any], object]) -> dict[str, Any]:
    """What extract_embeddings and extract_logits share: network, store, tracks and windows. of: raises for a network that lacks what is asked for."""
    section, c, p = config[config["family"]], config["datamodule"], config["predict"]
    net, _, precision = placed(network(config, None, seed), weights_name(config), config["trainer"])
    of(net)  # before hours of preparation
    asked = ("predict",) if c["groundtruth_predict"] else ()
    return dict(
        network=net,
        **to_extract(tracks(config, asked, run_folder(run, config["trainer"]["default_root_dir"]))),
        model=section["arch"],
        half_overlap=c["half_overlap"],
        tail=c["tail"],
        batch_size=c["batch_size_test"],
        precision=precision,
        dtype=p["dtype"],
        format=p["format"],
    )


def weights_name(config: Mapping[str, Any]) -> str | None:
    """Where the config's weights come from; None: they are random."""
    section = config[config["family"]]
    return section["checkpoint"] or (section["arch"] if section["pretrained"] else None)


def layers(config: Mapping[str, Any], net: Any) -> list[int]:
    """The layers to extract, 0-based. Raises ConfigError for one that the network has not."""
    from models.errors import ConfigError

    chosen = config["predict"]["transformer_block"]
    try:
        return list(net.resolve_layers([chosen] if isinstance(chosen, int) else chosen))
    except ValueError as error:
        raise ConfigError(f"predict.transformer_block={chosen}: {error}") from error


def classes(config: Mapping[str, Any], net: Any) -> list[str]:
    """The network's classes. Raises ConfigError for one without a head, naming the keys that give it one."""
    from models.errors import ConfigError

    if net.out_dim is None:
        key = f"{config['family']}.head_checkpoint"
        raise ConfigError(
            f"The network of {weights_name(config) or 'this config'} has no head, and so no classes: name one by {key}=HEAD "
            "(the head.safetensors of a probe of its embeddings, or a published head), or a checkpoint that was trained on labels."
        )
    return list(net.label_names)


def extracted(kind: str, config: Mapping[str, Any], seed: int, job: dict[str, Any], out: Path, **more: Any) -> dict[str, str]:
    """Extract, in this process or in shards by several, and say what is where."""
    sections = {name: config[name] for name in ("family", config["family"])}
    done = run_extraction(kind, job, out, config["predict"], sections, config["trainer"]["accelerator"], seed, **more)
    _say(*extraction_lines(done))
    return {str(k): str(v) for k, v in done.paths.items()}


@ex.command
def extract_embeddings(_run: Run, _config: Mapping[str, Any], seed: int) -> dict[str, str]:
    """Vectors of predict.transformer_block for every window of every track, [windows, C] each, into <out_dir>/<layer>/. Resumes."""
    job, p = extraction(_config, _run, seed, lambda net: layers(_config, net)), _config["predict"]
    more = {"blocks": layers(_config, job["network"]), "pool": p["pool"]}
    return extracted("embeddings", _config, seed, job, Path(p["out_dir"]), **more)


@ex.command
def extract_logits(_run: Run, _config: Mapping[str, Any], seed: int) -> dict[str, str]:
    """Logits of every window of every track, of a network with a head, into <out_dir>/logits/. Resumes."""
    job = extraction(_config, _run, seed, lambda net: classes(_config, net))
    return extracted("logits", _config, seed, job, Path(_config["predict"]["out_dir"]) / "logits")


@ex.command
def predict(_config: Mapping[str, Any], seed: int) -> list[str]:
    """What is this music? Classes heard in predict.audio, a file or folder: on the screen, and as pages in <out_dir>/predictions/<name>/.

    The network's head is its checkpoint's own (samplecnn_supervised), or clmr.head_checkpoint: a probe's head.safetensors.
    """

    def make() -> tuple[Any, str, str]:
        net = network(_config, None, seed)
        classes(_config, net)
        return placed(net, weights_name(_config), _config["trainer"])

    found, lines = what_is_heard(make, _config["predict"], _config["datamodule"]["batch_size_test"])
    _say(*lines)
    return [str(path) for path in found.written]


@ex.command
def export(_config: Mapping[str, Any], seed: int) -> str:
    """Write the config's network to export.out: export.format=safetensors, or onnx (waveform -> tags; it needs a head: clmr.head_checkpoint)."""

    def make() -> Any:
        net = network(_config, None, seed)
        if _config["export"]["format"] == "onnx":
            classes(_config, net)
        return placed(net, weights_name(_config), _config["trainer"])[0]

    path, lines = export_network(make, _config["export"])
    _say(*lines)
    return str(path)


@ex.command
def hear_augmentations(_run: Run, _config: Mapping[str, Any], seed: int) -> list[str]:
    """Write wav files before and after each augmentation, and views as training draws them, with a page of players and spectrograms."""
    from helpers.data.find import demo_data
    from helpers.reports.augmentation_page import hear_augmentations
    from models.audio import find_audio
    from models.clmr.augment import Augmentation

    h, folder = _config["hear"], run_folder(_run, _config["trainer"]["default_root_dir"])
    audio = h["audio"]
    if audio is None:
        music = demo_data(_config["datamodule"]["demo_tracks"])[1].parent / "audio"
        audio = music / find_audio(music)[0]
    chain = {k: v for k, v in _config["augment"].items() if k != "do"}
    net = network(_config, None, seed, pretrained=False, checkpoint=None, head_checkpoint=None)
    written = hear_augmentations(
        audio,
        h["out"] or folder / "augmentations",
        Augmentation(**chain),
        sample_rate=net.sample_rate,
        crop=net.window_length,
        examples=h["examples"],
        seed=seed,
        config=" ".join(ex.named) or "the recipe",
    )
    _say(*map(str, written))
    return [str(path) for path in written]


@ex.command
def report(_run: Run, _config: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Pre-train without labels, extract, probe with them (beside the untrained encoder and mel statistics); one page of it: report.html."""
    from helpers.evaluation.study import forget_older_embeddings, split_study
    from helpers.probe.inputs import Inputs, probe_settings

    found, folder, seed, start = job(_run, _config, seed, ("train", "val", "test"))
    r = _config["report"]
    result = train(_run, _config, seed, found, folder, start)
    if not is_first_process():
        return {}  # it was there for the training
    forget_older_embeddings(folder, result.last)
    weights = str(result.best or result.last)
    trained, untrained = (network(_config, None, seed, pretrained=False, checkpoint=path) for path in (weights, None))
    layer, data = layers(_config, trained)[0], {**r["data"], "task": "multi-label"}
    windows = {part: data[f"{part}_windows"] for part in ("train", "val", "test")}
    study = split_study(
        trained,
        untrained,
        found,
        folder,
        seeds=r["seeds"],
        settings=probe_settings(r["trainer"], r["optimizer"], r["model"], r["batch_size"], r["standardise"], data),
        inputs=Inputs("t", "mean", trained.summary_shapes([layer])[layer][0], **windows),
        z_scored=r["z_scored"],
        block=layer,
        batch_size=_config["datamodule"]["batch_size_test"],
        mels=mel_store(_config),
    )
    notes = ["Pre-training saw the training tracks without their labels; the probe's head was trained on the frozen vectors."]
    if r["z_scored"]:
        notes.append(
            "Inputs z-scored: by the training tracks' mean and deviation. An untrained network's vectors hardly vary, and gain most by it."
        )
    path, scores = report_study(study, folder, r, seed, {**trained.settings, "layer probed": layer}, notes=notes)
    _say(f"Report: {path}")
    for name, score in scores.items():
        _run.log_scalar(f"test_roc.{name}", score, 0)
    return scores


def mel_store(config: Mapping[str, Any]) -> Path | None:
    """Mels of the same tracks, made where their audio is known."""
    from helpers.data.find import demo_data, prepared

    c = config["datamodule"]
    if c["audio_dir"] is None and c["base_dir"] is not None:
        return None
    return prepared(c["audio_dir"], None) if c["audio_dir"] is not None else demo_data(c["demo_tracks"])[0]


def _say(*lines: str) -> None:
    for line in lines if is_first_process() else ():
        print(line)


if __name__ == "__main__":
    ex.run_commandline(sys.argv)
