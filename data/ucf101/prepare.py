"""Lays UCF101 out as class folders of clips and the official splits; downloads it or takes the files that you have.

    python data/ucf101/prepare.py
    python data/ucf101/prepare.py --archive ~/Downloads
    python data/ucf101/prepare.py --classes CricketShot PlayingCello Punch ShavingBeard TennisSwing

Expected: 13,320 clips in `data/ucf101/clips/<class>/` and the official lists in `data/ucf101/splits/`, 7 GB. The
download comes from https://www.crcv.ucf.edu/data/UCF101.php and goes on where it stopped. Its rar file is unpacked
by `unrar`, `unar`, `7z` or `bsdtar`, whichever is installed.
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
# Only these are unpacked in a folder, which may be the one where the browser puts everything.
ARCHIVE_IN_FOLDER = re.compile(r"UCF-?101.*\.(rar|zip)", re.IGNORECASE)

# How each tool unpacks an archive into a folder, asking nothing.
TOOLS = {
    "unrar": ("x", "-idq", "-o+", "-y", "{archive}", "{folder}/"),
    "unar": ("-quiet", "-force-overwrite", "-no-directory", "-output-directory", "{folder}", "{archive}"),
    "7z": ("x", "-y", "-bd", "-o{folder}", "{archive}"),
    "bsdtar": ("-x", "-f", "{archive}", "-C", "{folder}"),
}
# Not libarchive-tools, which has bsdtar: its version 3.6.2 cannot unpack solid archives of RAR 3.
PACKAGES = "unar, or unrar or 7zip-rar from non-free (Debian's names)"


@dataclasses.dataclass(frozen=True)
class Config:
    """What to lay out, and from what."""

    archive: tuple[pathlib.Path, ...] = ()  # files of UCF101, or folders with them; default: download them
    classes: tuple[str, ...] = ()  # only these, named as in classInd.txt; default: all 101


def prepare(
    settings: Config, folder: pathlib.Path = FOLDER, expected: dict = EXPECTED, server: str = SERVER
) -> pathlib.Path:
    """Makes `folder/clips` and `folder/splits`, or only checks them where they are.

    Args:
        settings: see `Config`.
        folder: gets `clips/` and `splits/`, and `.unfinished/` until they are complete.
        expected: how many clips, classes, and groups in each class there must be.
        server: where the two archives are.

    Returns:
        The path of `folder/clips`.

    Raises:
        UserError: no network, nothing to unpack with, a file is missing or damaged, or the counts are wrong.
    """
    clips, splits, unfinished = folder / "clips", folder / "splits", folder / ".unfinished"
    if not clips.is_dir():
        archives = settings.archive or download_archives(settings, unfinished / "downloads", server)
        lay_out(archives, settings, unfinished, expected)
        shutil.rmtree(splits, ignore_errors=True)
        (unfinished / "splits").rename(splits)
        (unfinished / "clips").rename(clips)  # the last: where there are clips, all is complete.
    shutil.rmtree(unfinished, ignore_errors=True)
    lists = {name: (splits / name).read_text().splitlines() for name in LISTS}
    found = {path.relative_to(clips).as_posix() for path in clips.glob("*/*")}
    check(lists, found, settings, expected, folder)
    for split in SPLITS:
        train, test = (len(lists[f"{side}list{split}.txt"]) for side in ("train", "test"))
        print(f"split {split}: train {train:,}, test {test:,}")
    return clips


def lay_out(archives: Iterable[pathlib.Path], settings: Config, unfinished: pathlib.Path, expected: dict) -> None:
    """Makes `unfinished/clips` and `unfinished/splits`; everything is checked before the first clip is moved.

    A clip gets the folder and the name that the official lists give it. Archives differ: some have no folders, and
    some write HandStandPushups where others write HandstandPushups.

    Raises:
        UserError: nothing to unpack with, a file is missing or damaged, or the counts are wrong.
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
            shutil.copyfile(source, target)  # from a folder of the user's, which stays as it is.
    (unfinished / "splits").mkdir()
    shutil.copyfile(found[CLASS_LIST.lower()], unfinished / "splits" / CLASS_LIST)
    for name, lines in lists.items():
        (unfinished / "splits" / name).write_text("".join(f"{line}\n" for line in lines))


def key(clip: str) -> str:
    """What a clip is found by, whatever its folder and capital letters are."""
    return pathlib.PurePosixPath(clip).name.lower()


def clips_in(lines: Iterable[str]) -> list[str]:
    """`Punch/v_Punch_g01_c01.avi` of each line; training lists have the number of the class behind it."""
    return [line.split()[0] for line in lines]


def read_lists(found: dict[str, pathlib.Path], settings: Config, where: str) -> dict[str, list[str]]:
    """The lines of the official lists by name, for the classes that are laid out.

    Raises:
        UserError: a list is missing, or there is no such class.
    """
    absent = [name for name in (CLASS_LIST, *LISTS) if name.lower() not in found]
    if absent:
        raise errors.UserError(f"{where}: there is no {absent[0]}; {advice(settings)}")
    classes = [line.split()[1] for line in found[CLASS_LIST.lower()].read_text().splitlines() if line.strip()]
    for name in settings.classes:
        if name not in classes:
            hint = flags.suggestion(name, classes) or f"; there are {', '.join(classes)}"
            raise errors.UserError(f"--classes: there is no class {name}{hint}")
    wanted = set(settings.classes or classes)
    lines = {name: found[name.lower()].read_text().splitlines() for name in LISTS}
    return {name: [line for line in lines[name] if line.partition("/")[0] in wanted] for name in LISTS}


def check(lists: dict[str, list[str]], found: set[str], settings: Config, expected: dict, where) -> None:
    """Compares the lists with each other and with the clips that were found, and the numbers with the expected ones.

    Raises:
        UserError: says what was found and what was expected.
    """
    by_split = {split: clips_in(lists[f"trainlist{split}.txt"] + lists[f"testlist{split}.txt"]) for split in SPLITS}
    listed = set(by_split[SPLITS[0]])
    for split, clips in by_split.items():
        if sorted(clips) != sorted(listed):
            raise errors.UserError(f"{where}: the lists of split {split} do not name every clip once")
    for strays, problem in ((listed - found, "there is no clip"), (found - listed, "no list names the clip")):
        if strays:
            more = f" and {len(strays) - 1:,} more" if len(strays) > 1 else ""
            raise errors.UserError(
                f"{where}: {problem} {min(strays)}{more}; found {len(found):,} clips, expected {len(listed):,}"
            )
    check_counts(listed, settings, expected, where)


def check_counts(clips: set[str], settings: Config, expected: dict, where) -> None:
    """Compares the numbers of clips, classes and groups with the expected ones.

    Raises:
        UserError: says what was found and what was expected.
    """
    groups = {}
    for clip in clips:
        groups.setdefault(clip.partition("/")[0], set()).add(clip.split("_")[-2])
    if settings.classes and set(groups) != set(settings.classes):
        raise errors.UserError(
            f"{where} has clips of other classes already ({len(groups)}); remove clips and splits there, start again"
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
    """Unpacks the archives below `folder` and finds the clips and lists: paths by name in small letters.

    Raises:
        UserError: no such file, nothing to unpack with, or an archive is damaged.
    """
    found = {}
    for archive in archives:
        for root in unpacked(archive.expanduser().resolve(), folder, total):
            for path in sorted(root.rglob("*")):
                if path.suffix.lower() in (".avi", ".txt"):
                    found.setdefault(path.name.lower(), path)
    return found


def unpacked(path: pathlib.Path, folder: pathlib.Path, total: int) -> Iterator[pathlib.Path]:
    """The folders in which the files lie: those of archives unpacked below `folder`, and `path` if it is one.

    Raises:
        UserError: no such file, nothing to unpack with, or an archive is damaged.
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
    """Unpacks a zip file by Python, any other archive by the first tool that can.

    Args:
        archive: the file.
        folder: where to; it is made.
        total: how many clips the progress bar counts to.

    Raises:
        UserError: the archive is damaged, no tool is installed, or none can unpack it.
    """
    folder.mkdir(parents=True)
    if zipfile.is_zipfile(archive):
        unzip(archive, folder)
    else:
        unpack_by_tool(archive, folder, total)


def unzip(archive: pathlib.Path, folder: pathlib.Path) -> None:
    """Unpacks a zip file.

    Raises:
        UserError: it is damaged.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in tqdm.tqdm(opened.infolist(), f"unpacking {archive.name}", unit="file", disable=None):
                opened.extract(member, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise errors.UserError(f"{archive} is damaged or not complete ({error}); download it again") from error


def unpack_by_tool(archive: pathlib.Path, folder: pathlib.Path, total: int) -> None:
    """Unpacks an archive by the installed tools, one after the other until one succeeds.

    One may be installed and still not able to: Debian's 7z needs the package 7zip-rar for rar files.

    Raises:
        UserError: no tool is installed, or none can unpack it.
    """
    installed = [tool for tool in TOOLS if shutil.which(tool)]
    if not installed:
        raise errors.UserError(f"nothing here can unpack {archive.name}: install {PACKAGES}, and start again")
    complaints = []
    for tool in installed:
        command = [tool, *(part.format(archive=archive, folder=folder) for part in TOOLS[tool])]
        complaint = run(command, folder, total, f"unpacking by {tool}")
        if complaint is None:
            return
        complaints.append(f"{tool}: {complaint}")
    raise errors.UserError(
        f"cannot unpack {archive} ({'; '.join(complaints)}); if it is complete, install {PACKAGES}, "
        "if not, download it again"
    )


def run(command: list[str], folder: pathlib.Path, total: int, description: str) -> str | None:
    """Runs a command and shows how many clips there are in `folder`; None, or what it complained about."""
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
    """Whether a process has ended; waits for it for a second."""
    try:
        process.wait(timeout=1)
    except subprocess.TimeoutExpired:
        return False
    return True


# The download.


def download_archives(settings: Config, folder: pathlib.Path, server: str) -> list[pathlib.Path]:
    """Downloads the archives that are not in `folder` yet and returns their paths.

    Raises:
        UserError: no network, or the download broke off.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ARCHIVES:
        if not (folder / name).is_file():
            download.fetch(f"{server}/{name}", folder / name, advice(settings))
    return [folder / name for name in ARCHIVES]


def advice(settings: Config) -> str:
    """How to go on without this script's download."""
    flag = f"--classes {' '.join(settings.classes)} " if settings.classes else ""
    return (
        f"download {' and '.join(ARCHIVES)} from {PAGE} with a browser into one folder, "
        f"then run: python data/ucf101/prepare.py {flag}--archive FOLDER"
    )


if __name__ == "__main__":
    with flags.reported_errors():
        print(prepare(flags.parse(Config, sys.argv[1:], __doc__)))
