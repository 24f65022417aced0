import pytest

from common.media import texts

pytestmark = pytest.mark.quick


def test_tidying():
    assert texts.tidy("\r\n A\tb  c \r\n\r\n \r\n\r\n d <|endoftext|>\n") == "A b c\n\nd"
    assert texts.tidy(" a  b\n\n\n\nc\n", keep_layout=True) == " a  b\n\n\n\nc"
