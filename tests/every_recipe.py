"""Tests that every recipe goes through, one for each kind of recipe in `make long`."""

import pytest

# Recipes whose copy and notebook have little that others have not: `make long` leaves them out.
MUCH_LIKE_OTHERS = {
    "choose_backbone", "domain_adaptation", "from_scratch", "gradual_unfreezing", "legal_text", "linear_probe",
    "partial_unfreezing", "skin_lesions", "text_domains",
}  # fmt: skip


def parameters(names):
    """Parameters for the recipes with these names; some are marked `exhaustive`."""
    return [
        pytest.param(name, marks=[pytest.mark.exhaustive] * (name in MUCH_LIKE_OTHERS), id=name)
        for name in sorted(names)
    ]
