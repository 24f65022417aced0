import pytest

from common import errors
from common.data import tables

pytestmark = pytest.mark.quick

PLAIN = "path,label,group\n1.jpg,cat,p1\n2.jpg,dog,p2\n"
ROWS = [
    (2, {"path": "1.jpg", "label": "cat", "group": "p1"}),
    (3, {"path": "2.jpg", "label": "dog", "group": "p2"}),
]


def read(folder, content, encoding="utf-8"):
    (folder / "a.csv").write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return tables.read(folder / "a.csv")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_what_spreadsheets_write_is_read(tmp_path, encoding, mark, end, capsys):
    table = read(tmp_path, PLAIN.replace(",", mark).replace("\n", end), encoding)
    assert table.columns == ("path", "label", "group") and table.rows == ROWS
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    [
        "sep=;\npath;label;group\n1.jpg;cat;p1\n2.jpg;dog;p2\n",
        '"sep=;"\r\npath;label;group\r\n1.jpg;cat;p1\r\n2.jpg;dog;p2\r\n',
        " path , label ,group \n 1.jpg, cat ,p1\n2.jpg, dog,p2 ",
        '"path", "label","group"\n"1.jpg", "cat",p1\n2.jpg,dog,p2\n,,\n\n',
        "path,label,group,,\n1.jpg,cat,p1,,\n2.jpg,dog,p2,\n",
    ],
)
def test_lines_and_blanks_around_do_not_matter(tmp_path, content):
    table = read(tmp_path, content)
    assert table.columns == ("path", "label", "group") and [row for _, row in table.rows] == [row for _, row in ROWS]


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_rows_of_separators_are_left_out_and_counted(tmp_path, mark, capsys):
    """Above and below the table, as a spreadsheet writes rows that once had content."""
    around = "{0}{0}{0}\r\n;;;\r\n\r\n"
    content = (around + PLAIN.replace(",", "{0}") + around + '""{0}""\r\n \xa0{0} {0}\r\n').format(mark)
    assert [row for _, row in read(tmp_path, content).rows] == [row for _, row in ROWS]
    assert capsys.readouterr().err == "data: a.csv: 6 rows without any content left out\n"


def test_values_may_hold_the_other_marks(tmp_path):
    table = read(tmp_path, 'path;label\n1.jpg;"a;b"\n2,5.jpg;c,d\n')
    assert [row["label"] for _, row in table.rows] == ["a;b", "c,d"] and table.rows[1][1]["path"] == "2,5.jpg"


def test_comments_are_counted_and_a_file_that_begins_like_one_is_read(tmp_path, capsys):
    (tmp_path / "#2.jpg").touch()
    table = read(tmp_path, "# made by hand, in May\npath,label\n#1.jpg,cat\n#2.jpg,dog\n# end\n")
    assert table.rows == [(4, {"path": "#2.jpg", "label": "dog"})]
    assert capsys.readouterr().err == "data: a.csv: 3 lines that begin with # are left out\n"


def test_old_encodings_are_read_with_a_note(tmp_path, capsys):
    table = read(tmp_path, "path,label\nm\xfcll.jpg,gr\xfcn\nx.jpg,rot\n".encode("cp1252"))
    assert table.rows[0] == (2, {"path": "müll.jpg", "label": "grün"})
    assert capsys.readouterr().err == "data: a.csv: not UTF-8 in 1 line, such as 2: read as Windows-1252\n"
    (tmp_path / "m\udcfcll.jpg").touch()  # a file with a name that is not UTF-8
    assert read(tmp_path, b"path,label\nm\xfcll.jpg,cat\n").rows[0][1]["path"] == "m\udcfcll.jpg"
    assert not capsys.readouterr().err


def test_a_column_without_a_name_is_spoken_of(tmp_path, capsys):
    """As pandas writes its index."""
    table = read(tmp_path, ",path,label\n0,1.jpg,cat\n1,2.jpg,dog\n")
    assert table.columns == ("path", "label") and table.rows[1] == (3, {"path": "2.jpg", "label": "dog"})
    assert "a column without a name is not read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,label,label\n1.jpg,a,b\n", "column 'label' is there more than once"),
        ("path,label\n1.jpg,a,b\n", "line 2: more values than columns in the first line; quote .* a comma"),
        ("path;label\n1.jpg;a;b\n", "quote values that contain a semicolon"),
        ("path;label,group\n1.jpg;a,b\n", "'path;label,group', can be divided in several ways"),
        ('path,label\n1.jpg,"cat\n2.jpg,dog\n', "line 2: not readable as CSV .*quotation marks"),
        ("path,label\n", "no rows below the names"),
        ("path,label\n1.jpg,a\0\n", "contains NUL bytes, as UTF-16"),
        ("path,label\n1.jpg,a\n".encode("utf-16-le"), "contains NUL bytes, as UTF-16"),
        ("path,label\n1.jpg,a\n".encode("utf-16")[:-1], "not UTF-16, as its first bytes say; save it in UTF-8"),
    ],
)
def test_what_is_no_table_is_explained(tmp_path, content, message):
    with pytest.raises(errors.UserError, match=message):
        read(tmp_path, content)


def test_columns_are_found_by_their_name_or_one_like_it(tmp_path):
    table = read(tmp_path, "Path,Patient ID,label,Class\n1.jpg,p,a,b\n")
    assert tables.find(table, "path") == "Path" and tables.find(table, "label", ["class"]) == "label"
    assert tables.find(table, "group", ["patient_id"]) == "Patient ID" and tables.find(table, "split") is None
    with pytest.raises(errors.UserError, match="columns 'Path' and 'Class' could all be the column 'x'; rename the"):
        tables.find(table, "x", ["path", "class"])
