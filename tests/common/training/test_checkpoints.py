import keras
import numpy as np
import pytest

from common import errors
from common.runs import finished_run
from common.training import checkpoints, fine_tuning

pytestmark = pytest.mark.quick


@pytest.fixture
def progress(tmp_path):
    """That of a run which begins."""
    return checkpoints.Progress(tmp_path)


def test_the_rate_of_several_optimizers_under_loss_scaling_is_the_highest():
    rates = [keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-4)]
    multi = keras.optimizers.MultiOptimizer(lambda variable: rates["b" in variable.path])
    layers = [keras.layers.Dense(1, name=name) for name in "ab"]
    model = keras.Sequential([keras.Input((1,)), *layers])
    multi.build(model.trainable_variables)
    assert checkpoints._learning_rate(keras.optimizers.LossScaleOptimizer(multi)) == pytest.approx(1e-3)


def test_an_empty_history_is_as_good_as_none(tmp_path):
    (tmp_path / "history.csv").touch()  # killed between opening and writing
    checkpoints.trim_history(tmp_path, [], "head", 0)
    checkpoints.append_history(tmp_path, {"stage": "head", "epoch": 0, "loss": 1.0})
    assert finished_run.read_history(tmp_path) == [{"stage": "head", "epoch": 0.0, "loss": 1.0}]


def trained(progress, losses, accuracies, **how):
    """The bias of a model that is raised by 1 in every epoch, after a training with these results on validation."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    best = checkpoints.BestEpoch(progress, fine_tuning.FineTuningConfig(), epochs=len(losses), **how)
    best.set_model(model)
    best.on_train_begin()
    for epoch, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True)):
        model.layers[0].bias.assign_add([1.0])
        best.on_epoch_begin(epoch)
        best.on_epoch_end(epoch, {"loss": 1.0, "accuracy": 0.5, "val_loss": loss, "val_accuracy": accuracy})
        if model.stop_training:
            break
    best.on_train_end()
    return float(model.layers[0].bias[0]), best


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"patience": 2}, 2),  # the lowest loss
        ({"patience": 2, "monitor": "accuracy"}, 3),  # the later of two equal accuracies
        ({"patience": None}, 5),  # the last
        ({"patience": None, "baseline": 0.3}, 0),  # the last is worse than the baseline
        ({"patience": None, "monitor": "accuracy", "baseline": 0.7}, 0),
    ],
)
def test_which_epoch_is_kept(progress, how, expected):
    losses, accuracies = [0.9, 0.4, 0.5, 0.6, 0.7], [0.5, 0.8, 0.8, 0.7, 0.6]
    bias, best = trained(progress, losses, accuracies, stage="head", **how)
    assert bias == expected and best.improved == (expected > 0)
    assert progress.finished_stages == ["head"]


def test_penalties_on_weights_do_not_choose_the_epoch(progress):
    """They fall while the cross-entropy rises, so the sum is lowest in the last epoch."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    best = checkpoints.BestEpoch(progress, fine_tuning.FineTuningConfig(), "head", 3, patience=5)
    best.set_model(model)
    best.on_train_begin()
    for epoch, (penalty, plain) in enumerate([(0.9, 0.5), (0.5, 0.4), (0.1, 0.6)]):
        best.on_epoch_begin(epoch)
        best.on_epoch_end(epoch, {"loss": 1.0, "val_loss": penalty + plain, "val_categorical_crossentropy": plain})
    assert best.best_epoch == 1


def test_a_history_of_an_older_version_keeps_its_columns(tmp_path):
    checkpoints.append_history(tmp_path, {"stage": "head", "epoch": 0, "val_loss": 1.0})
    checkpoints.append_history(
        tmp_path, {"stage": "head", "epoch": 1, "val_categorical_crossentropy": 0.5, "val_loss": 0.8}
    )
    assert [row["val_loss"] for row in finished_run.read_history(tmp_path)] == [1.0, 0.8]


def test_a_stage_leaves_the_best_weights_of_others_alone(progress):
    """MobileNetV3 has blocks named expanded_conv and expanded_conv_10."""
    trained(progress, [0.5], [0.5], stage="from_expanded_conv_10", patience=1)
    trained(progress, [0.5, 0.4], [0.5, 0.5], stage="from_expanded_conv", patience=1)
    assert sorted(path.name for path in progress.directory.glob("best_*")) == [
        "best_from_expanded_conv_0002.npz", "best_from_expanded_conv_10_0001.npz"
    ]  # fmt: skip


def test_a_loss_that_is_not_finite_names_the_rate_to_lower(progress):
    for stage, flag in (("head", "--learning-rate"), ("fine_tuning", "--fine-tuning-rate")):
        with pytest.raises(errors.UserError, match=f"lower {flag}"):
            trained(progress, [np.nan], [0.5], stage=stage, patience=1)


@pytest.mark.parametrize("values", [[np.ones(3)], [np.array("hello")], [np.array([np.nan])]])
def test_a_checkpoint_of_another_network_is_told_in_one_line(tmp_path, values):
    checkpoints.Checkpoint("head", [], 0, 0, 0.5, 2.0, values).write(tmp_path)
    with pytest.raises(errors.UserError, match="a file of this run is damaged|Is a directory; it belongs"):
        trained(checkpoints.Progress(tmp_path), [1.0, 0.9], [0.5, 0.5], stage="head")


def test_a_damaged_checkpoint_is_told_in_one_line(tmp_path):
    whole = checkpoints.Checkpoint("head", [], 1, 1, 0.5, 2.0, [np.ones(3)])
    whole.write(tmp_path)
    assert checkpoints.Checkpoint.read(tmp_path).epoch == 1
    path = tmp_path / checkpoints.Checkpoint.NAME
    content = path.read_bytes()
    for damage in (content[:-30], b"", b"no zip", None):
        path.unlink()
        path.mkdir() if damage is None else path.write_bytes(damage)
        with pytest.raises(errors.UserError, match="a file of this run is damaged|Is a directory; it belongs"):
            checkpoints.Checkpoint.read(tmp_path)
