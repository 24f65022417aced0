import importlib.metadata

import keras
import numpy as np

from common import devices
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


def test_the_key_covers_what_decodes_and_where_it_is_computed(monkeypatch, tmp_path):
    backbone, inputs = backbones.load("demo", "demo", 32), keras.Input((4,))
    network = keras.Model(inputs, keras.layers.ReLU()(inputs))

    def key():
        return fingerprint.fingerprint(network, backbone, "float32")

    keys = [key()]
    version = importlib.metadata.version
    for package in ("numpy", "av"):
        newer = {package: version(package) + ".1"}
        monkeypatch.setattr(importlib.metadata, "version", lambda name, newer=newer: newer.get(name) or version(name))
        keys.append(key())
    monkeypatch.setattr(importlib.metadata, "version", version)
    with monkeypatch.context() as patched:
        patched.setattr(devices, "has_gpu", lambda: True)
        keys.append(key())
    sources = fingerprint.sources()
    assert {"photos.py", "film.py", "augmentation.py", "pipeline.py"} <= {path.name for path in sources}
    changed = tmp_path / sources[0].name
    changed.write_bytes(sources[0].read_bytes() + b"#")
    monkeypatch.setattr(fingerprint, "sources", lambda: [changed, *sources[1:]])
    keys.append(key())
    assert len(set(keys)) == len(keys)


def test_a_package_that_is_not_installed_has_no_version():
    assert fingerprint.computed_by(("numpy", "no-such-package"))[1:] == [np.__version__, ""]


def test_the_hash_of_the_network_alone_outlives_versions_but_not_other_weights_or_another_cut(monkeypatch):
    backbone = backbones.load("demo", "none", 32)
    cuts = [keras.Model(backbone.model.input, backbone.model.layers[place].output) for place in (5, 6)]
    whole, key = (each(cuts[0], backbone) for each in (fingerprint.network, lambda *a: fingerprint.fingerprint(*a, "")))
    assert fingerprint.network(cuts[1], backbone) != whole
    assert fingerprint.network(cuts[0], backbones.load("demo", "none", 48)) != whole
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "99")
    assert fingerprint.network(cuts[0], backbone) == whole and fingerprint.fingerprint(cuts[0], backbone, "") != key
    weight = cuts[0].weights[0]
    weight.assign(weight + 1e-6)
    assert fingerprint.network(cuts[0], backbone) != whole
