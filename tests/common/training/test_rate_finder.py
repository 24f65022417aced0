import pathlib
import types

import helpers
import keras
import numpy as np
import pytest
import tensorflow as tf

from common import errors, flags
from common.training import rate_finder
from recipes import compare_strategies, feature_extraction, from_scratch, skin_lesions, video_actions


def test_the_suggestion_is_a_tenth_of_the_rate_of_the_lowest_loss():
    rates = np.geomspace(1e-6, 10, 141)
    losses = 1 + (np.log10(rates) - np.log10(3e-2)) ** 2
    assert rate_finder.suggestion(rates, losses) == pytest.approx(2e-3)  # 3e-3 is nearer to 2e-3 than to 5e-3
    assert rate_finder.suggestion(rates, losses[::-1]) == pytest.approx(1 / 3e-2 * 1e-5 / 10, rel=0.6)


def test_smoothing_is_a_mean_of_the_losses_so_far():
    assert rate_finder.smoothed(np.full(9, 0.7)) == pytest.approx(0.7)
    weights = 0.9 ** np.arange(3)[::-1]
    assert rate_finder.smoothed(np.array([1.0, 2.0, 6.0]))[-1] == pytest.approx(weights @ [1, 2, 6] / weights.sum())


def blobs(seed=0):
    """A part as `fit` takes it: softmax regression on 96 points of two clouds."""
    keras.utils.set_random_seed(seed)
    random = np.random.default_rng(seed)
    labels = np.arange(96) % 2
    points = (random.normal(0, 1, (96, 6)) + 0.8 * labels[:, None]).astype("float32")
    batches = tf.data.Dataset.from_tensor_slices((points, np.eye(2, dtype="float32")[labels])).batch(16)
    suffix = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2, activation="softmax")])
    suffix.compile("adam", "categorical_crossentropy")
    return types.SimpleNamespace(suffix=suffix, generators=lambda *_: (batches, None, None)), batches


def test_a_suggested_rate_learns_and_rates_far_from_it_do_not():
    part, batches = blobs()
    rates, losses = rate_finder.losses_at(part)
    assert len(rates) == len(losses) and np.isfinite(losses).all()
    assert rates[1] / rates[0] == pytest.approx(rates[-1] / rates[-2])
    smooth = rate_finder.smoothed(losses)
    rate, after = rate_finder.suggestion(rates, smooth), {}
    for tried in (rate, rate / 1000, 10.0):
        fresh, batches = blobs()
        fresh.suffix.compile(keras.optimizers.Adam(tried), "categorical_crossentropy")
        fresh.suffix.fit(batches.repeat(10), epochs=1, verbose=0, shuffle=False)
        after[tried] = fresh.suffix.evaluate(batches, verbose=0)
    assert after[rate] < after[rate / 1000] - 0.1 and after[rate] < after[10.0]


def test_a_recipe_tests_the_rates_and_keeps_no_run(stripes, tmp_path, capsys):
    config = feature_extraction.Config(
        data=str(stripes), backbone="demo", weights="demo", image_size=32, batch_size=8, head="gap", views=1,
        out=tmp_path / "runs", cache=tmp_path / "cache", find_learning_rate=True, class_weights=True,
    )  # fmt: skip
    with pytest.raises(SystemExit) as stopped:
        feature_extraction.run(config)
    lines = capsys.readouterr().out.splitlines()
    assert not stopped.value.code and "nothing was trained to keep" in lines[0]
    suggested = float(lines[2].split()[2])
    assert 1e-4 <= suggested <= 0.5 and "(now 0.001)" in lines[2]
    picture = pathlib.Path(lines[-1])
    assert list((tmp_path / "runs" / "feature_extraction").iterdir()) == [picture]
    assert picture.name.endswith("_seed0_learning_rate.png") and len(helpers.colours_of(picture.read_bytes())) > 3


@pytest.mark.parametrize("batch_size", [18, 500])
def test_a_batch_of_all_photos_is_refused_in_one_line(stripes, tmp_path, batch_size):
    config = feature_extraction.Config(
        data=str(stripes), backbone="demo", weights="demo", image_size=32, batch_size=batch_size, views=1,
        validation_fraction=0.2, test_fraction=0.2, out=tmp_path / "runs", cache=tmp_path / "cache",
        find_learning_rate=True,
    )  # fmt: skip
    told = f"--batch-size {batch_size} takes all 18 training photos at once; choose --batch-size 4 or smaller"
    with pytest.raises(errors.UserError, match=told):
        feature_extraction.run(config)


def test_recipes_that_train_a_head_have_the_flag():
    recipes = (feature_extraction, skin_lesions, video_actions, from_scratch, compare_strategies)
    has_it = ["find_learning_rate" in flags.flag_names(recipe.Config) for recipe in recipes]
    assert has_it == [True, True, True, False, False]
