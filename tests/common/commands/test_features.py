"""Features of photos for work of one's own, and the training photos that are similar to a new one."""

import pathlib
import shutil

import helpers
import keras
import numpy as np
import pytest
from PIL import Image

from common import errors
from common.commands import evaluate, features, labels, similar, stress
from common.media import photos
from common.models import backbones
from recipes import linear_probe


def written(out):
    with np.load(out) as found:
        return {name: found[name] for name in found.files}


def test_they_are_the_means_of_the_last_feature_map(stripes, tmp_path, capsys):
    out, cache = tmp_path / "all.npz", tmp_path / "cache"
    settings = {"backbone": "demo", "image_size": 32, "cache": cache}
    assert features.command((stripes / "across", stripes / "down"), out=out, **settings) == 0
    found = written(out)
    assert found["features"].shape == (30, 80) and found["labels"].tolist() == ["across"] * 15 + ["down"] * 15
    backbone = backbones.load("demo", "demo", 32)
    pixels = backbone.resize(photos.read(found["paths"][3])[np.newaxis].astype("float32"))
    expected = backbone.model.predict(backbone.preprocess(pixels), verbose=0).mean((1, 2))[0]
    assert found["features"][3] == pytest.approx(expected, abs=1e-4)
    assert "30 of 30 to compute" in capsys.readouterr().err
    assert features.command((stripes,), out=tmp_path / "again.csv", **settings) == 0
    assert "to compute" not in capsys.readouterr().err  # from the cache
    header, first, *rest = (tmp_path / "again.csv").read_text().splitlines()
    assert header.startswith("path,label,f0,f1,") and len(rest) == 29
    values = [float(value) for value in first.split(",")[2:]]
    assert values == pytest.approx(found["features"][0].tolist(), abs=1e-5)


def test_a_photo_that_cannot_be_read_is_said_and_left_out(stripes, tmp_path, capsys):
    (stripes / "across" / "bad.jpg").write_bytes(b"no photo")
    out = tmp_path / "all.npz"
    assert features.command((stripes,), backbone="demo", image_size=32, out=out, no_cache=True) == 2
    assert "bad.jpg: not an image" in capsys.readouterr().err and len(written(out)["paths"]) == 30


@pytest.mark.parametrize(
    ("paths", "changes", "message"),
    [
        (("bad",), {"out": "all.txt"}, "name a .npz or .csv file"),
        (("bad",), {"out": "nowhere/all.npz"}, "in an existing folder"),
        (("empty",), {}, "no photos given"),
        (("bad",), {}, "no photo can be read"),
        (("bad",), {"backbone": "MobilNetV2"}, "did you mean MobileNetV2"),
        (("bad",), {"batch_size": 0}, "--batch-size must be above 0"),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, paths, changes, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "1.jpg").touch()
    given = {"backbone": "demo", "no_cache": True, **changes}
    given["out"] = tmp_path / given.get("out", "all.npz")
    with pytest.raises(errors.UserError, match=message):
        features.command(tuple(tmp_path / name for name in paths), **given)


@pytest.fixture(scope="module")
def run(module_stripes, tmp_path_factory):
    """A run on `module_stripes`; what a test changes there, it puts back."""
    folder = tmp_path_factory.mktemp("run")
    config = linear_probe.Config(
        data=str(module_stripes), out=folder / "runs", cache=folder / "cache", backbone="demo", image_size=64
    )
    with helpers.without_report():
        return linear_probe.run(config).directory


def test_the_features_of_a_run_s_network(run, module_stripes, tmp_path, capsys):
    capsys.readouterr()
    out = tmp_path / "own.npz"
    assert features.command((module_stripes,), backbone=str(run), out=out, cache=tmp_path / "cache") == 0
    whole = {"backbone": "demo", "image_size": 64, "no_cache": True}
    assert features.command((module_stripes,), out=tmp_path / "x.npz", **whole) == 0
    assert written(out)["features"] == pytest.approx(written(tmp_path / "x.npz")["features"], abs=1e-4)


def test_the_most_similar_training_photos(run, module_stripes, tmp_path, capsys):
    new = tmp_path / "new"
    new.mkdir()
    known = next(path for path in sorted((module_stripes / "down").iterdir()) if f"{path},down,,train" in split_of(run))
    shutil.copy(known, new / "known.jpg")
    capsys.readouterr()
    assert similar.command(run, (new,), count=3) == 0
    *lines, picture = capsys.readouterr().out.splitlines()
    rows = [line.split("\t") for line in lines]
    assert len(rows) == 3 and rows[0][1:] == [str(known), "down", "1.0000"]
    assert [row[2] for row in rows] == ["down"] * 3  # stripes the other way are less similar
    assert [float(row[3]) for row in rows] == sorted((float(row[3]) for row in rows), reverse=True)
    with Image.open(picture) as sheet:
        assert picture == str(run / "figures" / "similar.png") and sheet.width > 3 * sheet.height


def test_a_split_or_photos_that_are_not_those_of_the_run_are_refused(run, module_stripes):
    """What the run learnt is read from its split.csv, and the labels belong to the old photos."""
    split, written = run / "split.csv", split_of(run)
    split.write_text(written.replace(",train,", ",test,", 1))
    calls = [
        lambda: labels.command(run), lambda: similar.command(run, (module_stripes,)), lambda: stress.command(run),
        lambda: evaluate.command(run, module_stripes),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(errors.UserError, match=r"split\.csv has been changed since the run began; put back"):
            call()
    split.write_text(written)
    one, other = trained(written)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second), other.write_bytes(first)
    for call in calls[:2]:
        with pytest.raises(errors.UserError, match=r"split\.csv: 2 of \d+ photos have changed since it was written"):
            call()
    one.write_bytes(first), other.write_bytes(second)


def trained(split):
    """A training photo of each class."""
    lines = [next(line for line in split.splitlines() if f",{label},,train" in line) for label in ("across", "down")]
    return [pathlib.Path(line.split(",")[0]) for line in lines]


def split_of(run):
    return (run / "split.csv").read_text()


def test_what_similar_cannot_do_is_one_line(run, tmp_path):
    (tmp_path / "1.jpg").touch()
    for names, changes, message in (
        ((tmp_path / "1.jpg",), {}, "empty"),
        ((tmp_path / "nothing",), {}, "missing"),
        ((tmp_path / "1.jpg",), {"count": 0}, "--count must be above 0"),
        ((tmp_path / "1.jpg",), {"picture": tmp_path / "a" / "b.png"}, "no such folder"),
    ):
        with pytest.raises(errors.UserError, match=message):
            similar.command(run, names, **changes)
    keras.backend.clear_session()
