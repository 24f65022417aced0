"""Shortcuts: properties that tell the classes are found, others are not, and groups stay whole."""

import numpy as np
import pytest
from PIL import Image

from common.data import dataset, sample_list, splits, targets
from common.evaluation import shortcuts
from common.media import photos
from common.training import settings

pytestmark = pytest.mark.quick


def made(properties, labels, groups=None):
    """Return splits of items with these properties, a third on each side."""
    samples = [
        sample_list.Sample(
            f"{number}.jpg", label, groups[number] if groups else "", sample_list.SPLIT_NAMES[number % 3]
        )
        for number, label in enumerate(labels)
    ]
    told = {sample.path: each for sample, each in zip(samples, properties, strict=True)}
    contents = {sample.path: sample.path for sample in samples}
    return splits.Splits.of("", photos.PHOTOS, targets.CLASSES, samples, {}, contents, properties=told)


def test_a_height_that_tells_the_classes_is_a_warning():
    labels = ["cat", "dog", "owl"] * 40
    height = {"cat": 100, "dog": 200, "owl": 300}
    found = shortcuts.evaluate(made([{"height": height[label], "format": "JPEG"} for label in labels], labels))
    told = found["file"]
    assert told["is_warning"] and told["balanced_accuracy"] == 1 and told["interval"][0] > 0.9
    assert told["n"] == 120 and told["chance"] == pytest.approx(1 / 3, abs=1e-4)
    assert [each["name"] for each in told["properties"]] == ["height"]
    assert told["properties"][0]["per_class"] == {"cat": "100", "dog": "200", "owl": "300"}
    sentences = shortcuts.sentences(found, "photo")
    assert sentences[0].startswith("the files' properties alone would have 100% right")
    assert "the tree uses height; it finds cat, dog and owl best" in sentences
    assert "save the photos of all classes alike" in sentences[-1]


def test_a_kind_of_quantisation_table_tells_one_class_of_three():
    generator = np.random.default_rng(0)
    labels = ["cat", "dog", "owl"] * 40
    tables = [{"JPEG quantisation tables": "a1" if label == "owl" else "b2", "width": float(width)}
              for label, width in zip(labels, generator.normal(size=120), strict=True)]  # fmt: skip
    told = shortcuts.evaluate(made(tables, labels))["file"]
    assert told["is_warning"] and told["classes"][0]["name"] == "owl" and told["classes"][0]["recall"] == 1
    assert told["properties"][0]["per_class"]["owl"] == "a1 (100%)"


@pytest.mark.parametrize("seed", range(5))
def test_properties_by_chance_are_no_warning(seed):
    generator = np.random.default_rng(seed)
    properties = [{"width": value, "size in bytes": other} for value, other in generator.normal(size=(120, 2))]
    found = shortcuts.evaluate(made(properties, ["cat", "dog", "owl"] * 40))
    assert set(found) == {"file", "content"} and shortcuts.warning(found) is None
    assert len(shortcuts.sentences(found, "photo")) == 2


def test_what_the_content_decides_needs_more_to_be_a_warning():
    generator = np.random.default_rng(0)
    labels = ["cat", "dog"] * 100
    faint = [{"width": 1.0, "red of the border": value + (label == "dog")}
             for label, value in zip(labels, generator.normal(size=200), strict=True)]  # fmt: skip
    found = shortcuts.evaluate(made(faint, labels))
    assert 0.6 < found["content"]["balanced_accuracy"] < 0.75 and not shortcuts.warning(found)
    clear = [{"width": 1.0, "red of the border": 10.0 * (label == "dog")} for label in labels]
    found = shortcuts.evaluate(made(clear, labels))
    assert shortcuts.warning(found) is found["content"] and not found["file"]["is_warning"]
    assert "backgrounds" in shortcuts.sentences(found, "photo")[-1]


def test_a_property_of_a_group_does_not_tell_the_class_of_other_groups():
    groups = [str(number // 10) for number in range(200)]
    labels = ["cat" if int(group) % 2 else "dog" for group in groups]
    widths = np.random.default_rng(1).permutation(20)
    properties = [{"width": float(widths[int(group)])} for group in groups]
    assert shortcuts.evaluate(made(properties, labels))["file"]["balanced_accuracy"] > 0.95
    assert not shortcuts.warning(shortcuts.evaluate(made(properties, labels, groups)))


def test_nothing_to_compare_is_no_result():
    assert shortcuts.evaluate(made([{}] * 20, ["cat", "dog"] * 10)) == {}  # an older split without properties
    assert shortcuts.evaluate(made([{"width": 1.0}] * 6, ["cat", "dog"] * 3)) == {}  # fewer groups than folds
    assert shortcuts.sentences({}, "photo") == []


def test_a_failure_is_a_line_and_no_error(capsys):
    data = made([{"width": float("inf")}] * 40, ["cat", "dog"] * 20)
    assert shortcuts.evaluate(data) == {}
    assert capsys.readouterr().err.startswith("shortcuts: not looked for (ValueError")


def test_photos_saved_in_two_ways_are_found_from_their_files(tmp_path):
    generator = np.random.default_rng(0)
    for label, quality in (("cat", 60), ("dog", 95)):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(20):
            pixels = generator.integers(256, size=(40, 40, 3), dtype="uint8")
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{number}.jpg", quality=quality)
    config = settings.PhotoConfig(data=str(tmp_path / "photos"), cache=tmp_path / "cache")
    for _ in range(2):  # the second time from the cache of the scan
        data = dataset.load(config, tmp_path, photos.Photos())
        told = shortcuts.evaluate(data)["file"]
        assert told["is_warning"] and told["balanced_accuracy"] == 1
        assert told["properties"][0]["name"] in ("JPEG compression", "JPEG quantisation tables")
