"""Video actions: 3D pooling over the frames of clips, on a network that was pretrained on photos.

When to use it: for a few hundred short clips, each of one action. Start with `--temporal difference`; compare it with
`frames`, which looks at frames without their order: where that is as good, motion does not matter to your classes.

Data: a folder with one folder of clips for each class (or a CSV with path,label,group); a clip is a video file or a
folder of frames. Clips that were cut from one video, or show the same people, must stay on one side of the split: their
group is read from the name (`v_Punch_g01_c02.avi`, `set1_seq03_….avi`) or found by `--group-pattern`:

    clips/punch/v_Punch_g01_c01.avi
    clips/wave/v_Wave_g07_c02.avi

Command:

    python recipes/video_actions.py                                                  # drawn clips, no download
    python recipes/video_actions.py --data clips/                                    # InceptionV3, ImageNet weights
    python recipes/video_actions.py --data clips/ --backbone MobileNetV2 --temporal frames

It mirrors the example with clips of 16 frames of 112 x 112 pixels, InceptionV3, GlobalAveragePooling3D, Dense 256 and
softmax. As printed the example cannot run: InceptionV3 takes photos and refuses `input_shape=(16, 112, 112, 3)`. Here
the network runs on each frame (`frames`), what changes from frame to frame is pooled too (`difference`), or its layers
become three-dimensional (`inflated`, as in I3D, https://arxiv.org/abs/1705.07750).

Expected, on two CPU cores, median of three seeds: on the drawn clips `difference` has an accuracy of 0.938 (0.875 –
0.958), `frames` and `inflated` 0.646, in half a minute, the first time in one; within the pairs that only time tells
apart (open and close, throw and catch) 1.000 and 0.500. On 120 real clips, whole sequences held out, `difference` has
0.859 and `frames` 0.816 (InceptionV3 to mixed8, 160 pixels, five folds).
"""

import dataclasses
import functools
import sys
from typing import Literal

from common import (
    backbones,
    clip_evaluation,
    clip_surgery,
    clips,
    config,
    data,
    demo_clips,
    device,
    errors,
    evaluation,
    frozen_prefix,
    generators,
    report,
    runs,
    surgery,
    video,
)

import keras  # isort: skip  (after common, which imports TensorFlow quietly)
import numpy as np  # isort: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(config.SharedConfig):
    """Classify clips by 3D pooling over a network for photos."""

    data: str = "demo"  # demo, a folder of class folders with clips, or a CSV with path,label[,group][,split]
    # A name in keras.applications, MobileNetV2:0.35; default InceptionV3, on demo data demo.
    backbone: str | None = None
    last_layer: str | None = None  # cut the backbone off after this layer; a --weights file is that of what is left
    image_size: int | None = None  # pixels a side; default 112 as in the example, on demo data 96
    # What joins the frames; frames cannot tell the direction of time, inflated can once its kernels are trained.
    temporal: Literal["frames", "difference", "inflated"] = "difference"
    frames: int = 16  # of each clip; more for long actions
    sampling: Literal["whole", "window"] = "whole"  # frames from all over the clip, or close together
    stride: int = 2  # frames from one to the next in a window
    looks: int = 3  # windows of a validation or test clip, their probabilities averaged; only for windows
    # Regular expression that finds a clip's group in its name; default: those of UCF101 and UT-Interaction.
    group_pattern: str | None = None
    official_split: Literal[1, 2, 3] | None = None  # of UCF101: its own training and test clips
    time_pairs: tuple[str, ...] = ()  # classes that only the direction of time tells apart: open close throw catch
    hidden_units: int = 256  # Dense units before the softmax
    dropout: float = 0.0  # before the softmax
    l2: float = 1e-2  # penalty on the head's weights; a hundred clips and thousands of features need one
    batch_size: int = 16  # clips
    epochs: int = 200  # of the head; its rate falls to nothing in the last
    learning_rate: float = 1e-3  # of the head
    validation_fraction: float = 0.15  # of the clips of each class, by whole groups
    test_fraction: float = 0.25  # of the clips of each class, by whole groups
    # Number, name or block (mixed8) to fine-tune, and inflate, from; default: the head alone, inflated the last block.
    unfreeze_from: str | None = None
    fine_tuning_epochs: int = 10  # of the second stage, where there is one
    fine_tuning_rate: float = 1e-5  # 10 to 100 times below the head's
    warm_up: int = 1  # epochs in which the fine-tuning rate rises from nothing
    batch_norm: Literal["frozen", "adapt"] = "frozen"  # adapt only with large batches and many clips
    flip: bool = True  # mirror clips left to right; not where the side carries meaning
    rotation: float = 0.0  # turn them by up to so many degrees; 10 is small
    zoom: float = 0.1  # up to this fraction closer or further
    contrast: float = 0.1  # up to this fraction more or less contrast
    views: int = 4  # augmented views cached of each training clip; 0 draws new ones each epoch, uncached, slow

    def __post_init__(self):
        super().__post_init__()
        for name in ("frames", "stride", "looks", "fine_tuning_epochs", "fine_tuning_rate"):
            config.check(getattr(self, name) > 0, name, "must be above 0")
        config.check(self.temporal == "frames" or self.frames > 1, "frames", "must be above 1 to see a change")
        config.check(self.hidden_units >= 0, "hidden_units", "must be 0 or above")
        config.check(self.l2 >= 0, "l2", "must be 0 or above")
        config.check(0 <= self.dropout < 1, "dropout", "must be from 0 to below 1")
        slow = self.fine_tuning_rate <= self.learning_rate / 10
        config.check(slow, "fine_tuning_rate", "must be 10 times below --learning-rate")
        config.check(0 <= self.warm_up < self.fine_tuning_epochs, "warm_up", "must be below --fine-tuning-epochs")
        config.check(
            len(self.time_pairs) % 2 == 0, "time_pairs", "must name classes two by two: open close throw catch"
        )


def first_unfrozen(network: keras.Model, config: Config) -> int | None:
    """The number of the layer that fine-tuning starts at; None where the head alone is trained.

    Inflated kernels know nothing of motion before they are trained, so there it is by default the last block's first.
    """
    if config.unfreeze_from:
        return surgery.layer_number(network, config.unfreeze_from)
    if config.temporal != "inflated":
        return None
    ((_, first),) = surgery.last_blocks(network, 1)
    return first


def build_model(before: keras.Model | None, after: keras.Model, num_classes: int, config: Config):
    """The example's model: the network under clips, GlobalAveragePooling3D, Dense 256, softmax; and a penalty.

    Args:
        before: the layers that never train, for photos; None where there are none.
        after: the others, for photos, or inflated for clips.
        num_classes: length of the output.

    Returns:
        The model, (batch, frames, size, size, 3) to (batch, num_classes), and the tensors in it behind which each
        stage trains: `fine_tuning` and `head`.
    """
    inputs = keras.Input((config.frames, *(before or after).input_shape[-3:]), name="clips")
    crossing = clip_surgery.on_each_frame(before, [inputs]) if before else [inputs]
    each_frame = keras.layers.Identity(name="each_frame")  # behind it frames are joined; the order test cuts here
    if config.temporal == "inflated":
        maps = after(each_frame(crossing[0]))
    else:
        maps = each_frame(*clip_surgery.on_each_frame(after, crossing))

    pooled = keras.layers.GlobalAveragePooling3D()(maps)
    if config.temporal == "difference":
        # What appears and what vanishes from one frame to the next, apart: backwards in time they change places.
        change = maps[:, 1:] - maps[:, :-1]
        appearing, vanishing = keras.ops.relu(change), keras.ops.relu(-change)
        pool = keras.layers.GlobalAveragePooling3D
        pooled = keras.layers.Concatenate()([pooled, pool()(appearing), pool()(vanishing)])
    # Changes are far smaller than what is there: `set_scale` brings all to one scale.
    x = keras.layers.BatchNormalization(epsilon=1e-5, trainable=False, dtype="float32", name="one_scale")(pooled)
    l2 = keras.regularizers.L2(config.l2) if config.l2 else None
    if config.hidden_units:
        x = keras.layers.Dense(config.hidden_units, activation="relu", kernel_regularizer=l2)(x)
    x = keras.layers.Dropout(config.dropout)(x) if config.dropout else x
    # float32 also under mixed precision: the softmax and the loss need the digits.
    output = keras.layers.Dense(
        num_classes, activation="softmax", kernel_regularizer=l2, dtype="float32", name="probabilities"
    )(x)
    return keras.Model(inputs, output, name="classifier"), {"fine_tuning": crossing, "head": [pooled]}


def set_scale(model: keras.Model, prefix: frozen_prefix.FrozenPrefix) -> None:
    """Gives `one_scale` the mean and variance of the pooled features of the training clips, in all their views."""
    features = np.concatenate(prefix.features("train"))
    layer = model.get_layer("one_scale")
    layer.moving_mean.assign(features.mean(axis=0))
    layer.moving_variance.assign(features.var(axis=0))


def train(prefix, record, strategy, stage, epochs, rate, warm_up=0, baseline=None):
    """Fits what lies behind a frozen prefix; its rate falls to 0 along a cosine, and its last epoch counts.

    Args:
        prefix: the `FrozenPrefix`; its suffix is trained, and so the model that it was cut from.
        stage: name of the stage in history.csv.
        rate: Adam's, which rises over the first `warm_up` epochs.
        baseline: the validation score of the weights before; they come back where the stage validates worse by more
            than chance allows.

    Returns:
        The score on the validation clips, and whether the stage's weights were kept.
    """
    steps = generators.steps(len(prefix.splits.train), record.config.batch_size)
    noise = evaluation.accuracy_noise(baseline["accuracy"], len(prefix.splits.validation)) if baseline else 0.0
    stopping = runs.EarlyStopping(
        record, None, epochs, stage=stage, monitor="accuracy", baseline=baseline, margin=noise
    )
    start, target = (rate / 100, rate) if warm_up else (rate, None)
    schedule = keras.optimizers.schedules.CosineDecay(
        start, (epochs - warm_up) * steps, warmup_target=target, warmup_steps=warm_up * steps
    )
    with strategy.scope():
        prefix.suffix.compile(keras.optimizers.Adam(schedule), "categorical_crossentropy", metrics=["accuracy"])
    return runs.fit(prefix, stopping, baseline), stopping.improved


def time_pairs(config: Config, class_names) -> list[tuple[str, str]]:
    """The pairs of classes that only the direction of time tells apart; those of the drawn clips are known."""
    if config.data == "demo" and not config.time_pairs:
        return list(demo_clips.PAIRS)
    for name in config.time_pairs:
        if name not in class_names:
            raise errors.UserError(f"--time-pairs {name}: no such class; there are {', '.join(class_names)}")
    return list(zip(config.time_pairs[::2], config.time_pairs[1::2], strict=True))


def use_of_time(model, backbone, splits, looking, probabilities, config: Config) -> dict:
    """Whether time is used: the test clips with their frames in other orders, and pairs of classes."""
    chosen = clip_evaluation.some_of(len(splits.test))
    labels = splits.labels("test")[chosen]
    batches = generators.evaluation_batches(
        [splits.paths("test")[number] for number in chosen], labels, len(splits.class_names), backbone.resize,
        config.batch_size, backbone.preprocess, clips=looking, position=looking.positions()[0],
    )  # fmt: skip
    return {
        "clips": len(chosen),
        "order": clip_evaluation.order_test(model, batches, labels, config.seed),
        "pairs": [
            clip_evaluation.within_pair(probabilities, splits.labels("test"), splits.class_names, pair)
            for pair in time_pairs(config, splits.class_names)
        ],
    }


def run(config: Config) -> runs.Result:
    """Trains the head, then, if asked to, the last layers too; reads the test clips once."""
    record = runs.Run("video_actions", config)
    config = record.config  # that of the interrupted run when --resume is given
    strategy = device.set_up(config.seed, config.precision, config.deterministic)

    # Data: clips, and which of them belong together.
    samples = clips.load(config.data, config.cache_directory, config.group_pattern, config.official_split)
    splits = data.load(config, record.directory, samples, kind=video)
    time_pairs(config, splits.class_names)  # a mistake there shows now, not after the training

    # Model: the pretrained network, in two parts where it will be fine-tuned, under clips.
    with strategy.scope():
        size = config.image_size or (None if config.data == "demo" else 112)
        backbone = backbones.choose(dataclasses.replace(config, image_size=size), default="InceptionV3")
        first = first_unfrozen(backbone.model, config)
        before, after = clip_surgery.halves(backbone.model, first) if first else (None, backbone.model)
        if config.temporal == "inflated":
            after = clip_surgery.inflated(after, config.frames)
        model, behind = build_model(before, after, len(splits.class_names), config)
    first_name = None if first is None else backbone.model.layers[first].name
    record.write_config(
        backbone=backbone.name, weights=backbone.weights, image_size=backbone.image_size, unfreeze_from=first_name
    )

    # The layers that never train run once for each clip and each of its augmented views.
    looking = generators.Clips(config.frames, config.sampling, config.stride, config.looks)
    augmentation = generators.Augmentation(config.flip, config.rotation, config.zoom, config.contrast)
    cut_at = functools.partial(frozen_prefix.FrozenPrefix, model, backbone, splits, config, augmentation, clips=looking)
    surgery.freeze(backbone.model)
    prefixes = {}
    if first is not None:
        surgery.unfreeze(after, 0, config.batch_norm)
        prefixes["fine_tuning"] = cut_at(at=behind["fine_tuning"])
        surgery.freeze(after)
    prefixes["head"] = cut_at(at=behind["head"])
    set_scale(model, prefixes["head"])

    # Stage 1: the head, on the frozen network.
    print(surgery.trainable_table(model), file=sys.stderr)
    part = prefixes["head"]
    score, _ = train(part, record, strategy, "head", config.epochs, config.learning_rate)
    stages, kept = [record.stage("head", model, score)], "head"

    # Stage 2: the head and the last layers, slowly; the head comes back where that validates worse.
    if first is not None:
        surgery.unfreeze(after, 0, config.batch_norm)
        print(surgery.trainable_table(model), file=sys.stderr)
        part = prefixes["fine_tuning"]
        score, improved = train(
            part, record, strategy, "fine_tuning", config.fine_tuning_epochs, config.fine_tuning_rate, config.warm_up,
            baseline=score,
        )  # fmt: skip
        stages.append(record.stage("fine_tuning", model, score))
        kept = "fine_tuning" if improved else "head"
        if kept == "head":
            surgery.freeze(after)

    # Evaluation: here, and nowhere else, the test clips are compared with their labels. A clip's answer is the mean
    # over its windows.
    results = {"strategy": f"{config.temporal}, {kept.replace('_', ' ')}", "data": splits.summary(), "stages": stages}
    if first is not None:
        results["kept_stage"] = kept
    windows = {split: part.predict(split) for split in ("validation", "test")}
    for split, answers in windows.items():
        results[split] = evaluation.evaluate(
            answers.mean(axis=0), splits.labels(split), splits.class_names, splits.groups(split), config.seed
        )
    probabilities = windows["test"].mean(axis=0)
    runs.write_predictions(record.directory, splits, probabilities)
    results["clips"] = dataclasses.asdict(looking) | {
        "temporal": config.temporal,
        "windows": len(windows["test"]),
        "window_accuracy": float((windows["test"].argmax(-1) == splits.labels("test")).mean()),
        "time": use_of_time(model, backbone, splits, looking, probabilities, config),
    }

    # What stays: a model that takes raw clips, the numbers, the pictures.
    model_from_clips = clip_surgery.take_raw_clips(model, backbone.preprocess, backbone.resize, looking)
    runs.save_model(record.directory, model_from_clips, splits.class_names, looking)
    result = record.finish(results | {"cost": record.cost(model, *prefixes.values())})
    saved = runs.SavedModel(model_from_clips, list(splits.class_names), looking)
    report.write(record.directory, clip_evaluation.for_clips(saved))
    record.publish()
    print(runs.summary(result))
    print(clip_evaluation.summary(result.results["clips"]))
    return result


if __name__ == "__main__":
    config.main(Config, run, __doc__)
