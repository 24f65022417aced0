"""Walking through the folders of a data set: what is entered, what is read, and what is left alone.

Every medium and command finds its files here. Hidden folders and files are skipped at every level, and so are those
that systems and tools leave behind. Links to folders are followed, unless the folder is read anyway.
"""

import collections
import dataclasses
import os
import pathlib
import re
import sys
from collections.abc import Collection, Iterable, Iterator

from common import errors, outputs, words

# What systems, synchronisation and tools leave behind without hiding it, in lower case.
LITTER_FOLDERS = frozenset({
    "__macosx", "__pycache__", "@eadir", "@recycle", "@recently-snapshot", "@sharebin", "@tmp", "~snapshot", "#recycle",
    "#snapshot", "$recycle.bin", "recycler", "recycle bin", "papierkorb", "network trash folder", "temporary items",
    "lost+found", "system volume information", "wpsystem", "_gsdata_", "venv", "node_modules", "wandb", "mlruns",
    "lightning_logs",
})  # fmt: skip
LITTER_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "folder.jpg"})
# found.000 is chkdsk's, lrdata Lightroom's, photoslibrary that of Apple's Photos, AlbumArt Windows', ~$ Office's.
_LITTER = re.compile(r"found\.\d{3}|.+\.lrdata|.+\.photoslibrary|albumart.*\.jpe?g|~\$.*", re.DOTALL)
# These may be classes, but often hold copies of photos, photos that were thrown away, or what belongs to photos.
AMBIGUOUS = frozenset({
    "thumbnails", "thumbs", "originals", "trash", "_deleted", "annotations", "labels", "results",
})  # fmt: skip

# The endings that people take for photos, clips and documents. Whether they can be read, the medium decides.
PICTURES = frozenset(
    ".3fr .ai .apng .arw .avif .bmp .bpg .cr2 .cr3 .crw .czi .dcm .dds .dib .dicom .dng .emf .eps .exr .fits .gif .hdr "
    ".heic .heif .ico .ima .j2k .jfif .jif .jng .jp2 .jpc .jpe .jpeg .jpf .jpg .jpx .jxl .jxr .kdc .lif .mha .mpo .mrw "
    ".nd2 .ndpi .nef .nii .nrrd .nrw .orf .pbm .pcx .pef .pgm .png .pnm .ppm .psb .psd .qoi .raf .raw .rw2 .rwl .sgi "
    ".sr2 .srf .srw .svg .svs .tga .tif .tiff .wdp .webp .wmf .x3f .xbm .xcf .xpm".split()
)
FILMS = frozenset(
    ".264 .265 .3g2 .3gp .amv .asf .avi .braw .bik .dav .divx .dv .f4v .flv .gif .h264 .h265 .hevc .insv .ivf .lrv "
    ".m1v .m2t .m2ts .m2v .m4v .mjpeg .mjpg .mkv .mov .mp4 .mpe .mpeg .mpg .mpv .mts .mxf .nut .ogm .ogv .qt .r3d .rm "
    ".rmvb .swf .tod .trp .ts .vob .webm .wmv .wtv .xvid .y4m .yuv".split()
)
DOCUMENTS = frozenset(
    ".doc .docm .docx .epub .htm .html .mht .mhtml .mobi .odt .pages .pdf .ps .rtf .wpd .wps .xhtml .xps".split()
)

NO_ENDING = "without an ending"
MOST_LEFT = 0.1  # of a class: if more is left alone, the class may be another one than the user believes
NAMED = 3  # folders, files and endings in one line
LINES = 5  # lines on single classes


def is_left_alone(name: str) -> bool:
    """Return whether a folder or a file is hidden, or left behind by a system or a tool."""
    lower = name.lower()
    return name.startswith(".") or lower in LITTER_FOLDERS or lower in LITTER_FILES or bool(_LITTER.fullmatch(lower))


def ending(path: pathlib.PurePath) -> str:
    """Return the extension in lower case; many DICOM files have none, or end in the last number of an identifier."""
    found = path.suffix.lower()
    return NO_ENDING if re.fullmatch(r"(\.\d*)?", found) else found


@dataclasses.dataclass
class Walk:
    """A walk through the folders of one data set, which notes what it leaves alone.

    Attributes:
        root: the folder of the data set. Links to folders in it, and to folders around it, are not followed.
        outside: where files without a class are, in words.
        hidden_folders, hidden_files: those that are hidden or litter.
        links: links to folders that are read anyway.
        outputs: run directories and caches.
        flow: folders of optical flow beside those of the pictures.
        ambiguous: folders that are read, although folders of such a name often hold no items of a class.
        others: class → ending → number of files that are not read; "" stands for no class.
        counted: class → (files that are read, files that people take for items but that are not read).
    """

    root: pathlib.Path
    outside: str = ""
    hidden_folders: set[pathlib.Path] = dataclasses.field(default_factory=set)
    hidden_files: set[pathlib.Path] = dataclasses.field(default_factory=set)
    links: set[pathlib.Path] = dataclasses.field(default_factory=set)
    outputs: set[pathlib.Path] = dataclasses.field(default_factory=set)
    flow: set[pathlib.Path] = dataclasses.field(default_factory=set)
    ambiguous: set[pathlib.Path] = dataclasses.field(default_factory=set)
    others: dict[str, collections.Counter[str]] = dataclasses.field(default_factory=dict)
    counted: dict[str, collections.Counter[str]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        self.real_root = pathlib.Path(os.path.realpath(self.root))

    def listed(self, folder: pathlib.Path) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
        """Return the folders to enter and the files in a folder, each in order.

        Raises:
            UserError: the folder cannot be listed.
        """
        inside: list[pathlib.Path] = []
        found: list[pathlib.Path] = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    path, is_folder = pathlib.Path(entry.path), _is_folder(entry)
                    if is_left_alone(entry.name):
                        (self.hidden_folders if is_folder else self.hidden_files).add(path)
                    elif is_folder and outputs.is_ours(path):
                        self.outputs.add(path)
                    elif is_folder and entry.is_symlink() and self._is_read_anyway(path):
                        self.links.add(path)
                    else:
                        (inside if is_folder else found).append(path)
                        if is_folder and entry.name.lower() in AMBIGUOUS:
                            self.ambiguous.add(path)
        except OSError as error:
            reason = error.strerror or error
            raise errors.UserError(
                f"{folder}: cannot be listed: {reason}; change its permissions or move it"
            ) from error
        return sorted(inside), sorted(found)

    def _is_read_anyway(self, link: pathlib.Path) -> bool:
        """Return whether a link leads to a folder of the data set, or to one that contains the data set."""
        target = pathlib.Path(os.path.realpath(link))
        if self.real_root.is_relative_to(target):
            return True
        return target.is_relative_to(self.real_root) and not any(
            map(is_left_alone, target.relative_to(self.real_root).parts)
        )

    def below(self, folder: pathlib.Path) -> Iterator[tuple[pathlib.Path, list[pathlib.Path]]]:
        """Yield each folder from this one down with the files in it; none is entered twice."""
        entered: set[str] = set()
        waiting = [folder]
        while waiting:
            place = waiting.pop()
            real = os.path.realpath(place)
            if real in entered:
                self.links.add(place)
                continue
            entered.add(real)
            inside, found = self.listed(place)
            waiting += reversed(inside)
            yield place, found

    def note(
        self, label: str, items: Collection[pathlib.Path], others: Iterable[pathlib.Path], kin: Collection[str] = ()
    ) -> None:
        """Note what of a class is read and what is left alone.

        A file beside an item of the same name is another form of it, such as a raw photo, or the film of a moving one.

        Args:
            label: the class.
            items: the items that are read.
            others: the files that are not.
            kin: the endings of files that people take for items.
        """
        forms = {path.with_suffix("") for path in items}
        endings = self.others.setdefault(label, collections.Counter())
        counted = self.counted.setdefault(label, collections.Counter())
        counted["read"] += len(items)
        for path in others:
            kind = ending(path)
            endings[kind] += 1
            is_numbered = kind == NO_ENDING and bool(kin) and any(map(str.isdigit, path.name))
            counted["left"] += (kind in kin or is_numbered) and path.with_suffix("") not in forms

    def tell(self) -> None:
        """Print to stderr what was left alone, and which folders are read although they may not be meant."""
        told = [
            _some(self.hidden_folders, "hidden or system folder"), _some(self.hidden_files, "hidden or system file"),
            _some(self.links, "link", " to folders that are read anyway", self.root),
            _some(self.outputs, "folder", " with the output of runs or a cache", self.root),
            _some(self.flow, "folder", " of optical flow beside the pictures", self.root),
        ]  # fmt: skip
        if any(told):
            print(f"data: left alone: {', '.join(filter(None, told))}", file=sys.stderr)
        if self.ambiguous:
            unsure = _some(self.ambiguous, "folder", " that may not be meant", self.root)
            print(f"data: read like all others: {unsure}; move away what is not part of the data", file=sys.stderr)
        found = {label: counts for label, counts in sorted(self.others.items()) if counts}
        for label, counts in list(found.items())[:LINES]:
            where = "" if label else self.outside
            print(f"data: {_named(label)}{endings_of(counts)}{where} left alone", file=sys.stderr)
        if more := list(found.values())[LINES:]:
            total = sum(more, collections.Counter())
            kind = "class" if len(more) == 1 else "classes"
            print(f"data: {len(more)} more {kind}: {endings_of(total)} left alone", file=sys.stderr)

    def check(self, unit: str, wanted: str, flag: str = "--skip-unsupported") -> None:
        """Refuse a data set if much of a class is in formats that are not read.

        Args:
            unit: the name of one item.
            wanted: the format to convert to.
            flag: the flag to go on without these files.

        Raises:
            UserError: more than a tenth of a class is not read.
        """
        much = []
        for label, counts in sorted(self.counted.items()):
            total = counts["left"] + counts["read"]
            if counts["left"] > MOST_LEFT * total:
                of = f"{_named(label)}{counts['left']} of {total} {unit}s"
                much.append(f"{of} ({endings_of(self.others[label])})")
        if much:
            more = f" and {len(much) - NAMED} more classes" if len(much) > NAMED else ""
            raise errors.UserError(
                f"{', '.join(much[:NAMED])}{more} are in formats that are not read; convert them to {wanted}, or go on "
                f"without them with {flag}"
            )


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _named(label: str) -> str:
    return f"class '{words.printable(label)}': " if label else ""


def _some(paths: Collection[pathlib.Path], what: str, more: str = "", root: pathlib.Path | None = None) -> str:
    """Return a count with a few names, or "" for nothing."""
    names = sorted({words.printable(str(path.relative_to(root)) if root else path.name) for path in paths})
    listed = ", ".join(names[:NAMED] + ["…"] * (len(names) > NAMED))
    return f"{words.plural(len(paths), what)}{more} ({listed})" if paths else ""


def endings_of(counts: collections.Counter[str]) -> str:
    """Return numbers of files by their endings, the most frequent first: `60 .cr2, 2 .txt`."""
    shown = [f"{count:,} {words.printable(kind)}" for kind, count in counts.most_common(NAMED)]
    rest = counts.total() - sum(count for _, count in counts.most_common(NAMED))
    return ", ".join(shown + ([f"{rest:,} others"] if rest else []))
