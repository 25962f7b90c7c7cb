"""Which weights of an encoder learn, how fast, and that the rest stays as it was; for a transformer on mels and a CNN on samples."""

from __future__ import annotations

import pytest
import torch

from models.clmr import SampleCNN
from models.errors import ConfigError
from models.finetune import FineTuneObjective, fine_tuned, stored_logits
from models.maest import MAEST
from models.randomness import Randomness
from models.weights.task_head import head_of


def maest() -> MAEST:
    torch.manual_seed(0)
    return MAEST(input_f=96, input_t=64, n_classes=3, embed_dim=24, depth=3, num_heads=2)


def cnn() -> SampleCNN:
    torch.manual_seed(0)
    return SampleCNN(channels=(4, 4, 6, 8), strides=(3, 3), out_dim=5)


ENCODERS = {"maest": maest, "cnn": cnn}
LABELS = ["noise", "tone"]


def batch(encoder, n: int = 4) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    x = torch.randn(n, *encoder.stored_item[::-1], encoder.window_length)
    y = torch.nn.functional.one_hot(torch.arange(n) % 2, 2).float()
    numbers = torch.arange(n)
    return {"x": x, "y": y, "index": numbers, "window": numbers * 0, "valid": numbers * 0 + 1, "draw": numbers}


def learned(objective: FineTuneObjective, data) -> set[str]:
    """Names of the parameters and statistics that a step changes."""
    before = {k: v.clone() for k, v in objective.state_dict().items()}
    optimizer = torch.optim.AdamW(objective.param_groups(), lr=1e-2)
    objective.train()
    objective.training_step(data, Randomness(0))["loss"].backward()
    optimizer.step()
    return {k for k, v in objective.state_dict().items() if not torch.equal(v, before[k])}


@pytest.mark.parametrize("name", ENCODERS)
def test_the_whole_encoder_learns_up_to_its_layer(name):
    encoder = ENCODERS[name]()
    objective = FineTuneObjective(fine_tuned(encoder, LABELS, layer=1, hidden=8), layer_decay=0.5, lr=1e-3, head_lr=1e-2)
    changed = learned(objective, batch(encoder))
    blocks = {k.split(".")[2] for k in changed if k.startswith(f"net.{encoder.block_list}.")}
    assert blocks == {"0", "1"}  # deeper ones are not part of the output
    assert any(k.startswith("net.task_head.") for k in changed)
    assert not any(k.startswith(("net.head", "net.norm", "net.fc")) for k in changed)
    rates = [group["lr"] for group in objective.param_groups()]
    want = [1e-2, 1e-3, 5e-4, *([2.5e-4] if name == "maest" else [])]  # head, block 1, block 0, and what lies before
    assert rates == pytest.approx(want)
    held = sum(p.numel() for group in objective.param_groups() for p in group["params"])
    assert held == sum(p.numel() for p in objective.parameters() if p.requires_grad)


@pytest.mark.parametrize("name", ENCODERS)
def test_the_last_blocks_alone_or_the_head_alone(name):
    for blocks, want in ((1, {"1"}), (0, set())):
        encoder = ENCODERS[name]()
        objective = FineTuneObjective(fine_tuned(encoder, LABELS, layer=1, hidden=8), blocks=blocks)
        changed = learned(objective, batch(encoder))
        assert {k.split(".")[2] for k in changed if not k.startswith("net.task_head.")} == want  # batch norm's statistics too
        assert any(k.startswith("net.task_head.") for k in changed)


@pytest.mark.parametrize("name", ENCODERS)
def test_validation_says_what_lit_objective_wants(name):
    encoder = ENCODERS[name]()
    data = batch(encoder)
    for loss in ("bce", "ce"):
        objective = FineTuneObjective(fine_tuned(encoder, LABELS, loss=loss, hidden=8)).eval()
        with torch.no_grad():
            found = objective.validate(data)
            want = objective.training_step(data, Randomness(0))["loss"]
        assert found["scores"].shape == (4, 2)
        assert found["loss"].shape == (4,)
        torch.testing.assert_close(found["loss"].mean(), want)
        if loss == "ce":
            torch.testing.assert_close(found["scores"].sum(1), torch.ones(4))


def test_the_head_sees_what_extraction_keeps():
    encoder = maest().eval()
    net = fine_tuned(encoder, LABELS, layer=-2, hidden=8).eval()
    assert net.task_head.layer == 1
    x = batch(encoder)["x"]
    with torch.no_grad():
        tokens = encoder.summaries(encoder.from_stored(x.transpose(1, 2)), [1])[0]
        torch.testing.assert_close(stored_logits(net, x), net.task_head(tokens.flatten(1)))


def test_refusals():
    encoder = cnn()
    with pytest.raises(ConfigError, match="no head to learn"):
        FineTuneObjective(encoder)
    with pytest.raises(ConfigError, match="bce or ce"):
        fine_tuned(encoder, LABELS, loss="mse")
    with pytest.raises(ValueError, match=r"0\.\.3"):
        fine_tuned(encoder, LABELS, layer=9)
    for labels in (["a", "\ud800"], ["a", "a"], "ab", [], ["a", 1], [None]):
        with pytest.raises(ConfigError, match="labels"):
            fine_tuned(encoder, labels)
    with pytest.raises(ConfigError, match="task is"):
        fine_tuned(encoder, LABELS, task="\udfff")
    assert head_of(encoder) is None
    net = fine_tuned(encoder, LABELS, hidden=8)
    for options, words in (
        ({"layer_decay": 0}, "above 0"),
        ({"blocks": 5}, "there are 4"),
        ({"lr": 0}, "above 0"),
    ):
        with pytest.raises(ConfigError, match=words):
            FineTuneObjective(net, **options)
    encoder.sequential = torch.nn.Sequential(encoder.sequential)  # no list of its blocks any more
    with pytest.raises(ConfigError, match="no list of its 4 blocks"):
        FineTuneObjective(net, blocks=1)
