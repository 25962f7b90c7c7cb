"""What a MERT is built with: transformers' names for the shape of a HubertModel, and the suite's own beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError, WeightsError
from ..frontend.convolutions import check_stem, receptive_field, stem_parameters
from ..settings import FLAG, LABELS, Choice, Maybe, Number, Numbers, Rules, check_settings, check_size, shown

MODEL_TYPES = (
    "mert_model",
    "music_hubert",
    "hubert",
)  # of a config.json: published, of its authors' conversion, of transformers' own class
RATES = (16000, 24000)  # Hz: v0, v1
SHAPE: Mapping[str, Any] = {  # of m-a-p/MERT-v1-95M
    "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072, "conv_dim": [512] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2], "conv_stride": [5, 2, 2, 2, 2, 2, 2], "conv_bias": False, "feat_extract_norm": "group",
    "feat_proj_layer_norm": True, "do_stable_layer_norm": False, "num_conv_pos_embeddings": 128, "num_conv_pos_embedding_groups": 16,
    "hidden_act": "gelu", "feat_extract_activation": "gelu", "layer_norm_eps": 1e-5, "hidden_dropout": 0.1, "attention_dropout": 0.1,
    "activation_dropout": 0.1, "feat_proj_dropout": 0.1,
}  # fmt: skip
LARGE: Mapping[str, Any] = {  # what m-a-p/MERT-v1-330M has in place of that
    "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096, "do_stable_layer_norm": True,
    "hidden_dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0, "feat_proj_dropout": 0.0,
}  # fmt: skip
OWN: Mapping[str, Any] = {
    "sample_rate": 24000, "normalize": True, "max_seconds": 5.0, "sdpa": True, "out_dim": None, "labels": None, "exclusive": False,
}  # fmt: skip
OTHER = {  # parts that change what the network computes -> what they are
    "feature_extractor_cqt": "a constant-Q spectrum beside the convolutions",
    "deepnorm": "DeepNorm's residual connections",
    "add_adapter": "an adapter behind the blocks",
    "conv_pos_batch_norm": "batch normalisation before the convolution of positions",
}
_SHARE = Number(0, 0.999, whole=False)
_ACTIVATION = Choice(("gelu", "relu", "swish"))
RULES: Rules = {
    "hidden_size": Number(1, 65_536), "num_hidden_layers": Number(1, 1000), "num_attention_heads": Number(1, 4096),
    "intermediate_size": Number(1, 1_000_000), "conv_dim": Numbers(Number(1, 65_536), 1, 32), "conv_kernel": Numbers(Number(1, 9999), 1, 32),
    "conv_stride": Numbers(Number(1, 9999), 1, 32), "conv_bias": FLAG, "feat_extract_norm": Choice(("group", "layer")),
    "feat_proj_layer_norm": FLAG, "do_stable_layer_norm": FLAG, "num_conv_pos_embeddings": Number(1, 100_000),
    "num_conv_pos_embedding_groups": Number(1, 65_536), "hidden_act": _ACTIVATION, "feat_extract_activation": _ACTIVATION,
    "layer_norm_eps": Number(1e-12, 1, whole=False), "hidden_dropout": _SHARE, "attention_dropout": _SHARE, "activation_dropout": _SHARE,
    "feat_proj_dropout": _SHARE, "sample_rate": Choice(RATES), "normalize": FLAG, "max_seconds": Number(0.02, 100_000, whole=False),
    "sdpa": FLAG, "out_dim": Maybe(Number(1, 100_000)), "labels": LABELS, "exclusive": FLAG,
}  # fmt: skip


def check(settings: Mapping[str, Any], what: str = "This MERT", error: type[ValueError] = ConfigError) -> None:
    """Raise `error` for settings, given as far as they are known, that are no MERT's, or one's that is too large to be built."""
    check_settings(settings, RULES, what, error)
    s = {**SHAPE, **OWN, **settings}
    width = s["hidden_size"]
    check_stem(s, what, error)
    field = receptive_field(s)
    if s["max_seconds"] * s["sample_rate"] < field:
        raise error(f"{what}: max_seconds is {s['max_seconds']}; one vector takes {field / s['sample_rate']:.4f} s.")
    stem = stem_parameters(s)
    positions = width * width // s["num_conv_pos_embedding_groups"] * s["num_conv_pos_embeddings"]
    check_size(stem + positions + s["num_hidden_layers"] * width * (4 * width + 2 * s["intermediate_size"]), what, error)


def of_transformers(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that a MERT's config.json says. What only matters to its training, or not to what the blocks compute (attention_relax: a
    softmax of smaller numbers), is left out.

    Raises WeightsError for another model type, for parts that plain HuBERT has not, and for a config without a sample rate.
    """
    if (kind := config.get("model_type")) not in MODEL_TYPES:
        raise WeightsError(f"A config of the model type {shown(kind)}; a MERT's is {', '.join(MODEL_TYPES)}.")
    if parts := [name for name in OTHER if config.get(name)]:
        raise WeightsError(
            f"The config has {' and '.join(f'{name} ({OTHER[name]})' for name in parts)}: such a MERT computes something else than the "
            "HuBERT that is built here, and its vectors would be wrong. Take one without (published v1: MERT-v1-95M, MERT-v1-330M), or its own code."
        )
    if "sample_rate" not in config:
        raise WeightsError(
            f'The config does not say the sample rate of its audio: add "sample_rate": {RATES[1]} (v1) or {RATES[0]} (v0) to config.json.'
        )
    return {"family": "mert", "sample_rate": config["sample_rate"], **{name: config[name] for name in SHAPE if name in config}}
