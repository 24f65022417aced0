"""Reading one clip: the same function for the scan, the training, the report and predict.

A clip is a video file or a folder of photos, its frames. `read` returns frames as a player shows them at given moments:
upright, in RGB, with square pixels and with transparent areas on white. A clip that cannot be shown like that is a
`ClipError`, which says what is wrong and what to do.
"""

import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Self

import av
import av.video.reformatter
import numpy as np

from common import errors
from common.media import augmentation as augmentations
from common.media import containers, deep, film, folders, frame_folders, hdr, medium, photos

SAMPLINGS = ("whole", "window")
COMPARED = 8  # frames, sampled evenly over the clip, in which the scan looks for changes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts(medium.Facts):
    """The result of `inspect` for one clip.

    As for a photo, except that `bytes` and `sha256` are those of all frames if the clip is a folder. `format` is
    container and codec ("AVI mpeg4", "MP4 h264", "folder of JPEG"); `width` and `height` are those of an upright frame.
    """

    frames: int = 0  # 0 if there is a problem
    seconds: float = 0.0  # 0 if there is a problem, and for a folder of frames, which has no times


@dataclasses.dataclass(frozen=True)
class Clips(medium.Medium):
    """Clips, each a video file or a folder of photos, and the choice of their frames.

    Attributes:
        frames: the number of frames that are read from each clip.
        sampling: `whole`, evenly over the clip, or `window`, close together.
        stride: the distance between frames in a window, in frames.
        windows: the number of evenly spaced windows of a validation or test clip; a training clip's window is random.
        white: as in `photos.Photos`, for folders of frames.
    """

    name = "clips"
    unit = "clip"
    extensions = containers.EXTENSIONS
    described = "are folders of photos, or files that end in"
    kin = folders.FILMS | folders.PICTURES
    wanted = "MP4 (H.264)"
    decoder = f"PyAV {av.__version__}, {photos.Photos.decoder}"  # photos are frames too
    facts = Facts
    most_pixels = containers.MAX_PIXELS
    several = "windows"
    explained_by = "motion"

    frames: int = 16
    sampling: str = "whole"
    stride: int = 2
    windows: int = 1
    white: int = deep.WHITE

    @property
    def shape(self) -> tuple[int | None, ...]:
        return self.frames, None, None, 3

    @property
    def remark(self) -> str:
        return deep.remark(self.white)

    def inspect(self, path: str | os.PathLike) -> Facts:
        return inspect(path)

    def read(self, path: str | os.PathLike, look: medium.Look = medium.PLAIN) -> np.ndarray:
        return read(path, self.frames, self.sampling, self.stride, look.position, self.white)

    def digest(self, path: str | os.PathLike) -> str:
        if not os.path.isdir(path):
            return super().digest(path)
        try:
            frames = frame_folders.frame_paths(path)
        except containers.ClipError:
            return ""
        return _folder_sha256([medium.Facts(path=frame, sha256=photos.PHOTOS.digest(frame)) for frame in frames])

    def thumbnail(self, path: str | os.PathLike) -> np.ndarray:
        return read(path, frames=1, white=self.white)[0]

    def fitted(self, facts: Iterable[medium.Facts]) -> Self:
        return dataclasses.replace(self, white=deep.white_of(each.largest_sample for each in facts))

    def is_item(self, path: pathlib.Path) -> bool:
        return is_clip(path)

    def title(self, path: str | os.PathLike) -> str:
        whole, plain = pathlib.Path(path), without_ending(pathlib.Path(path))
        return frame_folders.name_of(plain) if plain == whole else plain.name

    def find(self, folder: pathlib.Path, walk: folders.Walk | None = None) -> list[pathlib.Path]:
        return find_clips(folder, walk)

    def sorted_out(self, folder: pathlib.Path, walk: folders.Walk) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
        return clips_below(folder, walk)

    def positions(self) -> list[float]:
        """Return the window positions of a validation or test clip, from 0 (its beginning) to 1, the middle first."""
        count = self.windows if self.sampling == "window" else 1
        positions = [(number + 0.5) / count for number in range(count)]
        return sorted(positions, key=lambda position: abs(position - 0.5))

    def looks(
        self, side: str, augmentation: augmentations.Augmentation | None = None, views: int = 1, turns: int = 1,
        seed: int = 0,
    ) -> list[medium.Look]:  # fmt: skip
        if side == "train" and (augmentation or self.sampling == "window"):
            return [self._marked(look) for look in medium.augmented_views(augmentation, views, seed)]
        plain = super().looks(side, augmentation, views, turns, seed)
        positions = [0.5] if side == "train" else self.positions()
        return [self._marked(dataclasses.replace(look, position=position)) for position in positions for look in plain]

    def _marked(self, look: medium.Look) -> medium.Look:
        """Return the look with the choice of frames added to its mark."""
        frames = [self.frames, self.sampling, self.stride, look.position]
        frames += [] if self.white == deep.WHITE else [f"white {self.white}"]
        return dataclasses.replace(look, mark=json.dumps([look.mark or "turn 0", frames]))

    def raw(self, path: str | os.PathLike, look: medium.Look) -> tuple[np.ndarray, np.ndarray]:
        """Return the frames that a model which samples by itself needs for this look, and the frames that it uses."""
        step = self.stride if self.sampling == "window" else 1
        frames = read(path, (self.frames - 1) * step + 1, self.sampling, 1, look.position, self.white)
        return frames, frames[::step]

    def description(self, chooses: bool) -> dict:
        if self.sampling == "whole":
            which = f"the frames shown in the middle of {self.frames} equal parts of the clip's time"
        else:
            which = f"{self.frames} frames, {self.stride} apart, from one window"
        count = len(self.positions())
        if count > 1:
            which += f"; the answer is the mean over {count} windows around {self.positions()} of the clip (0 to 1)"
        which = f"all frames; the model itself selects {which}" if chooses else which
        settings = {"frames": self.frames, "sampling": self.sampling, "stride": self.stride, "looks": self.windows}
        return {"frames": settings | {"which": which}}


CLIPS = Clips()


def is_clip(path: str | os.PathLike) -> bool:
    """Return whether a file has a clip's extension, or a folder contains photos; hidden ones are not clips.

    Raises:
        ClipError: the folder cannot be listed.
    """
    path = pathlib.Path(path)
    if path.name.startswith("."):
        return False
    return bool(frame_folders.frame_paths(path)) if path.is_dir() else path.suffix.lower() in containers.EXTENSIONS


def find_clips(class_folder: pathlib.Path, walk: folders.Walk | None = None) -> list[pathlib.Path]:
    """Return the clips at any depth below a class folder, in order: video files, and folders that contain photos.

    A GIF is a clip here, never a frame.

    Args:
        class_folder: the class folder.
        walk: the walk through the data set, which notes what is left alone.

    Raises:
        UserError: there are no clips, photos are directly in the class folder, a folder contains both photos and clips,
            two clips have the same name, or the folder is one of optical flow beside one of pictures.
    """
    walk = walk or folders.Walk(class_folder)
    frame_folders.check_class(class_folder)
    frames = [path.name for path in walk.listed(class_folder)[1] if _is_frame(path)]
    if frames:
        raise errors.UserError(
            f"{class_folder}: photos are directly in this class folder, such as {frames[0]}, so the folder would be "
            f"one clip; move the frames of each clip into a folder of its own, {class_folder.name}/<clip>/{frames[0]}, "
            "and remove other photos"
        )
    found = medium.Medium.find(CLIPS, class_folder, walk)
    first_of_name: dict[pathlib.PurePath, pathlib.Path] = {}
    for clip in found:
        first = first_of_name.setdefault(without_ending(clip), clip)
        if first != clip:
            raise errors.UserError(
                f"{first} and {clip.name} have the same name. Keep one if they are the same clip, so that it cannot be "
                "in both training and test; otherwise rename one"
            )
    return found


def clips_below(folder: pathlib.Path, walk: folders.Walk) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
    """Return the clips at any depth below a folder, which may be a clip itself, and the files that are not read.

    Folders of optical flow beside the pictures are left alone.

    Raises:
        UserError: a folder contains both photos and clips.
    """
    found: list[pathlib.Path] = []
    others: list[pathlib.Path] = []
    first_frame: dict[pathlib.Path, str] = {}  # of each folder that contains frames
    for place, files in walk.below(folder):
        for path in files:
            if path.suffix.lower() in containers.EXTENSIONS:
                found.append(path)
            elif not _is_frame(path):
                others.append(path)
            elif place not in first_frame:
                first_frame[place] = path.name
    flow = {place: above for place in first_frame if (above := frame_folders.flow_in(place, folder))}
    walk.flow.update(flow.values())
    first_frame = {place: name for place, name in first_frame.items() if place not in flow}
    found = sorted([*found, *first_frame])
    for clip in found:
        if around := next((place for place in clip.parents if place in first_frame), None):
            raise errors.UserError(
                f"{around}: contains both photos, such as {first_frame[around]}, and clips, such as {clip.name}. If "
                "the photos are frames of one clip, move the clips out; otherwise remove the photos"
            )
    return found, others


def _is_frame(path: pathlib.Path) -> bool:
    """Return whether a file is a photo and not a GIF, which is a clip."""
    return photos.PHOTOS.is_item(path) and path.suffix.lower() not in containers.EXTENSIONS


def without_ending(path: pathlib.PurePath) -> pathlib.PurePath:
    """Return a clip's path without extension, as for a folder of frames: `Punch/v_Punch_g01_c01(.avi)`."""
    return path.with_suffix("") if path.suffix.lower() in containers.EXTENSIONS else path


def read(
    path: str | os.PathLike,
    frames: int = 16,
    sampling: str = "whole",
    stride: int = 2,
    position: float = 0.5,
    white: int = deep.WHITE,
) -> np.ndarray:
    """Return frames of a clip as a uint8 array of shape (frames, height, width, 3), RGB from 0 to 255.

    Each is the frame that a player shows at one moment, even with an irregular frame rate; `indices`
    defines the moments. Rotation and mirroring in the file's display matrix are applied. The width is resized if pixels
    are not square; transparent pixels are composited on white; deeper colours are scaled to 8 bits, and HDR to sRGB
    (`common.media.hdr`). A clip that was cut off between two key frames begins with its first frame that can be
    decoded. Only the first video stream is read, without cover pictures and sound. Interlaced frames are not changed.
    Several threads may call this at a time; one call uses one core.

    Args:
        path: a file, or a folder of photos of one size.
        frames: the number of frames to return.
        sampling: "whole", frames from equal parts of the clip, or "window", frames close together.
        stride: the distance between frames in a window, in frames; 1 takes every frame.
        position: the position of the window, from 0 (the beginning of the clip) to 1 (its end).
        white: as for `photos.read`, for a folder of photos.

    Raises:
        ClipError: the clip cannot be used; its message does not name the path.
        ValueError: an argument is out of its range.
    """
    how: dict[str, Any] = {"frames": frames, "sampling": sampling, "stride": stride, "position": position}
    _check_arguments(**how)
    return _read_folder(path, how, white) if os.path.isdir(path) else _read_file(path, how)


def inspect(path: str | os.PathLike) -> Facts:
    """Return the `Facts` of any clip.

    Every frame is decoded, so that `read` will succeed with any arguments; `COMPARED` of them are converted to RGB. A
    file whose end is missing is a problem, not a shorter clip. A cut between two parts of a file stays hidden only if
    the format does not give its length (MPEG program streams, live Matroska and fragmented MP4); a note says so.
    """
    path = os.fspath(path)
    return _inspect_folder(path) if os.path.isdir(path) else _inspect_file(path)


def indices(
    starts: Sequence[float],
    end: float,
    rate: float,
    frames: int = 16,
    sampling: str = "whole",
    stride: int = 2,
    position: float = 0.5,
) -> list[int]:
    """Return the frames that are shown at the moments of a sampling.

    "whole" takes the middles of `frames` equal parts of the clip's time; a clip with fewer frames repeats
    some of them. "window" numbers the frames by the nominal rate and takes `frames` numbers `stride` apart, each at the
    middle of its time; `position` chooses evenly among all windows that fit. If no window fits, the window starts at
    the beginning of the clip, and the last frame is repeated.

    Args:
        starts: seconds at which the frames begin, ascending; each is shown until the next.
        end: seconds at which the last frame ends.
        rate: nominal frames per second.
        frames, sampling, stride, position: as for `read`.

    Returns:
        `frames` positions in `starts`, ascending.
    """
    length = end - starts[0]
    if sampling == "whole":
        moments = (np.arange(frames) + 0.5) * (length / frames)
    else:
        free = max(round(length * rate) - (frames - 1) * stride - 1, 0)
        first = min(int(position * (free + 1)), free)
        moments = (first + np.arange(frames) * stride + 0.5) / rate
    moments += starts[0] + min(film.ROUNDING, 0.25 / rate)
    return (np.searchsorted(starts, moments, side="right") - 1).tolist()


def _check_arguments(frames: int, sampling: str, stride: int, position: float) -> None:
    if frames < 1:
        raise ValueError(f"frames must be at least 1, got {frames}")
    if sampling not in SAMPLINGS:
        raise ValueError(f"sampling must be one of {', '.join(SAMPLINGS)}, got {sampling!r}")
    if stride < 1:
        raise ValueError(f"stride must be at least 1, got {stride}")
    if not 0 <= position <= 1:
        raise ValueError(f"position must be from 0 to 1, got {position}")


# Folders of frames ------------------------------------------------------------------------------------------


def _read_folder(path: str | os.PathLike, how: dict[str, Any], white: int) -> np.ndarray:
    paths = frame_folders.frame_paths(path)
    chosen = indices(range(len(paths)), len(paths), 1, **how) if paths else []
    shown = {number: _photo(paths[number], white) for number in sorted(set(chosen))}
    _check_sizes(len(paths), {pixels.shape[1::-1] for pixels in shown.values()})
    return np.stack([shown[number] for number in chosen])


def _inspect_folder(path: str) -> Facts:
    found: list[medium.Facts] = []
    digest = ""
    try:
        found = [photos.inspect(frame) for frame in frame_folders.frame_paths(path)]
        digest = _folder_sha256(found)
        for facts in found:
            if facts.problem:
                raise _bad_frame(facts.path, facts.problem)
        _check_sizes(len(found), {(facts.width, facts.height) for facts in found})
    except containers.ClipError as error:
        return Facts(path=path, bytes=sum(facts.bytes for facts in found), sha256=digest, problem=str(error))
    size = sum(facts.bytes for facts in found)
    formats = " and ".join(sorted({facts.format for facts in found}))
    notes = tuple(dict.fromkeys(note for facts in found for note in facts.notes if note != photos.ONE_COLOUR))
    notes += frame_folders.notes(path)
    sampled = [found[number] for number in indices(range(len(found)), len(found), 1, COMPARED)]
    pictures = [facts.pixels_sha256 for facts in sampled]
    is_one_colour = all(photos.ONE_COLOUR in facts.notes for facts in sampled)
    width, height = found[0].width, found[0].height
    return Facts(
        path=path, bytes=size, sha256=digest, format=f"folder of {formats}", width=width, height=height,
        notes=notes + _notes_on_pictures(pictures, is_one_colour), frames=len(found),
        pixels_sha256=_sha256_of(pictures), largest_sample=max(facts.largest_sample for facts in found),
    )  # fmt: skip


def _notes_on_pictures(pictures: Sequence[str], is_one_colour: bool) -> tuple[str, ...]:
    """Return notes about `COMPARED` sampled frames, from the hashes of their pixels."""
    same = max(map(pictures.count, pictures))
    notes = (f"one picture: {same} of {COMPARED} sampled frames",) if 2 * same > COMPARED else ()
    return notes + ((photos.ONE_COLOUR,) if is_one_colour else ())


def _sha256_of(hashes: Sequence[str]) -> str:
    return hashlib.sha256(" ".join(hashes).encode()).hexdigest()


def _folder_sha256(found: Sequence[medium.Facts]) -> str:
    """Return the hash of the frames' names and contents, in order; "" if one could not be read."""
    if not found or not all(facts.sha256 for facts in found):
        return ""
    lines = [os.fsencode(os.path.basename(facts.path)) + b"\0" + facts.sha256.encode() for facts in found]
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


def _photo(path: str, white: int) -> np.ndarray:
    try:
        return photos.read(path, white)
    except photos.ImageError as error:
        raise _bad_frame(path, error) from error


def _bad_frame(path: str, problem: str | Exception) -> containers.ClipError:
    return containers.ClipError(f"bad frame: {os.path.basename(path)!r} is unusable, {problem}")


def _check_sizes(count: int, sizes: Collection[tuple[int, ...]]) -> None:
    """Raise an error for a folder without frames, or with frames of several (width, height)."""
    if not count:
        raise containers.ClipError("no frames: the folder contains no photos; fill it or remove it")
    if len(sizes) > 1:
        (width, height), (other_width, other_height) = sorted(sizes)[:2]
        raise containers.ClipError(
            f"frames of several sizes: {width} x {height} and {other_width} x {other_height} pixels; "
            "resize them to one size"
        )


def _read_file(path: str | os.PathLike, how: dict[str, Any]) -> np.ndarray:
    with film.open_file(path) as file, film.open_film(file) as opened:
        chosen = indices(opened.starts, opened.end, opened.rate, **how)
        numbers = sorted(set(chosen))
        shown = dict(zip(numbers, film.pictures(opened, numbers), strict=True))
    return np.stack([shown[number] for number in chosen])


def _inspect_file(path: str) -> Facts:
    size, digest = 0, ""
    try:
        with film.open_file(path) as file:
            digest, size = containers.sha256(file), os.fstat(file.fileno()).st_size
            with film.open_film(file) as opened:
                return _facts(path, size, digest, opened)
    except containers.ClipError as error:
        return Facts(path=path, bytes=size, sha256=digest, problem=str(error))


def _facts(path: str, size: int, digest: str, opened: film.Film) -> Facts:
    sampled = indices(opened.starts, opened.end, opened.rate, COMPARED)
    converter, shown, first, count = film.Converter(opened), {}, None, 0
    for number, (_, frame) in enumerate(film.decoded(opened, opened.keys[0])):
        first, count = first or frame, number + 1
        if number in sampled or not number:
            shown[number] = converter.pixels(frame)
    if first is None:
        raise containers.ClipError(f"no frames: none can be decoded; {containers.COPY_AGAIN}")
    height, width, _ = shown[0].shape
    hashes = {number: photos.pixels_sha256(pixels) for number, pixels in shown.items()}
    pictures = [hashes[min(number, max(hashes))] for number in sampled]
    notes = _note_name(path, opened.format) + _notes(opened, first, converter)
    notes += _notes_on_pictures(pictures, all(map(photos.is_one_colour, shown.values())))
    codec = opened.stream.codec.canonical_name
    picture_format = opened.format if codec == opened.format.lower() else f"{opened.format} {codec}"
    return Facts(
        path=path, bytes=size, sha256=digest, format=picture_format, width=width, height=height, notes=notes,
        frames=count, seconds=round(opened.end, 6), pixels_sha256=_sha256_of(pictures),
        header={"frame rate": round(opened.rate, 2)},
    )  # fmt: skip


def _note_name(path: str, container_format: str) -> tuple[str, ...]:
    """Return a note if the extension stands for another format than the content."""
    extension = os.path.splitext(path)[1].lower()
    if containers.FORMATS_BY_EXTENSION.get(extension, container_format) == container_format:
        return ()
    return (f"{container_format} named {extension}",)


def _notes(opened: film.Film, frame: av.VideoFrame, converter: film.Converter) -> tuple[str, ...]:
    notes = {
        "rotation applied": film.orientation(frame) != (1, 0, 0, 1),
        "non-square pixels corrected": film.display_width(opened) != opened.size[0],
        "alpha composited on white": converter.saw_transparency,
        "alpha ignored: it is 0 everywhere in a frame": converter.saw_mask,
        "grey": len(frame.format.components) < 3 and not frame.format.has_palette,
        f"HDR ({hdr.TRANSFERS.get(frame.color_trc)}) converted": frame.color_trc in hdr.TRANSFERS,
        "deep colours scaled to 8 bits": any(component.bits > 8 for component in frame.format.components),
        "interlaced": frame.interlaced_frame,
        "variable frame rate": _is_irregular(opened.starts),
        "one frame": len(opened.times) == 1,
        f"beginning is missing: {opened.lost} frames before the first key frame": opened.lost > 0,
        "no sign that its end is there": not opened.has_end,
        f"first of {1 + opened.others} video streams taken": opened.others > 0,
    }
    return tuple(note for note, applies in notes.items() if applies)


def _is_irregular(starts: Sequence[float]) -> bool:
    gaps = [after - before for before, after in itertools.pairwise(starts)]
    return bool(gaps) and max(gaps) > 1.5 * min(gaps) + film.ROUNDING
