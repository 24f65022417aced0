import ast
import dataclasses
import errno
import pathlib
import sys
from typing import Annotated, Literal

import pytest
import tensorflow as tf
import tyro
from annotated_types import Ge, Gt, Le, Lt, doc

from common import errors, flags
from common.training import settings as training_settings
from common.training import tuning
from recipes import (
    choose_backbone,
    continual_learning,
    feature_extraction,
    legal_text,
    linear_probe,
    partial_unfreezing,
    skin_lesions,
    video_actions,
)

pytestmark = pytest.mark.quick


def test_defaults_and_flags():
    parsed = flags.parse(training_settings.PhotoConfig, ["--seed", "3", "--no-cache", "--out", "elsewhere"])
    assert (parsed.seed, parsed.no_cache, parsed.out) == (3, True, pathlib.Path("elsewhere"))
    assert parsed.data == "demo" and parsed.split_seed is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch-sise", "4"], "did you mean --batch-size?"),
        (["--batch-size", "four"], "--batch-size"),
        (["--precision", "float8"], "mixed_bfloat16"),
        (["--batch-size", "0"], "--batch-size must be above 0"),
        (["--test-fraction", "1.5"], "--test-fraction must be between 0 and 1"),
        (["photos"], "unknown argument photos"),
        (["--seed", "-1"], "--seed must be from 0"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(arguments, message):
    with pytest.raises(errors.UserError) as caught:
        flags.parse(training_settings.PhotoConfig, arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value) and "│" not in str(caught.value)


@dataclasses.dataclass(frozen=True)
class Bounded:
    """A setting with each kind of bounds."""

    above: Annotated[int, Gt(0)] = 1
    at_least: Annotated[float, Ge(0)] = 0.0
    below: Annotated[float, Ge(0), Lt(1)] = 0.0
    angle: Annotated[float, Ge(0), Le(180)] = 180.0
    share: Annotated[float, Gt(0), Lt(1)] = 0.5
    decay: Annotated[float, Gt(0), Le(1)] = 1.0
    seed: Annotated[int, Ge(0), Le(2**31 - 1)] = 2**31 - 1
    optional: Annotated[int, Gt(0)] | None = None
    optional_share: Annotated[float, Gt(0), Lt(1)] | None = None
    free: float = -1.0
    word: Literal["one", "another"] = "one"


@pytest.mark.parametrize(
    ("name", "inside", "outside", "message"),
    [
        ("above", [1, 10**6], [0, -1], "--above must be above 0"),
        ("at_least", [0.0, 1e9], [-1e-9, -1.0], "--at-least must be 0 or above"),
        ("below", [0.0, 0.999], [-0.1, 1.0, 20.0], "--below must be from 0 to below 1"),
        ("angle", [0.0, 180.0], [-1.0, 180.1], "--angle must be from 0 to 180"),
        ("share", [1e-9, 0.999], [0.0, 1.0, 1.5], "--share must be between 0 and 1"),
        ("decay", [1e-9, 1.0], [0.0, 1.1], "--decay must be above 0 and at most 1"),
        ("seed", [0, 2**31 - 1], [-1, 2**31], "--seed must be from 0 to 2147483647"),
        ("optional", [None, 1], [0], "--optional must be above 0"),
        ("optional_share", [None, 0.5], [0.0, 1.0], "--optional-share must be between 0 and 1"),
        ("free", [-1e9, float("inf")], [], ""),
        ("word", ["another"], ["other", None], "--word must be one of one, another"),
    ],
)
def test_bounds_are_those_of_the_type(name, inside, outside, message):
    for value in inside:
        flags.check_bounds(Bounded(**{name: value}))
    for value in outside:
        with pytest.raises(errors.UserError) as refused:
            flags.check_bounds(Bounded(**{name: value}))
        assert str(refused.value) == message


def test_a_bound_on_one_side_does_not_let_infinity_through():
    for name in ("above", "at_least"):
        with pytest.raises(errors.UserError, match=f"--{name.replace('_', '-')} must be a finite number"):
            flags.check_bounds(Bounded(**{name: float("inf")}))


def test_the_home_of_an_unknown_user_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["recipe.py", "--out", "~nouser/runs"])
    with pytest.raises(SystemExit) as stopped, flags.reported_errors():
        pathlib.Path("~nouser/runs").expanduser()
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("error: ~nouser/runs: ~ and a name stand for the folder of a user, and")


def test_an_unexpected_error_says_how_to_go_on(capsys, monkeypatch):
    monkeypatch.setattr(flags, "HOW_TO_GO_ON", ["--resume runs/1"])
    with pytest.raises(ZeroDivisionError), flags.reported_errors():
        1 / 0  # noqa: B018
    assert "nothing is lost: go on with --resume runs/1" in capsys.readouterr().err


def test_what_is_no_number_is_outside_all_bounds():
    for name in ("above", "at_least", "below", "angle", "share", "decay"):
        with pytest.raises(errors.UserError):
            flags.check_bounds(Bounded(**{name: float("nan")}))


def test_the_bounds_of_a_recipe_and_those_of_its_bases_are_checked():
    with pytest.raises(errors.UserError, match="^--layer-decay must be above 0 and at most 1$"):
        partial_unfreezing.Config(layer_decay=0.0)
    with pytest.raises(errors.UserError, match="^--cache-limit-gb must be above 0$"):
        video_actions.Config(cache_limit_gb=0.0)


def test_a_mistake_found_in_a_data_pipeline_is_one_line_too(capsys):
    def read(number):
        raise errors.UserError("the shard was removed; start again")

    with pytest.raises(SystemExit) as stop, flags.reported_errors():
        list(tf.data.Dataset.range(1).map(lambda number: tf.numpy_function(read, [number], tf.float32)))
    assert stop.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: the shard was removed; start again"


def test_help_shows_the_rule_of_thumb(capsys):
    with pytest.raises(SystemExit) as stop:
        flags.parse(training_settings.PhotoConfig, ["--help"])
    assert not stop.value.code
    assert "halve it if memory runs out" in capsys.readouterr().out


def test_json_and_back():
    original = training_settings.PhotoConfig(cache=pathlib.Path("somewhere"), resume=None, epochs=3)
    assert flags.from_dict(training_settings.PhotoConfig, flags.to_dict(original)) == original
    with pytest.raises(errors.UserError, match="another version"):
        flags.from_dict(training_settings.PhotoConfig, {"colour": "blue"})


@pytest.mark.parametrize(
    ("raised", "code"),
    [(errors.UserError("no such folder"), 2), (OSError(errno.ENOSPC, "No space left on device"), 2),
     (OSError(errno.ENAMETOOLONG, "File name too long"), 2), (OSError(errno.EFBIG, "File too large"), 2),
     (KeyboardInterrupt(), 130)],
)  # fmt: skip
def test_exit_codes(raised, code, capsys):
    with pytest.raises(SystemExit) as stop, flags.reported_errors():
        raise raised
    assert stop.value.code == code
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("2 files are damaged; leave them out with --skip-bad",
         "--skip-bad; --resume takes no such flag: for --skip-bad, start a new run with it"),
        ("no space; choose another --out and --cache", "for --out or --cache, start a new run with them"),
        ("put it back, or start a new run with --skip-bad", "start a new run with --skip-bad"),
        ("--resume runs/x: this run is finished", "--resume runs/x: this run is finished"),
        ("--epochs cannot be used here; remove --epochs", "remove --epochs"),
        ("--prefix-precision bfloat16: this CPU has no units for it; remove it", "for it; remove it"),
        ("--engine onnxruntime needs tf2onnx: pip install 'keras-recipes[fast]'", "pip install 'keras-recipes[fast]'"),
        ("--data x: 2 photos are damaged; give --skip-bad", "for --skip-bad, start a new run with it"),
    ],
)  # fmt: skip
def test_no_advice_under_resume_names_a_flag_that_it_refuses(message, said):
    resumed = ["x.py", "--resume=runs/x", "--epochs", "3"]
    assert flags.advice_under_resume(message, resumed).endswith(said)
    assert flags.advice_under_resume(message, ["x.py", "--epochs", "3"]) == message


def test_debug_shows_the_traceback(capsys):
    with pytest.raises(SystemExit), flags.reported_errors(debug=True):
        raise errors.UserError("no such folder")
    assert "Traceback" in capsys.readouterr().err


def test_a_bug_is_not_hidden():
    with pytest.raises(ZeroDivisionError), flags.reported_errors():
        _ = 1 / 0


@pytest.mark.parametrize("module", [flags, training_settings, tuning])
def test_every_setting_is_explained_where_it_stands(module):
    """On its line, or on the one before."""
    source = pathlib.Path(module.__file__).read_text(encoding="utf-8")
    lines = source.splitlines()
    settings = [
        node for part in ast.parse(source).body if isinstance(part, ast.ClassDef) and part.name.endswith("Config")
        for node in part.body if isinstance(node, ast.AnnAssign)
    ]  # fmt: skip
    assert len(settings) > 15
    for setting in settings:
        before, own = lines[setting.lineno - 2], lines[setting.lineno - 1 : setting.end_lineno]
        assert before.startswith("    # ") or any("  # " in line for line in own), setting.target.id


@pytest.mark.parametrize(
    "settings",
    [
        partial_unfreezing.Config(),
        partial_unfreezing.Config(unfreeze_from="1", keep_worse=True, fine_tuning_rate=1e-5, cache=pathlib.Path("a b")),
        video_actions.Config(flip=False, time_pairs=("open", "close")),
    ],
)
def test_a_config_becomes_arguments_that_give_it_again(settings):
    assert flags.parse(type(settings), flags.arguments(settings)) == settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hiding(flags.RunConfig):
    epochs: tyro.conf.Suppress[int] = 7
    units: Annotated[int, Gt(0), doc("there is no half unit")] | None = None


def test_what_a_recipe_hides_is_no_flag_and_is_not_recorded():
    assert "epochs" not in flags.to_dict(Hiding()) and "--epochs" not in flags.arguments(Hiding(epochs=8))
    with pytest.raises(errors.UserError, match="unknown argument --epochs"):
        flags.parse(Hiding, ["--epochs", "3"])


def test_a_removed_setting_is_forgotten_where_it_did_nothing():
    assert flags.from_dict(Hiding, {"seed": 3, "train_base": False}) == Hiding(seed=3)
    with pytest.raises(errors.UserError, match="made with --train-base True; --train-base no longer .*start a new run"):
        flags.from_dict(Hiding, {"train_base": True})


def test_a_stored_setting_without_an_effect_is_forgotten():
    """A run of a version that took it can be resumed."""
    given = {"skip_unsupported": True, "blocks": 2, "strategy": "full", "epochs": 3, "out": "here"}
    with pytest.raises(errors.UserError, match="has no effect"):
        legal_text.Config(**given)
    stored = flags.from_dict(legal_text.Config, given)
    assert stored == legal_text.Config(strategy="full", epochs=3, out=pathlib.Path("here"))
    with pytest.raises(errors.UserError, match="--epochs must be above 0"):
        flags.from_dict(legal_text.Config, given | {"epochs": 0})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Renaming(flags.RunConfig):
    colour: int = 4

    REMOVED = flags.RunConfig.REMOVED | {
        "color": flags.Removed(None, "is called --colour now"), "colour": flags.Removed(4, "is never said"),
    }  # fmt: skip


@pytest.mark.parametrize("argument", ["--color", "--color=3", "--no-color", "--train-base"])
def test_a_removed_flag_is_answered_with_what_has_become_of_it(argument):
    with pytest.raises(errors.UserError) as refused:
        flags.parse(Renaming, [argument])
    told = "no longer exists" if argument == "--train-base" else "--color is called --colour now"
    assert told in str(refused.value) and "unknown" not in str(refused.value)


def test_a_field_counts_whatever_else_is_said_of_its_name():
    assert flags.from_dict(Renaming, {"colour": 4, "color": None}) == Renaming()
    assert flags.parse(Renaming, ["--colour", "5"]).colour == 5


def test_a_type_with_bounds_is_told_as_a_type():
    with pytest.raises(errors.UserError) as raised:
        flags.parse(Hiding, ["--units", "half"])
    assert "half" in str(raised.value) and "Annotated" not in str(raised.value)


@pytest.mark.parametrize(
    ("recipe", "given", "answer"),
    [
        (partial_unfreezing, "--lr", "--lr is called --learning-rate"),
        (partial_unfreezing, "--warm-up", "--warm-up is now --warmup-epochs"),
        (legal_text, "--warm-up", "--warm-up is now --warmup-ratio"),
        (legal_text, "--window", "--window is now --sequence-length"),
        (video_actions, "--looks", "--looks is now --test-time-views"),
        (partial_unfreezing, "--window", "unknown argument --window"),
    ],
)
def test_an_old_or_well_known_name_is_answered_with_the_right_one(recipe, given, answer):
    with pytest.raises(errors.UserError, match=f"^{answer}"):
        flags.parse(recipe.Config, [given, "3"])


def test_settings_of_older_versions_are_read_by_their_names_of_today():
    stored = flags.to_dict(legal_text.Config(warmup_ratio=0.3, clipnorm=2.0))
    old = stored | {"warm_up": stored.pop("warmup_ratio"), "clip": stored.pop("clipnorm")}
    assert flags.from_dict(legal_text.Config, old) == legal_text.Config(warmup_ratio=0.3, clipnorm=2.0)
    assert flags.renamed({"window": 64, "seed": 1}) == {"sequence_length": 64, "seed": 1}


@pytest.mark.parametrize("recipe", [feature_extraction, partial_unfreezing, skin_lesions, video_actions])
def test_article_sets_the_defaults_to_those_of_the_example(recipe):
    config = flags.parse(recipe.Config, ["--article"])
    assert config.article and all(getattr(config, name) == value for name, value in recipe.Config.ARTICLE.items())
    assert (config.epochs, config.learning_rate) == (10, 1e-3) and recipe.Config().epochs != 10
    assert flags.parse(recipe.Config, flags.arguments(config)) == config


def test_a_flag_beside_article_wins():
    config = flags.parse(partial_unfreezing.Config, ["--head", "gap", "--article", "--no-keep-worse", "--epochs", "3"]
                         + ["--fine-tuning-rate", "1e-4"])  # fmt: skip
    assert (config.head, config.epochs, config.keep_worse) == ("gap", 3, False)
    assert config.unfreeze_from == "15" and config.schedule == "constant"
    assert config.head == partial_unfreezing.Config().head  # which differs from the example's
    assert flags.parse(partial_unfreezing.Config, flags.arguments(config)) == config
    with pytest.raises(errors.UserError, match="unknown argument --article"):
        flags.parse(linear_probe.Config, ["--article"])


@pytest.mark.parametrize(
    ("recipe", "given", "message"),
    [
        (linear_probe, {"episodes": 5}, "--episodes has no effect without --shots; remove it"),
        (choose_backbone, {"seeds": 9}, "--seeds has no effect without --verify; remove it"),
        (continual_learning, {"orders": 5}, "--orders has no effect without --compare; remove it"),
        (continual_learning, {"per_class": 5}, "--per-class has no effect with --method ridge; remove it"),
        (continual_learning, {"method": "naive", "strength": 5.0}, "--strength has no effect with --method naive"),
    ],
)
def test_settings_without_effect_are_refused(recipe, given, message):
    with pytest.raises(errors.UserError, match=message):
        recipe.Config(**given)
