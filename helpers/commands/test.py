"""The command that scores a trained network on the test tracks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace

from ..experiments.job import metric_logger
from ..families.base import Purpose
from ..reports.wording import RANDOM_WEIGHTS
from ..training.fit import evaluate
from .context import Context
from .continuing import tested_checkpoint
from .loading import make_data_module
from .networks import check_head, check_named, warn_of_random


def test(context: Context) -> dict[str, float]:
    """Score the test tracks, per window and per track, with ckpt_path or the config's weights. Writes test.json into the run's folder."""
    family = context.family
    checkpoint = tested_checkpoint({**asdict(context.config), "seed": context.seed}, context.rules)
    weights = checkpoint or family.section(context.config).checkpoint
    config = family.like_checkpoint(context.config, weights)
    weights_name = family.weights_name(config)
    if checkpoint is None and family.labelled(config):
        check_named(context, weights_name, "be tested")
    job = context.enter(("test",), Purpose.TEST, config)
    truth = family.match_classes(config, checkpoint, job.tracks.truths["test"])
    found = replace(job.tracks, truths={**job.tracks.truths, "test": truth})
    net = family.network(config, truth.labels, job.seed)
    if checkpoint is None:
        check_head(context, net, weights_name, "be tested")
        warn_of_random(weights_name)
    result = evaluate(
        family.objective(config, net),
        make_data_module(family, config, net, found, job.seed),
        config.trainer,
        checkpoint=checkpoint,
        out_dir=job.folder,
        log_metric=metric_logger(context.run),
    )
    random = checkpoint is None and family.weights_name(config) is None
    context.print(*score_lines(result.metrics, truth.n_labels), *([RANDOM_WEIGHTS] if random else []))
    return result.metrics


def score_lines(metrics: Mapping[str, float], n_labels: int) -> list[str]:
    """Return a test's scores, per window and per track, as lines."""
    m, weights, lines = metrics, "averaged weights" if "test_roc_swa" in metrics else "", []
    for unit in ("", "track_"):
        line = f"Test, per {'track (mean of its windows)' if unit else 'window'}: macro ROC-AUC {m[f'test_{unit}roc']:.4f}, "
        line += f"macro AP {m[f'test_{unit}ap']:.4f}, over {m[f'test_{unit}roc_classes']:.0f} of {n_labels} labels"
        lines.append(line + (f"; {weights}: {m[f'test_{unit}roc_swa']:.4f}, {m[f'test_{unit}ap_swa']:.4f}" if weights else ""))
    return lines
