"""Strategies of object detection side by side: AP50 over seeds, which strategy to use, and which are told apart."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import pathlib
import shlex
import shutil
import statistics
from collections.abc import Iterable
from typing import Any

import numpy as np

from common import errors, files, flags
from common.compare import differences, table, trial_run, trials
from common.data import box_annotations, boxes, dataset, sample_list, unchanged
from common.evaluation import detection, intervals
from common.media import photos
from common.runs import finished_run

METRIC = detection.HEADLINE
RESAMPLES = 200  # of the test photos
INTERVAL_IN_ERRORS = 3.92  # the length of a 95 % interval in standard errors
ALL_PHOTOS = 1.0  # each trial has them


# Trials ----------------------------------------------------------------------------------------------------------


def splits_of_seeds(config: Any, seeds: Iterable[int], folder: pathlib.Path) -> dict[int, Any]:
    """Return the splits of photos with boxes for each seed, and write them; existing ones are kept.

    Args:
        config: the settings of the comparison.
        seeds: their splits are drawn anew, unless there is a `--split-seed`.
        folder: gets a folder for each seed.

    Raises:
        UserError: the photos to choose by, or to test with, have no boxes.
    """
    found, read = {}, None
    for seed in seeds:
        place = folder / f"seed{seed}"
        place.mkdir(parents=True, exist_ok=True)
        if not (place / "split.csv").is_file():
            read = read or box_annotations.read(config, photos.PHOTOS)
        given = (read.samples, read.problems) if read else (None, ())
        own = dataclasses.replace(config, seed=seed)
        found[seed] = dataset.load(own, place, photos.PHOTOS, boxes.Boxes(aspect=config.aspect), *given)
        for side in ("validation", "test"):
            there = any(len(found[seed].targets.of(sample)) for sample in getattr(found[seed], side))
            flags.check(there, f"{side}_fraction", f"leaves no boxes for {side} with seed {seed}; give a larger one")
    return found


def runs_of(
    planned: dict[tuple[str, int], trials.Trial],
    outcomes: dict[str, trials.Outcome],
    strategies: dict[str, tuple[str, dict]],
) -> dict[str, list[trial_run.Run]]:
    """Return name of the strategy → its trials with their outcomes.

    Args:
        planned: (strategy, seed) → trial.
        outcomes: trial's name → outcome.
        strategies: name → what it is, in words, and its settings.
    """
    runs: dict[str, list[trial_run.Run]] = {}
    for (name, seed), trial in planned.items():
        alone = dataclasses.replace(trial.config, out=flags.RunConfig.out)
        command = shlex.join(["python", "-m", trial.recipe, *flags.arguments(alone)])
        role = trial_run.SCRATCH if trial.config.from_scratch else ""
        outcome = outcomes[trial.name]
        runs.setdefault(name, []).append(trial_run.Run(
            name, "", seed, ALL_PHOTOS, strategies[name][0], not trial.config.from_scratch, command, outcome.directory,
            outcome.error, role,
        ))  # fmt: skip
    return runs


def take_over(directory: pathlib.Path, comparison: dict[str, Any]) -> dict[str, Any]:
    """Copy the files of the run to use into the directory of the comparison, and return its results."""
    chosen = (directory / comparison["model"]["report"]).parent
    own = shutil.ignore_patterns("config.json", "results.json", "report.html")
    shutil.copytree(chosen, directory, ignore=own, dirs_exist_ok=True)
    theirs, ours = (json.loads((each / "config.json").read_text(encoding="utf-8")) for each in (chosen, directory))
    ours["config"] |= {name: theirs["config"][name] for name in ("backbone", "weights", "image_size")}
    files.write_json(directory / "config.json", ours | {"splits": unchanged.seals(directory)})
    return finished_run.Result.read(chosen).results


# The comparison --------------------------------------------------------------------------------------------------


def compare(runs: dict[str, list[trial_run.Run]], root: pathlib.Path) -> dict[str, Any]:
    """Compare strategies by their trials, one for each seed.

    Args:
        runs: name of the strategy → its trials, from the cheapest training to the dearest.
        root: the directory of the comparison; links to the trials' reports are relative to it.

    Returns:
        `rows` (one for each strategy), `usual_boxes` (AP50 and AP without a look at the photos), `pairs` as
        `differences.differences` returns them, `choice` as `table.choose` does, `model` (the run of the choice with the
        median AP50 on validation), `feature_seconds` (of the frozen network, in all trials) and `told` (sentences).

    Raises:
        UserError: no trial has finished, or two trials of one seed have different test photos.
    """
    rows = [_row(name, own, root) for name, own in runs.items()]
    # By what it trains, as seconds depend on what else the machine does.
    choice = table.choose(rows, ALL_PHOTOS, _noise, lambda row: row["cost"]["trainable_parameters"])
    if choice is None:
        failed = next(iter(runs.values()))[0]
        raise errors.UserError(f"no trial has finished; {failed.strategy} with seed {failed.seed}: {failed.error}")
    pairs = differences_of(runs)
    for row in rows:
        row["mark"] = _mark(row, pairs)
    every = [run.results for own in runs.values() for run in own if run.finished]
    found: dict[str, Any] = {
        "rows": rows, "pairs": pairs, "choice": choice,
        "usual_boxes": {name: trial_run.spread(each["usual_boxes"][name] for each in every) for name in (METRIC, "ap")},
        "feature_seconds": sum(each["cost"]["prefix_seconds"] for each in every),
        "model": table.median_run(next(row for row in rows if row["name"] == choice["choice"]), ALL_PHOTOS),
    }  # fmt: skip
    return found | {"told": _told(found)}


def _row(name: str, runs: list[trial_run.Run], root: pathlib.Path) -> dict[str, Any]:
    finished = [run for run in runs if run.finished]
    costs = [run.results["cost"] for run in finished]
    return {
        "name": name, "what": runs[0].what, "role": runs[0].role, "failed": len(runs) - len(finished),
        "test": _spread(finished, "test"), "validation": _spread(finished, "validation"),
        "noise": [_standard_error(run) for run in finished],
        "cost": {
            "seconds": trial_run.spread(run.seconds for run in finished),
            "trainable_parameters": statistics.median_low(cost["trainable_parameters"] for cost in costs),
        } if finished else None,
        "runs": [_outcome(run, root) for run in runs],
    }  # fmt: skip


def _spread(finished: list[trial_run.Run], side: str) -> dict[str, list[float]] | None:
    """Return the median and the range of AP50 and AP on one side; None if nothing has finished."""
    names = (METRIC, "ap")
    return {name: trial_run.spread(run.results[side][name] for run in finished) for name in names} if finished else None


def _standard_error(run: trial_run.Run) -> float | None:
    """Return the standard error of AP50 on the validation photos, from its interval; None for too few photos."""
    limits = run.results["validation"][f"{METRIC}_interval"]
    return (limits[1] - limits[0]) / INTERVAL_IN_ERRORS if limits else None


def _noise(row: dict[str, Any]) -> float:
    """Return the usual standard error of a row's AP50 on the validation photos of one seed; 0 if it is not known."""
    return statistics.median([error for error in row["noise"] if error is not None] or [0.0])


def _outcome(run: trial_run.Run, root: pathlib.Path) -> dict[str, Any]:
    there = run.directory is not None
    report = pathlib.PurePath(os.path.relpath(run.directory / "report.html", root)) if run.directory else None
    return {
        "seed": run.seed, "fraction": run.fraction, "test": run.results["test"][METRIC] if there else None,
        "validation": run.results["validation"][METRIC] if there else None,
        "seconds": run.seconds if there else None, "report": report.as_posix() if report else None,
        "command": run.command, "error": run.error,
    }  # fmt: skip


# Differences -----------------------------------------------------------------------------------------------------


def differences_of(runs: dict[str, list[trial_run.Run]]) -> list[dict[str, Any]]:
    """Return each pair of strategies, the one with the higher mean AP50 first, as `differences.differences` does.

    The noise is that of the seeds, and what the seeds share because they test the same photos. AP50 is no mean over
    photos, so the latter is a covariance between seeds: photos, or groups of them, are drawn for all seeds at once.

    Raises:
        UserError: under one seed two trials have different test photos.
    """
    common = differences.common_seeds(runs)
    means = {name: statistics.fmean(run.results["test"][METRIC] for run in own) for name, own in common.items() if own}
    names = sorted(means, key=lambda name: -means[name])
    pairs: list[dict[str, Any]] = [
        {"first": first, "second": second, "difference": means[first] - means[second], "standard_error": None,
         "interval": None, "p": None, "larger_than_noise": False}
        for first, second in itertools.combinations(names, 2)
    ]  # fmt: skip
    if not pairs or len(common[names[0]]) < differences.VERDICT_SEEDS:
        return pairs
    rows = [common[name] for name in names]
    units = units_of(rows)
    count = 1 + max(int(own.max()) for own in units)
    if count < intervals.FEW_UNITS:
        return pairs
    scores = np.array([[run.results["test"][METRIC] for run in row] for row in rows])
    of_seeds, freedom = differences.luck(scores, np.array([row[0].role == trial_run.SCRATCH for row in rows]))
    variance, freedom = differences.with_shared(of_seeds, freedom, shared(resampled(rows, units)), count)
    mean = scores.mean(axis=1)
    return differences.judged(pairs, mean[:, None] - mean, variance, freedom)


def units_of(rows: list[list[trial_run.Run]]) -> list[np.ndarray]:
    """Return for each seed the numbers of the units of its test photos, the same number for the same unit.

    Raises:
        UserError: under one seed two trials have different test photos.
    """
    seeds = []
    for runs in zip(*rows, strict=True):
        tested = [_test(run) for run in runs]
        for run, theirs in zip(runs, tested, strict=True):
            if theirs != tested[0]:
                raise errors.UserError(
                    f"{runs[0].strategy} and {run.strategy} have different test photos with seed {run.seed}, so the "
                    "data changed between the two; start the comparison again with another --out"
                )
        seeds.append(tested[0])
    numbers = {name: number for number, name in enumerate(dict.fromkeys(itertools.chain(*seeds)))}
    return [np.array([numbers[name] for name in own]) for own in seeds]


def _test(run: trial_run.Run) -> list[str]:
    samples = sample_list.read_csv(_folder(run) / "split.csv")
    return [f"group {each.group}" if each.group else each.path for each in samples if each.split == "test"]


def _folder(run: trial_run.Run) -> pathlib.Path:
    if run.directory is None:
        raise ValueError(f"{run.strategy} with seed {run.seed} failed")
    return run.directory


def resampled(rows: list[list[trial_run.Run]], units: list[np.ndarray]) -> np.ndarray:
    """Return the AP50 of drawn test photos, (draws, strategies, seeds); the same units are drawn for all.

    Args:
        rows: the trials of each strategy, a seed each.
        units: as `units_of` returns them.
    """
    found = [[detection.evaluated(*_files(run), at_half=True) for run in row] for row in rows]
    count = 1 + max(int(own.max()) for own in units)
    random, draws = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        times = np.bincount(random.integers(count, size=count), minlength=count)
        drawn = [np.repeat(np.arange(len(own)), times[own]) for own in units]
        scores = [[detection.ap50(one, own) for one, own in zip(row, drawn, strict=True)] for row in found]
        draws.append(np.array(scores, float))  # None, of photos without boxes, becomes NaN
    every = np.array(draws)
    return every[~np.isnan(every).any(axis=(1, 2))]


def _files(run: trial_run.Run) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    names = (detection.TRUTH, detection.FOUND)
    true, found = (json.loads((_folder(run) / name).read_text(encoding="utf-8")) for name in names)
    return true, found


def shared(draws: np.ndarray) -> np.ndarray:
    """Return what the seeds share of the variance of each pair's mean difference, (strategies, strategies).

    Args:
        draws: as `resampled` returns them.
    """
    _, strategies, seeds = draws.shape
    found = np.zeros((strategies, strategies))
    for first, second in itertools.combinations(range(strategies), 2):
        covariance = np.cov(draws[:, first] - draws[:, second], rowvar=False)
        found[first, second] = found[second, first] = (covariance.sum() - np.trace(covariance)) / seeds**2
    return found


# In words --------------------------------------------------------------------------------------------------------


def _mark(row: dict[str, Any], pairs: list[dict[str, Any]]) -> str:
    """Return how a row's AP50 on the test compares with the highest one."""
    best = pairs[0]["first"] if pairs else row["name"]
    if row["name"] == best:
        return "best" if row["test"] else "–"
    pair = next((each for each in pairs if (each["first"], each["second"]) == (best, row["name"])), None)
    if pair is None or pair["p"] is None:
        return "too few seeds" if row["test"] else "–"
    return "worse" if pair["larger_than_noise"] else "not told apart"


def _told(found: dict[str, Any]) -> list[str]:
    """Return in sentences which strategy to use, how the others differ from it on the test, and what failed."""
    name, best = found["choice"]["choice"], found["choice"]["best"]
    why = "It has the highest AP50 on validation."
    if name != best:
        why = (f"It trains the fewest parameters of those within one standard error ({found['choice']['noise']:.3f}) "
               f"of the highest AP50 on validation, that of {best}.")  # fmt: skip
    told = [f"What to use: {name}. {why}"]
    own = [pair for pair in found["pairs"] if name in (pair["first"], pair["second"])]
    for pair in own:
        other = pair["second"] if pair["first"] == name else pair["first"]
        sign = 1 if pair["second"] == name else -1
        if pair["p"] is not None:
            limits = sorted(sign * limit for limit in pair["interval"])
            verdict = "larger than noise" if pair["larger_than_noise"] else "not told apart"
            told.append(f"{other} against {name}, AP50 on the test: {sign * pair['difference']:+.3f} (95 % interval "
                        f"{limits[0]:+.3f} to {limits[1]:+.3f}), {verdict}.")  # fmt: skip
    if any(pair["p"] is None for pair in own):
        told.append("No difference is judged: that takes three seeds that all strategies finished, and ten test photos "
                    "or groups of them.")  # fmt: skip
    for row in found["rows"]:
        lines = dict.fromkeys(run["error"] for run in row["runs"] if run["error"])
        told += [f"{row['name']} failed in {row['failed']} of {len(row['runs'])} trials: {line}" for line in lines]
    return told
