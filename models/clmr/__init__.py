"""CLMR: contrastive learning of musical representations on raw waveforms (Spijkervet, Burgoyne, ISMIR 2021, arXiv 2103.09410)."""

from .archs import build
from .checkpoints import load_checkpoint, recognise, remap_encoder, remap_head
from .graph import FORMAT
from .loss import NTXent, Projector
from .network import SampleCNN

FORMATS = {"onnx": FORMAT}
load = load_checkpoint  # with `build` and `recognise`: what models/registry.py asks of every family

__all__ = [
    "FORMATS",
    "NTXent",
    "Projector",
    "SampleCNN",
    "build",
    "load",
    "load_checkpoint",
    "recognise",
    "remap_encoder",
    "remap_head",
]
