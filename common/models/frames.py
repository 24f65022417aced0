"""A network for photos under clips, frame by frame, and the model that takes clips as they come."""

from collections.abc import Callable

import keras

ROUNDING = 0.05  # of a frame: the 2 ms by which `clips.indices` allows for rounded times, at 25 a second


def on_each_frame(network: keras.Model, clips) -> list:
    """Applies a network for photos to every frame of clips.

    The frames are folded into the batch, (batch x frames, height, width, channels), which costs nothing;
    `TimeDistributed` would run them one after the other.

    Args:
        network: of one or several tensors (batch, …) to one or several.
        clips: as many Keras tensors (batch, frames, …), their number of frames fixed.

    Returns:
        The outputs, (batch, frames, …), in a list.
    """
    frames = clips[0].shape[1]
    folded = [keras.ops.reshape(clip, (-1, *clip.shape[2:])) for clip in clips]
    outputs = keras.tree.flatten(network(folded if len(folded) > 1 else folded[0]))
    return [keras.ops.reshape(output, (-1, frames, *output.shape[1:])) for output in outputs]


def frame_parts(classifier: keras.Model) -> tuple[keras.Model, keras.Model]:
    """A classifier of clips in two parts: what treats each frame for itself, and what joins them.

    Args:
        classifier: with a layer `each_frame` between the two, whose output is (batch, frames, …).
    """
    between = classifier.get_layer("each_frame").output
    return keras.Model(classifier.input, between), keras.Model(between, classifier.output)


def take_raw_clips(classifier: keras.Model, preprocess: Callable, resize: keras.layers.Layer, medium) -> keras.Model:
    """The classifier behind its own sampling of frames, resizing and preprocessing.

    Args:
        classifier: takes preprocessed (batch, frames, image_size, image_size, 3), gives probabilities.
        preprocess, resize: as for `raw_input.take_raw_pixels`.
        medium: a `media.clips.Clips`: which frames are taken; of several windows the probabilities are averaged.

    Returns:
        A model of RGB 0–255 clips of any size and of one frame or more, (batch, length, height, width, 3), uint8 or
        float, sharing the classifier's layers. Its layer `from_frames` takes the frames already chosen,
        (batch, frames, height, width, 3). Frames are counted, not timed: at 16 to 31 a second they are those that are
        read from a file, elsewhere one may be the next one. A clip that is too short shows some repeatedly. It holds
        no `Lambda` and no class of this repository.
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


def _frame_numbers(length, medium, position: float):
    """Which frames of a clip with `length` frames are taken, as `clips.indices` says for a steady frame rate."""
    numbers = keras.ops.arange(medium.frames, dtype="float32")
    if medium.sampling == "whole":
        chosen = (numbers + 0.5) * (length / medium.frames)
    else:
        free = keras.ops.maximum(length - (medium.frames - 1) * medium.stride - 1, 0.0)
        first = keras.ops.minimum(keras.ops.floor(position * (free + 1)), free)
        chosen = first + numbers * medium.stride
    return keras.ops.cast(keras.ops.minimum(keras.ops.floor(chosen + ROUNDING), length - 1), "int32")
