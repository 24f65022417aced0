"""Common advice on transfer learning, checked on the data at hand: it holds, it does not, or it cannot be told.

Each function finds the runs behind one claim and returns the verdict and its evidence. A claim about accuracy on the
test photos is judged as the differences of a comparison are: paired over seeds and photos. Others are judged by what
all seeds agree in, if in the median it is more than a stated noise.
"""

from collections.abc import Callable

import numpy as np

from common import comparison, evaluation, page

HOLDS, FAILS, UNKNOWN = "holds", "does not hold", "cannot tell"
# The strategies of the table that the claims are about; `variants` are run for a claim alone.
STRATEGIES = ("feature_extraction", "gradual_unfreezing", "full_fine_tuning", "from_scratch")
SECONDS_NOISE = 0.1  # of the slower's time: two equal runs on a busy machine differ by that much
DIVERGED = "the loss became"  # what `runs.EarlyStopping` says of a loss that is not finite

Find = Callable[[str, str], list[comparison.Run]]


def variants(fine_tuning_rate: float) -> dict[str, tuple[str, dict, str]]:
    """What has to be run for the claims besides the strategies.

    Args:
        fine_tuning_rate: the usual one; the rate that is too high is 100 times that.

    Returns:
        Name → the strategy that it is a variant of, the settings that differ, and with the "smallest" or the
        "largest" fraction of the training photos.
    """
    moved = {"flip": True, "rotation": 15.0, "zoom": 0.2, "contrast": 0.2}
    still = {"flip": False, "rotation": 0.0, "zoom": 0.0, "contrast": 0.0}
    return {
        "with_augmentation": ("feature_extraction", moved, "smallest"),
        "without_augmentation": ("feature_extraction", still, "smallest"),
        "regularised": ("feature_extraction", {"dropout": 0.5, "l2": 0.01}, "largest"),
        "unregularised": ("feature_extraction", {"dropout": 0.0, "l2": 0.0}, "largest"),
        "high_rate": ("full_fine_tuning", {"fine_tuning_rate": 100 * fine_tuning_rate, "keep_worse": True}, "largest"),
    }


def check(find: Find) -> list[dict]:
    """The verdict on each claim, ready for JSON.

    Args:
        find: takes the name of a strategy and "smallest" or "largest", and returns its trials with that fraction of
            the training photos, one for each seed, the failed ones too; none where it was not tried.

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
    judged = {claim: judge(find) for claim, judge in checks.items()}
    return [{"claim": claim, "verdict": verdict, "evidence": evidence} for claim, (verdict, evidence) in judged.items()]


def finder(trials: list[comparison.Run]) -> Find:
    """What `check` looks for runs with, among the trials of a comparison; with several backbones, of the first.

    Args:
        trials: all of them, at least one, with those that only the claims need.
    """
    fractions = {"smallest": min(run.fraction for run in trials), "largest": max(run.fraction for run in trials)}
    backbone = trials[0].backbone

    def find(name: str, which: str) -> list[comparison.Run]:
        wanted = (name, backbone, fractions[which])
        return [run for run in trials if (run.strategy, run.backbone, run.fraction) == wanted]

    return find


# The claims ---------------------------------------------------------------------------------------------------


def transfer_beats_scratch(find: Find) -> tuple[str, str]:
    """With the fewest photos a head on frozen features has more test photos right than the same network untrained."""
    return _by_test_photos(find, "feature_extraction", "from_scratch", "smallest")


def augmentation_helps(find: Find) -> tuple[str, str]:
    """With the fewest photos, moved and mirrored copies in training bring more test photos right."""
    return _by_test_photos(find, "with_augmentation", "without_augmentation", "smallest")


def feature_extraction_is_faster(find: Find) -> tuple[str, str]:
    """The epochs of a head take less time than those of a head and then all layers."""
    names = "feature_extraction", "full_fine_tuning"
    pairs, missing = _pairs(find, *names, "largest")
    if missing:
        return UNKNOWN, missing
    seconds = np.array([[_training_seconds(run) for run in pair] for pair in pairs])
    saved = (seconds[:, 1] - seconds[:, 0]) / np.maximum(seconds.max(axis=1), 1e-9)
    parts = [f"{_said(name)} {_seconds(column)}" for name, column in zip(names, seconds.T, strict=True)]
    evidence = f"{' and '.join(parts)} of training, the features apart"
    return _verdict(saved, SECONDS_NOISE), f"{evidence}, with {_setting(pairs)}"


def fine_tuning_needs_photos(find: Find) -> tuple[str, str]:
    """What training all layers adds to training the head is more with all photos than with few."""
    gains, settings = [], []
    for which in ("smallest", "largest"):
        pairs, missing = _pairs(find, "full_fine_tuning", "feature_extraction", which)
        if missing:
            return UNKNOWN, missing
        gains.append({tuned.seed: tuned.accuracy - head.accuracy for tuned, head in pairs})
        settings.append(pairs)
    few, many = (pairs[0][0] for pairs in settings)
    seeds = sorted(gains[0].keys() & gains[1].keys())
    if few.fraction == many.fraction or not seeds:
        return UNKNOWN, "not run: two sizes of the training set under one seed are needed, as with --fractions 0.1 1"
    growth = [gains[1][seed] - gains[0][seed] for seed in seeds]
    noise = evaluation.accuracy_noise(many.accuracy, many.results["test"]["n"])
    parts = [
        f"{_points([gain[seed] for seed in seeds])} with {run.results['data']['train']:,}"
        for gain, run in zip(gains, (few, many), strict=True)
    ]
    return _verdict(growth, noise), (
        f"full fine tuning against feature extraction: {parts[0]}, {parts[1]} training photos, test accuracy, "
        f"{_seeds(seeds)}; grown by {_points(growth)}, noise {_noise(noise)}"
    )


def high_rate_destroys(find: Find) -> tuple[str, str]:
    """At 100 times the rate, training all layers ends below the head that it began with, or in a loss that is none."""
    trials = find("high_rate", "largest")
    diverged = [run for run in trials if not run.finished and _diverged(run)]
    falls = [fall for run in trials if run.finished and (fall := _fall(run))]
    if not diverged and not falls:
        return UNKNOWN, _not_run("high_rate", trials)
    lost = [before - after > noise for before, after, noise in falls] + [True] * len(diverged)
    verdict = HOLDS if all(lost) else UNKNOWN if any(lost) else FAILS
    parts = [f"at 100 times the rate {_fell(falls)}"] if falls else []
    if diverged:
        parts.append(f"at 100 times the rate the loss was no number in {len(diverged)} of {_seeds(trials)}")
    usual = [fall for run in find("full_fine_tuning", "largest") if run.finished and (fall := _fall(run))]
    parts.append(f"at the usual rate {_fell(usual)}" if usual else "the usual rate was not run")
    return verdict, "; ".join(parts)


def all_at_once_is_less_stable(find: Find) -> tuple[str, str]:
    """While all layers are trained at once, validation accuracy dips deeper below the head's."""
    what = "deepest dip of the validation accuracy below the head's"
    return _by_validation(find, "full_fine_tuning", "gradual_unfreezing", _deepest_dip, what)


def regularisation_narrows_the_gap(find: Find) -> tuple[str, str]:
    """With dropout and L2 the training accuracy is less far above the validation accuracy."""
    what = "training accuracy above validation accuracy"
    return _by_validation(find, "unregularised", "regularised", _gap, what)


# How they are judged ------------------------------------------------------------------------------------------


def _by_test_photos(find: Find, better: str, worse: str, which: str) -> tuple[str, str]:
    """Whether one strategy has more test photos right than another, by more than noise."""
    pairs, missing = _pairs(find, better, worse, which)
    if missing:
        return UNKNOWN, missing
    sides = [list(side) for side in zip(*pairs, strict=True)]
    found = comparison.difference(*sides)
    if found is None:
        raise ValueError(f"{better} and {worse} were paired without a common seed")
    verdict = UNKNOWN
    if comparison.larger_than_noise(found["p"], found["seeds_agree"]):
        verdict = HOLDS if found["difference"] > 0 else FAILS
    parts = [f"{_said(name)} {_accuracies(side)}" for name, side in zip((better, worse), sides, strict=True)]
    low, high = (100 * limit for limit in found["interval"])
    return verdict, (
        f"{' and '.join(parts)} of the test photos right, with {_setting(pairs)}; difference "
        f"{100 * found['difference']:+.1f} points (95 % interval {low:+.1f} to {high:+.1f}), p = {found['p']:.2g}"
    )


def _by_validation(find: Find, more: str, less: str, measure, what: str) -> tuple[str, str]:
    """Whether something measured in accuracy is more of one strategy than of another, with all training photos."""
    pairs, missing = _pairs(find, more, less, "largest")
    if missing:
        return UNKNOWN, missing
    found = np.array([[measure(run) for run in pair] for pair in pairs])
    noise = _validation_noise(run for pair in pairs for run in pair)
    parts = [f"{_said(name)} {_points(column)}" for name, column in zip((more, less), found.T, strict=True)]
    return _verdict(found[:, 0] - found[:, 1], noise), (
        f"{what}: {', '.join(parts)}; noise {_noise(noise)}, with {_setting(pairs)}"
    )


def _verdict(values, noise: float) -> str:
    """What the claim's size under each seed says: above 0 it speaks for the claim; one seed says nothing."""
    values = [float(value) for value in values]
    if len(values) < 2 or not comparison.seeds_agree(values) or abs(np.median(values)) <= noise:
        return UNKNOWN
    return HOLDS if np.median(values) > 0 else FAILS


def _pairs(find: Find, first: str, second: str, which: str) -> tuple[list, str | None]:
    """The finished runs of two strategies under the same seeds, and where there are none the reason."""
    trials = {name: find(name, which) for name in (first, second)}
    pairs = comparison.paired(*trials.values())
    if pairs:
        return pairs, None
    missing = [_not_run(name, found) for name, found in trials.items() if not any(run.finished for run in found)]
    return [], "; ".join(missing) or f"not run: {_said(first)} and {_said(second)} under the same seed"


def _not_run(name: str, trials: list[comparison.Run]) -> str:
    reasons = [run.error for run in trials if run.error]
    return f"{_said(name)} failed: {reasons[0]}" if reasons else f"not run: {_said(name)}"


# What they look at --------------------------------------------------------------------------------------------


def _training_seconds(run: comparison.Run) -> float:
    return sum(epoch["seconds"] for epoch in run.history)


def _head_accuracy(run: comparison.Run) -> float:
    """On the validation photos, after the head was trained alone."""
    return [stage for stage in run.results["stages"] if stage["stage"] == "head"][-1]["validation_accuracy"]


def _fall(run: comparison.Run) -> tuple[float, float, float] | None:
    """Validation accuracy of the head and after the last epoch of fine-tuning, and its noise; None without one."""
    last = [epoch["val_accuracy"] for epoch in run.history if epoch["stage"] == "fine_tuning"][-1:]
    head = _head_accuracy(run)
    return (head, last[0], evaluation.accuracy_noise(head, run.results["validation"]["n"])) if last else None


def _diverged(run: comparison.Run) -> bool:
    """Whether it failed in a loss that is not finite, once the pretrained weights trained."""
    return run.error is not None and DIVERGED in run.error and "stage head" not in run.error


def _deepest_dip(run: comparison.Run) -> float:
    """How far validation accuracy fell below the head's while more than the head trained; 0 where it did not."""
    head = _head_accuracy(run)
    return max([head - epoch["val_accuracy"] for epoch in run.history if epoch["stage"] != "head"] + [0.0])


def _gap(run: comparison.Run) -> float:
    return run.results["train"]["accuracy"] - run.results["validation"]["accuracy"]


def _validation_noise(trials) -> float:
    """How far a validation accuracy may be off by chance, in the median over runs."""
    sides = [run.results["validation"] for run in trials]
    return float(np.median([evaluation.accuracy_noise(side["accuracy"], side["n"]) for side in sides]))


# In words -----------------------------------------------------------------------------------------------------


def _said(name: str) -> str:
    return page.words(name)


def _setting(pairs: list) -> str:
    """On how many photos and seeds it was looked at."""
    return f"{page.plural(pairs[0][0].results['data']['train'], 'training photo')}, {_seeds(pairs)}"


def _seeds(each: list) -> str:
    return page.plural(len(each), "seed")


def _accuracies(trials: list[comparison.Run]) -> str:
    return page.estimate(comparison.spread(run.accuracy for run in trials))


def _fell(falls: list[tuple[float, float, float]]) -> str:
    before, after, noise = zip(*falls, strict=True)
    return (
        f"validation accuracy goes from {page.estimate(comparison.spread(before))} with the head to "
        f"{page.estimate(comparison.spread(after))} ({_seeds(falls)}, noise {_noise(max(noise))})"
    )


def _seconds(values) -> str:
    median, low, high = comparison.spread(values)
    return f"{page.duration(median)} ({low:.3g}–{high:.3g})"


def _points(values) -> str:
    median, low, high = (100 * value for value in comparison.spread(values))
    return f"{median:+.1f} points ({low:+.1f} to {high:+.1f})"


def _noise(share: float) -> str:
    return f"{100 * share:.1f} points"
