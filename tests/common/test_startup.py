import json
import os
import pathlib
import subprocess
import sys

import pytest

from common import errors, startup
from common.commands import main
from common.media import clips

ROOT = pathlib.Path(__file__).parents[2]


def test_chatter_is_hidden_and_the_rest_comes_through(capfd):
    with startup.start_up_chatter_hidden():
        os.write(2, b"I0000 port.cc:153] oneDNN custom operations are on. You may see\n")
        os.write(2, b"E0000 something is really broken\n")
    assert capfd.readouterr().err == "E0000 something is really broken\n"


def test_an_error_is_not_swallowed(capfd):
    with pytest.raises(RuntimeError), startup.start_up_chatter_hidden():
        os.write(2, b"last words\n")
        raise RuntimeError
    assert "last words" in capfd.readouterr().err


def test_a_start_is_silent_and_the_keras_json_of_another_project_changes_nothing(tmp_path):
    settings = {"backend": "jax", "floatx": "float16", "epsilon": 1e-3, "image_data_format": "channels_first"}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    shown = "print(*(getattr(keras.config, name)() for name in ('backend', 'floatx', 'epsilon', 'image_data_format')))"
    notebook = "from common import startup; import keras; from common import devices; keras.ops.ones(2)"
    program = "from common import startup\nimport keras\nif False:\n    startup.main(None, None)\nstartup.load_all()\n"
    (tmp_path / "recipe.py").write_text(program + shown)
    environment = os.environ | {"KERAS_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    for how in (["-c", f"{notebook}; {shown}"], [str(tmp_path / "recipe.py")]):
        ended = subprocess.run([sys.executable, *how], capture_output=True, text=True, cwd=ROOT, env=environment)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "tensorflow float32 1e-07 channels_last\n", "")


def test_a_module_is_found_by_its_name_where_the_project_has_it():
    assert startup.by_name("media.clips") is clips
    for name in ("media.sounds", "games.chess"):
        with pytest.raises(errors.UserError, match=f"this project does not include {name}, which belongs to another"):
            startup.by_name(name)


RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("[!_]*.py"))
ANSWERS = [
    *((f"recipes/{recipe}.py", "--help") for recipe in RECIPES),
    *((f"recipes/{recipe}.py", "--data", "/nowhere") for recipe in RECIPES),
    ("recipes/linear_probe.py", "--classifer", "x"),
    ("recipes/gradual_unfreezing.py", "--resume", "/nowhere"),
    ("recipes/feature_extraction.py", "--backbone", "VGG17"),
    ("recipes/feature_extraction.py", "--backbone", "hub:./nowhere"),
    ("recipes/compare_strategies.py", "--backbones", "nowhere.keras", "--preprocess", "tf"),
    ("-m", "recipes"),
    ("-m", "recipes", "feature_extraction", "--help"),
    ("-m", "recipes", "feature_extraction", "--epoch", "3"),
    ("-m", "recipes", "compare_strategies", "--data", "/nowhere"),
    *(("-m", "recipes", name, "--help") for name in main.names()),
    ("-m", "recipes", "predict", "/nowhere", "x.jpg"),
    ("-m", "recipes", "report", "/nowhere"),
    ("-m", "recipes", "export", "/nowhere", "--format", "onnx"),
    ("-m", "recipes", "generate", "/nowhere", "--prompt", "x"),
    ("-m", "recipes", "serve", "/nowhere"),
    ("-m", "recipes", "cache"),
]


# Python imports it at its start. The message of a mistake goes out before its process ends, so the end counts.
AT_THE_END = """
import atexit, os, sys
atexit.register(lambda: open(os.environ["LOADED"], "w").write(" ".join(sys.modules)))
"""


def loaded_by(arguments, folder):
    """The modules that a program has loaded when it ends, and its end."""
    (folder / "sitecustomize.py").write_text(AT_THE_END)
    more = {"PYTHONPATH": f"{folder}:{ROOT}", "LOADED": str(folder / "loaded")}
    ended = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, env=os.environ | more
    )
    assert ended.returncode in (0, 2) and "Traceback" not in ended.stderr
    return set((folder / "loaded").read_text().split()), ended


@pytest.mark.parametrize("arguments", ANSWERS, ids=" ".join)
def test_help_and_mistakes_are_answered_before_anything_heavy_is_loaded(arguments, tmp_path):
    loaded, _ = loaded_by(arguments, tmp_path)
    assert "argparse" in loaded and not {"tensorflow.python", "keras.src", "sklearn", "matplotlib"} & loaded


def test_the_installed_command_answers_as_quickly(tmp_path):
    """As the script that pip writes for it calls it."""
    script = tmp_path / "keras-recipes"
    script.write_text("import sys\nfrom recipes.__main__ import command\nif __name__ == '__main__':\n    command()\n")
    for arguments, said in (
        ([], "keras-recipes NAME --help"), (["linear_probe", "--help"], "keras-recipes linear_probe --data photos/"),
        (["linear_probe", "--data", "/nowhere"], "/nowhere"), (["copy", "--help"], "keras-recipes copy"),
    ):  # fmt: skip
        loaded, ended = loaded_by([script, *arguments], tmp_path)
        assert said in " ".join((ended.stdout + ended.stderr).split())
        assert not {"tensorflow.python", "keras.src"} & loaded


def test_what_waits_is_loaded_once_and_whole():
    """In a program of ours; two threads that need a module first at once both have it."""
    code = """
import sys, threading, types
sys.modules["__main__"].__file__ = "recipes/linear_probe.py"
from common import startup
import keras
from common import words
from common.data import targets
waiting = [name for name, module in sys.modules.items() if type(module) is startup._Later]
assert set(waiting) == {"keras", "common.words", "common.data.targets"}, waiting
found = []
threads = [threading.Thread(target=lambda: found.append(targets.CLASSES.name)) for _ in range(8)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
assert found == ["classes"] * 8 and type(words) is startup._Later
startup.load_all()
assert not [name for name, module in sys.modules.items() if type(module) is startup._Later]
assert keras.layers.Dense and words.plural(2, "photo") == "2 photos"
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
