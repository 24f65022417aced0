"""Downloads of large files that go on where they stopped, and say in one line what to do without a network."""

import contextlib
import http
import http.client
import os
import pathlib
import urllib.error
import urllib.request
from collections.abc import Iterator

import tqdm

from common import errors

CHUNK = 1 << 20  # bytes read from the network at a time.
TIMEOUT = 60  # seconds without a byte after which a connection counts as broken.
# Some servers answer 403 to the names under which Python's libraries introduce themselves.
USER_AGENT = "keras-recipes"


def fetch(url: str, path: pathlib.Path, advice: str, user_agent: str = USER_AGENT) -> None:
    """Downloads a file under the name `<path>.part`, going on with it where it exists, and renames it.

    Args:
        url: the address.
        path: the file; its folder exists.
        advice: what to do where the address cannot be reached; ends the error's line.
        user_agent: the name under which the server is asked.

    Raises:
        UserError: no network, the server refuses, or the download broke off.
    """
    part = path.with_name(f"{path.name}.part")
    append(url, part, advice, user_agent)
    os.replace(part, path)


def append(url: str, part: pathlib.Path, advice: str, user_agent: str = USER_AGENT) -> None:
    """Downloads the rest of the file `part`, or the whole where the server cannot give a rest.

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
    """Downloads something small; `name` is what messages call it.

    Raises:
        UserError: no network, the server refuses, or the download broke off.
    """
    with open_url(url, advice, user_agent) as response:
        return b"".join(chunks(response, name))


def open_url(url: str, advice: str, user_agent: str = USER_AGENT, start: int = 0):
    """Opens an address as a context, from the byte `start` on if the server can do that.

    The context gives None where nothing is left after `start`.

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
            error.close()  # it holds the connection
        if start and getattr(error, "code", None) == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return contextlib.nullcontext()
        reason = getattr(error, "reason", error) if not isinstance(error, urllib.error.HTTPError) else error
        raise errors.UserError(f"cannot download {url} ({reason}); {advice}") from error


def chunks(response, name: str) -> Iterator[bytes]:
    """The content piece by piece.

    Raises:
        UserError: the connection broke.
    """
    try:
        while chunk := response.read(CHUNK):
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise broken_off(name, str(error)) from error


def broken_off(name: str, reason: str) -> errors.UserError:
    """The error of a download that ended early."""
    return errors.UserError(f"the download of {name} broke off ({reason}); start again, it goes on from there")
