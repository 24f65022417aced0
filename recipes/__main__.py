"""`python -m recipes`: what there is, and what can be done with a finished run."""

import ast
import pathlib
import sys
from typing import Annotated

import tyro

COMMANDS = """
commands:
  python recipes/NAME.py --help                 a recipe's settings
  python -m recipes predict RUN FILE…           class and probability of photos or clips
  python -m recipes report RUN                  draw a run's report again
  python -m recipes cache [--clear]             list what is cached, or clear it"""


def list_recipes() -> None:
    """Prints every recipe with the first line of its docstring; nothing heavy is imported for that."""
    folder = pathlib.Path(__file__).parent
    print("recipes:")
    for path in sorted(folder.glob("[!_]*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        print(f"  {path.stem:<22} {docstring.splitlines()[0]}")
    print(COMMANDS)


def predict(
    run: tyro.conf.Positional[pathlib.Path],
    files: tyro.conf.Positional[tuple[pathlib.Path, ...]],
    /,
    csv: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FILE")] = None,
    batch_size: int = 32,
) -> int:
    """Prints class and probability for each photo or clip.

    Args:
        run: the directory of a finished run, or a model.keras.
        files: photos or clips, or folders of them.
        csv: also write path,label,probability and one column a class to this file.
        batch_size: photos or clips at a time.
    """
    from common import predict as prediction

    return prediction.predict(run, files, csv, batch_size)


def report(run: tyro.conf.Positional[pathlib.Path], /) -> int:
    """Draws figures/ and report.html (of a comparison compare.html) again from what stands in the run directory.

    Args:
        run: the directory of a finished run.
    """
    from common import clip_evaluation, compare_report, grad_cam, runs
    from common import report as reports

    if (run / "compare.json").is_file():
        print(compare_report.write(run, runs.Result.read(run).results))
        return 0
    saved = runs.load_model(run)
    reports.write(run, clip_evaluation.for_clips(saved) if saved.clips else grad_cam.for_photos(saved.model))
    print(run / "report.html")
    return 0


def cache(cache: pathlib.Path | None = None, clear: bool = False) -> int:
    """Lists what stands in the cache, or clears it.

    Args:
        cache: its folder; default ~/.cache/keras_recipes.
        clear: remove it; the next run computes again what it needs.
    """
    from common import cache as contents
    from common import config

    directory = (cache or config.default_cache_directory()).expanduser()
    print(f"freed {contents.clear(directory) / 1e6:,.1f} MB" if clear else contents.table(directory))
    return 0


def main() -> None:
    """Lists the recipes, or runs a command; exit code 2 when a photo could not be read or the user erred."""
    arguments = sys.argv[1:]
    if not arguments:
        return list_recipes()
    from common import config

    with config.reported_errors(debug="--debug" in arguments):
        arguments = [argument for argument in arguments if argument != "--debug"]
        sys.exit(config.command({"predict": predict, "report": report, "cache": cache}, arguments))


if __name__ == "__main__":
    main()
