"""The baseline for classifiers of texts, without a network: counted words."""

from collections.abc import Callable, Sequence

import numpy as np
from sklearn import feature_extraction, linear_model, metrics, multiclass

from common.data import documents
from common.evaluation import classification, several_labels

PENALTIES = (0.1, 1.0, 10.0, 100.0)  # scikit-learn's C, from strong to weak


def evaluate(corpus: documents.Corpus, seed: int = 0) -> dict:
    """Evaluate logistic regression on TF-IDF features of words and word pairs, a baseline for text classifiers.

    The penalty is chosen on the validation documents. The test documents are read once.

    Returns:
        `C`, and the results of `classification.evaluate` on `validation` and `test`; for several labels of a document,
        those of `several_labels.evaluate`.
    """
    penalty, answer = fit(corpus, seed)
    answers = {side: answer(corpus.texts_of(side)) for side in ("validation", "test")}
    if corpus.labels("train").ndim == 2:
        return {"C": penalty} | several_labels.evaluate(answers, corpus)
    return {"C": penalty} | {
        side: classification.evaluate(probabilities, corpus, side, seed) for side, probabilities in answers.items()
    }


def fit(corpus: documents.Corpus, seed: int = 0) -> tuple[float, Callable[[Sequence[str]], np.ndarray]]:
    """Fit it on the training documents; return the penalty that validation chose, and a function of texts.

    The function returns probabilities, (n, classes). If documents have several labels, there is one model for each.
    """
    features = feature_extraction.text.TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    try:
        train = features.fit_transform(corpus.texts_of("train"))
    except ValueError:  # no word occurs in two documents
        features.set_params(min_df=1)
        train = features.fit_transform(corpus.texts_of("train"))
    validation, num_classes = features.transform(corpus.texts_of("validation")), len(corpus.class_names)
    labels, tried = {side: corpus.labels(side) for side in ("train", "validation")}, []
    for penalty in PENALTIES:
        model = linear_model.LogisticRegression(C=penalty, max_iter=1000, random_state=seed)
        if labels["train"].ndim == 2:
            model = multiclass.OneVsRestClassifier(model)
        answers = model.fit(train, labels["train"]).predict_proba(validation)
        loss = (
            several_labels.log_loss(labels["validation"], answers)
            if answers.shape == labels["validation"].shape
            else metrics.log_loss(labels["validation"], answers, labels=range(num_classes))
        )
        tried.append((loss, penalty, model))
    _, penalty, model = min(tried, key=lambda one: one[0])
    return penalty, lambda texts: model.predict_proba(features.transform(texts))
