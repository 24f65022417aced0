"""Exports of small networks: the demo's (VGG16's shape), MobileNetV2's with random weights, and one of clips."""

import importlib.util
import json
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image

from common import errors, outputs
from common.commands import export, predict
from common.data import sample_list, targets
from common.media import clips, film
from common.media import photos as media_photos
from common.models import backbones, raw_input
from common.models import frames as frame_models
from common.runs import exported_model, saved_model

for package in ("onnxruntime", "tf2onnx", "ai_edge_litert"):
    pytest.importorskip(package, reason=f"{package} is not installed: pip install -e '.[export]'")

CLASSES = ["across", "down", "plain"]


def draw(label, random):
    height, width = random.integers(50, 90, 2)
    place = {"across": np.arange(height)[:, None], "down": np.arange(width)[None, :], "plain": np.zeros((1, 1))}[label]
    wave = np.sin(place * random.uniform(0.4, 1.0))[..., None] * np.ones((height, width, 1))
    pixels = 128 + 70 * wave * random.uniform(0.5, 1, 3) + random.normal(0, 20, (height, width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype("uint8"))


def write_photos(folder, count=8):
    """Class folders, two of three photos of each class for training."""
    random, samples = np.random.default_rng(0), []
    for label in CLASSES:
        (folder / label).mkdir(parents=True)
        for number in range(count):
            path = folder / label / f"{number}.png"
            draw(label, random).save(path)
            samples.append(sample_list.Sample(str(path), label, "", "test" if number % 3 == 2 else "train"))
    return samples


def fit_head(model, looks, labels):
    """Gives the last layer weights that tell the classes apart: least squares on what it is given."""
    features = keras.Model(model.input, model.layers[-1].input).predict(looks, verbose=0)
    targets = 4 * np.eye(len(CLASSES))[labels]
    centred = np.c_[features, np.ones(len(features))]
    solution = np.linalg.lstsq(centred.T @ centred + 1e-3 * np.eye(centred.shape[1]), centred.T @ targets, rcond=None)
    model.layers[-1].set_weights([solution[0][:-1], solution[0][-1]])


def write_run(folder, backbone, turns=1):
    """A finished run as far as an export reads it."""
    folder.mkdir()
    samples = write_photos(folder.parent / "photos")
    sample_list.write_csv(folder / "split.csv", samples)
    x = keras.layers.Dropout(0.5)(keras.layers.GlobalAveragePooling2D()(backbone.model.output))
    model = keras.Model(
        backbone.model.input, keras.layers.Dense(len(CLASSES), activation="softmax")(x), name="classifier"
    )
    looks = np.stack([backbone.resize(media_photos.read(sample.path).astype("float32")) for sample in samples])
    fit_head(model, backbone.preprocess(looks), [CLASSES.index(sample.label) for sample in samples])
    from_pixels = raw_input.take_raw_pixels(model, backbone.preprocess, backbone.resize, turns)
    if turns == 1:  # an export does not rely on the model being told that it is not training
        pixels = keras.Input((None, None, 3), name="pixels")
        from_pixels = keras.Model(pixels, model(from_pixels.get_layer("preprocessing")(pixels)))
    saved_model.save_model(folder, saved_model.SavedModel(from_pixels, targets.Classes(CLASSES), media_photos.PHOTOS))
    return folder


@pytest.fixture(scope="module")
def vgg_run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("vgg") / "run", backbones.load("demo", "demo", 48, "crop"))


@pytest.fixture(scope="module")
def exported(vgg_run):
    """The folder with all formats and int8, and the rows of its table."""
    assert export.export(vgg_run, exported_model.FORMATS, int8=True) == 0
    rows = json.loads((vgg_run / "export" / "export.json").read_text())["rows"]
    return vgg_run / "export", {row["name"]: row for row in rows}


def test_all_formats_agree_with_the_keras_model(exported):
    folder, rows = exported
    assert list(rows) == ["keras", "saved_model", "onnx", "onnx int8", "litert", "litert int8"]
    for name in ("keras", "saved_model", "onnx", "litert"):
        assert rows[name]["difference"] < 1e-3 and rows[name]["agreement"] == 1.0
    for name in ("onnx", "litert"):
        small = rows[f"{name} int8"]
        assert 1e-6 < small["difference"] < 0.5 and small["agreement"] >= 0.75
        assert small["bytes"] < rows[name]["bytes"] / 2
    assert {path.name for path in folder.iterdir()} == {
        "export.json", *(rows[name]["file"] for name in rows), *(f"{rows[name]['file']}.json" for name in rows)
    }  # fmt: skip


def test_the_json_is_all_that_another_program_needs(exported, vgg_run, capsys):
    """ONNX Runtime and Pillow alone answer what `predict` does."""
    import onnxruntime

    folder, _ = exported
    told = json.loads((folder / "model.onnx.json").read_text())
    assert told["class_names"] == CLASSES and told["input"]["shape"] == [None, 48, 48, 3]
    assert told["input"]["resize"]["aspect"].startswith("crop")
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    paths = sorted((vgg_run.parent / "photos").rglob("*.png"))
    capsys.readouterr()
    predict.predict(vgg_run, paths)
    said = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    for path, (_, label, probability) in zip(paths, said, strict=True):
        photo = Image.open(path).convert("RGB")
        side, (width, height) = min(photo.size), photo.size
        box = ((width - side) // 2, (height - side) // 2, (width + side) // 2, (height + side) // 2)
        pixels = np.array(photo.resize((48, 48), Image.Resampling.BILINEAR, box=box), "float32")
        answer = session.run(None, {session.get_inputs()[0].name: pixels[None]})[0][0]
        assert CLASSES[answer.argmax()] == label and abs(answer.max() - float(probability)) < 0.05


def test_any_size_means_raw_photos(exported, vgg_run):
    folder, _ = exported
    told = json.loads((folder / "saved_model.json").read_text())
    assert told["input"]["shape"] == [None, None, None, 3] and told["input"]["resize"] is None
    reading = saved_model.Reading.of(saved_model.load_model(vgg_run))
    path = vgg_run.parent / "photos" / "down" / "0.png"
    expected = reading.probabilities([[reading.resized(media_photos.read(path))]])
    answer = exported_model.load(exported_model.Variant("saved_model"), folder / "saved_model")(
        media_photos.read(path)[None].astype("float32")
    )
    assert np.allclose(answer, expected, atol=1e-5)


def test_neither_labels_nor_test_photos_are_used_for_more_than_the_comparison(vgg_run, exported, tmp_path):
    """With the labels turned round the numbers are the same; int8 is calibrated on training photos."""
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(vgg_run / "model.keras", run)
    samples = sample_list.read_csv(vgg_run / "split.csv")
    other = {"across": "down", "down": "plain", "plain": "across"}
    sample_list.write_csv(
        run / "split.csv", [sample_list.Sample(s.path, other[s.label], s.group, s.split) for s in samples]
    )
    assert export.export(run, ["keras"]) == 0
    (row,) = json.loads((run / "export" / "export.json").read_text())["rows"]
    assert row["agreement"] == 1.0 and row["difference"] == exported[1]["keras"]["difference"]
    found = export._photos(vgg_run, None, exported_model.Pictures.of(vgg_run), int8=True)
    sides = {sample.path: sample.split for sample in samples}
    assert {sides[str(path)] for path in found.calibration} == {"train"}
    assert {sides[str(path)] for path in found.compared} == {"test"}


def test_the_turns_of_a_mobilenet_stay(tmp_path):
    """As skin_lesions saves it: the mean over eight orientations is inside."""
    keras.utils.set_random_seed(0)
    backbone = backbones.load("MobileNetV2:0.35", "none", 64, last_layer="block_5_add")
    for layer in backbone.model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    # Random weights need statistics of their own, or nothing is left behind fifteen layers.
    backbone.model(np.random.default_rng(0).uniform(-1, 1, (8, 64, 64, 3)), training=True)
    run = write_run(tmp_path / "run", backbone, turns=8)
    assert export.export(run, ["onnx", "litert"], out=tmp_path / "out") == 0
    rows = json.loads((tmp_path / "out" / "export.json").read_text())["rows"]
    assert all(row["difference"] < 1e-3 and row["agreement"] == 1.0 for row in rows)
    photos = [media_photos.read(path)[None, :64, :64].astype("float32") for path in tmp_path.glob("photos/*/1.png")]
    photos = [photo for photo in photos if photo.shape == (1, 64, 64, 3)]
    for name in ("onnx", "litert"):
        variant = exported_model.Variant(name)
        ask = exported_model.load(variant, tmp_path / "out" / variant.file)
        answers = np.concatenate([ask(photo) for photo in photos])
        assert np.ptp(answers, axis=0).max() > 0.1
        assert np.allclose(answers, [ask(np.rot90(photo, axes=(1, 2)).copy())[0] for photo in photos], atol=1e-5)


def test_a_half_precise_network_is_exported_in_float32(tmp_path, capsys):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        run = write_run(tmp_path / "run", backbones.load("demo", "demo", 32))
    finally:
        keras.config.set_dtype_policy("float32")
    assert export.export(run, ["onnx"]) == 0
    assert "the run computes in float16, onnx and litert in float32" in capsys.readouterr().err
    (row,) = json.loads((run / "export" / "export.json").read_text())["rows"]
    assert 1e-6 < row["difference"] < 1e-2


@pytest.mark.parametrize("sampling", ["whole", "window"])
def test_clips(tmp_path, sampling):
    looking = clips.Clips(frames=3, sampling=sampling, stride=2, windows=2)
    random, samples = np.random.default_rng(0), []
    for label in ("brighter", "darker"):
        for number in range(3):
            ramp = np.linspace(40, 200, 11)[:: 1 if label == "brighter" else -1].reshape(-1, 1, 1, 1)
            frames = (ramp + random.uniform(0, 55, (11, 40, 48, 3))).astype("uint8")
            path = tmp_path / f"{label}_{number}.avi"
            film.write(path, frames, lossless=True)
            samples.append(sample_list.Sample(str(path), label, "", "test" if number else "train"))
    frames = keras.Input((3, 16, 16, 3))
    maps = keras.layers.Identity(name="each_frame")(keras.ops.mean(frames, axis=(2, 3), keepdims=True))
    rise = (maps[:, -1] - maps[:, 0])[:, 0, 0]
    answer = keras.layers.Dense(2, activation="softmax", kernel_initializer="ones")(rise)
    classifier = keras.Model(frames, answer, name="classifier")
    classifier.layers[-1].set_weights([np.array([[2.0, -2.0]] * 3), np.zeros(2)])
    resize = raw_input.resizing(16, "squash")
    model = frame_models.take_raw_clips(classifier, lambda x: x / 127.5 - 1, resize, looking)
    run = tmp_path / "run"
    run.mkdir()
    saved_model.save_model(run, saved_model.SavedModel(model, targets.Classes(["brighter", "darker"]), looking))
    sample_list.write_csv(run / "split.csv", samples)
    formats = ["keras", "saved_model", "onnx", "litert"] if sampling == "window" else ["saved_model", "onnx"]
    assert export.export(run, formats) == 0
    rows = json.loads((run / "export" / "export.json").read_text())["rows"]
    assert [row["name"] for row in rows] == formats
    assert all(row["difference"] < 1e-5 and row["agreement"] == 1.0 for row in rows)
    told = json.loads((run / "export" / "model.onnx.json").read_text())
    assert told["input"]["shape"] == [None, 3, 16, 16, 3] and told["frames"]["sampling"] == sampling


def test_moved_photos_are_said_and_found(vgg_run, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(vgg_run.parent / "photos", moved)
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(vgg_run / "model.keras", run)
    samples = sample_list.read_csv(vgg_run / "split.csv")
    sample_list.write_csv(
        run / "split.csv",
        [sample_list.Sample(s.path.replace("/photos/", "/gone/"), s.label, "", s.split) for s in samples],
    )
    with pytest.raises(errors.UserError, match="6 of 6 test photos are not where split.csv says.*--photos DIR"):
        export.export(run, ["keras"])
    with pytest.raises(errors.UserError, match="not in --photos"):
        export.export(run, ["keras"], photos=tmp_path)
    assert not (run / "export").exists()
    assert export.export(run, ["keras"], photos=moved) == 0


def test_mistakes_are_one_line(vgg_run, tmp_path, monkeypatch):
    for formats, settings, message in (
        (["saved_model"], {"int8": True}, "only onnx and litert support it, not saved_model"),
        ([], {}, "give one or more of keras, saved_model, onnx, litert"),
    ):
        with pytest.raises(errors.UserError, match=message):
            export.export(vgg_run, formats, out=tmp_path, **settings)
    with pytest.raises(errors.UserError, match="has no model.keras"):
        export.export(tmp_path, ["onnx"])
    with pytest.raises(errors.UserError, match="give a run's directory"):
        export.export(vgg_run / "model.keras", ["onnx"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        errors.UserError, match=r"--format litert needs ai_edge_litert: pip install 'keras-recipes\[export\]'"
    ):
        export.export(vgg_run, ["litert"])


def test_what_does_not_agree_is_said(vgg_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(export, "TOLERANCES", {"float32": -1.0})
    assert export.export(vgg_run, ["keras"], out=tmp_path) == 2
    assert "do not use keras: a probability differs by more than" in capsys.readouterr().err


def test_what_cannot_be_converted_is_one_line_and_the_others_go_on(tmp_path, capsys):
    """LiteRT has no operation for the inverse of the error function."""
    (tmp_path / "run").mkdir()
    samples = write_photos(tmp_path / "photos", 3)
    sample_list.write_csv(tmp_path / "run" / "split.csv", samples)
    pixels = keras.Input((8, 8, 3))
    odd = keras.ops.mean(keras.ops.erfinv(pixels / 300), axis=(1, 2))
    classifier = keras.Model(pixels, keras.layers.Dense(3, activation="softmax")(odd), name="classifier")
    model = raw_input.take_raw_pixels(classifier, lambda x: x / 2, raw_input.resizing(8, "squash"))
    saved_model.save_model(
        tmp_path / "run", saved_model.SavedModel(model, targets.Classes(CLASSES), media_photos.PHOTOS)
    )
    assert export.export(tmp_path / "run", ["keras", "litert"]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "cannot represent this network" in line]
    assert len(lines) == 1 and lines[0] == "--format litert cannot represent this network: the format has no Erfinv"
    rows = json.loads((tmp_path / "run" / "export" / "export.json").read_text())["rows"]
    assert [row["name"] for row in rows] == ["keras"]
    assert not [path for path in (tmp_path / "run" / "export").iterdir() if path.name.startswith(".")]


def test_a_second_export_takes_the_place_of_the_first(vgg_run, tmp_path):
    for _ in range(2):
        assert export.export(vgg_run, ["saved_model"], out=tmp_path) == 0
        assert not (tmp_path / "saved_model" / "old").exists()
        (tmp_path / "saved_model" / "old").write_text("of the first")
    assert (tmp_path / "saved_model" / "saved_model.pb").is_file()


def test_what_is_not_an_export_of_the_run_stays(vgg_run, tmp_path):
    (tmp_path / "model.keras").write_text("mine")
    with pytest.raises(errors.UserError, match=r"model\.keras exists and was not exported"):
        export.export(vgg_run, ["keras"], out=tmp_path)
    assert (tmp_path / "model.keras").read_text() == "mine"
    with pytest.raises(errors.UserError, match="cannot create this folder"):
        export.export(vgg_run, ["keras"], out=tmp_path / "model.keras")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "export.json").write_text('{"run": "feature_extraction/another"}')
    with pytest.raises(errors.UserError, match="exports of another run"):
        export.export(vgg_run, ["keras"], out=tmp_path / "other")


def test_the_threshold_of_a_target_is_not_that_of_int8(vgg_run):
    model, target = exported_model.Pictures.of(vgg_run), {"classes": [CLASSES[0]], "threshold": 0.2}
    for int8 in (False, True):
        told = export.describe(exported_model.Variant("onnx", int8), model, target)
        assert ("target" in told) != int8


def test_a_refused_export_leaves_no_folder(vgg_run, tmp_path):
    code = "import pathlib, sys; from common import outputs; held = outputs.lock(pathlib.Path(sys.argv[1])); input()"
    other = subprocess.Popen([sys.executable, "-c", code, vgg_run], stdin=subprocess.PIPE, text=True)
    while not (vgg_run / outputs.LOCK).exists() or not (vgg_run / outputs.LOCK).read_text():
        assert other.poll() is None
    with pytest.raises(errors.UserError, match="another process writes there"):
        export.export(vgg_run, ["keras"], out=tmp_path / "new" / "deep")
    assert not (tmp_path / "new").exists()
    other.communicate("\n")
