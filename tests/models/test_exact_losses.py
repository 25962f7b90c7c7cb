"""Four exact losses of every objective: what four steps of stochastic gradient descent give on a tiny network and a fixed batch.

A change of any of these numbers is a change of how networks are trained. With AVX2 and with SSE4 alone, on one thread and on two, they were the
same to 3e-7.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from models.classification import ClassificationObjective
from models.clmr import SampleCNN
from models.clmr.augment import Augmentation
from models.clmr.objective import ContrastiveObjective
from models.finetune import FineTuneObjective, fine_tuned
from models.maest import MAEST
from models.maest.augment import Masking, Roll
from models.maest.objective import DistillationObjective, SupervisedObjective, TeacherStudentObjective
from models.music2vec import Music2Vec
from models.music2vec.objective import Data2Vec
from models.music2vec.recipe import Recipe
from models.musicfm import MusicFM25Hz
from models.musicfm.objective import MaskedAudioObjective
from models.objective import Objective
from models.omar_rq import OmarRQ
from models.omar_rq.objective import MaskedTokenObjective
from models.omar_rq.settings import Masking as TokenMasking
from models.randomness import Randomness

ITEMS, LABELS, SEED = 8, 3, 11
RATE = 0.002  # small: batch normalisation of few items would turn rounding into digits
FRAMES, SAMPLES = 64, 3 * 9 * 9


def mels() -> torch.Tensor:
    """Raw log-mels [B, F, T] of no silence."""
    return torch.from_numpy(np.random.default_rng(SEED).uniform(0.0, 4.0, (ITEMS, 96, FRAMES)).astype(np.float32))


def waves(views: int) -> torch.Tensor:
    """Noise [B, N], or of several views [B, views, N]."""
    x = np.random.default_rng(SEED).uniform(-0.5, 0.5, (ITEMS, views, SAMPLES)).astype(np.float32)
    return torch.from_numpy(x if views > 1 else x[:, 0])


def batch(x: torch.Tensor, exclusive: bool) -> dict[str, torch.Tensor]:
    rng, index = np.random.default_rng(SEED + 1), torch.arange(ITEMS)
    y = torch.from_numpy((rng.random((ITEMS, LABELS)) < 0.4).astype(np.float32))
    if exclusive:
        y = torch.nn.functional.one_hot(index % LABELS, LABELS).float()
    teacher = torch.from_numpy(rng.normal(0, 2, (ITEMS, LABELS)).astype(np.float32))
    return {
        "x": x,
        "y": y,
        "teacher": teacher,
        "index": index,
        "draw": index,
        "window": index * 0,
        "valid": index * 0 + x.shape[-1],
    }


def maest(**settings) -> MAEST:
    return MAEST(
        **{"input_t": FRAMES, "n_classes": LABELS, "embed_dim": 16, "depth": 2, "num_heads": 2, "init_std": 0.1, **settings}
    )


def cnn(out_dim: int | None) -> SampleCNN:
    return SampleCNN([4, 4, 6, 8], [9, 9], out_dim=out_dim)


def omar(**masking) -> MaskedTokenObjective:
    """Samples in, two targets of samples of one length."""
    read = {"name": "Waveform", "sr": 16000, "norm_mean": None, "patch_size": [1, 9]}
    net = OmarRQ(16, 2, 2, dropout=0.1, input=read, max_seconds=0.02)
    return MaskedTokenObjective(net, [read, read], TokenMasking(num_codebooks=2, mask_seconds=0.0012, **masking))


def musicfm() -> MaskedAudioObjective:
    """Two codebooks; blocks of two tokens of a short clip."""
    blocks = {"num_attention_heads": 2, "intermediate_size": 24, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
    sizes = {"n_mels": 8, "conv_dim": 4, "encoder_dim": 16, "encoder_depth": 2, "num_codebooks": 2, "codebook_size": 32}
    net = MusicFM25Hz(
        **sizes, hop_length=60, mask_hop=0.02, max_seconds=0.1, conformer=blocks, is_flash=True, stat_path=None, model_path=None
    )
    return MaskedAudioObjective(net)


def music2vec() -> Data2Vec:
    """Blocks that are left out, a teacher that follows fast."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24, "conv_dim": [4] * 7}
    net = Music2Vec(None, **sizes, max_seconds=0.3, hidden_dropout=0.0, attention_dropout=0.0)
    return Data2Vec(net, Recipe(top_k=2, mask_span=3, ema_start=0.5, ema_end=0.9, ema_steps=4, layerdrop=0.3))


AUGMENTED = dict(roll=Roll(do=True), masking=Masking())
CASES: dict[str, tuple[Callable[[], Objective], Callable[[], torch.Tensor], list[float]]] = {
    "SupervisedObjective": (
        lambda: SupervisedObjective(maest(s_patchout_t=1), **AUGMENTED),
        mels,
        [0.748693287, 0.743517160, 0.720398128, 0.735017955],
    ),
    "TeacherStudentObjective": (
        lambda: TeacherStudentObjective(maest(distilled_type="separated"), **AUGMENTED),
        mels,
        [0.735855103, 0.726382017, 0.724957108, 0.731274009],
    ),
    "DistillationObjective": (
        lambda: DistillationObjective(maest(), **AUGMENTED),
        mels,
        [0.710658789, 0.705475032, 0.703102827, 0.703497648],
    ),
    "ContrastiveObjective": (
        lambda: ContrastiveObjective(cnn(None), projection_dim=8, augmentation=Augmentation(pitch=0.0)),
        lambda: waves(2),
        [2.84449816, 2.77636313, 2.72048998, 2.6034547],
    ),
    "ClassificationObjective": (
        lambda: ClassificationObjective(cnn(LABELS)),
        lambda: waves(1),
        [0.706832707, 0.695261002, 0.684092164, 0.674047053],
    ),
    "ClassificationObjective, one class": (
        lambda: ClassificationObjective(cnn(LABELS), task="multiclass"),
        lambda: waves(1),
        [1.17391515, 1.09936273, 1.021685, 0.976721585],
    ),
    "MaskedTokenObjective": (
        lambda: omar(codebook_size=32),
        lambda: waves(1),
        [3.60083485, 3.62109089, 3.60240722, 3.61306548],
    ),
    "MaskedTokenObjective, finite scalars and shuffled input": (
        lambda: omar(
            codebook_size=27, quantizer_type="finite_scalar_quantizer", levels=(3, 3, 3), masking_noise_type="shuffled_input"
        ),
        lambda: waves(1),
        [3.46158242, 3.42395234, 3.43639517, 3.42013478],
    ),
    "MaskedAudioObjective": (
        musicfm,
        lambda: torch.cat([waves(1)] * 10, dim=1),
        [3.50106907, 3.47836304, 3.39984345, 3.35371614],
    ),
    "Data2Vec": (
        music2vec,
        lambda: torch.cat([waves(1)] * 20, dim=1),
        [2.14762592, 2.08908796, 2.02158856, 2.00260305],
    ),
    "FineTuneObjective": (
        lambda: FineTuneObjective(fine_tuned(maest(), [str(i) for i in range(LABELS)], hidden=8), layer_decay=0.5),
        mels,
        [0.734407067, 0.742704153, 0.72507602, 0.716529071],
    ),
}


def losses(make: Callable[[], Objective], x: torch.Tensor) -> list[float]:
    torch.manual_seed(SEED)
    objective = make()
    data = batch(x, getattr(objective, "task", "") == "multiclass")
    optimizer = torch.optim.SGD(objective.param_groups(), lr=RATE)
    objective.train()
    found = []
    for step in range(4):
        optimizer.zero_grad()
        loss = objective.training_step(data, Randomness(SEED, 0, step))["loss"]
        loss.backward()
        optimizer.step()
        objective.after_optimizer_step(step + 1)
        found.append(float(loss.detach().double()))
    return found


@pytest.mark.parametrize("name", CASES)
def test_four_steps(name):
    make, x, want = CASES[name]
    assert losses(make, x()) == pytest.approx(want, rel=1e-6)


def test_every_objective_is_here():
    def below(kind: type) -> set[str]:
        """Classes of this project that no other derives from."""
        return {
            name
            for sub in kind.__subclasses__()
            if sub.__module__.startswith("models.")
            for name in (below(sub) or {sub.__name__})
        }

    assert below(Objective) <= {name.split(",")[0] for name in CASES}
