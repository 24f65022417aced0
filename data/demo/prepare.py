"""Pretrain the demo's network, a narrow VGG16, on drawn classes that the demo itself never shows.

From the repository's root:

    python data/demo/prepare.py

It draws 320 photos of each class in `classes.py` for training and 20 for validation, and trains the network with a
global average pooling and softmax head. The base's weights, without the head, are written to
`data/demo/vgg16_narrow.weights.h5`. They are committed, so the demo runs without this script.

Most epochs use photos of 64 pixels, which is twice as fast, and the last ones the demo's own 96. Without batch norm
the accuracy of the 13 convolutions stays at chance for over 800 steps. So batch norm is added for the training and
folded into the weights at the end: the file contains only VGG16's layers.

Expected: validation accuracy 0.87 over 55 classes (seed 0) in 25 minutes on 2 CPU cores, shared with other work.
The file has 1.8 MB.
"""

from common import startup  # noqa: F401, isort: skip  (first)

import argparse
import concurrent.futures
import math
import multiprocessing
import os
import pathlib
import time

import classes
import keras
import numpy as np
import tqdm

from common.demo import drawn_photos, network

TRAIN_PER_CLASS = 320
VALIDATION_PER_CLASS = 20
SMALL_SIZE = 64  # pixels, for the first epochs.
SMALL_EPOCHS = 5
FULL_EPOCHS = 3
BATCH_SIZE = 64
LEARNING_RATE = 2e-3  # the maximum, after the warm-up.
WARM_UP = 0.05  # share of all steps.
CHANNEL_ORDERS = np.array([(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])


def draw_class(class_name: str, start: int, stop: int) -> np.ndarray:
    """Return photos of one class with the seeds from `start` to `stop` - 1, uint8 (n, 96, 96, 3)."""
    painter = classes.PAINTERS[class_name]
    randoms = (drawn_photos.photo_random(class_name, seed) for seed in range(start, stop))
    return np.stack([drawn_photos.paint_photo(painter, random) for random in randoms])


def draw_all(start: int, stop: int, description: str) -> tuple[np.ndarray, np.ndarray]:
    """Draw photos of all classes on all cores, and return them with their labels: uint8 (n, 96, 96, 3), int (n,)."""
    context = multiprocessing.get_context("spawn")  # TensorFlow's threads do not survive a fork.
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        jobs = [pool.submit(draw_class, name, start, stop) for name in classes.CLASS_NAMES]
        photos = [job.result() for job in tqdm.tqdm(jobs, desc=description, unit="class", disable=None)]
    return np.concatenate(photos), np.repeat(np.arange(len(jobs)), stop - start)


def shrink(photos: np.ndarray, size: int) -> np.ndarray:
    """Resize photos (n, height, width, 3) to `size` pixels, uint8, in parts to save memory."""
    if photos.shape[1] == size:
        return photos
    parts = np.array_split(photos, math.ceil(len(photos) / 500))
    resized = [keras.ops.image.resize(part.astype("float32"), (size, size), antialias=True) for part in parts]
    return np.concatenate([np.clip(np.rint(part), 0, 255).astype(np.uint8) for part in resized])


class Batches(keras.utils.PyDataset):
    """Preprocessed batches in a new order each epoch, flipped and recoloured at random.

    Exchanging red, green and blue gives another valid photo, because colour is unrelated to the class.
    """

    def __init__(self, photos: np.ndarray, labels: np.ndarray, seed: int) -> None:
        super().__init__()
        self.photos, self.labels = photos, labels
        self.random = np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self) -> int:
        return len(self.order) // BATCH_SIZE

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = self.order[index * BATCH_SIZE : (index + 1) * BATCH_SIZE]
        photos = np.stack([self.vary(photo) for photo in self.photos[chosen]])
        return network.preprocess(photos), self.labels[chosen]

    def vary(self, photo: np.ndarray) -> np.ndarray:
        flipped = photo[:, ::-1] if self.random.random() < 0.5 else photo
        return flipped[..., self.random.choice(CHANNEL_ORDERS)].astype("float32")

    def on_epoch_end(self) -> None:
        self.order = self.random.permutation(len(self.photos))


def with_batch_norm(base: keras.Model) -> keras.Model:
    """Return a twin of the base with batch norm after each convolution; `fold` removes it again."""
    inputs = x = keras.Input(base.input_shape[1:])
    for layer in base.layers[1:]:
        if isinstance(layer, keras.layers.Conv2D):
            settings = {**layer.get_config(), "activation": "linear", "use_bias": False}
            x = keras.layers.Conv2D.from_config(settings)(x)
            x = keras.layers.BatchNormalization(momentum=0.9, name=f"{layer.name}_norm")(x)
            x = keras.layers.ReLU(name=f"{layer.name}_relu")(x)
        else:
            x = keras.layers.MaxPooling2D.from_config(layer.get_config())(x)
    return keras.Model(inputs, x)


def fold(twin: keras.Model, base: keras.Model) -> None:
    """Set weights of the base, which has no batch norm, such that it computes the same as the twin."""
    for layer in base.layers:
        if isinstance(layer, keras.layers.Conv2D):
            norm = twin.get_layer(f"{layer.name}_norm")
            gamma, beta, mean, variance = norm.get_weights()
            scale = gamma / np.sqrt(variance + norm.epsilon)
            kernel = twin.get_layer(layer.name).get_weights()[0]
            layer.set_weights([kernel * scale, beta - mean * scale])


def build_classifier(base: keras.Model, steps: int) -> keras.Model:
    """Return the base with a new head, compiled with a warm-up and a cosine decay over `steps`."""
    x = keras.layers.GlobalAveragePooling2D()(base.output)
    model = keras.Model(base.input, keras.layers.Dense(len(classes.CLASS_NAMES), activation="softmax")(x))
    warm_up = int(WARM_UP * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        1e-5, steps - warm_up, warmup_target=LEARNING_RATE, warmup_steps=warm_up
    )
    model.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def save_weights(base: keras.Model, path: pathlib.Path) -> None:
    """Write the weights beside `path` first, so that an interrupted run leaves the old file intact."""
    unfinished = path.with_name("unfinished.weights.h5")
    base.save_weights(unfinished)
    unfinished.replace(path)


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--out", type=pathlib.Path, default=network.WEIGHTS_PATH, help="the file to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random weights and the order")
    return parser.parse_args()


def main() -> None:
    """Draw the photos, train, fold the batch norm into the weights and write them."""
    options, began = parse_options(), time.time()
    keras.utils.set_random_seed(options.seed)
    validation_photos, validation_labels = draw_all(0, VALIDATION_PER_CLASS, "validation photos")
    train_stop = VALIDATION_PER_CLASS + TRAIN_PER_CLASS
    train_photos, train_labels = draw_all(VALIDATION_PER_CLASS, train_stop, "training photos")

    base = network.vgg16_narrow((None, None, 3))  # One set of weights for both sizes.
    twin = with_batch_norm(base)
    epochs = SMALL_EPOCHS + FULL_EPOCHS
    model = build_classifier(twin, steps=epochs * (len(train_photos) // BATCH_SIZE))
    stages = ((SMALL_SIZE, 0, SMALL_EPOCHS), (drawn_photos.IMAGE_SIZE, SMALL_EPOCHS, epochs))
    for stage, (size, start, stop) in enumerate(stages):
        batches = Batches(shrink(train_photos, size), train_labels, options.seed + stage)
        validation = network.preprocess(shrink(validation_photos, size).astype("float32")), validation_labels
        model.fit(batches, validation_data=validation, initial_epoch=start, epochs=stop)

    accuracy = model.evaluate(*validation, return_dict=True, verbose=0)["accuracy"]
    fold(twin, base)
    save_weights(base, options.out)
    minutes = (time.time() - began) / 60
    print(f"validation accuracy {accuracy:.3f} after {minutes:.0f} minutes")
    print(options.out)


if __name__ == "__main__":
    main()
