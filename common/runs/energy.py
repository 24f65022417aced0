"""The electricity that a run uses, estimated by codecarbon (https://mlco2.github.io/codecarbon/), without a network.

Where the processor and the GPU have meters that may be read, these are used. Elsewhere the estimate goes by the
processor's model and the time that it computed for this process, and by a constant for the memory.
"""

import importlib.util
import logging
import sys
from typing import Any

from common import errors

SECONDS = 5  # between two looks at the power


def check(wanted: bool) -> None:
    """Check before the training that codecarbon is there, if it is wanted.

    Raises:
        UserError: it is not installed.
    """
    if wanted and not importlib.util.find_spec("codecarbon"):
        raise errors.UserError("--energy needs an extra package: pip install 'keras-recipes[energy]'")


class Meter:
    """A meter of this process and the processes that it starts, from now on. If it fails, it says so in one line."""

    def __init__(self) -> None:
        self._tracker: Any = None
        try:
            import codecarbon

            logging.getLogger("codecarbon").setLevel(logging.CRITICAL)  # it talks before its own level counts

            # Its emissions depend on the country; only the energy is used here.
            self._tracker = codecarbon.OfflineEmissionsTracker(
                country_iso_code="USA", tracking_mode="process", measure_power_secs=SECONDS, output_methods=[],
                allow_multiple_runs=True, log_level="critical",
            )  # fmt: skip
            self._tracker.start()
        except Exception as error:  # a run must not end because its electricity is unknown
            self._give_up(error)

    def kwh(self) -> float | None:
        """Return the kilowatt-hours so far, and stop; None if they are not known."""
        tracker, self._tracker = self._tracker, None
        try:
            if tracker:
                tracker.stop()
                return round(float(tracker.final_emissions_data.energy_consumed), 8)
        except Exception as error:
            self._give_up(error)
        return None

    def _give_up(self, error: Exception) -> None:
        self._tracker = None
        print(f"energy: not known ({type(error).__name__}: {error})", file=sys.stderr)
