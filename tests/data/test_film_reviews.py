import json
import pathlib

import helpers
import pytest

from common import errors

pytestmark = pytest.mark.quick
PREPARE = pathlib.Path(__file__).parents[2] / "data" / "film_reviews" / "prepare.py"


@pytest.fixture
def reviews(monkeypatch):
    return helpers.script(PREPARE, monkeypatch)


def test_a_line_for_each_sentence_with_its_label(reviews, tmp_path):
    (tmp_path / "rt-polarity.pos").write_bytes("a caf\xe9 \x85 of wonders . \n\nsimply great\n".encode("latin-1"))
    (tmp_path / "rt-polarity.neg").write_bytes(b"dull . \n")
    path = reviews.prepare(reviews.Config(tmp_path), {"positive": 2, "negative": 1})
    assert [tuple(json.loads(line).values()) for line in path.read_text("utf-8").split("\n")[:-1]] == [
        ("a caf\xe9 \x85 of wonders .", "positive"), ("simply great", "positive"), ("dull .", "negative"),
    ]  # fmt: skip


def test_mistakes_are_one_line(reviews, tmp_path):
    with pytest.raises(errors.UserError, match=r"no rt-polarity\.pos; give the unpacked folder"):
        reviews.prepare(reviews.Config(tmp_path))
    (tmp_path / "rt-polarity.pos").write_text("good\n")
    with pytest.raises(errors.UserError, match="found 1 sentences, expected 5331"):
        reviews.prepare(reviews.Config(tmp_path))
