import keras
import numpy as np

from common.features import fingerprint
from common.models import backbones, freezing


def test_names_that_keras_counts_up_inside_a_model_do_not_matter():
    """InceptionV3 leaves its layers' names to Keras; a second run in one process must find the first one's features."""
    directories = set()
    for _ in range(2):
        keras.utils.set_random_seed(0)
        photo = keras.Input((8, 8, 3))
        maps = keras.layers.ReLU()(keras.layers.Conv2D(4, 3)(photo))
        network = keras.Model(photo, keras.layers.Conv2D(2, 3, name="end")(maps))
        clip = keras.Input((2, 8, 8, 3))
        pooled = keras.layers.GlobalAveragePooling2D()(network(keras.ops.reshape(clip, (-1, 8, 8, 3))))
        model = keras.Model(clip, pooled)
        for layer in freezing.leaf_layers(model):
            layer.set_weights([np.ones_like(weight) for weight in layer.get_weights()])
        backbone = backbones.load("demo", "demo", 32)
        directories.add(fingerprint.fingerprint(model, backbone, "float32"))
    assert len(directories) == 1
