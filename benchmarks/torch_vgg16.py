"""VGG16 with a head in plain PyTorch 2, for `frozen_prefix.py --ways pytorch`, which needs `pip install torch`."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # filters and convolutions


class Classifier(torch.nn.Module):
    """The layers of VGG16 (`include_top=False`), flatten, Linear 256, Linear 2."""

    def __init__(self, initial: list[np.ndarray], first_trained: int) -> None:
        """Set Keras's weights, kernels (height, width, in, out), and freeze Keras's layers before `first_trained`."""
        super().__init__()
        layers, trained, number, channels = [], [], 1, 3  # layer 0 of Keras is the input
        for filters, convolutions in BLOCKS:
            for _ in range(convolutions):
                layers += [torch.nn.Conv2d(channels, filters, 3, padding=1), torch.nn.ReLU()]
                trained.append(number >= first_trained)
                number, channels = number + 1, filters
            layers.append(torch.nn.MaxPool2d(2))
            number += 1
        self.features = torch.nn.Sequential(*layers)
        size = initial[-4].shape[0]
        self.head = torch.nn.Sequential(torch.nn.Linear(size, 256), torch.nn.ReLU(), torch.nn.Linear(256, 2))
        convolutions = [layer for layer in self.features if isinstance(layer, torch.nn.Conv2d)]
        self.weighted = [*convolutions, self.head[0], self.head[2]]
        for layer, kernel, bias in zip(self.weighted, initial[::2], initial[1::2], strict=True):
            layer.weight.data = torch.from_numpy(np.moveaxis(kernel, -1, 0).copy() if kernel.ndim == 2 else
                                                 np.transpose(kernel, (3, 2, 0, 1)).copy())  # fmt: skip
            layer.bias.data = torch.from_numpy(bias.copy())
        for layer, trains in zip(convolutions, trained, strict=True):
            layer.requires_grad_(trains)

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        """Return logits (n, 2) of photos (n, 3, height, width); features are flattened in Keras's order."""
        return self.head(self.features(photos).permute(0, 2, 3, 1).flatten(1))

    def keras_weights(self) -> list[np.ndarray]:
        """Return kernels and biases in Keras's order and layout."""
        found = []
        for layer in self.weighted:
            weight = layer.weight.detach().numpy()
            found += [weight.T if weight.ndim == 2 else np.transpose(weight, (2, 3, 1, 0)), layer.bias.detach().numpy()]
        return found


def epochs_of(
    model: Classifier, batches: Any, validation: tuple[np.ndarray, np.ndarray], epochs: int, optimizer: str
) -> Iterator[int]:
    """Train and validate with Keras's settings of the optimizer, and yield the index of each epoch after it.

    Args:
        model: the model to train.
        batches: a `keras.utils.PyDataset` of photos (n, height, width, 3) and one-hot labels.
        validation: photos and one-hot labels.
        epochs: the number of epochs.
        optimizer: `adam` or `sgd`.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    step_with = {
        "adam": torch.optim.Adam(trained, lr=1e-3, eps=1e-7),
        "sgd": torch.optim.SGD(trained, lr=1e-3, momentum=0.9),
    }[optimizer]
    loss_function = torch.nn.CrossEntropyLoss()
    for epoch in range(epochs):
        for step in range(len(batches)):
            photos, labels = (torch.from_numpy(array) for array in batches[step])
            step_with.zero_grad()
            loss_function(model(photos.permute(0, 3, 1, 2)), labels).backward()
            step_with.step()
        batches.on_epoch_end()
        with torch.no_grad():
            for start in range(0, len(validation[0]), 32):
                model(torch.from_numpy(validation[0][start : start + 32]).permute(0, 3, 1, 2))
        yield epoch
