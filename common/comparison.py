"""From the finished runs of several strategies to a table, to the differences that are more than noise, to advice.

Nothing here trains or draws: `compare` reads run directories and returns what compare.json holds, `table` is what the
terminal shows of it. The choice between strategies is made on the validation photos, the test photos only judge it.
"""

import collections
import dataclasses
import functools
import itertools
import json
import os
import pathlib
import statistics

import numpy as np
from scipy import stats

from common import errors, evaluation, page, runs

SCRATCH = "from_scratch"  # the strategy that uses no pretrained weights
SIGNIFICANCE = 0.05
RESAMPLES = 9_999
SEEDS_FOR_T_TEST = 5
TO_95 = 0.95  # of the best validation accuracy: where convergence is measured
ROUNDING = 1e-6  # Keras's accuracies are float32: 0.95 is 0.94999999
TABLE_WIDTH = 100
NOTES = (
    "> the choice, made on the validation photos; ≈ best: not worse than the best by more than noise.",
    "Median and range over seeds. Seconds: of a run + of the features, once for all; trained: parameters.",
)

# How many points (0.01) the step to all training photos must have brought, for more photos to be likely to help or not.
LIKELY_GAIN, UNLIKELY_GAIN = 0.01, 0.005


# Trials -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a run said of its test photos, in the order of their paths.

    Attributes:
        paths: n paths.
        units: (n,) names of what counts as one piece of evidence: a photo's group, or itself where it has none.
        right: (n,) integers, 1 where the answer is right.
    """

    paths: list[str]
    units: np.ndarray
    right: np.ndarray


@dataclasses.dataclass(frozen=True)
class Run:
    """A trial and what became of it.

    Attributes:
        strategy, backbone, seed: which trial it is.
        fraction: of the training photos, above 0 to 1.
        what: one line for people.
        needs_features: whether it uses the pass through the frozen network that trials of a backbone share.
        command: that runs it alone.
        directory: the run directory, None where the trial failed.
        error: one line, None where it did not.
    """

    strategy: str
    backbone: str
    seed: int
    fraction: float
    what: str
    needs_features: bool
    command: str
    directory: pathlib.Path | None
    error: str | None = None

    @property
    def finished(self) -> bool:
        """Whether there are results."""
        return self.directory is not None

    @property
    def _folder(self) -> pathlib.Path:
        """The run directory of a trial that did not fail."""
        if self.directory is None:
            raise ValueError(f"{self.strategy} with seed {self.seed} failed, so it has no results")
        return self.directory

    @functools.cached_property
    def results(self) -> dict:
        """The content of results.json."""
        return json.loads((self._folder / "results.json").read_text(encoding="utf-8"))

    @functools.cached_property
    def history(self) -> list[dict]:
        """The epochs of all stages, none where the strategy has no epochs."""
        return runs.read_history(self._folder)

    @functools.cached_property
    def answers(self) -> Answers:
        """The test photos of predictions.csv, with their groups from split.csv."""
        rows = sorted(page.read_rows(self._folder / "predictions.csv"), key=lambda row: row["path"])
        group_of = {row["path"]: row.get("group") for row in page.read_rows(self._folder / "split.csv")}
        paths = [row["path"] for row in rows]
        units = [f"group {group_of[path]}" if group_of.get(path) else f"photo {path}" for path in paths]
        right = [int(row["label"] == row["predicted"]) for row in rows]
        return Answers(paths, np.array(units, dtype=str), np.array(right, dtype=int))

    @property
    def accuracy(self) -> float:
        """On the test photos."""
        return self.results["test"]["accuracy"]

    @property
    def seconds(self) -> float:
        """Of the run, without those that its frozen prefix took: trials share the features."""
        cost = self.results["cost"]
        return round(max(cost["seconds"] - cost["prefix_seconds"], 0.0), 2)

    def to_95(self) -> tuple[int, float] | None:
        """Epochs and seconds until 95 % of the best validation accuracy of the run, None without epochs."""
        if not self.history:
            return None
        accuracies = [epoch["val_accuracy"] for epoch in self.history]
        goal = TO_95 * max(accuracies) - ROUNDING
        epochs = next(number for number, accuracy in enumerate(accuracies, start=1) if accuracy >= goal)
        return epochs, sum(epoch["seconds"] for epoch in self.history[:epochs])


def by_seed(trials: list[Run]) -> dict[int, Run]:
    """The finished ones of the trials of one strategy and fraction, seed → run, in the seeds' order."""
    return {run.seed: run for run in sorted(trials, key=lambda run: run.seed) if run.finished}


def paired(first: list[Run], second: list[Run]) -> list[tuple[Run, Run]]:
    """The runs of two strategies under the seeds that both finished."""
    others = by_seed(second)
    return [(run, others[seed]) for seed, run in by_seed(first).items() if seed in others]


def spread(values) -> list[float]:
    """[median, lowest, highest]."""
    values = [float(value) for value in values]
    return [statistics.median(values), min(values), max(values)]


# The comparison -----------------------------------------------------------------------------------------------


def compare(trials: list[Run], root: pathlib.Path, feature_seconds: dict[str, float]) -> dict:
    """What the trials show, ready for JSON.

    Args:
        trials: all of them, the failed too; at least one.
        root: the comparison's directory, which the paths of reports start at.
        feature_seconds: backbone → seconds that the pass through its frozen network took.

    Returns:
        A dict with `chance`, `rows`, `differences`, `choice` and `advice`. Three numbers in a list are the median,
        lowest and highest over seeds. `chance` is None, and so is `choice`, where nothing finished.

    Raises:
        UserError: under one seed two trials have different test photos.
    """
    full = max(run.fraction for run in trials)
    several = len({run.backbone for run in trials}) > 1
    trials_of = collections.defaultdict(list)
    for run in trials:
        trials_of[f"{run.strategy}, {run.backbone}" if several else run.strategy].append(run)
    rows = [_row(name, found, full, root, feature_seconds) for name, found in trials_of.items()]
    rows.sort(key=lambda row: (-row["test"]["accuracy"][0], row["cost"]["seconds"][0]) if row["test"] else (1, 0))
    for row in rows:
        row["beats_scratch_from"] = _beats_scratch_from(row, rows)
    full_size = {
        row["name"]: [run for run in trials_of[row["name"]] if run.fraction == full] for row in rows if row["test"]
    }
    comparison = {
        "chance": _chance(trials),
        "rows": rows,
        "differences": differences(full_size),
        "choice": _choice(rows),
    }
    return comparison | {"advice": advice(comparison)}


def _row(name: str, trials: list[Run], full: float, root: pathlib.Path, feature_seconds: dict) -> dict:
    """The row of a strategy with a backbone; `beats_scratch_from`, which needs the other rows, is still missing."""
    first, full_size = trials[0], list(by_seed([run for run in trials if run.fraction == full]).values())
    return {
        "name": name,
        "strategy": first.strategy,
        "backbone": first.backbone,
        "what": first.what,
        "failed": sum(not run.finished for run in trials),
        "test": _scores(full_size, "test", ("accuracy", "balanced_accuracy", "log_loss")),
        "validation": _scores(full_size, "validation", ("accuracy",)),
        "cost": _cost(full_size, feature_seconds.get(first.backbone, 0.0) if first.needs_features else 0.0),
        "to_95": _to_95(full_size),
        "fractions": _fractions(trials),
        "per_class": _per_class(full_size),
        "kept": dict(collections.Counter(
            run.results["kept_stage"] for run in full_size if "kept_stage" in run.results
        ).most_common()),
        "runs": [_outcome(run, root) for run in sorted(trials, key=lambda run: (run.fraction, run.seed))],
        "convergence": [_convergence(run) for run in full_size if run.history],
    }  # fmt: skip


def _scores(full_size: list[Run], split: str, metrics: tuple[str, ...]) -> dict | None:
    return {name: spread(run.results[split][name] for run in full_size) for name in metrics} if full_size else None


def _cost(full_size: list[Run], feature_seconds: float) -> dict | None:
    """The cost of a trial: of the memory the most, of the parameters the median over seeds, which may differ in what
    they kept unfrozen."""
    if not full_size:
        return None
    costs = [run.results["cost"] for run in full_size]
    return {
        "seconds": spread(run.seconds for run in full_size),
        "feature_seconds": feature_seconds,
        "epochs": spread(cost["epochs"] for cost in costs),
        "peak_memory_bytes": max(cost["peak_memory_bytes"] for cost in costs),
        "trainable_parameters": statistics.median_low(cost["trainable_parameters"] for cost in costs),
        "total_parameters": costs[0]["total_parameters"],
    }


def _to_95(full_size: list[Run]) -> dict | None:
    found = [run.to_95() for run in full_size if run.history]
    if not found:
        return None
    epochs, seconds = zip(*found, strict=True)
    return {"epochs": spread(epochs), "seconds": spread(seconds)}


def _fractions(trials: list[Run]) -> list[dict]:
    """The learning curve, from the smallest fraction on."""
    found = collections.defaultdict(list)
    for run in sorted(trials, key=lambda run: run.fraction):
        if run.finished:
            found[run.fraction].append(run)
    return [
        {
            "fraction": fraction,
            "train": statistics.median_low(run.results["data"]["train"] for run in some),
            "accuracy": spread(run.accuracy for run in some),
            "seconds": spread(run.seconds for run in some),
        }
        for fraction, some in found.items()
    ]


def _per_class(full_size: list[Run]) -> dict:
    """Class → median recall on the test photos over the seeds that have photos of it."""
    recalls = {}
    for name in full_size[0].results["data"]["class_names"] if full_size else []:
        values = [run.results["test"]["per_class"][name]["recall"] for run in full_size]
        values = [value for value in values if value is not None]
        recalls[name] = statistics.median(values) if values else None
    return recalls


def _outcome(run: Run, root: pathlib.Path) -> dict:
    report = pathlib.PurePath(os.path.relpath(run.directory / "report.html", root)) if run.directory else None
    return {
        "seed": run.seed,
        "fraction": run.fraction,
        "accuracy": run.accuracy if run.finished else None,
        "seconds": run.seconds if run.finished else None,
        "report": report.as_posix() if report else None,
        "command": run.command,
        "error": run.error,
    }


def _convergence(run: Run) -> dict:
    return {
        "seed": run.seed,
        "epochs": list(range(1, len(run.history) + 1)),
        "seconds": [round(total, 3) for total in itertools.accumulate(epoch["seconds"] for epoch in run.history)],
        "accuracy": [epoch["val_accuracy"] for epoch in run.history],
    }


def _chance(trials: list[Run]) -> float | None:
    """The share of the largest class among the test photos of the first seed that finished."""
    first = min((run for run in trials if run.finished), key=lambda run: run.seed, default=None)
    if first is None:
        return None
    supports = [row["support"] for row in first.results["test"]["per_class"].values()]
    return max(supports) / sum(supports)


def _choice(rows: list[dict]) -> str | None:
    """The row that validates best with all training photos; of equal ones the quickest."""
    finished = [row for row in rows if row["test"]]
    return min(finished, key=_by_validation)["name"] if finished else None


def model_of(comparison: dict) -> str | None:
    """The run directory, relative to the comparison's, of what to use: its first seed with all training photos."""
    runs = [
        run for row in comparison["rows"] if row["name"] == comparison["choice"] for run in row["runs"] if run["report"]
    ]
    if not runs:
        return None
    largest = max(run["fraction"] for run in runs)
    report = min((run for run in runs if run["fraction"] == largest), key=lambda run: run["seed"])["report"]
    return str(pathlib.PurePosixPath(report).parent)


def _by_validation(row: dict) -> tuple[float, float]:
    return -row["validation"]["accuracy"][0], row["cost"]["seconds"][0]


def _beats_scratch_from(row: dict, rows: list[dict]) -> float | None:
    """The smallest fraction with more test photos right than training from scratch on all photos, in the median."""
    scratch = _scratch(rows, row["backbone"])
    if row["strategy"] == SCRATCH or scratch is None:
        return None
    mark = scratch["test"]["accuracy"][0]
    return next((each["fraction"] for each in row["fractions"] if each["accuracy"][0] > mark), None)


def _scratch(rows: list[dict], backbone: str) -> dict | None:
    """The row of training from scratch with a backbone, None where none has finished."""
    found = [row for row in rows if row["strategy"] == SCRATCH and row["backbone"] == backbone and row["test"]]
    return found[0] if found else None


# Differences and noise ----------------------------------------------------------------------------------------


def differences(full_size: dict[str, list[Run]]) -> list[dict]:
    """Each pair of rows, the more accurate one first, and whether they differ by more than noise.

    `q` is `p` after Benjamini and Hochberg (1995): of the differences with q up to 0.05 at most about 5 % are chance,
    however many pairs are looked at.

    Args:
        full_size: name of the row → its runs with all training photos.
    """
    found = []
    for first, second in itertools.combinations(full_size, 2):
        pair = difference(full_size[first], full_size[second])
        if pair is None:
            continue
        if pair["difference"] < 0:
            first, second = second, first
            pair |= {"difference": -pair["difference"], "interval": [-limit for limit in reversed(pair["interval"])]}
        del pair["by_seed"]
        found.append({"first": first, "second": second} | pair)
    if found:
        for pair, q in zip(found, stats.false_discovery_control([pair["p"] for pair in found]), strict=True):
            pair |= {"q": float(q), "larger_than_noise": larger_than_noise(q, pair["seeds_agree"])}
    return found


def difference(first: list[Run], second: list[Run]) -> dict | None:
    """How many more test photos one strategy has right than another, paired over seeds and photos.

    A photo that is a test photo under several seeds is one unit, and so are the photos of a group: their answers are
    no independent evidence.

    Args:
        first, second: the runs of two strategies, one for each seed; only seeds that both finished count.

    Returns:
        A dict with `difference` (the first's accuracy minus the second's, over photos and seeds), `interval`
        ([low, high], 95 %), `p` (two-sided), `seeds_agree` and `by_seed` (the difference under each seed); None
        without a common seed.

    Raises:
        UserError: under one seed the two have different test photos.
    """
    pairs = paired(first, second)
    if not pairs:
        return None
    for one, other in pairs:
        if one.answers.paths != other.answers.paths:
            raise errors.UserError(
                f"{one.strategy} and {other.strategy}: seed {one.seed} has other test photos in one than in the "
                "other, so the data changed between them: start the comparison again in another --out"
            )
    steps = [one.answers.right - other.answers.right for one, other in pairs]
    units, numbers = np.unique(np.concatenate([one.answers.units for one, _ in pairs]), return_inverse=True)
    gains = np.zeros(len(units), dtype=int)
    np.add.at(gains, numbers, np.concatenate(steps))
    under_seeds = [float(step.mean()) for step in steps]
    return {
        "difference": float(gains.sum() / len(numbers)),
        "interval": bootstrap_interval(gains, np.bincount(numbers)),
        "p": permutation_p(gains),
        "seeds_agree": seeds_agree(under_seeds),
        "by_seed": under_seeds,
    }


def permutation_p(gains: np.ndarray) -> float:
    """The two-sided p of a sum of paired differences, where by chance each might as well have the other sign.

    This is what `scipy.stats.permutation_test` with `permutation_type="samples"` estimates from random swaps, here
    exact: k units that differ by v add v(2B - k), with B binomial (k, 1/2), and the sums of all v convolve. With one
    photo a unit and one seed it is the exact McNemar test.

    Args:
        gains: (units,) integers, how many more answers the first has right than the second.
    """
    chances = np.ones(1)  # of each number of answers that went to the first, out of all that differ
    for size, count in zip(*np.unique(np.abs(gains[gains != 0]), return_counts=True), strict=True):
        steps = np.zeros(size * count + 1)
        steps[::size] = stats.binom.pmf(np.arange(count + 1), count, 0.5)
        chances = np.convolve(chances, steps)
    differing = len(chances) - 1
    sums = 2 * np.arange(differing + 1) - differing
    return float(min(chances[np.abs(sums) >= abs(gains.sum())].sum(), 1.0))


def bootstrap_interval(gains: np.ndarray, answers: np.ndarray, seed: int = 0) -> list[float]:
    """The 95 % percentile bootstrap interval of the gain for each answer, over units.

    What `scipy.stats.bootstrap` does with `paired=True`, but units that are alike are drawn together, as a
    multinomial count: thousands of units are of a few kinds, which makes it about 30 times faster.

    Args:
        gains: (units,) integers, how many more answers the first has right than the second.
        answers: (units,) integers, how many answers each gave.
        seed: of the resamples.
    """
    kinds, counts = np.unique(np.stack([gains, answers], axis=1), axis=0, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(gains), counts / counts.sum(), size=RESAMPLES)
    sums = drawn @ kinds
    return np.quantile(sums[:, 0] / sums[:, 1], evaluation.TAILS).tolist()


def seeds_agree(values: list[float]) -> bool:
    """Whether the differences under several seeds are no luck of single ones.

    With five and more Student's t-test decides. With fewer it would hardly ever find anything, so there the sign has to
    be the same under each; some may be 0, not all.
    """
    if len(values) < SEEDS_FOR_T_TEST or np.ptp(values) == 0:
        return any(values) and (min(values) >= 0 or max(values) <= 0)
    return bool(stats.ttest_1samp(values, 0).pvalue <= SIGNIFICANCE)


def larger_than_noise(p: float, agree: bool) -> bool:
    """Whether a difference is more than chance among the test photos, and no luck of single seeds.

    The p knows only the photos. That training itself may turn out better or worse is left to the seeds: three agree by
    chance one time in four, so where an accuracy moves much from seed to seed, five or more of them tell more.
    """
    return bool(p <= SIGNIFICANCE and agree)


# Advice -------------------------------------------------------------------------------------------------------


def advice(comparison: dict) -> list[str]:
    """What to use and why, in plain sentences.

    Args:
        comparison: with `chance`, `rows`, `differences` and `choice`.
    """
    row_of = {row["name"]: row for row in comparison["rows"]}
    choice = row_of.get(comparison["choice"])
    if choice is None:
        sentences = ["Not one trial with all training photos finished, so there is no advice."]
    else:
        others = [row for row in comparison["rows"] if row["test"] and row is not choice]
        sentences = [
            *_use(comparison, choice),
            *_rivals(comparison, choice, others),
            *_cheaper(comparison, choice, others),
            *_against_scratch(comparison, choice, others),
            _more_photos(choice),
            *_few_seeds(choice),
        ]
    return sentences + _failures(comparison["rows"])


def _use(comparison: dict, choice: dict) -> list[str]:
    count = _full_size_seeds(choice)
    note = f"median and range of {count} seeds" if count > 1 else "one seed"
    accuracy = choice["test"]["accuracy"]
    sentences = [
        f"Use {said(choice)}: it did best on the validation photos, and has {_share(accuracy)} of the test photos "
        f"right ({note})."
    ]
    if accuracy[0] <= comparison["chance"]:
        sentences.append(
            "That is no better than naming the largest class every time, which has "
            f"{page.percent(comparison['chance'])} right."
        )
    return sentences


def _rivals(comparison: dict, choice: dict, others: list[dict]) -> list[str]:
    """Whether the choice is better than the rest by more than noise."""
    if not others:
        return ["Nothing else finished that it could be compared with."]
    found = {row["name"]: between(comparison, choice["name"], row["name"]) for row in others}
    gains = {name: pair[0] for name, pair in found.items() if pair and pair[1]}  # those that are larger than noise
    better = [row for row in others if gains.get(row["name"], 0) < 0]
    close = [row for row in others if row["name"] not in gains]
    sentences = [
        f"On the test photos {said(row)} has {_points(gains[row['name']])} more right, which is larger than noise; "
        "a choice made on test photos would flatter itself, so it stays with the validation photos."
        for row in better
    ]
    if close:
        sentences.append(_not_told_apart(comparison, choice, close))
    elif not better:
        following, gain = said(others[0]), _points(gains[others[0]["name"]])
        sentences.append(
            f"It beats {following}, the only other, by more than noise: {gain} on average."
            if len(others) == 1
            else f"It beats all {len(others)} others by more than noise; {following}, the next, by {gain} on average."
        )
    return sentences


def _not_told_apart(comparison: dict, choice: dict, close: list[dict]) -> str:
    """The sentence about rows whose difference to the choice is within noise."""
    tied = [row for row in comparison["rows"] if row is choice or row in close]
    pairs = itertools.combinations([row["name"] for row in tied], 2)
    if tied == comparison["rows"][: len(tied)] and not any((between(comparison, *pair) or (0, 0))[1] for pair in pairs):
        names = _listed([said(row) for row in tied])
        which = "all" if len(tied) == len(comparison["rows"]) else "the first"
        return f"Nothing here tells {which} {len(tied)} apart: {names} differ by no more than noise."
    return (
        f"Nothing here tells {said(choice)} apart from {_listed([said(row) for row in close])}: they differ by no more "
        "than noise."
    )


def _cheaper(comparison: dict, choice: dict, others: list[dict]) -> list[str]:
    """The best way at a tenth of the cost, or the cheapest at half of it."""
    cheaper = [row for row in others if _price(row, choice) < _price(choice, row)]
    if not cheaper:
        return ["Nothing cheaper was tried."] if others else []
    tenth = [row for row in cheaper if 10 * _price(row, choice) <= _price(choice, row)]
    half = [row for row in cheaper if 2 * _price(row, choice) <= _price(choice, row)]
    cheapest = min(cheaper, key=lambda row: _price(row, choice))
    if not half:
        return [f"Nothing that was tried costs less than half as much; the cheapest is {said(cheapest)}."]
    # Chosen as everything is, on the validation photos.
    row = min(tenth, key=_by_validation) if tenth else min(half, key=lambda row: _price(row, choice))
    features = choice["cost"]["feature_seconds"] or row["cost"]["feature_seconds"]
    note = ""
    if features:
        shared = _share_features(row, choice)
        note = f" (the features, {page.duration(features)}, come on top for both)" if shared else " (features included)"
    prices = f"{page.duration(_price(row, choice))} instead of {page.duration(_price(choice, row))}"
    return [
        f"{'A tenth' if tenth else 'Half'} of the cost or less: {said(row)} takes {prices}{note}, and has "
        f"{_share(row['test']['accuracy'])} right; {_compared(comparison, row['name'], choice['name'])}."
    ]


def _share_features(row: dict, other: dict) -> bool:
    """Whether two rows need one and the same pass through the frozen network."""
    features = row["cost"]["feature_seconds"] and other["cost"]["feature_seconds"]
    return bool(features) and row["backbone"] == other["backbone"]


def _price(row: dict, other: dict) -> float:
    """Seconds of a run beside another; with the features, unless both need the same."""
    features = 0.0 if _share_features(row, other) else row["cost"]["feature_seconds"]
    return row["cost"]["seconds"][0] + features


def _against_scratch(comparison: dict, choice: dict, others: list[dict]) -> list[str]:
    """Whether the pretrained weights pay."""
    if choice["strategy"] == SCRATCH:
        pretrained = [row for row in others if row["strategy"] != SCRATCH]
        if not pretrained:
            return []
        best = min(pretrained, key=_by_validation)
        return [
            f"Training from scratch wins here: with pretrained weights the best, {said(best)}, has "
            f"{_share(best['test']['accuracy'])} right; {_compared(comparison, best['name'], choice['name'])}."
        ]
    scratch = _scratch(comparison["rows"], choice["backbone"])
    if scratch is None:
        return []
    gain, larger = between(comparison, choice["name"], scratch["name"]) or (0.0, False)
    verdict = "so nothing here shows that pretrained weights pay"
    if larger:
        verdict = "so the pretrained weights pay" if gain > 0 else "so pretrained weights do not pay here"
    return [
        f"Training from scratch has {_share(scratch['test']['accuracy'])} right; "
        f"{_compared(comparison, scratch['name'], choice['name'])}, {verdict}."
    ]


def _more_photos(choice: dict) -> str:
    """Whether more training photos are likely to help, from the last step of the learning curve."""
    if len(choice["fractions"]) < 2:
        return "Whether more photos would help is not known: --fractions 0.3 1 would tell."
    few, many = choice["fractions"][-2:]
    accuracy = {
        (run["fraction"], run["seed"]): run["accuracy"] for run in choice["runs"] if run["accuracy"] is not None
    }
    gains = [
        accuracy[many["fraction"], seed] - accuracy[few["fraction"], seed]
        for fraction, seed in accuracy
        if fraction == many["fraction"] and (few["fraction"], seed) in accuracy
    ]
    if not gains or many["train"] <= few["train"]:
        return "Whether more photos would help cannot be told: no seed finished with few and with all photos."
    gain, low, high = spread(gains)
    span = f" ({100 * low:+.1f} to {100 * high:+.1f})" if len(gains) > 1 else ""
    step = f"from {few['train']:,} to {many['train']:,} training photos it changed by {100 * gain:+.1f} points{span}"
    if low > 0 and gain >= LIKELY_GAIN - ROUNDING:
        doublings = np.log2(many["train"] / few["train"])
        forecast = min(many["accuracy"][0] + gain / doublings, 1.0)
        return (
            f"More photos are likely to help: {step}; if each doubling goes on to bring as much, twice as many photos "
            f"would bring it to about {page.percent(forecast, 0)} (an extrapolation, not a measurement)."
        )
    if gain < UNLIKELY_GAIN - ROUNDING:
        return f"More photos are not likely to help much: {step}."
    return f"Whether more photos would help cannot be told: {step}."


def _few_seeds(choice: dict) -> list[str]:
    """A warning where luck cannot be told from skill."""
    if _full_size_seeds(choice) > 1:
        return []
    return ["All this rests on one seed, and one seed says little: --seeds 3 would show how much of it is luck."]


def _failures(rows: list[dict]) -> list[str]:
    return [
        f"{_upper(said(row))} failed in {row['failed']} of {page.plural(len(row['runs']), 'trial')}: see its row."
        for row in rows
        if row["failed"]
    ]


def between(comparison: dict, first: str, second: str) -> tuple[float, bool] | None:
    """How much more accurate one row is than another, and whether that is larger than noise; None without a common
    seed."""
    for pair in comparison["differences"]:
        if {pair["first"], pair["second"]} == {first, second}:
            return pair["difference"] * (1 if pair["first"] == first else -1), pair["larger_than_noise"]
    return None


def said(row: dict) -> str:
    """A row's name in plain words."""
    strategy = page.words(row["strategy"])
    return strategy if row["name"] == row["strategy"] else f"{strategy} with {row['backbone']}"


def _compared(comparison: dict, name: str, choice: str) -> str:
    """A row's difference to the choice, as the end of a sentence."""
    found = between(comparison, name, choice)
    if found is None:
        return f"it shares no seed with {page.words(choice)}"
    gain, larger = found
    if not round(gain, 4):
        return "on average just as much"
    size = f"on average {_points(gain)} {'more' if gain > 0 else 'less'}"
    return f"{size}, which is larger than noise" if larger else f"{size}, which is within noise"


def _full_size_seeds(row: dict) -> int:
    full = row["fractions"][-1]["fraction"]
    return sum(run["fraction"] == full and run["accuracy"] is not None for run in row["runs"])


def _share(values: list[float]) -> str:
    """An accuracy over seeds in percent; without its range where there is none."""
    return page.percent(values[0]) if values[1] == values[2] else page.estimate(values)


def _points(gain: float) -> str:
    return f"{abs(100 * gain):.1f} points"


def _listed(names: list[str]) -> str:
    """The names with commas and an "and"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


# The table ----------------------------------------------------------------------------------------------------


def table(comparison: dict) -> str:
    """The rows for the terminal, at most 100 columns wide."""
    header = ("  strategy", "test accuracy", "seconds", "trained", "the best?", "failed")
    lines = [header, *(_cells(row, comparison) for row in comparison["rows"])]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    widths[0] = min(widths[0], TABLE_WIDTH - sum(widths[1:]) - 2 * (len(header) - 1))
    aligned = ("<", ">", ">", ">", "<", ">")
    shown = [
        "  ".join(
            f"{_shortened(text, width):{side}{width}}" for text, side, width in zip(line, aligned, widths, strict=True)
        )
        for line in lines
    ]
    return "\n".join([*(line.rstrip() for line in shown), *NOTES])


def _cells(row: dict, comparison: dict) -> tuple[str, ...]:
    name = f"{'>' if row['name'] == comparison['choice'] else ' '} {row['name']}"
    failed = f"{row['failed']} of {len(row['runs'])}" if row["failed"] else "–"
    if not row["test"]:
        return name, "–", "–", "–", "–", failed
    seconds, features = row["cost"]["seconds"][0], row["cost"]["feature_seconds"]
    price = f"{_digits(seconds)} + {_digits(features)}" if features else _digits(seconds)
    parameters = f"{row['cost']['trainable_parameters']:,}"
    return name, _share(row["test"]["accuracy"]), price, parameters, _mark(row, comparison), failed


def _digits(seconds: float) -> str:
    return f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:.1f}"


def _mark(row: dict, comparison: dict) -> str:
    """How a row stands to the first one."""
    best = comparison["rows"][0]["name"]
    if row["name"] == best:
        return "best"
    found = between(comparison, row["name"], best)
    if found is None:
        return "no common seed"
    gain, larger = found
    return ("better" if gain > 0 else "worse") if larger else "≈ best"


def _shortened(name: str, width: int) -> str:
    """A name cut in its middle: a strategy at its start and a backbone at its end tell rows apart."""
    if len(name) <= width:
        return name
    end = width // 2
    return f"{name[: width - end - 1]}…{name[-end:]}"
