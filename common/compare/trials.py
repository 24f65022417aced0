"""Trials: runs of recipes one after the other, side by side, or on a Ray cluster; each in a process of its own.

So the memory of a trial comes back, and one that the system kills is an outcome and not the end of the others. The
processes are forked from a server that has imported the recipes once: 0.02 seconds instead of 4 to 6. That server has
one thread and has computed nothing; TensorFlow's own threads start in the trials.

`<folder>/<trial's name>/` holds the run directory, log.txt (all that the run said) and at the end outcome.json, its
mark of being over: what was killed goes on with the trials that have no mark, or one of a failure.
"""

import collections
import contextlib
import dataclasses
import fcntl
import importlib
import io
import json
import logging
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
import types
import zipfile
from collections.abc import Callable, Generator, Sequence
from typing import Any

import tqdm

from common import startup  # noqa: F401, isort: skip  (first: trials' processes begin with this module)

from common import devices, errors, files, flags

SECONDS_TO_END = 10  # of a process that has sent its answer
ATTEMPTS = 3  # further ones of a trial whose Ray node died


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run of a recipe.

    Attributes:
        name: unique, and a relative folder: `partial_unfreezing/MobileNetV2/seed0`.
        recipe: the module's name, `recipes.partial_unfreezing`; it has a `run(config)`.
        config: the recipe's Config; its `out` becomes the trial's folder.
    """

    name: str
    recipe: str
    config: Any


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a trial.

    Attributes:
        directory: the run directory; None after an error.
        error: one line; None after a success.
        seconds: wall time of the process.
    """

    directory: pathlib.Path | None
    error: str | None
    seconds: float


def run_all(
    trials: Sequence[Trial], folder: pathlib.Path, jobs: int = 1, ray_address: str | None = None,
    preload: Sequence[str] = (),
) -> dict[str, Outcome]:  # fmt: skip
    """Runs what has not succeeded yet; a bar and a line for each trial on stderr.

    The results do not depend on where the trials run, nor how many at a time. TensorFlow sums in an order that follows
    from the number of its threads: one instead of two moved the probabilities of a network trained from scratch by up
    to 0.04. So each trial has as many as one that runs alone here. On two cores, two trials of two threads each took
    9 % more processor time than two of one, and two of 16 threads 25 % more.

    On Ray, the cluster's scheduler places the trials: one CPU each, one GPU too where the cluster has GPUs; `jobs` says
    nothing there, and a trial whose node dies is started on another one. This machine must be one of the nodes. Every
    node needs the same version of these recipes installed, and the photos and weights at the same paths as here. Run
    directories come back through Ray, so `folder` need not be shared. Nor need the cache be: `config.cache` is a folder
    of the node, or a shared one, where features are computed once instead of once a node.

    Args:
        trials: no name twice, none that is a folder of another.
        folder: where the trials' folders are, made if need be; those with an outcome from before are not run again.
        jobs: trials at a time on this machine.
        ray_address: `host:port` of a Ray cluster, or `auto` for the one that this machine belongs to.
        preload: modules that the server imports besides the recipes.

    Returns:
        Trial's name → outcome, in the order of the trials.

    Raises:
        UserError: the folder is in use by another process; Ray is not installed or cannot be reached.
        ValueError: two trials have the same name.
    """
    names = [trial.name for trial in trials]
    if len(set(names)) < len(names):
        raise ValueError("two trials have the same name")
    with _in_use(folder):
        found = {name: outcome for name in names if (outcome := _success(folder / name))}
        waiting = [trial for trial in trials if trial.name not in found]
        if found:
            print(f"trials: {len(found)} of {len(trials)} are finished already", file=sys.stderr)
        bar = tqdm.tqdm(
            total=len(trials), initial=len(found), desc="trials", unit="trial", file=sys.stderr, disable=None
        )
        with bar, contextlib.closing(_ended(waiting, folder, jobs, ray_address, preload, bar)) as ended:
            for trial, outcome in ended:
                found[trial.name] = outcome
                count = f" ({len(found)} of {len(trials)})" if bar.disable else ""  # in a log, which has no bar
                bar.write(_line(trial.name, outcome, folder) + count, file=sys.stderr)
                bar.update()
    return {name: found[name] for name in names}


def call(function: Callable, *arguments) -> Any:
    """`function(*arguments)` in a process of its own, so that its memory comes back; it speaks on our stderr.

    Args:
        function: of a module that can be imported by its name. Arguments and result can be pickled.

    Raises:
        UserError: the function raised it, or the system killed the process.
        RuntimeError: another exception, in one line; its traceback is on stderr.
    """
    process = _Process([function.__module__], None, function, *arguments)
    return process.result()


# Folders ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _in_use(folder: pathlib.Path):
    """Makes the folder and keeps others from running trials there; the lock ends with this process, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / ".lock", "w")
    except OSError as error:
        raise errors.UserError(f"{folder}: {error.strerror}; choose another --out") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise errors.UserError(f"{folder}: another process runs these trials now; wait for its end") from None
        yield


def _success(place: pathlib.Path) -> Outcome | None:
    """The outcome of a trial that has succeeded, None of any other."""
    try:
        stored = json.loads((place / "outcome.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if stored["error"] or not (place / stored["directory"] / "results.json").is_file():
        return None
    return Outcome(place / stored["directory"], None, stored["seconds"])


def _emptied(place: pathlib.Path) -> pathlib.Path:
    """A trial's folder without what an earlier attempt left there."""
    discarded = place.with_name(f".{place.name}-discarded")
    shutil.rmtree(discarded, ignore_errors=True)
    if place.exists():
        place.replace(discarded)  # first out of the way: a process that was just killed may still write there
        shutil.rmtree(discarded, ignore_errors=True)
    place.mkdir(parents=True)
    return place


def _recorded(place: pathlib.Path, directory: str | None, error: str | None, seconds: float) -> Outcome:
    """Writes a trial's outcome.json."""
    seconds = round(seconds, 2)
    files.write_json(place / "outcome.json", {"directory": directory, "error": error, "seconds": seconds})
    return Outcome(place / directory if directory else None, error, seconds)


def _line(name: str, outcome: Outcome, folder: pathlib.Path) -> str:
    """What is said of a trial when it is over."""
    if outcome.directory is None:
        log = folder / name / "log.txt"
        where = f" (see {log})" if log.is_file() else ""
        return f"{name}: failed after {outcome.seconds:.0f} s: {outcome.error}{where}"
    results = json.loads((outcome.directory / "results.json").read_text(encoding="utf-8"))
    return f"{name}: test accuracy {results['test']['accuracy']:.3f}, {outcome.seconds:.0f} s"


# On this machine ----------------------------------------------------------------------------------------------


def _ended(trials, folder, jobs, ray_address, preload, bar) -> Generator[tuple[Trial, Outcome]]:
    """Each trial with its outcome, as soon as it is over."""
    if ray_address and trials:
        return _on_ray(trials, folder, ray_address, bar)
    return _in_processes(trials, folder, jobs, preload, bar)


def _in_processes(trials, folder, jobs, preload, bar):
    waiting, running = collections.deque(trials), {}
    modules = [*preload, *sorted({trial.recipe for trial in trials})]
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                trial = waiting.popleft()
                process = _started(trial, _emptied(folder / trial.name), os.getcwd(), modules)
                running[process.receiver] = trial, process
            bar.set_postfix_str(", ".join(trial.name for trial, _ in running.values()))
            for receiver in multiprocessing.connection.wait(list(running)):
                trial, process = running.pop(receiver)
                yield trial, _recorded(folder / trial.name, *_outcome(process))
    finally:
        for _, process in running.values():
            process.stop()


def _started(trial: Trial, place: pathlib.Path, working_directory: str, preload: Sequence[str]) -> "_Process":
    config = dataclasses.replace(trial.config, out=place)
    return _Process(preload, place / "log.txt", _run_recipe, trial.recipe, config, working_directory)


def _outcome(process: "_Process") -> tuple[str | None, str | None, float]:
    """Waits for a trial: its run directory, its error, its seconds."""
    try:
        directory, error = process.result(), None
    except (errors.UserError, RuntimeError) as raised:
        directory, error = None, str(raised)
    return directory, error, process.seconds


def _run_recipe(recipe: str, config, working_directory: str) -> str:
    """Runs a recipe as from its own command line, and returns the run directory relative to the trial's folder."""
    with contextlib.suppress(FileNotFoundError):  # a Ray node may lack it; relative paths are missing there, too
        os.chdir(working_directory)
    alone = dataclasses.replace(config, out=flags.RunConfig.out)
    sys.argv = ["-m", recipe, *flags.arguments(alone)]  # goes into config.json
    result = importlib.import_module(recipe).run(config)
    return os.path.relpath(result.directory, config.out)


class _Process:
    """A function in a process of its own, which ends with this one, however this one ends.

    Attributes:
        receiver: ready for `multiprocessing.connection.wait` when the function is over.
        seconds: wall time, known after `result`.
    """

    def __init__(self, preload: Sequence[str], log: pathlib.Path | None, function: Callable, *arguments):
        context = multiprocessing.get_context("forkserver")
        # TensorFlow looks for GPUs while it is imported, and what CUDA sets up does not survive a fork: with a GPU each
        # process imports for itself.
        context.set_forkserver_preload([] if devices.has_gpu() else [__name__, *preload])
        self.receiver, sender = context.Pipe(duplex=False)
        self.process = context.Process(target=_in_child, args=(sender, log, function, arguments))
        self.started, self.seconds = time.monotonic(), 0.0
        with _no_main_module():
            self.process.start()
        sender.close()

    def result(self) -> Any:
        """Waits for the function's value, or raises what `call` says."""
        try:
            succeeded, value = self.receiver.recv()
            self.process.join(SECONDS_TO_END)  # what joblib has opened it closes itself
        except EOFError:  # it ended without a word
            self.process.join()
            succeeded, value = False, errors.UserError(_cause_of_death(self.process.exitcode or 0))
        finally:
            self.stop()
        if not succeeded:
            raise value
        return value

    def stop(self) -> None:
        """Ends the process, at once."""
        self.process.kill()
        self.process.join()
        self.receiver.close()
        self.seconds = time.monotonic() - self.started


@contextlib.contextmanager
def _no_main_module():
    """Hides `__main__`: multiprocessing would have every process run the script again, and one without a guard anew."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _cause_of_death(exit_code: int) -> str:
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    return f"was killed by signal {-exit_code}{' (out of memory?)' if exit_code == -signal.SIGKILL else ''}"


def _in_child(sender, log: pathlib.Path | None, function: Callable, arguments: tuple) -> None:
    """Sends (True, the function's value) or (False, an exception that says in one line what went wrong)."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent stops the others
    if log:
        _speak_into(log)
    try:
        value = function(*arguments)
        sys.stdout.flush()  # after the value the parent ends this process
        sender.send((True, value))
    except BaseException as error:
        told = _in_one_line(error)
        if log or not isinstance(told, errors.UserError):
            traceback.print_exc()
        sender.send((False, told))


def _in_one_line(error: BaseException) -> Exception:
    """A UserError, if the error is one or was one in a tf.data pipeline, which passes on only words; a RuntimeError."""
    words = str(error).strip().splitlines() or [""]
    if isinstance(error, errors.UserError):
        return errors.UserError(" ".join(words))
    if inside := re.search(r"\bUserError: (.+)", str(error)):
        return errors.UserError(inside.group(1))
    return RuntimeError(": ".join(filter(None, [type(error).__name__, words[0]])))


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()  # type: ignore[union-attr]  # it has one: this runs only in children
    os._exit(1)


def _speak_into(log: pathlib.Path) -> None:
    """Sends stdout and stderr to a file, those of TensorFlow's C++ too."""
    with open(log, "a") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
            # In a process of its own nothing has replaced them.
            stream.reconfigure(  # type: ignore[union-attr]
                encoding="utf-8", errors="backslashreplace", line_buffering=True
            )


# On a Ray cluster ---------------------------------------------------------------------------------------------


def _on_ray(trials, folder, address, bar):
    ray = _connected(address)
    try:
        gpus = min(1, ray.cluster_resources().get("GPU", 0))
        run = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=ATTEMPTS)(_run_on_node)
        bar.set_postfix_str(f"on {ray.cluster_resources().get('CPU', 0):.0f} CPUs of a Ray cluster")
        waiting = {run.remote(trial, os.getcwd(), _threads()): trial for trial in trials}
        while waiting:
            (reference, *_), _ = ray.wait(list(waiting))
            trial = waiting.pop(reference)
            place = _emptied(folder / trial.name)
            try:
                content, *outcome = ray.get(reference)
            except ray.exceptions.RayError as error:  # no further attempts left
                cause = getattr(error, "cause", None) or error
                outcome = None, str(_in_one_line(cause)), 0.0
            else:
                zipfile.ZipFile(io.BytesIO(content)).extractall(place)
            yield trial, _recorded(place, *outcome)
    finally:
        ray.shutdown()  # ends what still runs


def _connected(address: str):
    """The module `ray`, connected to a cluster."""
    try:
        import ray
    except ImportError:
        raise errors.UserError("--ray needs Ray: pip install 'keras-recipes[ray]'") from None
    known = os.environ.get("RAY_ADDRESS", "") if address == "auto" else address
    host, _, port = known.rpartition(":")
    try:
        if host:  # Ray itself would try for minutes to reach a port where nobody listens
            socket.create_connection((host, int(port)), timeout=5).close()
        ray.init(address, log_to_driver=False, logging_level=logging.WARNING)
    except (OSError, ValueError, RuntimeError, SystemExit) as error:
        raise errors.UserError(
            f"--ray {address}: cannot connect ({' '.join(str(error).split())}); `ray start --head` starts a cluster, "
            "`ray start --address HOST:PORT` adds a machine to it"
        ) from error
    return ray


def _threads() -> int:
    """How many threads TensorFlow computes an operation with on this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return int(os.environ.get("TF_NUM_INTRAOP_THREADS") or cores or 1)


def _run_on_node(trial: Trial, working_directory: str, threads: int) -> tuple:
    """A Ray task: the trial's folder as a zip archive, and what `_outcome` says.

    The trial runs in a process of its own here too: a crash is told from the death of a node, which Ray sees to, and
    the next trial on this worker needs no imports.
    """
    # Ray gives a task of one CPU one thread; the server that the trial is forked from reads both when it starts.
    os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(threads)
    with tempfile.TemporaryDirectory(prefix="trial-") as name:
        place = pathlib.Path(name)
        outcome = _outcome(_started(trial, place, working_directory, [trial.recipe]))
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for path in sorted(place.rglob("*")):
                archive.write(path, path.relative_to(place))
    return content.getvalue(), *outcome
