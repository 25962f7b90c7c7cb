"""The package maest-infer 0.2.0 beside ours, run and never read: on the same random weights the same numbers. Skipped where it is not installed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models import get_maest
from tests.sound import tune

pytestmark = pytest.mark.slow
ARCH = "discogs-maest-5s-pw-129e"
SECONDS = 5
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def both():
    theirs = pytest.importorskip("maest_infer").get_maest(arch=ARCH, pretrained=False).eval()
    ours = get_maest(arch=ARCH, pretrained=False).eval()
    ours.load_state_dict({k: v for k, v in theirs.state_dict().items() if not k.startswith("melspectrogram.")}, strict=True)
    return theirs, ours


def outputs(model, x, **how):
    with torch.no_grad():
        return [out.numpy() for out in model(x, **how) if out is not None]


@pytest.mark.parametrize(
    ("shape", "block"), [((96, 312), -1), ((96, 313), -1), ((96, 312), 7), ((1, 96, 200), -1), ((2, 1, 96, 312), -1)]
)
def test_the_network_gives_the_same_numbers(both, shape, block):
    x = 0.5 * torch.randn(shape, generator=torch.Generator().manual_seed(1))
    theirs, ours = (outputs(model, x, melspectrogram_input=True, transformer_block=block) for model in both)
    assert [out.shape for out in ours] == [out.shape for out in theirs]
    for got, wanted in zip(ours, theirs):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=TOLERANCE)


def test_the_lines_of_its_readme_run_here_unchanged(both):
    """From samples: front ends differ (docs/maest_infer.md), and so the numbers do, by less than anyone sees."""
    audio = torch.from_numpy(tune(SECONDS, 16000, 1, seed=3)[:, 0].astype(np.float32))
    found = []
    for model in both:
        with torch.no_grad():
            logits, embeddings = model(audio)
        activations, labels = model.predict_labels(audio)
        found.append((logits.numpy(), embeddings.numpy(), np.asarray(activations), list(labels)))
    theirs, ours = found
    assert [np.shape(out) for out in ours] == [np.shape(out) for out in theirs]
    assert ours[3] == theirs[3]
    assert np.abs(ours[2] - theirs[2]).max() < 0.005
