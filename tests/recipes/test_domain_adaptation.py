"""A new domain is adapted to without its labels: losses against formulas, and no label that reaches a choice."""

import csv
import dataclasses
import pathlib

import helpers
import numpy as np
import pytest
from PIL import Image

from common import devices, errors
from common.commands import evaluate, predict
from common.data import photo_domains
from common.features import of_domains
from common.media import photos as media
from common.runs import saved_model
from common.training import domain_training
from recipes import domain_adaptation

SOME = ("none", "standardise", "standardise+coral", "standardise+mcc", "few_labels", "target_labels")


def write_stripes(folder, count, seed, contrast=60, classes=("across", "down")):
    """Class folders of striped photos; low contrast on a pale ground is another domain."""
    random = np.random.default_rng(seed)
    for label in classes:
        (folder / label).mkdir(parents=True)
        for number in range(count):
            place = np.arange(48)[:, None] if label == "across" else np.arange(48)[None, :]
            wave = np.sin(place * random.uniform(0.5, 1) + random.uniform(0, 6))[..., None] * np.ones((48, 48, 3))
            pixels = 240 - 2 * contrast + contrast * wave + random.normal(0, 4, (48, 48, 3))
            Image.fromarray(pixels.clip(0, 255).astype("uint8")).save(folder / label / f"{number:02d}.png")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("domains")
    write_stripes(folder / "sun", 20, 0)
    write_stripes(folder / "mist", 20, 1, contrast=30)
    return folder


def settings(photos, out, **changed):
    usual = {
        "data": str(photos / "sun"), "new_domain": (str(photos / "mist"),), "backbone": "demo", "weights": "demo",
        "image_size": 32, "no_baselines": True, "out": out / "runs", "cache": photos / "cache",
    }  # fmt: skip
    return domain_adaptation.Config(**usual | changed)


@pytest.fixture(scope="module")
def short():
    with helpers.short_adaptation() as patched:
        yield patched


@pytest.fixture(scope="module")
def compared(photos, tmp_path_factory):
    """A run of some methods on both domains, with two seeds."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(domain_training, "COMPARED", SOME)
        return domain_adaptation.run(settings(photos, tmp_path_factory.mktemp("runs"), compare=True, seeds=2))


def test_the_gap_is_measured_and_closed(compared):
    found = compared.results["domains"]
    rows = {row["method"]: row for row in found["rows"]}
    assert list(rows) == list(SOME)
    assert rows["standardise"]["gap"]["mmd"] < rows["none"]["gap"]["mmd"]
    assert rows["none"]["gap"]["frechet"] > 3 * rows["none"]["gap"]["frechet_at_home"]
    assert found["adapting"] == found["tested"] == 20 and found["seeds"] == [0, 1]
    assert rows["standardise+mcc"]["accuracy"][0] > rows["none"]["accuracy"][0] + 0.2
    page = (compared.directory / "report.html").read_text(encoding="utf-8")
    assert all(each in page for each in ("From the source to mist", "Where it got better", "A map of both domains"))
    points = list(csv.DictReader(open(compared.directory / "domains.csv", newline="")))
    assert len(points) == 28 + 20 and {row["domain"] for row in points} == {"source", "mist"}
    of_seed_0 = np.mean([row["correct"] == "1" for row in predictions(compared)]) - first_of(compared, "none")
    assert min(abs(limit - of_seed_0) for limit in found["gain"][1:]) < 1e-6  # with two seeds, one end of the range
    assert "over 2 splits" in page and "Nothing was chosen" in page and "From" in page.partition('id="result"')[0]
    assert (compared.directory / "figures" / "training_photos.png").is_file()
    assert "at least as good on validation" not in page and "different pictures after" not in page


def predictions(result):
    with open(result.directory / "predictions.csv", newline="") as file:
        return list(csv.DictReader(file))


def first_of(result, method):
    """The test accuracy of a method with the first seed, from the recalls of the classes."""
    classes = result.results["domains"]["classes"]
    return sum(row["before"] * row["n"] for row in classes) / sum(row["n"] for row in classes)


def test_the_saved_model_is_a_plain_one_for_the_new_domain(compared, capsys):
    saved = saved_model.load_model(compared.directory)
    for row in predictions(compared)[:3]:
        answer = saved.model.predict(np.array(Image.open(row["path"]).convert("RGB"))[None], verbose=0)[0]
        assert answer == pytest.approx([float(row["p_across"]), float(row["p_down"])], abs=1e-3)
    assert predict.command(compared.directory, [pathlib.Path(predictions(compared)[0]["path"])]) == 0
    assert "unlike" not in capsys.readouterr().out


def test_photos_that_it_adapted_to_are_no_new_data(compared, photos):
    assert evaluate.command(compared.directory, photos / "mist", name="mist") == 0
    with open(compared.directory / "split.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    adapted = [row for row in rows if row["domain"] == "mist" and row["split"] == "train"]
    assert len(adapted) == 20 and {row["label"] for row in adapted} == {"across", "down"}
    skipped = (compared.directory / "evaluations" / "mist" / "skipped.csv").read_text()
    assert all(f'{row["path"]},{row["label"]},"leak: in train of the run' in skipped for row in adapted)


def permuted(found):
    """Domains whose new one has other labels: every second is another one."""
    other = {"across": "down", "down": "across"}
    swapped = {path: other[label] for path, label in list(found.labels.items())[::2]}
    return dataclasses.replace(found, labels=found.labels | swapped)


def test_no_label_of_the_new_domain_can_reach_the_model(photos, tmp_path, monkeypatch, short):
    """The labels permuted: the same model, to the bit, and another result of the test."""
    config = settings(photos, tmp_path, deterministic=True)
    plain = domain_adaptation.run(config)
    load = photo_domains.load
    monkeypatch.setattr(photo_domains, "load", lambda *arguments: permuted(load(*arguments)))
    other = domain_adaptation.run(config)
    weights = [saved_model.load_model(each.directory).model.get_weights() for each in (plain, other)]
    assert all((one == two).all() for one, two in zip(*weights, strict=True))
    assert plain.results["test"]["accuracy"] != other.results["test"]["accuracy"]


@pytest.mark.parametrize("method", ["standardise+coral+pseudo_labels", "cdan", "few_labels"])
def test_only_methods_that_say_so_read_labels_of_the_new_domain(method, photos, tmp_path, short):
    config = settings(photos, tmp_path, deterministic=True)
    device = devices.set_up(config)
    loaded = photo_domains.load(config, tmp_path, media.Photos(), config.new_domain[0], 0)
    random = np.random.default_rng(0)
    source = {side: random.normal(size=(len(getattr(loaded.source, side)), 5)) for side in ("train", "validation")}
    heads = []
    for each in (loaded, permuted(loaded)):
        adapting, test = (np.random.default_rng(seed).normal(0.3, 2, (20, 5)) for seed in (1, 2))
        features = of_domains.Features(each, source, adapting, test, ())
        heads.append(domain_training.measure([method], features, 0, config, device)[1][method])
    one, two = ([head.kernel, head.bias, *head.bottleneck] for head in heads)
    # Not to the bit: trained parts have differed by rounding. A label that is read moves the head far.
    alike = all(np.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in zip(one, two, strict=True))
    assert alike == (method != "few_labels")


def test_labels_change_the_model_where_they_are_allowed(photos, tmp_path):
    few = domain_adaptation.run(settings(photos, tmp_path, method="few_labels", shots=2))
    table = tmp_path / "few.csv"
    splits = (few.directory / "splits" / "seed0" / "target" / "split.csv").read_text()
    assert "across," not in splits and ",unlabelled," in splits
    rows = list(csv.DictReader(open(few.directory / "split.csv", newline="")))
    adapted = [row for row in rows if row["domain"] == "mist" and row["split"] == "train"]
    chosen = [next(row for row in adapted if row["label"] == label) for label in ("across", "down")]
    table.write_text("path,label\n" + "".join(f"{row['path']},{row['label']}\n" for row in chosen))
    listed = domain_adaptation.run(settings(photos, tmp_path, method="few_labels_alone", new_labels=table))
    assert listed.results["domains"]["few"] == "the photos of --new-labels"
    assert few.results["test"]["accuracy"] > 0.6


@pytest.mark.drawn
def test_a_folder_without_classes_has_no_test(photos, tmp_path, monkeypatch, capsys):
    (tmp_path / "loose").mkdir()
    for number, path in enumerate(sorted((photos / "mist").glob("*/*"))):
        (tmp_path / "loose" / f"{number}.png").write_bytes(path.read_bytes())
    monkeypatch.setattr(domain_training, "COMPARED", ("none", "coral", "few_labels", "target_labels"))
    loose = (str(tmp_path / "loose"),)
    result = domain_adaptation.run(settings(photos, tmp_path, new_domain=loose, compare=True, method="standardise"))
    found = result.results["domains"]
    assert found["adapting"] == 40 and found["tested"] == 0 and {row["accuracy"] for row in found["rows"]} == {None}
    assert not [row for row in found["rows"] if row["needs_labels"]]
    page = (result.directory / "report.html").read_text(encoding="utf-8")
    assert "no photo of the new domain has a label" in page and "are unknown" in page
    assert "<title>domain adaptation: no test in loose</title>" in page and '<div class="number">?</div>' in page
    told = capsys.readouterr()
    assert "no labels and there is no test" in told.err and "test at home" in told.out


def test_a_column_tells_the_domains_apart_and_several_make_a_table(photos, tmp_path, capsys):
    rows = [
        f"{path},{path.parent.name},{path.parents[1].name}" for path in sorted(photos.glob("[ms]*/*/*.png"))
    ]  # fmt: skip
    write_stripes(tmp_path / "dusk", 8, 5, contrast=25)
    rows += [f"{path},{path.parent.name},dusk" for path in sorted((tmp_path / "dusk").glob("*/*"))]
    (tmp_path / "all.csv").write_text("path,label,domain\n" + "\n".join(rows))
    config = settings(
        photos, tmp_path, data=str(tmp_path / "all.csv"), new_domain=("mist", "dusk"), method="standardise"
    )
    result = domain_adaptation.run(config)
    assert result.results["domains"]["name"] == "dusk"
    lines = capsys.readouterr().out.splitlines()
    header = next(line for line in lines if line.startswith("from "))
    assert header.split()[-2:] == ["mist", "dusk"] and lines[lines.index(header) + 1].startswith("none")


def test_an_interrupted_run_goes_on_with_its_own_settings(photos, tmp_path, short):
    config = settings(photos, tmp_path, method="standardise", seed=3)
    whole = domain_adaptation.run(config)
    killed = dataclasses.replace(config, out=tmp_path / "killed")
    resumed = helpers.interrupted_and_resumed(domain_adaptation, killed, domain_training, "measure")
    without = ("seconds",)
    rows = [[{name: value for name, value in row.items() if name not in without}
             for row in result.results["domains"]["rows"]] for result in (whole, resumed)]  # fmt: skip
    assert rows[0] == rows[1] and whole.results["test"] == resumed.results["test"]
    assert predictions(whole) == predictions(resumed)


def test_a_dry_run_counts_the_photos_of_both_domains(photos, tmp_path, capsys):
    with pytest.raises(SystemExit):
        domain_adaptation.run(settings(photos, tmp_path, dry_run=True))
    told = capsys.readouterr()
    assert "80 photos in 2 classes" in told.out and not (tmp_path / "runs").exists()
    assert "28 photos of the source train; 20 of mist adapt without their labels, the other 20" in told.err
    with pytest.raises(SystemExit):
        domain_adaptation.run(settings(photos, tmp_path, dry_run=True, method="few_labels", shots=50))
    assert "fewer than 50 adapting photos of across and down; all of them give" in capsys.readouterr().err


def extra_class(photos, tmp_path):
    write_stripes(tmp_path / "more", 4, 3, classes=("across", "dots"))
    return {"new_domain": (str(tmp_path / "more"),)}


def some_labels(photos, tmp_path):
    write_stripes(tmp_path / "some", 4, 3, classes=("across", "unlabelled"))
    return {"new_domain": (str(tmp_path / "some"),)}


def one_of_two(photos, tmp_path):
    return {"new_domain": (str(photos / "mist"), *extra_class(photos, tmp_path)["new_domain"])}


def same_files(photos, tmp_path):
    return {"new_domain": (str(photos / "sun"),)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (extra_class, "the source has no class 'dots'; it has across, down"),
        (some_labels, "photos have no label .unlabelled.; give all of them a class or none"),
        (one_of_two, "the source has no class 'dots'"),  # of the second domain, before the first is trained
        (lambda photos, tmp_path: {"new_domain": ("a", "a")}, "must contain each domain only once"),
        (lambda photos, tmp_path: {"method": "mcc", "shots": 5}, "--shots has no effect with a --method that takes no"),
        (lambda photos, tmp_path: {"method": "mcc", "seeds": 2}, "--seeds has no effect without --compare"),
        (lambda photos, tmp_path: {"learning_rate": 0.5}, "--learning-rate has no effect here"),
        (same_files, "is the same file as"),
        (lambda photos, tmp_path: {"new_domain": (str(tmp_path / "gone"),)}, "no such file or folder"),
        (lambda photos, tmp_path: {"new_domain": ()}, "--new-domain is needed"),
        (lambda photos, tmp_path: {"data": "books.jsonl"}, "--data has texts, not photos; for texts, use text_domains"),
        (lambda photos, tmp_path: {"method": "few_labels", "shots": 0}, "needs labels of at least two classes"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(change, message, photos, tmp_path):
    with pytest.raises(errors.UserError, match=message):
        domain_adaptation.run(settings(photos, tmp_path, **change(photos, tmp_path)))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("standardize", "did you mean standardise"),
        ("none+mcc", "none cannot be joined"),
        ("mcc+mcc", "names a part twice"),
        ("", "'' is not a part"),
        ("few_labels+target_labels", "takes one of"),
    ],
)
def test_methods_that_are_refused(method, message):
    with pytest.raises(errors.UserError, match=message):
        domain_adaptation.Config(method=method)


def test_the_help_names_every_part():
    source = pathlib.Path(domain_adaptation.__file__).read_text(encoding="utf-8")
    told = source.partition("    # Some of")[2].partition("joined by +")[0]
    assert {part.strip(" #\n") for part in told.split(",")} - {""} == set(domain_training.PARTS)
