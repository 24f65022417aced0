import collections
import csv
import os
import pathlib
import subprocess
import sys

import helpers
import numpy as np
import pytest
from PIL import Image

from common import errors
from common.commands import predict
from common.data import sample_list
from common.media import photos
from common.runs import finished_run, saved_model
from common.training import imbalance
from recipes import skin_lesions

COLOURS = {"bkl": (150, 110, 80), "mel": (60, 40, 60), "nv": (140, 80, 50)}
LESIONS = {"bkl": 8, "mel": 8, "nv": 16}


@pytest.fixture
def lesions(tmp_path):
    """A folder as HAM10000's: 32 lesions of three diagnoses, two pictures of each second one, a spot on pink skin."""
    random = np.random.default_rng(0)
    (tmp_path / "lesions" / "images").mkdir(parents=True)
    rows = [["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]]
    for diagnosis, count in LESIONS.items():
        for lesion in range(count):
            colour = np.array(COLOURS[diagnosis]) + random.normal(0, 12, 3)
            for picture in range(1 + lesion % 2):
                pixels = np.array([230, 190, 170]) + random.normal(0, 8, (40, 48, 3))
                y, x = np.indices((40, 48))
                inside = (y - 20) ** 2 + (x - 24) ** 2 < random.uniform(80, 200)
                pixels[inside] = colour + random.normal(0, 8, (inside.sum(), 3))
                name = f"{diagnosis}_{lesion:02d}_{picture}"
                picture = Image.fromarray(pixels.clip(0, 255).astype("uint8"))
                picture.save(tmp_path / "lesions" / "images" / f"{name}.jpg", quality=90)
                facts = ["histo", 5 * (lesion + 1), ["male", "female"][lesion % 2], ["back", "face"][lesion // 4 % 2]]
                rows.append([f"{diagnosis}_{lesion:02d}", name, diagnosis, *facts])
    write_table(tmp_path / "lesions", rows)
    return tmp_path / "lesions"


def write_table(folder, rows):
    with open(folder / "metadata.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def read_table(folder):
    with open(folder / "metadata.csv", newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def settings(lesions, tmp_path, **changes):
    quick = {
        "backbone": "demo", "weights": "demo", "image_size": 32, "epochs": 3, "fine_tuning_epochs": 2, "batch_size": 8,
        "views": 2, "test_time_views": 4,
    }  # fmt: skip
    return skin_lesions.Config(
        **{"data": str(lesions), "out": tmp_path / "runs", "cache": tmp_path / "cache", **quick, **changes}
    )


def predictions_of(result):
    with open(result.directory / "predictions.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.drawn
def test_a_run_splits_by_lesion_and_leaves_a_calibrated_model(lesions, tmp_path):
    result = skin_lesions.run(settings(lesions, tmp_path, learning_rate=1e-2))
    split = sample_list.read_csv(result.directory / "split.csv")
    sides = collections.defaultdict(set)
    for sample in split:
        sides[sample.group].add(sample.split)
    assert len(sides) == 32 and all(len(of_lesion) == 1 for of_lesion in sides.values())
    number = collections.Counter(side for (side,) in sides.values())
    assert number == {"train": 21, "validation": 4, "test": 7}  # 0.15 and 0.2 of 8, 8 and 16, rounded

    found = result.results["clinic"]
    assert result.results["baselines"]["logistic_regression"]["test"]["n"] == result.results["test"]["n"]
    assert found["split"] == "lesion" and "leak" not in found and "imbalance" not in found
    assert [row["stage"] for row in result.results["stages"]] == ["head", "fine_tuning"]
    assert all("validation_balanced_accuracy" in row for row in result.results["stages"])
    rows = predictions_of(result)
    assert {row["lesion"] for row in rows} == {sample.group for sample in split if sample.split == "test"}
    assert {row["site"] for row in rows} <= {"back", "face"} and all(float(row["age"]) >= 5 for row in rows)

    # The saved model answers from raw pixels what stands in predictions.csv, so it holds the temperature.
    saved = saved_model.load_model(result.directory)
    model, names = saved.model, list(saved.class_names)
    assert names == ["bkl", "mel", "nv"]
    pixels = np.stack([photos.read(row["path"]) for row in rows])
    saved = model.predict(pixels, verbose=0)
    written = np.array([[float(row[f"p_{name}"]) for name in names] for row in rows])
    np.testing.assert_allclose(saved, written, atol=2e-4)
    assert found["temperature"] != pytest.approx(1.0, abs=1e-3)
    for name in ("report.html", "model_card.md"):
        assert (result.directory / name).stat().st_size > 1000
    # New pictures are judged as those of the test, also at the threshold.
    target = helpers.check_evaluation_of_its_own_data(result, lesions)["target"]
    for measure in ("sensitivity", "specificity"):
        assert target[measure] == pytest.approx(result.results["clinic"]["target"]["test"][measure], abs=0.1)
        assert target[measure][0] == target["test"][measure][0]
    assert "Sensitivity for mel" in (result.directory / "report.html").read_text(encoding="utf-8")


def test_predict_says_whether_the_target_is_called(lesions, tmp_path, capsys):
    """On a table with patients, who have two lesions each."""
    header, *rows = read_table(lesions)
    write_table(lesions, [[*header, "patient_id"], *([*row, f"{row[2]} {int(row[0][-2:]) // 2}"] for row in rows)])
    result = skin_lesions.run(settings(lesions, tmp_path, fine_tuning_epochs=0, target_class=("mel", "bkl")))
    capsys.readouterr()
    rows = predictions_of(result)
    patients = {sample.group for sample in sample_list.read_csv(result.directory / "split.csv")}
    assert len(patients) == 16 and "patient mel 3" in patients
    tested = set(finished_run.FinishedRun.read(result.directory).test_groups)
    assert tested <= patients and len(tested) < len({row["lesion"] for row in rows})
    assert result.results["test"]["interval_units"] == len(tested)
    assert predict.predict(result.directory, [pathlib.Path(row["path"]) for row in rows], tmp_path / "new.csv") == 0
    said = capsys.readouterr()
    assert "mel or bkl is called if its probability reaches" in said.err and "not a medical device" in said.err
    threshold = result.results["clinic"]["target"]["threshold"]
    for line, row in zip(said.out.splitlines(), rows, strict=True):
        together = float(row["p_mel"]) + float(row["p_bkl"])
        _, _, _, probability, called, *_ = line.split("\t")  # a picture that is unlike the others says so at the end
        assert float(probability) == pytest.approx(together, abs=1e-3)
        assert called == ("called" if together >= threshold else "not called") or abs(together - threshold) < 1e-3
    assert (tmp_path / "new.csv").read_text().splitlines()[0].endswith("p_target_mel or bkl,called,distance,unlike")


def test_the_same_with_and_without_the_cache(lesions, tmp_path):
    changes = {"flip": False, "rotation": 0.0, "zoom": 0.0, "contrast": 0.0, "colour": 0.0}  # views are of the cache
    cached, whole = (
        skin_lesions.run(settings(lesions, tmp_path, no_cache=no_cache, **changes)) for no_cache in (False, True)
    )
    losses = [[row["loss"] for row in finished_run.read_history(result.directory)] for result in (cached, whole)]
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_choices_are_compared_on_validation_pictures(lesions, tmp_path):
    changes = {"compare_imbalance": True, "fine_tuning_epochs": 0, "imbalance": "sampling", "dropout": 0.0}
    result = skin_lesions.run(settings(lesions, tmp_path, **changes))
    compared = result.results["clinic"]["imbalance"]
    assert compared["used"] == "sampling"
    assert [row["choice"] for row in compared["choices"]] == list(imbalance.CHOICES)
    used = next(row for row in compared["choices"] if row["choice"] == "sampling")
    assert used["balanced_accuracy"] == pytest.approx(result.results["validation"]["balanced_accuracy"])
    assert len({row["log_loss"] for row in compared["choices"]}) == len(imbalance.CHOICES)


@pytest.mark.drawn
def test_a_split_by_picture_leaks_and_says_so(lesions, tmp_path, capsys):
    result = skin_lesions.run(settings(lesions, tmp_path, split="random", fine_tuning_epochs=0))
    assert result.results["clinic"]["split"] == "random"
    assert "both sides, so its result is too good" in capsys.readouterr().err
    lesion_of = {path.stem: path.stem[:-2] for path in (lesions / "images").iterdir()}
    sides = collections.defaultdict(set)
    for sample in sample_list.read_csv(result.directory / "split.csv"):
        sides[lesion_of[os.path.basename(sample.path)[:-4]]].add(sample.split)
    assert any(len(of_lesion) > 1 for of_lesion in sides.values())
    assert "leaks" in (result.directory / "report.html").read_text()
    assert all(row["lesion"] for row in predictions_of(result))  # the intervals still know the lesions


@pytest.mark.slow
def test_a_killed_run_goes_on_in_its_stage(lesions, tmp_path, monkeypatch):
    """Killed while it compares treatments, and once more in the fine-tuning."""
    monkeypatch.setattr(imbalance, "CHOICES", ("none", "sampling", "focal"))
    config = settings(lesions, tmp_path, deterministic=True, imbalance="sampling", compare_imbalance=True)
    undisturbed = skin_lesions.run(config)
    interrupted = helpers.killed_after(skin_lesions, "head_focal", 0, config, monkeypatch)
    helpers.killed_after(skin_lesions, "fine_tuning", 0, skin_lesions.Config(resume=interrupted), monkeypatch)
    resumed = skin_lesions.run(skin_lesions.Config(resume=interrupted))
    assert resumed.results["test"] == undisturbed.results["test"]
    assert resumed.results["clinic"] == undisturbed.results["clinic"]


def without_seconds(result):
    found = result.results["clinic"]
    return found | {"leak": {name: value for name, value in found["leak"].items() if name != "seconds"}}


def test_the_leak_is_shown_beside_the_result_and_a_killed_run_goes_on_with_it(lesions, tmp_path, monkeypatch):
    config = settings(lesions, tmp_path, deterministic=True, show_leak=True, fine_tuning_epochs=0)
    undisturbed = skin_lesions.run(config)
    found = undisturbed.results["clinic"]["leak"]
    assert found["lesion"]["balanced_accuracy"] == undisturbed.results["test"]["balanced_accuracy"]
    (leaky,) = (undisturbed.directory / "leak" / "skin_lesions").iterdir()
    assert found["random"]["accuracy"] == finished_run.Result.read(leaky).results["test"]["accuracy"]
    assert found["seen"]["n"] + found["unseen"]["n"] == found["random"]["n"]
    assert found["lesions_on_both_sides"] == pytest.approx(found["seen"]["n"] / found["random"]["n"])
    assert found["seen"]["n"] > 0

    def die(*arguments):
        raise helpers.Killed

    with monkeypatch.context() as patched, pytest.raises(helpers.Killed):
        patched.setattr(skin_lesions.clinic, "leak", die)
        skin_lesions.run(config)
    interrupted = helpers.latest_run(config, skin_lesions)
    resumed = skin_lesions.run(skin_lesions.Config(resume=interrupted))
    assert without_seconds(resumed) == without_seconds(undisturbed)
    assert len(list((interrupted / "leak" / "skin_lesions").iterdir())) == 1  # it was finished, and is not done again


def changed(rows, line, column, value):
    rows = [list(row) for row in rows]
    rows[line - 1][rows[0].index(column)] = value
    return rows


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda rows: [row[1:] for row in rows], "no column 'lesion_id'"),
        (lambda rows: changed(rows, 5, "dx", "melanoma"), "line 5: unknown diagnosis 'melanoma'"),
        (lambda rows: rows[:-1], "no row: metadata.csv does not list it"),
        (lambda rows: [*rows, ["x", "x", "nv", "", "", "", ""]], "no image: there is no file named 'x'"),
        (lambda rows: [*rows, rows[-1]], "is listed in line"),
        (lambda rows: changed(rows, 7, "age", "old"), "line 7: not an age"),
    ],
    ids=["column", "diagnosis", "row", "image", "twice", "age"],
)
def test_a_broken_table_ends_in_one_line(break_it, message, lesions, tmp_path):
    write_table(lesions, break_it(read_table(lesions)))
    with pytest.raises(errors.UserError) as refused:
        skin_lesions.run(settings(lesions, tmp_path))
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_what_does_not_fit_is_left_out_with_skip_bad(lesions, tmp_path):
    rows = changed(changed(read_table(lesions), 5, "dx", "melanoma"), 3, "age", "NaN")
    write_table(lesions, [*rows, ["x", "x", "nv", "", "", "", ""]])
    result = skin_lesions.run(settings(lesions, tmp_path, skip_bad=True, fine_tuning_epochs=0, epochs=1))
    assert result.results["data"]["skipped"] == 2
    listed = (result.directory / "skipped.csv").read_text()
    assert "unknown diagnosis" in listed and "no image" in listed


def test_the_shell_gets_one_line_and_exit_code_2(lesions):
    root = pathlib.Path(skin_lesions.__file__).parents[1]
    write_table(lesions, [row[:2] for row in read_table(lesions)])
    ended = subprocess.run(
        [sys.executable, "recipes/skin_lesions.py", "--data", str(lesions), "--out", str(lesions / "runs")],
        cwd=root, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 2 and ended.stdout == ""
    assert ended.stderr.splitlines()[-1].startswith("error: ") and "no column 'dx'" in ended.stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"target_class": ("melanoma",)},
            "--target-class melanoma: no such diagnosis in the data; choose one or several of bkl, mel, nv",
        ),
        ({"unfreeze_from": "block9"}, "no layer or block"),
        ({"diagnoses": ("nv", "mel")}, "unknown diagnosis 'bkl'"),
    ],
)
def test_settings_that_do_not_fit_the_data(changes, message, lesions, tmp_path):
    with pytest.raises(errors.UserError, match=message):
        skin_lesions.run(settings(lesions, tmp_path, **changes))
    assert not any((tmp_path / "runs").rglob("results.json"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target_sensitivity": 1.5}, "--target-sensitivity must be above 0 and at most 1"),
        ({"target_class": ()}, "--target-class must name"),
        ({"show_leak": True, "split": "random"}, "--show-leak needs --split lesion"),
        ({"warmup_epochs": 10}, "--warmup-epochs must be below"),
        ({"rotation": 360.0}, "--rotation must be from 0 to 180"),
        ({"colour": 5.0}, "--colour must be from 0 to 1"),
    ],
)
def test_settings_that_make_no_sense(changes, message):
    with pytest.raises(errors.UserError, match=message):
        skin_lesions.Config(**changes)


def test_a_split_of_its_own_is_kept_and_not_broken_up(lesions, tmp_path):
    rows = read_table(lesions)
    is_test = {row[0] for row in rows[1:] if int(row[0][-2:]) < 2}
    write_table(lesions, [[*rows[0], "split"]] + [[*row, "test" if row[0] in is_test else "train"] for row in rows[1:]])
    result = skin_lesions.run(settings(lesions, tmp_path, fine_tuning_epochs=0, epochs=1))
    split = sample_list.read_csv(result.directory / "split.csv")
    assert {sample.group for sample in split if sample.split == "test"} == is_test
    assert any(sample.split == "validation" for sample in split)
    with pytest.raises(errors.UserError, match="already contains a split"):
        skin_lesions.run(settings(lesions, tmp_path, split="random"))


def test_the_documented_model():
    base = skin_lesions.backbones.load("VGG16", "none", 32).model
    model = skin_lesions.build_model(base, 7, skin_lesions.Config(dropout=0.0))
    kinds = [type(layer).__name__ for layer in model.layers[len(base.layers) :] if type(layer).__name__ != "Dropout"]
    assert kinds == ["GlobalAveragePooling2D", "Dense", "Dense"]
    assert model.layers[-1].units == 7 and model.count_params() - base.count_params() == 512 * 128 + 128 + 128 * 7 + 7


@pytest.mark.long
def test_a_slice_of_ham10000(real_data, tmp_path):
    """Up to 40 lesions of each of the seven diagnoses: far better than chance, and nothing on two sides."""
    rows = read_table(real_data / "ham10000")
    seen, kept = collections.defaultdict(list), []
    for row in rows[1:]:
        if row[0] in seen[row[2]] or len(seen[row[2]]) < 40:
            seen[row[2]] = list(dict.fromkeys([*seen[row[2]], row[0]]))
            kept.append(row)
    (tmp_path / "ham10000").mkdir()
    (tmp_path / "ham10000" / "images").symlink_to(real_data / "ham10000" / "images")
    write_table(tmp_path / "ham10000", [rows[0], *kept])
    weights = real_data / "keras_home/models/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"
    result = skin_lesions.run(
        settings(
            tmp_path / "ham10000", tmp_path, backbone="MobileNetV2:0.35", weights=str(weights), image_size=96,
            epochs=10, batch_size=32, skip_bad=True,
        )
    )  # fmt: skip
    assert result.results["data"]["skipped"] == 10015 - len(kept)
    assert result.results["test"]["macro_auc"] > 0.75
    assert result.results["clinic"]["lesion_level"]["n"] == 7 * 8
