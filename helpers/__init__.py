"""The machinery of runs: one Lightning module, schedules, metrics, averaging, Sacred glue, reports."""

import os

# Threads that wait for each other sleep in place of spinning. Spinning costs little on an idle machine and a factor of nine (measured: an epoch of the
# demo 90 s against 10 s) where other processes want the same cores. It is read when torch is first imported; who sets it himself is obeyed.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from models._torchvision import ensure_torchvision

ensure_torchvision()  # before Lightning or torchmetrics is imported anywhere
