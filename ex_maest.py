"""MAEST: pre-train, test, extract.

python ex_maest.py                                             a small MAEST on the embedded demo music
python ex_maest.py with folder datamodule.audio_dir=DIR datamodule.groundtruth=labels.csv
python ex_maest.py extract_embeddings with maest_30s_from_passt_inference datamodule.base_dir=MELS
python ex_maest.py print_named_configs | print_config | help COMMAND
"""

from __future__ import annotations

import sys

import configs
from datasets.utils.terminal import begin_in_utf8
from helpers.commands.script import make_experiment, run

ex = make_experiment(configs.EX_MAEST, __doc__)

if __name__ == "__main__":
    begin_in_utf8()
    sys.exit(run(ex, sys.argv))
