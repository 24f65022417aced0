"""The methods on made-up features with a known answer, and runs that go on: next month, and after a kill."""

import dataclasses
import json
import shutil
import subprocess
import sys

import helpers
import keras
import numpy as np
import pytest
from PIL import Image, ImageOps

from common import errors, flags
from common.features import of_tasks
from common.models import suffix
from common.runs import finished_run, saved_model
from common.runs import state as states
from common.training import task_sequence
from recipes import continual_learning

CLASSES = "abcdef"
RANDOM = np.random.default_rng(0)
MEANS = RANDOM.normal(size=(6, 16)) + 2  # a direction that all classes share


def features(letters, per_class, seed):
    """Made-up pooled features around each class's mean, normalised as the recipe's body does."""
    random = np.random.default_rng(seed)
    labels = [letter for letter in letters for _ in range(per_class)]
    rows = np.stack([MEANS[CLASSES.index(label)] for label in labels]) + random.normal(size=(len(labels), 16)) * 0.7
    rows = (rows - rows.mean(axis=1, keepdims=True)) / rows.std(axis=1, keepdims=True)
    return rows.astype("float32"), labels


def task(letters, seed=0, name=None):
    sides = {"train": 30, "validation": 10, "test": 40}
    return of_tasks.TaskFeatures(name or letters, {
        side: features(letters, count, 10 * seed + place) for place, (side, count) in enumerate(sides.items())
    })  # fmt: skip


TASKS = [task("ab"), task("cd", 1), task("ef", 2)]


@pytest.fixture(scope="module")
def network():
    """A network whose feature map has a place of 16 channels, and nothing that trains below the head."""
    inputs = keras.Input((1, 1, 16))
    base = keras.Model(inputs, keras.layers.Activation("linear")(inputs))
    return suffix.Suffix.of(base, continual_learning.build_body(base), None)


def learnt(network, method, given=TASKS, scenario="class", **changed):
    """The state after tasks, learnt with a method."""
    config = continual_learning.Config(method=method, **changed)
    learner, held = continual_learning.Methods(network, config, scenario), {}
    state = learner.empty_state()
    for each in given:
        state = learner.learn_and_measure(state, each, held)
    return state


def last_row(state):
    return np.array(state.about["matrix"][-1], float)


def test_the_methods_on_classes_that_come_two_by_two(network):
    """Naive forgets; what the others are for, they do."""
    found = {method: learnt(network, method) for method in ("naive", "ewc", "replay", "ridge", "joint", "lwf", "si")}
    mean = {method: last_row(state).mean() for method, state in found.items()}
    assert last_row(found["naive"])[:2].max() < 0.7 < 0.95 < last_row(found["naive"])[2]
    for method in ("ewc", "si", "lwf"):
        assert mean[method] > mean["naive"] + 0.04 and found[method].about["strength"]
    for method in ("replay", "ridge"):
        assert mean[method] > 0.85 and mean[method] > mean["joint"] - 0.06
    assert found["replay"].arrays["replay_features"].shape == (6 * 20, 16)
    assert found["replay"].about["tasks"][2]["photos"] == {"train": 60, "validation": 20, "test": 80}
    told = task_sequence.told(found["naive"])
    assert told["forgetting"] > 0.3 and told["matrix"][0][1:] == [None, None] and told["kept_bytes"] == 4 * 6 * 17


def test_ridge_after_any_order_is_ridge_on_all_photos(network):
    whole = learnt(network, "ridge", [of_tasks.TaskFeatures("all", {
        side: of_tasks.joined([each.sides[side] for each in TASKS]) for side in TASKS[0].sides
    })])  # fmt: skip
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        found = learnt(network, "ridge", [TASKS[place] for place in order])
        columns = [found.about["classes"].index(name) for name in whole.about["classes"]]
        for one, other in zip(found.listed("weight"), whole.listed("weight"), strict=True):
            np.testing.assert_allclose(one[..., columns], other, atol=1e-8)
        assert found.about["penalty"] == whole.about["penalty"]


def test_expand_forgets_nothing_if_the_task_is_known(network):
    found = learnt(network, "expand", scenario="task", epochs=5)
    matrix = found.about["matrix"]
    assert all(matrix[row][column] == matrix[column][column] for row in range(3) for column in range(row + 1))
    assert task_sequence.told(found)["forgetting"] == 0
    domains = [task("ab", name="one"), task("ab", 3, "two")]  # the same classes: each task still has its own head
    found = learnt(network, "expand", domains, scenario="task", epochs=5)
    assert found.about["matrix"][1][0] == found.about["matrix"][0][0]


def test_a_known_task_leaves_only_its_classes_to_answer(network):
    assert last_row(learnt(network, "naive", scenario="task")).min() > 0.8 > last_row(learnt(network, "naive"))[0]


def test_domains_are_learnt_with_one_head_and_transfer_is_measured(network):
    found = learnt(network, "ridge", [task("abc", name="one"), task("abc", 4, "two")], "domain")
    assert found.listed("weight")[1].shape == (3,) and found.about["chances"] == [None, pytest.approx(1 / 3)]
    assert task_sequence.told(found)["forward_transfer"] > 0.3  # the domains are alike


def test_one_class_a_task(network):
    given = [task(letter, number) for number, letter in enumerate("abc")]
    naive, ewc, ridge = (last_row(learnt(network, method, given)) for method in ("naive", "ewc", "ridge"))
    assert naive[0] < 0.7 and ewc.mean() > naive.mean() + 0.04 and ridge.mean() > 0.9


def test_a_strength_that_is_given_is_taken_and_a_higher_one_holds_old_weights_more(network):
    before = learnt(network, "ewc", TASKS[:1]).listed("weight")[0]
    moved = {}
    for strength in (1e-6, 1e5):
        found = learnt(network, "ewc", TASKS[:2], strength=strength)
        assert found.about["strength"] == strength
        moved[strength] = np.abs(found.listed("weight")[0][:, :2] - before).mean()
    assert moved[1e5] < moved[1e-6] / 5


def test_the_saved_model_answers_as_the_state_does(network):
    """Also with one head for each task, of which the surest answers."""
    pixels = TASKS[1].sides["test"][0][:, None, None]
    for method, given in (("ridge", TASKS), ("expand", [*TASKS, task("af", 5)])):
        state = learnt(network, method, given, **{"epochs": 3} if method == "expand" else {})
        model = continual_learning.classifier(network, state)
        learner = continual_learning.Methods(network, continual_learning.Config(method=method), "class")
        expected = learner.probabilities(state, TASKS[1], "test")
        # These features are normalised already, and the epsilon of the model's normalisation shrinks them by 0.05 %.
        np.testing.assert_allclose(model.predict(pixels, verbose=0), expected, atol=1e-3)
        np.testing.assert_allclose(expected.sum(axis=1), 1, atol=1e-5)


def test_layers_below_the_head_train_and_are_put_back(tmp_path):
    """The last block too; every call begins with the state's weights, whatever was trained before."""
    inputs = keras.Input((3, 3, 16))
    x = keras.layers.Conv2D(8, 1, activation="relu", name="block1_conv")(inputs)
    x = keras.layers.BatchNormalization(name="block2_norm")(keras.layers.Conv2D(12, 1, name="block2_conv")(x))
    base = keras.Model(inputs, keras.layers.ReLU()(x))
    config = {"unfreeze_from": "block2", "epochs": 3, "fine_tuning_epochs": 2}
    network = suffix.Suffix.of(base, continual_learning.build_body(base), "block2")
    assert network.tensor.shape[1:] == (3, 3, 8) and [each.shape for each in network.start] == [(1, 1, 8, 12), (12,)]

    def at_the_cut(each):
        return of_tasks.TaskFeatures(each.name, {
            side: (np.abs(np.tile(rows[:, None, None, :8], (1, 3, 3, 1))), labels)
            for side, (rows, labels) in each.sides.items()
        })  # fmt: skip

    given = [at_the_cut(each) for each in TASKS[:2]]
    for method in ("replay", "expand", "si", "ewc"):
        own = config | ({"strength": 1.0} if method in continual_learning.STRENGTHS else {})
        found = learnt(network, method, given, **own)
        (block, *_) = found.listed("head1" if method == "expand" else "weight")
        assert np.abs(block - network.start[0]).max() > 1e-5
        if method in ("si", "ewc"):
            assert [each.max() > 0 for each in found.listed("importance")] == [True] * 4
    again = learnt(network, method, given, **own)
    assert all((one == other).all() for one, other in zip(found.arrays.values(), again.arrays.values(), strict=True))
    with pytest.raises(errors.UserError, match="--unfreeze-from.*not for --method ridge"):
        continual_learning.Config(**config)


# Whole runs ---------------------------------------------------------------------------------------------------


@pytest.fixture
def sources(stripes, tmp_path):
    """A source with the classes of `stripes`, and one with a third class alone: the negatives of the first."""
    (tmp_path / "new" / "negative").mkdir(parents=True)
    for path in (stripes / "across").iterdir():
        ImageOps.invert(Image.open(path).convert("L")).save(tmp_path / "new" / "negative" / path.name)
    return [str(stripes), str(tmp_path / "new")]


def settings(data, tmp_path, **changed):
    common = {"backbone": "demo", "weights": "demo", "image_size": 32, "batch_size": 8}
    if changed.get("method", "ridge") != "ridge" or "compare" in changed:
        common["epochs"] = 4
    common |= {"data": tuple(data), "out": tmp_path / "runs", "cache": tmp_path / "cache"}
    return continual_learning.Config(**common | changed)


def same(one, other):
    """Whether two states are equal to the bit, and so are the saved models."""
    first, second = states.State.load(one), states.State.load(other)
    assert first.arrays.keys() == second.arrays.keys()
    assert all((first.arrays[name] == second.arrays[name]).all() for name in first.arrays)
    models = [saved_model.load_model(each) for each in (one, other)]
    assert models[0].class_names == models[1].class_names
    pairs = zip(models[0].model.get_weights(), models[1].model.get_weights(), strict=True)
    return all((weight == twin).all() for weight, twin in pairs)


@pytest.mark.parametrize("method", ["ridge", "replay"])
def test_a_task_next_month_without_the_old_photos_gives_the_model_of_one_go(sources, tmp_path, method):
    first, whole = (
        continual_learning.run(settings(given, tmp_path, method=method)) for given in (sources[:1], sources)
    )
    assert whole.results["sequence"]["scenario"] == "class" and whole.results["data"]["train"] == 33
    shutil.rmtree(sources[0])
    shutil.rmtree(tmp_path / "cache" / "features")
    script = "from common import startup\nfrom recipes import continual_learning as recipe\n"
    script += "startup.main(recipe.Config, recipe.run, '')"
    command = [sys.executable, "-c", script, "--continue-from", str(first.directory), "--data", sources[1]]
    command += ["--out", str(tmp_path / "later"), "--cache", str(tmp_path / "cache")]
    if method == "ridge":  # a new process
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        later = finished_run.Result.read(type(first.directory)(done.stdout.splitlines()[-1]))
    else:
        later = continual_learning.run(flags.parse(continual_learning.Config, command[3:]))
    assert same(later.directory, whole.directory)
    assert later.results["test"] == whole.results["test"]  # the features of the first task's test photos are held
    assert later.results["sequence"]["matrix"] == whole.results["sequence"]["matrix"]
    assert "train" not in later.results and later.results["data"]["test"] == 6
    assert json.loads((later.directory / "config.json").read_text())["config"]["method"] == method


def test_what_does_not_fit_the_state_is_refused_in_one_line(sources, tmp_path):
    first = continual_learning.run(settings(sources[:1], tmp_path, forget_tests=True))
    assert not [name for name in states.State.load(first.directory).arrays if name.startswith("held")]
    later = settings(sources[1:], tmp_path, continue_from=first.directory)
    with pytest.raises(errors.UserError, match="--image-size 48: the state is that of features at --image-size 32"):
        continual_learning.run(dataclasses.replace(later, image_size=48))
    with pytest.raises(errors.UserError, match="--continue-from .*other weights or another cut"):
        continual_learning.run(dataclasses.replace(later, weights="none"))
    with pytest.raises(
        errors.UserError,
        match="--method ewc: the run before learnt by ridge, .*remove --method",
    ):
        continual_learning.run(dataclasses.replace(later, method="ewc"))
    with pytest.raises(errors.UserError, match="has no state/state.npz"):
        dataclasses.replace(later, continue_from=tmp_path).check_files()
    with pytest.raises(errors.UserError, match="--data must name the new photos"):
        continual_learning.Config(continue_from=first.directory).check_files()
    (first.directory / "results.json").rename(tmp_path / "results.json")
    with pytest.raises(errors.UserError, match=r"has no results.json; .*an interrupted one goes on by --resume"):
        later.check_files()
    (tmp_path / "results.json").rename(first.directory / "results.json")
    with pytest.raises(errors.UserError, match="has one class; give a second task"):
        continual_learning.run(settings(sources[1:], tmp_path))
    assert len(list((tmp_path / "runs" / "continual_learning").iterdir())) == 1  # a refused run leaves nothing
    result = continual_learning.run(later)
    assert result.results["sequence"]["unmeasured"] == ["photos"] and result.results["data"]["test"] == 2
    assert result.results["sequence"]["matrix"][1][0] is None


def test_what_a_later_run_is_given_has_an_effect_or_is_refused(sources, tmp_path):
    first = continual_learning.run(settings(sources[:1], tmp_path, method="ewc", epochs=2, forget_tests=True))
    later = settings(sources[1:], tmp_path, continue_from=first.directory, strength=5.0, epochs=2)
    result = continual_learning.run(later)
    assert result.results["sequence"]["strength"] == 5
    state = states.State.load(result.directory)
    assert not [name for name in state.arrays if name.startswith("held")]  # --forget-tests is kept
    with pytest.raises(errors.UserError, match="--per-class .*with the ewc of the run before"):
        continual_learning.run(dataclasses.replace(later, per_class=3))
    with pytest.raises(errors.UserError, match="--scenario task: the run before has --scenario class"):
        continual_learning.run(dataclasses.replace(later, scenario="task"))
    path = first.directory / "split.csv"
    path.write_text(path.read_text().replace(",train", ",validation", 1))
    with pytest.raises(errors.UserError, match=r"split.csv has been changed since the run began"):
        continual_learning.run(later)


def test_a_split_in_another_order_does_not_fit_the_state(sources, tmp_path):
    first = continual_learning.run(settings(sources[:1], tmp_path))
    head, *rows = (first.directory / "split.csv").read_text().splitlines()
    (first.directory / "split.csv").write_text("\n".join([head, *rows[::-1]]) + "\n")
    with pytest.raises(errors.UserError, match="split.csv does not fit the state"):
        continual_learning.run(settings(sources[1:], tmp_path, continue_from=first.directory))


@pytest.mark.parametrize("changed", [
    {"views": 3, "brightness": 0.2}, {"views": 2, "flip": True, "method": "replay"},
    {"precision": "mixed_float16", "method": "si"},
])  # fmt: skip
def test_views_and_half_precision_come_to_an_end(sources, tmp_path, changed):
    result = continual_learning.run(settings(sources, tmp_path, **changed))
    assert result.results["sequence"]["tasks"][0]["photos"]["train"] == 22
    assert result.results["train"]["n"] == result.results["data"]["train"]
    assert result.results["sequence"]["average_accuracy"] > 0.4


@pytest.mark.parametrize(("changed", "message"), [
    ({"compare": True, "method": "lwf"}, "--method .*with --compare"),
    ({"compare": True, "methods": ("ridge", "naive"), "strength": 4.0}, "--strength .*with these --methods"),
    ({"compare": True, "methods": ("ridge", "naive"), "unfreeze_from": "3"}, "--methods ridge is not for"),
    ({"method": "naive", "unfreeze_from": "3", "precision": "mixed_float16"}, "--precision mixed_float16 is not for"),
])  # fmt: skip
def test_settings_that_would_be_ignored_are_refused(changed, message):
    with pytest.raises(errors.UserError, match=message):
        continual_learning.Config(**changed).check_files()


def test_a_run_that_is_killed_between_tasks_goes_on(sources, tmp_path, monkeypatch):
    whole = continual_learning.run(settings(sources, tmp_path, method="naive"))
    save = states.State.save

    def save_and_die(self, run):
        save(self, run)
        raise helpers.Killed

    with monkeypatch.context() as patched, pytest.raises(helpers.Killed):
        patched.setattr(states.State, "save", save_and_die)
        continual_learning.run(settings(sources, tmp_path, method="naive", out=tmp_path / "killed"))
    config = continual_learning.Config(out=tmp_path / "killed")
    config = continual_learning.Config(resume=helpers.latest_run(config, continual_learning))
    resumed = continual_learning.run(config)
    assert same(resumed.directory, whole.directory) and resumed.results["test"] == whole.results["test"]


@pytest.mark.drawn
def test_the_comparison_chooses_on_validation_and_shows_all_methods(stripes, tmp_path, capsys):
    config = settings([str(stripes)], tmp_path, tasks=("by-class", "1"), compare=True, orders=2, epochs=2)
    result = continual_learning.run(config)
    rows = result.results["sequence"]["comparison"]
    assert [row["method"] for row in rows] == [*continual_learning.METHODS] * 2
    assert {tuple(row["order"]) for row in rows} == {("across", "down"), ("down", "across")}
    assert result.results["sequence"]["method"] == task_sequence.best_method(rows, "joint", "ridge") != "joint"
    html = (result.directory / "report.html").read_text(encoding="utf-8")
    assert html.index("Class-incremental") < html.index('id="result"')
    assert all(f'<th scope="row">{method}' in html for method in continual_learning.METHODS)
    assert html.count(" (chosen)</th>") == 1
    assert "average accuracy" in capsys.readouterr().out
    assert (result.directory / "figures" / "tasks.png").is_file()
