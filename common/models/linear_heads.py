"""Linear classifiers on the features of a frozen network: a kernel and a bias, as a softmax layer takes them.

They are fitted by scikit-learn's rules on standardised features, and the scaling is folded into the kernel: what is
returned applies to the features themselves. Their one or two numbers are chosen on the validation samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from common.models import additive_heads

PENALTIES = tuple(10.0**power for power in range(-5, 3))  # C of logistic regression: a small C is a strong penalty
SHARPNESS = tuple(10.0 ** (power / 4) for power in range(-16, 9))  # of the softmax over distances
# Of the softmax over scores of -1 to 1. If all answers are right, a sharper softmax always has the lower log loss; this
# one gives 0.9999 to a score of 1 beside scores of -1.
SCORE_SHARPNESS = tuple(10.0 ** (power / 4) for power in range(-4, 4))

Head = tuple[np.ndarray, np.ndarray, dict[str, float]]


def logistic_regression(features: dict[str, np.ndarray], labels: dict[str, np.ndarray], num_classes: int) -> Head:
    """Fit multinomial logistic regression; the penalty with the lowest validation log loss is used.

    Args:
        features: `train` and `validation`, (n, channels) floats.
        labels: the class indices of both, (n,) integers.
        num_classes: number of classes, each with a training sample.

    Returns:
        Kernel (channels, num_classes) and bias (num_classes,) of a softmax layer, and what was chosen: `C`.
    """
    import threadpoolctl
    from sklearn import linear_model, metrics, preprocessing  # here: the import takes a second, too long for --help

    scaler = preprocessing.StandardScaler().fit(features["train"])
    train, validation = (scaler.transform(features[split]) for split in ("train", "validation"))
    found, model = [], linear_model.LogisticRegression(max_iter=1000, warm_start=True)
    for penalty in PENALTIES:  # from strong to weak; each fit starts from the result of the one before
        with threadpoolctl.threadpool_limits(1):  # more only wait for each other: 7 times the CPU time for 560 photos
            model.set_params(C=penalty).fit(train, labels["train"])
        score = metrics.log_loss(labels["validation"], model.predict_proba(validation), labels=range(num_classes))
        found.append((score, penalty, model.coef_.T.copy(), model.intercept_.copy()))
    _, penalty, kernel, bias = min(found, key=lambda each: each[0])
    if num_classes == 2:  # scikit-learn returns the logit of the second class only
        kernel, bias = np.hstack([-kernel / 2, kernel / 2]), np.concatenate([-bias / 2, bias / 2])
    kernel = kernel / scaler.scale_[:, None]
    return kernel, bias - scaler.mean_ @ kernel, {"C": penalty}


def nearest_centroid(features: dict[str, np.ndarray], labels: dict[str, np.ndarray], num_classes: int) -> Head:
    """Fit the classifier that picks the nearest mean of training features.

    The probabilities are a softmax over minus the squared distances; its sharpness is chosen on the validation samples.
    Minus the squared distance |x - m|² is 2 m·x - |m|² plus a term that is the same for all classes: linear in x.
    Arguments and results are as for `logistic_regression`; what was chosen is `sharpness`.
    """
    from sklearn import preprocessing

    scaler = preprocessing.StandardScaler().fit(features["train"])
    train = scaler.transform(features["train"])
    centroids = np.stack([train[labels["train"] == number].mean(axis=0) for number in range(num_classes)])
    kernel, bias = 2 * centroids.T, -(centroids**2).sum(axis=1)
    logits = scaler.transform(features["validation"]) @ kernel + bias
    scores = [log_loss(sharpness * logits, labels["validation"]) for sharpness in SHARPNESS]
    sharpness = SHARPNESS[int(np.argmin(scores))]
    kernel = sharpness * kernel / scaler.scale_[:, None]
    return kernel, sharpness * bias - scaler.mean_ @ kernel, {"sharpness": sharpness}


def ridge(features: dict[str, np.ndarray], labels: dict[str, np.ndarray], num_classes: int) -> Head:
    """Fit ridge regression to targets of 1 for a sample's class and -1 for the others.

    The probabilities are a softmax over the scores. Its sharpness and the penalty are those with the lowest validation
    log loss. Arguments and results are as for `logistic_regression`; what was chosen is `penalty` and `sharpness`.
    """
    spectrum = additive_heads.Spectrum.of_rows(features["train"], labels["train"], num_classes)
    found = []
    for penalty in additive_heads.PENALTIES:
        kernel, bias = additive_heads.ridge(spectrum, penalty)
        scores = features["validation"] @ kernel + bias
        losses = [log_loss(sharpness * scores, labels["validation"]) for sharpness in SCORE_SHARPNESS]
        found.append((min(losses), penalty, SCORE_SHARPNESS[int(np.argmin(losses))], kernel, bias))
    _, penalty, sharpness, kernel, bias = min(found, key=lambda each: each[0])
    return sharpness * kernel, sharpness * bias, {"penalty": penalty, "sharpness": sharpness}


def sharpness_of(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return by how much to multiply scores of -1 to 1, (n, classes), for a softmax with the lowest log loss."""
    losses = [log_loss(sharpness * scores, labels) for sharpness in SCORE_SHARPNESS]
    return SCORE_SHARPNESS[int(np.argmin(losses))]


def ridge_left_out(
    features: np.ndarray, labels: np.ndarray, num_classes: int, groups: Sequence[str] | None = None
) -> Head:
    """Fit ridge regression as `ridge` does, without validation samples.

    The penalty and the sharpness are those with the lowest log loss of the answers for each sample by the head that is
    fitted without it and its group, which has a closed form. So few validation samples, such as those of a hundred
    clips, decide nothing here.

    Args:
        features: (n, channels) of the training samples.
        labels: (n,) their classes.
        num_classes: number of classes, each with a training sample.
        groups: the group of each sample, "" for none; such as the views of one clip.

    Returns:
        As `logistic_regression`; what was chosen is `penalty` and `sharpness`.
    """
    names = [group or f"\0{row}" for row, group in enumerate(groups or [""] * len(labels))]
    units = np.unique(names, return_inverse=True)[1]
    spectrum = additive_heads.Spectrum.of_rows(features, labels, num_classes)
    scores = additive_heads.left_out(spectrum, features, labels, additive_heads.PENALTIES, units)
    losses = np.array([[log_loss(sharpness * each, labels) for sharpness in SCORE_SHARPNESS] for each in scores])
    best, sharpest = np.unravel_index(int(losses.argmin()), losses.shape)
    penalty, sharpness = additive_heads.PENALTIES[best], SCORE_SHARPNESS[sharpest]
    kernel, bias = additive_heads.ridge(spectrum, penalty)
    return sharpness * kernel, sharpness * bias, {"penalty": penalty, "sharpness": sharpness}


CLASSIFIERS: dict[str, Callable[..., Head]] = {
    "logistic_regression": logistic_regression, "nearest_centroid": nearest_centroid, "ridge": ridge,
}  # fmt: skip


def probabilities(features: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return the softmax of a linear head's scores: (…, channels) to (…, classes)."""
    from scipy import special

    return special.softmax(features @ kernel + bias, axis=-1)


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean cross-entropy of (n, classes) logits."""
    logits = logits - logits.max(axis=1, keepdims=True)
    return float((np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]).mean())
