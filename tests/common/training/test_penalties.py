import keras
import numpy as np
import pytest
import tiny_network

from common.models import freezing
from common.training import penalties

pytestmark = pytest.mark.quick


def test_l2_sp_is_the_squared_distance_and_does_not_go_into_the_saved_model(tmp_path):
    base = tiny_network.base()
    freezing.unfreeze(base, 0)
    penalties.hold_near(base, 0.5)
    assert float(sum(base.losses)) == 0.0
    kernel = base.get_layer("conv").kernel
    kernel.assign_add(np.full(kernel.shape, 0.1, "float32"))
    assert float(sum(base.losses)) == pytest.approx(0.5 * 0.1**2 * np.prod(kernel.shape), rel=1e-4)
    base.save(tmp_path / "base.keras")
    assert keras.saving.load_model(tmp_path / "base.keras").losses == []
