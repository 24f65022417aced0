import pytest

from common import errors
from common.data import sample_list

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,label\n1.jpg,a\n", "no column path"),
        ("path,label\n1.jpg,\n", "line 2: path or label is empty"),
        ("path,label,split\n1.jpg,a,tran\n", "must be train, validation or test"),
        ("path,label\n1.jpg,a\n1.jpg,b\n", "more than once"),
        ("path,label\n1.jpg,a\n2.jpg,a\n", "at least two classes"),
        ("", "no column"),
    ],
)
def test_a_broken_csv_is_explained(content, message, tmp_path):
    (tmp_path / "photos.csv").write_text(content)
    with pytest.raises(errors.UserError, match=message):
        sample_list.read_csv(tmp_path / "photos.csv")


def test_a_csv_with_groups_and_a_byte_order_mark(tmp_path):
    (tmp_path / "photos.csv").write_text("path,label,group\nx/1.jpg,a,g1\n/y/2.jpg,b,\n", encoding="utf-8-sig")
    first, second = sample_list.read_csv(tmp_path / "photos.csv")
    assert first == sample_list.Sample(str(tmp_path / "x/1.jpg"), "a", "g1")
    assert second == sample_list.Sample("/y/2.jpg", "b")
