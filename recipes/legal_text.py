"""Legal text: fine-tune GPT-2 on contracts, and see what it writes, copies and forgets.

When to use it: to make a language model write as your documents do, and to know what that costs, what it copies from
them and what it forgets. Generated text is not legal advice.

Data: a folder of .txt files, one document each, in a sub-folder for each type if there are types; or a .jsonl with
`text` and, where known, `type` and `group` in each line. Documents of one company must stay on one side of the split:
`--group-pattern` finds the company in the file's name.

    contracts/lease/1010775_2009-11-06_LEASE.txt
    contracts/loan/1011109_2001-08-14_LOAN AGREEMENT.txt

Command:

    pip install 'keras-recipes[text]'                                   # KerasHub, and what finds near-duplicates
    python recipes/legal_text.py                                        # drawn contracts, nothing is downloaded
    python recipes/legal_text.py --data contracts/ --group-pattern '^(\\d+)_'                        # GPT-2, 124 M
    python recipes/legal_text.py --data contracts/ --compare            # five strategies side by side
    python -m recipes generate runs/legal_text/… --prompt "This Agreement"

The example that it mirrors never trains: `model.train(input_ids)` only sets a mode in PyTorch. Here the documents are
packed into windows, every next token is predicted, and what trains is `--strategy`: `head` (the last layer norm, on a
frozen network), `last_blocks`, `lora` (Hu et al. 2021), `full`, or `scratch` (the same network from random weights).
With the first blocks frozen they run once for each window and not once an epoch.

Expected: on the drawn contracts a test perplexity of 2.55 (2.47 – 2.58, three seeds) where the pretrained network has
2,686 (it has never seen a contract) and one from scratch 160, in three minutes on two CPU cores, all five strategies.
"""

from __future__ import annotations

from common import startup  # isort: skip  (first: it imports TensorFlow quietly)

import dataclasses
import pathlib
import sys
from typing import Annotated

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
ELSEWHERE = "no longer exists: the recipe text_classification tells types of documents apart"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(tuning.TextConfig):
    """Tune a language model on legal texts."""

    compare: bool = False  # all five strategies, the best on validation is kept; on demo data that is the default
    general: pathlib.Path | None = None  # a folder of general texts: how much of them is forgotten?
    samples: Annotated[int, Gt(0)] = 8  # texts written before and after, from the first words of validation documents
    sample_tokens: Annotated[int, Gt(0)] = 80  # of each; at most half of what the network sees
    temperature: Annotated[float, Gt(0)] = 0.7  # of them; below 1 plainer, above 1 wilder

    REMOVED = tuning.TextConfig.REMOVED | {
        "task": flags.Removed("generate", ELSEWHERE),
        "windows_per_document": flags.Removed(4, ELSEWHERE),
        "adapt_epochs": flags.Removed(0, ELSEWHERE),
    }

    @property
    def strategies(self) -> tuple[str, ...]:
        """Those that this run tries."""
        compares = self.compare or (self.data == "demo" and self.strategy is None)
        return STRATEGIES if compares else (self.strategy or "full",)


def build_model(model: language_model.LanguageModel, suffix: keras.Model) -> keras.Model:
    """The last part of the network with the tied output layer: logits of the next token, (batch, length, vocabulary).

    float32 also under mixed precision: the softmax and the loss need the digits.
    """
    embedding = model.backbone.token_embedding
    return language_model.with_head(suffix, lambda x, inputs: keras.ops.cast(embedding(x, reverse=True), "float32"))


def language_loss() -> keras.losses.Loss:
    """The mean cross-entropy of the targets that count; Keras's default would divide by those on padding, too."""
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")


def tune(strategy: str, packed: dict[str, windows.Windows], corpus: documents.Corpus, baseline: float, record):
    """Tunes the preset by one strategy; the model, its windows behind the frozen part, and its row of the table."""
    cut = tuning.begin(strategy, record.config.preset, record)
    network = build_model(cut.model, cut.suffix)
    part = frozen_windows.FrozenWindows(cut.model, cut.prefix, network, packed, record.config)
    to_beat = None if strategy == "scratch" else baseline
    row = tuning.train(record, part, strategy, cut.width, language_loss(), baseline=to_beat)
    return cut.model, part, row | language.of_windows(part, corpus)


def write_on(model: language_model.LanguageModel, prompts: list[str], config: Config) -> list[str]:
    """What the model makes of each prompt, before and after with the same random numbers."""
    tokens = min(config.sample_tokens, model.context // 2)
    return generation.generate(
        model, prompts, generation.Sampling(tokens, temperature=config.temperature, seed=config.seed)
    )


def run(config: Config) -> finished_run.Result:
    """Tunes by each strategy, keeps the one that validates best, and says what it writes, copies and forgets."""
    record = recorder.Recorder("legal_text", config)
    config = record.config  # under --resume the settings of the interrupted run
    devices.set_up(config)

    # Data: the texts first, since a wrong path should not cost the download of a network.
    corpus = documents.load(config, record.directory)
    model, window = tuning.open_preset(config)
    encoded = {side: model.encode(corpus.texts_of(side)) for side in corpus.sides}
    record.write_config(preset=model.preset, sequence_length=window)
    config = record.config
    packed = {side: windows.pack(ids, window, model.end_token) for side, ids in encoded.items()}
    print(documents.count_table(packed, window, len(corpus.duplicates)), file=sys.stderr)

    # Before: what the pretrained network makes of the texts.
    whole = language_model.whole(model)
    part = frozen_windows.FrozenWindows(model, None, whole, packed, config)
    whole.compile(loss=language_loss())
    baseline = whole.evaluate(part.batches("validation"), verbose=0)
    before = language.of_windows(part, corpus)
    openings = model.encode(language.openings(corpus, config.samples))
    prompts = [model.decode(ids[: model.context // 3]) for ids in openings]
    written = {"before": write_on(model, prompts, config)}

    # Training: every strategy starts from the same preset; the validation documents choose.
    rows: list[dict] = []
    best: tuple = ()
    for strategy in config.strategies:
        tuned, part, row = tune(strategy, packed, corpus, baseline, record)
        rows.append(row)
        if not best or row["validation"]["loss"] < best[1]["validation"]["loss"]:
            best = tuned, row, part
    model, kept, part = best

    # After: what it writes now, and how much of that it has by heart.
    written["after"] = write_on(model, prompts, config)
    copying = language.of_written(written, prompts, corpus)
    samples = language.write_samples(record.directory / "samples.jsonl", prompts, written)

    # What stays: a preset that KerasHub loads by itself, LoRA's weights alone, the numbers, the page.
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
