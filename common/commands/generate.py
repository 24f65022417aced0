"""`python -m recipes generate`: continue a text with a run's language model."""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Annotated, TextIO

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
    """Continue one or more prompts with the language model that a run has tuned.

    Args:
        run: the directory of a finished run, or a preset folder of KerasHub.
        prompt: the text to continue; without a prompt the model begins a new document.
        file: a file with more prompts, one per line.
        max_tokens: maximum number of tokens to add; a text may end earlier.
        temperature: below 1 the text is more predictable, above 1 more varied.
        top_k: sample from the k most likely tokens; None samples from all.
        top_p: sample from the most likely tokens whose probabilities add up to p; None samples from all.
        greedy: always take the most likely token.
        beams: number of candidates of a beam search; 0 for no beam search.
        seed: the same seed gives the same text.
        encoding: the encoding of --file.
        out: also write prompts and texts to this file, one line of JSON each.
    """
    preset_of(run)  # a mistake is reported before anything heavy is loaded
    sampling = generation.Sampling(max_tokens, temperature, top_k, top_p, greedy, beams, seed)
    return write_on(run, prompts_of(prompt, file, encoding), sampling, out)


def preset_of(run: pathlib.Path) -> pathlib.Path:
    """Return the folder of a finished run's language model.

    Raises:
        UserError: the run has no language model.
    """
    if (run / "classifier.keras").is_file():
        raise errors.UserError(f"{run} is a document classifier and cannot write text; use the command predict")
    folder = run / "preset" if (run / "preset").is_dir() else run
    if not (folder / "config.json").is_file() or not (folder / "task.json").is_file():
        raise errors.UserError(f"{run} contains no language model; give the directory of a finished run that tuned one")
    return folder.absolute()


def load(run: pathlib.Path) -> language_model.LanguageModel:
    """Return the model of a finished run, from its preset folder; raises what `preset_of` raises."""
    return language_model.load(str(preset_of(run)))


def write_on(
    run: pathlib.Path, prompts: list[str], sampling: generation.Sampling, out: pathlib.Path | None = None
) -> int:
    """Print each prompt with its continuation, and a warning on stderr; a single text is printed while it grows.

    Args:
        run: the directory of a finished run, or a preset folder.
        prompts: the texts to continue.
        sampling: how to choose the tokens.
        out: also write {"prompt", "text"} to this file, one line of JSON each.

    Returns:
        The exit code, 0.
    """
    if out and not out.absolute().parent.is_dir():
        raise errors.UserError(f"--out {out}: no such folder")
    keras.utils.set_random_seed(sampling.seed)
    model = load(run)
    prompts = [texts.tidy(prompt, _keeps_layout(run)) for prompt in prompts]  # like the training documents
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
    """Return whether a run was trained on documents with their original spaces and empty lines."""
    path = run / "config.json"
    settings = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return bool(settings.get("config", {}).get("keep_layout"))


class _Stream:
    """A text that is printed while it grows; an incomplete character waits for its remaining bytes."""

    def __init__(self, file: TextIO) -> None:
        self.file, self.shown = file, ""

    def show(self, whole: str, last: bool = False) -> None:
        ready = whole if last else whole.rstrip("\N{REPLACEMENT CHARACTER}")
        if ready.startswith(self.shown):
            self.file.write(ready[len(self.shown) :] + ("\n" if last else ""))
            self.shown = ready
        self.file.flush()


def prompts_of(prompt: tuple[str, ...], file: pathlib.Path | None, encoding: str = "utf-8") -> list[str]:
    """Return the prompts of the command line and of a file, one per line; without any, an empty one.

    Raises:
        UserError: the file cannot be read or contains no prompt.
    """
    found = list(prompt)
    if file:
        if not file.is_file():
            raise errors.UserError(f"--file {file}: no such file")
        content, problem = texts.decoded(file.read_bytes(), encoding)
        if content is None:
            raise errors.UserError(f"--file {file}: {problem}; give its --encoding")
        lines = [line for line in content.splitlines() if line.strip()]
        if not lines:
            raise errors.UserError(f"--file {file} contains no prompt; write one per line")
        found += lines
    return found or [""]
