"""Skin lesions: a medical recipe with an honest evaluation (the articles' skin cancer example).

When to use it: for dermatoscopic pictures (HAM10000, ISIC). It also suits other medical photos if several show the same
patient or finding, some classes are rare, and one must not be missed. It is not a medical device.

Data: a folder with images and a `metadata.csv` with HAM10000's columns (`data/ham10000/prepare.py` makes one); flags
set other column names. Or class folders, or a CSV with path,label,group, where a group is a lesion:

    lesions/images/ISIC_0027419.jpg …
    lesions/metadata.csv                    lesion_id,image_id,dx,dx_type,age,sex,localization

Command:

    python recipes/skin_lesions.py                                                      # drawn lesions, no download
    python recipes/skin_lesions.py --data lesions/ --image-size 192
    python recipes/skin_lesions.py --data lesions/ --show-leak                          # what a careless split claims

It follows the example with VGG16, GlobalAveragePooling2D, Dense 128 and softmax. It adds what the example lacks: a
split by lesion, a correction for rare classes, a second stage that fine-tunes the last blocks, and an evaluation for a
clinic. Only the picture reaches the network. Age, sex and site in the table only show for whom a result holds. The
column `dx_type` (how the diagnosis was made) is not read, because it gives the diagnosis away.

Expected, on two CPU cores, median of three seeds: on the drawn lesions, a balanced accuracy of 0.573 (0.571 – 0.617) in
45 seconds (31 – 53), while a split by picture claims 0.701. On HAM10000 at 192 pixels with MobileNetV2 from block_15,
0.623 (0.615 – 0.634) and a macro AUC of 0.918 (0.907 – 0.929). That takes 3 to 7 minutes, and 8 for the features
beside other work.
"""

from __future__ import annotations

from common import startup  # isort: skip  (first: it imports TensorFlow quietly)

import dataclasses
import pathlib
import sys
from typing import Annotated, Any, Literal

import keras
import numpy as np
from annotated_types import Ge, Gt, Le, Lt, doc

from common import devices, errors, flags
from common.data import dataset, metadata_table, pipeline
from common.evaluation import classification, clinic, temperature_scaling
from common.features import frozen_prefix
from common.media import photos
from common.models import backbones, blocks, freezing, raw_input
from common.report import classes, clinical
from common.runs import finished_run
from common.training import fine_tuning, fitting, imbalance, recorder, schedules


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(fine_tuning.TwoStageConfig):
    """Classify dermatoscopic pictures, with a split by lesion and an evaluation for a clinic."""

    FORMS_OF_DATA = "a folder with images and a metadata.csv, a folder of class folders, a CSV, tfds:NAME or demo"

    data: str = "demo"  # demo, a folder with metadata.csv, class folders, or a CSV with path,label,group
    article: bool = False  # the settings of the article's example to the letter; other flags beside it win
    validation_fraction: Annotated[float, Gt(0), Lt(1)] = 0.15  # of the lesions of each diagnosis
    test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.2  # of the lesions of each diagnosis
    split: Literal["lesion", "random"] = "lesion"  # random leaks: pictures of one lesion are on both sides
    show_leak: bool = False  # also train on a random split and compare the results; always on demo data
    # Correction for rare diagnoses; none is the example; posthoc divides by the prior after the training.
    imbalance: Literal["none", "weights", "effective_number", "sampling", "focal", "logit_adjust", "posthoc"] = (
        "posthoc"
    )
    compare_imbalance: bool = False  # compare heads for all choices on validation pictures; always on demo data
    target_class: tuple[str, ...] = ("mel",)  # the diagnosis (or several) that must not be missed
    # Sensitivity wanted for the target; the threshold is chosen on validation to reach it.
    target_sensitivity: Annotated[float, Gt(0), Le(1)] = 0.95
    hidden_units: Annotated[int, Ge(0)] = 128  # Dense units before the softmax
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.3  # before each Dense layer
    epochs: Annotated[int, Gt(0)] = 20  # of the head; its rate falls to 0 by the last epoch
    learning_rate: Annotated[float, Gt(0)] = 3e-3  # of the head
    fine_tuning_rate: Annotated[float, Gt(0)] = 3e-4  # 10 to 100 times below the head's
    flip: bool = True  # mirror training pictures; with any rotation this gives both flips, as a lesion has no top
    rotation: Annotated[float, Ge(0), Le(180), doc("in degrees")] = 180.0  # rotate by up to this many degrees
    zoom: Annotated[float, Ge(0), Lt(1), doc("0.1 is 10 %")] = 0.1  # zoom in or out by up to this fraction
    contrast: Annotated[float, Ge(0), Le(1), doc("0.1 is 10 %")] = 0.1  # raise or lower it by up to this fraction
    # Scale red, green and blue by up to this fraction more or less; more would change the diagnosis.
    colour: Annotated[float, Ge(0), Le(1), doc("0.1 is 10 %")] = 0.05
    test_time_views: Literal[1, 4, 8] = 8  # average over this many orientations of a picture; 1 uses only its own
    image_column: str = "image_id"  # metadata.csv: name of the image file, with or without its suffix
    label_column: str = "dx"  # metadata.csv: the diagnosis
    group_column: str = "lesion_id"  # metadata.csv: the lesion, or the patient
    age_column: str = "age"  # metadata.csv: in years; may be missing
    sex_column: str = "sex"  # metadata.csv: may be missing
    site_column: str = "localization"  # metadata.csv: site on the body; may be missing
    diagnoses: tuple[str, ...] = ()  # valid diagnoses; default: HAM10000's seven if the column is dx, else any

    # GlobalAveragePooling2D, Dense 128 and softmax on VGG16, with Adam at 0.001 for 10 epochs, and nothing else.
    ARTICLE = {
        "dropout": 0.0, "epochs": 10, "learning_rate": 1e-3, "schedule": "constant", "fine_tuning_epochs": 0,
        "imbalance": "none", "flip": False, "rotation": 0.0, "zoom": 0.0, "contrast": 0.0, "colour": 0.0,
        "test_time_views": 1,
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        flags.check(len(self.target_class) > 0, "target_class", "must name at least one diagnosis")
        flags.check(not (self.show_leak and self.split == "random"), "show_leak", "needs --split lesion")


def build_model(base_model: keras.Model, num_classes: int, config: Config) -> keras.Model:
    """Build the example's model with dropout: the base, GlobalAveragePooling2D, Dense 128, softmax."""
    x = keras.layers.GlobalAveragePooling2D()(base_model.output)
    if config.hidden_units:
        x = keras.layers.Dropout(config.dropout)(x)
        x = keras.layers.Dense(config.hidden_units, activation="relu")(x)
    x = keras.layers.Dropout(config.dropout)(x)
    # float32 even under mixed precision, since the softmax and the loss need its digits.
    output = keras.layers.Dense(num_classes, activation="softmax", dtype="float32", name="probabilities")(x)
    return keras.Model(base_model.input, output, name="classifier")


def read_table(config: Config) -> metadata_table.Table:
    """Read the pictures and their table; for a split by picture, the lesions are removed from the samples."""
    columns = metadata_table.Columns(
        config.image_column, config.label_column, config.group_column, config.age_column, config.sex_column,
        config.site_column,
    )  # fmt: skip
    table = metadata_table.load(
        config.data, config.cache_directory, columns, config.diagnoses, config.skip_unsupported, config.same_names,
        config.group_pattern,
    )  # fmt: skip
    diagnoses = sorted({sample.label for sample in table.samples})
    for name in config.target_class if len(diagnoses) > 1 else ():  # a single class is refused later
        if name not in diagnoses:
            raise errors.UserError(
                f"--target-class {name}: no such diagnosis in the data; choose one or several of {', '.join(diagnoses)}"
            )
    if config.split == "lesion":
        return table
    print("data: --split random puts pictures of one lesion on both sides, so its result is too good", file=sys.stderr)
    if any(sample.split for sample in table.samples):
        raise errors.UserError("--split random: the data already contains a split; use --split lesion, which keeps it")
    return dataclasses.replace(table, samples=[dataclasses.replace(sample, group="") for sample in table.samples])


def train(
    prefix: frozen_prefix.FrozenPrefix, record: recorder.Recorder[Config], device: devices.Strategy, stage: str,
    choice: imbalance.Choice, epochs: int, rate: float, warm_up: int = 0, baseline: dict[str, float] | None = None,
) -> fitting.Fitted:  # fmt: skip
    """Train the part behind a frozen prefix; the last epoch counts.

    Args:
        prefix: the frozen prefix; its suffix is trained, which shares its layers with the whole model.
        stage: the name of the stage in history.csv.
        choice: the correction for rare diagnoses.
        rate: the learning rate of Adam, which rises over the first `warm_up` epochs.
        baseline: the validation score before the stage. If the stage does not validate better (no lower balanced
            accuracy, and a lower log loss), the earlier weights are put back.
    """
    counts = prefix.splits.counts()
    steps = pipeline.steps(counts.sum(), record.config.batch_size)
    schedule = schedules.learning_rate(rate, epochs * steps, warm_up * steps, record.config.schedule)
    with device.scope():
        prefix.suffix.compile(
            optimizer=keras.optimizers.Adam(schedule),
            loss=imbalance.loss(choice, counts),
            metrics=[
                "accuracy",
                imbalance.BalancedAccuracy(len(counts), imbalance.priors(counts) if choice == "posthoc" else None),
            ],
        )

    def balanced_accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
        answers = imbalance.without_prior(probabilities, counts) if choice == "posthoc" else probabilities
        right = answers.argmax(axis=-1) == labels
        return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))

    return fitting.fit(
        record, prefix, stage, epochs, before=baseline, measure=balanced_accuracy, balanced=choice == "sampling",
        class_weight=imbalance.class_weights(choice, counts),
    )  # fmt: skip


def compare_choices(
    prefix: frozen_prefix.FrozenPrefix, record: recorder.Recorder[Config], device: devices.Strategy,
    backbone: backbones.Backbone,
) -> dict[str, Any]:  # fmt: skip
    """Train a head with every correction for imbalance on the cached features, and score each on validation pictures.

    Args:
        prefix: the frozen prefix of the head already trained with `config.imbalance`.
    """
    config, splits, rows = record.config, prefix.splits, []
    labels, rarest = splits.labels("validation"), splits.class_names[splits.counts().argmin()]
    for choice in imbalance.CHOICES:
        other = prefix
        if choice != config.imbalance:
            with device.scope():
                model = build_model(backbone.model, len(splits.class_names), config)
            other = frozen_prefix.FrozenPrefix(model, backbone, splits, config, config.test_time_views)
            train(other, record, device, f"head_{choice}", choice, config.epochs, config.learning_rate)
        looks = other.predict("validation")
        looks = imbalance.without_prior(looks, splits.counts()) if choice == "posthoc" else looks
        probabilities = looks.mean(axis=0)
        score = classification.scores(probabilities, labels, splits.class_names, resamples=1)
        shown = {name: score[name] for name in ("accuracy", "balanced_accuracy", "macro_auc", "log_loss")}
        rows.append({"choice": choice} | shown | {"recall_of_rarest": score["per_class"][rarest]["recall"]})
    return {"used": config.imbalance, "choices": rows}


def train_with_leak(config: Config, directory: pathlib.Path) -> finished_run.Result:
    """Run this recipe on a split by picture, as a separate run in `leak/` of the run's directory."""
    for earlier in sorted((directory / "leak" / "skin_lesions").glob("*/config.json")):
        if (earlier.parent / "results.json").is_file():
            return finished_run.Result.read(earlier.parent)
        return run(Config(resume=earlier.parent))
    out = directory / "leak"
    return run(
        dataclasses.replace(config, out=out, split="random", show_leak=False, compare_imbalance=False, resume=None)
    )


def stages(base_model: keras.Model, first: int, config: Config) -> list[tuple[int, int]]:
    """Return, for each stage, the number of the first layer that trains and the number of epochs."""
    choices = len(imbalance.CHOICES) if config.compare_imbalance or config.data == "demo" else 1
    heads = [(len(base_model.layers), config.epochs)] * choices
    return [*heads, (first, config.fine_tuning_epochs)] if config.fine_tuning_epochs else heads


def run(config: Config) -> finished_run.Result:
    """Train the head, then the last layers too, unless that harms, and read the test pictures once."""
    record = recorder.Recorder("skin_lesions", config)
    config = record.config  # with --resume, the settings of the interrupted run
    device = devices.set_up(config)

    # Data: only the pictures are used for training; the rest of the table is for the evaluation.
    table = read_table(config)
    splits = dataset.load(
        config, record.directory, photos.Photos(), samples=table.samples, problems=table.problems, by_group=True
    )

    # Model: the pretrained base, frozen, and a new head.
    with device.scope():
        backbone = backbones.choose(config, default="VGG16" if config.article else "MobileNetV2")
        model = build_model(backbone.model, len(splits.class_names), config)
    ((_, first),) = blocks.last_blocks(backbone.model, 1)
    if config.unfreeze_from:
        first = blocks.layer_number(backbone.model, config.unfreeze_from)
    freezing.unfreeze(backbone.model, first, config.batch_norm)
    record.begin(
        backbone, model, splits, stages(backbone.model, first, config), turns=config.test_time_views,
        unfreeze_from=backbone.model.layers[first].name,
    )  # fmt: skip

    # The layers that never train run once for each picture and each of its augmented views.
    unfrozen = frozen_prefix.FrozenPrefix(model, backbone, splits, config, config.test_time_views)
    freezing.freeze(backbone.model)
    frozen = frozen_prefix.FrozenPrefix(model, backbone, splits, config, config.test_time_views)

    # Stage 1: the head, on the frozen base.
    print(freezing.trainable_table(model), file=sys.stderr)
    head = train(frozen, record, device, "head", config.imbalance, config.epochs, config.learning_rate)
    rows, kept, part = [record.stage("head", model, head.score)], "head", frozen
    compared = {}
    if config.compare_imbalance or config.data == "demo" and config.split == "lesion":
        compared["imbalance"] = compare_choices(frozen, record, device, backbone)

    # Stage 2: train the head and the last layers, at a low rate; unless that validates better, the head is put back.
    if config.fine_tuning_epochs:
        freezing.unfreeze(backbone.model, first, config.batch_norm)
        print(freezing.trainable_table(model), file=sys.stderr)
        part = unfrozen
        tuned = train(
            unfrozen, record, device, "fine_tuning", config.imbalance, config.fine_tuning_epochs,
            config.fine_tuning_rate, config.warmup_epochs, baseline=head.score,
        )  # fmt: skip
        rows.append(record.stage("fine_tuning", model, tuned.score))
        kept = "fine_tuning" if tuned.improved else "head"
        if kept == "head":
            freezing.freeze(backbone.model)

    # Evaluation: here and nowhere else, the test pictures are compared with their labels. The temperature is fitted on
    # validation; the last layer's weights are divided by it, so that the model contains it. With posthoc, the prior is
    # divided out afterwards, since that needs calibrated probabilities.
    looks = {side: part.predict(side) for side in ("validation", "test")}
    temperature = temperature_scaling.fit_temperature(looks["validation"], splits.labels("validation"))
    output, counts = model.get_layer("probabilities"), splits.counts()
    output.set_weights([weights / temperature for weights in output.get_weights()])
    scaled = {side: temperature_scaling.soften(looks[side], temperature) for side in looks}
    answers = scaled
    if config.imbalance == "posthoc":
        imbalance.take_prior_out(output, counts)
        answers = {side: imbalance.without_prior(scaled[side], counts) for side in scaled}

    def judged(side: str, answers: np.ndarray) -> clinic.Side:
        about = [table.about[path] for path in splits.paths(side)]
        return clinic.Side(answers.mean(axis=0), splits.labels(side), about)

    final = {side: judged(side, answers[side]) for side in answers}
    found: dict[str, Any] = {"split": config.split, "temperature": temperature} | compared | clinic.clinical(
        final["validation"], final["test"], (judged("test", looks["test"]), judged("test", scaled["test"])),
        splits.class_names, config.target_class, config.target_sensitivity, config.seed,
    )  # fmt: skip
    if config.show_leak or config.data == "demo" and config.split == "lesion":
        test = clinic.evaluate(final["test"].probabilities, splits, "test", config.seed, final["test"].lesions)
        found["leak"] = clinic.leak(test, train_with_leak(config, record.directory), table.about)

    # Files: a model that takes raw pixels, the numbers, the pictures, the model card.
    about = final["test"].about
    groups = {  # a patient, if the table names patients; a split by picture knows no groups
        side: [group or lesion for group, lesion in zip(splits.groups(side), each.lesions, strict=True)]
        for side, each in final.items()
    }
    names = ("lesion", "sex", "age", "site")
    return record.finish(
        part, f"{config.imbalance}, {kept.replace('_', ' ')}", task=clinic, sections=[classes, clinical],
        predictions={side: each.probabilities for side, each in final.items()},
        groups=groups,
        columns={name: [getattr(facts, name) for facts in about] for name in names},
        raw_input=raw_input.take_raw_pixels(
            backbone.savable(model), backbone.preprocess, backbone.resize, config.test_time_views
        ),
        frozen=frozen, others=(frozen if part is unfrozen else unfrozen,), stages=rows, kept_stage=kept, clinic=found,
    )  # fmt: skip


if __name__ == "__main__":
    startup.main(Config, run, __doc__)
