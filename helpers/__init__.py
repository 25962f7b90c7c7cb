"""The machinery of runs: one Lightning module, schedules, metrics, averaging, Sacred glue, reports."""

from models._torchvision import ensure_torchvision

ensure_torchvision()  # before Lightning or torchmetrics is imported anywhere
