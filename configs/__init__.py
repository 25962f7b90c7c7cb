"""What is run: typed defaults (schema) and named configs, data only. A module for each topic, and a module or package for each family of models."""

import os

# a family may live outside the checkout: FOLDER/configs/<name>.py, beside FOLDER/models/<name>/ and FOLDER/helpers/families/<name>.py
_folders = filter(
    None, os.environ.get("MAEST_FAMILIES", "").split(os.pathsep)
)  # checked by models/, which configs/ may not import
__path__ += [os.path.join(os.path.abspath(folder), "configs") for folder in _folders]

from . import ssl
from .families import find_families
from .maest import SCRIPT as EX_MAEST
from .paper import PAPER
from .probe import PROBE
from .targets import TARGETS

EX_SSL = ssl.make_script(find_families(ssl.FILE), first="clmr", demo="clmr_demo")
MAEST, SSL = EX_MAEST.named, EX_SSL.named

__all__ = ["EX_MAEST", "EX_SSL", "MAEST", "PAPER", "PROBE", "SSL", "TARGETS"]
