import csv
import fcntl
import json
import multiprocessing
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import toy_recipe

from common import errors, flags, outputs
from common.compare import trials
from recipes import feature_extraction, from_scratch


def toy(tmp_path, name, how="succeeds", pause=0.0, **changes):
    settings = toy_recipe.Config(name=name.replace("/", "_"), diary=tmp_path / "diary", how=how, pause=pause, **changes)
    return trials.Trial(name, "toy_recipe", settings)


def happened(tmp_path, what="starts"):
    return [name for event, name, _ in toy_recipe.read(tmp_path / "diary") if event == what]


def wait_until(condition, seconds=120):
    """A deadline for what hangs; nothing is said of how fast it is."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


FATES = {
    "errs": "no photos: give others",
    "errs in a pipeline": "no photo: leave it out",
    "raises": "ValueError: first line",
    "leaves": "SystemExit: 3",
    "ends": "ended with exit code 4",
    "is killed": "was killed by signal 9 (out of memory?)",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One trial for each way to end, after which come more; with what was said on stderr."""
    folder = tmp_path_factory.mktemp("finished")
    planned = [toy(folder, f"{how.replace(' ', '_')}/seed0", how) for how in FATES]
    planned += [toy(folder, "succeeds/seed0", seed=7), toy(folder, "succeeds/seed1", seed=8)]
    return folder, planned, trials.run_all(planned, folder / "trials")


def test_every_end_of_a_trial_is_an_outcome(finished):
    folder, planned, outcomes = finished
    assert list(outcomes) == [trial.name for trial in planned]
    assert [outcome.error for outcome in outcomes.values()] == [*FATES.values(), None, None]
    assert [outcome.directory for outcome in outcomes.values()][:-2] == [None] * len(FATES)
    for name, seed in (("succeeds/seed0", 7), ("succeeds/seed1", 8)):
        assert outcomes[name].directory == folder / "trials" / name / "toy" / "run"
        assert json.loads((outcomes[name].directory / "results.json").read_text())["seed"] == seed
    stored = json.loads((folder / "trials" / "succeeds" / "seed1" / "outcome.json").read_text())
    assert stored == {"directory": "toy/run", "error": None, "seconds": outcomes["succeeds/seed1"].seconds}


def test_all_that_a_trial_said_is_in_its_log(finished):
    folder, _, _ = finished
    log = (folder / "trials" / "is_killed" / "seed0" / "log.txt").read_text()
    assert "on stdout" in log and "on stderr" in log and "from another program" in log
    log = (folder / "trials" / "raises" / "seed0" / "log.txt").read_text()
    assert "Traceback" in log and "second line" in log and "in run" in log


def test_a_trial_takes_itself_for_its_own_command(finished):
    folder, _, _ = finished
    log = (folder / "trials" / "succeeds" / "seed0" / "log.txt").read_text()
    assert "'-m', 'toy_recipe'" in log and "'--seed', '7'" in log and "--out" not in log


def test_a_line_for_each_trial_on_stderr(tmp_path, capsys):
    trials.run_all([toy(tmp_path, "a"), toy(tmp_path, "b", "raises")], tmp_path / "trials")
    shown = capsys.readouterr().err
    assert "a: test accuracy 0.750, " in shown
    assert "b: failed after 0 s: ValueError: first line (see " in shown and "(2 of 2)" in shown


def test_only_what_has_not_succeeded_runs_again_in_a_clean_folder(tmp_path):
    folder = tmp_path / "trials"
    before = trials.run_all([toy(tmp_path, "good"), toy(tmp_path, "bad", "raises")], folder)
    (folder / "half" / "toy" / "run").mkdir(parents=True)  # interrupted: no outcome.json
    (folder / "gone").mkdir()
    (folder / "gone" / "outcome.json").write_text('{"directory": "toy/run", "error": null, "seconds": 1}')
    again = trials.run_all([toy(tmp_path, name) for name in ("bad", "good", "half", "gone")], folder)
    assert happened(tmp_path) == ["good", "bad", "bad", "half", "gone"]
    assert again["good"] == before["good"] and not any(outcome.error for outcome in again.values())
    assert {path.name for path in folder.iterdir()} == {"bad", "good", "half", "gone", outputs.LOCK}
    assert "Traceback" not in (folder / "bad" / "log.txt").read_text()


def test_jobs_at_a_time_and_no_more(tmp_path):
    trials.run_all([toy(tmp_path, name, pause=0.5) for name in "abcd"], tmp_path / "trials", jobs=2)
    most, now = 0, 0
    for event, _, _ in toy_recipe.read(tmp_path / "diary"):
        now += {"starts": 1, "ends": -1}[event]
        most = max(most, now)
    assert most == 2 and sorted(happened(tmp_path, "ends")) == list("abcd")


def test_one_name_for_two_trials_is_refused(tmp_path):
    with pytest.raises(ValueError, match="same name"):
        trials.run_all([toy(tmp_path, "a"), toy(tmp_path, "a")], tmp_path)


def test_two_comparisons_in_one_folder_are_refused(tmp_path):
    with open(tmp_path / outputs.LOCK, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(errors.UserError, match="another process"):
            trials.run_all([toy(tmp_path, "a")], tmp_path)
    assert not happened(tmp_path)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(errors.UserError, match="--out"):
        trials.run_all([toy(tmp_path, "a")], tmp_path / "file" / "trials")


@pytest.mark.parametrize(("address", "message"), [("nowhere", "cannot connect"), ("127.0.0.1:1", "ray start")])
def test_a_cluster_that_is_not_there_is_one_line(address, message, tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
    with pytest.raises(errors.UserError, match=f"^--ray {address}: .*{message}"):
        trials.run_all([toy(tmp_path, "a")], tmp_path, ray_address=address)


def test_without_ray_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(errors.UserError, match=r"pip install 'keras-recipes\[ray\]'"):
        trials.run_all([toy(tmp_path, "a")], tmp_path, ray_address="auto")


# Interruptions: the parents here are processes themselves, forked from the same server.


def starts_in_a_process(*arguments, **settings):
    process = multiprocessing.get_context("forkserver").Process(target=trials.run_all, args=arguments, kwargs=settings)
    process.start()
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_trials_end_with_their_parent(number, tmp_path):
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("a shell in the background lets its programs ignore control-C")
    parent = starts_in_a_process([toy(tmp_path, name, pause=600) for name in "abc"], tmp_path / "trials", jobs=2)
    wait_until(lambda: len(happened(tmp_path)) == 2)
    os.kill(parent.pid, number)
    parent.join(120)
    assert parent.exitcode not in (None, 0)
    wait_until(lambda: not any(psutil.pid_exists(process) for *_, process in toy_recipe.read(tmp_path / "diary")))
    assert sorted(happened(tmp_path)) == ["a", "b"] and not list((tmp_path / "trials").glob("*/outcome.json"))


@pytest.mark.long
def test_killed_five_times_nothing_is_lost_and_nothing_finished_is_repeated(tmp_path):
    chance, folder = random.Random(0), tmp_path / "trials"
    planned = [toy(tmp_path, f"s{i % 3}/seed{i // 3}", "raises" if i == 4 else "succeeds", 0.15) for i in range(18)]
    over = set()  # successful before a kill
    for _ in range(5):
        already = len(happened(tmp_path))
        parent = starts_in_a_process(planned, folder, jobs=2)
        wait_until(lambda count=already: len(happened(tmp_path)) > count)
        time.sleep(chance.uniform(0, 0.4))
        parent.kill()
        parent.join()
        assert not over & set(happened(tmp_path)[already:])
        over |= {path.parent.relative_to(folder).as_posix().replace("/", "_") for path in folder.rglob("outcome.json")
                 if not json.loads(path.read_text())["error"]}  # fmt: skip
    assert 0 < len(over) < 17
    already = len(happened(tmp_path))
    outcomes = trials.run_all(planned, folder, jobs=2)
    assert not over & set(happened(tmp_path)[already:])
    assert {name for name, outcome in outcomes.items() if outcome.error} == {planned[4].name}
    assert all((outcome.directory / "results.json").is_file() for outcome in outcomes.values() if not outcome.error)


def test_a_script_is_not_run_again_by_its_trials(tmp_path):
    (tmp_path / "script.py").write_text(f"""
import pathlib, sys
print("the script runs", flush=True)
sys.path.insert(0, {str(pathlib.Path(toy_recipe.__file__).parent)!r})
import toy_recipe
from common.compare import trials
config = toy_recipe.Config(name="a", diary=pathlib.Path("diary"))
trials.call(print, "a call speaks")
print(trials.run_all([trials.Trial("a", "toy_recipe", config)], pathlib.Path("trials"))["a"].error)
""")
    root = pathlib.Path(trials.__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=900,
        env=os.environ | {"PYTHONPATH": str(root)},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "the script runs\na call speaks\nNone\n"
    assert len(happened(tmp_path)) == 1  # relative paths start where the script was started


# Calls.


def test_a_call_returns_what_the_function_returns_from_another_process():
    assert trials.call(os.path.join, "a", "b") == "a/b"
    assert trials.call(os.getpid) != os.getpid()


def test_a_call_that_fails_is_an_error_here(tmp_path):
    ways = {how: toy(tmp_path, "a", how, out=tmp_path / how).config for how in ("errs", "raises", "is killed")}
    with pytest.raises(errors.UserError, match="^no photos: give others$"):
        trials.call(toy_recipe.run, ways["errs"])
    with pytest.raises(errors.UserError, match="killed by signal 9"):
        trials.call(toy_recipe.run, ways["is killed"])
    with pytest.raises(RuntimeError, match="^ValueError: first line$"):
        trials.call(toy_recipe.run, ways["raises"])


# A real recipe.


def predictions(directory):
    with open(directory / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    probabilities = [[float(row[name]) for name in row if name.startswith("p_")] for row in rows]
    return [row["path"] for row in rows], np.array(probabilities)


def check_same(directory, other):
    (paths, found), (other_paths, expected) = predictions(directory), predictions(other)
    assert paths == other_paths and np.abs(found - expected).max() < 1e-5
    accuracies = [json.loads((each / "results.json").read_text())["test"]["accuracy"] for each in (directory, other)]
    assert accuracies[0] == accuracies[1]


@pytest.mark.long
def test_a_recipe_says_the_same_alone_and_beside_another_that_needs_the_same_features(stripes, tmp_path):
    """The whole network is trained, too: its sums are the first to differ when the number of threads does."""
    shared = {"data": str(stripes), "backbone": "demo", "image_size": 64, "batch_size": 8, "cache": tmp_path / "cache"}
    probe = feature_extraction.Config(**shared, weights="demo", epochs=3)
    configs = {"probe": probe, "again": probe, "scratch": from_scratch.Config(**shared, epochs=2)}
    planned = [trials.Trial(name, type(config).__module__, config) for name, config in configs.items()]
    outcomes = trials.run_all(planned, tmp_path / "trials", jobs=3)
    assert [outcome.error for outcome in outcomes.values()] == [None] * 3
    arguments = flags.arguments(configs["scratch"])
    alone = subprocess.run(
        [sys.executable, "-m", "recipes.from_scratch", *arguments, "--out", tmp_path / "alone"],
        cwd=pathlib.Path(trials.__file__).parents[2], check=True, capture_output=True, text=True,
    )  # fmt: skip
    check_same(outcomes["scratch"].directory, pathlib.Path(alone.stdout.splitlines()[-1]))
    check_same(outcomes["probe"].directory, outcomes["again"].directory)
    told = json.loads((outcomes["scratch"].directory / "config.json").read_text())["command"]
    assert told.startswith("python -m recipes.from_scratch") and "--epochs 2" in told
