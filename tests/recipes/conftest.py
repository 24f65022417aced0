"""Runs of the recipes draw their reports where a test looks at them."""

import pytest

from common import report, text_report


@pytest.fixture(autouse=True)
def undrawn(request, monkeypatch):
    """No report, which takes a second or three, unless the test is marked `drawn`; a module's shared run has one."""
    if "drawn" not in request.keywords:
        for module in (report, text_report):
            monkeypatch.setattr(module, "write", lambda directory, explain=None: directory / "report.html")
