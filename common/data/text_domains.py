"""Reading a source domain and a new one of texts; the labels of the new one are put aside (`data.domains`)."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from common import errors, words
from common.data import documents, domains, names, near_duplicates, sample_list
from common.demo import drawn_texts


@dataclasses.dataclass(frozen=True)
class TextDomains(domains.Domains[documents.Corpus]):
    """A source domain and a new one, both a `documents.Corpus`.

    Attributes:
        settings: those by which the texts were read.
    """

    settings: Any

    def joined(self, test: domains.Samples) -> documents.Corpus:
        """Return the source's corpus with other test documents, and the texts and near-duplicates of both domains."""
        return dataclasses.replace(
            super().joined(test),
            texts=self.source.texts | self.target.texts,
            duplicates=[*self.source.duplicates, *self.target.duplicates],
        )

    def _listed(self, path: pathlib.Path) -> dict[str, str]:
        """Return the labels of documents of the new domain that --new-labels has too, by their text."""
        given = f"--new-labels {path}"
        samples, texts, problems = documents.read_source(dataclasses.replace(
            self.settings, data=str(path), group_pattern=None
        ))  # fmt: skip
        if problems:
            raise errors.UserError(f"{given}: {problems[0].path}: {problems[0].reason}; correct or remove it")
        samples = names.matched(samples, self.source.class_names)
        domains.check_classes(samples, self.source.class_names, given, self.target.medium.unit)
        places: dict[str, list[str]] = {}
        for there, text in self.target.texts.items():
            places.setdefault(text, []).append(there)
        found: dict[str, str] = {}
        for sample in samples:
            if texts[sample.path] not in places:
                raise errors.UserError(f"{given}: the text of {sample.path} is not among those of --new-domain")
            found |= dict.fromkeys(places[texts[sample.path]], sample.label)
        return found


def demo(config: Any) -> str:
    """Return the folder of the demo's contracts as a scanner reads them, which are drawn at the first call.

    Raises:
        UserError: `--new-domain` is something else.
    """
    for name in config.new_domain:
        if name != drawn_texts.SCANS:
            raise errors.UserError(f"--new-domain {name}: the demo has only {drawn_texts.SCANS}")
    return str(drawn_texts.write_scans(config.cache_directory / "demo_text_domains" / drawn_texts.version()))


def load(config: Any, directory: pathlib.Path, new_domain: str, seed: int) -> TextDomains:
    """Read the source and one new domain, split each by itself, and put the new domain's labels aside.

    Args:
        config: has the settings that `documents.load` reads.
        directory: `source/` and `target/` are written into it, each as `documents.load` does.
        new_domain: a folder of .txt files or a .jsonl, with labels or without.
        seed: the seed of both splits.

    Raises:
        UserError: as for `documents.load`; the new domain has a class that the source lacks, labels of some documents
            only, or a near-duplicate of one of the source.
    """
    settings = dataclasses.replace(config, split_seed=seed)
    source = documents.load(settings, domains.made(directory / "source"), least_types=2)
    settings = _of_new(settings, new_domain)
    samples, texts, problems = _read_new(settings)
    labels, hidden = domains.put_aside(samples, source.class_names, new_domain, source.medium.unit)
    problems = [dataclasses.replace(problem, label=domains.HIDDEN) for problem in problems]
    target = documents.load(
        dataclasses.replace(settings, **domains.FRACTIONS), domains.made(directory / "target"), 1,
        (hidden, texts, problems), domains.Unlabelled(),
    )  # fmt: skip
    _check_apart(source, target, new_domain, config.duplicate_threshold)
    return TextDomains(pathlib.Path(new_domain).name.removesuffix(".jsonl"), source, target, labels, settings)


def check(config: Any, new_domain: str) -> None:
    """Refuse a new domain that has classes of its own, or labels of some documents only.

    Raises:
        UserError: as for `load`.
    """
    class_names = tuple(sorted({one.label for one in documents.read_source(config)[0]}))
    samples, _, _ = _read_new(_of_new(config, new_domain))
    domains.put_aside(samples, class_names, new_domain, documents.medium_of(config).unit)


def _of_new(config: Any, new_domain: str) -> Any:
    """Return the settings by which the new domain is read."""
    pattern = documents.DEMO_GROUPS if config.data == "demo" else config.group_pattern
    return dataclasses.replace(config, data=new_domain, group_pattern=pattern)


def _read_new(config: Any) -> documents.Source:
    """Read the documents of a new domain; one without a label has `domains.HIDDEN`."""
    samples, texts, problems = documents.read_source(config)
    return [_labelled(one) for one in samples], texts, problems


def _labelled(sample: sample_list.Sample) -> sample_list.Sample:
    return sample if sample.label else dataclasses.replace(sample, label=domains.HIDDEN)


def _check_apart(source: documents.Corpus, target: documents.Corpus, new_domain: str, threshold: float) -> None:
    """Refuse a new domain with near-duplicates of the source: the label of one would tell that of the other.

    Raises:
        UserError: there are some; the message names the most alike.
    """
    texts = {
        f"{side} {path}": text for side, corpus in ((0, source), (1, target)) for path, text in corpus.texts.items()
    }
    pairs = near_duplicates.near_duplicates(texts, threshold)
    across = [pair for pair in pairs if pair.first[0] != pair.second[0]]
    if across:
        first, second = across[0].first[2:], across[0].second[2:]
        raise errors.UserError(
            f"--new-domain {new_domain}: {words.plural(len(across), 'pair')} of documents of both domains are nearly "
            f"the same, such as {first} and {second} ({across[0].similarity:.0%}); remove one of each, or raise "
            "--duplicate-threshold"
        )
