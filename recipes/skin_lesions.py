"""Skin lesions: a medical recipe that does not fool itself.

When to use it: for dermatoscopic pictures (HAM10000, ISIC), or any medical photos of which several show the same
patient or finding, with rare classes and one that must not be missed. It is no medical device.

Data: a folder with images and `metadata.csv` with HAM10000's columns (`data/ham10000/prepare.py` makes one), other
names by flags; or class folders, or a CSV with path,label,group, where a group is a lesion:

    lesions/images/ISIC_0027419.jpg …
    lesions/metadata.csv                    lesion_id,image_id,dx,dx_type,age,sex,localization

Command:

    python recipes/skin_lesions.py                                                      # drawn lesions, no download
    python recipes/skin_lesions.py --data lesions/ --backbone MobileNetV2 --image-size 192
    python recipes/skin_lesions.py --data lesions/ --show-leak                          # what a careless split claims

It mirrors the example with VGG16, GlobalAveragePooling2D, Dense 128 and softmax, and adds what the example lacks: a
split by lesion, rare classes that count, a second stage that fine-tunes the last blocks, and an evaluation for a
clinic. Only the picture reaches the network; age, sex and site of the table only tell whom a result holds for, and
`dx_type` (how the diagnosis was made) is not read, since it gives the diagnosis away.

Expected, on two CPU cores, median of three seeds: on the drawn lesions a balanced accuracy of 0.573 (0.571 – 0.617),
where a split by picture claims 0.701, in 45 seconds (31 – 53); on HAM10000 at 192 pixels with MobileNetV2 from block_15
0.600 (0.593 – 0.609) and a macro AUC of 0.917 (0.917 – 0.921), in 3 to 7 minutes, and 18 for the features beside other
work.
"""

import dataclasses
import sys
from typing import Any, Literal

from common import (
    backbones,
    clinic,
    config,
    data,
    device,
    errors,
    evaluation,
    frozen_prefix,
    generators,
    grad_cam,
    imbalance,
    metadata,
    report,
    runs,
    surgery,
)

import keras  # isort: skip  (after common, which imports TensorFlow quietly)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(config.SharedConfig):
    """Classify dermatoscopic pictures; splits by lesion, evaluates for a clinic."""

    data: str = "demo"  # demo, a folder with metadata.csv, class folders, or a CSV with path,label,group
    backbone: str | None = None  # a name in keras.applications, MobileNetV2:0.35; default VGG16, on demo data demo
    validation_fraction: float = 0.15  # of the lesions of each diagnosis
    test_fraction: float = 0.2  # of the lesions of each diagnosis
    split: Literal["lesion", "random"] = "lesion"  # random leaks: one lesion's pictures on both sides
    show_leak: bool = False  # train once more on a random split, both results side by side; the demo always does
    # What is done about rare diagnoses; none is the example. posthoc: the prior is divided out after the training.
    imbalance: Literal["none", "weights", "effective_number", "sampling", "focal", "logit_adjust", "posthoc"] = (
        "posthoc"
    )
    compare_imbalance: bool = False  # a head under every choice, on validation pictures; the demo always does
    target: tuple[str, ...] = ("mel",)  # the diagnosis (or several) that must not be missed
    sensitivity: float = 0.95  # wanted for the target; the threshold for it is chosen on validation
    hidden_units: int = 128  # Dense units before the softmax
    dropout: float = 0.3  # before each Dense
    epochs: int = 20  # of the head; its rate falls to nothing in the last
    learning_rate: float = 3e-3  # of the head
    unfreeze_from: str | None = None  # number, name or block of a layer; default: the last block
    fine_tuning_epochs: int = 10  # of the second stage; 0 leaves it out
    fine_tuning_rate: float = 3e-4  # 10 to 100 times below the head's
    warm_up: int = 1  # epochs in which the fine-tuning rate rises from nothing
    batch_norm: Literal["frozen", "adapt"] = "frozen"  # adapt only with large batches and many photos
    flip: bool = True  # with any rotation that is both flips: a lesion has no upside
    rotation: float = 180.0  # turn by up to so many degrees
    zoom: float = 0.1  # up to this fraction closer or further
    contrast: float = 0.1  # up to this fraction more or less contrast
    colour: float = 0.05  # up to this fraction more or less red, green and blue; more would change the diagnosis
    turns: Literal[1, 4, 8] = 8  # orientations of a picture that an answer is the mean of; 1 just looks at it
    image_column: str = "image_id"  # metadata.csv: name of the image file, with or without its ending
    label_column: str = "dx"  # metadata.csv: the diagnosis
    group_column: str = "lesion_id"  # metadata.csv: the lesion, or the patient
    age_column: str = "age"  # metadata.csv: in years; may be missing
    sex_column: str = "sex"  # metadata.csv: may be missing
    site_column: str = "localization"  # metadata.csv: where on the body; may be missing
    diagnoses: tuple[str, ...] = ()  # those that may occur; default: HAM10000's seven if the column is dx, else any

    def __post_init__(self):
        super().__post_init__()
        config.check(0 < self.sensitivity <= 1, "sensitivity", "must be above 0 and at most 1")
        config.check(len(self.target) > 0, "target", "must name at least one diagnosis")
        config.check(self.fine_tuning_rate > 0, "fine_tuning_rate", "must be above 0")
        slow = self.fine_tuning_rate <= self.learning_rate / 10
        config.check(slow, "fine_tuning_rate", "must be 10 times below --learning-rate")
        config.check(self.fine_tuning_epochs >= 0, "fine_tuning_epochs", "must be 0 or above")
        config.check(0 <= self.dropout < 1, "dropout", "must be from 0 to below 1")
        config.check(0 <= self.colour <= 1, "colour", "must be from 0 to 1: 0.1 is 10 %")
        for name in ("hidden_units", "warm_up"):
            config.check(getattr(self, name) >= 0, name, "must be 0 or above")
        short = self.fine_tuning_epochs and self.warm_up >= self.fine_tuning_epochs
        config.check(not short, "warm_up", "must be below --fine-tuning-epochs: add --warm-up 0")
        config.check(not (self.show_leak and self.split == "random"), "show_leak", "needs --split lesion")


def build_model(base_model: keras.Model, num_classes: int, config: Config) -> keras.Model:
    """The documentation's model: the base, GlobalAveragePooling2D, Dense 128, softmax; and dropout."""
    x = keras.layers.GlobalAveragePooling2D()(base_model.output)
    if config.hidden_units:
        x = keras.layers.Dropout(config.dropout)(x)
        x = keras.layers.Dense(config.hidden_units, activation="relu")(x)
    x = keras.layers.Dropout(config.dropout)(x)
    # float32 also under mixed precision: the softmax and the loss need the digits.
    output = keras.layers.Dense(num_classes, activation="softmax", dtype="float32", name="probabilities")(x)
    return keras.Model(base_model.input, output, name="classifier")


def read_table(config: Config) -> metadata.Table:
    """The pictures and what is known of them; for a split by picture the splitter is not told the lesions."""
    columns = metadata.Columns(
        config.image_column, config.label_column, config.group_column, config.age_column, config.sex_column,
        config.site_column,
    )  # fmt: skip
    table = metadata.load(config.data, config.cache_directory, columns, config.diagnoses)
    diagnoses = sorted({sample.label for sample in table.samples})
    for name in config.target:
        if name not in diagnoses:
            raise errors.UserError(
                f"--target {name}: no such diagnosis in the data; name one (or several) of {', '.join(diagnoses)}"
            )
    if config.split == "lesion":
        return table
    print("data: --split random puts pictures of one lesion on both sides: its result is too good", file=sys.stderr)
    if any(sample.split for sample in table.samples):
        raise errors.UserError("--split random: the data has a split of its own, which --split lesion keeps")
    return dataclasses.replace(table, samples=[dataclasses.replace(sample, group="") for sample in table.samples])


def train(prefix, record, strategy, stage, choice, epochs, rate, warm_up=0, baseline=None):
    """Fits what lies behind a frozen prefix; its rate falls to 0 along a cosine, and its last epoch counts.

    Args:
        prefix: the `FrozenPrefix`; its suffix is trained, and so the model that it was cut from.
        stage: name of the stage in history.csv.
        choice: what is done about rare diagnoses.
        rate: Adam's, which rises over the first `warm_up` epochs.
        baseline: the validation score of the weights before; they come back where the stage validates worse by more
            than chance allows (on a dozen pictures of a rare class one more wrong answer says little).

    Returns:
        The score on the validation pictures, and whether the stage's weights were kept.
    """
    counts = prefix.splits.counts()
    steps = generators.steps(counts.sum(), record.config.batch_size)
    noise = evaluation.balanced_accuracy_noise(
        baseline["balanced_accuracy"] if baseline else 0.0, prefix.splits.counts("validation")
    )
    stopping = runs.EarlyStopping(
        record, None, epochs, stage=stage, monitor="balanced_accuracy", baseline=baseline, margin=noise
    )
    start, target = (rate / 100, rate) if warm_up else (rate, None)
    schedule = keras.optimizers.schedules.CosineDecay(
        start, (epochs - warm_up) * steps, warmup_target=target, warmup_steps=warm_up * steps
    )
    with strategy.scope():
        prefix.suffix.compile(
            optimizer=keras.optimizers.Adam(schedule),
            loss=imbalance.loss(choice, counts),
            metrics=[
                "accuracy",
                imbalance.BalancedAccuracy(len(counts), imbalance.priors(counts) if choice == "posthoc" else None),
            ],
        )
    score = runs.fit(
        prefix, stopping, baseline, balanced=choice == "sampling", class_weight=imbalance.class_weights(choice, counts)
    )
    return score, stopping.improved


def compare_choices(prefix, record, strategy, backbone, augmentation) -> dict:
    """A head under every choice against imbalance, on the cached features: how each does on the validation pictures.

    Args:
        prefix: that of the head already trained under `config.imbalance`.
    """
    config, splits, rows = record.config, prefix.splits, []
    labels, rarest = splits.labels("validation"), splits.class_names[splits.counts().argmin()]
    for choice in imbalance.CHOICES:
        other = prefix
        if choice != config.imbalance:
            with strategy.scope():
                model = build_model(backbone.model, len(splits.class_names), config)
            other = frozen_prefix.FrozenPrefix(model, backbone, splits, config, augmentation, config.turns)
            train(other, record, strategy, f"head_{choice}", choice, config.epochs, config.learning_rate)
        looks = other.predict("validation")
        looks = imbalance.without_prior(looks, splits.counts()) if choice == "posthoc" else looks
        probabilities = looks.mean(axis=0)
        score = evaluation.evaluate(probabilities, labels, splits.class_names, resamples=1)
        shown = {name: score[name] for name in ("accuracy", "balanced_accuracy", "macro_auc", "log_loss")}
        rows.append({"choice": choice} | shown | {"recall_of_rarest": score["per_class"][rarest]["recall"]})
    return {"used": config.imbalance, "choices": rows}


def train_with_leak(config: Config, directory) -> runs.Result:
    """The same recipe on a split by picture: a run of its own, in `leak/` below the run's directory."""
    for earlier in sorted((directory / "leak" / "skin_lesions").glob("*/config.json")):
        if (earlier.parent / "results.json").is_file():
            return runs.Result.read(earlier.parent)
        return run(Config(resume=earlier.parent))
    out = directory / "leak"
    return run(
        dataclasses.replace(config, out=out, split="random", show_leak=False, compare_imbalance=False, resume=None)
    )


def run(config: Config) -> runs.Result:
    """Trains the head, then the last layers too, unless that harms; reads the test pictures once."""
    record = runs.Run("skin_lesions", config)
    config = record.config  # that of the interrupted run when --resume is given
    strategy = device.set_up(config.seed, config.precision, config.deterministic)

    # Data: the pictures alone go on; what else is known of them waits for the evaluation.
    table = read_table(config)
    splits = data.load(config, record.directory, table.samples, table.problems, by_group=True)

    # Model: the pretrained base, frozen, and a new head.
    with strategy.scope():
        backbone = backbones.choose(config, default="VGG16")
        model = build_model(backbone.model, len(splits.class_names), config)
    ((_, first),) = surgery.last_blocks(backbone.model, 1)
    if config.unfreeze_from:
        first = surgery.layer_number(backbone.model, config.unfreeze_from)
    first_name = backbone.model.layers[first].name
    record.write_config(
        backbone=backbone.name, weights=backbone.weights, image_size=backbone.image_size, unfreeze_from=first_name
    )

    # The layers that never train run once for each picture and each of its augmented views.
    augmentation = generators.Augmentation(config.flip, config.rotation, config.zoom, config.contrast, config.colour)
    surgery.unfreeze(backbone.model, first, config.batch_norm)
    unfrozen = frozen_prefix.FrozenPrefix(model, backbone, splits, config, augmentation, config.turns)
    surgery.freeze(backbone.model)
    frozen = frozen_prefix.FrozenPrefix(model, backbone, splits, config, augmentation, config.turns)

    # Stage 1: the head, on the frozen base.
    print(surgery.trainable_table(model), file=sys.stderr)
    score, _ = train(frozen, record, strategy, "head", config.imbalance, config.epochs, config.learning_rate)
    stages, kept, part = [record.stage("head", model, score)], "head", frozen
    compared = {}
    if config.compare_imbalance or config.data == "demo" and config.split == "lesion":
        compared["imbalance"] = compare_choices(frozen, record, strategy, backbone, augmentation)

    # Stage 2: the head and the last layers, slowly; the head comes back where that validates worse.
    if config.fine_tuning_epochs:
        surgery.unfreeze(backbone.model, first, config.batch_norm)
        print(surgery.trainable_table(model), file=sys.stderr)
        part = unfrozen
        score, improved = train(
            unfrozen, record, strategy, "fine_tuning", config.imbalance, config.fine_tuning_epochs,
            config.fine_tuning_rate, config.warm_up, baseline=score,
        )  # fmt: skip
        stages.append(record.stage("fine_tuning", model, score))
        kept = "fine_tuning" if improved else "head"
        if kept == "head":
            surgery.freeze(backbone.model)

    # Evaluation: here, and nowhere else, the test pictures are compared with their labels. The temperature is fitted
    # on validation; dividing the last layer's weights by it puts it into the model. Then the prior goes, if it is to:
    # what is divided by the prior must be probabilities that can be believed.
    looks = {split: part.predict(split) for split in ("validation", "test")}
    temperature = clinic.fit_temperature(looks["validation"], splits.labels("validation"))
    output, counts = model.get_layer("probabilities"), splits.counts()
    output.set_weights([weights / temperature for weights in output.get_weights()])

    def side(split, answers):
        return clinic.Side(
            answers.mean(axis=0), splits.labels(split), [table.about[path] for path in splits.paths(split)]
        )

    scaled = {split: clinic.soften(looks[split], temperature) for split in looks}
    answers = scaled
    if config.imbalance == "posthoc":
        imbalance.take_prior_out(output, counts)
        answers = {split: imbalance.without_prior(scaled[split], counts) for split in scaled}
    final = {split: side(split, answers[split]) for split in answers}

    results: dict[str, Any] = {"strategy": f"{config.imbalance}, {kept.replace('_', ' ')}"}
    results |= {"data": splits.summary(), "stages": stages, "kept_stage": kept}
    for split, judged in final.items():
        results[split] = evaluation.evaluate(
            judged.probabilities, judged.labels, splits.class_names, judged.lesions, config.seed
        )
    results["clinic"] = {"split": config.split, "temperature": temperature} | compared | clinic.evaluate(
        final["validation"], final["test"], (side("test", looks["test"]), side("test", scaled["test"])),
        splits.class_names, config.target, config.sensitivity, config.seed,
    )  # fmt: skip
    about = final["test"].about
    runs.write_predictions(
        record.directory, splits, final["test"].probabilities, lesion=[facts.lesion for facts in about],
        sex=[facts.sex for facts in about], age=[facts.age for facts in about], site=[facts.site for facts in about],
    )  # fmt: skip
    if config.show_leak or config.data == "demo" and config.split == "lesion":
        results["clinic"]["leak"] = clinic.leak(results["test"], train_with_leak(config, record.directory), table.about)

    # What stays: a model that takes raw pixels, the numbers, the pictures, the model card.
    model_from_pixels = surgery.take_raw_pixels(model, backbone.preprocess, backbone.resize, config.turns)
    runs.save_model(record.directory, model_from_pixels, splits.class_names)
    result = record.finish(results | {"cost": record.cost(model, unfrozen, frozen)})
    report.write(record.directory, grad_cam.for_photos(model_from_pixels))
    record.publish()
    print("split by picture: LEAKS, do not quote" if config.split == "random" else "split by lesion")
    print(runs.summary(result))
    print(clinic.summary(result.results["clinic"]))
    return result


if __name__ == "__main__":
    config.main(Config, run, __doc__)
