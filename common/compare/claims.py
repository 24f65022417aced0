"""Common claims about transfer learning, checked on the data at hand: each holds, does not hold, or cannot be judged.

Each function finds the runs behind one claim and returns the verdict and its evidence. A claim about accuracy on the
test photos is judged like the differences of a comparison: paired over seeds and photos. Any other claim is judged by
whether all seeds agree and the median exceeds a stated noise.
"""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np

from common import words
from common.compare import differences, trial_run
from common.evaluation import intervals

HOLDS, FAILS, UNKNOWN = "holds", "does not hold", "cannot tell"
# The roles of the strategies that the claims are about; `variants` are run only for a claim.
ROLES = ("head", "gradual", "full", "scratch")
SECONDS_NOISE = 0.1  # share of the slower run's time: equal runs on a busy machine differ by that much
DIVERGED = "the loss became"  # how the error of `checkpoints.BestEpoch` about a loss that is not finite begins


@dataclasses.dataclass(frozen=True)
class Trials:
    """The trials of a comparison and those that only the claims need; of several backbones only the first is used.

    Attributes:
        runs: at least one trial.
        names: role (one of `ROLES`) → the name of the strategy with this role in the comparison.
    """

    runs: list[trial_run.Run]
    names: dict[str, str]

    def find(self, role: str, which: str) -> list[trial_run.Run]:
        """Return the trials of a role or variant, one for each seed, including failed ones; empty if it was not tried.

        `which` is the "smallest" or the "largest" fraction of the training photos.
        """
        fraction = {"smallest": min, "largest": max}[which](run.fraction for run in self.runs)
        wanted = (self.names.get(role, role), self.runs[0].backbone, fraction)
        return [run for run in self.runs if (run.strategy, run.backbone, run.fraction) == wanted]

    def said(self, role: str) -> str:
        """Return the strategy's name in words."""
        return words.words(self.names.get(role, role))


def variants(fine_tuning_rate: float) -> dict[str, tuple[str, dict, str]]:
    """Return the variants that must run for the claims, in addition to the strategies.

    Args:
        fine_tuning_rate: the usual rate; the rate that is too high is 100 times as large.

    Returns:
        Name → the role of the strategy that it varies, the settings that differ, and the fraction of the training
        photos ("smallest" or "largest").
    """
    moved = {"flip": True, "rotation": 15.0, "zoom": 0.2, "contrast": 0.2}
    still = {"flip": False, "rotation": 0.0, "zoom": 0.0, "contrast": 0.0}
    return {
        "with_augmentation": ("head", moved, "smallest"),
        "without_augmentation": ("head", still, "smallest"),
        "regularised": ("head", {"dropout": 0.5, "l2": 0.01}, "largest"),
        "unregularised": ("head", {"dropout": 0.0, "l2": 0.0}, "largest"),
        "high_rate": ("full", {"fine_tuning_rate": 100 * fine_tuning_rate, "keep_worse": True}, "largest"),
    }


def check(trials: Trials) -> list[dict]:
    """Return the verdict on each claim, ready for JSON.

    Args:
        trials: the trials of the comparison.

    Returns:
        Dicts with `claim`, `verdict` ("holds", "does not hold" or "cannot tell") and `evidence`.
    """
    checks = {
        "transfer learning beats training from scratch on few photos": transfer_beats_scratch,
        "feature extraction trains faster than fine-tuning": feature_extraction_is_faster,
        "fine-tuning pays more with more photos": fine_tuning_needs_photos,
        "a learning rate that is too high destroys pretrained weights": high_rate_destroys,
        "unfreezing everything at once is less stable than block by block": all_at_once_is_less_stable,
        "augmentation helps with few photos": augmentation_helps,
        "dropout or L2 narrows the gap between training and validation accuracy": regularisation_narrows_the_gap,
    }
    judged = {claim: judge(trials) for claim, judge in checks.items()}
    return [{"claim": claim, "verdict": verdict, "evidence": evidence} for claim, (verdict, evidence) in judged.items()]


# The claims ---------------------------------------------------------------------------------------------------


def transfer_beats_scratch(trials: Trials) -> tuple[str, str]:
    """Judge: with the fewest photos, a head on frozen features beats the same network trained from scratch."""
    return _by_test_photos(trials, "head", "scratch", "smallest")


def augmentation_helps(trials: Trials) -> tuple[str, str]:
    """Judge: with the fewest photos, training on shifted and mirrored copies gets more test photos right."""
    return _by_test_photos(trials, "with_augmentation", "without_augmentation", "smallest")


def feature_extraction_is_faster(trials: Trials) -> tuple[str, str]:
    """Judge: training a head takes less time than training a head and then all layers."""
    names = "head", "full"
    pairs, missing = _pairs(trials, *names, "largest")
    if missing:
        return UNKNOWN, missing
    seconds = np.array([[_training_seconds(run) for run in pair] for pair in pairs])
    saved = (seconds[:, 1] - seconds[:, 0]) / np.maximum(seconds.max(axis=1), 1e-9)
    parts = [f"{trials.said(name)} {_seconds(column)}" for name, column in zip(names, seconds.T, strict=True)]
    evidence = f"{' and '.join(parts)} of training, without the features"
    return _verdict(saved, SECONDS_NOISE), f"{evidence}, with {_setting(pairs)}"


def fine_tuning_needs_photos(trials: Trials) -> tuple[str, str]:
    """Judge: training all layers adds more to training the head with all photos than with few."""
    gains, settings = [], []
    for which in ("smallest", "largest"):
        pairs, missing = _pairs(trials, "full", "head", which)
        if missing:
            return UNKNOWN, missing
        gains.append({tuned.seed: tuned.accuracy - head.accuracy for tuned, head in pairs})
        settings.append(pairs)
    few, many = (pairs[0][0] for pairs in settings)
    seeds = sorted(gains[0].keys() & gains[1].keys())
    if few.fraction == many.fraction or not seeds:
        return UNKNOWN, "not run: two sizes of the training set with the same seed are needed, as in --fractions 0.1 1"
    growth = [gains[1][seed] - gains[0][seed] for seed in seeds]
    noise = intervals.accuracy_noise(many.accuracy, many.results["test"]["n"])
    parts = [
        f"{_points([gain[seed] for seed in seeds])} with {run.results['data']['train']:,}"
        for gain, run in zip(gains, (few, many), strict=True)
    ]
    return _verdict(growth, noise), (
        f"test accuracy of full fine tuning minus feature extraction: {parts[0]} and {parts[1]} training photos, "
        f"{_seeds(seeds)}; growth {_points(growth)}, noise {_noise(noise)}"
    )


def high_rate_destroys(trials: Trials) -> tuple[str, str]:
    """Judge: at 100 times the rate, training all layers ends below the head it began with, or the loss diverges."""
    runs = trials.find("high_rate", "largest")
    diverged = [run for run in runs if not run.finished and _diverged(run)]
    falls = [fall for run in runs if run.finished and (fall := _fall(run))]
    if not diverged and not falls:
        return UNKNOWN, _not_run(trials.said("high_rate"), runs)
    lost = [before - after > noise for before, after, noise in falls] + [True] * len(diverged)
    verdict = HOLDS if all(lost) else UNKNOWN if any(lost) else FAILS
    parts = [f"at 100 times the rate {_fell(falls)}"] if falls else []
    if diverged:
        parts.append(f"at 100 times the rate the loss was not finite in {len(diverged)} of {_seeds(runs)}")
    usual = [fall for run in trials.find("full", "largest") if run.finished and (fall := _fall(run))]
    parts.append(f"at the usual rate {_fell(usual)}" if usual else "the usual rate was not run")
    return verdict, "; ".join(parts)


def all_at_once_is_less_stable(trials: Trials) -> tuple[str, str]:
    """Judge: while all layers train at once, validation accuracy dips deeper below that of the head."""
    what = "deepest dip of the validation accuracy below the head's"
    return _by_validation(trials, "full", "gradual", _deepest_dip, what)


def regularisation_narrows_the_gap(trials: Trials) -> tuple[str, str]:
    """Judge: with dropout and L2, training accuracy is less far above validation accuracy."""
    what = "training accuracy above validation accuracy"
    return _by_validation(trials, "unregularised", "regularised", _gap, what)


# How they are judged ------------------------------------------------------------------------------------------


def _by_test_photos(trials: Trials, better: str, worse: str, which: str) -> tuple[str, str]:
    """Judge whether one strategy gets more test photos right than another, by more than noise."""
    pairs, missing = _pairs(trials, better, worse, which)
    if missing:
        return UNKNOWN, missing
    sides = [list(side) for side in zip(*pairs, strict=True)]
    found = differences.difference(*sides)
    if found is None:
        raise ValueError(f"{better} and {worse} were paired without a common seed")
    verdict = UNKNOWN
    if differences.larger_than_noise(found["p"], found["seeds_agree"]):
        verdict = HOLDS if found["difference"] > 0 else FAILS
    parts = [f"{trials.said(name)} {_accuracies(side)}" for name, side in zip((better, worse), sides, strict=True)]
    low, high = (100 * limit for limit in found["interval"])
    return verdict, (
        f"{' and '.join(parts)} of the test photos right, with {_setting(pairs)}; difference "
        f"{100 * found['difference']:+.1f} points (95 % interval {low:+.1f} to {high:+.1f}), p = {found['p']:.2g}"
    )


def _by_validation(
    trials: Trials, more: str, less: str, measure: Callable[[trial_run.Run], float], what: str
) -> tuple[str, str]:
    """Judge whether a measure in units of accuracy is larger for one strategy than another, on all training photos."""
    pairs, missing = _pairs(trials, more, less, "largest")
    if missing:
        return UNKNOWN, missing
    found = np.array([[measure(run) for run in pair] for pair in pairs])
    noise = _validation_noise(run for pair in pairs for run in pair)
    parts = [f"{trials.said(name)} {_points(column)}" for name, column in zip((more, less), found.T, strict=True)]
    return _verdict(found[:, 0] - found[:, 1], noise), (
        f"{what}: {', '.join(parts)}; noise {_noise(noise)}, with {_setting(pairs)}"
    )


def _verdict(values: Iterable[float], noise: float) -> str:
    """Return the verdict on an effect's size under each seed: above 0 supports the claim; one seed is not enough."""
    values = [float(value) for value in values]
    if len(values) < 2 or not differences.seeds_agree(values) or abs(np.median(values)) <= noise:
        return UNKNOWN
    return HOLDS if np.median(values) > 0 else FAILS


def _pairs(trials: Trials, first: str, second: str, which: str) -> tuple[list, str | None]:
    """Return the finished runs of two strategies under the same seeds, and the reason if there are none."""
    found = {trials.said(name): trials.find(name, which) for name in (first, second)}
    pairs = trial_run.paired(*found.values())
    if pairs:
        return pairs, None
    missing = [_not_run(name, runs) for name, runs in found.items() if not any(run.finished for run in runs)]
    return [], "; ".join(missing) or f"not run: {' and '.join(found)} under the same seed"


def _not_run(said: str, runs: list[trial_run.Run]) -> str:
    reasons = [run.error for run in runs if run.error]
    return f"{said} failed: {reasons[0]}" if reasons else f"not run: {said}"


# What they look at --------------------------------------------------------------------------------------------


def _training_seconds(run: trial_run.Run) -> float:
    return sum(epoch["seconds"] for epoch in run.history)


def _head_accuracy(run: trial_run.Run) -> float:
    """Return the accuracy on the validation photos after the head was trained alone."""
    return [stage for stage in run.results["stages"] if stage["stage"] == "head"][-1]["validation_accuracy"]


def _fall(run: trial_run.Run) -> tuple[float, float, float] | None:
    """Return validation accuracy of the head, after the last epoch of fine-tuning, and its noise; None without one."""
    last = [epoch["val_accuracy"] for epoch in run.history if epoch["stage"] == "fine_tuning"][-1:]
    head = _head_accuracy(run)
    return (head, last[0], intervals.accuracy_noise(head, run.results["validation"]["n"])) if last else None


def _diverged(run: trial_run.Run) -> bool:
    """Return whether the run failed with a loss that is not finite, after the pretrained weights began to train."""
    return run.error is not None and DIVERGED in run.error and "stage head" not in run.error


def _deepest_dip(run: trial_run.Run) -> float:
    """Return how far validation accuracy fell below the head's while more than the head trained; 0 if it did not."""
    head = _head_accuracy(run)
    return max([head - epoch["val_accuracy"] for epoch in run.history if epoch["stage"] != "head"] + [0.0])


def _gap(run: trial_run.Run) -> float:
    return run.results["train"]["accuracy"] - run.results["validation"]["accuracy"]


def _validation_noise(trials: Iterable[trial_run.Run]) -> float:
    """Return how far a validation accuracy may be off by chance, as the median over runs."""
    sides = [run.results["validation"] for run in trials]
    return float(np.median([intervals.accuracy_noise(side["accuracy"], side["n"]) for side in sides]))


# In words -----------------------------------------------------------------------------------------------------


def _setting(pairs: list) -> str:
    """Return the number of training photos and seeds in words."""
    return f"{words.plural(pairs[0][0].results['data']['train'], 'training photo')}, {_seeds(pairs)}"


def _seeds(each: list) -> str:
    return words.plural(len(each), "seed")


def _accuracies(trials: list[trial_run.Run]) -> str:
    return words.estimate(trial_run.spread(run.accuracy for run in trials))


def _fell(falls: list[tuple[float, float, float]]) -> str:
    before, after, noise = zip(*falls, strict=True)
    return (
        f"validation accuracy goes from {words.estimate(trial_run.spread(before))} with the head to "
        f"{words.estimate(trial_run.spread(after))} ({_seeds(falls)}, noise {_noise(max(noise))})"
    )


def _seconds(values: Iterable[float]) -> str:
    median, low, high = trial_run.spread(values)
    return f"{words.duration(median)} ({low:.3g}–{high:.3g})"


def _points(values: Iterable[float]) -> str:
    median, low, high = (100 * value for value in trial_run.spread(values))
    return f"{median:+.1f} points ({low:+.1f} to {high:+.1f})"


def _noise(share: float) -> str:
    return f"{100 * share:.1f} points"
