import csv
import json
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import helpers
import keras
import numpy as np
import pytest
from PIL import Image, ImageOps

from common import errors, flags
from common.commands import predict
from common.data import sample_list
from common.models import freezing
from common.report import classes
from common.runs import finished_run, saved_model, speed
from recipes import feature_extraction

ROOT = pathlib.Path(__file__).parents[2]


def settings(photos, tmp_path, **changes):
    quick = {
        "backbone": "demo",
        "weights": "demo",
        "image_size": 32,
        "head": "flatten",
        "epochs": 3,
        "batch_size": 8,
        "validation_fraction": 0.2,
        "test_fraction": 0.2,
    }
    return feature_extraction.Config(
        **{"data": str(photos), "out": tmp_path / "runs", "cache": tmp_path / "cache", **quick, **changes}
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run on striped photos; tests that only look share it."""
    folder = tmp_path_factory.mktemp("finished")
    random = np.random.default_rng(0)
    for label, axis in (("across", 0), ("down", 1)):
        (folder / "photos" / label).mkdir(parents=True)
        for number in range(15):
            size = random.integers(40, 80, 2)
            wave = np.sin(np.indices(size)[axis] * random.uniform(0.5, 1))[..., None] * [1, 0.8, 0.6]
            pixels = (128 + 70 * wave + random.normal(0, 15, (*size, 3))).clip(0, 255).astype("uint8")
            Image.fromarray(pixels).save(folder / "photos" / label / f"{number}.jpg")
    return feature_extraction.run(settings(folder / "photos", folder, epochs=15))


def test_the_run_directory_is_complete(finished):
    present = {path.name for path in finished.directory.iterdir()}
    assert {"config.json", "split.csv", "history.csv", "results.json", "model.keras", "predictions.csv", "figures",
            "report.html", ".run.lock", "duplicates.csv", "familiar.npz"} == present  # fmt: skip
    results = json.loads((finished.directory / "results.json").read_text())
    assert results == finished.results
    assert set(results) == {"recipe", "seed", "strategy", "medium", "evaluation", "sections", "data", "train",
                            "validation", "test", "baselines", "shortcuts", "unlike", "cost", "versions"}  # fmt: skip
    assert (results["medium"], results["evaluation"], results["sections"]) == ("photos", "classification", ["classes"])
    assert results["data"]["class_names"] == ["across", "down"] and results["data"]["train"] == 18
    assert results["cost"]["trainable_parameters"] < results["cost"]["total_parameters"]
    resolved = json.loads((finished.directory / "config.json").read_text())["config"]
    assert (resolved["backbone"], resolved["weights"], resolved["image_size"]) == ("demo", "demo", 32)


def test_an_answer_of_the_saved_model_takes_milliseconds(finished):
    assert 0 < finished.results["cost"]["answer_milliseconds"] < 60_000
    assert "One answer of the saved model" in (finished.directory / "report.html").read_text()


def test_a_run_has_a_price_and_an_energy_and_survives_a_model_that_cannot_be_measured(
    stripes, tmp_path, monkeypatch, capsys
):
    pytest.importorskip("codecarbon", reason="the extra `energy` is not installed")
    monkeypatch.setattr(speed, "of_answer", lambda model, looks: 1 / 0)
    config = settings(stripes, tmp_path, epochs=1, no_baselines=True, price_per_hour=3600.0, energy=True)
    cost = feature_extraction.run(config).results["cost"]
    assert cost["price"] == pytest.approx(cost["seconds"]) and 0 < cost["energy_kwh"] < 1
    told = capsys.readouterr()
    assert "answer_milliseconds" not in cost and " for the machine)" in told.out
    assert "speed of the model: not measured (ZeroDivisionError: division by zero)\n" in told.err


def test_it_learns_which_way_the_stripes_go(finished):
    assert finished.results["test"]["accuracy"] == 1.0


def test_what_is_unlike_the_stripes_is_marked(finished, tmp_path, capsys):
    known = [row["path"] for row in sample_rows(finished) if row["split"] == "train"]
    Image.fromarray(np.full((60, 60, 3), (250, 20, 120), "uint8")).save(tmp_path / "pink.png")
    names = [*map(pathlib.Path, known), tmp_path / "pink.png"]
    assert predict.predict(finished.directory, names, tmp_path / "answers.csv") == 0
    printed, told = capsys.readouterr()
    assert [line.endswith("\tunlike") for line in printed.splitlines()] == [False] * len(known) + [True]
    assert "unlike: 1 of 19 photos are unlike all that the run was trained on" in told
    with open(tmp_path / "answers.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["unlike"] for row in rows] == ["no"] * len(known) + ["yes"]
    assert max(float(row["distance"]) for row in rows[:-1]) < 0.001 < float(rows[-1]["distance"])


def test_a_run_of_an_older_version_cannot_tell_and_says_so_once(finished, tmp_path, capsys):
    shutil.copy(finished.directory / "model.keras", tmp_path)
    names = [pathlib.Path(row["path"]) for row in sample_rows(finished)[:3]]
    assert predict.predict(tmp_path / "model.keras", names, tmp_path / "answers.csv") == 0
    assert capsys.readouterr().err.count("has no familiar.npz") == 1
    assert "unlike" not in (tmp_path / "answers.csv").read_text()


def sample_rows(finished):
    with open(finished.directory / "split.csv", newline="") as file:
        return list(csv.DictReader(file))


def read_photos_as_anyone_would(paths):
    return [np.array(ImageOps.exif_transpose(Image.open(path)).convert("RGB")) for path in paths]


def test_the_saved_model_says_what_the_evaluation_said(finished):
    """In a fresh process, with Keras and Pillow alone, photo by photo, on uint8 pixels of any size."""
    code = """
import csv, json, sys, zipfile, keras, numpy as np
from PIL import Image
model = keras.saving.load_model(sys.argv[1] + "/model.keras", safe_mode=True)
names = json.loads(zipfile.ZipFile(sys.argv[1] + "/model.keras").read("targets.json"))["class_names"]
rows = list(csv.DictReader(open(sys.argv[1] + "/predictions.csv")))
right = 0
for row in rows:
    pixels = np.array(Image.open(row["path"]).convert("RGB"))
    probabilities = model.predict(pixels[None], verbose=0)[0]
    assert pixels.dtype == "uint8" and names[probabilities.argmax()] == row["predicted"]
    assert np.allclose(probabilities, [float(row["p_" + name]) for name in names], atol=1e-4)
    right += row["label"] == row["predicted"]
print(right / len(rows))
"""
    ended = subprocess.run(
        [sys.executable, "-c", code, str(finished.directory)], capture_output=True, text=True, cwd="/",
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert float(ended.stdout) == finished.results["test"]["accuracy"]


def test_the_summary_shows_what_was_stored(finished):
    text = classes.summary(finished)
    assert f"{finished.results['test']['accuracy']:.3f}" in text and "report.html" in text


def test_no_lambda_and_the_class_names_are_inside(finished):
    saved = saved_model.load_model(finished.directory)
    model, names = saved.model, list(saved.class_names)
    assert names == ["across", "down"]
    assert "Lambda" not in zipfile.ZipFile(finished.directory / "model.keras").read("config.json").decode()
    assert model.input_shape == (None, None, None, 3)


def test_predict_goes_on_after_what_is_not_a_photo(finished, tmp_path, capsys):
    rows = list(csv.DictReader(open(finished.directory / "predictions.csv")))
    (tmp_path / "notes.jpg").write_text("not a photo")
    photos = [pathlib.Path(row["path"]) for row in rows]
    code = predict.predict(finished.directory, [photos[0], tmp_path / "notes.jpg", *photos[1:]], tmp_path / "out.csv")
    printed = capsys.readouterr()
    assert code == 2 and len([line for line in printed.err.splitlines() if "notes.jpg" in line]) == 1
    assert [line.split("\t")[1] for line in printed.out.splitlines()] == [row["predicted"] for row in rows]
    written = list(csv.DictReader(open(tmp_path / "out.csv")))
    assert [row["label"] for row in written] == [row["predicted"] for row in rows]
    assert abs(float(written[0]["p_down"]) - float(rows[0]["p_down"])) < 1e-4


@pytest.mark.drawn
def test_evaluate_on_its_own_data_judges_by_the_test_photos_alone(finished):
    helpers.check_evaluation_of_its_own_data(finished, pathlib.Path(finished.results["data"]["source"]))


def test_predict_answers_for_names_of_any_letters_and_refuses_what_it_cannot_do(finished, tmp_path, capsys):
    name = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Image.new("RGB", (64, 64)).save(os.fsdecode(name))
    assert predict.command(finished.directory, (pathlib.Path(os.fsdecode(name)),), tmp_path / "new.csv") == 0
    assert "caf\\udce9.png\t" in capsys.readouterr().out and b"caf\xe9.png" in (tmp_path / "new.csv").read_bytes()
    for settings, message in (({"batch_size": 0}, "--batch-size"), ({"csv": tmp_path}, "a folder"),
                              ({"csv": tmp_path / "nowhere" / "a.csv"}, "no such folder")):  # fmt: skip
        with pytest.raises(errors.UserError, match=message):
            predict.command(finished.directory, (tmp_path,), **settings)


def test_predict_refuses_what_is_not_a_run(tmp_path):
    with pytest.raises(errors.UserError, match="no model.keras"):
        predict.predict(tmp_path, [tmp_path / "photo.jpg"])


@pytest.mark.parametrize(
    ("head", "classes", "trainable"), [("flatten", 5, 6_424_069), ("gap", 5, 512 * 5 + 5), ("gap", 3, 512 * 3 + 3)]
)
def test_the_documentation_model_layer_by_layer(head, classes, trainable):
    """VGG16, include_top=False, at 224: 14,714,688 frozen parameters under the articles' two heads."""
    base = keras.applications.VGG16(include_top=False, weights=None, input_shape=(224, 224, 3))
    freezing.freeze(base)  # as `run` does
    model = feature_extraction.build_model(base, classes, feature_extraction.Config(head=head, dropout=0))
    heads = {"flatten": ["Flatten", "Dense", "Dense"], "gap": ["GlobalAveragePooling2D", "Dense"]}
    dropouts = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert not any(layer.rate for layer in dropouts)  # with a rate of 0 they do nothing
    assert [type(layer).__name__ for layer in model.layers[19:] if layer not in dropouts] == heads[head]
    assert [layer.name for layer in model.layers[:19]] == [layer.name for layer in base.layers]
    assert not any(layer.trainable for layer in model.layers[:19])
    assert all(layer.trainable for layer in model.layers[19:])
    assert sum(int(np.prod(weight.shape)) for weight in model.non_trainable_weights) == 14_714_688
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == trainable
    assert model.layers[-1].activation is keras.activations.softmax


def test_pooled_features_are_dropped_out_by_default_and_flattened_ones_are_not():
    base = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    for head, dropouts in (("gap", [0.3]), ("flatten", [0.0, 0.0])):
        model = feature_extraction.build_model(base, 4, feature_extraction.Config(head=head))
        assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == dropouts


def test_every_setting_of_the_head_reaches_the_model():
    base = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    config = feature_extraction.Config(head="gap", hidden_units=7, dropout=0.3, l2=0.01)
    head = feature_extraction.build_model(base, 4, config).layers[19:]
    assert [type(layer).__name__ for layer in head] == [
        "GlobalAveragePooling2D",
        "Dropout",
        "Dense",
        "Dropout",
        "Dense",
    ]
    assert head[1].rate == 0.3 and head[2].units == 7
    assert float(head[2].kernel_regularizer(np.ones((2, 2)))) == pytest.approx(0.04)


def test_the_softmax_is_float32_under_mixed_precision(stripes, tmp_path):
    result = feature_extraction.run(settings(stripes, tmp_path, precision="mixed_bfloat16", epochs=1))
    keras.config.set_dtype_policy("float32")
    model = saved_model.load_model(result.directory).model
    classifier = model.get_layer("classifier")
    assert classifier.get_layer("probabilities").compute_dtype == "float32"
    assert classifier.get_layer("block5_conv1").compute_dtype == "bfloat16"


def metrics_and_weights(result):
    model = saved_model.load_model(result.directory).model
    kept = {split: result.results[split] for split in ("validation", "test")}
    return kept, model.get_weights()


OPTIONS = {"dropout": 0.3, "hidden_units": 16, "flip": True, "rotation": 10.0, "deterministic": True, "epochs": 4}


@pytest.fixture(scope="module")
def undisturbed(module_stripes, tmp_path_factory):
    with helpers.without_report():
        return feature_extraction.run(settings(module_stripes, tmp_path_factory.mktemp("undisturbed"), **OPTIONS))


def test_deterministic_runs_agree_bit_for_bit_and_another_seed_does_not(undisturbed, module_stripes, tmp_path):
    first, weights = metrics_and_weights(undisturbed)
    (second, weights_again), (_, other) = (
        metrics_and_weights(feature_extraction.run(settings(module_stripes, tmp_path, **OPTIONS, seed=seed)))
        for seed in (0, 1)
    )
    assert first == second
    assert all(np.array_equal(a, b) for a, b in zip(weights, weights_again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(weights, other, strict=True))


def test_l1_mixup_and_label_smoothing_are_in_the_loss_that_trains_and_not_in_validation(stripes, tmp_path):
    losses = []
    for changes in ({}, {"l1": 1e-2, "label_smoothing": 0.2, "mixup": 0.4}):
        config = settings(stripes, tmp_path, epochs=2, dropout=0.0, head="gap", no_baselines=True, **changes)
        losses.append(finished_run.read_history(feature_extraction.run(config).directory)[0])
    plain, changed = losses
    assert changed["loss"] > plain["loss"] + 0.02  # the penalty, and targets that no answer can meet
    assert changed["val_loss"] > changed["val_categorical_crossentropy"] + 0.02
    assert plain["val_loss"] == pytest.approx(plain["val_categorical_crossentropy"], abs=1e-5)


def test_a_killed_run_goes_on_as_if_nothing_had_happened(undisturbed, module_stripes, tmp_path, monkeypatch):
    config = settings(module_stripes, tmp_path, **OPTIONS)
    for epoch in (0, 3):
        interrupted = helpers.killed_after(feature_extraction, "head", epoch, config, monkeypatch)
        assert not (interrupted / "results.json").exists()
        resumed = feature_extraction.run(feature_extraction.Config(resume=interrupted))
        for a, b in zip(metrics_and_weights(undisturbed)[1], metrics_and_weights(resumed)[1], strict=True):
            assert np.array_equal(a, b)
        assert resumed.results["test"] == undisturbed.results["test"]
        histories = [finished_run.read_history(result.directory) for result in (undisturbed, resumed)]
        losses = [[row["loss"] for row in history] for history in histories]
        assert losses[0] == losses[1] and len(losses[0]) == 4


def test_resume_refuses_a_finished_run_and_what_is_no_run(finished, tmp_path):
    with pytest.raises(errors.UserError, match="finished"):
        feature_extraction.run(feature_extraction.Config(resume=finished.directory))
    with pytest.raises(errors.UserError, match="not a run directory"):
        feature_extraction.run(feature_extraction.Config(resume=tmp_path))


def test_resume_refuses_other_settings(finished, tmp_path):
    shutil.copy(finished.directory / "config.json", tmp_path)
    with pytest.raises(errors.UserError, match="remove --learning-rate, --seed|remove --seed, --learning-rate"):
        feature_extraction.run(feature_extraction.Config(resume=tmp_path, learning_rate=0.1, seed=5))


def test_the_best_epoch_is_kept_and_patience_ends_the_training(stripes, tmp_path):
    result = feature_extraction.run(settings(stripes, tmp_path, epochs=40, learning_rate=0.3, patience=2))
    history = finished_run.read_history(result.directory)
    best = min(history, key=lambda row: row["val_loss"])
    assert len(history) == best["epoch"] + 1 + 2
    assert result.results["validation"]["log_loss"] == pytest.approx(best["val_loss"], rel=1e-3, abs=1e-6)


def test_a_loss_that_is_not_finite_stops_the_run(stripes, tmp_path):
    with pytest.raises(errors.UserError, match="lower --learning-rate"):
        feature_extraction.run(settings(stripes, tmp_path, l2=3e38))


def test_class_weights_lift_the_rare_class(stripes, tmp_path):
    for path in sorted((stripes / "down").iterdir())[5:]:
        path.unlink()
    means = {}
    for weighted in (False, True):
        result = feature_extraction.run(
            settings(stripes, tmp_path, weights="none", class_weights=weighted, learning_rate=1e-2, epochs=2)
        )
        rows = list(csv.DictReader(open(result.directory / "predictions.csv")))
        means[weighted] = np.mean([float(row["p_down"]) for row in rows])
    assert means[True] > means[False]


def shell(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, errors="surrogateescape",
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    )  # fmt: skip


def test_from_the_shell_the_last_line_is_the_run_directory(stripes, tmp_path):
    """Also in a terminal of ASCII, with a class that is not UTF-8 and settings of other projects."""
    down = (stripes / "down").rename(stripes / os.fsdecode(b"d\xe9wn"))
    others = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "KERAS_BACKEND": "torch", "TMPDIR": "/nowhere",
              "MPLBACKEND": "module://matplotlib_inline.backend_inline"}  # fmt: skip
    ended = shell("recipes/feature_extraction.py", "--data", stripes, "--backbone", "demo", "--weights", "demo",
                  "--image-size", 32, "--epochs", 1,
                  "--out", tmp_path / "runs", "--cache", tmp_path / "cache", **others)  # fmt: skip
    assert ended.returncode == 0 and "failed" not in ended.stderr, ended.stderr[-2000:]
    assert "KERAS_BACKEND=torch is not used" in ended.stderr
    directory = pathlib.Path(ended.stdout.splitlines()[-1])
    assert (directory / "report.html").is_file()
    assert "Warning" not in ended.stderr and "oneDNN" not in ended.stderr and "E0000" not in ended.stderr
    assert shell("-m", "recipes", "predict", directory, down).returncode == 0
    refused = shell("-m", "recipes", "predict", directory, "nowhere.jpg", down / "01.jpg")
    assert refused.returncode == 2 and "nowhere.jpg: missing" in refused.stderr
    assert len(refused.stdout.splitlines()) == 1 and "01.jpg" in refused.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "no such file or folder"),
        (["--head", "gop"], "flatten"),
        (["--backbone", "VGG61"], "did you mean VGG1"),
        (["--data", "tfds:tf_flowers"], "no network"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, message, tmp_path):
    ended = shell("recipes/feature_extraction.py", *arguments, "--out", tmp_path, TFDS_DATA_DIR=str(tmp_path),
                  http_proxy="", https_proxy="")  # fmt: skip
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("device:")]
    assert ended.returncode == 2 and message in lines[-1]
    assert "Traceback" not in ended.stderr and len(lines) == 1
    assert not list(tmp_path.glob("feature_extraction/*"))  # no empty run directories


def test_real_photos(real_data, tmp_path):
    """MobileNetV2:0.35 on 560 flowers: ten seeds had 0.842 to 0.892, seed 0 had 0.850 of 120 test photos."""
    result = feature_extraction.run(
        feature_extraction.Config(
            data=str(real_data / "flowers"),
            backbone="MobileNetV2:0.35",
            weights="imagenet",
            head="gap",
            out=tmp_path / "runs",
            cache=tmp_path / "cache",
        )
    )
    assert result.results["test"]["accuracy"] > 0.85 - 3 * (0.85 * 0.15 / 120) ** 0.5


def test_config_of_an_old_run_with_unknown_settings_is_refused(finished, tmp_path):
    with pytest.raises(errors.UserError, match="another version"):
        flags.from_dict(feature_extraction.Config, {"heads": "gap"})
    assert sample_list.read_csv(finished.directory / "split.csv")
