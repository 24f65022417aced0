import dataclasses
import os
import time

import numpy as np
import PIL.Image
import pytest

from common import errors
from common.data import dataset, documents, file_checks, sample_list, unchanged
from common.media import clips, photos, texts
from common.models import raw_input
from common.training import settings

pytestmark = pytest.mark.quick


def exchange(first, second):
    """Exchanges the contents of two files, or of the files of two folders, with their times kept."""
    time.sleep(0.02)  # the clock of the file system is coarse
    pairs = [(first, second)]
    if first.is_dir():
        pairs = list(zip(sorted(first.iterdir()), sorted(second.iterdir()), strict=True))
    for one, other in pairs:
        contents = other.read_bytes(), one.read_bytes()
        for path, content in zip((one, other), contents, strict=True):
            status = path.stat()
            path.write_bytes(content)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def photo(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.random.default_rng(seed).integers(0, 256, (10, 12, 3), "uint8")).save(path)
    return path


def clip(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [PIL.Image.fromarray(np.full((16, 16, 3), (53 * seed + 20 * n) % 256, "uint8")) for n in range(3)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:])
    return path


def folder_of_frames(path, seed):
    for number in range(3):
        photo(path / f"{number}.bmp", 10 * seed + number)
    return path


def text(path, seed):
    path.write_text(f"document number {seed}")
    return path


KINDS = {
    "photos": (photos.PHOTOS, photo, "{}.bmp"),
    "clips": (clips.Clips(frames=2), clip, "{}.gif"),
    "folders of frames": (clips.Clips(frames=2), folder_of_frames, "{}"),
    "texts": (texts.Texts(), text, "{}.txt"),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.fixture
def two(kind, tmp_path):
    _, write, name = kind
    return [write(tmp_path / name.format(number), number) for number in range(2)]


def test_files_exchanged_with_their_times_kept_are_scanned_again(kind, two, tmp_path):
    medium, names = kind[0], list(map(str, two))
    before = file_checks.scan(names, medium, tmp_path / "cache")
    times = [os.stat(name).st_mtime_ns for name in names]
    exchange(*two)
    assert [os.stat(name).st_mtime_ns for name in names] == times or two[0].is_dir()
    after = file_checks.scan(names, medium, tmp_path / "cache")
    assert [after[name].sha256 for name in names] == [before[name].sha256 for name in reversed(names)]
    assert {name: medium.digest(name) for name in names} == {name: after[name].sha256 for name in names}


def test_a_file_that_changes_after_the_scan_stops_the_run(kind, two):
    medium, names = kind[0], list(map(str, two))
    reader = unchanged.Reader(medium, {name: medium.inspect(name).sha256 for name in names})
    first = reader.read(names[0])
    exchange(*two)
    for name in names:  # one was read before, the other was not
        with pytest.raises(errors.UserError, match=f"^{name}: the file was changed after it had been checked"):
            reader.read(name)
    exchange(*two)
    assert np.array_equal(reader.read(names[0]), first)
    os.rename(names[0], names[0] + ".away")
    with pytest.raises(errors.UserError, match=f"^{names[0]}: the file was removed"):
        reader.read(names[0])


def test_the_hash_is_computed_once_as_long_as_the_stamp_is_the_same(tmp_path, monkeypatch):
    path = str(photo(tmp_path / "a.bmp", 0))
    reader = unchanged.Reader(photos.PHOTOS, {path: photos.inspect(path).sha256})
    first = reader.read(path)
    monkeypatch.setattr(photos.Photos, "digest", lambda self, path: pytest.fail("hashed again"))
    assert (reader.read(path) == first).all()
    monkeypatch.undo()
    os.utime(path, ns=(1, 1))  # another stamp, the same content
    assert (reader.read(path) == first).all()


def test_a_stopped_pipeline_names_the_file(stripes, tmp_path):
    """Through tf.data, which passes on only the text of an error."""
    config = settings.PhotoConfig(data=str(stripes), cache=tmp_path / "cache")
    splits = dataset.load(config, tmp_path, photos.PHOTOS)
    train, _, _ = splits.generators(raw_input.resizing(8, "squash"), lambda x: x, 4, seed=0)
    list(train.take(2))
    path = splits.train[0].path
    photo(stripes / "x.bmp", 0).replace(path)
    with pytest.raises(Exception, match=f"UserError: {path}: the file was changed"):
        list(train.take(20))


# The hashes in split.csv --------------------------------------------------------------------------------------------


@pytest.fixture
def data(kind, tmp_path):
    """Class folders with eight items each; texts have words of their own."""
    _, write, name = kind
    for number in range(16):
        path = tmp_path / "data" / "ab"[number % 2] / name.format(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, number)
        if name.endswith(".txt"):
            path.write_text(" ".join(f"{letter}{'abcdefghijklmnop'[number]}" for letter in "abcdefghijkl"))
    return tmp_path / "data"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextConfig(settings.PhotoConfig):
    encoding: str = "utf-8"
    keep_layout: bool = False
    document_characters: int | None = None
    group_pattern: str | None = None
    duplicate_threshold: float = 0.5
    general: None = None


def load(medium, source, folder):
    folder.mkdir(exist_ok=True)
    config = TextConfig(data=str(source), cache=folder.parent / "cache", validation_fraction=0.2, test_fraction=0.2)
    return documents.load(config, folder, 2) if medium.name == "texts" else dataset.load(config, folder, medium)


def two_of(splits):
    """The files of two training items, one of each class."""
    return [next(sample.path for sample in splits.train if sample.label == label) for label in "ab"]


def test_a_resumed_run_notices_exchanged_files(kind, data, tmp_path):
    medium = kind[0]
    first = load(medium, data, tmp_path / "run")
    again = load(medium, data, tmp_path / "run")
    assert again.train == first.train
    assert all(sample.about["sha256"] == medium.inspect(sample.path).sha256 for sample in again.train)
    exchange(*map(type(tmp_path), two_of(first)))
    said = rf"run/split\.csv: 2 of 16 {medium.unit}s have changed since it was written, such as .*; put the old files"
    with pytest.raises(errors.UserError, match=said):
        load(medium, data, tmp_path / "run")


def test_a_split_of_an_older_version_goes_on_and_says_so(kind, data, tmp_path, capsys):
    medium = kind[0]
    first = load(medium, data, tmp_path / "run")
    old = [dataclasses.replace(each, about={}) for each in [*first.train, *first.validation, *first.test]]
    sample_list.write_csv(tmp_path / "run" / "split.csv", old)
    written = (tmp_path / "run" / "split.csv").read_bytes()
    assert b"sha256" not in written
    assert load(medium, data, tmp_path / "run").paths("train") == first.paths("train")
    assert "is of an older version and lists no sha256" in capsys.readouterr().err
    assert (tmp_path / "run" / "split.csv").read_bytes() == written


def test_a_split_given_as_data_is_checked_too(stripes, tmp_path, capsys):
    """As in a comparison's trials: they get the comparison's split as their data."""
    first = load(photos.PHOTOS, stripes, tmp_path / "one")
    given = tmp_path / "one" / "split.csv"
    assert load(photos.PHOTOS, given, tmp_path / "two").test == first.test
    assert (tmp_path / "two" / "split.csv").read_text().splitlines()[0] == "path,label,group,split,sha256"
    exchange(stripes / "across" / "00.jpg", stripes / "down" / "00.jpg")
    with pytest.raises(errors.UserError, match="2 of 30 photos have changed.*remove the column sha256 to read them"):
        load(photos.PHOTOS, given, tmp_path / "three")
    own = given.read_text().replace("sha256", "checksum")
    (tmp_path / "own.csv").write_text(own)
    load(photos.PHOTOS, tmp_path / "own.csv", tmp_path / "three")
    assert "sha256" not in capsys.readouterr().err
