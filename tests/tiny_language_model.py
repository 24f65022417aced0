"""A GPT-2 with random weights that is small enough for tests, with the demo's vocabulary."""

import pathlib

import keras
import numpy as np

from common.media import windows
from common.models import language_model

WINDOW = 8
# The tokens of three documents; the last one is shorter than a window.
DOCUMENTS = [np.random.default_rng(n).integers(2, 1500, length).astype("int32") for n, length in enumerate((40, 23, 5))]


def write(folder: pathlib.Path, layers: int = 2, width: int = 32, context: int = 64) -> str:
    """Writes it as a KerasHub preset; its path."""
    hub = language_model.keras_hub()
    keras.utils.set_random_seed(0)
    tokenizer = language_model.load("demo").tokenizer
    backbone = hub.models.GPT2Backbone(
        vocabulary_size=tokenizer.vocabulary_size(), num_layers=layers, num_heads=2, hidden_dim=width,
        intermediate_dim=2 * width, dropout=0.0, max_sequence_length=context,
    )  # fmt: skip
    for weight in backbone.trainable_weights:  # GPT-2 begins nearly uniform; these logits differ
        weight.assign(weight + keras.random.normal(weight.shape, stddev=0.1, seed=1))
    preprocessor = hub.models.GPT2CausalLMPreprocessor(tokenizer=tokenizer, sequence_length=context)
    task = hub.models.GPT2CausalLM(backbone=backbone, preprocessor=preprocessor)
    language_model.save(language_model.LanguageModel("tiny", task), folder)
    return str(folder)


def with_logits(model: language_model.LanguageModel, suffix: keras.Model) -> keras.Model:
    """A suffix of the network with its output layer."""
    return language_model.with_head(suffix, lambda hidden, inputs: model.backbone.token_embedding(hidden, reverse=True))


def rows() -> tuple[np.ndarray, np.ndarray]:
    """The documents as a classifier takes them, in three windows each: tokens and padding mask, (3, 24)."""
    packed = windows.pack_each(DOCUMENTS, 3 * WINDOW, end_token=1)
    return packed.token_ids, (packed.weights > 0).astype("int32")
