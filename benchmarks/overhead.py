"""The cost of a whole run beside a short script: CPU seconds of whole processes and test accuracy, empty cache.

The script is what many people would write: Keras for the features, scikit-learn for logistic regression with the same
eight penalties, chosen on the same number of validation photos. Each repeat
runs the script and our recipes one after the other, so that a busy machine slows all of them.

    python benchmarks/overhead.py --data photos/ --backbone MobileNetV2
    python benchmarks/overhead.py --data signs/labels.csv          # a CSV with path,label[,group]
"""

import dataclasses
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import startup  # the benchmark beside this one
import tables
import tyro

ROOT = pathlib.Path(__file__).parents[1]
SCRIPT = """
import csv, pathlib, sys
import keras, numpy as np
from sklearn import linear_model, model_selection, pipeline, preprocessing
data = pathlib.Path(sys.argv[1])
rows = list(csv.DictReader(open(data))) if data.is_file() else [
    {"path": path, "label": path.parent.name} for path in sorted(data.glob("*/*.jp*g"))]
paths = [data.parent / row["path"] if data.is_file() else row["path"] for row in rows]
labels, groups = (np.array([str(row.get(key) or row["path"]) for row in rows]) for key in ("label", "group"))
pixels = np.stack([keras.utils.img_to_array(keras.utils.load_img(path, target_size=(224, 224))) for path in paths])
base = keras.applications.MobileNetV2((224, 224, 3), float(sys.argv[2]), include_top=False, pooling="avg")
features = base.predict(keras.applications.mobilenet_v2.preprocess_input(pixels), verbose=0)
folds = model_selection.StratifiedGroupKFold(7, shuffle=True, random_state=int(sys.argv[3]))
train, validation, test = [rest for _, rest in folds.split(features, labels, groups)][-3:]
train = np.setdiff1d(np.arange(len(labels)), [*validation, *test])
found = []
for penalty in [10.0**power for power in range(-5, 3)]:
    regression = linear_model.LogisticRegression(C=penalty, max_iter=1000)
    model = pipeline.make_pipeline(preprocessing.StandardScaler(), regression)
    model.fit(features[train], labels[train])
    found.append((model.score(features[validation], labels[validation]), penalty, model))
print("accuracy", max(found)[2].score(features[test], labels[test]))
"""
RECIPES = {"linear_probe": [], "feature_extraction": ["--head", "gap"]}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Compare whole runs with a short script, interleaved."""

    data: str = "data/flowers/photos"  # a folder of class folders, or a CSV with path,label[,group]
    backbone: str = "MobileNetV2"  # MobileNetV2, with :alpha for another width
    repeats: int = 3  # each with another seed


def main(config: Config) -> None:
    """Print the table."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ("script", *RECIPES)}
    alpha = config.backbone.partition(":")[2] or "1.0"
    for seed in range(config.repeats):
        with tempfile.TemporaryDirectory() as folder:
            own = ["--data", config.data, "--backbone", config.backbone, "--seed", str(seed), "--out", folder]
            commands = {"script": ["-c", SCRIPT, config.data, alpha, str(seed)]} | {
                name: [f"recipes/{name}.py", *flags, *own, "--cache", f"{folder}/{name}"]
                for name, flags in RECIPES.items()
            }
            for name, command in commands.items():
                found[name].append(measured(command))
                print(name, found[name][-1], file=sys.stderr)
    rows = []
    for name, each in found.items():
        seconds, accuracies = zip(*each, strict=True)
        ratios = [ours / script for ours, (script, _) in zip(seconds, found["script"], strict=True)]
        rows.append([name, *map(tables.median_and_range, (seconds, ratios, accuracies), (1, 2, 3))])
    print(tables.markdown(["what runs", "CPU seconds", "of the script", "test accuracy"], rows))
    print(tables.footer(f"{config.repeats} repeats, each with another seed"))


def measured(command: list[str]) -> tuple[float, float]:
    """Return the CPU seconds and the test accuracy of a process.

    Raises:
        RuntimeError: it failed.
    """
    measure = startup.MEASURE.replace("stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL", "stdout=sys.stderr")
    done = subprocess.run(
        [sys.executable, "-c", measure, sys.executable, *command], cwd=ROOT, capture_output=True, text=True
    )
    accuracy = re.search(r"^accuracy .*?([\d.]+)$", done.stderr, re.MULTILINE)
    if accuracy is None:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout)[0], float(accuracy[1])


if __name__ == "__main__":
    main(tyro.cli(Config))
