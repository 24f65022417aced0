import matplotlib.font_manager
import numpy as np
import pytest

from common.report import figures, lettering

pytestmark = pytest.mark.quick
NOWHERE = "\U0010fffd"  # for private use: no font has it


def test_letters_that_no_font_has_become_numbers():
    assert lettering.fonts_for("cats & dogs, café") == ([lettering.OWN], set())
    fonts, missing = lettering.fonts_for(f"a cat {NOWHERE}")
    assert fonts == [lettering.OWN] and missing == {NOWHERE}
    names = lettering.Lettering(missing)
    assert names.shown("cat") == "cat"
    assert names.shown(f"{NOWHERE * 2} cat {NOWHERE}") == "#1 cat #2"
    assert names.shown(f"{NOWHERE}") == "#2"
    assert names.legend == {NOWHERE * 2: 1, NOWHERE: 2}


def test_another_installed_font_is_found():
    own = lettering._letters(matplotlib.font_manager.findfont(lettering.OWN))
    others = {
        font.name: letters for font in matplotlib.font_manager.fontManager.ttflist
        if not any(part in font.name for part in lettering.UNFIT) and (letters := lettering._letters(font.fname) - own)
    }  # fmt: skip
    if not others:
        pytest.skip("no installed font has a letter that matplotlib's own lacks")
    letter = min(min(letters) for letters in others.values())
    fonts, missing = lettering.fonts_for({"a", letter})
    assert missing == set() and fonts[0] == lettering.OWN
    assert letter in others[fonts[1]]


def test_a_figure_has_a_legend_for_them():
    matrix = np.eye(2, dtype=int)
    plain = figures.confusion_matrix(matrix, ["cat", "dog"])
    assert plain.legend == {}
    numbered = figures.confusion_matrix(matrix, ["cat", NOWHERE])
    assert numbered.legend == {NOWHERE: 1}
    assert numbered == figures.confusion_matrix(matrix, ["cat", "#1"])
