"""What the page of `serve` shows for an upload, and the same as plain data for programs."""

from __future__ import annotations

import contextlib
import os
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from common import startup
from common.report import page
from common.runs import familiar, finished_run, saved_model

FILES = ("templates/answer.html",)


class Answerer:
    """The answers of a run to uploads, one at a time.

    Attributes:
        reading: the run's model: a `saved_model.Reading`, or a `saved_text_model.Classifier`.
        class_names: the names of the classes, in the order of the probabilities.
        target: the classes that the run is meant to find, with their threshold, or None.
        explains: whether the page can show the evidence for each class.
    """

    target: dict | None = None
    explains = False

    def __init__(self, reading: Any, class_names: tuple[str, ...]) -> None:
        self.reading, self.class_names = reading, class_names
        self._turn = threading.Lock()  # one at a time: a large photo takes gigabytes while it is resized

    @property
    def medium(self) -> Any:
        """The kind of the uploads."""
        return self.reading.medium

    def answer(self, content: bytes, explain: int | None = None, charset: str = "") -> str:
        """Return the answer to a photo, a clip or a document, as a fragment of HTML.

        Args:
            content: the bytes of the file.
            explain: the index of the class to explain; None for the most probable one.
            charset: the encoding of a document; "" for that of the run's own documents.

        Raises:
            UnusableFile: the content is not of that kind; the message says what is wrong.
        """
        with self._turn, in_memory(content) as path:
            return self._answer(path, explain, charset)

    def data(self, content: bytes, charset: str = "") -> dict:
        """Return the answer to a photo, a clip or a document as plain data.

        Raises:
            UnusableFile: the content is not of that kind; the message says what is wrong.
        """
        with self._turn, in_memory(content) as path:
            return self._data(path, charset)

    def _answer(self, path: pathlib.Path, explain: int | None, charset: str) -> str:
        raise NotImplementedError

    def _data(self, path: pathlib.Path, charset: str) -> dict:
        raise NotImplementedError


class Classes(Answerer):
    """The answers of a run that classifies photos, clips or documents."""

    def __init__(self, reading: Any, run: pathlib.Path, saved: saved_model.SavedModel | None = None) -> None:
        """Call the model once, so that the first answer is as fast as the others.

        Args:
            reading: the run's model.
            run: the directory of the run.
            saved: the whole model, with which answers for photos and clips are explained; None for documents.
        """
        super().__init__(reading, reading.targets.class_names)
        self.known, self._explain = None, None
        looks: Any = "A document."
        if saved:
            self.target, self.known = finished_run.target_of(run), familiar.Familiar.load(run, reading)
            explained_by = saved.medium.explained_by
            self._explain = startup.by_name(f"report.{explained_by}").for_answers(saved.model) if explained_by else None
            grey = np.full((*saved.medium.shape[:-3], reading.resize.height, reading.resize.width, 3), 128, "uint8")
            looks = [grey] * len(saved.medium.looks("test"))
        self.explains = self._explain is not None
        self._page(looks, None)

    def _answer(self, path: pathlib.Path, explain: int | None, charset: str) -> str:
        return self._page(self._looks(path, charset), explain)

    def _data(self, path: pathlib.Path, charset: str) -> dict:
        """Return the classes with their probabilities, best first."""
        probabilities, unlike = self._asked(self._looks(path, charset))
        order = np.argsort(-probabilities, kind="stable").tolist()
        classes = [{"class": self.class_names[each], "probability": float(probabilities[each])} for each in order]
        return {"classes": classes, "target": self._called(probabilities), "unlike": unlike}

    def _looks(self, path: pathlib.Path, charset: str) -> Any:
        reading = self.reading.in_encoding(charset) if charset and self.medium.name == "texts" else self.reading
        return reading.looks(path)

    def _asked(self, looks: Any) -> tuple[np.ndarray, bool | None]:
        """Return the probabilities, and whether the item is unlike all training items; None if it is not known."""
        if not self.known:
            return self.reading.probabilities([looks])[0], None
        answers, features = self.reading.with_features([looks])
        return answers[0], bool(self.known.distances(features)[0] > self.known.threshold)

    def _page(self, looks: Any, explain: int | None) -> str:
        probabilities, unlike = self._asked(looks)
        order = np.argsort(-probabilities, kind="stable").tolist()
        explained = order[0] if explain is None else explain
        rows = [
            {"index": index, "name": self.class_names[index], "probability": float(probabilities[index])}
            for index in order
        ]
        pictures = self._explain(looks[0], explained) if self._explain else {}
        return page.template("answer.html").render(
            rows=rows,
            explains=self.explains,
            explained={"index": explained, "name": self.class_names[explained]},
            kind_of_answer=self._kind_of_answer(1 if isinstance(looks, str) else len(looks)),
            target=self._called(probabilities),
            unlike=unlike,
            unit=self.medium.unit,
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


def load(run: pathlib.Path) -> Answerer:
    """Load a run's model and return what answers uploads.

    Args:
        run: the directory of a finished run, or its model.keras.

    Raises:
        UserError: there is no model.
    """
    if (run / "classifier.keras").is_file():
        reading = startup.by_name("runs.saved_text_model").Classifier.load(run)
        reading.check_one_answer(run, "serve")
        return Classes(reading, run)
    saved = saved_model.load_model(run)
    reading = saved_model.Reading.of(saved)
    if saved.targets.name == "boxes":
        return startup.by_name("report.found_boxes").Answers(reading)
    return Classes(reading, run, saved)


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
