"""What the command files share: which config a bare command means, which run ckpt_path continues, where networks compute, what is extracted, and
what commands say at their end.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from models.errors import ConfigError, WeightsError
from models.weights.checkpoints import read_settings

from ..experiments.earlier_runs import run_of, run_to_continue, seed_of
from ..runtime.processes import is_first_process
from ..training.resume import CHECKPOINTS, newest, read_saved
from ..training.same_training import BATCH, ResumeRules

if TYPE_CHECKING:
    from models.encoder import AudioEncoder

    from ..data.find import Tracks
    from ..evaluation.study import Study
    from ..extraction.job import Extraction
    from ..prediction.predict import Prediction

log = logging.getLogger(__name__)
LAST = "last"  # of ckpt_path: the newest checkpoint of this config's newest run
DATA_KEYS = ("audio_dir", "base_dir", "groundtruth", "groundtruth_train", "groundtruth_predict")


def demo_without_data(script: str, demo: str) -> Callable[[str, Mapping[str, Any], Sequence[str]], Sequence[str]]:
    """The rule by which a command of `script` without a named config and without data is the config `demo`'s."""

    def implied(command: str, updates: Mapping[str, Any], named: Sequence[str]) -> Sequence[str]:
        chosen = updates.get("datamodule", {})
        if command == "print_config" and not named:
            log.info(
                "`python %s` alone runs `with %s`; these are the recipe's values, on which all named configs build.", script, demo
            )
        if named or command == "print_config" or any(key in chosen for key in DATA_KEYS):
            return named
        return (demo,)

    return implied


def continued_by(
    rules: ResumeRules, *commands: str
) -> Callable[[str, Mapping[str, Any], Sequence[str]], tuple[Path | None, int | None]]:
    """The rule which run folder one of `commands` goes on in (that of ckpt_path, or for `last` this config's newest), and with which seed.

    `test` goes on in none: it takes the seed of the training that `last` means. rules: what a resumed run may differ in.
    """

    def continues(command: str, config: Mapping[str, Any], named: Sequence[str]) -> tuple[Path | None, int | None]:
        chosen = config["ckpt_path"]
        if command == "test" and chosen == LAST:  # Sacred draws another seed for it than for the training that it means
            trained = run_to_continue(config["trainer"]["default_root_dir"], "main", config, rules, named)
            return None, None if trained is None else seed_of(trained)
        if chosen is None or command not in commands:
            return None, None
        if chosen != LAST:
            folder, seed = run_of(chosen), read_saved(chosen).experiment.get("seed")
        else:
            folder = run_to_continue(config["trainer"]["default_root_dir"], command, config, rules, named)
            seed = None if folder is None else seed_of(folder)
        if is_first_process():  # refused before the folder is touched
            starting_point({"seed": seed, **config}, folder, rules, say=False)
        return folder, seed

    return continues


def starting_point(config: Mapping[str, Any], continued: Path | None, rules: ResumeRules, say: bool = True) -> Path | None:
    """The checkpoint to continue from; None for a training from the beginning. continued: the run folder that is gone on in.

    Raises ConfigError or WeightsError, before any work, for one that is torn or belongs to another experiment.
    """
    from ..runtime.devices import count_processes

    chosen = config["ckpt_path"]
    if chosen is None:
        return None
    if chosen != LAST:
        saved = read_saved(chosen)
    else:
        saved = None if continued is None else newest(continued / CHECKPOINTS)
    if saved is None:
        if not say:
            return None
        where = config["trainer"]["default_root_dir"] if continued is None else continued
        log.info("There is no checkpoint of this config in %s yet: training begins.", where)
        return None
    items = config["datamodule"]["batch_size_train"] * count_processes(SimpleNamespace(**config["trainer"]))
    rules.identity(config, {BATCH: items}).check(saved, config["trainer"]["max_epochs"], warn=False)
    return saved.path


def tested_checkpoint(config: Mapping[str, Any], rules: ResumeRules) -> Path | None:
    """The checkpoint that `test` scores. Raises ConfigError where `last` finds none."""
    chosen, root = config["ckpt_path"], config["trainer"]["default_root_dir"]
    if chosen != LAST:
        return None if chosen is None else Path(chosen)
    folder = run_to_continue(root, "main", config, rules)
    saved = None if folder is None else newest(folder / CHECKPOINTS)
    if saved is None:
        raise ConfigError(f"No run of this config under {root} has left a checkpoint: train it, or name one by ckpt_path=PATH.")
    return saved.path


def check_family(path: Path | None, families: Mapping[str, str], own: str) -> None:
    """Raise WeightsError, before any work, where a checkpoint holds a network of another family than a script's.

    families: family -> the script that takes it. own: the script's family, and that of files that name none.
    """
    found = own if path is None else read_settings(path).get("family", own)
    if found != own:
        where = f": use {families[found]}" if found in families else ""
        raise WeightsError(f"{path} holds a network of the family {found}{where}.")


def placed(net: AudioEncoder, weights: str | None, trainer: Mapping[str, Any]) -> tuple[AudioEncoder, str, str]:
    """The network on its device in eval mode, the name of its weights, and the precision to compute in. Random weights (None) are said."""
    from ..runtime.devices import resolve_accelerator

    device = resolve_accelerator(trainer["accelerator"])
    if weights is None:
        log.warning("This network has RANDOM weights (pretrained=False, no checkpoint): a baseline, nothing else.")
    precision = "32" if trainer["precision"] == "auto" and device == "cpu" else str(trainer["precision"])
    return net.to("cuda" if device == "gpu" else "cpu").eval(), weights or "RANDOM", precision


def to_extract(found: Tracks) -> dict[str, Any]:
    """The store, and the names of its tracks that the groundtruth "predict" has (None: all). Raises GroundtruthError for absent ones."""
    from datasets.groundtruth.groundtruth import match
    from datasets.store.track_store import TrackStore
    from models.errors import GroundtruthError

    store, truth = TrackStore.open(found.store), found.truths.get("predict")
    if truth is None:
        return {"source": store, "names": None}
    numbers = match(truth.keys, store.names)
    if numbers.absent:
        raise GroundtruthError(numbers.message(str(found.store)) + " Prepare them, or take them out of groundtruth_predict.")
    return {"source": store, "names": [store.names[i] for i in numbers.numbers]}


def run_extraction(
    kind: str,
    job: Mapping[str, Any],
    out: Path,
    predict: Mapping[str, Any],
    sections: Mapping[str, Any],
    accelerator: str,
    seed: int,
    **more: Any,
) -> Extraction:
    """Extract in this process, or in shards by several (predict.jobs, .scheduler, .shard_tracks, or an output begun so).

    kind: "embeddings" or "logits". job, more: arguments of helpers.extract. sections: of the config, from which a worker builds the network.
    """
    from datasets.jobs.cluster import check_place
    from datasets.jobs.shard_plan import Plan

    from ..extraction.extract import extract_embeddings, extract_logits
    from ..extraction.shards import Recipe, extract_in_shards

    check_place(predict["scheduler"], predict["workers"], predict["jobs"])
    if not any((predict["jobs"], predict["scheduler"], predict["shard_tracks"], Plan.size_of(out))):
        return {"embeddings": extract_embeddings, "logits": extract_logits}[kind](**job, out=out, **more)
    recipe = Recipe.of(job["network"], sections, accelerator, seed)
    where = {name: predict[name] for name in ("scheduler", "workers")} | {
        "jobs": predict["jobs"] or (None if predict["scheduler"] else 1),
        "size": predict["shard_tracks"],
    }
    return extract_in_shards(kind, **job, out=out, recipe=recipe, **where, **more)


def asked_audio(section: Mapping[str, Any]) -> str:
    """predict.audio. Raises ConfigError where it is not set."""
    if section["audio"] is None:
        raise ConfigError("predict.audio names an audio file, or a folder of them. It is not set.")
    return str(section["audio"])


def run_prediction(
    net: AudioEncoder, weights: str, precision: str, section: Mapping[str, Any], out: Path, batch_size: int, **more: Any
) -> Prediction:
    """Tag the audio that the config's section `predict` names, as it says; pages and tables below `out`. more: for helpers.predict.predict."""
    from ..prediction.predict import predict

    return predict(
        net,
        asked_audio(section),
        out,
        weights=weights,
        hop_seconds=section["hop"],
        batch_size=batch_size,
        precision=precision,
        tables=[kind for kind in ("csv", "json", "parquet") if section[kind]],
        **{key: section[key] for key in ("top", "html", "player_minutes")},
        **more,
    )


def what_is_heard(
    make: Callable[[], tuple[AudioEncoder, str, str]], section: Mapping[str, Any], batch_size: int
) -> tuple[Prediction, list[str]]:
    """The command `predict` of every experiment: what was found, printed as a table, and the lines to be printed behind it.

    make: gives the network, its weights' name and the precision (`placed`), and is called when the audio is known to be there.
    """
    from ..prediction.predict import check_audio, print_prediction

    check_audio(asked_audio(section))
    net, weights, precision = make()
    found = run_prediction(net, weights, precision, section, Path(section["out_dir"]) / "predictions", batch_size)
    print_prediction(found)
    lines = [] if net.card is None else [f"Weights: {net.card.name}, {net.card.licence}."]
    return found, [*lines, *map(str, found.written)]


def extraction_lines(done: Extraction) -> list[str]:
    """What an extraction did, to be printed."""
    windows = f"{done.n_windows} windows in " if done.n_windows else ""  # shards do not count theirs
    first = f"{done.n_tracks} tracks, {done.n_new} of them now ({windows}{done.seconds:.1f} s):"
    return [first, *(f"  {path}" for path in done.paths.values())]


def test_lines(metrics: Mapping[str, float], n_labels: int) -> list[str]:
    """A test's scores, per window and per track, to be printed."""
    m, weights, lines = metrics, "averaged weights" if "test_roc_swa" in metrics else "", []
    for unit in ("", "track_"):
        line = f"Test, per {'track (mean of its windows)' if unit else 'window'}: macro ROC-AUC {m[f'test_{unit}roc']:.4f}, "
        line += f"macro AP {m[f'test_{unit}ap']:.4f}, over {m[f'test_{unit}roc_classes']:.0f} of {n_labels} labels"
        lines.append(line + (f"; {weights}: {m[f'test_{unit}roc_swa']:.4f}, {m[f'test_{unit}ap_swa']:.4f}" if weights else ""))
    return lines


def export_network(make: Callable[[], AudioEncoder], section: Mapping[str, Any]) -> tuple[Path, list[str]]:
    """Write a network as the config's section `export` says; where it is, and a line per file. Refused before the network is made where it can be."""
    from models.export import export_model

    if section["out"] is None:
        raise ConfigError(
            "export.out says where the network goes: a folder, or a file that ends in .safetensors or .onnx. It is not set."
        )
    if section["format"] != "onnx" and section["blocks"] is not None:
        raise ConfigError(f"export.blocks is for export.format=onnx; {section['format']} holds the whole network.")
    path = export_model(make(), section["out"], section["format"], section["blocks"])
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    if section["format"] == "onnx" and not path.is_dir():
        files.append(path.with_suffix(".json"))
    sizes = [file.stat().st_size for file in files]
    return path, [f"{file} ({n / 1e6:.1f} MB)" if n > 1e5 else f"{file} ({n / 1e3:.1f} kB)" for file, n in zip(files, sizes)]


def report_study(
    study: Study, folder: Path, section: Mapping[str, Any], seed: int, about: Mapping[str, Any], **page: Any
) -> tuple[Path, dict[str, float]]:
    """Save a study's probes, write its page and print its scores; where the page is, and each system's mean score.

    section: the config's `report`. about: of the network. page: more of helpers.reports.report.Report.
    """
    from ..reports.report import write_report
    from ..reports.tables import print_scores

    study.save(folder / "probe")
    pretraining = {"command": " ".join(["python", Path(sys.argv[0]).name, *sys.argv[1:]]), "seed": seed}
    content = study.report(section["title"], {"Pre-training": pretraining, "Network": about}, **page)
    path = write_report(Path(section["path"]) if section["path"] else folder / "report.html", content)
    print_scores(study.scores)
    return path, {one.name: one.mean() for one in study.scores}
