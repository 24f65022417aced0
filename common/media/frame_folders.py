"""Folders of frames: their order, and the optical flow that lies beside them in data sets of clips.

Programs that prepare clips for two-stream networks write the flow as pictures: into folders `flow_x` and `flow_y`
beside `rgb`, or as `flow_x_00001.jpg` beside `img_00001.jpg`. Flow is no picture of the scene, so it is not read.
"""

import os
import pathlib
import re

from common import errors
from common.media import containers, photos

PICTURES = ("rgb", "rgb_frames", "rgbs", "frames", "images", "imgs", "img", "image", "color", "colour")
_FLOW = re.compile(
    r"(optical[_\- ]?|tv_?l1[_\- ]?|raft[_\- ]?)?flows?([_\- ]?(x|y|u|v|xy|tv_?l1|raft|frames))?|tv_?l1", re.I
)
_FLOW_FRAME = re.compile(r"(optical[_\- ]?)?flow[_\- ]?[xyuv]?[_\- ]?\d+\..+", re.I)
FLOW_NOTE = "optical flow left out"


def frame_paths(folder: str | os.PathLike) -> list[str]:
    """Return the photos of a folder, which are its frames, in natural order: frame_2 before frame_10.

    Optical flow beside them is left out.

    Raises:
        ClipError: the folder cannot be listed.
    """
    frames = _photos_in(folder)
    pictures = [name for name in frames if not _FLOW_FRAME.fullmatch(name)]
    return [os.path.join(folder, name) for name in sorted(pictures or frames, key=_natural)]


def notes(folder: str | os.PathLike) -> tuple[str, ...]:
    """Return a note if frames of a folder are left out."""
    return (FLOW_NOTE,) if len(frame_paths(folder)) < len(_photos_in(folder)) else ()


def _photos_in(folder: str | os.PathLike) -> list[str]:
    try:
        names = os.listdir(folder)
    except (OSError, ValueError) as error:
        raise containers.unreadable(error) from error
    return [name for name in names if os.path.splitext(name)[1].lower() in photos.EXTENSIONS and name[0] != "."]


def _natural(name: str) -> tuple[list[int | str], str]:
    """Return the parts of a name, with numbers as integers, and the name itself, which orders 1 and 01."""
    return [int(part) if part.isdigit() else part for part in re.split("([0-9]+)", name)], name


def name_of(folder: pathlib.Path) -> str:
    """Return the name of a clip: that of the folder above for `clip7/rgb`."""
    return folder.parent.name if folder.name.lower() in PICTURES and folder.parent.name else folder.name


def flow_in(place: pathlib.Path, root: pathlib.Path) -> pathlib.Path | None:
    """Return the folder of optical flow that a place below a root is or is in, if the pictures are beside it.

    Args:
        place: a folder of frames.
        root: the folder that was searched; folders above it do not count.
    """
    for folder in (place, *place.parents):
        if folder == root:
            return None
        if _FLOW.fullmatch(folder.name) and (pictures_beside(folder) or _photos_in(folder.parent)):
            return folder
    return None


def pictures_beside(folder: pathlib.Path) -> pathlib.Path | None:
    """Return the folder of pictures beside one of optical flow, None if there is none or the folder is not flow."""
    if not _FLOW.fullmatch(folder.name):
        return None
    beside = (each for each in sorted(folder.parent.iterdir()) if each.name.lower() in PICTURES and each.is_dir())
    return next(beside, None)


def check_class(folder: pathlib.Path) -> None:
    """Refuse a class folder of optical flow beside one of pictures, as in rgb/punch/… and flow/punch/….

    Raises:
        UserError: these two are no classes.
    """
    if pictures := pictures_beside(folder):
        raise errors.UserError(
            f"{folder}: optical flow beside the pictures in {pictures.name}/, so the two are no classes; flow is not "
            f"read: give --data {pictures}"
        )
