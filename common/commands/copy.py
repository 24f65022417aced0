"""A recipe as a project of its own: `train.py`, the modules that it needs as a package, a README and a test.

What is copied is this repository's source, with the names changed; nothing is generated but the README, the test, the
start of the package's commands and the settings of tools, which have templates in `templates/project/`.

The modules are those that the recipe and the commands that come with it import, also inside functions, and those that
these import, and so on. A module's constant FILES names what it needs besides Python: a tuple of paths, beside the
module or from the root of the repository; a folder stands for all in it. Sources are read for this and not imported.
"""

import ast
import configparser
import dataclasses
import importlib.util
import keyword
import pathlib
import re
import sys
import sysconfig
import textwrap
from collections.abc import Callable, Iterable
from typing import Annotated

import jinja2
import tyro

from common import errors, files, flags
from common.commands import main

FILES = ("templates/project",)
ROOT = pathlib.Path(__file__).resolve().parents[2]
TEMPLATES = pathlib.Path(__file__).resolve().parent / FILES[0]
PACKAGES = ("common", "recipes")
COMMANDS = ("cache", "predict", "report")  # come with every recipe
TAKEN = {"train", "tests", "data", "runs", "recipes", "common", "photos", "clips", "lesions", "contracts"}
MODULES = {"PIL": "pillow", "sklearn": "scikit-learn"}  # whose package has another name
EXTRA = r"pip install 'keras-recipes\[(\w+)\]'"
# Settings with which a recipe that has them is through its demo in no time: for the test.
SHORT = {
    "epochs": 1,
    "fine_tuning_epochs": 1,
    "warmup_epochs": 0,
    "search_epochs": 1,
    "samples": 2,
    "sample_tokens": 10,
}
# Where a template's result goes, if not by its own name.
TARGETS = {"gitignore": ".gitignore", "test_train.py": "tests/test_train.py", "__main__.py": "{package}/__main__.py"}


@dataclasses.dataclass(frozen=True)
class Project:
    """What a copy consists of.

    Attributes:
        recipe: name of the recipe that becomes train.py.
        package: name of the package.
        files: path in the project → its content.
    """

    recipe: str
    package: str
    files: dict[pathlib.PurePosixPath, bytes]

    def listing(self) -> str:
        """A line for each file: lines or bytes, and its path; the last line sums up the Python."""
        lines = []
        for path, content in sorted(self.files.items()):
            is_text = path.suffix not in (".h5", ".png", ".npz")
            count = f"{len(content.splitlines()):,} lines" if is_text else f"{len(content):,} bytes"
            lines.append(f"{count:>16}  {path}")
        return "\n".join([*lines, "{} Python modules with {:,} lines".format(*self.size())])

    def size(self) -> tuple[int, int]:
        """How many Python modules there are that are not empty, and how many lines they have."""
        lengths = [len(content.splitlines()) for path, content in self.files.items() if path.suffix == ".py"]
        return sum(map(bool, lengths)), sum(lengths)


def command(
    recipe: tyro.conf.Positional[str],
    folder: tyro.conf.Positional[pathlib.Path],
    /,
    name: str | None = None,
    with_: Annotated[tuple[str, ...], tyro.conf.arg(name="with", metavar="COMMAND…")] = (),
    dry_run: bool = False,
) -> int:
    """Writes a recipe as a new project: train.py, the modules that it needs, requirements, a README and a test.

    Args:
        recipe: its name, as `python -m recipes` lists it.
        folder: where to; it must not exist yet, or be empty.
        name: of the project's package; default: the folder's name, with _ for -.
        with_: commands to come with it, such as export serve, besides cache, predict, report and those that the
            recipe's description names.
        dry_run: list the files and write nothing.
    """
    if dry_run:
        print(plan(recipe, folder, name, with_).listing())
        return 0
    copied = copy(recipe, folder, name, with_)
    print(f"{len(copied.files)} files; README.md there says how to go on", file=sys.stderr)
    print(folder)
    return 0


def copy(recipe: str, destination: pathlib.Path, package: str | None = None, commands: Iterable[str] = ()) -> Project:
    """Writes a recipe as a new project, all of it or nothing.

    Args:
        recipe: name of a file in recipes/, without `.py`.
        destination: a folder that does not exist yet or is empty.
        package: name of the package; default: the folder's name, with _ for -.
        commands: further ones that come with it.

    Raises:
        UserError: an unknown recipe or command, a name that Python cannot import, a folder with something in it.
    """
    project = plan(recipe, destination, package, commands)
    destination = destination.expanduser().resolve()
    if destination.is_dir() and any(destination.iterdir()):
        raise errors.UserError(f"{destination} is not empty; name another folder")

    def write(folder: pathlib.Path) -> None:
        for path, content in project.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)

    files.complete_folder(destination, lambda folder: False, write, "a new project")
    return project


def plan(recipe: str, destination: pathlib.Path, package: str | None = None, commands: Iterable[str] = ()) -> Project:
    """What `copy` would write.

    Raises:
        UserError: as for `copy`, but for the folder.
    """
    names = sorted(path.stem for path in (ROOT / "recipes").glob("[!_]*.py"))
    if recipe not in names:
        hint = flags.suggestion(recipe, names) or f"; there are {', '.join(names)}"
        raise errors.UserError(f"unknown recipe {recipe}{hint}")
    package = _checked(package or destination.expanduser().resolve().name.replace("-", "_"))

    source = _file(f"recipes.{recipe}")
    docstring = ast.get_docstring(_parsed(source)) or ""
    commands = _commands(docstring, commands)
    prepare = [ROOT / name for name in re.findall(r"`(data/\w+/prepare\.py)`", docstring)]
    sources = reached([source, *prepare, *(_file(f"common.commands.{name}") for name in ("main", *commands))])
    rename = Renaming(recipe, package)

    def place(path: pathlib.Path) -> pathlib.PurePosixPath:
        room, *rest = path.relative_to(ROOT).parts
        if path == source:
            return pathlib.PurePosixPath("train.py")
        return pathlib.PurePosixPath(*{"common": [package], "recipes": [package, room]}.get(room, [room]), *rest)

    texts = [*sources, *(path.with_name("README.md") for path in prepare)]
    found = {place(path): rename(path.read_text(encoding="utf-8")) for path in texts}
    rooms = {path.parent for path in found if path.parts[0] == package} | {pathlib.PurePosixPath(package)}
    found |= {room / "__init__.py": "" for room in rooms}
    content = {path: text.encode() for path, text in found.items()}
    for path in (each for module in sources if module not in prepare for each in needed_files(module)):
        is_ours = path.is_relative_to(ROOT / "common")  # a template may name us, data does not
        content[place(path)] = rename(path.read_text(encoding="utf-8")).encode() if is_ours else path.read_bytes()

    content[pathlib.PurePosixPath("LICENSE")] = (ROOT / "LICENSE").read_bytes()
    view = _view(source, package, commands, rename(docstring), found)
    content |= _rendered(view | {"requirements": _requirements(sources, docstring)})
    return Project(recipe, package, content)


def _commands(docstring: str, asked: Iterable[str]) -> list[str]:
    """The commands that come with a recipe: those of all, those that its docstring names, and those that are asked for.

    Raises:
        UserError: an unknown one is asked for.
    """
    known = [name for name in main.names() if name != pathlib.Path(__file__).stem]  # a copy is not copied again
    for name in asked:
        if name not in known:
            hint = flags.suggestion(name, known) or f"; there are {', '.join(known)}"
            raise errors.UserError(f"--with {name}: no such command{hint}")
    wanted = {*COMMANDS, *asked, *re.findall(r"\bpython -m recipes (\w+)", docstring)}
    if "generate" in wanted and "predict" not in asked:  # a recipe that writes answers nothing
        wanted.discard("predict")
    return [name for name in known if name in wanted]


def _checked(name: str) -> str:
    """The name of a package, refused where Python could not import it or would import something else."""
    if not name.isascii() or not name.isidentifier() or keyword.iskeyword(name) or name != name.lower():
        raise errors.UserError(
            f"{name!r} is no name for a package (lower-case letters, digits and _, no digit first): "
            "choose another folder, or give --name"
        )
    if name in TAKEN or name in _names_of_extras() or _is_installed(name):
        raise errors.UserError(
            f"{name!r} is the name of a folder or file of the project, or of something that Python imports already: "
            "give --name another"
        )
    return name


def _is_installed(name: str) -> bool:
    """Whether Python has a module of that name; a folder somewhere, such as that of the project, is none."""
    found = importlib.util.find_spec(name)
    if found is None or found.origin:
        return found is not None
    installed = [pathlib.Path(sysconfig.get_path(kind)) for kind in ("stdlib", "purelib", "platlib")]
    folders = map(pathlib.Path, found.submodule_search_locations or ())
    return any(folder.is_relative_to(place) for folder in folders for place in installed)


def _names_of_extras() -> set[str]:
    """The modules of the optional packages, which need not be installed yet."""
    return {name.replace("-", "_") for lines in _extras().values() for name in _names(lines).split()}


# Reading sources ----------------------------------------------------------------------------------------------


def _parsed(path: pathlib.Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _file(module: str) -> pathlib.Path:
    """The file of a module with that name."""
    return ROOT / f"{module.replace('.', '/')}.py"


def imported(path: pathlib.Path) -> set[pathlib.Path]:
    """The files of this repository that a file imports, at its top or inside functions."""
    names: set[str] = set()
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {_file(name) for name in names if name.partition(".")[0] in PACKAGES and _file(name).is_file()}


def reached(paths: Iterable[pathlib.Path]) -> list[pathlib.Path]:
    """These files, those that they import, those that these import, and so on."""
    waiting, found = set(paths), set()
    while waiting:
        path = waiting.pop()
        found.add(path)
        waiting |= imported(path) - found
    return sorted(found)


def needed_files(path: pathlib.Path) -> list[pathlib.Path]:
    """The files that a module names in FILES, those of a folder one by one."""
    for node in _parsed(path).body:
        if isinstance(node, ast.Assign) and any(ast.unparse(target) == "FILES" for target in node.targets):
            named = ast.literal_eval(node.value)
            places = [beside if (beside := path.parent / name).exists() else ROOT / name for name in named]
            inside = ([file for file in sorted(one.rglob("*")) if file.is_file()] or [one] for one in places)
            return [file for files in inside for file in files]
    return []


def fields(path: pathlib.Path, name: str = "Config") -> set[str]:
    """The fields of a dataclass in a file, with those of its bases wherever in this repository they stand."""
    tree = _parsed(path)
    node = next((each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == name), None)
    if node is None:
        return set()
    modules = {
        alias.asname or alias.name: _file(f"{each.module}.{alias.name}")
        for each in tree.body if isinstance(each, ast.ImportFrom) for alias in each.names
    }  # fmt: skip
    found = {ast.unparse(each.target) for each in node.body if isinstance(each, ast.AnnAssign)}
    for base in node.bases:
        module, _, inherited = ast.unparse(base).rpartition(".")
        place = modules.get(module) if module else path
        found |= fields(place, inherited) if place and place.is_file() else set()
    return found


def _requirements(sources: list[pathlib.Path], docstring: str) -> list[str]:
    """The lines of requirements.txt for what these files import and for the test, and the extras that are told of."""
    imported = {"pytest", "tensorflow", "keras"}
    for path in sources:
        for node in ast.walk(_parsed(path)):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    wanted = {MODULES.get(module, module.replace("_", "-")) for module in imported}
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    required = [line for line in lines if (found := re.match(r"[\w-]+", line)) and found[0] in wanted]
    return required + told_extras(docstring)


def told_extras(docstring: str) -> list[str]:
    """The requirements of the optional extras that a recipe's docstring tells to install."""
    return [line for name in re.findall(EXTRA, docstring) for line in _extras()[name]]


class Renaming:
    """Changes in a text the names of this repository into those of the project."""

    def __init__(self, recipe: str, package: str):
        self.rules: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
            (EXTRA, lambda found: f"pip install {_names(_extras()[found[1]])}"),
            (rf"\bfrom recipes import {recipe}\b(?!,)", f"import train as {recipe}"),
            (r"\bfrom recipes import\b", f"from {package}.recipes import"),
            (rf"\brecipes/{recipe}\.py\b", "train.py"),
            (r"\brecipes/(\w+\.py)\b", rf"{package}/recipes/\1"),
            (r"\bpython -m recipes\b", f"python -m {package}"),
            (r"(?<=`)recipes\.(?=\w)", f"{package}.recipes."),
            (r"\b(from|import) common\b", rf"\1 {package}"),
            (r"(?<=`)common(?=[`.])", package),
            (r"\bcommon/(?=\w)", f"{package}/"),
            (r"(?<=\(after )common(?=,)", package),
            (r"\bkeras_recipes\b", package),
            (r"\bkeras-recipes\b", package.replace("_", "-")),
            (r" ?\(`python benchmarks/[^`]*`\)", ""),
        ]

    def __call__(self, text: str) -> str:
        for pattern, replacement in self.rules:
            text = re.sub(pattern, replacement, text)
        return text


def _extras() -> dict[str, list[str]]:
    """Optional extra → its requirements."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    return {name: lines.split() for name, lines in settings["options.extras_require"].items()}


def _names(requirements: list[str]) -> str:
    return " ".join(re.sub(r"[^\w-].*", "", line) for line in requirements)


def _view(source: pathlib.Path, package: str, commands: list[str], docstring: str, found: dict) -> dict:
    """What the templates are filled with: facts that stand in the sources, never a recipe's name."""
    title, parts = sections(docstring)
    modules = reached([source])  # those of the recipe alone: a command may bring others
    settings = fields(source)
    return {
        "recipe": source.stem, "package": package, "name": package.replace("_", " ").capitalize(), "title": title,
        "parts": parts, "commands": commands,
        "compares": _file("common.compare.trials") in modules,
        "clips": _file("common.media.clips") in modules,
        "texts": _file("common.models.language_model") in modules,
        "writes": _file("common.models.generation") in modules,
        "short": [f"{name}={value}" for name, value in SHORT.items() if name in settings],
        "modules": {path: line for path, text in sorted(found.items()) if path.suffix == ".py"
                    and (line := _first_line(text))},
    }  # fmt: skip


def _rendered(view: dict) -> dict[pathlib.PurePosixPath, bytes]:
    """What templates make: README, test, the start of the commands, requirements and the settings of tools."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    rendered = {}
    for template in sorted(TEMPLATES.glob("*.jinja")):
        target = TARGETS.get(template.stem, template.stem).format(**view)
        content = environment.get_template(template.name).render(view)
        rendered[pathlib.PurePosixPath(target)] = content.encode()
    return rendered


def sections(docstring: str) -> tuple[str, dict[str, str]]:
    """A recipe's docstring as its first line and its named parts, `When to use it`, `Data`, `Command`, `Expected`.

    What has no name, between `Command` and `Expected`, is `About`. Each part is Markdown.
    """
    title, *paragraphs = re.split(r"\n\s*\n", textwrap.dedent(docstring).strip())
    parts: dict[str, str] = {}
    name = "About"
    for paragraph in paragraphs:
        named = re.match(r"(When to use it|Data|Command|Expected)(:|, )", paragraph)
        if named:
            name = named[1]
            rest = paragraph[named.end() :].lstrip(" \n") if named[2] == ":" else paragraph
            paragraph = rest[:1].upper() + rest[1:]
        elif not paragraph.startswith(" ") and name == "Command":
            name = "About"
        if paragraph:
            parts[name] = f"{parts[name]}\n\n{paragraph}" if name in parts else paragraph
    return " ".join(title.split()), parts


def _first_line(code: str) -> str:
    return " ".join((ast.get_docstring(ast.parse(code)) or "").split("\n\n")[0].split())
