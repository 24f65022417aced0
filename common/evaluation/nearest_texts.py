"""The baseline for encoders, without training: the types of the documents with the nearest sentence embeddings."""

import numpy as np

from common.data import documents
from common.evaluation import classification

COUNTS = (1, 3, 5, 10, 20, 50, 100)  # neighbours to try


def evaluate(embeddings: dict[str, np.ndarray], corpus: documents.Corpus, seed: int = 0) -> dict:
    """Evaluate k nearest neighbours by cosine on sentence embeddings.

    The probability of a class is the share of its documents among the k nearest training documents, with one document
    of each class added. So none is 0. The number k is chosen on the validation documents.

    Args:
        embeddings: side → (documents, width) of length 1.
        corpus: the documents.
        seed: seed of the bootstrap.

    Returns:
        `neighbours`, and the results of `classification.evaluate` on `validation` and `test`.
    """
    found = []
    for count in (each for each in COUNTS if each <= len(corpus.train)):
        row = classification.evaluate(answers(embeddings, corpus, "validation", count), corpus, "validation", seed)
        found.append((row["log_loss"], count, row))
    _, count, row = min(found, key=lambda one: one[0])
    test = classification.evaluate(answers(embeddings, corpus, "test", count), corpus, "test", seed)
    return {"neighbours": count, "validation": row, "test": test}


def answers(embeddings: dict[str, np.ndarray], corpus: documents.Corpus, side: str, count: int) -> np.ndarray:
    """Return the probabilities of one side's documents from their `count` nearest neighbours, (documents, classes)."""
    from sklearn import neighbors  # here: the import takes a second, too long for --help

    classes = len(corpus.class_names)
    search = neighbors.NearestNeighbors(n_neighbors=count, metric="cosine", algorithm="brute")
    near = search.fit(embeddings["train"]).kneighbors(embeddings[side], return_distance=False)
    votes = np.eye(classes)[corpus.labels("train")[near]].sum(axis=1)
    return (votes + 1) / (count + classes)
