"""Settings that a recipe inherits and never uses, or not with others that are given: they are refused by name."""

import importlib
import pathlib

import pytest

from common import errors, flags
from recipes import compare_strategies

pytestmark = pytest.mark.quick
RECIPES = sorted(path.stem for path in pathlib.Path(compare_strategies.__file__).parent.glob("[!_]*.py"))
# Recipe → the settings that it refuses whatever else is given.
ALWAYS = {
    "from_scratch": {"engine", "prefix_precision"},
    "linear_probe": {"epochs", "learning_rate", "tensorboard"},
    "domain_adaptation": {"epochs", "learning_rate", "tensorboard", "views"},
    "continual_learning": {"tensorboard"},
    "legal_text": {"skip_unsupported"},
    "text_classification": {"skip_unsupported"},
    "text_domains": {"epochs", "tensorboard"},
}
VALUES = {
    "epochs": 7, "learning_rate": 0.02, "tensorboard": True, "views": 3, "skip_unsupported": True, "seeds": 2,
    "strategies": ("lora",), "brightness": 0.1, "saturation": 0.1, "hue": 0.1, "erasing": 0.1, "randaugment": 5.0,
    "fine_tuning_epochs": 4, "fine_tuning_rate": 1e-7, "search_epochs": 2, "blocks": 2, "lora_rank": 4, "dropout": 0.1,
    "warmup_epochs": 2, "batch_norm": "adapt", "unfreeze_from": "15", "stride": 3, "test_time_views": 2, "patience": 3,
    "max_blocks": 2, "layer_decay": 0.5, "warmup_ratio": 0.2, "weight_decay": 0.1, "clipnorm": 2.0,
    "engine": "keras", "prefix_precision": "bfloat16",
    "gradient_accumulation_steps": 2, "channels": 32, "depth": 1, "from_scratch": True, "last_layer": "x",
    "preprocess": "tf", "adapt_epochs": 1, "adapt_texts": pathlib.Path("texts"),
}  # fmt: skip
# Recipe, settings, those without an effect beside them, and what makes them have one.
BESIDE = [
    ("choose_backbone", {}, {"epochs", "seeds", "strategies", "brightness", "saturation", "hue", "erasing",
                             "randaugment", "tensorboard"}, {"verify": 2}),
    ("continual_learning", {"method": "ridge"}, {"epochs", "learning_rate"}, {"method": "replay"}),
    ("continual_learning", {"method": "replay"}, {"fine_tuning_epochs", "fine_tuning_rate"}, {"unfreeze_from": "15"}),
    ("object_detection", {}, {"fine_tuning_epochs", "fine_tuning_rate"}, {"unfreeze_from": "block_13"}),
    ("object_detection", {"detector": "yolox"}, {"channels", "depth", "from_scratch", "last_layer", "preprocess"},
     {"detector": "fcos"}),
    ("object_detection", {}, {"seeds"}, {"compare": True}),
    ("object_detection", {"compare": True}, {"from_scratch", "tensorboard"}, {"compare": False}),
    ("object_detection", {"compare": True, "strategies": ("frozen",)},
     {"unfreeze_from", "fine_tuning_epochs", "fine_tuning_rate"}, {"strategies": ("partial",)}),
    ("from_scratch", {"learning_rates": (1e-3,)}, {"search_epochs"}, {"learning_rates": (1e-3, 3e-3)}),
    ("text_classification", {"strategy": "full"}, {"blocks", "lora_rank"}, {"strategy": None, "compare": True}),
    ("text_classification", {"strategy": "features"}, {"epochs"}, {"strategy": "head"}),
    ("text_classification", {"strategy": "features"},
     {"learning_rate", "patience", "warmup_ratio", "weight_decay", "clipnorm", "gradient_accumulation_steps"},
     {"adapt_epochs": 1}),
    ("text_classification", {"strategy": "scratch"}, {"adapt_epochs"}, {"strategy": "full"}),
    ("text_classification", {}, {"adapt_texts"}, {"adapt_epochs": 1}),
    ("legal_text", {"strategy": "head"}, {"blocks", "lora_rank", "dropout"}, {"strategy": None}),  # the demo compares
    ("skin_lesions", {"fine_tuning_epochs": 0}, {"fine_tuning_rate", "warmup_epochs", "batch_norm"},
     {"fine_tuning_epochs": 5}),
    ("video_actions", {}, {"stride", "test_time_views"}, {"sampling": "window"}),
    ("video_actions", {}, {"fine_tuning_epochs", "fine_tuning_rate", "warmup_epochs", "batch_norm"},
     {"unfreeze_from": "15"}),
    ("compare_strategies", {"strategies": ("logistic_regression", "ridge")},
     {"epochs", "learning_rate", "tensorboard", "patience", "dropout", "max_blocks", "fine_tuning_rate"},
     {"strategies": ("logistic_regression", "gradual_unfreezing")}),
    ("compare_strategies", {"strategies": ("from_scratch",)},
     {"learning_rate", "patience", "engine", "prefix_precision"},
     {"strategies": ("feature_extraction",)}),
]  # fmt: skip


def config_of(recipe, settings):
    return importlib.import_module(f"recipes.{recipe}").Config(**settings)


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_a_recipe_never_uses_it_refuses(recipe):
    unused = set(importlib.import_module(f"recipes.{recipe}").Config.UNUSED)
    assert unused == ALWAYS.get(recipe, set())
    for name in unused:
        with pytest.raises(errors.UserError, match=f"^--{name.replace('_', '-')} has no effect here: .*; remove it$"):
            config_of(recipe, {name: VALUES[name]})


@pytest.mark.parametrize(("recipe", "settings", "names", "used"), BESIDE)
def test_what_has_no_effect_beside_other_settings_is_refused(recipe, settings, names, used):
    for name in names:
        given = {name: VALUES[name]}
        with pytest.raises(errors.UserError, match=f"^--{name.replace('_', '-')} has no effect .*; remove it$"):
            config_of(recipe, settings | given)
        assert flags.changed(config_of(recipe, settings | used | given)).items() >= given.items()


def test_a_comparison_gives_its_probes_only_what_they_take():
    config = compare_strategies.Config(epochs=7, learning_rate=0.01, tensorboard=True, patience=3, erasing=0.2)
    for name in compare_strategies.STRATEGIES:
        trial = compare_strategies.with_settings(config, compare_strategies.STRATEGIES[name])
        assert trial.erasing == 0.2 and not set(trial.UNUSED) & set(flags.changed(trial))
    head = compare_strategies.with_settings(config, compare_strategies.STRATEGIES["feature_extraction"])
    assert (head.epochs, head.learning_rate, head.tensorboard, head.patience) == (7, 0.01, True, 3)


def test_a_comparison_takes_one_engine_that_its_trials_can_take(monkeypatch, tmp_path):
    """Not where nothing is cached, or nothing is frozen, or on a cluster."""
    (tmp_path / "split.csv").write_text("")
    monkeypatch.setattr(compare_strategies.sample_list, "read_csv", lambda _: [None] * 9)
    monkeypatch.setattr(compare_strategies.engines, "chosen", lambda *_: "onnxruntime")
    monkeypatch.setattr(compare_strategies.engines, "is_installed", lambda: True)
    live = {"flip": True, "views": 0, "strategies": ("feature_extraction",)}
    expected = [({}, "onnxruntime"), ({"no_cache": True}, "keras"), (live, "keras"),
                ({"ray": "auto"}, "keras"), ({"strategies": ("from_scratch",)}, "auto")]  # fmt: skip
    for given, engine in expected:
        config = compare_strategies.Config(**given)
        assert compare_strategies.with_one_engine(config, {(0, 1.0): tmp_path / "split.csv"}).engine == engine
    with pytest.raises(errors.UserError, match="^--engine onnxruntime is not for --ray"):
        compare_strategies.Config(ray="auto", engine="onnxruntime")
    assert compare_strategies.names_engine("x.py --engine=keras")
    assert not compare_strategies.names_engine("x.py --engines keras")
