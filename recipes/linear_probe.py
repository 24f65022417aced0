"""Linear probe: logistic regression, or the nearest class centroid, on the features of a frozen network.

When to use it: as the very first baseline. It needs one pass over the photos, a second of fitting and no tuning. Every
later method has to beat it. The nearest centroid is good with a handful of photos per class.

Data: as for feature extraction, `photos/<class>/…`, a CSV, or tfds:NAME.

Command:

    python recipes/linear_probe.py                                           # the demo, nothing is downloaded
    python recipes/linear_probe.py --data photos/ --backbone MobileNetV2
    python recipes/linear_probe.py --data photos/ --backbone MobileNetV2 --classifier nearest_centroid

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
from typing import Annotated, Literal

import keras
import numpy as np
from annotated_types import Gt, doc

from common import devices
from common.data import dataset
from common.evaluation import classification
from common.features import frozen_prefix
from common.media import photos
from common.models import backbones, freezing
from common.report import classes
from common.runs import finished_run
from common.training import recorder, settings

PENALTIES = tuple(10.0**power for power in range(-5, 3))  # C of logistic regression: a small C is a strong penalty
SHARPNESS = tuple(10.0 ** (power / 4) for power in range(-16, 9))  # of the softmax over distances


STRATEGIES = {
    "nearest_centroid": ("the class whose mean training feature is nearest", {"classifier": "nearest_centroid"}),
    "logistic_regression": ("scikit-learn's, on the frozen network's features", {}),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(settings.PhotoConfig):
    """Fit a linear classifier of scikit-learn on the pooled features of a frozen network."""

    backbone: str | None = None  # keras.applications name, e.g. MobileNetV2:0.35; default: VGG16 (demo on demo data)
    classifier: Literal["logistic_regression", "nearest_centroid"] = "logistic_regression"  # centroid: very few photos
    # Number of augmented views of each training photo.
    views: Annotated[int, Gt(0), doc("a probe has no epochs in which to draw new ones")] = 8


def build_model(base_model: keras.Model, num_classes: int) -> keras.Model:
    """Build a linear classifier on pooled features: the base, global average pooling, softmax."""
    x = keras.layers.GlobalAveragePooling2D()(base_model.output)
    output = keras.layers.Dense(num_classes, activation="softmax", dtype="float32", name="probabilities")(x)
    return keras.Model(base_model.input, output, name="classifier")


def logistic_regression(
    features: dict[str, np.ndarray], labels: dict[str, np.ndarray], num_classes: int
) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Fit multinomial logistic regression on standardised features, with a penalty chosen on the validation photos.

    Args:
        features: `train` and `validation` features, (n, channels) floats.
        labels: `train` and `validation` class indices, (n,).
        num_classes: number of classes, each with a training photo.

    Returns:
        Kernel (channels, num_classes) and bias (num_classes,) of the softmax layer, and the chosen penalty.
    """
    from sklearn import linear_model, metrics, preprocessing  # here: the import takes a second, too long for --help

    scaler = preprocessing.StandardScaler().fit(features["train"])
    train, validation = (scaler.transform(features[split]) for split in ("train", "validation"))
    found, model = [], linear_model.LogisticRegression(max_iter=1000, warm_start=True)
    for penalty in PENALTIES:  # from strong to weak; each fit starts from the result of the one before
        model.set_params(C=penalty).fit(train, labels["train"])
        score = metrics.log_loss(labels["validation"], model.predict_proba(validation), labels=range(num_classes))
        found.append((score, penalty, model.coef_.T.copy(), model.intercept_.copy()))
    _, penalty, kernel, bias = min(found, key=lambda each: each[0])
    if num_classes == 2:  # scikit-learn returns the logit of the second class only
        kernel, bias = np.hstack([-kernel / 2, kernel / 2]), np.concatenate([-bias / 2, bias / 2])
    kernel = kernel / scaler.scale_[:, None]
    return kernel, bias - scaler.mean_ @ kernel, {"C": penalty}


def nearest_centroid(
    features: dict[str, np.ndarray], labels: dict[str, np.ndarray], num_classes: int
) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Fit the classifier that picks the nearest mean of training features.

    The probabilities are a softmax over minus the squared distances; its sharpness is chosen on the validation photos.
    Minus the squared distance |x - m|² is 2 m·x - |m|² plus a term that is the same for all classes: linear in x.
    Arguments and results are as for `logistic_regression`.
    """
    from sklearn import preprocessing

    scaler = preprocessing.StandardScaler().fit(features["train"])
    train = scaler.transform(features["train"])
    centroids = np.stack([train[labels["train"] == number].mean(axis=0) for number in range(num_classes)])
    kernel, bias = 2 * centroids.T, -(centroids**2).sum(axis=1)
    logits = scaler.transform(features["validation"]) @ kernel + bias
    scores = [_log_loss(sharpness * logits, labels["validation"]) for sharpness in SHARPNESS]
    sharpness = SHARPNESS[int(np.argmin(scores))]
    kernel = sharpness * kernel / scaler.scale_[:, None]
    return kernel, sharpness * bias - scaler.mean_ @ kernel, {"sharpness": sharpness}


def _log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean cross-entropy of (n, classes) logits."""
    logits = logits - logits.max(axis=1, keepdims=True)
    return float((np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]).mean())


CLASSIFIERS = {"logistic_regression": logistic_regression, "nearest_centroid": nearest_centroid}


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
        backbone = backbones.choose(config, default="VGG16")
        freezing.freeze(backbone.model)
        model = build_model(backbone.model, num_classes)
    record.begin(backbone, model)

    # The network runs once per photo, and the classifier is fitted on its features. Augmented views count as further
    # training photos.
    prefix = frozen_prefix.FrozenPrefix(model, backbone, splits, config)
    views = {side: prefix.features(side) for side in ("train", "validation")}
    features = {side: np.concatenate(values) for side, values in views.items()}
    labels = {side: np.tile(splits.labels(side), len(values)) for side, values in views.items()}
    kernel, bias, chosen = CLASSIFIERS[config.classifier](features, labels, num_classes)
    model.get_layer("probabilities").set_weights([kernel, bias])

    # Evaluation: here and nowhere else, the test photos are compared with their labels.
    return record.finish(prefix, config.classifier, task=classification, sections=[classes], chosen=chosen)


if __name__ == "__main__":
    startup.main(Config, run, __doc__)
