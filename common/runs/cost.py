"""What a run cost: peak memory, versions, the command that started it."""

import importlib.metadata
import platform
import shlex
import sys
import threading

import psutil

VERSIONED_PACKAGES = (
    "tensorflow", "keras", "keras-hub", "numpy", "pillow", "scikit-learn", "datasketch", "keras-recipes"
)  # fmt: skip


# Cost and surroundings ------------------------------------------------------------------------------------------


class PeakMemory(threading.Thread):
    """Watches this process's resident memory, ten times a second; `peak` is its maximum in bytes."""

    def __init__(self):
        super().__init__(daemon=True)
        self.process = psutil.Process()
        self.peak = self.process.memory_info().rss
        self.stopped = threading.Event()

    def run(self):
        while not self.stopped.wait(0.1):
            self.peak = max(self.peak, self.process.memory_info().rss)

    def restart(self):
        """Forgets the maximum so far."""
        self.peak = self.process.memory_info().rss

    def stop(self):
        """Ends the watching."""
        self.stopped.set()


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    found = {"python": platform.python_version()}
    for package in VERSIONED_PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def command() -> str:
    """The command line that started this process, as one would type it."""
    return shlex.join(["python", *sys.argv])
