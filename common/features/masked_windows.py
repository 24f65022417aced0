"""Windows of texts in which tokens are masked, from which an encoder learns the language of a domain.

The masks are those of BERT (Devlin et al. 2018, https://arxiv.org/abs/1810.04805): of 15 % of the tokens, most are
replaced by [MASK], and the network tells which they were. Going on with it on texts of one's own domain is
"domain-adaptive pretraining" (Gururangan et al. 2020, https://arxiv.org/abs/2004.10964).
"""

import random
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from common import errors
from common.features import frozen_windows
from common.models import encoder, language_model

RATE = 0.15  # of the tokens of a text are masked, on average
MOST = 0.25  # of a window's tokens at most

# The inputs of the network, the masked tokens (windows, masks), and 1 where there is one.
Drawn = tuple[list[np.ndarray], np.ndarray, np.ndarray]


class Batches(frozen_windows.Batches):
    """Batches of windows with masks that are drawn anew for each epoch, or that stay if there is no seed.

    Args:
        draw: takes the number of an epoch, and returns its masks.
        batch_size, seed, first_epoch: as for `frozen_windows.Batches`.
    """

    def __init__(
        self, draw: Callable[[int], Drawn], batch_size: int, seed: int | None = None, first_epoch: int = 0
    ) -> None:
        self.draw, self.inputs = draw, draw(first_epoch)[0]
        empty = np.zeros((len(self.inputs[0]), 1), "int32")
        super().__init__(lambda rows: [each[rows] for each in self.inputs], empty, empty, batch_size, seed, first_epoch)

    def _shuffle(self) -> None:
        self.inputs, self.targets, self.weights = self.draw(self.epoch if self.seed is not None else 0)
        super()._shuffle()


class MaskedWindows:
    """A run's windows for an encoder with a head that tells masked tokens; `fitting.fit` takes it as `FrozenWindows`.

    Nothing is cached, because every epoch masks other tokens.

    Attributes:
        suffix, whole: the network, as `encoder.with_masked_lm_head` returns it.
        missing, missing_bytes, cache_bytes, seconds: 0, as there is no frozen part.
    """

    prefix = None
    missing = missing_bytes = cache_bytes = 0
    seconds = 0.0

    def __init__(self, model: encoder.Encoder, documents: Mapping[str, Sequence[np.ndarray]], config: Any) -> None:
        """Cut the documents into windows.

        Args:
            model: the encoder.
            documents: `train` and `validation` → the token numbers of each document.
            config: has `sequence_length`, `batch_size` and `seed`.

        Raises:
            UserError: no token of the validation documents is masked, as there are too few.
        """
        self.model, self.config = model, config
        self.suffix = self.whole = encoder.with_masked_lm_head(model)
        self.windows = {side: _windows(model, every, config.sequence_length) for side, every in documents.items()}
        self.splits = types.SimpleNamespace(**{side: ids for side, (ids, _) in self.windows.items()})
        tokenizer = model.tokenizer
        self.masker = language_model.keras_hub().layers.MaskedLMMaskGenerator(
            vocabulary_size=tokenizer.vocabulary_size(), mask_selection_rate=RATE,
            mask_token_id=tokenizer.mask_token_id, mask_selection_length=max(1, int(MOST * config.sequence_length)),
            unselectable_token_ids=[*model.edges, tokenizer.pad_token_id],
        )  # fmt: skip

        if not self._drawn("validation", 0)[2].any():
            raise errors.UserError(
                "--adapt-epochs: the documents that are held out have no token to mask, so nothing would tell whether "
                "it helps; add documents (--adapt-texts), or remove it"
            )

    def batches(self, side: str, **options: Any) -> Batches:
        """Return the batches of one side, in order and with masks that stay unless a seed is given."""
        return Batches(lambda epoch: self._drawn(side, epoch), self.config.batch_size, **options)

    def generators(self, first_epoch: int = 0, balanced: bool = False) -> tuple[Batches, Batches, None]:
        """Return the train and validation generators for `suffix`, and None, as there is no test side."""
        return self.batches("train", seed=self.config.seed, first_epoch=first_epoch), self.batches("validation"), None

    def _drawn(self, side: str, epoch: int) -> Drawn:
        """Mask the windows of one side as the seed and the epoch determine, so that a resumed run does it alike."""
        ids, mask = self.windows[side]
        before = random.getstate()  # KerasHub's layer draws from Python's own generator
        random.seed(f"{side} {self.config.seed} {epoch}")
        try:
            masked = {name: np.asarray(each) for name, each in self.masker(ids).items()}
        finally:
            random.setstate(before)
        inputs = [masked["token_ids"], mask, masked["mask_positions"]]
        return inputs, masked["mask_ids"], masked["mask_weights"]


def _windows(
    model: encoder.Encoder, documents: Sequence[np.ndarray], length: int
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Return all of the documents' tokens as windows, and the mask of their padding, int32 (n, length)."""
    rows = [model.rows([ids], length, model.windows_of(len(ids), length)) for ids in documents]
    ids, weights = (np.concatenate([getattr(row, name).reshape(-1, length) for row in rows])
                    for name in ("token_ids", "weights"))  # fmt: skip
    return ids, (weights > 0).astype("int32")
