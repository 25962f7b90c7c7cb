"""MAEST: pre-train, test, extract.

python ex_maest.py                                             a small MAEST on the embedded demo music
python ex_maest.py with folder datamodule.audio_dir=DIR datamodule.groundtruth=labels.csv
python ex_maest.py extract_embeddings with maest_30s_from_passt_inference datamodule.base_dir=MELS
python ex_maest.py print_named_configs | print_config | help COMMAND
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import configs
from configs.options import defaults, resume_rules
from configs.schema import ExMaest
from helpers.commands.shared import (
    asked_audio,
    check_family,
    continued_by,
    demo_without_data,
    export_network,
    extraction_lines,
    placed,
    report_study,
    run_extraction,
    run_prediction,
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

log = logging.getLogger(__name__)
ROOT = Path(__file__).parent
RULES = ResumeRules(**resume_rules(ExMaest))

ex = Experiment(
    "maest",
    ExMaest,
    named=configs.MAEST,
    root="trainer.default_root_dir",
    aliases={"inference": "predict", "maest.checkpoint_swa_weigts": "maest.checkpoint_swa_weights"},
    implied=demo_without_data("ex_maest.py", "demo"),
    continues=continued_by(RULES, "main", "report"),
    sources=[p for folder in ("configs", "models", "datasets", "helpers") for p in sorted((ROOT / folder).rglob("*.py"))],
    base_dir=str(ROOT),
)


# ---- config -> objects
def tracks(config: Mapping[str, Any], splits: Sequence[str], out_dir: Path, asked: Sequence[int] = ()) -> Any:
    """The mel store and the groundtruths that the config names; `asked`: blocks that the network must have."""
    from helpers.data.find import find_tracks
    from helpers.families.maest import check_before_work, check_teacher

    c, t = config["datamodule"], config["trainer"]
    check_before_work(config["maest"], c, t["accelerator"], t["devices"], asked)
    if "train" in splits:
        check_teacher(c["teacher_student"])
    names = ("audio_dir", "base_dir", "base_dir_val", "groundtruth", "label_column", "group_column", "demo_tracks", "split_seed")
    labels = {split: c[f"groundtruth_{split}"] for split in ("train", "val", "test", "predict")}
    return find_tracks(**{n: c[n] for n in names}, labels=labels, splits=splits, out_dir=out_dir)


def blocks(config: Mapping[str, Any]) -> list[int]:
    """The blocks to extract."""
    chosen = config["predict"]["transformer_block"]
    return [chosen] if isinstance(chosen, int) else list(chosen)


def network(config: Mapping[str, Any], labels: Sequence[str] | None, seed: int, **changes: Any) -> Any:
    """The config's network, with changes of its section."""
    from helpers.families.maest import build_network

    return build_network({**config["maest"], **changes}, config["datamodule"], labels, seed)


def data_module(config: Mapping[str, Any], found: Any, seed: int) -> Any:
    """The found tracks as batches."""
    from helpers.families.maest import build_data_module

    return build_data_module(found, config["datamodule"], config["dataset"], config["maest"]["input_t"], seed)


def objective(config: Mapping[str, Any], net: Any) -> Any:
    """Supervised training, or teacher-student."""
    from helpers.families.maest import build_objective

    return build_objective(net, config["module"], config["datamodule"])


def job(
    run: Run, config: Mapping[str, Any], seed: int, splits: Sequence[str], asked: Sequence[int] = ()
) -> tuple[Any, Path, int, Path | None]:
    """The tracks of a command that several processes may run together, its folder, its seed, and the checkpoint that its training goes on from:
    the same in all of them.
    """
    start = starting_point(config, ex.continued, RULES) if "train" in splits and is_first_process() else None
    return enter_job(run, SimpleNamespace(**config["trainer"]), seed, lambda folder: tracks(config, splits, folder, asked), start)


def train(
    run: Run, config: Mapping[str, Any], seed: int, found: Any, folder: Path, start: Path | None = None, prefix: str = ""
) -> Any:
    """Train the config's network on the found tracks; all that is left of it stands in `folder`. prefix: of its metrics' names."""
    from helpers.families.maest import build_averaging, build_identity, build_optimization
    from helpers.training.fit import fit
    from helpers.training.settings import TrainingSettings

    data = data_module(config, found, seed)
    data.setup("fit")
    return fit(
        objective(config, network(config, data.labels, seed)),
        data,
        TrainingSettings.of(SimpleNamespace(**config["trainer"]), out_dir=folder, seed=seed, resume_from=start),
        optimization=build_optimization(config["module"]["optimizer"]),
        averaging=build_averaging(config["module"]),
        identity=build_identity(config, data, RULES),
        log_metric=metric_logger(run, prefix),
    )


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
    """Score the test tracks, per window and per track, with ckpt_path or the config's weights. Writes test.json into the run's folder."""
    from helpers.training.fit import evaluate

    checkpoint = tested_checkpoint(_config, RULES)
    check_family(checkpoint, {"clmr": "ex_ssl.py"}, "maest")
    found, folder, seed, _ = job(_run, _config, seed, ("test",))
    data = data_module(_config, found, seed)
    data.setup("test")
    result = evaluate(
        objective(_config, network(_config, data.labels, seed)),
        data,
        SimpleNamespace(**_config["trainer"]),
        checkpoint=checkpoint,
        out_dir=folder,
        log_metric=metric_logger(_run),
    )
    _say(*test_lines(result.metrics, len(data.labels)))
    return result.metrics


def as_trained(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config of a command that uses a network as it is: an own checkpoint says its sizes, which then need no words."""
    from helpers.families.maest import sized_by_checkpoint

    return sized_by_checkpoint(config, defaults(ExMaest))


def trained(config: Mapping[str, Any], seed: int) -> tuple[Any, str, str]:
    """The config's network on its device in eval mode, the name of its weights, and the precision to compute in. Random weights are said."""
    m = config["maest"]
    weights = m["checkpoint"] or (m["arch"] if m["pretrained"] else None)
    return placed(network(config, None, seed), weights, config["trainer"])


def extraction(config: Mapping[str, Any], run: Run, seed: int, asked: Sequence[int] = ()) -> dict[str, Any]:
    """What extract_embeddings and extract_logits share: network, store, tracks and windows."""
    found = tracks(config, ("predict",), run_folder(run, config["trainer"]["default_root_dir"]), asked)
    net, _, precision = trained(config, seed)
    return dict(
        network=net,
        **to_extract(found),
        model=config["maest"]["arch"],
        half_overlap=config["dataset"]["half_overlapped_inference"],
        tail=config["datamodule"]["tail"],
        batch_size=config["datamodule"]["batch_size_test"],
        precision=precision,
        dtype=config["predict"]["dtype"],
        format=config["predict"]["format"],
    )


def output_folder(config: Mapping[str, Any]) -> Path:
    """Where extraction writes."""
    from helpers.families.maest import output_folder

    return output_folder(config["predict"]["out_dir"], config["datamodule"]["clip_length"], config["maest"])


def extracted(kind: str, config: Mapping[str, Any], seed: int, job: dict[str, Any], out: Path, **more: Any) -> Any:
    """Extract, in this process or in shards by several."""
    sections = {name: config[name] for name in ("maest", "datamodule")}
    return run_extraction(kind, job, out, config["predict"], sections, config["trainer"]["accelerator"], seed, **more)


@ex.command
def extract_embeddings(_run: Run, _config: Mapping[str, Any], seed: int) -> dict[str, str]:
    """Tokens of predict.transformer_block for every window of every track, into <out_dir>/<clip>sec/<patchout tag>/<block>/. Resumes."""
    config = as_trained(_config)
    job = extraction(config, _run, seed, blocks(config))
    for block in blocks(config) if config["maest"]["pretrained"] else ():
        log.info("Block index %d, counted from 0: the published README calls it layer %d.", block, block + 1)
    more = {"blocks": blocks(config), "pool": config["predict"]["pool"]}
    return _told(extracted("embeddings", config, seed, job, output_folder(config), **more))


@ex.command
def extract_logits(_run: Run, _config: Mapping[str, Any], seed: int) -> dict[str, str]:
    """Logits of every window of every track, into <out_dir>/<clip>sec/<patchout tag>/logits/. Resumes."""
    config = as_trained(_config)
    return _told(extracted("logits", config, seed, extraction(config, _run, seed), output_folder(config) / "logits"))


def _told(done: Any) -> dict[str, str]:
    _say(*extraction_lines(done))
    return {str(k): str(v) for k, v in done.paths.items()}


@ex.command
def predict(_config: Mapping[str, Any], seed: int) -> list[str]:
    """What is this music? The classes heard in predict.audio, a file or folder: on the screen, and as pages in <out_dir>/predictions/<name>/."""
    config = as_trained(_config)
    size = config["datamodule"]["batch_size_test"]
    found, lines = what_is_heard(lambda: trained(config, seed), config["predict"], size)
    _say(*lines)
    return [str(path) for path in found.written]


@ex.command
def similar(_run: Run, _config: Mapping[str, Any], seed: int) -> list[str]:
    """Recordings nearest to predict.audio (a file, or the name of a track): cosine of predict.transformer_block over the config's tracks.

    Tracks that are not extracted yet are, as by extract_embeddings. With predict.html a file's page shows them too.
    """
    from helpers.prediction.similar import Collection, name_among, print_similar, tokens_of
    from models.errors import ConfigError

    config = as_trained(_config)
    p, block = config["predict"], blocks(config)[0]
    query = asked_audio(p)
    if p["format"] != "store" or len(blocks(config)) > 1 or block < 0 or Path(query).is_dir():
        raise ConfigError(
            "similar wants predict.format=store, one predict.transformer_block of 0 or more, and one file (or track) as predict.audio."
        )
    job = extraction(config, _run, seed, [block])
    net, precision = job["network"], job["precision"]
    path = extracted("embeddings", config, seed, job, output_folder(config), blocks=[block]).paths[block]
    there = Collection.open(path, job["names"] or job["source"].names, p["types"], p["reduce"], p["center"])
    is_file = Path(query).is_file()
    vector = (
        there.of_tokens(tokens_of(net, query, block, job["batch_size"], precision, job["tail"], job["half_overlap"]))
        if is_file
        else there.vector(query)
    )
    found = there.nearest(vector, p["top"], leave_out=[name_among(query, config["datamodule"]["audio_dir"])])
    print_similar(query, found, p["center"])
    if is_file and p["html"]:
        weights = config["maest"]["checkpoint"] or config["maest"]["arch"]
        note = "Nearest recordings are by the cosine of the block's tokens" + (
            ", the collection's mean taken off." if p["center"] else "."
        )
        more = {"neighbours": lambda name: found, "notes": [note]}
        size, out = config["datamodule"]["batch_size_test"], Path(p["out_dir"]) / "similar"
        _say(*map(str, run_prediction(net, weights, precision, p, out, size, **more).written))
    return [name for name, _ in found]


@ex.command
def check_data(_config: Mapping[str, Any]) -> dict[str, int]:
    """Is the collection fit to train on? Missing and unreadable files, lengths, labels, copies, leaks between splits; writes the cleaned table.

    Looks at datamodule.audio_dir (or base_dir) and datamodule.groundtruth. Exit code: 0 nothing to mend, 3 there is, 1 it could not look.
    """
    from helpers.data.check import check_collection
    from helpers.data.check_table import print_findings
    from helpers.data.find import audio_and_table

    c = _config["datamodule"]
    audio, table = audio_and_table(*(c[name] for name in ("audio_dir", "base_dir", "groundtruth", "demo_tracks")))
    found = check_collection(
        audio,
        table,
        Path(_config["check"]["out"] or Path("exp_out/checked") / f"{audio.resolve().name}-{table.stem}"),
        is_store=c["audio_dir"] is None and c["base_dir"] is not None,
        **{name: _config["check"][name] for name in ("jobs", "new_split")},
        **{name: c[name] for name in ("label_column", "group_column", "split_seed")},
    )
    print_findings(found)
    return found.counts()


@ex.command
def compute_norm_stats(_run: Run, _config: Mapping[str, Any]) -> dict[str, float]:
    """Mean and standard deviation of the training tracks' log-mels, as datamodule.norm takes them."""
    from datasets.loading.norm_stats import norm_stats
    from datasets.store.track_store import TrackStore

    c = _config["datamodule"]
    labelled = c["groundtruth"] or c["groundtruth_train"] or (c["base_dir"] is None and c["audio_dir"] is None)
    found = tracks(_config, ("train",) if labelled else (), run_folder(_run, _config["trainer"]["default_root_dir"]))
    truth = found.truths.get("train")
    mean, sd, frames = norm_stats(TrackStore.open(found.store), None if truth is None else truth.keys)
    _say(f"{frames:,} frames. As config: datamodule.norm.norm_mean={mean:.6f} datamodule.norm.norm_std={sd:.6f}")
    _say("Inputs become (x - norm_mean) / (2 norm_std), with the published factor 2.")
    return {"norm_mean": mean, "norm_std": sd}


@ex.command
def model_speed_test(_run: Run, _config: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Speed of the config's network: windows per second, and how much faster than the music plays; inference and training."""
    from helpers.commands.speed import measure, show
    from helpers.runtime.devices import resolve_accelerator

    device = "cuda" if resolve_accelerator(_config["trainer"]["accelerator"]) == "gpu" else "cpu"
    config = {
        **_config,
        "maest": {**_config["maest"], "pretrained": False, "checkpoint": None},
    }  # speed does not depend on weights
    net = network(config, None, seed).to(device)
    c = _config["datamodule"]
    rows = measure(net, c["batch_size_test"], c["batch_size_train"], _config["trainer"]["precision"])
    show(net, rows)
    return {row.name: row.windows_per_second for row in rows}


@ex.command
def export(_config: Mapping[str, Any], seed: int) -> str:
    """Write the config's network to export.out, for others to load: export.format=safetensors, ast (transformers) or onnx."""
    path, lines = export_network(lambda: trained(as_trained(_config), seed)[0], _config["export"])
    _say(*lines)
    return str(path)


@ex.command
def report(_run: Run, _config: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Pre-train, extract, probe (beside an untrained network and mel statistics), and write one page of it all: report.html.

    report.folds: for small data, all of it k times, each time pre-trained without the tracks that are then tested.
    """
    from helpers.evaluation import showcase
    from helpers.evaluation.study import forget_older_embeddings
    from models.errors import ConfigError

    r, t = _config["report"], _config["trainer"]
    if r["folds"] and _config["ckpt_path"] is not None:
        raise ConfigError(
            "Every fold is pre-trained from the beginning, without its test tracks: ckpt_path does not go with report.folds. Leave one out."
        )
    if r["folds"] and (str(t["devices"]), t["num_nodes"]) != ("1", 1):
        raise ConfigError(
            "Cross-validation trains a network per fold, each in one process: leave trainer.devices and num_nodes at 1."
        )
    if r["folds"]:
        folder = run_folder(_run, t["default_root_dir"])
        study = _folds_study(_run, _config, seed, folder)
    else:
        found, folder, seed, start = job(_run, _config, seed, ("train", "val", "test"), blocks(_config))
        result = train(_run, _config, seed, found, folder, start)
        if not is_first_process():
            return {}  # it was there for the training
        forget_older_embeddings(folder, result.last)
        study = _split_study(_config, seed, found, folder, str(result.best or result.last))
    about = study.network.settings | {"labels": study.network.n_classes, "block probed": study.block}
    examples = showcase.examples(study.network, study.store, study.shown)
    path, scores = report_study(study, folder, r, seed, about, examples=examples, notes=study.notes)
    _say(f"Report: {path}")
    for name, score in scores.items():
        _run.log_scalar(f"test_roc.{name}", score, 0)
    return scores


def _probe(config: Mapping[str, Any]) -> dict[str, Any]:
    from helpers.probe.inputs import probe_settings

    r = config["report"]
    return dict(
        settings=probe_settings(r["trainer"], r["optimizer"], r["model"], r["batch_size"], r["standardise"]),
        block=blocks(config)[0],
        batch_size=config["datamodule"]["batch_size_test"],
    )


def _split_study(config: Mapping[str, Any], seed: int, found: Any, folder: Path, weights: str) -> Any:
    from helpers.evaluation.study import split_study
    from helpers.probe.inputs import Inputs

    labels, r = found.truths["test"].labels, config["report"]
    untrained = network(config, labels, seed, pretrained=False, checkpoint=None)
    trained = network(config, labels, seed, pretrained=False, checkpoint=weights)
    inputs = Inputs(r["types"], r["reduce"], trained.embed_dim)
    return split_study(trained, untrained, found, folder, seeds=r["seeds"], inputs=inputs, mels=found.store, **_probe(config))


def _folds_study(run: Run, config: Mapping[str, Any], seed: int, folder: Path) -> Any:
    from helpers.data.find import Tracks
    from helpers.evaluation.study import folds_study

    found, r = tracks(config, ("all",), folder, blocks(config)), config["report"]
    labels = found.truths["all"].labels

    def pretrain(truths: Mapping[str, Any], where: Path) -> Any:
        fold = Tracks(found.store, None, dict(truths), found.name)
        result = train(run, config, seed, fold, where, prefix=f"fold{where.name}.")
        return network(config, labels, seed, pretrained=False, checkpoint=str(result.best or result.last))

    untrained = network(config, labels, seed, pretrained=False, checkpoint=None)
    return folds_study(
        pretrain,
        untrained,
        found,
        folder,
        folds=r["folds"],
        repeats=r["repeats"],
        types=r["types"],
        reduce=r["reduce"],
        **_probe(config),
    )


def _say(*lines: str) -> None:
    for line in lines if is_first_process() else ():
        print(line)


if __name__ == "__main__":
    done = ex.run_commandline(sys.argv)
    if done is not None and isinstance(done.result, Mapping):
        sys.exit(done.result.get("exit_code", 0))
