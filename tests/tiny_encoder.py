"""Encoders with random weights that are small enough for tests, with a small vocabulary of English words."""

import pathlib
import string

import keras
import numpy as np

from common.models import encoder, language_model

WORDS = "the a film is was bad good dull great story and of it not very this rent loan".split()
WINDOW = 8
SIZES = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 32, "max_sequence_length": 64}
# The tokens of three documents; the last one is shorter than a window, the first one fills three.
DOCUMENTS = [np.random.default_rng(n).integers(5, 30, length).astype("int32") for n, length in enumerate((17, 9, 3))]


def backbone(family: str) -> keras.Model:
    """Returns a small network of a family, with random weights that let its vectors differ."""
    models = language_model.keras_hub().models
    keras.utils.set_random_seed(0)
    network = getattr(models, f"{family}Backbone")(vocabulary_size=80, dropout=0.1, **SIZES)
    for weight in network.trainable_weights:
        weight.assign(weight + keras.random.normal(weight.shape, stddev=0.2, seed=1))
    return network


def tokenizer(family: str):
    """Returns the family's tokenizer of `WORDS` and letters."""
    kinds, letters = language_model.keras_hub().tokenizers, list(string.ascii_lowercase)
    if family in ("Bert", "DistilBert"):
        pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *letters[1:], *(f"##{one}" for one in letters)]
        return getattr(kinds, f"{family}Tokenizer")(vocabulary=pieces, lowercase=True)
    pieces = ["<s>", "<pad>", "</s>", "<mask>", "Ġ", *letters, *string.punctuation, "Ġa"]
    return kinds.RobertaTokenizer(vocabulary={name: n for n, name in enumerate(pieces)}, merges=["Ġ a"])


def model(family: str) -> encoder.Encoder:
    """Returns a small encoder, without dropout."""
    network = backbone(family)
    plain = type(network).from_config(network.get_config() | {"dropout": 0.0})
    plain.set_weights(network.get_weights())
    return encoder.Encoder("tiny", plain, tokenizer(family))


def write(folder: pathlib.Path, family: str = "Bert") -> str:
    """Writes it as a KerasHub preset; its path."""
    language_model.save(encoder.Encoder("tiny", backbone(family), tokenizer(family)), folder)
    return str(folder)
