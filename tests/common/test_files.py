import json

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


def test_not_a_number_is_refused(tmp_path):
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "results.json", {"accuracy": float("nan")})
    assert not list(tmp_path.iterdir())


def test_csv(tmp_path):
    files.write_csv(tmp_path / "a.csv", ["path", "label"], [["a, b.jpg", 'say "x"']])
    assert (tmp_path / "a.csv").read_text() == 'path,label\n"a, b.jpg","say ""x"""\n'
