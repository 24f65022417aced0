import numpy as np
import pytest

from common.data import documents, sample_list, targets
from common.evaluation import language
from common.media import texts as media_texts
from common.media import windows

pytest.importorskip("keras_hub", reason="the extra `text` is not installed")


def test_losses_go_to_their_documents():
    packed = windows.pack([np.array([5, 6]), np.array([7])], length=4, end_token=1)
    losses = np.arange(1.0, 9.0).reshape(2, 4)
    nats, tokens = language.document_losses(losses, packed, 2)
    assert nats.tolist() == [1 + 2 + 3, 4 + 5] and tokens.tolist() == [3, 2]


def test_perplexity_by_token_and_by_byte():
    found = language.perplexity([np.log(4) * 10], [10], [20])
    assert found["perplexity"] == pytest.approx(4) and found["byte_perplexity"] == pytest.approx(2)
    assert found["bits_per_byte"] == pytest.approx(1) and found["loss"] == pytest.approx(np.log(4))


def test_by_byte_two_vocabularies_are_alike():
    """A uniform guess among 256 bytes, or among the 65,536 pairs of them, says the same about a text."""
    bytes_alone = language.perplexity([100 * np.log(256)], [100], [100])
    pairs = language.perplexity([50 * np.log(65536)], [50], [100])
    assert bytes_alone["byte_perplexity"] == pytest.approx(pairs["byte_perplexity"])
    assert bytes_alone["perplexity"] != pytest.approx(pairs["perplexity"])


def test_types_and_interval():
    nats, tokens, sizes = np.array([10.0, 20.0, 30.0]), np.array([10, 10, 10]), np.array([40, 40, 40])
    found = language.evaluate(nats, tokens, sizes, ["a", "b", "b"], ["1", "2", "2"])
    assert found["by_type"]["a"]["loss"] == pytest.approx(1) and found["by_type"]["b"]["loss"] == pytest.approx(2.5)
    low, high = found["byte_perplexity_interval"]
    assert low < found["byte_perplexity"] < high and found["interval_units"] == 2
    assert low * high == pytest.approx(found["byte_perplexity"] ** 2)
    # Two companies: a third and two thirds of the bytes, one degree of freedom, where Student's t is 12.7.
    error = np.sqrt(2 * ((10 - 0.5 * 40) ** 2 + (50 - 0.5 * 80) ** 2)) / 120
    assert high == pytest.approx(np.exp(0.5 + 12.7062 * error), rel=1e-4)


TRAINING = ["one two three four five six seven eight nine ten", "red green blue yellow black white grey brown pink"]


def sample(written, prompt=""):
    return language.Sample.of(written, prompt)


def test_what_is_copied():
    training = language.TrainingText(TRAINING)
    found = language.copying(
        [sample("He said: Two, three, four, five, six, seven, eight, nine, ten! Red green")], training
    )
    assert found["longest"] == 9
    assert found["runs"] == 6 and found["share"] == pytest.approx(2 / 6)
    assert training.longest([sample("white grey one two three"), sample("ten red")]) == 3
    assert training.longest([sample("ten red")]) == 1  # not from one document to the next
    assert training.longest([sample("nothing known here")]) == 0 == training.longest([])
    assert language.copying([sample("too short")], training)["share"] is None


def test_a_prompt_is_not_what_was_written():
    """Only runs that end behind the prompt count: a copied prompt with other words behind it copies nothing."""
    training = language.TrainingText(TRAINING)
    prompt = "one two three four five six seven eight nine"
    found = language.copying([sample(f"{prompt} red red", prompt)], training)
    assert (found["runs"], found["share"], found["longest"]) == (2, 0.0, 1)
    found = language.copying([sample(f"{prompt} ten ten", prompt)], training)
    assert (found["runs"], found["share"], found["longest"]) == (2, 0.5, 10)
    assert language.distinct([sample("a b a a", "a b")], 1) == 0.5


def test_people_are_measured_as_the_network_is():
    """Held-out documents: as many as there are samples, as long, their first words a prompt too."""

    texts = {
        f"{side}{n}": " ".join(f"{side}{n}w{m}" for m in range(30))
        for side in sample_list.SPLIT_NAMES
        for n in range(4)
    }
    samples = [sample_list.Sample(f"{side}{n}", "", split=side) for side in sample_list.SPLIT_NAMES for n in range(4)]
    corpus = documents.Corpus.of("x", media_texts.Texts(), targets.CLASSES, samples, {}, {}, texts=texts)
    prompts = language.openings(corpus, 2)
    assert prompts == [" ".join(f"validation{n}w{m}" for m in range(8)) for n in (0, 2)]
    written = {"after": [f"{prompt} {' '.join(f'n{m}' for m in range(10))}" for prompt in prompts]}
    found = language.of_written(written, prompts, corpus)
    assert found["held_out"]["runs"] == found["after"]["runs"] == 2 * 10


def test_the_longest_run_is_that_of_a_plain_search():
    chance = np.random.default_rng(0)
    corpus = [" ".join(f"w{n}" for n in chance.integers(0, 6, 300)) for _ in range(3)]
    training = language.TrainingText(corpus)
    for prompt in range(10):
        words = [f"w{n}" for n in chance.integers(0, 6, 40)]
        plain = max(
            (end - start for start in range(40) for end in range(max(start, prompt) + 1, 41)
             if any(f" {' '.join(words[start:end])} " in f" {document} " for document in corpus)), default=0
        )  # fmt: skip
        assert training.longest([language.Sample(words, prompt)]) == plain


def test_what_diverged_has_a_perplexity_that_can_be_written_down():
    found = language.evaluate([2500.0 * 10], [10], [20], ["a"], [""])
    assert found["byte_perplexity_interval"] is None  # a single document
    assert found["loss"] == 2500 and np.isfinite(found["perplexity"]) and np.isfinite(found["byte_perplexity"])


def test_variety():
    assert language.distinct([sample("a b a b")], 1) == pytest.approx(2 / 4)
    assert language.distinct([sample("a b a b")], 2) == pytest.approx(2 / 3)
    assert language.distinct([sample("a")], 2) is None
