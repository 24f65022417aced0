"""`python -m recipes serve`: a local web page that shows a run's answer to a photo, a clip or a text.

What is uploaded stays in memory. It is read through a file that is in no folder (`memfd_create`), by the same function
as in training. The page loads only what this program serves, and its Content-Security-Policy forbids everything else,
so it needs no internet connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import email.message
import errno
import os
import pathlib
import socket
import sys
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import tyro

from common import errors, words
from common.report import answers, page
from common.runs import finished_run

FILES = ("templates/serve.css", "templates/serve.html", "templates/serve.js")
TEMPLATES = pathlib.Path(__file__).parent / "templates"

# Only our own scripts, styles and pictures are allowed, and no other page may frame this one.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
LOCAL = ("127.0.0.1", "localhost", "::1")
MOST_CONNECTIONS = 500  # an idle one costs little
FULL_UPLOADS = 8  # all uploads together take at most as much memory as this many of the largest size
STALLED_SECONDS = 15  # without a byte, an upload is given up
SLOWEST_SECONDS = 600  # for a whole upload
DISCARDED_SECONDS = 1  # as STALLED_SECONDS, for an upload that is too large anyway


class Refused(Exception):
    """A request that is refused: a message for people, and the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Uploads:
    """Receives uploads within limits of memory and time, so that a slow or a large one keeps nobody else waiting.

    Attributes:
        max_bytes: the largest upload.
        held: bytes of all uploads that are in memory now.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.held = max_bytes, 0

    @contextlib.asynccontextmanager
    async def received(self, request: Any) -> AsyncIterator[bytes]:
        """Yield the body of a request; its memory counts until the block ends.

        Raises:
            Refused: it is too large, too slow, not a file, or there are too many at the moment.
        """
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise Refused("a form: send the file itself, as in curl --data-binary @photo.jpg", 415)
        content = bytearray()
        try:
            async with asyncio.timeout(SLOWEST_SECONDS):
                await self._read(request, content)
            yield bytes(content)
        except TimeoutError as error:
            raise Refused("the upload was too slow", 408) from error
        finally:
            self.held -= len(content)

    async def _read(self, request: Any, content: bytearray) -> None:
        """Append a body to `content`; one that is too large is read on and discarded, so that its sender can hear."""
        told, read = int(request.headers.get("content-length", 0)), 0
        too_large = Refused(f"too large: more than {self.max_bytes / 1e6:,.0f} MB; scale it down", 413)
        if told > self.max_bytes and "expect" in request.headers:
            raise too_large  # the sender waits for a word before it sends
        parts = request.stream()
        while read <= 10 * self.max_bytes:
            large = max(told, read) > self.max_bytes
            try:
                async with asyncio.timeout(DISCARDED_SECONDS if large else STALLED_SECONDS):
                    part = await anext(parts, None)
            except TimeoutError:
                if large:
                    break
                raise
            if part is None:
                break
            read += len(part)
            if max(told, read) > self.max_bytes:
                self.held -= len(content)
                content.clear()
            else:
                if self.held + len(part) > FULL_UPLOADS * self.max_bytes:
                    raise Refused("too many uploads at the moment; try again", 503)
                self.held += len(part)
                content += part
        if max(told, read) > self.max_bytes:
            raise too_large


@dataclasses.dataclass(frozen=True)
class Senders:
    """Who may send requests: a foreign page that tries to reach this program through a browser has other names.

    Attributes:
        local: accept only this computer's own names.
        public: scheme and host of the address that a proxy serves the page at, "" for none.
    """

    local: bool
    public: str = ""

    def check(self, headers: Any) -> None:
        """Refuse a request for another host, or one that another site's page sends.

        Raises:
            Refused: the message names the header and the flag.
        """
        host, origin = headers.get("host", ""), headers.get("origin")
        name, public = _name_of(f"//{host}"), _name_of(self.public)
        if (self.local or public) and name not in {*LOCAL, public} - {""}:
            address = f"https://{host}/" if host else "https://…"
            raise Refused(
                f"the header Host says {host or 'nothing'}, which this page is not called; behind a proxy, start serve "
                f"with --public-address {address}", 400,
            )  # fmt: skip
        site = headers.get("sec-fetch-site", "same-origin")
        same = origin is None or origin == self.public
        if not same and name != public:
            same = bool(_name_of(origin)) and urllib.parse.urlsplit(origin).netloc == host
        if not same or site not in ("same-origin", "none"):
            said = f"Origin says {origin}" if not same else f"Sec-Fetch-Site says {site}"
            raise Refused(
                f"the header {said}; only this page may send requests; behind a proxy, start serve with its address: "
                "--public-address https://…", 403,
            )  # fmt: skip


def _name_of(address: str) -> str:
    """Return the host of an address without its port, "" for none."""
    try:
        return urllib.parse.urlsplit(address).hostname or ""
    except ValueError:
        return ""


def application(
    answerer: answers.Answerer, run: pathlib.Path, max_bytes: int, local: bool = True, public: str = ""
) -> Any:
    """Return the Starlette application: the page, its style and script, and the answers.

    Args:
        answerer: answers the uploads.
        run: the directory of the run, whose name and test result are shown on the page.
        max_bytes: the largest upload.
        local: accept only this computer's own host names.
        public: the address that a proxy serves the page at, https://lab.example.org/app, "" for none.
    """
    from starlette import applications, concurrency, requests, responses, routing

    style = page.template("style.css").render() + page.template("serve.css", TEMPLATES).render()
    script = page.template("serve.js", TEMPLATES).render()
    html = _page(answerer, run, max_bytes, local)
    scheme, host, path, *_ = urllib.parse.urlsplit(public)
    senders, uploads = Senders(local, f"{scheme}://{host}" if public else ""), Uploads(max_bytes)

    def guarded(endpoint: Callable[[Any], Awaitable]) -> Callable[[Any], Awaitable]:
        async def answer(request: Any) -> Any:
            try:
                senders.check(request.headers)
                return await endpoint(request)
            except Refused as refused:
                if _wants_data(request):
                    return responses.JSONResponse({"error": str(refused)}, refused.status, headers=HEADERS)
                return responses.PlainTextResponse(str(refused), refused.status, headers=HEADERS)
            except (requests.ClientDisconnect, asyncio.CancelledError):  # nobody reads this answer
                return responses.PlainTextResponse("the upload was aborted", 400, headers=HEADERS)

        return answer

    async def show(request: Any) -> Any:
        return responses.HTMLResponse(html, headers=HEADERS)

    async def give_style(request: Any) -> Any:
        return responses.Response(style, media_type="text/css", headers=HEADERS)

    async def give_script(request: Any) -> Any:
        return responses.Response(script, media_type="text/javascript", headers=HEADERS)

    async def give_answer(request: Any) -> Any:
        explainable = len(answerer.class_names) if answerer.explains else 0
        explain = _class_to_explain(request.query_params.get("explain"), explainable)
        as_data, charset = _wants_data(request), _charset(request)
        async with uploads.received(request) as content:
            try:
                if as_data:
                    data = await concurrency.run_in_threadpool(answerer.data, content, charset)
                    return responses.JSONResponse(data, headers=HEADERS)
                answer = await concurrency.run_in_threadpool(answerer.answer, content, explain, charset)
                return responses.HTMLResponse(answer, headers=HEADERS)
            except errors.UserError as error:
                raise Refused(words.without_advice(error), 415) from error

    routes: list[Any] = [
        routing.Route("/", guarded(show)),
        routing.Route("/style.css", guarded(give_style)),
        routing.Route("/serve.js", guarded(give_script)),
        routing.Route("/answer", guarded(give_answer), methods=["POST"]),
    ]
    if path.strip("/"):  # whether or not the proxy takes its own path away
        routes.append(routing.Mount(f"/{path.strip('/')}", routes=list(routes)))
    return applications.Starlette(routes=routes)


def _wants_data(request: Any) -> bool:
    """Return whether a request asks for JSON."""
    return "application/json" in request.headers.get("accept", "")


def _charset(request: Any) -> str:
    """Return the encoding that a request names for its text, "" if it names none."""
    told = email.message.Message()
    told["content-type"] = request.headers.get("content-type", "")
    return told.get_content_charset("")


def _class_to_explain(asked: str | None, classes: int) -> int | None:
    """Return the index of a class from a query, None if none is asked for.

    Raises:
        Refused: there is no such class.
    """
    if asked is not None and not (asked.isascii() and asked.isdigit() and len(asked) < 9 and int(asked) < classes):
        raise Refused("the class to explain does not exist", 400)
    return None if asked is None else int(asked)


def _page(answerer: answers.Answerer, run: pathlib.Path, max_bytes: int, local: bool) -> str:
    results = finished_run.Result.read(run).results if (run / "results.json").is_file() else {}
    return page.template("serve.html", TEMPLATES).render(
        title=results.get("recipe", "model"),
        class_names=answerer.class_names,
        finds=answerer.reading.targets.name,
        test=results.get("test"),
        medium=answerer.medium,
        unit=answerer.medium.unit,
        target=answerer.target,
        limit=max_bytes,
        local=local,
    )


def command(
    run: tyro.conf.Positional[pathlib.Path],
    /,
    port: int = 0,
    host: str = "127.0.0.1",
    max_megabytes: int = 100,
    public_address: str = "",
) -> int:
    """Serve a page to try the model: upload a photo or clip, or type a text, and see the answer.

    Args:
        run: the directory of a finished run, or a model.keras.
        port: the port of the page; 0 takes a free one.
        host: 127.0.0.1 for this computer only, 0.0.0.0 for everyone who can reach it.
        max_megabytes: the largest upload, in megabytes.
        public_address: the address that a proxy serves the page at, such as https://lab.example.org/app.
    """
    return serve(run, port, host, max_megabytes, public_address)


def serve(
    run: pathlib.Path, port: int = 0, host: str = "127.0.0.1", max_megabytes: int = 100, public_address: str = ""
) -> int:
    """Serve the page until it is stopped; the last line on stdout is its address.

    Args:
        run: the directory of a finished run, or a model.keras.
        port: the port of the page; 0 takes a free one.
        host: 127.0.0.1 for this computer only, 0.0.0.0 for the whole network.
        max_megabytes: the largest upload, in megabytes.
        public_address: the address that a proxy serves the page at, "" for none.

    Returns:
        The exit code, 0.

    Raises:
        UserError: there is no model, a package is missing, the port is taken, or an address is not valid.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise errors.UserError(f"serve needs {error.name}: pip install 'keras-recipes[serve]'") from error
    local = host in LOCAL
    if public_address and not (public_address.startswith(("http://", "https://")) and _name_of(public_address)):
        raise errors.UserError(f"--public-address {public_address}: give a whole address, https://lab.example.org/app")
    if max_megabytes < 1:
        raise errors.UserError("--max-megabytes must be above 0")
    with listening(host, port) as listener:
        answerer = answers.load(run)
        app = application(answerer, run, max_megabytes * 10**6, local, public_address)
        if not local:
            print(f"--host {host}: anyone who reaches this computer can upload, without encryption", file=sys.stderr)
        print("Ctrl-C stops it", file=sys.stderr)
        print(f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}/", flush=True)
        settings = uvicorn.Config(
            app, log_level="error", access_log=False, server_header=False, limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=3, lifespan="off",
        )  # fmt: skip
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(settings).run(sockets=[listener])
    return 0


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that waits for browsers.

    Raises:
        UserError: the port is taken or not allowed, or the host is not an address of this computer.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OverflowError as error:
        raise errors.UserError(f"--port {port}: must be from 0 to 65535") from error
    except OSError as error:
        if (error.errno or 0) < 0:  # the codes of names that cannot be looked up
            raise errors.UserError(f"--host {host}: no such host; use 127.0.0.1 or 0.0.0.0") from error
        if error.errno == errno.EADDRNOTAVAIL:
            told = f"--host {host}: not an address of this computer; use 127.0.0.1 or 0.0.0.0"
            raise errors.UserError(told) from error
        reason = os.strerror(error.errno or 0).lower()
        raise errors.UserError(f"--host {host} --port {port}: {reason}; remove --port to use a free one") from error
