"""Groundtruth: keys, label names and a boolean matrix, read from tables, folders, json and pickles."""

from .groundtruth import Groundtruth
from .read import read as _read

Groundtruth.read = staticmethod(_read)

__all__ = ["Groundtruth"]
