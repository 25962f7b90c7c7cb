"""The command `python -m datasets.prepare`."""

import sys

from .command import main

if __name__ == "__main__":
    sys.exit(main())
