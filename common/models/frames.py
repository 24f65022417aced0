"""A network for photos under clips, frame by frame."""

import keras


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
