"""The page that tries a run, as a program of its own: asked by HTTP, and by a real Chromium that uploads files."""

import asyncio
import http.client
import io
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import types
import urllib.request

import keras
import numpy as np
import pytest
from PIL import Image

from common import errors, files
from common.commands import predict, serve
from common.data import targets
from common.media import clips, film, photos, texts
from common.models import backbones, frames, raw_input
from common.report import answers
from common.runs import familiar, saved_model

for package in ("starlette", "uvicorn"):
    pytest.importorskip(package, reason=f"{package} is not installed: pip install -e '.[serve]'")

ROOT = pathlib.Path(__file__).parents[3]
CLASSES = ["daisy", "rose", "<b>tulip</b>"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on photos of the demo's network with a random head, which wants to find roses."""
    folder = tmp_path_factory.mktemp("run")
    backbone = backbones.load("demo", "demo", 48)
    x = keras.layers.GlobalAveragePooling2D()(backbone.model.output)
    head = keras.layers.Dense(3, activation="softmax", kernel_initializer=keras.initializers.RandomNormal(seed=0))
    model = keras.Model(backbone.model.input, head(x), name="classifier")
    model = raw_input.take_raw_pixels(model, backbone.preprocess, backbone.resize)
    saved_model.save_model(folder, saved_model.SavedModel(model, targets.Classes(CLASSES), photos.PHOTOS))
    files.write_json(folder / "results.json", {
        "recipe": "skin_lesions", "test": {"accuracy": 0.5, "n": 12},
        "clinic": {"target": {"classes": ["rose"], "threshold": 0.01}},
    })  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def photo():
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80, 3), "uint8")
    return Image.fromarray(np.kron(pixels, np.ones((4, 4, 1), "uint8")))


def encoded(picture, kind="JPEG", **options):
    file = io.BytesIO()
    picture.save(file, format=kind, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def page(run, tmp_path_factory):
    """The address of the page of a running program; stopped with control-C, it has left nothing behind."""
    empty = tmp_path_factory.mktemp("temporary")
    before = sorted(path.name for path in run.rglob("*"))
    program = subprocess.Popen(
        [sys.executable, "-m", "recipes", "serve", run, "--max-megabytes", "60"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(empty)},
    )  # fmt: skip
    address = program.stdout.readline().strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address), program.communicate()
    yield address
    assert list(empty.rglob("*")) == [] and sorted(path.name for path in run.rglob("*")) == before
    program.send_signal(signal.SIGINT)
    rest, complaints = program.communicate(timeout=120)
    assert program.returncode == 0 and rest == "", complaints
    assert complaints.splitlines() == ["Ctrl-C stops it"]
    assert list(empty.rglob("*")) == []


def ask(address, content, query="", **headers):
    """Status, text and headers of the answer to an upload."""
    request = urllib.request.Request(f"{address}answer{query}", data=content, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, response.read().decode(), response.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), error.headers


def test_the_page_says_what_predict_says(page, run, photo, tmp_path, capsys):
    content = encoded(photo)
    (tmp_path / "photo.jpg").write_bytes(content)
    predict.predict(run, [tmp_path / "photo.jpg"])
    _, label, probability, target, called = capsys.readouterr().out.strip().split("\t")
    status, html, headers = ask(page, content)
    shown = label.replace("<", "&lt;").replace(">", "&gt;")
    assert status == 200 and shown in html.replace("<wbr>", "") and f"{100 * float(probability):.1f}" in html
    assert f"<b>rose: {called}.</b> Its probability {target}" in html and "threshold of 0.0100" in html
    assert html.count("data:image/jpeg;base64,") == 2  # the photo, and Grad-CAM over it
    assert "<b>tulip</b>" not in html
    assert headers["Cache-Control"] == "no-store" and "default-src 'none'" in headers["Content-Security-Policy"]


def test_any_class_can_be_explained(page, photo):
    for index, name in enumerate(("daisy", "rose")):
        _, html, _ = ask(page, encoded(photo), f"?explain={index}")
        assert f"Evidence for {name}" in html
    for nonsense in ("3", "-1", "x", "٣", "1" * 5000):
        assert ask(page, encoded(photo), f"?explain={urllib.parse.quote(nonsense)}")[:2] == (
            400,
            "the class to explain does not exist",
        )


def test_it_reads_as_the_training_does(page, photo):
    """EXIF, CMYK, transparency, 16 bit: the reader's own tests say how; here, that it is that reader."""
    turned = photo.rotate(-90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 8  # to be turned by 90 degrees against the clock
    upright, tagged = encoded(photo, "PNG"), encoded(turned, "PNG", exif=exif)
    assert ask(page, upright)[1] == ask(page, tagged)[1] != ask(page, encoded(turned, "PNG"))[1]
    assert ask(page, encoded(photo.convert("CMYK")))[0] == 200


def test_what_is_no_photo_gets_the_readers_words(page, photo):
    for content, words in (
        (b"only words\n" * 20, "not an image: it looks like a text file"),
        (b"", "empty: it has zero bytes"),
        (encoded(photo)[:3000], "truncated: the file ends too early"),
        (b"<!doctype html><html>", "an HTML page"),
        (encoded(photo, "GIF", save_all=True, append_images=[photo.rotate(9)]), "animated: 2 frames"),
        (encoded(Image.new("1", (30_000, 3_000)), "PNG"), "too many pixels: 30,000 x 3,000"),
    ):
        status, text, _ = ask(page, content)
        assert status == 415 and words in text and "/proc" not in text and "remove it" not in text


def test_sizes_paths_and_other_names_of_this_computer_are_checked(page):
    connection = http.client.HTTPConnection(page.split("/")[2])
    connection.putrequest("POST", "/answer")
    connection.putheader("Content-Length", str(61 * 10**6))
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == 413 and response.read() == b"too large: more than 60 MB; scale it down"
    status, text, _ = ask(page, (b"x" * 10**6 for _ in range(61)))  # without saying how much
    assert status == 413
    for header, told, refused in (("Host", "evil.example", 400), ("Origin", "https://evil.example", 403),
                                  ("Sec-Fetch-Site", "cross-site", 403)):  # fmt: skip
        status, text, _ = ask(page, b"x", **{header: told})
        assert status == refused and f"{header} says {told}" in text and "--public-address" in text
    own = page.removesuffix("/")
    assert ask(page, b"x", Origin=own, **{"Sec-Fetch-Site": "same-origin"})[0] == 415  # looked at: no image
    for path in ("answer", "../setup.cfg", "docs", "static/x"):
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(page + path)


def test_an_upload_that_is_too_large_is_heard_out(page):
    """Answering before the sender has sent everything would reset the connection, and no sender would see why."""
    connection = http.client.HTTPConnection(page.split("/")[2])
    connection.request("POST", "/answer", body=b"x" * (70 * 10**6))
    assert connection.getresponse().status == 413


def test_stalled_uploads_keep_nobody_waiting(page, photo):
    address, port = page.split("/")[2].split(":")
    stalled = [socket.create_connection((address, int(port))) for _ in range(40)]
    for each in stalled:
        each.sendall(b"POST /answer HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nx")
    assert ask(page, encoded(photo))[0] == 200
    for each in stalled:
        each.setblocking(False)
        with pytest.raises(BlockingIOError):  # it still waits: the answer above did not wait for its end
            each.recv(1)
        each.close()


def test_an_answer_as_data(page, photo, run):
    status, text, headers = ask(page, encoded(photo), Accept="application/json")
    answer = json.loads(text)
    assert status == 200 and headers["Content-Type"] == "application/json"
    assert sorted(each["class"] for each in answer["classes"]) == sorted(CLASSES)
    probabilities = [each["probability"] for each in answer["classes"]]
    assert probabilities == sorted(probabilities, reverse=True) and sum(probabilities) == pytest.approx(1, abs=1e-5)
    assert answer["target"]["name"] == "rose"
    assert answer["target"]["called"] == ("called" if answer["target"]["probability"] >= 0.01 else "not called")
    assert answer["unlike"] is None  # this run has no familiar.npz


def test_what_is_unlike_the_training_is_said(run, photo, tmp_path):
    shutil.copytree(run, tmp_path, dirs_exist_ok=True)
    reading = saved_model.Reading.of(saved_model.load_model(run))
    photo.save(tmp_path / "photo.png")
    _, features = reading.with_features([reading.looks(tmp_path / "photo.png")])
    familiar.Familiar.of(features, features).save(tmp_path)  # it knows this photo only
    answerer = answers.load(tmp_path)
    pink = Image.new("RGB", (60, 60), (250, 20, 120))
    for picture, unlike in ((photo, False), (pink, True)):
        assert answerer.data(encoded(picture, "PNG"))["unlike"] is unlike
        assert ("Unlike anything in training" in answerer.answer(encoded(picture, "PNG"))) == unlike


def test_a_refusal_as_data(page):
    status, text, headers = ask(page, b"no photo", Accept="application/json")
    assert status == 415 and headers["Content-Type"] == "application/json"
    assert "not an image" in json.loads(text)["error"]


def test_a_form_is_told_what_to_send(page, photo):
    status, text, _ = ask(page, b"--x\r\n", **{"Content-Type": "multipart/form-data; boundary=x"})
    assert status == 415 and "--data-binary @photo.jpg" in text


LAB = "https://lab.example.org"


@pytest.mark.parametrize(
    ("headers", "local", "public", "refused"),
    [
        ({"host": "127.0.0.1:80", "origin": LAB}, True, LAB, None),  # a proxy that changes Host
        ({"host": "lab.example.org", "origin": LAB}, True, LAB, None),  # one that does not
        ({"host": "lab.example.org", "origin": "http://lab.example.org"}, True, LAB, 403),
        ({"host": "lab.example.org", "origin": "https://evil.example"}, True, LAB, 403),
        ({"host": "evil.example"}, True, LAB, 400),
        ({"host": "evil.example"}, False, LAB, 400),
        ({"host": "lab.example.org"}, True, "", 400),
        ({"host": "any.example"}, False, "", None),  # --host 0.0.0.0
        ({"host": "[::1]:80", "origin": "http://[::1]:80"}, True, "", None),
        ({"host": "127.0.0.1:80", "origin": "null"}, True, LAB, 403),
        ({"host": "[::1"}, True, "", 400),
        ({"host": "127.0.0.1:80", "origin": "http://[::1"}, True, "", 403),
    ],
)
def test_only_the_page_under_its_own_address_may_send(headers, local, public, refused):
    senders = serve.Senders(local, public)
    if refused is None:
        senders.check(headers)
        return
    with pytest.raises(serve.Refused) as caught:
        senders.check(headers)
    assert caught.value.status == refused


def test_behind_a_proxy_the_page_has_a_path_too(run):
    reading = types.SimpleNamespace(targets=targets.Classes(CLASSES), medium=photos.PHOTOS)
    answerer = answers.Answerer(reading, CLASSES)
    app = serve.application(answerer, run, 10**6, public=f"{LAB}/app")
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    for path in ("/style.css", "/app/style.css", "/app/", "/app/nothing"):
        scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "query_string": b"",
                 "headers": [(b"host", b"lab.example.org")]}  # fmt: skip
        asyncio.run(app(scope, receive, send))
    assert [message["status"] for message in sent if "status" in message] == [200, 200, 200, 404]


@pytest.fixture(scope="module")
def browser():
    """A real Chromium that is told to reach nothing but this computer."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    if not chromium:
        pytest.skip("no Chromium here")
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
                     "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]  # fmt: skip
        yield playwright.chromium.launch(executable_path=chromium, args=arguments)


def test_in_a_browser(page, browser, photo, tmp_path):
    """A photo, a text file called .jpg, a picture of 60 megapixels; no request goes anywhere else."""
    (tmp_path / "photo.jpg").write_bytes(encoded(photo))
    (tmp_path / "words.jpg").write_text("only words\n" * 20)
    Image.new("RGB", (9000, 6700), "olive").save(tmp_path / "huge.jpg")
    Image.new("RGB", (12000, 9000), "olive").save(tmp_path / "too_huge.png")
    (tmp_path / "too_large.jpg").write_bytes(bytes(61 * 10**6))
    tab = browser.new_page()
    tab.set_default_timeout(120_000)  # a bound, for a machine with other work
    requests, complaints = [], []
    tab.on("request", lambda request: requests.append(request.url))
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(page)
    status = tab.locator("#status")

    def upload(name, words):
        tab.set_input_files("#file", tmp_path / name)
        status.filter(has_text=words).wait_for()

    upload("photo.jpg", f"photo.jpg, {len(encoded(photo)) / 1e3:.0f} kB")
    assert tab.locator("#answer tbody tr").count() == 3 and tab.locator("#answer img").count() == 2
    assert all(tab.evaluate("[...document.querySelectorAll('#answer img')].map(image => image.naturalWidth)"))
    last = tab.locator("#answer tbody button").last
    last.click()
    tab.locator("#answer h3", has_text="Evidence for").filter(
        has_text=last.get_attribute("aria-label").removeprefix("Show the evidence for ")
    ).wait_for()
    if os.environ.get("SCREENSHOTS"):
        screenshots(tab)
    upload("words.jpg", "words.jpg: not an image: it looks like a text file")
    assert tab.locator("#answer *").count() == 0 and "error" in status.get_attribute("class")
    upload("huge.jpg", f"huge.jpg, {(tmp_path / 'huge.jpg').stat().st_size / 1e3:.0f} kB")
    assert tab.locator("#answer tbody tr").count() == 3
    upload("too_huge.png", "too many pixels: 12,000 x 9,000")
    upload("too_large.jpg", "too large: 61.0 MB, more than 60.0 MB")
    assert all(url.startswith((page, "data:")) for url in requests) and len(requests) > 5
    assert not [text for text in complaints if "415" not in text]  # Chromium notes each refused upload


class Echo(answers.Answerer):
    """Answers a text with itself, as the page of a run on texts sends it."""

    def __init__(self):
        super().__init__(types.SimpleNamespace(targets=targets.Classes(CLASSES), medium=texts.Texts()), CLASSES)

    def answer(self, content, explain=None, charset=""):
        return f"<p>{charset}: {content.decode(charset)}</p>"


def test_a_text_in_a_browser(browser, tmp_path):
    """By the button and by Ctrl-Enter; it is sent in the page's own encoding, and says so."""
    import uvicorn

    listener = serve.listening("127.0.0.1", 0)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    app = serve.application(Echo(), tmp_path, 1000)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        tab = browser.new_page()
        tab.set_default_timeout(120_000)  # a bound, for a machine with other work
        tab.goto(address)
        tab.fill("#text", "café")
        tab.click("#ask")
        tab.locator("#answer p", has_text="utf-8: café").wait_for()
        tab.fill("#text", "naïve")
        tab.keyboard.press("Control+Enter")
        tab.locator("#answer p", has_text="utf-8: naïve").wait_for()
        tab.fill("#text", "x" * 1001)
        tab.click("#ask")
        tab.locator("#status", has_text="too large").wait_for()
        tab.close()
    finally:
        server.should_exit = True
        thread.join(60)
        listener.close()


def test_clips(tmp_path):
    """A clip of a run on clips gets its frames with what each adds; a photo gets the reader's words."""
    looking = clips.Clips(frames=3)
    pixels = keras.Input((3, 16, 16, 3))
    maps = keras.layers.Identity(name="each_frame")(keras.ops.mean(pixels, axis=(2, 3), keepdims=True))
    answer = keras.layers.Dense(2, activation="softmax")((maps[:, -1] - maps[:, 0])[:, 0, 0])
    classifier = keras.Model(pixels, answer, name="classifier")
    classifier.layers[-1].set_weights([np.array([[2.0, -2.0]] * 3), np.zeros(2)])
    model = frames.take_raw_clips(classifier, lambda x: x / 100, raw_input.resizing(16, "squash"), looking)
    saved_model.save_model(tmp_path, saved_model.SavedModel(model, targets.Classes(["brighter", "darker"]), looking))
    moving = np.linspace(40, 200, 9).reshape(-1, 1, 1, 1) * np.ones((9, 40, 48, 3))
    film.write(tmp_path / "clip.mp4", moving.astype("uint8"))
    answerer = answers.load(tmp_path)
    html = answerer.answer((tmp_path / "clip.mp4").read_bytes())
    assert html.index("brighter") < html.index("darker") and html.count("data:image/png;base64,") == 2
    with pytest.raises(errors.UserError, match="a photo"):
        answerer.answer(encoded(Image.new("RGB", (50, 50))))
    assert ".mp4" in serve._page(answerer, tmp_path, 10**6, local=True)


def test_what_lies_in_memory_is_read_and_gone(photo):
    with answers.in_memory(encoded(photo, "PNG")) as path:
        assert (photos.read(path) == np.array(photo)).all()
    assert not path.exists()


def test_mistakes_are_one_line(run, tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(errors.UserError, match=f"--port {port}: address already in use; remove --port"):
            serve.serve(run, port)
    with pytest.raises(errors.UserError, match="--port 70000: must be from 0 to 65535"):
        serve.serve(run, 70_000)
    with pytest.raises(errors.UserError, match="--host nowhere.invalid: no such host"):
        serve.serve(run, host="nowhere.invalid")
    for host in ("203.0.113.7", "2001:db8::7"):  # of documentation, RFC 5737 and 3849
        with pytest.raises(errors.UserError, match=f"--host {host}: not an address of this computer; use 127"):
            serve.serve(run, host=host)
    with pytest.raises(errors.UserError, match="--public-address lab.example.org: give a whole address"):
        serve.serve(run, public_address="lab.example.org")
    with pytest.raises(errors.UserError, match="has no model.keras"):
        serve.serve(tmp_path)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(errors.UserError, match=r"serve needs uvicorn: pip install 'keras-recipes\[serve\]'"):
        serve.serve(run)


def screenshots(tab):
    """For people to look at, in the folder that SCREENSHOTS names."""
    folder = pathlib.Path(os.environ["SCREENSHOTS"])
    for name, width, height in (("wide", 1200, 900), ("phone", 390, 844)):
        tab.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            tab.emulate_media(color_scheme=scheme)
            tab.screenshot(path=folder / f"{name}_{scheme}.png", full_page=True)
