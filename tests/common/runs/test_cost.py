import sys

import numpy as np
import pytest

from common.runs import cost

BLOCK = 200_000_000  # bytes


def test_the_peak_of_memory_stays_when_it_is_over_and_can_be_forgotten():
    cost.forget_peak_memory()
    before = cost.peak_memory()
    block = np.ones(BLOCK // 8)
    del block
    highest = cost.peak_memory()
    assert before + 0.9 * BLOCK < highest < before + 1.5 * BLOCK
    cost.forget_peak_memory()
    assert cost.peak_memory() < highest - 0.9 * BLOCK


@pytest.mark.parametrize(
    ("program", "typed"),
    [
        ("recipes/linear_probe.py", "python recipes/linear_probe.py --data 'my photos'"),
        ("-m", "python -m --data 'my photos'"),
        ("/somewhere/recipes/__main__.py", "python -m recipes --data 'my photos'"),
        ("/somewhere/bin/keras-recipes", "keras-recipes --data 'my photos'"),
    ],
)
def test_the_command_is_what_one_would_type(program, typed, monkeypatch):
    monkeypatch.setattr(sys, "argv", [program, "--data", "my photos"])
    assert cost.command() == typed


def test_the_price_of_seconds():
    assert cost.price(1800, 0.5) == 0.25
    assert cost.said_price(90, 1.2) == "0.03, at 1.2 an hour"
