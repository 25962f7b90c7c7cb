"""CLMR: contrastive learning of musical representations on raw waveforms (Spijkervet, Burgoyne, ISMIR 2021, arXiv 2103.09410)."""

from .checkpoints import load_checkpoint, remap_encoder, remap_head
from .loss import NTXent, Projector
from .network import SampleCNN

__all__ = ["NTXent", "Projector", "SampleCNN", "load_checkpoint", "remap_encoder", "remap_head"]
