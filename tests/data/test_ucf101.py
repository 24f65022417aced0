import http.server
import pathlib
import shutil
import ssl
import stat
import sys
import threading
import urllib.error
import urllib.request
import zipfile

import helpers
import pytest

from common import errors

PREPARE = pathlib.Path(__file__).parents[2] / "data" / "ucf101" / "prepare.py"
CLASSES = ("Archery", "HandstandPushups", "Punch")
EXPECTED = {"clips": 18, "classes": 3, "groups": 3}
SPLITS_ZIP = "UCF101TrainTestSplits-RecognitionTask.zip"


@pytest.fixture
def ucf101(monkeypatch):
    return helpers.script(PREPARE, monkeypatch)


@pytest.fixture
def downloads(tmp_path):
    """A folder with both archives, among other things; the clips are in a zip file, which needs no tool."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    write_zip(folder / "UCF101.rar", {f"UCF-101/{clip}": content(clip) for clip in clips()})
    write_zip(folder / SPLITS_ZIP, {f"ucfTrainTestlist/{name}": text for name, text in lists().items()})
    (folder / "holiday.zip").write_bytes(b"not a zip file, and nobody's business")
    return folder


def clips():
    """As the official lists write them: the class of the handstand is spelled in two ways."""
    names = [(name, name.replace("Handstand", "HandStand")) for name in CLASSES]
    return [f"{name}/v_{file}_g{g:02d}_c{c:02d}.avi" for name, file in names for g in (1, 2, 3) for c in (1, 2)]


def content(clip):
    return clip.lower().rpartition("/")[2].encode() * 20


def lists():
    """Each split has another group in its test set; lines end as on Windows."""
    texts = {"classInd.txt": "".join(f"{number} {name}\r\n" for number, name in enumerate(CLASSES, start=1))}
    for split in (1, 2, 3):
        test = [clip for clip in clips() if f"_g{split:02d}_" in clip]
        train = [f"{clip} {CLASSES.index(clip.partition('/')[0]) + 1}" for clip in clips() if clip not in test]
        texts[f"trainlist{split:02d}.txt"] = "".join(f"{line}\r\n" for line in train)
        texts[f"testlist{split:02d}.txt"] = "".join(f"{line}\r\n" for line in test)
    return texts


def write_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def laid_out(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_complete(folder, names=CLASSES):
    wanted = {clip: content(clip) for clip in clips() if clip.partition("/")[0] in names}
    assert laid_out(folder / "clips") == wanted
    assert sorted(path.name for path in folder.iterdir()) == ["clips", "splits"]
    for name, text in lists().items():
        lines = [line for line in text.splitlines() if name == "classInd.txt" or line.partition("/")[0] in names]
        assert (folder / "splits" / name).read_text().splitlines() == lines


def test_a_folder_of_downloads(ucf101, downloads, tmp_path, capsys):
    settings = ucf101.Config(archive=(downloads,))
    assert ucf101.prepare(settings, tmp_path / "ucf", EXPECTED) == tmp_path / "ucf" / "clips"
    assert_complete(tmp_path / "ucf")
    assert capsys.readouterr().out.splitlines() == [f"split {split}: train 12, test 6" for split in ("01", "02", "03")]
    shutil.rmtree(downloads)
    ucf101.prepare(settings, tmp_path / "ucf", EXPECTED)  # only checked


def test_archives_named_one_by_one(ucf101, downloads, tmp_path):
    (downloads / "UCF101.rar").rename(downloads / "clips.zip")
    settings = ucf101.Config(archive=(downloads / "clips.zip", downloads / SPLITS_ZIP))
    ucf101.prepare(settings, tmp_path / "ucf", EXPECTED)
    assert_complete(tmp_path / "ucf")


def test_a_folder_unpacked_already_stays_as_it_is(ucf101, downloads, tmp_path):
    for name in ("UCF101.rar", SPLITS_ZIP):
        with zipfile.ZipFile(downloads / name) as archive:
            archive.extractall(tmp_path / "unpacked")
    before = laid_out(tmp_path / "unpacked")
    ucf101.prepare(ucf101.Config(archive=(tmp_path / "unpacked",)), tmp_path / "ucf", EXPECTED)
    assert_complete(tmp_path / "ucf")
    assert laid_out(tmp_path / "unpacked") == before


def test_an_archive_without_folders_and_with_another_spelling(ucf101, downloads, tmp_path):
    """As in the copy that TensorFlow Datasets downloads."""
    names = {f"UCF101/{clip.rpartition('/')[2].replace('HandStand', 'Handstand')}": content(clip) for clip in clips()}
    write_zip(downloads / "UCF101_videos.zip", names)
    (downloads / "UCF101.rar").unlink()
    ucf101.prepare(ucf101.Config(archive=(downloads,)), tmp_path / "ucf", EXPECTED)
    assert_complete(tmp_path / "ucf")


def test_some_classes_only(ucf101, downloads, tmp_path, capsys):
    settings = ucf101.Config(archive=(downloads,), classes=("Punch", "Archery"))
    ucf101.prepare(settings, tmp_path / "ucf", EXPECTED)
    assert_complete(tmp_path / "ucf", ("Archery", "Punch"))
    assert capsys.readouterr().out.splitlines()[0] == "split 01: train 8, test 4"
    ucf101.prepare(settings, tmp_path / "ucf", EXPECTED)
    for others in (("Punch",), ("Punch", "HandstandPushups")):
        with pytest.raises(errors.UserError, match=r"already has clips of other classes \(2\); remove clips"):
            ucf101.prepare(ucf101.Config(classes=others), tmp_path / "ucf", EXPECTED)
    with pytest.raises(errors.UserError, match="found clips 12, expected 18"):
        ucf101.prepare(ucf101.Config(), tmp_path / "ucf", EXPECTED)


def remove_lists(downloads):
    (downloads / SPLITS_ZIP).unlink()


def remove_one_list(downloads):
    write_zip(downloads / SPLITS_ZIP, {name: text for name, text in lists().items() if name != "testlist02.txt"})


def remove_clips(downloads):
    write_zip(downloads / "UCF101.rar", {clip: content(clip) for clip in clips()[1:-1]})


def remove_class(downloads):
    texts = lists()
    for name in texts:
        texts[name] = "".join(line for line in texts[name].splitlines(keepends=True) if "Punch/" not in line)
    write_zip(downloads / SPLITS_ZIP, texts)


def move_group(downloads):
    texts = {name: text.replace("Punch_g03", "Punch_g02") for name, text in lists().items()}
    write_zip(downloads / SPLITS_ZIP, {name: text.replace("g02_c02", "g02_c09", 1) for name, text in texts.items()})


def repeat_clip(downloads):
    texts = lists()
    texts["testlist03.txt"] += clips()[0]
    write_zip(downloads / SPLITS_ZIP, texts)


def cut_zip(downloads):
    path = downloads / SPLITS_ZIP
    path.write_bytes(path.read_bytes().replace(b"ucfTrainTestlist/testlist02", b"ucfTrainTestlist/testlist99", 1))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_lists, r"there is no classInd.txt; download UCF101.rar and UCF101Train.*--archive FOLDER"),
        (remove_one_list, r"there is no testlist02.txt"),
        (remove_clips, r"no clip Archery/v_Archery_g01_c01.avi and 1 more; found 16 clips, expected 18"),
        (remove_class, r"found clips 12, expected 18"),
        (move_group, r"the lists of split 01 do not name every clip exactly once"),
        (repeat_clip, r"the lists of split 03 do not name every clip exactly once"),
        (cut_zip, r"RecognitionTask.zip is damaged or incomplete"),
    ],
)
def test_what_is_wrong_is_said(ucf101, downloads, tmp_path, damage, message):
    damage(downloads)
    with pytest.raises(errors.UserError, match=message) as caught:
        ucf101.prepare(ucf101.Config(archive=(downloads,)), tmp_path / "ucf", EXPECTED)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ucf" / "clips").exists()


def test_a_group_too_few_is_found(ucf101, downloads, tmp_path):
    with pytest.raises(errors.UserError, match="found groups of Archery 3, expected 25"):
        ucf101.prepare(ucf101.Config(archive=(downloads,)), tmp_path / "ucf", EXPECTED | {"groups": 25})


def test_changes_in_the_finished_folder_are_found(ucf101, downloads, tmp_path):
    folder, settings = tmp_path / "ucf", ucf101.Config(archive=(downloads,))
    ucf101.prepare(settings, folder, EXPECTED)
    (folder / "clips" / clips()[0]).rename(folder / "clips" / "Archery" / "mine.avi")
    with pytest.raises(errors.UserError, match="no clip Archery/v_Archery_g01_c01.avi; found 18 clips, expected 18"):
        ucf101.prepare(settings, folder, EXPECTED)
    shutil.copy(folder / "clips" / "Archery" / "mine.avi", folder / "clips" / clips()[0])
    with pytest.raises(errors.UserError, match="no list names the clip Archery/mine.avi"):
        ucf101.prepare(settings, folder, EXPECTED)


def test_an_interrupted_run_starts_again(ucf101, downloads, tmp_path, monkeypatch):
    folder, settings, replace = tmp_path / "ucf", ucf101.Config(archive=(downloads,)), pathlib.Path.replace

    def stop_at_punch(path, target):
        if "Punch" in path.name:
            raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(pathlib.Path, "replace", stop_at_punch)
    with pytest.raises(KeyboardInterrupt):
        ucf101.prepare(settings, folder, EXPECTED)
    assert [path.name for path in folder.iterdir()] == [".unfinished"]
    monkeypatch.undo()
    ucf101.prepare(settings, folder, EXPECTED)
    assert_complete(folder)


# Tools that unpack.


def write_tool(folder, name, script):
    """An executable that stands for a tool; `script` is Python and finds the arguments in `sys.argv`."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!{sys.executable}\nimport sys, zipfile\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def hidden_zip(downloads, monkeypatch):
    """Python does not take `UCF101.rar` for a zip file, as it would not take a rar file for one."""
    is_zipfile = zipfile.is_zipfile
    monkeypatch.setattr(zipfile, "is_zipfile", lambda path: path.suffix == ".zip" and is_zipfile(path))
    return downloads / "UCF101.rar"


@pytest.mark.parametrize(
    ("tool", "script"),
    [
        ("unrar", "zipfile.ZipFile(sys.argv[5]).extractall(sys.argv[6])"),
        ("unar", "zipfile.ZipFile(sys.argv[6]).extractall(sys.argv[5])"),
        ("7z", "zipfile.ZipFile(sys.argv[5]).extractall(sys.argv[4].removeprefix('-o'))"),
        ("bsdtar", "zipfile.ZipFile(sys.argv[3]).extractall(sys.argv[5])"),
    ],
)
def test_each_tool_is_called_in_its_own_way(ucf101, hidden_zip, downloads, tmp_path, monkeypatch, capsys, tool, script):
    write_tool(tmp_path / "bin", tool, script)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    ucf101.prepare(ucf101.Config(archive=(downloads,)), tmp_path / "ucf", EXPECTED)
    assert_complete(tmp_path / "ucf")
    assert f"unpacking with {tool}" in capsys.readouterr().err


def test_without_a_tool_it_names_the_packages(ucf101, hidden_zip, downloads, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.UserError) as caught:
        ucf101.prepare(ucf101.Config(archive=(downloads,)), tmp_path / "ucf", EXPECTED)
    assert str(caught.value) == (
        "no installed tool can unpack UCF101.rar; install unar, or unrar or 7zip-rar from non-free (Debian's names), "
        "and start again"
    )


def test_the_next_tool_is_tried_where_one_cannot(ucf101, hidden_zip, downloads, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    write_tool(tmp_path / "bin", "unrar", "print('usage'); sys.exit('Unknown option:\\nidq')")
    write_tool(tmp_path / "bin", "7z", "sys.exit(2)")
    with pytest.raises(
        errors.UserError, match=r"cannot unpack .*UCF101.rar \(unrar: Unknown option: idq; 7z: exit code 2\)"
    ):
        ucf101.prepare(ucf101.Config(archive=(downloads,)), tmp_path / "ucf", EXPECTED)
    write_tool(tmp_path / "bin", "bsdtar", "zipfile.ZipFile(sys.argv[3]).extractall(sys.argv[5])")
    ucf101.prepare(ucf101.Config(archive=(downloads,)), tmp_path / "ucf", EXPECTED)
    assert_complete(tmp_path / "ucf")


@pytest.mark.parametrize("tool", ["unar", "bsdtar", "7z"])
def test_real_tools(ucf101, hidden_zip, tmp_path, tool, monkeypatch):
    if not shutil.which(tool):
        pytest.skip(f"{tool} is not installed here")
    monkeypatch.setattr(ucf101, "TOOLS", {tool: ucf101.TOOLS[tool]})
    ucf101.unpack(hidden_zip, tmp_path / "unpacked", 18)
    assert laid_out(tmp_path / "unpacked" / "UCF-101") == {clip: content(clip) for clip in clips()}


# The download.


class Server(http.server.BaseHTTPRequestHandler):
    """Gives the files of `server.folder`; `server.cut` says after how many bytes of which file it hangs up."""

    def do_GET(self):
        name = self.path.rpartition("/")[2]
        data = (self.server.folder / name).read_bytes()
        start = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        self.server.requests.append((name, start))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.wfile.write(data[start:][: self.server.cut.get(name)])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(downloads, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    running.folder, running.requests, running.cut = downloads, [], {}
    running.url = f"http://127.0.0.1:{running.server_port}/data/UCF101"
    threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


def test_download(ucf101, server, tmp_path):
    ucf101.prepare(ucf101.Config(), tmp_path / "ucf", EXPECTED, server.url)
    assert_complete(tmp_path / "ucf")
    assert server.requests == [("UCF101.rar", 0), (SPLITS_ZIP, 0)]


def test_a_download_that_breaks_off_goes_on(ucf101, server, tmp_path):
    server.cut["UCF101.rar"] = 500
    with pytest.raises(errors.UserError, match=r"UCF101.rar broke off \(500 of .* bytes\); start again"):
        ucf101.prepare(ucf101.Config(), tmp_path / "ucf", EXPECTED, server.url)
    server.cut.clear()
    server.requests.clear()
    ucf101.prepare(ucf101.Config(), tmp_path / "ucf", EXPECTED, server.url)
    assert_complete(tmp_path / "ucf")
    assert server.requests == [("UCF101.rar", 500), (SPLITS_ZIP, 0)]


def test_an_incomplete_chain_of_certificates_is_not_accepted(ucf101, tmp_path, monkeypatch):
    def refuse(request, timeout):
        assert request.full_url == "https://www.crcv.ucf.edu/data/UCF101/UCF101.rar"
        problem = "certificate verify failed: unable to get local issuer certificate"
        raise urllib.error.URLError(ssl.SSLCertVerificationError(1, problem))

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(errors.UserError) as caught:
        ucf101.prepare(ucf101.Config(classes=("Archery", "Punch")), tmp_path / "ucf", EXPECTED)
    message = str(caught.value)
    assert "certificate verify failed" in message and "\n" not in message
    assert message.endswith(
        f"download UCF101.rar and {SPLITS_ZIP} from https://www.crcv.ucf.edu/data/UCF101.php with a browser into one "
        "folder, then run: python data/ucf101/prepare.py --classes Archery Punch --archive FOLDER"
    )


# The command.


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--archive", "downloads"], "downloads: found clips 18, expected 13,320"),
        (["--archive", "nowhere"], "nowhere: no such file or folder"),
        (["--classes", "Punsh", "--archive", "downloads"], "there is no class Punsh; did you mean Punch?"),
        (["--class", "Punch"], "did you mean --classes?"),
    ],
)
def test_the_command_says_it_in_one_line(downloads, tmp_path, monkeypatch, capsys, flags, message):
    monkeypatch.chdir(tmp_path)
    assert helpers.exit_code_of(PREPARE, flags, tmp_path / "ucf", monkeypatch) == 2
    said = capsys.readouterr()
    error = said.err.splitlines()[-1]
    assert message in error and error.startswith("error: ")
    assert said.out == ""
