"""Choose a backbone: rank pretrained networks for your photos before anything is trained, with cost and noise.

When to use it: first of all, if you may choose the network. Networks differ more than most strategies do, and where a
network is cut off matters too. The scores need one pass of each network over the photos, and then seconds.

Data: as for feature extraction, `photos/<class>/…`, a CSV, or tfds:NAME. The test photos are not looked at.

Command:

    python recipes/choose_backbone.py                                    # the demo, nothing is downloaded
    python recipes/choose_backbone.py --data photos/
    python recipes/choose_backbone.py --data photos/ --backbones MobileNetV2 VGG16 "mine=net.keras --preprocess tf"
    python recipes/choose_backbone.py --data photos/ --verify 3          # train the best three: was the choice right?

The default score is the accuracy of ridge regression on the pooled features, each photo answered by a classifier that
was fitted without it (and without its group), in closed form. Nearest neighbours and LogME (You et al. 2021,
https://arxiv.org/abs/2102.11005) are shown beside it. In 42,000 experiments, plain nearest neighbours ranked networks
better than the published scores (https://arxiv.org/abs/2503.18528). The recommended network has the fewest operations
within one standard error of the best.

Expected: on five data sets with five networks, the recommended one was never told apart from the best, and 1.9 points
behind it on average. On the demo, the pretrained network is far ahead of the same network with random weights.
"""

from __future__ import annotations

from common import startup  # isort: skip  (first: it imports TensorFlow quietly)

import dataclasses
import pathlib
import shlex
import sys
import tempfile
from typing import Annotated, Any

import keras
import numpy as np
import tyro
from annotated_types import Ge, Gt

from common import devices, flags, words
from common.compare import experience, networks, ranking, ranking_files
from common.data import dataset, sample_list
from common.evaluation import intervals, transferability
from common.features import several_cuts
from common.media import photos
from common.models import backbones, blocks, macs
from common.runs import finished_run, speed
from common.training import recorder, settings
from recipes import compare_strategies

# From small to large. The demo's network is the only one that is here without a download.
BACKBONES = ("MobileNetV2:0.35", "MobileNetV2", "EfficientNetV2B0", "ResNet50V2", "ConvNeXtTiny")
DEMO = ("demo", "untrained=demo --weights none")
SIDES = ("train", "validation")  # whose labels the scores know
TIMED_PHOTOS, TIMES = 8, 4  # at a time, and how often; other work on the machine makes some of them slow
# Flags of ours that are not for the comparison of --verify.
NOT_PASSED = {"backbones", "resume", "out", "dry_run", "mlflow", "experience"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(settings.PhotoConfig):
    """Score pretrained networks, each cut off after several of its layers, on the training and validation photos."""

    # Names in keras.applications, hub:PRESET, FILE.keras or runs, or NAME=NETWORK with --weights, --last-layer,
    # --image-size and --preprocess of its own. Default: five of keras.applications, from small to large.
    backbones: tuple[str, ...] = ()
    # How many layers to cut each network after: its end, and the last block at each larger size of feature map.
    layers: Annotated[int, Gt(0)] = 3
    verify: Annotated[int, Ge(0)] = 0  # train the best this many networks by compare_strategies, several seeds each
    strategies: tuple[str, ...] = ("partial_unfreezing",)  # of compare_strategies, for --verify
    seeds: Annotated[int, Gt(0)] = 3  # of --verify, all on the split of --seed
    # File with what was learnt of earlier tasks, to which this one is added; default: experience.jsonl in --out.
    experience: pathlib.Path | None = None
    no_experience: bool = False  # predict nothing from earlier tasks, and add nothing
    # Frozen features are not augmented, and no head is trained.
    backbone: tyro.conf.Suppress[str | None] = None
    last_layer: tyro.conf.Suppress[str | None] = None
    learning_rate: tyro.conf.Suppress[float] = 1e-3
    flip: tyro.conf.Suppress[bool] = False
    rotation: tyro.conf.Suppress[float] = 0.0
    zoom: tyro.conf.Suppress[float] = 0.0
    contrast: tyro.conf.Suppress[float] = 0.0
    views: tyro.conf.Suppress[int] = 8
    no_baselines: tyro.conf.Suppress[bool] = False

    COMPARED = ("strategies", "seeds")  # settings of --verify
    # Of its training and augmentation, so without an effect by default.
    IDLE = ("epochs", "brightness", "saturation", "hue", "erasing", "randaugment", "tensorboard")

    def __post_init__(self) -> None:
        super().__post_init__()
        networks.check([*networks.named(self.backbones).values()], None)
        if self.verify:
            verification_config(self, ())  # report a mistake in --strategies now
        flags.check_used(self, bool(self.verify), "without --verify", *self.COMPARED, *self.IDLE)

    def check_files(self) -> None:
        """Refuse presets, files and runs that cannot be networks, and a preprocessing that none of them takes."""
        networks.check([*networks.named(self.backbones).values()], self.preprocess, files=True)


def candidates_of(config: Config, network: networks.Network, splits: Any, device: Any) -> list[ranking.Candidate]:
    """Return a network cut off after each of its layers, with cost and scores; one pass over the photos serves all."""
    own = dataclasses.replace(config, **network.settings(config))
    with device.scope():
        backbone = backbones.choose(own, default=network.backbone)
    layers = blocks.ends(backbone.model, config.layers if backbone.whole is None else 1)
    features = several_cuts.SeveralCuts(backbone, layers, splits, own)
    labels = np.concatenate([splits.labels(side) for side in SIDES])
    found = []
    for layer in layers:
        rows = np.concatenate([features.features(layer, side) for side in SIDES])
        scores = transferability.scores(rows, labels, units_of(splits))
        model = keras.Model(backbone.model.input, backbone.model.get_layer(layer).output)
        cut = network if layer == layers[0] else cut_off(network, layer)
        cost = macs.multiply_accumulates(model), model.count_params(), milliseconds(model)
        found.append(ranking.Candidate(network.name, layer, str(cut), flags_of(config, cut), *cost, scores))
    return found


def milliseconds(model: keras.Model) -> float:
    """Measure the milliseconds that a network takes for one photo, in a batch: the fastest of several, after one."""
    pixels = np.zeros((TIMED_PHOTOS, *model.input_shape[1:]), "float32")
    seconds = [speed.seconds(lambda: model.predict_on_batch(pixels)) for _ in range(1 + TIMES)]
    return 1000 * min(seconds[1:]) / TIMED_PHOTOS


def units_of(splits: Any) -> np.ndarray:
    """Return the number of each training and validation photo's unit: its group, or the photo and its copies."""
    groups = [group for side in SIDES for group in splits.groups(side)]
    contents = [content for side in SIDES for content in splits.contents(side)]
    units = [f"group {group}" if group else content for group, content in zip(groups, contents, strict=True)]
    return intervals.group_numbers(units, len(units))


def cut_off(network: networks.Network, layer: str) -> networks.Network:
    """Return a network that is cut off after a layer."""
    own = dataclasses.replace(network.own, last_layer=layer)
    return networks.Network(f"{network.place}:{layer}", network.backbone, own)


def flags_of(config: Config, network: networks.Network) -> list[str]:
    """Return the arguments with which the other recipes use a network."""
    own = network.settings(config)
    if own["weights"] == backbones.default_weights(network.backbone, config.data):
        own["weights"] = None
    return flags.arguments(settings.PhotoConfig(**own))


def verification_config(config: Config, given: tuple[str, ...]) -> compare_strategies.Config:
    """Return the settings of the comparison that trains networks: our split and our flags that it has too."""
    theirs = flags.flag_names(compare_strategies.Config) & flags.flag_names(Config)
    given_here = {*flags.changed(config), *Config.COMPARED}
    passed = {name: getattr(config, name) for name in theirs & given_here - NOT_PASSED}
    split_seed = config.seed if config.split_seed is None else config.split_seed
    return compare_strategies.Config(**passed | {"backbones": given, "split_seed": split_seed, "no_experience": True})


def train(config: Config, record: recorder.Recorder, ranked: dict) -> tuple[dict, dict[str, str]]:
    """Train the best cut of the best networks and the recommended one; return the comparison, and who is who in it."""
    choice = ranked["rows"][ranked["recommended"]]
    others = [row for row in ranking.shown(ranked) if row is not choice]
    rows = [choice, *others[: config.verify - 1]]
    names = {name: ranking.named(row) for row in rows for name in networks.named([row["given"]])}
    theirs = verification_config(config, tuple(row["given"] for row in rows))
    theirs = dataclasses.replace(theirs, out=record.directory)
    begun = sorted(record.directory.glob("compare_strategies/*/config.json"))  # with --resume
    if begun and (begun[-1].parent / "results.json").is_file():
        return finished_run.Result.read(begun[-1].parent).results, names
    return compare_strategies.run(
        compare_strategies.Config(resume=begun[-1].parent) if begun else theirs
    ).results, names


def run(config: Config) -> finished_run.Result:
    """Score every network on the training and validation photos, rank them, and say which one to use."""
    record = recorder.Recorder("choose_backbone", config)
    config = record.config  # with --resume, the settings of the interrupted run
    device = devices.set_up(config)
    given = config.backbones or (DEMO if config.data == "demo" else BACKBONES)
    file = experience.file_of(config)
    past = experience.read(file) if file else []

    # Data: the scores see the training and validation photos; the test photos are for what is trained later.
    splits = dataset.load(config, record.directory, photos.Photos())
    record.write_config(backbones=given)
    if config.dry_run:
        count = sum(len(splits.paths(side)) for side in sample_list.SPLIT_NAMES)
        number = words.plural(len(given), "network")
        print(f"dry run of choose_backbone: {number}, each once over {count} photos; no run is kept")
        record.discard()
        sys.exit()

    # One pass of each network over the photos, for all layers that it may be cut off after; then the scores.
    candidates = []
    with tempfile.TemporaryDirectory() as folder:
        stored = dataclasses.replace(config, cache=pathlib.Path(folder), no_cache=False) if config.no_cache else config
        for network in networks.named(given).values():
            candidates += candidates_of(stored, network, splits, device)
            keras.backend.clear_session()
    ranked = ranking.rank(candidates, units_of(splits))
    task = experience.of_ranking(splits.summary(), ranked, splits.content_of.values())

    # The result, what earlier tasks say, and what training says of both.
    told = [*ranking.advice(ranked), *experience.said(past, task)]
    results: dict[str, Any] = {"data": splits.summary(), "ranking": ranked, "advice": told}
    if config.verify:
        comparison, names = train(config, record, ranked)
        results["verification"] = ranking.verification(ranked, comparison, names)
        told += ranking.verified(results["verification"], config.strategies)
        task = experience.with_training(task, results["verification"]["trained"], comparison["rows"])
    result = record.write_results(results | {"cost": {"seconds": round(record.progress.seconds(), 2)}})
    experience.keep(config, task)
    ranking_files.write(record.directory, ranked)
    record.publish()
    choice = ranked["rows"][ranked["recommended"]]
    print(ranking.table(ranked))
    print("\n".join(told))
    data = shlex.join(["--data", config.data]) if config.data != "demo" else ""
    print(" ".join(filter(None, ["next: python recipes/linear_probe.py", data, shlex.join(choice["flags"])])))
    return result


if __name__ == "__main__":
    startup.main(Config, run, __doc__)
