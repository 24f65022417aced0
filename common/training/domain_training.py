"""The methods of domain adaptation: each fits a head on the features of two domains, and is measured in the new one.

All settings are fixed, and the last step of a training counts, so no label of the new domain can reach a choice. The
losses are in `training.adaptation`, and what has a closed form is in `models.domain_heads`.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from common import devices, errors, flags, words
from common.data import domains
from common.evaluation import domain_gap, domain_map, domain_methods
from common.models import domain_heads
from common.training import adaptation

PARTS = {
    "none": "the source's model as it is",
    "standardise": "each domain by its own mean and variance",
    "coral": "the source's features get the new domain's covariance, in closed form (Sun et al. 2016)",
    "deep_coral": "a bottleneck is trained to give both domains one covariance (Sun and Saenko 2016)",
    "mmd": "a bottleneck is trained to a small maximum mean discrepancy, as in DAN (Long et al. 2015)",
    "dann": "a bottleneck is trained against a classifier of the domain (Ganin et al. 2016)",
    "cdan": "as dann, but the classifier also sees the answers (Long et al. 2018)",
    "mcc": "answers in the new domain are trained to confuse few classes (Jin et al. 2020)",
    "pseudo_labels": "the surest answers in the new domain become labels, in rounds (Lee 2013)",
    "few_labels": "a few labels of the new domain, together with the source",
    "few_labels_alone": "a few labels of the new domain, without the source",
    "target_labels": "all labels of the adapting half: what could be reached at best",
}
LABELS = ("few_labels", "few_labels_alone", "target_labels")  # parts that need labels of the new domain
COMPARED = (
    "none", "standardise", "coral", "standardise+coral", "standardise+deep_coral", "standardise+mmd",
    "standardise+dann", "standardise+cdan", "standardise+mcc", "standardise+coral+mcc", "standardise+pseudo_labels",
    "few_labels_alone", "few_labels", "mcc+few_labels", "target_labels",
)  # fmt: skip


def parts_of(method: str) -> frozenset[str]:
    """Return the parts of a method.

    Raises:
        UserError: a part is unknown, or does not go with the others.
    """
    parts = method.split("+")
    flags.check(len(set(parts)) == len(parts), "method", f"{method}: names a part twice")
    for part in parts:
        if part not in PARTS:
            raise errors.UserError(
                f"--method {method}: {part!r} is not a part{flags.suggestion(part, list(PARTS))}; join some of "
                f"{', '.join(PARTS)} by +"
            )
    found = frozenset(parts)
    flags.check("none" not in found or len(found) == 1, "method", "none cannot be joined with others")
    flags.check(len(found & set(LABELS)) < 2, "method", f"takes one of {', '.join(LABELS)}")
    # Labels of a domain do not change what its own mean and variance are worth.
    return found | {"standardise"} if found & set(LABELS) else found


def check(config: Any) -> None:
    """Refuse settings of a recipe that do not go together.

    Args:
        config: has `used_method`, `compares`, `new_domain`, `seeds`, `shots` and `new_labels`.
    """
    parts_of(config.used_method)
    several = len(set(config.new_domain)) == len(config.new_domain)
    flags.check(several, "new_domain", "must contain each domain only once")
    flags.check_used(config, config.compares, "without --compare", "seeds")
    labelled = config.compares or domain_methods.needs_labels(config.used_method)
    flags.check_used(config, labelled, "with a --method that takes no labels", "shots", "new_labels")
    flags.check_used(config, not config.new_labels, "beside --new-labels", "shots")


def methods_of(config: Any, data: domains.Domains) -> list[str]:
    """Return the methods to measure: all of `COMPARED` whose labels are there, or the used one and `none`.

    Raises:
        UserError: the labels that the used method needs are not there.
    """
    if not can_run(config.used_method, data, config):
        raise errors.UserError(
            f"--method {config.used_method} needs labels of at least two classes of the new domain: give them and "
            "--shots 1 or more, or --new-labels with the labels of a few"
        )
    wanted = [*COMPARED, config.used_method] if config.compares else [domain_methods.BASELINE, config.used_method]
    found = [each for each in dict.fromkeys(wanted) if can_run(each, data, config)]
    unit, source, adapting = data.target.medium.unit, len(data.source.train), len(data.paths())
    tested = f"the other {len(data.target.test)} are its test" if data.labels else "there is no test"
    print(f"domains: {words.plural(source, unit)} of the source train; {adapting} of {data.name} adapt without their "
          f"labels, {tested}; methods: {', '.join(found)}", file=sys.stderr)  # fmt: skip
    drawn = any(parts_of(each) & {"few_labels", "few_labels_alone"} for each in found) and not config.new_labels
    counts = collections.Counter(data.labels[path] for path in data.paths() if path in data.labels)
    if few := [name for name, count in sorted(counts.items()) if drawn and count < config.shots]:
        print(f"domains: fewer than {config.shots} adapting {unit}s of {words.listed(few)}; all of them give their "
              "label", file=sys.stderr)  # fmt: skip
    return found


def known_labels(method: str, data: domains.Domains, config: Any) -> dict[int, int]:
    """Return the labels of the new domain that a method may read, place in `Domains.paths` → class index."""
    parts = parts_of(method)
    if not parts & set(LABELS):
        return {}
    return data.every() if "target_labels" in parts else data.few(config.shots, config.new_labels, config.seed)


def can_run(method: str, data: domains.Domains, config: Any) -> bool:
    """Return whether the labels that a method needs are there: of two classes at least."""
    return not domain_methods.needs_labels(method) or len(set(known_labels(method, data, config).values())) > 1


def fit(method: str, data: domain_heads.Features, config: Any, device: devices.Strategy) -> domain_heads.Adapted:
    """Fit a head by a method; no label of the new domain is read, except by the parts in `LABELS`.

    Args:
        data: the features of both domains.
    """
    parts = parts_of(method)
    num_classes = len(data.domains.source.class_names)
    ours = domain_heads.statistics(data.source["train"])
    theirs = domain_heads.statistics(data.adapting) if "standardise" in parts else ours
    target = domain_heads.standardised(data.adapting, *theirs)
    train = domain_heads.standardised(data.source["train"], *ours)

    def source(features: np.ndarray) -> np.ndarray:
        rows = domain_heads.standardised(features, *ours)
        return domain_heads.coral(train, target, rows=rows) if "coral" in parts else rows

    rows, labels = source(data.source["train"]), data.source_labels
    weights = np.ones(len(rows))
    if known := known_labels(method, data.domains, config):
        places, theirs_labels = np.array(list(known)), np.array(list(known.values()))
        if "few_labels" in parts:  # both domains weigh the same
            rows, labels = np.concatenate([rows, target[places]]), np.concatenate([labels, theirs_labels])
            weights = np.concatenate([weights, np.full(len(places), max(1.0, len(weights) / len(places)))])
        else:
            rows, labels, weights = target[places], theirs_labels, np.ones(len(places))
    found = domain_heads.Adapted(
        *adaptation.fit(parts, rows, labels, weights, target, num_classes, config.seed, device), *theirs, source
    )
    for share in domain_heads.SHARES if "pseudo_labels" in parts else ():
        answers = found.answers(target)
        kept = domain_heads.surest(answers, share)
        more = np.concatenate([rows, target[kept]]), np.concatenate([labels, answers[kept].argmax(axis=1)])
        weights_of_all = np.concatenate([weights, np.ones(len(kept))])
        found = domain_heads.Adapted(
            *adaptation.fit(parts, *more, weights_of_all, target, num_classes, config.seed, device), *theirs, source
        )
    return found


def measure(
    methods: list[str], data: domain_heads.Features, seed: int, config: Any, device: devices.Strategy
) -> tuple[list[dict[str, Any]], dict[str, domain_heads.Adapted]]:
    """Fit and score methods on one split; return their scores, as `domain_methods.trial` does, and their heads."""
    judged = data.domains.judged()
    labels = {"validation": judged.labels("validation"), "test": judged.labels("test")[: len(data.test)]}
    trials, heads = [], {}
    for method in methods:
        started = time.perf_counter()
        head = fit(method, data, dataclasses.replace(config, seed=seed), device)
        seconds = time.perf_counter() - started
        answers = {"validation": head.answers(head.source(data.source["validation"])),
                   "adapting": head.answers(head.target(data.adapting)),
                   "test": head.answers(head.target(data.test))}  # fmt: skip
        trials.append(domain_methods.trial(method, seed, seconds, labels, answers))
        if method == domain_methods.BASELINE:
            at_home = head.answers(head.source(data.source["test"])).argmax(axis=1)
            trials[-1]["at_home"] = float((at_home == data.domains.source.labels("test")).mean())
        heads[method] = head
        told = "" if not len(data.test) else f", {trials[-1]['accuracy']:.3f} on the test"
        print(f"{method}, seed {seed}: {trials[-1]['source_validation']:.3f} on the source's validation{told}",
              file=sys.stderr)  # fmt: skip
    return trials, heads


def gap_of(head: domain_heads.Adapted, data: domain_heads.Features, seed: int) -> dict[str, Any]:
    """Return the distance of the domains in the features that a head's last layer sees."""
    seen = head.seen(head.source(data.source["train"])), head.seen(head.target(data.adapting))
    return domain_gap.compare(*seen, seed)


def section(
    features: Sequence[domain_heads.Features], trials: list[dict[str, Any]], heads: dict[str, domain_heads.Adapted],
    config: Any,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:  # fmt: skip
    """Return the section `domains` of results.json, and the answers of the used method, side → (n, classes).

    The answers for training and validation are those for the source, as the head saw it. Those for the test are for the
    new domain, or for the source's own test items if the new domain has no labels.

    Args:
        features: those of each seed's split.
        trials: the scores of all methods and seeds.
        heads: method → the head of the first seed.
        config: the settings of the recipe.
    """
    method, data, unit = config.used_method, features[0], features[0].domains.target.medium.unit
    head, before = heads[method], heads[domain_methods.BASELINE]
    answers = {side: head.answers(head.source(data.source[side])) for side in ("train", "validation")}
    has_test = len(data.test) > 0
    answers["test"] = head.answers(head.target(data.test) if has_test else head.source(data.source["test"]))
    source = data.domains.source
    at_home = [each["at_home"] for each in trials if "at_home" in each]
    gaps = {name: gap_of(each, data, config.seed) for name, each in heads.items()}
    few = f"the {unit}s of --new-labels" if config.new_labels else f"{words.plural(config.shots, unit)} of each class"
    found: dict[str, Any] = {
        "name": data.domains.name, "source": config.data, "method": method,
        "seeds": list(dict.fromkeys(each["seed"] for each in trials)),
        "adapting": len(data.adapting), "tested": len(data.test),
        "at_home": [statistics.median(at_home), min(at_home), max(at_home)],
        "few": few, "rows": domain_methods.rows(trials, gaps), "correlations": domain_methods.correlations(trials),
    }  # fmt: skip
    if has_test:
        answered = before.answers(before.target(data.test)), answers["test"]
        labels = data.domains.judged().labels("test")
        found["gain"] = domain_methods.gain(trials, method)
        found["classes"] = domain_methods.by_class(
            source.class_names, labels, *(each.argmax(axis=1) for each in answered)
        )
    found["verdict"] = domain_methods.verdict(found, unit)
    return found, answers


def write_map(
    directory: pathlib.Path, data: domain_heads.Features, heads: dict[str, domain_heads.Adapted], config: Any
) -> None:
    """Write domains.csv, a map of both domains before the adaptation and after it (`domain_map.write`)."""
    head, before = heads[config.used_method], heads[domain_methods.BASELINE]
    domain_map.write(
        directory, data.domains, data.domains.source.class_names,
        before=(before.source(data.source["train"]), before.target(data.adapting)),
        after=(head.seen(head.source(data.source["train"])), head.seen(head.target(data.adapting))),
        answers=head.answers(head.target(data.adapting)), seed=config.seed,
    )  # fmt: skip
