import os
import pathlib
import signal
import subprocess
import sys

import pytest

from common import errors, outputs
from common.commands import cache
from common.data import clip_groups, documents, metadata_table, sources
from common.media import clips, photos, texts

pytestmark = pytest.mark.quick

ROOT = pathlib.Path(__file__).parents[2]
HOLD = """
import pathlib, sys, time
sys.path.insert(0, sys.argv[2])
from common import outputs
held = outputs.lock(pathlib.Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock of `tmp_path/run`."""
    (tmp_path / "run").mkdir()
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "run", ROOT], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_refused_until_the_first_one_is_killed(tmp_path, other):
    said = rf"another process writes there \(process {other.pid} on .+\); wait until it has finished"
    with pytest.raises(errors.UserError, match=said), outputs.locked(tmp_path / "run"):
        pass
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    with outputs.locked(tmp_path / "run"):
        assert f"process {os.getpid()} on " in (tmp_path / "run" / outputs.LOCK).read_text()


def test_a_process_shares_its_own_lock_and_frees_it(tmp_path):
    (tmp_path / "run").mkdir()
    code = HOLD.replace("time.sleep(600)", "")
    first = outputs.lock(tmp_path / "run")
    with outputs.locked(tmp_path / "run"):
        pass
    command = [sys.executable, "-c", code, tmp_path / "run", ROOT]
    assert subprocess.run(command, capture_output=True).returncode == 1
    del first
    assert subprocess.run(command, capture_output=True).returncode == 0


def test_a_folder_that_cannot_be_written_needs_no_lock(tmp_path):
    with outputs.locked(tmp_path / "gone"):
        assert not (tmp_path / "gone").exists()


def test_made_folders_stay_only_if_something_is_in_them(tmp_path):
    with pytest.raises(ValueError), outputs.made(tmp_path / "a" / "b"):
        raise ValueError
    assert not (tmp_path / "a").exists()
    with outputs.made(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "file").touch()
    assert (tmp_path / "a" / "b" / "file").exists()


def test_only_a_folder_of_its_own_is_tagged_as_a_cache(tmp_path):
    """Backups leave out what is tagged."""
    assert set(cache.KINDS) == set(outputs.IN_CACHE)
    for name in ("new", "mine", "older"):
        (tmp_path / name).mkdir()
    (tmp_path / "mine" / "letters").mkdir()
    (tmp_path / "older" / "features").mkdir()
    for name in ("new", "mine", "older", "gone", "gone"):
        outputs.tag_cache(tmp_path / name)
    tagged = {path.parent.name for path in tmp_path.glob(f"*/{outputs.CACHE_TAG}")}
    assert tagged == {"new", "older", "gone"}


# What is never read as data -----------------------------------------------------------------------------------


def litter(data, inside):
    """Fills `runs/`, a cache and a finished run of an older version below `data`; `inside` writes an item."""
    run = data / "runs" / "linear_probe" / "a"
    (run / "figures").mkdir(parents=True)
    (data / "runs" / "feature_extraction").mkdir()
    (run / outputs.LOCK).touch()
    inside(run / "figures")
    outputs.tag_cache(data / "cache")
    inside(data / "cache" / "demo" / "x")
    inside(data / "old" / "figures")
    (data / "old" / "config.json").write_text('{"recipe": "linear_probe"}')
    (data / "old" / "split.csv").touch()


def photo(folder):
    folder.mkdir(parents=True, exist_ok=True)
    photos.Image.new("RGB", (9, 9)).save(folder / "1.png")


def frames(folder):
    photo(folder / "clip")


def text(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "1.txt").write_text("some words")


READERS = {
    "photos": (photo, lambda data: sources.read_folder(data, photos.PHOTOS)),
    "clips": (frames, clip_groups.read_folder),
    "texts": (text, lambda data: [sample for sample, _, _ in documents._read_folder(data, "utf-8")]),
}


@pytest.mark.parametrize("kind", READERS)
def test_runs_and_caches_are_no_classes_and_hold_no_items(tmp_path, capsys, kind):
    write, read = READERS[kind]
    for label in ("cat", "dog"):
        write(tmp_path / label)
    litter(tmp_path, write)
    litter(tmp_path / "cat", write)
    assert sorted({sample.label for sample in read(tmp_path)}) == ["cat", "dog"]
    capsys.readouterr()
    assert len(read(tmp_path)) == 2
    assert "6 folders with the output of runs or a cache (cache, cat/cache, cat/old, …)" in capsys.readouterr().err


def test_the_files_of_predict_and_of_a_table_too(tmp_path):
    for kind, write in ((photos.PHOTOS, photo), (texts.Texts(), text), (clips.Clips(), frames)):
        write(tmp_path / kind.name / "x")
        litter(tmp_path / kind.name, write)
        assert len(kind.found([tmp_path / kind.name])) == 1
    assert len(metadata_table._image_files(tmp_path / "photos", skip_unsupported=False)) == 1


def test_a_run_given_as_data_is_refused_and_a_folder_of_data_is_not_ours(tmp_path):
    litter(tmp_path, photo)
    for name in ("runs", "old", "cache"):
        with pytest.raises(errors.UserError, match="holds the output of runs or a cache; give a folder of class"):
            sources.read_folder(tmp_path / name, photos.PHOTOS)
    (tmp_path / "runs" / "notes").mkdir()
    (tmp_path / "runs" / "notes" / "1.txt").touch()
    (tmp_path / "config.json").write_text("{}")
    assert not outputs.is_ours(tmp_path / "runs") and not outputs.is_ours(tmp_path)
    (tmp_path / "tagged").mkdir()
    (tmp_path / "tagged" / outputs.CACHE_TAG).write_text("no signature")
    assert not outputs.is_ours(tmp_path / "tagged")


def test_latest_is_the_newest_run_of_its_kind(tmp_path, capsys):
    for name, finished in (("2026-01-01_seed0", True), ("2026-01-02_seed0", True), ("2026-01-03_seed0", False)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        if finished:
            (tmp_path / name / "results.json").write_text("{}")
    (tmp_path / "2026-01-04").mkdir()  # no run
    latest = str(tmp_path / "latest")
    assert outputs.with_latest([latest, "photo.jpg"]) == [str(tmp_path / "2026-01-02_seed0"), "photo.jpg"]
    assert outputs.with_latest(["--seed", "1", "--resume", latest])[-1] == str(tmp_path / "2026-01-03_seed0")
    assert outputs.with_latest([f"--resume={latest}"]) == [f"--resume={tmp_path / '2026-01-03_seed0'}"]
    assert outputs.with_latest([f"--backbone={latest}"]) == [f"--backbone={tmp_path / '2026-01-02_seed0'}"]
    assert f"latest: {tmp_path / '2026-01-02_seed0'}" in capsys.readouterr().err
    with pytest.raises(errors.UserError, match="has no finished run; give the directory of a run"):
        outputs.with_latest([str(tmp_path / "other" / "latest")])


def test_a_folder_that_is_called_latest_is_left_alone(tmp_path):
    (tmp_path / "latest").mkdir()
    assert outputs.with_latest([str(tmp_path / "latest")]) == [str(tmp_path / "latest")]
