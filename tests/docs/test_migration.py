"""Every row of the migration page: the old line fails or does nothing as the page says, the new one works."""

import re
import warnings

import keras
import markdown_commands
import numpy as np
import pytest
import tensorflow as tf
from keras.applications import VGG16, InceptionV3
from keras.layers import GlobalAveragePooling3D
from keras.optimizers import SGD, Adam

from common.data import dataset
from common.media import photos as media_photos
from common.models import backbones, freezing
from common.training import settings as training_settings
from recipes import partial_unfreezing

DOCUMENT = next(document for document in markdown_commands.documents() if document.name == "docs/migration.md")
ERROR = re.compile(r"(\w+(?:Error|Warning)): (.*)")


def code_in(cell):
    return [child.content for child in cell.children if child.type == "code_inline"]


def rows():
    """(old line, the error that the page quotes or None, new line) of the page's tables."""
    tokens = DOCUMENT.tokens()
    cells = [tokens[number + 1] for number, token in enumerate(tokens) if token.type == "td_open"]
    for old, happens, new in zip(cells[::3], cells[1::3], cells[2::3], strict=True):
        quoted = [match for code in code_in(happens) if (match := ERROR.fullmatch(code))]
        yield code_in(old)[0], quoted[0] if quoted else None, code_in(new)[0]


ROWS = list(rows())
# What the page tells a reader to import for the new lines.
IMPORTS = re.findall(r"`(from common\S* import [^`]+)`", DOCUMENT.text)


def str_of_line(value):
    return value[:70] if isinstance(value, str) else value.group(1)


@pytest.fixture
def names(tmp_path, monkeypatch):
    """What the lines find defined: as in the articles a base, a model on it, and data."""
    keras.utils.clear_session()
    monkeypatch.chdir(tmp_path)
    photos = keras.Input((None, None, 3))
    base_model = keras.Model(photos, keras.layers.Dropout(0.5)(keras.layers.Conv2D(4, 3)(photos)))
    x = keras.layers.GlobalAveragePooling2D()(base_model.output)
    model = keras.Model(photos, keras.layers.Dense(2, activation="softmax")(x))
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)  # no time for tracing
    images, labels = np.random.default_rng(0).uniform(0, 255, (6, 8, 8, 3)).astype("float32"), np.arange(6) % 2
    targets = keras.utils.to_categorical(labels, 2)
    ours = {}
    exec("\n".join(IMPORTS), ours)
    return ours | {
        "keras": keras, "np": np, "Adam": Adam, "SGD": SGD, "VGG16": VGG16, "InceptionV3": InceptionV3,
        "GlobalAveragePooling3D": GlobalAveragePooling3D, "base_model": base_model, "model": model,
        "layer": base_model.layers[-1], "num_classes": 2, "images": images, "pixels": images,
        "train_images": images, "val_images": images, "input_ids": images, "train_labels": labels,
        "val_labels": labels, "targets": targets,
        "train_generator": tf.data.Dataset.from_tensors((images, targets)),
    }  # fmt: skip


def add_what_takes_time(line, names, photos=None, folder=None):
    """Defines what few lines need."""
    if "history" in line:
        names["history"] = names["model"].fit(names["images"], names["targets"], verbose=0)
    if "splits" in line:
        settings = training_settings.PhotoConfig(data=str(photos), cache=folder / "cache")
        names |= {
            "splits": dataset.load(settings, folder, media_photos.PHOTOS),
            "backbone": backbones.load("demo", "none", 32),
        }


@pytest.mark.parametrize(("old", "error"), [row[:2] for row in ROWS if row[1]], ids=str_of_line)
def test_the_old_line_fails_as_the_page_says(old, error, names):
    kind, message = error.groups()
    exec(BEFORE.get(old, ""), names)
    add_what_takes_time(old, names)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            exec(old, names)
            exec(AFTER.get(old, ""), names)
            raised = None
        except Exception as exception:
            raised = exception
    found = [raised] if raised else [warning.message for warning in warned]
    assert any(type(each).__name__ == kind and message in " ".join(str(each).split()) for each in found), found


# Lines that need another model than the others.
BEFORE = {
    "model.train(input_ids)": "import pytest; torch = pytest.importorskip('torch'); model = torch.nn.Linear(2, 2)",
}
# Lines whose failure shows in a later one.
AFTER = {
    "train_generator = ... # Prepare your training data generator": "model.fit(train_generator)",
    "stopping = keras.callbacks.EarlyStopping(monitor='val_acc')": (
        "model.fit(images, targets, validation_data=(images, targets), epochs=2, callbacks=[stopping], verbose=0)"
    ),
    "x = keras.layers.Lambda(lambda pixels: pixels / 255)(base_model.input)": (
        "keras.Model(base_model.input, x).save('x.keras'); keras.saving.load_model('x.keras')"
    ),
}


def test_rows_without_an_error_have_a_test_here():
    silent = [old for old, error, _ in ROWS if not error]
    assert silent == [
        "base_model = VGG16(weights='imagenet', include_top=False, input_shape=(224, 224, 3))",
        "layer.trainable = False",
        "model.compile(optimizer='adam', loss='categorical_crossentropy', metrics=['accuracy'])",
    ]


def test_no_preprocessing_is_another_input(names):
    base_model = VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    first = base_model.layers[1]
    assert isinstance(first, keras.layers.Conv2D)  # nothing before it changes the pixels
    pixels = names["pixels"]
    expected = pixels[..., ::-1] - np.float32([103.939, 116.779, 123.68])  # blue, green, red, less ImageNet's mean
    assert np.allclose(keras.applications.vgg16.preprocess_input(pixels.copy()), expected, atol=1e-3)
    ours = backbones.load("VGG16", "none", 32).preprocess(keras.ops.convert_to_tensor(pixels))
    assert np.allclose(keras.ops.convert_to_numpy(ours), expected, atol=1e-3)


def test_a_frozen_dropout_still_drops_and_a_late_freeze_is_not_seen(names):
    base_model, model, images = names["base_model"], names["model"], names["images"]
    model.compile("adam", "categorical_crossentropy")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(images, names["targets"], verbose=0)
        for layer in base_model.layers:
            layer.trainable = False
        before = [weight.copy() for weight in base_model.get_weights()]
        model.fit(images, names["targets"], verbose=0)
    assert any((a != b).any() for a, b in zip(before, base_model.get_weights(), strict=True))
    assert (np.array(base_model(images, training=True)) == 0).mean() > 0.3
    freezing.freeze(base_model)
    model.compile("adam", "categorical_crossentropy")
    before = [weight.copy() for weight in base_model.get_weights()]
    model.fit(images, names["targets"], verbose=0)
    assert all((a == b).all() for a, b in zip(before, base_model.get_weights(), strict=True))
    assert np.allclose(base_model(images, training=True), base_model(images, training=False))


def test_adam_by_name_has_the_rate_of_a_new_head(names):
    model = names["model"]
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    settings = partial_unfreezing.Config()
    assert np.isclose(float(model.optimizer.learning_rate), settings.learning_rate)
    assert settings.fine_tuning_rate <= settings.learning_rate / 10


@pytest.mark.parametrize("new", [row[2] for row in ROWS], ids=str_of_line)
def test_the_new_line_works(new, names, stripes, tmp_path):
    add_what_takes_time(new, names, stripes, tmp_path)
    before = dict(names)
    exec(new.replace("weights='imagenet'", "weights=None"), names)  # nothing is downloaded
    made = {name for name in names if name not in before or names[name] is not before[name]} - {"__builtins__"}
    check = CHECKS.get(new.partition("(")[0], "")
    assert made or check  # a line that binds no name must be looked at otherwise
    exec(check, names)


# What shows that a new line did its work.
CHECKS = {
    "train_generator, val_generator, test_generator = splits.generators": (
        "photos, labels = next(iter(train_generator)); assert tuple(labels.shape)[1] == 2"
    ),
    "optimizer = SGD": "assert float(optimizer.learning_rate) > 0",
    "classes = model.predict": "assert classes.shape == (6,)",
    "stopping = keras.callbacks.EarlyStopping": (
        "model.fit(images, targets, validation_data=(images, targets), epochs=2, callbacks=[stopping], verbose=0)"
    ),
    "shape = base_model.layers[1].output.shape": "assert tuple(shape) == (None, None, None, 4)",
    "model.compile": "assert float(model.optimizer.learning_rate) in (np.float32(1e-3), np.float32(1e-5))",
    "model.fit": "assert int(model.optimizer.iterations) > 0",
    "freezing.freeze": "assert not base_model.trainable_weights",
    "model.save": "assert keras.saving.load_model('my_model.keras').count_params() == model.count_params()",
    "x = GlobalAveragePooling3D": "assert x.shape[-1] == base_model.output.shape[-1]",
}
