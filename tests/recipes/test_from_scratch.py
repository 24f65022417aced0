import keras

from recipes import feature_extraction, from_scratch


def test_training_from_scratch_moves_every_layer(stripes, tmp_path):
    config = from_scratch.Config(
        data=str(stripes), backbone="demo", image_size=32, epochs=1, batch_size=8, validation_fraction=0.2,
        test_fraction=0.2, out=tmp_path / "runs", cache=tmp_path / "cache",
    )  # fmt: skip
    result = from_scratch.run(config)
    cost = result.results["cost"]
    assert cost["trainable_parameters"] == cost["total_parameters"] and result.results["strategy"] == "from_scratch"


def test_the_statistics_of_batch_norm_follow_within_a_few_hundred_steps():
    found = []
    for recipe in (feature_extraction, from_scratch):
        base = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, include_top=False, weights=None)
        recipe.build_model(base, 2, recipe.Config(head="gap"))
        norms = [layer for layer in base.layers if isinstance(layer, keras.layers.BatchNormalization)]
        found.append({layer.momentum for layer in norms})
    assert found == [{0.999}, {0.9}]
