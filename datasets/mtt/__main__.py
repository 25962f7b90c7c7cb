"""`python -m datasets.mtt`."""

import sys

from ..published.command import main
from . import SET

if __name__ == "__main__":
    sys.exit(main(SET))
