import keras
import pytest
import tiny_network

from common import errors
from common.models import backbones, memory
from common.training import recorder, settings


def test_a_batch_takes_the_input_and_the_output_of_the_largest_layer():
    inputs = keras.Input((10, 10, 3))
    x = keras.layers.Conv2D(8, 3, padding="same")(inputs)  # 300 in, 800 out
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))  # 800 in, 8 out
    assert memory.of_a_batch(model, 1) == 4 * 1100
    assert memory.of_a_batch(model, 32, frames=16) == 32 * 16 * 4 * 1100


def test_free_memory_is_known_here():
    assert 10**8 < memory.available() < 10**14


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"image_size": 20_000, "backbone": "MobileNetV2", "weights": "none"},
         "choose a smaller --image-size than 20000"),
        ({"image_size": 3_000, "backbone": "demo", "weights": "none", "head": "flatten", "hidden_units": 10**6},
         "choose a smaller --image-size than 3000, or --head gap"),
    ],
)  # fmt: skip
def test_an_absurd_image_size_is_refused_with_the_numbers(changes, told, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 14 * 10**9)
    with pytest.raises(errors.UserError, match=rf"^about .*GB of memory are needed, but only 14\sGB are free; {told}$"):
        backbones.choose(settings.HeadConfig(**changes), default="demo")


def test_an_absurd_batch_or_number_of_frames_is_refused(tmp_path, monkeypatch):
    """A batch is never larger than the data."""
    monkeypatch.setattr(memory, "available", lambda: 10**9)
    backbone = tiny_network.demo()

    class Some:
        train, validation, test = range(5_000_000), range(9), range(9)

    record = recorder.Recorder("toy", settings.PhotoConfig(out=tmp_path, cache=tmp_path, batch_size=100_000))
    with pytest.raises(errors.UserError, match="choose a smaller --batch-size than 100000, a smaller --image-size"):
        record.begin(backbone, backbone.model, Some, stages=[])
    Some.train = range(50)
    record.begin(backbone, backbone.model, Some, stages=[])
    for name, value in (("views", 10**9), ("batch_size", 10**8)):
        with pytest.raises(errors.UserError, match=f"--{name.replace('_', '-')} must be"):
            settings.PhotoConfig(**{name: value})
