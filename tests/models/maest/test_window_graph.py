"""MAEST's windows in ONNX Runtime: the network's numbers, in every form of the network; 8 bits near them."""

import numpy as np
import pytest
import torch

from models.maest import MAEST
from models.maest.window_graph import window_graph

onnxruntime = pytest.importorskip("onnxruntime")
SMALL = {"input_t": 125, "n_classes": 7, "embed_dim": 32, "depth": 3, "num_heads": 4}
FORMS = [{}, {"distilled_type": "separated"}, {"distilled": False}, {"s_patchout_t_interleaved": 2}, {"stride": (16, 8)}]


def run(net, layers, x, int8=False):
    session = onnxruntime.InferenceSession(
        window_graph(net, layers, int8).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return dict(zip([one.name for one in session.get_outputs()], session.run(None, {"windows": x.numpy()})))


@pytest.fixture(params=FORMS, ids=str)
def net(request):
    torch.manual_seed(0)
    return MAEST(**SMALL, **request.param).eval()


@torch.no_grad()
def test_classes_and_summaries_are_the_networks(net):
    x = torch.randn(3, 96, 125, generator=torch.Generator().manual_seed(1))
    got = run(net, None, x)
    wanted = {"activations": net.window_probabilities(x), "logits": net.window_logits(x)}
    for layers in ([0, 2], [-1], [1, -1]):
        got |= run(net, layers, x)
        wanted |= dict(zip(map(str, layers), net.summaries(x, layers)))
    assert set(got) == set(wanted)
    for name, value in wanted.items():
        assert np.abs(got[name] - value.numpy()).max() <= 1e-5 * value.abs().max(), name


@torch.no_grad()
def test_8_bits_are_near_and_are_not_the_same():
    torch.manual_seed(0)
    net = MAEST(**SMALL).eval()
    x = torch.randn(1, 96, 125, generator=torch.Generator().manual_seed(1))
    apart = np.abs(run(net, None, x, int8=True)["activations"] - net.window_probabilities(x).numpy()).max()
    assert 0 < apart < 0.02
