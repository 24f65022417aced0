import pytest

from common import errors
from common.media import texts

pytestmark = pytest.mark.quick


def test_tidying():
    assert texts.tidy("\r\n A\tb  c \r\n\r\n \r\n\r\n d <|endoftext|>\n") == "A b c\n\nd"
    assert texts.tidy(" a  b\n\n\n\nc\n", keep_layout=True) == " a  b\n\n\n\nc"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_text_of_two_bytes_for_a_letter_is_not_read_as_another(tmp_path, encoding):
    for number, content in enumerate(("One two.".encode("utf-16"), "One two.".encode("utf-16-be"))):
        (tmp_path / f"{number}.txt").write_bytes(content)
        with pytest.raises(errors.UnusableFile, match=f"not {encoding}, but UTF-16 or UTF-32, as .*; convert it to"):
            texts.Texts(encoding=encoding).read(tmp_path / f"{number}.txt")
        assert "UTF-16" in texts.Texts(encoding=encoding).inspect(tmp_path / f"{number}.txt").problem
    assert texts.Texts(encoding="utf-16").read(tmp_path / "0.txt") == "One two."
    assert texts.Texts(encoding="UTF_16_BE").read(tmp_path / "1.txt") == "One two."


def test_a_stray_zero_byte_is_a_blank(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"One\x00two\x00\x00 three.")
    assert texts.Texts().read(tmp_path / "a.txt") == texts.Texts(encoding="latin-1").read(tmp_path / "a.txt")
    assert texts.Texts().read(tmp_path / "a.txt") == "One two three."


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"%PDF-1.7\n", "a PDF"), (b"{\\rtf1\\ansi ", "a document in RTF"), (b"\n<!DOCTYPE html><p>", "a page in HTML"),
        (b"PK\x03\x04rest", "an archive"), (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
    ],
)  # fmt: skip
def test_what_only_ends_like_a_text_is_refused(tmp_path, content, told):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(errors.UnusableFile, match=f"not utf-8, but {told}.*convert it to utf-8 text"):
        texts.Texts().read(tmp_path / "a.txt")
