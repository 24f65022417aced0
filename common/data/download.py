"""Resumable downloads of large files, with errors that say in one line what to do without a network."""

import contextlib
import http
import http.client
import os
import pathlib
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import tqdm

from common import errors

CHUNK = 1 << 20  # bytes read from the network at a time.
TIMEOUT = 60  # seconds without a byte after which a connection counts as broken.
# Some servers answer 403 to the default user agents of Python's libraries.
USER_AGENT = "keras-recipes"


def fetch(url: str, path: pathlib.Path, advice: str, user_agent: str = USER_AGENT) -> None:
    """Download a file as `<path>.part`, resuming an existing part, and rename it when it is complete.

    Args:
        url: the address.
        path: the file; its folder must exist.
        advice: what to do if the address cannot be reached; it is appended to the error message.
        user_agent: the User-Agent header of the request.

    Raises:
        UserError: no network, the server refuses, or the download broke off.
    """
    part = path.with_name(f"{path.name}.part")
    append(url, part, advice, user_agent)
    os.replace(part, path)


def append(url: str, part: pathlib.Path, advice: str, user_agent: str = USER_AGENT) -> None:
    """Download the rest of the file `part`, or the whole file if the server cannot resume.

    Raises:
        UserError: no network, the server refuses, or the download broke off.
    """
    start = part.stat().st_size if part.is_file() else 0
    with open_url(url, advice, user_agent, start) as response:
        if response is None:
            return
        start = start if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0
        length = response.headers["Content-Length"]
        total = start + int(length) if length else None
        name = part.name.removesuffix(".part")
        with (
            open(part, "ab" if start else "wb") as file,
            tqdm.tqdm(desc=name, total=total, initial=start, unit="B", unit_scale=True, disable=None) as progress,
        ):
            for chunk in chunks(response, name):
                file.write(chunk)
                progress.update(len(chunk))
    if total is not None and part.stat().st_size != total:
        raise broken_off(name, f"{part.stat().st_size:,} of {total:,} bytes")


def read(url: str, name: str, advice: str, user_agent: str = USER_AGENT) -> bytes:
    """Download a small file and return its content; `name` is its name in messages.

    Raises:
        UserError: no network, the server refuses, or the download broke off.
    """
    with open_url(url, advice, user_agent) as response:
        return b"".join(chunks(response, name))


def open_url(
    url: str, advice: str, user_agent: str = USER_AGENT, start: int = 0
) -> contextlib.AbstractContextManager[Any]:
    """Open an address as a context manager, from the byte `start` on if the server supports it.

    The context manager returns None if nothing is left after `start`.

    Raises:
        UserError: no network, or the server refuses.
    """
    headers = {"User-Agent": user_agent}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # the error holds the connection
        if start and getattr(error, "code", None) == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return contextlib.nullcontext()
        reason = getattr(error, "reason", error) if not isinstance(error, urllib.error.HTTPError) else error
        raise errors.UserError(f"cannot download {url} ({reason}); {advice}") from error


def chunks(response: http.client.HTTPResponse, name: str) -> Iterator[bytes]:
    """Yield the content in chunks.

    Raises:
        UserError: the connection broke.
    """
    try:
        while chunk := response.read(CHUNK):
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise broken_off(name, str(error)) from error


def broken_off(name: str, reason: str) -> errors.UserError:
    """Return the error for a download that ended early."""
    return errors.UserError(f"the download of {name} broke off ({reason}); start again, and it resumes there")
