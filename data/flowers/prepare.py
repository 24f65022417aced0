"""Download tf_flowers through TensorFlow Datasets and write it as class folders.

    python data/flowers/prepare.py

Expected: 3,670 photos in `data/flowers/photos/<class>/`, about 230 MB, a few minutes.
"""

import collections
import pathlib
import shutil

from common import errors, flags
from common.data import sources, tfds
from common.media import photos as media_photos

FOLDER = pathlib.Path(__file__).parent
PHOTOS = {"dandelion": 898, "daisy": 633, "tulips": 799, "sunflowers": 699, "roses": 641}


def prepare(folder: pathlib.Path = FOLDER, expected: dict[str, int] = PHOTOS) -> pathlib.Path:
    """Put the photos into `folder/photos`, and check the number of photos of each class.

    Raises:
        UserError: there is no internet connection, or the counts are wrong.
    """
    photos = folder / "photos"
    if not photos.is_dir():
        exported = tfds.export("tf_flowers", folder / ".unfinished")
        exported.rename(photos)
        shutil.rmtree(folder / ".unfinished")
    counts = dict(collections.Counter(sample.label for sample in sources.read_folder(photos, media_photos.PHOTOS)))
    if counts != expected:
        raise errors.UserError(f"{photos}: found {counts}, expected {expected}; remove the folder and start again")
    return photos


if __name__ == "__main__":
    with flags.reported_errors():
        print(prepare())
