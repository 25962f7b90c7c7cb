"""`python -m datasets.nsynth`."""

import sys

from ..sets_command import main
from . import SET

if __name__ == "__main__":
    sys.exit(main(SET))
