import contextlib
import csv
import io
import json
import os
import pathlib
import subprocess
import sys

import helpers
import keras
import numpy as np
import pytest
from sklearn import linear_model
from sklearn import preprocessing as preprocessing_of

from common import errors, flags
from common.commands import predict
from common.data import clip_groups, sample_list
from common.media import clips, film
from common.runs import finished_run, saved_model
from recipes import video_actions

REAL = os.environ.get("REAL_DATA")
LEVELS = (170, 250), (30, 90)  # of the colours of a spot and of the ground


def write_spots(folder, group, label, number, place, size, random):
    """A clip of a spot on noise, whose middle is at `place` (frames,) in pixels from the left."""
    height, width = size
    y, x = np.indices(size)
    inside = (x - np.asarray(place)[:, None, None]) ** 2 + (y - height / 2) ** 2 < random.uniform(50, 90)
    spot, back = (np.random.default_rng([group, level]).uniform(*limits, 3) for level, limits in enumerate(LEVELS))
    frames = np.where(inside[..., None], spot, back) + random.normal(0, 4, (len(place), height, width, 3))
    path = folder / label / f"v_{label}_g{group:02d}_c{number:02d}.mkv"
    path.parent.mkdir(exist_ok=True)
    film.write(path, frames.clip(0, 255).astype("uint8"), lossless=True)


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """Spots that move to the left or to the right, and one that stays: 3 x 16 clips of 8 groups."""
    folder = tmp_path_factory.mktemp("moving")
    for group in range(8):
        random = np.random.default_rng(group)
        for label, step in (("left", -1), ("right", 1), ("stays", 0)):
            for number in range(2):  # the six middles of 18 frames lie alike from both ends
                place = 24 + np.linspace(-1, 1, 18) * step * 14
                write_spots(folder, group, label, number, place, (36 + 4 * number, 48), random)
    return folder


def settings(moving, tmp_path, **changes):
    quick = {
        "backbone": "demo", "weights": "demo", "image_size": 32, "epochs": 20, "batch_size": 8, "views": 2, "frames": 6,
        "group_pattern": r"_(g\d+)_", "flip": False, "learning_rate": 3e-3,
    }  # fmt: skip
    return video_actions.Config(
        **{"data": str(moving), "out": tmp_path / "runs", "cache": tmp_path / "cache", **quick, **changes}
    )


def predictions_of(result):
    with open(result.directory / "predictions.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def probabilities_of(rows, names):
    return np.array([[float(row[f"p_{name}"]) for name in names] for row in rows])


@pytest.fixture(scope="module")
def fitted(moving, tmp_path_factory):
    """temporal → a run with its report, of frames and of differences."""
    folder = tmp_path_factory.mktemp("fitted")
    return {
        temporal: video_actions.run(
            settings(moving, folder, epochs=50, temporal=temporal, time_pairs=("left", "right"))
        )
        for temporal in ("frames", "difference")
    }  # fmt: skip


def test_differences_tell_the_direction_that_frames_cannot_tell(fitted):
    pairs = {}
    for temporal, result in fitted.items():
        time = result.results["clips"]["time"]
        pairs[temporal] = time["pairs"][0]["accuracy"]
        backwards = time["order"]["reversed"]
        assert (backwards["changed"] > 0.3) == (temporal == "difference")
        assert temporal == "difference" or backwards["difference"] < 1e-4
        assert result.results["strategy"] == f"{temporal}, head" and "kept_stage" not in result.results
        baseline = result.results["baselines"]["logistic_regression"]["test"]
        assert baseline["n"] == result.results["test"]["n"] and baseline["accuracy"] > 0.2
    assert pairs["difference"] >= 0.875 and pairs["frames"] <= 0.625  # of 8 clips


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    """Spots on the left or on the right side, which do not move: 2 x 16 clips of 8 groups."""
    folder = tmp_path_factory.mktemp("sides")
    for group in range(8):
        random = np.random.default_rng(group)
        for label, middle in (("left", 12), ("right", 36)):
            for number in range(2):
                write_spots(folder, group, label, number, [middle] * 6, (44 + 4 * number, 48), random)
    return folder


def ridge_settings(sides, tmp_path, **changes):
    """Settings of a short run with the default head, on maps of 2 x 2 places."""
    quick = {"image_size": 64, "frames": 4, "views": 1, "zoom": 0.0, "contrast": 0.0, "temporal": "frames"}
    own = {"backbone": "demo", "weights": "demo", "group_pattern": r"_(g\d+)_", "batch_size": 8}
    return video_actions.Config(
        **{"data": str(sides), "out": tmp_path / "runs", "cache": tmp_path / "cache", **own, **quick, **changes}
    )


@pytest.fixture(scope="module")
def grids(sides, tmp_path_factory):
    """Cells in each direction → a run with ridge regression, and what it prints; two are the default."""
    folder, found = tmp_path_factory.mktemp("grids"), {}
    for grid, changes in ((1, {"pool_grid": 1}), (2, {})):
        with helpers.without_report(), contextlib.redirect_stdout(io.StringIO()) as printed:
            found[grid] = video_actions.run(ridge_settings(sides, folder, **changes)), printed.getvalue()
    return found


def test_only_a_grid_tells_left_from_right_and_the_place_test_says_so(grids):
    for grid, (result, printed) in grids.items():
        place = result.results["clips"]["time"]["place"]["exchanged"]
        assert result.results["clips"]["penalty"] > 0 and result.results["cost"]["epochs"] == 0
        if grid == 1:
            assert place["changed"] == 0.0 and place["difference"] < 1e-5
        else:
            assert result.results["test"]["accuracy"] == 1.0 and place["changed"] > 0 and place["difference"] > 0.1
        assert {"motion_grid", "middle_frame"} <= result.results["baselines"].keys()
        assert "motion grid" in printed
    config = json.loads((result.directory / "config.json").read_text())["config"]
    assert config["head"] == "ridge"


def test_the_head_is_ridge_regression_with_the_penalty_of_left_out_groups(grids):
    result, _ = grids[2]
    saved = saved_model.load_model(result.directory)
    classifier = saved.model.get_layer("from_frames").get_layer("classifier")
    scaled = keras.Model(classifier.input, classifier.get_layer("one_scale").output)
    preprocessing = saved.model.get_layer("from_frames").get_layer("preprocessing")
    train = [each for each in sample_list.read_csv(result.directory / "split.csv") if each.split == "train"]
    pixels = [preprocessing.predict(saved.medium.read(each.path)[None].astype("float32"), verbose=0) for each in train]
    rows = scaled.predict(np.concatenate(pixels), verbose=0)
    labels = np.array([saved.class_names.index(each.label) for each in train])
    chosen = result.results["clips"]
    scaler = preprocessing_of.StandardScaler().fit(rows)
    ridge = linear_model.RidgeClassifier(alpha=chosen["penalty"]).fit(scaler.transform(rows), labels)
    scores = ridge.decision_function(scaler.transform(rows))
    kernel, bias = classifier.get_layer("probabilities").get_weights()
    ours = (rows @ kernel + bias) / chosen["sharpness"]
    np.testing.assert_allclose(ours[:, 1], scores, atol=1e-3)
    np.testing.assert_allclose(ours[:, 0], -scores, atol=1e-3)


@pytest.mark.drawn
def test_a_baseline_that_wins_is_in_the_first_lines_of_the_report(fitted):
    """Frames cannot tell left from right; the grid of motion can, nearly."""
    result = fitted["frames"]
    trivial = result.results["baselines"]["motion_grid"]["validation"]["accuracy"]
    assert trivial > result.results["validation"]["accuracy"]
    page = (result.directory / "report.html").read_text(encoding="utf-8")
    assert page.index("at least as good on validation</b>") < page.index(">Baselines</h3>")


def test_i3d_trains_its_last_block_and_takes_raw_clips(sides, tmp_path):
    result = video_actions.run(
        ridge_settings(sides, tmp_path, temporal="i3d", backbone=None, weights="none", image_size=32, pool_grid=1,
                       unfreeze_from="Mixed_4f", fine_tuning_epochs=1, warmup_epochs=0, no_baselines=True)
    )  # fmt: skip
    config = json.loads((result.directory / "config.json").read_text())["config"]
    assert (config["backbone"], config["unfreeze_from"]) == ("I3D", "Mixed_4f_b1_1x1_conv")
    assert [stage["stage"] for stage in result.results["stages"]] == ["head", "fine_tuning"]
    saved, rows = saved_model.load_model(result.directory), predictions_of(result)
    answer = saved.model.predict(clips.read(rows[0]["path"], frames=6)[None], verbose=0)[0]
    written = probabilities_of(rows[:1], saved.class_names)[0]
    assert np.abs(answer - written).max() < 0.05  # it chooses its four frames of six itself


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"temporal": "i3d", "backbone": "VGG16"}, "--backbone has no effect with --temporal i3d"),
        ({"head": "ridge", "epochs": 5}, "--epochs has no effect with --head ridge"),
        ({"pool_grid": 9}, "--pool-grid is more than the 2 places"),
        ({"time_bins": 9}, "--time-bins is more than the 4 steps"),
    ],
)
def test_settings_that_cannot_be_are_refused(sides, tmp_path, changes, said):
    with pytest.raises(errors.UserError, match=said):
        video_actions.run(ridge_settings(sides, tmp_path, **changes))


@pytest.mark.drawn
def test_a_run_keeps_groups_together_and_leaves_a_model_of_raw_clips(fitted, moving, tmp_path, capsys):
    result = fitted["difference"]
    sides = {}
    for sample in sample_list.read_csv(result.directory / "split.csv"):
        sides.setdefault(sample.group, set()).add(sample.split)
    assert len(sides) == 8 and all(len(of_group) == 1 for of_group in sides.values())
    page = (result.directory / "report.html").read_text(encoding="utf-8")
    for text in (
        "Does it use time and place?",
        "Which frames the network looked at",
        "test clips</b>",
        "training clips",
    ):
        assert text in page
    assert "test photos" not in page
    for name in ("order_test", "training_clips", "right_frames"):
        assert (result.directory / "figures" / f"{name}.png").stat().st_size > 1000

    # predict reads the very frames of the training; the saved model alone chooses them from the whole clip.
    rows, names = predictions_of(result), result.results["data"]["class_names"]
    written = probabilities_of(rows, names)
    capsys.readouterr()
    files = [pathlib.Path(row["path"]) for row in rows]
    assert predict.predict(result.directory, files, tmp_path / "new.csv") == 0
    assert len(capsys.readouterr().out.splitlines()) == len(rows)
    with open(tmp_path / "new.csv", newline="", encoding="utf-8") as file:
        np.testing.assert_allclose(probabilities_of(list(csv.DictReader(file)), names), written, atol=1e-4)
    helpers.check_evaluation_of_its_own_data(result, moving)
    saved = saved_model.load_model(result.directory)
    for row, probabilities in zip(rows[:4], written, strict=False):
        length = clips.inspect(row["path"]).frames
        everything = clips.read(row["path"], frames=length)
        answer = saved.model.predict(everything[None], verbose=0)[0]
        assert answer.argmax() == probabilities.argmax() and np.abs(answer - probabilities).max() < 0.1


@pytest.fixture(scope="module")
def odd(moving, tmp_path_factory):
    """Clips of which one is empty, and a short run on the others with a cut network and windows."""
    place = tmp_path_factory.mktemp("odd")
    folder = place / "clips"
    for path in moving.glob("*/*.mkv"):
        (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
        os.link(path, folder / path.parent.name / path.name)
    (folder / "left" / "v_left_g00_c09.avi").write_bytes(b"")
    changes = {"sampling": "window", "stride": 1, "test_time_views": 2, "last_layer": "block4_pool"}
    with helpers.without_report():
        return folder, video_actions.run(settings(folder, place, epochs=1, skip_bad=True, **changes))


def test_predict_takes_folders_of_frames_and_refuses_what_is_no_clip(odd, moving, tmp_path, capsys):
    _, result = odd
    assert result.results["clips"]["windows"] == 2
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "notes.avi").write_text("no clip")
    clip = sorted(moving.glob("left/*.mkv"))[0]
    os.link(clip, tmp_path / "some" / "good.mkv")
    capsys.readouterr()
    assert predict.predict(result.directory, [tmp_path / "some"]) == 2
    said = capsys.readouterr()
    assert "notes.avi: not a clip" in said.err and said.out.startswith(str(tmp_path / "some" / "good.mkv"))


@pytest.fixture(scope="module")
def plain(moving, tmp_path_factory):
    """The same short run without augmentation, with the cache and without."""
    folder = tmp_path_factory.mktemp("plain")
    changes = {"epochs": 3, "views": 1, "zoom": 0.0, "contrast": 0.0}
    with helpers.without_report():
        return [video_actions.run(settings(moving, folder, no_cache=flag, **changes)) for flag in (False, True)]


def test_the_head_sees_features_of_mean_0_and_variance_1(plain):
    for result in plain:
        saved = saved_model.load_model(result.directory)
        from_frames = saved.model.get_layer("from_frames")
        preprocessing, classifier = from_frames.get_layer("preprocessing"), from_frames.get_layer("classifier")
        scaled = keras.Model(classifier.input, classifier.get_layer("one_scale").output)
        train = [
            sample.path for sample in sample_list.read_csv(result.directory / "split.csv") if sample.split == "train"
        ]
        clips_read = [saved.medium.read(path)[None].astype("float32") for path in train]
        features = np.concatenate([
            scaled.predict(preprocessing.predict(clip, verbose=0), verbose=0) for clip in clips_read
        ])  # fmt: skip
        np.testing.assert_allclose(features.mean(axis=0), 0, atol=2e-3)
        moves = features.std(axis=0) > 0.9  # those that hardly change are not blown up
        assert moves.mean() > 0.5 and features.std(axis=0).max() < 1.01


TUNED = {"epochs": 3, "unfreeze_from": "block5", "fine_tuning_epochs": 3, "fine_tuning_rate": 1e-4}


@pytest.fixture(scope="module")
def tuned(moving, tmp_path_factory):
    with helpers.without_report():
        return video_actions.run(settings(moving, tmp_path_factory.mktemp("tuned"), **TUNED))


@pytest.mark.parametrize("temporal", ["difference", "inflated"])
def test_fine_tuning_changes_the_last_layers_alone(moving, tmp_path, temporal, request):
    if temporal == "difference":
        result = request.getfixturevalue("tuned")
    else:
        result = video_actions.run(settings(moving, tmp_path, temporal=temporal, **TUNED))
    stages = result.results["stages"]
    assert [stage["stage"] for stage in stages] == ["head", "fine_tuning"]
    assert stages[1]["trainable_parameters"] > stages[0]["trainable_parameters"]
    assert result.results["kept_stage"] in ("head", "fine_tuning")
    saved = saved_model.load_model(result.directory)
    assert saved.model.predict(np.zeros((1, 3, 20, 20, 3)), verbose=0).shape == (1, 3)


def test_a_run_killed_in_fine_tuning_goes_on_as_if_nothing_had_happened(tuned, moving, tmp_path, monkeypatch):
    directory = helpers.killed_after(video_actions, "fine_tuning", 1, settings(moving, tmp_path, **TUNED), monkeypatch)
    video_actions.run(video_actions.Config(resume=directory))
    weights = [saved_model.load_model(folder).model.get_weights() for folder in (tuned.directory, directory)]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_cached_and_uncached_runs_agree(plain):
    losses = [result.results["validation"]["log_loss"] for result in plain]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"frames": 1}, "--frames must be above 1"),
        ({"time_pairs": ("left",)}, "--time-pairs must list classes in pairs"),
        ({"place_pairs": ("left",)}, "--place-pairs must list classes in pairs"),
        ({"fine_tuning_rate": 1e-3}, "--fine-tuning-rate must be at most a tenth"),
        ({"dropout": 1.0}, "--dropout must be from 0"),
        ({"test_time_views": 0}, "--test-time-views must be above 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(moving, tmp_path, changes, message):
    with pytest.raises(errors.UserError, match=message):
        settings(moving, tmp_path, **changes)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"time_pairs": ("left", "rihgt")}, "--time-pairs rihgt: no such class; the classes are left, right, stays"),
        ({"unfreeze_from": "block9"}, "no layer or block 'block9'"),
        ({"last_layer": "block5_pol"}, "--last-layer block5_pol.*did you mean block5_pool"),
        ({"group_pattern": "("}, "--group-pattern"),
        ({"unfreeze_from": "block5_pool"}, "--unfreeze-from block5_pool: no layer from there on has weights"),
        (
            {"temporal": "inflated", "backbone": "MobileNetV3Small", "weights": "none"},
            "--temporal inflated: .*use InceptionV3",
        ),
        ({"backbone": "InceptionV4"}, "unknown --backbone 'InceptionV4'; did you mean InceptionV3"),
    ],
)
def test_mistakes_end_in_one_line_before_any_work(moving, tmp_path, changes, message):
    with pytest.raises(errors.UserError, match=message):
        video_actions.run(settings(moving, tmp_path, **changes))


def test_bad_clips_are_listed_and_left_out(odd, tmp_path):
    folder, result = odd
    with pytest.raises(errors.UserError, match="1 of 49 clips cannot be used.*v_left_g00_c09.avi"):
        video_actions.run(settings(folder, tmp_path))
    assert result.results["data"]["skipped"] == 1
    assert "v_left_g00_c09.avi" in (result.directory / "skipped.csv").read_text(encoding="utf-8")


def test_the_network_can_be_cut_off(odd):
    _, result = odd
    model = saved_model.load_model(result.directory).model
    names = {layer.name for layer in keras.Model(model.inputs, model.outputs).layers}
    assert "from_frames" in names
    written = json.loads((result.directory / "config.json").read_text(encoding="utf-8"))["config"]
    assert written["last_layer"] == "block4_pool"


@pytest.mark.long
def test_on_the_drawn_clips_time_is_needed_and_used(tmp_path):
    changes = {"out": tmp_path / "runs", "cache": flags.default_cache_directory()}
    result = video_actions.run(video_actions.Config(**changes))
    assert result.results["test"]["accuracy"] > 0.75
    assert all(row["accuracy"] >= 0.8 for row in result.results["clips"]["time"]["pairs"])


@pytest.mark.long
@pytest.mark.skipif(not REAL, reason="REAL_DATA is not set: real clips and InceptionV3's weights are needed")
def test_real_clips_through_inception(tmp_path):
    folder = tmp_path / "clips"
    samples = clip_groups.load(str(pathlib.Path(REAL) / "actions"), tmp_path)
    for sample in samples:
        if sample.label in ("hug", "kick") and int(sample.group[-2:]) % 2:
            (folder / sample.label).mkdir(parents=True, exist_ok=True)
            (folder / sample.label / os.path.basename(sample.path)).symlink_to(sample.path)
    command = [
        sys.executable, "recipes/video_actions.py", "--data", folder, "--last-layer", "mixed8", "--weights",
        pathlib.Path(REAL) / "weights" / "inception_v3_to_mixed8.weights.h5", "--image-size", "96", "--epochs", "20",
        "--out", tmp_path / "runs", "--cache", tmp_path / "cache", "--views", "1",
    ]  # fmt: skip
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    results = finished_run.Result.read(pathlib.Path(done.stdout.splitlines()[-1])).results
    assert results["data"]["class_names"] == ["hug", "kick"] and results["test"]["accuracy"] > 0.7
