import errno
import json
import os
import pathlib
import resource
import tempfile

import numpy as np
import pytest

from common import errors, files
from common.features import store

pytestmark = pytest.mark.quick

SPECIFICATION = [((2, 3), "float32"), ((4,), "float16")]


def open_store(folder):
    return store.FeatureStore(folder, SPECIFICATION, {"backbone": "demo"})


def rows(numbers):
    """Rows whose every value is the row's number."""
    numbers = np.asarray(numbers, "float32")
    return [numbers[:, None, None] * np.ones((2, 3), "float32"), (numbers[:, None] * np.ones(4)).astype("float16")]


def batches(*parts):
    for part in parts:
        yield [f"photo {number}" for number in part], rows(part)


def check(opened, numbers):
    read = opened.reader([f"photo {number}" for number in numbers])
    order = np.random.default_rng(0).permutation(len(numbers))
    for array, expected in zip(read(order), rows(np.asarray(numbers)[order]), strict=True):
        assert array.dtype == expected.dtype and np.array_equal(array, expected)


def test_what_is_written_is_read_in_any_order_also_by_the_next_process(tmp_path):
    opened = open_store(tmp_path)
    opened.write(batches(range(5), range(5, 12)))
    check(opened, range(12))
    again = open_store(tmp_path)
    assert len(again) == 12 and "photo 3" in again and "photo 12" not in again
    check(again, range(12))
    assert again.row_bytes == 6 * 4 + 4 * 2
    again.write(batches([20]))
    check(open_store(tmp_path), [20, *range(12)])


def test_a_number_too_large_for_float16_is_refused_and_not_stored_as_infinity(tmp_path):
    opened = store.FeatureStore(tmp_path, [((2,), "float16"), ((2,), "float32")], {})
    large = np.array([[1.0, 1e5]], "float32")
    with pytest.raises(errors.UserError, match=r"features of up to 100,000 .* --cache-dtype float32"):
        opened.write([(["photo"], [large, large])])
    opened.write([(["photo"], [large / 2, large])])
    assert np.array_equal(opened.reader(["photo"])([0])[1], large)


def test_shards_are_written_as_the_work_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "SHARD_BYTES", 100)

    def interrupted():
        yield from batches(range(10), range(10, 20))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_store(tmp_path).write(interrupted())
    opened = open_store(tmp_path)
    assert len(opened) == 20
    check(opened, range(20))


@pytest.mark.parametrize("place", ["first byte", "header", "row", "last byte", "truncated", "longer", "empty"])
def test_a_damaged_shard_is_found_out_and_removed(place, tmp_path, capsys):
    opened = open_store(tmp_path)
    opened.write(batches(range(5)))
    opened.write(batches(range(5, 9)))
    path = sorted(tmp_path.glob("*.shard"))[0]
    content = bytearray(path.read_bytes())
    kept = 4 if len(json.loads(content.split(b"\n")[0])["names"]) == 5 else 5
    position = {"first byte": 0, "header": 12, "row": -50, "last byte": -1}.get(place)
    if position is not None:
        content[position] ^= 1
    changed = {"truncated": content[:-10], "longer": content + b"x", "empty": b""}.get(place, content)
    path.write_bytes(changed)
    again = open_store(tmp_path)
    assert len(again) == kept and not path.exists() and "damaged" in capsys.readouterr().err
    check(again, range(5, 9) if kept == 4 else range(5))


def test_an_unfinished_shard_is_not_taken_for_one(tmp_path):
    half = tmp_path / ".123-abc.shard"  # as another process writes it
    half.write_bytes(b"half")
    assert len(open_store(tmp_path)) == 0 and half.is_file()
    os.utime(half, (0, 0))  # its writer was killed long ago
    assert len(open_store(tmp_path)) == 0 and not half.exists()


def test_a_damaged_description_is_written_again(tmp_path):
    open_store(tmp_path)
    (tmp_path / "about.json").write_text("")
    assert store.about_of(tmp_path) == {}
    open_store(tmp_path)
    assert store.about_of(tmp_path) == {"backbone": "demo"}


def test_a_full_disk_keeps_what_was_complete(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "SHARD_BYTES", 100)
    opened = open_store(tmp_path)
    replace, calls = os.replace, []

    def full(*arguments):
        calls.append(arguments)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(*arguments)

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(OSError):
        opened.write(batches(range(10), range(10, 20)))
    monkeypatch.setattr(files.os, "replace", replace)
    assert len(open_store(tmp_path)) == 10
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(errors.UserError, match="--no-cache"):
        open_store(tmp_path / "file" / "store")


def test_a_read_only_cache_is_one_line():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        folder.chmod(0o555)
        user = os.geteuid()
        if user == 0:  # root may write everywhere
            os.seteuid(65534)
        try:
            with pytest.raises(errors.UserError, match="Permission denied.*--cache DIR"):
                open_store(folder / "store")
        finally:
            os.seteuid(user)
            folder.chmod(0o755)


def test_a_shard_cut_off_in_use_is_an_error_and_not_a_wrong_number(tmp_path):
    opened = open_store(tmp_path)
    opened.write(batches(range(5)))
    read = opened.reader(["photo 4"])
    path = next(tmp_path.glob("*.shard"))
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(errors.UserError, match="truncated"):
        read([0])
    path.unlink()
    with pytest.raises(errors.UserError, match="removed"):
        read([0])


def test_more_shards_than_a_process_may_open(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "SHARD_BYTES", 1)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    here = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (here + 10, limit[1]))
    try:
        open_store(tmp_path).write(batches(*([number] for number in range(50))))
        opened = open_store(tmp_path)
        check(opened, range(50))
        assert len(list(tmp_path.glob("*.shard"))) == len(opened) == 50
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
