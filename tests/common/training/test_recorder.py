import collections
import json
import os
import shutil
import subprocess
import sys
import types

import keras
import pytest
import tiny_network

from common import errors, flags, outputs
from common.runs import tracking
from common.training import recorder, settings


def interrupted(tmp_path, *names):
    """The config that resumes a run with these files in its directory."""
    run = tmp_path / "run"
    run.mkdir()
    stored = {"recipe": "toy", "command": "toy", "config": flags.to_dict(settings.PhotoConfig())}
    (run / "config.json").write_text(json.dumps(stored))
    for name in names:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).touch()
    return settings.PhotoConfig(resume=run)


@pytest.mark.parametrize(
    ("there", "refused"),
    [
        ("history.csv", True), ("trials/a/log.txt", True), ("history.csv split.csv", False),
        ("trials/a/log.txt splits/seed0/split.csv", False), ("split.csv", False), ("", False),
    ],
)  # fmt: skip
def test_a_run_whose_split_is_gone_is_not_split_anew(tmp_path, there, refused):
    """Unless nothing was trained: then it may begin afresh."""
    config = interrupted(tmp_path, *there.split())
    if refused:
        with pytest.raises(errors.UserError, match=r"run: its split\.csv is gone.*put it back, or start a new run"):
            recorder.Recorder("toy", config)
    else:
        recorder.Recorder("toy", config)


@pytest.mark.parametrize("name", ["split.csv", "splits/seed0/split.csv", "splits/seed0/0.5.csv"])
def test_a_split_that_lost_a_row_is_refused(tmp_path, name):
    """Of a run and of a comparison; the order of the rows, their files' place and the line ends do not matter."""
    record = recorder.Recorder("toy", settings.PhotoConfig(out=tmp_path / "runs", cache=tmp_path / "cache"))
    split = record.directory / name
    split.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"/photos/{label}{number}.jpg,{label},,train,{label}{number}" for label in "ab" for number in range(3)]

    def write(rows, end="\n"):
        split.write_text(end.join(["path,label,group,split,sha256", *rows, ""]))

    write(rows)
    record.write_config()
    config = settings.PhotoConfig(resume=record.directory)
    write([row.replace("/photos", "/moved") for row in reversed(rows)], end="\r\n")
    recorder.Recorder("toy", config)
    for damaged, told in (
        (rows[1:], r"has 5 of its 6 items"), ([*rows, rows[0]], "has 7 of its 6 items"), ([], "has 0 of its 6 items"),
        ([rows[0].replace("train", "test"), *rows[1:]], "has been changed"),
        ([rows[0].replace(",a,", ",b,"), *rows[1:]], "has been changed"),
    ):  # fmt: skip
        write(damaged)
        with pytest.raises(errors.UserError, match=rf"/{name} {told} since the run began; put back the file as it was"):
            recorder.Recorder("toy", config)


HOLD = """
import pathlib, sys, time
from common import outputs
held = outputs.lock(pathlib.Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


def test_a_run_that_another_process_writes_is_not_resumed(tmp_path):
    config = interrupted(tmp_path, "split.csv")
    other = subprocess.Popen([sys.executable, "-c", HOLD, config.resume], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "held\n"
    with pytest.raises(errors.UserError, match=rf"another process writes there \(process {other.pid} on"):
        recorder.Recorder("toy", config)
    other.kill()  # without a chance to tidy up
    other.wait()
    record = recorder.Recorder("toy", config)
    ended = subprocess.run([sys.executable, "-c", HOLD, config.resume], capture_output=True, text=True)
    assert f"another process writes there (process {os.getpid()} on" in ended.stderr
    del record


def test_a_refused_run_leaves_nothing_and_one_that_has_begun_stays(tmp_path):
    cache = tmp_path / "cache"
    for begun in (False, True):
        record = recorder.Recorder("toy", settings.PhotoConfig(out=tmp_path / "runs", cache=cache))
        (record.directory / "skipped.csv").touch()
        assert outputs.is_ours(record.directory) and outputs.is_ours(tmp_path / "runs") and outputs.is_ours(cache)
        if begun:
            record.write_config()
        del record
        assert (tmp_path / "runs").exists() == begun


def test_a_disk_that_would_be_full_at_the_end_is_found_before_the_training(tmp_path, monkeypatch):
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 6 * 10**6, 6 * 10**6))
    record = recorder.Recorder("toy", settings.PhotoConfig(out=tmp_path / "runs"))
    backbone = tiny_network.demo()
    with pytest.raises(errors.UserError, match=r"the run needs .*, but only 6\sMB are free; free some"):
        record.begin(backbone, backbone.model, splits=None, stages=[])
    assert not (record.directory / "config.json").exists()
    small = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    record.begin(backbone, small, splits=None, stages=[])
    assert (record.directory / "config.json").exists()


def test_what_fails_after_results_json_leaves_a_finished_run(tmp_path, monkeypatch, capsys):
    """Grad-CAM without memory: the report is drawn without it. A report that fails, MLflow and the summary as well."""
    config = settings.PhotoConfig(out=tmp_path / "runs", cache=tmp_path / "cache", mlflow="sqlite:///x.db")
    monkeypatch.setattr(tracking, "check", lambda *_: None)
    drawn = []

    def write(directory, sections, saved=None):
        if saved:
            raise MemoryError
        drawn.append(directory)

    def fail(*_):
        raise UnicodeEncodeError("latin-1", "\u2192", 0, 1, "ordinal not in range")

    monkeypatch.setattr(recorder.page, "write", write)
    monkeypatch.setattr(tracking, "publish", fail)
    section = types.ModuleType("common.report.toy")
    section.summary = fail
    record = recorder.Recorder("toy", config)
    record.write_config()
    result = record.complete({"medium": "photos"}, [section], saved="a model")
    assert result.directory == record.directory and (record.directory / "results.json").is_file()
    assert drawn == [record.directory]
    said = capsys.readouterr().err.splitlines()[-3:]
    assert said[0].startswith("the report with explained answers: failed, the run itself is complete (MemoryError); to")
    assert said[1].endswith(f"to repeat it: python -m recipes publish {record.directory} --mlflow sqlite:///x.db")
    assert said[2].startswith("the summary: failed, the run itself is complete (UnicodeEncodeError")
    monkeypatch.setattr(recorder.page, "write", fail)
    record.complete({"medium": "photos"}, [section])
    assert f"to repeat it: python -m recipes report {record.directory}" in capsys.readouterr().err
