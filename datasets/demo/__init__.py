"""The embedded demo data set: procedural music whose labels are what the generator did, and can be heard.

    from datasets.demo import make
    audio, groundtruth = make("exp_out/demo_data")

labels.py says what a track is, synth.py and drums.py sound, harmony.py chooses the notes, mixing.py and render.py put them together, writer.py
writes the files. docs/demo_data.md tells what the labels mean.
"""

from .labels import FAMILIES, LABELS, SPLITS, TrackPlan, plan_track
from .render import render
from .writer import TRACKS, make, sizes

__all__ = ["FAMILIES", "LABELS", "SPLITS", "TRACKS", "TrackPlan", "make", "plan_track", "render", "sizes"]
