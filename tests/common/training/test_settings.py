import pytest

from common import errors
from common.media import augmentation
from common.training import fine_tuning, settings

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
    config = settings.PhotoConfig(flip=True, rotation=10.0, zoom=0.1, contrast=0.2)
    assert config.augmentation == augmentation.Augmentation(True, 10.0, 0.1, 0.2, 0.0)


def test_a_fine_tuning_rate_near_that_of_the_head_is_refused():
    fine_tuning.FineTuningConfig(learning_rate=1e-3, fine_tuning_rate=1e-4)
    with pytest.raises(errors.UserError, match="^--fine-tuning-rate must be at most a tenth of --learning-rate$"):
        fine_tuning.FineTuningConfig(learning_rate=1e-3, fine_tuning_rate=2e-4)
    with pytest.raises(errors.UserError, match="^--warmup-epochs must be below --fine-tuning-epochs"):
        fine_tuning.FineTuningConfig(fine_tuning_epochs=2, warmup_epochs=2)
