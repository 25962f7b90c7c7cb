"""List and compare runs: `python -m helpers.runs`, the door to helpers/experiments/runs.py."""

from __future__ import annotations

import sys

from .experiments.runs import main

if __name__ == "__main__":
    sys.exit(main())
