import pytest

from common.runs import finished_run


@pytest.mark.parametrize(
    ("results", "sections", "unit"),
    [
        ({"sections": ["classes"], "medium": "photos"}, ["classes"], "photo"),
        ({"sections": ["classes", "motion"], "medium": "clips", "clips": {}}, ["classes", "motion"], "clip"),
        ({"sections": ["writing"], "medium": "texts"}, ["writing"], "document"),
        ({"sections": ["text_classes"], "medium": "texts"}, ["text_classes"], "document"),
        ({"sections": ["classes"], "medium": "photos", "clinic": {}}, ["classes"], "photo"),  # what it names counts
    ],
)
def test_a_run_names_its_sections_and_its_medium(results, sections, unit):
    assert finished_run.sections_of(results) == sections and finished_run.medium_of(results).unit == unit


@pytest.mark.parametrize(
    ("results", "sections", "unit"),
    [
        ({"test": {}}, ["classes"], "photo"),
        ({"test": {}, "clinic": {}}, ["classes", "clinical"], "photo"),
        ({"test": {}, "clips": {}}, ["classes", "motion"], "clip"),
        ({"test": {}, "task": "classify"}, ["text_classes"], "document"),
        ({"sections": ["writing"], "medium": "texts", "task": "classify"}, ["text_classes"], "document"),
        ({"sections": ["writing"], "medium": "texts", "task": "generate"}, ["writing"], "document"),
        ({"test": {}, "task": "generate"}, ["writing"], "document"),
    ],
)
def test_those_of_older_versions_are_told_by_what_they_found(results, sections, unit):
    assert finished_run.sections_of(results) == sections and finished_run.medium_of(results).unit == unit


def test_a_result_knows_its_unit(tmp_path):
    assert finished_run.Result(tmp_path, {"medium": "clips"}).unit == "clip"
