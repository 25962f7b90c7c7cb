"""The machinery of runs, a package a floor: families and their commands, training, extraction, probes, reports, papers' tables."""

import os

# Threads that wait for each other spin only shortly before they sleep. GNU OpenMP's own default spins on, which costs a factor of nine where other
# processes want the same cores (measured: an epoch of the demo 90 s against 10 s); sleeping at once costs a factor of 1.4 on an idle machine. Read
# when torch is first imported; who sets either variable himself is obeyed.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")

# A process that is gone is told in a sentence; the connections' own warnings are stack traces of C++.
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
