"""Trials: runs of recipes one after the other, in parallel, or on a Ray cluster; each in its own process.

So the memory of a trial is freed, and a trial that the system kills does not end the others. The processes are forked
from a server that has imported the recipes once: 0.02 seconds instead of 4 to 6. That server has one thread and has
computed nothing; TensorFlow's own threads start in the trials.

`<folder>/<trial's name>/` contains the run directory, log.txt (all output of the run) and outcome.json, which is
written at the end. After an interruption, the trials without an outcome.json, or with a failure in it, are run again.
"""

import collections
import contextlib
import dataclasses
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
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import tqdm

from common import startup  # isort: skip  (first: trials' processes begin with this module)

from common import devices, errors, files, flags, outputs, streams

SECONDS_TO_END = 10  # the time that a process has to end after it has sent its answer
ATTEMPTS = 3  # further attempts of a trial whose Ray node died


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run of a recipe.

    Attributes:
        name: a unique name that is also a relative folder, such as `partial_unfreezing/MobileNetV2/seed0`.
        recipe: the name of a module with a `run(config)`, such as `recipes.partial_unfreezing`.
        config: the recipe's Config; its `out` becomes the trial's folder.
    """

    name: str
    recipe: str
    config: Any


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The outcome of a trial.

    Attributes:
        directory: the run directory; None after an error.
        error: one line; None after a success.
        seconds: the wall time of the process.
    """

    directory: pathlib.Path | None
    error: str | None
    seconds: float


def run_all(
    trials: Sequence[Trial], folder: pathlib.Path, jobs: int = 1, ray_address: str | None = None,
    preload: Sequence[str] = (),
) -> dict[str, Outcome]:  # fmt: skip
    """Run the trials that have not succeeded yet, with a progress bar and a line for each trial on stderr.

    The results depend neither on where the trials run nor on how many run at a time. TensorFlow's order of summation
    depends on its number of threads. One thread instead of two changed the probabilities of a network trained from
    scratch by up to 0.04. So each trial uses as many threads as one that runs alone here. On two cores, two trials with
    two threads each took 9 % more processor time than with one thread each; 16 threads each took 25 % more.

    On Ray, the cluster's scheduler places the trials: one CPU each, and one GPU if the cluster has GPUs. `jobs` is
    ignored there, and a trial whose node dies is started again on another node. This machine must be one of the nodes.
    Every node needs the same version of these recipes installed, and the photos and weights at the same paths as here.
    Run directories are sent back through Ray, so `folder` need not be shared. The cache need not be shared either:
    `config.cache` is a folder of each node, or a shared one, where features are computed once instead of once per node.

    Args:
        trials: trials with unique names; no name is a folder of another.
        folder: contains the trials' folders, and is created if needed; trials that have succeeded are not run again.
        jobs: the number of trials that run at a time on this machine.
        ray_address: `host:port` of a Ray cluster, or `auto` for the one that this machine belongs to.
        preload: modules that the server imports in addition to the recipes.

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


def call(function: Callable, *arguments: Any) -> Any:
    """Return `function(*arguments)`, computed in its own process, so that its memory is freed; it shares our stderr.

    Args:
        function: a function of an importable module. Its arguments and result must be picklable.

    Raises:
        UserError: the function raised it, or the system killed the process.
        RuntimeError: the function raised another exception: in one line; its traceback is on stderr.
    """
    process = _Process([function.__module__], None, function, *arguments)
    return process.result()


# Folders ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _in_use(folder: pathlib.Path) -> Iterator[None]:
    """Create the folder and lock it against other processes; the lock ends with this process, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.UserError(f"{folder}: {error.strerror}; choose another --out") from error
    with outputs.locked(folder):
        yield


def _success(place: pathlib.Path) -> Outcome | None:
    """Return the outcome of a trial that has succeeded, else None."""
    try:
        stored = json.loads((place / "outcome.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if stored["error"] or not (place / stored["directory"] / "results.json").is_file():
        return None
    return Outcome(place / stored["directory"], None, stored["seconds"])


def _emptied(place: pathlib.Path) -> pathlib.Path:
    """Return a trial's folder, emptied of what an earlier attempt left there."""
    discarded = place.with_name(f".{place.name}-discarded")
    shutil.rmtree(discarded, ignore_errors=True)
    if place.exists():
        place.replace(discarded)  # move it away first: a process that was just killed may still write there
        shutil.rmtree(discarded, ignore_errors=True)
    place.mkdir(parents=True)
    return place


def _recorded(place: pathlib.Path, directory: str | None, error: str | None, seconds: float) -> Outcome:
    """Write a trial's outcome.json, and return the outcome."""
    seconds = round(seconds, 2)
    files.write_json(place / "outcome.json", {"directory": directory, "error": error, "seconds": seconds})
    return Outcome(place / directory if directory else None, error, seconds)


def _line(name: str, outcome: Outcome, folder: pathlib.Path) -> str:
    """Return the line that is printed when a trial has ended."""
    if outcome.directory is None:
        log = folder / name / "log.txt"
        where = f" (see {log})" if log.is_file() else ""
        return f"{name}: failed after {outcome.seconds:.0f} s: {outcome.error}{where}"
    results = json.loads((outcome.directory / "results.json").read_text(encoding="utf-8"))
    metric = startup.by_name(f"evaluation.{results.get('evaluation', 'classification')}").HEADLINE
    return f"{name}: test {metric} {results['test'][metric]:.3f}, {outcome.seconds:.0f} s"


# On this machine ----------------------------------------------------------------------------------------------


def _ended(
    trials: Sequence[Trial], folder: pathlib.Path, jobs: int, ray_address: str | None, preload: Sequence[str],
    bar: tqdm.tqdm,
) -> Generator[tuple[Trial, Outcome]]:  # fmt: skip
    """Yield each trial with its outcome, as soon as it has ended."""
    if ray_address and trials:
        return _on_ray(trials, folder, ray_address, bar)
    return _in_processes(trials, folder, jobs, preload, bar)


def _in_processes(
    trials: Sequence[Trial], folder: pathlib.Path, jobs: int, preload: Sequence[str], bar: tqdm.tqdm
) -> Generator[tuple[Trial, Outcome]]:
    waiting = collections.deque(trials)
    running: dict[Any, tuple[Trial, _Process]] = {}
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
    """Wait for a trial, and return its run directory, its error and its seconds."""
    try:
        directory, error = process.result(), None
    except (errors.UserError, RuntimeError) as raised:
        directory, error = None, str(raised)
    return directory, error, process.seconds


def _run_recipe(recipe: str, config: Any, working_directory: str) -> str:
    """Run a recipe as its own command line does, and return the run directory relative to the trial's folder."""
    with contextlib.suppress(FileNotFoundError):  # a Ray node may lack it; then relative paths do not exist there
        os.chdir(working_directory)
    alone = dataclasses.replace(config, out=flags.RunConfig.out)
    sys.argv = ["-m", recipe, *flags.arguments(alone)]  # goes into config.json
    result = importlib.import_module(recipe).run(config)
    return os.path.relpath(result.directory, config.out)


class _Process:
    """A function in its own process, which ends with this one, however this one ends.

    Attributes:
        receiver: ready for `multiprocessing.connection.wait` when the function has ended.
        seconds: the wall time, known after `result`.
    """

    def __init__(self, preload: Sequence[str], log: pathlib.Path | None, function: Callable, *arguments: Any) -> None:
        context = multiprocessing.get_context("forkserver")
        # TensorFlow looks for GPUs while it is imported, and the state of CUDA does not survive a fork. So with a GPU
        # each process does its own imports.
        context.set_forkserver_preload([] if devices.has_gpu() else [__name__, *preload])
        self.receiver, sender = context.Pipe(duplex=False)
        self.process = context.Process(target=_in_child, args=(sender, log, function, arguments))
        self.started, self.seconds = time.monotonic(), 0.0
        with _no_main_module():
            self.process.start()
        sender.close()

    def result(self) -> Any:
        """Wait for the function's value and return it, or raise what `call` raises."""
        try:
            succeeded, value = self.receiver.recv()
            self.process.join(SECONDS_TO_END)  # joblib needs the time to close what it has opened
        except EOFError:  # it ended without an answer
            self.process.join()
            succeeded, value = False, errors.UserError(_cause_of_death(self.process.exitcode or 0))
        finally:
            self.stop()
        if not succeeded:
            raise value
        return value

    def stop(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.join()
        self.receiver.close()
        self.seconds = time.monotonic() - self.started


@contextlib.contextmanager
def _no_main_module() -> Iterator[None]:
    """Hide `__main__`: else multiprocessing runs the script again in every process, with all that has no guard."""
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


def _in_child(
    sender: multiprocessing.connection.Connection, log: pathlib.Path | None, function: Callable, arguments: tuple
) -> None:
    """Send (True, the function's value) or (False, an exception that says in one line what went wrong)."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    streams.set_up()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent stops the others
    if log:
        _speak_into(log)
    try:
        value = function(*arguments)
        sys.stdout.flush()  # the parent ends this process after it has received the value
        sender.send((True, value))
    except BaseException as error:
        told = _in_one_line(error)
        if log or not isinstance(told, errors.UserError):
            traceback.print_exc()
        sender.send((False, told))


def _in_one_line(error: BaseException) -> Exception:
    """Return a UserError if the error is one or was one in a tf.data pipeline (only its text), else a RuntimeError."""
    words = str(error).strip().splitlines() or [""]
    if isinstance(error, errors.UserError):
        return errors.UserError(" ".join(words))
    if inside := re.search(r"\bUserError: (.+)", str(error)):
        return errors.UserError(inside.group(1))
    return RuntimeError(": ".join(filter(None, [type(error).__name__, words[0]])))


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()  # type: ignore[union-attr]  # not None: this runs only in children
    os._exit(1)


def _speak_into(log: pathlib.Path) -> None:
    """Send stdout and stderr to a file, including those of TensorFlow's C++ code."""
    with open(log, "a") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
            # In a child process nothing has replaced these two streams.
            stream.reconfigure(  # type: ignore[union-attr]
                encoding="utf-8", errors="backslashreplace", line_buffering=True
            )


# On a Ray cluster ---------------------------------------------------------------------------------------------


def _on_ray(
    trials: Sequence[Trial], folder: pathlib.Path, address: str, bar: tqdm.tqdm
) -> Generator[tuple[Trial, Outcome]]:
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
        ray.shutdown()  # ends the tasks that are still running


def _connected(address: str) -> Any:
    """Return the module `ray`, connected to a cluster."""
    try:
        import ray
    except ImportError:
        raise errors.UserError("--ray needs Ray: pip install 'keras-recipes[ray]'") from None
    known = os.environ.get("RAY_ADDRESS", "") if address == "auto" else address
    host, _, port = known.rpartition(":")
    try:
        if host:  # Ray itself would try for minutes to reach a port on which nothing listens
            socket.create_connection((host, int(port)), timeout=5).close()
        ray.init(address, log_to_driver=False, logging_level=logging.WARNING)
    except (OSError, ValueError, RuntimeError, SystemExit) as error:
        raise errors.UserError(
            f"--ray {address}: cannot connect ({' '.join(str(error).split())}); `ray start --head` starts a cluster, "
            "`ray start --address HOST:PORT` adds a machine to it"
        ) from error
    return ray


def _threads() -> int:
    """Return the number of threads that TensorFlow uses for one operation on this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return int(os.environ.get("TF_NUM_INTRAOP_THREADS") or cores or 1)


def _run_on_node(trial: Trial, working_directory: str, threads: int) -> tuple:
    """Run a trial as a Ray task, and return its folder as a zip archive, followed by the values of `_outcome`.

    The trial runs in its own process here too. So a crash differs from the death of a node, which Ray handles, and the
    next trial on this worker needs no imports.
    """
    # Ray gives a task with one CPU one thread; the server that the trial is forked from reads both when it starts.
    os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(threads)
    with tempfile.TemporaryDirectory(prefix="trial-") as name:
        place = pathlib.Path(name)
        outcome = _outcome(_started(trial, place, working_directory, [trial.recipe]))
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for path in sorted(place.rglob("*")):
                archive.write(path, path.relative_to(place))
    return content.getvalue(), *outcome
