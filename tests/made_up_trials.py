"""Trials of a comparison as their run directories would be: the answers are made up."""

import json

from common import files
from common.compare import table, trial_run

CLASSES = ["daisy", "rose"]
ROLES = {"from_scratch": "scratch"}  # strategy → what the table and the advice know it by


def trial(
    root, strategy, seed, right, fraction=1.0, backbone="demo", paths=None, groups=None, seconds=10.0, history=(),
    validation=0.8, needs_features=False, train=100, results=None,
):  # fmt: skip
    """A finished run whose answers are right where `right` is 1; of its photos those with even numbers are daisies."""
    directory = root / "trials" / f"{strategy}-{backbone}-{seed}-{fraction}"
    directory.mkdir(parents=True, exist_ok=True)
    paths = paths or [f"seed{seed}/{number:05d}.jpg" for number in range(len(right))]
    labels = [CLASSES[number % 2] for number in range(len(right))]
    answers = [label if hit else "tulip" for label, hit in zip(labels, right, strict=True)]
    files.write_csv(
        directory / "predictions.csv", ["path", "label", "predicted"], zip(paths, labels, answers, strict=True)
    )
    sides = [(*row, "test") for row in zip(paths, labels, groups or [""] * len(right), strict=True)]
    files.write_csv(
        directory / "split.csv", ["path", "label", "group", "split"],
        [*sides, (f"seed{seed}/validation.jpg", CLASSES[0], "", "validation")],
    )  # fmt: skip
    if history:
        files.write_csv(
            directory / "history.csv", ["stage", "epoch", "val_accuracy", "seconds"],
            [(stage, number, accuracy, 2.0) for number, (stage, accuracy) in enumerate(history)],
        )  # fmt: skip
    recall = {name: list(right)[place::2] for place, name in enumerate(CLASSES)}
    per_class = {
        name: {"recall": sum(hits) / len(hits) if hits else None, "support": len(hits)} for name, hits in recall.items()
    }
    accuracy = sum(right) / len(right)
    test = {
        "n": len(right),
        "accuracy": accuracy,
        "balanced_accuracy": accuracy,
        "log_loss": 1.0,
        "per_class": per_class,
    }
    cost = {
        "seconds": seconds + 3.0, "prefix_seconds": 3.0, "epochs": len(history), "peak_memory_bytes": 100 + seed,
        "trainable_parameters": 10, "total_parameters": 20,
    }  # fmt: skip
    content = {
        "data": {"class_names": CLASSES, "train": train}, "test": test,
        "validation": {"accuracy": validation, "n": 100}, "cost": cost,
        "train": {"accuracy": 0.9, "per_class": {name: {"support": train // 2} for name in CLASSES}},
    }  # fmt: skip
    files.write_json(directory / "results.json", content | (results or {}))
    return trial_run.Run(
        strategy, backbone, seed, fraction, f"what {strategy} does", needs_features, "python …", directory,
        role=ROLES.get(strategy, ""),
    )  # fmt: skip


def failed(strategy, seed, error="out of memory", fraction=1.0, backbone="demo"):
    return trial_run.Run(strategy, backbone, seed, fraction, "", False, "python …", None, error)


def right(count, of):
    return [1] * count + [0] * (of - count)


def compared(trials, root, **features):
    """The comparison of trials, which can be written as JSON."""
    found = table.compare(trials, root, features)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found
