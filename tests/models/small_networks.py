"""A small network of every family, of three classes: a new family adds one entry."""

from __future__ import annotations

from typing import Any

LABELS = ["guitar", "drums", "voice"]
SMALL: dict[str, tuple[str, dict[str, Any]]] = {  # family -> a name, and settings that make its network small, of three classes
    "maest": (
        "maest_5s",
        dict(input_t=100, n_classes=3, labels=LABELS, embed_dim=32, depth=3, num_heads=2, init_std=0.2),
    ),
    "musicnn": ("musicnn-mtt", dict(n_classes=3, labels=LABELS, timbral=6, temporal=4, middle=6, hidden=8)),
    "clmr": ("clmr-magnatagatune", dict(channels=[8, 8, 12, 16], strides=[3, 4], out_dim=3, labels=LABELS)),
    "omar_rq": (
        "omar-rq-base",
        dict(
            embed_dim=32,
            depth=3,
            num_heads=4,
            max_seconds=0.512,
            alpha_deepnorm=None,
            beta_deepnorm=0.5,
            out_dim=3,
            labels=LABELS,
        ),
    ),
    "musicfm": (
        "musicfm-fma",
        dict(
            conv_dim=4,
            encoder_dim=32,
            encoder_depth=3,
            max_seconds=0.48,
            codebook_size=32,
            conformer={"num_attention_heads": 4, "intermediate_size": 48, "num_conv_pos_embeddings": 16},
            out_dim=3,
            labels=LABELS,
        ),
    ),
    "mert": (
        "mert-v1-95m",
        dict(
            hidden_size=32,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=48,
            conv_dim=[8] * 7,
            num_conv_pos_embeddings=16,
            max_seconds=0.4,
            out_dim=3,
            labels=LABELS,
        ),
    ),
}
MUSIC2VEC = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48, "conv_dim": [6] * 7}
SMALL["music2vec"] = ("music2vec-v1", {**MUSIC2VEC, "max_seconds": 0.5, "out_dim": 3, "labels": LABELS})
