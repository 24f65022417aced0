import pathlib

import pytest

from common import errors
from common.data import sides

pytestmark = pytest.mark.quick
WHERE = pathlib.Path("data")


def of(*names, holds_classes=()):
    found = sides.of_folders([WHERE / name for name in names], lambda folder: folder.name in holds_classes, WHERE)
    return {folder.name: side for folder, side in found.items()}


@pytest.mark.parametrize(
    ("side", "names"),
    [
        ("train", "train Training TRN training_set train-set train_images train2017 Trainset"),
        ("validation", "val valid validation dev devel development eval Evaluation valid_set val2017 dev-set"),
        ("test", "test Testing tst test_set holdout hold-out held_out testset"),
        ("", "extra unsup trainer testament devices cats set dataset train1 2017"),
    ],
)
def test_names(side, names):
    assert {sides.side_of(name) for name in names.split()} == {side}
    assert sides.side_of("test data") == "test"


@pytest.mark.parametrize("validation", ["dev", "eval", "validation", "val", "valid_set"])
def test_sides_that_people_name(validation, capsys):
    assert of("train", validation, "test") == {"train": "train", validation: "validation", "test": "test"}
    said = f"data: data: {validation!r} as validation\n" if validation in ("dev", "eval", "valid_set") else ""
    assert capsys.readouterr().err == said


def test_an_unknown_folder_beside_two_sides_stops_the_run():
    with pytest.raises(errors.UserError, match="data: extra is beside the split folders test and train; name the"):
        of("extra", "test", "train")


def test_an_unknown_folder_beside_one_side_stops_the_run_if_that_has_classes():
    with pytest.raises(errors.UserError, match="a, b, c and 1 more are beside the split folder train"):
        of("a", "b", "c", "d", "train", holds_classes={"train"})


def test_a_class_may_be_called_train():
    assert of("bus", "car", "train") == {}


def test_two_names_for_one_side_stop_the_run():
    with pytest.raises(errors.UserError, match="'dev' and 'eval' all mean the validation side"):
        of("train", "dev", "eval")
    assert of("train", "Train")  # one name in two spellings
