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
        ("path,label\n1.jpg,a,b\n", "line 2: more values than columns in the first line"),
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


def test_further_columns_are_kept(tmp_path):
    (tmp_path / "a.csv").write_text("domain,path,label,age\ncity,1.jpg,a,7\n,2.jpg,b,\n")
    samples = sample_list.read_csv(tmp_path / "a.csv")
    assert [sample.about for sample in samples] == [{"domain": "city", "age": "7"}, {"domain": "", "age": ""}]
    sample_list.write_csv(tmp_path / "b.csv", samples)
    assert (tmp_path / "b.csv").read_text().splitlines()[0] == "path,label,group,split,domain,age"
    assert sample_list.read_csv(tmp_path / "b.csv") == samples


def test_empty_values_behind_the_last_column_do_not_matter(tmp_path):
    (tmp_path / "a.csv").write_text("path,label, site \n1.jpg,a,x ,,\n2.jpg,b,x,\n")
    assert [sample.about for sample in sample_list.read_csv(tmp_path / "a.csv")] == [{"site": "x"}] * 2
