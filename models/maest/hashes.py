"""sha256 and size in bytes of the published files of weights, by name."""

from __future__ import annotations

SOURCE = "data/checkpoints.json of the package maest-infer 0.2.0, computed 2026-07-11 from the released files"
FILES: dict[str, tuple[str, int]] = {
    "passt-s-f128-p16-s10-ap.476-swa.pt": ("302903fa8c4aee817b11dc982da0b29aaf8d11a3e722420476d0a12c9db70c2c", 344665734),
    "deit_base_patch16_384-8de9b5d1.pth": ("8de9b5d10c6b031785248aae8bcfa7be14237dbc383a55ad8d5d4d93292512da", 347486471),
    "discogs-maest-5s-pw-129e-swa.ckpt": ("cc626ee9f0a816cadbef0a698f87424d72d7b5d84aef68983dac83bf2a03052a", 343668755),
    "discogs-maest-10s-fs-129e-swa.ckpt": ("62f369fbf60e93c1e93869fbac2bc60ecbcc4eb0fe99ab523f8218212490520c", 343764150),
    "discogs-maest-10s-pw-129e-swa.ckpt": ("9862dbc5945a62de01de0c2cccd5e499563210e307324bf6305f6932ad967f1f", 343764150),
    "discogs-maest-10s-dw-75e-swa.ckpt": ("1265f4cab278eb1da66a7946f4c870e2ca659076ed1aa1de718f55dc72766b68", 343763987),
    "discogs-maest-20s-pw-129e-swa.ckpt": ("1ea0880da17aed1b149323ae46c7dbbe6cf6c02c9d30a3f7931a962f7169353b", 343957686),
    "discogs-maest-30s-pw-129e-swa.ckpt": ("2e8ac8ebdc8ac4a3750583df23fd715605935286cbd9d2c4231dfeaa3736ad01", 344148150),
    "discogs-maest-30s-pw-73e-ts-swa.ckpt": ("26b954652cd75b0951a67b7ab8f85b8b4c459f63a921a04f62829de85ea801fb", 344148476),
    "discogs-maest-30s-pw-129e-519l-swa.ckpt": ("d6044e642b6ae295ee1164cc52b33ac663e247f03b4b100a0af1a5edfab18cdb", 344878270),
}


def known(file: str) -> tuple[str | None, int | None, str]:
    """sha256, size and who says so, of a published file; (None, None, "") where they are not known."""
    found = FILES.get(file)
    return (*found, SOURCE) if found is not None else (None, None, "")
