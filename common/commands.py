"""What can be done with a finished run, whichever recipe made it: predict, generate, draw its report again,
export it, try it in a browser, see the cache.

Each function is a command: its signature makes the flags, its docstring the help. What is heavy is imported inside.
"""

import importlib
import importlib.util
import pathlib
import sys
from collections.abc import Callable
from typing import Annotated, Literal

import tyro

from common import errors


def predict(
    run: tyro.conf.Positional[pathlib.Path],
    files: tyro.conf.Positional[tuple[pathlib.Path, ...]],
    /,
    csv: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FILE")] = None,
    batch_size: int = 32,
) -> int:
    """Prints class and probability for each photo, clip or document.

    Args:
        run: the directory of a finished run, or a model.keras.
        files: photos, clips or .txt files, as the run was trained on, or folders of them.
        csv: also write path,label,probability and one column a class to this file.
        batch_size: files at a time.
    """
    if csv and (csv.is_dir() or not csv.absolute().parent.is_dir()):
        raise errors.UserError(f"--csv {csv}: {'a folder; name a file in it' if csv.is_dir() else 'no such folder'}")
    if batch_size < 1:
        raise errors.UserError("--batch-size must be above 0")
    if (run / "classifier.keras").is_file():  # of legal_text
        return _module("text_classifier").predict(run, files, csv)
    from common import predict as prediction

    return prediction.predict(run, files, csv, batch_size)


def report(run: tyro.conf.Positional[pathlib.Path], /) -> int:
    """Draws figures/ and report.html (of a comparison compare.html) again from what stands in the run directory.

    Args:
        run: the directory of a finished run.
    """
    from common import grad_cam, runs
    from common import report as reports

    if (run / "results.json").is_file() and "task" in runs.Result.read(run).results:  # of legal_text
        print(_module("text_report").write(run))
        return 0
    if (run / "compare.json").is_file():
        print(_module("compare_report").write(run, runs.Result.read(run).results))
        return 0
    saved = runs.load_model(run)
    explain = _module("clip_evaluation").for_clips(saved) if saved.clips else grad_cam.for_photos(saved.model)
    reports.write(run, explain)
    print(run / "report.html")
    return 0


def generate(
    run: tyro.conf.Positional[pathlib.Path],
    /,
    prompt: tuple[str, ...] = (),
    file: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FILE")] = None,
    max_tokens: int = 100,
    temperature: float = 0.8,
    top_k: int | None = 50,
    top_p: float | None = 0.95,
    greedy: bool = False,
    beams: int = 0,
    seed: int = 0,
    encoding: str = "utf-8",
    out: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> int:
    """Writes on from a prompt, or several, with the language model of a run of legal_text.

    Args:
        run: the directory of a finished run, or a preset folder of KerasHub.
        prompt: what to go on with; without any a new document is begun.
        file: more prompts, one a line.
        max_tokens: at most so many are added; a text may end before.
        temperature: below 1 plainer, above 1 wilder.
        top_k: choose among the so many likeliest tokens; None for all.
        top_p: choose among the likeliest tokens that have this probability together; None for all.
        greedy: always the likeliest token.
        beams: beam search with so many candidates; 0 for none.
        seed: the same seed gives the same text.
        encoding: of --file.
        out: also write prompts and texts to this file, a line of JSON each.
    """
    generation = _module("generate")
    settings = generation.Sampling(max_tokens, temperature, top_k, top_p, greedy, beams, seed)
    return generation.command(run, generation.prompts_of(prompt, file, encoding), settings, out)


def export(
    run: tyro.conf.Positional[pathlib.Path],
    /,
    *,
    format: tuple[Literal["keras", "saved_model", "onnx", "litert"], ...],
    int8: bool = False,
    out: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="DIR")] = None,
    photos: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="DIR")] = None,
) -> int:
    """Writes the model in other formats, and compares each with the Keras model on the test photos.

    Args:
        run: the directory of a finished run.
        format: one or several, such as onnx litert.
        int8: also an int8 copy of those that have one (onnx, litert): smaller, not quite the same answers.
        out: where to write; default export/ in the run's directory.
        photos: where the run's photos (or clips) are now, if their folder was moved.
    """
    from common import export as exports

    return exports.export(run, format, int8, out, photos)


def serve(
    run: tyro.conf.Positional[pathlib.Path],
    /,
    port: int = 0,
    host: str = "127.0.0.1",
    max_megabytes: int = 100,
) -> int:
    """Opens a page on this computer to try the model: a photo or clip in, classes and Grad-CAM out.

    Args:
        run: the directory of a finished run, or a model.keras.
        port: of the page; 0 takes a free one.
        host: 127.0.0.1 for this computer alone, 0.0.0.0 for all who reach it.
        max_megabytes: the largest upload.
    """
    from common import serve as serving

    return serving.serve(run, port, host, max_megabytes)


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


def publish(run: tyro.conf.Positional[pathlib.Path], /, mlflow: str) -> int:
    """Sends a finished run to MLflow: settings, every epoch, scores, and the report as an artefact.

    Args:
        run: the directory of a finished run or comparison.
        mlflow: address of a server, http://127.0.0.1:5000, or a data base, sqlite:///mlflow.db.
    """
    from common import tracking

    print(tracking.publish(run, mlflow))
    return 0


def _module(name: str):
    """A module that only some runs need: by its name, since a copied project has it only where its recipe needs it.

    Raises:
        UserError: this project has it not.
    """
    if not _has(name):
        raise errors.UserError("that is of another recipe than this project's")
    return importlib.import_module(f"{__package__}.{name}")


def _has(name: str) -> bool:
    return importlib.util.find_spec(f"{__package__}.{name}") is not None


COMMANDS: dict[str, Callable] = {
    "predict": predict,
    **({"generate": generate} if _has("generate") else {}),  # a project of photos has it not
    "report": report,
    "export": export,
    "serve": serve,
    "publish": publish,
    "cache": cache,
}


def main(more: dict | None = None) -> None:
    """Runs the command that the shell names; exit code 2 when a file was refused or the user erred.

    Args:
        more: commands besides these, name → function.
    """
    from common import config

    arguments = sys.argv[1:] or ["--help"]
    with config.reported_errors(debug="--debug" in arguments):
        arguments = [argument for argument in arguments if argument != "--debug"]
        sys.exit(config.command(COMMANDS | (more or {}), arguments))


if __name__ == "__main__":
    main()
