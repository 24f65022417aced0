"""Every recipe as a project of its own: what is copied, what it says, and that it works without this repository."""

import ast
import dataclasses
import functools
import importlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import every_recipe
import pytest

from common import errors, files, source_code
from common.commands import copy

ROOT = pathlib.Path(copy.__file__).resolve().parents[2]
RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("[!_]*.py"))
# No module, path or name of this repository; `common` is also a word.
OURS = re.compile(
    r"\bfrom common\b|\bimport common\b|[`/]common[`./]|\bcommon/|\bfrom recipes\b|(?<![\w/.])recipes[./]\w"
    r"|\bm recipes\b|keras.recipes|benchmarks/|\btests/(common|recipes)\b"
)


@functools.cache
def planned(recipe, folder="my_flowers"):
    """The plan of a copy, which tests look at and leave as it is."""
    return copy.plan(recipe, pathlib.Path(folder))


def texts(copied):
    return {path: content.decode() for path, content in copied.files.items() if path.suffix not in (".h5", ".npz")}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_copy_is_the_recipe_under_other_names(recipe):
    copied = planned(recipe, "somewhere/my-flowers")
    source = (ROOT / "recipes" / f"{recipe}.py").read_text()
    train = copied.files[pathlib.PurePosixPath("train.py")].decode()
    different = [pair for pair in zip(source.splitlines(), train.splitlines(), strict=True) if len(set(pair)) > 1]
    assert all(re.search(r"common|recipes|benchmarks|pip install", ours) for ours, _ in different)
    assert "from my_flowers import" in train and "from my_flowers.runs import" in train

    for path, text in texts(copied).items():
        found = [line for line in text.splitlines() if OURS.search(line)]
        assert not found, (path, found)
        if path.suffix == ".py":
            ast.parse(text)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_copy_has_every_module_that_it_imports_and_no_other(recipe):
    copied = planned(recipe)
    there = {path for path, text in texts(copied).items() if path.parts[0] == "my_flowers" and text}
    there = {path for path in there if path.suffix == ".py"}
    started = {pathlib.PurePosixPath("my_flowers", "commands", f"{name}.py") for name in commands(copied) - {"main"}}
    started |= {pathlib.PurePosixPath("my_flowers/__main__.py")}
    assert set(imports(copied)) | started == there
    names = {path.relative_to("my_flowers").as_posix() for path in there}
    runs_others = recipe in ("choose_backbone", "compare_strategies")
    assert ("compare/page.py" in names) == runs_others
    assert ("models/frames.py" in names) == (recipe == "video_actions")
    assert ("models/language_model.py" in names) == (recipe in ("legal_text", "text_classification", "text_domains"))
    assert ("models/generation.py" in names) == ("report/writing.py" in names) == (recipe == "legal_text")
    assert ("report/text_classes.py" in names) == (recipe in ("text_classification", "text_domains"))
    assert ("recipes/linear_probe.py" in names) == runs_others


def imports(copied):
    """The modules of the copy that its files import."""
    names = set()
    for path, text in texts(copied).items():
        for node in ast.walk(ast.parse(text)) if path.suffix == ".py" else ():
            if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == copied.package:
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {path for name in names if (path := pathlib.PurePosixPath(f"{name.replace('.', '/')}.py")) in copied.files}


def commands(copied):
    return {path.stem for path in copied.files if path.match(f"{copied.package}/commands/[!_]*.py")}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_copy_mirrors_the_rooms(recipe):
    copied = planned(recipe)
    ours = {path.parent for path in copied.files if path.parts[0] == "my_flowers" and "templates" not in path.parts}
    assert all(folder / "__init__.py" in copied.files for folder in ours)
    empty = {path for path, content in copied.files.items() if path.suffix == ".py" and not content}
    assert {path.name for path in empty} == {"__init__.py"}
    for path in copied.files:
        if path.parts[0] == "my_flowers" and path.parts[1] not in ("recipes", "__main__.py"):
            assert (ROOT / "common").joinpath(*path.parts[1:]).is_file()


def test_a_copy_for_photos_is_small_and_has_nothing_of_other_recipes():
    copied = copy.plan("feature_extraction", pathlib.Path("my_flowers"))
    modules, lines = copied.size()
    assert modules <= 95 and lines <= 16_200
    names = {path.relative_to("my_flowers").with_suffix("").as_posix() for path in imports(copied)}
    others = ("film", "clip", "container", "motion", "lesion", "metadata", "clinic", "document", "near_duplicate",
              "text", "language", "window", "generat", "writing", "trials", "compare", "inflate", "frames")  # fmt: skip
    assert not [name for name in names if any(other in name for other in others)]
    required = copied.files[pathlib.PurePosixPath("requirements.txt")].decode()
    assert not re.search(r"^(av|ray|keras-hub)\b", required, re.MULTILINE)


def test_no_recipe_is_named_in_the_code_that_they_share():
    """What a recipe needs is decided by what it imports and which settings it has."""
    for path in sorted((ROOT / "common").rglob("*.py")):
        constants = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        assert not constants & set(RECIPES), path
    for path in sorted((ROOT / "common").rglob("templates/**/*.jinja")):
        assert not re.search(rf"\b({'|'.join(RECIPES)})\b", path.read_text()), path


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_commands_are_those_that_the_recipe_names_and_those_that_are_asked_for(recipe):
    always = {"main", "cache", "predict", "report"}
    # A comparison puts its models under stress by that command.
    stresses = {"stress"} if recipe in ("compare_strategies", "choose_backbone") else set()
    writes = {"generate"} if recipe == "legal_text" else stresses
    always -= {"predict"} if recipe == "legal_text" else set()
    assert commands(planned(recipe)) == always | writes
    copied = copy.plan(recipe, pathlib.Path("my_flowers"), commands=["export", "serve"])
    assert commands(copied) == always | writes | {"export", "serve"}
    assert pathlib.PurePosixPath("my_flowers/commands/templates/serve.html") in copied.files
    assert (pathlib.PurePosixPath("my_flowers/media/clips.py") in copied.files) == (recipe == "video_actions")
    assert not [path for path in copied.files if path.stem in ("labelled", "new_data", "other_data")]
    readme = copied.files[pathlib.PurePosixPath("README.md")].decode()
    assert "python -m my_flowers serve --help" in readme and "my_flowers publish" not in readme


@pytest.mark.parametrize("recipe", ["feature_extraction", "text_classification"])
def test_evaluate_comes_with_its_section_of_the_report(recipe):
    paths = {str(path) for path in copy.plan(recipe, pathlib.Path("mine"), commands=["evaluate"]).files}
    wanted = {"data/labelled.py", "evaluation/new_data.py", "report/other_data.py", "report/templates/other_data.html"}
    assert {f"mine/{name}" for name in wanted} <= paths
    assert ("mine/data/documents.py" in paths) == (recipe == "text_classification")
    assert "mine/data/clip_groups.py" not in paths and "mine/data/metadata_table.py" not in paths


@pytest.mark.parametrize(
    ("name", "message"),
    [("expotr", "did you mean export?"), ("copy", "there are cache, evaluate, export"), ("main", "there are")],
)
def test_commands_that_are_refused(name, message, tmp_path):
    asked = ["recipes", "copy", "linear_probe", str(tmp_path / "flowers"), "--with", "serve", name]
    ended = subprocess.run([sys.executable, "-m", *asked], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2 and not list(tmp_path.iterdir())
    assert len(ended.stderr.splitlines()) == 1 and f"--with {name}: no such command; {message}" in ended.stderr


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_the_copys_test_sets_is_not_refused(recipe):
    path, config = ROOT / "recipes" / f"{recipe}.py", importlib.import_module(f"recipes.{recipe}").Config
    taken = source_code.fields(path) - source_code.refused(path)
    short = {name: value for name, value in copy.SHORT.items() if name in taken}
    assert dataclasses.replace(config(), **short)
    inherited = {"skip_unsupported"}  # by the recipes for texts
    assert {*config.UNUSED, *getattr(config, "IDLE", ())} - inherited == source_code.refused(path)


@pytest.mark.parametrize(
    ("ours", "copied"),
    [
        ("from common import files, words", "from my_flowers import files, words"),
        ("    from common.data import splits  # here", "    from my_flowers.data import splits  # here"),
        ("import common.data.splits", "import my_flowers.data.splits"),
        ("`common.data.splits` and `common`", "`my_flowers.data.splits` and `my_flowers`"),
        ("see common/report/page.py", "see my_flowers/report/page.py"),
        ("what they have in common is common", "what they have in common is common"),
        ("from recipes import linear_probe, from_scratch", "from my_flowers.recipes import linear_probe, from_scratch"),
        ("from recipes import compare_strategies", "from my_flowers.recipes import compare_strategies"),
        ("from recipes import feature_extraction", "import train as feature_extraction"),
        ("python recipes/feature_extraction.py", "python train.py"),
        ("see recipes/linear_probe.py", "see my_flowers/recipes/linear_probe.py"),
        ("python -m recipes predict", "python -m my_flowers predict"),
    ],
)
def test_names_in_a_copy(ours, copied):
    assert copy.Renaming("feature_extraction", "my_flowers")(ours) == copied


def test_recipes_that_run_others_bring_them(tmp_path):
    copied = copy.copy("compare_strategies", tmp_path / "mine")
    train = copied.files[pathlib.PurePosixPath("train.py")].decode()
    assert "from mine.recipes import feature_extraction, " in train
    code = (
        "import sys, train; names = {each.recipe.__name__ for each in train.STRATEGIES.values()}; "
        "assert all(name in sys.modules and name.startswith('mine.recipes.') for name in names), names"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "mine", check=True)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_requirements_are_those_of_the_imports(recipe):
    copied = planned(recipe)
    required = copied.files[pathlib.PurePosixPath("requirements.txt")].decode()
    names = {line.split(">")[0] for line in required.splitlines() if not line.startswith("#")}
    assert {"tensorflow", "keras", "numpy", "pillow", "matplotlib", "jinja2", "tyro", "pytest",
            "annotated-types"} <= names  # fmt: skip
    assert ("av" in names) == (recipe == "video_actions")
    assert "scikit-learn" in names
    assert not names & {"pytest-xdist", "markdown-it-py", "-e ."}


def test_a_copy_brings_the_demos_weights_and_the_script_that_fetches_its_data():
    paths = {str(path) for path in copy.plan("skin_lesions", pathlib.Path("moles")).files}
    assert {"data/demo/vgg16_narrow.weights.h5", "data/ham10000/prepare.py", "data/ham10000/README.md"} <= paths
    assert {"moles/data/download.py", "moles/report/templates/classes.html"} <= paths
    assert {"moles/report/templates/model_card.md", "moles/report/templates/style.css"} <= paths
    assert not [path for path in paths if "compare" in path or "motion" in path]
    assert {"README.md", "LICENSE", "NOTICE", ".gitignore", "pyproject.toml", "tests/test_train.py"} <= paths
    for recipe in ("legal_text", "text_classification"):
        paths = {str(path) for path in copy.plan(recipe, pathlib.Path("mine")).files}
        assert {"data/demo/text/gpt2_narrow/config.json", "mine/demo/templates/prose.toml"} <= paths
        assert "mine/report/templates/text_page.html" in paths


def test_the_readme_is_written_for_the_project():
    copied = copy.plan("video_actions", pathlib.Path("ball-games"))
    readme = copied.files[pathlib.PurePosixPath("README.md")].decode()
    assert readme.startswith("# Ball games\n\nVideo actions: ")
    for wanted in ("clips/punch/v_Punch_g01_c01.avi", "python train.py --data clips/", "python -m ball_games predict",
                   "| `ball_games/media/clips.py` |", "has an accuracy of"):  # fmt: skip
        assert wanted in readme


def test_the_readme_says_what_is_done_with_texts():
    """What can be asked, and what a run leaves; not by the commands that come with it, but by what the recipe makes."""
    asked = {"legal_text": "write on from a prompt", "text_classification": "class and probability of new documents"}
    left = {"legal_text": "samples.jsonl", "text_classification": "classifier.keras"}
    for recipe, other in (("legal_text", "text_classification"), ("text_classification", "legal_text")):
        copied = copy.plan(recipe, pathlib.Path("mine"), commands=["generate"])
        readme = copied.files[pathlib.PurePosixPath("README.md")].decode()
        assert asked[recipe] in readme and asked[other] not in readme
        assert left[recipe] in readme and left[other] not in readme
        test = copied.files[pathlib.PurePosixPath("tests/test_train.py")].decode()
        assert ("test_the_saved_model_continues_a_text" in test) == (recipe == "legal_text")


def test_the_parts_of_a_docstring():
    title, parts = copy.sections(
        "Do it.\n\nWhen to use it: always.\n\nData: a folder:\n\n    a/b\n\nCommand:\n\n    python x\n\n"
        "It mirrors y.\n\nAnd z.\n\nExpected, on a machine: 0.9.\n"
    )
    assert title == "Do it."
    assert parts == {
        "When to use it": "Always.", "Data": "A folder:\n\n    a/b", "Command": "    python x",
        "About": "It mirrors y.\n\nAnd z.", "Expected": "Expected, on a machine: 0.9.",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("recipe", "folder", "name", "message"),
    [
        ("feature_extracton", "flowers", None, "did you mean feature_extraction"),
        ("feature_extraction", "3d", None, "not a valid name for a package"),
        ("feature_extraction", "flowers", "Flowers", "not a valid name for a package"),
        ("feature_extraction", "flowers", "class", "not a valid name for a package"),
        ("feature_extraction", "json", None, "of an installed module"),
        ("feature_extraction", "keras", None, "of an installed module"),
        ("feature_extraction", "train", None, "of an installed module"),
        ("feature_extraction", "photos", None, "folder or file of the project"),  # which git ignores
        ("feature_extraction", "google", None, "of an installed module"),
        ("feature_extraction", "tf2onnx", None, "of an installed module"),
    ],
)
def test_names_that_are_refused(recipe, folder, name, message, tmp_path):
    with pytest.raises(errors.UserError, match=message):
        copy.copy(recipe, tmp_path / folder, name)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_something_in_it_is_refused_and_an_empty_one_taken(tmp_path):
    folder = tmp_path / "flowers"
    folder.mkdir()
    copy.copy("linear_probe", folder)
    assert (folder / "train.py").is_file()
    with pytest.raises(errors.UserError, match="is not empty"):
        copy.copy("linear_probe", folder)


def test_the_folder_that_one_stands_in_is_taken_if_it_is_empty(tmp_path, monkeypatch):
    (tmp_path / "flowers").mkdir()
    monkeypatch.chdir(tmp_path / "flowers")
    copy.copy("linear_probe", pathlib.Path("."))
    assert (tmp_path / "flowers" / "flowers" / "__main__.py").is_file()


def test_git_takes_every_file_of_a_copy(tmp_path):
    for name in ("video_actions", "legal_text", "text_classification"):
        copied = copy.copy(name, tmp_path / name / "mine")
        subprocess.run(["git", "init", "--quiet"], cwd=tmp_path / name / "mine", check=True)
        command = ["git", "ls-files", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=tmp_path / name / "mine", capture_output=True, text=True, check=True)
        assert sorted(listed.stdout.split()) == sorted(map(str, copied.files))


def test_a_copy_of_photos_does_not_offer_to_write_texts(tmp_path):
    copy.copy("linear_probe", tmp_path / "flowers")
    command = [sys.executable, "-m", "flowers"]
    offered = subprocess.run([*command, "--help"], cwd=tmp_path / "flowers", capture_output=True, text=True)
    assert "predict" in offered.stdout and "generate" not in offered.stdout
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "classifier.keras").touch()
    command += ["predict", str(tmp_path / "run"), "a.txt"]
    ended = subprocess.run(command, cwd=tmp_path / "flowers", capture_output=True, text=True)
    assert ended.returncode == 2 and "another recipe" in ended.stderr and "Traceback" not in ended.stderr


def test_a_dry_run_lists_the_files_and_writes_nothing(tmp_path):
    command = [sys.executable, "-m", "recipes", "copy", "linear_probe", str(tmp_path / "flowers")]
    listed = subprocess.run([*command, "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not list(tmp_path.iterdir())
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout == f"{tmp_path / 'flowers'}\n"
    written = {str(path.relative_to(tmp_path / "flowers")) for path in tmp_path.rglob("*") if path.is_file()}
    *files, last = listed.splitlines()
    assert {line.split()[-1] for line in files} == written
    python = [path for path in (tmp_path / "flowers").rglob("*.py") if path.stat().st_size]
    assert last == f"{len(python)} Python modules with {sum(len(p.read_text().splitlines()) for p in python):,} lines"


# A thin copy: the recipe's file alone, on the installed package.


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_thin_copy_is_the_recipes_file_with_its_names(recipe, monkeypatch):
    monkeypatch.setattr(copy, "repository_url", lambda: "")
    copied = copy.plan_thin(recipe, pathlib.Path("somewhere/my-flowers"))
    wanted = {"train.py", "test_train.py", "README.md", "requirements.txt", ".gitignore"}
    assert {str(path) for path in copied.files} == wanted
    source = (ROOT / "recipes" / f"{recipe}.py").read_text()
    train = texts(copied)[pathlib.PurePosixPath("train.py")]
    different = [pair for pair in zip(source.splitlines(), train.splitlines(), strict=True) if len(set(pair)) > 1]
    assert all(f"recipes/{recipe}.py" in ours or "benchmarks" in ours or f"import {recipe}" in ours
               for ours, _ in different)  # fmt: skip
    assert "from common import startup" in train and f"recipes/{recipe}.py" not in train
    assert not re.search(rf"from recipes import {recipe}$", train, re.MULTILINE)  # it would run the installed one

    ast.parse(texts(copied)[pathlib.PurePosixPath("test_train.py")])
    readme = texts(copied)[pathlib.PurePosixPath("README.md")]
    assert readme.startswith("# My flowers\n") and "python -m recipes report RUN" in readme
    assert re.search(r"pip install (CHECKOUT|'CHECKOUT\[(text|detection)\]')\n", readme)
    assert ("prepare.py` is in the repository" in readme) == ("prepare.py" in source)
    assert "NOTICE" not in readme and "my_flowers" not in readme


def test_the_requirements_of_a_thin_copy_are_the_package_and_what_tests_it(monkeypatch):
    def required(recipe):
        lines = texts(copy.plan_thin(recipe, pathlib.Path("x")))[pathlib.PurePosixPath("requirements.txt")].splitlines()
        return [line for line in lines if not line.startswith("#")]

    monkeypatch.setattr(copy, "repository_url", lambda: "")
    ours, pytest_line = required("linear_probe")
    assert re.fullmatch(r"keras-recipes~=\d+\.\d+\.\d+", ours) and pytest_line.startswith("pytest>=")
    assert required("legal_text")[0] == ours.replace("~=", "[text]~=")
    monkeypatch.setattr(copy, "repository_url", lambda: "https://example.org/me/recipes.git")
    assert required("linear_probe")[0] == "keras-recipes @ git+https://example.org/me/recipes.git"
    assert required("legal_text")[0] == "keras-recipes[text] @ git+https://example.org/me/recipes.git"
    readme = texts(copy.plan_thin("linear_probe", pathlib.Path("x")))[pathlib.PurePosixPath("README.md")]
    assert "CHECKOUT" not in readme and "PyPI" not in readme


def test_the_address_of_the_repository_holds_no_token(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "ROOT", tmp_path)
    assert copy.repository_url() == ""
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    origin = "https://me:secret@example.org/me/recipes.git"
    subprocess.run(["git", "remote", "add", "origin", origin], cwd=tmp_path, check=True)
    assert copy.repository_url() == "https://example.org/me/recipes.git"
    (tmp_path / "setup.cfg").write_text("[metadata]\nurl = https://example.org/known\n")
    assert copy.repository_url() == "https://example.org/known"


def test_a_repository_around_an_installed_package_is_not_ours(monkeypatch, tmp_path):
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    subprocess.run(["git", "remote", "add", "origin", "https://example.org/theirs.git"], cwd=tmp_path, check=True)
    monkeypatch.setattr(files, "ROOT", tmp_path)
    assert copy.repository_url() == "https://example.org/theirs.git"
    (tmp_path / "site-packages").mkdir()
    monkeypatch.setattr(files, "ROOT", tmp_path / "site-packages")
    assert copy.repository_url() == ""


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--name", "flowers"], "remove --name"),
        (["--with", "export"], "remove --with"),
        ([], "did you mean linear_probe?"),
    ],
)
def test_what_a_thin_copy_refuses(flags, message, tmp_path):
    recipe = "linear_probe" if flags else "linear_prob"
    command = [sys.executable, "-m", "recipes", "copy", "--thin", recipe, str(tmp_path / "flowers"), *flags]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2 and not list(tmp_path.iterdir())
    assert len(ended.stderr.splitlines()) == 1 and message in ended.stderr


def test_a_thin_copy_is_listed_and_written_and_answers(tmp_path):
    command = [sys.executable, "-m", "recipes", "copy", "--thin", "linear_probe", str(tmp_path / "flowers")]
    listed = subprocess.run([*command, "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not list(tmp_path.iterdir()) and listed.splitlines()[-1].startswith("2 Python modules with ")
    subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    written = {str(path.relative_to(tmp_path / "flowers")) for path in tmp_path.rglob("*") if path.is_file()}
    assert {line.split()[-1] for line in listed.splitlines()[:-1]} == written
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "train.py", "--data", "/nowhere"], cwd=tmp_path / "flowers",
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 2 and "/nowhere" in ended.stderr.splitlines()[-1]
    assert "tensorflow.python" not in ended.stderr


def test_a_thin_copy_of_what_runs_others_runs_itself(tmp_path):
    copy.write(copy.plan_thin("compare_strategies", tmp_path / "mine"), tmp_path / "mine")
    assert "    import train as compare_strategies\n" in (tmp_path / "mine" / "train.py").read_text()


# In venvs.


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory):
    """The interpreter of a new, empty venv."""
    folder = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return folder / "bin" / "python"


class Shell:
    """Calls programs of a venv in a folder, without what the environment says of another.

    Args:
        python: the venv's interpreter.
        folder: where the programs run.
    """

    def __init__(self, python: pathlib.Path, folder: pathlib.Path):
        self.bin, self.folder = python.parent, folder
        settings = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        self.environment = settings | {"XDG_CACHE_HOME": str(folder.parent / "cache")}

    def call(self, program, *arguments, **environment):
        return subprocess.run(
            [self.bin / program, *arguments], cwd=self.folder, env=self.environment | environment,
            capture_output=True, text=True,
        )  # fmt: skip

    def check(self, program, *arguments, **environment):
        """Returns stdout of what must succeed."""
        ended = self.call(program, *arguments, **environment)
        assert ended.returncode == 0, (ended.stdout + ended.stderr)[-3000:]
        return ended.stdout

    def install(self, *arguments):
        self.check("python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("recipe", every_recipe.parameters(RECIPES))
def test_a_copy_installs_and_passes_its_tests_and_runs_its_demo_in_a_clean_venv(recipe, clean_python, tmp_path):
    folder = tmp_path / "my_project"
    copy.copy(recipe, folder)
    shell = Shell(clean_python, folder)
    shell.install("-r", "requirements.txt")
    assert "No module named 'common'" in shell.call("python", "-c", "import common").stderr
    shell.check("python", "-m", "pytest", "-q", "-p", "no:cacheprovider")
    short = ["--strategies", "logistic_regression", "feature_extraction", "--seeds", "1"]
    shown = shell.check("python", "train.py", *(short if recipe == "compare_strategies" else []))
    run = folder / shown.splitlines()[-1]
    assert (run / "results.json").is_file()
    if recipe != "choose_backbone":  # it trains no model, so its run has no page
        again = shell.check("python", "-m", "my_project", "report", str(run))
        assert pathlib.Path(again.strip()).is_file()


def tree(folder):
    """Path → content of the files below a folder."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.long
def test_the_wheel_does_without_the_checkout_what_the_checkout_does(tmp_path):
    checkout, empty = tmp_path / "checkout", tmp_path / "empty"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, checkout / name)
    empty.mkdir()
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    shell = Shell(tmp_path / "venv" / "bin" / "python", empty)
    shell.check("python", "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(checkout))
    shutil.rmtree(checkout)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"common", "recipes", "keras_recipes"}
    assert not [name for name in names if re.search(r"(^|/)(tests?|benchmarks|docs)/|test_\w+\.py$", name)]

    shell.install(str(wheel))
    shell.check("python", "-m", "pip", "check")
    assert "No module named 'pytest'" in shell.call("python", "-c", "import pytest").stderr
    listed = shell.check("keras-recipes")
    assert set(RECIPES) <= set(listed.split()) and listed.splitlines()[-1].startswith("keras-recipes NAME")
    for arguments in (["feature_extraction", "--help"], ["linear_probe", "--data", "nowhere"], ["predict", "x", "y"]):
        ended = shell.call("keras-recipes", *arguments, PYTHONPROFILEIMPORTTIME="1")
        assert ended.returncode == (0 if "--help" in arguments else 2) and "tyro" in ended.stderr
        assert not re.search(r"tensorflow\.python|keras\.src|sklearn|matplotlib", ended.stderr)

    shown = shell.check("keras-recipes", "feature_extraction", "--epochs", "1", "--head", "gap")
    run = empty / shown.splitlines()[-1]
    assert run.is_relative_to(empty / "runs") and {"model.keras", "report.html"} <= {
        path.name for path in run.iterdir()
    }
    command = json.loads((run / "config.json").read_text())["command"]
    assert command == "keras-recipes feature_extraction --epochs 1 --head gap"
    photo = (run / "predictions.csv").read_text().splitlines()[1].split(",")[0]
    assert shell.check("keras-recipes", "predict", str(run), photo) == shell.check(
        "python", "-m", "recipes", "predict", str(run), photo
    )

    for recipe in RECIPES:
        shell.check("keras-recipes", "copy", recipe, str(tmp_path / "wheel" / f"my_{recipe}"))
        copy.copy(recipe, tmp_path / "repository" / f"my_{recipe}")
    assert tree(tmp_path / "wheel") == tree(tmp_path / "repository")

    thin = tmp_path / "thin"
    shell.check("keras-recipes", "copy", "--thin", "linear_probe", str(thin))
    assert {path.name for path in thin.iterdir()} == {
        "train.py", "test_train.py", "README.md", "requirements.txt", ".gitignore"
    }  # fmt: skip
    shell.folder = thin
    shell.install("-r", "requirements.txt")
    shell.check("pytest", "-q", "-p", "no:cacheprovider")
    assert (thin / shell.check("python", "train.py").splitlines()[-1] / "report.html").is_file()
