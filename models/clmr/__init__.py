"""CLMR: contrastive learning of musical representations on raw waveforms (Spijkervet, Burgoyne, ISMIR 2021, arXiv 2103.09410)."""

from .archs import build
from .checkpoints import is_clmr, load_checkpoint, remap_encoder, remap_head
from .loss import NTXent, Projector
from .network import SampleCNN

recognise, load = is_clmr, load_checkpoint  # what `load_model` asks of every family

__all__ = ["NTXent", "Projector", "SampleCNN", "build", "load", "load_checkpoint", "recognise", "remap_encoder", "remap_head"]
