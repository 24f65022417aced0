"""Write UCF101 as class folders of clips and the official splits; it is downloaded, unless you give files.

    python data/ucf101/prepare.py
    python data/ucf101/prepare.py --archive ~/Downloads
    python data/ucf101/prepare.py --classes CricketShot PlayingCello Punch ShavingBeard TennisSwing

Expected: 13,320 clips in `data/ucf101/clips/<class>/` and the official lists in `data/ucf101/splits/`, 7 GB. The
download comes from https://www.crcv.ucf.edu/data/UCF101.php and resumes after an interruption. Its rar file is unpacked
with `unrar`, `unar`, `7z` or `bsdtar`, whichever is installed.
"""

import dataclasses
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator

import tqdm

from common import errors, flags
from common.data import download

FOLDER = pathlib.Path(__file__).parent
SERVER = "https://www.crcv.ucf.edu/data/UCF101"
PAGE = "https://www.crcv.ucf.edu/data/UCF101.php"
ARCHIVES = ("UCF101.rar", "UCF101TrainTestSplits-RecognitionTask.zip")
EXPECTED = {"clips": 13320, "classes": 101, "groups": 25}  # groups: in each class.

SPLITS = ("01", "02", "03")
LISTS = tuple(f"{side}list{split}.txt" for split in SPLITS for side in ("train", "test"))
CLASS_LIST = "classInd.txt"
# Only these are unpacked in a folder, since it may be the browser's folder for all downloads.
ARCHIVE_IN_FOLDER = re.compile(r"UCF-?101.*\.(rar|zip)", re.IGNORECASE)

# The arguments with which each tool unpacks an archive into a folder without questions.
TOOLS = {
    "unrar": ("x", "-idq", "-o+", "-y", "{archive}", "{folder}/"),
    "unar": ("-quiet", "-force-overwrite", "-no-directory", "-output-directory", "{folder}", "{archive}"),
    "7z": ("x", "-y", "-bd", "-o{folder}", "{archive}"),
    "bsdtar": ("-x", "-f", "{archive}", "-C", "{folder}"),
}
# libarchive-tools, which contains bsdtar, is not listed: its version 3.6.2 cannot unpack solid archives of RAR 3.
PACKAGES = "unar, or unrar or 7zip-rar from non-free (Debian's names)"


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings: which files to use, and which classes to write."""

    archive: tuple[pathlib.Path, ...] = ()  # files of UCF101, or folders with them; default: download them
    classes: tuple[str, ...] = ()  # only these, named as in classInd.txt; default: all 101


def prepare(
    settings: Config, folder: pathlib.Path = FOLDER, expected: dict = EXPECTED, server: str = SERVER
) -> pathlib.Path:
    """Write `folder/clips` and `folder/splits`, or only check them if they exist.

    Args:
        settings: see `Config`.
        folder: the folder for `clips/` and `splits/`, and for `.unfinished/` until they are complete.
        expected: the required numbers of clips, classes, and groups in each class.
        server: the address of the two archives.

    Returns:
        The path of `folder/clips`.

    Raises:
        UserError: there is no internet connection or no tool to unpack, a file is missing or damaged, or the counts
            are wrong.
    """
    clips, splits, unfinished = folder / "clips", folder / "splits", folder / ".unfinished"
    if not clips.is_dir():
        archives = settings.archive or download_archives(settings, unfinished / "downloads", server)
        lay_out(archives, settings, unfinished, expected)
        shutil.rmtree(splits, ignore_errors=True)
        (unfinished / "splits").rename(splits)
        (unfinished / "clips").rename(clips)  # last, so that existing clips mean that all is complete.
    shutil.rmtree(unfinished, ignore_errors=True)
    lists = {name: (splits / name).read_text().splitlines() for name in LISTS}
    found = {path.relative_to(clips).as_posix() for path in clips.glob("*/*")}
    check(lists, found, settings, expected, folder)
    for split in SPLITS:
        train, test = (len(lists[f"{side}list{split}.txt"]) for side in ("train", "test"))
        print(f"split {split}: train {train:,}, test {test:,}")
    return clips


def lay_out(archives: Iterable[pathlib.Path], settings: Config, unfinished: pathlib.Path, expected: dict) -> None:
    """Write `unfinished/clips` and `unfinished/splits`, after checking everything.

    A clip gets the folder and the name of the official lists. Archives differ: some have no folders, and some write
    HandStandPushups where others write HandstandPushups.

    Raises:
        UserError: there is no tool to unpack, a file is missing or damaged, or the counts are wrong.
    """
    for name in ("unpacked", "clips", "splits"):
        shutil.rmtree(unfinished / name, ignore_errors=True)
    where = ", ".join(str(path) for path in archives)
    found = collect(archives, unfinished / "unpacked", expected["clips"])
    lists = read_lists(found, settings, where)
    sources = {clip: found[key(clip)] for lines in lists.values() for clip in clips_in(lines) if key(clip) in found}
    check(lists, set(sources), settings, expected, where)
    for clip, source in tqdm.tqdm(sources.items(), "laying out clips", unit="clip", disable=None):
        target = unfinished / "clips" / clip
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_relative_to(unfinished):
            source.replace(target)
        else:
            shutil.copyfile(source, target)  # the user's own folder is not changed.
    (unfinished / "splits").mkdir()
    shutil.copyfile(found[CLASS_LIST.lower()], unfinished / "splits" / CLASS_LIST)
    for name, lines in lists.items():
        (unfinished / "splits" / name).write_text("".join(f"{line}\n" for line in lines))


def key(clip: str) -> str:
    """Return the key of a clip, which does not depend on its folder and capital letters."""
    return pathlib.PurePosixPath(clip).name.lower()


def clips_in(lines: Iterable[str]) -> list[str]:
    """Return `Punch/v_Punch_g01_c01.avi` of each line; in training lists the class number follows."""
    return [line.split()[0] for line in lines]


def read_lists(found: dict[str, pathlib.Path], settings: Config, where: str) -> dict[str, list[str]]:
    """Return the lines of the official lists by name, for the chosen classes.

    Raises:
        UserError: a list is missing, or a class does not exist.
    """
    absent = [name for name in (CLASS_LIST, *LISTS) if name.lower() not in found]
    if absent:
        raise errors.UserError(f"{where}: there is no {absent[0]}; {advice(settings)}")
    classes = [line.split()[1] for line in found[CLASS_LIST.lower()].read_text().splitlines() if line.strip()]
    for name in settings.classes:
        if name not in classes:
            hint = flags.suggestion(name, classes) or f"; the classes are {', '.join(classes)}"
            raise errors.UserError(f"--classes: there is no class {name}{hint}")
    wanted = set(settings.classes or classes)
    lines = {name: found[name.lower()].read_text().splitlines() for name in LISTS}
    return {name: [line for line in lines[name] if line.partition("/")[0] in wanted] for name in LISTS}


def check(
    lists: dict[str, list[str]], found: set[str], settings: Config, expected: dict, where: str | pathlib.Path
) -> None:
    """Compare the lists with each other and with the clips that were found, and the numbers with the expected ones.

    Raises:
        UserError: they differ; the message says what was found and what was expected.
    """
    by_split = {split: clips_in(lists[f"trainlist{split}.txt"] + lists[f"testlist{split}.txt"]) for split in SPLITS}
    listed = set(by_split[SPLITS[0]])
    for split, clips in by_split.items():
        if sorted(clips) != sorted(listed):
            raise errors.UserError(f"{where}: the lists of split {split} do not name every clip exactly once")
    for strays, problem in ((listed - found, "there is no clip"), (found - listed, "no list names the clip")):
        if strays:
            more = f" and {len(strays) - 1:,} more" if len(strays) > 1 else ""
            raise errors.UserError(
                f"{where}: {problem} {min(strays)}{more}; found {len(found):,} clips, expected {len(listed):,}"
            )
    check_counts(listed, settings, expected, where)


def check_counts(clips: set[str], settings: Config, expected: dict, where: str | pathlib.Path) -> None:
    """Compare the numbers of clips, classes and groups with the expected ones.

    Raises:
        UserError: they differ; the message says what was found and what was expected.
    """
    groups = {}
    for clip in clips:
        groups.setdefault(clip.partition("/")[0], set()).add(clip.split("_")[-2])
    if settings.classes and set(groups) != set(settings.classes):
        raise errors.UserError(
            f"{where} already has clips of other classes ({len(groups)}); remove clips and splits there and start again"
        )
    counts = {} if settings.classes else {"clips": (len(clips), expected["clips"])}
    counts["classes"] = (len(groups), len(set(settings.classes)) or expected["classes"])
    for name in sorted(groups):
        counts[f"groups of {name}"] = (len(groups[name]), expected["groups"])
    wrong = [f"{name} {number:,}, expected {right:,}" for name, (number, right) in counts.items() if number != right]
    if wrong:
        raise errors.UserError(f"{where}: found {wrong[0]}")


# Archives.


def collect(archives: Iterable[pathlib.Path], folder: pathlib.Path, total: int) -> dict[str, pathlib.Path]:
    """Unpack the archives into `folder`, and return the paths of clips and lists by name in lower case.

    Raises:
        UserError: a file does not exist, there is no tool to unpack, or an archive is damaged.
    """
    found = {}
    for archive in archives:
        for root in unpacked(archive.expanduser().resolve(), folder, total):
            for path in sorted(root.rglob("*")):
                if path.suffix.lower() in (".avi", ".txt"):
                    found.setdefault(path.name.lower(), path)
    return found


def unpacked(path: pathlib.Path, folder: pathlib.Path, total: int) -> Iterator[pathlib.Path]:
    """Yield the folders with the files: `path` if it is a folder, and those of archives unpacked into `folder`.

    Raises:
        UserError: a file does not exist, there is no tool to unpack, or an archive is damaged.
    """
    if not path.exists():
        raise errors.UserError(f"--archive {path}: no such file or folder")
    if path.is_dir():
        yield path
    archives = sorted(path.iterdir()) if path.is_dir() else [path]
    for archive in archives:
        if archive == path or ARCHIVE_IN_FOLDER.fullmatch(archive.name):
            unpack(archive, folder / archive.name, total)
            yield folder / archive.name


def unpack(archive: pathlib.Path, folder: pathlib.Path, total: int) -> None:
    """Unpack a zip file with Python, any other archive with the first tool that can.

    Args:
        archive: the file.
        folder: the folder to create and write into.
        total: number of clips of the progress bar.

    Raises:
        UserError: the archive is damaged, no tool is installed, or none can unpack it.
    """
    folder.mkdir(parents=True)
    if zipfile.is_zipfile(archive):
        unzip(archive, folder)
    else:
        unpack_by_tool(archive, folder, total)


def unzip(archive: pathlib.Path, folder: pathlib.Path) -> None:
    """Unpack a zip file.

    Raises:
        UserError: the file is damaged.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in tqdm.tqdm(opened.infolist(), f"unpacking {archive.name}", unit="file", disable=None):
                opened.extract(member, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise errors.UserError(f"{archive} is damaged or incomplete ({error}); download it again") from error


def unpack_by_tool(archive: pathlib.Path, folder: pathlib.Path, total: int) -> None:
    """Unpack an archive with the installed tools, one after the other until one succeeds.

    An installed tool may still fail: Debian's 7z needs the package 7zip-rar for rar files.

    Raises:
        UserError: no tool is installed, or none can unpack it.
    """
    installed = [tool for tool in TOOLS if shutil.which(tool)]
    if not installed:
        raise errors.UserError(f"no installed tool can unpack {archive.name}; install {PACKAGES}, and start again")
    complaints = []
    for tool in installed:
        command = [tool, *(part.format(archive=archive, folder=folder) for part in TOOLS[tool])]
        complaint = run(command, folder, total, f"unpacking with {tool}")
        if complaint is None:
            return
        complaints.append(f"{tool}: {complaint}")
    raise errors.UserError(
        f"cannot unpack {archive} ({'; '.join(complaints)}); install {PACKAGES} if the file is complete, "
        "otherwise download it again"
    )


def run(command: list[str], folder: pathlib.Path, total: int, description: str) -> str | None:
    """Run a command, show the number of clips in `folder`, and return its error message or None."""
    with (
        tempfile.TemporaryFile() as complaints,
        tqdm.tqdm(desc=description, total=total, unit="clip") as progress,
        # No input: a tool that asks for a password gets an end of file and stops.
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=complaints) as process,
    ):
        try:
            while not has_ended(process):
                progress.update(sum(1 for _ in folder.rglob("*.avi")) - progress.n)
        except BaseException:
            process.kill()
            raise
        if process.returncode == 0:
            return None
        complaints.seek(0)
        text = complaints.read().decode(errors="replace")
        return " ".join(text.split())[:200] or f"exit code {process.returncode}"


def has_ended(process: subprocess.Popen) -> bool:
    """Return whether a process has ended, after waiting at most a second."""
    try:
        process.wait(timeout=1)
    except subprocess.TimeoutExpired:
        return False
    return True


# The download.


def download_archives(settings: Config, folder: pathlib.Path, server: str) -> list[pathlib.Path]:
    """Download the archives that are not yet in `folder`, and return the paths of all.

    Raises:
        UserError: there is no internet connection, or the download was interrupted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ARCHIVES:
        if not (folder / name).is_file():
            download.fetch(f"{server}/{name}", folder / name, advice(settings))
    return [folder / name for name in ARCHIVES]


def advice(settings: Config) -> str:
    """Return how to continue without this script's download."""
    flag = f"--classes {' '.join(settings.classes)} " if settings.classes else ""
    return (
        f"download {' and '.join(ARCHIVES)} from {PAGE} with a browser into one folder, "
        f"then run: python data/ucf101/prepare.py {flag}--archive FOLDER"
    )


if __name__ == "__main__":
    with flags.reported_errors():
        print(prepare(flags.parse(Config, sys.argv[1:], __doc__)))
