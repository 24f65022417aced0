import pytest

from common import words as common_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "–"), (0.5, "0.5 s"), (59.94, "59.9 s"), (93.4, "1 min 33 s"), (3725, "1 h 2 min")],
)
def test_durations(seconds, words):
    assert common_words.duration(seconds).replace("\N{NO-BREAK SPACE}", " ") == words


@pytest.mark.parametrize(("count", "words"), [(0, "0 bytes"), (3_276_800, "3.28 MB"), (1.5e9, "1.5 GB"), (None, "–")])
def test_sizes(count, words):
    assert common_words.size(count).replace("\N{NO-BREAK SPACE}", " ") == words
