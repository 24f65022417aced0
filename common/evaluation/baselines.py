"""Baselines for a network: simple classifiers that need no network."""

from sklearn import feature_extraction, linear_model

from common.data import documents
from common.evaluation import classification

PENALTIES = (0.1, 1.0, 10.0, 100.0)  # scikit-learn's C, from strong to weak


def counted_words(corpus: documents.Corpus, seed: int = 0) -> dict:
    """Evaluate logistic regression on TF-IDF features of words and word pairs, a baseline for text classifiers.

    The penalty is chosen on the validation documents. The test documents are read once.

    Returns:
        `C`, and the results of `classification.evaluate` on `validation` and `test`.
    """
    features = feature_extraction.text.TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    try:
        train = features.fit_transform(corpus.texts_of("train"))
    except ValueError:  # no word occurs in two documents
        features.set_params(min_df=1)
        train = features.fit_transform(corpus.texts_of("train"))
    labels, tried = corpus.labels("train"), []
    for penalty in PENALTIES:
        model = linear_model.LogisticRegression(C=penalty, max_iter=1000, random_state=seed).fit(train, labels)
        tried.append((_answers(model, features, corpus, "validation", seed)["log_loss"], penalty, model))
    _, penalty, model = min(tried, key=lambda one: one[0])
    return {"C": penalty} | {side: _answers(model, features, corpus, side, seed) for side in ("validation", "test")}


def _answers(
    model: linear_model.LogisticRegression, features: feature_extraction.text.TfidfVectorizer,
    corpus: documents.Corpus, side: str, seed: int,
) -> dict:  # fmt: skip
    probabilities = model.predict_proba(features.transform(corpus.texts_of(side)))
    return classification.evaluate(probabilities, corpus, side, seed)
