import numpy as np
import pytest

from common import errors
from common.models import generation, language_model

pytest.importorskip("keras_hub", reason="the extra `text` is not installed")

PROMPTS = ["The members of the", "Thank you for", ""]


@pytest.fixture(scope="module")
def model():
    return language_model.load("demo")


def test_the_same_seed_gives_the_same_text(model):
    settings = [generation.Sampling(max_tokens=20, seed=seed) for seed in (1, 1, 2)]
    first, again, other = (generation.generate(model, PROMPTS, one) for one in settings)
    assert first == again != other
    assert all(made.startswith(prompt) for prompt, made in zip(PROMPTS, first, strict=True))


def test_greedy_is_the_likeliest_token_each_time(model):
    """The cached steps against a whole forward pass for every token."""
    (made,) = generation.generate(model, [PROMPTS[0]], generation.Sampling(max_tokens=8, greedy=True))
    tokens = [model.end_token, *model.encode([PROMPTS[0]])[0]]
    for _ in range(8):
        ids = np.array([tokens], "int32")
        logits = model.task({"token_ids": ids, "padding_mask": np.ones_like(ids)})
        tokens.append(int(np.argmax(logits[0, -1])))
    if model.end_token in tokens[1:]:
        tokens = tokens[: tokens.index(model.end_token, 1)]
    assert made == model.decode(tokens[1:])


def test_top_1_and_a_tiny_top_p_are_greedy(model):
    greedy = generation.generate(model, PROMPTS[:2], generation.Sampling(max_tokens=12, greedy=True))
    for settings in ({"top_k": 1, "top_p": None}, {"top_k": None, "top_p": 1e-6}):
        assert generation.generate(model, PROMPTS[:2], generation.Sampling(max_tokens=12, **settings)) == greedy
    everything = generation.Sampling(max_tokens=12, top_k=None, top_p=None, temperature=2.0)
    assert generation.generate(model, PROMPTS[:2], everything) != greedy


def test_prompts_of_different_length_do_not_disturb_each_other(model):
    settings = generation.Sampling(max_tokens=10, greedy=True)
    together = generation.generate(model, PROMPTS, settings)
    assert together == [generation.generate(model, [prompt], settings)[0] for prompt in PROMPTS]


def test_beam_search_is_at_least_as_likely_as_greedy(model):
    def score(made):
        tokens = np.array([[model.end_token, *model.encode([made])[0]]], "int32")
        logits = np.asarray(model.task({"token_ids": tokens, "padding_mask": np.ones_like(tokens)}), "float64")[0]
        logits -= logits.max(axis=-1, keepdims=True)
        chosen = logits[np.arange(tokens.shape[1] - 1), tokens[0, 1:]]
        return (chosen - np.log(np.exp(logits[:-1]).sum(axis=-1))).sum()

    (greedy,) = generation.generate(model, [PROMPTS[1]], generation.Sampling(max_tokens=6, greedy=True))
    (beam,) = generation.generate(model, [PROMPTS[1]], generation.Sampling(max_tokens=6, beams=4))
    assert beam.startswith(PROMPTS[1]) and score(beam) >= score(greedy) - 1e-3
    assert model.task.preprocessor is not None


def test_it_stops_at_the_end_token(model):
    long = generation.generate(model, [""] * 4, generation.Sampling(max_tokens=120, seed=5))
    assert not any("<|endoftext|>" in made for made in long)


def test_texts_grow_token_by_token(model):
    seen = []
    (made,) = generation.generate(
        model, [PROMPTS[0]], generation.Sampling(max_tokens=10), lambda texts: seen.append(texts[0])
    )
    assert 2 < len(seen) <= 10 and seen[-1] == made
    assert all(later.startswith(earlier.rstrip("�")) for earlier, later in zip(seen, seen[1:], strict=False))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"max_tokens": 0}, "--max-tokens"), ({"temperature": 0}, "--greedy takes"), ({"top_p": 1.5}, "--top-p"),
     ({"greedy": True, "beams": 2}, "cannot be combined"), ({"max_tokens": 500}, "must be below 128")],
)  # fmt: skip
def test_settings_are_checked(model, settings, message):
    with pytest.raises(errors.UserError, match=message):
        generation.generate(model, ["x"], generation.Sampling(**settings))


def test_a_prompt_that_does_not_fit_is_cut_and_that_is_said(model, capsys):
    prompt = "The members of the town thanked the old teacher for the book and for the letter"
    (made,) = generation.generate(model, [prompt], generation.Sampling(max_tokens=model.context - 6, greedy=True))
    assert not made.startswith("The members") and "loses its first" in capsys.readouterr().err
    generation.generate(model, [prompt], generation.Sampling(max_tokens=4))
    assert capsys.readouterr().err == ""
