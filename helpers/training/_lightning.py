"""Lightning, as the modules of this package import it: after what lets torchvision, which it imports, be imported."""

from __future__ import annotations

from models._torchvision import ensure_torchvision

ensure_torchvision()

import pytorch_lightning as pl  # noqa: E402
from pytorch_lightning import Callback, LightningModule, Trainer  # noqa: E402
from pytorch_lightning.callbacks import Checkpoint, EarlyStopping, ModelCheckpoint  # noqa: E402
from pytorch_lightning.plugins.environments import SLURMEnvironment  # noqa: E402
from pytorch_lightning.plugins.io import TorchCheckpointIO  # noqa: E402
from pytorch_lightning.plugins.layer_sync import LayerSync  # noqa: E402

__all__ = [
    "Callback", "Checkpoint", "EarlyStopping", "LayerSync", "LightningModule", "ModelCheckpoint", "SLURMEnvironment",
    "TorchCheckpointIO", "Trainer", "pl",
]  # fmt: skip
