"""MAEST's objectives: losses against a plain calculation, layouts of devices, teacher's labels, refusals."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from models.errors import ConfigError
from models.frontend import NORM_MEAN, NORM_STD
from models.maest import MAEST
from models.maest.agreement import agreement, of_recordings
from models.maest.augment import Masking, Roll
from models.maest.objective import DistillationObjective, SupervisedObjective, TeacherStudentObjective
from models.randomness import Randomness
from tests.helpers.training.toy_training import LABELS, ToyNet, batch_of, items

RNG = Randomness(seed=3, epoch=1, step=7)
PLAIN = dict(mixup_alpha=0.0, masking=Masking(do=False))


@pytest.fixture
def batch():
    return batch_of(items(16), slice(0, 8))


def objective(kind=SupervisedObjective, net=None, **settings):
    torch.manual_seed(0)
    return kind(net or ToyNet("separated" if kind is TeacherStudentObjective else "mean"), **settings)


def test_without_augmentation_the_loss_is_plain(batch):
    o = objective(**PLAIN).eval()  # the toy drops a column in training
    got = o.training_step(batch, RNG)["loss"]
    x = (batch["x"].float() - NORM_MEAN) / (2 * NORM_STD)
    torch.testing.assert_close(got, bce(o.net(x[:, None])[0], batch["y"]))


def test_normalisation_can_be_off_and_has_other_numbers(batch):
    x = batch["x"]
    torch.testing.assert_close(objective(norm=False).normalise(x), x.float())
    torch.testing.assert_close(objective(norm_mean=1.0, norm_std=0.25).normalise(x), (x.float() - 1) * 2)


def test_the_order_is_roll_normalise_mask_mix(batch):
    """Masked places of both mixed items are 0 (the corpus mean), those of one item carry the other's share only."""
    o = objective(mixup_alpha=0.3, roll=Roll(do=True))
    x, mix = o.augment(batch, RNG)
    alone, none = objective(mixup_alpha=0.0, roll=Roll(do=True)).augment(batch, RNG)
    assert none is None
    torch.testing.assert_close(x, mix(alone))
    assert (alone == 0).any()
    unmasked, _ = objective(mixup_alpha=0.0, roll=Roll(do=True), masking=Masking(do=False)).augment(batch, RNG)
    torch.testing.assert_close(alone[alone != 0], unmasked[alone != 0])
    raw = o.normalise(batch["x"]).sort(-1).values
    torch.testing.assert_close(unmasked.sort(-1).values, raw)


def test_mixup_reaches_the_targets(batch):
    o = objective().eval()
    x, mix = o.augment(batch, RNG)
    torch.testing.assert_close(o.training_step(batch, RNG)["loss"], bce(o.net(x[:, None])[0], mix(batch["y"])))
    assert not torch.equal(mix(batch["y"]), batch["y"])


def test_a_step_repeats_exactly_and_changes_with_seed_epoch_and_step(batch):
    o = objective(roll=Roll(do=True))
    o.train()
    loss = lambda *r: float(o.training_step(batch, Randomness(*r))["loss"].detach())  # noqa: E731
    assert loss(3, 1, 7) == loss(3, 1, 7)
    assert len({loss(3, 1, 7), loss(4, 1, 7), loss(3, 2, 7)}) == 3
    assert len({loss(3, 1, step) for step in range(8)}) > 1  # the network's own randomness goes by the step


def test_the_batch_is_left_as_it_was(batch):
    before = {k: v.clone() for k, v in batch.items() if hasattr(v, "clone")}
    o = objective(roll=Roll(do=True))
    o.training_step(batch, RNG)["loss"].backward()
    o.validate(batch)
    assert all(torch.equal(batch[k], v) for k, v in before.items())


def test_one_device_with_8_sees_what_two_with_4_see():
    data = items(16)
    o = objective(roll=Roll(do=True), mixup_group=4)
    whole, mix = o.augment(batch_of(data, slice(0, 8)), RNG)
    y = mix(torch.from_numpy(data["y"][:8]))
    for rank in range(2):
        rows = slice(4 * rank, 4 * rank + 4)
        part, own = o.augment(batch_of(data, rows), RNG)
        assert torch.equal(part, whole[rows])
        assert torch.equal(own(torch.from_numpy(data["y"][rows])), y[rows])


def test_validation_gives_fixed_probabilities_by_the_asked_weights(batch):
    o, other = objective().eval(), ToyNet().eval()
    got = o.validate(batch)
    logits = o.net(o.normalise(batch["x"])[:, None])[0]
    torch.testing.assert_close(got["scores"], logits.sigmoid())
    torch.testing.assert_close(got["loss"].mean(), bce(logits, batch["y"]))
    assert all(len(v) == 8 for v in got.values())
    assert {"index", "window", "valid", "targets"} <= set(got)
    torch.testing.assert_close(o.validate(batch, other)["scores"], other(o.normalise(batch["x"])[:, None])[0].sigmoid())


def test_exact_losses_of_five_steps():
    """A change here changes every seeded training run: it must be meant."""
    data, o = items(40, seed=5), objective(roll=Roll(do=True))
    optimizer = torch.optim.AdamW(o.param_groups(), lr=1e-2, weight_decay=1e-4)
    losses = []
    o.train()
    for step in range(5):
        loss = o.training_step(batch_of(data, slice(8 * step, 8 * step + 8)), Randomness(11, 0, step))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses == pytest.approx([0.701519, 0.693902, 0.691156, 0.686799, 0.69047], abs=2e-5)


# ---- MAEST itself
def test_maest_trains_with_patchout_drawn_from_the_step():
    torch.manual_seed(0)
    net = MAEST(input_f=96, input_t=100, n_classes=5, embed_dim=16, depth=2, num_heads=2, s_patchout_t=3)
    o = SupervisedObjective(net).train()
    g = torch.Generator().manual_seed(1)
    batch = {
        "x": torch.rand(4, 96, 100, generator=g).half() * 4,
        "y": (torch.rand(4, 5, generator=g) < 0.4).float(),
        "draw": torch.arange(4),
        "index": torch.arange(4),
        "window": torch.zeros(4, dtype=torch.long),
        "valid": torch.full((4,), 100),
    }
    first = o.training_step(batch, RNG)["loss"]
    torch.manual_seed(99)  # torch's global generator plays no part
    assert torch.equal(first, o.training_step(batch, RNG)["loss"])
    first.backward()
    without = [n for n, p in net.named_parameters() if p.grad is None]
    assert all(n.startswith("head_dist") for n in without)
    assert o.eval().validate(batch)["scores"].shape == (4, 5)


# ---- teacher and student
def test_teachers_labels():
    logits = torch.tensor([[3.0, -3.0, 0.0], [-5.0, -2.0, -3.0], [-0.25, -0.15, -9.0]])
    got = objective(TeacherStudentObjective).teacher_labels(logits)
    assert got.tolist() == [[1, 0, 1], [0, 1, 0], [0, 1, 0]]  # none passes in row 1: its best; sigmoid(-0.25) = 0.438 < 0.45


def test_the_students_loss_is_the_mean_of_both_heads(batch):
    batch["teacher"] = torch.randn(8, LABELS, generator=torch.Generator().manual_seed(0))
    o = objective(TeacherStudentObjective).eval()
    x, mix = o.augment(batch, RNG)
    cls, dist, _ = o.net(x[:, None])
    want_cls, want_dist = bce(cls, mix(batch["y"])), bce(dist, mix(o.teacher_labels(batch["teacher"])))
    got = o.training_step(batch, RNG)
    torch.testing.assert_close(got["loss"], (want_cls + want_dist) / 2)
    torch.testing.assert_close(got["loss_cls"], want_cls.detach())
    torch.testing.assert_close(got["loss_dist"], want_dist.detach())


@pytest.mark.parametrize("with_teacher", [True, False])
def test_the_student_is_validated_by_both_heads(batch, with_teacher):
    o = objective(TeacherStudentObjective).eval()
    targets = batch["y"]
    if with_teacher:
        batch["teacher"] = torch.randn(8, LABELS, generator=torch.Generator().manual_seed(0))
        targets = o.teacher_labels(batch["teacher"])
    got = o.validate(batch)
    cls, dist, _ = o.net(o.normalise(batch["x"])[:, None])
    torch.testing.assert_close(got["scores"], (cls.sigmoid() + dist.sigmoid()) / 2)
    torch.testing.assert_close(got["scores_cls"], cls.sigmoid())
    torch.testing.assert_close(got["scores_dist"], dist.sigmoid())
    torch.testing.assert_close(got["loss"].mean(), (bce(cls, batch["y"]) + bce(dist, targets)) / 2)
    whole = {name: value.detach().numpy() for name, value in got.items()}
    agreement = {f"teacher_{what}_{head}" for what in ("loss", "f1") for head in ("cls", "dist")} if with_teacher else set()
    assert set(o.summarise(whole)) == {"loss"} | agreement


def test_how_far_each_head_is_from_the_teacher(batch):
    batch["teacher"] = torch.randn(8, LABELS, generator=torch.Generator().manual_seed(0))
    o = objective(TeacherStudentObjective).eval()
    o.net.forward = lambda x, generator=None: (batch["teacher"] + 1, -batch["teacher"], x)
    got = o.summarise({name: value.detach().numpy() for name, value in o.validate(batch).items()})
    labels = o.teacher_labels(batch["teacher"])
    assert got["teacher_loss_cls"] == pytest.approx(float(bce(batch["teacher"] + 1, labels)))
    assert got["teacher_loss_dist"] == pytest.approx(float(bce(-batch["teacher"], labels)))
    for head, logits in (("cls", batch["teacher"] + 1), ("dist", -batch["teacher"])):
        own = o.teacher_labels(logits)
        assert got[f"teacher_f1_{head}"] == pytest.approx(f1_score(labels.ravel(), own.ravel()))
    o.net.forward = lambda x, generator=None: (batch["teacher"], -50 * torch.ones(8, LABELS), x)
    got = o.summarise({name: value.detach().numpy() for name, value in o.validate(batch).items()})
    assert got["teacher_f1_cls"] == 1
    assert 0 < got["teacher_f1_dist"] < 1  # none passes: its best


# ---- refusals
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: TeacherStudentObjective(ToyNet("mean")), "distilled_type=separated"),
        (lambda: SupervisedObjective(ToyNet("separated")), "teacher_student.do=true"),
        (lambda: TeacherStudentObjective(ToyNet("separated"), threshold=1.0), "1.0"),
        (lambda: SupervisedObjective(ToyNet(), mixup_alpha=-1), "mixup_alpha is -1"),
        (lambda: SupervisedObjective(ToyNet(), mixup_group=1), "mixup_group is 1"),
        (lambda: SupervisedObjective(ToyNet(), norm_std=0.0), "norm_std is 0.0"),
    ],
)
def test_impossible_combinations_are_refused_when_made(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


def test_a_student_without_a_teachers_logits_says_how_to_get_them(batch):
    with pytest.raises(ConfigError, match="extract_logits"):
        objective(TeacherStudentObjective).training_step(batch, RNG)


# ---- the base class
def test_frozen_parts_stay_in_eval_and_untrained():
    o = objective()
    o.freeze(["net.body"])
    o.train()
    assert not o.net.body.training
    assert o.net.head.training
    assert {id(p) for p in o.param_groups()[0]["params"]}.isdisjoint({id(p) for p in o.net.body.parameters()})


def test_distillation_learns_the_teachers_probabilities_and_looks_at_no_labels(batch):
    taught = {k: v for k, v in batch.items() if k != "y"} | {"teacher": torch.randn(len(batch["index"]), LABELS)}
    o = objective(DistillationObjective).eval()
    x, mix = o.augment(taught, RNG)
    torch.testing.assert_close(o.training_step(taught, RNG)["loss"], bce(o.net(x[:, None])[0], mix(taught["teacher"].sigmoid())))
    said = o.validate(taught)
    torch.testing.assert_close(said["taught"], taught["teacher"].sigmoid())
    torch.testing.assert_close(said["loss"], bce(said["learned"].logit(), said["taught"], reduction="none").mean(1))
    assert {"loss", "teacher_top1", "constant_top1"} <= set(o.summarise({k: v.detach().numpy() for k, v in said.items()}))
    with pytest.raises(ConfigError, match="extract_logits"):
        o.training_step(batch, RNG)
    with pytest.raises(ConfigError, match="separated heads"):
        DistillationObjective(ToyNet("separated"))


def test_agreement_is_whole_with_oneself_and_a_constants_is_stated():
    teacher = np.random.default_rng(0).random((50, 7))
    same = agreement(teacher, teacher)
    assert (same["teacher_top1"], same["teacher_divergence"]) == (1, 0)
    assert same["teacher_correlation"] == pytest.approx(1)
    constant = agreement(np.tile(teacher.mean(0), (50, 1)), teacher)
    assert constant["teacher_correlation"] == 0
    assert constant["teacher_divergence"] == pytest.approx(constant["constant_divergence"])
    assert constant["constant_top1"] == np.bincount(teacher.argmax(1)).max() / 50
    assert agreement(1 - teacher, teacher)["teacher_correlation"] == pytest.approx(-1)
    found = of_recordings(np.array([[0.0], [1.0], [5.0]]), np.array([3, 3, 1]), np.array([1, 3, 2]))
    np.testing.assert_allclose(found, [[5.0], [0.75]])
