"""What several test files call: a run that dies, bytes that are damaged, a script of `data/` from the shell, texts."""

import contextlib
import importlib.util
import io
import json
import os
import runpy
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from common.commands import evaluate
from common.report import page
from common.runs import speed
from common.training import adaptation, checkpoints


class Killed(Exception):
    """Stands for a power cut."""


def killed_after(recipe, stage, epoch, config, monkeypatch):
    """The directory of a run of a recipe that died right after the checkpoint of an epoch of a stage."""
    write = checkpoints.Checkpoint.write

    def write_and_die(self, directory):
        write(self, directory)
        if (self.stage, self.epoch) == (stage, epoch):
            raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(checkpoints.Checkpoint, "write", write_and_die)
        recipe.run(config)
    return config.resume or latest_run(config, recipe)


def latest_run(config, recipe):
    """The directory of the run of a recipe that was started last."""
    return max((config.out / recipe.__name__.rpartition(".")[2]).iterdir(), key=os.path.getctime)


def interrupted_and_resumed(recipe, config, module, function):
    """Run a recipe until it calls a function of a module, go on with --resume, and return the result."""

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(module, function, stop)
        recipe.run(config)
    return recipe.run(recipe.Config(resume=latest_run(config, recipe)))


def mutated(content, other, chance, head):
    """One to ten byte flips, cuts, insertions and swaps of the header with another file's.

    Half of the blows hit the first `head` bytes, where the structure is.
    """
    content = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 3, 10))):
        place = chance.randrange(chance.choice((len(content), min(len(content), head))))
        blow = chance.choice(("flip", "flip", "cut", "remove", "insert", "header"))
        if blow == "flip":
            content[place] = chance.randrange(256)
        elif blow == "cut":
            del content[place + 1 :]
        elif blow == "remove":
            del content[place + 1 : place + 9]
        elif blow == "insert":
            content[place:place] = chance.randbytes(8)
        else:
            content[:16] = other[:16]
    return bytes(content)


def script(path, monkeypatch):
    """The module of a script that stands in no package, such as those of `data/`."""
    name = f"{path.parent.name}_{path.stem}"
    specification = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, name, module)  # dataclasses look there
    specification.loader.exec_module(module)
    return module


def exit_code_of(script, arguments, folder, monkeypatch):
    """Runs a copy of a `prepare.py`, which works in the folder where it stands, and returns its exit code."""
    folder.mkdir()
    shutil.copy(script, folder)
    monkeypatch.setattr(sys, "argv", ["prepare.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(folder / "prepare.py"), run_name="__main__")
    return stopped.value.code


def words(seed, count=200):
    """A text of words that no other seed has, without figures, which do not count for near-duplicates."""
    letters = str.maketrans("0123456789", "abcdefghij")
    order = np.random.default_rng(seed).permutation(count)
    return " ".join(f"{seed}x{number}".translate(letters) for number in order)


def opened(png):
    """A PNG as an RGB picture."""
    return Image.open(io.BytesIO(png)).convert("RGB")


def colours_of(png):
    """The colours that a PNG has, each (red, green, blue)."""
    return {colour for _, colour in opened(png).getcolors(2**24)}


def rgb(colour):
    """#rrggbb as (red, green, blue)."""
    return tuple(int(colour[place : place + 2], 16) for place in (1, 3, 5))


def check_evaluation_of_its_own_data(result, data):
    """Evaluates a run on the data that it was made from: its test samples alone are left, and answered as there."""
    assert evaluate.command(result.directory, data, name="own") == 0
    found = json.loads((result.directory / "evaluations" / "own" / "results.json").read_text(encoding="utf-8"))
    sides, test, left_out = result.results["data"], result.results["test"], found["data"]["left_out"]
    assert found["data"]["n"] == found["data"]["test_samples_of_the_run"] == sides["test"]
    assert all(left_out[side] == sides[side] for side in ("train", "validation"))
    assert found["result"]["confusion_matrix"] == test["confusion_matrix"] and found["difference"]["accuracy"][0] == 0
    assert found["result"]["log_loss"] == pytest.approx(test["log_loss"], abs=1e-3)
    assert found["result"]["interval_units"] == test["interval_units"]
    report = result.directory / "report.html"
    assert not report.exists() or "On other data" in report.read_text(encoding="utf-8")  # not all tests draw it
    return found


@contextlib.contextmanager
def without_report():
    """Runs draw no report, which takes a second or three, and do not time an answer, which traces the whole model."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(speed, "of_answer", lambda model, looks: 0.001)
        patched.setattr(page, "write", lambda directory, sections, saved=None: directory / "report.html")
        yield


@contextlib.contextmanager
def short_adaptation():
    """Fewer, larger steps of the trained methods of domain adaptation."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(adaptation, "STEPS", 120)
        patched.setattr(adaptation, "RATE", 1e-2)
        yield patched
