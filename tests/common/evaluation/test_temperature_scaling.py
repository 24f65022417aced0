import numpy as np
import pytest

from common.evaluation import temperature_scaling

pytestmark = pytest.mark.quick


def test_temperature_divides_the_logits():
    logits = np.random.default_rng(0).normal(0, 3, (20, 4))
    powers = np.exp(logits / 2.5)
    np.testing.assert_allclose(
        temperature_scaling.soften(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), 2.5),
        powers / powers.sum(1, keepdims=True),
    )


def test_the_temperature_that_was_put_in_is_found():
    """Labels drawn from the true probabilities; three times as sure answers need the temperature 3."""
    random = np.random.default_rng(0)
    true = temperature_scaling.soften(np.exp(random.normal(0, 1.5, (20000, 3))), 1.0)
    labels = (random.random((20000, 1)) > true.cumsum(1)).sum(1)
    sure = temperature_scaling.soften(true, 1 / 3)
    assert temperature_scaling.fit_temperature(sure[None], labels) == pytest.approx(3, rel=0.05)
    assert temperature_scaling.fit_temperature(np.stack([true, true]), labels) == pytest.approx(1, rel=0.05)
