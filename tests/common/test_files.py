import json
import os
import threading

import pytest

from common import files

pytestmark = pytest.mark.quick


def test_nothing_half_written_stands_under_the_final_name(tmp_path):
    path = tmp_path / "results.json"
    files.write_json(path, {"accuracy": 0.9})
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"accuracy": 0.9}
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_one_and_a_pipe_is_written_into(tmp_path):
    (tmp_path / "kept.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("kept.csv")
    files.write_csv(tmp_path / "link.csv", ["path"], [["a"]])
    assert (tmp_path / "link.csv").is_symlink() and (tmp_path / "kept.csv").read_text() == "path\na\n"
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    reader.start()
    files.write_csv(tmp_path / "pipe", ["path"], [["a"]])
    reader.join(10)
    assert read == ["path\na\n"] and (tmp_path / "pipe").is_fifo()


def test_not_a_number_is_refused(tmp_path):
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "results.json", {"accuracy": float("nan")})
    assert not list(tmp_path.iterdir())


def test_csv(tmp_path):
    files.write_csv(tmp_path / "a.csv", ["path", "label"], [["a, b.jpg", 'say "x"']])
    assert (tmp_path / "a.csv").read_text() == 'path,label\n"a, b.jpg","say ""x"""\n'
