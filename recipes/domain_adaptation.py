"""Domain adaptation: photos of another city, camera or style, with no labels or few (the articles' domain gap).

When to use it: your labelled photos (the source) are not like those on which the model will be used (the new domain).
The report shows how far apart the two are, what the gap costs, and which method closes part of it. The answer may be
that nothing helps, or that three labelled photos of each class help more than any method. For texts, use text_domains.

Data: two folders with the same classes. Half of the new domain's photos adapt, without their labels; the other half is
the test. A folder of photos without classes works too: then there is no test. So does a CSV with a column `domain`.

    photos/daisy/*.jpg      photos/rose/*.jpg
    paintings/daisy/*.jpg   paintings/rose/*.jpg

Command:

    python recipes/domain_adaptation.py                                               # the demo, nothing is downloaded
    python recipes/domain_adaptation.py --data photos/ --new-domain paintings/
    python recipes/domain_adaptation.py --data photos/ --new-domain paintings/ --compare --seeds 3  # all methods
    python recipes/domain_adaptation.py --data photos/ --new-domain paintings/ --method mcc+few_labels

All methods work on the pooled features of a frozen network. `--method` joins parts by `+`. By default, each domain is
standardised by its own mean and variance, and minimum class confusion (Jin et al. 2020) trains the head. Nothing is
chosen by a label of the new domain: all settings are fixed, and the last step counts. The saved model is a plain one
for the new domain. The methods are in `common/training/domain_training.py`, and their losses in `adaptation.py` beside
it.

Expected: on PACS, with MobileNet at 0.25 of its width, a mean test accuracy of 0.612 (0.584 – 0.645, three seeds) over
six pairs of photos, cartoons and sketches. The source's model has 0.369, and three labels of each class alone 0.708.
"""

from __future__ import annotations

from common import startup  # isort: skip  (first: it imports TensorFlow quietly)

import dataclasses
import pathlib
from typing import Annotated

import keras
import numpy as np
from annotated_types import Ge, Gt

from common import devices, flags, streams
from common.data import photo_domains
from common.evaluation import classification
from common.features import of_domains
from common.media import photos
from common.models import backbones, freezing
from common.report import classes, domain_gap_page
from common.runs import finished_run
from common.training import domain_training, recorder, settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(settings.PhotoConfig):
    """Adapt a classifier on a frozen network to a new domain, without its labels or with few of them."""

    # Folders with the source's classes or none, CSVs, or values of the column domain; demo: dusk, fog or pencil.
    new_domain: tuple[str, ...] = ()
    # Some of none, standardise, coral, deep_coral, mmd, dann, cdan, mcc, pseudo_labels, few_labels, few_labels_alone,
    # target_labels, joined by +; default: standardise+mcc (standardise on demo data).
    method: str | None = None
    compare: bool = False  # measure all methods, and the gap that each leaves; the default on demo data
    seeds: Annotated[int, Gt(0)] = 1  # with --compare, this many splits; the model is that of the first
    shots: Annotated[int, Ge(0)] = 3  # labels of each class of the new domain, for few_labels; drawn from its folders
    new_labels: pathlib.Path | None = None  # a CSV with path and label of photos of the new domain, instead of --shots

    UNUSED = {
        "epochs": "all settings of the training are fixed", "learning_rate": "all settings of the training are fixed",
        "tensorboard": "there are no curves by epochs", "views": "photos are not augmented",
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        domain_training.check(self)
        flags.check(not self.augmentation, "flip", "and other augmentation are not for this recipe; remove them")

    def check_files(self) -> None:
        super().check_files()
        flags.check(not self.data.endswith(".jsonl"), "data", "has texts, not photos; for texts, use text_domains")
        flags.check(self.data == "demo" or bool(self.new_domain), "new_domain", "is needed: the other domain's photos")
        for name in self.new_domain if pathlib.Path(self.data).expanduser().is_dir() else ():
            flags.check(pathlib.Path(name).expanduser().exists(), "new_domain", f"{name}: no such file or folder")

    @property
    def used_method(self) -> str:
        """The method; the demo's small network is often wrong in fog, and mcc strengthens what is wrong."""
        return ("standardise" if self.data == "demo" else "standardise+mcc") if self.method is None else self.method

    @property
    def compares(self) -> bool:
        """Whether all methods are measured."""
        return self.compare or self.data == "demo"


# The model ---------------------------------------------------------------------------------------------------------


def build_model(
    base_model: keras.Model, num_classes: int, mean: np.ndarray | None = None, variance: np.ndarray | None = None,
    units: int = 0,
) -> keras.Model:  # fmt: skip
    """Build a plain classifier: the base, global average pooling, standardisation, bottleneck if any, softmax.

    Args:
        mean, variance: those of the features in the domain that the model is for, (channels,); None leaves them out.
        units: of the bottleneck, a Dense layer with ReLU; 0 for none.
    """
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(base_model.output)
    if mean is not None and variance is not None:
        x = keras.layers.Normalization(mean=mean.tolist(), variance=variance.tolist(), name="standardised")(x)
    if units:
        x = keras.layers.Dense(units, activation="relu", name="bottleneck")(x)
    output = keras.layers.Dense(num_classes, activation="softmax", dtype="float32", name="probabilities")(x)
    return keras.Model(base_model.input, output, name="classifier")


def run(config: Config) -> finished_run.Result:
    """Adapt to the new domain by the method, read its test labels once, and show what each method gains."""
    if len(config.new_domain) > 1:
        return run_each(config)
    record = recorder.Recorder("domain_adaptation", config)
    config = record.config  # with --resume, the settings of the interrupted run
    device, method = devices.set_up(config), config.used_method

    # Data: the source, and the new domain without its labels; with several seeds, several splits.
    seeds = [config.seed + number for number in range(config.seeds if config.compares else 1)]
    new_domain = photo_domains.demo(config) if config.data == "demo" else config.new_domain[0]
    places = {seed: record.directory / "splits" / f"seed{seed}" for seed in seeds}
    with streams.each_line_once():
        splits = [photo_domains.load(config, places[seed], photos.Photos(), new_domain, seed) for seed in seeds]
    methods = domain_training.methods_of(config, splits[0])
    num_classes = len(splits[0].source.class_names)

    # The network is frozen; its pooled features are computed once for each photo.
    with device.scope():
        backbone = backbones.choose(config, default="MobileNetV2")
        freezing.freeze(backbone.model)
        model = build_model(backbone.model, num_classes)
    record.begin(backbone, model, splits[0].together(), [])
    features = [of_domains.compute(each, model, backbone, config) for each in splits]

    # Adaptation: every method starts from the same features.
    measured = [
        domain_training.measure(methods, each, seed, config, device)
        for each, seed in zip(features, seeds, strict=True)
    ]  # fmt: skip
    trials, heads = [each for found, _ in measured for each in found], measured[0][1]

    # The model of the new domain: its own standardisation, and the head of the method.
    head = heads[method]
    with device.scope():
        model = build_model(backbone.model, num_classes, head.mean, head.variance, head.units)
    head.copy_into(model)
    part = of_domains.ForTarget(features[0], model, backbone, config)

    # Evaluation: the test photos of the new domain; those of the source that it chose by, as it saw them.
    found, predictions = domain_training.section(features, trials, heads, config)
    domain_training.write_map(record.directory, features[0], heads, config)
    splits[0].write(record.directory / "split.csv")
    return record.finish(
        part, method, task=classification, sections=[classes, domain_gap_page], predictions=predictions,
        frozen=part.frozen, domains=found,
    )  # fmt: skip


def run_each(config: Config) -> finished_run.Result:
    """Run the recipe for each new domain, and print a table of source x target."""
    for each in config.new_domain if config.data != "demo" else ():
        # Report a mistake in the last one now, not after the first run.
        photo_domains.check(config, photos.Photos(), each)
    results = [run(dataclasses.replace(config, new_domain=(each,))) for each in config.new_domain]
    print(domain_gap_page.table_of_targets(results))
    return results[-1]


if __name__ == "__main__":
    startup.main(Config, run, __doc__)
