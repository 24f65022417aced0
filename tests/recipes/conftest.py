"""Runs of recipes draw their reports where a test looks at them; contracts and a tiny network for texts."""

import contextlib

import helpers
import pytest
import tiny_language_model

from common.demo import drawn_texts


@pytest.fixture(autouse=True)
def undrawn_unless_marked(request):
    """No report, unless the test is marked `drawn`; a run that a module's tests share has one."""
    with contextlib.nullcontext() if "drawn" in request.keywords else helpers.without_report():
        yield


@pytest.fixture(scope="session")
def contracts(tmp_path_factory):
    """Drawn contracts of three types, 16 of each by 8 companies, and one that two companies have filed."""
    folder = tmp_path_factory.mktemp("contracts")
    for kind in ("lease", "loan", "nda"):
        (folder / kind).mkdir()
        for number in range(16):
            content = drawn_texts.contract(kind, 500 + number, drawn_texts.company_name(f"{kind} {number // 2}"))
            (folder / kind / f"{kind}{number // 2}_{number}.txt").write_text(content)
    first = (folder / "loan" / "loan0_0.txt").read_text()
    (folder / "loan" / "loan99_0.txt").write_text(first.replace("Lender", "Creditor"))
    return folder


@pytest.fixture(scope="session")
def preset(tmp_path_factory):
    return tiny_language_model.write(tmp_path_factory.mktemp("preset") / "tiny")
