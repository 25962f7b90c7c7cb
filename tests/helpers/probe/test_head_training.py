"""Training of heads: equal to an ordinary loop, alone and side by side; order of rows, choice of epoch and rate, schedules."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from configs import PROBE
from configs.naming import merged
from configs.options import defaults
from configs.schema_probe import ExTl
from datasets.groundtruth.groundtruth import Groundtruth
from datasets.store.track_store import TrackStore
from helpers.probe import head_training as training_module
from helpers.probe.head_step import Draws
from helpers.probe.head_training import Examples, HeadSpec, Source, epoch_batches, epoch_rows, initial_head, train_heads
from helpers.probe.inputs import Inputs, read_split
from helpers.probe.run import ProbeSettings, Split, run_probe
from helpers.probe.sections import probe_settings
from helpers.utils.typed_config import build
from tests.helpers.probe.planted import LABELS, QUICK, planted


def plain_training(
    seed: int, settings: ProbeSettings, train: Split, validation: Split
) -> tuple[torch.nn.Module, int, np.ndarray]:
    """The same protocol as an ordinary loop with autograd and torch's optimiser over one ProbeHead, with the same draws."""
    head = initial_head(seed, train.x.shape[1], len(LABELS), **settings.head)
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    optimizer = kind(head.parameters(), lr=1.0, weight_decay=settings.weight_decay, foreach=False)
    per_epoch = -(-len(train.x) // settings.batch_size)
    rate, best, kept, step, curve = settings.learning_rate(settings.total_steps(per_epoch)), -1.0, None, 0, []
    x, y = torch.from_numpy(train.x), torch.from_numpy(train.y.astype(np.float32))
    activation = {"relu": torch.relu, "tanh": torch.tanh, "gelu": torch.nn.functional.gelu}[settings.activation]
    for epoch in range(settings.epochs(per_epoch)):
        draws = Draws(seed, epoch)
        for batch in torch.from_numpy(draws.order.permutation(len(x))).split(settings.batch_size):
            if step == settings.total_steps(per_epoch):
                break
            optimizer.param_groups[0]["lr"] = rate(epoch, step)
            optimizer.zero_grad()
            z = x[batch]
            if settings.input_dropout:
                z = z * draws.keep(z.shape, settings.input_dropout)
            *hidden, last = head.linears
            for linear in hidden:
                z = activation(linear(z))
                z = z * draws.keep(z.shape, settings.dropout)
            torch.nn.functional.binary_cross_entropy_with_logits(last(z), y[batch]).backward()
            optimizer.step()
            step += 1
        head.eval()
        with torch.no_grad():
            roc = roc_auc_score(validation.y, head(torch.from_numpy(validation.x)).numpy())
        curve.append(roc)
        if roc > best:
            best, kept = roc, (epoch, {k: v.clone() for k, v in head.state_dict().items()})
    head.load_state_dict(kept[1])
    return head, kept[0], np.array(curve)


@pytest.mark.parametrize(
    "changes",
    [
        {"scheduler": "exp_warmup_linear_down"},
        {"scheduler": "cyclic", "optimizer": "adam", "weight_decay": 0.01},
        {"scheduler": "exponential", "activation": "gelu"},
        {"scheduler": "warmup_cosine", "warmup_steps": 5, "input_dropout": 0.2, "num_layers": 3, "max_steps": 21},
        {"scheduler": "constant", "num_layers": 1, "activation": "tanh"},
        {"scheduler": "constant", "num_layers": 2, "activation": "tanh", "dropout": 0.2},
    ],
)
def test_a_head_equals_an_ordinary_training_loop(changes):
    settings = replace(QUICK, max_epochs=6, **changes)
    splits = planted(n=350)
    found = run_probe("fast", splits, LABELS, seeds=(3,), settings=settings)
    plain, epoch, curve = plain_training(3, settings, *splits[:2])
    assert found.scores.validation["best_epoch"][0] == epoch
    np.testing.assert_allclose(found.scores.history["val_roc"][0], curve, atol=1e-3)  # two near scores may change places
    for got, want in zip(found.heads[0].parameters(), plain.parameters()):
        torch.testing.assert_close(got, want, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("layers", [1, 2])
def test_clmr_s_evaluation_equals_an_ordinary_loop_over_windows_drawn_once(tmp_path, layers):
    """clmr_linear and clmr_mlp from a store of windows: the loop draws one window of each track before it begins, and keeps it."""
    tracks, width, rng = 30, 6, np.random.default_rng(5)
    held = {f"t{k}": rng.normal(0, 1, (int(rng.integers(1, 6)), width)).astype(np.float32) for k in range(3 * tracks)}
    with TrackStore.create(tmp_path / "e.h5", (width,), "float32", {}) as writer:
        for key, windows in held.items():
            writer.append(key, windows)
    parts = dict(zip(("train", "val", "test"), (list(held)[k : k + tracks] for k in (0, tracks, 2 * tracks))))
    labels = [[LABELS[k % 2]] if k % 3 else list(LABELS[:2]) for k in range(tracks)]
    truths = {part: Groundtruth.from_rows(keys, labels) for part, keys in parts.items()}
    named = PROBE["clmr_linear" if layers == 1 else "clmr_mlp"].values
    config = build(ExTl, merged(merged(defaults(ExTl), named), {"trainer": {"max_epochs": 4}, "model": {"hidden_units": 8}}))
    settings = probe_settings(config.trainer, config.optimizer, config.model, config.data.batch_size, False, data=config.data)
    inputs = Inputs("t", train=config.data.train_windows, val=config.data.val_windows, test=config.data.test_windows, seed=9)
    splits = [read_split(part, tmp_path / "e.h5", truths[part], inputs) for part in parts]
    found = run_probe("fast", splits, truths["train"].labels, seeds=(3,), settings=settings)

    places = np.random.default_rng(9).random(tracks)  # once, before the first epoch
    x = torch.from_numpy(
        np.stack([windows[int(u * len(windows))] for u, windows in zip(places, (held[key] for key in parts["train"]))])
    )
    y = torch.from_numpy(truths["train"].matrix().astype(np.float32))
    head = initial_head(3, width, y.shape[1], **settings.head)
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-3, weight_decay=1e-6, foreach=False)
    for epoch in range(4):
        for batch in torch.from_numpy(Draws(3, epoch).order.permutation(tracks)).split(48):
            optimizer.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(head.train()(x[batch]), y[batch]).backward()
            optimizer.step()
    for got, want in zip(found.heads[0].parameters(), head.parameters()):
        torch.testing.assert_close(got, want, atol=1e-6, rtol=1e-6)


def source(splits) -> Source:
    return Source(splits[0].examples(), splits[1].examples())


def test_heads_trained_side_by_side_equal_each_trained_alone(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)  # so that they share two threads
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    settings = replace(QUICK, max_epochs=4)
    splits, other = planted(n=350), planted(seed=1, n=350)
    specs = [HeadSpec(seed, rate, which) for which in (0, 1) for seed in (3, 5, 8) for rate in (1e-3, 5e-3)]
    sources = [source(splits), source(other)]
    before = torch.get_num_threads()
    together = train_heads(specs, sources, settings, LABELS)
    assert torch.get_num_threads() == before
    assert [head.spec for head in together] == specs
    for head in together:
        alone = train_heads([head.spec], sources, settings, LABELS)[0]
        assert alone.kept == head.kept
        for p, q in zip(alone.head.parameters(), head.head.parameters()):
            torch.testing.assert_close(p, q, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_bfloat16_is_near_float32():
    settings = replace(QUICK, max_epochs=8)
    splits = planted(n=700)
    full = run_probe("32", splits, LABELS, seeds=(0, 1), settings=settings).scores
    low = run_probe("bf16", splits, LABELS, seeds=(0, 1), settings=replace(settings, precision="bf16")).scores
    assert not np.array_equal(full.predictions, low.predictions)
    np.testing.assert_allclose(low.scores("macro_roc"), full.scores("macro_roc"), atol=5e-3)


def test_the_order_changes_with_the_seed_and_the_epoch_and_holds_every_item():
    examples = Examples(np.zeros((50, 3), np.float32), np.zeros((50, 2), bool))
    orders = {
        (seed, epoch): epoch_rows(examples, "row", Draws(seed, epoch).order).tolist() for seed in (0, 1) for epoch in (0, 1)
    }
    for order in orders.values():
        assert sorted(order) == list(range(50))
        assert order != list(range(50))
    assert len({tuple(order) for order in orders.values()}) == 4
    assert epoch_rows(examples, "row", Draws(1, 1).order).tolist() == orders[1, 1]


def test_training_visits_the_rows_in_that_order(monkeypatch):
    """The loop shuffles: what reaches the head is a new order every epoch, all rows of it."""
    seen: list[float] = []
    step = training_module.HeadStep.__call__
    monkeypatch.setattr(
        training_module.HeadStep, "__call__", lambda self, x, y, d, r: (seen.extend(x[:, 0].tolist()), step(self, x, y, d, r))[1]
    )
    splits = planted(n=140)
    run_probe("x", splits, LABELS, seeds=(0,), settings=replace(QUICK, max_epochs=2))
    n, first = len(splits[0].x), splits[0].x[:, 0].tolist()
    one, two = seen[:n], seen[n:]
    assert sorted(one) == sorted(two) == sorted(first)
    assert one != first
    assert one != two


def test_random_windows_are_one_of_each_track_and_change():
    track = np.repeat(np.arange(30), 4)
    examples = Examples(np.zeros((120, 3), np.float32), np.zeros((30, 2), bool), track)
    draws = [epoch_rows(examples, "random_row", Draws(0, epoch).order) for epoch in range(20)]
    for rows in draws:
        assert sorted(track[rows]) == list(range(30))
    assert len(np.unique(np.concatenate(draws))) > 110
    assert sorted(epoch_rows(examples, "row", Draws(0, 0).order)) == list(range(120))


def test_a_step_of_tracks_has_all_their_windows():
    track = np.repeat(np.arange(5), [1, 4, 2, 3, 2])
    examples, settings = Examples(np.zeros((12, 2)), np.zeros((5, 1)), track), replace(QUICK, batch_size=2, examples="track")
    steps = epoch_batches(examples, settings, Draws(0, 0).order)
    assert sorted(np.concatenate(steps)) == list(range(12))
    assert [len(set(track[rows])) for rows in steps] == [2, 2, 1]
    assert sum((track == t).sum() for t in track[steps[0]][[0, -1]]) == len(steps[0])
    again = epoch_batches(examples, settings, Draws(0, 1).order)
    assert [rows.tolist() for rows in again] != [rows.tolist() for rows in steps]


def test_training_leaves_the_global_generator_alone():
    torch.manual_seed(1)
    want = torch.rand(3)
    torch.manual_seed(1)
    run_probe("x", planted(n=140), LABELS, seeds=(0,), settings=replace(QUICK, max_epochs=1))
    assert torch.equal(torch.rand(3), want)


@pytest.mark.parametrize("monitor", ["val_roc", "val_ap", "val_loss"])
def test_the_best_epoch_by_the_monitor_is_kept(monitor):
    settings = replace(QUICK, max_epochs=40, max_lr=2e-2, monitor=monitor, dropout=0.0)
    train, validation, test = planted(n=210)
    result = run_probe("x", (train, validation, test), LABELS, seeds=(0, 1), settings=settings)
    curve = result.scores.history[monitor]
    want = curve.argmin(axis=1) if monitor == "val_loss" else curve.argmax(axis=1)
    assert result.scores.validation["best_epoch"] == want.tolist()
    assert (want < 39).any()
    for h, head in enumerate(result.heads):  # the kept weights are that epoch's
        with torch.no_grad():
            probabilities = head(torch.from_numpy(validation.x)).sigmoid().numpy()
        if monitor == "val_roc":
            assert roc_auc_score(validation.y, probabilities) == pytest.approx(curve[h, want[h]], abs=1e-4)


def test_the_last_epoch_is_kept_when_asked():
    found = run_probe("x", planted(n=210), LABELS, seeds=(0,), settings=replace(QUICK, max_epochs=7, keep="last"))
    assert found.scores.validation["best_epoch"] == [6]


def test_early_stopping_and_the_plateau_follow_their_curves():
    settings = replace(
        QUICK,
        max_epochs=60,
        max_lr=2e-2,
        scheduler="plateau",
        gamma=0.1,
        plateau_patience=2,
        early_stopping=6,
        early_monitor="val_loss",
    )
    found = run_probe("x", planted(n=210), LABELS, seeds=(0, 1), settings=settings).scores
    for curve in found.history["val_loss"]:
        losses = curve[np.isfinite(curve)]
        assert len(losses) < 60
        assert len(losses) - 1 - losses.argmin() == 6  # six epochs behind the best, no earlier and no later
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    torchs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "min", factor=0.1, patience=2)
    watch, factor = training_module._Watch("val_loss", -1.0, 1e-4), 1.0
    rng = np.random.default_rng(0)
    for value in np.abs(rng.standard_normal(60)).cumsum()[::-1] // 3 / 10 + 0.1:
        torchs.step(value)
        if not watch.better(value) and watch.since > 2:
            factor, watch.since = factor * 0.1, 0
        assert factor == pytest.approx(optimizer.param_groups[0]["lr"])


def test_each_seed_keeps_its_best_rate():
    found = run_probe("x", planted(n=350), LABELS, seeds=(0, 1), settings=replace(QUICK, max_epochs=5, lr_grid=(1e-6, 5e-3)))
    assert found.scores.validation["max_lr"] == [5e-3, 5e-3]
    alone = run_probe("x", planted(n=350), LABELS, seeds=(0, 1), settings=replace(QUICK, max_epochs=5, max_lr=5e-3))
    np.testing.assert_allclose(found.scores.predictions, alone.scores.predictions, atol=1e-6)


def test_a_loss_that_explodes_names_the_learning_rate_and_leaves_a_grid():
    grid = replace(QUICK, max_epochs=2, scheduler="constant", lr_grid=(1e30, 1e-3))
    found = run_probe("x", planted(n=140), LABELS, seeds=(0, 1), settings=grid)
    assert found.scores.validation["max_lr"] == [1e-3, 1e-3]
    with pytest.raises(FloatingPointError, match="1e\\+30"):
        run_probe(
            "x", planted(n=140), LABELS, seeds=(0,), settings=replace(QUICK, max_epochs=2, scheduler="constant", max_lr=1e30)
        )


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
