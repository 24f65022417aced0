"""`python -m recipes serve`: a local web page that shows a run's classes, probabilities and Grad-CAM for an upload.

An uploaded photo or clip stays in memory. It is read through a file that is in no folder (`memfd_create`), by the same
function as in training. The page loads only what this program serves, and its Content-Security-Policy forbids
everything else, so it needs no internet connection.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import sys
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tyro

from common import errors, startup, words
from common.report import page
from common.runs import finished_run, saved_model

FILES = ("templates/answer.html", "templates/serve.css", "templates/serve.html", "templates/serve.js")
TEMPLATES = pathlib.Path(__file__).parent / "templates"

# Only our own scripts, styles and pictures are allowed, and no other page may frame this one.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
LOCAL = ("127.0.0.1", "localhost")
MOST_CONNECTIONS = 32  # each may keep an upload in memory


class Answerer:
    """The answers of a run to uploads, one at a time.

    Attributes:
        class_names: the names of the classes, in the order of the probabilities.
        medium: the kind of the uploads.
        target: the classes that the run is meant to find, with their threshold, or None.
    """

    def __init__(self, run: pathlib.Path) -> None:
        """Load the run's model and call it once, so that the first answer is as fast as the others.

        Raises:
            UserError: there is no model.
        """
        saved = saved_model.load_model(run)
        medium = saved.medium
        self.reading, self.target = saved_model.Reading.of(saved), finished_run.target_of(run)
        self.class_names, self.medium = saved.class_names, medium
        section = startup.by_name(f"report.{medium.explained_by}") if medium.explained_by else None
        self._explain = section.for_answers(saved.model) if section else None
        # One at a time: a large photo takes gigabytes while it is resized.
        self._turn = threading.Lock()
        size = self.reading.resize.height, self.reading.resize.width
        grey = np.full((*medium.shape[:-3], *size, 3), 128, "uint8")
        self._answer([grey] * len(medium.looks("test")), None)

    def answer(self, content: bytes, explain: int | None = None) -> str:
        """Return the answer to a photo or clip, as a fragment of HTML.

        Args:
            content: the bytes of the file.
            explain: the index of the class to explain; None for the most probable one.

        Raises:
            UnusableFile: the content is not a photo or clip; the message says what is wrong.
        """
        with self._turn, in_memory(content) as path:
            return self._answer(self.reading.looks(path), explain)

    def _answer(self, looks: list[np.ndarray], explain: int | None) -> str:
        probabilities = self.reading.probabilities([looks])[0]
        order = np.argsort(-probabilities, kind="stable").tolist()
        explained = order[0] if explain is None else explain
        rows = [
            {"index": index, "name": self.class_names[index], "probability": float(probabilities[index])}
            for index in order
        ]
        pictures = self._explain(looks[0], explained) if self._explain else {}
        return page.template("answer.html", TEMPLATES).render(
            rows=rows,
            explained={"index": explained, "name": self.class_names[explained]},
            kind_of_answer=self._kind_of_answer(len(looks)),
            target=self._called(probabilities),
            **{"seen": None, "heat": None, "strip": None} | pictures,
        )

    def _kind_of_answer(self, looks: int) -> str:
        if self.target:
            return "the most probable class; use the numbers to rank, not as a risk in percent"
        mean = f", averaged over {looks} {self.medium.several} of the {self.medium.unit}" if looks > 1 else ""
        return f"the most probable of {len(self.class_names)} classes{mean}"

    def _called(self, probabilities: np.ndarray) -> dict | None:
        if not self.target:
            return None
        answer = self.reading.targets.answer(probabilities)
        together = sum(answer[f"p_{name}"] for name in self.target["classes"])
        called = "called" if together >= self.target["threshold"] else "not called"
        return self.target | {"name": " or ".join(self.target["classes"]), "probability": together, "called": called}


@contextlib.contextmanager
def in_memory(content: bytes) -> Iterator[pathlib.Path]:
    """Yield the path of a file that is in no folder, and is gone when the block or the process ends."""
    descriptor = os.memfd_create("upload")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        yield pathlib.Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def application(answerer: Answerer, run: pathlib.Path, max_bytes: int, local: bool = True) -> Any:
    """Return the Starlette application: the page, its style and script, and the answers.

    Args:
        answerer: answers the uploads.
        run: the directory of the run, whose name and test result are shown on the page.
        max_bytes: the largest upload.
        local: accept only this computer's own host names. Foreign pages that try to reach this program through the
            browser use other names.
    """
    from starlette import applications, concurrency, middleware, requests, responses, routing
    from starlette.middleware import trustedhost

    style = page.template("style.css").render() + page.template("serve.css", TEMPLATES).render()
    script = page.template("serve.js", TEMPLATES).render()
    html = _page(answerer, run, max_bytes, local)

    async def show(request: Any) -> Any:
        return responses.HTMLResponse(html, headers=HEADERS)

    async def give_style(request: Any) -> Any:
        return responses.Response(style, media_type="text/css", headers=HEADERS)

    async def give_script(request: Any) -> Any:
        return responses.Response(script, media_type="text/javascript", headers=HEADERS)

    def refused(message: str, status: int) -> Any:
        return responses.PlainTextResponse(message, status, headers=HEADERS)

    async def give_answer(request: Any) -> Any:
        if _from_elsewhere(request.headers):
            return refused("only this page may send requests", 403)
        too_large = refused(f"too large: more than {max_bytes / 1e6:,.0f} MB; scale it down", 413)
        if int(request.headers.get("content-length", 0)) > max_bytes:
            return too_large
        content = bytearray()
        try:
            async for part in request.stream():
                content += part
                if len(content) > max_bytes:
                    return too_large
        except requests.ClientDisconnect:  # nobody reads this answer
            return refused("the upload was aborted", 400)
        explain = request.query_params.get("explain")
        if explain is not None and not (explain.isdecimal() and int(explain) < len(answerer.class_names)):
            return refused("the class to explain does not exist", 400)
        explain = None if explain is None else int(explain)
        try:
            answer = await concurrency.run_in_threadpool(answerer.answer, bytes(content), explain)
        except errors.UserError as error:
            return refused(words.without_advice(error), 415)
        return responses.HTMLResponse(answer, headers=HEADERS)

    allowed = list(LOCAL) if local else ["*"]
    return applications.Starlette(
        routes=[
            routing.Route("/", show),
            routing.Route("/style.css", give_style),
            routing.Route("/serve.js", give_script),
            routing.Route("/answer", give_answer, methods=["POST"]),
        ],
        middleware=[middleware.Middleware(trustedhost.TrustedHostMiddleware, allowed_hosts=allowed)],
    )


def _from_elsewhere(headers: Mapping[str, str]) -> bool:
    """Return whether a browser says that another site's page sent the request; other clients send no such headers."""
    origin = headers.get("origin")
    foreign = origin is not None and urllib.parse.urlsplit(origin).netloc != headers.get("host")
    return foreign or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")


def _page(answerer: Answerer, run: pathlib.Path, max_bytes: int, local: bool) -> str:
    results = finished_run.Result.read(run).results if (run / "results.json").is_file() else {}
    return page.template("serve.html", TEMPLATES).render(
        title=results.get("recipe", "model"),
        class_names=answerer.class_names,
        test=results.get("test"),
        unit=answerer.medium.unit,
        target=answerer.target,
        extensions=answerer.medium.extensions,
        limit=max_bytes,
        most_pixels=answerer.medium.most_pixels,
        local=local,
    )


def command(
    run: tyro.conf.Positional[pathlib.Path],
    /,
    port: int = 0,
    host: str = "127.0.0.1",
    max_megabytes: int = 100,
) -> int:
    """Serve a page to try the model: upload a photo or clip, see classes and Grad-CAM.

    Args:
        run: the directory of a finished run, or a model.keras.
        port: the port of the page; 0 takes a free one.
        host: 127.0.0.1 for this computer only, 0.0.0.0 for everyone who can reach it.
        max_megabytes: the largest upload, in megabytes.
    """
    return serve(run, port, host, max_megabytes)


def serve(run: pathlib.Path, port: int = 0, host: str = "127.0.0.1", max_megabytes: int = 100) -> int:
    """Serve the page until it is stopped; the last line on stdout is its address.

    Args:
        run: the directory of a finished run, or a model.keras.
        port: the port of the page; 0 takes a free one.
        host: 127.0.0.1 for this computer only, 0.0.0.0 for the whole network.
        max_megabytes: the largest upload, in megabytes.

    Returns:
        The exit code, 0.

    Raises:
        UserError: there is no model, a package is missing, or the port is taken.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise errors.UserError(f"serve needs {error.name}: pip install 'keras-recipes[serve]'") from error
    local = host in LOCAL
    with listening(host, port) as listener:
        answerer = Answerer(run)
        app = application(answerer, run, max_megabytes * 10**6, local)
        if not local:
            print(f"--host {host}: anyone who reaches this computer can upload, without encryption", file=sys.stderr)
        print("Ctrl-C stops it", file=sys.stderr)
        print(f"http://{host}:{listener.getsockname()[1]}/", flush=True)
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
        return socket.create_server((host, port))
    except OverflowError as error:
        raise errors.UserError(f"--port {port}: must be from 0 to 65535") from error
    except socket.gaierror as error:
        raise errors.UserError(f"--host {host}: no such host; use 127.0.0.1 or 0.0.0.0") from error
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise errors.UserError(f"--host {host} --port {port}: {reason}; remove --port to use a free one") from error
