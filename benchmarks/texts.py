"""Compare ways to classify texts over seeds: an encoder's strategies, nearest texts, and counted words.

    python data/film_reviews/prepare.py --folder rt-polaritydata/
    python benchmarks/texts.py --data reviews.jsonl --backbone hub:all_minilm_l6_v2_en
    python benchmarks/texts.py --data reviews.jsonl --backbone minilm/ --strategies features last_blocks full
    python benchmarks/texts.py --data reviews.jsonl --backbone minilm/ --training-documents 100 1000
    python benchmarks/texts.py --data reviews.jsonl --backbone minilm/ --training-documents 1000 --adapt-epochs 0 1

It prints the median and range of the test accuracy, for all or for few training documents. Every seed has its own
split, and draws its own training documents.
"""

import dataclasses
import itertools
import pathlib
import sys

import tables
import tyro

from recipes import text_classification


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Data, network, strategies and seeds."""

    data: str  # as in the recipe
    backbone: str  # as in the recipe
    strategies: tuple[str, ...] = ("features",)  # of the recipe
    training_documents: tuple[int, ...] = ()  # numbers of training documents to compare; default: all
    seeds: int = 5  # number of splits
    sequence_length: int = 48  # as in the recipe
    windows_per_document: int = 1  # as in the recipe
    batch_size: int = 32  # as in the recipe
    epochs: int = 3  # as in the recipe
    adapt_epochs: tuple[int, ...] = (0,)  # of the recipe, to compare
    adapt_texts: pathlib.Path | None = None  # as in the recipe, where adapt_epochs is not 0
    learning_rate: float | None = None  # as in the recipe
    group_pattern: str | None = None  # as in the recipe
    out: pathlib.Path = pathlib.Path("runs")  # as in the recipe
    cache: pathlib.Path | None = None  # as in the recipe


def main(config: Config) -> None:
    """Print a row for each number of training documents and each way."""
    names = ["data", "backbone", "sequence_length", "windows_per_document", "batch_size", "epochs", "learning_rate",
             "group_pattern", "out", "cache"]  # fmt: skip
    untrained = {name: getattr(text_classification.Config, name) for name in ("epochs", "learning_rate")}
    shared = {name: getattr(config, name) for name in names}
    rows: list[list[str]] = []
    sizes = {}
    for count in config.training_documents or (None,):
        found: dict[str, list[dict]] = {}
        for seed in range(config.seeds):
            for strategy, epochs in itertools.product(config.strategies, config.adapt_epochs):
                own = {"strategy": strategy, "seed": seed, "training_documents": count}
                own |= untrained if strategy == "features" else {}
                own |= {"adapt_epochs": epochs, "adapt_texts": config.adapt_texts} if epochs else {}
                settings = text_classification.Config(**shared | own)
                results = tables.run_quietly(text_classification, settings)
                name = strategy + f", adapted in {epochs} epochs" * (epochs > 0)
                found.setdefault(name, []).append(results["strategies"][0])
                stages = ", ".join(f"{row['stage']} {row['validation_loss']:.3f} in {row['seconds']:.0f} s"
                                   for row in results["stages"])  # fmt: skip
                print(f"{name}, seed {seed}: {stages or 'not adapted'}", file=sys.stderr)
            found.setdefault("nearest texts", []).append(results["nearest_texts"])
            found.setdefault("logistic regression, TF-IDF", []).append(results["counted_words"])
            sizes = results["data"]
            told = ", ".join(f"{name} {each[-1]['test']['accuracy']:.3f}" for name, each in found.items())
            print(f"{sizes['train']} documents, seed {seed}: {told}", file=sys.stderr)
        for name, each in found.items():
            accuracies = [[row[side]["accuracy"] for row in each] for side in ("test", "validation")]
            rows.append([f"{sizes['train']:,}", name, *map(tables.median_and_range, accuracies)])
    print(tables.markdown(["training documents", "way", "test accuracy", "validation accuracy"], rows))
    held_out = f"{sizes['validation']:,} / {sizes['test']:,} documents validate and test"
    print(tables.footer(f"{config.seeds} seeds, {held_out}"))


if __name__ == "__main__":
    main(tyro.cli(Config))
