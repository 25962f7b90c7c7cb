"""MagnaTagATune: the published table from the published labels; the whole way from a server (a miniature of it) to groundtruths and mels."""

from __future__ import annotations

import csv
import errno
import gzip
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from datasets.groundtruth.groundtruth import Groundtruth, match
from datasets.mtt import ANNOTATIONS, BROKEN, MTT, NOT_IN_JONGPILLEE, TAGS, derive_table, read_annotations
from datasets.published.command import main
from datasets.store.track_store import TrackStore
from models.errors import DataSetError
from tests import mini_mtt
from tests.kill import run_with_kills
from tests.server import serving

ROOT = Path(__file__).resolve().parents[3]
N = len(mini_mtt.clips())


@pytest.fixture
def server():
    with serving() as state:
        state.files |= mini_mtt.served()
        yield state


@pytest.fixture
def annotations(tmp_path):
    path = tmp_path / ANNOTATIONS
    path.write_bytes(mini_mtt.annotations())
    return path


def run(folder, server, *words: str) -> int:
    """The command in this process; the preparation too."""
    return main(MTT, ["--data_dir", str(folder), "--mirror", server.address, "--jobs", "1", *words])


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """What would change if a file were written again; broken files are tried again and listed again."""
    files = [p for p in folder.rglob("*") if p.is_file() and not p.name.endswith(".lock") and p.name != "failed.csv"]
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_ino) for p in files}


# ---- the table
def published(shared, tmp_path) -> Path:
    """annotations_final.csv as far as it decides: the 50 tags of the known groundtruth, the broken clips, in another order."""
    with gzip.open(shared / "data" / "mtt" / "mtt_top50_groundtruth.tsv.gz", "rt") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    rows = [(clip, path, bits) for clip, path, _, bits in rows] + [(str(c), path, "1" + "0" * 49) for c, path in BROKEN.items()]
    order = [int(i) for i in np.random.default_rng(0).permutation(50)]
    target = tmp_path / ANNOTATIONS
    with open(target, "w", newline="") as file:
        writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL)
        writer.writerow(["clip_id", *(TAGS[i] for i in order), "a rare tag", "mp3_path"])
        writer.writerows([clip, *(bits[i] for i in order), "1", path] for clip, path, bits in reversed(rows))
    return target


def test_all_variants_of_the_published_table(shared, tmp_path):
    path = published(shared, tmp_path)
    expected = json.loads((shared / "data" / "mtt" / "mtt_expected.json").read_text())
    assert list(TAGS) == expected["tags"]
    assert hashlib.sha256(derive_table(path).encode()).hexdigest() == expected["canonical_sha256"]
    assert MTT.variants["maest"].sha256 == expected["canonical_sha256"]
    for variant, about in MTT.variants.items():
        table = MTT.groundtruth(variant=variant, annotations=path)
        assert table.counts == about.counts
        assert about.sha256 in (None, MTT.digest(table))
    maest = MTT.groundtruth(annotations=path)
    assert [(o.first, o.second, o.groups, o.tracks) for o in maest.overlaps()] == [
        ("train", "validation", 13, 1083), ("train", "test", 45, 3284), ("validation", "test", 8, 650),
    ]  # fmt: skip


def test_variants_by_their_rules(annotations):
    rows = {clip: (path, bits) for clip, path, bits in read_annotations(annotations)}
    clips = {v: {int(line.split("\t")[0]) for line in derive_table(annotations, variant=v).splitlines()} for v in MTT.variants}
    untagged = {clip for clip, (_, bits) in rows.items() if "1" not in bits}
    assert clips["marble"] == set(rows)
    assert clips["maest"] == set(rows) - set(BROKEN)
    assert clips["tagged"] == clips["maest"] - untagged
    assert clips["jongpillee"] == clips["tagged"] - NOT_IN_JONGPILLEE
    assert all(
        [untagged & clips["maest"], NOT_IN_JONGPILLEE & clips["tagged"], set(BROKEN) & clips["marble"]]
    )  # each rule had a case
    for line, number in zip(derive_table(annotations, variant="marble").splitlines(), range(N)):
        _, path, split, bits = line.split("\t")
        assert {tag for tag, bit in zip(TAGS, bits) if bit == "1"} == mini_mtt.tags_of(number)
        assert split == ("train" if path[0] < "c" else "validation" if path[0] == "c" else "test")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace('"guitar"', '"gitarre"', 1), "lacks the columns 'guitar'"),
        (lambda t: t.replace("\t", ","), "lacks the columns"),
        (lambda t: t.replace('"0"\t"0"', '"0"\t"2"'), "0 or 1 for each tag"),
        (lambda t: t.replace('"f/', '"../f/'), "a path like"),
        (lambda t: t.replace('"f/', '"g/'), "a path like"),
        (lambda t: t + t.splitlines()[-1] + "\n", "stands twice"),
        (lambda t: t[: t.rindex("\t")] + "\n", "cells, the header has"),
        (lambda t: t.splitlines()[0] + "\n", "empty"),
        (lambda t: "", "lacks the columns"),
    ],
)  # fmt: skip
def test_other_annotations_are_refused(annotations, change, message):
    text = annotations.read_text()
    assert change(text) != text
    annotations.write_text(change(text))
    with pytest.raises(DataSetError, match=message):
        derive_table(annotations)


def test_unknown_variants_and_absent_files_are_named(tmp_path):
    with pytest.raises(DataSetError, match="no variant 'tagd'.*Did you mean 'tagged'"):
        derive_table(tmp_path / ANNOTATIONS, variant="tagd")
    with pytest.raises(DataSetError, match="There is no .*annotations_final.csv"):
        derive_table(tmp_path / ANNOTATIONS)


# ---- the whole way
def test_from_server_to_mels_and_groundtruths_and_again(server, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    server.cuts = [10**9, 30_000]  # the second answer, of the first part, is cut
    assert run(tmp_path, server) == 3  # a miniature is not what was published: said, not hidden
    assert "published are 18706/1825/5329" in caplog.text
    assert "known to be broken" in caplog.text
    assert "bytes=30000-" in [wanted for _, _, wanted in server.log]
    store = TrackStore.open(tmp_path / "mtt" / "melspec")
    assert sorted(store.names) == sorted(path for clip, path in mini_mtt.clips() if clip not in BROKEN)
    for variant in MTT.variants:
        folder = tmp_path / "groundtruth" / f"mtt-{variant}"
        whole = Groundtruth.read(folder / "groundtruth-all.csv", labels=folder / "labels.txt")
        assert whole.labels == list(TAGS)
        table = MTT.groundtruth(tmp_path, variant)
        assert (whole.keys, whole.matrix().tolist()) == (table.keys, table.groundtruth().matrix().tolist())
        for part, count in zip(("train", "val", "test"), table.counts):
            assert len(Groundtruth.read(folder / f"groundtruth-{part}.csv", labels=folder / "labels.txt")) == count
        assert len(match(whole.keys, store.names).absent) == (variant == "marble")
    before, requests = snapshot(tmp_path), len(server.log)
    assert run(tmp_path, server) == 3
    assert snapshot(tmp_path) == before
    assert len(server.log) == requests
    for path in tmp_path.glob("mp3.zip*"):
        path.unlink()
    assert run(tmp_path, server) == 3  # the archive is needed no longer
    assert len(server.log) == requests


def test_another_file_than_before_is_refused(server, tmp_path, caplog):
    assert run(tmp_path, server, "download") == 0
    (tmp_path / "mp3.zip.002").unlink()
    (tmp_path / ".mp3.zip.unpacked").unlink()
    server.files["/mp3.zip.002"] = server.files["/mp3.zip.002"][::-1]
    assert run(tmp_path, server, "download") == 2
    assert "mp3.zip.002 is not the file it should be: its sha256 is" in caplog.text
    assert not (tmp_path / "mp3.zip.002").exists()


def test_a_given_list_of_checksums_is_held(server, tmp_path, caplog):
    sums = tmp_path / "SHA256SUMS"
    sums.write_text("".join(f"{hashlib.sha256(content).hexdigest()} *{name[1:]}\n" for name, content in server.files.items()))
    assert run(tmp_path / "a", server, "download", "--sha256", str(sums)) == 0
    sums.write_text(sums.read_text().replace("mp3.zip.001", "mp3.zip.003x").replace("mp3.zip.002", "mp3.zip.001"))
    assert run(tmp_path / "b", server, "download", "--sha256", str(sums)) == 2
    assert "(the list that was given)" in caplog.text
    assert not (tmp_path / "b" / "mp3").exists()


def test_a_missing_part_stops_it_by_name_and_nothing_is_lost(server, tmp_path, caplog):
    content = server.files.pop("/mp3.zip.002")
    assert run(tmp_path, server) == 2
    assert "mp3.zip.002: Not Found. The same command goes on where it stopped" in caplog.text
    assert not (tmp_path / "mp3").exists()
    assert run(tmp_path, server, "--skip", "download") == 2  # nor from what is there
    assert "There is no " + str(tmp_path / "mp3.zip.002") in caplog.text
    server.files["/mp3.zip.002"] = content
    requests = len(server.log)
    assert run(tmp_path, server, "download") == 0
    assert [path for _, path, _ in server.log[requests:]] == ["/mp3.zip.002", "/mp3.zip.003"]


def test_a_broken_archive_says_what_to_do(server, tmp_path, caplog):
    part = bytearray(server.files["/mp3.zip.002"])
    part[len(part) // 2] ^= 1
    server.files["/mp3.zip.002"] = bytes(part)
    assert run(tmp_path, server, "download") == 2
    assert "Bad CRC-32" in caplog.text
    assert "download it again" in caplog.text


def test_a_full_disk_stops_it_and_it_goes_on(server, tmp_path, caplog, monkeypatch):
    from datasets.published import archives

    real, left = archives._blocks, [20]

    def full(*args):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args)

    monkeypatch.setattr(archives, "_blocks", full)
    assert run(tmp_path, server, "download") == 2
    assert "No space left on device" in caplog.text
    assert len([p for p in (tmp_path / "mp3").rglob("*") if p.is_file()]) == 20
    monkeypatch.setattr(archives, "_blocks", real)
    assert run(tmp_path, server, "download") == 0
    assert len([p for p in (tmp_path / "mp3").rglob("*") if p.is_file()]) == N


def test_audio_that_is_there_is_not_downloaded(server, tmp_path):
    assert run(tmp_path / "first", server, "download", "--remove_archives") == 0
    assert not list((tmp_path / "first").glob("mp3.zip.00?"))
    server.log.clear()
    words = ["--audio_dir", str(tmp_path / "first" / "mp3")]
    assert run(tmp_path / "second", server, *words) == 3
    assert [path for _, path, _ in server.log] == [f"/{ANNOTATIONS}"]
    assert len(TrackStore.open(tmp_path / "second" / "mtt" / "melspec")) == N - 1


def test_annotations_that_are_there_are_not_downloaded(server, tmp_path, annotations):
    assert run(tmp_path / "first", server, "download") == 0
    server.log.clear()
    words = ["--audio_dir", str(tmp_path / "first" / "mp3"), "--annotations", str(annotations)]
    assert run(tmp_path / "second", server, *words) == 3  # a miniature
    assert server.log == []
    assert (tmp_path / "second" / "groundtruth").exists()


def test_steps_can_be_left_out_and_done_alone(server, tmp_path, capsys):
    assert run(tmp_path, server, "--skip", "prepare", "validate") == 0
    assert not (tmp_path / "mtt").exists()
    assert run(tmp_path, server, "validate", "--variant", "tagged") == 3
    assert run(tmp_path, server, "prepare") == 0
    assert run(tmp_path, server, "cite") == 0
    assert "law2009evaluation" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run(tmp_path, server, "--variant", "all")


# ---- the published command line, and kills
@pytest.mark.slow
def test_the_published_command(server, tmp_path):
    def preprocess(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "preprocess.py", *words], cwd=ROOT / "datasets" / "mtt", capture_output=True, text=True, timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    server.cuts = [10**9, 50_000, 20_000]
    words = ["--data_dir", str(tmp_path / "data"), "--mirror", server.address, "--jobs", "2"]
    done = preprocess(*words)
    assert done.returncode == 3, done.stderr[-2000:]
    assert "going on" in done.stderr
    assert len(TrackStore.open(tmp_path / "data" / "mtt" / "melspec")) == N - 1
    before, requests = snapshot(tmp_path), len(server.log)
    assert preprocess(*words).returncode == 3
    assert (snapshot(tmp_path), len(server.log)) == (before, requests)
    table = tmp_path / "table.tsv"
    assert (
        preprocess(
            "--annotations", str(tmp_path / "data" / ANNOTATIONS), "--variant", "jongpillee", "--table", str(table)
        ).returncode
        == 0
    )
    assert table.read_text() == derive_table(tmp_path / "data" / ANNOTATIONS, "jongpillee")


def job(folder: str, address: str) -> None:
    code = main(MTT, ["--data_dir", folder, "--mirror", address, "--jobs", "1"])
    if code != 3:  # the miniature's
        raise SystemExit(code)


@pytest.mark.slow
def test_killed_anywhere_it_ends_as_if_nothing_had_been(server, tmp_path):
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    assert run(whole, server) == 3
    wanted = TrackStore.open(whole / "mtt" / "melspec")
    kept = [
        p for p in whole.rglob("*.*") if p.suffix in (".csv", ".txt", ".mp3") and p.name != "failed.csv"
    ]  # it names the folder
    texts = {p.relative_to(whole): p.read_bytes() for p in kept}

    def check() -> None:
        for name, content in texts.items():
            assert (folder / name).read_bytes() == content, name
        store = TrackStore.open(folder / "mtt" / "melspec")
        assert store.names == wanted.names
        assert all(np.array_equal(store.read(name), wanted.read(name)) for name in wanted.names)
        assert not list(folder.rglob("*.part"))

    def reset() -> None:
        shutil.rmtree(folder)

    preload = ["datasets.published.command", "datasets.mtt", "datasets.prepare.features"]
    run_with_kills(job, (str(folder), server.address), check, reset, kills=12, longest=1.5, preload=preload)


@pytest.mark.slow
def test_the_published_lines_from_data_to_probe(server, tmp_path):
    """`preprocess.py`, `extract_embeddings with ... target_mtt`, `ex_tl.py with target_mtt_tl`: the places that the configs name fit together."""

    def command(script: Path, *words: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "OMP_NUM_THREADS": "2", "http_proxy": "http://127.0.0.1:9", "no_proxy": "127.0.0.1"}
        return subprocess.run(
            [sys.executable, str(script), *words], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600
        )

    done = command(
        ROOT / "datasets" / "mtt" / "preprocess.py",
        *["--data_dir", "datasets/mtt/data", "--mirror", server.address, "--jobs", "1", "--skip", "validate"],
    )
    assert done.returncode == 0, done.stderr[-2000:]
    done = command(
        ROOT / "ex_maest.py",
        "extract_embeddings",
        "with",
        "maest_30s_from_passt_inference_smoke",
        "target_mtt",
        "predict.transformer_block=1",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for name, variant in (("target_mtt_tl", "maest"), ("target_mtt_marble_tl", "marble")):
        words = [
            "data.base_dir=outputs/embeddings/mtt/30sec/1/",
            "data.token_size=48",
            "trainer.max_epochs=2",
            f"out_dir=tl/{variant}",
        ]
        done = command(ROOT / "ex_tl.py", "with", name, *words)
        assert done.returncode == 0, done.stderr[-2000:]
        result = tmp_path / "tl" / variant / "1"
        assert json.loads((result / "scores.json").read_text())["split"] == f"mtt-{variant} test"
        assert np.load(result / "scores.npz")["labels"].tolist() == list(TAGS)
