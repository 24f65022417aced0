import numpy as np
import pytest

from common import text, text_evaluation

pytest.importorskip("datasketch", reason="the extra `text` is not installed")


def test_losses_go_to_their_documents():
    packed = text.pack([np.array([5, 6]), np.array([7])], length=4, end_token=1)
    losses = np.arange(1.0, 9.0).reshape(2, 4)
    nats, tokens = text_evaluation.document_losses(losses, packed, 2)
    assert nats.tolist() == [1 + 2 + 3, 4 + 5] and tokens.tolist() == [3, 2]


def test_perplexity_by_token_and_by_byte():
    found = text_evaluation.perplexity([np.log(4) * 10], [10], [20])
    assert found["perplexity"] == pytest.approx(4) and found["byte_perplexity"] == pytest.approx(2)
    assert found["bits_per_byte"] == pytest.approx(1) and found["loss"] == pytest.approx(np.log(4))


def test_by_byte_two_vocabularies_are_alike():
    """A uniform guess among 256 bytes, or among the 65,536 pairs of them, says the same about a text."""
    bytes_alone = text_evaluation.perplexity([100 * np.log(256)], [100], [100])
    pairs = text_evaluation.perplexity([50 * np.log(65536)], [50], [100])
    assert bytes_alone["byte_perplexity"] == pytest.approx(pairs["byte_perplexity"])
    assert bytes_alone["perplexity"] != pytest.approx(pairs["perplexity"])


def test_types_and_interval():
    nats, tokens, sizes = np.array([10.0, 20.0, 30.0]), np.array([10, 10, 10]), np.array([40, 40, 40])
    found = text_evaluation.evaluate(nats, tokens, sizes, ["a", "b", "b"], ["1", "2", "2"])
    assert found["by_type"]["a"]["loss"] == pytest.approx(1) and found["by_type"]["b"]["loss"] == pytest.approx(2.5)
    low, high = found["byte_perplexity_interval"]
    assert low < found["byte_perplexity"] < high and found["interval_units"] == 2
    assert low == pytest.approx(np.exp(10 / 40)) and high == pytest.approx(np.exp(50 / 80))


TRAINING = ["one two three four five six seven eight nine ten", "red green blue yellow black white grey brown pink"]


def test_what_is_copied():
    training = text_evaluation.TrainingText(TRAINING)
    sample = "He said: Two, three, four, five, six, seven, eight, nine, ten! Red green"
    found = text_evaluation.copying([sample], training)
    assert found["longest"] == 9
    assert found["runs"] == 6 and found["share"] == pytest.approx(2 / 6)
    assert training.longest("white grey one two three") == 3
    assert training.longest("ten red") == 1  # not from one document to the next
    assert training.longest("nothing known here") == 0
    assert text_evaluation.copying(["too short"], training)["share"] is None


def test_the_longest_run_is_that_of_a_plain_search():
    chance = np.random.default_rng(0)
    corpus = [" ".join(f"w{n}" for n in chance.integers(0, 6, 300)) for _ in range(3)]
    training = text_evaluation.TrainingText(corpus)
    for _ in range(10):
        sample = [f"w{n}" for n in chance.integers(0, 6, 40)]
        plain = max(
            (end - start for start in range(40) for end in range(start + 1, 41)
             if any(f" {' '.join(sample[start:end])} " in f" {document} " for document in corpus)), default=0
        )  # fmt: skip
        assert training.longest(" ".join(sample)) == plain


def test_variety():
    assert text_evaluation.distinct(["a b a b"], 1) == pytest.approx(2 / 4)
    assert text_evaluation.distinct(["a b a b"], 2) == pytest.approx(2 / 3)
    assert text_evaluation.distinct(["a"], 2) is None


def test_the_baseline_counts_words():
    from common import data

    samples, texts = {side: [] for side in data.SPLIT_NAMES}, {}
    for side in samples:
        for label, word in (("loan", "principal interest"), ("lease", "premises rent")):
            for number in range(6):
                sample = data.Sample(f"{side}{label}{number}", label, split=side)
                samples[side].append(sample)
                texts[sample.path] = f"the agreement {number} of {word}"
    corpus = text.Corpus("x", ("lease", "loan"), **samples, texts=texts)
    found = text_evaluation.counted_words(corpus)
    assert found["test"]["accuracy"] == 1.0 and found["C"] in text_evaluation.PENALTIES
