"""The advice of a comparison in sentences: which strategy to use, and why."""

import itertools
import math

from common import words
from common.compare import differences, trial_run

SMALL_GAIN = 0.01  # one point: if more photos can be shown to bring less, they are not likely to help much


def advice(comparison: dict) -> list[str]:
    """Return what to use and why, in plain sentences.

    Args:
        comparison: with `chance`, `rows`, `differences`, `choice` and `validation`.
    """
    row_of = {row["name"]: row for row in comparison["rows"]}
    choice = row_of.get(comparison["choice"])
    if choice is None:
        sentences = ["No trial with all training photos finished, so there is no advice."]
    else:
        others = [row for row in comparison["rows"] if row["test"] and row is not choice]
        sentences = [
            *_use(comparison, choice),
            *_rivals(comparison, choice, others),
            *_cheaper(comparison, choice, others),
            *_against_scratch(comparison, choice, others),
            more_photos(choice),
            *_few_seeds(comparison, choice),
        ]
    return sentences + _failures(comparison["rows"])


def _use(comparison: dict, choice: dict) -> list[str]:
    count = _full_size_seeds(choice)
    note = f"median and range of {count} seeds" if count > 1 else "one seed"
    accuracy = choice["test"]["accuracy"]
    sentences = [
        f"Use {said(choice)}: {_why(comparison, choice)} and gets {words.share(accuracy)} of the test photos "
        f"right ({note})."
    ]
    if accuracy[0] <= comparison["chance"]:
        sentences.append(
            "That is no better than always predicting the largest class, which gets "
            f"{words.percent(comparison['chance'])} right."
        )
    return sentences


def _why(comparison: dict, choice: dict) -> str:
    """Say why a row was chosen, on the validation photos."""
    reason = comparison["validation"]
    if reason["best"] == choice["name"]:
        return (
            "it did best on the validation photos, where nothing cheaper is within one standard error of it "
            f"({words.points(reason['noise'])}),"
        )
    best = next(row for row in comparison["rows"] if row["name"] == reason["best"])
    return (
        f"it is the cheapest that the validation photos do not tell apart from the best, {said(best)} "
        f"(by {words.points(reason['lead'])}, where one standard error is {words.points(reason['noise'])}),"
    )


def _rivals(comparison: dict, choice: dict, others: list[dict]) -> list[str]:
    """Say whether the choice is better than the rest by more than noise."""
    if not others:
        return ["No other strategy finished, so there is nothing to compare it with."]
    found = {row["name"]: differences.between(comparison, choice["name"], row["name"]) for row in others}
    gains = {name: pair[0] for name, pair in found.items() if pair and pair[1]}  # those that are larger than noise
    better = [row for row in others if gains.get(row["name"], 0) < 0]
    close = [row for row in others if row["name"] not in gains]
    sentences = [
        f"On the test photos {said(row)} gets {words.points(gains[row['name']])} more right, which is larger than "
        "noise; a choice made on test photos would be too optimistic, so the choice on validation photos stands."
        for row in better
    ]
    if close:
        sentences += [_not_told_apart(comparison, choice, close), *filter(None, [comparison.get("power")])]
    elif not better:
        following = said(others[0])
        gain = f"by {words.points(gains[others[0]['name']])}, the mean over the seeds."
        sentences.append(
            f"It beats {following}, the only other strategy, by more than noise: {gain}"
            if len(others) == 1
            else f"It beats all {len(others)} others by more than noise; {following}, the next, {gain}"
        )
    return sentences


def _not_told_apart(comparison: dict, choice: dict, close: list[dict]) -> str:
    """Return the sentence about rows whose difference to the choice may be noise."""
    tied = [row for row in comparison["rows"] if row is choice or row in close]
    pairs = itertools.combinations([row["name"] for row in tied], 2)
    if tied == comparison["rows"][: len(tied)] and not any(
        (differences.between(comparison, *pair) or (0, 0))[1] for pair in pairs
    ):
        names = words.listed([said(row) for row in tied])
        which = "these" if len(tied) == len(comparison["rows"]) else "the first"
        return f"The results do not tell {which} {len(tied)} apart: {names}."
    return f"The results do not tell {said(choice)} apart from {words.listed([said(row) for row in close])}."


def _cheaper(comparison: dict, choice: dict, others: list[dict]) -> list[str]:
    """Name the best strategy at a tenth of the cost or less, or else the cheapest at half of it or less."""
    cheaper = [row for row in others if _price(row, choice) < _price(choice, row)]
    if not cheaper:
        return ["Nothing cheaper was tried."] if others else []
    tenth = [row for row in cheaper if 10 * _price(row, choice) <= _price(choice, row)]
    half = [row for row in cheaper if 2 * _price(row, choice) <= _price(choice, row)]
    cheapest = min(cheaper, key=lambda row: _price(row, choice))
    if not half:
        return [f"Nothing that was tried costs half as much or less; the cheapest is {said(cheapest)}."]
    # It is chosen on the validation photos, like everything else.
    row = min(tenth, key=trial_run.by_validation) if tenth else min(half, key=lambda row: _price(row, choice))
    features = choice["cost"]["feature_seconds"] or row["cost"]["feature_seconds"]
    note = ""
    if features:
        shared = _share_features(row, choice)
        note = f" (plus {words.duration(features)} for the features of both)" if shared else " (features included)"
    prices = f"{words.duration(_price(row, choice))} instead of {words.duration(_price(choice, row))}"
    return [
        f"{'A tenth' if tenth else 'Half'} of the cost or less: {said(row)} takes {prices}{note} and gets "
        f"{words.share(row['test']['accuracy'])} right. {_compared(comparison, row['name'], choice['name'])}."
    ]


def _share_features(row: dict, other: dict) -> bool:
    """Return whether two rows need the same pass through the frozen network."""
    features = row["cost"]["feature_seconds"] and other["cost"]["feature_seconds"]
    return bool(features) and row["backbone"] == other["backbone"]


def _price(row: dict, other: dict) -> float:
    """Return the seconds of a run when compared with another; features that both need are left out."""
    features = 0.0 if _share_features(row, other) else row["cost"]["feature_seconds"]
    return row["cost"]["seconds"][0] + features


def _against_scratch(comparison: dict, choice: dict, others: list[dict]) -> list[str]:
    """Say whether the pretrained weights help."""
    if trial_run.is_scratch(choice):
        pretrained = [row for row in others if not trial_run.is_scratch(row)]
        if not pretrained:
            return []
        best = min(pretrained, key=trial_run.by_validation)
        return [
            f"Training from scratch wins here: {said(best)}, the best with pretrained weights, gets "
            f"{words.share(best['test']['accuracy'])} right. {_compared(comparison, best['name'], choice['name'])}."
        ]
    scratch = trial_run.scratch(comparison["rows"], choice["backbone"])
    if scratch is None:
        return []
    gain, larger = differences.between(comparison, choice["name"], scratch["name"]) or (0.0, False)
    verdict = "so the results do not show that pretrained weights help"
    if larger:
        verdict = "so the pretrained weights help" if gain > 0 else "so pretrained weights do not help here"
    return [
        f"Training from scratch gets {words.share(scratch['test']['accuracy'])} right. "
        f"{_compared(comparison, scratch['name'], choice['name'])}, {verdict}."
    ]


def more_photos(choice: dict) -> str:
    """Say whether more photos are likely to help, by the interval of the learning curve's last step."""
    if len(choice["fractions"]) < 2:
        return "It is not known whether more photos would help; --fractions 0.3 1 measures it."
    few, many = choice["fractions"][-2:]
    step = choice["step"]
    if step is None:
        return (
            "It is unclear whether more photos would help: fewer than three seeds finished with both numbers of photos."
        )
    gain, (low, high) = step["difference"], step["interval"]
    told = (
        f"from {few['train']:,} to {many['train']:,} training photos the test accuracy changed by {100 * gain:+.1f} "
        f"points (95 % interval {100 * low:+.1f} to {100 * high:+.1f})"
    )
    if low > 0 and many["train"] > few["train"]:
        doublings = math.log2(many["train"] / few["train"])
        forecast = min(many["accuracy"][0] + gain / doublings, 1.0)
        return (
            f"More photos are likely to help: {told}. If each doubling keeps adding as much, twice as many photos "
            f"would give about {words.percent(forecast, 0)} (an extrapolation, not a measurement)."
        )
    if high < SMALL_GAIN:
        return f"More photos are not likely to help much: {told}."
    return f"It is unclear whether more photos would help: {told}."


def _few_seeds(comparison: dict, choice: dict) -> list[str]:
    """Warn if there are too few seeds to tell luck from skill, unless the sentence on the power says so."""
    count = _full_size_seeds(choice)
    if count >= differences.VERDICT_SEEDS or comparison.get("power"):
        return []
    return [f"All this rests on {words.plural(count, 'seed')}; --seeds 5 shows how much of it is luck."]


def _failures(rows: list[dict]) -> list[str]:
    return [
        f"{words.upper(said(row))} failed in {row['failed']} of {words.plural(len(row['runs']), 'trial')}: see its row."
        for row in rows
        if row["failed"]
    ]


def said(row: dict) -> str:
    """Return a row's name in plain words."""
    strategy = words.words(row["strategy"])
    return strategy if row["name"] == row["strategy"] else f"{strategy} with {row['backbone']}"


def _compared(comparison: dict, name: str, choice: str) -> str:
    """Return a sentence on a row's mean difference to the choice, without its full stop: other numbers are medians."""
    found = differences.between(comparison, name, choice)
    if found is None:
        return f"It shares too few seeds with {words.words(choice)} to be compared"
    gain, larger = found
    if not round(gain, 4):
        return "Seed by seed, the mean difference is 0"
    size = f"Seed by seed, it gets {words.points(gain)} {'more' if gain > 0 else 'less'} (mean)"
    return f"{size}, which is larger than noise" if larger else f"{size}, which may be noise"


def _full_size_seeds(row: dict) -> int:
    full = row["fractions"][-1]["fraction"]
    return sum(run["fraction"] == full and run["accuracy"] is not None for run in row["runs"])
