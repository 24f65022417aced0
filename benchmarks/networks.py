"""Measure how well the scores of choose_backbone choose: on several data sets, with a new split for each seed.

    python benchmarks/networks.py --data flowers/ pacs/photo lesions.csv --seeds 5 \
      --backbones MobileNetV2:0.35 MobileNetV2 "VGG16=VGG16 --weights FILE"

Each network is scored on the training and validation photos, and judged by logistic regression on the test photos, as
`compare_strategies --strategies logistic_regression` does. Its own test says what is told apart.
"""

from common import startup  # noqa: F401, isort: skip  (first: it imports TensorFlow quietly)

import dataclasses
import json
import pathlib
import sys
import tempfile
import time

import keras
import numpy as np
import tables
import tyro
from scipy import stats

from common import devices
from common.compare import differences, experience, networks, ranking
from common.data import dataset
from common.data import splits as data_splits
from common.evaluation import transferability
from common.features import several_cuts
from common.media import photos
from common.models import backbones, blocks, linear_heads, macs
from recipes import choose_backbone

SIDES = ("train", "validation", "test")
SCORES = experience.SCORES


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Networks on data sets, over seeds."""

    data: tuple[str, ...]  # as --data of the recipes
    backbones: tuple[str, ...]  # as --backbones of choose_backbone
    seeds: int = 5  # each with another split
    layers: int = 3  # as in choose_backbone
    cache: pathlib.Path | None = None  # as in the recipes
    write: pathlib.Path | None = None  # a file to which a line with the scores of each data set is added


def measure(config: Config, data: str) -> dict[str, dict]:
    """Return, for each network and layer, its cost, and the scores and features under each seed."""
    found: dict[str, dict] = {}
    plain = choose_backbone.Config(data=data, cache=config.cache)
    splits = [split_of(plain, seed) for seed in range(config.seeds)]
    for network in networks.named(config.backbones).values():
        own = dataclasses.replace(plain, **network.settings(plain))
        devices.set_up(own)
        backbone = backbones.choose(own, default="")
        layers = blocks.ends(backbone.model, config.layers)
        cuts = several_cuts.SeveralCuts(backbone, layers, splits[0], own)  # the photos are those of all seeds
        for layer in layers:
            row_of = {path: row for side in SIDES
                      for path, row in zip(splits[0].paths(side), cuts.features(layer, side), strict=True)}  # fmt: skip
            cut = keras.Model(backbone.model.input, backbone.model.get_layer(layer).output)
            found[f"{network.name} up to {layer}"] = {
                "network": network.name, "layer": layer, "operations": macs.multiply_accumulates(cut),
                "parameters": cut.count_params(),
                "seeds": [scored(row_of, each) for each in splits],
            }  # fmt: skip
        keras.backend.clear_session()
    return found


def split_of(config: choose_backbone.Config, seed: int) -> data_splits.Splits:
    """Return the splits of a seed, which do not depend on the network."""
    with tempfile.TemporaryDirectory() as folder:
        return dataset.load(dataclasses.replace(config, seed=seed), pathlib.Path(folder), photos.Photos())


def scored(row_of: dict[str, np.ndarray], splits: data_splits.Splits) -> dict:
    """Return the scores on the training and validation photos, and what the probe needs; path → features."""
    features = {side: np.stack([row_of[path] for path in splits.paths(side)]) for side in SIDES}
    labels = {side: splits.labels(side) for side in SIDES}
    known = [np.concatenate([each[side] for side in SIDES[:2]]) for each in (features, labels)]
    units = choose_backbone.units_of(splits)
    groups = [group or content for group, content in zip(splits.groups("test"), splits.contents("test"), strict=True)]
    scores = transferability.scores(*known, units)
    return {"scores": scores, "units": units, "groups": groups, "features": features, "labels": labels,
            "class_names": splits.class_names}  # fmt: skip


def right_answers(seed: dict) -> np.ndarray:
    """Return 1 for each test photo that the probe gets right, else 0; the probe is fitted at the first call."""
    if "right" not in seed:
        features, labels = seed["features"], seed["labels"]
        kernel, bias, _ = linear_heads.logistic_regression(features, labels, len(seed["class_names"]))
        seed["right"] = ((features["test"] @ kernel + bias).argmax(axis=1) == labels["test"]).astype(int)
    return seed["right"]


def chosen(found: dict, seed: int) -> tuple[str, dict]:
    """Return the candidate that choose_backbone recommends under a seed, and the ranking."""
    candidates = [
        ranking.Candidate(each["network"], name, name, [], each["operations"], each["parameters"], 0.0,
                          each["seeds"][seed]["scores"])
        for name, each in found.items()
    ]  # fmt: skip
    ranked = ranking.rank(candidates, next(iter(found.values()))["seeds"][seed]["units"])
    return ranked["rows"][ranked["recommended"]]["layer"], ranked


def summary(found: dict) -> dict:
    """Compare each network, cut where its score is best under each seed, and the recommended one."""
    seeds = range(len(next(iter(found.values()))["seeds"]))
    names = list(dict.fromkeys(each["network"] for each in found.values()))
    rows: dict[str, list[str]] = {name: [] for name in ("recommended", *names)}
    for seed in seeds:
        recommended, ranked = chosen(found, seed)
        rows["recommended"].append(recommended)
        for name in names:
            rows[name].append(next(row["layer"] for row in ranked["rows"] if row["network"] == name))
    right = np.array([np.concatenate([right_answers(found[each]["seeds"][seed]) for seed, each in enumerate(row)])
                      for row in rows.values()])  # fmt: skip
    first = next(iter(found.values()))["seeds"]
    numbers = np.repeat(np.arange(len(first)), [len(each["groups"]) for each in first])
    units = np.unique(np.concatenate([each["groups"] for each in first]), return_inverse=True)[1]
    lead, variance, freedom = differences.estimates(right, numbers, units, np.zeros(len(right), bool))
    p = differences.p_values(lead, variance, freedom, len(right))
    means = dict(zip(rows, right.mean(axis=1).tolist(), strict=True))
    best = max(names, key=means.__getitem__)
    scores = {
        name: {score: float(np.mean([getattr(found[cut]["seeds"][seed]["scores"], score)
                                     for seed, cut in enumerate(rows[name])])) for score in SCORES}
        for name in names
    }  # fmt: skip
    tau = {score: stats.kendalltau([scores[name][score] for name in names], [means[name] for name in names]).statistic
           for score in SCORES}  # fmt: skip
    noise = np.sqrt(np.median(variance[np.triu_indices(len(right), 1)]) / 2)
    costs = {name: {key: found[rows[name][0]][key] for key in ("layer", "operations")} for name in names}
    return {
        "photos": len(first[0]["units"]), "classes": len(first[0]["class_names"]),
        "networks": {name: scores[name] | costs[name] for name in names},
        "accuracy": {name: means[name] for name in names}, "trained": [],
        "best": best, "recommended": sorted(set(rows["recommended"])), "recommended_accuracy": means["recommended"],
        "regret": means[best] - means["recommended"], "p": float(p[1 + names.index(best), 0]),
        "random_regret": equal_regret(len(names), noise), "tau": {score: float(value) for score, value in tau.items()},
        "seconds": max(each["scores"].seconds for row in found.values() for each in row["seeds"]),
    }  # fmt: skip


def equal_regret(count: int, noise: float) -> float:
    """Return what a random one of equally good networks lacks to the best of them, on average."""
    return float(np.random.default_rng(0).normal(scale=noise, size=(10_000, count)).max(axis=1).mean())


def main(config: Config) -> None:
    """Print a line for each data set."""
    lines = []
    for data in config.data:
        began = time.perf_counter()
        found = summary(measure(config, data))
        print(data, json.dumps(found), f"{time.perf_counter() - began:.0f} s", file=sys.stderr)
        if config.write:
            name = pathlib.Path(data).stem  # lesions_few is of the same photos as lesions
            experience.append(config.write, {"data": name, "source": name.partition("_")[0]} | found)
        told = "worse" if found["p"] <= 0.05 and found["regret"] > 0 else "not told apart"
        lines.append([
            pathlib.Path(data).stem, f"{found['best']} {found['accuracy'][found['best']]:.3f}",
            ", ".join(found["recommended"]), f"{found['recommended_accuracy']:.3f}", f"{100 * found['regret']:.1f}",
            told, f"{100 * found['random_regret']:.1f}", *(f"{found['tau'][score]:.2f}" for score in SCORES),
        ])  # fmt: skip
    columns = ["data", "best network, test accuracy", "recommended", "test accuracy", "regret, points", "from the best",
               "of equal networks at random", "tau: ridge", "neighbours", "LogME"]  # fmt: skip
    print(tables.markdown(columns, lines))
    print(tables.footer(f"{config.seeds} seeds"))


if __name__ == "__main__":
    main(tyro.cli(Config))
