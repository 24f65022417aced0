import keras
import numpy as np
import pytest
import tensorflow as tf

from common import devices, flags


@pytest.fixture(autouse=True)
def restored_policy():
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)


def test_the_seed_fixes_the_weights():
    def weights(seed):
        devices.set_up(flags.RunConfig(seed=seed))
        return keras.layers.Dense(3).build((1, 4)) or keras.random.normal((4,))

    assert np.array_equal(weights(1), weights(1))
    assert not np.array_equal(weights(1), weights(2))


@pytest.mark.parametrize(
    ("units", "told"), [((), "is not faster without a GPU"), (("processor",), "faster or slower on this CPU")]
)
def test_precision_is_set_and_said(capsys, monkeypatch, units, told):
    monkeypatch.setattr(devices, "BFLOAT16_UNITS", units)  # a CPU without and with units for bfloat16
    devices.set_up(flags.RunConfig(precision="mixed_bfloat16"))
    assert keras.layers.Dense(1).compute_dtype == "bfloat16"
    printed = capsys.readouterr().err
    assert "mixed_bfloat16" in printed
    if not tf.config.list_physical_devices("GPU"):
        assert "no GPU" in printed and told in printed


def test_one_replica_without_several_gpus():
    if len(tf.config.list_physical_devices("GPU")) < 2:
        assert devices.set_up(flags.RunConfig()).num_replicas_in_sync == 1
