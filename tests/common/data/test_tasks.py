"""Tasks are split on their own, and what an earlier task has trained on is never tested."""

import dataclasses
import functools
import shutil

import pytest

from common import errors
from common.data import sample_list, tasks
from common.demo import drawn_styles
from common.media import photos
from common.training import settings


def some(labels, **about):
    return [sample_list.Sample(f"{number}.jpg", label, about=about) for number, label in enumerate(labels)]


def load(sources, tmp_path, name="run", parted=None, earlier=(), known=(), **changed):
    config = settings.PhotoConfig(cache=tmp_path / "cache", **changed)
    return tasks.load(
        [str(each) for each in sources], parted, config, tmp_path / name, photos.Photos(), list(earlier), known
    )


@pytest.fixture
def january(stripes, tmp_path):
    """A source with one class, `across`; the other class stays in the folder of `stripes`."""
    (tmp_path / "january").mkdir()
    (stripes / "across").rename(tmp_path / "january" / "across")
    return tmp_path / "january"


@pytest.mark.quick
@pytest.mark.parametrize(("sizes", "expected"), [("2", ["a + b", "c + d", "e"]), ("1,4", ["a", "b + c + d + e"])])
def test_by_class_takes_the_classes_in_order(sizes, expected):
    found = tasks.by_class(some("edcbaabc"), sizes)
    assert list(found) == expected
    assert sum(map(len, found.values())) == 8


@pytest.mark.quick
@pytest.mark.parametrize("sizes", ["0", "two", "3,1", "2,,3"])
def test_by_class_refuses_other_sizes(sizes):
    with pytest.raises(errors.UserError, match=f"--tasks by-class {sizes}: (must be|adds up to 4)"):
        tasks.by_class(some("abcde"), sizes)


@pytest.mark.quick
def test_by_column_takes_the_values_as_they_come():
    samples = [*some("ab", place="north"), *some("ab", place="east")]
    assert list(tasks.by_column(samples, "place")) == ["north", "east"]
    with pytest.raises(errors.UserError, match="no camera"):
        tasks.by_column(samples, "camera")


@pytest.mark.quick
@pytest.mark.parametrize(("classes", "wanted", "found"), [
    (["ab", "cd"], None, "class"), (["ab", "ba"], None, "domain"), (["ab", "ab"], "task", "task"),
    (["ab"], None, "class"), (["ab"], "domain", "domain"), (["ab", "abc"], None, "class"),
    (["abc", "ca"], None, "domain"),
])  # fmt: skip
def test_the_scenario_is_found_from_the_classes(classes, wanted, found):
    assert tasks.scenario_of(classes, wanted) == found


@pytest.mark.quick
def test_a_scenario_that_does_not_suit_the_classes_is_refused():
    with pytest.raises(errors.UserError, match="no later task has a new class, which is --scenario domain"):
        tasks.scenario_of(["ab", "ab"], "class")
    with pytest.raises(errors.UserError, match="later tasks have new classes"):
        tasks.scenario_of(["ab", "cd"], "domain")


def test_a_task_next_month_has_the_split_that_it_has_in_one_go(january, stripes, tmp_path):
    both = load([january, stripes], tmp_path, "both")
    assert [(task.name, task.classes) for task in both] == [("january", ("across",)), ("photos", ("down",))]
    (first,) = load([january], tmp_path, "first")
    (second,) = load([stripes], tmp_path, "second", earlier=tasks.listed(first.splits), known=["january"])
    assert tasks.listed(first.splits) == tasks.listed(both[0].splits)
    assert tasks.listed(second.splits) == tasks.listed(both[1].splits)
    whole = tasks.together(both, ["across", "down"])
    assert whole.class_names == ("across", "down")
    assert [sample.about["task"] for sample in whole.test] == ["january"] * 2 + ["photos"] * 2
    assert len(whole.train) == 22 and len(whole.content_of) == 30


def test_a_task_that_was_learnt_before_is_refused(january, tmp_path):
    (first,) = load([january], tmp_path, "first")
    with pytest.raises(errors.UserError, match="task january: all of its training photos are in earlier tasks"):
        load([january], tmp_path, "second", earlier=tasks.listed(first.splits))


def test_a_photo_that_has_trained_is_not_tested_later(january, stripes, tmp_path, capsys):
    (first,) = load([january], tmp_path, "first")
    trained, tested = first.splits.train[0].path, first.splits.test[0].path
    (second,) = load([stripes], tmp_path, "plain")
    for copied, over in ((trained, second.splits.test[0]), (tested, second.splits.train[0])):
        shutil.copy(copied, over.path)
    (moved,) = load([stripes], tmp_path, "second", earlier=tasks.listed(first.splits))
    side_of = {sample.path: sample.split for sample in tasks.listed(moved.splits)}
    assert side_of[second.splits.test[0].path] == "train" and side_of[second.splits.train[0].path] == "test"
    said = capsys.readouterr().err
    assert "2 photos of task photos or others of their group are in earlier tasks" in said
    assert "2 photos of task photos had another class in an earlier task" in said


def test_a_group_stays_on_the_side_that_it_has_in_an_earlier_task(january, stripes, tmp_path):
    (first,) = load([january], tmp_path, "first", group_pattern=r"^(\d+)$")
    (second,) = load([stripes], tmp_path, "second", group_pattern=r"^(\d+)$", seed=3,
                     earlier=tasks.listed(first.splits))  # fmt: skip
    side_of = {sample.group: sample.split for sample in tasks.listed(first.splits)}
    assert len(side_of) == 15
    assert all(sample.split == side_of[sample.group] for sample in tasks.listed(second.splits))


def test_a_class_that_is_left_without_a_side_stops_the_run(january, stripes, tmp_path):
    (first,) = load([january], tmp_path, "first", group_pattern=r"^(\d+)$")
    trained = [dataclasses.replace(sample, split="train") for sample in tasks.listed(first.splits)]
    with pytest.raises(errors.UserError, match="task photos, after the photos of earlier tasks.*no item of class"):
        load([stripes], tmp_path, "second", group_pattern=r"^(\d+)$", earlier=trained)


def test_a_class_spelt_in_another_way_and_names_that_are_taken(january, stripes, tmp_path):
    (stripes / "down").rename(stripes / "Across")
    with pytest.raises(errors.UserError, match="class 'Across' is spelt 'across' in an earlier task"):
        load([january, stripes], tmp_path)
    shutil.rmtree(tmp_path / "run")
    assert [task.name for task in load([january], tmp_path, known=["january"])] == ["january 2"]
    with pytest.raises(errors.UserError, match="--tasks parts one source"):
        load([january, stripes], tmp_path, parted=("by-class", "1"))


def test_a_column_task_parts_a_csv(stripes, tmp_path):
    lines = [f"{path},{path.parent.name},{path.parent.name[0]}" for path in sorted(stripes.glob("*/*.jpg"))]
    (tmp_path / "all.csv").write_text("\n".join(["path,label,task", *lines]) + "\n")
    assert [task.name for task in load([tmp_path / "all.csv"], tmp_path)] == ["a", "d"]


def test_the_demo_has_other_domains(tmp_path, monkeypatch):
    few = functools.partial(drawn_styles.write_photos, per_class=10, size=32)
    monkeypatch.setattr(drawn_styles, "write_photos", few)
    dusk, fog = load(["demo:dusk", "demo:fog"], tmp_path)
    assert dusk.classes == fog.classes and len(dusk.classes) == 6
    assert tasks.scenario_of([dusk.classes, fog.classes], None) == "domain"
    assert [len(each.splits.labels("test")) for each in (dusk, fog)] == [36, 36]  # six of ten, as in other demos
    with pytest.raises(errors.UserError, match="--data demo:rain: there is no such demo; give demo:dusk, demo:fog"):
        load(["demo:rain"], tmp_path, "other")


def listing(folder, name, rows):
    """A CSV of photos in `folder` with label and group."""
    path = folder / name
    path.write_text("path,label,group\n" + "".join(f"{photo},{label},{group}\n" for photo, label, group in rows))
    return path


def with_earlier_task(stripes, tmp_path):
    """Class → all photos, and a task of eight of each, every one a group of its own."""
    photos_of = {label: sorted((stripes / label).iterdir()) for label in ("across", "down")}
    first = listing(tmp_path, "first.csv", [
        (path, label, f"{label}{number}") for label, paths in photos_of.items() for number, path in enumerate(paths[:8])
    ])  # fmt: skip
    (earlier,) = load([first], tmp_path, "first")
    return photos_of, earlier


def test_a_whole_group_takes_the_side_of_its_photo_in_an_earlier_task(stripes, tmp_path, capsys):
    photos_of, earlier = with_earlier_task(stripes, tmp_path)
    # Each group of the second task has one photo of a side of the first, and one that is new.
    old = {label: [next(one.path for one in side if one.label == label) for side in (
        earlier.splits.train, earlier.splits.validation, earlier.splits.test
    )] for label in photos_of}  # fmt: skip
    second = listing(tmp_path, "second.csv", [
        (path, label, f"new {label}{number % 3}")
        for label, paths in photos_of.items()
        for number, path in enumerate([*old[label], *paths[8:11]])
    ])  # fmt: skip
    (task,) = load([second], tmp_path, "second", earlier=tasks.listed(earlier.splits))
    side_of = {sample.path: sample.split for sample in tasks.listed(earlier.splits)}
    sides = {}
    for sample in tasks.listed(task.splits):
        assert sample.split == side_of.get(sample.path, sample.split)
        sides.setdefault(sample.group, set()).add(sample.split)
    assert len(sides) == 6 and all(len(each) == 1 for each in sides.values())
    assert "12 photos of task second.csv or others of their group are in earlier tasks" in capsys.readouterr().err


def test_what_is_on_two_sides_in_earlier_tasks_is_left_out(stripes, tmp_path, capsys):
    photos_of, earlier = with_earlier_task(stripes, tmp_path)
    trained, tested = (next(one for one in side if one.label == "down") for side in (
        earlier.splits.train, earlier.splits.test
    ))  # fmt: skip
    rows = [(path, label, f"{label} {number}") for label, paths in photos_of.items() for number, path in
            enumerate(paths[8:])]  # fmt: skip
    second = listing(tmp_path, "second.csv", [*rows, (trained.path, "down", "both"), (tested.path, "down", "both")])
    (task,) = load([second], tmp_path, "second", earlier=tasks.listed(earlier.splits))
    assert not {trained.path, tested.path} & {sample.path for sample in tasks.listed(task.splits)}
    assert "2 photos of task second.csv are left out" in capsys.readouterr().err


def test_the_column_of_the_tasks_is_read_and_must_be_filled(stripes, tmp_path, capsys):
    path = tmp_path / "all.csv"
    photos_of = {label: sorted((stripes / label).iterdir()) for label in ("across", "down")}
    rows = [f"{each},{label},{'one' if number % 2 else 'two'}" for label, paths in photos_of.items() for number, each in
            enumerate(paths)]  # fmt: skip
    path.write_text("\n".join(["path,label,camera", *rows]) + "\n")
    assert len(load([path], tmp_path, "named", parted=("by-column", "camera"))) == 2
    assert "not read" not in capsys.readouterr().err
    path.write_text("\n".join(["path,label,task", *rows[:-1], rows[-1].rpartition(",")[0] + ","]) + "\n")
    with pytest.raises(errors.UserError, match="no task"):
        load([path], tmp_path, "empty")


@pytest.mark.quick
def test_orders_are_all_that_there_are_at_most():
    assert tasks.orders(3, 10**6, 0)[0] == [0, 1, 2] and len(tasks.orders(3, 10**6, 0)) == 6
    assert len(tasks.orders(9, 5, 0)) == 5
