import sys
import types

import pytest

from common import errors
from common.runs import energy

pytestmark = pytest.mark.quick


@pytest.fixture
def codecarbon(monkeypatch):
    """A tracker with 2 Wh, or whatever fails; the real one is looked at in the tests of the recorder."""

    class Tracker:
        def __init__(self, **options):
            assert options["output_methods"] == [] and options["tracking_mode"] == "process"

        def start(self):
            pass

        def stop(self):
            self.final_emissions_data = types.SimpleNamespace(energy_consumed=0.002)

    module = types.SimpleNamespace(OfflineEmissionsTracker=Tracker)
    monkeypatch.setitem(sys.modules, "codecarbon", module)
    return module


def test_the_meter_stops_once(codecarbon):
    meter = energy.Meter()
    assert meter.kwh() == 0.002
    assert meter.kwh() is None


def test_a_meter_that_fails_says_so_in_one_line(codecarbon, monkeypatch, capsys):
    def broken(self):
        raise OSError("no meter")

    monkeypatch.setattr(codecarbon.OfflineEmissionsTracker, "stop", broken)
    assert energy.Meter().kwh() is None
    monkeypatch.setattr(codecarbon.OfflineEmissionsTracker, "start", broken)
    assert energy.Meter().kwh() is None
    assert capsys.readouterr().err == "energy: not known (OSError: no meter)\n" * 2


def test_without_the_package_the_run_is_refused(monkeypatch):
    energy.check(False)
    monkeypatch.setattr(energy.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(errors.UserError, match=r"^--energy needs an extra package: pip .*'keras-recipes\[energy\]'$"):
        energy.check(True)
