"""Legal text: fine-tune GPT-2, measure what it writes, copies and forgets (the articles' legal documents example).

When to use it: to make a language model write in the style of your documents. The report shows the cost, what the model
copies from them and what it forgets. Generated text is not legal advice.

Data: a folder of .txt files, one document each, with a sub-folder for each type if there are types. Or a .jsonl file
with `text` and, if known, `type` and `group` in each line. Documents of one company must stay on one side of the split:
`--group-pattern` finds the company in the file's name.

    contracts/lease/1010775_2009-11-06_LEASE.txt
    contracts/loan/1011109_2001-08-14_LOAN AGREEMENT.txt

Command:

    pip install 'keras-recipes[text]'                                   # KerasHub
    python recipes/legal_text.py                                        # drawn contracts, nothing is downloaded
    python recipes/legal_text.py --data contracts/ --group-pattern '^(\\d+)_'                        # GPT-2, 124 M
    python recipes/legal_text.py --data contracts/ --compare            # five strategies side by side
    python -m recipes generate runs/legal_text/… --prompt "This Agreement"

The example that it follows never trains: `model.train(input_ids)` only sets a mode in PyTorch. Here the documents are
packed into windows, and the model learns to predict every next token. `--strategy` selects what trains: `head` (the
last layer norm, on a frozen network), `last_blocks`, `lora` (Hu et al. 2021), `full`, or `scratch` (the same network
from random weights). Frozen first blocks run once for each window instead of once per epoch.

Expected: on the drawn contracts, a test perplexity of 2.55 (2.47 – 2.58, three seeds). The pretrained network, which
has never seen a contract, has 2,686, and one from scratch 160. All five strategies take three minutes on two CPU cores.
"""

from __future__ import annotations

from common import startup  # isort: skip  (first: it imports TensorFlow quietly)

import dataclasses
import pathlib
import sys
from typing import Annotated, Any, Literal

import keras
from annotated_types import Gt

from common import devices, flags
from common.data import documents
from common.evaluation import language
from common.features import frozen_windows
from common.media import windows
from common.models import generation, language_model
from common.report import writing
from common.runs import finished_run
from common.training import recorder, tuning

STRATEGIES = ("head", "last_blocks", "lora", "full", "scratch")
ELSEWHERE = "no longer exists: use the recipe text_classification to classify documents"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(tuning.TextConfig):
    """Tune a language model on legal texts."""

    # What trains; default: full, and on demo data all of them.
    strategy: Literal["head", "last_blocks", "lora", "full", "scratch"] | None = None
    compare: bool = False  # try all five strategies and keep the best on validation; the default on demo data
    general: pathlib.Path | None = None  # a folder of general texts, to measure how much is forgotten
    samples: Annotated[int, Gt(0)] = 8  # texts to write before and after; prompts: first words of validation documents
    sample_tokens: Annotated[int, Gt(0)] = 80  # tokens of each text; at most half of the network's context
    temperature: Annotated[float, Gt(0)] = 0.7  # of sampling; below 1 is plainer, above 1 wilder

    REMOVED = tuning.TextConfig.REMOVED | {
        "task": flags.Removed("generate", ELSEWHERE),
        "windows_per_document": flags.Removed(4, ELSEWHERE),
        "adapt_epochs": flags.Removed(0, ELSEWHERE),
    }

    @property
    def strategies(self) -> tuple[str, ...]:
        """The strategies that this run tries."""
        compares = self.compare or (self.data == "demo" and self.strategy is None)
        return STRATEGIES if compares else (self.strategy or "full",)


def build_model(model: language_model.LanguageModel, suffix: keras.Model) -> keras.Model:
    """Add the tied output layer to the last part of the network: logits of the next token, (batch, length, vocabulary).

    The logits are float32 even under mixed precision, since the softmax and the loss need its digits.
    """
    embedding = model.backbone.token_embedding
    return language_model.with_head(suffix, lambda x, inputs: keras.ops.cast(embedding(x, reverse=True), "float32"))


def prepare(
    strategy: str, packed: dict[str, windows.Windows], record: recorder.Recorder
) -> tuple[tuning.Cut, frozen_windows.FrozenWindows]:
    """Cut the preset in front of the part that a strategy trains; return the cut model and its `FrozenWindows`."""
    cut, config = tuning.begin(strategy, record.config.backbone, record), record.config
    network = build_model(cut.model, cut.suffix)
    return cut, frozen_windows.FrozenWindows(cut.model, cut.prefix, network, packed, config, fill=not config.dry_run)


def tune(
    strategy: str, packed: dict[str, windows.Windows], corpus: documents.Corpus, baseline: float,
    record: recorder.Recorder,
) -> tuple[language_model.LanguageModel, frozen_windows.FrozenWindows, dict[str, Any]]:  # fmt: skip
    """Tune the preset by one strategy; return the model, its `FrozenWindows`, and its row of the table."""
    cut, part = prepare(strategy, packed, record)
    to_beat = None if strategy == "scratch" else baseline
    row = tuning.train(record, part, strategy, cut.width, tuning.language_loss(), baseline=to_beat)
    return cut.model, part, row | language.of_windows(part, corpus)


def write_on(model: language_model.LanguageModel, prompts: list[str], config: Config) -> list[str]:
    """Return the model's continuation of each prompt, with the same random numbers before and after tuning."""
    tokens = min(config.sample_tokens, model.context // 2)
    return generation.generate(
        model, prompts, generation.Sampling(tokens, temperature=config.temperature, seed=config.seed)
    )


def run(config: Config) -> finished_run.Result:
    """Tune by each strategy, keep the best on validation, and measure what it writes, copies and forgets."""
    record = recorder.Recorder("legal_text", config)
    config = record.config  # with --resume, the settings of the interrupted run
    devices.set_up(config)

    # Data: the texts are read first, so that a wrong path does not cost the download of a network.
    corpus = documents.load(config, record.directory)
    model, window = tuning.open_preset(config)
    encoded = {side: model.encode(corpus.texts_of(side)) for side in corpus.sides}
    record.write_config(backbone=model.preset, sequence_length=window)
    config = record.config
    packed = {side: windows.pack(ids, window, model.end_token) for side, ids in encoded.items()}
    print(documents.count_table(packed, window, len(corpus.duplicates)), file=sys.stderr)
    if config.dry_run:
        parts = (
            (name, prepare(name, packed, record)[1], tuning.language_loss(), config.epochs)
            for name in config.strategies
        )
        record.print_plan(tuning.plan(record, parts, corpus))

    # Before: the scores and the texts of the pretrained network.
    whole = language_model.whole(model)
    part = frozen_windows.FrozenWindows(model, None, whole, packed, config)
    whole.compile(loss=tuning.language_loss())
    baseline = whole.evaluate(part.batches("validation"), verbose=0)
    before = language.of_windows(part, corpus)
    openings = model.encode(language.openings(corpus, config.samples))
    prompts = [model.decode(ids[: model.context // 3]) for ids in openings]
    written = {"before": write_on(model, prompts, config)}

    # Training: every strategy starts from the same preset, and the validation documents choose one.
    rows: list[dict] = []
    best: tuple = ()
    for strategy in config.strategies:
        tuned, part, row = tune(strategy, packed, corpus, baseline, record)
        rows.append(row)
        if not best or row["validation"]["loss"] < best[1]["validation"]["loss"]:
            best = tuned, row, part
    model, kept, part = best

    # After: the texts of the tuned network, and how much of them it has memorised.
    written["after"] = write_on(model, prompts, config)
    copying = language.of_written(written, prompts, corpus)
    samples = language.write_samples(record.directory / "samples.jsonl", prompts, written)

    # Files: a preset that KerasHub can load, LoRA's weights alone, the numbers, the page.
    language_model.save(model, record.directory / "preset")
    if kept["strategy"] == "lora":
        model.backbone.save_lora_weights(str(record.directory / "adapter.lora.h5"))
    found = tuning.results(record, rows, kept, part) | {
        "data": corpus.summary() | {"tokens": {side: one.tokens for side, one in packed.items()}},
        "before": before, "general": kept.get("general"), "samples": samples, "copying": copying,
    }  # fmt: skip
    return record.complete(found, [writing])


if __name__ == "__main__":
    startup.main(Config, run, __doc__)
