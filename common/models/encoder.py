"""Encoders of KerasHub (BERT and its kin) with the attributes and methods of `language_model.LanguageModel`.

An encoder sees a text from both sides and returns a vector for each token. It begins a text with a token such as [CLS],
ends it with one such as [SEP], and has no output layer (Devlin et al. 2018, https://arxiv.org/abs/1810.04805). The mean
of the vectors is a sentence embedding (Reimers and Gurevych 2019, https://arxiv.org/abs/1908.10084).
"""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, TypeGuard

import keras
import numpy as np

from common import errors
from common.media import windows
from common.models import language_model, presets

# KerasHub's networks whose blocks follow each other, with the network's width from the first to the last.
TAKEN = ("BertBackbone", "RobertaBackbone", "XLMRobertaBackbone", "DistilBertBackbone")
# Other encoders, and why they are refused.
REFUSED = {
    "DebertaV3Backbone": "cannot be loaded again once it is saved with a classifier (KerasHub 0.32)",
    "AlbertBackbone": "applies one block several times, so it cannot be cut between blocks",
    "FNetBackbone": "has no padding mask",
    "ElectraBackbone": "has word embeddings of another width than its blocks",
    "RoformerV2Backbone": "has no tokens at the start and the end of a text that are known here",
    "ESMBackbone": "reads proteins",
}
AT_ONCE = 512  # texts that are cut into tokens at a time


@dataclasses.dataclass(frozen=True)
class Encoder:
    """An encoder with its tokenizer.

    Attributes:
        preset: the name by which it was loaded.
        backbone: a `keras_hub.models.Backbone`, one of `TAKEN`.
        tokenizer: its `keras_hub.tokenizers.Tokenizer`.
    """

    preset: str
    backbone: keras.Model
    tokenizer: Any

    @property
    def context(self) -> int:
        """The most tokens that the network can see at a time, with those at the start and the end."""
        return int(self.backbone.max_sequence_length)

    @property
    def blocks(self) -> list[keras.layers.Layer]:
        """The transformer blocks, from the input on."""
        return list(self.backbone.transformer_layers)

    @property
    def behind(self) -> list[keras.layers.Layer]:
        """The layers behind the last block: none, since each block ends with a layer norm."""
        return []

    @functools.cached_property
    def inputs(self) -> list[keras.KerasTensor]:
        """The network's inputs: token_ids and padding_mask, int32 (batch, length)."""
        return [keras.Input((None,), dtype="int32", name=name) for name in ("token_ids", "padding_mask")]

    @functools.cached_property
    def hidden(self) -> list[keras.KerasTensor]:
        """The input of each block, and the output of the last one, (batch, length, width).

        The blocks are applied once more, behind `inputs`. So segment_ids, which are 0 for a single text, are no input.
        """
        ids, mask = self.inputs
        given = {"token_ids": ids, "padding_mask": mask, "segment_ids": keras.ops.zeros_like(ids)}
        needed = [name for name in self.backbone.input if name != "padding_mask"]
        first = keras.tree.flatten(self.blocks[0].input)[0]
        embed = keras.Model([self.backbone.input[name] for name in needed], first, name="embeddings_of_tokens")
        x = embed([given[name] for name in needed])
        found = [x]
        for block in self.blocks:
            x = block(x, padding_mask=mask)
            found.append(x)
        return found

    @functools.cached_property
    def output(self) -> keras.KerasTensor:
        """The output of the last block, (batch, length, width)."""
        return keras.layers.Activation("linear", name="sequence_output")(self.hidden[-1])

    @property
    def edges(self) -> tuple[int, int]:
        """The numbers of the tokens at the start and at the end of a text."""
        names = ("cls_token_id", "sep_token_id") if hasattr(self.tokenizer, "cls_token_id") else (
            "start_token_id", "end_token_id",
        )  # fmt: skip
        start, end = (int(getattr(self.tokenizer, name)) for name in names)
        return start, end

    def encode(self, texts: Iterable[str]) -> list[np.ndarray]:
        """Return the token numbers of each text, int32 (tokens,), without those at its start and end."""
        texts, found = list(texts), []
        for start in range(0, len(texts), AT_ONCE):
            rows = self.tokenizer(texts[start : start + AT_ONCE])  # lists, or a ragged tensor, depending on its kind
            rows = rows.to_list() if hasattr(rows, "to_list") else rows
            found += [np.asarray(row, dtype="int32") for row in rows]
        return found

    def windows_of(self, tokens: int, length: int) -> int:
        """Return the number of windows that a document with this many tokens fills."""
        return max(1, -(-tokens // (length - 2)))

    def rows(self, documents: Sequence[np.ndarray], length: int, most: int) -> windows.Windows:
        """Return one row for each document, with its first `most` windows of `length` tokens, for a classifier."""
        start, end = self.edges
        return windows.pack_framed(documents, length, most, start, end, int(self.tokenizer.pad_token_id))

    def save_to_preset(self, folder: str) -> None:
        """Write the network and its tokenizer as KerasHub's preset."""
        self.backbone.save_to_preset(folder)
        self.tokenizer.save_to_preset(folder)


def reads_both_sides(model: language_model.TextModel) -> TypeGuard[Encoder]:
    """Return whether a model is an encoder."""
    return isinstance(model, Encoder)


def with_masked_lm_head(model: Encoder) -> keras.Model:
    """Return an encoder with a new head that tells masked tokens (Devlin et al. 2018).

    KerasHub's presets contain no such head; the word embeddings are its output layer.

    Returns:
        The network, from [token_ids, padding_mask, mask_positions], int32 (batch, length), (batch, length) and (batch,
        positions), to logits, float32 (batch, positions, words).
    """
    positions = keras.Input((None,), dtype="int32", name="mask_positions")
    head = language_model.keras_hub().layers.MaskedLMHead(
        vocabulary_size=model.backbone.vocabulary_size, token_embedding=model.backbone.token_embedding,
        intermediate_activation="gelu", kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
        name="masked_lm_head",
    )  # fmt: skip
    logits = keras.ops.cast(head(model.output, mask_positions=positions), "float32")
    return keras.Model([*model.inputs, positions], logits, name="masked_lm")


def load(name: str, weights: bool = True, dropout: float = 0.0) -> language_model.TextModel:
    """Load an encoder or a causal language model by preset, whichever the preset contains.

    Args:
        name, weights, dropout: as for `language_model.load`.

    Raises:
        UserError: there is no such preset, it cannot be downloaded, or it is an encoder of a kind that is not taken.
    """
    package, source = language_model.keras_hub(), language_model.source_of(name)
    kind = _kind(source)
    if source in package.models.CausalLM.presets or (kind and kind not in (*TAKEN, *REFUSED)):
        return language_model.load(name, weights, dropout)
    _check(name, kind)
    presets.check_reachable(f"--backbone {name}", source)
    try:
        backbone = package.models.Backbone.from_preset(source, load_weights=weights)
    except Exception as error:  # KerasHub, Kaggle and Hugging Face raise different types
        raise language_model.unloadable(name, source, package.models.Backbone.presets, error) from error
    kind = type(backbone).__name__
    _check(name, kind)
    if kind not in TAKEN:
        return language_model.load(name, weights, dropout)
    if backbone.dropout != dropout:
        other = type(backbone).from_config(backbone.get_config() | {"dropout": dropout})
        other.set_weights(backbone.get_weights())
        backbone = other
    backbone.trainable = True  # also a preset that was saved partly frozen
    try:
        tokenizer = package.tokenizers.Tokenizer.from_preset(source)
    except Exception as error:
        raise errors.UserError(
            f"--backbone {name}: the preset has no tokenizer ({presets.reason(error)}); add its files, or write it "
            "with the tokenizer's save_to_preset"
        ) from error
    return Encoder(name, backbone, tokenizer)


def _kind(source: str) -> str:
    """Return the class of the network in a folder that KerasHub wrote; "" if it is not a folder, or of another form."""
    path = pathlib.Path(source) / "config.json"
    try:
        return str(json.loads(path.read_text("utf-8")).get("class_name", ""))
    except (OSError, ValueError):
        return ""


def _check(name: str, kind: str) -> None:
    """Refuse an encoder of a kind that is not taken.

    Raises:
        UserError: the message says why, and what is taken.
    """
    if kind in REFUSED:
        raise errors.UserError(
            f"--backbone {name}: {kind.removesuffix('Backbone')} is not taken, because it {REFUSED[kind]}; give BERT, "
            "RoBERTa, XLM-RoBERTa or DistilBERT, or a causal language model such as gpt2_base_en"
        )
