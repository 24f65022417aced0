"""A data set with all that systems, tools and people leave in it, for every medium and every command that reads it."""

import csv
import types

import litter
import numpy as np
import pytest
import tiny_clips
from PIL import Image

from common import errors
from common.data import clip_groups, documents, labelled, metadata_table, sources
from common.media import clips, photos, texts

pytestmark = pytest.mark.quick
CLASSES = ("cats", "dogs")
COUNT = 4  # items of a class


def draw(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)).save(path)


def photo(folder, seed):
    draw(folder / f"{seed}.jpg", seed)
    return folder / f"{seed}.jpg"


def clip(folder, seed):
    folder.mkdir(parents=True, exist_ok=True)
    tiny_clips.encode(folder / f"{seed}.wmv", "wmv2", shown=range(2))
    return folder / f"{seed}.wmv"


def frames(folder, seed):
    for number in range(2):
        draw(folder / str(seed) / f"{number}.jpg", 2 * seed + number)
    return folder / str(seed) / "0.jpg"


def text(folder, seed):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{seed}.txt").write_text(f"Text number {seed}.")
    return folder / f"{seed}.txt"


def settings(folder):
    return types.SimpleNamespace(
        data=str(folder), encoding="utf-8", keep_layout=False, document_characters=None, group_pattern=None,
        skip_unsupported=True,
    )  # fmt: skip


READ = {
    "photos": (photo, photos.PHOTOS, lambda folder: sources.read_source(str(folder), folder, photos.PHOTOS, True)),
    "clips": (clip, clips.CLIPS, lambda folder: clip_groups.load(str(folder), folder, skip_unsupported=True)),
    "frames": (frames, clips.CLIPS, lambda folder: clip_groups.load(str(folder), folder, skip_unsupported=True)),
    "texts": (text, texts.Texts(), lambda folder: documents.read_source(settings(folder))[0]),
}


@pytest.fixture(params=READ)
def littered(request, tmp_path):
    """(folder, medium, reader, numbers of hidden folders, hidden files, links) of a littered data set."""
    make, medium, read = READ[request.param]
    total = np.zeros(3, int)
    for start, label in enumerate(CLASSES):
        made = [make(tmp_path / "data" / label, start * COUNT + number) for number in range(COUNT)]
        total += litter.scatter(made[0].parent if request.param == "frames" else tmp_path / "data" / label, made[0])
        (tmp_path / "data" / label / "x1.cr2").touch()
        (tmp_path / "data" / label / "x2.pdf").touch()
    return tmp_path / "data", medium, read, total.tolist()


def check(said, hidden_folders, hidden_files, links):
    """The account is right to the file."""
    assert f"left alone: {hidden_folders} hidden or system folders" in said
    assert f"{hidden_files} hidden or system files" in said and f"{links} links to folders" in said


def test_a_run_reads_the_items_and_says_the_rest(littered, capsys):
    folder, _, read, total = littered
    samples = read(folder)
    assert [sample.label for sample in samples].count("cats") == len(samples) - COUNT == COUNT
    said = capsys.readouterr().err
    check(said, *total)
    for label in CLASSES:
        assert f"data: class '{label}': 1 .cr2, 1 .pdf left alone\n" in said


def test_predict_finds_the_same(littered, capsys):
    folder, medium, read, total = littered
    found = medium.found([folder])
    assert found == sorted(found) and len(found) == 2 * COUNT
    check(capsys.readouterr().err, *total)
    assert {str(path) for path in found} == {sample.path for sample in read(folder)}


def test_much_in_unread_formats_stops_runs_and_evaluations_alike(littered):
    folder, medium, _, _ = littered
    reader = labelled.READERS.get(medium.name, labelled._files)
    given = texts.Texts() if medium.name == "texts" else medium
    with pytest.raises(errors.UserError, match=rf"class 'cats': 1 of 5 {medium.unit}s .*--skip-unsupported"):
        reader(folder, given, {}, False)
    samples, *_ = reader(folder, given, {}, True)
    assert len(samples) == 2 * COUNT


def test_lesions_with_a_table(tmp_path, capsys):
    made = [photo(tmp_path / "lesions" / "images", number) for number in range(COUNT)]
    total = litter.scatter(made[0].parent, made[0])
    with open(tmp_path / "lesions" / "metadata.csv", "w", newline="") as file:
        rows = [("a", "0", "mel", "train"), ("b", "1", "nv", "dev"), ("c", "2", "nv", "hold-out"), ("d", "3", "nv", "")]
        csv.writer(file).writerows([("lesion_id", "image_id", "dx", "split"), *rows])
    (made[0].parent / "x1.cr2").touch()
    with pytest.raises(errors.UserError, match=r"1 of 5 photos \(1 \.cr2\) are in formats"):
        metadata_table.read(tmp_path / "lesions")
    capsys.readouterr()
    table = metadata_table.read(tmp_path / "lesions", skip_unsupported=True)
    assert [sample.split for sample in table.samples] == ["train", "validation", "test", ""] and not table.problems
    said = capsys.readouterr().err
    check(said, *total)
    assert "'dev' as validation and 'hold-out' as test" in said and "data: 1 .cr2 left alone" in said


@pytest.mark.parametrize("make, medium, read", READ.values(), ids=READ)
def test_the_sides_that_people_name_in_every_medium(tmp_path, make, medium, read):
    for start, side in enumerate(("Training_Set", "dev", "tst")):
        for label in CLASSES:
            make(tmp_path / side / label, 2 * start + CLASSES.index(label))
    assert sorted((sample.label, sample.split) for sample in read(tmp_path)) == [
        (label, side) for label in CLASSES for side in ("test", "train", "validation")
    ]
    for label in CLASSES:
        make(tmp_path / "extra" / label, 9)
    with pytest.raises(errors.UserError, match="extra is beside the split folders Training_Set, dev and tst"):
        read(tmp_path)
    for side in ("dev", "tst"):
        (tmp_path / side).rename(tmp_path.parent / f"{tmp_path.name}_{side}")
    with pytest.raises(errors.UserError, match="extra is beside the split folder Training_Set"):
        read(tmp_path)


@pytest.mark.parametrize("make, medium, read", READ.values(), ids=READ)
def test_train_as_a_class_in_every_medium(tmp_path, make, medium, read):
    for number in range(2):
        make(tmp_path / "train", number)
        make(tmp_path / "bus", 2 + number)
    assert {(sample.label, sample.split) for sample in read(tmp_path)} == {("train", ""), ("bus", "")}


def test_the_lines_of_a_jsonl_have_sides(tmp_path, capsys):
    lines = ['{"text": "a", "type": "x", "split": "train"}', '{"text": "b", "type": "x", "split": "dev"}']
    (tmp_path / "list.jsonl").write_text("\n".join(lines))
    samples, *_ = documents.read_source(settings(tmp_path / "list.jsonl"))
    assert [sample.split for sample in samples] == ["train", "validation"] and "'dev'" in capsys.readouterr().err
    (tmp_path / "list.jsonl").write_text("\n".join([*lines, '{"text": "c", "type": "x", "split": "public"}']))
    _, _, problems = documents.read_source(settings(tmp_path / "list.jsonl"))
    assert [problem.reason for problem in problems] == ["split is 'public', must be train, validation or test"]


def test_a_text_that_is_a_pipe_or_a_link_to_nothing_is_refused(tmp_path):
    text(tmp_path / "x", 1)
    (tmp_path / "x" / "2.txt").symlink_to("nowhere")
    (tmp_path / "x" / "3.txt").mkdir()  # a folder, whatever its name
    text(tmp_path / "x" / "3.txt", 4)
    samples, _, problems = documents.read_source(settings(tmp_path))
    assert len(samples) == 2 and [problem.reason for problem in problems] == ["missing"]
