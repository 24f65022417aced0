"""The rows of a comparison, and the lines for the terminal, from made-up results."""

import pathlib

import helpers

from common import words
from common.report import task_by_task
from common.runs import finished_run


def row(method, accuracy, seconds=1.0, **further):
    about = {"forgetting": 0.1, "backward_transfer": -0.1, "forward_transfer": None, "kept_bytes": 5, "strength": None}
    scores = {"average_accuracy": accuracy, "validation": accuracy}
    return {"method": method, "seconds": seconds} | scores | about | further


def test_a_row_is_the_median_and_the_range_and_the_best_method_comes_first():
    rows = task_by_task.rows_of([
        row("naive", 0.2), row("ewc", 0.7, strength=10.0), row("naive", 0.4), row("ewc", 0.5, strength=1.0),
        row("naive", 0.3), row("ewc", 0.9, strength=10.0, kept_bytes=9),
    ])  # fmt: skip
    assert [each["method"] for each in rows] == ["ewc", "naive"] and rows[0]["runs"] == 3
    assert rows[0]["average_accuracy"] == [0.7, 0.5, 0.9] and rows[1]["average_accuracy"] == [0.3, 0.2, 0.4]
    assert rows[0]["strengths"] == [1.0, 10.0] and rows[0]["kept"] == words.size(9)
    assert rows[0]["forward_transfer"] == [None, None, None]


def test_the_first_line_says_the_scenario_and_what_was_not_measured_is_named():
    found = row("ridge", 0.8) | {
        "scenario": "domain", "matrix": [[None, None], [None, 0.8]], "held_bytes": 0, "unmeasured": ["January"],
        "tasks": [{"name": "January", "photos": {"test": 30}}, {"name": "February", "photos": {"test": 4}}],
        "comparison": [row("ridge", 0.8), row("naive", 0.5)],
    }  # fmt: skip
    told = task_by_task.summary(finished_run.Result(pathlib.Path(), {"sequence": found}))
    assert told.startswith("Domain-incremental") and "test photos are gone: January" in told
    assert "average accuracy 0.800" in told and "forward transfer" not in told
    lines = told.splitlines()
    assert lines[1].endswith("test photos") and lines[2].endswith(" 30") and lines[3].endswith(" 4")
    assert lines[-2].startswith("> ridge") and lines[-1].startswith("  naive") and lines[-1].endswith(" 0.500")


def test_the_matrix_is_drawn_without_what_was_not_measured():
    one, other = (
        helpers.opened(task_by_task.task_matrix([[0.9, None], [value, 0.7]], ["a" * 40, "b"])) for value in (0.1, None)
    )
    assert one.size == other.size and one.tobytes() != other.tobytes()
