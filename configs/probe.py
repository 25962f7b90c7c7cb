"""Named configs of ex_tl.py: probes on extracted embeddings. Those of the published data sets are in targets.py."""

from __future__ import annotations

from .naming import Catalogue, Config, merged

PROBE = Catalogue()


# ---- protocols: what a field's probe is, column by column (head, loss, optimiser, schedule, which epoch, windows, from windows to tracks)
# They say how, a target says what: python ex_tl.py with target_mtt_tl marble
@PROBE.add()
def maest_tl() -> Config:
    """MAEST's protocol (section 4.4) with its best input, the three tokens stacked.

    Mean over a track's windows; MLP of 512, ReLU, dropout .5; binary cross-entropy; AdamW 1e-4, decay 1e-3; batch 128; 60 epochs, exponential
    warm-up to epoch 10, then linear down; the epoch of the best validation ROC-AUC. Unlike the published loader this one shuffles.
    """
    return {
        "trainer": {"max_epochs": 60, "max_steps": None, "precision": "32"},
        "optimizer": {
            "name": "adamw", "max_lr": 1e-4, "weight_decay": 1e-3, "scheduler": "exp_warmup_linear_down", "warmup_epochs": 10, "max_lr_epochs": 10,
            "base_lr": 1e-7, "monitor": "auto", "keep": "best", "early_stopping": 0,
        },
        "model": {"hidden_units": 512, "num_layers": 2, "drop_out": 0.5, "input_drop_out": 0.0, "loss": "auto"},
        "data": {
            "batch_size": 128, "types": "cdt", "reduce": "stack", "train_windows": "mean", "val_windows": "mean", "test_windows": "mean",
            "aggregate": "mean_prob",
        },
    }  # fmt: skip


def _clmr(num_layers: int) -> Config:
    return {
        "trainer": {"max_epochs": 200, "max_steps": None, "precision": "32"},
        "optimizer": {
            "name": "adam", "max_lr": 1e-3, "weight_decay": 1e-6, "scheduler": "plateau", "gamma": 0.1, "plateau_patience": 5,
            "plateau_monitor": "val_loss", "early_stopping": 10, "early_monitor": "val_loss", "monitor": "auto", "keep": "last",
        },
        "model": {"hidden_units": 512, "num_layers": num_layers, "drop_out": 0.0, "input_drop_out": 0.0, "loss": "auto"},
        "data": {
            "batch_size": 48, "train_windows": "random_once", "val_windows": "random", "test_windows": "each", "aggregate": "mean_prob",
        },
    }  # fmt: skip


@PROBE.add()
def clmr_linear() -> Config:
    """CLMR's linear evaluation: one Linear on single windows; a track's score is the mean of its windows' probabilities.

    One random window of every training and validation track, drawn once and kept for all epochs, every window in the test; Adam 1e-3, decay 1e-6;
    batch 48; the rate x .1 after 5 epochs without a better validation loss; at most 200 epochs, stopped after 10 such; the last epoch is tested.
    CLMR crops 59 049 samples anywhere; here a window is one of the stored, consecutive ones. Another window each epoch, which scores higher and is
    marked in tables: data.train_windows=random.
    """
    return _clmr(1)


@PROBE.add()
def clmr_mlp() -> Config:
    """CLMR's evaluation with one hidden layer of 512 (Linear, ReLU, Linear); everything else as clmr_linear."""
    return _clmr(2)


@PROBE.add()
def marble() -> Config:
    """MARBLE's protocol: every window is an example; a track's score is the probability of its windows' mean logit.

    MLP of 512, ReLU, dropout .2; Adam 1e-3 without decay; 64 tracks a step, with all their
    windows; the rate x .5 after 3 epochs without a better monitor (ROC-AUC, accuracy, R2
    or key score), stopped after 10, at most 100 epochs; the best is tested. Matrix products in bfloat16 stand for its 16-bit training. GTZAN:
    optimizer.max_lr=5e-3. NSynth: trainer.max_epochs=50. GiantSteps: data.aggregate=best. Its search over learning rates:
    optimizer.lr_grid=[1e-2,5e-3,1e-3,5e-4,1e-4]. Its weighted sum of layers: data.layers=[0,1,...] data.layer_reduce=learned.
    """
    return {
        "trainer": {"max_epochs": 100, "max_steps": None, "precision": "bf16"},
        "optimizer": {
            "name": "adam", "max_lr": 1e-3, "weight_decay": 0.0, "scheduler": "plateau", "gamma": 0.5, "plateau_patience": 3,
            "plateau_monitor": "monitor", "early_stopping": 10, "early_monitor": "monitor", "monitor": "auto", "keep": "best",
        },
        "model": {"hidden_units": 512, "num_layers": 2, "drop_out": 0.2, "input_drop_out": 0.0, "loss": "auto"},
        "data": {
            "batch_size": 64, "batch_of": "tracks", "train_windows": "each", "val_windows": "each", "test_windows": "each",
            "aggregate": "prob_of_mean_logit",
        },
    }  # fmt: skip


@PROBE.add()
def marble_small() -> Config:
    """What MARBLE changes on GTZAN: a plateau of 6 epochs, stopped after 20. Stands behind marble: with target_gtzan_tl marble marble_small."""
    return {"optimizer": {"plateau_patience": 6, "early_stopping": 20}}


@PROBE.add()
def marble_small_technique() -> Config:
    """What MARBLE changes on VocalSet's techniques: a plateau of 5 epochs, stopped after 10. Stands behind marble, with target_vocalset_tl."""
    return {"optimizer": {"plateau_patience": 5, "early_stopping": 10}}


@PROBE.add()
def omar() -> Config:
    """OMAR-RQ's protocol: each step sees a random window of its tracks; validation and test only the first window of a track.

    Dropout .2, Linear 512, ReLU, dropout .2, Linear; binary cross-entropy, of classes too (a regression: model.loss=mse); AdamW 1e-4, decay .01;
    batch 64; 2000 steps of warm-up, then cosine to 1e-7 at step 20 000; the best validation AP (or accuracy) is tested. Pitch there:
    optimizer.max_lr=1e-3 model.drop_out=0 model.input_drop_out=0 trainer.max_steps=100000. Its Bayesian search (off by default there) is not offered.
    """
    return {
        "trainer": {"max_steps": 20000, "precision": "32"},
        "optimizer": {
            "name": "adamw", "max_lr": 1e-4, "weight_decay": 0.01, "scheduler": "warmup_cosine", "warmup_steps": 2000, "base_lr": 1e-7,
            "monitor": "auto_ap", "keep": "best", "early_stopping": 0,
        },
        "model": {"hidden_units": 512, "num_layers": 2, "drop_out": 0.2, "input_drop_out": 0.2, "loss": "bce"},
        "data": {
            "batch_size": 64, "train_windows": "random", "val_windows": "first", "test_windows": "first", "aggregate": "mean_prob",
        },
    }  # fmt: skip


@PROBE.add()
def small_data() -> Config:
    """A few hundred tracks: five folds, three times, in place of one split; scores with their spread over repetitions. For any task of tracks.

    python ex_tl.py with small_data data.base_dir=EMBEDDINGS data.groundtruth=labels.csv
    """
    return {
        "data": {"folds": 5, "repeats": 3, "types": "cdt", "reduce": "stack", "standardise": True},
        "optimizer": {"max_lr": 1e-3},  # MAEST's 1e-4 takes too few steps on so little
    }


# ---- tasks in time: vectors that extract_embeddings with predict.frames=True wrote, and a folder of annotations
@PROBE.add()
def beats() -> Config:
    """Beats as OMAR-RQ's side branch trains them: a head on every vector in time, 1 at the one nearest to a beat.

    MLP of 512, ReLU, no dropout; binary cross-entropy; AdamW 1e-2, decay .01; batch 64 vectors (there chunks); 5000 steps, of them 1000 of warm-up,
    then cosine. F-measure within 70 ms, of a small DBN's beats and of peaks.

    python ex_tl.py with beats data.base_dir=EMBEDDINGS/frames/6 data.annotations=FOLDER data.groundtruth=TRACKS.csv
    """
    return {
        "trainer": {"max_steps": 5000},
        "optimizer": {
            "name": "adamw", "max_lr": 1e-2, "weight_decay": 0.01, "scheduler": "warmup_cosine", "warmup_steps": 1000, "base_lr": 1e-7,
        },
        "model": {"hidden_units": 512, "num_layers": 2, "drop_out": 0.0, "input_drop_out": 0.0, "loss": "auto"},
        "data": {"task": "beats", "batch_size": 64},
    }  # fmt: skip


@PROBE.add()
def chords() -> Config:
    """Chords: major, minor and none (25 classes) of every vector in time; weighted accuracy. The protocol is this suite's own.

    MLP of 512, ReLU, dropout .2; cross-entropy; AdamW 1e-3, decay .01; batch 256 vectors; 20 000 steps, of them 2000 of warm-up, then cosine.

    python ex_tl.py with chords data.base_dir=EMBEDDINGS/frames/6 data.annotations=FOLDER data.groundtruth=TRACKS.csv
    """
    return {
        "trainer": {"max_steps": 20000},
        "optimizer": {
            "name": "adamw", "max_lr": 1e-3, "weight_decay": 0.01, "scheduler": "warmup_cosine", "warmup_steps": 2000, "base_lr": 1e-7,
        },
        "model": {"hidden_units": 512, "num_layers": 2, "drop_out": 0.2, "input_drop_out": 0.2, "loss": "auto"},
        "data": {"task": "chords", "batch_size": 256},
    }  # fmt: skip


@PROBE.add()
def structure() -> Config:
    """Sections and their boundaries as OMAR-RQ's side branch trains them (Harmonix, 7 sections), on means of three vectors in time.

    MLP of 512, ReLU, dropout .001; binary cross-entropy, a tenth on the sections and nine on the boundary; AdamW 1e-4, decay 1e-3; batch 128;
    50 000 steps, of them 2000 of warm-up, then cosine. Frame accuracy, and hit rates of boundaries at 0.5 and 3 s.

    python ex_tl.py with structure data.base_dir=EMBEDDINGS/frames/6 data.annotations=FOLDER data.groundtruth=TRACKS.csv
    """
    return {
        "trainer": {"max_steps": 50000},
        "optimizer": {
            "name": "adamw", "max_lr": 1e-4, "weight_decay": 1e-3, "scheduler": "warmup_cosine", "warmup_steps": 2000, "base_lr": 1e-7,
        },
        "model": {"hidden_units": 512, "num_layers": 2, "drop_out": 0.001, "input_drop_out": 0.001, "loss": "auto"},
        "data": {"task": "structure", "batch_size": 128, "frame_pool": 3},
    }  # fmt: skip


# ---- tasks of tracks as OMAR-RQ probes them
@PROBE.add()
def pitch() -> Config:
    """Pitch as OMAR-RQ probes it (NSynth, 128 classes): its protocol without dropout, at 1e-3, a hundred thousand steps of 32; accuracy.

    python ex_tl.py with target_nsynth_pitch_tl pitch data.base_dir=EMBEDDINGS
    """
    return merged(
        omar(),
        {
            "trainer": {"max_steps": 100000},
            "optimizer": {"max_lr": 1e-3, "monitor": "auto"},
            "model": {"drop_out": 0.0, "input_drop_out": 0.0},
            "data": {"task": "single-label", "batch_size": 32},
        },
    )


@PROBE.add()
def difficulty() -> Config:
    """Difficulty as ordered grades (Piano Syllabus): an output per step, the mean squared error in grades. The protocol is this suite's own.

    OMAR-RQ's schedule and head, the windows' mean of a track, the epoch of the lowest validation MSE. As squared error of z-scored values instead:
    data.task=regression model.loss=auto.

    python ex_tl.py with difficulty data.base_dir=EMBEDDINGS data.groundtruth=GRADES.csv data.label_column=grade
    """
    windows = {"train_windows": "mean", "val_windows": "mean", "test_windows": "mean"}
    return merged(omar(), {"optimizer": {"monitor": "auto"}, "data": {"task": "ordinal", **windows}})
