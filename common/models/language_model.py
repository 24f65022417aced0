"""Causal language models of KerasHub, loaded by preset and cut in two.

KerasHub and its packages are optional (`pip install 'keras-recipes[text]'`) and imported only when a model is loaded.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
import shutil
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from common import errors
from common.demo import drawn_texts
from common.media import windows
from common.models import presets

PREFIX = "hub:"  # as for photos; a name without it is a preset, too


def keras_hub() -> types.ModuleType:
    """Import and return the package `keras_hub`.

    Raises:
        UserError: the package is not installed.
    """
    return presets.keras_hub("recipes for texts need")


class TextModel(Protocol):
    """What `LanguageModel` and `encoder.Encoder` have in common, documented there."""

    @property
    def preset(self) -> str: ...

    @property
    def backbone(self) -> Any: ...

    @property
    def tokenizer(self) -> Any: ...

    @property
    def context(self) -> int: ...

    @property
    def blocks(self) -> list[keras.layers.Layer]: ...

    @property
    def behind(self) -> list[keras.layers.Layer]: ...

    @property
    def inputs(self) -> list[keras.KerasTensor]: ...

    @property
    def hidden(self) -> list[keras.KerasTensor]: ...

    @property
    def output(self) -> keras.KerasTensor: ...

    def encode(self, texts: Iterable[str]) -> list[np.ndarray]: ...

    def windows_of(self, tokens: int, length: int) -> int: ...

    def rows(self, documents: Sequence[np.ndarray], length: int, most: int) -> windows.Windows: ...

    def save_to_preset(self, folder: str) -> None: ...


@dataclasses.dataclass(frozen=True)
class LanguageModel:
    """A causal language model with its tokenizer.

    Attributes:
        preset: the name by which it was loaded.
        task: a `keras_hub.models.CausalLM`.
    """

    preset: str
    task: keras.Model

    @property
    def backbone(self) -> keras.Model:
        """The network without the output layer."""
        return self.task.backbone

    @property
    def tokenizer(self) -> Any:
        """The model's `keras_hub.tokenizers.Tokenizer`."""
        return self.task.preprocessor.tokenizer

    @property
    def end_token(self) -> int:
        """The number of the token that ends a text; in these models it also starts one."""
        return int(self.tokenizer.end_token_id)

    @property
    def context(self) -> int:
        """The most tokens that the network can see at a time; 1024 if it does not define this."""
        return int(getattr(self.backbone, "max_sequence_length", None) or 1024)

    @property
    def blocks(self) -> list[keras.layers.Layer]:
        """The transformer blocks, from the input on."""
        return list(self.backbone.transformer_layers)

    @property
    def inputs(self) -> list[keras.KerasTensor]:
        """The network's inputs: token_ids and padding_mask, int32 (batch, length)."""
        return [self.backbone.input[name] for name in ("token_ids", "padding_mask")]

    @property
    def hidden(self) -> list[keras.KerasTensor]:
        """The input of each block, and the output of the last one, (batch, length, width)."""
        return [keras.tree.flatten(self.blocks[0].input)[0], *(block.output for block in self.blocks)]

    @property
    def output(self) -> keras.KerasTensor:
        """The output of the network without the output layer, (batch, length, width)."""
        return self.backbone.output

    @property
    def behind(self) -> list[keras.layers.Layer]:
        """The layers behind the last block."""
        return [self.backbone.layer_norm]

    @functools.cached_property
    def step(self) -> Callable:
        """A function from tokens (batch, n), cache and position to logits and cache, compiled once per shape."""
        return tf.function(lambda tokens, cache, place: self.task.call_with_cache(tokens, cache, place)[::2])

    def encode(self, texts: Iterable[str]) -> list[np.ndarray]:
        """Return the token numbers of each text, int32 (tokens,)."""
        return [np.asarray(self.tokenizer(part), dtype="int32").reshape(-1) for part in texts]

    def decode(self, tokens: np.ndarray | Sequence[int]) -> str:
        """Return the text of token numbers (tokens,), without incomplete characters."""
        return str(self.tokenizer.detokenize(np.asarray(tokens, dtype="int32"))) if len(tokens) else ""

    def windows_of(self, tokens: int, length: int) -> int:
        """Return the number of windows that a document with this many tokens fills, with its end token."""
        return -(-(tokens + 1) // length)

    def rows(self, documents: Sequence[np.ndarray], length: int, most: int) -> windows.Windows:
        """Return one row for each document, with its first `most` windows of `length` tokens, for a classifier."""
        return windows.pack_each(documents, length * most, self.end_token)

    def save_to_preset(self, folder: str) -> None:
        """Write the network and its tokenizer as KerasHub's preset."""
        self.task.save_to_preset(folder)


def source_of(backbone: str) -> str:
    """Return the preset or the folder that `--backbone` names.

    Args:
        backbone: `demo`, a name in KerasHub (`gpt2_base_en`), `hf://…`, `kaggle://…`, or the folder of a preset; also
            with `hub:` in front, as for photos.

    Raises:
        UserError: there is no such folder.
    """
    name = backbone.removeprefix(PREFIX)
    source = str(drawn_texts.PRESET) if name == "demo" else name
    folder = pathlib.Path(source).expanduser()
    if "://" not in source and os.sep in source and not folder.is_dir():
        raise errors.UserError(f"--backbone {backbone}: no such folder")
    return str(folder) if folder.is_dir() else source


def unloadable(backbone: str, source: str, known: Iterable[str], error: Exception) -> errors.UserError:
    """Return the message for a preset that KerasHub cannot load.

    Args:
        backbone, source: as for `source_of`, and its result.
        known: the names of KerasHub's presets.
        error: what KerasHub, Kaggle or Hugging Face raised.
    """
    advice = (
        "check the network, give the folder of a preset that save_to_preset wrote, or try --backbone demo"
        if source in known or "://" in source
        else "give a name from https://keras.io/keras_hub/presets/, hf://user/model, or the folder of a preset"
    )
    return errors.UserError(f"--backbone {backbone} cannot be loaded ({presets.reason(error)}); {advice}")


def load(preset: str, weights: bool = True, dropout: float = 0.0) -> LanguageModel:
    """Load a causal language model by preset.

    Args:
        preset: as for `source_of`.
        weights: whether to load the weights; False loads architecture and vocabulary, with random weights.
        dropout: dropout rate of all layers in training.

    Raises:
        UserError: there is no such preset, or it cannot be downloaded.
    """
    package, source = keras_hub(), source_of(preset)
    presets.check_reachable(f"--backbone {preset}", source)
    try:
        task = package.models.CausalLM.from_preset(source, load_weights=weights)
    except Exception as error:  # KerasHub, Kaggle and Hugging Face raise different types
        raise unloadable(preset, source, package.models.CausalLM.presets, error) from error
    task.backbone.trainable = True  # also a preset that was saved partly frozen
    return LanguageModel(preset, _with_dropout(task, dropout, preset))


def _with_dropout(task: keras.Model, dropout: float, preset: str) -> keras.Model:
    """Return the model with a given dropout rate; KerasHub's `from_preset` has no argument for it.

    Raises:
        UserError: the network has no dropout.
    """
    backbone = task.backbone
    if dropout == getattr(backbone, "dropout", 0.0):
        return task
    if not hasattr(backbone, "dropout"):
        raise errors.UserError(f"--dropout {dropout}: the network of --backbone {preset} has no dropout")
    other = type(backbone).from_config(backbone.get_config() | {"dropout": dropout})
    other.set_weights(backbone.get_weights())
    return type(task)(backbone=other, preprocessor=task.preprocessor)


def save(model: TextModel, folder: pathlib.Path) -> None:
    """Write a preset folder that KerasHub loads without this repository; LoRA's weights are merged into the others.

    This also works for mixed precision: the saved weights are float32, and the policy at loading applies.
    """
    unfinished = folder.with_name(f".{os.getpid()}-{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        model.save_to_preset(str(unfinished))
        for path in {unfinished / "config.json", *unfinished.glob("task.json")}:
            _forget_training(path)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _forget_training(path: pathlib.Path) -> None:
    """Change a saved configuration so that it can be loaded and trained again.

    All layers become trainable. A mixed policy is replaced by the dtype of the weights, because KerasHub 0.32 cannot
    load a mixed policy that it has saved.
    """

    def changed(part: dict[str, Any]) -> dict[str, Any]:
        if part.get("class_name") == "DTypePolicy" and part["config"]["name"].startswith("mixed_"):
            return part | {"config": {"name": "float32"}}
        return part | {"trainable": True} if part.get("trainable") is False else part

    path.write_text(json.dumps(json.loads(path.read_text("utf-8"), object_hook=changed), indent=4), encoding="utf-8")


def enable_lora(model: TextModel, rank: int) -> None:
    """Add KerasHub's LoRA to the queries and values of every block (Hu et al. 2021), and freeze everything else.

    KerasHub leaves the biases of those layers trainable; they would be lost if only LoRA's weights are saved.
    """
    model.backbone.enable_lora(rank)
    for variable in model.backbone.trainable_variables:
        if not variable.name.startswith("lora"):
            variable.trainable = False


def freeze(model: TextModel, strategy: str, blocks: int, lora_rank: int) -> int | None:
    """Freeze all layers but those of a strategy; return the first block after the frozen ones, None if all train.

    The token embedding is also the output layer, so it does not change if the first blocks are frozen.

    Args:
        model: a model in which everything trains.
        strategy: `features` (nothing trains), `head` (the layer norm behind the last block), `last_blocks`, `lora`,
            `full` or `scratch`.
        blocks: number of blocks for `last_blocks`; at most all.
        lora_rank: rank for `lora`.
    """
    if strategy == "lora":
        enable_lora(model, lora_rank)
    if strategy in ("lora", "full", "scratch"):
        return None
    first = len(model.blocks) - (min(blocks, len(model.blocks)) if strategy == "last_blocks" else 0)
    model.backbone.trainable = False
    for layer in [*model.blocks[first:], *(model.behind if strategy != "features" else ())]:
        layer.trainable = True
    return first


# A model in two parts -------------------------------------------------------------------------------------------


def whole(model: LanguageModel) -> keras.Model:
    """Return the network with its output layer: [token_ids, padding_mask] to logits, float32 (batch, length, words)."""
    inputs = [model.task.input[name] for name in ("token_ids", "padding_mask")]
    return keras.Model(inputs, keras.ops.cast(model.task.output, "float32"), name="whole")


def halves(model: TextModel, first: int | None) -> tuple[keras.Model | None, keras.Model]:
    """Cut the network without its output layer before block number `first`; both parts share its layers.

    Args:
        model: its layers frozen as they are to be trained.
        first: the first block that trains; the number of blocks if none trains; None for no cut.

    Returns:
        The prefix, [token_ids, padding_mask] to (batch, length, width), None without a cut. And the suffix, from [the
        prefix's output, padding_mask] (or the prefix's inputs) to the output layer's input, (batch, length, width).
    """
    ids, mask = model.inputs
    if first is None:
        return None, keras.Model([ids, mask], model.output, name="network")
    hidden = crossing(model, first)
    prefix = keras.Model([ids, mask], hidden, name="prefix")
    return prefix, keras.Model([hidden, mask], model.output, name="suffix")


def crossing(model: TextModel, first: int) -> keras.KerasTensor:
    """Return the input of block number `first`, or the output of the last block."""
    return model.hidden[first]


def with_head(suffix: keras.Model, head: Callable) -> keras.Model:
    """Return a suffix with a head behind it.

    Args:
        suffix: as `halves` returns it.
        head: takes (batch, length, width) and the list of the suffix's inputs, mask last; returns the output.
    """
    inputs = [keras.Input(tensor.shape[1:], dtype=tensor.dtype) for tensor in suffix.inputs]
    return keras.Model(inputs, head(suffix(inputs), inputs), name="trained")


def for_documents(part: keras.Model, window: int, length: int) -> keras.Model:
    """Return a part of a network for documents longer than its context: each window of a document is run separately.

    Args:
        part: takes and returns (batch, window) or (batch, window, width).
        window: number of tokens.
        length: number of tokens of a document, a multiple of `window`.

    Returns:
        The part, from (documents, length, …) to (documents, length, …). Its name, and so the cache key, has the window.
    """

    def in_rows(tensors: Any, tokens: int) -> Any:
        return keras.tree.map_structure(lambda x: keras.ops.reshape(x, (-1, tokens, *x.shape[2:])), tensors)

    inputs = [keras.Input((length, *tensor.shape[2:]), dtype=tensor.dtype, name=tensor.name) for tensor in part.inputs]
    return keras.Model(inputs, in_rows(part(in_rows(inputs, window)), length), name=f"{part.name}_by_{window}")


def mean_of(hidden: keras.KerasTensor, mask: keras.KerasTensor) -> keras.KerasTensor:
    """Return the mean over a document's tokens: (documents, length, width) and (documents, length) to (…, width).

    It is float32 even under mixed precision, since a sum over many tokens needs its digits.
    """
    seen = keras.ops.expand_dims(keras.ops.cast(mask, "float32"), -1)
    return keras.ops.sum(keras.ops.cast(hidden, "float32") * seen, axis=1) / keras.ops.sum(seen, axis=1)


def ending_in_mean(prefix: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Return a frozen part with the mean over the tokens as its output, and a suffix that passes this mean on.

    If only a head on the mean trains, the cache then has one vector for each document instead of one for each token.

    Args:
        prefix: [token_ids, padding_mask] of documents to (documents, length, width).
    """
    mask = prefix.inputs[1]
    shortened = keras.Model(prefix.inputs, mean_of(prefix.output, mask), name=f"{prefix.name}_mean")
    mean = keras.Input(shortened.output.shape[1:], dtype=shortened.output.dtype, name="mean")
    mask = keras.Input(mask.shape[1:], dtype=mask.dtype, name="padding_mask")
    return shortened, keras.Model([mean, mask], keras.layers.Activation("linear", dtype="float32")(mean), name="suffix")


def entering(model: TextModel, first: int | None, token_ids: keras.KerasTensor) -> keras.KerasTensor:
    """Return the input of the part that trains: word embeddings without positions, or the output of a frozen part.

    Args:
        model, first: as for `halves`.
        token_ids: those of `model.backbone.input` if there is a frozen part.
    """
    return model.backbone.token_embedding(token_ids) if first is None else crossing(model, first)


def with_class_head(model: TextModel, suffix: keras.Model, head: keras.Model) -> keras.Model:
    """Return a suffix with a classifier behind it.

    Args:
        model: the model of the suffix.
        suffix: as `halves` returns it, or that `for_documents`.
        head: takes what its inputs are named after, see `with_named`.
    """

    def apply(hidden: keras.KerasTensor, inputs: list[keras.KerasTensor]) -> keras.KerasTensor:
        cut = keras.backend.is_float_dtype(inputs[0].dtype)
        return with_named(head, hidden, inputs[-1], lambda: inputs[0] if cut else entering(model, None, inputs[0]))

    return with_head(suffix, apply)


def with_named(
    head: keras.Model, hidden: keras.KerasTensor, mask: keras.KerasTensor, entering: Callable[[], keras.KerasTensor]
) -> keras.KerasTensor:
    """Apply a head to the tensors that its inputs are named after.

    Args:
        head: its inputs are among `entering`, the input of the part that trains, and `hidden`, the output of the last
            block, both (batch, length, width), `mean`, the mean of the latter over the tokens, (batch, width), and
            `mask`, the padding mask (batch, length).
        hidden: the output of the last block, or its mean already.
        mask: the padding mask.
        entering: returns the input of the part that trains; called only if the head takes it.
    """
    makers = {
        "entering": entering, "hidden": lambda: hidden, "mask": lambda: mask,
        "mean": lambda: hidden if len(hidden.shape) == 2 else mean_of(hidden, mask),
    }  # fmt: skip
    tensors = [makers[tensor.name]() for tensor in head.inputs]
    return head(tensors if len(tensors) > 1 else tensors[0])


def joined(prefix: keras.Model | None, suffix: keras.Model) -> keras.Model:
    """Join both parts into one model, with the prefix in inference mode; its dropout must be 0."""
    if prefix is None:
        return suffix
    ids, mask = (keras.Input(tensor.shape[1:], dtype="int32", name=tensor.name) for tensor in prefix.inputs)
    return keras.Model([ids, mask], suffix([prefix([ids, mask], training=False), mask]), name="joined")


def token_losses(model: keras.Model) -> keras.Model:
    """Return a model from inputs and targets to the cross-entropy of each target in nats, float32 (batch, length)."""
    inputs = [keras.Input(tensor.shape[1:], dtype=tensor.dtype) for tensor in model.inputs]
    targets = keras.Input((None,), dtype="int32", name="targets")
    logits = model(inputs)
    chosen = keras.ops.take_along_axis(logits, keras.ops.expand_dims(targets, -1), axis=-1)
    losses = keras.ops.logsumexp(logits, axis=-1) - keras.ops.squeeze(chosen, -1)
    return keras.Model([*inputs, targets], losses, name="token_losses")
