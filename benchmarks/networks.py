"""Measure how well the scores of choose_backbone choose: on several data sets, with a new split for each seed.

    python benchmarks/networks.py --data flowers/ pacs/photo lesions.csv --seeds 5 \
      --backbones MobileNetV2:0.35 MobileNetV2 "VGG16=VGG16 --weights FILE"

Each network is scored on the training and validation photos, and judged by logistic regression on the test photos, as
`compare_strategies --strategies logistic_regression` does. Its own test says what is told apart.
"""

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
from common.compare import differences, networks, ranking
from common.data import dataset
from common.evaluation import transferability
from common.features import several_cuts
from common.media import photos
from common.models import backbones, blocks, linear_heads, macs
from recipes import choose_backbone

SIDES = ("train", "validation", "test")
SCORES = ("ridge", "nearest", "log_evidence")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Networks on data sets, over seeds."""

    data: tuple[str, ...]  # as --data of the recipes
    backbones: tuple[str, ...]  # as --backbones of choose_backbone
    seeds: int = 5  # each with another split
    layers: int = 3  # as in choose_backbone
    cache: pathlib.Path | None = None  # as in the recipes
    write: pathlib.Path | None = None  # a file to which a line with the scores of each data set is added


def measure(config: Config, data: str) -> dict:
    """Return, for each network and layer, the scores under each seed, and the right answers of its probe."""
    found: dict[str, dict] = {}
    for network in networks.named(config.backbones).values():
        shared = choose_backbone.Config(data=data, backbones=(str(network),), layers=config.layers, cache=config.cache)
        own = dataclasses.replace(shared, **network.settings(shared))
        devices.set_up(own)
        backbone = backbones.choose(own, default="")
        for layer in blocks.ends(backbone.model, config.layers):
            cut = keras.Model(backbone.model.input, backbone.model.get_layer(layer).output)
            cost = {"operations": macs.multiply_accumulates(cut), "parameters": cut.count_params()}
            found[f"{network.name} up to {layer}"] = cost | {"network": network.name, "seeds": []}
        for seed in range(config.seeds):
            with tempfile.TemporaryDirectory() as folder:
                splits = dataset.load(dataclasses.replace(own, seed=seed), pathlib.Path(folder), photos.Photos())
            cuts = several_cuts.SeveralCuts(backbone, blocks.ends(backbone.model, config.layers), splits, own)
            for layer in blocks.ends(backbone.model, config.layers):
                found[f"{network.name} up to {layer}"]["seeds"].append(judged(cuts, layer, splits))
        keras.backend.clear_session()
    return found


def judged(cuts: several_cuts.SeveralCuts, layer: str, splits) -> dict:
    """Return the scores on the training and validation photos, and the probe's right answers on the test photos."""
    features = {side: cuts.features(layer, side) for side in SIDES}
    labels = {side: splits.labels(side) for side in SIDES}
    known = [np.concatenate([each[side] for side in SIDES[:2]]) for each in (features, labels)]
    units = choose_backbone.units_of(splits)
    scores = transferability.scores(*known, units)
    kernel, bias, _ = linear_heads.logistic_regression(features, labels, len(splits.class_names))
    right = (features["test"] @ kernel + bias).argmax(axis=1) == labels["test"]
    groups = [group or content for group, content in zip(splits.groups("test"), splits.contents("test"), strict=True)]
    return {"scores": scores, "units": units, "right": right.astype(int), "groups": groups, "classes": len(
        splits.class_names), "photos": len(known[1])}  # fmt: skip


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
    right = np.array([np.concatenate([found[each]["seeds"][seed]["right"] for seed, each in enumerate(row)])
                      for row in rows.values()])  # fmt: skip
    first = next(iter(found.values()))["seeds"]
    numbers = np.repeat(np.arange(len(first)), [len(each["right"]) for each in first])
    units = np.unique(np.concatenate([each["groups"] for each in first]), return_inverse=True)[1]
    lead, variance, freedom = differences.estimates(right, numbers, units, np.zeros(len(right), bool))
    p = differences.p_values(lead, variance, freedom, len(right))
    means = right.mean(axis=1)
    best = 1 + int(means[1:].argmax())
    scores = {
        score: [np.mean([getattr(found[cut]["seeds"][seed]["scores"], score) for seed, cut in enumerate(rows[name])])
                for name in names]
        for score in SCORES
    }  # fmt: skip
    noise = np.sqrt(np.median(variance[np.triu_indices(len(right), 1)]) / 2)
    return {
        "accuracy": dict(zip(rows, means.tolist(), strict=True)), "best": names[best - 1],
        "recommended": rows["recommended"], "regret": float(means[best] - means[0]), "p": float(p[best, 0]),
        "random_regret": equal_regret(len(names), noise),
        "tau": {score: float(stats.kendalltau(values, means[1:]).statistic) for score, values in scores.items()},
        "seconds": float(np.max([each["scores"].seconds for row in found.values() for each in row["seeds"]])),
        "scores": {name: {score: float(values[number]) for score, values in scores.items()}
                   for number, name in enumerate(names)},
        "operations": {name: [found[cut]["operations"] for cut in rows[name]][0] for name in names},
        "photos": first[0]["photos"], "classes": first[0]["classes"], "tests": len(numbers) // len(first),
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
            with open(config.write, "a", encoding="utf-8") as file:
                file.write(json.dumps({"data": pathlib.Path(data).stem} | found) + "\n")
        told = "worse" if found["p"] <= 0.05 and found["regret"] > 0 else "not told apart"
        tau = found["tau"]
        lines.append([
            pathlib.Path(data).stem, f"{found['best']} {found['accuracy'][found['best']]:.3f}",
            ", ".join(sorted(set(found["recommended"]))), f"{found['accuracy']['recommended']:.3f}",
            f"{100 * found['regret']:.1f}", told, f"{100 * found['random_regret']:.1f}",
            *(f"{tau[score]:.2f}" for score in SCORES),
        ])  # fmt: skip
    columns = ["data", "best network, test accuracy", "recommended", "test accuracy", "regret, points", "from the best",
               "of equal networks at random", "tau: ridge", "neighbours", "LogME"]  # fmt: skip
    print(tables.markdown(columns, lines))
    print(tables.footer(f"{config.seeds} seeds"))


if __name__ == "__main__":
    main(tyro.cli(Config))
