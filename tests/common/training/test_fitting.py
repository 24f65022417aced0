import pytest

from common import errors
from common.training import fitting, settings

pytestmark = pytest.mark.quick


def test_the_joined_score_may_not_change():
    fitting.check_same_score(0.5, 0.50005, settings.PhotoConfig())
    fitting.check_same_score(0.5, 0.505, settings.PhotoConfig(cache_dtype="float16"))
    with pytest.raises(errors.UserError, match="before any training"):
        fitting.check_same_score(0.5, 0.505, settings.PhotoConfig())
