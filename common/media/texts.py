"""Finding, decoding and tidying text files."""

import codecs
import dataclasses
import hashlib
import os
import pathlib
import re
from collections.abc import Iterator

from common import errors
from common.media import folders, medium

# What a file begins with that is named .txt and is none, in lower case.
FOREIGN = {
    b"%pdf-": "a PDF", b"{\\rtf": "a document in RTF", b"<!doctype html": "a page in HTML", b"<html": "a page in HTML",
    b"pk\x03\x04": "an archive, as .docx and .odt are", b"\xd0\xcf\x11\xe0": "an old Office document",
    b"version https://git-lfs": "a pointer of Git LFS, whose file was not fetched",
}  # fmt: skip
END_TOKENS = ("<|endoftext|>", "</s>", "<s>")  # a text that contains one would end there


@dataclasses.dataclass(frozen=True)
class Texts(medium.Medium):
    """Documents, each a text file.

    Attributes:
        encoding: encoding of the files.
        keep_layout: keep spaces and empty lines unchanged.
        characters: read at most this many characters from the beginning of each document; None for all.
    """

    name = "texts"
    unit = "document"
    extensions = (".txt",)
    kin = folders.DOCUMENTS
    wanted = "text files (.txt)"

    encoding: str = "utf-8"
    keep_layout: bool = False
    characters: int | None = None

    def inspect(self, path: str | os.PathLike) -> medium.Facts:
        """Return the facts about a file; the hash is that of the tidied text."""
        try:
            text = self.read(path)
        except errors.UnusableFile as error:
            return medium.Facts(path=str(path), problem=str(error))
        content = text.encode()
        return medium.Facts(
            path=str(path), bytes=len(content), sha256=hashlib.sha256(content).hexdigest(), format="text"
        )

    def properties_of(self, path: str, text: str) -> dict[str, float | str]:
        """Return what can be told of a document without reading it: its length, and how its file was written.

        Args:
            path: a file of its own, or FILE:LINE.
            text: the tidied text.
        """
        found: dict[str, float | str] = {
            "characters": len(text), "words": len(text.split()), "lines": text.count("\n") + 1,
        }  # fmt: skip
        if os.path.isfile(path):
            content = content_of(path)
            kinds = {"BOM": content[:3] == b"\xef\xbb\xbf", "ASCII": content.isascii(), "CRLF": b"\r\n" in content}
            found["encoding and line ends"] = " ".join(name for name, has in kinds.items() if has)
            found["size in bytes"] = len(content)
        return found

    def digest(self, path: str | os.PathLike) -> str:
        return self.inspect(path).sha256

    def read(self, path: str | os.PathLike, look: medium.Look = medium.PLAIN) -> str:
        """Return a document's tidied text.

        Raises:
            UnusableFile: the file is missing, empty or cannot be decoded.
        """
        content = content_of(path)
        text, problem = decoded(content, self.encoding)
        if text is None:
            raise errors.UnusableFile(f"{problem}; convert it to {self.encoding} text")
        return self.tidied(text)

    def tidied(self, text: str) -> str:
        """Return a tidied text, shortened to `characters`.

        Raises:
            UnusableFile: nothing is left.
        """
        kept = tidy(text, self.keep_layout)[: self.characters].strip()
        if not kept:
            raise errors.UnusableFile("empty")
        return kept


def content_of(path: str | os.PathLike) -> bytes:
    """Return the bytes of a file.

    Raises:
        UnusableFile: it is missing, unreadable or not a regular file.
    """
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # a pipe would block forever
            raise errors.UnusableFile("not a file: it is a folder, a pipe or a device; remove it")
        return pathlib.Path(path).read_bytes()
    except FileNotFoundError:
        raise errors.UnusableFile("missing") from None
    except (OSError, ValueError) as error:
        raise errors.UnusableFile(getattr(error, "strerror", None) or str(error)) from error


def byte_count(text: str) -> int:
    """Return the length of a text in UTF-8, which does not depend on a vocabulary."""
    return len(text.encode("utf-8"))


def decoded_lines(content: bytes, encoding: str) -> Iterator[tuple[str | None, str]]:
    """Yield (line, "") or (None, reason); one bad line makes all unreadable if a line end has several bytes."""
    text, reason = decoded(content, encoding)
    if text is not None:
        yield from ((line, "") for line in text.split("\n"))
    elif other_encoding(content):
        yield None, reason
    elif "\n".encode(encoding) == b"\n":
        yield from (decoded(line, encoding) for line in content.split(b"\n"))
    else:
        yield None, reason


def decoded(content: bytes, encoding: str) -> tuple[str | None, str]:
    """Return the text and "", or None and why it cannot be read."""
    try:
        wide = codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))
        other = "" if wide else foreign(content) or other_encoding(content)
        if other:
            return None, f"not {encoding}, but {other}"
        return content.decode("utf-8-sig" if encoding.lower().replace("_", "-") == "utf-8" else encoding), ""
    except LookupError as error:
        raise errors.UserError(
            f"--encoding {encoding}: no such encoding; valid ones are latin-1, cp1252 and utf-16, for example"
        ) from error
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        return None, f"not {encoding} (byte {content[start : start + 1].hex() or '?'} at position {start:,})"


def foreign(content: bytes) -> str:
    """Return which format other than plain text a content has by its first bytes, in words, or ""."""
    start = content[:200].removeprefix(codecs.BOM_UTF8).lstrip().lower()
    return next((told for begins, told in FOREIGN.items() if start.startswith(begins)), "")


def other_encoding(content: bytes) -> str:
    """Return the encoding of two or four bytes for each character that a text seems to have, in words, or "".

    Latin-1 accepts such a text, and reads nonsense. A mark at the beginning gives it away, or the zero bytes of its
    Latin letters, digits and line ends, which stand at every second place.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
        return "UTF-16 or UTF-32, as its first bytes say"
    zeros = content.count(0)
    even = content[::2].count(0)
    if zeros > 0.4 * len(content) or (zeros > max(3, 0.01 * len(content)) and not 0.1 * zeros < even < 0.9 * zeros):
        return f"UTF-16 or UTF-32, as {zeros:,} of its {len(content):,} bytes are zero"
    return ""


def tidy(text: str, keep_layout: bool = False) -> str:
    """Set line ends to `\\n`, remove end tokens, and reduce white space unless `keep_layout` is set.

    Then one space separates words, and at most one empty line follows another line. Filed contracts are laid out with
    tabs and dozens of spaces, which would fill a model's windows.
    """
    for token in END_TOKENS:
        text = text.replace(token, " ")
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", " ")
    if keep_layout:
        return text.strip("\n")
    text = re.sub(r"[^\S\n]+", " ", text)
    return re.sub(r" ?\n ?(?:\n ?)+", "\n\n", text).strip()
