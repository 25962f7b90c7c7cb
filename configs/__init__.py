"""What is run: typed defaults (schema) and named configs, data only. A module for each topic, and a module or package for each family of models."""

import importlib
import os
import pkgutil

# a family may live outside the checkout: FOLDER/configs/<name>.py, beside FOLDER/models/<name>/ and FOLDER/helpers/families/<name>.py
_folders = filter(
    None, os.environ.get("MAEST_FAMILIES", "").split(os.pathsep)
)  # checked by models/, which configs/ may not import
__path__ += [os.path.join(os.path.abspath(folder), "configs") for folder in _folders]

from . import ssl
from .maest import SCRIPT as EX_MAEST
from .naming import FamilyConfigs
from .paper import PAPER
from .probe import PROBE
from .targets import TARGETS


def _find_families() -> list[FamilyConfigs]:
    """Return what the modules beside this one bring as FAMILY."""
    modules = [importlib.import_module(f".{module.name}", __name__) for module in pkgutil.iter_modules(__path__)]
    return [module.FAMILY for module in modules if hasattr(module, "FAMILY")]


EX_SSL = ssl.make_script(_find_families(), first="clmr", demo="clmr_demo")
MAEST, SSL = EX_MAEST.named, EX_SSL.named

__all__ = ["EX_MAEST", "EX_SSL", "MAEST", "PAPER", "PROBE", "SSL", "TARGETS"]
