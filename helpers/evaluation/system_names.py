"""Names of systems that tables of papers look for among the results. Without torch: a plan of a table needs none."""

from __future__ import annotations

from ..metrics.tasks import get_task

MEL_STATISTICS = "mel statistics + logistic regression"


def mel_name(task: str) -> str:
    """What mel statistics under the linear model of a task are called."""
    if get_task(task).frames is not None:
        return "mel statistics of frames + linear head"
    return MEL_STATISTICS if not get_task(task).numeric else "mel statistics + ridge regression"
