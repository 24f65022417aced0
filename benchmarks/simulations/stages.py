"""How often a fine-tuned stage is kept that truly loses or gains accuracy: `fitting.is_better` on made-up answers.

There are two classes. A model's evidence for a photo's true class is normal with mean m and variance 1, so its
probability is the logistic function of 2 m times the evidence, which is calibrated, and its accuracy is Phi(m). The
evidence of head and stage is correlated so that two equally good models disagree on 8 % of photos.
"""

import numpy as np
import tables as markdown_tables
from scipy import special, stats

from common.evaluation import temperature_scaling
from common.training import fitting

ACCURACY, DISAGREEMENT = 0.87, 0.08  # of the head; between two equally good models
SIZES = (30, 60, 120, 550)  # validation photos
CHANGES = {"loses 3 points": -0.03, "equally good": 0.0, "gains 3 points": 0.03}  # of the true accuracy
OVERCONFIDENT = 2.5  # factor on the logits of a stage


def correlation(accuracy: float = ACCURACY, disagreement: float = DISAGREEMENT) -> float:
    """Return the correlation of two models' evidence at which exactly one of them is right in `disagreement`."""
    mean, candidates = stats.norm.ppf(accuracy), np.linspace(0.999, 0.8, 200)
    both = [stats.multivariate_normal.cdf([mean, mean], cov=[[1, each], [each, 1]]) for each in candidates]
    return float(np.interp(disagreement / 2, accuracy - np.array(both), candidates))


def answers(
    change: float, size: int, repetitions: int, sure: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the probabilities of head and stage, (2, repetitions, 1, size, 2), and the labels (size,).

    Args:
        change: the stage's true accuracy minus the head's.
        size: number of validation photos.
        repetitions: number of draws.
        sure: the factor on the stage's logits, above 1 for overconfident ones.
        seed: seed of the draws.
    """
    random, shared = np.random.default_rng(seed), correlation()
    common = random.normal(0, shared**0.5, (repetitions, size))
    means = stats.norm.ppf([ACCURACY, ACCURACY + change])[:, None, None]
    evidence = means + common + random.normal(0, (1 - shared) ** 0.5, (2, repetitions, size))
    right = special.expit(2 * means * evidence * np.array([1, sure])[:, None, None])
    labels = np.arange(size) % 2
    of_class_1 = np.where(labels == 1, right, 1 - right)
    return np.stack([1 - of_class_1, of_class_1], axis=-1)[:, :, None], labels


def kept(change: float, size: int, repetitions: int, sure: float = 1.0, seed: int = 0) -> dict[str, float]:
    """Return the share of stages that are kept, by the recipes' rule and by parts of it; arguments as for `answers`."""
    drawn, labels = answers(change, size, repetitions, sure, seed)
    decisions = []
    for before, after in zip(*drawn, strict=True):
        no_lower = fitting.accuracy(after[0], labels) >= fitting.accuracy(before[0], labels)
        raw = [temperature_scaling.log_loss(looks, labels, 1.0) for looks in (before, after)]
        decisions.append((no_lower, no_lower and raw[1] < raw[0], fitting.is_better(before, after, labels)[0]))
    names = ("accuracy no lower", "and log loss lower", "and scaled log loss lower (the recipes' rule)")
    return dict(zip(names, np.mean(decisions, axis=0).tolist(), strict=True))


def tables(repetitions: int) -> list[str]:
    """Return the shares of stages that are kept: a table for calibrated stages, and one for overconfident ones."""
    found = []
    for sure in (1.0, OVERCONFIDENT):
        title = "Stages that are kept, by validation photos" + (f"; {sure:g} times overconfident" if sure > 1 else "")
        rows = []
        for what, change in CHANGES.items():
            shares = [kept(change, size, repetitions, sure) for size in SIZES]
            rows += [[what, rule, *(f"{each[rule]:.2f}" for each in shares)] for rule in shares[0]]
        found.append(f"{title}\n\n{markdown_tables.markdown(['the stage', 'rule', *map(str, SIZES)], rows)}")
    return found
