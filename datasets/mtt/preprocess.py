"""The published suite's way to MagnaTagATune: `cd datasets/mtt && python preprocess.py`. The same as `python -m datasets.mtt`, from anywhere."""

import sys
from pathlib import Path

if __name__ == "__main__":
    here = Path(__file__).resolve()
    sys.path[0] = str(here.parents[2])  # in place of this folder
    from datasets.mtt import SET
    from datasets.published.command import main

    sys.exit(main(SET))
