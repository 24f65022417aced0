import keras
import numpy as np
import tiny_network

from common.models import frames


def test_a_network_on_each_frame_is_the_network_on_frames():
    network = tiny_network.demo().model
    inputs = keras.Input((3, 32, 32, 3))
    outputs = frames.on_each_frame(network, [inputs])
    x = tiny_network.random_clips(2, 3, 32, 32)
    expected = np.stack([network.predict(clip, verbose=0) for clip in x])
    np.testing.assert_allclose(keras.Model(inputs, outputs).predict(x, verbose=0), expected, rtol=1e-5, atol=1e-5)


def test_what_treats_frames_and_what_joins_them_are_the_classifier():
    inputs = keras.Input((3, 4, 4, 1))
    between = keras.layers.Identity(name="each_frame")(inputs * 2)
    classifier = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(between)))
    on_frames, joined = frames.frame_parts(classifier)
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 4, 1)).astype("float32")
    np.testing.assert_allclose(on_frames.predict(x, verbose=0), 2 * x)
    np.testing.assert_allclose(joined.predict(2 * x, verbose=0), classifier.predict(x, verbose=0), rtol=1e-5)
