"""Sacred, for commands whose configs are typed.

What it adds to sacred.Experiment: every key and type is checked before a run starts, the nested ones too, with the nearest name; published
misspellings and section names still work; one run folder per job, whatever the number of processes, and none for a command that is refused; captured
output that is whole when a run fails; errors of this suite shown as one sentence.
"""

from __future__ import annotations

import contextlib
import errno
import inspect
import io
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sacred
from sacred import SETTINGS
from sacred import commands as stock
from sacred.host_info import HostInfoGetter
from sacred.run import Run
from sacred.stdout_capturing import CapturedStdout
from sacred.utils import SacredError, apply_backspaces_and_linefeeds

from datasets.utils.terminal import print_any_text, visible
from models.errors import ConfigError, JobError

from ..runtime.interrupts import Interrupted, answered_by, end_at_once
from ..runtime.logs import root_logger
from ..runtime.place import is_first_process, on_failure
from ..utils.spellings import Aliases, translated
from ..utils.typed_config import check, flat, shown
from .command_line import as_texts, check_slips, spellings, without_options
from .config_source import DocumentedConfig, config_of_file, docs_of, nested
from .job import FOLDER_VARIABLE, SEED_VARIABLE, START_VARIABLE, note_folder, record_failures, record_for_the_first
from .listing import NamedConfig, format_named_configs, in_colour, plain, terminal_width
from .provenance import git_state, lock_state, packages, process_state
from .run_folder import REFUSALS, RunFolder
from .runs import main as list_runs

MOST_SEED = (1 << 32) - 1  # numpy takes no more
FULL = (errno.ENOSPC, errno.EDQUOT)  # of the disk, or of what one may have of it
GONE = "It is not there, or was removed while the command ran: name one that is there, and leave it alone."
CLOSED = "It cannot be written to: choose a folder of your own, or have its rights changed."
PLACES = {  # what a file or folder that cannot be used means to whoever gave the command
    errno.ENOENT: GONE, errno.ENOTDIR: GONE, errno.EROFS: CLOSED, errno.EACCES: CLOSED, errno.EPERM: CLOSED,
    errno.EISDIR: "It is a folder, where a file is wanted.", errno.ENAMETOOLONG: "Its name is longer than this disk takes.",
    errno.ELOOP: "It is a link, and nothing is written through one: take it away.",
    errno.EIO: "The disk does not answer as it should.",
}  # fmt: skip
LIBRARIES = {  # of Sacred's observers that are no part of the lock -> what is missing
    "sqlalchemy": "A database of runs (-s) is written with SQLAlchemy, which is not installed.",
    "pymongo": "Runs are written to MongoDB (-m) with PyMongo, which is not installed.",
}
STOCK = ("print_config", "print_named_configs", "print_dependencies", "save_config", "runs")
UNRECORDED = (*STOCK, "predict", "export", "check_data")  # leave no run folder behind: what they make has a place of its own
# Sacred's "fd" capture loses the last lines of short runs; "sys" keeps them once a failed run's buffer may still be read.
CapturedStdout.closed = property(  # type: ignore[method-assign,assignment]
    lambda self: self.final is None and self.buffer.closed
)


class CommandError(SacredError, ValueError):
    """An error whose sentence says all: shown without a traceback."""

    def __init__(self, message: str):
        super().__init__(visible(message), print_traceback=False)


CommandError.__module__ = "builtins"  # Sacred prints the class by its full path: "CommandError: ..." says enough


class _OwnFolder(RunFolder):
    """The observer that is there when nobody asked for another."""


class Experiment(sacred.Experiment):
    """A Sacred experiment over a typed config.

    Args:
        name: of the experiment.
        schema: dataclass of the config: its keys with their defaults, texts and choices.
        named: name -> named config.
        root: key that names the folder of the run folders.
        file: of the script; None: the caller's. `doc` is what `--help` begins with: the docstring of the caller's module, unless it is set.
        aliases: published or earlier spelling of a key (or section) -> ours.
        implied: (command, updates, named configs) -> named configs to run with.
        continues: (command, config, named configs) -> the folder of an earlier run that this one goes on in (or None; `continued` then is it), and
            the seed that it goes on with where the command gives none.
    """

    def __init__(
        self,
        name: str,
        schema: type,
        *,
        named: Mapping[str, NamedConfig],
        root: str,
        file: Path | None = None,
        aliases: Aliases | None = None,
        implied: Callable[[str, Mapping[str, Any], Sequence[str]], Sequence[str]] | None = None,
        continues: Callable[[str, Mapping[str, Any], Sequence[str]], tuple[Path | None, int | None]] | None = None,
        **settings: Any,
    ):
        SETTINGS.CAPTURE_MODE = "sys" if is_first_process() else "no"
        SETTINGS.DISCOVER_SOURCES = "none"  # said below, file by file: Sacred overlooks `import package.module`
        SETTINGS.CONFIG.READ_ONLY_CONFIG = True
        caller = sys._getframe(1).f_globals
        self.file = Path(caller["__file__"] if file is None else file).resolve()
        lock = HostInfoGetter(self._lock_state, "lock")
        machine = [HostInfoGetter(process_state, "process"), lock]
        settings.setdefault("base_dir", str(self.file.parent))
        # Sacred asks git again for every source file, 3 s in all: provenance.py asks once
        super().__init__(name, save_git_info=False, additional_host_info=machine, **settings)
        self.doc = caller["__doc__"]
        self.schema, self.root, self.aliases, self.implied, self.continues = schema, root, dict(aliases or {}), implied, continues
        self.continued: Path | None = None
        self._named: tuple[str, ...] = ()
        self._set: set[str] = set()
        # whether anybody is told what the present command runs with: finding that out takes a third of a second
        self._is_told: bool = True
        self._named_values = {name: one.values for name, one in named.items()}
        self.defaults = asdict(schema())
        self.logger: Any = root_logger()
        self.captured_out_filter: Any = apply_backspaces_and_linefeeds
        self.configurations.append(DocumentedConfig(self.defaults, docs=docs_of(schema)))
        for key, one in named.items():
            self.named_configs[key] = DocumentedConfig(one.values, one.doc)
        self.add_source_file(str(self.file))
        self.pre_run_hook(note_folder)
        self.pre_run_hook(record_failures)
        for command in (self._runs_command(), _listing_command(named), _print_config, _print_dependencies):
            self.command(command, unobserved=True)
        self.config_hook(lambda config, command_name, logger: self._hook(config, command_name))

    def _hook(self, config: Mapping[str, Any], command_name: str) -> dict[str, Any]:
        check(self.schema, config, extra=("seed",))
        seed = None
        if self.continues is not None and command_name not in STOCK and is_first_process():
            self.continued, seed = self.continues(command_name, config, self._named)
        if command_name not in UNRECORDED and is_first_process() and not self.observers:
            self.observers.append(_OwnFolder(self._root_of(config), self.continued))
        self._is_told = bool(self.observers) or command_name == _print_dependencies.__name__
        if not is_first_process() and SEED_VARIABLE in os.environ:
            return {"seed": int(os.environ[SEED_VARIABLE])}  # every process of a job draws the same
        return {"seed": seed} if seed is not None and "seed" not in config else {}

    def _lock_state(self) -> dict[str, Any] | None:
        return lock_state(self.file.parent) if self._is_told else None

    def store_sources(self, paths: Iterable[Path]) -> None:
        """Have the text of these files stored with every run."""
        for path in paths:
            self.add_source_file(str(path))

    @property
    def named(self) -> tuple[str, ...]:
        """Return the named configs that the present command runs with, an implied one included."""
        return self._named

    def _named_or_file(self, name: str) -> str:
        """Return the name of a named config; a file's (Sacred reads those as they are) is one of its own, in today's spellings."""
        if name in self.named_configs or not Path(name).is_file():
            return name
        alias = f"file {name}".replace(".", "_")  # Sacred takes a dot for an ingredient's
        self._named_values[alias] = config_of_file(name, self.aliases)
        self.named_configs[alias] = DocumentedConfig(self._named_values[alias], f"The file {name}.")
        return alias

    def is_set(self, key: str) -> bool:
        """Return whether the present command's words, or its named configs, set a dotted key: whether its value is more than a default."""
        return key in self._set

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
        if is_first_process() and self._is_told:
            git = git_state(self.file.parent)
            info |= {"dependencies": packages(self.file.parent), "repositories": [git] if git else []}
        return info | {"mainfile": self.file.name}

    def run(
        self, command_name: Any = None, config_updates: Any = None, named_configs: Any = (), *args: Any, **kwargs: Any
    ) -> Run:
        """As sacred.Experiment.run; aliases are translated first. Raises CommandError (a ValueError) where the suite says what is wrong."""
        updates = translated(nested(config_updates or {}), self.aliases)
        named = (named_configs,) if isinstance(named_configs, str) else tuple(named_configs)
        command = str(command_name or self.default_command)
        if self.implied is not None:
            named = tuple(self.implied(command, updates, named))
        try:
            named = tuple(map(self._named_or_file, named))
            for values in (updates, *(self._named_values.get(name, {}) for name in named)):
                _check_seed(values.get("seed"))
        except ConfigError as error:
            raise CommandError(str(error)) from error
        self._named, self.continued = named, None
        self._set = {*flat(updates), *(key for name in named for key in flat(self._named_values.get(name, {})))}
        if not is_first_process():
            kwargs["options"] = {**kwargs.get("options", {}), "--unobserved": True}
        try:
            with answered_by(end_at_once):
                return super().run(command_name, updates, named, *args, **kwargs)
        except (ValueError, FloatingPointError) as error:
            if isinstance(error, REFUSALS):
                for observer in (o for o in self.observers if isinstance(o, RunFolder)):
                    observer.discard_unless_begun()
            if type(error) is ValueError and not str(error):
                raise
            if isinstance(error, JobError):
                record_for_the_first(str(error))
            if type(error).__module__ == "models.errors" or isinstance(error, FloatingPointError):
                raise CommandError(str(error)) from error
            raise
        except ModuleNotFoundError as error:
            library = (error.name or "").split(".")[0]
            if library not in LIBRARIES:
                raise
            raise CommandError(f"{LIBRARIES[library]} Install it: pip install '{library}'") from error
        except OSError as error:
            if error.errno in FULL:
                what = error.filename or "a file"
                raise CommandError(
                    f"{what} could not be written: {error.strerror}. Make room and start the command again; what it had finished is kept."
                ) from error
            if error.errno not in PLACES or error.filename is None:
                raise
            raise CommandError(f"{error}. {PLACES[error.errno]}") from error
        finally:
            self.observers = [o for o in self.observers if not isinstance(o, _OwnFolder)]
            on_failure.clear()
            for name in (SEED_VARIABLE, FOLDER_VARIABLE, START_VARIABLE) if is_first_process() else ():
                os.environ.pop(name, None)

    def run_commandline(self, argv: Sequence[str] | None = None) -> Run | None:
        """As sacred.Experiment.run_commandline; common slips of the command line are named."""
        print_any_text()
        argv = list(sys.argv if argv is None else argv)
        if argv[1:2] == ["runs"] and "with" not in argv:
            sys.exit(list_runs(argv[2:], places=(self._root_of(self.defaults),)))
        words = argv[1:]
        if len(words) == 2 and words[0] in self.commands and words[1] in ("-h", "--help"):
            words = ["help", words[0]]
        if words[:1] == ["help"] and len(words) == 2:
            for what in (self.named_configs, self.commands):
                if words[1] in what:
                    print(f"{words[1]}: {inspect.cleandoc(what[words[1]].__doc__ or '')}")  # noqa: T201
                    sys.exit()
        try:
            before = without_options(self, words[: words.index("with")] if "with" in words else words)
            check_slips(words, self.commands, self.named_configs, before)
        except ConfigError as error:
            sys.stderr.write(f"{Path(argv[0]).name}: {error}\n")
            sys.exit(1)
        try:
            return super().run_commandline([argv[0], *as_texts(words, self.schema, self.aliases)])
        except Interrupted as signal:
            sys.stderr.write(f"{Path(argv[0]).name}: {signal}\n")
            sys.exit(signal.exit_code)
        except BrokenPipeError:  # `help | head`: whoever read has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)

    def _handle_help(self, args: Any, usage: str) -> bool:
        """As Sacred's; the help on the whole script ends with the spellings of keys that it takes beside its own."""
        handled: bool = super()._handle_help(args, usage)
        if handled and args["COMMAND"] is None and self.aliases:
            print(f"Other spellings of keys and sections that are taken, and this script's own:\n{spellings(self.aliases)}")  # noqa: T201
        return handled


def _check_seed(seed: Any) -> None:
    """Raise ConfigError for a seed that is none: Sacred draws by it before any config is compared with its schema."""
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MOST_SEED):
        raise ConfigError(f"seed is {shown(seed)}; wanted a whole number, 0 or more and at most {MOST_SEED}.")


def _listing_command(named: Mapping[str, NamedConfig]) -> Callable[[], None]:
    def print_named_configs() -> None:
        """List the named configs, in groups, each with the first sentence of its text."""
        print(format_named_configs(named, terminal_width()))  # noqa: T201

    return print_named_configs


def _printed(command: Callable[[Run], None], run: Run) -> None:
    """Print what a stock command of Sacred prints, without escape codes where they do not belong."""
    with contextlib.redirect_stdout(io.StringIO()) as text:
        command(run)
    print((text.getvalue() if in_colour() else plain(text.getvalue())).rstrip("\n"))  # noqa: T201


def _print_config(_run: Run) -> None:
    _printed(stock.print_config, _run)


def _print_dependencies(_run: Run) -> None:
    _printed(stock.print_dependencies, _run)


for _command, _stock in ((_print_config, stock.print_config), (_print_dependencies, stock.print_dependencies)):
    _command.__name__, _command.__doc__ = _stock.__name__, _stock.__doc__

__all__ = ["CommandError", "Experiment", "Run"]
