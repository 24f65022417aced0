"""Settings of stages that train layers of a network together with its head, at a low rate."""

import dataclasses
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Lt

from common import flags
from common.training import settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class FineTuningConfig(settings.HeadConfig):
    """Flags of a head, and of stages that train layers of the network with it at a low rate."""

    # Epochs of each further stage; by default, its rate falls to 0 by the last.
    fine_tuning_epochs: Annotated[int, Gt(0)] = 15
    # 10 to 100 times lower than the head's, to preserve the pretrained weights.
    fine_tuning_rate: Annotated[float, Gt(0)] = 1e-4
    warmup_epochs: Annotated[int, Ge(0)] = 1  # epochs at the start of each further stage in which its rate rises
    schedule: Literal["cosine", "constant"] = "cosine"  # of each further stage: its rate falls to 0, or is constant
    batch_norm: Literal["frozen", "adapt"] = "frozen"  # adapt only with large batches and many photos
    keep_worse: bool = False  # keep fine-tuned layers that do not validate better, to study a rate or a depth

    REMOVED = settings.HeadConfig.REMOVED | {
        "monitor": flags.Removed(
            "accuracy", "no longer exists: both must hold, no fewer right answers and a lower log loss on validation"
        )
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fine_tuning(self, may_be_fast=self.keep_worse or bool(getattr(self, "lora_rank", 0)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoStageConfig(settings.PhotoConfig):
    """Flags of a new head and of fine-tuning the last layers with it, for a fixed number of epochs each."""

    hidden_units: Annotated[int, Ge(0)] = 256  # units of a Dense layer before the softmax; 0 for none
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0  # dropout rate before the softmax
    epochs: Annotated[int, Gt(0)] = 200  # of the head; by default, its rate falls to 0 by the last epoch
    # Number, name or block of the first layer to fine-tune; default: the last block.
    unfreeze_from: str | None = None
    fine_tuning_epochs: Annotated[int, Ge(0)] = 10  # of the second stage; 0 leaves it out
    fine_tuning_rate: Annotated[float, Gt(0)] = 1e-4  # 10 to 100 times lower than the head's
    warmup_epochs: Annotated[int, Ge(0)] = 1  # epochs in which the fine-tuning rate rises
    schedule: Literal["cosine", "constant"] = "cosine"  # of both stages: the rate falls to 0, or is constant
    batch_norm: Literal["frozen", "adapt"] = "frozen"  # adapt only with large batches and much data
    find_learning_rate: bool = False  # try rising rates of the head, draw the loss, suggest one, and stop

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fine_tuning(self)
        idle = ("fine_tuning_rate", "warmup_epochs", "batch_norm")
        flags.check_used(self, self.fine_tuning_epochs > 0, "with --fine-tuning-epochs 0", *idle)


def check_fine_tuning(config: FineTuningConfig | TwoStageConfig, may_be_fast: bool = False) -> None:
    """Refuse a fine-tuning rate near the head's, and a warm-up that leaves no epoch at the full rate.

    Args:
        config: has `learning_rate`, `fine_tuning_rate`, `fine_tuning_epochs` (0 for none) and `warmup_epochs`.
        may_be_fast: allow any rate, to study its effect, or because the pretrained weights stay as they are.

    Raises:
        UserError: the rate is too high or the warm-up too long.
    """
    slow = config.fine_tuning_rate <= config.learning_rate / 10
    allowed = may_be_fast or not config.fine_tuning_epochs
    flags.check(slow or allowed, "fine_tuning_rate", "must be at most a tenth of --learning-rate")
    short = config.fine_tuning_epochs and config.warmup_epochs >= config.fine_tuning_epochs
    flags.check(not short, "warmup_epochs", "must be below --fine-tuning-epochs; add --warmup-epochs 0")
