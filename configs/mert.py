"""MERT (arXiv 2306.00107): its section of ex_ssl.py and its named configs. It is extracted from and fine-tuned here, not pre-trained."""

from __future__ import annotations

from dataclasses import dataclass

from .naming import INFERENCE, Catalogue, Config, FamilyConfigs, Named
from .naming import TARGETS as TARGETS_GROUP
from .options import opt
from .targets import TARGETS, Target

MERT = Catalogue()
RATES = {"v1": 24000, "v0": 16000}


@dataclass
class Mert:
    """MERT (models/mert): a published encoder, to extract from and to fine-tune (arXiv 2306.00107). none: the published value."""

    arch: str = opt("mert-v1-95m", "name of a registered model (models.list_models('mert*'))", affects="network")
    pretrained: bool = opt(False, "begin with the published weights of arch", affects="network")
    checkpoint: str | None = opt(
        None, "weight file or folder to begin with, in place of the published one of arch", affects="inputs"
    )
    checkpoint_swa_weights: bool = opt(
        True, "take the averaged weights of a training checkpoint, where it holds any", affects="inputs"
    )
    hidden_size: int | None = opt(None, "width of the vectors (768; 330m: 1024)", affects="network", bounds="[1, 65536]")
    num_hidden_layers: int | None = opt(None, "number of blocks (12; 330m: 24)", affects="network", bounds="[1, 1000]")
    num_attention_heads: int | None = opt(None, "number of attention heads (12; 330m: 16)", affects="network", bounds="[1, 4096]")
    intermediate_size: int | None = opt(
        None, "width inside the blocks' feed-forward layers (3072; 330m: 4096)", affects="network", bounds="[1, 1e6]"
    )
    conv_dim: list[int] | None = opt(
        None, "channels of the seven convolutions (512 each)", affects="network", bounds="[1, 65536]"
    )
    max_seconds: float | None = opt(
        None, "length of a window, s (5, as it was trained)", affects="network", bounds="[0.02, 100000]"
    )
    sdpa: bool = opt(
        True, "attention by torch's scaled_dot_product_attention; false: plain products and softmax", affects="network"
    )


_SMALL: Config = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "conv_dim": [8] * 7, "max_seconds": 1.0,
    "pretrained": False,
}  # fmt: skip
SMOKE: Config = {
    "trainer": {"precision": "32", "accelerator": "cpu"},
    "mert": _SMALL,
    "datamodule": {"batch_size_test": 4, "demo_tracks": 40, "base_dir": None, "groundtruth": None},
    "predict": {"transformer_block": -1},
}


@MERT.add(smoke=SMOKE, group=INFERENCE)
def mert_inference() -> Config:
    """A published encoder (mert.arch, by default mert-v1-95m), to extract from: the last block; sweep over all of them to choose one.

    python ex_ssl.py extract_embeddings with mert_inference target_mert_mtt
    """
    return {"family": "mert", "mert": {"pretrained": True}, "predict": {"transformer_block": 11}}


@MERT.add(smoke=SMOKE, group=INFERENCE)
def mert_330m_inference() -> Config:
    """The large published encoder: 24 blocks of width 1024.

    python ex_ssl.py extract_embeddings with mert_330m_inference target_mert_mtt
    """
    return {"family": "mert", "mert": {"arch": "mert-v1-330m", "pretrained": True}, "predict": {"transformer_block": 23}}


def waveforms(target: Target) -> Config:
    """Keys of ex_ssl.py: the set's waveforms at 24 kHz (v1) and its splits, to extract from."""
    splits = {f"groundtruth_{part}": f"{target.metadata_dir}groundtruth-{part}.csv" for part in ("train", "val", "test")}
    return {
        "family": "mert",
        "datamodule": {"base_dir": f"datasets/{target.data}/data/waveform-{RATES['v1']}/", **splits},
        "predict": {"out_dir": f"{target.embeddings_dir}mert/"},
    }


for _name, _target in TARGETS.items():
    if _name == _target.data:
        _values = waveforms(_target)
        _text = f"{_target.about.split(',')[0]} at 24 kHz as MERT v1's data. Make it: python -m datasets.{_target.data}, then "
        _text += f"python -m datasets.prepare AUDIO {_values['datamodule']['base_dir']} --waveform {RATES['v1']}"
        MERT.put(Named(f"target_mert_{_name}", _values, _text, TARGETS_GROUP))

FAMILY = FamilyConfigs("mert", {"mert": Mert}, MERT)
