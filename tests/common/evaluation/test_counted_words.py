from common.data import documents, sample_list, targets
from common.evaluation import counted_words
from common.media import texts as media_texts


def test_the_baseline_counts_words():
    samples, texts = [], {}
    for side in sample_list.SPLIT_NAMES:
        for label, word in (("loan", "principal interest"), ("lease", "premises rent")):
            for number in range(6):
                sample = sample_list.Sample(f"{side}{label}{number}", label, split=side)
                samples.append(sample)
                texts[sample.path] = f"the agreement {number} of {word}"
    corpus = documents.Corpus.of("x", media_texts.Texts(), targets.CLASSES, samples, {}, {}, texts=texts)
    found = counted_words.evaluate(corpus)
    assert found["test"]["accuracy"] == 1.0 and found["C"] in counted_words.PENALTIES
