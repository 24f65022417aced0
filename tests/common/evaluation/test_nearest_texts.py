import numpy as np

from common.data import documents, sample_list, targets
from common.evaluation import nearest_texts
from common.media import texts as media_texts


def corpus_of(count):
    samples = [
        sample_list.Sample(f"{side}{label}{number}", label, split=side)
        for side in sample_list.SPLIT_NAMES for label in ("a", "b") for number in range(count)
    ]  # fmt: skip
    texts = dict.fromkeys((sample.path for sample in samples), "x")
    return documents.Corpus.of("x", media_texts.Texts(), targets.CLASSES, samples, {}, {}, texts=texts)


def test_the_nearest_direction_decides_not_the_length():
    corpus, random = corpus_of(6), np.random.default_rng(0)
    embeddings = {}
    for side in sample_list.SPLIT_NAMES:
        directions = np.eye(2)[corpus.labels(side)] + random.normal(0, 0.05, (12, 2))
        embeddings[side] = directions * random.uniform(0.01, 100, (12, 1))
    found = nearest_texts.evaluate(embeddings, corpus)
    assert found["test"]["accuracy"] == 1 and found["neighbours"] == 5
    # Of the five nearest, all five have the class: 6 of 7 with one of each added.
    assert np.allclose(nearest_texts.answers(embeddings, corpus, "test", 5).max(axis=1), 6 / 7)


def test_what_says_nothing_is_at_chance():
    corpus, random = corpus_of(100), np.random.default_rng(0)
    embeddings = {side: random.normal(size=(200, 8)) for side in sample_list.SPLIT_NAMES}
    assert 0.35 < nearest_texts.evaluate(embeddings, corpus)["test"]["accuracy"] < 0.65
