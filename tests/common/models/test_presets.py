import pytest

from common.models import presets

pytestmark = pytest.mark.quick


def test_a_missing_network_is_told_in_a_few_words():
    error = OSError("HTTPSConnectionPool(host='api.kaggle.com', port=443): Max retries exceeded with url: /v1/models")
    assert presets.reason(error) == "api.kaggle.com cannot be reached"
    assert presets.reason(ValueError()) == "ValueError"
    assert presets.reason(ValueError("no such preset " + "x " * 200)).endswith("x …")
