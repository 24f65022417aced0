import collections
import functools
import os

import pytest

from common import errors
from common.data import clip_groups, sample_list, splits
from common.demo import drawn_clips
from common.media import clips

SEQUENCES = ("hug/set1_seq03_13_3_1.avi", "hug/set2_seq14_1_14_1.avi", "kick/set1_seq03_15_3_2.avi",
             "kick/set2_seq14_2_14_2.avi")  # fmt: skip
LETTERS = ("hug/a.avi", "hug/b.mp4", "kick/c.avi", "kick/d.gif")


def lay_out(folder, names):
    """Writes files that hold nothing but their own name, which nobody opens here."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def ucf101(labels=("Punch", "Surf"), groups=range(1, 9), numbers=(1, 2, 3)):
    """`Punch/v_Punch_g01_c01.avi` and so on."""
    return [f"{label}/v_{label}_g{group:02d}_c{number:02d}.avi"
            for label in labels for group in groups for number in numbers]  # fmt: skip


def write_lists(folder, train, test, number=1):
    """UCF101's lists; those for training have the number of the class behind each clip."""
    folder.mkdir(parents=True, exist_ok=True)
    classes = sorted({clip.partition("/")[0] for clip in train})
    numbered = [f"{clip} {classes.index(clip.partition('/')[0]) + 1}" for clip in train]
    (folder / f"trainlist0{number}.txt").write_text("".join(f"{line}\r\n" for line in numbered))
    (folder / f"testlist0{number}.txt").write_text("\n".join(test))


def load(folder, *arguments):
    """(path below the folder, label, group, split) of each sample."""
    samples = clip_groups.load(str(folder), folder / "cache", *arguments)
    return [(os.path.relpath(each.path, folder), each.label, each.group, each.split) for each in samples]


def groups_of(samples):
    return [sample[2] for sample in samples]


def refusal(folder, *arguments):
    """The message with which the source is refused: one line."""
    with pytest.raises(errors.UserError) as caught:
        clip_groups.load(str(folder), folder, *arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


# Sources.


def test_clips_are_files_at_any_depth_and_folders_of_frames(tmp_path):
    names = ["hug/b.MP4", "hug/deep/er/a.avi", "kick/frames/2.jpg", "kick/frames/10.JPG", "kick/x/more/1.png",
             "kick/loop.gif"]  # fmt: skip
    others = ["hug/notes.txt", "hug/.b.avi", "hug/deep/README.md", "kick/frames/times.txt", "kick/.thumbnails/1.jpg",
              "kick/.trash/a.avi", "kick/empty/labels.txt", ".git/a.avi", "list.csv"]  # fmt: skip
    lay_out(tmp_path, names + others)
    assert load(tmp_path) == [
        ("hug/b.MP4", "hug", "", ""),
        ("hug/deep/er/a.avi", "hug", "", ""),
        ("kick/frames", "kick", "", ""),
        ("kick/loop.gif", "kick", "", ""),
        ("kick/x/more", "kick", "", ""),
    ]
    assert all(clips.is_clip(sample.path) for sample in clip_groups.load(str(tmp_path), tmp_path))


def test_a_folder_of_gifs_is_a_folder_of_clips(tmp_path):
    lay_out(tmp_path, ["hug/day/1.gif", "hug/day/2.gif", "kick/1.gif"])
    assert [sample[0] for sample in load(tmp_path)] == ["hug/day/1.gif", "hug/day/2.gif", "kick/1.gif"]


def test_links_to_folders_are_followed(tmp_path):
    lay_out(tmp_path / "disk", ["more/a.avi", "frames/1.png"])
    lay_out(tmp_path / "clips", ["hug/b.avi", "kick/c.avi"])
    (tmp_path / "clips" / "hug" / "linked").symlink_to(tmp_path / "disk")
    assert [sample[0] for sample in load(tmp_path / "clips")] == [
        "hug/b.avi", "hug/linked/frames", "hug/linked/more/a.avi", "kick/c.avi"
    ]  # fmt: skip


def test_train_and_test_folders_give_the_split(tmp_path):
    lay_out(tmp_path, ["train/hug/a.avi", "train/kick/b/1.jpg", "val/hug/c.avi", "test/kick/d.avi"])
    assert load(tmp_path) == [
        ("test/kick/d.avi", "kick", "", "test"),
        ("train/hug/a.avi", "hug", "", "train"),
        ("train/kick/b", "kick", "", "train"),
        ("val/hug/c.avi", "hug", "", "validation"),
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["hug/1.jpg", "hug/2.jpg", "kick/a.avi"], r"hug: photos are directly in .*such as 1.jpg.* hug/<clip>/1.jpg"),
        (["hug/1.jpg", "hug/a/1.jpg", "kick/a.avi"], "hug: photos are directly in this class folder"),
        (
            ["hug/a/1.jpg", "hug/a/b.avi", "kick/a.avi"],
            r"hug/a: contains both photos, such as 1.jpg, and clips, .* b.avi",
        ),
        (
            ["hug/a/1.jpg", "hug/a/b/1.jpg", "kick/a.avi"],
            r"hug/a: contains both photos, such as 1.jpg, and clips, .* b\.",
        ),
        (["hug/a.avi", "hug/a/1.jpg", "kick/b.avi"], r"hug/a and a.avi have the same name"),
        (["hug/a.avi", "hug/a.mp4", "kick/b.avi"], r"hug/a.avi and a.mp4 have the same name"),
        (["hug/a.txt", "kick/a.avi"], r"hug: no clips in this class folder; fill it or remove it .*\.avi"),
        (["hug/a.avi"], "at least two class folders with clips"),
        (["a.avi", "b.avi"], "at least two class folders with clips"),
    ],
)
def test_a_folder_that_is_laid_out_otherwise_is_explained(names, message, tmp_path):
    lay_out(tmp_path, names)
    with pytest.raises(errors.UserError, match=message):
        clip_groups.load(str(tmp_path), tmp_path)
    assert refusal(tmp_path)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    lay_out(tmp_path, LETTERS)
    real = os.scandir

    def fail(folder):
        if os.path.basename(folder) == "hug":
            raise PermissionError(13, "Permission denied")
        return real(folder)

    monkeypatch.setattr(os, "scandir", fail)  # root may list everything, and tests often run as root
    assert f"{tmp_path / 'hug'}: cannot be listed: Permission denied" in refusal(tmp_path)


def test_the_paths_of_a_csv_start_at_its_folder(tmp_path, capsys):
    lay_out(tmp_path, LETTERS)
    (tmp_path / "list.csv").write_text("path,label,split\nhug/a.avi,hugs,train\n/else/frames,kicks,test\n")
    first, second = clip_groups.load(str(tmp_path / "list.csv"), tmp_path)
    assert first == sample_list.Sample(str(tmp_path / "hug" / "a.avi"), "hugs", "", "train")
    assert second == sample_list.Sample("/else/frames", "kicks", "", "test")
    assert "contain no group" in capsys.readouterr().err


def test_sources_that_are_not_there_are_explained(tmp_path):
    assert "no such file or folder; give a folder of class folders with clips" in refusal(tmp_path / "nowhere")
    assert "no such file or folder" in refusal(tmp_path / "nowhere", None, 1)
    (tmp_path / "clip.avi").touch()
    assert "neither a folder nor a .csv" in refusal(tmp_path / "clip.avi")


def test_a_person_of_the_demo_is_one_group_in_all_classes(tmp_path, monkeypatch, capsys):
    few = functools.partial(drawn_clips.write_clips, persons=(1, 3, 4), clips=(1, 2), size=32)
    monkeypatch.setattr(drawn_clips, "write_clips", few)
    samples = clip_groups.load("demo", tmp_path)
    number = len(drawn_clips.ACTIONS) * 2
    assert collections.Counter(sample.group for sample in samples) == {"g01": number, "g03": number, "g04": number}
    assert {sample.label for sample in samples} == set(drawn_clips.ACTIONS)
    assert all(sample.path.startswith(str(tmp_path / "demo_clips")) for sample in samples)
    sides = splits.split(samples, splits.units_of(samples, {each.path: each.path for each in samples}), 0, 0.3, 0.3)
    assert len({(sample.group, sample.split) for sample in sides}) == 3
    assert "contain no group" not in capsys.readouterr().err
    assert {sample.group for sample in clip_groups.load("demo", tmp_path, "c01|c02")} == {"c01", "c02"}


# Groups.


def test_a_group_of_ucf101_is_a_class_with_its_number(tmp_path, capsys):
    lay_out(tmp_path, ucf101(groups=(1, 25), numbers=(1, 2)))
    assert groups_of(load(tmp_path)) == ["Punch g01"] * 2 + ["Punch g25"] * 2 + ["Surf g01"] * 2 + ["Surf g25"] * 2
    assert capsys.readouterr().err == ""


def test_the_same_pattern_if_it_is_given_is_one_group_in_all_classes(tmp_path):
    lay_out(tmp_path, ucf101(groups=(1, 25), numbers=(1,)))
    assert groups_of(load(tmp_path, clip_groups.UCF101_PATTERN)) == ["g01", "g25", "g01", "g25"]


def test_a_sequence_of_ut_interaction_is_one_group_in_all_classes(tmp_path, capsys):
    lay_out(tmp_path, SEQUENCES)
    assert groups_of(load(tmp_path)) == ["set1_seq03", "set2_seq14"] * 2
    assert capsys.readouterr().err == ""


def test_the_name_of_a_folder_of_frames_says_its_group(tmp_path):
    lay_out(tmp_path, ["Punch/v_Punch_g02_c01/1.jpg", "Punch/v_Punch_g03_c01.avi", "Surf/v_Surf_g02_c01/g07.jpg"])
    assert groups_of(load(tmp_path)) == ["Punch g02", "Punch g03", "Surf g02"]


@pytest.mark.parametrize(
    ("pattern", "groups"),
    [
        (r"^([^-]+)-", ["ann", "bob", "ann", "eve"]),  # what is captured
        (r"^[a-z]+", ["ann", "bob", "ann", "eve"]),  # all that matches
        (r"(?:mon|tue)$", ["mon", "tue", "tue", "mon"]),  # the ending is not part of the name
    ],
)
def test_a_pattern_finds_the_group(pattern, groups, tmp_path):
    lay_out(tmp_path, ["hug/ann-mon.avi", "hug/bob-tue.avi", "kick/ann-tue.mp4", "kick/eve-mon/1.jpg"])
    assert groups_of(load(tmp_path, pattern)) == groups


def test_names_of_which_some_say_no_group_are_refused(tmp_path):
    lay_out(tmp_path, [*SEQUENCES, "kick/other.avi", "kick/spare.avi"])
    message = refusal(tmp_path)
    assert "no group in 2 of the 6 clips' names, such as 'other'; give a --group-pattern" in message
    assert "CSV" in message
    assert groups_of(load(tmp_path, r"^[a-z0-9]+")) == ["set1", "set2", "other", "set1", "set2", "spare"]


def test_names_of_two_kinds_are_refused_by_the_pattern_that_fits_most(tmp_path):
    lay_out(tmp_path, [*SEQUENCES, "hug/v_hug_g01_c01.avi"])
    assert "'(set\\d+_seq\\d+)_' finds no group in 1 of the 5" in refusal(tmp_path)


def test_names_without_groups_are_said(tmp_path, capsys):
    lay_out(tmp_path, LETTERS)
    assert groups_of(load(tmp_path)) == [""] * 4
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "it is unknown which clips belong together" in said and "--group-pattern" in said


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(g", "not a valid regular expression"),
        ("*", "not a valid regular expression"),
        ("a{99999999999999999999}", "not a valid regular expression"),
        ("(s)(e)", "has 2 pairs of parentheses"),
        ("person", "finds no group in 4 of the 4 clips' names, such as 'set1_seq03_13_3_1'"),
        ("", "finds no group in 4 of the 4"),  # it matches everywhere, and nothing
        ("set(x)?", "finds no group in 4 of the 4"),  # so does what it captures
        ("set1", "finds no group in 2 of the 4 clips' names, such as 'set2_seq14_1_14_1'"),
    ],
)
def test_a_pattern_that_does_not_fit_is_explained(pattern, message, tmp_path):
    lay_out(tmp_path, SEQUENCES)
    said = refusal(tmp_path, pattern)
    assert said.startswith(f"--group-pattern {pattern!r}") and message in said


def test_a_csv_without_groups_takes_them_from_the_names(tmp_path):
    (tmp_path / "list.csv").write_text("path,label,group\nv_x_g01_c01.avi,a,\nv_x_g01_c02.avi,b,\n")
    assert [sample.group for sample in clip_groups.load(str(tmp_path / "list.csv"), tmp_path)] == ["a g01", "b g01"]
    assert [sample.group for sample in clip_groups.load(str(tmp_path / "list.csv"), tmp_path, "c..")] == ["c01", "c02"]


def test_a_csv_with_groups_keeps_them_and_takes_no_pattern(tmp_path, capsys):
    (tmp_path / "list.csv").write_text("path,label,group\nv_x_g01_c01.avi,a,ann\nv_x_g01_c02.avi,b,\n")
    assert [sample.group for sample in clip_groups.load(str(tmp_path / "list.csv"), tmp_path)] == ["ann", ""]
    assert capsys.readouterr().err == ""
    assert "already has groups; remove the option" in refusal(tmp_path / "list.csv", "c..")


# UCF101's official splits.


@pytest.mark.parametrize("place", ["splits", "clips/splits", "clips"])
@pytest.mark.parametrize("number", [1, 3])
def test_the_lists_say_who_trains_and_who_judges(place, number, tmp_path):
    lay_out(tmp_path / "clips", ucf101())
    write_lists(tmp_path / place, ucf101(groups=range(3, 9)), ucf101(groups=(1, 2)), number)
    write_lists(tmp_path / place, ucf101(groups=range(1, 7)), ucf101(groups=(7, 8)), 2)
    samples = load(tmp_path / "clips", None, number)
    assert [sample[0] for sample in samples] == ucf101()
    assert {(group, split) for *_, group, split in samples} == {
        (f"{label} g{group:02d}", "test" if group < 3 else "train")
        for label in ("Punch", "Surf") for group in range(1, 9)
    }  # fmt: skip
    assert {split for *_, split in load(tmp_path / "clips")} == {""}


def test_validation_takes_whole_groups_out_of_train(tmp_path):
    lay_out(tmp_path / "clips", ucf101())
    write_lists(tmp_path / "splits", ucf101(groups=range(3, 9)), ucf101(groups=(1, 2)))
    samples = clip_groups.load(str(tmp_path / "clips"), tmp_path, official_split=1)
    contents = {sample.path: sample.path for sample in samples}
    for seed in range(5):
        dealt = splits.split(samples, splits.units_of(samples, contents), seed, 1 / 6, 0.2)
        splits.check_leaks(dealt, contents)
        side_of_group = {(sample.group, sample.split) for sample in dealt}
        assert collections.Counter(side for _, side in side_of_group) == {"train": 10, "validation": 2, "test": 4}
        assert {group[-3:] for group, side in side_of_group if side == "test"} == {"g01", "g02"}


def test_lists_that_divide_a_group_are_a_leak(tmp_path):
    lay_out(tmp_path / "clips", ucf101())
    write_lists(tmp_path / "splits", ucf101(numbers=(1, 2)), ucf101(numbers=(3,)))
    samples = clip_groups.load(str(tmp_path / "clips"), tmp_path, official_split=1)
    with pytest.raises(errors.UserError, match="leak: group 'Punch g01'"):
        splits.check_leaks(samples, {sample.path: sample.path for sample in samples})


def test_only_the_classes_that_are_there_are_asked_for(tmp_path):
    lay_out(tmp_path / "clips", ucf101())
    labels = ("Archery", "Punch", "Surf", "YoYo")
    write_lists(tmp_path / "splits", ucf101(labels, range(3, 9)), ucf101(labels, (1, 2)))
    assert len(load(tmp_path / "clips", None, 1)) == 48


def test_folders_of_frames_and_other_capital_letters_are_found_in_the_lists(tmp_path):
    lay_out(tmp_path / "clips", ["Punch/v_Punch_g01_c01/1.jpg", "Punch/v_Punch_g02_c01/1.jpg",
                                 "HandStandPushups/v_HandstandPushups_g01_c01.avi"])  # fmt: skip
    train = ["Punch/v_Punch_g02_c01.avi", "HandstandPushups/v_HandStandPushups_g01_c01.avi"]
    write_lists(tmp_path / "splits", train, ["Punch/v_Punch_g01_c01.avi"])
    assert [split for *_, split in load(tmp_path / "clips", None, 1)] == ["train", "test", "train"]


def test_the_source_may_be_where_one_stands(tmp_path, monkeypatch):
    lay_out(tmp_path / "clips", ucf101())
    write_lists(tmp_path / "splits", ucf101(groups=range(3, 9)), ucf101(groups=(1, 2)))
    monkeypatch.chdir(tmp_path / "clips")
    for source in (".", "../clips", "Punch/.."):
        assert len(clip_groups.load(source, tmp_path, official_split=1)) == 48


def test_clips_and_lists_that_do_not_fit_together_are_counted(tmp_path):
    folder = lay_out(tmp_path / "clips", ucf101())
    train, test = ucf101(groups=range(3, 9)), ucf101(groups=(1, 2))
    write_lists(tmp_path / "splits", train[2:], test)
    message = refusal(folder, None, 1)
    assert "do not contain 2 of the 48 clips, such as" in message and "Punch/v_Punch_g03_c01.avi; remove" in message
    write_lists(tmp_path / "splits", train, [*test, "Surf/v_Surf_g09_c01.avi", "Surf/v_Surf_g09_c02.avi"])
    message = refusal(folder, None, 1)
    assert "2 of the 50 clips that" in message and "such as Surf/v_Surf_g09_c01.avi; add" in message
    write_lists(tmp_path / "splits", train, [*test, train[0]])
    assert "both lists in" in refusal(folder, None, 1) and train[0] in refusal(folder, None, 1)


def test_lists_that_are_not_there_are_looked_for_in_three_places(tmp_path):
    folder = lay_out(tmp_path / "clips", ucf101())
    write_lists(tmp_path / "splits", ucf101(groups=range(3, 9)), ucf101(groups=(1, 2)))
    (tmp_path / "splits" / "testlist01.txt").unlink()
    for number in (1, 2):
        message = refusal(folder, None, number)
        assert f"trainlist0{number}.txt and testlist0{number}.txt are in none of" in message
        assert (
            f" {tmp_path / 'splits'}, {folder / 'splits'}, {folder}; create them with data/ucf101/prepare.py" in message
        )


@pytest.mark.parametrize("number", [0, 4, -1])
def test_there_are_three_official_splits(number, tmp_path):
    assert refusal(tmp_path, None, number) == f"--official-split {number}: must be 1, 2 or 3"


def test_an_official_split_is_only_for_folders_without_one(tmp_path):
    lay_out(tmp_path / "given", ["train/hug/a.avi", "train/kick/b.avi", "test/hug/c.avi", "test/kick/d.avi"])
    assert "already has train and test folders" in refusal(tmp_path / "given", None, 1)
    (tmp_path / "list.csv").write_text("path,label\na.avi,a\nb.avi,b\n")
    assert "works only with a folder of UCF101's clips" in refusal(tmp_path / "list.csv", None, 1)
    with pytest.raises(errors.UserError, match="works only with a folder of UCF101's clips.*not with --data demo"):
        clip_groups.load("demo", tmp_path, official_split=1)
    assert not (tmp_path / "demo_clips").exists()


# Real data.


def test_every_clip_of_ut_interaction_has_its_sequence(real_data, tmp_path, capsys):
    samples = clip_groups.load(str(real_data / "actions"), tmp_path)
    counts = collections.Counter(sample.label for sample in samples)
    assert counts == dict.fromkeys(("handshake", "hug", "kick", "point", "punch", "push"), 20)
    sequences = {f"set{1 + (number > 10)}_seq{number:02d}" for number in range(1, 21)}
    assert {sample.group for sample in samples} == sequences
    # Each sequence shows each action once, but sequence 6 no punch and sequence 8 two.
    sizes = collections.Counter(sample.group for sample in samples)
    assert sizes == dict.fromkeys(sequences, 6) | {"set1_seq06": 5, "set1_seq08": 7}
    assert capsys.readouterr().err == ""


# Tables.


def test_tables_of_clips_are_read_like_those_of_photos(tmp_path, capsys):
    lay_out(tmp_path, ["v/a.mp4", "v/b.mp4", "hf/train/a.mp4", "hf/test/b.mp4"])
    (tmp_path / "a.csv").write_text("sep=;\nVideo;Class;Session\nv\\a.mp4;hug;s1\nv/b;kick;s2\n")
    assert load(tmp_path / "a.csv") == [("../v/a.mp4", "hug", "s1", ""), ("../v/b.mp4", "kick", "s2", "")]
    said = capsys.readouterr().err
    assert "column 'Session' is used as group" in said and "read with the file's ending" in said
    for side, name in (("train", "a"), ("test", "b")):
        (tmp_path / "hf" / side / "metadata.csv").write_text(f"file_name,label,group\n{name}.mp4,hug,{name}\n")
    assert load(tmp_path / "hf") == [("test/b.mp4", "hug", "b", "test"), ("train/a.mp4", "hug", "a", "train")]
