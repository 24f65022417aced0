import dataclasses
import errno
import pathlib

import pytest
import tensorflow as tf

from common import config, errors
from recipes import partial_unfreezing, video_actions


def test_defaults_and_flags():
    parsed = config.parse(config.SharedConfig, ["--seed", "3", "--no-cache", "--out", "elsewhere"])
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
        config.parse(config.SharedConfig, arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value) and "│" not in str(caught.value)


def test_too_much_augmentation_is_refused():
    for settings in ({"zoom": 20.0}, {"contrast": 10.0}):
        with pytest.raises(errors.UserError, match="0.1 is 10 %"):
            config.SharedConfig(**settings)
    with pytest.raises(errors.UserError, match="to 180 degrees"):
        config.SharedConfig(rotation=270.0)


def test_a_mistake_found_in_a_data_pipeline_is_one_line_too(capsys):
    def read(number):
        raise errors.UserError("the shard was removed; start again")

    with pytest.raises(SystemExit) as stop, config.reported_errors():
        list(tf.data.Dataset.range(1).map(lambda number: tf.numpy_function(read, [number], tf.float32)))
    assert stop.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: the shard was removed; start again"


def test_help_shows_the_rule_of_thumb(capsys):
    with pytest.raises(SystemExit) as stop:
        config.parse(config.SharedConfig, ["--help"])
    assert not stop.value.code
    assert "halve it when memory runs out" in capsys.readouterr().out


def test_json_and_back():
    original = config.SharedConfig(cache=pathlib.Path("somewhere"), resume=None, epochs=3)
    assert config.from_dict(config.SharedConfig, config.to_dict(original)) == original
    with pytest.raises(errors.UserError, match="another version"):
        config.from_dict(config.SharedConfig, {"colour": "blue"})


@pytest.mark.parametrize(
    ("raised", "code"),
    [(errors.UserError("no such folder"), 2), (OSError(errno.ENOSPC, "No space left on device"), 2),
     (KeyboardInterrupt(), 130)],
)  # fmt: skip
def test_exit_codes(raised, code, capsys):
    with pytest.raises(SystemExit) as stop, config.reported_errors():
        raise raised
    assert stop.value.code == code
    assert "Traceback" not in capsys.readouterr().err


def test_debug_shows_the_traceback(capsys):
    with pytest.raises(SystemExit), config.reported_errors(debug=True):
        raise errors.UserError("no such folder")
    assert "Traceback" in capsys.readouterr().err


def test_a_bug_is_not_hidden():
    with pytest.raises(ZeroDivisionError), config.reported_errors():
        _ = 1 / 0


def test_commands_are_suggested():
    with pytest.raises(errors.UserError, match="did you mean predict"):
        config.command({"predict": lambda: 0, "report": lambda: 0}, ["predikt"])


def test_every_setting_is_explained_where_it_stands():
    lines = pathlib.Path(config.__file__).read_text().splitlines()
    for field in dataclasses.fields(config.SharedConfig):
        line = next(line for line in lines if line.startswith(f"    {field.name}: "))
        assert "  # " in line, field.name


@pytest.mark.parametrize(
    "settings",
    [
        partial_unfreezing.Config(),
        partial_unfreezing.Config(unfreeze_from="1", keep_worse=True, fine_tuning_rate=1e-5, cache=pathlib.Path("a b")),
        video_actions.Config(flip=False, time_pairs=("open", "close")),
    ],
)
def test_a_config_becomes_arguments_that_give_it_again(settings):
    assert config.parse(type(settings), config.arguments(settings)) == settings
