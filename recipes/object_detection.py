"""Object detection: find things in photos, with a new head on the feature maps of a frozen, pretrained network.

When to use it: if you want to know where things are in a photo, and how many: cells, people, parts, defects. Some
hundred photos with boxes are enough.

Data: a folder with photos and their boxes, as annotation tools write them: XML of Pascal VOC, text of PASCAL 1.00 or
YOLO, JSON of COCO. A groups.csv with path,group keeps photos of one slide or patient on one side:

    cells/photos/*.jpg   cells/annotations/*.xml   cells/groups.csv

Command:

    python recipes/object_detection.py                                        # the demo, nothing is downloaded
    python recipes/object_detection.py --data cells/
    python recipes/object_detection.py --data cells/ --unfreeze-from block_13
    python recipes/object_detection.py --data cells/ --compare                # frozen, partial, full, from scratch
    python recipes/object_detection.py --data street/ --detector yolox --weights yolox_nano.onnx    # starts from COCO
    python -m recipes predict runs/object_detection/latest photo.jpg --csv boxes.csv --draw pictures/

It needs an extra package: pip install 'keras-recipes[detection]'.

The head is that of FCOS (Tian et al. 2019, https://arxiv.org/abs/1904.01355), without anchors, on a feature pyramid of
strides 8, 16 and 32. The network in front of it runs once per photo and view; views are flipped and zoomed, and their
boxes with them. The loss is the focal loss for classes, the generalised intersection over union for edges and the
cross-entropy for centerness. pycocotools measures the average precision.

With `--detector yolox`, a whole detector is the start: YOLOX-nano (Ge et al. 2021, https://arxiv.org/abs/2107.08430),
which has learnt the 80 classes of COCO. Its pyramid is frozen and cached, too, and its heads go on training.

Expected, on two CPU cores: on 254 training photos of blood cells, split by group, MobileNetV2 has an AP50 of
0.861 (0.851 – 0.866) (three seeds), after two to three minutes. On the demo it has 0.514 (0.475 – 0.565).
"""

from __future__ import annotations

from common import startup  # isort: skip  (first: it imports TensorFlow quietly)

import dataclasses
import math
import pathlib
import sys
import tempfile
import types
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import keras
import numpy as np
import tyro
from annotated_types import Ge, Gt, Lt, doc

from common import devices, flags
from common.compare import detectors, trials
from common.data import box_annotations, boxes, dataset, pipeline
from common.demo import drawn_scenes
from common.evaluation import detection
from common.features import of_boxes
from common.media import augmentation as augmentations
from common.media import photos
from common.models import backbones, blocks, detector, freezing, raw_input, yolox
from common.report import boxes_compared, found_boxes
from common.runs import finished_run
from common.training import detection_targets, fitting, plan, recorder, settings

IMAGE_SIZE = 320
STEPS = 960  # of the head; more hardly helped on validation
FEWEST_EPOCHS = 30  # enough for heads that have learnt COCO
LAST = "last"  # for --unfreeze-from
# What --compare trains: name → what it is, and what differs. After frozen, each has --fine-tuning-epochs more.
STRATEGIES: dict[str, tuple[str, dict]] = {
    "frozen": ("a new head on the frozen network", {}),
    "partial": ("the head, then the last part of the network with it", {"unfreeze_from": LAST}),
    "full": ("the head, then the whole network with it", {"unfreeze_from": "0"}),
    "from_scratch": ("the whole network from random weights", {"from_scratch": True}),
}
# Settings of a comparison that its trials do not take.
OF_COMPARISON = ("compare", "strategies", "seeds", "unfreeze_from", "fine_tuning_epochs", "fine_tuning_rate", "mlflow",
                 "energy", "resume", "debug", "dry_run")  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(settings.PhotoConfig):
    """Find things in photos, with a new head on a frozen, pretrained network."""

    FORMS_OF_DATA = "a folder of photos and annotations, or demo"

    data: str = "demo"  # a folder of photos with boxes, or demo
    classes: tuple[str, ...] = ()  # find these classes only; default: all that have boxes
    one_class: str | None = None  # the name of one class that all boxes belong to; default: the classes stay apart
    # A CSV with the columns path and group, split or both; default: groups.csv in the folder, if there is one.
    listing: pathlib.Path | None = None
    # fcos is a new head on the --backbone. yolox, for things that COCO has, is YOLOX-nano, trained on COCO: --weights
    # yolox_nano.onnx of https://github.com/Megvii-BaseDetection/YOLOX/releases/tag/0.1.1rc0.
    detector: str = "fcos"
    # Side of the network's square; larger finds smaller things; default: 320, yolox: 416.
    image_size: Annotated[int, Gt(0)] | None = None
    # How photos become square: pad keeps the shape of things, squash uses the whole square.
    aspect: Literal["pad", "squash"] = "pad"
    flip: bool = True  # mirror training photos left to right
    # Zoom training photos in or out by up to this fraction, so that things have more sizes.
    zoom: Annotated[float, Ge(0), Lt(1), doc("0.2 is 20 %")] = 0.2
    # Augmented views to cache per photo; each has some hundred kilobytes of features.
    views: Annotated[int, Ge(0), Lt(1000)] = 4
    batch_size: Annotated[int, Gt(0)] = 8  # photos per step; small batches give more steps in the same time
    channels: Annotated[int, Gt(0)] = 64  # of fcos's pyramid and head; a multiple of 8
    depth: Annotated[int, Gt(0)] = 2  # 3x3 convolutions of fcos's head before its answers
    # Of the head; the learning rate falls to zero by then. 0: those with about 1,000 steps, from 30 to 200; yolox: 30.
    epochs: Annotated[int, Ge(0)] = 0
    learning_rate: Annotated[float, Gt(0)] = 1e-3  # of the head at its highest, after the first epoch
    # Number, name or block of the first layer of the network that trains after the head; default: none. last is the
    # last block, and the pyramid of yolox.
    unfreeze_from: str | None = None
    fine_tuning_epochs: Annotated[int, Gt(0)] = 10  # of the unfrozen layers with the head
    fine_tuning_rate: Annotated[float, Gt(0)] = 1e-4  # 10 to 100 times lower than the head's
    # Train the whole network from random weights with the head, for comparison: what the pretrained weights are worth.
    from_scratch: bool = False
    compare: bool = False  # train by several strategies, and say which to use; the model is that of the best one
    # For --compare: which of frozen, partial, full, from_scratch; default: all (without from_scratch for yolox).
    strategies: tuple[str, ...] = ()
    seeds: Annotated[int, Gt(0)] = 3  # for --compare: each has its own split, unless --split-seed is given
    no_baselines: tyro.conf.Suppress[bool] = True  # those of classes do not find boxes

    IDLE = ("fine_tuning_epochs", "fine_tuning_rate")
    FCOS = ("preprocess", "last_layer", "channels", "depth", "from_scratch")  # settings of fcos only

    def __post_init__(self) -> None:
        super().__post_init__()
        told = "must be fcos or yolox; --backbone hub:NAME takes the network of a detector of KerasHub, with a new head"
        flags.check(self.detector in ("fcos", "yolox"), "detector", told)
        flags.check(self.channels % 8 == 0, "channels", "must be a multiple of 8")
        for name in ("rotation", "randaugment"):
            flags.check(not getattr(self, name), name, "turns things out of their boxes; remove it")
        flags.check(not self.augmentation or self.views > 0, "views", "must be above 0; the boxes move with each view")
        both = self.from_scratch and (self.unfreeze_from or self.weights not in (None, "none"))
        flags.check(not both, "from_scratch", "trains all layers from random weights; remove the other flags for them")
        slow = self.fine_tuning_rate <= self.learning_rate / 10
        flags.check(slow or not self.unfreeze_from, "fine_tuning_rate", "must be at most a tenth of --learning-rate")
        tuned = bool({"partial", "full"} & set(self.compared))
        flags.check_used(self, tuned or bool(self.unfreeze_from), "without --unfreeze-from", *self.IDLE)
        flags.check_used(self, self.detector == "fcos", "with --detector yolox", *self.FCOS)
        flags.check_used(self, self.compare, "without --compare", "strategies", "seeds")
        if self.compare:
            self.check_comparison(tuned)

    def check_comparison(self, tuned: bool) -> None:
        """Refuse strategies that there are not, and settings that a comparison does not use."""
        given, every = self.compared, strategies_of(self.detector)
        told = f"must be some of {', '.join(every)}, each once"
        flags.check(set(given) <= set(every) and len(set(given)) == len(given), "strategies", told)
        flags.check_used(self, False, "with --compare, where it is one of --strategies", "from_scratch")
        flags.check_used(self, False, "with --compare, whose trials have curves in their reports", "tensorboard")
        flags.check_used(self, "partial" in given, "without partial in --strategies", "unfreeze_from")
        slow = self.fine_tuning_rate <= self.learning_rate / 10
        flags.check(slow or not tuned, "fine_tuning_rate", "must be at most a tenth of --learning-rate")

    @property
    def compared(self) -> tuple[str, ...]:
        """The strategies of a comparison; none without --compare."""
        return (self.strategies or strategies_of(self.detector)) if self.compare else ()

    def check_backbone(self) -> None:
        if self.detector == "fcos":
            return super().check_backbone()
        return flags.check(self.backbone == yolox.NAME, "backbone", "has no effect with --detector yolox; remove it")

    def check_files(self) -> None:
        """Refuse a run that could not be evaluated, a folder that is not there, and weights that are not YOLOX's."""
        super().check_files()
        detection.check_installed()
        if self.detector == "yolox" and not self.resume:
            yolox.check_weights(self.weights)

    @property
    def augmentation(self) -> augmentations.Augmentation:
        """The limits within which training photos are changed at random; what comes from outside has no things."""
        return augmentations.AugmentationOnBlack(**dataclasses.asdict(super().augmentation))


def strategies_of(kind: str) -> tuple[str, ...]:
    """Return the strategies that a kind of detector has; that of COCO is nothing without its weights."""
    return tuple(name for name in STRATEGIES if kind == "fcos" or name != "from_scratch")


# The model -------------------------------------------------------------------------------------------------------


def build_model(base_model: keras.Model, num_classes: int, config: Config) -> tuple[keras.Model, list]:
    """Build a detector: the base's maps at three strides, a feature pyramid, and one head for all its levels.

    Returns:
        The model, whose answers are (batch, places, classes + 5), and the maps at which the base is cut.
    """
    levels = detector.levels(base_model)
    head = detector.build_head(num_classes, config.channels, config.depth)
    answers = [head(level) for level in detector.pyramid(levels, config.channels)]
    # float32 even under mixed precision, since the loss needs its digits.
    output = keras.layers.Concatenate(axis=1, dtype="float32", name="answers")(answers)
    return keras.Model(base_model.input, output, name="detector"), levels


def choose_detector(config: Config, class_names: tuple[str, ...]) -> tuple[backbones.Backbone, keras.Model, list]:
    """Return the network with its own preprocessing, frozen, the detector on it, and the maps at which it is cut."""
    usual = yolox.IMAGE_SIZE if config.detector == "yolox" else IMAGE_SIZE
    size = config.image_size or (drawn_scenes.SIZE if config.data == "demo" else usual)
    if config.detector == "yolox":
        backbone, model = yolox.load(str(config.weights), size, config.aspect, class_names)
        freezing.freeze(backbone.model)
        return backbone, model, backbone.model.outputs
    weights = "none" if config.from_scratch else config.weights
    backbone = backbones.choose(dataclasses.replace(config, image_size=size, weights=weights), default="MobileNetV2")
    freezing.unfreeze(backbone.model, 0, "adapt") if config.from_scratch else freezing.freeze(backbone.model)
    model, levels = build_model(backbone.model, len(class_names), config)
    return backbone, model, model.inputs if config.from_scratch else levels


def yolox_loss(image_size: int, num_classes: int) -> Callable[[Any, Any], Any]:
    """Return the loss of YOLOX: objectness of all places, and of those with a box the class and the edges.

    Each box has the places that already find it best. A class counts as much as the box found there overlaps with the
    true one, and edges weigh 5.

    Args and returns: as for `detection_loss`, for answers (batch, places, 5 + classes).
    """

    def loss(truth: Any, answers: Any) -> Any:
        ops = keras.ops
        boxes_found = yolox.edges(answers, image_size, num_classes)
        thing, classes = answers[..., yolox.OBJECTNESS : yolox.OBJECTNESS + 1], answers[..., yolox.OBJECTNESS + 1 :]
        wanted = detection_targets.assign_by_cost(truth, image_size, boxes_found, thing, classes)
        overlap = detection_targets.iou(boxes_found, wanted.boxes)
        sure = wanted.classes * ops.stop_gradient(overlap)[..., None]
        of_things = keras.losses.binary_crossentropy(wanted.positive[..., None], thing, from_logits=True)
        of_classes = keras.losses.binary_crossentropy(sure[..., None], classes[..., None], from_logits=True)
        of_edges = 1.0 - overlap**2
        with_box = ops.maximum(ops.mean(ops.sum(wanted.positive, axis=-1)), 1.0)
        of_boxes = wanted.positive * (ops.sum(of_classes, axis=-1) + 5.0 * of_edges)
        return ops.sum(of_things + of_boxes, axis=-1) / with_box

    return loss


def detection_loss(image_size: int, num_classes: int) -> Callable[[Any, Any], Any]:
    """Return the loss of FCOS: the focal loss of all places, and of those with a box the edges and the centerness.

    Args:
        image_size: the side of the network's square in pixels.
        num_classes: the number of classes.

    Returns:
        A function of true boxes (batch, m, 5) and answers (batch, places, classes + 5). It returns the loss of each
        photo, (batch,); all places of a batch with a box weigh the same.
    """

    def loss(truth: Any, answers: Any) -> Any:
        ops = keras.ops
        wanted = detection_targets.assign(truth, image_size, num_classes)
        # The focal loss (Lin et al. 2017, https://arxiv.org/abs/1708.02002): easy background hardly counts.
        focal = keras.losses.binary_focal_crossentropy(
            wanted.classes[..., None], answers[..., :num_classes, None], apply_class_balancing=True, alpha=0.25,
            gamma=2.0, from_logits=True,
        )  # fmt: skip
        boxes_found = detector.edges(answers, image_size, num_classes)
        apart = 1.0 - detection_targets.generalised_iou(boxes_found, wanted.boxes)
        centre = keras.losses.binary_crossentropy(
            wanted.centerness[..., None], answers[..., num_classes + detector.EDGES :], from_logits=True
        )
        with_box = ops.maximum(ops.mean(ops.sum(wanted.positive, axis=-1)), 1.0)
        weight = ops.maximum(ops.mean(ops.sum(wanted.centerness, axis=-1)), 1.0)
        return (
            ops.sum(focal, axis=(1, 2)) / with_box
            + ops.sum(wanted.centerness * apart, axis=-1) / weight
            + ops.sum(wanted.positive * centre, axis=-1) / with_box
        )

    return loss


def optimizer(rate: float, epochs: int, steps: int) -> keras.optimizers.Optimizer:
    """Return Adam with a rate that rises for an epoch and then falls to zero by the end, along a cosine."""
    schedule = keras.optimizers.schedules.CosineDecay(
        rate / 10, max(1, (epochs - 1) * steps), warmup_target=rate, warmup_steps=steps
    )
    return keras.optimizers.AdamW(schedule, weight_decay=1e-4, clipnorm=10.0)


# The run ---------------------------------------------------------------------------------------------------------


def first_unfrozen(base_model: keras.Model, config: Config) -> int:
    """Return the number of the first layer that trains after the head; the number of layers if none does."""
    if not config.unfreeze_from:
        return len(base_model.layers)
    if config.unfreeze_from == LAST and config.detector == "fcos":
        return blocks.last_blocks(base_model, 1)[0][1]
    return blocks.layer_number(base_model, yolox.PYRAMID if config.unfreeze_from == LAST else config.unfreeze_from)


def usual_epochs(steps: int) -> int:
    """Return the epochs of the head, from the steps in each: few photos need more epochs."""
    return max(FEWEST_EPOCHS, min(200, math.ceil(STEPS / steps)))


def stages(base_model: keras.Model, config: Config, epochs: int) -> list[tuple[int, int]]:
    """Return, for each stage, the number of its first trainable layer and its epochs; `epochs` are the head's."""
    head = [(0 if config.from_scratch else len(base_model.layers), epochs)]
    return head + ([(first_unfrozen(base_model, config), config.fine_tuning_epochs)] if config.unfreeze_from else [])


def kind(config: Config) -> types.ModuleType:
    """Return the module that knows what the detector's answers mean."""
    return yolox if config.detector == "yolox" else detector


def found(prefix: of_boxes.BoxPrefix, side: str) -> np.ndarray:
    """Return the boxes that a trained detector finds on a side, as `detector.suppressed` does."""
    targets: Any = prefix.splits.targets
    answers = prefix.predict(side)[0]
    decoded = kind(prefix.config).decoded(answers, prefix.backbone.image_size, len(targets.box_classes))
    return detector.suppressed(keras.ops.convert_to_numpy(decoded), overlap=targets.overlap)


class Prepared(NamedTuple):
    """Data and model of a run before its training: `backbone`, `model` and `levels` are those of `choose_detector`."""

    splits: Any
    backbone: backbones.Backbone
    model: keras.Model
    levels: list
    first: int  # the number of the first layer of the network that trains after the head
    ends: dict[int, list]  # a stage's first layer → the tensors that it is cut at
    loss: Callable[[Any, Any], Any]
    epochs: int  # of the head


def prepare(config: Config, directory: pathlib.Path, device: Any) -> Prepared:
    """Read the data into a directory, and build the detector."""
    # Data: photos with checked boxes.
    medium, splits_csv = photos.Photos(), directory / "split.csv"
    read = None if splits_csv.is_file() else box_annotations.read(config, medium)
    splits = dataset.load(
        config, directory, medium, boxes.Boxes(aspect=config.aspect),
        read.samples if read else None, read.problems if read else (),
    )  # fmt: skip
    targets: Any = splits.targets

    # Model: the pretrained base with its own preprocessing, a feature pyramid and a head.
    with device.scope():
        backbone, model, levels = choose_detector(config, targets.box_classes)
    first = first_unfrozen(backbone.model, config)
    ends = {0: model.inputs, len(backbone.model.layers): levels}
    ends.setdefault(first, detector.cut_at(model, levels, first, backbone.model))
    loss_of = yolox_loss if config.detector == "yolox" else detection_loss
    loss = loss_of(backbone.image_size, len(targets.box_classes))
    return Prepared(splits, backbone, model, levels, first, ends, loss, epochs_of(config, len(splits.train)))


def epochs_of(config: Config, photos: int) -> int:
    """Return the epochs of the head for this number of training photos."""
    usual = FEWEST_EPOCHS if config.detector == "yolox" else usual_epochs(pipeline.steps(photos, config.batch_size))
    return config.epochs or usual


def run(config: Config) -> finished_run.Result:
    """Train the head, then layers of the network if asked, and read the test photos once."""
    detection.check_installed()  # again, since with --resume no files are checked
    record = recorder.Recorder("object_detection", config)
    config = record.config  # with --resume, the settings of the interrupted run
    if config.compare:
        return run_comparison(record)
    device = devices.set_up(config)
    ready = prepare(config, record.directory, device)
    splits, backbone, model = ready.splits, ready.backbone, ready.model
    levels, first, ends, loss, epochs = ready.levels, ready.first, ready.ends, ready.loss, ready.epochs
    targets: Any = splits.targets
    num_classes, steps = len(targets.box_classes), pipeline.steps(len(splits.train), config.batch_size)
    planned = stages(backbone.model, config, epochs)
    record.begin(backbone, model, splits, planned, at=ends, loss=loss, epochs=epochs)
    found_boxes.draw_annotated(record.directory, splits)

    # Stage 1: the head. The frozen base runs once per photo and view; the suffix shares its layers with `model`.
    prefix = of_boxes.BoxPrefix(model, backbone, splits, config, at=levels)
    print(freezing.trainable_table(model), file=sys.stderr)
    with device.scope():
        prefix.suffix.compile(optimizer(config.learning_rate, epochs, steps), loss)
    # Where COCO has all the classes, its detector as it is may be good enough: what the training has to beat.
    before = None
    if config.detector == "yolox" and config.weights != "none" and len(yolox.known(targets.box_classes)) == num_classes:
        before = {side: found(prefix, side) for side in ("validation", "test")}
    fitted = fitting.fit(record, prefix, "head", epochs, patience=0)
    rows, parts = [record.stage("head", model, fitted.score)], [prefix]

    # Stage 2, if asked: the layers from --unfreeze-from on train with the head, at a low rate.
    if config.unfreeze_from:
        freezing.unfreeze(backbone.model, first)
        parts.append(of_boxes.BoxPrefix(model, backbone, splits, config, at=ends[first]))
        prefix = parts[-1]
        print(freezing.trainable_table(model), file=sys.stderr)
        with device.scope():
            prefix.suffix.compile(optimizer(config.fine_tuning_rate, config.fine_tuning_epochs, steps), loss)
        fitted = fitting.fit(
            record, prefix, "fine_tuning", config.fine_tuning_epochs, before=fitted.score, keep_worse=True, patience=0
        )
        rows.append(record.stage("fine_tuning", model, fitted.score))

    # The threshold of the score is that of the best F1 on the validation photos. Training photos have no score: their
    # cached looks are augmented, so that the true boxes are elsewhere.
    sides = {side: found(prefix, side) for side in ("validation", "test")}
    threshold = detection.best_threshold(sides["validation"], splits.validation, targets)
    targets = dataclasses.replace(targets, threshold=threshold)
    prefix.splits = splits = dataclasses.replace(splits, targets=targets)

    # Evaluation: here and nowhere else, the test photos are compared with their boxes.
    decoded = kind(config).decoded(model.output, backbone.image_size, num_classes)
    scores = keras.Model(model.input, decoded, name="boxes")
    whole = raw_input.take_raw_pixels(scores, backbone.preprocess, backbone.resize)
    detection.write_found(record.directory, sides["test"], splits.test, targets)
    averages = ("ap", "ap50", "ap75")
    usual = detection.evaluate(detection.usual_boxes(splits, "test"), splits, "test", config.seed)
    extra = {"usual_boxes": {name: usual[name] for name in averages}}
    for side, rows_before in (before or {}).items():
        scores_before = detection.evaluate(rows_before, splits, side, config.seed)
        extra.setdefault("untrained", {})[side] = {name: scores_before[name] for name in averages}
    frozen = "a new head on the frozen network" if config.detector == "fcos" else "COCO's heads on the frozen network"
    where = backbone.model.layers[first].name if config.unfreeze_from == LAST else config.unfreeze_from
    strategy = "from scratch" if config.from_scratch else f"head, then from {where}" if where else frozen
    return record.finish(
        prefix, strategy, task=detection, sections=[found_boxes], predictions=sides, raw_input=whole,
        keeps_familiar=False, others=tuple(parts[:-1]), stages=rows, **extra,
    )  # fmt: skip


# Strategies side by side -----------------------------------------------------------------------------------------


def trial_of(config: Config, strategy: str, seed: int, epochs: int) -> Config:
    """Return the settings of a strategy's trial; `epochs` are those of the head."""
    what = STRATEGIES[strategy][1]
    taken = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)
             if field.name not in OF_COMPARISON} | {"seed": seed, "epochs": epochs} | what  # fmt: skip
    if "unfreeze_from" in what:
        taken |= {name: getattr(config, name) for name in Config.IDLE}
    if strategy == "partial" and config.unfreeze_from:
        taken["unfreeze_from"] = config.unfreeze_from
    if strategy == "from_scratch":
        taken |= {"weights": None, "epochs": epochs + config.fine_tuning_epochs}
    return Config(**taken)


def plan_of(config: Config) -> plan.Plan:
    """Plan a trial; this trains its model on noise."""
    with tempfile.TemporaryDirectory() as folder:
        place, device = pathlib.Path(folder), devices.set_up(config)
        splits, backbone, model, _, _, ends, loss, epochs = prepare(config, place, device)
        planned = stages(backbone.model, config, epochs)
        return plan.of_items(model, backbone, splits, config, planned, at=ends, loss=loss)


def plan_of_all(config: Config, epochs: int) -> plan.Plan:
    """Plan a comparison: the strategies of one seed, as often as there are seeds."""
    plans = {name: trials.call(plan_of, trial_of(config, name, config.seed, epochs)) for name in config.compared}
    steps = [dataclasses.replace(step, name=f"{name}: {step.name}", seconds=step.seconds * config.seeds)
             for name, each in plans.items() for step in each.steps]  # fmt: skip
    about = next(iter(plans.values())).about | {"trials": f"{len(plans)} strategies x {config.seeds} seeds"}
    features, runs = max(each.features for each in plans.values()), sum(each.run for each in plans.values())
    memory = max(each.memory for each in plans.values())
    return plan.Plan(about, steps, memory, config.seeds * features, config.seeds * runs)


def run_comparison(record: recorder.Recorder) -> finished_run.Result:
    """Train by all strategies under all seeds, each in its own process, and keep the model of the one to use."""
    config, directory = record.config, record.directory
    seeds = range(config.seed, config.seed + (1 if config.dry_run else config.seeds))
    splits = detectors.splits_of_seeds(config, seeds, directory / "splits")
    epochs = epochs_of(config, len(splits[config.seed].train))
    record.say_if_untrained()
    if config.dry_run:
        record.print_plan(plan_of_all(config, epochs))
    record.write_config(epochs=epochs)

    # Seed by seed, so that an interruption leaves whole seeds. The frozen network runs in the first trial of each.
    planned = {
        (name, seed): trials.Trial(f"{name}/seed{seed}", run.__module__, trial_of(config, name, seed, epochs))
        for seed in splits for name in config.compared
    }  # fmt: skip
    outcomes = trials.run_all(list(planned.values()), directory / "trials")

    comparison = detectors.compare(detectors.runs_of(planned, outcomes, STRATEGIES), directory)
    comparison["seconds"] = round(record.progress.seconds(), 1)

    # The run becomes that of the strategy to use.
    results = detectors.take_over(directory, comparison) | {"comparison": comparison}
    return record.complete(results, [found_boxes, boxes_compared])


if __name__ == "__main__":
    # The trials' processes import this file by its name, so its classes must come from that module.
    from recipes import object_detection

    startup.main(object_detection.Config, object_detection.run, __doc__)
