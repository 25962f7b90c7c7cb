"""Typed configs under Sacred: what is refused and when, aliases, run folders, captured output, several processes."""

from __future__ import annotations

import errno
import json
import logging
import os
import pickle
import signal
import subprocess
import sys

import pytest

from helpers.experiments.config_source import DocumentedConfig
from helpers.experiments.experiment import CommandError
from helpers.experiments.job import SEED_VARIABLE, metric_logger, run_folder, work_begins
from helpers.utils.typed_config import check
from models.errors import AudioError, ConfigError
from tests.helpers.experiments.conftest import Outer


def test_one_runs_settings_are_not_the_next_ones(make):
    """Sacred fills settings of a section that a named config sets first into that config itself."""
    seen = []
    ex = make(lambda _config: seen.append(dict(_config["inner"])))
    ex.named_configs["few"] = DocumentedConfig({"inner": {"kind": "b"}})
    ex.run(named_configs=["big", "few"])
    ex.run(named_configs=["few"])
    assert seen == [{"rate": 0.9, "kind": "b", "blocks": 7}, {"rate": 0.5, "kind": "b", "blocks": 7}]


# ---- what is refused
@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"epoch": 5}, "Did you mean 'epochs'"),
        ({"rate": 1}, "Did you mean 'inner.rate'"),
        ({"inner.epochs": 1}, "Did you mean 'epochs'"),
        ({"inner.rte": 1}, "inner.rte.*Did you mean 'rate'"),
        ({"epochs": "many"}, r"epochs is 'many' \(str\); wanted a whole number"),
        ({"epochs": 2.5}, "epochs"),
        ({"epochs": True}, "epochs"),
        ({"flag": 1}, "flag.*True or False"),
        ({"inner.kind": "c"}, "choose 'a' or 'b'"),
        ({"inner.blocks": [1, "x"]}, "a whole number or a list"),
        ({"inner": 3}, "section"),
    ],
)
def test_unknown_keys_and_wrong_types_stop_before_the_run(make, tmp_path, update, words):
    ran = []
    with pytest.raises(Exception, match=words):
        make(lambda: ran.append(1)).run(config_updates=update)
    assert not ran
    assert not (tmp_path / "runs").exists()


def test_all_problems_are_listed_at_once():
    with pytest.raises(ConfigError) as error:
        check(Outer, {"epochs": "x", "inner": {"rate": "y", "zzz": 1}})
    assert all(word in str(error.value) for word in ("epochs", "inner.rate", "inner.zzz"))


@pytest.mark.parametrize(
    "update", [{"inner.rate": 1}, {"name": "x"}, {"name": None}, {"inner.blocks": [1, 2]}, {"inner.blocks": []}]
)
def test_values_that_fit_are_taken(make, update):
    run = make(lambda _config: None).run(config_updates=update)
    (key, value), config = next(iter(update.items())), run.config
    for part in key.split("."):
        config = config[part]
    assert config == value


# ---- aliases and named configs
def test_aliases_and_precedence(make):
    run = make(lambda _config: None).run(config_updates={"core": {"rate": 0.1}, "inner": {"knd": "b"}}, named_configs=["big"])
    assert run.config["epochs"] == 30
    assert run.config["inner"]["rate"] == 0.1  # the command line wins over the named config
    assert run.config["inner"]["kind"] == "b"


@pytest.mark.parametrize("order", [("old.json", "big"), ("big", "old.json")])
def test_a_file_of_an_earlier_run_may_spell_keys_as_they_were(make, tmp_path, order):
    (tmp_path / "old.json").write_text(json.dumps({"core": {"rate": 0.1, "knd": "b"}, "epochs": 4}))
    config = make(lambda _config: None).run_commandline(["ex.py", "with", *order]).config
    assert (config["inner"]["kind"], config["inner"]["blocks"]) == ("b", 7)
    assert (config["inner"]["rate"], config["epochs"]) == ((0.9, 30) if order[-1] == "big" else (0.1, 4))  # the later one wins


@pytest.mark.parametrize(
    ("name", "content"), [("c.json", "[1, 2]"), ("c.json", "{"), ("c.pickle", "x"), ("c.txt", "x"), ("c.yaml", "a: [")]
)
def test_a_file_that_is_no_config_is_refused(make, tmp_path, capsys, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(SystemExit):
        make(lambda _config: None).run_commandline(["ex.py", "with", name])
    assert f"{name} is no config" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_pickled_config_is_never_loaded(make, tmp_path):
    class Touch:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    (tmp_path / "c.pickle").write_bytes(pickle.dumps(Touch()))
    with pytest.raises(CommandError, match="is no config"):
        make(lambda _config: None).run(named_configs="c.pickle")
    assert not (tmp_path / "ran").exists()


def test_help_tells_of_a_command_and_of_a_config(make, capsys):
    ex = make()

    @ex.command
    def heard(_config):
        """Say what was heard."""

    for word, said in (("big", "big: More of it."), ("heard", "heard: Say what was heard.")):
        with pytest.raises(SystemExit) as end:
            ex.run_commandline(["ex.py", "help", word])
        assert not end.value.code
        assert capsys.readouterr().out.strip() == said
    with pytest.raises(SystemExit):
        ex.run_commandline(["ex.py", "help", "bgi"])
    assert "no command or named config 'bgi' of this script. Did you mean 'big'" in capsys.readouterr().err


def test_named_configs_may_be_implied(make):
    ex = make(implied=lambda command, updates, named: named or ("big",))
    assert ex.run().config["epochs"] == 30


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("big with epochs=3", "with big epochs=3"),
        ("with epochs =3", "epochs=3"),
        ("with epochs= 3", "epochs=3"),
        ("with bgi", "Did you mean 'big'"),
        ("epochs=3", "with epochs=3"),
    ],
)
def test_slips_of_the_command_line_are_named(make, capsys, words, said):
    with pytest.raises(SystemExit):
        make().run_commandline(["ex.py", *words.split()])
    assert said in capsys.readouterr().err


def test_print_config_shows_docs_and_writes_nothing(make, capsys, tmp_path):
    make().run_commandline(["ex.py", "print_config", "with", "big"])
    out = capsys.readouterr().out
    assert "rate = 0.9" in out
    assert "# share" in out
    make().run_commandline(["ex.py", "print_named_configs"])
    assert "More of it." in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


# ---- runs
def run_files(tmp_path) -> list:
    return sorted(p for p in (tmp_path / "runs").iterdir() if p.name.isdigit())


def test_one_run_folder_with_metrics_and_output(make, tmp_path):
    def body(_run, _config):
        metric_logger(_run)("val_ap", 0.5, 3)
        print("a line")
        logging.getLogger("suite").info("a logged line")
        (run_folder(_run, _config["root"]) / "kept.txt").write_text("x")

    make(body).run()
    (folder,) = run_files(tmp_path)
    assert json.loads((folder / "metrics.json").read_text())["val_ap"]["values"] == [0.5]
    assert json.loads((folder / "run.json").read_text())["status"] == "COMPLETED"
    assert {"a line", "a logged line"} <= set((folder / "cout.txt").read_text().splitlines())
    assert (folder / "kept.txt").exists()


def test_output_is_whole_when_the_run_fails(make, tmp_path):
    def body(_run):
        work_begins(_run)
        for i in range(500):
            print("line", i)
        raise AudioError("song.wav is empty. Record it again.")

    with pytest.raises(CommandError, match="song.wav is empty"):
        make(body).run()
    (folder,) = run_files(tmp_path)
    assert (folder / "cout.txt").read_text().splitlines()[-1] == "line 499"
    run = json.loads((folder / "run.json").read_text())
    assert run["status"] == "FAILED"
    assert "song.wav is empty" in "".join(run["fail_trace"])


def test_our_errors_are_one_sentence_others_keep_their_traceback(make, capsys):
    def ours():
        raise AudioError("song.wav is empty.")

    def other():
        raise KeyError("surprise")

    for body, has_trace in ((ours, False), (other, True)):
        with pytest.raises(SystemExit):
            make(body).run_commandline(["ex.py"])
        err = capsys.readouterr().err
        assert ("Traceback" in err) is has_trace
        assert "song.wav" in err or "surprise" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_ends_a_command_and_the_run_says_so(make, tmp_path, capsys, number):
    def body():
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as ended:
        make(body).run_commandline(["ex.py"])
    assert ended.value.code == 128 + number
    err = capsys.readouterr().err
    assert f"ex.py: Ended by {number.name}." in err
    assert "Traceback" not in err
    assert json.loads((run_files(tmp_path)[0] / "run.json").read_text())["status"] == "INTERRUPTED"
    assert signal.getsignal(number) is before


def test_a_run_goes_on_in_the_folder_that_the_rule_names(make, tmp_path):
    asked = []

    def continues(command, config, named):
        asked.append((config["epochs"], named))
        return (tmp_path / "runs" / "1", 77) if config["epochs"] > 3 else (None, None)

    make(lambda: None, continues=continues).run()
    ex = make(lambda _run, _config: run_folder(_run, _config["root"]).name, continues=continues)
    goes_on = ex.run(named_configs=["big"])
    assert (goes_on.result, goes_on.config["seed"]) == ("1", 77)
    assert ex.run(named_configs=["big"], config_updates={"seed": 5}).config["seed"] == 5
    assert ex.continued == tmp_path / "runs" / "1"
    assert ex.run().result == "2"
    assert ex.continued is None
    assert asked == [(3, ()), (30, ("big",)), (30, ("big",)), (3, ())]


def test_a_full_disk_is_one_sentence_too(make, tmp_path, capsys):
    def body():
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere/history.json")

    with pytest.raises(SystemExit) as ended:
        make(body).run_commandline(["ex.py"])
    assert ended.value.code == 1
    err = capsys.readouterr().err
    assert "No space left on device: 'somewhere/history.json'. Make room" in err
    assert "Traceback" not in err
    assert json.loads((run_files(tmp_path)[0] / "run.json").read_text())["status"] == "FAILED"


def test_only_the_first_process_has_a_run_folder_and_all_share_its_seed(make, tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv(SEED_VARIABLE, "77")
    seen = []

    def body(_run, seed):
        metric_logger(_run)("val_ap", 0.5, 3)
        seen.append((seed, _run._id))

    make(body).run()
    assert seen == [(77, None)]
    assert not (tmp_path / "runs").exists()


def test_without_an_observer_there_is_still_a_folder(make, tmp_path):
    folders = []
    make(lambda _run, _config: folders.append(run_folder(_run, _config["root"]))).run(options={"--unobserved": True})
    assert folders[0].is_dir()
    assert folders[0].name.startswith("unobserved-")


def test_an_observer_of_ones_own_is_the_only_one(make, tmp_path):
    from sacred.observers import FileStorageObserver

    ex = make(lambda: None)
    ex.observers.append(FileStorageObserver(str(tmp_path / "mine")))
    ex.run()
    assert (tmp_path / "mine" / "1" / "run.json").exists()
    assert not (tmp_path / "runs").exists()


# ---- words of the command line
def test_texts_that_look_like_numbers_stay_texts(make, monkeypatch):
    seen = []
    ex = make(lambda _config: seen.append((_config["name"], _config["epochs"], _config["inner"]["kind"])))
    for value in ("2020", "1e5", "True", "1,2", "0x10", "None", "'2020'", "a b"):
        ex.run_commandline(["x.py", "with", f"name={value}", "epochs=2"])
    assert [name for name, *_ in seen] == ["2020", "1e5", "True", "1,2", "0x10", None, "2020", "a b"]
    assert {epochs for _, epochs, _ in seen} == {2}


def test_what_a_terminal_cannot_show_is_replaced(tmp_path):
    code = (
        "import sys\nfrom datasets.utils.terminal import begin_in_utf8, print_any_text\n"
        "begin_in_utf8()\nprint_any_text()\nimport logging\nlogging.basicConfig()\n"
        "print(sys.getfilesystemencoding(), sys.stdout.encoding, sys.argv[1:])\n"
        "print('caf\\u00e9 \\udce9')\nlogging.warning('\\u6f22')\nprint('done')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "caf\u00e9"],
        env={**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "utf-8 ascii ['caf\\xe9']\ncaf\\xe9 \\udce9\ndone\n"  # the names of files are UTF-8 in any locale
    assert "\\u6f22" in done.stderr
    assert "Error" not in done.stderr
