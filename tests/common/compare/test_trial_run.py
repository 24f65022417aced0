import math
import pathlib

import pytest
from made_up_trials import right, trial

pytestmark = pytest.mark.quick


def test_a_run_reads_its_files_once(tmp_path):
    run = trial(tmp_path, "head", 0, right(5, 10), groups=["patient"] * 2 + [""] * 8)
    assert run.answers.units.tolist()[:3] == ["group patient", "group patient", "photo seed0/00002.jpg"]
    pathlib.Path(run.directory / "predictions.csv").unlink()
    assert run.answers.right.sum() == 5 and run.seconds == 10.0 and math.isclose(run.accuracy, 0.5)
