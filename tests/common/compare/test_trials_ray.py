"""Trials on a real cluster: two nodes on this machine, of which one dies in the middle."""

import dataclasses
import os
import pathlib
import threading
import time

import psutil
import pytest
import toy_recipe

from common.compare import trials
from recipes import compare_strategies

pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    """A head and a second node with one CPU each; their workers find this file's recipe."""
    from ray import cluster_utils

    with pytest.MonkeyPatch.context() as patched:
        folders = [str(pathlib.Path(module.__file__).parents[up]) for module, up in ((toy_recipe, 0), (trials, 2))]
        patched.setenv("PYTHONPATH", os.pathsep.join(folders))
        patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
        found = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        found.add_node(num_cpus=1)
        yield found
        found.shutdown()


def toys(diary):
    """Two trials that wait for the file `diary.go`, and four more."""
    ways = {"a": "succeeds", "b": "succeeds", "c": "raises", "d": "is killed", "e": "succeeds", "f": "succeeds"}
    waits = {"until": diary.with_suffix(".go")}
    return [
        trials.Trial(f"{name}/seed0", "toy_recipe", toy_recipe.Config(
            name=name, diary=diary, how=how, **waits if name in "ab" else {}
        ))
        for name, how in ways.items()
    ]  # fmt: skip


@pytest.mark.long
def test_a_comparison_is_the_same_there_and_here(cluster, stripes, tmp_path):
    """One strategy trains the whole network: its sums show at once if the number of threads is another there."""
    strategies = ("logistic_regression", "scratch=from_scratch --learning-rates 1e-4")
    config = compare_strategies.Config(
        data=str(stripes), backbones=("demo",), weights="demo", strategies=strategies, seeds=1, image_size=64, epochs=3,
        batch_size=8, cache=tmp_path / "cache", out=tmp_path / "here",
    )  # fmt: skip
    here = compare_strategies.run(config)
    there = compare_strategies.run(dataclasses.replace(config, out=tmp_path / "there", ray=cluster.address))
    assert [row["name"] for row in here.results["rows"]] == [row["name"] for row in there.results["rows"]]
    for ours, theirs in zip(here.results["rows"], there.results["rows"], strict=True):
        kept = ("test", "validation", "per_class", "photos", "trainable_parameters")
        assert all(ours[name] == theirs[name] for name in kept if name in ours)
        answers = [
            (result.directory / row["runs"][0]["report"]).with_name("predictions.csv").read_text()
            for result, row in ((here, ours), (there, theirs))
        ]
        assert answers[0] == answers[1]
    assert here.results["differences"] == there.results["differences"]


@pytest.mark.long
def test_a_node_dies_and_nothing_is_lost(cluster, tmp_path):
    diary, other = tmp_path / "diary", tmp_path / "other"
    pathlib.Path(f"{other}.go").touch()

    def kill_a_node():
        while len(toy_recipe.read(diary)) < 2:  # until each node is busy with a trial
            time.sleep(0.05)
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
        while all(psutil.pid_exists(process) for *_, process in toy_recipe.read(diary)):  # it dies with its node
            time.sleep(0.05)
        diary.with_suffix(".go").touch()

    killer = threading.Thread(target=kill_a_node, daemon=True)
    killer.start()
    there = trials.run_all(toys(diary), tmp_path / "there", ray_address=cluster.address)
    killer.join()
    happened = sorted((name, what) for what, name, _ in toy_recipe.read(diary))
    here = trials.run_all(toys(other), tmp_path / "here")
    undisturbed = sorted((name, what) for what, name, _ in toy_recipe.read(other))
    assert len(happened) == len(undisturbed) + 1 and set(happened) == set(undisturbed)  # one trial began twice
    assert list(there) == list(here)
    for name, outcome in there.items():
        assert outcome.error == here[name].error
        assert outcome.error or outcome.directory.relative_to(tmp_path / "there") == pathlib.Path(name, "toy", "run")
        assert (tmp_path / "there" / name / "outcome.json").is_file()
    assert "second line" in (tmp_path / "there" / "c" / "seed0" / "log.txt").read_text()
    count = len(toy_recipe.read(diary))
    assert trials.run_all(toys(diary)[:2], tmp_path / "there") == {name: there[name] for name in list(there)[:2]}
    assert len(toy_recipe.read(diary)) == count
