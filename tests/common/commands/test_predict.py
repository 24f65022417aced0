import pathlib

import numpy as np
import pytest

from common import errors
from common.commands import predict
from common.data import targets
from common.media import containers, photos


class Asked:
    """A model that says `bright` or `dark`; what is called bad is no file for it."""

    targets = targets.Classes(("bright", "dark"))

    def find(self, names):
        return list(names)

    def looks(self, path):
        if "bad" in path.name:
            raise errors.UnusableFile("damaged: it is bad; remove it")
        return float(path.name == "bright.jpg")

    def probabilities(self, looks):
        return np.array([[look, 1 - look] for look in looks])


@pytest.fixture
def answers(monkeypatch, capsys):
    """What `predict` returns and prints about files of these names."""
    monkeypatch.setattr(predict, "_reading", lambda run: Asked())

    def ask(*names, **settings):
        code = predict.predict(pathlib.Path("run"), [pathlib.Path(name) for name in names], **settings)
        return code, *capsys.readouterr()

    return ask


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_every_file_that_is_named_gets_a_line_in_its_order(answers, batch_size):
    code, lines, _ = answers("a.jpg", "bright.jpg", "a.jpg", batch_size=batch_size)
    assert code == 0
    assert lines.splitlines() == ["a.jpg\tdark\t1.0000", "bright.jpg\tbright\t1.0000", "a.jpg\tdark\t1.0000"]


def test_what_cannot_be_asked_about_is_said_and_the_others_go_on(answers):
    code, lines, complaints = answers("bad.jpg", "a.jpg")
    assert code == 2 and lines == "a.jpg\tdark\t1.0000\n" and complaints == "bad.jpg: damaged: it is bad\n"
    assert answers("bad.jpg")[:2] == (2, "")
    assert "exit code is then 2" in " ".join(predict.command.__doc__.split())  # --help says so


def test_the_most_probable_classes_are_printed_on_request(answers):
    assert answers("bright.jpg", top=2)[1] == "bright.jpg\tbright\t1.0000\tdark\t0.0000\n"
    assert answers("a.jpg", top=9)[1] == "a.jpg\tdark\t1.0000\tbright\t0.0000\n"


def test_every_mediums_error_is_an_unusable_file():
    for error in (photos.ImageError, containers.ClipError):
        assert issubclass(error, errors.UnusableFile) and issubclass(error, errors.UserError)
