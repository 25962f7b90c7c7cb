"""The command `machine`: operations per second from seconds, and what auto makes of them."""

import json

import torch
from rich.console import Console

from helpers.commands.machine import WIDTHS, machine, table_of
from helpers.runtime import machine as figures_of_machine
from helpers.runtime import probe
from helpers.runtime.probe import CONVOLUTION, FILTERS, PRODUCT, attention_kinds, layer_flops, layer_kind
from tests.helpers.commands.contexts import plain_context


def test_rates_follow_from_seconds():
    kind = layer_kind(768)
    seconds = {f"{kind}/onednn/inference": layer_flops(768) / 200e9, f"{kind}/onednn/training": 3 * layer_flops(768) / 150e9}
    seconds["attention-bfloat16-512/blocked/inference"] = 4 * 2 * 64 * 512**2 / 90e9
    console = Console(record=True, width=120)
    console.print(table_of(seconds, "two cores"))
    lines = [line.replace("│", " ").split() for line in console.export_text().splitlines()]
    assert [kind, "onednn", "200", "150"] in lines
    assert ["attention-bfloat16-512", "blocked", "90"] in lines


def test_it_says_what_auto_takes(tmp_path, monkeypatch, capsys):
    kinds = [layer_kind(width) for width in WIDTHS] + [CONVOLUTION, FILTERS, PRODUCT]
    rates = {"float32": 2.0, "bfloat16": 1.0}
    seconds = {f"{kind}/{way}/{use}": s for kind in kinds for way, s in rates.items() for use in ("inference", "training")}
    for kind in attention_kinds("bf16-mixed").values():
        seconds |= {
            f"{kind}/{way}/{use}": s for way, s in (("blocked", 1.0), ("fused", 2.0)) for use in ("inference", "training")
        }
    path = tmp_path / "figures.json"
    path.write_text(json.dumps({"seconds": seconds}))
    monkeypatch.setenv("MAEST_MACHINE", str(path))
    found = machine(plain_context())
    assert set(found.values()) == {"bf16-mixed"}
    assert set(found) == {f"{kind} {use}" for kind in kinds[:-1] for use in ("inference", "training")}
    said = capsys.readouterr().out
    assert f"{torch.get_num_threads()} threads" in said
    assert "multiplied out in blocks up to 1792 tokens in inference and 896 in training" in said


def test_it_says_what_did_not_settle(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("MAEST_MACHINE", raising=False)
    monkeypatch.setenv("MAEST_CACHE", str(tmp_path))
    monkeypatch.setattr(figures_of_machine, "_measured", {})
    monkeypatch.setattr(figures_of_machine, "_unsettled", {})

    def measure(kinds, device):
        ways = {"float32": 2.0, "bfloat16": 1.0}
        return {f"{kind}/{way}/{use}": s for kind in kinds for way, s in ways.items() for use in ("inference", "training")}, {
            layer_kind(768)
        }

    monkeypatch.setattr(probe, "measure", measure)
    found = machine(plain_context())
    said = capsys.readouterr().out
    assert {use: found[f"{layer_kind(768)} {use}"] for use in ("inference", "training")} == dict.fromkeys(
        ("inference", "training"), "32-true"
    )
    assert found[f"{layer_kind(512)} training"] == "bf16-mixed"
    assert "measured again by the next run: layer-768" in said
