"""What past tasks teach: rules that are planted are found, and where nothing is to learn, that is said."""

import json
import types

import numpy as np
import pytest

from common import errors
from common.compare import experience

pytestmark = pytest.mark.quick

NETWORKS = ("a", "b", "c")


def task(random, gains, scores, photos=200, classes=4):
    """A task on which networks have these accuracies above 0.7, and these scores."""
    noise = 0.002 * random.normal(size=3)
    networks = {
        name: {"ridge": 0.7 + score, "nearest": 0.6 + score, "log_evidence": score, "layer": "end", "operations": 1}
        for name, score in zip(NETWORKS, scores, strict=True)
    }
    accuracy = {name: 0.7 + gain + step for name, gain, step in zip(NETWORKS, gains, noise, strict=True)}
    return {"photos": photos, "classes": classes, "networks": networks, "accuracy": accuracy, "trained": []}


def test_a_network_that_scores_well_and_never_trains_well_is_seen_through():
    random = np.random.default_rng(0)
    past = [task(random, (-0.1, 0.05, 0.03), (0.1, *0.02 * random.normal(size=2))) for _ in range(10)]
    asked = task(random, (0, 0, 0), (0.1, 0.0, 0.0)) | {"accuracy": {}}
    assert max(experience.by_score(past, asked).items(), key=lambda each: each[1])[0] == "a"
    found = experience.predict(past, asked)
    assert found.network == "b" and found.regrets["the score alone"] == pytest.approx(0.15, abs=0.01)
    assert found.regrets[found.way] < 0.01 and "does not beat" in found.verdict  # "always b" knows it too


def test_where_the_winner_depends_on_the_size_similar_tasks_know_it():
    random = np.random.default_rng(0)
    past = []
    for photos, gains in ((100, (0.05, -0.05, 0.0)), (3000, (-0.05, 0.05, 0.0))):
        past += [task(random, gains, 0.001 * random.normal(size=3), photos) for _ in range(8)]
    for photos, winner in ((120, "a"), (2500, "b")):
        found = experience.predict(past, task(random, (0, 0, 0), (0, 0, 0), photos) | {"accuracy": {}})
        assert (found.way, found.network, found.verdict) == ("nearest tasks", winner, "it beats both")
        (told,) = experience.said(past, task(random, (0, 0, 0), (0, 0, 0), photos) | {"accuracy": {}})
        assert f"expects {winner} to win" in told and told.endswith("it beats both.")


def test_what_does_not_help_is_said():
    random = np.random.default_rng(0)
    past = []
    for _ in range(10):
        gains = 0.05 * random.normal(size=3)
        past.append(task(random, gains, gains))
    found = experience.predict(past, past[0] | {"accuracy": {}})
    assert found.regrets["the score alone"] < 0.01 and found.verdict.startswith("it does not beat these")
    assert "it does not beat these, so go by the score." in experience.said(past, past[0])[0]


def test_the_task_itself_and_its_answers_do_not_count():
    random = np.random.default_rng(0)
    past = [task(random, 0.05 * random.normal(size=3), 0.05 * random.normal(size=3)) for _ in range(7)]
    regrets = experience.left_out_regrets(past)
    changed = [*past[1:], past[0]]
    again = experience.left_out_regrets(changed)
    for way, values in regrets.items():
        assert values[0] == pytest.approx(again[way][6])
    gains = experience.by_average(past[1:], past[0])
    best = max(gains, key=gains.get)
    expected = max(past[0]["accuracy"].values()) - past[0]["accuracy"][best]
    assert regrets["always the best on average"][0] == pytest.approx(expected)
    assert experience.predict(past[:5], past[0]) is None  # too few
    twice = [each | {"source": "same"} for each in past[:2]] + past[2:]
    regrets = experience.left_out_regrets(twice)["regression"][0]
    assert regrets == experience.left_out_regrets([twice[0], *past[2:]])["regression"][0]  # one is no past of the other


def test_a_file_keeps_tasks_and_a_line_that_is_none_is_named(tmp_path, capsys):
    config = types.SimpleNamespace(no_experience=False, experience=None, out=tmp_path / "runs")
    past = [task(np.random.default_rng(0), (0, 0, 0), (0, 0, 0))]
    experience.keep(config, past[0])
    path = tmp_path / "runs" / "experience.jsonl"
    assert experience.read(path) == past and str(path) in capsys.readouterr().err
    experience.keep(types.SimpleNamespace(no_experience=True, experience=path, out=tmp_path), past[0])
    assert len(path.read_text().splitlines()) == 1
    with open(path, "a") as file:
        file.write("{}\n")
    with pytest.raises(errors.UserError, match="line 2: not a task"):
        experience.read(path)
    for wrong in ({"accuracy": {"a": "good"}}, {"networks": [1]}, {"photos": "many"}):
        (tmp_path / "wrong.jsonl").write_text(json.dumps(past[0] | wrong) + "\n")
        with pytest.raises(errors.UserError, match="line 1: not a task"):
            experience.read(tmp_path / "wrong.jsonl")
    (tmp_path / "bytes.jsonl").write_bytes(bytes(range(128, 256)))
    with pytest.raises(errors.UserError, match="not a file of tasks"):
        experience.read(tmp_path / "bytes.jsonl")
    experience.keep(types.SimpleNamespace(no_experience=False, experience=tmp_path, out=tmp_path), past[0])
    assert "experience: nothing was added" in capsys.readouterr().err
    assert experience.read(tmp_path / "none.jsonl") == []


def test_what_won_on_tasks_of_a_similar_size_is_told():
    def row(strategy, test, flags):
        return {"strategy": strategy, "backbone": "a", "test": {"accuracy": [test, test, test]}, "kept": {},
                "validation": {"mean": test}, "cost": {"seconds": [1.0, 1.0, 1.0]},
                "runs": [{"command": f"python -m recipes.x {flags}"}]}  # fmt: skip

    data = {"train": 80, "validation": 20, "class_names": ["x", "y"]}
    rows = [row("head", 0.8, "--data x"), row("slow", 0.9, "--fine-tuning-rate 1e-05")]
    past = [experience.of_comparison(data, rows), experience.of_comparison(data | {"train": 9000}, rows[:1])]
    told = experience.said([json.loads(json.dumps(each)) for each in past], past[0])
    assert told[0].startswith("On a similar task with 100 photos, slow on a did best (--fine-tuning-rate 1e-05): 90.0")
    assert "9,020 photos, head on a did best (default settings)" in told[1]
