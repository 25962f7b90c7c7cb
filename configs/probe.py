"""Named configs of ex_tl.py: probes on extracted embeddings. Those of the published data sets are in targets.py."""

from __future__ import annotations

from .naming import Catalogue, Config

PROBE = Catalogue()


@PROBE.add()
def maest_tl() -> Config:
    """MAEST's protocol with its best input: the three tokens stacked. Settings are the defaults (specs: MLP of 512, AdamW, 60 epochs)."""
    return {"data": {"types": "cdt", "reduce": "stack"}}


@PROBE.add()
def small_data() -> Config:
    """A few hundred tracks: five folds, three times, in place of one split; scores with their spread over folds.

    python ex_tl.py with small_data data.base_dir=EMBEDDINGS data.groundtruth=labels.csv
    """
    return {
        "data": {"folds": 5, "repeats": 3, "types": "cdt", "reduce": "stack", "standardise": True},
        "optimizer": {"max_lr": 1e-3},  # MAEST's 1e-4 takes too few steps on so little
    }
