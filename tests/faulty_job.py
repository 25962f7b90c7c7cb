"""ex_maest.py with planted faults: `python tests/faulty_job.py STEP RANK:HOW,... EX_MAEST'S WORDS`.

In training step STEP process RANK raises (HOW raise), is killed by signal 9 (kill), or waits without end (hang), as in a collective of nccl whose
other side is gone. Each leaves a file fault-RANK-PROCESS first.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import ex_maest
from models.maest.objective import SupervisedObjective

step, faults = int(sys.argv[1]), dict(fault.split(":") for fault in sys.argv[2].split(","))
plain = SupervisedObjective.training_step


def training_step(self, batch, rng):
    rank = os.environ.get("RANK", "0")
    if rng.step == step and rank in faults:
        Path(f"fault-{rank}-{os.getpid()}").touch()
        if faults[rank] == "raise":
            raise KeyError("a planted fault")
        if faults[rank] == "kill":
            while len(list(Path().glob("fault-*"))) < len(faults):  # the others are at their places
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(10**6)
    return plain(self, batch, rng)


SupervisedObjective.training_step = training_step

if __name__ == "__main__":
    ex_maest.ex.run_commandline(["ex_maest.py", *sys.argv[3:]])
