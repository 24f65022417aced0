"""Runs of the recipes draw their reports where a test looks at them."""

import pytest

from common.report import page


@pytest.fixture(autouse=True)
def undrawn(request, monkeypatch):
    """No report, which takes a second or three, unless the test is marked `drawn`; a module's shared run has one."""
    if "drawn" not in request.keywords:
        monkeypatch.setattr(page, "write", lambda directory, sections, saved=None: directory / "report.html")
