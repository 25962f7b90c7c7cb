"""Sacred, for commands whose configs are typed: the one module of helpers/ that knows it.

What it adds to sacred.Experiment: every key and type is checked before a run starts, the nested ones too, with the nearest name; published
misspellings and section names still work; one run folder per job, whatever the number of processes; captured output that is whole when a run fails;
errors of this suite shown as one sentence.
"""

from __future__ import annotations

import contextlib
import copy
import datetime
import errno
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)  # sacred 0.8.7 imports it

# ruff: noqa: E402
import sacred
from sacred import SETTINGS
from sacred.config.config_dict import ConfigDict
from sacred.host_info import HostInfoGetter
from sacred.observers import FileStorageObserver
from sacred.run import Run
from sacred.stdout_capturing import CapturedStdout
from sacred.utils import SacredError, apply_backspaces_and_linefeeds, convert_to_nested_dict

from models.errors import ConfigError, JobError, nearest

from ..runs import main as list_runs
from ..runtime.devices import count_devices, resolve_accelerator, resolve_devices
from ..runtime.interrupts import Interrupted, answered_by, end_at_once
from ..runtime.logs import root_logger
from ..runtime.processes import check_world, first_goes_first, is_first_process, join, on_failure, place, share
from ..utils.typed_config import check
from .provenance import git_state, lock_state, packages, process_state
from .run_folder import RunFolder, record_orphaned

Found = TypeVar("Found")
FULL = (errno.ENOSPC, errno.EDQUOT)  # of the disk, or of what one may have of it
SEED_VARIABLE, FOLDER_VARIABLE = "MAEST_RUN_SEED", "MAEST_RUN_FOLDER"  # of the run that started this process
START_VARIABLE = "MAEST_RUN_CHECKPOINT"  # that it goes on from; empty: none
STOCK = ("print_config", "print_named_configs", "print_dependencies", "save_config", "runs")
UNRECORDED = (*STOCK, "predict", "export", "check_data")  # leave no run folder behind: what they make has a place of its own
# Sacred's "fd" capture loses the last lines of short runs; "sys" keeps them once a failed run's buffer may still be read.
CapturedStdout.closed = property(lambda self: self.final is None and self.buffer.closed)


class CommandError(SacredError, ValueError):
    """An error whose sentence says all: shown without a traceback."""

    def __init__(self, message: str):
        super().__init__(message, print_traceback=False)


CommandError.__module__ = "builtins"  # Sacred prints the class by its full path: "CommandError: ..." says enough


# ---- the experiment
def nested(updates: Mapping[str, Any]) -> dict[str, Any]:
    """{"a.b": 1} -> {"a": {"b": 1}}, as Sacred reads a command line's words."""
    return dict(convert_to_nested_dict(dict(updates)))


class _Documented(ConfigDict):
    """Sacred's config from a dict, with the texts that print_config and print_named_configs show."""

    def __init__(self, values: Mapping[str, Any], doc: str = "", docs: Mapping[str, str] | None = None):
        super().__init__(dict(values))
        self.__doc__ = doc
        self._docs = dict(docs or {})

    def __call__(self, fixed: Any = None, preset: Any = None, fallback: Any = None) -> Any:
        stored = self._conf
        self._conf = copy.deepcopy(
            stored
        )  # Sacred fills a run's other settings into it: they would be those of the process's next run
        try:
            summary = super().__call__(fixed, preset, fallback)
        finally:
            self._conf = stored
        summary.docs = dict(self._docs)
        return summary


class Experiment(sacred.Experiment):
    """A Sacred experiment over a typed config.

    Args:
        name: of the experiment.
        schema: dataclass of the config; `docs` its keys' texts, `defaults` its values.
        named: name -> (values, text).
        root: key that names the folder of the run folders.
        aliases: published key (or section) -> ours.
        implied: (command, updates, named configs) -> named configs to run with.
        continues: (command, config, named configs) -> the folder of an earlier run that this one goes on in (or None; `continued` then is it), and
            the seed that it goes on with where the command gives none.
        sources: files whose text is stored with every run.
    """

    def __init__(
        self,
        name: str,
        schema: type,
        *,
        defaults: Mapping[str, Any],
        docs: Mapping[str, str],
        named: Mapping[str, tuple[Mapping[str, Any], str]],
        root: str,
        aliases: Mapping[str, str] | None = None,
        implied: Callable[[str, Mapping[str, Any], Sequence[str]], Sequence[str]] | None = None,
        continues: Callable[[str, Mapping[str, Any], Sequence[str]], tuple[Path | None, int | None]] | None = None,
        sources: Iterable[Path] = (),
        file: Path | None = None,
        doc: str | None = None,
        **settings: Any,
    ):
        SETTINGS.CAPTURE_MODE = "sys" if is_first_process() else "no"
        SETTINGS.DISCOVER_SOURCES = "none"  # said below, file by file: Sacred overlooks `import package.module`
        SETTINGS.CONFIG.READ_ONLY_CONFIG = True
        self.file = file or Path(sys._getframe(1).f_globals["__file__"]).resolve()
        machine = [HostInfoGetter(process_state, "process"), HostInfoGetter(lambda: lock_state(self.file.parent), "lock")]
        settings.setdefault("base_dir", str(self.file.parent))
        # Sacred asks git again for every source file, 3 s in all: provenance.py asks once
        super().__init__(name, save_git_info=False, additional_host_info=machine, **settings)
        self.doc = doc or sys._getframe(1).f_globals["__doc__"]  # what `--help` begins with
        self.schema, self.root, self.aliases, self.implied, self.continues = schema, root, dict(aliases or {}), implied, continues
        self.continued: Path | None = None
        self._named: tuple[str, ...] = ()
        self.defaults = dict(defaults)
        self.logger = root_logger()
        self.captured_out_filter = apply_backspaces_and_linefeeds
        self.configurations.append(_Documented(defaults, docs=docs))
        for key, (values, doc) in named.items():
            self.named_configs[key] = _Documented(values, doc)
        for path in (self.file, *sources):
            self.add_source_file(str(path))
        self.pre_run_hook(_note_folder)
        self.pre_run_hook(_record_failures)
        self.command(self._runs_command(), unobserved=True)
        self.config_hook(lambda config, command_name, logger: self._hook(config, command_name))

    def _hook(self, config: Mapping[str, Any], command_name: str) -> dict[str, Any]:
        check(self.schema, config, extra=("seed",))
        seed = None
        if self.continues is not None and command_name not in STOCK and is_first_process():
            self.continued, seed = self.continues(command_name, config, self._named)
        if command_name not in UNRECORDED and is_first_process() and not self.observers:
            self.observers.append(_RunFolder(self._root_of(config), self.continued))
        if not is_first_process() and SEED_VARIABLE in os.environ:
            return {"seed": int(os.environ[SEED_VARIABLE])}  # every process of a job draws the same
        return {"seed": seed} if seed is not None and "seed" not in config else {}

    @property
    def named(self) -> tuple[str, ...]:
        """The named configs that the present command runs with, an implied one included."""
        return self._named

    def _root_of(self, config: Mapping[str, Any]) -> str:
        for part in self.root.split("."):
            config = config[part]
        return str(config)

    def _runs_command(self) -> Callable[..., None]:
        def runs(_config: Mapping[str, Any]) -> None:
            """List the runs of this experiment's folder; `runs compare 3 5` sets them side by side, `runs --help` tells more."""
            list_runs([], places=(self._root_of(_config),))

        return runs

    # ---- public methods of sacred.Experiment, with our facts, errors and aliases
    def get_experiment_info(self) -> dict[str, Any]:
        """As sacred.Experiment.get_experiment_info; the command's own file, the packages that it asks for, and its repository once."""
        info = super().get_experiment_info()
        if is_first_process():
            git = git_state(self.file.parent)
            info |= {"dependencies": packages(self.file.parent), "repositories": [git] if git else []}
        return info | {"mainfile": self.file.name}

    def run(
        self, command_name: Any = None, config_updates: Any = None, named_configs: Any = (), *args: Any, **kwargs: Any
    ) -> Run:
        """As sacred.Experiment.run; aliases are translated first. Raises CommandError (a ValueError) where the suite says what is wrong."""
        updates = self._translated(nested(config_updates or {}))
        named = (named_configs,) if isinstance(named_configs, str) else tuple(named_configs)
        command = command_name or self.default_command
        if self.implied is not None:
            named = tuple(self.implied(command, updates, named))
        self._named, self.continued = named, None
        if not is_first_process():
            kwargs["options"] = {**kwargs.get("options", {}), "--unobserved": True}
        try:
            with answered_by(end_at_once):
                return super().run(command_name, updates, named, *args, **kwargs)
        except (ValueError, FloatingPointError) as error:
            if type(error) is ValueError and not str(error):
                raise
            if isinstance(error, JobError):
                _for_the_first(str(error))
            if type(error).__module__ == "models.errors" or isinstance(error, FloatingPointError):
                raise CommandError(str(error)) from error
            raise
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise CommandError(f"{error}. Make room and start the command again; what it had finished is kept.") from error
        finally:
            self.observers = [o for o in self.observers if not isinstance(o, _RunFolder)]
            on_failure.clear()
            for name in (SEED_VARIABLE, FOLDER_VARIABLE, START_VARIABLE) if is_first_process() else ():
                os.environ.pop(name, None)

    def run_commandline(self, argv: Sequence[str] | None = None) -> Run | None:
        """As sacred.Experiment.run_commandline; common slips of the command line are named."""
        argv = list(sys.argv if argv is None else argv)
        if argv[1:2] == ["runs"] and "with" not in argv:
            sys.exit(list_runs(argv[2:], places=(self._root_of(self.defaults),)))
        try:
            self._check_slips(argv[1:])
        except ConfigError as error:
            sys.stderr.write(f"{Path(argv[0]).name}: {error}\n")
            sys.exit(1)
        try:
            return super().run_commandline(argv)
        except Interrupted as signal:
            sys.stderr.write(f"{Path(argv[0]).name}: {signal}\n")
            sys.exit(signal.exit_code)

    def _check_slips(self, words: list[str]) -> None:
        before = self.without_options(words[: words.index("with")] if "with" in words else words)
        named = [word for word in before if word in self.named_configs and word not in self.commands]
        if named:
            behind = words[words.index("with") + 1 :] if "with" in words else []
            first = [w for w in before if w not in named and "=" not in w]
            rest = [*first, "with", *named, *(w for w in before if "=" in w), *behind]
            raise ConfigError(f"'{named[0]}' is a named config: it stands behind `with`. You want: {' '.join(rest)}")
        for word in before:
            if "=" not in word and word != "help" and word not in self.commands:
                raise ConfigError(
                    f"There is no command '{word}'.{nearest(word, self.commands)} There are {', '.join(self.commands)}."
                )
            if "=" in word and "with" not in words:
                raise ConfigError(f"'{word}' sets a config key: such words stand behind `with`. You want: with {word}")
        after = words[words.index("with") + 1 :] if "with" in words else []
        for i, word in enumerate(after):
            if word.startswith("=") or word.endswith("="):
                near = "".join(after[max(i - word.startswith("="), 0) : i + 1 + word.endswith("=")])
                raise ConfigError(f"There is a space beside an '=': write it without: {near}")
        for word in after:
            if "=" not in word and not word.startswith("-") and word not in self.named_configs and not Path(word).suffix:
                raise ConfigError(
                    f"There is no named config '{word}'.{nearest(word, self.named_configs)} `print_named_configs` lists them."
                )

    def without_options(self, words: list[str]) -> list[str]:
        """`words` without Sacred's options and their values (-s sqlite:///runs.db)."""
        valued = {flag for option in self.all_cli_options if option.arg for flag in option.get_flags()}
        return [word for i, word in enumerate(words) if not word.startswith("-") and not (i and words[i - 1] in valued)]

    def _translated(self, updates: dict[str, Any]) -> dict[str, Any]:
        for published, ours in self.aliases.items():
            value = _take(updates, published.split("."))
            if value is _ABSENT:
                continue
            key, also = (ours, {}) if isinstance(ours, str) else (ours.key, ours.also)
            for name, content in {key: value, **also}.items():
                _put(updates, name.split("."), content)
        return updates


_ABSENT = object()


def _take(tree: dict[str, Any], path: Sequence[str]) -> Any:
    for part in path[:-1]:
        tree = tree.get(part, {})
        if not isinstance(tree, dict):
            return _ABSENT
    return tree.pop(path[-1], _ABSENT)


def _put(tree: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
    if isinstance(value, dict):
        tree[path[-1]] = {**value, **tree.get(path[-1], {})}
    else:
        tree.setdefault(path[-1], value)


# ---- a run's folder and metrics
class _RunFolder(RunFolder):
    """The observer that is there when nobody asked for another."""


def run_folder(run: Run, root: str | Path) -> Path:
    """Where a run puts its files: the folder of its file-storage observer, else <root>/unobserved-<start>."""
    for observer in run.observers:
        if isinstance(observer, FileStorageObserver) and observer.dir:
            return Path(observer.dir)
    folder = Path(root) / f"unobserved-{run.start_time:%Y%m%d-%H%M%S}-{os.getpid()}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _note_folder(_run: Run) -> None:
    """Say in every observer where the run's files are."""
    for observer in _run.observers:
        if isinstance(observer, FileStorageObserver) and observer.dir:
            _run.info["folder"] = str(Path(observer.dir).resolve())


def metric_logger(run: Run, prefix: str = "") -> Callable[[str, float, int], None]:
    """log(name, value, step) that writes `prefix` + name to all of the run's observers, on the first process only."""

    def log_metric(name: str, value: float, step: int) -> None:
        if is_first_process():
            run.log_scalar(prefix + name, float(value), int(step))

    return log_metric


def _record_failures(_run: Run) -> None:
    """Where another process takes the job down and this one hangs, the observers are told all the same (from another thread)."""

    def record(why: str) -> None:
        for observer in _run.observers:
            observer.failed_event(fail_time=datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None), fail_trace=[why])
        _for_the_first(why)

    on_failure.append(record)


def _for_the_first(why: str) -> None:
    """Where the first process was killed, another one writes down that the run has failed."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder and not is_first_process():
        words = f"The first process of this job was killed. {why}"
        with contextlib.suppress(OSError, ValueError):
            if record_orphaned(Path(folder), words):
                sys.stderr.write(f"{words}\n")


class TrainerSection(Protocol):
    """What a config's section `trainer` says of the job."""

    accelerator: str
    devices: int | str
    num_nodes: int
    default_root_dir: str


def enter_job(
    run: Run, trainer: TrainerSection, seed: int, find: Callable[[Path], Found], start: Path | None = None
) -> tuple[Found, Path, int, Path | None]:
    """What `find(folder)` finds, the run's folder, its seed and the checkpoint that it goes on from (`start`): the first process's, in all
    processes of the job that the section `trainer` asks for.

    Processes that torchrun or srun started meet here; those that training will start are left word of them. The first process finds (and
    prepares) first. Raises ConfigError where the numbers do not fit, JobError when not all come.
    """
    env = os.environ
    accelerator = resolve_accelerator(trainer.accelerator, trainer.devices)
    check_world(count_devices(resolve_devices(trainer.devices, accelerator)), trainer.num_nodes)
    if FOLDER_VARIABLE in env and not is_first_process():
        folder, seed, begin = env[FOLDER_VARIABLE], int(env[SEED_VARIABLE]), env.get(START_VARIABLE, "")
    else:
        folder = str(run_folder(run, trainer.default_root_dir)) if is_first_process() else ""
        begin = "" if start is None else str(start)
        if place() is not None:
            join(accelerator == "gpu")
            folder, seed, begin = share([folder, seed, begin])
        env |= {SEED_VARIABLE: str(seed), FOLDER_VARIABLE: folder, START_VARIABLE: begin}
    return first_goes_first(lambda: find(Path(folder))), Path(folder), seed, Path(begin) if begin else None


__all__ = ["CommandError", "Experiment", "Run", "check", "enter_job", "is_first_process", "metric_logger", "run_folder"]
