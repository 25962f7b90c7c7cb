"""CLMR: contrastive learning of musical representations on raw waveforms (Spijkervet, Burgoyne, ISMIR 2021, arXiv 2103.09410)."""

from .archs import build
from .checkpoints import load_checkpoint, recognise, remap_encoder, remap_head
from .loss import NTXent, Projector
from .network import SampleCNN

load = load_checkpoint  # with `build` and `recognise`: what models/registry.py asks of every family

__all__ = ["NTXent", "Projector", "SampleCNN", "build", "load", "load_checkpoint", "recognise", "remap_encoder", "remap_head"]
