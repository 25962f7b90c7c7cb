from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from helpers import probe as probe_module
from helpers.probe import ProbeSettings, Split, run_probe
from helpers.scores import SystemScores, compare
from helpers.stacked_heads import StackedHeads, initial_head
from models.errors import ConfigError, GroundtruthError

LABELS = ["a", "b", "c", "d", "e", "f"]
QUICK = ProbeSettings(hidden=64, max_epochs=20, batch_size=64, max_lr=5e-3, warmup_epochs=2, max_lr_epochs=4)


def planted(seed: int = 0, n: int = 700, width: int = 24, shuffled: bool = False) -> tuple[Split, Split, Split]:
    """Labels that are a noisy linear function of the embeddings; or, shuffled, of other tracks' embeddings."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, width)).astype(np.float32)
    y = x @ rng.standard_normal((width, len(LABELS))) + 0.5 * rng.standard_normal((n, len(LABELS))) > 1.0
    if shuffled:
        y = rng.permutation(y)
    keys = [f"{i}.flac" for i in range(n)]
    cut = [0, n * 5 // 7, n * 6 // 7, n]
    return tuple(Split(name, keys[a:b], x[a:b], y[a:b]) for name, a, b in zip(("train", "validation", "test"), cut, cut[1:]))


@pytest.fixture(scope="module")
def result():
    return run_probe("planted", *planted(), LABELS, seeds=(0, 1, 2), settings=QUICK)


def test_planted_linear_labels_are_found(result):
    assert (result.scores.scores("macro_roc") > 0.95).all()
    assert result.scores.split == "test"
    assert result.scores.n_classes() == len(LABELS)


def test_shuffled_labels_are_not(result):
    scores = run_probe("shuffled", *planted(n=2100, shuffled=True), LABELS, seeds=(0, 1, 2), settings=QUICK).scores
    assert abs(scores.mean() - 0.5) < 0.06


def test_scores_are_scikit_learns(result):
    test = planted()[2]
    want = [roc_auc_score(test.y, p, average="macro") for p in result.scores.predictions]
    np.testing.assert_allclose(result.scores.scores("macro_roc"), want, atol=1e-12)


def plain_training(
    seed: int, settings: ProbeSettings, train: Split, validation: Split
) -> tuple[torch.nn.Module, int, np.ndarray]:
    """The same protocol as an ordinary loop over one ProbeHead, with the same draws."""
    head = initial_head(seed, train.x.shape[1], len(LABELS), **settings.head)
    draws = StackedHeads([head], [seed])  # only for its generators: order and dropout
    dropout = next(m for m in head.layers if isinstance(m, torch.nn.Dropout))
    dropout.forward = lambda x: draws._drop(x[None], settings.dropout)[0]
    optimizer = torch.optim.AdamW(head.parameters(), lr=1.0, weight_decay=settings.weight_decay, foreach=False)
    rate, best, kept, step, curve = settings.learning_rate(), -1.0, None, 0, []
    x, y = torch.from_numpy(train.x), torch.from_numpy(train.y.astype(np.float32))
    for epoch in range(settings.max_epochs):
        draws.train()
        for batch in draws.orders(len(x))[0].split(settings.batch_size):
            optimizer.param_groups[0]["lr"] = rate(epoch, step)
            optimizer.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(head(x[batch]), y[batch]).backward()
            optimizer.step()
            step += 1
        draws.eval()
        with torch.no_grad():
            roc = roc_auc_score(validation.y, head(torch.from_numpy(validation.x)).numpy())
        curve.append(roc)
        if roc > best:
            best, kept = roc, (epoch, {k: v.clone() for k, v in head.state_dict().items()})
    head.load_state_dict(kept[1])
    return head, kept[0], np.array(curve)


@pytest.mark.parametrize("scheduler", ["exp_warmup_linear_down", "cyclic", "exponential"])
def test_heads_trained_together_equal_each_trained_alone(scheduler):
    settings = replace(QUICK, max_epochs=6, scheduler=scheduler)
    splits = planted(n=350)
    together = run_probe("together", *splits, LABELS, seeds=(3, 5, 8), settings=settings)
    for h, seed in enumerate((3, 5, 8)):
        alone = run_probe("alone", *splits, LABELS, seeds=(seed,), settings=settings)
        np.testing.assert_allclose(together.scores.predictions[h], alone.scores.predictions[0], atol=1e-5)
        plain, epoch, curve = plain_training(seed, settings, *splits[:2])
        assert together.scores.validation["best_epoch"][h] == epoch
        np.testing.assert_allclose(together.scores.history["val_roc"][h], curve, atol=1e-3)  # two near scores may change places
        for got, want in zip(together.heads[h].parameters(), plain.parameters()):
            torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)


def test_the_order_changes_with_the_seed_and_the_epoch_and_holds_every_item():
    heads = StackedHeads([initial_head(s, 4, 2, hidden=8) for s in (0, 1)], (0, 1))
    first, second = heads.orders(50), heads.orders(50)
    for order in (*first, *second):
        assert sorted(order.tolist()) == list(range(50))
        assert order.tolist() != list(range(50))
    assert first[0].tolist() != first[1].tolist()
    assert first[0].tolist() != second[0].tolist()
    again = StackedHeads([initial_head(s, 4, 2, hidden=8) for s in (1, 7)], (1, 7)).orders(50)
    assert again[0].tolist() == first[1].tolist()


def test_training_leaves_the_global_generator_alone():
    torch.manual_seed(1)
    want = torch.rand(3)
    torch.manual_seed(1)
    run_probe("x", *planted(n=140), LABELS, seeds=(0,), settings=replace(QUICK, max_epochs=1))
    assert torch.equal(torch.rand(3), want)


def test_the_choice_uses_validation_only_and_the_test_split_is_touched_once(monkeypatch):
    train, validation, test = planted(n=350)
    scored = []
    logits = StackedHeads.logits

    def counted(self, x):
        scored.append(len(x))
        return logits(self, x)

    monkeypatch.setattr(StackedHeads, "logits", counted)
    first = run_probe("x", train, validation, test, LABELS, seeds=(0, 1), settings=QUICK)
    assert len(test.keys) == len(validation.keys)
    assert len(scored) == QUICK.max_epochs + 1  # validation once an epoch, then the test split
    other = replace(test, x=-test.x[::-1].copy(), y=~test.y)
    second = run_probe("x", train, validation, other, LABELS, seeds=(0, 1), settings=QUICK)
    assert first.scores.validation == second.scores.validation
    assert first.best == second.best
    for a, b in zip(first.heads, second.heads):
        for p, q in zip(a.parameters(), b.parameters()):
            assert torch.equal(p, q)


@pytest.mark.parametrize("monitor", ["val_roc", "val_ap", "val_loss"])
def test_the_kept_epoch_is_the_best_by_the_monitor(monitor):
    train, validation, test = planted(n=210)
    small = replace(
        train, x=train.x[:40], y=train.y[:40], keys=train.keys[:40]
    )  # overfits: the last epoch is not the best of all seeds
    result = run_probe("x", small, validation, test, LABELS, settings=replace(QUICK, max_epochs=40, monitor=monitor, max_lr=2e-2))
    curve = result.scores.history[monitor]
    want = curve.argmin(1) if monitor == "val_loss" else curve.argmax(1)
    assert result.scores.validation["best_epoch"] == want.tolist()
    assert (want < 39).any()
    for h, head in enumerate(result.heads):  # the kept weights are that epoch's
        with torch.no_grad():
            probabilities = head(torch.from_numpy(validation.x)).sigmoid().numpy()
        if monitor == "val_roc":
            assert roc_auc_score(validation.y, probabilities) == pytest.approx(curve[h, want[h]], abs=1e-4)


def test_standardising_uses_the_training_split_only():
    train, validation, test = planted()
    scaled = [replace(s, x=s.x * np.float32(1000) + np.float32(500)) for s in (train, validation, test)]
    scaled[0].x[:, 0] = scaled[1].x[:, 0] = scaled[2].x[:, 0] = 7.0  # a constant input
    result = run_probe("scaled", *scaled, LABELS, seeds=(0,), settings=replace(QUICK, standardise=True))
    np.testing.assert_allclose(result.shift[1:], scaled[0].x.mean(0, dtype=np.float64)[1:], rtol=1e-5)
    assert result.scale[0] == 1
    assert result.scores.mean() > 0.9


def test_schedules():
    rate = ProbeSettings().learning_rate()
    got = [rate(e, 0) / 1e-4 for e in (0, 1, 5, 9, 10, 11, 35, 59)]
    np.testing.assert_allclose(got, [0.01097, 0.01742, 0.28650, 0.95123, 1, 0.98, 0.5, 0.02], atol=5e-6)
    rate = ProbeSettings(scheduler="cyclic", base_lr=1e-7, max_lr=1e-4).learning_rate()
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1e-7)
    reference = torch.optim.lr_scheduler.CyclicLR(
        optimizer, 1e-7, 1e-4, step_size_up=145, mode="triangular2", cycle_momentum=False
    )
    for step in range(700):
        assert rate(0, step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6), step
        optimizer.step()
        reference.step()
    rate = ProbeSettings(
        scheduler="exponential", warmup_epochs=4, max_lr_epochs=5, gamma=0.5, base_lr=0.0, max_lr=1.0
    ).learning_rate()
    assert [rate(e, 0) for e in range(8)] == [0, 0.25, 0.5, 0.75, 1, 1, 0.5, 0.25]


def test_saved_and_loaded(tmp_path, result):
    from safetensors.torch import load_file

    saved = result.save(tmp_path / "out")
    about = json.loads(saved.read_text())
    assert about["split"] == "test"
    assert about["macro_roc"]["n_classes"] == len(LABELS)
    assert len(about["macro_roc"]["per_seed"]) == 3
    assert set(about["class_roc"]) == set(LABELS)
    low, high = about["macro_roc"]["interval_95"]
    assert low < about["macro_roc"]["mean"] < high
    loaded = SystemScores.load(tmp_path / "out")
    np.testing.assert_array_equal(loaded.predictions, result.scores.predictions)
    np.testing.assert_array_equal(loaded.history["val_roc"], result.scores.history["val_roc"])
    assert (loaded.keys, loaded.seeds, loaded.settings) == (result.scores.keys, result.scores.seeds, result.scores.settings)
    head = initial_head(9, 24, len(LABELS), **QUICK.head)
    head.load_state_dict(load_file(tmp_path / "out" / "head.safetensors"))
    with torch.no_grad():
        predictions = head.eval()(torch.from_numpy(planted()[2].x)).sigmoid().numpy()
    np.testing.assert_allclose(predictions, result.scores.predictions[result.best], atol=1e-6)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["head.safetensors", "scores.json", "scores.npz"]


def test_paired_comparison(result):
    worse = run_probe("worse", *planted(), LABELS, seeds=(0, 1), settings=replace(QUICK, max_epochs=1, max_lr=1e-4)).scores
    found = compare(result.scores, worse)
    assert found.interval[0] > 0
    assert found.interval[0] < found.mean < found.interval[1]
    same = compare(result.scores, result.scores)
    assert (same.mean, same.interval) == (0, (0, 0))
    with pytest.raises(ConfigError, match="same tracks"):
        compare(result.scores, replace(worse, split="validation"))


def test_one_seed_has_no_spread(result):
    one = replace(result.scores, predictions=result.scores.predictions[:1], seeds=[0])
    assert np.isnan(one.sd())
    assert one.summary()["macro_roc"]["sd"] is not None  # nan here; null in the file
    assert result.scores.sd() == pytest.approx(np.std(result.scores.scores("macro_roc"), ddof=1))


class TestRefusals:
    def test_before_training(self, monkeypatch):
        train, validation, test = planted(n=210)
        monkeypatch.setattr(probe_module, "_train", lambda *a: pytest.fail("trained"))

        def refused(match, t=train, v=validation, s=test, **more):
            with pytest.raises((GroundtruthError, ConfigError), match=match):
                run_probe("x", t, v, s, LABELS, **more)

        bad = train.x.copy()
        bad[3, 2] = np.nan
        refused("1 of 150 train tracks .* not finite: 3.flac", t=replace(train, x=bad))
        refused("test split has embeddings", s=replace(test, x=test.x[:, :5]))
        refused("validation split has no tracks", v=Split("validation", [], validation.x[:0], validation.y[:0]))
        refused("1 test tracks are also used", s=replace(test, keys=[train.keys[0], *test.keys[1:]]))
        refused("No label has what val_roc needs", v=replace(validation, y=np.zeros_like(validation.y)))
        refused("different seeds", seeds=(1, 1))
        refused("different seeds", seeds=())

    def test_settings(self):
        with pytest.raises(ConfigError, match="Did you mean 'cyclic'"):
            ProbeSettings(scheduler="cyclik")
        with pytest.raises(ConfigError, match="val_roc, val_ap, val_loss"):
            ProbeSettings(monitor="test_roc")
        with pytest.raises(ConfigError, match="max_epochs is 0"):
            ProbeSettings(max_epochs=0)
