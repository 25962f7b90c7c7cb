"""Transfer learning: how well do frozen embeddings hold a set of labels? MAEST's probe (arXiv 2309.16418, section 4.4).

python ex_maest.py extract_embeddings with maest_30s_from_passt_inference target_mtt
python ex_tl.py with target_mtt_tl
python ex_tl.py with data.base_dir=EMBEDDINGS data.groundtruth=labels.csv data.types=cdt data.reduce=stack
python ex_tl.py with target_mtt_tl marble                  another field's protocol: maest_tl, clmr_linear, clmr_mlp, marble, omar
python ex_tl.py sweep with target_mtt_tl data.base_dir=outputs/embeddings/mtt/30sec/      a score per block and kind of token
python ex_tl.py few_label with target_mtt_tl               score versus the share of training labels
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import configs
from configs.schema import ExTl, defaults, docs
from helpers.sacred_glue import Experiment, Run, metric_logger, run_folder

log = logging.getLogger(__name__)
ROOT = Path(__file__).parent

ex = Experiment(
    "transfer_learning",
    ExTl,
    defaults=defaults(ExTl),
    docs=docs(ExTl),
    named={name: (n.values, n.doc) for name, n in configs.PROBE.items()},
    root="out_dir",
    sources=[p for folder in ("configs", "models", "datasets", "helpers") for p in sorted((ROOT / folder).rglob("*.py"))],
    base_dir=str(ROOT),
)


def targets(config: Mapping[str, Any], out_dir: Path) -> dict[str, Any]:
    """Groundtruth (or values) by split, or {"all": ...} for cross-validation, with the share of the training tracks that is asked for."""
    from helpers.transfer import few, read_targets
    from models.errors import ConfigError, GroundtruthError

    d = config["data"]
    if d["base_dir"] is None:
        raise ConfigError("No embeddings: give data.base_dir, what `python ex_maest.py extract_embeddings` wrote.")
    names = ("task", "groundtruth", "metadata_dir", "label_column", "group_column", "split_seed", "folds")
    found = read_targets(**{name: d[name] for name in names}, out_dir=out_dir)
    n = next(iter(found.values())).n_labels
    if d["n_classes"] not in (None, n):
        raise GroundtruthError(
            f"data.n_classes is {d['n_classes']}, the groundtruth has {n} labels: leave it out, or take the other groundtruth."
        )
    if d["train_share"] != 1:
        if d["folds"]:
            raise ConfigError("data.train_share is for a split, not for cross-validation: leave data.folds or it out.")
        found["train"] = few(found["train"], d["train_share"], d["split_seed"])
    return found


def protocol(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings and inputs of the probe, the seeds, and the data set's name."""
    from helpers.transfer import probe_inputs, probe_settings

    d = config["data"]
    return dict(
        settings=probe_settings(config["trainer"], config["optimizer"], config["model"], d["batch_size"], d["standardise"], d),
        inputs=probe_inputs(d),
        seeds=config["seeds"],
        skip_missing=d["skip_missing"],
        data=Path(d["groundtruth"] or d["metadata_dir"] or "").resolve().with_suffix("").name,
    )


# ---- commands
@ex.main
def main(_run: Run, _config: Mapping[str, Any]) -> dict[str, float]:
    """Train a head per seed, choose each one's epoch on validation, score the test tracks once. Writes scores and the best head."""
    from helpers.comparison import compare_systems
    from helpers.tables import print_scores

    folder, d = run_folder(_run, _config["out_dir"]), _config["data"]
    systems = {"probe": d["base_dir"]} | ({"untrained": d["untrained_dir"]} if d["untrained_dir"] else {})
    how = protocol(_config)  # refused before any file is read
    scores, results = compare_systems(
        systems,
        targets(_config, folder),
        mels=d["mel_dir"],
        folds=d["folds"],
        repeats=d["repeats"],
        log=metric_logger(_run),
        **how,
    )
    for one in scores:
        place = folder if one is scores[0] else folder / one.name.replace(" ", "_")
        results.get(one.name, one).save(place)
    print_scores(scores)
    print(f"Scores, predictions and the best head: {folder}")
    summary = {f"test_{metric.removeprefix('macro_')}": scores[0].mean(metric) for metric in scores[0].asked.headline}
    for name, value in summary.items():
        _run.log_scalar(name, value, 0)
    return summary


@ex.command
def sweep(_run: Run, _config: Mapping[str, Any]) -> dict[str, Any]:
    """Score per block and kind of token: data.base_dir is the folder above the blocks. Writes sweep.html, .png, .svg, .csv and .json. Resumes."""
    from helpers.sweep import best_by_validation, run_sweep, write_tables
    from helpers.sweep_report import print_sweep, report_sweep
    from models.errors import ConfigError

    folder, s = run_folder(_run, _config["out_dir"]), _config["sweep"]
    if _config["data"]["folds"]:
        raise ConfigError("A sweep is over a split: leave data.folds out.")
    how = protocol(_config)
    cells = run_sweep(
        str(_config["data"]["base_dir"]),
        targets(_config, folder),
        layers=s["layers"],
        types=[kind.strip() for kind in s["types"].split(",")],
        cache=Path(_config["out_dir"]) / "cells",
        **how,
    )
    write_tables(cells, folder)
    written = report_sweep(cells, folder, s["title"], s["metric"])
    print_sweep(cells, s["metric"])
    print(f"Figure, table and page: {', '.join(map(str, written))}")
    best = best_by_validation(cells)
    for cell in cells:
        _run.log_scalar(f"test_{cell.scores.asked.metrics[0]}.{cell.types}", cell.scores.mean(), cell.block)
    return {"block": best.block, "types": best.types, f"test_{best.scores.asked.metrics[0]}": best.scores.mean()}


if __name__ == "__main__":
    ex.run_commandline(sys.argv)
