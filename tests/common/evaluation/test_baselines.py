from common.data import documents, sample_list
from common.evaluation import baselines


def test_the_baseline_counts_words():
    samples, texts = {side: [] for side in sample_list.SPLIT_NAMES}, {}
    for side in samples:
        for label, word in (("loan", "principal interest"), ("lease", "premises rent")):
            for number in range(6):
                sample = sample_list.Sample(f"{side}{label}{number}", label, split=side)
                samples[side].append(sample)
                texts[sample.path] = f"the agreement {number} of {word}"
    corpus = documents.Corpus("x", ("lease", "loan"), **samples, texts=texts)
    found = baselines.counted_words(corpus)
    assert found["test"]["accuracy"] == 1.0 and found["C"] in baselines.PENALTIES
