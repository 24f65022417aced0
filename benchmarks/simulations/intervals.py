"""How often the intervals of one run contain the truth, on made-up answers whose truth is known.

"Before" is the plain percentile bootstrap over groups, or the rule that a table's title names. Answers of one group are
correlated: a group's own accuracy is drawn from a beta distribution.
"""

import numpy as np
import tables as markdown_tables
from scipy import stats

from common.evaluation import classification, clinic, intervals

HAM10000 = (0.67, 0.111, 0.110, 0.051, 0.033, 0.014, 0.011)  # the classes' shares
RECALLS = {"0.50 – 0.85": (0.85, 0.6, 0.6, 0.65, 0.55, 0.75, 0.5), "0.80 – 0.95": (0.95, 0.9, 0.9, 0.9, 0.85, 0.9, 0.8)}
ALIKE = 0.7  # the correlation of two pictures of a lesion
RESAMPLES = 400
SENSITIVITY = 0.95


def tables(repetitions: int) -> list[str]:
    """Return the tables in Markdown, each cell from this number of made-up test sets."""
    random = np.random.default_rng(0)
    return [
        accuracies(random, repetitions),
        balanced_accuracies(random, repetitions),
        macro_f1(random, min(repetitions, 200)),
        losses(random, repetitions),
        rankings(random, min(repetitions, 200)),
        orders(random, repetitions),
        calibration_errors(random, repetitions),
        thresholds(random, repetitions),
    ]


# Made-up answers ----------------------------------------------------------------------------------------------------


def right_answers(
    random: np.random.Generator, sizes: np.ndarray, accuracy: np.ndarray, correlation: float, repetitions: int
) -> np.ndarray:
    """Return how many of each group's answers are right, (repetitions, groups).

    Args:
        random: draws them.
        sizes: (groups,) or (repetitions, groups), the number of its answers.
        accuracy: (groups,) or one number for all.
        correlation: that of two answers of one group.
        repetitions: the number of test sets.
    """
    shape = (repetitions, sizes.shape[-1])
    if correlation:
        spread = (1 - correlation) / correlation
        accuracy = random.beta(np.multiply(accuracy, spread), np.subtract(1, accuracy) * spread, shape)
    return random.binomial(sizes, accuracy, shape)


def lesions(random: np.random.Generator, pictures: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the class and the size of each lesion, of 1 to `most` pictures; `pictures` is the number of each class."""
    sizes = [random.integers(1, most + 1, count) for count in pictures]
    sizes = [each[: np.searchsorted(each.cumsum(), count) + 1] for each, count in zip(sizes, pictures, strict=True)]
    return np.repeat(np.arange(len(sizes)), [len(each) for each in sizes]), np.concatenate(sizes)


def inside(low: np.ndarray, high: np.ndarray, truth: float) -> str:
    """Return the share of intervals that contain the truth, as text."""
    return f"{np.mean((low <= truth) & (truth <= high)):.3f}"


def percentiles(sums: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the percentile bootstrap's limits of means over groups, from sums and sizes, both (n, groups)."""
    counts = np.concatenate(list(intervals.bootstrap_counts(sums.shape[1], 0, RESAMPLES)))
    low, high = np.quantile((counts @ sums.T) / (counts @ sizes.T), intervals.TAILS, axis=0)
    return low, high


# The tables ---------------------------------------------------------------------------------------------------------


def accuracies(random: np.random.Generator, repetitions: int) -> str:
    """Return the coverage of an accuracy's interval: few groups, and accuracies near 1."""
    cases = [(groups, 10, 0.3, accuracy) for groups in (5, 10, 15, 20, 40) for accuracy in (0.87, 0.95)]
    cases += [(120, 1, 0, 0.95), (120, 1, 0, 0.97), (120, 1, 0, 0.995), (550, 1, 0, 0.99)]
    rows = []
    for groups, size, correlation, accuracy in cases:
        sizes = 1 + random.poisson(size - 1, (repetitions, groups))
        hits = right_answers(random, sizes, accuracy, correlation, repetitions)
        ours = intervals.proportions(hits.T, sizes.T)
        rows.append([
            f"{groups} x about {size}" if size > 1 else str(groups), f"{correlation:g}", f"{accuracy:g}",
            inside(*percentiles(hits, sizes), accuracy), inside(*ours, accuracy), f"{np.mean(ours[1] - ours[0]):.3f}",
        ])  # fmt: skip
    columns = ["test photos", "correlation", "accuracy", "before", "now", "width now"]
    return "Accuracy: coverage of the 95 % interval\n\n" + markdown_tables.markdown(columns, rows)


def balanced_accuracies(random: np.random.Generator, repetitions: int) -> str:
    """Return the coverage of a balanced accuracy's interval: rare classes, with groups and without."""
    cases = [
        ("100 / 100 / 3", np.array([100, 100, 3]), (0.9, 0.9, 0.7), 1),
        ("100 / 5", np.array([100, 5]), (0.95, 0.8), 1),
        ("60 / 40 / 12 / 5 / 3", np.array([60, 40, 12, 5, 3]), (0.95, 0.95, 0.9, 0.9, 0.9), 1),
        ("5 x 24", np.full(5, 24), (0.87,) * 5, 1),
    ]
    for count in (400, 1000):
        for name, recalls in RECALLS.items():
            for most in (1, 4):
                shares = (np.array(HAM10000) * count).astype(int)
                cases.append((f"HAM10000's shares of {count:,}, recalls {name}", shares, recalls, most))
    rows = []
    for name, pictures, recalls, most in cases:
        classes, sizes = lesions(random, pictures, most)
        hits = right_answers(random, sizes, np.array(recalls)[classes], ALIKE if most > 1 else 0, repetitions)
        of_class = np.eye(len(recalls))[classes]
        truth, counts = np.mean(recalls), np.concatenate(list(intervals.bootstrap_counts(len(sizes), 0, RESAMPLES)))
        drawn = counts @ (sizes[:, None] * of_class)
        before, ours = [], []
        for each in hits:
            sums = each[:, None] * of_class
            means = np.divide(counts @ sums, drawn, out=np.full(drawn.shape, np.nan), where=drawn > 0)
            before.append(np.quantile(np.nanmean(means, axis=1), intervals.TAILS))
            ours.append(intervals.mean_share(sums, sizes[:, None] * of_class))
        width = np.mean(np.ptp(ours, axis=1))
        told = [inside(*np.transpose(each), truth) for each in (before, ours)]
        rows.append([name, f"lesions of 1 – {most}" if most > 1 else "single", *told, f"{width:.3f}"])
    columns = ["test photos", "photos", "before", "now", "width now"]
    title = f"Balanced accuracy: coverage of the 95 % interval; lesions have a correlation of {ALIKE:g}"
    return f"{title}\n\n" + markdown_tables.markdown(columns, rows)


def macro_f1(random: np.random.Generator, repetitions: int) -> str:
    """Return how often macro F1 has an interval, and how often it contains the truth."""
    rows = []
    for name, pictures, recall in (
        ("3 x 10", [10] * 3, 0.9), ("5 x 24", [24] * 5, 0.87), ("5 x 24", [24] * 5, 0.95), ("2 x 60", [60] * 2, 0.97),
        ("100 / 10", [100, 10], 0.87), ("100 / 5", [100, 5], 0.87),
    ):  # fmt: skip
        labels = np.repeat(np.arange(len(pictures)), pictures)
        names, found = [str(label) for label in range(len(pictures))], []
        truth = _true_macro_f1(np.array(pictures), recall)
        for _ in range(repetitions):
            others = (labels + random.integers(1, len(pictures), len(labels))) % len(pictures)
            answers = np.where(random.random(len(labels)) < recall, labels, others)
            scores = classification.scores(np.eye(len(pictures))[answers], labels, names, resamples=RESAMPLES)
            found.append(scores["macro_f1_interval"])
        given = [each for each in found if each]
        covered = inside(*np.transpose(given), truth) if given else "–"
        rows.append([name, f"{recall:g}", f"{len(given) / repetitions:.2f}", covered])
    columns = ["test photos", "recall of each class", "has an interval", "… that contains the truth"]
    return "Macro F1: bootstrap, where there are enough photos\n\n" + markdown_tables.markdown(columns, rows)


def _true_macro_f1(pictures: np.ndarray, recall: float) -> float:
    """Return macro F1 on endlessly many photos, if a wrong answer is any other class equally often."""
    wrong = (1 - recall) * pictures / (len(pictures) - 1)
    said = recall * pictures + wrong.sum() - wrong
    return float(np.mean(2 * recall * pictures / (pictures + said)))


def losses(random: np.random.Generator, repetitions: int) -> str:
    """Return the coverage of a log loss: that of a softmax over five classes whose logits are normal."""
    rows = []
    for groups, size in ((120, 1), (5, 10), (10, 10), (20, 10), (40, 10)):
        values, sizes = _log_losses(random, (repetitions, groups, size)), np.full(groups, size)
        truth = float(_log_losses(random, (100_000, 1, 1)).mean())
        sums = values.sum(axis=2)
        before = percentiles(sums, np.full(sums.shape, size))
        ours = [intervals.mean(each, sizes, positive=True) for each in sums]
        name = f"{groups} x {size}" if size > 1 else str(groups)
        rows.append([name, inside(*before, truth), inside(*np.transpose(ours), truth)])
    columns = ["samples", "before", "now"]
    return "Log loss: coverage of the 95 % interval; correlation 0.3\n\n" + markdown_tables.markdown(columns, rows)


def _log_losses(random: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """Return losses of samples in groups, (repetitions, groups, samples); about 0.33 on average."""
    own, shared = random.normal(size=(*shape, 5)), random.normal(size=(*shape[:2], 1, 5))
    logits = 2 * (0.7**0.5 * own + 0.3**0.5 * shared)
    logits[..., 0] += 5
    return np.log(np.exp(logits - logits[..., :1]).sum(axis=-1))


def rankings(random: np.random.Generator, repetitions: int) -> str:
    """Return the coverage of an AUC's interval, whose truth is known for normal scores."""
    rows = []
    for positives, negatives, truth in ((10, 100, 0.85), (30, 100, 0.85), (30, 100, 0.95)):
        positive, found = np.arange(positives + negatives) < positives, []
        bootstrap = intervals.Bootstrap(np.arange(len(positive)), 0, RESAMPLES)
        for _ in range(repetitions):
            scores = random.normal(size=len(positive)) + positive * stats.norm.ppf(truth) * 2**0.5
            draws = clinic.auc(positive, scores, bootstrap.weights)
            found.append([*np.nanquantile(draws, intervals.TAILS), *(intervals.limits(draws, positives) or [0, 1])])
        low, high, ours_low, ours_high = np.transpose(found)
        rows.append([f"{positives} / {negatives}", str(truth), inside(low, high, truth),
                     inside(ours_low, ours_high, truth)])  # fmt: skip
    columns = ["with and without the target", "AUC", "before", "now"]
    return "AUC: coverage of the 95 % interval\n\n" + markdown_tables.markdown(columns, rows)


def orders(random: np.random.Generator, repetitions: int) -> str:
    """Return the intervals of clips of a few people, and how often an order that changes nothing seems to matter."""
    rows = []
    for people, clips in ((5, 8), (10, 10), (20, 5)):
        sizes = np.full(people, clips)
        hits = right_answers(random, sizes, 0.87, 0.3, repetitions)
        every = np.repeat(sizes[:, None], repetitions, axis=1)
        # A tenth of the clips become wrong and a tenth become right, with the same correlation: the mean fall is 0.
        worse, better = (right_answers(random, sizes, 0.1, 0.3, repetitions) for _ in range(2))
        falls = [intervals.mean(each, sizes) for each in worse - better]
        rows.append([
            f"{people} x {clips}", _alone(hits.sum(axis=1), people * clips, 0.87),
            inside(*intervals.proportions(hits.T, every), 0.87), f"{np.mean([low > 0 for low, _ in falls]):.3f}",
        ])  # fmt: skip
    columns = ["people x clips", "before", "now", "an order that changes nothing seems to matter"]
    title = "Clips of one person: coverage of the 95 % interval (before: clips as independent)"
    return f"{title}\n\n" + markdown_tables.markdown(columns, rows)


def _alone(hits: np.ndarray, count: int, truth: float) -> str:
    """Return the coverage of Clopper and Pearson's interval, each answer alone."""
    limits = [stats.binomtest(int(right), count).proportion_ci() for right in hits]
    return inside(*np.transpose(limits), truth)


def calibration_errors(random: np.random.Generator, repetitions: int) -> str:
    """Return the calibration error of perfectly calibrated answers, and how often they are called wrong."""
    rows = []
    for count in (60, 120, 550, 2000):
        errors, wrong = [], []
        for _ in range(min(repetitions, 500)):
            confidence = random.uniform(0.5, 1, count)
            probabilities = np.stack([confidence, 1 - confidence], axis=1)
            bins = classification.reliability(probabilities, (random.random(count) > confidence).astype(int))
            errors.append(classification.expected_calibration_error(bins))
            _, limit = classification.error_if_calibrated(probabilities, np.arange(count), draws=RESAMPLES)
            wrong.append(errors[-1] > limit)
        rows.append(
            [f"{count:,}", f"{np.mean(errors):.3f}", f"{np.quantile(errors, 0.95):.3f}", f"{np.mean(wrong):.3f}"]
        )
    columns = ["photos", "error of calibrated answers", "95 % are below", "called wrong"]
    return "Calibration error of perfectly calibrated answers\n\n" + markdown_tables.markdown(columns, rows)


def thresholds(random: np.random.Generator, repetitions: int) -> str:
    """Return the sensitivity that a chosen threshold has, beside the promise; scores are normal."""
    rows = []
    for count, most in ((10, 1), (19, 1), (20, 1), (50, 1), (100, 1), (200, 1), (20, 4), (100, 4)):
        found, promise = [], {}
        for _ in range(repetitions):
            units = np.repeat(np.arange(count), random.integers(1, most + 1, count))
            own, shared = random.normal(size=len(units)), random.normal(size=count)[units]
            scores = ALIKE**0.5 * shared + (1 - ALIKE) ** 0.5 * own
            threshold, promise = clinic.choose_threshold(np.ones(len(units), bool), scores, units, SENSITIVITY)
            before = np.sort(scores)[-int(np.ceil(SENSITIVITY * len(scores) - 1e-9))]
            found.append([before, threshold])
        before, now = stats.norm.sf(np.transpose(found))
        rows.append([
            f"{count} of 1 – {most}" if most > 1 else str(count), f"{before.mean():.3f}",
            f"{np.mean(before >= SENSITIVITY):.2f}", f"{now.mean():.3f}", f"{promise['on_average']:.3f}",
            f"{np.mean(now >= SENSITIVITY):.2f}", f"{promise['probability']:.2f}",
        ])  # fmt: skip
    columns = ["lesions", "mean before", "reached before", "mean now", "promised", "reached now", "promised"]
    title = f"Sensitivity at the threshold for {SENSITIVITY:g}: mean, and how often it is reached"
    return f"{title}\n\n" + markdown_tables.markdown(columns, rows)
