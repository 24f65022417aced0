"""What stands in a model.keras, also in those of older versions."""

import json
import zipfile

import keras
import pytest

from common import errors, files
from common.data import targets
from common.media import clips, photos
from common.runs import saved_model


@pytest.mark.parametrize("sampling", ["whole", "window"])
def test_models_of_older_versions_are_read(tmp_path, sampling):
    """They hold class_names.json, and clips.json where they are of clips."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
    how = {"frames": 4, "sampling": sampling, "stride": 3, "looks": 5}
    for name, told in (("photos", {}), ("clips", {"clips.json": how})):
        path = tmp_path / f"{name}.keras"
        model.save(path)
        with zipfile.ZipFile(path, "a") as archive:
            for file, content in ({"class_names.json": ["a", "b"]} | told).items():
                archive.writestr(file, json.dumps(content))
    saved = saved_model.load_model(tmp_path / "photos.keras")
    assert saved.medium == photos.PHOTOS and saved.targets == targets.Classes(("a", "b"))
    assert saved_model.load_model(tmp_path / "clips.keras").medium == clips.Clips(4, sampling, 3, 5)


@pytest.mark.parametrize(
    ("medium", "kinds_of_targets"),
    [
        ({"name": "photos", "newer": 1}, None), ([], None), ({"name": []}, None), ({"name": "os.path"}, None),
        ({"name": "film"}, None), (None, {"name": "classes", "class_names": None}), (None, {"name": 5}),
        (None, {"name": "classes", "class_names": ["a", "b", "c"]}), (None, "classes"),
    ],
)  # fmt: skip
def test_what_another_program_wrote_is_refused_in_one_line(tmp_path, medium, kinds_of_targets):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
    told = {"medium": medium or photos.PHOTOS.saved(), "targets": targets.Classes(("a", "b")).saved()}
    told["medium"] = medium if medium is not None else told["medium"]
    told["targets"] = kinds_of_targets or told["targets"]
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras", "a") as archive:
        for name, content in told.items():
            archive.writestr(f"{name}.json", json.dumps(content))
    with pytest.raises(errors.UserError, match="not a model file of these recipes"):
        saved_model.load_model(tmp_path)


def test_a_model_of_another_maker_is_called_that(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
    model.save(tmp_path / "model.keras")
    with pytest.raises(
        errors.UserError, match="model.keras: not a model file of these recipes .*another program wrote"
    ):
        saved_model.load_model(tmp_path)


def test_names_that_are_not_utf_8_are_kept(tmp_path):
    names = ("caf\udce9", "日本")
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    saved_model.save_model(tmp_path, saved_model.SavedModel(model, targets.Classes(names), photos.PHOTOS))
    assert saved_model.load_model(tmp_path).class_names == names
    files.write_json(tmp_path / "results.json", {"names": names})
    assert tuple(json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["names"]) == names
