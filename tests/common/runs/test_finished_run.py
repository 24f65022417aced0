import pytest

from common import errors
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


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", '{"recipe": "x", "conf'), ("config.json", "[]"), ("results.json", ""), ("results.json", None),
        ("history.csv", "epoch,loss\n1,much\n"), ("predictions.csv", "path,label,confidence\na,b,sure\n"),
        ("split.csv", "a.jpg,cat,,train\nb.jpg,dog,,test\n"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_told_in_one_line(tmp_path, name, content):
    (tmp_path / "config.json").write_text('{"recipe": "x", "config": {}}')
    (tmp_path / "results.json").write_text("{}")
    assert finished_run.FinishedRun.read(tmp_path).results == {}
    (tmp_path / name).unlink(missing_ok=True)
    if content is None:
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_text(content)
    with pytest.raises(errors.UserError, match=f"{name} is damaged|Is a directory; it belongs") as caught:
        finished_run.FinishedRun.read(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["[]", "NaN", "[" * 200_000])
def test_json_that_is_no_object_is_damage(tmp_path, content):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(errors.UserError, match="results.json is damaged"):
        finished_run.target_of(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("predictions.csv", "path,label\na,b\n", "predictions.csv has 1 row, and the test had 2"),
        ("history.csv", "", "history.csv is gone or empty"),
    ],
)
def test_tables_that_lack_rows_are_refused(tmp_path, name, content, message):
    (tmp_path / "config.json").write_text('{"recipe": "x", "config": {}}')
    (tmp_path / "results.json").write_text('{"test": {"n": 2}, "cost": {"epochs": 1}}')
    (tmp_path / "predictions.csv").write_text("path,label\na,b\nc,b\n")
    (tmp_path / "history.csv").write_text("epoch,loss\n1,0.5\n")
    finished_run.FinishedRun.read(tmp_path).check_complete()
    (tmp_path / name).write_text(content)
    with pytest.raises(errors.UserError, match=message):
        finished_run.FinishedRun.read(tmp_path).check_complete()


@pytest.mark.parametrize("link", [None, "nothing", "results.json"])
def test_a_file_that_is_gone_is_named(tmp_path, link):
    (tmp_path / "config.json").write_text('{"recipe": "x", "config": {}}')
    if link:
        (tmp_path / "results.json").symlink_to(link)
    with pytest.raises(errors.UserError, match="results.json: .*; it belongs to a run, so put back a copy of it"):
        finished_run.Result.read(tmp_path)


def test_a_byte_order_mark_is_no_part_of_a_column(tmp_path):
    (tmp_path / "split.csv").write_text("\ufeffpath,label,split\na,b,test\n", encoding="utf-8")
    assert finished_run.read_rows(tmp_path / "split.csv") == [{"path": "a", "label": "b", "split": "test"}]
