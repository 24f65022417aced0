"""`python -m recipes generate`: go on with a text."""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Annotated

import keras
import tyro

from common import errors, files, words
from common.media import texts
from common.models import generation, language_model


def command(
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
    """Writes on from a prompt, or several, with the language model that a run has tuned.

    Args:
        run: the directory of a finished run, or a preset folder of KerasHub.
        prompt: the text to continue; without one the model begins a new document.
        file: more prompts, one a line.
        max_tokens: the most tokens to add; a text may end earlier.
        temperature: below 1 plainer, above 1 wilder.
        top_k: choose among this many of the likeliest tokens; None for all.
        top_p: choose among the likeliest tokens that have this probability together; None for all.
        greedy: always the likeliest token.
        beams: number of candidates of a beam search; 0 for none.
        seed: the same seed gives the same text.
        encoding: of --file.
        out: also write prompts and texts to this file, a line of JSON each.
    """
    preset_of(run)  # a mistake there shows before anything heavy is loaded
    sampling = generation.Sampling(max_tokens, temperature, top_k, top_p, greedy, beams, seed)
    return write_on(run, prompts_of(prompt, file, encoding), sampling, out)


def preset_of(run: pathlib.Path) -> pathlib.Path:
    """The folder of a finished run's language model.

    Raises:
        UserError: there is none.
    """
    if (run / "classifier.keras").is_file():
        raise errors.UserError(f"{run}: a classifier of documents, which writes nothing; ask it with predict")
    folder = run / "preset" if (run / "preset").is_dir() else run
    if not (folder / "config.json").is_file() or not (folder / "task.json").is_file():
        raise errors.UserError(f"{run}: no language model there; give the directory of a finished run that tuned one")
    return folder.absolute()


def load(run: pathlib.Path) -> language_model.LanguageModel:
    """The model of a finished run, from its preset folder; raises as `preset_of`."""
    return language_model.load(str(preset_of(run)))


def write_on(
    run: pathlib.Path, prompts: list[str], sampling: generation.Sampling, out: pathlib.Path | None = None
) -> int:
    """Prints each prompt with its continuation, a single one while it is made; a warning goes to stderr.

    Args:
        run: the directory of a finished run, or a preset folder.
        prompts: what to go on with.
        sampling: how.
        out: also write {"prompt", "text"} in a line of JSON each to this file.
    """
    if out and not out.absolute().parent.is_dir():
        raise errors.UserError(f"--out {out}: no such folder")
    keras.utils.set_random_seed(sampling.seed)
    model = load(run)
    prompts = [texts.tidy(prompt, _keeps_layout(run)) for prompt in prompts]  # as the documents of the training
    if len(prompts) == 1 and not sampling.beams:
        stream = _Stream(sys.stdout)
        made = generation.generate(model, prompts, sampling, lambda texts: stream.show(texts[0]))
        stream.show(made[0], last=True)
    else:
        made = generation.generate(model, prompts, sampling)
        print("\n\n---\n\n".join(made))
    if out:
        rows = [json.dumps({"prompt": p, "text": m}, ensure_ascii=False) for p, m in zip(prompts, made, strict=True)]
        with files.replacing(out) as temporary:
            temporary.write_text("\n".join(rows) + "\n", encoding="utf-8")
    print(f"note: {words.WARNING}", file=sys.stderr)
    return 0


def _keeps_layout(run: pathlib.Path) -> bool:
    """Whether a run was trained on documents with their blanks and empty lines as they were."""
    path = run / "config.json"
    settings = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return bool(settings.get("config", {}).get("keep_layout"))


class _Stream:
    """Prints a growing text as it grows; a character that is not whole yet waits for its other bytes."""

    def __init__(self, file):
        self.file, self.shown = file, ""

    def show(self, whole: str, last: bool = False) -> None:
        ready = whole if last else whole.rstrip("\N{REPLACEMENT CHARACTER}")
        if ready.startswith(self.shown):
            self.file.write(ready[len(self.shown) :] + ("\n" if last else ""))
            self.shown = ready
        self.file.flush()


def prompts_of(prompt: tuple[str, ...], file: pathlib.Path | None, encoding: str = "utf-8") -> list[str]:
    """The prompts of the command line, those of a file one a line; a new document where there are none.

    Raises:
        UserError: the file cannot be read or has none.
    """
    found = list(prompt)
    if file:
        if not file.is_file():
            raise errors.UserError(f"--file {file}: no such file")
        content, problem = texts.decoded(file.read_bytes(), encoding)
        if content is None:
            raise errors.UserError(f"--file {file}: {problem}; name its --encoding")
        lines = [line for line in content.splitlines() if line.strip()]
        if not lines:
            raise errors.UserError(f"--file {file}: no prompt in it; write one a line")
        found += lines
    return found or [""]
