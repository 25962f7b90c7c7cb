"""What a training step's time goes into, in every family: batches, front end, network, optimiser; and how many tracks one process feeds.

python benchmarks/bench_step_share.py [--families maest clmr omar_rq musicfm music2vec] [--rounds 3] [--threads 1]

Each family's published config, its loader over a store of noise on the disk, its objective and its optimiser (fused, as trainer.precision=auto has
it), in float32, without Lightning around them. Of deep networks three blocks are computed, at full width: each block more raises the network's
share. Processor milliseconds of one thread, medians; a step is the sum of its parts.

data: the next batch of the loader, in this process. front end: what stands before the first weight, without gradients (CLMR's augmentation, mels,
tokens of the targets, masks and their noise; of a MAEST, whose mels are in its store, normalisation, masking, mixup). network: all else of the
loss, forward and backward, a teacher's pass included. optimiser: its step, and the teacher's. "share": the network's of a step. "of batch": the
same at the published batch, computed: the optimiser's step is one, the rest goes with the clips. loaded/s, prepared/s: tracks of one process on one
core, by the loader and by the front end.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.pop(0)  # this folder: its coverage.py would be taken for the package
sys.path.insert(0, str(ROOT))

import configs  # noqa: E402
from benchmarks.timing import machine_line  # noqa: E402
from configs.naming import merged  # noqa: E402
from configs.options import defaults  # noqa: E402
from datasets.groundtruth.groundtruth import Groundtruth  # noqa: E402
from datasets.store.track_store import TrackStore  # noqa: E402
from helpers.commands.loading import make_data_module  # noqa: E402
from helpers.data.find import Tracks  # noqa: E402
from helpers.families import get_family  # noqa: E402
from helpers.training.lightning_module import LitObjective  # noqa: E402
from helpers.utils.typed_config import build  # noqa: E402
from models.encoder import AudioEncoder  # noqa: E402
from models.randomness import Randomness  # noqa: E402

TRACKS, LABELS = 24, 400


@dataclass(frozen=True)
class Case:
    """A family's training: script, named config, changes of its section, clips a step, seconds of a track, what is its front end."""

    script: Any
    named: str
    section: Mapping[str, Any]
    clips: int
    seconds: float
    front_end: Callable[[Any], list[tuple[Any, str]]]
    about: str


CASES = {
    "maest": Case(
        configs.EX_MAEST, "maest_10s_random_weights_pretrain", {"depth": 3}, 4, 15, lambda o: [(o, "augment")], "10 s, 3 of 12 blocks of 768"
    ),
    "clmr": Case(configs.EX_SSL, "clmr_pretrain", {}, 8, 8, lambda o: [(o, "views")], "2 x 2.7 s, whole"),
    "omar_rq": Case(
        configs.EX_SSL, "omar_rq_base_pretrain", {"depth": 3}, 2, 35, lambda o: [(o, "_prepared"), (o, "_masked")], "30 s, 3 of 24 blocks of 1024"
    ),
    "musicfm": Case(
        configs.EX_SSL, "musicfm_25hz_5s_pretrain", {"encoder_depth": 3}, 2, 8,
        lambda o: [(o, "_prepared"), (o, "_masked"), (o.net, "mel")], "5 s, 3 of 12 blocks of 1024",
    ),
    "music2vec": Case(
        configs.EX_SSL, "music2vec_pretrain", {"num_hidden_layers": 3, "top_k": 3}, 2, 8, lambda o: [(o, "masks")], "5 s, 3 of 12 blocks of 768"
    ),
}  # fmt: skip


class Clock:
    """Processor seconds of the outermost of its calls."""

    def __init__(self) -> None:
        self.seconds, self._inside = 0.0, False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Time what is inside, where nothing outside is timed already."""
        if self._inside:
            yield
            return
        self._inside, begun = True, time.process_time()
        try:
            yield
        finally:
            self._inside = False
            self.seconds += time.process_time() - begun

    def around(self, owner: Any, name: str) -> None:
        """Time an object's method from now on."""
        method = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.running():
                return method(*args, **kwargs)

        setattr(owner, name, timed)


def config_of(case: Case, family: str) -> Any:
    """Return a case's config, of its script's schema."""
    small = {
        family: dict(case.section),
        "datamodule": {"batch_size_train": case.clips, "sampler": {"epoch_len": None, "sampler_replace": False}},
        "trainer": {"accelerator": "cpu", "precision": "32"},
    }
    return build(case.script.schema, merged(defaults(case.script.schema), case.script.named[case.named].values, small))


def write_store(path: Path, net: AudioEncoder, seconds: float) -> None:
    """Write noise as the network's stores hold it: int16 samples, or mels in float16."""
    rng, waves = np.random.default_rng(0), net.stored_item == ()
    attrs = {**net.stored, **({"full_scale": 32768} if waves else {})}
    with TrackStore.create(path, net.stored_item, "int16" if waves else "float16", attrs) as writer:
        for i in range(TRACKS):
            n = int(seconds * net.units_per_second)
            noise = rng.standard_normal((n, *net.stored_item), dtype=np.float32)
            writer.append(f"{i}.flac", (noise * 3000).astype(np.int16) if waves else (2 + noise).astype(np.float16))
        writer.seal()


def measure(name: str, rounds: int) -> dict[str, float]:
    """Return seconds of a step's parts, and tracks/s."""
    case, family = CASES[name], get_family(name)
    config = config_of(case, name)
    labels = [str(i) for i in range(LABELS)] if family.labelled(config) else []
    net = family.network(config, labels or None, 0)
    objective, front, loss = family.objective(config, net).train(), Clock(), Clock()
    for owner, method in case.front_end(objective):
        front.around(owner, method)
    made = LitObjective(objective, replace(family.optimization(config), fused=True)).configure_optimizers()
    optimizer = made["optimizer"] if isinstance(made, dict) else made
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "store.h5")
        write_store(store, net, case.seconds)
        names = [f"{i}.flac" for i in range(TRACKS)]
        rows = (np.random.default_rng(0).random((TRACKS, LABELS)) < 0.02).astype(np.uint8)
        truth = Groundtruth.from_mapping(dict(zip(names, rows)), labels) if labels else Groundtruth.unlabelled(names)
        data = make_data_module(family, config, net, Tracks(store, None, {"train": truth}, "noise"), 0)
        data.setup("fit")
        loader = data.train_dataloader()
        batches = [batch for _ in range(2) for batch in loader]  # the store's pages are in the cache now
        begun = time.process_time()
        for epoch in range(3):
            loader.set_epoch(epoch)
            batches = list(loader)
        per_batch = (time.process_time() - begun) / 3 / len(batches)
    parts: dict[str, list[float]] = {"front end": [], "network": [], "optimiser": []}
    for step in range(rounds + 1):
        front.seconds = loss.seconds = 0.0
        with loss.running():
            objective.training_step(batches[step % len(batches)], Randomness(0, 0, step))["loss"].backward()
        begun = time.process_time()
        optimizer.step()
        optimizer.zero_grad()
        objective.after_optimizer_step(step + 1)
        if step:
            parts["optimiser"].append(time.process_time() - begun)
            parts["front end"].append(front.seconds)
            parts["network"].append(loss.seconds - front.seconds)
    return {"data": per_batch} | {part: statistics.median(seconds) for part, seconds in parts.items()}


def share(found: Mapping[str, float], times: float = 1.0) -> float:
    """The network's share of a step of so many times the clips."""
    return times * found["network"] / (times * (found["data"] + found["front end"] + found["network"]) + found["optimiser"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    console = Console(width=150)
    table = Table(
        title=f"A training step, ms; median of {args.rounds}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    columns = (
        "family",
        "what",
        "clips",
        "data",
        "front end",
        "network",
        "optimiser",
        "share",
        "of batch",
        "loaded/s",
        "prepared/s",
    )
    for column in columns:
        table.add_column(column, justify="left" if column in columns[:2] else "right", no_wrap=True)
    for name in args.families:
        case, found = CASES[name], measure(name, args.rounds)
        published = build(case.script.schema, merged(defaults(case.script.schema), case.script.named[case.named].values))
        batch = published.datamodule.batch_size_train
        table.add_row(
            name, case.about, str(case.clips), *(f"{1000 * seconds:.1f}" for seconds in found.values()), f"{share(found):.1%}",
            f"{share(found, batch / case.clips):.1%} of {batch}", f"{case.clips / found['data']:.0f}", f"{case.clips / found['front end']:.0f}",
        )  # fmt: skip
    console.print(f"{machine_line()}, {args.threads} threads")
    console.print(table)


if __name__ == "__main__":
    main()
