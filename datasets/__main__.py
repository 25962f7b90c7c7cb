"""`python -m datasets`: the published data sets that there are, one of them in full, and their steps."""

import sys

from .published.overview import main

if __name__ == "__main__":
    sys.exit(main())
