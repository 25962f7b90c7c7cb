"""Groundtruth: keys, label names and a boolean matrix, read from tables, folders, json and pickles."""

from .groundtruth import Groundtruth

__all__ = ["Groundtruth"]
