"""A state comes back from the disk as it was, and is refused by another network."""

import numpy as np
import pytest

from common import errors
from common.runs import state as states

pytestmark = pytest.mark.quick


def made():
    about = {"fingerprint": "abc", "classes": ["Käfer", "b"]}
    return states.State(about, {}).with_arrays(
        weight=[np.arange(6.0).reshape(2, 3), np.zeros(3, "float32")],
        labels=np.array(["Käfer", "b"]),
        held_1=np.ones(4),
    )


def test_a_state_comes_back_as_it_was(tmp_path):
    made().save(tmp_path)
    found = states.State.load(tmp_path)
    assert found.about == made().about and found.arrays.keys() == made().arrays.keys()
    for name, value in made().arrays.items():
        assert found.arrays[name].dtype == value.dtype and (found.arrays[name] == value).all()
    assert [each.shape for each in found.listed("weight")] == [(2, 3), (3,)] and found.listed("other") == []
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["state.npz"]
    assert states.State.load(tmp_path / "state") is None


def test_a_list_is_replaced_as_a_whole_and_the_old_state_stays():
    old = made()
    new = old.with_arrays({"seen": 1}, weight=[np.ones(2)])
    assert len(new.listed("weight")) == 1 and len(old.listed("weight")) == 2
    assert new.about["seen"] == 1 and "seen" not in old.about and "labels" in new.arrays
    assert old.size(("held",)) == old.size() - 4 * 8


def test_a_state_of_another_network_and_a_damaged_one_are_refused(tmp_path):
    made().check("abc", "--continue-from runs/x")
    with pytest.raises(errors.UserError, match="--continue-from runs/x.*other weights or another cut"):
        made().check("def", "--continue-from runs/x")
    made().save(tmp_path)
    path = tmp_path / states.NAME
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(errors.UserError, match="damaged"):
        states.State.load(tmp_path)
