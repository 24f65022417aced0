"""How far apart two domains are, by the features of their items, and how well a model fits a domain without labels.

The distances compare two sets of features (n, channels) and (m, channels). The validators judge a model on items
without labels. Neither reads a label of the new domain.
"""

from __future__ import annotations

from typing import Any

import numpy as np

PERMUTATIONS = 200
MOST_ITEMS = 500  # of each domain; the kernels of more take long and tell no more
FOLDS = 5
TEMPERATURE = 0.05  # of the soft neighbourhoods (Saito et al. 2021)
TINY = 1e-12


# Distances -----------------------------------------------------------------------------------------------------------


def compare(source: np.ndarray, target: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """Return the distances between two domains, ready for JSON.

    Args:
        source, target: features, (n, channels) and (m, channels), at least eight each; of more than `MOST_ITEMS`, some
            are drawn.
        seed: seed of what is drawn.

    Returns:
        `mmd` (squared), `mmd_p`, `proxy_a_distance`, and `frechet`, with `frechet_at_home` as its zero: the distance of
        two halves of the source. Both Fréchet distances compare as many items, since that of few items is larger.
    """
    random = np.random.default_rng(seed)
    source, target = _some(source, random), _some(target, random)
    mmd, p = mmd_test(source, target, seed)
    half = min(len(source) // 2, len(target))
    halves = random.permutation(len(source))
    first, second = source[halves[:half]], source[halves[half : 2 * half]]
    there = target[random.permutation(len(target))[:half]]
    return {
        "mmd": mmd,
        "mmd_p": p,
        "proxy_a_distance": proxy_a_distance(source, target, seed),
        "frechet": frechet_distance(first, there),
        "frechet_at_home": frechet_distance(first, second),
    }


def _some(rows: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return rows[random.permutation(len(rows))[:MOST_ITEMS]].astype("float64")


def squared_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the squared Euclidean distances between rows, (n, m)."""
    return np.maximum((first**2).sum(1)[:, None] + (second**2).sum(1) - 2 * first @ second.T, 0)


def mmd_test(
    source: np.ndarray, target: np.ndarray, seed: int = 0, permutations: int = PERMUTATIONS
) -> tuple[float, float]:
    """Return the squared maximum mean discrepancy and the p-value of its permutation test.

    The estimate is the unbiased one (Gretton et al. 2012, A Kernel Two-Sample Test, JMLR 13, equation 3), so it may be
    below 0. The kernel is exp(-d² / median of d²).

    Args:
        source, target: (n, channels) and (m, channels), at least two each.
        seed: seed of the permutations.
        permutations: the smallest p-value is 1 / (permutations + 1).
    """
    rows = np.concatenate([source, target])
    distances = squared_distances(rows, rows)
    scale = np.median(distances[np.triu_indices(len(rows), 1)])
    kernel = np.exp(-distances / max(scale, TINY))
    np.fill_diagonal(kernel, 0)
    n, m = len(source), len(target)
    random = np.random.default_rng(seed)
    orders = [np.arange(n + m), *(random.permutation(n + m) for _ in range(permutations))]
    is_source = np.zeros((len(orders), n + m))
    for place, order in enumerate(orders):
        is_source[place, order[:n]] = 1
    inside = ((is_source @ kernel) * is_source).sum(1)
    outside = (((1 - is_source) @ kernel) * (1 - is_source)).sum(1)
    between = ((is_source @ kernel) * (1 - is_source)).sum(1)
    found = inside / (n * (n - 1)) + outside / (m * (m - 1)) - 2 * between / (n * m)
    return float(found[0]), float((1 + (found[1:] >= found[0]).sum()) / (permutations + 1))


def proxy_a_distance(source: np.ndarray, target: np.ndarray, seed: int = 0) -> float:
    """Return 2 (1 - 2 e), where e is the error of a classifier that tells the domains apart.

    It is 0 if the domains cannot be told apart, and 2 if they always can (Ben-David et al. 2007, Analysis of
    Representations for Domain Adaptation). The classifier is a support vector machine with a Gaussian kernel. A linear
    one, as in the paper, sees no difference between domains that are each standardised by their own mean. The error is
    cross-validated, balanced over the domains, and at most 0.5.
    """
    from sklearn import metrics, model_selection, pipeline, preprocessing, svm  # here: the import takes a second

    rows, domain = np.concatenate([source, target]), np.repeat([0, 1], [len(source), len(target)])
    model = pipeline.make_pipeline(preprocessing.StandardScaler(), svm.SVC(class_weight="balanced"))
    folds = model_selection.StratifiedKFold(min(FOLDS, len(source), len(target)), shuffle=True, random_state=seed)
    answers = model_selection.cross_val_predict(model, rows, domain, cv=folds)
    error = min(0.5, 1 - metrics.balanced_accuracy_score(domain, answers))
    return float(2 * (1 - 2 * error))


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Return the squared Fréchet distance between the normal distributions with the means and covariances of two sets.

    |m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^(1/2)) (Heusel et al. 2017, https://arxiv.org/abs/1706.08500). With the features
    of Inception's last pooling layer, this is the FID; here the features are those of the run's own network.

    The trace of the root is the sum of the singular values of X1 X2ᵀ, where the rows of X are centred and divided by
    the root of n - 1. So no root of a large, singular matrix is needed.
    """
    centred = [(rows - rows.mean(0)) / np.sqrt(len(rows) - 1) for rows in (first, second)]
    root = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()
    means = ((first.mean(0) - second.mean(0)) ** 2).sum()
    return float(means + (centred[0] ** 2).sum() + (centred[1] ** 2).sum() - 2 * root)


# Validators: how well a model fits a domain, without labels ----------------------------------------------------------


def information_maximisation(probabilities: np.ndarray) -> float:
    """Return the entropy of the mean answer less the mean entropy of the answers, in nats; higher is better.

    Answers should be sure, and spread over the classes (Bridle et al. 1991, Unsupervised Classifiers, Mutual
    Information and 'Phantom Targets').

    Args:
        probabilities: (n, classes), each row sums to 1.
    """
    return float(_entropy(probabilities.mean(0)) - _entropy(probabilities).mean())


def soft_neighbourhood_density(probabilities: np.ndarray) -> float:
    """Return the mean entropy of how alike an item's answer is to those of the others, in nats; higher is better.

    The similarity is the cosine of two answers, and its softmax at a temperature of 0.05 is the neighbourhood (Saito et
    al. 2021, Tune it the Right Way, https://arxiv.org/abs/2108.10860).

    Args:
        probabilities: (n, classes), each row sums to 1, n at least 2; of more than `MOST_ITEMS` rows, evenly spaced
            ones are used.
    """
    from scipy import special

    kept = np.linspace(0, len(probabilities) - 1, min(len(probabilities), MOST_ITEMS)).round().astype(int)
    rows = probabilities[kept].astype("float64")
    rows /= np.sqrt((rows**2).sum(1, keepdims=True))
    similarity = rows @ rows.T / TEMPERATURE
    np.fill_diagonal(similarity, -np.inf)
    return float(_entropy(special.softmax(similarity, axis=1)).mean())


VALIDATORS = ("source_validation", "information_maximisation", "soft_neighbourhood_density")


def rank_correlations(rows: list[dict[str, Any]], truth: str = "accuracy") -> dict[str, float | None]:
    """Return Spearman's rank correlation of each validator with the truth, None if it is not defined.

    Args:
        rows: for each model, the values of the validators and of `truth`.
    """
    from scipy import stats

    found: dict[str, float | None] = {}
    for name in VALIDATORS:
        pairs = np.array([(row[name], row[truth]) for row in rows], dtype=float).reshape(-1, 2)
        varies = len(pairs) > 2 and all(len(np.unique(column)) > 1 for column in pairs.T)
        found[name] = float(stats.spearmanr(*pairs.T).statistic) if varies else None
    return found


def _entropy(probabilities: np.ndarray) -> np.ndarray:
    """Return the entropy over the last axis, in nats."""
    return -(probabilities * np.log(np.maximum(probabilities, TINY))).sum(axis=-1)
