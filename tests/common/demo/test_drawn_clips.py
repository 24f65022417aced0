"""The demo's clips are drawn as promised; two pairs of actions differ in time alone, two in the place alone."""

import hashlib
import re

import av
import numpy as np
import pytest

from common import errors
from common.demo import drawn_clips, drawn_people

SMALL = 32  # pixels: what is tested here does not depend on the size.


def decoded(path) -> np.ndarray:
    """All frames of a file, uint8 (frames, height, width, 3)."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def digests(folder) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.mp4")
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """All actions of two persons, one clip each."""
    return drawn_clips.write_clips(tmp_path_factory.mktemp("demo") / "clips", persons=(1, 8), clips=(1,))


# The drawing.


def test_there_are_twelve_actions_with_two_pairs_of_each_kind():
    assert len(set(drawn_clips.ACTIONS)) == len(drawn_clips.ACTIONS) == 12
    pairs = [*drawn_clips.PAIRS, *drawn_clips.PLACE_PAIRS]
    assert len({name for pair in pairs for name in pair} & set(drawn_clips.ACTIONS)) == 8
    assert len(drawn_clips.ACTIONS) * len(drawn_clips.PERSONS) * len(drawn_clips.CLIPS) == 312


@pytest.mark.parametrize("action", drawn_clips.ACTIONS)
def test_a_clip_is_rgb_of_the_asked_size_and_never_stands_still(action):
    for person in (3, 12):
        clip = drawn_clips.draw(action, person, 1, SMALL)
        assert clip.dtype == np.uint8 and clip.shape[1:] == (SMALL, SMALL, 3)
        assert drawn_clips.FRAMES[0] <= len(clip) <= drawn_clips.FRAMES[1]
        assert (clip[1:] != clip[:-1]).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("action", drawn_clips.ACTIONS)
def test_the_figure_moves_in_every_frame_even_without_noise_and_shaking(action):
    """From one frame to the next some joint moves by more than a tenth of a millimetre."""
    drawn = (drawn_clips.BACKWARDS | drawn_clips.MIRRORED).get(action, action)
    person = drawn_people.make_person(3)
    motion = drawn_clips.MOTIONS[drawn](np.random.default_rng(0), person)
    view = drawn_people.View((0.5, 0.8), 0.4)
    postures = [motion(index / 29, index / drawn_clips.FRAME_RATE, view)[0] for index in range(30)]
    joints = [drawn_people.make_joints(person, posture) for posture in postures]
    points = np.array([[point for name, point in each.items() if name not in ("left", "forward")] for each in joints])
    assert (np.linalg.norm(np.diff(points, axis=0), axis=2).max(axis=1) > 1e-4).all()


@pytest.mark.parametrize("action", drawn_clips.ACTIONS)
def test_the_same_arguments_give_the_same_clip(action):
    np.testing.assert_array_equal(drawn_clips.draw(action, 2, 1, SMALL), drawn_clips.draw(action, 2, 1, SMALL))


def test_other_actions_persons_and_numbers_give_other_clips():
    firsts = list(drawn_clips.MOTIONS)
    drawn = [(action, person, clip) for action in firsts for person in (1, 2) for clip in (1, 2)]
    assert len({drawn_clips.draw(*which, SMALL).tobytes() for which in drawn}) == len(drawn)


@pytest.mark.parametrize("first,second", drawn_clips.PAIRS)
def test_a_pair_has_the_same_frames_in_opposite_order(first, second):
    for person in (4, 5):
        forwards, backwards = (drawn_clips.draw(action, person, 2, SMALL) for action in (first, second))
        np.testing.assert_array_equal(backwards, forwards[::-1])
        assert (backwards[0] != forwards[0]).any()


def test_a_person_looks_the_same_in_all_clips_and_different_from_others():
    persons = [drawn_people.make_person(number) for number in drawn_clips.PERSONS]
    assert persons == [drawn_people.make_person(number) for number in drawn_clips.PERSONS]
    for attribute in ("shirt", "wall", "room", "leg"):
        assert len({getattr(person, attribute) for person in persons}) == len(persons)


def test_bones_keep_their_length_and_hands_reach_what_is_near():
    person = drawn_people.make_person(1)
    point = (0.3, 1.2, 0.2)
    posture = drawn_people.Posture(grips=(((9, 9, 9), 1.0), (point, 1.0)))
    joints = drawn_people.make_joints(person, posture)
    for side in (drawn_people.LEFT, drawn_people.RIGHT):
        for bone, length in (
            (("shoulder", "elbow"), person.arm / 2),
            (("elbow", "hand"), person.arm / 2),
            (("hip", "knee"), person.leg / 2),
            (("knee", "ankle"), person.leg / 2),
        ):
            distance = np.linalg.norm(joints[bone[0], side] - joints[bone[1], side])
            assert distance == pytest.approx(length, rel=1e-6)
    np.testing.assert_allclose(joints["hand", drawn_people.RIGHT], point, atol=1e-9)


@pytest.mark.parametrize(
    "arguments",
    [("fly", 1, 1), ("open", 0, 1), ("open", 14, 1), ("open", 1, 0), ("open", 1, 1, 30), ("open", 1, 1, 33)],
)
def test_wrong_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="must be"):
        drawn_clips.draw(*arguments)


# The files.


def test_clips_are_written_into_class_folders_with_the_names_of_ucf101(written):
    names = sorted(digests(written))
    assert names == sorted(f"{name}/v_{name}_g{p:02d}_c01.mp4" for name in drawn_clips.ACTIONS for p in (1, 8))
    assert all(re.fullmatch(r"(\w+)/v_\1_g\d\d_c\d\d\.mp4", name) for name in names)
    assert len(set(digests(written).values())) == len(names)


def test_the_files_are_small_and_hardly_differ_from_what_was_drawn(written):
    size = sum(path.stat().st_size for path in written.rglob("*.mp4"))
    total = len(drawn_clips.ACTIONS) * len(drawn_clips.PERSONS) * len(drawn_clips.CLIPS)
    assert size / len(digests(written)) * total < 25e6
    clip = drawn_clips.draw("wave", 8, 1)
    read = decoded(written / "wave" / "v_wave_g08_c01.mp4")
    assert read.shape == clip.shape and np.abs(read.astype(int) - clip).mean() < 5


@pytest.mark.parametrize("first,second", drawn_clips.PAIRS)
def test_the_coding_leaves_no_trace_of_the_direction_of_time(written, first, second):
    forwards, backwards = (decoded(written / name / f"v_{name}_g01_c01.mp4") for name in (first, second))
    np.testing.assert_array_equal(backwards, forwards[::-1])


def test_the_bytes_are_the_same_each_time(written, tmp_path):
    again = drawn_clips.write_clips(tmp_path / "again", persons=(8,), clips=(1,))
    assert digests(again).items() <= digests(written).items()


def test_a_complete_folder_is_left_alone(written, monkeypatch):
    monkeypatch.setattr(drawn_clips, "draw", lambda *_: pytest.fail("drawn again"))
    assert drawn_clips.write_clips(written, persons=(1, 8), clips=(1,)) == written


def test_a_run_that_dies_leaves_nothing(tmp_path, monkeypatch):
    draw = drawn_clips.draw

    def dies_in_the_middle(action, person, clip, size):
        if action == drawn_clips.ACTIONS[2]:
            raise KeyboardInterrupt
        return draw(action, person, clip, size)

    monkeypatch.setattr(drawn_clips, "draw", dies_in_the_middle)
    with pytest.raises(KeyboardInterrupt):
        drawn_clips.write_clips(tmp_path / "clips", persons=(1,), clips=(1,), size=SMALL)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_else_in_it_is_refused(tmp_path):
    (tmp_path / "holiday.mp4").write_bytes(b"mine")
    with pytest.raises(errors.UserError, match="something other"):
        drawn_clips.write_clips(tmp_path, persons=(1,), size=SMALL)
    assert (tmp_path / "holiday.mp4").read_bytes() == b"mine"


def test_a_place_that_cannot_be_written_is_a_users_error(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(errors.UserError, match="cannot write"):
        drawn_clips.write_clips(tmp_path / "file" / "clips", persons=(1,), size=SMALL)


@pytest.mark.parametrize(
    "arguments", [{"persons": ()}, {"persons": (14,)}, {"clips": ()}, {"clips": (100,)}, {"size": 33}]
)
def test_wrong_settings_are_refused_before_anything_is_written(tmp_path, arguments):
    with pytest.raises(ValueError, match="must be"):
        drawn_clips.write_clips(tmp_path / "clips", **arguments)
    assert list(tmp_path.iterdir()) == []
