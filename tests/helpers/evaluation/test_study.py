"""What a report that is taken up again keeps of its embeddings."""

import os

import pytest

from helpers.evaluation.study import TRAINED, UNTRAINED, forget_older_embeddings


@pytest.mark.parametrize("trained_further", [True, False])
def test_embeddings_of_older_weights_are_made_again(tmp_path, trained_further):
    for name in (TRAINED, UNTRAINED):
        (tmp_path / "embeddings" / name / "2").mkdir(parents=True)
    checkpoint = tmp_path / "last.ckpt"
    checkpoint.touch()
    now = checkpoint.stat().st_mtime_ns + (10**10 if trained_further else -(10**10))
    os.utime(checkpoint, ns=(now, now))
    forget_older_embeddings(tmp_path, checkpoint)
    kept = {p.name for p in (tmp_path / "embeddings").iterdir()}
    assert kept == ({UNTRAINED} if trained_further else {TRAINED, UNTRAINED})
    forget_older_embeddings(tmp_path / "new run", checkpoint)
