"""CLMR's objectives: views, training step, validation over all items, tasks; and that a few steps teach a network to tell tones apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.classification import ClassificationObjective
from models.clmr import SampleCNN
from models.clmr.augment import Augmentation
from models.clmr.loss import alignment, uniformity
from models.clmr.objective import ContrastiveObjective
from models.errors import ConfigError
from models.randomness import Randomness

STRIDES = (3, 3, 3, 3, 3)  # a window is 729 samples


def network(**settings) -> SampleCNN:
    torch.manual_seed(1)
    return SampleCNN([8] * 5 + [16] * 2, STRIDES, **{"out_dim": None, **settings})


def tones(n: int, seed: int = 0, views: int = 2) -> dict:
    """Crops of n tones of different pitch, with random phases: the views of an item share the pitch only."""
    g = np.random.default_rng(seed)
    hz = 300 * 1.25 ** np.arange(n)
    t = np.arange(729) / 22050
    x = np.sin(2 * np.pi * (hz[:, None, None] * t + g.random((n, views, 1)))) * 0.5
    index = torch.arange(n)
    return {
        "x": torch.from_numpy(x.astype(np.float32)),
        "index": index,
        "draw": index,
        "window": index * 0,
        "valid": index * 0 + 729,
    }


def test_views_depend_on_the_draw_and_view_only():
    objective, batch, rng = ContrastiveObjective(network(), augmentation=Augmentation()), tones(6), Randomness(4, 1, 7)
    a, b = objective.views(batch, rng)
    assert (a - b).abs().amax(1).min() > 1e-4
    half = {k: v[3:] for k, v in batch.items()}
    for whole, part in zip((a, b), objective.views(half, rng)):
        torch.testing.assert_close(part, whole[3:], atol=1e-6, rtol=0)
    later = objective.views(batch, Randomness(4, 1, 8))  # another step of the same epoch: the draw decides
    torch.testing.assert_close(later[0], a)


def test_batch_norm_sees_one_view_at_a_time():
    objective, batch = ContrastiveObjective(network()), tones(6)
    objective.train().training_step(batch, Randomness(0))
    assert int(objective.net.sequential[0][1].num_batches_tracked) == 2


@pytest.mark.slow
def test_a_few_steps_lower_the_loss_and_find_the_other_view():
    augmentation = Augmentation(pitch=0.0, filters=0.0, reverb=0.0)  # 33 ms crops of one tone: a filter would leave nothing
    objective = ContrastiveObjective(network(), temperature=0.2, augmentation=augmentation, group=12)
    optimizer = torch.optim.Adam(objective.parameters(), lr=1e-2)

    def judged() -> dict:
        objective.eval()
        with torch.no_grad():
            found = objective.validate(tones(12, seed=99))
        objective.train()
        return objective.summarise({k: v.numpy() for k, v in found.items()})

    before = judged()
    for step in range(40):
        loss = objective.train().training_step(tones(12, seed=step), Randomness(0, step))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = judged()
    assert after["loss"] < before["loss"] - 0.5
    assert after["accuracy"] > 0.15 > 3 * (1 / 23)  # chance is 1 / 23


def test_validation_is_over_groups_of_all_items_and_always_the_same():
    objective = ContrastiveObjective(network(), augmentation=Augmentation(), group=4).eval()
    with torch.no_grad():
        found = {k: v.numpy() for k, v in objective.validate(tones(10)).items()}
        again = objective.validate(tones(10))
    np.testing.assert_array_equal(found["z_i"], again["z_i"].numpy())
    z_i, z_j = (torch.from_numpy(found[k]) for k in ("z_i", "z_j"))
    wanted = np.mean([float(objective.criterion.alone(z_i[k : k + 4], z_j[k : k + 4])[0]) for k in (0, 4)])
    assert objective.summarise(found)["loss"] == pytest.approx(wanted)
    with pytest.raises(ConfigError, match="2 tracks or more"):
        objective.summarise({k: v[:1] for k, v in found.items()})


def test_alignment_and_uniformity_by_hand():
    z = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])
    assert float(alignment(z, z)) == 0
    assert float(alignment(z, -z)) == pytest.approx(4)
    wanted = np.log((2 * np.exp(-2 * 2) + np.exp(-2 * 4)) / 3)
    assert float(uniformity(z)) == pytest.approx(wanted, rel=1e-5)


def test_what_cannot_be_contrasted_is_refused():
    with pytest.raises(ConfigError, match="two crops"):
        ContrastiveObjective(network()).training_step(tones(4, views=1), Randomness(0))
    with pytest.raises(ConfigError, match="no negatives"):
        ContrastiveObjective(network()).training_step(tones(1), Randomness(0))
    with pytest.raises(ConfigError, match="group of 1"):
        ContrastiveObjective(network(), group=1)
    with pytest.raises(ConfigError, match="temperature"):
        ContrastiveObjective(network(), temperature=0.0)


def test_supervised_losses_by_task():
    batch = {**tones(4, views=1), "y": torch.eye(4)[:, :3]}
    batch["x"] = batch["x"][:, 0]
    net = network(out_dim=3).eval()
    logits = net(batch["x"])
    found = ClassificationObjective(net).validate(batch)
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(logits, batch["y"], reduction="none").mean(1)
    torch.testing.assert_close(found["loss"], wanted)
    torch.testing.assert_close(found["scores"], logits.sigmoid())
    one = {**batch, "y": torch.eye(3)[[0, 1, 2, 0]]}
    classes = ClassificationObjective(net, task="multiclass").validate(one)
    torch.testing.assert_close(classes["scores"].sum(1), torch.ones(4))
    with pytest.raises(ConfigError, match="exactly one label"):
        ClassificationObjective(net, task="multiclass").training_step(batch, Randomness(0))
