"""How often a comparison's choices, advice and claims are wrong, on made-up answers whose truth is known.

An accuracy is 0.87 if nothing else is said. A photo is as hard for every model, and two equal models disagree on 8 % of
the photos. Each seed draws its photos from a pool, of which they are 15 %. *Luck* is the standard deviation of a
trained model's true accuracy about its strategy's.
"""

import pathlib
from typing import Any

import numpy as np
import tables as markdown_tables
from scipy import stats

from common.compare import advice, claims, plan, table, trial_run
from common.data import sample_list, splits, targets
from common.media import photos as photo_medium

ACCURACY = 0.87
HARDNESS = 0.887  # correlation of two models' margins on a photo, at which they disagree on 8 % of the photos
SHARE = 0.15  # of the photos that a side has
ROLES = {"head": "head", "gradual": "gradual", "full": "full", "scratch": "scratch"}


# Made-up runs -------------------------------------------------------------------------------------------------


def answers(random: np.random.Generator, accuracies: np.ndarray, photos: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw right answers, (n, seeds, models, photos) of 0 and 1, and the numbers of the photos, (n, seeds, photos).

    Args:
        random: draws them.
        accuracies: (n, seeds, models) true accuracies.
        photos: the number of photos of each seed.
    """
    repetitions, seeds, _ = accuracies.shape
    pool = round(photos / SHARE)
    drawn = random.random((repetitions, seeds, pool), np.float32).argsort(-1)[..., :photos]
    hard = np.take_along_axis(random.normal(size=(repetitions, 1, pool)), drawn, -1)[:, :, None]
    own = random.standard_normal((*accuracies.shape, photos), np.float32)
    limits = stats.norm.ppf(np.clip(accuracies, 0.001, 0.999))[..., None]
    return (HARDNESS**0.5 * hard + (1 - HARDNESS) ** 0.5 * own < limits).astype(int), drawn


def lucky(
    random: np.random.Generator, repetitions: int, seeds: int, luck: float, gains: list[float] | np.ndarray
) -> np.ndarray:
    """Draw true accuracies, (n, seeds, models), of models that are better than usual by these gains."""
    return ACCURACY + np.asarray(gains) + luck * random.normal(size=(repetitions, seeds, len(gains)))


def run_of(strategy: str, seed: int, fraction: float = 1.0, **known: Any) -> trial_run.Run:
    """Return a finished run that has no files; `known` are the properties that would be read from them."""
    run = trial_run.Run(strategy, "demo", seed, fraction, "", False, "", pathlib.Path("."))
    vars(run).update(known)
    return run


def answered(right: np.ndarray, numbers: np.ndarray) -> trial_run.Answers:
    """Return a run's answers to the photos with these numbers, both (photos,)."""
    order = np.argsort(numbers)
    paths = [f"{number:06d}" for number in numbers[order]]
    return trial_run.Answers(paths, np.array(paths), right[order])


# The choice ---------------------------------------------------------------------------------------------------


def rows_of(accuracies: np.ndarray, photos: int, order: np.ndarray) -> list[dict]:
    """Return rows of a comparison with these validation accuracies, (seeds, strategies); `order` has their prices."""
    return [
        {
            "name": str(number), "test": True, "validation": {"n": [photos]},
            "cost": {"seconds": [order[number]], "feature_seconds": 0.0},
            "runs": [
                {"seed": seed, "validation": value, "fraction": 1.0, "report": "r"} for seed, value in enumerate(each)
            ],
        }
        for number, each in enumerate(accuracies.T)
    ]  # fmt: skip


def searched(
    repetitions: int, looks: int, seeds: int, photos: int, luck: float = 0.0, dearest: bool = False,
    simply_best: bool = False,
) -> float:  # fmt: skip
    """Return how often the strategy is chosen, of five equal ones, that keeps the best of several looks at validation.

    Args:
        repetitions: number of comparisons.
        looks: equally good models of the first strategy, of which each seed keeps the best on validation.
        seeds, photos, luck: of each comparison.
        dearest: the first strategy is the dearest, as those that search usually are; else the prices are random.
        simply_best: take the best mean instead of the product's choice.
    """
    random = np.random.default_rng(0)
    true = lucky(random, repetitions, seeds, luck, [0.0] * 5)
    right, _ = answers(random, np.concatenate([np.repeat(true[..., :1], looks, -1), true[..., 1:]], -1), photos)
    seen = right.mean(-1)
    seen = np.concatenate([seen[..., :looks].max(-1, keepdims=True), seen[..., looks:]], -1)
    chosen = 0
    for each in seen:
        order = np.array([4, 0, 1, 2, 3]) if dearest else random.permutation(5)
        found = table.choose(rows_of(each, photos, order), 1.0)
        chosen += bool(found) and found["best" if simply_best else "choice"] == "0"
    return chosen / repetitions


def dearest_chosen(repetitions: int, better: float, seeds: int, photos: int, luck: float = 0.01) -> float:
    """Return how often the dearest of five strategies is chosen, which is really better than the four others."""
    random = np.random.default_rng(0)
    seen = answers(random, lucky(random, repetitions, seeds, luck, [0.0, *[-better] * 4]), photos)[0].mean(-1)
    found = (table.choose(rows_of(each, photos, np.array([4, 0, 1, 2, 3])), 1.0) for each in seen)
    return sum(bool(each) and each["choice"] == "0" for each in found) / repetitions


# Fractions and more photos ------------------------------------------------------------------------------------


def beats_scratch(repetitions: int, fractions: int, seeds: int, photos: int, luck: float = 0.0) -> float:
    """Return how often a fraction is named with which a strategy beats another that is as good with every fraction."""
    random = np.random.default_rng(0)
    right, drawn = answers(random, lucky(random, repetitions, seeds, luck, [0.0] * (fractions + 1)), photos)
    named = 0
    for hits, numbers in zip(right, drawn, strict=True):
        runs = [
            [run_of("a", seed, 1.0 - place / 10, answers=answered(hits[seed, place], numbers[seed]))
             for seed in range(seeds)]
            for place in range(fractions + 1)
        ]  # fmt: skip
        named += table.beats_scratch_from(sum(runs[:-1], []), runs[-1]) is not None
    return named / repetitions


def more_photos(repetitions: int, gain: float, seeds: int, photos: int, luck: float = 0.01) -> dict[str, float]:
    """Return how often the advice says that more photos are likely, or not likely, to help, after a true gain."""
    random = np.random.default_rng(0)
    right, drawn = answers(random, lucky(random, repetitions, seeds, luck, [0.0, gain]), photos)
    said = []
    for hits, numbers in zip(right, drawn, strict=True):
        runs = [
            run_of("a", seed, fraction, answers=answered(hits[seed, place], numbers[seed]))
            for seed in range(seeds) for place, fraction in enumerate((0.3, 1.0))
        ]  # fmt: skip
        sizes = [{"train": train, "accuracy": [ACCURACY]} for train in (30, 100)]
        said.append(advice.more_photos({"fractions": sizes, "step": table.last_step(runs)}))
    starts = {
        "likely": "More photos are likely",
        "not likely": "More photos are not likely",
        "unclear": "It is unclear",
    }
    return {name: sum(each.startswith(start) for each in said) / repetitions for name, start in starts.items()}


def kept(repetitions: int, fraction: float) -> list[float]:
    """Return the shares of photos that are kept of 2 classes x 20 groups of 1 to 20 photos."""
    shares = []
    for seed in range(repetitions):
        sizes = np.random.default_rng(seed).integers(1, 21, size=40)
        samples = [
            sample_list.Sample(f"{group}-{number}", "ab"[group % 2], f"{group}", "train")
            for group, size in enumerate(sizes) for number in range(size)
        ]  # fmt: skip
        contents = {sample.path: sample.path for sample in samples}
        whole = splits.Splits.of("", photo_medium.PHOTOS, targets.CLASSES, samples, {}, contents)
        shares.append(len(plan.part_of(whole, fraction, seed)) / len(samples))
    return shares


# Claims -------------------------------------------------------------------------------------------------------


def trials_of_claims(right: np.ndarray, drawn: np.ndarray, gains: dict[str, np.ndarray]) -> claims.Trials:
    """Return the trials of a comparison with claims; `gains` has what is seen on validation: name → (seeds, …)."""
    runs = []
    sizes = {"train": 560, "validation": drawn.shape[-1], "test": drawn.shape[-1]}
    names = [("head", 0.1), ("full", 0.1), ("head", 1.0), ("full", 1.0), ("with_augmentation", 0.1),
             ("without_augmentation", 0.1)]  # fmt: skip
    for seed in range(len(right)):
        sides = {"validation": frozenset([str(seed)]), "test": frozenset(map(str, drawn[seed]))}

        def made(name: str, fraction: float, seed: int = seed, sides: dict = sides, **known: Any) -> trial_run.Run:
            results = {
                "data": {"train": sizes["train"]}, "train": {"accuracy": 1.0},
                "validation": {"accuracy": ACCURACY, "n": sizes["validation"]}, "test": {"n": sizes["test"]},
                "stages": [{"stage": "head", "validation_accuracy": gains["head"][seed]}],
            } | known.pop("results", {})  # fmt: skip
            return run_of(name, seed, fraction, **{"results": results, "history": [], "sides": sides} | known)

        for place, (name, fraction) in enumerate(names):
            hits = answered(right[seed, place], drawn[seed])
            test = {"test": {"n": sizes["test"], "accuracy": float(hits.right.mean())}}
            epochs = [{"stage": "fine_tuning", "val_accuracy": value, "seconds": 1.0} for value in gains["full"][seed]]
            runs.append(made(name, fraction, results=test, answers=hits, history=epochs if name == "full" else []))
        for name, values in (("gradual", gains["gradual"][seed]), ("high_rate", gains["high_rate"][seed][None])):
            last = name == "high_rate"
            epochs = [
                {"stage": "fine_tuning" if last else f"stage{stage}", "val_accuracy": value, "seconds": 1.0}
                for stage, each in enumerate(values) for value in each
            ]  # fmt: skip
            runs.append(made(name, 1.0, history=epochs))
        for place, name in enumerate(("regularised", "unregularised")):
            seen = {"validation": {"accuracy": gains["regularised"][seed, place], "n": sizes["validation"]}}
            runs.append(made(name, 1.0, results=seen))
    return claims.Trials(runs, ROLES)


def judged(
    repetitions: int, seeds: int, photos: int, luck: float = 0.0, growth: float = 0.0, fall: float = 0.0
) -> list[dict[str, str]]:
    """Return the verdicts, claim → verdict, of comparisons in which nothing is true but a growth and a fall.

    Args:
        repetitions: number of comparisons.
        seeds, photos, luck: of each comparison; validation and test have as many photos.
        growth: how much more full fine-tuning gains with all photos than with few.
        fall: how much is lost at the high rate.
    """
    random = np.random.default_rng(0)
    right, drawn = answers(random, lucky(random, repetitions, seeds, luck, [0.0, 0.0, 0.0, growth, 0.0, 0.0]), photos)
    # On validation: the head, five epochs of full fine-tuning, of three gradual stages and at the high rate, and the
    # regularised and the unregularised head. Epochs of one run share its luck.
    own = lucky(random, repetitions, seeds, luck, [0.0, 0.0, 0.0, -fall, 0.0, 0.0])
    true = np.repeat(own, [1, 5, 15, 5, 1, 1], axis=-1)
    seen = answers(random, true, photos)[0].mean(-1)
    found = []
    for hits, numbers, each in zip(right, drawn, seen, strict=True):
        gains = {
            "head": each[:, 0], "full": each[:, 1:6], "gradual": each[:, 6:21].reshape(seeds, 3, 5),
            "high_rate": each[:, 21:26], "regularised": each[:, 26:],
        }  # fmt: skip
        checked = claims.check(trials_of_claims(hits, numbers, gains))
        found.append({claim["claim"]: claim["verdict"] for claim in checked})
    return found


def any_verdict(found: list[dict[str, str]]) -> float:
    """Return the share of comparisons with a verdict on any claim, besides those that hold by definition."""
    return sum(any(each in (claims.HOLDS, claims.FAILS) for each in one.values()) for one in found) / len(found)


def holds(found: list[dict[str, str]], word: str) -> float:
    """Return how often the claim with that word in it is found to hold."""
    return sum(verdict == claims.HOLDS for one in found for claim, verdict in one.items() if word in claim) / len(found)


# The tables ---------------------------------------------------------------------------------------------------


def tables(repetitions: int) -> list[str]:
    """Return the simulations as Markdown tables, each below its title."""

    def titled(title: str, columns: list[str], rows: list[list[str]]) -> str:
        return f"{title}\n\n{markdown_tables.markdown(columns, rows)}"

    def share(value: float) -> str:
        return f"{value:.2f}"

    cases = [(seeds, photos, luck) for seeds in (3, 5, 10) for photos, luck in ((120, 0.0), (120, 0.01), (550, 0.01))]
    return [
        titled(
            "How often a strategy is chosen that keeps the best of several looks at validation; 0.20 is fair",
            ["seeds", "photos", "luck", "looks", "the best mean", "the choice", "the choice, it is the dearest"],
            [
                [str(seeds), str(photos), str(luck), str(looks),
                 *(share(searched(repetitions, looks, seeds, photos, luck, **way))
                   for way in ({"simply_best": True}, {}, {"dearest": True}))]
                for seeds, photos, luck in cases for looks in (1, 4, 8)
            ],
        ),
        titled(
            "How often the dearest of five strategies is chosen where it is really better; luck 0.01",
            ["better by", "seeds", "120 photos", "550 photos"],
            [
                [f"{better:.0%}", str(seeds),
                 *(share(dearest_chosen(repetitions, better, seeds, photos)) for photos in (120, 550))]
                for better in (0.03, 0.05) for seeds in (3, 5, 10)
            ],
        ),
        titled(
            "How often a fraction is named that beats scratch, for equal strategies; 3 fractions",
            ["seeds", "photos", "luck 0", "luck 0.01"],
            [
                [str(seeds), str(photos),
                 *(share(beats_scratch(repetitions, 3, seeds, photos, luck)) for luck in (0.0, 0.01))]
                for seeds in (3, 5) for photos in (120, 550)
            ],
        ),
        titled(
            "What is said about more photos after the last step of the learning curve; luck 0.01",
            ["true gain", "seeds", "photos", "likely", "unclear", "not likely"],
            [
                [f"{gain:.0%}", str(seeds), str(photos),
                 *(share(said[name]) for name in ("likely", "unclear", "not likely"))]
                for gain in (0.0, 0.02, 0.05) for seeds, photos in ((3, 120), (5, 120), (5, 550))
                for said in [more_photos(repetitions, gain, seeds, photos)]
            ],
        ),
        titled(
            "What a fraction keeps of 2 classes x 20 groups of 1 to 20 photos",
            ["asked", "kept (mean)", "least", "most"],
            [
                [f"{fraction:g}", *(f"{value:.3f}" for value in (np.mean(shares), min(shares), max(shares)))]
                for fraction in (0.1, 0.3, 0.5) for shares in [kept(repetitions, fraction)]
            ],
        ),
        titled(
            "How often any claim gets a verdict where nothing is true",
            ["seeds", "photos", "luck 0", "luck 0.01", "luck 0.015"],
            [
                [str(seeds), str(photos),
                 *(share(any_verdict(judged(repetitions, seeds, photos, luck))) for luck in (0.0, 0.01, 0.015))]
                for seeds in (3, 5, 10) for photos in (120, 550)
            ],
        ),
        titled(
            "How often a true claim is found; luck 0.01",
            ["effect", "seeds", "photos", "fine-tuning pays more with more photos", "a high rate destroys"],
            [
                [f"{effect:.0%}", str(seeds), str(photos),
                 *(share(holds(found, word)) for word in ("pays more", "too high"))]
                for effect in (0.05, 0.1) for seeds, photos in ((5, 120), (10, 120), (5, 550), (10, 550))
                for found in [judged(repetitions, seeds, photos, 0.01, effect, effect)]
            ],
        ),
    ]  # fmt: skip
