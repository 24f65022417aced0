"""Compare five strategies for texts over seeds, on drawn or real contracts: generation and classification.

    python benchmarks/legal_text.py                                             # the demo's drawn contracts
    python benchmarks/legal_text.py --data contracts/ --group-pattern '^(\\d+)_' --vocabulary gpt2/ --pretrain reviews/
    python benchmarks/legal_text.py --data contracts/ --group-pattern '^(\\d+)_' --vocabulary gpt2/ \\
      --recipe text_classification

With `--vocabulary`, a folder with GPT-2's `vocab.json` and `merges.txt`, the network is a narrow GPT-2 built here.
`--pretrain` is a folder of other texts on which it is pretrained first (.txt files, or files of another type with one
sentence per line). Every seed has its own split and its own weights.
"""

from common import startup  # noqa: F401, isort: skip  (first)

import contextlib
import dataclasses
import json
import pathlib
import sys
import tempfile
from collections.abc import Callable
from typing import Any, Literal

import keras
import tables
import tyro

from common.models import language_model
from recipes import legal_text, text_classification

RECIPES = {"legal_text": legal_text, "text_classification": text_classification}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """A recipe over seeds."""

    data: str = "demo"  # as in the recipe
    recipe: Literal["legal_text", "text_classification"] = "legal_text"  # which recipe
    group_pattern: str | None = None  # as in the recipe
    vocabulary: pathlib.Path | None = None  # folder of GPT-2's vocab.json and merges.txt, for a narrow network
    pretrain: pathlib.Path | None = None  # general texts on which the narrow network is pretrained
    pretrain_epochs: int = 3  # epochs of the pretraining
    layers: int = 4  # layers of the narrow network
    width: int = 128  # width of the narrow network
    strategies: tuple[str, ...] = legal_text.STRATEGIES  # all, or only one
    document_characters: int | None = None  # as in the recipe
    windows_per_document: int = 4  # as in text_classification
    sequence_length: int = 128  # as in the recipe
    epochs: int = 4  # as in the recipe
    patience: int = 2  # as in the recipe
    dropout: float = 0.0  # as in the recipe
    adapt_epochs: int = 0  # as in text_classification
    batch_size: int = 8  # as in the recipe
    learning_rate: float | None = None  # as in the recipe
    encoding: str = "utf-8"  # as in the recipe
    seeds: int = 3  # each with another split
    seed: int = 0  # the first seed
    out: pathlib.Path = pathlib.Path("runs")  # the folder of the runs


def narrow_preset(config: Config, seed: int, folder: pathlib.Path) -> str:
    """Build a narrow GPT-2 with GPT-2's vocabulary, random or pretrained, and return the path of its preset."""
    hub = language_model.keras_hub()
    keras.utils.set_random_seed(seed)
    tokenizer = hub.models.GPT2Tokenizer(
        vocabulary=str(config.vocabulary / "vocab.json"), merges=str(config.vocabulary / "merges.txt")
    )
    backbone = hub.models.GPT2Backbone(
        vocabulary_size=tokenizer.vocabulary_size(), num_layers=config.layers, num_heads=4, hidden_dim=config.width,
        intermediate_dim=4 * config.width, dropout=0.0, max_sequence_length=config.sequence_length,
    )  # fmt: skip
    preprocessor = hub.models.GPT2CausalLMPreprocessor(tokenizer=tokenizer, sequence_length=config.sequence_length)
    task = hub.models.GPT2CausalLM(backbone=backbone, preprocessor=preprocessor)
    path = folder / f"random_{seed}"
    language_model.save(language_model.LanguageModel("narrow", task), path)
    if not config.pretrain:
        return str(path)
    result = run(
        legal_text, data=str(lines_of(config.pretrain, folder)), backbone=str(path), strategy="scratch", seed=seed,
        samples=1, sample_tokens=8, epochs=config.pretrain_epochs, out=config.out, duplicate_threshold=1.0,
        sequence_length=config.sequence_length, batch_size=config.batch_size,
    )  # fmt: skip
    print(f"pretrained: test perplexity {result['test']['perplexity']:.1f}", file=sys.stderr)
    newest = max((config.out / "legal_text").glob(f"*seed{seed}*"), key=lambda one: one.stat().st_mtime)
    return str(newest / "preset")


def lines_of(folder: pathlib.Path, out: pathlib.Path) -> pathlib.Path:
    """Return the folder if it has .txt files, else a .jsonl made from its lines, 60 lines per document."""
    if any(folder.rglob("*.txt")):
        return folder
    lines = [line for path in sorted(folder.iterdir()) for line in path.read_text("latin-1").splitlines()]
    documents = ["\n".join(lines[start : start + 60]) for start in range(0, len(lines), 60)]
    path = out / "general.jsonl"
    path.write_text("".join(json.dumps({"text": document}) + "\n" for document in documents), encoding="utf-8")
    return path


def run(recipe: Any, **settings: Any) -> dict:
    """Run a recipe once, with its output on stderr, and return the results."""
    return tables.run_quietly(recipe, recipe.Config(**settings))


def spread(results: list[dict], strategy: str, measure: Callable[[dict], float], digits: int) -> str:
    """Return the median and range over the runs of one strategy's measure."""
    rows = [next(row for row in result["strategies"] if row["strategy"] == strategy) for result in results]
    return tables.median_and_range([measure(row) for row in rows], digits)


def main(config: Config) -> None:
    """Print the tables."""
    if len(config.strategies) not in (1, len(legal_text.STRATEGIES)):
        sys.exit("--strategies must be all five strategies or only one")
    results = []
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for seed in range(config.seed, config.seed + config.seeds):
            preset = narrow_preset(config, seed, folder) if config.vocabulary else None
            names = ["data", "group_pattern", "document_characters", "sequence_length", "epochs", "patience", "dropout",
                     "batch_size", "learning_rate", "encoding", "out"]  # fmt: skip
            if config.recipe == "text_classification":
                names += ["windows_per_document", "adapt_epochs"]
            shared = {name: getattr(config, name) for name in names} | {"backbone": preset, "seed": seed}
            only = {"strategy": config.strategies[0]} if len(config.strategies) == 1 else {"compare": True}
            results.append(run(RECIPES[config.recipe], **shared, **only))
    print_generation(config, results) if config.recipe == "legal_text" else print_classes(config, results)
    sizes = results[0]["data"]
    documents = f"{sizes['train']} / {sizes['validation']} / {sizes['test']} documents train, validate and test"
    print(tables.footer(f"{config.seeds} seeds, {documents}"))


def print_generation(config: Config, results: list[dict]) -> None:
    """Print the strategies side by side, then the measures of the generated texts."""
    rows = [["before tuning", "–", *(
        tables.median_and_range([result["before"]["test"][name] for result in results], digits)
        for name, digits in (("perplexity", 2), ("byte_perplexity", 3))
    ), "–", "–"]]  # fmt: skip
    for strategy in config.strategies:
        trained = next(row for row in results[0]["strategies"] if row["strategy"] == strategy)["trainable_parameters"]
        rows.append([
            strategy, f"{trained:,}", spread(results, strategy, lambda row: row["test"]["perplexity"], 2),
            spread(results, strategy, lambda row: row["test"]["byte_perplexity"], 3),
            spread(results, strategy, lambda row: row["seconds"], 0),
            spread(results, strategy, lambda row: row["peak_memory_bytes"] / 2**20, 0),
        ])  # fmt: skip
    columns = ["strategy", "parameters trained", "test perplexity", "per byte", "seconds", "peak memory, MiB"]
    print(tables.markdown(columns, rows))
    rows = []
    for name, title in (("before", "written before"), ("after", "written after"), ("held_out", "held-out documents")):
        found = [result["copying"][name] for result in results]
        rows.append([title, tables.median_and_range([one["share"] or 0.0 for one in found]),
                     tables.median_and_range([one["longest"] for one in found], 0),
                     tables.median_and_range([one["distinct_2"] for one in found])])  # fmt: skip
    columns = ["texts", "share of copied runs of 8 words", "longest copied run, words", "distinct pairs"]
    print("\n" + tables.markdown(columns, rows))
    if results[0]["general"]:
        values = [[result["before"]["general"]["perplexity"] for result in results],
                  [result["general"]["perplexity"] for result in results]]  # fmt: skip
        print(f"\ngeneral texts: perplexity {tables.median_and_range(values[0], 2)} before, "
              f"{tables.median_and_range(values[1], 2)} after")  # fmt: skip
    pairs = [len(result["data"]["near_duplicates"]) for result in results]
    seconds = [result["cost"]["seconds"] for result in results]
    print(f"\npairs of near-duplicates: {pairs[0]}; seconds a run: {tables.median_and_range(seconds, 0)}")


def print_classes(config: Config, results: list[dict]) -> None:
    """Print the accuracies of the strategies and of the baseline."""
    rows = [
        [strategy, spread(results, strategy, lambda row: row["test"]["accuracy"], 3),
         spread(results, strategy, lambda row: row["validation"]["accuracy"], 3),
         spread(results, strategy, lambda row: row["seconds"], 0)]
        for strategy in config.strategies
    ]  # fmt: skip
    rows.append(["logistic regression, TF-IDF", *(
        tables.median_and_range([result["counted_words"][side]["accuracy"] for result in results])
        for side in ("test", "validation")
    ), "–"])  # fmt: skip
    print(tables.markdown(["strategy", "test accuracy", "validation accuracy", "seconds"], rows))


if __name__ == "__main__":
    main(tyro.cli(Config))
