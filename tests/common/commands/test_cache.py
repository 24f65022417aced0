import pathlib
import re

from common import files, outputs
from common.commands import cache


def test_entries_are_described_and_only_they_are_cleared(tmp_path):
    store = tmp_path / "features" / ("0a" * 16)
    store.mkdir(parents=True)
    about = {"backbone": "VGG16", "weights": "imagenet", "image_size": 224, "tensors": [[18, 0, "pool", [7, 7, 512]]]}
    files.write_json(store / "about.json", about)
    (store / "1.shard").write_bytes(bytes(2_000_000))
    (tmp_path / "scan").mkdir()
    (tmp_path / "scan" / f"{'0b' * 8}.json").write_bytes(bytes(1000))
    (tmp_path / "demo_clips" / ".0123abcd-unfinished").mkdir(parents=True)
    (tmp_path / "tfds" / "flowers" / "3.0.1").mkdir(parents=True)
    mine = ["demo/mine/thesis.txt", "features/table.csv", "mine.txt", "tfds/mine/0.txt"]
    for name in mine:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    text = cache.table(tmp_path)
    assert "VGG16, imagenet, at 224 pixels: 7 x 7 x 512 per photo" in text.splitlines()[0]
    assert text.splitlines()[-1].strip().startswith("2.0 MB")
    (store / "about.json").write_text("{")
    assert "no longer known" in cache.table(tmp_path)
    assert cache.remove(tmp_path) > 2_000_000
    leaves = (path for path in tmp_path.rglob("*") if path.is_file() or not any(path.iterdir()))
    assert sorted(str(path.relative_to(tmp_path)) for path in leaves) == mine
    assert cache.entries(tmp_path) == []


def test_every_folder_that_is_written_into_the_cache_is_known():
    written = set()
    for path in pathlib.Path(cache.__file__).parents[1].rglob("*.py"):
        written |= set(re.findall(r'\bcache(?:_directory)? / "(\w+)"', path.read_text(encoding="utf-8")))
    assert {"features", "demo_styles", "near_duplicates"} <= written
    assert set(cache.KINDS) == set(outputs.IN_CACHE) == (written - {"tmp"}) | {"scan"}
    assert set(cache.DESCRIPTIONS) == set(cache.KINDS) - {"features"}
