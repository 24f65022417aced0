"""Video actions: 3D pooling over frames, on a network pretrained on photos (the articles' sports actions example).

When to use it: for a few hundred short clips, each of one action. Start with `--temporal difference` and compare it
with `frames`, which ignores the order of frames. If that is as good, motion does not matter for your classes.

Data: a folder with one folder of clips for each class (or a CSV with path,label,group). A clip is a video file or a
folder of frames. Clips that were cut from one video, or show the same people, must stay on one side of the split. Their
group is read from the name (`v_Punch_g01_c02.avi`, `set1_seq03_….avi`) or found by `--group-pattern`:

    clips/punch/v_Punch_g01_c01.avi
    clips/wave/v_Wave_g07_c02.avi

Command:

    python recipes/video_actions.py                                                  # drawn clips, no download
    python recipes/video_actions.py --data clips/                                    # InceptionV3, ImageNet weights
    python recipes/video_actions.py --data clips/ --temporal i3d --weights i3d.npz   # I3D, trained on Kinetics-400
    python recipes/video_actions.py --data clips/ --backbone MobileNetV2 --last-layer block_12_add

It follows the example with clips of 16 frames of 112 x 112 pixels, InceptionV3, GlobalAveragePooling3D, Dense 256 and
softmax (`--article`). As printed, the example cannot run: InceptionV3 takes photos and refuses `input_shape=(16, 112,
112, 3)`. Here the network runs on each frame (`frames`). `difference` also pools the changes from frame to frame. In
`inflated`, the layers become three-dimensional, as in I3D (https://arxiv.org/abs/1705.07750). `i3d` is that network
itself, trained on clips. Maps are pooled on a grid of 2 x 2, so that the head knows where things are, and the head is
ridge regression, with a penalty chosen by leaving out one group after the other.

Expected, on two CPU cores, median of three seeds: on the drawn clips, `difference` has an accuracy of 0.833 (0.806 –
0.889), `inflated` 0.819 (0.792 – 0.861) and `frames` 0.639 (0.583 – 0.694), in half a minute, or two the first time.
Within the pairs that differ only in time (open and close, throw and catch), `difference` has 1.000 and `frames` 0.500;
within those that differ only in the place, 0.917 and more. On 88 real gestures, with whole places held out, `i3d` has
0.985 in the mean of five folds.
"""

from __future__ import annotations

from common import startup  # isort: skip  (first: it imports TensorFlow quietly)

import dataclasses
import functools
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import keras
import numpy as np
from annotated_types import Ge, Gt, Le, Lt, doc

from common import devices, flags
from common.data import clip_groups, dataset, pipeline, sample_list
from common.data import splits as splitting
from common.demo import drawn_clips
from common.evaluation import classification, use_of_time
from common.features import frozen_prefix
from common.media import clips
from common.models import backbones, blocks, frames, freezing, grid_pooling, i3d, inflate, linear_heads
from common.report import classes, motion
from common.runs import finished_run
from common.training import clip_baselines, fine_tuning, fitting, recorder, schedules


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(fine_tuning.TwoStageConfig):
    """Classify clips by 3D pooling over a network for photos."""

    FORMS_OF_DATA = "a folder of class folders with clips, a CSV or demo"

    data: str = "demo"  # demo, a folder of class folders with clips, or a CSV with path,label[,group][,split]
    # A name in keras.applications, such as MobileNetV2:0.35; default: InceptionV3 (demo on demo data).
    backbone: str | None = None
    last_layer: str | None = None  # cut off the backbone after this layer; --weights must match the remaining network
    # Side length in pixels; default: 112 as in the example (96 on demo data).
    image_size: Annotated[int, Gt(0)] | None = None
    article: bool = False  # the settings of the article's example to the letter; other flags beside it win
    # How frames are combined; frames cannot see the direction of time, inflated can once its kernels are trained.
    # i3d is a network trained on clips (--weights FILE).
    temporal: Literal["frames", "difference", "inflated", "i3d"] = "difference"
    # Cells of the grid in each direction on which maps are pooled, so that the head knows where things are; default: 2.
    pool_grid: Annotated[int, Gt(0)] | None = None
    # Parts of the time that are pooled one by one; default: 2, or 1 for frames, which ignore the order.
    time_bins: Annotated[int, Gt(0)] | None = None
    # ridge regression in closed form, or Dense and softmax; default: ridge, unless a setting of the latter is given.
    head: Literal["ridge", "dense"] | None = None
    frames: Annotated[int, Gt(0)] = 16  # number of frames of each clip; more for long actions
    sampling: Literal["whole", "window"] = "whole"  # frames from the whole clip, or close together
    stride: Annotated[int, Gt(0)] = 2  # frames from one to the next in a window
    # Windows of a validation or test clip, whose probabilities are averaged; only for --sampling window.
    test_time_views: Annotated[int, Gt(0)] = 3
    # Regular expression for the group in a clip's name; default: the names of UCF101 and UT-Interaction.
    group_pattern: str | None = None
    official_split: Literal[1, 2, 3] | None = None  # the official training and test clips of UCF101
    time_pairs: tuple[str, ...] = ()  # pairs of classes that differ only in time: open close throw catch
    place_pairs: tuple[str, ...] = ()  # pairs of classes that differ only in the place: point_left point_right
    # L2 penalty on the head's weights; a hundred clips with thousands of features need one.
    l2: Annotated[float, Ge(0)] = 1e-2
    batch_size: Annotated[int, Gt(0), Le(100_000)] = 16  # clips
    learning_rate: Annotated[float, Gt(0)] = 1e-3  # of the head
    validation_fraction: Annotated[float, Gt(0), Lt(1)] = 0.15  # of the clips of each class, by whole groups
    test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.25  # of the clips of each class, by whole groups
    # First layer to fine-tune and inflate: number, name or block (mixed8); default: none, inflated: the last block.
    unfreeze_from: str | None = None
    fine_tuning_epochs: Annotated[int, Gt(0)] = 10  # of the second stage, if there is one
    fine_tuning_rate: Annotated[float, Gt(0)] = 1e-5  # 10 to 100 times below the head's
    zoom: Annotated[float, Ge(0), Lt(1), doc("0.1 is 10 %")] = 0.1  # zoom in or out by up to this fraction
    contrast: Annotated[float, Ge(0), Le(1), doc("0.1 is 10 %")] = 0.1  # raise or lower it by up to this fraction
    # Augmented views to cache for each training clip; 0 draws new ones each epoch, without a cache, slowly.
    views: Annotated[int, Ge(0)] = 4
    no_scaling: bool = False  # do not bring the pooled features to one scale before the Dense layer

    # GlobalAveragePooling3D, Dense 256 and softmax on InceptionV3's frames, with Adam at 0.001 for 10 epochs.
    ARTICLE = {
        "temporal": "frames", "pool_grid": 1, "time_bins": 1, "head": "dense", "l2": 0.0, "epochs": 10,
        "schedule": "constant", "zoom": 0.0, "contrast": 0.0, "no_scaling": True,
    }  # fmt: skip
    # Settings of the dense head.
    DENSE = ("hidden_units", "dropout", "l2", "epochs", "learning_rate", "no_scaling", "find_learning_rate")
    # Of the second stage, so without an effect by default.
    IDLE = ("fine_tuning_epochs", "fine_tuning_rate", "warmup_epochs", "batch_norm")

    def __post_init__(self) -> None:
        super().__post_init__()
        flags.check(self.temporal == "frames" or self.frames > 1, "frames", "must be above 1 to see a change")
        for name, example in (("time_pairs", "open close throw catch"), ("place_pairs", "point_left point_right")):
            flags.check(len(getattr(self, name)) % 2 == 0, name, f"must list classes in pairs: {example}")
        idle = [name for name in self.DENSE if name in flags.changed(self)]
        if self.head == "ridge" and idle:
            flags.check(False, idle[0], "has no effect with --head ridge; remove one")
        flags.check_used(self, self.sampling == "window", "without --sampling window", "stride", "test_time_views")
        tunes = bool(self.unfreeze_from) or self.temporal == "inflated"
        flags.check_used(self, tunes, "without --unfreeze-from or --temporal inflated", *self.IDLE)

    @property
    def fits_ridge(self) -> bool:
        """Whether the head is ridge regression: by default, if no setting of the dense head is given."""
        return self.head == "ridge" or not (self.head or set(self.DENSE) & set(flags.changed(self)))

    def check_backbone(self) -> None:
        if self.temporal != "i3d":
            return super().check_backbone()
        return flags.check(self.backbone == i3d.NAME, "backbone", "has no effect with --temporal i3d; remove it")

    def check_files(self) -> None:
        super().check_files()
        if self.temporal == "i3d":
            i3d.check_weights(self.weights)


def choose_network(config: Config) -> backbones.Backbone:
    """Return the network for photos, or I3D for clips, at the size of the flags."""
    size = config.image_size or (None if config.data == "demo" else 112)
    if config.temporal == "i3d":
        return i3d.load(str(config.weights), config.frames, size or 112, config.aspect, config.last_layer)
    return backbones.choose(dataclasses.replace(config, image_size=size), "InceptionV3", for_frames=True)


def first_unfrozen(network: keras.Model, config: Config) -> int | None:
    """Return the number of the first layer to fine-tune, or None if only the head is trained.

    Inflated kernels know nothing of motion before they are trained, so their default is the last block's first layer.
    """
    if config.unfreeze_from:
        return blocks.layer_number(network, config.unfreeze_from)
    if config.temporal != "inflated":
        return None
    ((_, first),) = blocks.last_blocks(network, 1)
    return first


def build_model(
    before: keras.Model | None, after: keras.Model, num_classes: int, config: Config
) -> tuple[keras.Model, dict[str, list[keras.KerasTensor]]]:
    """Build the example's model with an L2 penalty: the network, GlobalAveragePooling3D, Dense 256, softmax.

    Args:
        before: the layers that never train, for photos; None if there are none.
        after: the other layers, for photos, or inflated for clips.
        num_classes: length of the output.

    Returns:
        The model, (batch, frames, size, size, 3) to (batch, num_classes), and the tensors after which each stage
        trains: `fine_tuning` and `head`.
    """
    inputs = keras.Input((config.frames, *(before or after).input_shape[-3:]), name="clips")
    each_frame = keras.layers.Identity(name="each_frame")  # after it, frames are combined; the order test cuts here
    if config.temporal == "i3d":
        ends = keras.tree.flatten(before(each_frame(inputs))) if before else [each_frame(inputs)]
        crossing = [keras.layers.Identity()(tensor) for tensor in ends]  # the outputs of a layer, where one can cut
        maps = after(crossing if len(crossing) > 1 else crossing[0])
    elif config.temporal == "inflated":
        crossing = frames.on_each_frame(before, [inputs]) if before else [inputs]
        maps = after(each_frame(crossing[0]))
    else:
        crossing = frames.on_each_frame(before, [inputs]) if before else [inputs]
        maps = each_frame(*frames.on_each_frame(after, crossing))

    # Pooling on a grid keeps where and when something is. What appears and what vanishes from frame to frame is kept
    # apart: backwards in time they swap.
    maps = keras.layers.Identity(name="maps")(maps)  # the place test cuts here
    grid, bins = pooling(maps, config)
    if config.temporal == "difference":
        change = maps[:, 1:] - maps[:, :-1]
        appearing, vanishing = keras.ops.relu(change), keras.ops.relu(-change)
        whole = keras.layers.GlobalAveragePooling3D()(maps)
        changes = [grid_pooling.on_grid(part, grid, bins) for part in (appearing, vanishing)]
        pooled = keras.layers.Concatenate()([whole, *changes])
    else:
        pooled = grid_pooling.on_grid(maps, grid, bins)
    # Changes are far smaller than the features themselves: `set_scale` brings both to one scale.
    x = keras.layers.BatchNormalization(epsilon=1e-5, trainable=False, dtype="float32", name="one_scale")(pooled)
    if config.fits_ridge:
        output = keras.layers.Dense(num_classes, activation="softmax", dtype="float32", name="probabilities")(x)
        return keras.Model(inputs, output, name="classifier"), {"fine_tuning": crossing, "head": [pooled]}
    l2 = keras.regularizers.L2(config.l2)
    if config.hidden_units:
        x = keras.layers.Dense(config.hidden_units, activation="relu", kernel_regularizer=l2)(x)
    x = keras.layers.Dropout(config.dropout)(x)
    # float32 even under mixed precision, since the softmax and the loss need its digits.
    output = keras.layers.Dense(
        num_classes, activation="softmax", kernel_regularizer=l2, dtype="float32", name="probabilities"
    )(x)
    return keras.Model(inputs, output, name="classifier"), {"fine_tuning": crossing, "head": [pooled]}


def pooling(maps: keras.KerasTensor, config: Config) -> tuple[int, int]:
    """Return the cells in each direction and the parts of the time in which maps (batch, frames, …) are pooled."""
    places = min(maps.shape[2:4])
    steps = maps.shape[1] - (config.temporal == "difference")
    grid = config.pool_grid or min(2, places)
    bins = config.time_bins or min(1 if config.temporal == "frames" else 2, steps)
    flags.check(grid <= places, "pool_grid", f"is more than the {places} places of the network's maps in a direction")
    flags.check(bins <= steps, "time_bins", f"is more than the {steps} steps of the network's maps in time")
    return grid, bins


def set_scale(model: keras.Model, prefix: frozen_prefix.FrozenPrefix) -> None:
    """Set `one_scale` to the mean and variance of the training clips' pooled features, over all views."""
    features = np.concatenate(prefix.features("train"))
    layer = model.get_layer("one_scale")
    layer.moving_mean.assign(features.mean(axis=0))
    layer.moving_variance.assign(features.var(axis=0))


def fit_ridge(
    model: keras.Model, prefix: frozen_prefix.FrozenPrefix, record: recorder.Recorder[Config], device: devices.Strategy
) -> tuple[fitting.Fitted, dict[str, float]]:
    """Set the head to ridge regression on the scaled features; return its score on validation and what was chosen.

    All views of a clip, and all clips of a group, are left out together when the penalty is chosen.
    """
    splits, scale = prefix.splits, model.get_layer("one_scale")
    views = prefix.features("train")
    rows = keras.ops.convert_to_numpy(scale(np.concatenate(views)))
    groups = [group or sample.path for group, sample in zip(splits.groups("train"), splits.train, strict=True)]
    kernel, bias, chosen = linear_heads.ridge_left_out(
        rows, np.tile(splits.labels("train"), len(views)), len(splits.class_names), groups * len(views)
    )
    model.get_layer("probabilities").set_weights([kernel, bias])
    with device.scope():
        prefix.suffix.compile(loss="categorical_crossentropy", metrics=["accuracy", "categorical_crossentropy"])
    return fitting.Fitted(fitting.score(prefix), True), chosen


def train(
    prefix: frozen_prefix.FrozenPrefix, record: recorder.Recorder[Config], device: devices.Strategy, stage: str,
    epochs: int, rate: float, warm_up: int = 0, baseline: dict[str, float] | None = None,
) -> fitting.Fitted:  # fmt: skip
    """Train the part behind a frozen prefix; the last epoch counts.

    Args:
        prefix: the frozen prefix; its suffix is trained, which shares its layers with the whole model.
        stage: the name of the stage in history.csv.
        rate: the learning rate of Adam, which rises over the first `warm_up` epochs.
        baseline: the validation score before the stage. If the stage does not validate better (no fewer right answers,
            and a lower log loss), the earlier weights are put back.
    """
    steps = pipeline.steps(len(prefix.splits.train), record.config.batch_size)
    adam = keras.optimizers.Adam(schedules.learning_rate(rate, epochs * steps, warm_up * steps, record.config.schedule))
    with device.scope():
        prefix.suffix.compile(adam, "categorical_crossentropy", metrics=["accuracy", "categorical_crossentropy"])
    return fitting.fit(record, prefix, stage, epochs, before=baseline)


def pairs_of(config: Config, class_names: Sequence[str]) -> list[tuple[str, tuple[str, str]]]:
    """Return the pairs of classes that differ in the "time" or "place" alone; those of the drawn clips are known."""
    given = {"time": config.time_pairs, "place": config.place_pairs}
    if config.data == "demo" and not any(given.values()):
        given = {"time": sum(drawn_clips.PAIRS, ()), "place": sum(drawn_clips.PLACE_PAIRS, ())}
    for what, names in given.items():
        for name in names:
            known = ", ".join(class_names)
            flags.check(name in class_names, f"{what}_pairs", f"{name}: no such class; the classes are {known}")
    return [(what, pair) for what, names in given.items() for pair in zip(names[::2], names[1::2], strict=True)]


def order_and_pairs(
    model: keras.Model, backbone: backbones.Backbone, splits: splitting.Splits, probabilities: np.ndarray,
    config: Config,
) -> dict[str, Any]:  # fmt: skip
    """Test whether the model uses time, by test clips with frames in other orders and by pairs of classes."""
    chosen = use_of_time.some_of(len(splits.test))
    labels, groups = splits.labels("test")[chosen], splits.groups("test")
    batches = pipeline.evaluation_batches(
        [splits.paths("test")[number] for number in chosen], labels, splits.targets.encoded, backbone.resize,
        config.batch_size, backbone.preprocess, splits.reader, splits.medium.looks("test")[0],
    )  # fmt: skip
    return {
        "clips": len(chosen),
        **use_of_time.order_and_place(model, batches, labels, [groups[number] for number in chosen], config.seed),
        "pairs": [
            use_of_time.within_pair(probabilities, splits.labels("test"), splits.class_names, pair, groups)
            | {"differ_in": what}
            for what, pair in pairs_of(config, splits.class_names)
        ],
    }


def passes(splits: splitting.Splits, config: Config) -> int:
    """Return how often clips pass the network besides: for the baseline of one frame, and in other orders."""
    every = 0 if config.no_baselines else sum(len(getattr(splits, side)) for side in sample_list.SPLIT_NAMES)
    in_3d = config.temporal in ("i3d", "inflated")  # else the maps of the frames are reordered
    return every + (4 if in_3d else 1) * len(use_of_time.some_of(len(splits.test)))


def stages(after: keras.Model, first: int | None, config: Config) -> list[tuple[int, int]]:
    """Return, for each stage, the number of the first layer of `after` that trains and the number of epochs."""
    head = (len(after.layers), 0 if config.fits_ridge else config.epochs)
    return [head] if first is None else [head, (0, config.fine_tuning_epochs)]


def run(config: Config) -> finished_run.Result:
    """Train the head, then the last layers too if wanted, and read the test clips once."""
    record = recorder.Recorder("video_actions", config)
    config = record.config  # with --resume, the settings of the interrupted run
    device = devices.set_up(config)

    # Data: clips, and which of them belong together.
    samples = clip_groups.load(
        config.data, config.cache_directory, config.group_pattern, config.official_split, config.skip_unsupported
    )
    looking = clips.Clips(config.frames, config.sampling, config.stride, config.test_time_views)
    splits = dataset.load(config, record.directory, looking, samples=samples)
    pairs_of(config, splits.class_names)  # report a mistake now, not after the training

    # Model: the pretrained network, applied to clips, in two parts if it will be fine-tuned.
    with device.scope():
        backbone = choose_network(config)
        first = first_unfrozen(backbone.model, config)
        before, after = blocks.halves(backbone.model, first) if first else (None, backbone.model)
        if config.temporal == "inflated":
            after = inflate.inflated(after, config.frames)
        model, behind = build_model(before, after, len(splits.class_names), config)
    freezing.freeze(backbone.model)
    if first is not None:
        freezing.unfreeze(after, 0, config.batch_norm)
    record.begin(
        backbone, model, splits, stages(after, first, config),
        network=after, at={len(after.layers): behind["head"], 0: behind["fine_tuning"]}, further=passes(splits, config),
        unfreeze_from=None if first is None else backbone.model.layers[first].name,
        head="ridge" if config.fits_ridge else "dense",
    )  # fmt: skip

    # The layers that never train run once for each augmented view of each clip.
    cut_at = functools.partial(frozen_prefix.FrozenPrefix, model, backbone, splits, config)
    prefixes = {}
    if first is not None:
        prefixes["fine_tuning"] = cut_at(at=behind["fine_tuning"])
        freezing.freeze(after)
    prefixes["head"] = cut_at(at=behind["head"])
    if not config.no_scaling:
        set_scale(model, prefixes["head"])

    # Stage 1: the head, on the frozen network, in closed form or in epochs.
    print(freezing.trainable_table(model), file=sys.stderr)
    chosen: dict[str, float] = {}
    if config.fits_ridge:
        head, chosen = fit_ridge(model, prefixes["head"], record, device)
    else:
        head = train(prefixes["head"], record, device, "head", config.epochs, config.learning_rate)
    rows, trained, kept = [record.stage("head", model, head.score)], "head", "head"

    # Stage 2: train the head and the last layers, at a low rate; unless that validates better, the head is put back.
    if first is not None:
        freezing.unfreeze(after, 0, config.batch_norm)
        print(freezing.trainable_table(model), file=sys.stderr)
        trained = "fine_tuning"
        tuned = train(
            prefixes[trained], record, device, trained, config.fine_tuning_epochs, config.fine_tuning_rate,
            config.warmup_epochs, baseline=head.score,
        )  # fmt: skip
        rows.append(record.stage(trained, model, tuned.score))
        kept = trained if tuned.improved else "head"
        if kept == "head":
            freezing.freeze(after)

    # Evaluation: here and nowhere else, the test clips are compared with their labels. A clip's answer is the mean over
    # its windows.
    part = prefixes.pop(trained)
    windows = {side: part.predict(side) for side in ("validation", "test")}
    answers = {side: each.mean(axis=0) for side, each in windows.items()}
    found = {
        "frames": config.frames,
        "seconds": round(float(np.median([splits.properties[path]["seconds"] for path in splits.paths("train")])), 2),
        "sampling": config.sampling,
        "stride": config.stride,
        "looks": config.test_time_views,
        "temporal": config.temporal,
        "windows": len(windows["test"]),
        "window_accuracy": float((windows["test"].argmax(-1) == splits.labels("test")).mean()),
        "time": order_and_pairs(model, backbone, splits, answers["test"], config),
    } | chosen
    baselines = {} if config.no_baselines else clip_baselines.evaluate(backbone, splits, config, classification)

    # Files: a model that takes raw clips, the numbers, the pictures.
    last: dict[str, Any] = {} if first is None else {"kept_stage": kept}
    return record.finish(
        part, f"{config.temporal}, {kept.replace('_', ' ')}", task=classification, sections=[classes, motion],
        predictions=answers,
        raw_input=frames.take_raw_clips(model, backbone.preprocess, backbone.resize, looking),
        frozen=prefixes.get("head", part), others=tuple(prefixes.values()), stages=rows, baselines=baselines,
        clips=found, **last,
    )  # fmt: skip


if __name__ == "__main__":
    startup.main(Config, run, __doc__)
