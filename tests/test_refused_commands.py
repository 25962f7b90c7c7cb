"""Commands that are refused before their work leave no run folder, whichever script they are of."""

from __future__ import annotations

import logging

import pytest

import configs
import ex_maest
import ex_paper
import ex_ssl
import ex_tl
from configs.naming import DEMO

DEMOS = [name for name, one in configs.SSL.items() if one.group == DEMO]
SCRIPTS = {"ex_maest.py": ex_maest.ex, "ex_ssl.py": ex_ssl.ex, "ex_tl.py": ex_tl.ex, "ex_paper.py": ex_paper.ex}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("ex_maest.py with demo datamodule.base_dir=absent", "absent"),
        ("ex_maest.py test with demo ckpt_path=last", "has left a checkpoint"),
        ("ex_maest.py extract_embeddings with demo datamodule.base_dir=absent", "absent"),
        ("ex_maest.py report with demo report.folds=3 ckpt_path=absent.ckpt", "absent.ckpt"),
        ("ex_maest.py report with demo report.path=.", "a folder: name the file of the page"),
        ("ex_maest.py report with demo report.path=labels.csv/page.html", "is a file, where a folder is wanted"),
        ("ex_maest.py report with demo predict.transformer_block=99", "predict.transformer_block asks for [99]"),
        *(
            (f"ex_ssl.py report with {demo} predict.transformer_block=99", "predict.transformer_block asks for [99]")
            for demo in DEMOS
        ),
        ("ex_maest.py with demo seed=-1", "seed"),
        ("ex_maest.py with deep.json", "deep.json is no config"),
        ("ex_ssl.py with clmr_demo datamodule.base_dir=absent", "absent"),
        ("ex_ssl.py test with clmr_demo", "trained on labels"),
        ("ex_ssl.py extract_logits with clmr_demo", "no head"),
        ("ex_ssl.py extract_embeddings with omar_rq.checkpoint=best.ckpt", "set family=omar_rq"),
        ("ex_ssl.py export with clmr_inference musicfm.checkpoint=best.ckpt", "this config is of the family clmr"),
        ("ex_tl.py", "data.base_dir"),
        ("ex_tl.py with data.base_dir=absent data.groundtruth=labels.csv", "absent"),
        ("ex_tl.py sweep with data.base_dir=absent data.groundtruth=labels.csv", "absent"),
        ("ex_tl.py finetune", "finetune.model"),
        ("ex_tl.py compare with compare.runs=absent", "compare.runs"),
        ("ex_paper.py patchout_speed", "patchout_speed.model"),
        ("ex_paper.py table_tokens with scale.seeds=[]", "scale.seeds"),
    ],
)
def test_a_refused_command_leaves_no_run_folder(command, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [f"{i}.wav,{'rock' if i % 2 else 'jazz'}" for i in range(60)]  # without splits: one is written into the run's folder
    (tmp_path / "labels.csv").write_text("\n".join(["path,labels", *rows]))
    (tmp_path / "deep.json").write_text('{"maest": ' + "[" * 100_000)
    handlers = logging.getLogger().handlers
    try:
        with pytest.raises(SystemExit) as ended:
            SCRIPTS[command.split()[0]].run_commandline(command.split())
    finally:
        logging.getLogger().handlers = handlers
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert not list(tmp_path.rglob("run.json"))
    assert not [path for path in tmp_path.rglob("*") if path.is_dir() and path.name.isdigit()]
