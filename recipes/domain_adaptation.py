"""Domain adaptation: photos of another city, camera or style, with no labels or few (the articles' domain gap).

When to use it: your labelled photos (the source) are not like those on which the model will be used (the new domain).
The report shows how far apart the two are, what the gap costs, and which method closes part of it. The answer may be
that nothing helps, or that three labelled photos of each class help more than any method.

Data: two folders with the same classes. Half of the new domain's photos adapt, without their labels; the other half is
the test. A folder of photos without classes works too: then there is no test. So does a CSV with a column `domain`.

    photos/daisy/*.jpg      photos/rose/*.jpg
    paintings/daisy/*.jpg   paintings/rose/*.jpg

Command:

    python recipes/domain_adaptation.py                                               # the demo, nothing is downloaded
    python recipes/domain_adaptation.py --data photos/ --new-domain paintings/
    python recipes/domain_adaptation.py --data photos/ --new-domain paintings/ --compare --seeds 3  # all methods
    python recipes/domain_adaptation.py --data photos/ --new-domain paintings/ --method mcc+few_labels

All methods work on the pooled features of a frozen network. `--method` joins parts by `+`. By default, each domain is
standardised by its own mean and variance, and minimum class confusion (Jin et al. 2020) trains the head. Nothing is
chosen by a label of the new domain: all settings are fixed, and the last step counts. The saved model is a plain one
for the new domain. The losses are in `common/training/adaptation.py`.

Expected: on PACS, with MobileNet at 0.25 of its width, a mean test accuracy of 0.612 (0.584 – 0.645, three seeds) over
six pairs of photos, cartoons and sketches. The source's model has 0.369, and three labels of each class alone 0.708.
"""

from __future__ import annotations

from common import startup  # isort: skip  (first: it imports TensorFlow quietly)

import dataclasses
import pathlib
import sys
import time
from typing import Annotated, Any

import keras
import numpy as np
from annotated_types import Ge, Gt

from common import devices, errors, flags, words
from common.data import domains
from common.evaluation import classification, domain_gap, domain_map, domain_methods
from common.features import of_domains
from common.media import photos
from common.models import backbones, domain_heads, freezing
from common.report import classes, domain_gap_page
from common.runs import finished_run
from common.training import adaptation, recorder, settings

DEFAULT = "standardise+mcc"
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(settings.PhotoConfig):
    """Adapt a classifier on a frozen network to a new domain, without its labels or with few of them."""

    # Folders with the source's classes or none, CSVs, or values of the column domain; demo: dusk, fog or pencil.
    new_domain: tuple[str, ...] = ()
    method: str | None = None  # parts of PARTS joined by +; default: standardise+mcc (standardise on demo data)
    compare: bool = False  # measure all methods, and the gap that each leaves; the default on demo data
    seeds: Annotated[int, Gt(0)] = 1  # with --compare, this many splits; the model is that of the first
    shots: Annotated[int, Ge(0)] = 3  # labels of each class of the new domain, for few_labels; drawn from its folders
    new_labels: pathlib.Path | None = None  # a CSV with path and label of photos of the new domain, instead of --shots

    UNUSED = {
        "epochs": "all settings of the training are fixed", "learning_rate": "all settings of the training are fixed",
        "tensorboard": "there are no curves by epochs", "views": "photos are not augmented",
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        parts_of(self.used_method)
        flags.check(not self.augmentation, "flip", "and other augmentation are not for this recipe; remove them")
        several = len(set(self.new_domain)) == len(self.new_domain)
        flags.check(several, "new_domain", "must contain each domain only once")
        flags.check_used(self, self.compares, "without --compare", "seeds")
        labelled = self.compares or domain_methods.needs_labels(self.used_method)
        flags.check_used(self, labelled, "with a --method that takes no labels", "shots", "new_labels")
        flags.check_used(self, not self.new_labels, "beside --new-labels", "shots")

    def check_files(self) -> None:
        super().check_files()
        flags.check(self.data == "demo" or bool(self.new_domain), "new_domain", "is needed: the other domain's photos")
        for name in self.new_domain if pathlib.Path(self.data).expanduser().is_dir() else ():
            flags.check(pathlib.Path(name).expanduser().exists(), "new_domain", f"{name}: no such file or folder")

    @property
    def used_method(self) -> str:
        """The method; the demo's small network is often wrong in fog, and mcc strengthens what is wrong."""
        return self.method or ("standardise" if self.data == "demo" else DEFAULT)

    @property
    def compares(self) -> bool:
        """Whether all methods are measured."""
        return self.compare or self.data == "demo"

    @property
    def few_in_words(self) -> str:
        """The labels that `few_labels` uses, in words."""
        return "the photos of --new-labels" if self.new_labels else f"{words.plural(self.shots, 'photo')} of each class"


def parts_of(method: str) -> frozenset[str]:
    """Return the parts of a method.

    Raises:
        UserError: a part is unknown, or does not go with the others.
    """
    parts = method.split("+")
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


# The model ---------------------------------------------------------------------------------------------------------


def build_model(
    base_model: keras.Model, num_classes: int, mean: np.ndarray | None = None, variance: np.ndarray | None = None,
    units: int = 0,
) -> keras.Model:  # fmt: skip
    """Build a plain classifier: the base, global average pooling, standardisation, bottleneck if any, softmax.

    Args:
        mean, variance: those of the features in the domain that the model is for, (channels,); None leaves them out.
        units: of the bottleneck, a Dense layer with ReLU; 0 for none.
    """
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(base_model.output)
    if mean is not None and variance is not None:
        x = keras.layers.Normalization(mean=mean.tolist(), variance=variance.tolist(), name="standardised")(x)
    if units:
        x = keras.layers.Dense(units, activation="relu", name="bottleneck")(x)
    output = keras.layers.Dense(num_classes, activation="softmax", dtype="float32", name="probabilities")(x)
    return keras.Model(base_model.input, output, name="classifier")


# One method ----------------------------------------------------------------------------------------------------------


def known_labels(method: str, data: domains.Domains, config: Config) -> dict[int, int]:
    """Return the labels of the new domain that a method may read, place in `Domains.paths` → class index."""
    parts = parts_of(method)
    if not parts & set(LABELS):
        return {}
    return data.every() if "target_labels" in parts else data.few(config.shots, config.new_labels, config.seed)


def can_run(method: str, data: domains.Domains, config: Config) -> bool:
    """Return whether the labels that a method needs are there: of two classes at least."""
    return not domain_methods.needs_labels(method) or len(set(known_labels(method, data, config).values())) > 1


def fit(method: str, data: of_domains.Features, config: Config, device: devices.Strategy) -> domain_heads.Adapted:
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
    methods: list[str], data: of_domains.Features, seed: int, config: Config, device: devices.Strategy
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
        heads[method] = head
        told = "" if not len(data.test) else f", {trials[-1]['accuracy']:.3f} on the test"
        print(f"{method}, seed {seed}: {trials[-1]['source_validation']:.3f} on the source's validation{told}",
              file=sys.stderr)  # fmt: skip
    return trials, heads


def gap_of(head: domain_heads.Adapted, data: of_domains.Features, seed: int) -> dict[str, Any]:
    """Return the distance of the domains in the features that a head's last layer sees."""
    seen = head.seen(head.source(data.source["train"])), head.seen(head.target(data.adapting))
    return domain_gap.compare(*seen, seed)


def run(config: Config) -> finished_run.Result:
    """Adapt to the new domain by the method, read its test labels once, and show what each method gains."""
    if len(config.new_domain) > 1:
        return run_each(config)
    record = recorder.Recorder("domain_adaptation", config)
    config = record.config  # with --resume, the settings of the interrupted run
    device, method = devices.set_up(config), config.used_method

    # Data: the source, and the new domain without its labels; with several seeds, several splits.
    seeds = [config.seed + number for number in range(config.seeds if config.compares else 1)]
    new_domain = domains.demo(config) if config.data == "demo" else config.new_domain[0]
    places = {seed: record.directory / "splits" / f"seed{seed}" for seed in seeds}
    splits = [domains.load(config, places[seed], photos.Photos(), new_domain, seed) for seed in seeds]
    first = splits[0]
    class_names = first.source.class_names
    if not can_run(method, first, config):
        raise errors.UserError(
            f"--method {method} needs labels of at least two classes of the new domain: class folders and "
            "--shots 1 or more, or --new-labels few.csv"
        )

    # The network is frozen; its pooled features are computed once for each photo.
    with device.scope():
        backbone = backbones.choose(config, default="MobileNetV2")
        freezing.freeze(backbone.model)
        model = build_model(backbone.model, len(class_names))
    record.begin(backbone, model, first.together(), [])
    features = [of_domains.compute(each, model, backbone, config) for each in splits]

    # Adaptation: every method starts from the same features.
    wanted = [*COMPARED, method] if config.compares else ["none", method]
    methods = [each for each in dict.fromkeys(wanted) if can_run(each, first, config)]
    measured = [measure(methods, each, seed, config, device) for each, seed in zip(features, seeds, strict=True)]
    trials, data, heads = [each for found, _ in measured for each in found], features[0], measured[0][1]
    gaps = {name: gap_of(head, data, config.seed) for name, head in heads.items()}

    # The model of the new domain: its own standardisation, and the head of the method.
    head, before = heads[method], heads["none"]
    with device.scope():
        units = head.bottleneck[0].shape[1] if head.bottleneck else 0
        model = build_model(backbone.model, len(class_names), head.mean, head.variance, units)
    model.get_layer("probabilities").set_weights([head.kernel, head.bias])
    if head.bottleneck:
        model.get_layer("bottleneck").set_weights(head.bottleneck)
    part = of_domains.ForTarget(data, model, backbone, config)

    # Evaluation: the test photos of the new domain; those of the source that it chose by, as it saw them.
    predictions = {side: head.answers(head.source(data.source[side])) for side in ("train", "validation")}
    has_test = len(data.test) > 0
    predictions["test"] = head.answers(head.target(data.test) if has_test else head.source(data.source["test"]))
    at_home = before.answers(before.source(data.source["test"])).argmax(axis=1) == first.source.labels("test")
    found: dict[str, Any] = {
        "name": first.name, "source": config.data, "method": method, "seeds": seeds,
        "adapting": len(data.adapting), "tested": len(data.test), "at_home": float(at_home.mean()),
        "few": config.few_in_words, "rows": domain_methods.rows(trials, gaps),
        "correlations": domain_methods.correlations(trials),
    }  # fmt: skip
    if has_test:
        labels = part.splits.labels("test")
        answered = before.answers(before.target(data.test)), predictions["test"]
        found["gain"] = domain_methods.gain(trials, method)
        found["classes"] = domain_methods.by_class(class_names, labels, *(each.argmax(axis=1) for each in answered))
    found["verdict"] = domain_methods.verdict(found, "photo")
    domain_map.write(
        record.directory, first, class_names,
        before=(before.source(data.source["train"]), before.target(data.adapting)),
        after=(head.seen(head.source(data.source["train"])), head.seen(head.target(data.adapting))),
        answers=head.answers(head.target(data.adapting)), seed=config.seed,
    )  # fmt: skip
    first.write(record.directory / "split.csv")
    return record.finish(
        part, method, task=classification, sections=[classes, domain_gap_page], predictions=predictions,
        frozen=part.frozen, domains=found,
    )  # fmt: skip


def run_each(config: Config) -> finished_run.Result:
    """Run the recipe for each new domain, and print a table of source x target."""
    for each in config.new_domain if config.data != "demo" else ():
        domains.check(config, photos.Photos(), each)  # report a mistake in the last one now, not after the first run
    results = [run(dataclasses.replace(config, new_domain=(each,))) for each in config.new_domain]
    print(domain_gap_page.table_of_targets(results))
    return results[-1]


if __name__ == "__main__":
    startup.main(Config, run, __doc__)
