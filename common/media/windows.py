"""Token lists packed into windows of one length."""

import dataclasses
from collections.abc import Sequence

import numpy as np

# Windows ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Windows:
    """Documents packed into windows of one length: the input tokens, and the next token of each.

    Attributes:
        token_ids: int32 (n, length).
        targets: int32 (n, length), the next token.
        weights: float32 (n, length), 1 where the target counts and 0 on padding.
        documents: int32 (n, length), the number of the document that the target belongs to, -1 on padding.
    """

    token_ids: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    documents: np.ndarray

    def __len__(self) -> int:
        return len(self.token_ids)

    @property
    def tokens(self) -> int:
        """The number of targets that count."""
        return int(self.weights.sum())


def pack(documents: Sequence[np.ndarray], length: int, end_token: int, pad_token: int = 0) -> Windows:
    """Join documents, with an end token before, between and after them, and cut the result into windows.

    Every token of every document is a target once, and so is the end token after each document. A window continues
    where the previous one ended; only the last one is padded. Padding has weight 0, whatever its token number, because
    it is identified by its position.

    Args:
        documents: token numbers of each document, (tokens,).
        length: number of tokens in a window.
        end_token, pad_token: their token numbers.

    Raises:
        ValueError: there are no documents, or the length is below 1.
    """
    if not documents or length < 1:
        raise ValueError("pack needs at least one document and a length of at least 1")
    parts, owners = [np.array([end_token])], [np.array([-1])]
    for number, tokens in enumerate(documents):
        parts += [np.asarray(tokens, dtype="int64"), np.array([end_token])]
        owners.append(np.full(len(tokens) + 1, number))
    stream, owner = np.concatenate(parts), np.concatenate(owners)
    count = -(-(len(stream) - 1) // length)

    def cut(values: np.ndarray, filling: int) -> np.ndarray:
        padded = np.full(count * length, filling, dtype="int32")
        padded[: len(values)] = values
        return padded.reshape(count, length)

    documents_of = cut(owner[1:], -1)
    return Windows(
        cut(stream[:-1], pad_token), cut(stream[1:], pad_token), (documents_of >= 0).astype("float32"), documents_of
    )


def share_read(rows: dict[str, Windows], documents: dict[str, list[np.ndarray]]) -> float:
    """Return the share of all documents' tokens that is in their rows, 0 to 1."""
    whole = sum(len(tokens) + 1 for side in documents.values() for tokens in side)
    return sum(int((part.documents >= 0).sum()) for part in rows.values()) / whole


def pack_each(documents: Sequence[np.ndarray], length: int, end_token: int, pad_token: int = 0) -> Windows:
    """Return one padded row for each document, with its beginning, for a classifier.

    An end token precedes the document, as in `pack`.
    """
    windows = [pack([tokens[: length - 1]], length, end_token, pad_token) for tokens in documents]
    numbered = [np.where(part.documents >= 0, number, -1) for number, part in enumerate(windows)]
    names = ("token_ids", "targets", "weights")
    fields = {name: np.concatenate([getattr(part, name) for part in windows]) for name in names}
    return Windows(**fields, documents=np.concatenate(numbered).astype("int32"))


def pack_framed(
    documents: Sequence[np.ndarray], length: int, most: int, start_token: int, end_token: int, pad_token: int
) -> Windows:
    """Return one padded row for each document, with its first windows, for an encoder.

    An encoder knows texts between a token at the start, such as [CLS], and one at the end, such as [SEP]. So each
    window of a document has both, and `length - 2` tokens of the document.

    Args:
        documents: token numbers of each document, (tokens,), without those two.
        length: number of tokens in a window.
        most: number of windows in a row; further tokens of a document are left out.
        start_token, end_token, pad_token: their token numbers.

    Returns:
        Rows (documents, most * length). Both tokens have weight 1. `documents` counts a document's own tokens, and the
        end token of the window in which it ends. There is no next token to learn: `targets` are the tokens themselves.

    Raises:
        ValueError: there are no documents, or no place for their tokens.
    """
    if not documents or length < 3 or most < 1:
        raise ValueError("pack_framed needs at least one document, one window, and a length of at least 3")
    room = length - 2
    ids = np.full((len(documents), most, length), pad_token, dtype="int32")
    weights = np.zeros(ids.shape, dtype="float32")
    owners = np.full(ids.shape, -1, dtype="int32")
    for number, tokens in enumerate(documents):
        for place, start in enumerate(range(0, max(1, min(len(tokens), most * room)), room)):
            part = tokens[start : start + room]
            end = len(part) + 1
            ids[number, place, : end + 1] = start_token, *part, end_token
            weights[number, place, : end + 1] = 1
            owners[number, place, 1:end] = number
            if start + room >= len(tokens):
                owners[number, place, end] = number
    rows = ids.reshape(len(documents), -1)
    return Windows(rows, rows, weights.reshape(rows.shape), owners.reshape(rows.shape))
