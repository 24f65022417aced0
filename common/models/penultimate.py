"""The features that a classifier's last dense layer sees, of a model in training and of a saved one."""

import keras


def _last_dense(model: keras.Model) -> keras.layers.Dense:
    """Return the last dense layer of a classifier.

    Raises:
        ValueError: it has none.
    """
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    if not dense:
        raise ValueError(f"{model.name} has no dense layer")
    return dense[-1]


def features(classifier: keras.Model, inputs: list | None = None) -> keras.Model:
    """Return the model of a classifier's input, or of tensors in it, to the input of its last dense layer.

    Args:
        classifier: a functional model.
        inputs: the tensors of the classifier to begin at; None for its own inputs.
    """
    seen = keras.layers.Identity()(_last_dense(classifier).input)  # which may be the only one of `inputs`
    return keras.Model(inputs or classifier.inputs, seen)


def beside_answers(model: keras.Model) -> keras.Model:
    """Return a saved model with a second output: what the last dense layer of the classifier inside sees.

    It shares the layers of `model`. The classifier runs once, unless its answer is the mean over turns of a photo: then
    the second output is that of the photo as it is, and takes one run more.

    Args:
        model: as `raw_input.take_raw_pixels` returns it, or the `from_frames` of a model of clips.

    Raises:
        ValueError: it is built in another way.
    """
    preprocessing = model.get_layer("preprocessing")
    inside = [layer for layer in model.layers if hasattr(layer, "layers") and layer is not preprocessing]
    if len(inside) != 1:
        raise ValueError(f"{model.name} has {len(inside)} models inside, not one")
    (classifier,) = inside
    seen = _last_dense(classifier).input
    looks = keras.Input(model.input.shape[1:], name="looks")
    prepared = preprocessing(looks)
    if len(model.operations) > 3:  # besides the input, the preprocessing and the classifier
        return keras.Model(looks, [model(looks), keras.Model(classifier.inputs, seen)(prepared, training=False)])
    return keras.Model(looks, keras.Model(classifier.inputs, [classifier.output, seen])(prepared, training=False))
