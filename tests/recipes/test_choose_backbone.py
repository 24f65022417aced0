"""The choice of a network on drawn stripes, and its verification by training."""

import csv
import json

import pytest

from common import errors
from recipes import choose_backbone

PAIR = ("demo", "untrained=demo --weights none")


def settings(stripes, tmp_path, **changes):
    own = {"image_size": 32, "layers": 2, "backbones": PAIR}
    return choose_backbone.Config(
        data=str(stripes), out=tmp_path / "runs", cache=tmp_path / "cache", **own | changes
    )  # fmt: skip


def test_networks_are_ranked_and_the_picture_is_drawn(stripes, tmp_path, capsys):
    config = settings(stripes, tmp_path)
    result = choose_backbone.run(config)
    ranked = result.results["ranking"]
    rows, choice = ranked["rows"], ranked["rows"][ranked["recommended"]]
    assert {(row["network"], row["layer"]) for row in rows} == {
        (name, layer) for name in ("demo", "untrained") for layer in ("block5_pool", "block4_pool")
    }
    assert all(row["operations"] < other["operations"] for row in rows for other in rows
               if (row["layer"], other["layer"]) == ("block4_pool", "block5_pool"))  # fmt: skip
    with open(result.directory / "networks.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 4 and sum(int(line["recommended"]) for line in lines) == 1
    assert (result.directory / "figures" / "accuracy_against_cost.png").read_bytes()[:4] == b"\x89PNG"
    shown = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"> {choice['network']}") for line in shown)
    assert shown[-1].startswith(f"next: python recipes/linear_probe.py --data {stripes}")
    again = choose_backbone.run(config).results["ranking"]["rows"]
    assert "in one pass" not in capsys.readouterr().err  # the features were in the cache
    measured = {"milliseconds", "score_seconds"}
    assert [{key: row[key] for key in row.keys() - measured} for row in again] == [
        {key: row[key] for key in row.keys() - measured} for row in rows
    ]


def test_the_labels_of_test_photos_do_not_matter(stripes, tmp_path):
    first = choose_backbone.run(settings(stripes, tmp_path))
    with open(first.directory / "split.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    other = {"across": "down", "down": "across"}
    with open(tmp_path / "swapped.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        for line in lines:
            label = other[line["label"]] if line["split"] == "test" else line["label"]
            writer.writerow([line["path"], label, line["split"]])
    second = choose_backbone.run(settings(tmp_path / "swapped.csv", tmp_path))
    scores = [{(row["network"], row["layer"]): row["right"] for row in each.results["ranking"]["rows"]}
              for each in (first, second)]  # fmt: skip
    assert scores[0] == scores[1]


def test_verification_trains_the_best_on_the_same_test_photos(stripes, tmp_path, capsys):
    config = settings(stripes, tmp_path, layers=1, verify=2, strategies=("nearest_centroid",), seeds=1)
    result = choose_backbone.run(config)
    found = result.results["verification"]
    assert set(found["trained"]) == {"demo up to block5_pool", "untrained up to block5_pool"}
    assert 0 <= found["regret"] <= 1 and found["rank_correlation"] == {}
    (place,) = result.directory.glob("compare_strategies/*/compare.json")
    comparison = json.loads(place.read_text())
    assert {row["backbone"] for row in comparison["rows"]} == {"demo", "untrained"}
    (split,) = place.parent.glob("splits/*/split.csv")
    tests = []
    for path in (split, result.directory / "split.csv"):
        with open(path, newline="") as file:
            tests.append({line["path"] for line in csv.DictReader(file) if line["split"] == "test"})
    assert tests[0] == tests[1]
    assert "Trained by nearest_centroid and tested:" in capsys.readouterr().out


@pytest.mark.quick
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbones": ("VGG166",)}, "did you mean VGG16"),
        ({"backbones": ("VGG16", "VGG16")}, "listed twice"),
        ({"backbones": ("a=VGG16 --weight x",)}, "--backbones 'a=VGG16 --weight x': unknown argument --weight"),
        ({"verify": 2, "strategies": ("x",)}, "unknown strategy 'x'"),
        ({"layers": 0}, "--layers must be above 0"),
    ],
)
def test_mistakes_are_answered_at_once(tmp_path, changes, message):
    with pytest.raises(errors.UserError, match=message):
        choose_backbone.Config(**{"backbones": PAIR} | changes)
