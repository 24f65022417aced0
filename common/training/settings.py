"""Settings that recipes share, as base classes of their `Config`: for photos and clips, and for a new head."""

import dataclasses
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt, doc

from common import flags
from common.features import engines
from common.media import augmentation as augmentations
from common.models import backbones

# Settings of the machine that a run was on, which another one may not have: not for what goes on from a finished run.
OF_THE_MACHINE = ("engine", "prefix_precision")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhotoConfig(flags.RunConfig):
    """Flags of every recipe on photos or clips."""

    FORMS_OF_DATA = "a folder of class folders, a CSV, tfds:NAME or demo"

    data: str = "demo"  # demo, a folder of class folders, a CSV with path,label[,group][,split], or tfds:NAME
    # demo; a name in keras.applications (MobileNetV2:0.35 sets alpha too); hub:PRESET of KerasHub; FILE.keras or a run.
    # Default: MobileNetV2 (demo on demo data).
    backbone: str | None = None
    # imagenet, demo, none or a file; default: demo on demo data, the own ones of a preset, file or run, else imagenet.
    weights: str | None = None
    # How photos become the input of --backbone FILE.keras, as in keras.applications.imagenet_utils; none: RGB 0 to 255.
    preprocess: Literal["torch", "tf", "caffe", "none"] | None = None
    last_layer: str | None = None  # cut off the backbone after this layer; default: after its last feature map
    image_size: Annotated[int, Gt(0)] | None = None  # side length in pixels; default: the backbone's training size
    learning_rate: Annotated[float, Gt(0)] = 1e-3  # Adam's default; suits a new head on a frozen base
    aspect: Literal["squash", "crop", "pad"] = "squash"  # how photos become square; crop if their borders do not matter
    split_seed: Annotated[int, Ge(0), Le(2**31 - 1)] | None = None  # seed of the split; default: the same as --seed
    validation_fraction: Annotated[float, Gt(0), Lt(1)] | None = None  # of all photos; default: 0.15 (0.2 on demo data)
    # Of all photos; default: 0.15 (0.6 on demo data, which leaves 20 training photos per class).
    test_fraction: Annotated[float, Gt(0), Lt(1)] | None = None
    # Regular expression for the group in a photo's file name, such as '^(patient\d+)_'; a group stays on one side.
    group_pattern: str | None = None
    find_near_duplicates: bool = False  # list photos of one scene, by a small network's features, in duplicates.csv
    keep_near_duplicates_together: bool = False  # also keep them on one side of the split
    flip: bool = False  # mirror training photos left to right; not if left and right differ in meaning
    # Rotate training photos by up to this many degrees; 10 is small.
    rotation: Annotated[float, Ge(0), Le(180), doc("in degrees")] = 0.0
    # Zoom training photos in or out by up to this fraction; 0.1 is small.
    zoom: Annotated[float, Ge(0), Lt(1), doc("0.1 is 10 %")] = 0.0
    # Raise or lower their contrast by up to this fraction; 0.1 is small.
    contrast: Annotated[float, Ge(0), Le(1), doc("0.1 is 10 %")] = 0.0
    # Raise or lower their brightness by up to this fraction; 0.2 is small.
    brightness: Annotated[float, Ge(0), Le(1), doc("0.1 is 10 %")] = 0.0
    # Make their colours stronger or weaker by up to this fraction; 0.2 is small.
    saturation: Annotated[float, Ge(0), Le(1), doc("0.1 is 10 %")] = 0.0
    # Move their colours by up to this part of the colour circle; 0.05 is small. Not if colours tell the classes.
    hue: Annotated[float, Ge(0), Le(0.5), doc("0.5 is the opposite colour")] = 0.0
    # How often a random rectangle of a training photo is covered (random erasing); 0.25 to 0.5 is usual.
    erasing: Annotated[float, Ge(0), Le(1), doc("0.5 is every other photo")] = 0.0
    # Strength of two changes drawn from a list of colours, shapes and places (RandAugment); 5 to 10 is usual, 0 is off.
    randaugment: Annotated[float, Ge(0), Le(10)] = 0.0
    # Augmented views to cache per photo; 0 draws new ones each epoch, uncached, slow.
    views: Annotated[int, Ge(0), Le(1000)] = 8
    # What computes the frozen layers. onnxruntime is faster on a CPU, within 1e-5 of the largest feature (extra fast).
    # auto takes it from 2,000 photos on, since the network must be exported first, if it agrees with Keras.
    engine: Literal["auto", "keras", "onnxruntime"] = "auto"
    # bfloat16 computes the frozen layers with 8 bits, on CPUs with AMX or AVX512_BF16 and on GPUs: faster for VGG16 and
    # InceptionV3, but features lose digits. The model that a run saves computes in float32.
    prefix_precision: Literal["float32", "bfloat16"] = "float32"
    no_baselines: bool = False  # do not fit logistic regression and the nearest centroid on the same features
    skip_bad: bool = False  # leave out unusable photos instead of stopping; skipped.csv lists them

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.engine == "onnxruntime":
            self.check_engine()
        flags.check(
            self.prefix_precision == "float32" or self.caches and not self.deterministic, "prefix_precision",
            "bfloat16 is for cached features, and not for --deterministic; remove one of them",
        )  # fmt: skip
        if self.backbone and not backbones.is_elsewhere(self.backbone):
            self.check_backbone()

    def check_engine(self) -> None:
        """Refuse ONNX Runtime where it cannot be used."""
        needed = "needs onnx, onnxruntime and tf2onnx: pip install 'keras-recipes[fast]'"
        flags.check(engines.is_installed(), "engine", f"onnxruntime {needed}")
        told = "onnxruntime is for cached features; remove it, --no-cache or --views 0"
        flags.check(self.caches, "engine", told)
        flags.check(not self.deterministic, "engine", "onnxruntime is not for --deterministic; remove one of them")
        exact = (self.precision, self.prefix_precision) == ("float32", "float32")
        flags.check(
            exact, "engine", "onnxruntime is for --precision and --prefix-precision float32; remove one of them"
        )

    def check_backbone(self) -> None:
        """Refuse a name that is not known."""
        backbones.check_name(self.backbone, self.preprocess)

    def check_files(self) -> None:
        """Refuse a preset, file or run that cannot be the backbone."""
        if self.backbone:
            self.check_backbone()

    @property
    def caches(self) -> bool:
        """Whether features of the frozen layers are cached."""
        return not self.no_cache and not (self.augmentation and self.views == 0)

    @property
    def augmentation(self) -> augmentations.Augmentation:
        """The limits within which training photos are changed at random."""
        colour = getattr(self, "colour", 0.0)  # a flag of some recipes only
        return augmentations.Augmentation(
            self.flip, self.rotation, self.zoom, self.contrast, colour, self.brightness, self.saturation, self.hue,
            self.erasing, self.randaugment,
        )  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadConfig(PhotoConfig):
    """Flags of a new head on a network for photos, trained with early stopping on validation photos."""

    head: Literal["gap", "flatten"] = "gap"  # flatten has far more weights, which is worse with few photos
    hidden_units: Annotated[int, Ge(0)] | None = None  # Dense units before the softmax; default: none, 256 with flatten
    dropout: Annotated[float, Ge(0), Lt(1)] | None = None  # before each Dense layer; default: 0.3, 0 with flatten
    l2: Annotated[float, Ge(0)] = 0.0  # penalty on the head's weights; 1e-4 to 1e-2 if the head overfits
    l1: Annotated[float, Ge(0)] = 0.0  # penalty that sets weights of the head to about 0; 1e-5 to 1e-3
    # Part of the target that goes to all classes alike, so that answers are less confident; 0.1 is usual.
    label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0
    # Mix pairs of training photos and their labels, in shares from Beta(this, this); 0.2 is usual, 0 is off. At the
    # frozen layers' cached features, which is free; with --no-cache or --views 0, the photos.
    mixup: Annotated[float, Ge(0)] = 0.0
    # Put a rectangle of one training photo into another, in shares from Beta(this, this); 1 is usual, 0 is off. Only
    # for photos, not for cached features: --no-cache.
    cutmix: Annotated[float, Ge(0)] = 0.0
    epochs: Annotated[int, Gt(0)] = 200  # of the head; an upper limit, since early stopping ends the training
    # Epochs without a lower validation loss before the head's training stops. With 0, it does not stop early, and the
    # last epoch counts, not the best.
    patience: Annotated[int, Ge(0)] = 10
    learning_rate: Annotated[float, Gt(0)] = 1e-3  # of the head; Adam's default
    find_learning_rate: bool = False  # try rising rates of the head, draw the loss, suggest one, and stop

    def __post_init__(self) -> None:
        super().__post_init__()
        flags.check(not (self.mixup and self.cutmix), "cutmix", "cannot be used together with --mixup; remove one")
        needed = "puts parts of photos into photos, and the training gets cached features; add --no-cache"
        flags.check(not (self.cutmix and self.gets_features), "cutmix", needed)
        weighted = self.mixed and getattr(self, "class_weights", False)
        flags.check(
            not weighted, "class_weights",
            "gives a mixture the weight of its larger part only, so remove it, or --mixup or --cutmix",
        )  # fmt: skip

    @property
    def mixed(self) -> bool:
        """Whether training photos are mixed with one another."""
        return bool(self.mixup or self.cutmix)

    @property
    def gets_features(self) -> bool:
        """Whether the training gets the cached features of photos instead of photos."""
        return self.caches

    @property
    def likely_epochs(self) -> int:
        """The epoch by which early stopping usually ends the training, for estimates of time."""
        return min(self.epochs, self.patience + 20) if self.patience else self.epochs

    @property
    def units(self) -> int:
        """Units of the Dense layer before the softmax; the default of `head` if none are given."""
        return {"flatten": 256, "gap": 0}[self.head] if self.hidden_units is None else self.hidden_units

    @property
    def dropout_rate(self) -> float:
        """Dropout rate before each Dense layer; the default of `head` if none is given."""
        return {"flatten": 0.0, "gap": 0.3}[self.head] if self.dropout is None else self.dropout
