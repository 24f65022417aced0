"""Causal language models of KerasHub: loaded by preset, and cut in two.

KerasHub and its packages are an extra (`pip install 'keras-recipes[text]'`), imported only where a model is loaded.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
import shutil
import socket
import textwrap
import types

import keras
import numpy as np
import tensorflow as tf

from common import errors
from common.demo import drawn_texts

INSTALL = "texts need further packages: pip install 'keras-recipes[text]'"


def keras_hub() -> types.ModuleType:
    """The package, imported here and not before.

    Raises:
        UserError: it is not installed.
    """
    try:
        import keras_hub as package
    except ImportError as error:
        raise errors.UserError(INSTALL) from error
    return package


@dataclasses.dataclass(frozen=True)
class LanguageModel:
    """A causal language model with its tokenizer.

    Attributes:
        preset: the name that it was loaded by.
        task: a `keras_hub.models.CausalLM`.
    """

    preset: str
    task: keras.Model

    @property
    def backbone(self) -> keras.Model:
        """The network without the output layer."""
        return self.task.backbone

    @property
    def tokenizer(self):
        """A `keras_hub.tokenizers.Tokenizer`."""
        return self.task.preprocessor.tokenizer

    @property
    def end_token(self) -> int:
        """The number of the token that ends a text; the models here also begin one with it."""
        return int(self.tokenizer.end_token_id)

    @property
    def context(self) -> int:
        """How many tokens the network can see at a time; 1024 where it does not say."""
        return int(getattr(self.backbone, "max_sequence_length", None) or 1024)

    @property
    def blocks(self) -> list[keras.layers.Layer]:
        """The transformer blocks, from the input on."""
        return list(self.backbone.transformer_layers)

    @functools.cached_property
    def step(self):
        """Tokens (batch, n), the cache, and their place to logits and the cache: compiled once for each shape."""
        return tf.function(lambda tokens, cache, place: self.task.call_with_cache(tokens, cache, place)[::2])

    def encode(self, texts) -> list[np.ndarray]:
        """The token numbers of each text, int32 (tokens,)."""
        return [np.asarray(self.tokenizer(part), dtype="int32").reshape(-1) for part in texts]

    def decode(self, tokens) -> str:
        """The text of token numbers (tokens,); what is no whole character is left out."""
        return str(self.tokenizer.detokenize(np.asarray(tokens, dtype="int32"))) if len(tokens) else ""


def load(preset: str, weights: bool = True, dropout: float = 0.0) -> LanguageModel:
    """A causal language model by preset.

    Args:
        preset: `demo`, a name of KerasHub's (`gpt2_base_en`), `hf://…`, `kaggle://…`, or the folder of a preset.
        weights: False: the architecture and the vocabulary, with random weights.
        dropout: of all layers while training.

    Raises:
        UserError: no such preset, or no network to fetch it.
    """
    package = keras_hub()
    source = str(drawn_texts.PRESET) if preset == "demo" else preset
    if "://" not in source and os.sep in source and not pathlib.Path(source).expanduser().is_dir():
        raise errors.UserError(f"--preset {preset}: no such folder")
    source = str(pathlib.Path(source).expanduser()) if pathlib.Path(source).expanduser().is_dir() else source
    _check_network(preset, source)
    try:
        task = package.models.CausalLM.from_preset(source, load_weights=weights)
    except Exception as error:  # KerasHub, Kaggle and Hugging Face each raise their own
        reason = textwrap.shorten(str(error), 160, placeholder=" …")
        known = source in package.models.CausalLM.presets or "://" in source
        advice = (
            "check the network, give the folder of a preset that was saved with save_to_preset, or try --preset demo"
            if known
            else "give a name from https://keras.io/keras_hub/presets/, hf://user/model, or the folder of a preset"
        )
        raise errors.UserError(f"--preset {preset} cannot be loaded ({reason}): {advice}") from error
    task.backbone.trainable = True  # one that was saved half frozen, too
    return LanguageModel(preset, _with_dropout(task, dropout, preset))


def _with_dropout(task: keras.Model, dropout: float, preset: str) -> keras.Model:
    """The model with another dropout; KerasHub's `from_preset` takes none for the network.

    Raises:
        UserError: the network has none.
    """
    backbone = task.backbone
    if dropout == getattr(backbone, "dropout", 0.0):
        return task
    if not hasattr(backbone, "dropout"):
        raise errors.UserError(f"--dropout {dropout}: the network of --preset {preset} has no dropout")
    other = type(backbone).from_config(backbone.get_config() | {"dropout": dropout})
    other.set_weights(backbone.get_weights())
    return type(task)(backbone=other, preprocessor=task.preprocessor)


def _check_network(preset: str, source: str) -> None:
    """Fails at once where Hugging Face cannot be reached; its library would try for 20 seconds."""
    if not source.startswith("hf://") or os.environ.get("HF_HUB_OFFLINE"):
        return
    try:
        socket.getaddrinfo("huggingface.co", 443)
    except OSError as error:
        raise errors.UserError(
            f"--preset {preset}: huggingface.co cannot be reached; check the network, set HF_HUB_OFFLINE=1 if it was "
            "downloaded before, or give the folder of a preset"
        ) from error


def save(model: LanguageModel, folder: pathlib.Path) -> None:
    """Writes a preset folder that KerasHub loads without this repository; LoRA's weights are merged into the others.

    Of a network in mixed precision, too: its weights are float32, and the reader's policy says how they are computed.
    """
    unfinished = folder.with_name(f".{os.getpid()}-{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        model.task.save_to_preset(str(unfinished))
        for name in ("config.json", "task.json"):
            _forget_training(unfinished / name)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _forget_training(path: pathlib.Path) -> None:
    """Changes a saved configuration to one that can be loaded and trained anew.

    Everything trains again, and for a mixed policy, by whose name KerasHub 0.32 cannot load what it has saved, stands
    the dtype of the weights.
    """

    def changed(part):
        if part.get("class_name") == "DTypePolicy" and part["config"]["name"].startswith("mixed_"):
            return part | {"config": {"name": "float32"}}
        return part | {"trainable": True} if part.get("trainable") is False else part

    path.write_text(json.dumps(json.loads(path.read_text("utf-8"), object_hook=changed), indent=4), encoding="utf-8")


def enable_lora(model: LanguageModel, rank: int) -> None:
    """KerasHub's LoRA on the queries and values of every block (Hu et al. 2021); all else is frozen.

    KerasHub leaves the biases of those layers trainable, which would be lost where only LoRA's weights are saved.
    """
    model.backbone.enable_lora(rank)
    for variable in model.backbone.trainable_variables:
        if not variable.name.startswith("lora"):
            variable.trainable = False


def freeze(model: LanguageModel, strategy: str, blocks: int, lora_rank: int) -> int | None:
    """Leave trainable what a strategy trains; return the first block behind the frozen ones, None if all train.

    The token embedding is the output layer too, so it stays as it is wherever the first blocks are frozen.

    Args:
        model: all of it trains.
        strategy: `head` (the last layer norm), `last_blocks`, `lora`, `full` or `scratch`.
        blocks: how many, of `last_blocks`; at most all.
        lora_rank: of `lora`.
    """
    if strategy == "lora":
        enable_lora(model, lora_rank)
    if strategy in ("lora", "full", "scratch"):
        return None
    first = len(model.blocks) - (min(blocks, len(model.blocks)) if strategy == "last_blocks" else 0)
    model.backbone.trainable = False
    for layer in [*model.blocks[first:], model.backbone.layer_norm]:
        layer.trainable = True
    return first


# A model in two parts -------------------------------------------------------------------------------------------


def whole(model: LanguageModel) -> keras.Model:
    """The network with its own output layer: [token_ids, padding_mask] to logits, float32 (batch, length, words)."""
    inputs = [model.task.input[name] for name in ("token_ids", "padding_mask")]
    return keras.Model(inputs, keras.ops.cast(model.task.output, "float32"), name="whole")


def halves(model: LanguageModel, first: int | None) -> tuple[keras.Model | None, keras.Model]:
    """The network without its output layer cut before block number `first`, on the very same layers.

    Args:
        model: its layers frozen as they are to be trained.
        first: the first block that trains; the number of blocks where none does; None: no cut.

    Returns:
        The prefix, [token_ids, padding_mask] to (batch, length, width), None without a cut; and the suffix, [what the
        prefix makes, padding_mask] (or the prefix's inputs) to what the output layer takes, (batch, length, width).
    """
    inputs = model.backbone.input
    ids, mask = inputs["token_ids"], inputs["padding_mask"]
    if first is None:
        return None, keras.Model([ids, mask], model.backbone.output, name="network")
    hidden = crossing(model, first)
    prefix = keras.Model([ids, mask], hidden, name="prefix")
    return prefix, keras.Model([hidden, mask], model.backbone.output, name="suffix")


def crossing(model: LanguageModel, first: int):
    """What enters block number `first`, or leaves the last one."""
    return model.blocks[first - 1].output if first else keras.tree.flatten(model.blocks[0].input)[0]


def with_head(suffix: keras.Model, head) -> keras.Model:
    """A suffix with something behind it.

    Args:
        suffix: as `halves` makes it.
        head: takes (batch, length, width) and the list of the suffix's inputs, the padding mask last; gives the output.
    """
    inputs = [keras.Input(tensor.shape[1:], dtype=tensor.dtype) for tensor in suffix.inputs]
    return keras.Model(inputs, head(suffix(inputs), inputs), name="trained")


def for_documents(part: keras.Model, window: int, length: int) -> keras.Model:
    """A part of a network for documents longer than what it sees: each of a document's windows goes through by itself.

    Args:
        part: takes and gives (batch, window) or (batch, window, width).
        window: how many tokens.
        length: of a document, a multiple of it.

    Returns:
        The same from (documents, length, …) to (documents, length, …). The window is in its name, so in the cache key.
    """

    def in_rows(tensors, tokens):
        return keras.tree.map_structure(lambda x: keras.ops.reshape(x, (-1, tokens, *x.shape[2:])), tensors)

    inputs = [keras.Input((length, *tensor.shape[2:]), dtype=tensor.dtype, name=tensor.name) for tensor in part.inputs]
    return keras.Model(inputs, in_rows(part(in_rows(inputs, window)), length), name=f"{part.name}_by_{window}")


def entering(model: LanguageModel, first: int | None, token_ids):
    """What enters the part that trains: the words' embeddings, without positions, or what a frozen part makes of them.

    Args:
        model, first: as for `halves`.
        token_ids: of `model.backbone.input` where there is a frozen part.
    """
    return model.backbone.token_embedding(token_ids) if first is None else crossing(model, first)


def with_class_head(model: LanguageModel, suffix: keras.Model, head: keras.Model) -> keras.Model:
    """A suffix with a classifier behind it.

    Args:
        model: whose suffix it is.
        suffix: as `halves` makes it, or of that `for_documents`.
        head: takes what enters and what leaves the last block, both (batch, length, width), and the padding mask
            (batch, length).
    """

    def apply(hidden, inputs):
        cut = keras.backend.is_float_dtype(inputs[0].dtype)
        return head([inputs[0] if cut else entering(model, None, inputs[0]), hidden, inputs[-1]])

    return with_head(suffix, apply)


def joined(prefix: keras.Model | None, suffix: keras.Model) -> keras.Model:
    """Both parts as one model, the prefix in inference mode; its dropout must be 0."""
    if prefix is None:
        return suffix
    ids, mask = (keras.Input(tensor.shape[1:], dtype="int32", name=tensor.name) for tensor in prefix.inputs)
    return keras.Model([ids, mask], suffix([prefix([ids, mask], training=False), mask]), name="joined")


def token_losses(model: keras.Model) -> keras.Model:
    """From a model's inputs and the targets to the cross-entropy of each target in nats, float32 (batch, length)."""
    inputs = [keras.Input(tensor.shape[1:], dtype=tensor.dtype) for tensor in model.inputs]
    targets = keras.Input((None,), dtype="int32", name="targets")
    logits = model(inputs)
    chosen = keras.ops.take_along_axis(logits, keras.ops.expand_dims(targets, -1), axis=-1)
    losses = keras.ops.logsumexp(logits, axis=-1) - keras.ops.squeeze(chosen, -1)
    return keras.Model([*inputs, targets], losses, name="token_losses")
