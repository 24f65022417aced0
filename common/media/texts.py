"""Finding, decoding and tidying text files."""

import dataclasses
import hashlib
import os
import pathlib
import re
from collections.abc import Iterable, Iterator

from common import errors, folders
from common.media import medium

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

    def digest(self, path: str | os.PathLike) -> str:
        return self.inspect(path).sha256

    def read(self, path: str | os.PathLike, look: medium.Look = medium.PLAIN) -> str:
        """Return a document's tidied text.

        Raises:
            UnusableFile: the file is missing, empty or cannot be decoded.
        """
        try:
            content = pathlib.Path(path).read_bytes()
        except FileNotFoundError:
            raise errors.UnusableFile("missing") from None
        except OSError as error:
            raise errors.UnusableFile(error.strerror or str(error)) from error
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

    def find(self, folder: pathlib.Path) -> list[pathlib.Path]:
        """Return the files at any depth below a folder, in order, except hidden files and folders."""
        return text_files(folder)

    def found(self, names: Iterable[pathlib.Path]) -> list[pathlib.Path]:
        return [path for name in names for path in (text_files(name) if name.is_dir() else [name])]


def byte_count(text: str) -> int:
    """Return the length of a text in UTF-8, which does not depend on a vocabulary."""
    return len(text.encode("utf-8"))


def text_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return the .txt files at any depth below a folder, sorted, except hidden files and folders."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() == ".txt" and path.is_file())
    return folders.without_ours(sorted(path for path in found if not hidden(path.relative_to(folder))), folder)


def hidden(path: pathlib.Path) -> bool:
    """Return whether a part of the path begins with a dot."""
    return any(part.startswith(".") for part in path.parts)


def decoded_lines(content: bytes, encoding: str) -> Iterator[tuple[str | None, str]]:
    """Yield (line, "") or (None, reason); one bad line makes all unreadable if a line end has several bytes."""
    text, reason = decoded(content, encoding)
    if text is not None:
        yield from ((line, "") for line in text.split("\n"))
    elif "\n".encode(encoding) == b"\n":
        yield from (decoded(line, encoding) for line in content.split(b"\n"))
    else:
        yield None, reason


def decoded(content: bytes, encoding: str) -> tuple[str | None, str]:
    """Return the text and "", or None and why it cannot be read."""
    try:
        return content.decode("utf-8-sig" if encoding.lower().replace("_", "-") == "utf-8" else encoding), ""
    except LookupError as error:
        raise errors.UserError(
            f"--encoding {encoding}: no such encoding; valid ones are latin-1, cp1252 and utf-16, for example"
        ) from error
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        return None, f"not {encoding} (byte {content[start : start + 1].hex() or '?'} at position {start:,})"


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
