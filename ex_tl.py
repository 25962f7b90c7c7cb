"""Transfer learning: how well do frozen embeddings hold a set of labels? MAEST's probe (arXiv 2309.16418, section 4.4).

python ex_maest.py extract_embeddings with maest_30s_from_passt_inference target_mtt
python ex_tl.py with target_mtt_tl
python ex_tl.py with data.base_dir=EMBEDDINGS data.groundtruth=labels.csv data.types=cdt data.reduce=stack
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


def truths(config: Mapping[str, Any], out_dir: Path) -> dict[str, Any]:
    """Groundtruth by split, or {"all": ...} for cross-validation."""
    from helpers.data import label_files, read_truths
    from models.errors import ConfigError, GroundtruthError

    d = config["data"]
    if d["base_dir"] is None:
        raise ConfigError("No embeddings: give data.base_dir, what `python ex_maest.py extract_embeddings` wrote.")
    if (d["groundtruth"] is None) == (d["metadata_dir"] is None):
        raise ConfigError(
            "No labels: give data.groundtruth (one file), or data.metadata_dir (a folder of groundtruth-train/-val/-test files); one of the two."
        )
    files = label_files(d["metadata_dir"]) if d["metadata_dir"] else {}
    splits = ("all",) if d["folds"] else ("train", "val", "test")
    order = Path(d["metadata_dir"] or "") / "labels.txt"
    names = order if files and order.is_file() else None
    found = read_truths(
        d["groundtruth"], files, d["label_column"], d["split_seed"], splits, out_dir, d["group_column"], label_names=names
    )
    n = next(iter(found.values())).n_labels
    if d["n_classes"] not in (None, n):
        raise GroundtruthError(
            f"data.n_classes is {d['n_classes']}, the groundtruth has {n} labels: leave it out, or take the other groundtruth."
        )
    return found


@ex.main
def main(_run: Run, _config: Mapping[str, Any]) -> dict[str, float]:
    """Train a head per seed, choose each one's epoch on validation, score the test tracks once. Writes scores and the best head."""
    from helpers.comparison import compare_systems
    from helpers.tables import print_scores
    from helpers.transfer import probe_settings

    folder, d = run_folder(_run, _config["out_dir"]), _config["data"]
    systems = {"probe": d["base_dir"]} | ({"untrained": d["untrained_dir"]} if d["untrained_dir"] else {})
    scores, results = compare_systems(
        systems,
        truths(_config, folder),
        probe_settings(_config["trainer"], _config["optimizer"], _config["model"], d["batch_size"], d["standardise"]),
        seeds=_config["seeds"],
        mels=d["mel_dir"],
        data=Path(d["groundtruth"] or d["metadata_dir"]).resolve().with_suffix("").name,
        log=metric_logger(_run),
        **{k: d[k] for k in ("types", "reduce", "token_size", "folds", "repeats", "skip_missing", "windows")},
    )
    for one in scores:
        place = folder if one is scores[0] else folder / one.name.replace(" ", "_")
        results.get(one.name, one).save(place)
    print_scores(scores)
    print(f"Scores, predictions and the best head: {folder}")
    summary = {f"test_{m}": scores[0].mean(f"macro_{m}") for m in ("roc", "ap")}
    for name, value in summary.items():
        _run.log_scalar(name, value, 0)
    return summary


if __name__ == "__main__":
    ex.run_commandline(sys.argv)
