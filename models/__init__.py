"""Music audio transformers: audio in, vectors and labels out. Imported as `models` in a checkout, as `maest` when installed."""

from ._alias import install as _install
from ._torchvision import ensure_torchvision as _ensure_torchvision

_install(__name__)
_ensure_torchvision()
