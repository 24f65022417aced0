"""Few-shot accuracy on made-up features: known answers, more photos help, and groups count once."""

import numpy as np
import pytest

from common import errors
from common.data import sample_list, splits, targets
from common.evaluation import few_shot
from common.media import photos

pytestmark = pytest.mark.quick


def made_up(spread, per_class=30, group=lambda number: ""):
    """Features of three classes around three means, and their splits."""
    random, samples, rows = np.random.default_rng(0), [], {"train": [], "test": []}
    means = random.normal(size=(3, 20))
    for side in rows:
        for label in range(3):
            for number in range(per_class):
                rows[side].append(means[label] + spread * random.normal(size=20))
                name = f"{side}{label}_{number}"
                samples.append(sample_list.Sample(name, "abc"[label], group=group(name), split=side))
    found = splits.Splits.of("", photos.PHOTOS, targets.CLASSES, samples, {}, {})
    return {side: np.array(values) for side, values in rows.items()}, found


def test_more_photos_help_and_the_interval_is_that_of_a_mean():
    features, data = made_up(1.5)
    found = few_shot.evaluate(features, data, (1, 5, 20), 100, 0)
    assert [row["shots"] for row in found] == [1, 5, 20]
    for name in ("class_means", "ridge"):
        means = [row[name][0] for row in found]
        assert means == sorted(means) and means[0] > 0.45 and means[-1] > means[0] + 0.1
        assert all(low < mean < high for mean, low, high in (row[name] for row in found))
    wide = few_shot.evaluate(features, data, (5,), 20, 0)[0]["ridge"]
    assert wide[2] - wide[1] > found[1]["ridge"][2] - found[1]["ridge"][1]
    assert few_shot.evaluate(features, data, (5,), 1, 0)[0]["ridge"][1:] == [None, None]
    assert "5  " in few_shot.table(found) and "of 100 episodes" in few_shot.table(found)


def test_classes_far_apart_are_always_told_apart_and_the_same_seed_draws_the_same():
    features, data = made_up(0.01)
    first, again = (few_shot.evaluate(features, data, (1,), 30, 3) for _ in range(2))
    assert first[0]["class_means"][0] == first[0]["ridge"][0] == 1 and first == again


def test_class_means_of_one_photo_are_the_most_similar_photo():
    features, data = made_up(2.0)
    rows = np.array([0, 30, 60])  # one of each class
    labels = {side: data.labels(side) for side in features}
    found = few_shot._episode(features, labels, rows)["class_means"]
    mean = features["train"][rows].mean(axis=0)
    one, other = (few_shot._normalised(each - mean) for each in (features["train"][rows], features["test"]))
    assert found == pytest.approx(((other @ one.T).argmax(axis=1) == labels["test"]).mean())


def test_a_group_counts_once():
    features, data = made_up(1.0, group=lambda name: name.partition("_")[0] + str(int(name.partition("_")[2]) // 10))
    pools = few_shot._pools(data)
    assert [len(units) for units in pools] == [3, 3, 3]
    drawn = few_shot._drawn(pools, 3, np.random.default_rng(0))
    assert sorted(drawn // 10) == list(range(9))
    with pytest.raises(errors.UserError, match="--shots 4: class a has only 3 training photos or groups"):
        few_shot.evaluate(features, data, (4,), 1, 0)
