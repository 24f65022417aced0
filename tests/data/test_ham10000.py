import csv
import hashlib
import http.server
import io
import json
import pathlib
import re
import shutil
import socket
import threading
import zipfile

import helpers
import pytest
from PIL import Image

from common import errors

PREPARE = pathlib.Path(__file__).parents[2] / "data" / "ham10000" / "prepare.py"
HEADER = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset"
ROWS = [
    "HAM_1,ISIC_0024306,nv,follow_up,45.0,male,back,vidir_molemax",
    "HAM_1,ISIC_0024307,nv,follow_up,45.0,male,back,vidir_molemax",
    "HAM_2,ISIC_0024308,mel,histo,,unknown,lower extremity,rosendahl",
    "HAM_3,ISIC_0024309,bkl,consensus,80.0,female,face,vienna_dias",
]
TEST_ROWS = [
    "HAMTEST_1,ISIC_0034524,nv,histo,50.0,female,trunk,rosendahl",
    "HAMTEST_2,ISIC_0034525,mel,histo,60.0,male,ear,rosendahl",
    ",ISIC_0035068,nv,,,,,",  # synthetic: Dataverse has its row, not its picture
]
EXPECTED = {
    "train": {"pictures": 4, "lesions": 3, "nv": 2, "mel": 1, "bkl": 1, "df": 0},
    "test": {"pictures": 2, "nv": 1, "mel": 1},
}


@pytest.fixture
def ham10000(monkeypatch):
    return helpers.script(PREPARE, monkeypatch)


@pytest.fixture
def downloads(tmp_path):
    """A folder with the files of the record, among other things."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    write_zip(folder / "HAM10000_images_part_1.zip", images([24306, 24307]))
    write_zip(folder / "HAM10000_images_part_2.zip", images([24308, 24309]))
    write_zip(folder / "ISIC2018_Task3_Test_Images.zip", images([34524, 34525], "ISIC2018_Task3_Test_Images/"))
    write_zip(folder / "HAM10000_segmentations_lesion_tschandl.zip", {"ISIC_0024306_segmentation.png": b"mask"})
    (folder / "HAM10000_metadata.csv").write_text(table(ROWS))
    (folder / "ISIC2018_Task3_Test_GroundTruth.csv").write_text(table(TEST_ROWS))
    (folder / "holiday.zip").write_bytes(b"not a zip file, and nobody's business")
    return folder


def picture(number):
    buffer = io.BytesIO()
    Image.new("RGB", (6, 4), (number % 256, 120, 90)).save(buffer, "jpeg", quality=60 + number % 30)
    return buffer.getvalue()


def images(numbers, inside=""):
    return {f"{inside}ISIC_{number:07d}.jpg": picture(number) for number in numbers}


def table(rows, header=HEADER):
    return "\n".join([header, *rows]) + "\n"


def tabular(rows):
    """As Dataverse writes it: tabs, and quotes around strings."""
    lines = [line.split(",") for line in rows]
    quoted = [[f'"{value}"' if index != 4 else value for index, value in enumerate(line)] for line in lines]
    return "\n".join(["\t".join(HEADER.split(",")), *("\t".join(line) for line in quoted)]) + "\n"


def write_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def laid_out(pictures):
    with open(pictures / "metadata.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    contents = {path.name: path.read_bytes() for path in (pictures / "images").iterdir()}
    return rows, contents


def assert_train_is_laid_out(pictures):
    rows, contents = laid_out(pictures)
    assert [list(row.values()) for row in rows] == [line.split(",")[:7] for line in ROWS]
    assert list(rows[0]) == HEADER.split(",")[:7]
    assert contents == images(range(24306, 24310))


def test_a_folder_of_downloads(ham10000, downloads, tmp_path, capsys):
    settings = ham10000.Config(archive=(downloads,))
    pictures = ham10000.prepare(settings, tmp_path / "ham", EXPECTED)
    assert pictures == tmp_path / "ham" / "pictures"
    assert_train_is_laid_out(pictures)
    assert capsys.readouterr().out == "train: pictures 4, lesions 3, nv 2, mel 1, bkl 1, df 0\n"
    assert [path.name for path in (tmp_path / "ham").iterdir()] == ["pictures"]
    shutil.rmtree(downloads)
    assert ham10000.prepare(settings, tmp_path / "ham", EXPECTED) == pictures  # only checked


def test_files_named_one_by_one_and_a_table_with_tabs(ham10000, downloads, tmp_path):
    (downloads / "HAM10000_metadata.csv").unlink()
    names = ["HAM10000_images_part_1.zip", "HAM10000_images_part_2.zip", "HAM10000_metadata.tab"]
    (downloads / names[2]).write_text(tabular(ROWS))
    settings = ham10000.Config(archive=tuple(downloads / name for name in names))
    assert_train_is_laid_out(ham10000.prepare(settings, tmp_path / "ham", EXPECTED))


def test_one_zip_file_with_the_zip_files_inside(ham10000, downloads, tmp_path):
    (downloads / "HAM10000_metadata.csv").rename(downloads / "HAM10000_metadata")
    bundle = tmp_path / "doi-10.7910-dvn-dbw86t_4.0.zip"
    write_zip(bundle, {path.name: path.read_bytes() for path in downloads.iterdir()} | {"MANIFEST.TXT": "files"})
    settings = ham10000.Config(archive=(bundle,))
    assert_train_is_laid_out(ham10000.prepare(settings, tmp_path / "ham", EXPECTED))


@pytest.mark.parametrize("zipped", [False, True])
def test_kaggle_layout_with_every_picture_twice(ham10000, tmp_path, zipped):
    members = {"HAM10000_metadata.csv": table([row.rpartition(",")[0] for row in ROWS], HEADER.rpartition(",")[0])}
    for folder in ("HAM10000_images_part_1/", "ham10000_images_part_1/"):
        members |= images([24306, 24307], folder)
    members |= images([24308, 24309], "HAM10000_images_part_2/")
    archive = tmp_path / "archive.zip"
    write_zip(archive, members)
    if not zipped:
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(tmp_path / "kaggle")
        archive = tmp_path / "kaggle"
    assert_train_is_laid_out(ham10000.prepare(ham10000.Config(archive=(archive,)), tmp_path / "ham", EXPECTED))


def test_with_the_test_set(ham10000, downloads, tmp_path, capsys):
    settings = ham10000.Config(archive=(downloads,), with_test=True)
    pictures = ham10000.prepare(settings, tmp_path / "ham", EXPECTED)
    rows, contents = laid_out(pictures)
    assert [(row["image_id"], row["split"]) for row in rows] == [
        *((f"ISIC_00{number}", "train") for number in range(24306, 24310)),
        *((f"ISIC_00{number}", "test") for number in (34524, 34525)),
    ]
    assert contents == images([*range(24306, 24310), 34524, 34525])
    assert capsys.readouterr().out.splitlines()[1] == "test: pictures 2, nv 1, mel 1"
    with pytest.raises(errors.UserError, match="has also the test set .*; remove the folder"):
        ham10000.prepare(ham10000.Config(), tmp_path / "ham", EXPECTED)


def test_the_test_set_cannot_be_added_later(ham10000, downloads, tmp_path):
    ham10000.prepare(ham10000.Config(archive=(downloads,)), tmp_path / "ham", EXPECTED)
    with pytest.raises(errors.UserError, match="has no test set; remove the folder"):
        ham10000.prepare(ham10000.Config(archive=(downloads,), with_test=True), tmp_path / "ham", EXPECTED)


def break_table(downloads):
    (downloads / "HAM10000_metadata.csv").write_text(
        table(ROWS).replace("HAM_1,ISIC_0024307,nv", "HAM_4,ISIC_0024307,df")
    )


def remove_part(downloads):
    (downloads / "HAM10000_images_part_2.zip").unlink()


def add_picture(downloads):
    write_zip(downloads / "HAM10000_images_part_2.zip", images([24308, 24309, 24310]))


def remove_table(downloads):
    (downloads / "HAM10000_metadata.csv").unlink()


def write_challenge_table(downloads):
    (downloads / "HAM10000_metadata.csv").write_text("image,MEL,NV\nISIC_0024306,0.0,1.0\n")


def cut_zip(downloads):
    path = downloads / "HAM10000_images_part_1.zip"
    path.write_bytes(path.read_bytes()[:300])


def flip_byte(downloads):
    path = downloads / "HAM10000_images_part_1.zip"
    content = bytearray(path.read_bytes())
    content[100] ^= 255
    path.write_bytes(content)


def add_other_picture(downloads):
    write_zip(downloads / "HAM10000_images_part_2 (1).zip", {"ISIC_0024308.jpg": picture(24308) + b"more"})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_table, r"found lesions 4, nv 1, df 1, expected lesions 3, nv 2, df 0 \(train\)"),
        (remove_part, r"no picture ISIC_0024308.jpg and 1 more; found 2 pictures, expected 4"),
        (add_picture, r"no row names the picture ISIC_0024310.jpg; found 5 pictures, expected 4"),
        (remove_table, r"there is no HAM10000_metadata \(.tab or .csv\); .*--archive FOLDER"),
        (write_challenge_table, r"HAM10000_metadata.csv has no column lesion_id, image_id, dx"),
        (cut_zip, r"HAM10000_images_part_1.zip is damaged or incomplete"),
        (flip_byte, r"HAM10000_images_part_1.zip/ISIC_0024306.jpg is damaged or incomplete"),
        (add_other_picture, r"ISIC_0024308.jpg differ; give --archive only one"),
    ],
)
def test_what_is_wrong_is_said(ham10000, downloads, tmp_path, damage, message):
    damage(downloads)
    with pytest.raises(errors.UserError, match=message) as caught:
        ham10000.prepare(ham10000.Config(archive=(downloads,)), tmp_path / "ham", EXPECTED)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ham" / "pictures").exists()


def test_a_picture_lost_from_the_finished_folder_is_found(ham10000, downloads, tmp_path):
    settings = ham10000.Config(archive=(downloads,))
    pictures = ham10000.prepare(settings, tmp_path / "ham", EXPECTED)
    (pictures / "images" / "ISIC_0024309.jpg").unlink()
    with pytest.raises(errors.UserError, match="no picture ISIC_0024309.jpg; found 3 pictures, expected 4"):
        ham10000.prepare(settings, tmp_path / "ham", EXPECTED)


def test_an_interrupted_run_goes_on(ham10000, downloads, tmp_path, monkeypatch):
    settings = ham10000.Config(archive=(downloads,))
    read = ham10000.Source.read

    def stop_at_third(source):
        if source.name == "ISIC_0024308.jpg":
            raise KeyboardInterrupt
        return read(source)

    monkeypatch.setattr(ham10000.Source, "read", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        ham10000.prepare(settings, tmp_path / "ham", EXPECTED)
    written = tmp_path / "ham" / ".unfinished" / "pictures" / "images"
    assert sorted(path.name for path in written.iterdir()) == ["ISIC_0024306.jpg", "ISIC_0024307.jpg"]
    assert not (tmp_path / "ham" / "pictures").exists()

    (written / "ISIC_0000000.jpg").write_bytes(b"of another try")
    content = []
    monkeypatch.setattr(ham10000.Source, "read", lambda source: content.append(source.name) or read(source))
    assert_train_is_laid_out(ham10000.prepare(settings, tmp_path / "ham", EXPECTED))
    assert content == ["HAM10000_metadata.csv", "ISIC_0024308.jpg", "ISIC_0024309.jpg"]


class Dataverse(http.server.BaseHTTPRequestHandler):
    """Answers as the API does; `server.cut` says after how many bytes it hangs up, `ranges` whether it can resume."""

    def do_GET(self):
        self.server.requests.append((self.path, self.headers["Range"]))
        if self.headers["User-Agent"].startswith("Python"):
            self.send_error(403)
        elif self.path.startswith("/api/datasets/:persistentId/?persistentId=doi:10.7910/DVN/DBW86T"):
            files = {"status": "OK", "data": {"latestVersion": {"files": self.server.entries}}}
            self.answer(json.dumps(files).encode())
        else:
            number = int(re.match(r"/api/access/datafile/(\d+)", self.path).group(1))
            self.answer(self.server.contents[number], self.server.cut.get(number))

    def answer(self, content, cut=None):
        start = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        start = start if self.server.ranges else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:][:cut])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def dataverse(downloads, monkeypatch):
    """A server with the record; the tables have the wrong size and MD5 sum, as on the real one."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Dataverse)
    server.entries, server.contents, server.requests, server.cut, server.ranges = [], {}, [], {}, True
    for number, path in enumerate(sorted(downloads.iterdir())):
        content = path.read_bytes()
        is_table = path.suffix == ".csv"
        label = path.with_suffix(".tab").name if is_table else path.name
        facts = {"id": number, "filesize": len(content), "md5": hashlib.md5(content).hexdigest()}
        server.entries.append({"label": label, "dataFile": facts | ({"filesize": 1, "md5": "0"} if is_table else {})})
        server.contents[number] = content
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def known(server, name):
    """What the API tells of a file."""
    return next(entry["dataFile"] for entry in server.entries if entry["label"] == name)


def test_download(ham10000, dataverse, tmp_path):
    assert_train_is_laid_out(ham10000.prepare(ham10000.Config(), tmp_path / "ham", EXPECTED, dataverse.url))
    assert len(dataverse.requests) == 4  # the list and three files
    assert sum("?format=original" in path for path, _ in dataverse.requests) == 1
    assert [path.name for path in (tmp_path / "ham").iterdir()] == ["pictures"]


def test_download_with_the_test_set(ham10000, dataverse, tmp_path):
    pictures = ham10000.prepare(ham10000.Config(with_test=True), tmp_path / "ham", EXPECTED, dataverse.url)
    assert len(laid_out(pictures)[0]) == 6
    assert len(dataverse.requests) == 6


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_breaks_off_goes_on(ham10000, dataverse, tmp_path, ranges):
    dataverse.ranges = ranges
    number, size = known(dataverse, "HAM10000_images_part_2.zip")["id"], len(picture(24308))
    dataverse.cut[number] = size
    whole = len(dataverse.contents[number])
    with pytest.raises(errors.UserError, match=rf"part_2.zip broke off \({size:,} of {whole:,} bytes\); start again"):
        ham10000.prepare(ham10000.Config(), tmp_path / "ham", EXPECTED, dataverse.url)
    part = tmp_path / "ham" / ".unfinished" / "downloads" / "HAM10000_images_part_2.zip.part"
    assert part.read_bytes() == dataverse.contents[number][:size]
    dataverse.cut.clear()
    dataverse.requests.clear()
    assert_train_is_laid_out(ham10000.prepare(ham10000.Config(), tmp_path / "ham", EXPECTED, dataverse.url))
    assert dataverse.requests[1] == (f"/api/access/datafile/{number}", f"bytes={size}-")
    assert len(dataverse.requests) == 3  # the list, the rest of part 2 and the table: part 1 was there


def test_a_complete_download_is_not_asked_for_again(ham10000, dataverse, tmp_path):
    number = known(dataverse, "HAM10000_images_part_1.zip")["id"]
    downloaded = tmp_path / "ham" / ".unfinished" / "downloads"
    downloaded.mkdir(parents=True)
    (downloaded / "HAM10000_images_part_1.zip.part").write_bytes(dataverse.contents[number])
    assert_train_is_laid_out(ham10000.prepare(ham10000.Config(), tmp_path / "ham", EXPECTED, dataverse.url))
    assert f"/api/access/datafile/{number}" not in [path for path, _ in dataverse.requests]


def test_a_wrong_md5_sum_is_found_and_the_file_removed(ham10000, dataverse, tmp_path):
    right = known(dataverse, "HAM10000_images_part_1.zip")["md5"]
    known(dataverse, "HAM10000_images_part_1.zip")["md5"] = "0" * 32
    with pytest.raises(errors.UserError, match=f"part_1.zip: found the MD5 sum {right}, expected 0000.*start again"):
        ham10000.prepare(ham10000.Config(), tmp_path / "ham", EXPECTED, dataverse.url)
    assert list((tmp_path / "ham" / ".unfinished" / "downloads").iterdir()) == []


def test_without_a_network_it_says_what_to_do_by_hand(ham10000, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(errors.UserError) as caught:
        ham10000.prepare(ham10000.Config(with_test=True), tmp_path / "ham", EXPECTED, url)
    message = str(caught.value)
    assert "Connection refused" in message and "\n" not in message
    assert "HAM10000_images_part_1.zip, HAM10000_images_part_2.zip, HAM10000_metadata.csv, ISIC2018" in message
    assert "from https://doi.org/10.7910/DVN/DBW86T" in message
    assert message.endswith("python data/ham10000/prepare.py --with-test --archive FOLDER")


def test_what_the_server_may_answer(ham10000, dataverse, tmp_path, monkeypatch):
    def message():
        with pytest.raises(errors.UserError, match="--archive FOLDER$") as caught:
            ham10000.prepare(ham10000.Config(), tmp_path / "ham", EXPECTED, dataverse.url)
        return str(caught.value)

    dataverse.entries.remove(next(entry for entry in dataverse.entries if "part_2" in entry["label"]))
    assert "has no HAM10000_images_part_2" in message()
    dataverse.entries = "moved"
    assert "is not a list of files" in message()
    monkeypatch.setattr(ham10000, "USER_AGENT", "Python-urllib")
    assert "HTTP Error 403: Forbidden" in message()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--archive", "downloads"], "df 0, expected pictures 10,015, lesions 7,470, nv 6,705, mel"),
        (["--archive", "nowhere"], "nowhere: no such file or folder"),
        (["--with-tests"], "did you mean --with-test?"),
    ],
)
def test_the_command_says_it_in_one_line(downloads, tmp_path, monkeypatch, capsys, flags, message):
    monkeypatch.chdir(tmp_path)
    assert helpers.exit_code_of(PREPARE, flags, tmp_path / "ham", monkeypatch) == 2
    said = capsys.readouterr()
    assert message in said.err and said.err.startswith("error: ") and said.err.count("\n") == 1
    assert said.out == ""


def test_the_counts_are_those_of_the_record(ham10000, real_data):
    with open(real_data / "ham10000" / "metadata.csv", newline="") as file:
        rows = [{**row, "split": "train"} for row in csv.DictReader(file)]
    names = {f"{row['image_id']}.jpg" for row in rows}
    ham10000.check(rows, names, ham10000.Config(), ham10000.COUNTS, "the real table")
    for counts in ham10000.COUNTS.values():
        assert counts["pictures"] == sum(counts[name] for name in ("nv", "mel", "bkl", "bcc", "akiec", "vasc", "df"))
