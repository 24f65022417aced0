"""`python -m recipes report`: draw the report of a finished run again, from the files in its directory."""

import contextlib
import pathlib

import jinja2
import tyro

from common import errors, outputs, startup
from common.report import page
from common.runs import finished_run, saved_model


def command(run: tyro.conf.Positional[pathlib.Path], /) -> int:
    """Draw figures/ and report.html (compare.html for a comparison) again from the files in the run directory.

    Args:
        run: the directory of a finished run.
    """
    with outputs.locked(run) if (run / "config.json").is_file() else contextlib.nullcontext():
        print(_drawn(run))
    return 0


def _drawn(run: pathlib.Path) -> pathlib.Path:
    """Draw the report and return its path."""
    if (run / "config.json").is_file() and not (run / "results.json").is_file():
        raise errors.UserError(f"{run} is not finished; continue it with --resume {run}")
    with finished_run.sound(run, jinja2.UndefinedError):
        return _drawn_from_files(run)


def _drawn_from_files(run: pathlib.Path) -> pathlib.Path:
    """Draw the report of a run or of a comparison, and return its path."""
    if (run / "compare.json").is_file():
        return startup.by_name("compare.page").write(run, finished_run.Result.read(run).results)
    finished_run.FinishedRun.read(run).check_complete()
    of_texts = (run / "preset").is_dir() and not (run / "model.keras").is_file()
    saved = None if of_texts else saved_model.load_model(run)
    sections = finished_run.sections_of(finished_run.Result.read(run).results)
    sections = [*sections, "other_data"] if (run / "evaluations").is_dir() else sections
    return page.write(run, [startup.by_name(f"report.{name}") for name in sections], saved)
