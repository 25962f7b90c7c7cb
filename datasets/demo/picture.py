"""The picture of docs/demo_data.md: for each family, what its labels look like in a mel spectrogram.

python -m datasets.demo.picture docs/demo_data.png
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from models.frontend import MaestMel

from .labels import BEATS_PER_MINUTE, FAMILIES, TrackPlan, plan_track
from .render import render

CALM = {
    "timbre": "organ",
    "rhythm": "no drums",
    "tempo": "medium",
    "mode": "major",
    "texture": "_no chords",
    "sweep": "_no sweep",
    "articulation": "legato",
    "ornament": "_plain",
    "dynamics": "_even",
    "form": "_through",
}  # what the tracks of the picture have in common, so that the one difference shows
SECONDS = 6.5


def example(family: str, value: str) -> TrackPlan:
    """Return a 16 kHz mono track that differs from the calm one in one family."""
    values = {**CALM, family: value}
    if family == "mode":
        values["texture"] = "block chords"
    if family == "tempo":
        values["rhythm"] = "four on the floor"
    return replace(
        plan_track(0, "train", 1),
        values=values,
        seconds=SECONDS,
        sample_rate=16000,
        channels=1,
        beats_per_minute=sum(BEATS_PER_MINUTE[values["tempo"]]) / 2,
    )


def draw(path: Path) -> None:
    """Write the picture: a row per family, a column per value."""
    import matplotlib  # late: the window system is chosen before pyplot is imported

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    columns = max(len(set(values)) for values in FAMILIES.values())
    mel = MaestMel(normalize=False)
    figure, grid = plt.subplots(len(FAMILIES), columns, figsize=(1.9 * columns, 1.1 * len(FAMILIES)), dpi=70)
    for row, (family, values) in zip(grid, FAMILIES.items()):
        for cell in row:
            cell.axis("off")
        for cell, value in zip(row, dict.fromkeys(values)):
            bands = mel(torch.from_numpy(render(example(family, value)))[None])[0].numpy()
            cell.imshow(np.clip(bands, 0, 4), origin="lower", aspect="auto", cmap="magma", interpolation="nearest")
            cell.set_title(value.replace("_", ""), fontsize=8, pad=2)
        row[0].text(
            -0.04, 0.5, family, transform=row[0].transAxes, rotation=90, ha="right", va="center", fontsize=9, weight="bold"
        )
    figure.tight_layout(pad=0.4)
    figure.savefig(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw one spectrogram per label of the demo data.")
    parser.add_argument("path", type=Path, help="the PNG file to write")
    draw(parser.parse_args().path)
