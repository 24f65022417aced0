"""Common claims about transfer learning, checked on the data at hand: each holds, does not hold, or cannot be judged.

Each function finds the runs behind one claim and measures the very quantity that the claim is about. A difference
between two strategies on the test photos is judged like those of a comparison. Any other quantity is measured under
each seed and judged by a t-test over the seeds (`over_seeds`). All p are adjusted together after Holm, so the chance
that any verdict is luck is about 5 %. With fewer than five seeds there is no verdict.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import stats

from common import words
from common.compare import differences, trial_run
from common.evaluation import intervals

HOLDS, FAILS, UNKNOWN, DEFINITION = "holds", "does not hold", "cannot tell", "by definition"
FEWEST_SEEDS = 5  # of a verdict
# The roles of the strategies that the claims are about; `variants` are run only for a claim.
ROLES = ("head", "gradual", "full", "scratch")
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


@dataclasses.dataclass(frozen=True)
class Finding:
    """What the runs say about a claim.

    Attributes:
        evidence: in words.
        verdict: without a `p`.
        size, interval, p: of the quantity that the claim is about, which is above 0 where the claim holds; `p` is None
            if nothing could be tested.
    """

    evidence: str
    verdict: str = UNKNOWN
    size: float = 0.0
    interval: Sequence[float] = (0.0, 0.0)
    p: float | None = None


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
        Dicts with `claim`, `verdict` ("holds", "does not hold", "cannot tell" or "by definition") and `evidence`.
    """
    checks = {
        "transfer learning beats training from scratch on few photos": transfer_beats_scratch,
        "feature extraction trains faster than fine-tuning": feature_extraction_is_faster,
        "fine-tuning pays more with more photos": fine_tuning_needs_photos,
        "a learning rate that is too high destroys pretrained weights": high_rate_destroys,
        "unfreezing everything at once is less stable than block by block": all_at_once_is_less_stable,
        "augmentation helps with few photos": augmentation_helps,
        "dropout or L2 narrows the gap between training and validation accuracy": regularisation_narrows_the_gap,
        "fine-tuning performs better than feature extraction": fine_tuning_performs_better,
        "pretrained weights regularise: a smaller gap than from scratch": pretrained_weights_regularise,
        "fine-tuned models lose less under worse light, blur and other angles": fine_tuned_is_more_robust,
    }
    found = {claim: judge(trials) for claim, judge in checks.items()}
    tested = {claim: finding.p for claim, finding in found.items() if finding.p is not None}
    adjusted = dict(zip(tested, trial_run.holm(list(tested.values())), strict=True))
    return [
        {"claim": claim} | (_verdict(finding, adjusted[claim]) if claim in adjusted else _untested(finding))
        for claim, finding in found.items()
    ]


def _verdict(finding: Finding, adjusted: float) -> dict[str, str]:
    low, high = (100 * limit for limit in finding.interval)
    verdict = UNKNOWN
    if adjusted <= trial_run.SIGNIFICANCE:
        verdict = HOLDS if finding.size > 0 else FAILS
    return {
        "verdict": verdict,
        "evidence": f"{finding.evidence}: {100 * finding.size:+.1f} points (mean; 95 % interval {low:+.1f} to "
        f"{high:+.1f}), p = {finding.p:.2g}, after Holm {adjusted:.2g}",
    }


def _untested(finding: Finding) -> dict[str, str]:
    return {"verdict": finding.verdict, "evidence": finding.evidence}


# The claims ---------------------------------------------------------------------------------------------------


def transfer_beats_scratch(trials: Trials) -> Finding:
    """Judge: with the fewest photos, a head on frozen features beats the same network trained from scratch.

    A network that does not even fit its own training photos was not trained, so beating it proves nothing.
    """
    idle = _idle(trials, "smallest")
    return (
        Finding(f"{idle}, so beating it proves nothing")
        if idle
        else _by_test_photos(trials, "head", "scratch", "smallest")
    )


def augmentation_helps(trials: Trials) -> Finding:
    """Judge: with the fewest photos, training on shifted and mirrored copies gets more test photos right."""
    return _by_test_photos(trials, "with_augmentation", "without_augmentation", "smallest")


def feature_extraction_is_faster(trials: Trials) -> Finding:
    """State how much faster it is: full fine-tuning trains that head first, so it is slower by definition."""
    names = "head", "full"
    pairs, missing = _pairs(trials, *names, "largest")
    if missing:
        return Finding(missing)
    seconds = np.array([[_training_seconds(run) for run in pair] for pair in pairs])
    parts = [f"{trials.said(name)} {_seconds(column)}" for name, column in zip(names, seconds.T, strict=True)]
    return Finding(
        f"{trials.said('full')} begins with that head, so it takes longer however fast the machine is: "
        f"{' and '.join(parts)} of training, without the features, with {_setting(pairs)}",
        DEFINITION,
    )


def fine_tuning_needs_photos(trials: Trials) -> Finding:
    """Judge: training all layers adds more to training the head with all photos than with few."""
    gains, settings = [], []
    for which in ("smallest", "largest"):
        pairs, missing = _pairs(trials, "full", "head", which)
        if missing:
            return Finding(missing)
        gains.append({tuned.seed: tuned.accuracy - head.accuracy for tuned, head in pairs})
        settings.append(pairs)
    few, many = (pairs[0][0] for pairs in settings)
    seeds = sorted(gains[0].keys() & gains[1].keys())
    if few.fraction == many.fraction or not seeds:
        return Finding("not run: two sizes of the training set with the same seed are needed, as in --fractions 0.1 1")
    parts = [
        f"{_points([gain[seed] for seed in seeds])} with {run.results['data']['train']:,}"
        for gain, run in zip(gains, (few, many), strict=True)
    ]
    evidence = (
        f"test accuracy of full fine tuning minus feature extraction: {parts[0]} and {parts[1]} training photos, "
        f"{_seeds(seeds)}; growth"
    )
    growth = {seed: gains[1][seed] - gains[0][seed] for seed in seeds}
    return _by_seeds(evidence, growth, [run for run, _ in settings[1] if run.seed in growth], "test")


def high_rate_destroys(trials: Trials) -> Finding:
    """Judge: at 100 times the rate, training all layers ends below the head it began with.

    A loss that is not finite leaves a network without answers: its accuracy is 0. The head of such a run is that of the
    run at the usual rate, which trains it in the same way.
    """
    runs = trials.find("high_rate", "largest")
    usual = {run.seed: run for run in trials.find("full", "largest") if run.finished}
    ends = {run.seed: end for run in runs if run.finished and (end := _ends(run))}
    diverged = [run.seed for run in runs if not run.finished and _diverged(run) and run.seed in usual]
    ends |= {seed: (_head_accuracy(usual[seed]), 0.0) for seed in diverged}
    if not ends:
        return Finding(_not_run(trials.said("high_rate"), runs))
    parts = [f"at 100 times the rate {_fell(ends.values())}"]
    if diverged:
        parts.append(f"the loss was not finite in {len(diverged)} of {_seeds(runs)}")
    slow = [end for run in usual.values() if (end := _ends(run))]
    parts.append(f"at the usual rate {_fell(slow)}" if slow else "the usual rate was not run")
    falls = {seed: before - after for seed, (before, after) in ends.items()}
    judges = [run for run in runs if run.seed in falls and run.finished] + [usual[seed] for seed in diverged]
    return _by_seeds(f"{'; '.join(parts)}; fall", falls, judges, "validation")


def all_at_once_is_less_stable(trials: Trials) -> Finding:
    """Judge: while all layers train at once, validation accuracy dips deeper below that of the head.

    More epochs have more chances of a deep dip, so the one stage of full fine-tuning is compared with each stage of
    gradual unfreezing over as many epochs, and the dips of the latter are averaged.
    """
    pairs, missing = _pairs(trials, "full", "gradual", "largest")
    if missing:
        return Finding(missing)
    dips = {}
    for pair in pairs:
        stages = [_epochs_after_the_head(run) for run in pair]
        if not all(stages):
            return Finding("not run: an epoch after the head")
        epochs = min(len(stage) for each in stages for stage in each)
        dips[pair[0].seed] = [mean_dip(run, each, epochs) for run, each in zip(pair, stages, strict=True)]
    what = "deepest dip of the validation accuracy below the head's, over as many epochs"
    return _by_validation(trials, ("full", "gradual"), what, dips, pairs)


def regularisation_narrows_the_gap(trials: Trials) -> Finding:
    """Judge: with dropout and L2, training accuracy is less far above validation accuracy."""
    names = "unregularised", "regularised"
    pairs, missing = _pairs(trials, *names, "largest")
    if missing:
        return Finding(missing)
    gaps = {pair[0].seed: [_gap(run) for run in pair] for pair in pairs}
    return _by_validation(trials, names, "training accuracy above validation accuracy", gaps, pairs)


def fine_tuning_performs_better(trials: Trials) -> Finding:
    """Judge: with all photos, training all layers gets more test photos right than training the head alone."""
    return _by_test_photos(trials, "full", "head", "largest")


def pretrained_weights_regularise(trials: Trials) -> Finding:
    """Judge: of two networks whose layers all train, the pretrained one has the smaller gap to validation accuracy.

    A network that did not train has no gap.
    """
    names = "scratch", "full"
    pairs, missing = _pairs(trials, *names, "largest")
    if missing:
        return Finding(missing)
    if idle := _idle(trials, "largest"):
        return Finding(f"{idle}, so its gap means nothing")
    gaps = {pair[0].seed: [_gap(run) for run in pair] for pair in pairs}
    return _by_validation(trials, names, "training accuracy above validation accuracy", gaps, pairs)


def fine_tuned_is_more_robust(trials: Trials) -> Finding:
    """Judge: corrupted test photos cost a network whose layers all train less than a head on the frozen network."""
    names = "head", "full"
    pairs, missing = _pairs(trials, *names, "largest")
    pairs = [pair for pair in pairs if all(run.stress for run in pair)]
    if missing or not pairs:
        return Finding(missing or "not run: the test photos under worse light, blur and other angles, by --stress")
    lost = {pair[0].seed: [_lost_under_stress(run) for run in pair] for pair in pairs}
    what = "test accuracy lost under corruptions, on average over kinds and severities"
    return _of_two(trials, names, what, lost, pairs, "test")


# How they are judged ------------------------------------------------------------------------------------------


def over_seeds(values: Sequence[float], judging: int, others: int) -> tuple[list[float], float]:
    """Return the 95 % interval and the p (two-sided, against 0) of the mean of a quantity measured under each seed.

    It is the corrected resampled t-test (Nadeau and Bengio 2003, https://doi.org/10.1023/A:1024068626366): the variance
    over the seeds is multiplied by 1 / seeds + judging / others instead of 1 / seeds, since the seeds' splits share
    photos.

    Args:
        values: the quantity under each seed, at least two; each seed has its own split.
        judging: the number of photos that the quantity is measured on under each seed.
        others: the number of photos on the other sides of the split.
    """
    mean, freedom = np.mean(values), len(values) - 1
    error = float(np.std(values, ddof=1) * (1 / len(values) + judging / others) ** 0.5)
    if error == 0:
        return [float(mean)] * 2, float(mean == 0)
    reach = stats.t.ppf(intervals.TAILS[1], freedom) * error
    return [float(mean - reach), float(mean + reach)], float(2 * stats.t.sf(abs(mean) / error, freedom))


def _by_test_photos(trials: Trials, better: str, worse: str, which: str) -> Finding:
    """Measure how many more test photos one strategy gets right than another."""
    pairs, missing = _pairs(trials, better, worse, which)
    if missing:
        return Finding(missing)
    sides = [list(side) for side in zip(*pairs, strict=True)]
    parts = [f"{trials.said(name)} {_accuracies(side)}" for name, side in zip((better, worse), sides, strict=True)]
    evidence = f"{' and '.join(parts)} of the test photos right, with {_setting(pairs)}"
    if len(pairs) < FEWEST_SEEDS:
        return Finding(evidence + _too_few(len(pairs)))
    found = differences.difference(*sides)
    if found is None:
        raise ValueError(f"{better} and {worse} were paired without a common seed")
    p = found["p"]
    return Finding(f"{evidence}; difference", UNKNOWN, found["difference"], found["interval"], p)


def _by_validation(
    trials: Trials, names: tuple[str, str], what: str, measured: dict[int, list[float]], pairs: list
) -> Finding:
    """Judge how much larger a measure on validation photos is for the first of two strategies; seed → both values."""
    return _of_two(trials, names, what, measured, pairs, "validation")


def _of_two(
    trials: Trials, names: tuple[str, str], what: str, measured: dict[int, list[float]], pairs: list, side: str
) -> Finding:
    """Judge as `_by_validation` does, on any side."""
    columns = zip(*measured.values(), strict=True)
    parts = [f"{trials.said(name)} {_points(column)}" for name, column in zip(names, columns, strict=True)]
    evidence = f"{what}: {', '.join(parts)}, with {_setting(pairs)}; difference"
    excess = {seed: more - less for seed, (more, less) in measured.items()}
    return _by_seeds(evidence, excess, [run for run, _ in pairs], side)


def _by_seeds(evidence: str, values: dict[int, float], runs: list[trial_run.Run], side: str) -> Finding:
    """Judge a quantity measured on one side of the split under each seed; `runs` has a run of each seed."""
    if len(values) < FEWEST_SEEDS:
        return Finding(f"{evidence} {_points(values.values())}{_too_few(len(values))}")
    if len({run.sides[side] for run in runs}) < len(runs):
        return Finding(
            f"{evidence} {_points(values.values())}; several seeds have the same {side} photos, so the luck of these "
            "photos cannot be judged"
        )
    sizes = {"train": runs[0].results["data"]["train"]} | {
        name: runs[0].results[name]["n"] for name in ("validation", "test")
    }
    judging = sizes.pop(side)
    interval, p = over_seeds(list(values.values()), judging, sum(sizes.values()))
    return Finding(evidence, UNKNOWN, float(np.mean(list(values.values()))), interval, p)


def _too_few(seeds: int) -> str:
    return f"; a verdict needs {FEWEST_SEEDS} seeds, and there {'is' if seeds == 1 else 'are'} {seeds}"


def _pairs(trials: Trials, first: str, second: str, which: str) -> tuple[list, str]:
    """Return the finished runs of two strategies under the same seeds, and the reason if there are none, else ""."""
    found = {trials.said(name): trials.find(name, which) for name in (first, second)}
    pairs = trial_run.paired(*found.values())
    if pairs:
        return pairs, ""
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


def _has_trained(run: trial_run.Run) -> bool:
    """Return whether a run gets more training photos right than the largest class has, by two standard errors."""
    train = run.results["train"]
    supports = [row["support"] for row in train["per_class"].values()]
    largest = max(supports) / sum(supports)
    return train["accuracy"] > largest + 2 * intervals.accuracy_noise(largest, sum(supports))


def _ends(run: trial_run.Run) -> tuple[float, float] | None:
    """Return the validation accuracy of the head and after the last epoch of fine-tuning; None without one."""
    last = [epoch["val_accuracy"] for epoch in run.history if epoch["stage"] == "fine_tuning"][-1:]
    return (_head_accuracy(run), last[0]) if last else None


def _diverged(run: trial_run.Run) -> bool:
    """Return whether the run failed with a loss that is not finite, after the pretrained weights began to train."""
    return run.error is not None and DIVERGED in run.error and "stage head" not in run.error


def _epochs_after_the_head(run: trial_run.Run) -> list[list[float]]:
    """Return the validation accuracies of every epoch, for each stage after the head."""
    stages: dict[str, list[float]] = {}
    for epoch in run.history:
        if epoch["stage"] != "head":
            stages.setdefault(epoch["stage"], []).append(epoch["val_accuracy"])
    return list(stages.values())


def mean_dip(run: trial_run.Run, stages: list[list[float]], epochs: int) -> float:
    """Return how far validation accuracy fell below the head's in the first epochs of a stage, as mean over stages."""
    head = _head_accuracy(run)
    return float(np.mean([max(head - min(stage[:epochs]), 0.0) for stage in stages]))


def _idle(trials: Trials, which: str) -> str:
    """Return that training from scratch did not train, if that is so under half of the seeds, else ""."""
    runs = [run for run in trials.find("scratch", which) if run.finished]
    idle = [run for run in runs if not _has_trained(run)]
    if not 2 * len(idle) >= len(runs) > 0:
        return ""
    return (
        f"{trials.said('scratch')} did not train: with {_seeds(idle)} of {len(runs)} it gets no more of its own "
        "training photos right than always predicting the largest class"
    )


def _lost_under_stress(run: trial_run.Run) -> float:
    """Return the accuracy on test photos as they are minus the mean accuracy on corrupted ones."""
    found = run.stress
    if found is None:
        raise ValueError(f"{run.strategy} with seed {run.seed} was not put under stress")
    return found["clean"]["accuracy"][0] - trial_run.under_stress(found)


def _gap(run: trial_run.Run) -> float:
    return run.results["train"]["accuracy"] - run.results["validation"]["accuracy"]


# In words -----------------------------------------------------------------------------------------------------


def _setting(pairs: list) -> str:
    """Return the number of training photos and seeds in words."""
    return f"{words.plural(pairs[0][0].results['data']['train'], 'training photo')}, {_seeds(pairs)}"


def _seeds(each: Sequence) -> str:
    return words.plural(len(each), "seed")


def _accuracies(trials: list[trial_run.Run]) -> str:
    return words.estimate(trial_run.spread(run.accuracy for run in trials))


def _fell(ends: Iterable[tuple[float, float]]) -> str:
    before, after = zip(*ends, strict=True)
    return (
        f"validation accuracy goes from {words.estimate(trial_run.spread(before))} with the head to "
        f"{words.estimate(trial_run.spread(after))} ({_seeds(before)})"
    )


def _seconds(values: Iterable[float]) -> str:
    median, low, high = trial_run.spread(values)
    return f"{words.duration(median)} ({low:.3g}–{high:.3g})"


def _points(values: Iterable[float]) -> str:
    median, low, high = (100 * value for value in trial_run.spread(values))
    return f"{median:+.1f} points ({low:+.1f} to {high:+.1f})"
