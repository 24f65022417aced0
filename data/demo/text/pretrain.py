"""Pretrain the demo's GPT-2, four layers of 128, on drawn general prose.

From the repository's root, with the extra `text` installed (it brings `tokenizers`):

    python data/demo/text/pretrain.py

It draws 16,000 pages of prose (`general_text` of `common.demo.drawn_texts`, seeds 0 to 15,999) and makes a byte-pair
vocabulary of 2,400 tokens from them. It trains on windows of 128 tokens for one epoch, and writes a KerasHub preset
with 16-bit weights to `data/demo/text/gpt2_narrow`. The preset is committed, so the demo runs without this script. The
network never sees a contract.

Expected: a loss of 1.91 on held-out prose in 8 minutes on 2 CPU cores, shared with other work. The folder has 2.4 MB.
"""

from common import startup  # noqa: F401, isort: skip  (first)

import argparse
import json
import pathlib
import shutil
import tempfile
import time

import h5py
import keras
import numpy as np
import tokenizers

from common.demo import drawn_texts
from common.features import frozen_windows
from common.media import windows as media_windows
from common.models import language_model

VOCABULARY = 2400
PAGES = 16_000
LAYERS, HEADS, WIDTH, CONTEXT = 4, 4, 128, 128
BATCH_SIZE = 16
LEARNING_RATE = 2e-3  # the maximum, after the warm-up
WARM_UP = 0.05  # share of all steps
SEED = 0


def train_vocabulary(pages: list[str], size: int) -> tuple[dict[str, int], list[str]]:
    """Return a byte-pair vocabulary and its merges; token 0 is unused, because KerasHub treats it as padding."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<pad>", "<|endoftext|>"], show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(pages, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    return dict(sorted(model["vocab"].items(), key=lambda item: item[1])), merges


def build(vocabulary: dict[str, int], merges: list[str], dropout: float = 0.0) -> language_model.LanguageModel:
    """Return GPT-2 with random weights and this vocabulary."""
    models = language_model.keras_hub().models
    tokenizer = models.GPT2Tokenizer(vocabulary=vocabulary, merges=merges)
    backbone = models.GPT2Backbone(
        vocabulary_size=len(vocabulary), num_layers=LAYERS, num_heads=HEADS, hidden_dim=WIDTH,
        intermediate_dim=4 * WIDTH, dropout=dropout, max_sequence_length=CONTEXT,
    )  # fmt: skip
    preprocessor = models.GPT2CausalLMPreprocessor(tokenizer=tokenizer, sequence_length=CONTEXT)
    return language_model.LanguageModel("demo", models.GPT2CausalLM(backbone=backbone, preprocessor=preprocessor))


def optimizer(steps: int) -> keras.optimizers.Optimizer:
    """Return AdamW with a warm-up and a cosine decay to 0."""
    warm_up = int(WARM_UP * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        1e-5, steps - warm_up, warmup_target=LEARNING_RATE, warmup_steps=warm_up
    )
    adam = keras.optimizers.AdamW(schedule, weight_decay=0.05, beta_2=0.98, global_clipnorm=1.0)
    adam.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return adam


def halve(weights: pathlib.Path) -> None:
    """Rewrite a weights file with compressed 16-bit numbers; Keras reads it like any other."""
    with tempfile.TemporaryDirectory() as folder:
        smaller = pathlib.Path(folder) / weights.name
        with h5py.File(weights) as source, h5py.File(smaller, "w") as target:

            def copy(name: str, node: h5py.Dataset | h5py.Group) -> None:
                made = (
                    target.create_dataset(name, data=node[()].astype("float16"), compression="gzip", shuffle=True)
                    if isinstance(node, h5py.Dataset) and node.dtype == "float32" and node.shape
                    else source.copy(node, target, name) if isinstance(node, h5py.Dataset)
                    else target.require_group(name)
                )  # fmt: skip
                for key, value in node.attrs.items():
                    (made or target[name]).attrs[key] = value

            source.visititems(copy)
        shutil.copyfile(smaller, weights)


def main() -> None:
    """Draw the texts, train, and write the preset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=PAGES)
    parser.add_argument("--out", type=pathlib.Path, default=drawn_texts.PRESET)
    options = parser.parse_args()
    started = time.perf_counter()
    keras.utils.set_random_seed(SEED)
    pages = [drawn_texts.general_text(seed) for seed in range(options.pages)]
    vocabulary, merges = train_vocabulary(pages, VOCABULARY)
    model = build(vocabulary, merges)
    windows = media_windows.pack(model.encode(pages), CONTEXT, model.end_token)
    held_out = media_windows.pack(model.encode(drawn_texts.general_texts()), CONTEXT, model.end_token)
    print(f"{len(pages):,} pages, {windows.tokens:,} tokens, {len(windows):,} windows; "
          f"{model.backbone.count_params():,} parameters")  # fmt: skip
    network = keras.Model([model.task.input[name] for name in ("token_ids", "padding_mask")], model.task.output)
    everything = {"train": windows, "validation": held_out}
    batches = {
        name: frozen_windows.Batches(
            lambda rows, part=part: [part.token_ids[rows], np.ones_like(part.token_ids[rows])],
            part.targets, part.weights, BATCH_SIZE, seed=SEED if name == "train" else None,
        )
        for name, part in everything.items()
    }  # fmt: skip
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")
    network.compile(optimizer(len(batches["train"])), loss)
    network.fit(batches["train"], epochs=1, validation_data=batches["validation"], verbose=2)
    shutil.rmtree(options.out, ignore_errors=True)
    language_model.save(model, options.out)
    halve(options.out / "model.weights.h5")
    size = sum(path.stat().st_size for path in options.out.rglob("*") if path.is_file())
    print(f"{options.out}: {size / 1e6:.2f} MB, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
