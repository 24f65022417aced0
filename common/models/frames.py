"""A network for photos, applied to each frame of clips, and the model that takes raw clips."""

from __future__ import annotations

from collections.abc import Callable

import keras

from common.media import clips as media

ROUNDING = 0.05  # of a frame: the 2 ms that `clips.indices` allows for rounded times, at 25 frames a second


def on_each_frame(network: keras.Model, clips: list[keras.KerasTensor]) -> list[keras.KerasTensor]:
    """Apply a network for photos to every frame of clips.

    The frames are folded into the batch, (batch x frames, height, width, channels), which costs nothing;
    `TimeDistributed` would run them one after the other.

    Args:
        network: takes one or several tensors (batch, …), and returns one or several.
        clips: a Keras tensor (batch, frames, …) for each input, with a fixed number of frames.

    Returns:
        The outputs, (batch, frames, …), in a list.
    """
    frames = clips[0].shape[1]
    folded = [keras.ops.reshape(clip, (-1, *clip.shape[2:])) for clip in clips]
    outputs = keras.tree.flatten(network(folded if len(folded) > 1 else folded[0]))
    return [keras.ops.reshape(output, (-1, frames, *output.shape[1:])) for output in outputs]


def frame_parts(classifier: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Cut a classifier of clips into two parts: the first treats each frame alone, the second combines them.

    Args:
        classifier: has a layer `each_frame` between the two parts, whose output is (batch, frames, …).
    """
    between = classifier.get_layer("each_frame").output
    return keras.Model(classifier.input, between), keras.Model(between, classifier.output)


def take_raw_clips(
    classifier: keras.Model, preprocess: Callable, resize: keras.layers.Layer, medium: media.Clips
) -> keras.Model:
    """Return the classifier with its own sampling of frames, resizing and preprocessing in front.

    Args:
        classifier: takes preprocessed (batch, frames, image_size, image_size, 3), returns probabilities.
        preprocess, resize: as for `raw_input.take_raw_pixels`.
        medium: selects the frames; the probabilities of several windows are averaged.

    Returns:
        A model of RGB 0–255 clips of any size with at least one frame, (batch, length, height, width, 3), uint8 or
        float. It shares the classifier's layers. Its layer `from_frames` takes frames that are already chosen,
        (batch, frames, height, width, 3). Frames are counted, not timed. At 16 to 31 frames a second they are the same
        as those read from a file; at other rates they may differ by one. If a clip is too short, frames are repeated.
        The model contains no `Lambda` and no class of this repository.
    """
    from_frames = _from_frames(classifier, preprocess, resize, medium.frames)
    pixels = keras.Input((None, None, None, 3), name="clips")
    length = keras.ops.sum(keras.ops.ones_like(pixels[0, :, 0, 0, 0], dtype="float32"))
    answers = [
        from_frames(keras.ops.take(pixels, _frame_numbers(length, medium, position), axis=1))
        for position in medium.positions()
    ]
    answer = keras.layers.Average()(answers) if len(answers) > 1 else answers[0]
    return keras.Model(pixels, answer, name="from_raw_clips")


def _from_frames(classifier: keras.Model, preprocess: Callable, resize: keras.layers.Layer, frames: int) -> keras.Model:
    """Put resizing and preprocessing before the classifier: RGB 0–255 (batch, frames, height, width, 3) of any size."""
    pixels = keras.Input((frames, None, None, 3), name="frames")
    # Height and width are unknown, so frames cannot be folded into the batch. They are resized side by side as
    # channels: resizing treats all channels in the same way.
    side_by_side = keras.ops.concatenate([pixels[:, number] for number in range(frames)], axis=-1)
    size = resize.height, resize.width
    x = keras.ops.reshape(resize(side_by_side), (-1, *size, frames, 3))
    x = keras.ops.reshape(keras.ops.transpose(x, (0, 3, 1, 2, 4)), (-1, *size, 3))
    x = keras.ops.reshape(preprocess(x), (-1, frames, *size, 3))
    x = keras.Model(pixels, x, name="preprocessing")(pixels)
    return keras.Model(pixels, classifier(x, training=False), name="from_frames")  # as in `raw_input.take_raw_pixels`


def _frame_numbers(length: keras.KerasTensor, medium: media.Clips, position: float) -> keras.KerasTensor:
    """Return the numbers of the frames to take from a clip of `length` frames, as `clips.indices` at a steady rate."""
    numbers = keras.ops.arange(medium.frames, dtype="float32")
    if medium.sampling == "whole":
        chosen = (numbers + 0.5) * (length / medium.frames)
    else:
        free = keras.ops.maximum(length - (medium.frames - 1) * medium.stride - 1, 0.0)
        first = keras.ops.minimum(keras.ops.floor(position * (free + 1)), free)
        chosen = first + numbers * medium.stride
    return keras.ops.cast(keras.ops.minimum(keras.ops.floor(chosen + ROUNDING), length - 1), "int32")
