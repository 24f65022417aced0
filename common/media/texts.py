"""Text files: found, decoded, tidied."""

import dataclasses
import hashlib
import pathlib
import re

from common import errors
from common.media import medium

END_TOKENS = ("<|endoftext|>", "</s>", "<s>")  # a text that has one in it would end in its middle


@dataclasses.dataclass(frozen=True)
class Texts(medium.Medium):
    """Documents, each a text file.

    Attributes:
        encoding: of the files.
        keep_layout: keep blanks and empty lines as they are.
        characters: of each document at most, its beginning; None for all.
    """

    name = "texts"
    unit = "document"
    extensions = (".txt",)

    encoding: str = "utf-8"
    keep_layout: bool = False
    characters: int | None = None

    def inspect(self, path):
        """As for other media; the hash is that of the tidied text."""
        try:
            text = self.read(path)
        except errors.UnusableFile as error:
            return medium.Facts(path=str(path), problem=str(error))
        content = text.encode()
        return medium.Facts(
            path=str(path), bytes=len(content), sha256=hashlib.sha256(content).hexdigest(), format="text"
        )

    def read(self, path, look=medium.PLAIN):
        """A document's text, tidied.

        Raises:
            UnusableFile: it is missing, empty or cannot be decoded.
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
        """A text as it is used.

        Raises:
            UnusableFile: nothing is left.
        """
        kept = tidy(text, self.keep_layout)[: self.characters].strip()
        if not kept:
            raise errors.UnusableFile("empty")
        return kept

    def find(self, folder):
        """The files at any depth below a folder, in order; none that is hidden or in a hidden folder."""
        return text_files(folder)

    def found(self, names):
        return [path for name in names for path in (text_files(name) if name.is_dir() else [name])]


def byte_count(text: str) -> int:
    """Its length in UTF-8, which does not depend on a vocabulary."""
    return len(text.encode("utf-8"))


def text_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """The .txt files at any depth below a folder, sorted; none that is hidden or in a hidden folder."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() == ".txt" and path.is_file())
    return sorted(path for path in found if not hidden(path.relative_to(folder)))


def hidden(path: pathlib.Path) -> bool:
    """Whether a part of the path begins with a dot."""
    return any(part.startswith(".") for part in path.parts)


def decoded_lines(content: bytes, encoding: str):
    """Yields (line, "") or (None, why it cannot be read); in an encoding with wider line ends all lines or none."""
    text, reason = decoded(content, encoding)
    if text is not None:
        yield from ((line, "") for line in text.split("\n"))
    elif "\n".encode(encoding) == b"\n":
        yield from (decoded(line, encoding) for line in content.split(b"\n"))
    else:
        yield None, reason


def decoded(content: bytes, encoding: str) -> tuple[str | None, str]:
    """The text and "", or None and why it cannot be read."""
    try:
        return content.decode("utf-8-sig" if encoding.lower().replace("_", "-") == "utf-8" else encoding), ""
    except LookupError as error:
        raise errors.UserError(
            f"--encoding {encoding}: no such encoding; latin-1, cp1252 and utf-16 are some"
        ) from error
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        return None, f"not {encoding} (byte {content[start : start + 1].hex() or '?'} at position {start:,})"


def tidy(text: str, keep_layout: bool = False) -> str:
    """Line ends as `\\n`, no end tokens; unless the layout is kept, one blank between words, at most one blank line.

    Filed contracts are set with tabs and dozens of blanks, which a model would spend its windows on.
    """
    for token in END_TOKENS:
        text = text.replace(token, " ")
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", " ")
    if keep_layout:
        return text.strip("\n")
    text = re.sub(r"[^\S\n]+", " ", text)
    return re.sub(r" ?\n ?(?:\n ?)+", "\n\n", text).strip()
