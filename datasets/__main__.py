"""`python -m datasets`: the published data sets that there are."""

import sys

from .sets import overview

if __name__ == "__main__":
    sys.stdout.write(overview())
