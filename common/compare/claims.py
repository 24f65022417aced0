"""Common advice on transfer learning, checked on the data at hand: it holds, it does not, or it cannot be told.

Each function finds the runs behind one claim and returns the verdict and its evidence. A claim about accuracy on the
test photos is judged as the differences of a comparison are: paired over seeds and photos. Others are judged by what
all seeds agree in, if in the median it is more than a stated noise.
"""

import dataclasses

import numpy as np

from common import words
from common.compare import differences, trial_run
from common.evaluation import intervals

HOLDS, FAILS, UNKNOWN = "holds", "does not hold", "cannot tell"
# The roles of the strategies that the claims are about; `variants` are run for a claim alone.
ROLES = ("head", "gradual", "full", "scratch")
SECONDS_NOISE = 0.1  # of the slower's time: two equal runs on a busy machine differ by that much
DIVERGED = "the loss became"  # what `checkpoints.BestEpoch` says of a loss that is not finite


@dataclasses.dataclass(frozen=True)
class Trials:
    """The trials of a comparison, with those that only the claims need; with several backbones the first one counts.

    Attributes:
        runs: at least one.
        names: role (one of `ROLES`) → the strategy that has it in this comparison.
    """

    runs: list[trial_run.Run]
    names: dict[str, str]

    def find(self, role: str, which: str) -> list[trial_run.Run]:
        """Those of a role or variant with the "smallest" or the "largest" fraction of the training photos, one for each
        seed, the failed ones too; none where it was not tried."""
        fraction = {"smallest": min, "largest": max}[which](run.fraction for run in self.runs)
        wanted = (self.names.get(role, role), self.runs[0].backbone, fraction)
        return [run for run in self.runs if (run.strategy, run.backbone, run.fraction) == wanted]

    def said(self, role: str) -> str:
        """The strategy's name in words."""
        return words.words(self.names.get(role, role))


def variants(fine_tuning_rate: float) -> dict[str, tuple[str, dict, str]]:
    """What has to be run for the claims besides the strategies.

    Args:
        fine_tuning_rate: the usual one; the rate that is too high is 100 times that.

    Returns:
        Name → the role of the strategy that it is a variant of, the settings that differ, and whether it trains on the
        "smallest" or the "largest" fraction of the training photos.
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
    """The verdict on each claim, ready for JSON.

    Args:
        trials: of the comparison.

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
    """With the fewest photos a head on frozen features has more test photos right than the same network untrained."""
    return _by_test_photos(trials, "head", "scratch", "smallest")


def augmentation_helps(trials: Trials) -> tuple[str, str]:
    """With the fewest photos, moved and mirrored copies in training bring more test photos right."""
    return _by_test_photos(trials, "with_augmentation", "without_augmentation", "smallest")


def feature_extraction_is_faster(trials: Trials) -> tuple[str, str]:
    """The epochs of a head take less time than those of a head and then all layers."""
    names = "head", "full"
    pairs, missing = _pairs(trials, *names, "largest")
    if missing:
        return UNKNOWN, missing
    seconds = np.array([[_training_seconds(run) for run in pair] for pair in pairs])
    saved = (seconds[:, 1] - seconds[:, 0]) / np.maximum(seconds.max(axis=1), 1e-9)
    parts = [f"{trials.said(name)} {_seconds(column)}" for name, column in zip(names, seconds.T, strict=True)]
    evidence = f"{' and '.join(parts)} of training, the features apart"
    return _verdict(saved, SECONDS_NOISE), f"{evidence}, with {_setting(pairs)}"


def fine_tuning_needs_photos(trials: Trials) -> tuple[str, str]:
    """What training all layers adds to training the head is more with all photos than with few."""
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
        return UNKNOWN, "not run: two sizes of the training set under one seed are needed, as with --fractions 0.1 1"
    growth = [gains[1][seed] - gains[0][seed] for seed in seeds]
    noise = intervals.accuracy_noise(many.accuracy, many.results["test"]["n"])
    parts = [
        f"{_points([gain[seed] for seed in seeds])} with {run.results['data']['train']:,}"
        for gain, run in zip(gains, (few, many), strict=True)
    ]
    return _verdict(growth, noise), (
        f"full fine tuning against feature extraction: {parts[0]}, {parts[1]} training photos, test accuracy, "
        f"{_seeds(seeds)}; grown by {_points(growth)}, noise {_noise(noise)}"
    )


def high_rate_destroys(trials: Trials) -> tuple[str, str]:
    """At 100 times the rate, training all layers ends below the head that it began with, or in a loss that is none."""
    runs = trials.find("high_rate", "largest")
    diverged = [run for run in runs if not run.finished and _diverged(run)]
    falls = [fall for run in runs if run.finished and (fall := _fall(run))]
    if not diverged and not falls:
        return UNKNOWN, _not_run(trials.said("high_rate"), runs)
    lost = [before - after > noise for before, after, noise in falls] + [True] * len(diverged)
    verdict = HOLDS if all(lost) else UNKNOWN if any(lost) else FAILS
    parts = [f"at 100 times the rate {_fell(falls)}"] if falls else []
    if diverged:
        parts.append(f"at 100 times the rate the loss was no number in {len(diverged)} of {_seeds(runs)}")
    usual = [fall for run in trials.find("full", "largest") if run.finished and (fall := _fall(run))]
    parts.append(f"at the usual rate {_fell(usual)}" if usual else "the usual rate was not run")
    return verdict, "; ".join(parts)


def all_at_once_is_less_stable(trials: Trials) -> tuple[str, str]:
    """While all layers are trained at once, validation accuracy dips deeper below the head's."""
    what = "deepest dip of the validation accuracy below the head's"
    return _by_validation(trials, "full", "gradual", _deepest_dip, what)


def regularisation_narrows_the_gap(trials: Trials) -> tuple[str, str]:
    """With dropout and L2 the training accuracy is less far above the validation accuracy."""
    what = "training accuracy above validation accuracy"
    return _by_validation(trials, "unregularised", "regularised", _gap, what)


# How they are judged ------------------------------------------------------------------------------------------


def _by_test_photos(trials: Trials, better: str, worse: str, which: str) -> tuple[str, str]:
    """Whether one strategy has more test photos right than another, by more than noise."""
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


def _by_validation(trials: Trials, more: str, less: str, measure, what: str) -> tuple[str, str]:
    """Whether something measured in accuracy is more of one strategy than of another, with all training photos."""
    pairs, missing = _pairs(trials, more, less, "largest")
    if missing:
        return UNKNOWN, missing
    found = np.array([[measure(run) for run in pair] for pair in pairs])
    noise = _validation_noise(run for pair in pairs for run in pair)
    parts = [f"{trials.said(name)} {_points(column)}" for name, column in zip((more, less), found.T, strict=True)]
    return _verdict(found[:, 0] - found[:, 1], noise), (
        f"{what}: {', '.join(parts)}; noise {_noise(noise)}, with {_setting(pairs)}"
    )


def _verdict(values, noise: float) -> str:
    """What the claim's size under each seed says: above 0 it speaks for the claim; one seed says nothing."""
    values = [float(value) for value in values]
    if len(values) < 2 or not differences.seeds_agree(values) or abs(np.median(values)) <= noise:
        return UNKNOWN
    return HOLDS if np.median(values) > 0 else FAILS


def _pairs(trials: Trials, first: str, second: str, which: str) -> tuple[list, str | None]:
    """The finished runs of two strategies under the same seeds, and where there are none the reason."""
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
    """On the validation photos, after the head was trained alone."""
    return [stage for stage in run.results["stages"] if stage["stage"] == "head"][-1]["validation_accuracy"]


def _fall(run: trial_run.Run) -> tuple[float, float, float] | None:
    """Validation accuracy of the head and after the last epoch of fine-tuning, and its noise; None without one."""
    last = [epoch["val_accuracy"] for epoch in run.history if epoch["stage"] == "fine_tuning"][-1:]
    head = _head_accuracy(run)
    return (head, last[0], intervals.accuracy_noise(head, run.results["validation"]["n"])) if last else None


def _diverged(run: trial_run.Run) -> bool:
    """Whether it failed in a loss that is not finite, once the pretrained weights trained."""
    return run.error is not None and DIVERGED in run.error and "stage head" not in run.error


def _deepest_dip(run: trial_run.Run) -> float:
    """How far validation accuracy fell below the head's while more than the head trained; 0 where it did not."""
    head = _head_accuracy(run)
    return max([head - epoch["val_accuracy"] for epoch in run.history if epoch["stage"] != "head"] + [0.0])


def _gap(run: trial_run.Run) -> float:
    return run.results["train"]["accuracy"] - run.results["validation"]["accuracy"]


def _validation_noise(trials) -> float:
    """How far a validation accuracy may be off by chance, in the median over runs."""
    sides = [run.results["validation"] for run in trials]
    return float(np.median([intervals.accuracy_noise(side["accuracy"], side["n"]) for side in sides]))


# In words -----------------------------------------------------------------------------------------------------


def _setting(pairs: list) -> str:
    """On how many photos and seeds it was looked at."""
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


def _seconds(values) -> str:
    median, low, high = trial_run.spread(values)
    return f"{words.duration(median)} ({low:.3g}–{high:.3g})"


def _points(values) -> str:
    median, low, high = (100 * value for value in trial_run.spread(values))
    return f"{median:+.1f} points ({low:+.1f} to {high:+.1f})"


def _noise(share: float) -> str:
    return f"{100 * share:.1f} points"
