"""The heads that turn a language model or an encoder into a classifier of documents."""

import keras


def build_head(width: int, num_classes: int, activation: str = "softmax") -> keras.Model:
    """Build the head: from the input and output of the blocks and the padding mask of documents to probabilities.

    The mean and the maximum over all of a document's tokens are ULMFiT's pooling (https://arxiv.org/abs/1801.06146).
    The pooled input (the word embeddings if all blocks train) preserves the words, whatever the blocks compute.
    """
    entering, hidden = (keras.Input((None, width), name=name) for name in ("entering", "hidden"))
    mask = keras.Input((None,), dtype="int32", name="mask")
    seen = keras.ops.expand_dims(keras.ops.cast(mask, hidden.dtype), -1)
    pooled = []
    for one in (entering, hidden):
        pooled.append(keras.ops.sum(one * seen, axis=1) / keras.ops.sum(seen, axis=1))
        pooled.append(keras.ops.max(one - 1e4 * (1 - seen), axis=1))
    # Keras's epsilon, 1e-3: on seven splits of real contracts, 1e-5, which gives words more weight, validated worse.
    pooled = [keras.layers.LayerNormalization(dtype="float32")(one) for one in pooled]
    x = keras.layers.Dropout(0.3, dtype="float32")(keras.layers.Concatenate(dtype="float32")(pooled))
    output = keras.layers.Dense(num_classes, activation=activation, dtype="float32", name="probabilities")(x)
    return keras.Model([entering, hidden, mask], output, name="class_head")


def build_mean_head(width: int, num_classes: int, activation: str = "softmax") -> keras.Model:
    """Build the head of an encoder: from the mean of a document's vectors, (batch, width), to probabilities.

    Layer norm gives all values of the mean one scale, so the rates need not depend on the network.
    """
    mean = keras.Input((width,), name="mean")
    x = keras.layers.LayerNormalization(dtype="float32")(mean)
    x = keras.layers.Dropout(0.1, dtype="float32")(x)
    output = keras.layers.Dense(num_classes, activation=activation, dtype="float32", name="probabilities")(x)
    return keras.Model(mean, output, name="class_head")


def without_answers(head: keras.Model) -> keras.Model:
    """Return a head without its last layer: the features that this layer answers from."""
    return keras.Model(head.input, head.get_layer("probabilities").input, name="class_features")
