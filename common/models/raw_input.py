"""Models that take photos or clips as they come: of any size, RGB 0–255, with their own preprocessing."""

from collections.abc import Callable

import keras

ROUNDING = 0.05  # of a frame: the 2 ms by which `clips.indices` allows for rounded times, at 25 a second


def take_raw_clips(classifier: keras.Model, preprocess: Callable, resize: keras.layers.Layer, clips) -> keras.Model:
    """The classifier behind its own sampling of frames, resizing and preprocessing.

    Args:
        classifier: takes preprocessed (batch, frames, image_size, image_size, 3), gives probabilities.
        preprocess, resize: as for `raw_input.take_raw_pixels`.
        clips: a `media.clips.Clips`, which frames are taken; of several looks the probabilities are averaged.

    Returns:
        A model of RGB 0–255 clips of any size and of one frame or more, (batch, length, height, width, 3), uint8 or
        float, sharing the classifier's layers. Its layer `from_frames` takes the frames already chosen,
        (batch, frames, height, width, 3). Frames are counted, not timed: at 16 to 31 a second they are those that are
        read from a file, elsewhere one may be the next one. A clip that is too short shows some repeatedly. It holds
        no `Lambda` and no class of this repository.
    """
    from_frames = _from_frames(classifier, preprocess, resize, clips.frames)
    pixels = keras.Input((None, None, None, 3), name="clips")
    length = keras.ops.sum(keras.ops.ones_like(pixels[0, :, 0, 0, 0], dtype="float32"))
    answers = [
        from_frames(keras.ops.take(pixels, _frame_numbers(length, clips, position), axis=1))
        for position in clips.positions()
    ]
    answer = keras.layers.Average()(answers) if len(answers) > 1 else answers[0]
    return keras.Model(pixels, answer, name="from_raw_clips")


def _from_frames(classifier, preprocess, resize, frames: int) -> keras.Model:
    """The classifier behind resizing and preprocessing: RGB 0–255 (batch, frames, height, width, 3) of any size."""
    pixels = keras.Input((frames, None, None, 3), name="frames")
    # Height and width are unknown, so frames cannot be folded into the batch; side by side as channels they can be
    # resized, which treats every channel alike.
    side_by_side = keras.ops.concatenate([pixels[:, number] for number in range(frames)], axis=-1)
    size = resize.height, resize.width
    x = keras.ops.reshape(resize(side_by_side), (-1, *size, frames, 3))
    x = keras.ops.reshape(keras.ops.transpose(x, (0, 3, 1, 2, 4)), (-1, *size, 3))
    x = keras.ops.reshape(preprocess(x), (-1, frames, *size, 3))
    x = keras.Model(pixels, x, name="preprocessing")(pixels)
    return keras.Model(pixels, classifier(x, training=False), name="from_frames")  # as in `raw_input.take_raw_pixels`


def _frame_numbers(length, clips, position: float):
    """Which frames of a clip with `length` frames are taken, as `clips.indices` says for a steady frame rate."""
    numbers = keras.ops.arange(clips.frames, dtype="float32")
    if clips.sampling == "whole":
        chosen = (numbers + 0.5) * (length / clips.frames)
    else:
        free = keras.ops.maximum(length - (clips.frames - 1) * clips.stride - 1, 0.0)
        first = keras.ops.minimum(keras.ops.floor(position * (free + 1)), free)
        chosen = first + numbers * clips.stride
    return keras.ops.cast(keras.ops.minimum(keras.ops.floor(chosen + ROUNDING), length - 1), "int32")


def resizing(image_size: int, aspect: str) -> keras.layers.Resizing:
    """The layer that every photo goes through, here and inside the saved model: bilinear, antialiased.

    Args:
        image_size: height and width in pixels.
        aspect: `squash` distorts, as Keras's own loaders do by default; `crop` cuts the longer side, `pad` adds black
            borders.
    """
    # float32 also under mixed precision: the photos are the same whatever the network computes in.
    return keras.layers.Resizing(
        image_size, image_size, antialias=True, crop_to_aspect_ratio=aspect == "crop",
        pad_to_aspect_ratio=aspect == "pad", dtype="float32",
    )  # fmt: skip


def take_raw_pixels(
    classifier: keras.Model, preprocess: Callable, resize: keras.layers.Layer, turns: int = 1
) -> keras.Model:
    """The classifier behind its own resizing and preprocessing.

    Args:
        classifier: takes preprocessed (batch, image_size, image_size, 3), gives probabilities.
        preprocess: RGB 0–255 to what the classifier takes, each pixel for itself.
        resize: the layer that photos were brought to size with (`raw_input.resizing`).
        turns: the answer is the mean over so many of the eight orientations of `augmentation.turned`.

    Returns:
        A model of RGB 0–255 photos of any size, (batch, height, width, 3), uint8 or float, sharing the
        classifier's layers. It holds no `Lambda`, so it loads in Keras's safe mode, without this repository.
        Called directly it answers as `predict` does.
    """
    photos = keras.Input((None, None, 3), name="photos")
    preprocessing = keras.Model(photos, preprocess(resize(photos)), name="preprocessing")
    pixels = keras.Input((None, None, 3), name="pixels")
    x = preprocessing(pixels)
    # Keras's `Resizing` is called as in training unless told otherwise, and all that comes after it then is, too: the
    # classifier's dropout. `predict` tells, `model(photos)` does not.
    if turns == 1:
        return keras.Model(pixels, classifier(x, training=False), name="from_raw_pixels")
    mirrored = keras.ops.flip(x, axis=2)
    looks = [keras.ops.rot90(mirrored if turn >= 4 else x, turn % 4, axes=(1, 2)) for turn in range(turns)]
    answers = classifier(keras.ops.concatenate(looks), training=False)
    answers = keras.ops.reshape(answers, (turns, -1, classifier.output.shape[-1]))
    return keras.Model(pixels, keras.ops.mean(answers, axis=0), name="from_raw_pixels")
