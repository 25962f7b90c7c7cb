"""Sacred: the experiment, run folders, records, provenance. Nothing else below the scripts knows Sacred."""

import warnings

warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)  # sacred 0.8.7 imports it
