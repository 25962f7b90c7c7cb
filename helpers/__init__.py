"""The machinery of runs: one Lightning module, schedules, metrics, averaging, Sacred glue, reports."""

import os

# Threads that wait for each other sleep in place of spinning. Spinning costs a factor of nine where other processes want the same cores (measured: an
# epoch of the demo 90 s against 10 s). Read when torch is first imported; who sets it himself is obeyed.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from models._torchvision import ensure_torchvision

ensure_torchvision()  # before Lightning or torchmetrics is imported anywhere
