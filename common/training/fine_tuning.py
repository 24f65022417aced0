"""The settings of stages that train layers of a network with its head, at a low rate."""

import dataclasses
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Lt

from common import flags
from common.training import settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class FineTuningConfig(settings.HeadConfig):
    """The flags of a head, and of stages that train layers of the network with it at a low rate."""

    # Of each further stage; its rate falls to nothing in the last.
    fine_tuning_epochs: Annotated[int, Gt(0)] = 15
    # 10 to 100 times below the head's: pretrained weights are worth keeping.
    fine_tuning_rate: Annotated[float, Gt(0)] = 1e-4
    warmup_epochs: Annotated[int, Ge(0)] = 1  # epochs of each further stage in which its rate rises from nothing
    monitor: Literal["accuracy", "loss"] = "accuracy"  # on validation; loss also punishes being sure and wrong
    batch_norm: Literal["frozen", "adapt"] = "frozen"  # adapt only with large batches and many photos

    def __post_init__(self):
        super().__post_init__()
        check_fine_tuning(self, may_be_fast=getattr(self, "keep_worse", False))


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoStageConfig(settings.PhotoConfig):
    """The flags of a new head with its last layers fine-tuned behind it, for a fixed number of epochs each."""

    hidden_units: Annotated[int, Ge(0)] = 256  # Dense units before the softmax
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0  # before the softmax
    epochs: Annotated[int, Gt(0)] = 200  # of the head; its rate falls to nothing in the last
    # Number, name or block of the layer to fine-tune from; default: the last block.
    unfreeze_from: str | None = None
    fine_tuning_epochs: Annotated[int, Ge(0)] = 10  # of the second stage; 0 leaves it out
    fine_tuning_rate: Annotated[float, Gt(0)] = 1e-4  # 10 to 100 times below the head's
    warmup_epochs: Annotated[int, Ge(0)] = 1  # epochs in which the fine-tuning rate rises from nothing
    batch_norm: Literal["frozen", "adapt"] = "frozen"  # adapt only with large batches and much data

    def __post_init__(self):
        super().__post_init__()
        check_fine_tuning(self)


def check_fine_tuning(config, may_be_fast: bool = False) -> None:
    """Refuses a fine-tuning rate near the head's, and a warm-up that leaves no epoch at the full rate.

    Args:
        config: has `learning_rate`, `fine_tuning_rate`, `fine_tuning_epochs` (0 for none) and `warmup_epochs`.
        may_be_fast: any rate will do: somebody wants to see what it does.

    Raises:
        UserError: one of them is.
    """
    slow = config.fine_tuning_rate <= config.learning_rate / 10
    flags.check(slow or may_be_fast, "fine_tuning_rate", "must be 10 times below --learning-rate")
    short = config.fine_tuning_epochs and config.warmup_epochs >= config.fine_tuning_epochs
    flags.check(not short, "warmup_epochs", "must be below --fine-tuning-epochs: add --warmup-epochs 0")
