"""Boxes in the formats of annotation tools: Pascal VOC, PASCAL 1.00, COCO and YOLO, before any check.

Formats: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html (VOC),
https://www.cis.upenn.edu/~jshi/ped_html/ (PASCAL Annotation Version 1.00), https://cocodataset.org/#format-data (COCO),
https://docs.ultralytics.com/datasets/detect/ (YOLO).
"""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
import re
import xml.etree.ElementTree
from collections.abc import Mapping
from typing import Any

from common import words

PASCAL = "PASCAL Annotation Version 1.00"
_COORDINATES = r"\((-?\d+), *(-?\d+)\) *- *\((-?\d+), *(-?\d+)\)"
_NAMES = re.compile(r"^[\"']?names[\"']?[ \t]*:", re.MULTILINE)
_POSES = re.compile(r"^[\"']?kpt_shape[\"']?[ \t]*:", re.MULTILINE)
MOST_BYTES = 2**31  # a larger file is no list of boxes


class FormatError(ValueError):
    """An annotation that cannot be read; the message says why, on one line."""


@dataclasses.dataclass(frozen=True)
class Box:
    """A box in pixels of the photo, by its edges: a box over the whole photo is 0, 0, width, height."""

    label: str
    left: float
    top: float
    right: float
    bottom: float

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom."""
        return self.left, self.top, self.right, self.bottom


@dataclasses.dataclass
class Annotation:
    """The boxes of one photo.

    Attributes:
        file: the file that they are from.
        photo: the photo's name in the file, perhaps with folders; "" if only the names of the files tell.
        size: width and height of the photo that was annotated, (0, 0) if the file does not say.
        boxes: in pixels; fractions of the photo if `in_fractions`; of pixels counted from 1 and with the last pixel
            inside if `counts_from_one`, as in VOC.
        crowds: the number of boxes around crowds that were left out.
    """

    file: pathlib.Path
    photo: str
    size: tuple[int, int]
    boxes: list[Box]
    in_fractions: bool = False
    counts_from_one: bool = False
    crowds: int = 0

    def in_pixels(self, size: tuple[int, int], from_one: bool) -> list[Box]:
        """Return the boxes by their edges in pixels of a photo of this size; `from_one` as of the whole data set."""
        width, height = size
        if self.in_fractions:
            scale, shift = (width, height, width, height), (0, 0, 0, 0)
        elif self.counts_from_one:  # the last pixel is inside
            scale, shift = (1, 1, 1, 1), ((-1, -1, 0, 0) if from_one else (0, 0, 1, 1))
        else:
            return self.boxes
        return [
            Box(box.label, *(s * value + d for s, value, d in zip(scale, box.edges, shift, strict=True)))
            for box in self.boxes
        ]  # fmt: skip


def _text(path: pathlib.Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise FormatError("too large for a list of boxes")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise FormatError(f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise FormatError("damaged: not text in UTF-8") from error
    if "\0" in text:
        raise FormatError("damaged: not text in UTF-8")
    return text


def _number(text: Any, what: str) -> float:
    try:
        value = float(text)
    except (TypeError, ValueError):
        raise FormatError(f"{what} is {_shown(text)}, not a number") from None
    if not math.isfinite(value):
        raise FormatError(f"{what} is {_shown(text)}, not a number")
    return value


def _shown(value: Any) -> str:
    return words.printable(repr(value))[:40]


# Pascal VOC ------------------------------------------------------------------------------------------------------


def voc(path: pathlib.Path) -> Annotation:
    """Read an XML file of Pascal VOC, as labelImg, CVAT and Roboflow write it.

    Raises:
        FormatError: it is no such file.
    """
    try:
        root = xml.etree.ElementTree.fromstring(_text(path))
    except xml.etree.ElementTree.ParseError as error:
        raise FormatError(f"damaged: not XML ({error})") from error
    if root.tag != "annotation":
        raise FormatError(f"not an annotation of Pascal VOC: its root is <{_shown(root.tag)[1:-1]}>")
    boxes = []
    for number, thing in enumerate(root.iter("object"), start=1):
        label, bounds = (thing.findtext("name") or "").strip(), thing.find("bndbox")
        if not label:
            raise FormatError(f"box {number} has no class (<name>)")
        if bounds is None:
            raise FormatError(f"box {number} ({_shown(label)}) has no <bndbox>")
        edges = [_number(bounds.findtext(side), f"{side} of box {number}") for side in ("xmin", "ymin", "xmax", "ymax")]
        boxes.append(Box(label, *edges))
    size = [int(_number(root.findtext(f"size/{side}") or 0, side)) for side in ("width", "height")]
    return Annotation(
        path, (root.findtext("filename") or "").strip(), (size[0], size[1]), boxes, counts_from_one=True
    )  # fmt: skip


# PASCAL 1.00 -----------------------------------------------------------------------------------------------------


def pascal(path: pathlib.Path) -> Annotation:
    """Read a text of PASCAL Annotation Version 1.00, such as those of Penn-Fudan.

    Raises:
        FormatError: it is no such file, or has fewer boxes than it says.
    """
    text = _text(path)
    if PASCAL not in text[:200]:
        raise FormatError(f"its first line is not '# Compatible with {PASCAL}'")
    photo = re.search(r'^Image filename *: *"([^"]*)"', text, re.MULTILINE)
    size = re.search(r"^Image size \(X x Y x C\) *: *(\d+) *x *(\d+)", text, re.MULTILINE)
    count = re.search(r"^Objects with ground truth *: *(\d+)", text, re.MULTILINE)
    if not photo or not count:
        raise FormatError("damaged: no line with the image's name, or none with the number of objects")
    boxes = []
    for line in re.findall(r"^Bounding box for object.*$", text, re.MULTILINE):
        found = re.search(rf'"([^"]+)".*: *{_COORDINATES}', line)
        if not found:
            raise FormatError(f"damaged: no box in the line {_shown(line)}")
        boxes.append(Box(found[1], *map(float, found.groups()[1:])))
    if len(boxes) != int(count[1]):
        raise FormatError(f"has {len(boxes)} boxes, but says {_shown(int(count[1]))}")
    shape = (int(size[1]), int(size[2])) if size else (0, 0)
    return Annotation(path, photo[1], shape, boxes, counts_from_one=True)


# YOLO ------------------------------------------------------------------------------------------------------------


def yolo(path: pathlib.Path, class_names: Mapping[int, str]) -> Annotation:
    """Read a text with `class x y width height` on each line, in fractions of the photo, or `class` and a polygon.

    Args:
        path: the file; an empty one has no boxes.
        class_names: the classes by number; empty if they are not known, the numbers are then the names.

    Raises:
        FormatError: a line is something else, or names a class that is not known.
    """
    boxes = []
    for line, text in enumerate(_text(path).splitlines(), start=1):
        if not text.strip():
            continue
        first, *rest = text.split()
        values = [_number(value, f"line {line}: a value") for value in rest]
        if not first.isdigit() or len(first) > 6:
            raise FormatError(f"line {line}: class {_shown(first)} is not a number")
        if class_names and int(first) not in class_names:
            known = f"{min(class_names)} to {max(class_names)}"
            raise FormatError(f"line {line}: unknown class {first}; the names are those of {known}")
        if len(values) == 4:
            x, y, width, height = values
            edges = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
        elif len(values) >= 6 and len(values) % 2 == 0:
            edges = [min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])]
        else:
            raise FormatError(f"line {line}: {len(values)} numbers after the class, not 4 or the points of a polygon")
        if max(values) > 1.5:
            raise FormatError(f"line {line}: {max(values):g} is not a fraction of the photo")
        boxes.append(Box(class_names[int(first)] if class_names else first, *edges))
    return Annotation(path, "", (0, 0), boxes, in_fractions=True)


def yolo_names(folder: pathlib.Path) -> dict[int, str]:
    """Return number → class from the files beside YOLO's: classes.txt, obj.names, or `names` in data.yaml; {} for none.

    Raises:
        FormatError: `names` is something else than a list or numbers with names, or the labels are those of poses.
    """
    described = [(path, _text(path)) for path in sorted([*folder.rglob("*.yaml"), *folder.rglob("*.yml")])]
    for path, text in described:
        if _POSES.search(text):
            raise FormatError(
                f"is one of poses: {words.printable(path.name)} has kpt_shape, and key points would be read as "
                "polygons; keep class, x, y, width and height of each line, and remove kpt_shape"
            )
    for name in ("classes.txt", "obj.names"):
        for path in sorted(folder.rglob(name)):
            lines = map(str.strip, _text(path).splitlines())
            return {number: line for number, line in enumerate(lines) if line}
    for path, text in described:
        if _NAMES.search(text):
            return _numbered_names(path, _yaml(path, text).get("names"))
    return {}


def _numbered_names(path: pathlib.Path, listed: Any) -> dict[int, str]:
    if isinstance(listed, dict) and all(isinstance(key, str) and re.fullmatch("[0-9]{1,6}", key) for key in listed):
        found = {int(key): name for key, name in listed.items()}
    elif isinstance(listed, list):
        found = dict(enumerate(listed))
    else:
        found = {}
    if not found or not all(isinstance(name, str) and name.strip() for name in found.values()):
        raise FormatError(
            f"is not understood: names in {words.printable(path.name)} is neither [cat, dog] nor numbers with names, "
            "such as 0: cat"
        )
    return {number: name.strip() for number, name in found.items()}


def _yaml(path: pathlib.Path, text: str) -> dict:
    """Return a mapping in YAML in which every value stays text, so that a class `no` is not False."""
    try:
        import yaml  # an optional package
    except ImportError:
        needed = "pip install 'keras-recipes[detection]'"
        raise FormatError(f"is YAML, and reading it needs an extra package: {needed}") from None
    try:
        content = yaml.load(text, Loader=yaml.BaseLoader)  # makes no other objects than safe_load
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        place = getattr(error, "problem_mark", None)
        where = f", line {place.line + 1}" if place else ""
        raise FormatError(f"is damaged: {words.printable(path.name)}{where} is not YAML") from error
    return content if isinstance(content, dict) else {}


# COCO ------------------------------------------------------------------------------------------------------------


def is_coco(content: Any) -> bool:
    """Return whether the content of a JSON file is a list of photos with boxes."""
    return isinstance(content, dict) and isinstance(content.get("images"), list)


def coco(path: pathlib.Path) -> tuple[list[Annotation], list[tuple[str, str]]]:
    """Read a JSON file of COCO: the annotations of all photos, and (photo or "", fault) of what cannot be read.

    A box is `bbox`, or that of the polygons or of the run-length encoded mask in `segmentation`.

    Raises:
        FormatError: it is no such file.
    """
    try:
        content = json.loads(_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise FormatError(f"damaged: not JSON ({str(error)[:80]})") from error
    if not is_coco(content):
        raise FormatError("not an annotation of COCO: it has no list 'images'")
    faults: list[tuple[str, str]] = []
    found: dict[Any, Annotation] = {}
    for image in content["images"]:
        try:
            name, size = str(image["file_name"]), (int(image.get("width") or 0), int(image.get("height") or 0))
            if image["id"] in found:
                raise FormatError(f"the id {_shown(image['id'])} belongs to two photos")
            found[image["id"]] = Annotation(path, name, size, [])
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            faults.append(("", f"an entry of 'images' is not readable: {_told(error)}"))
    try:
        labels = {each["id"]: str(each["name"]) for each in content.get("categories", [])}
        listed = list(content.get("annotations", []))
    except (KeyError, TypeError) as error:
        raise FormatError(f"damaged: 'categories' or 'annotations' are not readable ({_told(error)})") from error
    for each in listed:
        photo = ""
        try:
            if each["image_id"] not in found:
                raise FormatError(f"no photo has the id {_shown(each['image_id'])}")
            annotation = found[each["image_id"]]
            photo = annotation.photo
            if each["category_id"] not in labels:
                raise FormatError(f"unknown class: no category has the id {_shown(each['category_id'])}")
            if each.get("iscrowd"):
                annotation.crowds += 1
            else:
                annotation.boxes.append(Box(labels[each["category_id"]], *_coco_edges(each, annotation.size)))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            number = _shown(each.get("id")) if isinstance(each, dict) else "?"
            faults.append((photo, f"annotation {number}: {_told(error)}"))
    return list(found.values()), faults


def _told(error: Exception) -> str:
    if isinstance(error, FormatError):
        return str(error)
    return f"{type(error).__name__}: {words.printable(str(error))[:80]}"


def _coco_edges(each: dict, size: tuple[int, int]) -> list[float]:
    if each.get("bbox") is not None:
        if len(each["bbox"]) != 4:
            raise FormatError(f"bbox has {len(each['bbox'])} numbers, not 4")
        left, top, width, height = (_number(value, "a number of bbox") for value in each["bbox"])
        return [left, top, left + width, top + height]
    shape = each.get("segmentation")
    if isinstance(shape, list) and shape:
        values = [[_number(value, "a number of segmentation") for value in polygon] for polygon in shape]
        if any(len(polygon) < 6 or len(polygon) % 2 for polygon in values):
            raise FormatError("a polygon of segmentation has fewer than three points, or half a point")
        across, down = ([value for polygon in values for value in polygon[start::2]] for start in (0, 1))
        return [min(across), min(down), max(across), max(down)]
    if isinstance(shape, dict):
        return _edges_of_runs(shape)
    raise FormatError("no bbox and no segmentation")


def _edges_of_runs(shape: dict) -> list[float]:
    """Return the edges of a run-length encoded mask, as numbers or compressed."""
    from pycocotools import mask  # an optional package

    try:
        height, width = (int(side) for side in shape["size"])
        runs = shape["counts"]
        encoded = mask.frPyObjects(shape, height, width) if isinstance(runs, list) else shape
        left, top, across, down = mask.toBbox(encoded).tolist()
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise FormatError(f"the run-length encoding is not readable ({type(error).__name__})") from error
    return [left, top, left + across, top + down]
