"""A GPT-2 with random weights that is small enough for tests, with the demo's vocabulary."""

import pathlib

from common import text_model

import keras  # isort: skip


def write(folder: pathlib.Path, layers: int = 2, width: int = 32, context: int = 64) -> str:
    """Writes it as a KerasHub preset; its path."""
    hub = text_model.keras_hub()
    keras.utils.set_random_seed(0)
    tokenizer = text_model.load("demo").tokenizer
    backbone = hub.models.GPT2Backbone(
        vocabulary_size=tokenizer.vocabulary_size(), num_layers=layers, num_heads=2, hidden_dim=width,
        intermediate_dim=2 * width, dropout=0.0, max_sequence_length=context,
    )  # fmt: skip
    for weight in backbone.trainable_weights:  # GPT-2 begins nearly uniform; these logits differ
        weight.assign(weight + keras.random.normal(weight.shape, stddev=0.1, seed=1))
    preprocessor = hub.models.GPT2CausalLMPreprocessor(tokenizer=tokenizer, sequence_length=context)
    task = hub.models.GPT2CausalLM(backbone=backbone, preprocessor=preprocessor)
    text_model.save(text_model.LanguageModel("tiny", task), folder)
    return str(folder)
