"""Every recipe as a project of its own: what is copied, what it says, and that it works without this repository."""

import ast
import os
import pathlib
import re
import subprocess
import sys

import pytest

from common import errors, project

ROOT = pathlib.Path(project.__file__).resolve().parents[1]
RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("[!_]*.py"))
# No module, path or name of this repository; `common` is also a word.
OURS = re.compile(
    r"\bfrom common\b|\bimport common\b|[`/]common[`./]|\bcommon/|\bfrom recipes\b|(?<![\w/.])recipes[./]\w"
    r"|\bm recipes\b|keras.recipes|benchmarks/|\btests/(common|recipes)\b"
)


def texts(copied):
    return {path: content.decode() for path, content in copied.files.items() if path.suffix not in (".h5", ".npz")}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_copy_is_the_recipe_under_other_names(recipe):
    copied = project.plan(recipe, pathlib.Path("somewhere/my-flowers"))
    source = (ROOT / "recipes" / f"{recipe}.py").read_text()
    train = copied.files[pathlib.PurePosixPath("train.py")].decode()
    different = [pair for pair in zip(source.splitlines(), train.splitlines(), strict=True) if len(set(pair)) > 1]
    assert all(re.search(r"common|recipes|benchmarks|pip install", ours) for ours, _ in different)
    assert "from my_flowers import" in train

    for path, text in texts(copied).items():
        found = [line for line in text.splitlines() if OURS.search(line)]
        assert not found, (path, found)
        if path.suffix == ".py":
            ast.parse(text)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_copy_has_every_module_that_it_imports_and_no_other(recipe):
    copied = project.plan(recipe, pathlib.Path("my_flowers"))
    modules = {path.stem: path for path in copied.files if path.parts[0] == "my_flowers" and len(path.parts) == 2}
    imported = set()
    for path, text in texts(copied).items():
        if path.suffix == ".py":
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.ImportFrom) and node.module == "my_flowers":
                    imported |= {alias.name for alias in node.names}
    assert imported - {"recipes"} == set(modules) - {"__init__", "__main__"}
    assert ("compare_report" in modules) == (recipe == "compare_strategies")
    assert ("clip_surgery" in modules) == (recipe == "video_actions")


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_requirements_are_those_of_the_imports(recipe):
    copied = project.plan(recipe, pathlib.Path("my_flowers"))
    required = copied.files[pathlib.PurePosixPath("requirements.txt")].decode()
    names = {line.split(">")[0] for line in required.splitlines() if not line.startswith("#")}
    assert {"tensorflow", "keras", "numpy", "pillow", "scikit-learn", "matplotlib", "jinja2", "tyro", "pytest"} <= names
    assert not names & {"pytest-xdist", "markdown-it-py", "-e ."}


def test_a_copy_brings_the_demos_weights_and_the_script_that_fetches_its_data():
    paths = {str(path) for path in project.plan("skin_lesions", pathlib.Path("moles")).files}
    assert {"data/demo/vgg16_narrow.weights.h5", "data/ham10000/prepare.py", "moles/download.py"} <= paths
    assert "moles/templates/report.html" in paths and "moles/templates/compare.html" not in paths
    assert {"README.md", "LICENSE", "NOTICE", ".gitignore", "pyproject.toml", "tests/test_train.py"} <= paths


def test_the_readme_is_written_for_the_project():
    copied = project.plan("video_actions", pathlib.Path("ball-games"))
    readme = copied.files[pathlib.PurePosixPath("README.md")].decode()
    assert readme.startswith("# Ball games\n\nVideo actions: ")
    for wanted in ("clips/punch/v_Punch_g01_c01.avi", "python train.py --data clips/", "python -m ball_games predict",
                   "| `ball_games/video.py` |", "has an accuracy of"):  # fmt: skip
        assert wanted in readme


def test_the_parts_of_a_docstring():
    title, parts = project.sections(
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
        ("feature_extraction", "3d", None, "no name for a package"),
        ("feature_extraction", "flowers", "Flowers", "no name for a package"),
        ("feature_extraction", "flowers", "class", "no name for a package"),
        ("feature_extraction", "json", None, "imports already"),
        ("feature_extraction", "keras", None, "imports already"),
        ("feature_extraction", "train", None, "imports already"),
        ("feature_extraction", "photos", None, "folder or file of the project"),  # which git ignores
        ("feature_extraction", "google", None, "imports already"),
        ("feature_extraction", "tf2onnx", None, "imports already"),
    ],
)
def test_names_that_are_refused(recipe, folder, name, message, tmp_path):
    with pytest.raises(errors.UserError, match=message):
        project.copy(recipe, tmp_path / folder, name)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_something_in_it_is_refused_and_an_empty_one_taken(tmp_path):
    folder = tmp_path / "flowers"
    folder.mkdir()
    project.copy("linear_probe", folder)
    assert (folder / "train.py").is_file()
    with pytest.raises(errors.UserError, match="is not empty"):
        project.copy("linear_probe", folder)


def test_the_folder_that_one_stands_in_is_taken_if_it_is_empty(tmp_path, monkeypatch):
    (tmp_path / "flowers").mkdir()
    monkeypatch.chdir(tmp_path / "flowers")
    project.copy("linear_probe", pathlib.Path("."))
    assert (tmp_path / "flowers" / "flowers" / "__main__.py").is_file()


def test_git_takes_every_file_of_a_copy(tmp_path):
    for name in ("video_actions", "legal_text"):
        copied = project.copy(name, tmp_path / name / "mine")
        subprocess.run(["git", "init", "--quiet"], cwd=tmp_path / name / "mine", check=True)
        command = ["git", "ls-files", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=tmp_path / name / "mine", capture_output=True, text=True, check=True)
        assert sorted(listed.stdout.split()) == sorted(map(str, copied.files))


def test_a_copy_of_photos_does_not_offer_to_write_texts(tmp_path):
    project.copy("linear_probe", tmp_path / "flowers")
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
    assert {line.split()[-1] for line in listed.splitlines()} == written


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory):
    """The interpreter of a new, empty venv."""
    folder = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return folder / "bin" / "python"


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_copy_installs_and_passes_its_tests_and_runs_its_demo_in_a_clean_venv(recipe, clean_python, tmp_path):
    folder = tmp_path / "my_project"
    project.copy(recipe, folder)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def call(*arguments):
        return subprocess.run([clean_python, *arguments], cwd=folder, env=environment, capture_output=True, text=True)

    def check(*arguments):
        ended = call(*arguments)
        assert ended.returncode == 0, (ended.stdout + ended.stderr)[-3000:]
        return ended.stdout

    check("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt")
    assert "No module named 'common'" in call("-c", "import common").stderr
    check("-m", "pytest", "-q", "-p", "no:cacheprovider")
    short = ["--strategies", "logistic_regression", "feature_extraction", "--seeds", "1"]
    shown = check("train.py", "--cache", str(tmp_path), *(short if recipe == "compare_strategies" else []))
    run = folder / shown.splitlines()[-1]
    assert (run / "results.json").is_file()
    again = check("-m", "my_project", "report", str(run))
    assert pathlib.Path(again.strip()).is_file()
