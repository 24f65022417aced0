"""Linear probe: logistic regression or class centroids on a frozen network (the articles' fixed feature extractor).

When to use it: as the very first baseline. It needs one pass over the photos, a second of fitting and no tuning. Every
later method has to beat it. The nearest centroid is good with a handful of photos per class.

Data: as for feature extraction, `photos/<class>/…`, a CSV, or tfds:NAME.

Command:

    python recipes/linear_probe.py                                           # the demo, nothing is downloaded
    python recipes/linear_probe.py --data photos/
    python recipes/linear_probe.py --data photos/ --classifier nearest_centroid
    python recipes/linear_probe.py --data photos/ --shots 1 5 10             # how good with so few photos per class?
    python recipes/linear_probe.py --data signs.csv --classifier ridge --backbone VGG16 --last-layer block3_pool \\
        --image-size 48 --pool-grid 6                                        # where on the photo a stroke is, counts

Linear probes are the usual comparison of pretrained networks (Kornblith et al. 2019, https://arxiv.org/abs/1805.08974).
The nearest centroid of features is the classifier of prototypical networks (Snell et al. 2017,
https://arxiv.org/abs/1703.05175). Both are linear in the pooled features. Their weights therefore become the softmax
layer of the model that feature extraction trains, which is saved, explained and used in the same way.

Expected, on two CPU cores: on the demo, a test accuracy of 0.847 (0.800 – 0.872, three seeds) in one second, four the
first time. The nearest centroid reaches 0.836 (0.797 – 0.842).
"""

from __future__ import annotations

from common import startup  # isort: skip  (first: it imports TensorFlow quietly)

import dataclasses
import sys
from typing import Annotated, Any, Literal

import keras
import numpy as np
from annotated_types import Gt, Le, doc

from common import devices, flags
from common.data import dataset
from common.evaluation import classification, few_shot
from common.features import frozen_prefix
from common.media import photos
from common.models import backbones, freezing, grid_pooling, linear_heads
from common.report import classes
from common.runs import finished_run
from common.training import recorder, settings

STRATEGIES = {
    "nearest_centroid": ("the class whose mean training feature is nearest", {"classifier": "nearest_centroid"}),
    "logistic_regression": ("scikit-learn's, on the frozen network's features", {}),
    "ridge": ("ridge regression on the frozen network's features, in closed form", {"classifier": "ridge"}),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(settings.PhotoConfig):
    """Fit a linear classifier of scikit-learn on the pooled features of a frozen network."""

    # nearest_centroid for very few photos; ridge has a closed form, which is fast with very many.
    classifier: Literal["logistic_regression", "nearest_centroid", "ridge"] = "logistic_regression"
    # Cells in each direction in which features are averaged. More than 1 keeps where things are: for signs and marks.
    pool_grid: Annotated[int, Gt(0)] = 1
    # Few-shot accuracy: also fit on 1, 5 or 10 training photos of each class (--shots 1 5 10), many times at random.
    shots: tuple[int, ...] = ()
    episodes: Annotated[int, Gt(0)] = 600  # random choices of training photos for each number of --shots
    # Number of augmented views of each training photo.
    views: Annotated[int, Gt(0), Le(1000), doc("a probe has no epochs in which to draw new ones")] = 8

    UNUSED = {
        "epochs": "a probe has no epochs", "learning_rate": "a probe has no epochs",
        "tensorboard": "a probe has no epochs",
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        flags.check(all(number > 0 for number in self.shots), "shots", "must be above 0")
        flags.check_used(self, bool(self.shots), "without --shots", "episodes")


def build_model(base_model: keras.Model, num_classes: int, pool_grid: int = 1) -> keras.Model:
    """Build a linear classifier on pooled features: the base, average pooling (on a grid), softmax."""
    places = min(size or 1 for size in base_model.output_shape[1:3])
    flags.check(pool_grid <= places, "pool_grid", f"must be at most {places}, the size of the network's maps")
    x = grid_pooling.on_grid(base_model.output, pool_grid)
    output = keras.layers.Dense(num_classes, activation="softmax", dtype="float32", name="probabilities")(x)
    return keras.Model(base_model.input, output, name="classifier")


def stages(base_model: keras.Model, config: Config) -> list[tuple[int, int]]:
    """Return no stages: a probe trains no layer in epochs."""
    return []


def run(config: Config) -> finished_run.Result:
    """Fit the classifier, put it into the model, read the test photos once and write the report."""
    record = recorder.Recorder("linear_probe", config)
    config = record.config  # with --resume, the settings of the interrupted run
    device = devices.set_up(config)

    # Data and model.
    splits = dataset.load(config, record.directory, photos.Photos())
    num_classes = len(splits.class_names)
    with device.scope():
        backbone = backbones.choose(config, default="MobileNetV2")
        freezing.freeze(backbone.model)
        model = build_model(backbone.model, num_classes, config.pool_grid)
    record.begin(backbone, model, splits, stages(backbone.model, config))
    print(freezing.trainable_table(model), file=sys.stderr)

    # The network runs once per photo, and the classifier is fitted on its features. Augmented views count as further
    # training photos.
    prefix = frozen_prefix.FrozenPrefix(model, backbone, splits, config)
    views = {side: prefix.features(side) for side in ("train", "validation")}
    features = {side: np.concatenate(values) for side, values in views.items()}
    labels = {side: np.tile(splits.labels(side), len(values)) for side, values in views.items()}
    kernel, bias, chosen = linear_heads.CLASSIFIERS[config.classifier](features, labels, num_classes)
    model.get_layer("probabilities").set_weights([kernel, bias])

    # Evaluation: here and nowhere else, the test photos are compared with their labels.
    further: dict[str, Any] = {"chosen": chosen}
    if config.shots:
        first = {"train": views["train"][0], "test": prefix.features("test")[0]}
        further["few_shot"] = few_shot.evaluate(first, splits, config.shots, config.episodes, config.seed)
        print(few_shot.table(further["few_shot"]))
    return record.finish(prefix, config.classifier, task=classification, sections=[classes], frozen=prefix, **further)


if __name__ == "__main__":
    startup.main(Config, run, __doc__)
