"""A source and a new domain: what is read, what is hidden, and what comes back for the test."""

import types

import numpy as np
import pytest
from PIL import Image

from common import errors
from common.data import domains, photo_domains, sample_list
from common.media import photos
from common.training import settings


def write(folder, classes, count, seed):
    random = np.random.default_rng(seed)
    for label in classes:
        (folder / label).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 256, (16, 16, 3)).astype("uint8")
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("domains")
    ours, theirs = write(folder / "ours", "abc", 8, 0), write(folder / "theirs", "AB", 8, 1)
    config = settings.PhotoConfig(data=str(ours), cache=folder / "cache")
    return photo_domains.load(config, folder / "run", photos.Photos(), str(theirs), 0)


def test_half_adapts_without_labels_and_half_tests(loaded):
    assert (loaded.name, loaded.adapting, len(loaded.paths())) == ("theirs", ("train", "validation"), 8)
    hidden = [one for side in sample_list.SPLIT_NAMES for one in getattr(loaded.target, side)]
    assert {one.label for one in hidden} == {domains.HIDDEN} and len(hidden) == 16
    assert loaded.target.class_names == () and set(loaded.target.labels("test")) == {0}


def test_labels_come_back_for_the_test_spelled_as_in_the_source(loaded):
    judged = loaded.judged()
    assert judged.class_names == ("a", "b", "c") and len(judged.test) == 8
    assert all(one.label == one.path.split("/")[-2].lower() for one in judged.test)
    assert judged.train == loaded.source.train and len(judged.contents("test")) == 8


def test_few_are_drawn_from_the_adapting_half_or_listed(loaded, tmp_path, capsys):
    few, every = loaded.few(2, None, 0), loaded.every()
    assert sorted(few.values()) == [0, 0, 1, 1] and set(few) <= set(range(8)) and few.items() <= every.items()
    assert few == loaded.few(2, None, 0) and loaded.few(0, None, 0) == {}
    table = tmp_path / "few.csv"
    table.write_text(f"path,label\n{loaded.paths()[3]},B\n{loaded.target.test[0].path},a\n")
    assert loaded.few(2, table, 0) == {3: 1}
    assert "1 photo of --new-labels is in the test half of theirs, and so not used" in capsys.readouterr().err
    table.write_text(f"path,label\n{loaded.source.train[0].path},b\n")
    with pytest.raises(errors.UserError, match="is not among the photos of --new-domain"):
        loaded.few(2, table, 0)


def test_the_split_of_the_run_has_both_domains(loaded, tmp_path):
    loaded.write(tmp_path / "split.csv")
    rows = sample_list.read_csv(tmp_path / "split.csv")
    sides = {(one.about["domain"], one.split) for one in rows}
    assert sides == {("source", "train"), ("source", "validation"), ("theirs", "train"), ("theirs", "test")}


def test_the_demos_styles_are_named_if_another_is_asked_for():
    config = types.SimpleNamespace(new_domain=("snow",), cache_directory=None)
    with pytest.raises(errors.UserError, match="the demo's styles are dusk, fog, pencil"):
        photo_domains.demo(config)
