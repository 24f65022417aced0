"""Frames beside optical flow: which clips are found, under which names, and what is said."""

import numpy as np
import PIL.Image
import pytest

from common import errors
from common.data import clip_groups
from common.media import clips, folders, frame_folders

pytestmark = pytest.mark.quick


def frames(folder, *forms, count=3, level=0):
    folder.mkdir(parents=True, exist_ok=True)
    for form in forms or ("{:05}.jpg",):
        for number in range(count):
            PIL.Image.new("RGB", (16, 16), (level, 40 * number, 9)).save(folder / form.format(number))


def names_of(samples, folder):
    return [sample.path.removeprefix(f"{folder}/") for sample in samples]


@pytest.mark.parametrize(
    "flows", [("flow",), ("flow_x", "flow_y"), ("Optical_Flow",), ("flow/x", "flow/y"), ("tvl1_flow",)]
)
def test_flow_beside_the_pictures_is_left_alone(flows, tmp_path, capsys):
    for label in "ab":
        for number in range(3):
            for part in ("rgb", *flows):
                frames(tmp_path / label / f"v_{label}_g0{number}_c01" / part)
    samples = clip_groups.read_folder(tmp_path)
    assert names_of(samples, tmp_path) == [
        f"{label}/v_{label}_g0{number}_c01/rgb" for label in "ab" for number in range(3)
    ]
    said = capsys.readouterr().err
    assert (
        f"left alone: {6 * len({flow.split('/')[0] for flow in flows})} folders of optical flow beside the pic" in said
    )
    assert [sample.group for sample in clip_groups.with_groups(samples)] == [
        f"{label} g0{number}" for label in "ab" for number in range(3)
    ]
    assert clips.CLIPS.found([tmp_path / "a" / "v_a_g00_c01"]) == [tmp_path / "a" / "v_a_g00_c01" / "rgb"]


def test_flow_inside_a_clip_and_above_the_clips(tmp_path):
    frames(tmp_path / "a" / "one")
    frames(tmp_path / "a" / "one" / "flow")
    for part in ("rgb", "flow"):
        frames(tmp_path / "b" / part / "two")
    samples = clip_groups.read_folder(tmp_path)
    assert names_of(samples, tmp_path) == ["a/one", "b/rgb/two"]
    assert [clips.CLIPS.title(sample.path) for sample in samples] == ["one", "two"]


def test_rgb_and_flow_are_no_classes(tmp_path):
    for part in ("rgb", "flow_x", "flow_y"):
        for label in ("kick", "punch"):
            frames(tmp_path / part / label / "one")
    with pytest.raises(errors.UserError, match=r"flow_x: optical flow beside the pictures in rgb/.*--data .*/rgb$"):
        clip_groups.read_folder(tmp_path)
    assert len(clip_groups.read_folder(tmp_path / "rgb")) == 2


def test_frames_and_flow_in_one_folder(tmp_path):
    frames(tmp_path / "clip", "img_{:05}.jpg", "flow_x_{:05}.jpg", "flow_y_{:05}.jpg", count=9)
    facts = clips.inspect(tmp_path / "clip")
    assert (facts.frames, facts.notes[0]) == (9, frame_folders.FLOW_NOTE)
    assert clips.read(tmp_path / "clip", 9).shape == (9, 16, 16, 3)
    assert clips.CLIPS.digest(tmp_path / "clip") == facts.sha256


def test_flow_alone_is_read_and_a_class_may_be_called_so(tmp_path):
    """Those who want to train on flow can give it alone."""
    for label in ("flow", "still"):
        frames(tmp_path / label / "one")
    assert names_of(clip_groups.read_folder(tmp_path), tmp_path) == ["flow/one", "still/one"]
    frames(tmp_path / "clip", "flow_x_{:05}.jpg")
    assert clips.inspect(tmp_path / "clip").frames == 3 and not frame_folders.notes(tmp_path / "clip")
    walk = folders.Walk(tmp_path)
    assert clips.clips_below(tmp_path / "flow", walk)[0] == [tmp_path / "flow" / "one"] and not walk.flow
    assert np.array_equal(clips.read(tmp_path / "flow" / "one"), clips.read(tmp_path / "still" / "one"))
