import collections
import csv
import dataclasses
import io
import json
import multiprocessing
import os
import random
import sys

import helpers
import numpy as np
import PIL.Image
import pytest

from common import errors
from common.data import file_checks
from common.media import medium, photos

SKIPPED_COLUMNS = ["path", "label", "reason"]


@dataclasses.dataclass(frozen=True)
class Sample:
    path: str
    label: str = "a"
    group: str = ""
    split: str = ""


def found(path, size, digest, kind="", width=0, height=0, notes=(), problem=""):
    """Facts as `inspect` finds them."""
    return medium.Facts(
        path=path, bytes=size, sha256=digest, format=kind, width=width, height=height, notes=notes, problem=problem
    )


def picture(seed=0, width=40, height=30):
    pixels = np.random.default_rng(seed).integers(0, 256, (height // 5, width // 5, 3), dtype=np.uint8)
    return PIL.Image.fromarray(pixels).resize((width, height))


def encoded(image, picture_format, **options):
    file = io.BytesIO()
    image.save(file, picture_format, **options)
    return file.getvalue()


def save_photos(folder, count, first_seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    paths = [str(folder / f"{number}.png") for number in range(count)]
    for number, path in enumerate(paths):
        picture(first_seed + number).save(path)
    return paths


def made_up(path, content="", problem=""):
    """Facts without a file; the content is unique unless given."""
    return medium.Facts(
        path=path, bytes=10, sha256=content or f"hash of {path}", format="JPEG", width=10, height=10, problem=problem
    )


def judged(samples, contents=None, problems=None):
    """The reasons that `find_problems` gives, by path, for samples without files."""
    contents, problems = contents or {}, problems or {}
    facts = {s.path: made_up(s.path, contents.get(s.path), problems.get(s.path, "")) for s in samples}
    return {problem.path: problem.reason for problem in file_checks.find_problems(samples, facts)}


def class_of(label, count, **fields):
    return [Sample(f"{label}{number}", label, **fields) for number in range(count)]


# Facts and their cache --------------------------------------------------------------------------------------


def test_facts_come_in_order_under_the_paths_as_given(tmp_path, monkeypatch):
    paths = save_photos(tmp_path / "photos", 5)
    monkeypatch.chdir(tmp_path)
    relative = [os.path.relpath(path) for path in reversed(paths)]
    for _ in range(2):
        facts = file_checks.scan(relative + relative[:1], photos.PHOTOS, tmp_path / "cache")
        assert list(facts) == relative
        assert facts == {path: photos.inspect(path) for path in relative}


def test_nothing_to_scan(tmp_path):
    assert file_checks.scan([], photos.PHOTOS, tmp_path / "cache") == {} and file_checks.scan([], photos.PHOTOS) == {}


def forbid_opening(monkeypatch):
    monkeypatch.setattr(photos, "inspect", lambda path: pytest.fail(f"{path} was opened"))


def test_second_scan_opens_nothing(tmp_path, monkeypatch):
    paths = save_photos(tmp_path / "photos", 5)
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"no photo")
    paths.append(str(tmp_path / "photos" / "bad.jpg"))
    first = file_checks.scan(paths, photos.PHOTOS, tmp_path / "cache")
    forbid_opening(monkeypatch)
    assert file_checks.scan(paths, photos.PHOTOS, tmp_path / "cache") == first
    assert first[paths[-1]].problem.startswith("not an image")


def test_changed_and_new_files_are_read_again_and_only_those(tmp_path, monkeypatch):
    paths = save_photos(tmp_path / "photos", 5)
    file_checks.scan(paths[:4], photos.PHOTOS, tmp_path / "cache")
    picture(99, width=80).save(paths[1])
    os.utime(paths[2], ns=(1, 1))
    opened = []
    inspect = photos.inspect
    monkeypatch.setattr(photos, "inspect", lambda path: opened.append(path) or inspect(path))
    assert file_checks.scan(paths, photos.PHOTOS, tmp_path / "cache")[paths[1]].width == 80
    assert sorted(opened) == [paths[1], paths[2], paths[4]]


def test_another_version_of_the_scanner_reads_again(tmp_path, monkeypatch):
    paths = save_photos(tmp_path / "photos", 2)
    file_checks.scan(paths, photos.PHOTOS, tmp_path / "cache")
    monkeypatch.setattr(file_checks, "SCANNER_VERSION", "another")
    monkeypatch.setattr(photos, "inspect", lambda path: made_up(path))
    assert file_checks.scan(paths, photos.PHOTOS, tmp_path / "cache")[paths[0]] == made_up(paths[0])


def test_missing_files_are_found_when_they_are_back(tmp_path):
    paths = save_photos(tmp_path / "photos", 2)
    os.rename(paths[0], paths[0] + ".away")
    assert file_checks.scan(paths, photos.PHOTOS, tmp_path / "cache")[paths[0]].problem.startswith("missing")
    os.rename(paths[0] + ".away", paths[0])
    assert file_checks.scan(paths, photos.PHOTOS, tmp_path / "cache")[paths[0]].problem == ""


def test_unreadable_files_are_not_remembered(tmp_path, monkeypatch):
    paths = save_photos(tmp_path / "photos", 2)
    unreadable = medium.Facts(path=paths[0], problem="unreadable: Permission denied")
    with monkeypatch.context() as patch:
        patch.setattr(photos, "inspect", lambda path: unreadable)
        assert file_checks.scan(paths, photos.PHOTOS, tmp_path / "cache")[paths[0]] == unreadable
    assert file_checks.scan(paths, photos.PHOTOS, tmp_path / "cache")[paths[0]].problem == ""


def test_entries_of_removed_files_go(tmp_path):
    paths = save_photos(tmp_path / "photos", 4)
    file_checks.scan(paths[:3], photos.PHOTOS, tmp_path / "cache")
    os.remove(paths[0])
    file_checks.scan(paths[1:], photos.PHOTOS, tmp_path / "cache")
    (cache_file,) = (tmp_path / "cache" / "scan").iterdir()
    entries = json.loads(cache_file.read_bytes().split(b"\n", 1)[1])["files"]
    assert sorted(entries) == paths[1:]


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "junk", "other"])
def test_damaged_cache_is_rebuilt_with_a_note(tmp_path, capsys, monkeypatch, damage):
    paths = save_photos(tmp_path / "photos", 3)
    first = file_checks.scan(paths, photos.PHOTOS, tmp_path / "cache")
    (cache_file,) = (tmp_path / "cache" / "scan").iterdir()
    content = cache_file.read_bytes()
    flipped = content[:200] + bytes([content[200] ^ 1]) + content[201:]
    damaged = {"empty": b"", "cut": content[:-50], "flipped": flipped, "junk": b"\xff\0" * 99, "other": b"{}"}
    cache_file.write_bytes(damaged[damage])
    assert file_checks.scan(paths, photos.PHOTOS, tmp_path / "cache") == first
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "is damaged" in said.err
    forbid_opening(monkeypatch)
    assert file_checks.scan(paths, photos.PHOTOS, tmp_path / "cache") == first
    assert capsys.readouterr().err == ""


def test_unusable_cache_directory_is_one_line_before_the_work(tmp_path, monkeypatch):
    paths = save_photos(tmp_path / "photos", 1)
    (tmp_path / "file").write_text("")
    forbid_opening(monkeypatch)
    with pytest.raises(errors.UserError, match=r"--cache DIR, or use --no-cache$") as raised:
        file_checks.scan(paths, photos.PHOTOS, tmp_path / "file")
    assert "\n" not in str(raised.value)


def test_full_disk_is_one_line_and_leaves_no_half_file(tmp_path, monkeypatch):
    paths = save_photos(tmp_path / "photos", 1)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(errors.UserError, match="No space left on device"):
        file_checks.scan(paths, photos.PHOTOS, tmp_path / "cache")
    assert not list((tmp_path / "cache" / "scan").iterdir())


def test_an_interrupted_scan_goes_on_where_it_stopped(tmp_path, monkeypatch):
    paths = save_photos(tmp_path / "photos", 6)
    inspect = photos.inspect

    def interrupted(path):
        if path == paths[3]:
            raise KeyboardInterrupt
        return inspect(path)

    monkeypatch.setattr(photos, "inspect", interrupted)
    with pytest.raises(KeyboardInterrupt):
        file_checks.scan(paths, photos.PHOTOS, tmp_path / "cache", workers=1)
    opened = []
    monkeypatch.setattr(photos, "inspect", lambda path: opened.append(path) or inspect(path))
    file_checks.scan(paths, photos.PHOTOS, tmp_path / "cache")
    assert sorted(opened) == paths[3:]


def scan_often(paths, cache_directory):
    for end in range(1, len(paths) + 1):
        file_checks.scan(paths[:end], photos.PHOTOS, cache_directory, workers=2)


def test_processes_at_the_same_time_do_not_damage_the_cache(tmp_path, capfd):
    paths = save_photos(tmp_path / "photos", 20)
    # Fork, as TensorFlow's import would take each new process seconds; Pillow is all that they use.
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=scan_often, args=(order, tmp_path / "cache")) for order in (paths, paths[::-1])]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert capfd.readouterr().err == ""
    assert file_checks.scan(paths, photos.PHOTOS, tmp_path / "cache") == {path: photos.inspect(path) for path in paths}
    assert len(list((tmp_path / "cache" / "scan").iterdir())) == 1


# Fuzz -------------------------------------------------------------------------------------------------------


def fuzz_seeds():
    image, turned = picture(), PIL.Image.Exif()
    turned[0x0112] = 6
    deep = PIL.Image.fromarray(np.linspace(0, 65535, 1200).astype(np.uint16).reshape(30, 40))
    moving = {"save_all": True, "append_images": [picture(1)]}
    return [
        encoded(image, "JPEG", exif=turned),
        encoded(image, "JPEG", progressive=True),
        encoded(image.convert("CMYK"), "JPEG"),
        encoded(image, "MPO", **moving),
        encoded(image, "PNG", exif=turned),
        encoded(image.quantize(9), "PNG", transparency=3),
        encoded(deep, "PNG"),
        encoded(image, "PNG", **moving),
        encoded(image, "GIF"),
        encoded(image, "GIF", **moving),
        encoded(image, "WEBP"),
        encoded(image, "WEBP", lossless=True, exif=turned),
        encoded(image, "BMP"),
        encoded(image.quantize(9), "BMP"),
        encoded(image, "TIFF", exif=turned),
        encoded(image, "TIFF", compression="tiff_lzw"),
        encoded(image, "TIFF", compression="tiff_adobe_deflate"),
        encoded(image.convert("1"), "TIFF", compression="group4"),
        encoded(deep, "TIFF"),
        encoded(image, "AVIF"),
    ]


def test_200_mutated_files(tmp_path, capfd, recwarn):
    chance = random.Random(0)
    seeds = fuzz_seeds()
    paths = []
    for number in range(200):
        paths.append(str(tmp_path / f"{number}.jpg"))
        with open(paths[-1], "wb") as file:
            file.write(helpers.mutated(seeds[number % len(seeds)], chance.choice(seeds), chance, head=100))
    facts = file_checks.scan(paths, photos.PHOTOS, tmp_path / "cache")
    assert list(facts) == paths
    for path, found in facts.items():
        if found.problem:
            assert found.problem.isprintable() and ": " in found.problem
            with pytest.raises(photos.ImageError):
                photos.read(path)
        else:
            assert photos.read(path).shape == (found.height, found.width, 3)
    # The blows are neither weak nor always deadly.
    assert 10 < sum(not found.problem for found in facts.values()) < 190
    assert not recwarn.list
    said = capfd.readouterr()
    assert said.out == "" and not [line for line in said.err.splitlines() if "photo/s" not in line]


# Judging ----------------------------------------------------------------------------------------------------


def test_bad_files_are_problems():
    samples = class_of("a", 4) + class_of("b", 3)
    assert judged(samples) == {}
    assert judged(samples, problems={"a1": "empty: zero bytes"}) == {"a1": "empty: zero bytes"}


def test_same_content_in_two_classes_names_the_other_file():
    samples = class_of("a", 5) + class_of("b", 5)
    reasons = judged(samples, contents={"a0": "same", "a1": "same", "b4": "same"})
    assert list(reasons) == ["a0", "a1", "b4"]
    assert all("b4 in class 'b'" in reasons[path] for path in ("a0", "a1"))
    assert reasons["b4"].startswith("in two classes") and "in class 'a'" in reasons["b4"]


def test_same_content_in_two_given_splits():
    samples = class_of("a", 4, split="train") + [
        Sample("t0", "a", split="test"),
        Sample("t1", "a", split="test"),
    ]
    reasons = judged(samples, contents={"a0": "same", "t1": "same"})
    assert reasons == {
        "a0": "in two splits: the same content is t1 in test; keep one of them",
        "t1": "in two splits: the same content is a0 in train; keep one of them",
    }


def test_same_content_within_one_class_and_split_is_fine():
    contents = {"a0": "same", "a1": "same"}
    assert judged(class_of("a", 4), contents) == {}
    assert judged(class_of("a", 4, split="train"), contents) == {}


def test_broken_files_with_the_same_content_are_no_contradiction():
    samples = class_of("a", 4) + class_of("b", 4)
    reasons = judged(samples, {"a0": "empty", "b0": "empty"}, {"a0": "empty: 0", "b0": "empty: 0"})
    assert reasons == {"a0": "empty: 0", "b0": "empty: 0"}


def test_class_with_too_few_photos():
    samples = class_of("a", 3) + class_of("b", 3)
    reasons = judged(samples, problems={"b1": "truncated: cut"})
    too_few = "class 'b' has only 2 usable photos, needs at least 3"
    assert reasons == {"b0": too_few, "b1": "truncated: cut", "b2": too_few}


def test_copies_count_once_for_the_size_of_a_class():
    reasons = judged(class_of("a", 3), contents=dict.fromkeys(["a0", "a1", "a2"], "same"))
    assert set(reasons.values()) == {"class 'a' has only 1 usable photo, needs at least 3"}


def test_class_without_any_usable_photo_is_reported():
    reasons = judged(class_of("a", 3) + class_of("b", 1), problems={"b0": "empty: 0"})
    assert reasons == {"b0": "empty: 0 | class 'b' has no usable photo, needs at least 3"}


def test_what_is_left_has_no_problems():
    chance = random.Random(0)
    for _ in range(300):
        samples = [
            Sample(f"{number}.jpg", chance.choice("abc"), split=chance.choice(("train", "test")))
            for number in range(chance.randrange(1, 25))
        ]
        facts = {
            sample.path: made_up(sample.path, str(chance.randrange(30)), chance.choice(("", "", "bad: x")))
            for sample in samples
        }
        bad = {problem.path for problem in file_checks.find_problems(samples, facts)}
        left = [sample for sample in samples if sample.path not in bad]
        assert file_checks.find_problems(left, facts) == []


def test_thousands_of_copies_are_judged_at_once():
    samples = class_of("a", 5_000) + class_of("b", 5_000)
    assert len(judged(samples, contents={sample.path: "same" for sample in samples})) == 10_000


# Acting -----------------------------------------------------------------------------------------------------


def many_bad(count):
    samples = class_of("a", 600) + class_of("b", 5)
    facts = {sample.path: made_up(sample.path) for sample in samples}
    facts |= {f"a{i}": made_up(f"a{i}", problem="truncated: cut; copy again") for i in range(count)}
    return samples, facts


def test_nothing_bad_changes_nothing(tmp_path):
    samples, facts = many_bad(0)
    assert file_checks.apply(samples, facts, skipped_csv=tmp_path / "skipped.csv") == samples
    assert not list(tmp_path.iterdir())


def test_500_bad_files_stop_the_run_in_one_line_and_leave_no_file(tmp_path, capsys):
    samples, facts = many_bad(500)
    skipped_csv = tmp_path / "new" / "skipped.csv"
    with pytest.raises(errors.UserError) as raised:
        file_checks.apply(samples, facts, skipped_csv=skipped_csv)
    assert str(raised.value) == (
        "500 of 605 photos cannot be used: a0 (truncated: cut; copy again), a1 (truncated: cut; copy again), "
        "a2 (truncated: cut; copy again), and 497 more; "
        "remove or replace them, or leave them out with --skip-bad"
    )
    assert not skipped_csv.parent.exists()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "a0: truncated: cut; copy again" and len(lines) == 500


def test_on_a_terminal_the_first_are_printed(capsys, monkeypatch):
    samples, facts = many_bad(500)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with pytest.raises(errors.UserError):
        file_checks.apply(samples, facts)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "… and 480 more; 2> FILE writes all of them to a file" and len(lines) == 21


def test_skip_bad_leaves_them_out_and_lists_them(tmp_path):
    samples = class_of("a", 4) + class_of("b", 3) + class_of("c", 3)
    samples.append(Sample('odd "name",\nwith a newline \udcff.jpg', "a"))
    facts = {sample.path: made_up(sample.path) for sample in samples}
    facts["c0"] = made_up("c0", problem="empty: zero bytes")
    facts[samples[-1].path] = made_up(samples[-1].path, problem="damaged: x")
    left = file_checks.apply(samples, facts, skip_bad=True, skipped_csv=tmp_path / "skipped.csv")
    assert left == samples[:7]
    with open(tmp_path / "skipped.csv", newline="", errors="surrogateescape") as file:
        rows = list(csv.reader(file))
    too_few = "class 'c' has only 2 usable photos, needs at least 3"
    assert rows == [
        SKIPPED_COLUMNS,
        ["c0", "c", "empty: zero bytes"],
        ["c1", "c", too_few],
        ["c2", "c", too_few],
        [samples[-1].path, "a", "damaged: x"],
    ]


def test_skip_bad_does_not_go_on_with_one_class():
    samples = class_of("a", 4) + class_of("b", 2)
    facts = {sample.path: made_up(sample.path) for sample in samples}
    with pytest.raises(errors.UserError, match="fewer than two classes are left"):
        file_checks.apply(samples, facts, skip_bad=True)


def test_a_list_that_fits_into_the_message_is_not_printed_too(capsys):
    samples, facts = many_bad(2)
    with pytest.raises(errors.UserError, match="a0 .*a1 "):
        file_checks.apply(samples, facts)
    assert capsys.readouterr().err == ""


def test_problems_are_counted_by_their_kind():
    reasons = [
        "in two classes: the same content is b in class 'dog'; keep the right one | in two splits: the same content",
        "in two classes: the same content is a in class 'cat'; keep the right one",
        "truncated: cut; copy again", "metadata.csv, line 7: no diagnosis: fill it in or remove the row",
    ]  # fmt: skip
    problems = [file_checks.Problem(f"{number}.jpg", "cat", reason) for number, reason in enumerate(reasons)]
    assert file_checks.kinds_of(problems) == "2 in two classes, 1 truncated, 1 no diagnosis"


def test_names_with_control_characters_stay_on_one_line():
    samples = class_of("a", 4) + class_of("b", 4) + [Sample("a\n\x1b[31m.jpg", "a")]
    facts = {sample.path: made_up(sample.path) for sample in samples}
    facts[samples[-1].path] = made_up(samples[-1].path, problem="damaged: x")
    with pytest.raises(errors.UserError) as raised:
        file_checks.apply(samples, facts)
    assert str(raised.value).isprintable() and r"a\n\x1b[31m.jpg (damaged: x)" in str(raised.value)


def test_skipped_csv_that_cannot_be_written(tmp_path):
    samples, facts = many_bad(1)
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.UserError, match="choose another --out"):
        file_checks.apply(samples, facts, skip_bad=True, skipped_csv=tmp_path / "file" / "skipped.csv")


def test_real_files_from_scan_to_skipped(tmp_path):
    paths = save_photos(tmp_path / "a", 4) + save_photos(tmp_path / "b", 4, first_seed=50)
    (tmp_path / "a" / "0.png").write_bytes(b"<html>not found</html>")
    (tmp_path / "b" / "1.png").write_bytes((tmp_path / "b" / "0.png").read_bytes())
    (tmp_path / "b" / "4.png").write_bytes((tmp_path / "a" / "3.png").read_bytes())
    paths.append(str(tmp_path / "b" / "4.png"))
    samples = [Sample(path, os.path.basename(os.path.dirname(path))) for path in paths]
    problems = file_checks.find_problems(samples, file_checks.scan(paths, photos.PHOTOS))
    kinds = collections.Counter(problem.reason.split(":")[0] for problem in problems)
    # Two photos are left of class a, which is too few: the contradiction took one, the page another.
    assert kinds == {
        "not an image": 1,
        "in two classes": 2,
        "class 'a' has only 2 usable photos, needs at least 3": 2,
    }


def test_summary():
    facts = {
        "1": found("1", 100, "x", "JPEG", 40, 30, ("grey",)),
        "2": found("2", 200, "y", "JPEG", 20, 10, ("grey", "EXIF rotation applied")),
        "3": found("3", 300, "z", "PNG", 10, 90),
        "4": found("4", 0, "", problem="animated: 3 frames; save one"),
        "5": found("5", 7, "v", problem="animated: 5 frames; save one"),
    }
    summary = file_checks.summarise(facts)
    assert summary == {
        "files": 5,
        "usable": 3,
        "bytes": 607,
        "smallest": [20, 10],
        "median": [20, 30],
        "largest": [40, 30],
        "formats": {"JPEG": 2, "PNG": 1},
        "notes": {"grey": 2, "EXIF rotation applied": 1},
        "problems": {"animated": 2},
    }
    assert json.loads(json.dumps(summary)) == summary


def test_summary_of_nothing_usable():
    facts = {"1": found("1", 0, "", problem="missing: x")}
    summary = file_checks.summarise(facts)
    assert (summary["usable"], summary["median"], summary["smallest"]) == (0, None, None)
