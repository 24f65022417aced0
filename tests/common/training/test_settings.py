import pytest

from common import errors
from common.media import augmentation
from common.training import fine_tuning, settings
from recipes import feature_extraction

pytestmark = pytest.mark.quick


def test_too_much_augmentation_is_refused():
    for name, message in (
        ("zoom", "--zoom must be from 0 to below 1: 0.1 is 10 %"),
        ("contrast", "--contrast must be from 0 to 1: 0.1 is 10 %"),
        ("rotation", "--rotation must be from 0 to 180: in degrees"),
    ):  # fmt: skip
        with pytest.raises(errors.UserError, match=f"^{message}$"):
            settings.PhotoConfig(**{name: 270.0})


def test_the_augmentation_is_that_of_the_flags():
    limits = {"rotation": 10.0, "zoom": 0.1, "contrast": 0.2, "brightness": 0.3, "saturation": 0.4, "hue": 0.05,
              "erasing": 0.5, "randaugment": 9.0}  # fmt: skip
    assert settings.PhotoConfig(flip=True, **limits).augmentation == augmentation.Augmentation(flip=True, **limits)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cutmix": 1.0}, "--cutmix puts parts of photos into photos, and the training gets cached .*; add --no-cache"),
        ({"cutmix": 1.0, "mixup": 0.2, "no_cache": True}, "--cutmix cannot be used together with --mixup; remove one"),
        ({"label_smoothing": 1.0}, "--label-smoothing must be from 0 to below 1"),
        ({"randaugment": 11.0}, "--randaugment must be from 0 to 10"),
    ],
)
def test_mixtures_that_cannot_be_are_refused(given, message):
    with pytest.raises(errors.UserError, match=f"^{message}$"):
        settings.HeadConfig(**given)


def test_cutmix_takes_photos_without_the_cache_and_live_views():
    assert settings.HeadConfig(cutmix=1.0, no_cache=True).mixed
    assert settings.HeadConfig(cutmix=1.0, flip=True, views=0).mixed
    with pytest.raises(errors.UserError, match="add --no-cache"):  # nothing is augmented, so photos are cached
        settings.HeadConfig(cutmix=1.0, views=0)
    assert settings.HeadConfig(mixup=0.2).mixed and not settings.HeadConfig().mixed


def test_a_mixture_has_no_class_weight():
    with pytest.raises(errors.UserError, match="^--class-weights gives a mixture the weight of its larger part only"):
        feature_extraction.Config(mixup=0.2, class_weights=True)


def test_a_fine_tuning_rate_near_that_of_the_head_is_refused():
    fine_tuning.FineTuningConfig(learning_rate=1e-3, fine_tuning_rate=1e-4)
    with pytest.raises(errors.UserError, match="^--fine-tuning-rate must be at most a tenth of --learning-rate$"):
        fine_tuning.FineTuningConfig(learning_rate=1e-3, fine_tuning_rate=2e-4)
    with pytest.raises(errors.UserError, match="^--warmup-epochs must be below --fine-tuning-epochs"):
        fine_tuning.FineTuningConfig(fine_tuning_epochs=2, warmup_epochs=2)


@pytest.mark.parametrize("given", [{"no_cache": True}, {"flip": True, "views": 0}])
def test_an_engine_and_its_precision_are_for_cached_features(monkeypatch, given):
    monkeypatch.setattr(settings.engines, "is_installed", lambda: True)
    with pytest.raises(errors.UserError, match="^--engine onnxruntime is for cached features; remove it"):
        settings.PhotoConfig(engine="onnxruntime", **given)
    with pytest.raises(errors.UserError, match="^--prefix-precision bfloat16 is for cached features"):
        settings.PhotoConfig(prefix_precision="bfloat16", **given)
    settings.PhotoConfig(engine="onnxruntime", views=0)  # nothing is augmented, so photos are cached
