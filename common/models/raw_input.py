"""Models that take raw photos of any size, RGB 0–255, with their own preprocessing."""

from collections.abc import Callable

import keras


def resizing(image_size: int, aspect: str, interpolation: str = "bilinear") -> keras.layers.Resizing:
    """Return the layer that resizes all photos, in training and in the saved model, antialiased.

    Args:
        image_size: height and width in pixels.
        aspect: `squash` distorts, as Keras's own loaders do by default; `crop` cuts the longer side, `pad` adds black
            borders.
        interpolation: as for `keras.layers.Resizing`.
    """
    # float32 even under mixed precision: the photos do not depend on the precision of the network.
    return keras.layers.Resizing(
        image_size, image_size, interpolation, antialias=True, crop_to_aspect_ratio=aspect == "crop",
        pad_to_aspect_ratio=aspect == "pad", dtype="float32",
    )  # fmt: skip


def take_raw_pixels(
    classifier: keras.Model, preprocess: Callable, resize: keras.layers.Layer, turns: int = 1
) -> keras.Model:
    """Return the classifier with its own resizing and preprocessing in front.

    Args:
        classifier: takes preprocessed (batch, image_size, image_size, 3), returns probabilities.
        preprocess: converts RGB 0–255 to the classifier's input, each pixel separately.
        resize: the layer that resized the photos in training (`raw_input.resizing`).
        turns: the answer is the mean over this many of the eight orientations of `augmentation.turned`.

    Returns:
        A model of RGB 0–255 photos of any size, (batch, height, width, 3), uint8 or float, which shares the
        classifier's layers. It contains no `Lambda`, so it loads in Keras's safe mode, without this repository.
        A direct call gives the same answers as `predict`.
    """
    photos = keras.Input((None, None, 3), name="photos")
    preprocessing = keras.Model(photos, preprocess(resize(photos)), name="preprocessing")
    pixels = keras.Input((None, None, 3), name="pixels")
    x = preprocessing(pixels)
    # Without `training=False`, Keras's `Resizing` and all layers after it run in training mode, with the classifier's
    # dropout. `predict` passes the argument, `model(photos)` does not.
    if turns == 1:
        return keras.Model(pixels, classifier(x, training=False), name="from_raw_pixels")
    mirrored = keras.ops.flip(x, axis=2)
    looks = [keras.ops.rot90(mirrored if turn >= 4 else x, turn % 4, axes=(1, 2)) for turn in range(turns)]
    answers = classifier(keras.ops.concatenate(looks), training=False)
    answers = keras.ops.reshape(answers, (turns, -1, classifier.output.shape[-1]))
    return keras.Model(pixels, keras.ops.mean(answers, axis=0), name="from_raw_pixels")
