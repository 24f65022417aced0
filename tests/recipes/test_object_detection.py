"""The recipe on small drawn scenes: loss by hand, cached as uncached, and a saved model that finds the same boxes."""

import csv
import dataclasses
import json
import pathlib

import keras
import numpy as np
import pytest
import tiny_hub
from PIL import Image

from common import errors
from common.commands import export, predict, serve, similar
from common.data import box_annotations, boxes, dataset, sample_list
from common.demo import drawn_scenes
from common.evaluation import detection
from common.features import of_boxes
from common.media import photos
from common.models import backbones, detector, yolox
from common.report import answers, found_boxes
from common.runs import finished_run, saved_model
from recipes import object_detection

pytest.importorskip("pycocotools")
SMALL = {"backbone": "demo", "weights": "demo", "image_size": 96, "channels": 16, "depth": 1, "views": 2}
SMALL |= {"validation_fraction": 0.2, "test_fraction": 0.4}
YOLOX = {"detector": "yolox", "weights": "none", "image_size": 96, "views": 2}
YOLOX |= {"validation_fraction": 0.2, "test_fraction": 0.4}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return drawn_scenes.write_photos(tmp_path_factory.mktemp("data") / "scenes", 20, 96)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def run(scenes, cache, tmp_path_factory):
    config = object_detection.Config(
        data=str(scenes), epochs=2, out=tmp_path_factory.mktemp("runs"), cache=cache, unfreeze_from="block5",
        fine_tuning_epochs=1, **SMALL,
    )  # fmt: skip
    return object_detection.run(config)


def test_a_run_writes_scores_boxes_and_a_report(run):
    results = run.results
    assert {"ap", "ap50", "ap75", "per_class", "by_size", "counting_error"} <= set(results["test"])
    assert "ap50" in results["validation"] and "train" not in results  # training photos are only seen augmented
    assert results["strategy"] == "head, then from block5" and results["usual_boxes"]["ap50"] < 0.2
    assert [row["stage"] for row in results["stages"]] == ["head", "fine_tuning"]
    page = (run.directory / "report.html").read_text()
    assert "AP50" in page and "Found, missed, false" in page and "<script" not in page
    drawn = {path.name for path in (run.directory / "figures").iterdir()}
    assert {"precision_recall.png", "training_boxes.png", "test_boxes.png", "most_mistakes.png"} <= drawn
    assert (run.directory / "predictions.csv").read_text().startswith("path,label,true_")


def test_the_saved_model_finds_the_boxes_of_the_run_in_the_raw_photos(run):
    reading = saved_model.Reading.of(saved_model.load_model(run.directory))
    assert isinstance(reading.targets, boxes.Boxes)
    listed = json.loads((run.directory / detection.FOUND).read_text())
    test = [row for row in sample_list.read_csv(run.directory / "split.csv") if row.split == "test"]
    for number, sample in enumerate(test[:3], start=1):
        told = [row for row in listed if row["image_id"] == number]
        found, size = found_boxes.found_in(reading, pathlib.Path(sample.path), 0.0)
        assert size == (96, 96) and len(found) == len(told)
        theirs = np.array([[*row["bbox"], row["score"]] for row in told])  # both by score, the surest first
        found[:, 2:4] -= found[:, :2]
        assert np.allclose(found[:, :5], theirs, atol=0.02)


def test_predict_writes_lines_coco_and_pictures(run, scenes, tmp_path, capsys):
    names = [scenes / "photos" / "scene_0000.jpg", tmp_path / "gone.jpg"]
    out = {"csv": tmp_path / "a.csv", "coco": tmp_path / "a.json", "draw": tmp_path / "drawn"}
    assert predict.predict(run.directory, names, **out) == 2
    lines, told = capsys.readouterr()
    assert "gone.jpg: missing" in told or "gone.jpg" in told
    rows = out["csv"].read_text().splitlines()
    assert rows[0] == "path,class,score,left,top,right,bottom" and len(rows) == len(lines.splitlines()) + 1
    coco = json.loads(out["coco"].read_text())
    assert len(coco["images"]) == 1 and len(coco["annotations"]) == len(rows) - 1
    assert [each["name"] for each in coco["categories"]] == sorted(each["name"] for each in coco["categories"])
    assert Image.open(out["draw"] / "scene_0000.png").size == (96, 96)
    with pytest.raises(errors.UserError, match="--top"):
        predict.predict(run.directory, names, top=2)


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_file_as_the_folder_of_drawn_photos_is_refused_before_the_work(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(errors.UserError, match=f"--draw .*{name}: a file; name a folder"):
        predict.command(tmp_path / "no_run", (tmp_path / "photo.jpg",), draw=tmp_path / name)


def test_a_resumed_run_without_pycocotools_stops_at_once(monkeypatch):
    monkeypatch.setattr(detection.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(errors.UserError, match=r"keras-recipes\[detection\]"):
        object_detection.run(object_detection.Config(resume=pathlib.Path("x")))


def test_a_class_with_a_side_in_its_name_is_told(scenes, cache, tmp_path, capsys):
    config = object_detection.Config(data=str(scenes), cache=cache, one_class="left hand", **SMALL)
    read = box_annotations.read(config, photos.PHOTOS)
    dataset.load(config, tmp_path, photos.PHOTOS, boxes.Boxes(), read.samples)
    assert "--flip mirrors left and right, and the name of class 'left hand'" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["fcos", "yolox"])
def test_cached_features_give_the_losses_of_the_photos(scenes, cache, tmp_path, kind):
    """With augmented views: the same boxes with the same pixels, in the same order."""
    found = {}
    for no_cache in (False, True):
        small = SMALL if kind == "fcos" else YOLOX
        config = object_detection.Config(data=str(scenes), cache=cache, no_cache=no_cache, zoom=0.3, **small)
        read = box_annotations.read(config, photos.PHOTOS)
        splits = dataset.load(config, tmp_path, photos.PHOTOS, boxes.Boxes(aspect="pad"), read.samples)
        keras.utils.set_random_seed(1)
        backbone, model, levels = object_detection.choose_detector(config, splits.targets.box_classes)
        prefix = of_boxes.BoxPrefix(model, backbone, splits, config, at=levels)
        loss = (object_detection.detection_loss if kind == "fcos" else object_detection.yolox_loss)(96, 6)
        train, validation, _ = prefix.generators(1)  # the second view
        (inputs, truth), (_, labels) = next(iter(train)), next(iter(validation))
        assert (truth[..., 0] >= 0).any() and labels.shape[-1] == 5
        found[no_cache] = truth, np.array(loss(truth, prefix.suffix(inputs, training=False)))
    assert (found[False][0] == found[True][0]).all()
    assert np.allclose(found[False][1], found[True][1], rtol=1e-5, atol=1e-5)


@pytest.mark.long
def test_a_detector_trains_its_head_then_its_pyramid_and_finds_the_same_boxes_in_raw_photos(
    scenes, cache, tmp_path, monkeypatch
):
    monkeypatch.setattr(detector, "PRIOR", 0.5)  # so that random weights find boxes
    config = object_detection.Config(
        data=str(scenes), epochs=1, out=tmp_path, cache=cache, unfreeze_from="bu5_a", fine_tuning_epochs=1, **YOLOX
    )
    run = object_detection.run(config)
    assert run.results["strategy"] == "head, then from bu5_a" and "untrained" not in run.results  # random weights
    assert json.loads((run.directory / "config.json").read_text())["config"]["backbone"] == yolox.NAME
    reading = saved_model.Reading.of(saved_model.load_model(run.directory))
    listed = json.loads((run.directory / detection.FOUND).read_text())
    first = next(row for row in sample_list.read_csv(run.directory / "split.csv") if row.split == "test")
    found, _ = found_boxes.found_in(reading, pathlib.Path(first.path), 0.0)
    theirs = np.array([[*row["bbox"], row["score"]] for row in listed if row["image_id"] == 1])
    theirs[:, 2:4] += theirs[:, :2]
    assert np.allclose(found[:, 4], theirs[:, 4], atol=1e-3)
    assert (detection.overlaps(found, theirs).max(axis=1) > 0.95).mean() > 0.9  # equal scores may change places


# The loss and the model ------------------------------------------------------------------------------------------


def answers_for(truth, size, classes, sure=8.0):
    """The answers of a detector that is right about one box."""
    wanted = object_detection.detection_targets.assign(truth, size, classes)
    middles, strides = detector.places(size)
    answers = np.zeros((1, len(strides), classes + 5), "float32")
    answers[..., :classes] = sure * (2 * np.array(wanted.classes) - 1)
    own = np.array(wanted.boxes)[0]
    reach = np.concatenate([middles - own[:, :2], own[:, 2:] - middles], axis=1) / strides[:, None]
    answers[0, :, classes : classes + 4] = np.log(np.expm1(np.clip(reach, 0.05, 50))) - 2
    centre = np.clip(np.array(wanted.centerness), 1e-3, 1 - 1e-3)
    answers[..., -1] = np.log(centre / (1 - centre))
    return answers


def test_right_answers_have_a_low_loss_and_each_part_counts():
    truth = np.array([[[1, 0.25, 0.3, 0.6, 0.7], [-1, 0, 0, 0, 0]]], "float32")
    loss = object_detection.detection_loss(96, 2)
    right = answers_for(truth, 96, 2)
    lowest = float(loss(truth, right)[0])
    for part, change in ((slice(0, 2), -16.0), (slice(2, 6), 2.0), (slice(6, 7), 4.0)):
        wrong = right.copy()
        wrong[..., part] = wrong[..., part] * -1 if change < -10 else wrong[..., part] + change
        assert float(loss(truth, wrong)[0]) > lowest + 0.2


def test_decoded_boxes_are_the_true_ones_and_repeated_ones_are_left_out():
    truth = np.array([[[1, 0.25, 0.3, 0.6, 0.7]]], "float32")
    decoded = np.array(detector.decoded(answers_for(truth, 96, 2), 96, 2))
    found = detector.suppressed(decoded, overlap=0.6)
    assert found.shape == (1, 100, 6) and (found[0, :, 4] > 0.5).sum() == 1
    assert np.allclose(found[0, 0, :4], truth[0, 0, 1:], atol=1e-3) and found[0, 0, 5] == 1


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"rotation": 5.0}, "--rotation turns things out of their boxes"),
        ({"views": 0}, "--views must be above 0"),
        ({"channels": 12}, "--channels must be a multiple of 8"),
        (
            {"detector": "hub:retinanet_resnet50_fpn_coco"},
            "--detector must be fcos or yolox; --backbone hub:NAME takes",
        ),
        ({"detector": "yolox", "backbone": "VGG16"}, "--backbone has no effect with --detector yolox; remove it"),
        ({"fine_tuning_rate": 1e-5}, "--fine-tuning-rate has no effect without --unfreeze-from"),
        ({"strategies": ("full",)}, "--strategies has no effect without --compare; remove it"),
        (
            {"compare": True, "strategies": ("head",)},
            "--strategies must be some of frozen, partial, full, from_scratch",
        ),
        ({"compare": True, "strategies": ("full", "full")}, "--strategies must be some of .*, each once"),
        (
            {"compare": True, "detector": "yolox", "strategies": ("from_scratch",)},
            "some of frozen, partial, full, each",
        ),
        ({"compare": True, "fine_tuning_rate": 0.1}, "--fine-tuning-rate must be at most a tenth of --learning-rate"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(flags, told):
    with pytest.raises(errors.UserError, match=told):
        object_detection.Config(**flags)


def test_the_trials_of_a_comparison_have_the_settings_of_their_strategy():
    """The same epochs of the head; those that train more have those of fine-tuning, too."""
    config = object_detection.Config(compare=True, seed=4, fine_tuning_epochs=3, unfreeze_from="block4", mlflow="x")
    found = {name: object_detection.trial_of(config, name, 5, 30) for name in config.compared}
    assert list(found) == ["frozen", "partial", "full", "from_scratch"]
    assert {each.seed for each in found.values()} == {5} and not any(
        each.compare or each.mlflow for each in found.values()
    )
    assert [each.unfreeze_from for each in found.values()] == [None, "block4", "0", None]
    assert [each.epochs for each in found.values()] == [30, 30, 30, 33]
    assert [each.fine_tuning_epochs for each in found.values()] == [10, 3, 3, 10]  # where it has no effect, the default
    assert object_detection.Config(compare=True, detector="yolox").compared == ("frozen", "partial", "full")


def test_the_last_part_of_a_network_is_its_last_block_or_the_pyramid_of_yolox():
    base = backbones.load("demo", "none", 96).model
    first = object_detection.first_unfrozen(base, object_detection.Config(unfreeze_from="last"))
    assert base.layers[first].name.startswith("block5")
    _, base, _ = yolox.network(96, 2)
    config = object_detection.Config(unfreeze_from="last", detector="yolox")
    assert base.layers[object_detection.first_unfrozen(base, config)].name == yolox.PYRAMID


@pytest.mark.long
@pytest.mark.drawn
def test_a_comparison_chooses_a_strategy_goes_on_after_a_kill_and_leaves_a_run_that_predicts(
    scenes, cache, tmp_path, capsys
):
    short = {"epochs": 2, "fine_tuning_epochs": 1, "strategies": ("frozen", "partial"), "seeds": 1, "compare": True}
    config = object_detection.Config(data=str(scenes), cache=cache, out=tmp_path, **short, **SMALL)
    run = object_detection.run(config)
    told = capsys.readouterr().out
    assert "boxes of the usual size" in told and "No difference is judged" in told
    found = run.results["comparison"]
    assert [row["name"] for row in found["rows"]] == ["frozen", "partial"] and not found["rows"][0]["failed"]
    kept = found["rows"][0]["runs"][0]["report"]
    splits = [path.read_text() for path in run.directory.glob("trials/*/*/*/*/split.csv")]
    assert len(splits) == 2 and set(splits) == {(run.directory / "split.csv").read_text()}
    page = (run.directory / "report.html").read_text()
    assert "Strategies" in page and "not judged: too few seeds" in page and f'href="{kept}"' in page
    assert (run.directory / "figures" / "strategies.png").is_file()
    assert predict.predict(run.directory, [scenes / "photos" / "scene_0000.jpg"]) == 0
    finished_run.FinishedRun.read(run.directory).check_split()

    # A kill in the second trial: the first one is not repeated.
    (run.directory / "results.json").unlink()
    (run.directory / "trials" / "partial" / "seed0" / "outcome.json").unlink()
    before = (run.directory / kept).stat().st_mtime_ns
    again = object_detection.run(object_detection.Config(resume=run.directory))
    assert "1 of 2 are finished already" in capsys.readouterr().err
    assert (run.directory / kept).stat().st_mtime_ns == before
    rows = [[row["runs"][0]["test"] for row in each["rows"]] for each in (found, again.results["comparison"])]
    assert rows[0] == pytest.approx(rows[1], abs=1e-6)


@pytest.mark.long
def test_the_plan_of_a_comparison_has_all_its_strategies(scenes, cache, tmp_path, capsys):
    short = {"epochs": 2, "strategies": ("frozen", "from_scratch"), "seeds": 2, "compare": True, "dry_run": True}
    with pytest.raises(SystemExit):
        object_detection.run(
            object_detection.Config(data=str(scenes), cache=cache, out=tmp_path / "runs", **short, **SMALL)
        )
    told = capsys.readouterr().out
    assert "2 strategies x 2 seeds" in told and "frozen: head" in told and "from_scratch: all layers" in told
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("kind", ["ResNet", "RetinaNet", "DFine"])
def test_a_preset_of_keras_hub_is_a_backbone_as_any_other(tmp_path, kind):
    """Of a pretrained detector, it is the network in front of its pyramid."""
    pytest.importorskip("keras_hub")
    encoder = tiny_hub.d_fine() if kind == "DFine" else tiny_hub.four_stages()
    network = tiny_hub.retinanet(encoder) if kind == "RetinaNet" else encoder
    name = tiny_hub.preset_of(network, tmp_path / "preset", kind)
    config = object_detection.Config(backbone=name, data="x", image_size=64, channels=16, depth=1)
    backbone, model, levels = object_detection.choose_detector(config, ("cup", "fish"))
    assert [tuple(level.shape[1:3]) for level in levels] == [(8, 8), (4, 4), (2, 2)]
    assert model.output_shape == (None, 64 + 16 + 4, 7) and not backbone.model.trainable_weights
    pixels = np.full((1, 64, 64, 3), 100, "float32")
    assert np.isfinite(model.predict_on_batch(backbone.preprocess(pixels))).all()


def test_a_network_without_the_strides_is_refused():
    inputs = keras.Input((64, 64, 3))
    flat = keras.Model(inputs, keras.layers.Conv2D(4, 3, strides=2, name="block1_conv")(inputs), name="flat")
    with pytest.raises(errors.UserError, match="flat has no feature map of stride 8 at 64 pixels"):
        detector.levels(flat)


def test_a_dry_run_plans_and_keeps_nothing(scenes, cache, tmp_path, capsys):
    config = object_detection.Config(data=str(scenes), cache=cache, out=tmp_path / "runs", dry_run=True, **SMALL)
    with pytest.raises(SystemExit):
        object_detection.run(config)
    told = capsys.readouterr().out
    assert "20 photos: 8 train, 4 validation, 8 test" in told and "200" in told and not (tmp_path / "runs").exists()


def test_a_command_for_classes_refuses_a_run_that_finds_boxes(run, scenes):
    with pytest.raises(errors.UserError, match="finds boxes, and similar is for runs that classify"):
        similar.command(run.directory, (scenes / "photos",))


@pytest.mark.slow
def test_exports_give_the_answers_of_the_model_and_the_json_makes_boxes_of_them(run, tmp_path):
    """ONNX Runtime, Pillow and NumPy alone find what `predict` finds, in a photo that is no square."""
    pytest.importorskip("tf2onnx", reason="the extra `export` is not installed")
    import onnxruntime

    formats = ["onnx", "litert"]
    assert export.export(run.directory, formats, out=tmp_path / "out") == 0
    rows = json.loads((tmp_path / "out" / "export.json").read_text())["rows"]
    assert [row["name"] for row in rows] == formats
    assert all(row["difference"] < 1e-4 and row["agreement"] == 1.0 for row in rows)
    told = json.loads((tmp_path / "out" / "model.onnx.json").read_text())
    reading = saved_model.Reading.of(saved_model.load_model(run.directory))
    targets = dataclasses.replace(reading.targets, threshold=0.05)  # after a short training, scores are low
    reading = dataclasses.replace(reading, targets=targets)
    sample = next(row for row in sample_list.read_csv(run.directory / "split.csv") if row.split == "test")
    photo = Image.open(sample.path).crop((0, 10, 96, 70))
    photo.save(tmp_path / "photo.png")
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    wide = Image.new("RGB", (96, 96))
    wide.paste(photo, (0, 18))  # floor((96 - 60) / 2)
    (answers,) = session.run(None, {told["input"]["name"]: np.array(wide, "float32")[None]})[0]
    assert told["output"]["shape"] == [None, *answers.shape] and told["class_names"] == list(targets.box_classes)
    found = by_hand(answers, 0.05, told["output"]["overlap"])
    found[:, [0, 2]] *= 96
    found[:, [1, 3]] = np.clip(found[:, [1, 3]] * 96 - 18, 0, 60)
    expected, _ = found_boxes.found_in(reading, tmp_path / "photo.png")
    assert len(expected) > 1 and np.allclose(found[: len(expected)], expected, atol=1e-2)


def by_hand(answers, threshold, overlap):
    """Non-maximum suppression in NumPy, as the documentation of exports has it."""
    found = []
    for label, scores in enumerate(answers[:, 4:].T):
        left = np.argsort(-scores)
        left = left[scores[left] >= threshold]
        while len(left):
            (first, *_), box = left, answers[left[0], :4]
            found.append([*box, scores[first], label])
            sides = np.minimum(box[2:], answers[left, 2:4]) - np.maximum(box[:2], answers[left, :2])
            shared = np.prod(np.maximum(sides, 0), axis=1)
            areas = np.prod(answers[left, 2:4] - answers[left, :2], axis=1)
            left = left[(shared / (areas + areas[0] - shared) <= overlap) & (left != first)]
    return np.array(sorted(found, key=lambda row: -row[4]))


def test_the_page_of_serve_shows_the_boxes_that_predict_prints(run, scenes, tmp_path):
    """Of a photo that is stored lying on its side, in pixels of the upright photo."""
    answerer = answers.load(run.directory)
    photo, exif = Image.open(scenes / "photos" / "scene_0001.jpg").resize((150, 96)), Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees with the clock
    photo.save(tmp_path / "photo.png", exif=exif)
    targets = dataclasses.replace(answerer.reading.targets, threshold=0.05)  # after a short training, scores are low
    answerer.reading = dataclasses.replace(answerer.reading, targets=targets)
    content = (tmp_path / "photo.png").read_bytes()
    told = answerer.data(content)
    assert told["photo"] == {"width": 96, "height": 150} and told["threshold"] == 0.05 and len(told["boxes"]) > 1
    found_boxes.answer_files(answerer.reading, [tmp_path / "photo.png"], tmp_path / "boxes.csv", None, None)
    with open(tmp_path / "boxes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [box["class"] for box in told["boxes"]] == [row["class"] for row in rows]
    for box, row in zip(told["boxes"], rows, strict=True):
        edges = [box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]]
        assert edges == pytest.approx([float(row[name]) for name in ("left", "top", "right", "bottom")], abs=0.06)
        assert box["score"] == pytest.approx(float(row["score"]), abs=1e-4)
    html = answerer.answer(content)
    assert html.count("<tr>") == len(rows) + 1 and html.count("data:image/jpeg;base64,") == 1
    page = serve._page(answerer, run.directory, 10**6, local=True)
    assert f"It finds {', '.join(targets.box_classes)} in photos" in page.replace("<wbr>", "") and "AP50" in page
    answerer.reading = dataclasses.replace(answerer.reading, targets=dataclasses.replace(targets, threshold=1.0))
    assert answerer.data(content)["boxes"] == [] and "Nothing found" in answerer.answer(content)
    with pytest.raises(errors.UnusableFile, match="not an image"):
        answerer.answer(b"no photo")


def test_a_detector_of_coco_needs_its_weights():
    config = object_detection.Config(detector="yolox")
    with pytest.raises(errors.UserError, match="--detector yolox needs --weights FILE: yolox_nano.onnx of https"):
        config.check_files()


def test_the_loss_of_yolox_falls_with_each_part_of_the_answer():
    truth = np.array([[[1, 0.25, 0.3, 0.6, 0.7], [-1, 0, 0, 0, 0]]], "float32")
    loss = object_detection.yolox_loss(96, 2)
    middles, strides = detector.places(96)
    answers = np.zeros((1, len(strides), 7), "float32")
    left, top, right, bottom = truth[0, 0, 1:] * 96
    answers[0, :, :2] = (np.array([left + right, top + bottom]) / 2 - middles) / strides[:, None] + 0.5
    answers[0, :, 2:4] = np.log(np.array([right - left, bottom - top]) / strides[:, None])
    answers[..., 4:], answers[..., 6] = -8.0, 8.0
    near = (np.abs(middles - [(left + right) / 2, (top + bottom) / 2]).max(axis=1) <= 1.5 * strides).nonzero()[0]
    answers[0, near[:10], 4] = 8.0  # all overlap fully, so ten places learn it, the surest
    lowest = float(loss(truth, answers)[0])
    assert lowest < 0.1
    for part, change in ((slice(0, 2), 1.0), (slice(2, 4), 0.5), (slice(4, 5), 4.0), (slice(5, 7), -4.0)):
        wrong = answers.copy()
        wrong[..., part] += change
        assert float(loss(truth, wrong)[0]) > lowest + 0.01
