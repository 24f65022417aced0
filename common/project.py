"""A recipe as a project of its own: `train.py`, the modules that it needs as a package, a README and a test.

What is copied is this repository's source, with the names changed; nothing is generated but the README, the test and
the settings of tools, which have templates in `templates/project/`.
"""

import ast
import configparser
import dataclasses
import importlib.util
import keyword
import pathlib
import re
import sysconfig
import textwrap
from collections.abc import Callable

import jinja2

from common import config, errors, files

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEMPLATES = pathlib.Path(__file__).resolve().parent / "templates"
PROJECT_TEMPLATES = TEMPLATES / "project"
TAKEN = {"train", "tests", "data", "runs", "recipes", "common", "photos", "clips", "lesions", "contracts"}
MODULES = {"PIL": "pillow", "sklearn": "scikit-learn"}  # whose package has another name
EXTRA = r"pip install -e '\.\[(\w+)\]'"
STARTS = ("__init__", "commands")  # the package itself, and what becomes its `python -m`


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
        """A line for each file: lines or bytes, and its path."""
        lines = []
        for path, content in sorted(self.files.items()):
            is_text = path.suffix not in (".h5", ".png", ".npz")
            count = f"{len(content.splitlines()):,} lines" if is_text else f"{len(content):,} bytes"
            lines.append(f"{count:>16}  {path}")
        return "\n".join(lines)


def copy(recipe: str, destination: pathlib.Path, package: str | None = None) -> Project:
    """Writes a recipe as a new project, all of it or nothing.

    Args:
        recipe: name of a file in recipes/, without `.py`.
        destination: a folder that does not exist yet or is empty.
        package: name of the package; default: the folder's name, with _ for -.

    Raises:
        UserError: an unknown recipe, a name that Python cannot import, a folder with something in it.
    """
    project = plan(recipe, destination, package)
    destination = destination.expanduser().resolve()
    if destination.is_dir() and any(destination.iterdir()):
        raise errors.UserError(f"{destination} is not empty; name another folder")

    def write(folder: pathlib.Path) -> None:
        for path, content in project.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)

    files.complete_folder(destination, lambda folder: False, write, "a new project")
    return project


def plan(recipe: str, destination: pathlib.Path, package: str | None = None) -> Project:
    """What `copy` would write.

    Raises:
        UserError: as for `copy`, but for the folder.
    """
    names = sorted(path.stem for path in (ROOT / "recipes").glob("[!_]*.py"))
    if recipe not in names:
        hint = config.suggestion(recipe, names) or f"; there are {', '.join(names)}"
        raise errors.UserError(f"unknown recipe {recipe}{hint}")
    package = _checked(package or destination.expanduser().resolve().name.replace("-", "_"))

    others = _imports(ROOT / "recipes" / f"{recipe}.py", "recipes") - {recipe}
    sources = [ROOT / "recipes" / f"{name}.py" for name in (recipe, *sorted(others))]
    prepare = _prepare_script(sources[0])
    modules = _needed([*sources, *prepare])
    rename = _Renaming(recipe, package)

    found = {pathlib.PurePosixPath("train.py"): rename(sources[0].read_text(encoding="utf-8"))}
    for path in sources[1:]:
        found[pathlib.PurePosixPath(package, "recipes", path.name)] = rename(path.read_text(encoding="utf-8"))
    if others:
        init = '"""What train.py compares: one way to train in one file; each runs by itself too."""\n'
        found[pathlib.PurePosixPath(package, "recipes", "__init__.py")] = init
    for path in modules:
        name = "__main__.py" if path.stem == "commands" else path.name
        found[pathlib.PurePosixPath(package, name)] = rename(path.read_text(encoding="utf-8"))
    for path in _templates(modules):
        found[pathlib.PurePosixPath(package, "templates", path.name)] = rename(path.read_text(encoding="utf-8"))
    for path in prepare:
        for each in (path, path.with_name("README.md")):
            found[pathlib.PurePosixPath(each.relative_to(ROOT))] = rename(each.read_text(encoding="utf-8"))
    content = {path: text.encode() for path, text in found.items()}
    for path in _demo_files(modules):
        content[pathlib.PurePosixPath(path.relative_to(ROOT))] = path.read_bytes()

    everything = [*sources, *modules, *prepare]
    content[pathlib.PurePosixPath("LICENSE")] = (ROOT / "LICENSE").read_bytes()
    content |= _rendered(recipe, package, sources[0], found, _requirements(everything), rename)
    return Project(recipe, package, content)


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


def _imports(path: pathlib.Path, package: str) -> set[str]:
    """Modules of a package that a file imports, at its top or inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == package:
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(f"{package}."):
            found.add(node.module.split(".")[1])
    return found


def _needed(sources: list[pathlib.Path]) -> list[pathlib.Path]:
    """The modules of `common` that these files import, and those import, and so on; with the package's commands."""
    folder = ROOT / "common"
    waiting = {name for source in sources for name in _imports(source, "common")} | set(STARTS)
    found = set()
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= _imports(folder / f"{name}.py", "common") - found
    return sorted(folder / f"{name}.py" for name in found)


def _prepare_script(recipe: pathlib.Path) -> list[pathlib.Path]:
    """The script that fetches the recipe's data set, where its docstring names one."""
    docstring = ast.get_docstring(ast.parse(recipe.read_text(encoding="utf-8"))) or ""
    return [ROOT / name for name in re.findall(r"`(data/\w+/prepare\.py)`", docstring)]


def _templates(modules: list[pathlib.Path]) -> list[pathlib.Path]:
    """The templates that these modules name, and those that the templates name."""
    every = {path.name: path for path in TEMPLATES.iterdir() if path.is_file()}
    waiting = list(modules)
    found: set[pathlib.Path] = set()
    while waiting:
        text = waiting.pop().read_text(encoding="utf-8")
        named = re.findall(r'template\("([^"]+)"\)|(?:include|from) "([^"]+)"', text)
        new = {every[name] for names in named for name in names if name in every} - found
        found |= new
        waiting += new
    texts = [path.read_text(encoding="utf-8") for path in modules]
    grammars = {path for path in every.values() if path.suffix == ".toml" and _is_named(path.stem, texts)}
    return sorted(found | grammars)


def _is_named(name: str, texts: list[str]) -> bool:
    return any(f'"{name}"' in text for text in texts)


def _demo_files(modules: list[pathlib.Path]) -> list[pathlib.Path]:
    """The weights, and the folders of weights and vocabularies, below data/ that these modules name."""
    texts = [path.read_text(encoding="utf-8") for path in modules]
    found: set[pathlib.Path] = set()
    for path in (ROOT / "data").rglob("*"):
        if path.is_dir() and _is_named(path.name, texts) and not list(path.glob("*.py")):
            found |= {each for each in path.rglob("*") if each.is_file()}
        elif path.suffix == ".h5" and path.parent.parent.parent == ROOT and _is_named(path.name, texts):
            found.add(path)
    return sorted(found)


def _requirements(sources: list[pathlib.Path]) -> list[str]:
    """The lines of requirements.txt for what these files import, and for the test."""
    imported = {"pytest", "tensorflow", "keras"}
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    wanted = {MODULES.get(module, module.replace("_", "-")) for module in imported}
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    required = [line for line in lines if (found := re.match(r"[\w-]+", line)) and found[0] in wanted]
    docstring = ast.get_docstring(ast.parse(sources[0].read_text(encoding="utf-8"))) or ""
    return required + told_extras(docstring)


def told_extras(docstring: str) -> list[str]:
    """The requirements of the optional extras that a recipe's docstring tells to install."""
    return [line for name in re.findall(EXTRA, docstring) for line in _extras()[name]]


class _Renaming:
    """Changes in a text the names of this repository into those of the project."""

    def __init__(self, recipe: str, package: str):
        self.rules: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
            (rf"from recipes import {recipe}\b", f"import train as {recipe}"),
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
            (EXTRA, lambda found: f"pip install {_names(_extras()[found[1]])}"),
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


def _rendered(recipe, package, source, found, requirements, rename) -> dict[pathlib.PurePosixPath, bytes]:
    """What templates make: README, test, requirements and the settings of tools."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PROJECT_TEMPLATES),
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    text = source.read_text(encoding="utf-8")
    title, parts = sections(rename(ast.get_docstring(ast.parse(text))))
    view = {
        "recipe": recipe, "package": package, "name": package.replace("_", " ").capitalize(), "title": title,
        "parts": parts, "requirements": requirements, "compares": recipe == "compare_strategies",
        "clips": recipe == "video_actions", "texts": recipe == "legal_text", "has_stages": "fine_tuning_epochs" in text,
        "modules": {path: _first_line(code) for path, code in sorted(found.items()) if path.suffix == ".py"},
    }  # fmt: skip
    rendered = {}
    for template in sorted(PROJECT_TEMPLATES.glob("*.jinja")):
        target = {"gitignore": ".gitignore", "test_train.py": "tests/test_train.py"}.get(template.stem, template.stem)
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
