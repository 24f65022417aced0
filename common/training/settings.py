"""The settings that recipes share, as bases of their `Config`: photos and clips, a new head."""

import dataclasses
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt, doc

from common import flags
from common.media import augmentation as augmentations


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhotoConfig(flags.RunConfig):
    """The flags of every recipe on photos or clips."""

    FORMS_OF_DATA = "a folder of class folders, a CSV, tfds:NAME or demo"

    data: str = "demo"  # demo, a folder of class folders, a CSV with path,label[,group][,split], or tfds:NAME
    backbone: str | None = None  # demo, or a name in keras.applications, with :alpha where it has one
    weights: str | None = None  # imagenet, demo, none or a file; default: demo for demo data, else imagenet
    image_size: Annotated[int, Gt(0)] | None = None  # pixels a side; default: what the backbone was trained at
    learning_rate: Annotated[float, Gt(0)] = 1e-3  # Adam's default, right for a new head on a frozen base
    aspect: Literal["squash", "crop", "pad"] = "squash"  # photos to squares; crop if borders do not matter
    # Which photos are test photos; default: the same as --seed.
    split_seed: Annotated[int, Ge(0), Le(2**31 - 1)] | None = None
    # Of all photos; default 0.15 (demo 0.2).
    validation_fraction: Annotated[float, Gt(0), Lt(1)] | None = None
    # Of all photos; default 0.15 (demo 0.6: 20 photos a class train).
    test_fraction: Annotated[float, Gt(0), Lt(1)] | None = None
    flip: bool = False  # mirror training photos left to right; not where the side carries meaning
    # Turn them by up to so many degrees; 10 is small.
    rotation: Annotated[float, Ge(0), Le(180), doc("in degrees")] = 0.0
    # Up to this fraction closer or further; 0.1 is small.
    zoom: Annotated[float, Ge(0), Lt(1), doc("0.1 is 10 %")] = 0.0
    # Up to this fraction more or less contrast; 0.1 is small.
    contrast: Annotated[float, Ge(0), Le(1), doc("0.1 is 10 %")] = 0.0
    # Augmented views cached of each training photo; 0 draws new ones each epoch, uncached, slow.
    views: Annotated[int, Ge(0)] = 8
    skip_bad: bool = False  # leave unusable photos out instead of stopping; they are listed in skipped.csv

    @property
    def augmentation(self) -> augmentations.Augmentation:
        """How far a training photo may be changed."""
        colour = getattr(self, "colour", 0.0)  # a flag of some recipes only
        return augmentations.Augmentation(self.flip, self.rotation, self.zoom, self.contrast, colour)


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadConfig(PhotoConfig):
    """The flags of a new head on a network for photos, trained until validation says stop."""

    backbone: str | None = None  # a name in keras.applications, MobileNetV2:0.35; default VGG16, on demo data demo
    head: Literal["flatten", "gap"] = "flatten"  # gap has far fewer weights: better with few photos
    # Dense units before the softmax; default 256 after flatten, none (0) after gap.
    hidden_units: Annotated[int, Ge(0)] | None = None
    # Before each Dense; default 0 after flatten, 0.3 after gap.
    dropout: Annotated[float, Ge(0), Lt(1)] | None = None
    # Penalty on the head's weights; 1e-4 to 1e-2 when training accuracy runs ahead of validation.
    l2: Annotated[float, Ge(0)] = 0.0
    epochs: Annotated[int, Gt(0)] = 200  # of the head, an upper limit: early stopping ends the training
    # Epochs of the head without a better validation loss before it stops.
    patience: Annotated[int, Gt(0)] = 10
    learning_rate: Annotated[float, Gt(0)] = 1e-3  # of the head: Adam's default

    @property
    def likely_epochs(self) -> int:
        """Where early stopping mostly ends, to plan with."""
        return min(self.epochs, self.patience + 20)

    @property
    def units(self) -> int:
        """Dense units before the softmax, those of the head where none are given."""
        return {"flatten": 256, "gap": 0}[self.head] if self.hidden_units is None else self.hidden_units

    @property
    def dropout_rate(self) -> float:
        """Dropout before each Dense, that of the head where none is given."""
        return {"flatten": 0.0, "gap": 0.3}[self.head] if self.dropout is None else self.dropout
