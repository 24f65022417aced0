"""Generation of text by a tuned language model, token by token."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common import errors
from common.models import language_model

ROUND = 64  # the cache's length is a multiple of it: every new length costs seconds to compile
LONG_PROMPT = 48  # tokens; a shorter prompt is read token by token, by a function that is already compiled
MOST_BEAMS = 64
OnToken = Callable[[list[str]], Any]


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        max_tokens: the most tokens to add to a prompt; an end token ends the text earlier.
        temperature: below 1 is plainer, above 1 wilder.
        top_k: sample from the k most likely tokens; None samples from all.
        top_p: sample from the most likely tokens with this total probability; None samples from all.
        greedy: always take the most likely token.
        beams: keep this many candidates and return the most likely text (beam search); 0 for none.
        seed: the same seed gives the same text.
    """

    max_tokens: int = 100
    temperature: float = 0.8
    top_k: int | None = 50
    top_p: float | None = 0.95
    greedy: bool = False
    beams: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for holds, demand in (
            (self.max_tokens > 0, "--max-tokens must be above 0"),
            (self.temperature > 0, "--temperature must be above 0; --greedy takes the most likely token"),
            (self.top_k is None or self.top_k > 0, "--top-k must be above 0"),
            (self.top_p is None or 0 < self.top_p <= 1, "--top-p must be above 0 and at most 1"),
            (0 <= self.beams <= MOST_BEAMS, f"--beams must be from 0 to {MOST_BEAMS}"),
            (0 <= self.seed < 2**32, "--seed must be from 0 to 4294967295"),
            (not (self.greedy and self.beams), "--greedy and --beams cannot be combined"),
        ):
            if not holds:
                raise errors.UserError(demand)

    def sampler(self, vocabulary: int) -> Any:
        """Return KerasHub's sampler for these settings."""
        samplers = language_model.keras_hub().samplers
        if self.greedy:
            return samplers.GreedySampler()
        if self.beams:
            return samplers.BeamSampler(num_beams=self.beams)
        shared = {"seed": self.seed, "temperature": self.temperature}
        top_k = min(self.top_k, vocabulary) if self.top_k else None
        if self.top_p is not None:
            return samplers.TopPSampler(p=self.top_p, k=top_k, **shared)
        return samplers.TopKSampler(k=top_k, **shared) if top_k else samplers.RandomSampler(**shared)


def generate(
    model: language_model.LanguageModel, prompts: list[str], sampling: Sampling, on_token: OnToken | None = None
) -> list[str]:
    """Continue each prompt, up to the end token.

    An end token precedes each prompt, as it precedes documents in training. A prompt that leaves no room in the
    network's context is cut at its beginning.

    Args:
        model: the language model.
        prompts: texts; "" starts a new document.
        sampling: how tokens are chosen; the prompts of one call share its random numbers.
        on_token: called after every token with the list of texts so far; not in beam search.

    Returns:
        Each prompt with its continuation.

    Raises:
        UserError: there are no prompts, or `max_tokens` is too large for the network's context.
    """
    if not prompts:
        raise errors.UserError("give a --prompt, or a --file with one in each line")
    if sampling.max_tokens >= model.context:
        raise errors.UserError(f"--max-tokens must be below {model.context}, the context of this network")
    rows = [_prompt_tokens(model, prompt, sampling.max_tokens) for prompt in prompts]
    for prompt, row in zip(prompts, rows, strict=True):
        lost = (len(model.encode([prompt])[0]) if prompt else 0) - (len(row) - 1)
        if lost > 0:
            print(
                f"note: the prompt \"{prompt[:30]}…\" loses its first {lost} tokens: this network sees "
                f"{model.context} tokens, and --max-tokens needs {sampling.max_tokens} of them", file=sys.stderr,
            )  # fmt: skip
    length = max(map(len, rows)) + sampling.max_tokens
    ids, known = np.zeros((len(rows), length), "int32"), np.zeros((len(rows), length), bool)
    for number, row in enumerate(rows):
        ids[number, : len(row)], known[number, : len(row)] = row, True
    if sampling.beams:
        ids = _beam_search(model, ids, known, sampling)
    else:
        ids = _sampled(model, ids, known, sampling, on_token)
    return [_text(model, row, count) for row, count in zip(ids, known.sum(axis=1), strict=True)]


def _prompt_tokens(model: language_model.LanguageModel, prompt: str, max_tokens: int) -> np.ndarray:
    room = model.context - max_tokens - 1
    tokens = model.encode([prompt])[0] if prompt else np.zeros(0, "int32")
    return np.concatenate([[model.end_token], tokens[max(0, len(tokens) - room) :]]).astype("int32")


def _text(model: language_model.LanguageModel, row: np.ndarray, known: int) -> str:
    """Return the text of a row, without its first token, up to the first end token after the prompt."""
    ends = np.flatnonzero(row[known:] == model.end_token)
    return model.decode(row[1 : known + ends[0] if len(ends) else len(row)])


def _sampled(
    model: language_model.LanguageModel, ids: np.ndarray, known: np.ndarray, sampling: Sampling,
    on_token: OnToken | None,
) -> np.ndarray:  # fmt: skip
    """Sample token by token, with a cache of the keys and values of earlier tokens."""
    sampler = sampling.sampler(model.backbone.vocabulary_size)
    backbone = model.backbone
    heads = getattr(backbone, "num_key_value_heads", None) or backbone.num_heads
    queries = getattr(backbone, "num_query_heads", None) or backbone.num_heads  # Llama has different names
    width = getattr(backbone, "head_dim", None) or backbone.hidden_dim // queries
    count, length = ids.shape
    room = min(model.context, -(-length // ROUND) * ROUND)
    cache = keras.ops.zeros((count, backbone.num_layers, 2, room, heads, width), dtype=model.task.compute_dtype)
    lengths, ended = known.sum(axis=1), np.zeros(count, bool)
    start, done = int(lengths.min()), 0
    if start > LONG_PROMPT:
        logits, cache = model.step(ids[:, :start], cache, tf.constant(0))
        done = start
    for place in range(done, start):
        logits, cache = model.step(ids[:, place : place + 1], cache, tf.constant(place))
    for place in range(start, length):
        likely = sampler.compute_probabilities(logits[:, -1])
        chosen = keras.ops.convert_to_numpy(sampler.get_next_token(likely))
        chosen = np.where(ended, model.end_token, chosen)
        ids[:, place] = np.where(known[:, place], ids[:, place], chosen)
        ended |= ~known[:, place] & ((ids[:, place] == model.end_token) | (place + 1 - lengths >= sampling.max_tokens))
        if on_token:
            on_token([_text(model, row[: place + 1], n) for row, n in zip(ids, lengths, strict=True)])
        if ended.all():
            ids[:, place + 1 :] = model.end_token
            break
        logits, cache = model.step(ids[:, place : place + 1], cache, tf.constant(place))
    return ids


def _beam_search(
    model: language_model.LanguageModel, ids: np.ndarray, known: np.ndarray, sampling: Sampling
) -> np.ndarray:
    """Run KerasHub's beam search prompt by prompt, because it fills all rows to one length."""
    task, preprocessor = model.task, model.task.preprocessor
    end_token = model.end_token
    found = np.full_like(ids, end_token)
    task.compile(sampler=sampling.sampler(model.backbone.vocabulary_size))
    task.preprocessor = None  # it would treat token 0 of a prompt as padding
    try:
        for number, count in enumerate(known.sum(axis=1)):
            end = count + sampling.max_tokens
            inputs = {"token_ids": ids[number : number + 1, :end], "padding_mask": known[number : number + 1, :end]}
            inputs["padding_mask"] = inputs["padding_mask"].astype("int32")
            made = task.generate(inputs, stop_token_ids=(end_token,))
            found[number, :end] = np.asarray(made["token_ids"])[0]
    finally:
        task.preprocessor = preprocessor
    return found
