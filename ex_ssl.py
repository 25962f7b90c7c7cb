"""Self-supervised families: pre-train on audio without labels, extract.

python ex_ssl.py                                               a small CLMR on the embedded demo music
python ex_ssl.py with clmr_pretrain datamodule.audio_dir=DIR   any formats, rates and channels
python ex_ssl.py extract_embeddings with clmr_inference datamodule.audio_dir=DIR
python ex_ssl.py predict with clmr_pretrain clmr.checkpoint=CKPT clmr.head_checkpoint=HEAD predict.audio=SONG
python ex_ssl.py print_named_configs | print_config | help COMMAND
"""

from __future__ import annotations

import sys

import configs
from datasets.utils.terminal import begin_in_utf8
from helpers.commands.script import make_experiment, run

ex = make_experiment(configs.EX_SSL, __doc__)

if __name__ == "__main__":
    begin_in_utf8()
    sys.exit(run(ex, sys.argv))
