"""Every command in the README and on the documentation's pages exists, parses, and the cheap ones run."""

import configparser
import functools
import importlib.util
import pathlib
import re
import runpy
import shutil
import subprocess
import sys

import markdown_commands
import pytest
import tyro
from PIL import Image

from common import errors, flags, outputs, startup
from common.commands import main as commands

ROOT = markdown_commands.ROOT
COMMANDS = markdown_commands.all_commands()


@functools.cache
def module_of(path: pathlib.Path):
    """A script as a module; what stands in its folder can be imported by it."""
    if path.parent == ROOT / "recipes":
        return importlib.import_module(f"recipes.{path.stem}")
    specification = importlib.util.spec_from_file_location(f"script_{path.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[module.__name__] = module  # dataclasses look themselves up there
    sys.path.insert(0, str(path.parent))
    try:
        specification.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


def assert_accepted(command, folder, monkeypatch):
    """Raises what says that a command cannot work: its files are not there, or its arguments do not parse."""
    program, *arguments = command.words
    if program == "python" and arguments[:2] == ["-m", "pip"]:
        program, arguments = "pip", arguments[2:]
    if program == "make":
        check_make(command, arguments, folder)
    elif program == "pip":
        check_pip(arguments)
    elif program == "keras-recipes":
        parse_command(arguments, monkeypatch)
    elif arguments and arguments[0] == "-m":
        assert importlib.util.find_spec(arguments[1]), f"no module {arguments[1]}"
        if arguments[1] == "recipes":
            parse_command(arguments[2:], monkeypatch)
    elif arguments:
        parse_script(command, arguments[0], arguments[1:], folder, monkeypatch)


def check_make(command, arguments, folder):
    """The target is in the Makefile; a test that is named is there, or shown on the page."""
    ended = subprocess.run(["make", "--dry-run", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    for path in re.findall(r"TESTS=(\S+\.py)", " ".join(arguments)):
        assert (ROOT / path).is_file() or markdown_commands.write_shown_file(command.document, path, folder), path


def check_pip(arguments):
    """Requirements files are there, extras are in setup.cfg."""
    assert arguments[0] == "install"
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    for flag, value in zip(arguments, arguments[1:], strict=False):
        assert flag != "-r" or (ROOT / value).is_file(), value
    for extra in re.findall(r"(?:\.|keras-recipes)\[([\w,-]+)\]", " ".join(arguments)):
        assert set(extra.split(",")) <= set(settings["options.extras_require"]), extra


def parse_command(arguments, monkeypatch):
    """Parses what follows `python -m recipes`, with the commands and recipes that it knows, and calls none of them."""
    if not arguments:
        return
    if len(arguments) == 1:  # a command that is only named: it is there
        arguments = [*arguments, "--help"]
    call = flags.call

    def parse_only(function, arguments, program):
        return call(uncalled(function), arguments, program)

    def parse_recipe(config_class, run, description, arguments, program):
        flags.parse(config_class, arguments, description, program)
        sys.exit()

    monkeypatch.setattr(flags, "call", parse_only)
    monkeypatch.setattr(outputs, "with_latest", list)  # there is no run
    monkeypatch.setattr(startup, "main", parse_recipe)
    monkeypatch.setattr(sys, "argv", ["recipes", *arguments])
    with pytest.raises(SystemExit) as ended:
        commands.main("python -m recipes", ROOT / "recipes")
    assert not ended.value.code, ended.value.code


def uncalled(function):
    """A function of the same signature that does nothing."""
    return functools.wraps(function)(lambda *arguments, **settings: 0)


def parse_script(command, name, arguments, folder, monkeypatch):
    """Parses the arguments of a script of the repository, or of one that the page shows."""
    path = ROOT / name
    if not path.is_file():
        path = markdown_commands.write_shown_file(command.document, name, folder)
        assert path, f"there is no {name}"
    module = module_of(path)
    try:
        if path.parent.name == "recipes":
            flags.parse(module.Config, arguments)
        elif hasattr(module, "Config"):
            tyro.cli(module.Config, args=arguments)
        elif hasattr(module, "parse_options"):
            monkeypatch.setattr(sys, "argv", [name, *arguments])
            module.parse_options()
        else:
            assert not arguments, f"{name} takes no arguments"
    except SystemExit as ended:
        assert not ended.code, f"{name} refuses {arguments}"


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_it_parses(command, tmp_path, monkeypatch):
    assert_accepted(command, tmp_path, monkeypatch)


def test_what_is_wrong_is_found(tmp_path, monkeypatch):
    for text, error in (
        ("python recipes/feature_extraction.py --epoch 3", errors.UserError),
        ("python recipes/feature_extracting.py", AssertionError),
        ("python benchmarks/photos.py --sseeds 3", AssertionError),
        ("python benchmarks/demo_transfer.py --seeds 3", AssertionError),
        ("python data/demo/prepare.py --sed 3", AssertionError),
        ("python -m recipes predikt runs/x photo.jpg", AssertionError),
        ("python -m recipes cache --cleared", AssertionError),
        ("python -m recipes feature_extraction --epoch 3", AssertionError),
        ("keras-recipes feature_extracting", AssertionError),
        ("pip install 'keras-recipes[rays]'", AssertionError),
        ("python -m recipees", AssertionError),
        ("make demmo", AssertionError),
        ("pip install -r requirement.txt", AssertionError),
        ("pip install -e '.[rays]'", AssertionError),
    ):
        document = markdown_commands.Document("page.md", f"# Title\n\nText `{text}` and\n\n    {text} \\\n    # no\n")
        inline, block = markdown_commands.commands_of(document)
        assert (inline.line, block.line) == (3, 5) and inline.words == block.words[: len(inline.words)]
        with monkeypatch.context() as patched, pytest.raises(error):
            assert_accepted(inline, tmp_path, patched)


def test_commands_are_found_where_people_see_them():
    places = {command.document.name for command in COMMANDS}
    assert {
        "README.md", "CONTRIBUTING.md", "docs/add_a_recipe.md", "docs/recipes/legal_text.md", "data/flowers/README.md",
        "recipes/linear_probe.py",
    } <= places  # fmt: skip
    texts = {command.text for command in COMMANDS}
    assert "make demo" in texts and "keras-recipes feature_extraction --data photos/" in texts  # in a block
    assert "python recipes/feature_extraction.py --data tfds:tf_flowers" in texts  # in a table
    wrapped = "python benchmarks/frozen_prefix.py --ways documentation guide pytorch ours --epochs 1 5 10 30"
    assert any(text.startswith(wrapped) for text in texts)  # over two lines


# What runs here, as it stands, in this order; below `photos/` lie a few striped photos.
RUN = (
    "python -m recipes",
    "python recipes/feature_extraction.py --help",
    "python recipes/feature_extraction.py",
    "python -m recipes predict runs/feature_extraction/latest photo.jpg more_photos/",
    "python -m recipes report runs/feature_extraction/latest",
    "python -m recipes cache",
)
# Likewise with ImageNet's networks, but small, random and for one epoch.
QUICK = ["--weights", "none", "--image-size", "32", "--epochs", "1"]
RUN_QUICKLY = ("python recipes/feature_extraction.py --data photos/",)


def run(command, further, monkeypatch):
    """Runs a command in this process; the exit code."""
    _, *words = command.words
    try:
        if words[0] == "-m":
            monkeypatch.setattr(sys, "argv", [words[1], *words[2:]])
            monkeypatch.delitem(sys.modules, f"{words[1]}.__main__", raising=False)
            runpy.run_module(words[1], run_name="__main__")
        else:
            monkeypatch.setattr(sys, "argv", [*words, *further])
            runpy.run_path(str(ROOT / words[0]), run_name="__main__")
    except SystemExit as ended:
        return ended.code or 0
    return 0


def test_the_commands_of_the_demo_run(stripes, shared_cache, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "keras_recipes").symlink_to(shared_cache)
    shutil.copy(next((stripes / "down").iterdir()), "photo.jpg")
    Image.open("photo.jpg").rotate(90).save(stripes / "more.jpg")
    (tmp_path / "more_photos").mkdir()
    (stripes / "more.jpg").rename("more_photos/more.jpg")
    known = {command.text: command for command in COMMANDS}
    for text in (*RUN, *RUN_QUICKLY):
        assert text in known, f"no page has the command: {text}"
        code = run(known[text], QUICK if text in RUN_QUICKLY else [], monkeypatch)
        shown = capsys.readouterr()
        assert code == 0 and shown.out.strip(), f"{known[text]}\n{shown.err[-2000:]}"
    # Not on the cache that other tests share.
    (tmp_path / "own" / "keras_recipes" / "features").mkdir(parents=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    assert run(known["python -m recipes cache --clear"], [], monkeypatch) == 0
    assert not (tmp_path / "own" / "keras_recipes" / "features").exists() and any(shared_cache.iterdir())
    assert len(list((tmp_path / "runs" / "feature_extraction").glob("*/report.html"))) == 2
