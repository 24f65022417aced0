"""The comparison is that of the recipes themselves, and it says of what differs that it does, and of nothing else."""

import dataclasses
import importlib
import json
import os
import re
import shutil
import time

import pytest
import tiny_network

from common import errors
from common import flags as common_flags
from common.commands import report
from common.compare import plan, time_estimate, trials
from common.data import sample_list, sources
from common.media import photos
from recipes import compare_strategies, from_scratch, partial_unfreezing

QUICK = {
    "backbones": ("demo",),
    "weights": "demo",
    "image_size": 64,
    "epochs": 20,
    "fine_tuning_epochs": 2,
    "batch_size": 8,
    "learning_rate": 1e-2,
    "validation_fraction": 0.2,
    "test_fraction": 0.4,
}
HOT = "hot=full_fine_tuning --fine-tuning-rate 0.3 --keep-worse --warmup-epochs 0"


def settings(photos, tmp_path, **changes):
    return compare_strategies.Config(
        **{"data": str(photos), "out": tmp_path / "runs", "cache": tmp_path / "cache", **QUICK, **changes}
    )


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A finished comparison on striped photos, with one strategy under two names and one made worse on purpose."""
    place = tmp_path_factory.mktemp("compared")
    photos = sources.demo_folder(place / "drawn")
    for folder in photos.iterdir():  # two classes are enough
        if folder.name not in ("fish", "snail"):
            shutil.rmtree(folder)
    names = ("logistic_regression", "feature_extraction", "same=feature_extraction", HOT)
    result = compare_strategies.run(settings(photos, place, strategies=names, seeds=1))
    return result


def test_every_trial_is_its_recipe_alone_with_the_same_flags(compared, tmp_path):
    for row in compared.results["rows"]:
        (trial,) = row["runs"]
        _, _, module, *flags = trial["command"].split()
        recipe = importlib.import_module(module)
        config = dataclasses.replace(common_flags.parse(recipe.Config, flags), out=tmp_path)
        alone = recipe.run(config).results
        ours = json.loads((compared.directory / trial["report"]).with_name("results.json").read_text())
        assert alone["test"] == ours["test"] and alone["validation"] == ours["validation"]


def test_what_was_made_worse_is_last_and_what_is_the_same_is_not_different(compared):
    result = compared
    rows, differences = result.results["rows"], result.results["differences"]
    assert len(rows) == 4 and rows[-1]["name"] == "hot"
    assert rows[-1]["test"]["accuracy"][0] < 0.7 < rows[0]["test"]["accuracy"][0]
    (same,) = [each for each in differences if {each["first"], each["second"]} == {"feature_extraction", "same"}]
    assert (same["p"], same["difference"], same["larger_than_noise"]) == (None, 0.0, False)
    assert not any(each["larger_than_noise"] for each in differences)  # one seed gives no verdict
    assert "and 1 seed no difference can be told from luck" in " ".join(result.results["advice"])
    assert result.results["choice"] != "hot"


def test_the_page_and_the_files_for_machines_are_there(compared):
    result = compared
    assert json.loads((result.directory / "compare.json").read_text()) == result.results
    assert len((result.directory / "compare.csv").read_text().splitlines()) == 1 + 4
    page = (result.directory / "compare.html").read_text()
    for row in result.results["rows"]:
        for each in row["runs"]:
            assert each["report"] in page and (result.directory / each["report"]).is_file()


def test_the_model_of_what_to_use_is_named(compared):
    model = compared.results["model"]
    assert model["report"].startswith(f"trials/{compared.results['choice']}/")
    assert (compared.directory / model["report"]).with_name("model.keras").is_file()


def test_the_page_can_be_drawn_again(compared, tmp_path, capsys):
    again = tmp_path / "again"
    shutil.copytree(compared.directory, again)
    (again / "compare.html").unlink()
    assert report.command(again) == 0
    assert capsys.readouterr().out == f"{again / 'compare.html'}\n"
    assert (again / "compare.html").read_text() == (compared.directory / "compare.html").read_text()


def test_an_interrupted_comparison_repeats_nothing_and_gives_the_same_table(compared, tmp_path):
    result = compared
    again = tmp_path / "again"
    shutil.copytree(result.directory, again)
    for name in ("results.json", "compare.html", "trials/hot/demo/seed0_1/outcome.json"):
        (again / name).unlink()
    kept = again / "trials" / "same" / "demo" / "seed0_1" / "outcome.json"
    os.utime(kept, (1, 1))
    resumed = compare_strategies.run(compare_strategies.Config(resume=again))
    assert kept.stat().st_mtime == 1
    for before, after in zip(result.results["rows"], resumed.results["rows"], strict=True):
        assert all(before[key] == after[key] for key in ("name", "test", "validation", "kept", "per_class"))
    assert resumed.results["differences"] == result.results["differences"]


def test_a_trial_that_fails_is_a_row_and_the_other_has_a_price_and_is_put_under_stress(stripes, tmp_path, capsys):
    broken = "broken=feature_extraction --weights nowhere.h5"
    more = {"stress": True, "price_per_hour": 3600.0}
    result = compare_strategies.run(
        settings(stripes, tmp_path, strategies=("nearest_centroid", broken), seeds=1, fine_tuning_epochs=15, **more)
    )
    first = result.results["rows"][0]
    (trial,) = first["runs"]
    written = json.loads((result.directory / trial["report"]).with_name("stress").joinpath("stress.json").read_text())
    assert first["stress"]["clean"][0] == first["test"]["accuracy"][0] == written["clean"]["accuracy"][0]
    assert set(first["stress"]["kinds"]) == set(written["kinds"]) and len(written["kinds"]) == 10
    assert result.results["cost"]["price"] == pytest.approx(result.results["cost"]["seconds"])
    told = capsys.readouterr().out
    assert re.search(r"^stress +2 .* [\d.]+$", told, re.MULTILINE) and "stressed" in told and "at 3600 an hour" in told
    last = result.results["rows"][-1]
    assert last["name"] == "broken" and last["failed"] == 1 and last["test"] is None
    assert "nowhere.h5" in last["runs"][0]["error"]
    assert result.results["advice"][-1].startswith("Broken failed in 1 of 1 trial")


def test_a_dry_run_says_what_it_would_do_and_leaves_nothing(stripes, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        compare_strategies.run(settings(stripes, tmp_path, dry_run=True, strategies=("gradual_unfreezing",)))
    assert not ended.value.code and not list((tmp_path / "runs").rglob("*.*"))
    shown = capsys.readouterr().out
    assert "gradual_unfreezing" in shown and "takes about" in shown and "is found in" not in shown


def test_groups_in_names_are_for_the_splits_and_not_for_the_trials(stripes, tmp_path):
    config = compare_strategies.Config(
        data=str(stripes), group_pattern=r"^(\d)", find_near_duplicates=True, keep_near_duplicates_together=True
    )
    for strategy in compare_strategies.compared(config).values():
        own = compare_strategies.with_settings(config, strategy)
        assert own.group_pattern is None and not own.find_near_duplicates and not own.keep_near_duplicates_together


def test_the_plan_has_every_combination_once(stripes, tmp_path):
    names = ("demo", "narrow=MobileNetV2:0.35 --weights none --image-size 96")
    changes = {"strategies": ("feature_extraction", HOT), "backbones": names, "seeds": 2, "fractions": (0.5, 1.0)}
    config = settings(stripes, tmp_path, **changes)
    sources = plan.splits_of_seeds(config, photos.PHOTOS, config.seeds, config.fractions, tmp_path / "splits")
    planned = compare_strategies.plan(config, ("demo", "narrow"), sources)
    own = {each.backbone: each.trial.config for each in planned}
    assert {name: (each.backbone, each.weights, each.image_size) for name, each in own.items()} == {
        "demo": ("demo", "demo", 64), "narrow": ("MobileNetV2:0.35", "none", 96)
    }  # fmt: skip
    for seed in (0, 1):
        small, whole = (sample_list.read_csv(sources[seed, fraction]) for fraction in (0.5, 1.0))
        assert set(small) < set(whole)
        assert {each.split for each in set(whole) - set(small)} == {"train", "validation"}
    assert len({each.trial.name for each in planned}) == len(planned) == 2 * 2 * 2 * 2
    hot = next(each for each in planned if each.name == "hot").trial
    assert hot.recipe == partial_unfreezing.__name__ and hot.config.unfreeze_from == "1"
    assert hot.config.fine_tuning_rate == 0.3 and hot.config.learning_rate == QUICK["learning_rate"]
    with_claims = compare_strategies.plan(dataclasses.replace(config, claims=True), ("demo",), sources)
    names = [each.name for each in with_claims]
    assert {"from_scratch", "gradual_unfreezing", "full_fine_tuning"} <= set(names)
    assert names.count("high_rate") == names.count("with_augmentation") == 2
    assert {each.fraction for each in with_claims if each.name == "with_augmentation"} == {0.5}
    assert {each.fraction for each in with_claims if each.name == "high_rate"} == {1.0}


def test_from_scratch_has_no_pretrained_weights_and_full_fine_tuning_trains_every_layer(stripes, tmp_path):
    config = settings(stripes, tmp_path, strategies=("from_scratch", "full_fine_tuning"), seeds=1)
    found = plan.splits_of_seeds(config, photos.PHOTOS, 1, config.fractions, tmp_path / "splits")
    planned = compare_strategies.plan(config, ("demo",), found)
    scratch, full = (each.trial.config for each in planned)
    assert scratch.weights == "none" and full.weights == "demo"
    assert isinstance(scratch, from_scratch.Config) and isinstance(full, partial_unfreezing.Config)
    sides = {key: plan.count_sides(sample_list.read_csv(path)) for key, path in found.items()}
    speed = trials.call(compare_strategies.measure, config, planned, sides, time.time())
    assert speed.stages["from_scratch"] == [(1, 5)] * 3 + [(1, 20)]  # three rates are tried first
    assert speed.stages["full_fine_tuning"] == [(19, 20), (1, 2)]
    assert 0 < speed.step[19, False] < speed.step[1, False]


@pytest.mark.quick
def test_claims_have_five_seeds_where_none_are_given():
    counts = {
        (seeds, wanted): len(compare_strategies.seeds_of(compare_strategies.Config(seeds=seeds, claims=wanted)))
        for seeds in (None, 4) for wanted in (False, True)
    }  # fmt: skip
    assert counts == {(None, False): 3, (None, True): 5, (4, False): 4, (4, True): 4}


def test_the_plan_counts_views_and_what_no_cache_reads_again(stripes, tmp_path):
    def estimated(**changes):
        config = settings(
            stripes, tmp_path, strategies=("feature_extraction",), fine_tuning_epochs=15, **changes
        )  # fmt: skip
        found = plan.splits_of_seeds(config, photos.PHOTOS, 2, config.fractions, tmp_path / "splits")
        sides = {key: plan.count_sides(sample_list.read_csv(path)) for key, path in found.items()}
        planned = compare_strategies.plan(config, ("demo",), found)
        works = [each.work(sides) for each in planned]
        known = {(19, live): 1.0 for live in (False, True)}
        speed = time_estimate.Speed(0.0, 0.0, 1.0, 2.0, 0.0, known, known, {"feature_extraction": [(19, 1)]})
        counts = sides[0, 1.0]
        shared = [(each.name, work, each.trial.config) for each, work in zip(planned, works, strict=True)]
        return works, counts, speed.of_shared_features(shared)

    works, counts, features = estimated()
    assert [work.live for work in works] == [False, False] and features == sum(counts.values())
    works, counts, features = estimated(flip=True, views=3)
    others = counts["validation"] + counts["test"]
    assert features == others + 2 * 3 * counts["train"] * 2.0  # the two seeds have different views
    for changes in ({"flip": True, "views": 0}, {"no_cache": True}):
        works, _, features = estimated(**changes)
        assert all(work.live for work in works) and features == 0


@pytest.mark.quick
def test_names_that_are_usual_elsewhere_lead_to_strategies_that_exist():
    assert set(compare_strategies.ALSO_CALLED.values()) == set(compare_strategies.STRATEGIES)
    assert not set(compare_strategies.ALSO_CALLED) & set(compare_strategies.STRATEGIES)


def test_lora_is_planned_where_there_is_attention_and_elsewhere_it_is_said_that_it_is_not(stripes, tmp_path, capsys):
    tiny_network.attention().save(tmp_path / "with.keras")
    names = [str(tmp_path / "with.keras"), str(tiny_network.file(tmp_path / "without.keras")), "demo"]
    wanted = ("nearest_centroid", "low=lora --lora-rank 2")
    changes = {"strategies": wanted, "backbones": names, "preprocess": "tf", "weights": None, "image_size": None}
    config = settings(stripes, tmp_path, **changes, seeds=1)
    found = plan.splits_of_seeds(config, photos.PHOTOS, 1, config.fractions, tmp_path / "splits")
    whole = compare_strategies.plan(config, tuple(names), found)
    planned = compare_strategies.with_attention(config, whole)
    assert [(each.name, each.backbone) for each in planned] == [
        ("nearest_centroid", names[0]), ("low", names[0]), ("nearest_centroid", names[1]), ("nearest_centroid", "demo")
    ]  # fmt: skip
    assert planned[1].trial.config.lora_rank == 2 and planned[1].trial.config.preprocess == "tf"
    told = capsys.readouterr().err.splitlines()
    assert f"not planned, since there are no attention layers: low on {names[1]}, low on demo" in told
    with pytest.raises(errors.UserError, match="LoRA changes attention layers, which demo has not"):
        compare_strategies.with_attention(
            config, [each for each in whole if (each.name, each.backbone) == ("low", "demo")]
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategies": ("feature_extracton",)}, "did you mean feature_extraction"),
        ({"strategies": ("linear_probe",)}, "unknown strategy 'linear_probe'; here it is logistic_regression$"),
        ({"strategies": ("Fine-Tuning",)}, "here it is full_fine_tuning$"),
        ({"strategies": ("a=scratch --epochs 3",)}, "here it is from_scratch"),
        ({"backbones": ("demo", "MobileNetV2", "demo")}, "--backbones must contain each network only once"),
        ({"strategies": ("a=feature_extraction", "a=partial_unfreezing")}, "is listed twice"),
        ({"strategies": ("a=feature_extraction --rate 3",)}, "unknown argument --rate"),
        ({"strategies": ("a=",)}, "unknown strategy ''"),
        ({"strategies": ("../a=feature_extraction",)}, "is not a valid name"),
        ({"strategies": ("a=partial_unfreezing --fine-tuning-rate 1",)}, "at most a tenth"),
        ({"backbones": ("MobilNetV2",)}, "did you mean MobileNetV2"),
        ({"fractions": (0.0, 1.0)}, "--fractions must be above 0"),
        ({"fractions": ()}, "--fractions must contain at least one value"),
        ({"seeds": 0}, "--seeds must be above 0"),
    ],
)
def test_a_mistake_shows_before_anything_runs(changes, message):
    with pytest.raises(errors.UserError, match=message):
        compare_strategies.Config(**changes)
