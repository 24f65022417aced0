"""A recipe as a project of its own: `train.py`, the modules that it needs as a package, a README and a test.

A copy contains the source of this repository with the names changed. Only the README, the test, the start of the
package's commands and the settings of tools are made from templates, in `templates/project/`.

`copy` follows imports, also those inside functions, from the recipe and the commands that come with it. A module's
constant FILES names what it needs besides Python. It is a tuple of paths, beside the module or from the root of the
repository; a folder stands for everything in it. Sources are read for this, and none is imported.

A thin copy has no package of its own. Its `train.py` imports `common` from the installed package.
"""

import ast
import configparser
import dataclasses
import importlib.util
import keyword
import pathlib
import re
import subprocess
import sys
import sysconfig
import textwrap
import urllib.parse
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import jinja2
import tyro

from common import errors, files, flags, source_code
from common.commands import main

FILES = ("templates/project",)
TEMPLATES = pathlib.Path(__file__).resolve().parent / FILES[0]
COMMANDS = ("cache", "predict", "report")  # come with every recipe
TAKEN = {"train", "tests", "data", "runs", "recipes", "common", "photos", "clips", "lesions", "contracts"}
MODULES = {"PIL": "pillow", "sklearn": "scikit-learn"}  # whose package has another name
EXTRA = r"pip install 'keras-recipes\[(\w+)\]'"
PREPARE = r"`(data/\w+/prepare\.py)`"  # a script that makes the data, as a docstring names it
# With these settings the test finishes the demo quickly; a recipe takes those that it has.
SHORT = {
    "epochs": 1,
    "fine_tuning_epochs": 1,
    "warmup_epochs": 0,
    "search_epochs": 1,
    "samples": 2,
    "sample_tokens": 10,
}
# Template → where its result goes in a copy. A thin copy's test lies beside train.py, which pytest then finds.
TARGETS = {
    "NOTICE": "NOTICE", "README.md": "README.md", "__main__.py": "{package}/__main__.py", "gitignore": ".gitignore",
    "pyproject.toml": "pyproject.toml", "requirements.txt": "requirements.txt", "test_train.py": "tests/test_train.py",
}  # fmt: skip
THIN_TARGETS = {
    "README.md": "README.md", "gitignore": ".gitignore", "requirements.txt": "requirements.txt",
    "test_train.py": "test_train.py",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Project:
    """The files of a copy.

    Attributes:
        recipe: name of the recipe that becomes train.py.
        package: name of the package that has the commands; `recipes` in a thin copy.
        files: path in the project → its content.
    """

    recipe: str
    package: str
    files: dict[pathlib.PurePosixPath, bytes]

    def listing(self) -> str:
        """Return a line for each file with its size and path, and a last line that counts the Python."""
        lines = []
        for path, content in sorted(self.files.items()):
            is_text = path.suffix not in (".h5", ".png", ".npz")
            count = f"{len(content.splitlines()):,} lines" if is_text else f"{len(content):,} bytes"
            lines.append(f"{count:>16}  {path}")
        return "\n".join([*lines, "{} Python modules with {:,} lines".format(*self.size())])

    def size(self) -> tuple[int, int]:
        """Return the number of Python modules that are not empty, and of their lines."""
        lengths = [len(content.splitlines()) for path, content in self.files.items() if path.suffix == ".py"]
        return sum(map(bool, lengths)), sum(lengths)


def command(
    recipe: tyro.conf.Positional[str],
    folder: tyro.conf.Positional[pathlib.Path],
    /,
    name: str | None = None,
    with_: Annotated[tuple[str, ...], tyro.conf.arg(name="with", metavar="COMMAND…")] = (),
    thin: bool = False,
    dry_run: bool = False,
) -> int:
    """Write a recipe as a new project: train.py, the modules that it needs, requirements, a README and a test.

    Args:
        recipe: its name, as `python -m recipes` lists it.
        folder: where to write it; it must not exist yet, or be empty.
        name: of the project's package; default: the folder's name, with _ for -.
        with_: further commands, such as export serve. Every copy has cache, predict, report and those that the
            recipe's description names.
        thin: write train.py, its test and a README only; the modules stay those of the installed package.
        dry_run: list the files and write nothing.
    """
    if thin and name:
        raise errors.UserError("--thin makes no package that could be named; remove --name")
    if thin and with_:
        raise errors.UserError("--thin leaves you all commands of the installed package; remove --with")
    project = plan_thin(recipe, folder) if thin else plan(recipe, folder, name, with_)
    if dry_run:
        print(project.listing())
        return 0
    write(project, folder)
    print(f"{len(project.files)} files; README.md there says how to go on", file=sys.stderr)
    print(folder)
    return 0


def copy(recipe: str, destination: pathlib.Path, package: str | None = None, commands: Iterable[str] = ()) -> Project:
    """Write a recipe as a new project, all of it or nothing, and return what was written.

    Args:
        recipe: name of a file in recipes/, without `.py`.
        destination: a folder that does not exist yet or is empty.
        package: name of the package; default: the folder's name, with _ for -.
        commands: further commands that come with it.

    Raises:
        UserError: the recipe or a command is unknown, Python cannot import the name, or the folder is not empty.
    """
    project = plan(recipe, destination, package, commands)
    write(project, destination)
    return project


def write(project: Project, destination: pathlib.Path) -> None:
    """Write a project, all of it or nothing.

    Raises:
        UserError: the folder is not empty, or cannot be written.
    """
    destination = destination.expanduser().resolve()
    if destination.is_dir() and any(destination.iterdir()):
        raise errors.UserError(f"{destination} is not empty; name another folder")

    def write_files(folder: pathlib.Path) -> None:
        for path, content in project.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)

    files.complete_folder(destination, lambda folder: False, write_files, "a new project")


def plan(recipe: str, destination: pathlib.Path, package: str | None = None, commands: Iterable[str] = ()) -> Project:
    """Return what `copy` would write.

    Raises:
        UserError: as for `copy`, except that the folder may have something in it.
    """
    source = _source(recipe)
    package = _checked(package or destination.expanduser().resolve().name.replace("-", "_"))

    docstring = ast.get_docstring(source_code.parsed(source)) or ""
    commands = _commands(docstring, commands)
    prepare = [files.ROOT / name for name in re.findall(PREPARE, docstring)]
    started = [source_code.file_of(f"common.commands.{name}") for name in ("main", *commands)]
    sources = source_code.reached([source, *prepare, *started])
    rename = Renaming(recipe, package)

    def place(path: pathlib.Path) -> pathlib.PurePosixPath:
        room, *rest = path.relative_to(files.ROOT if path.is_relative_to(files.ROOT) else source_code.CODE).parts
        if path == source:
            return pathlib.PurePosixPath("train.py")
        return pathlib.PurePosixPath(*{"common": [package], "recipes": [package, room]}.get(room, [room]), *rest)

    texts = [*sources, *(path.with_name("README.md") for path in prepare)]
    found = {place(path): rename(path.read_text(encoding="utf-8")) for path in texts}
    rooms = {path.parent for path in found if path.parts[0] == package} | {pathlib.PurePosixPath(package)}
    found |= {room / "__init__.py": "" for room in rooms}
    content = {path: text.encode() for path, text in found.items()}
    for path in (each for module in sources if module not in prepare for each in source_code.needed_files(module)):
        is_ours = place(path).parts[0] == package  # a template may name us, data does not
        content[place(path)] = rename(path.read_text(encoding="utf-8")).encode() if is_ours else path.read_bytes()

    content[pathlib.PurePosixPath("LICENSE")] = (files.ROOT / "LICENSE").read_bytes()
    modules = {
        path: line for path, text in sorted(found.items()) if path.suffix == ".py" and (line := _first_line(text))
    }
    view = _view(source, package, commands, rename(docstring))
    view |= {"modules": modules, "requirements": _requirements(sources, docstring), "thin": False}
    return Project(recipe, package, content | _rendered(view, TARGETS))


def plan_thin(recipe: str, destination: pathlib.Path) -> Project:
    """Return what `copy --thin` would write: a project that imports the installed package.

    Raises:
        UserError: the recipe is unknown.
    """
    source = _source(recipe)
    rename = Renaming(recipe)
    train = rename(source.read_text(encoding="utf-8"))
    docstring = ast.get_docstring(ast.parse(train)) or ""
    extras = re.findall(EXTRA, docstring)
    address = repository_url()
    view = _view(source, "recipes", main.names(), docstring) | {
        "name": _title(destination.expanduser().resolve().name), "thin": True, "address": address,
        "extras": f"[{','.join(extras)}]" if extras else "", "prepares": bool(re.search(PREPARE, docstring)),
        "requirements": [_own_requirement(extras, address), *_test_requirements()],
    }  # fmt: skip
    content = {pathlib.PurePosixPath("train.py"): train.encode()}
    return Project(recipe, "recipes", content | _rendered(view, THIN_TARGETS))


def _source(recipe: str) -> pathlib.Path:
    """Return the file of a recipe.

    Raises:
        UserError: the recipe is unknown.
    """
    names = sorted(path.stem for path in (source_code.CODE / "recipes").glob("[!_]*.py"))
    if recipe not in names:
        hint = flags.suggestion(recipe, names) or f"; there are {', '.join(names)}"
        raise errors.UserError(f"unknown recipe {recipe}{hint}")
    return source_code.file_of(f"recipes.{recipe}")


def _commands(docstring: str, asked: Iterable[str]) -> list[str]:
    """Return the commands that come with a recipe: those of all, those in its docstring, and those that are asked for.

    Raises:
        UserError: a command that is asked for is unknown.
    """
    known = [name for name in main.names() if name != pathlib.Path(__file__).stem]  # a copy is not copied again
    for name in asked:
        if name not in known:
            hint = flags.suggestion(name, known) or f"; there are {', '.join(known)}"
            raise errors.UserError(f"--with {name}: no such command{hint}")
    wanted = {*COMMANDS, *asked, *re.findall(r"\bpython -m recipes (\w+)", docstring)}
    if "generate" in wanted and "predict" not in asked:  # a recipe that writes texts predicts no class
        wanted.discard("predict")
    return [name for name in known if name in wanted]


def _checked(name: str) -> str:
    """Return the name of a package, or refuse one that Python could not import or that names something else.

    Raises:
        UserError: says why, and what to do.
    """
    if not name.isascii() or not name.isidentifier() or keyword.iskeyword(name) or name != name.lower():
        raise errors.UserError(
            f"{name!r} is not a valid name for a package (lower-case letters, digits and _, no digit first): "
            "choose another folder, or give --name"
        )
    if name in TAKEN or name in _names_of_extras() or _is_installed(name):
        raise errors.UserError(
            f"{name!r} is already the name of a folder or file of the project, or of an installed module: "
            "choose another --name"
        )
    return name


def _is_installed(name: str) -> bool:
    """Return whether Python has a module with that name; a folder outside the installed packages does not count."""
    found = importlib.util.find_spec(name)
    if found is None or found.origin:
        return found is not None
    installed = [pathlib.Path(sysconfig.get_path(kind)) for kind in ("stdlib", "purelib", "platlib")]
    folders = map(pathlib.Path, found.submodule_search_locations or ())
    return any(folder.is_relative_to(place) for folder in folders for place in installed)


def _names_of_extras() -> set[str]:
    """Return the names of the optional packages' modules; the packages need not be installed."""
    return {name.replace("-", "_") for lines in _extras().values() for name in _names(lines).split()}


def _requirements(sources: list[pathlib.Path], docstring: str) -> list[str]:
    """Return the requirements of what these files import, of the test, and of the extras in the docstring."""
    imported = {"tensorflow", "keras"}
    for path in sources:
        imported |= {name.partition(".")[0] for name in source_code.imported_names(path)}
    wanted = {MODULES.get(module, module.replace("_", "-")) for module in imported}
    lines = (files.ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    required = [line for line in lines if (found := re.match(r"[\w-]+", line)) and found[0] in wanted]
    return required + _test_requirements() + told_extras(docstring)


def _test_requirements() -> list[str]:
    """Return the requirements of a project's test."""
    return [line for line in _extras()["tests"] if re.match(r"pytest\b(?!-)", line)]


def told_extras(docstring: str) -> list[str]:
    """Return the requirements of the optional extras that a recipe's docstring tells to install."""
    return [line for name in re.findall(EXTRA, docstring) for line in _extras()[name]]


def _own_requirement(extras: list[str], address: str) -> str:
    """Return the line of requirements.txt for this package: its address, or its version if no address is known."""
    name = f"keras-recipes[{','.join(extras)}]" if extras else "keras-recipes"
    return f"{name} @ git+{address}" if address else f"{name}~={_settings()['metadata']['version']}"


def repository_url() -> str:
    """Return where the repository can be cloned from, or nothing if that is not known.

    The `url` in setup.cfg comes first, then the checkout's `origin`. A name and a token in the address are left out.
    """
    urls = [_settings().get("metadata", "url", fallback="")]
    if (files.ROOT / ".git").exists():  # git would also answer for a repository around an installed package
        command = ["git", "remote", "get-url", "origin"]
        urls += [subprocess.run(command, cwd=files.ROOT, capture_output=True, text=True).stdout.strip()]
    for url in urls:
        if url.startswith(("https://", "http://")):
            parts = urllib.parse.urlsplit(url)
            return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return ""


class Renaming:
    """Replaces the names of this repository in a text by those of the project.

    Args:
        recipe: the recipe that becomes train.py.
        package: the project's package; None for a thin copy, which keeps the names of the installed packages.
    """

    def __init__(self, recipe: str, package: str | None = None):
        self.rules: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
            (rf"\bfrom recipes import {recipe}\b(?!,)", f"import train as {recipe}"),
            (rf"\brecipes/{recipe}\.py\b", "train.py"),
            (r" ?\(`python benchmarks/[^`]*`\)", ""),
        ]
        if package is None:
            return
        self.rules += [
            (EXTRA, lambda found: f"pip install {_names(_extras()[found[1]])}"),
            (r"\bfrom recipes import\b", f"from {package}.recipes import"),
            (r"\brecipes/(\w+\.py)\b", rf"{package}/recipes/\1"),
            (r"\bpython -m recipes\b", f"python -m {package}"),
            (r"(?<=`)recipes\.(?=\w)", f"{package}.recipes."),
            (r"\b(from|import) common\b", rf"\1 {package}"),
            (r"(?<=`)common(?=[`.])", package),
            (r"\bcommon/(?=\w)", f"{package}/"),
            (r"(?<=\(after )common(?=,)", package),
            (r"\bkeras_recipes\b", package),
            (r"\bkeras-recipes\b", package.replace("_", "-")),
        ]

    def __call__(self, text: str) -> str:
        for pattern, replacement in self.rules:
            text = re.sub(pattern, replacement, text)
        return text


def _extras() -> dict[str, list[str]]:
    """Return optional extra → its requirements."""
    return {name: lines.split() for name, lines in _settings()["options.extras_require"].items()}


def _settings() -> configparser.ConfigParser:
    """Return what is in setup.cfg."""
    settings = configparser.ConfigParser()
    settings.read(files.ROOT / "setup.cfg", encoding="utf-8")
    return settings


def _names(requirements: list[str]) -> str:
    """Return the names of packages without their versions, with spaces between them."""
    return " ".join(re.sub(r"[^\w-].*", "", line) for line in requirements)


def _view(source: pathlib.Path, package: str, commands: list[str], docstring: str) -> dict[str, Any]:
    """Return what the templates are filled with: facts from the sources, never a recipe's name."""
    title, parts = sections(docstring)
    modules = source_code.reached([source])  # those of the recipe alone: a command may bring others
    settings = source_code.fields(source)
    compares = source_code.file_of("common.compare.trials") in modules
    return {
        "recipe": source.stem, "package": package, "name": _title(package), "title": title,
        "parts": parts, "commands": commands,
        "compares": compares and "fractions" in settings,
        "ranks": source_code.file_of("common.compare.ranking") in modules,  # it trains no model itself
        "clips": source_code.file_of("common.media.clips") in modules,
        "texts": source_code.file_of("common.models.language_model") in modules,
        "writes": source_code.file_of("common.models.generation") in modules,
        "one_of_strategies": "strategy" in settings,
        "short": [f"{name}={value}" for name, value in SHORT.items() if name in settings - source_code.refused(source)],
    }  # fmt: skip


def _title(name: str) -> str:
    """Return the name of a folder or package as a title."""
    return re.sub("[-_]", " ", name).capitalize()


def _rendered(view: dict[str, Any], targets: dict[str, str]) -> dict[pathlib.PurePosixPath, bytes]:
    """Return path in the project → content of what templates make from a view."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    rendered = {}
    for name, target in targets.items():
        content = environment.get_template(f"{name}.jinja").render(view)
        rendered[pathlib.PurePosixPath(target.format(**view))] = content.encode()
    return rendered


def sections(docstring: str) -> tuple[str, dict[str, str]]:
    """Split a recipe's docstring into its first line and its parts in Markdown.

    The parts are `When to use it`, `Data`, `Command` and `Expected`. What has no name, after the commands, is `About`.
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
    """Return the first paragraph of a module's docstring as one line."""
    return " ".join((ast.get_docstring(ast.parse(code)) or "").split("\n\n")[0].split())
