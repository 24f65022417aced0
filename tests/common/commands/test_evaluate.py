"""A model that knows bright from dark, on new photos and documents whose answers are known."""

import json
import pathlib
import shutil
import subprocess
import sys

import helpers
import made_up_runs
import numpy as np
import pytest
import toy_grids
from PIL import Image

from common import errors, files, outputs
from common.commands import evaluate, report
from common.data import labelled, targets
from common.media import photos, texts
from common.report import other_data, page
from common.runs import finished_run, saved_model

NAMES = ["bright", "dark"]


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    saved = saved_model.SavedModel(made_up_runs.tell_brightness(), targets.Classes(NAMES), photos.PHOTOS)
    saved_model.save_model(folder, saved)
    return folder / "model.keras"


@pytest.fixture
def run(tmp_path, model_file, monkeypatch):
    """A run whose test is 36 of 40 photos right; its photos are noise. No report is drawn."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(page, "write", lambda directory, sections, saved=None: directory / "report.html")
    run = made_up_runs.make_run(tmp_path, NAMES, per_class=20, skill=2.5)
    shutil.copy(model_file, run)
    for number, row in enumerate(split_of(run)):
        if row["split"] == "test":  # else they are those of the training
            made_up_runs.write_photo(pathlib.Path(row["path"]), 1000 + number)
    return run


def split_of(run):
    return finished_run.read_rows(run / "split.csv")


def draw(path, brightness, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(-40, 40, (12, 12, 3))
    Image.fromarray((brightness + noise).clip(0, 255).astype("uint8")).save(path)


@pytest.fixture
def new(tmp_path):
    """20 bright and 20 dark photos, each in its class folder."""
    for number in range(20):
        draw(tmp_path / "new" / "bright" / f"{number}.png", 200, number)
        draw(tmp_path / "new" / "dark" / f"{number}.png", 50, 100 + number)
    return tmp_path / "new"


def results_of(run, name="new"):
    return json.loads((run / "evaluations" / name / "results.json").read_text())


def rows_of(run, file, name="new"):
    return finished_run.read_rows(run / "evaluations" / name / file)


def test_a_perfect_score_is_not_certain(run, new, capsys):
    assert evaluate.command(run, new, name="new") == 0
    found, said = results_of(run), capsys.readouterr()
    assert found["result"]["accuracy"] == 1 and found["result"]["accuracy_interval"] == pytest.approx(
        [0.912, 1], abs=1e-3
    )
    assert found["result"]["confusion_matrix"] == [[20, 0], [0, 20]] and found["baseline"]["accuracy"] == 0.5
    test = finished_run.Result.read(run).results["test"]
    assert found["test"] == test and found["difference"]["accuracy"][0] == pytest.approx(1 - test["accuracy"])
    lines = said.out.splitlines()
    assert lines[0].split() == ["new", "data", "test"] and lines[-1] == str(run / "evaluations" / "new")
    assert lines[1].split() == ["accuracy", "1.000", f"{test['accuracy']:.3f}"]
    assert any(line.startswith("The accuracy is") for line in lines)
    with open(run / "predictions.csv") as ours:
        assert list(rows_of(run, "predictions.csv")[0]) == ours.readline().strip().split(",")
    assert not (run / "evaluations" / "new" / "skipped.csv").exists()


def test_the_numbers_are_those_of_the_answers(run, new):
    for number in range(6):  # labelled wrongly
        (new / "dark" / f"{number}.png").rename(new / "bright" / f"dark_{number}.png")
    assert evaluate.command(run, new, name="new", batch_size=7) == 0
    found = results_of(run)
    assert found["result"]["confusion_matrix"] == [[20, 6], [0, 14]] and found["result"]["accuracy"] == 34 / 40
    wrong = [pathlib.Path(row["path"]).name for row in rows_of(run, "predictions.csv") if row["correct"] == "0"]
    assert wrong == [f"dark_{number}.png" for number in range(6)]


def test_what_the_run_has_learnt_from_does_not_count(run, new, capsys):
    split = split_of(run)
    for side, count in (("train", 3), ("test", 2)):
        for row in [row for row in split if row["split"] == side][:count]:
            shutil.copy(row["path"], new / "dark" / f"{side}_{pathlib.Path(row['path']).name}")
    assert evaluate.command(run, new, name="new") == 0
    data, said = results_of(run)["data"], capsys.readouterr()
    assert data["n"] == 42 and data["left_out"]["train"] == 3 and data["test_samples_of_the_run"] == 2
    assert data["files_of_the_run_gone"] == 40  # the made-up run has no validation photos
    assert "leak: 3 photos left out" in said.err and "train_train" in said.err
    assert "2 photos of the new data also occurred in the run's own test" in said.out
    listed = rows_of(run, "skipped.csv")
    assert len(listed) == 3 and all(row["reason"].startswith("leak: in train of the run, as /") for row in listed)


def test_what_the_run_has_learnt_from_is_known_by_its_hash_even_if_it_is_gone(run, new):
    """As split.csv lists it, not as the file is today."""
    split = split_of(run)
    learnt = [row for row in split if row["split"] == "train"][:3]
    for row in learnt:
        shutil.copy(row["path"], new / "dark" / f"learnt_{pathlib.Path(row['path']).name}")
    rows = [[*row.values(), photos.PHOTOS.digest(row["path"])] for row in split]
    files.write_csv(run / "split.csv", [*split[0], "sha256"], rows)
    for row, other in zip(learnt, split[-3:], strict=True):
        shutil.copy(other["path"], row["path"])
    assert evaluate.command(run, new, name="new") == 0
    assert results_of(run)["data"]["left_out"]["train"] == 3


def test_a_file_that_changes_while_it_is_evaluated_stops_it(run, new, monkeypatch):
    """And nothing is left behind."""
    load = labelled.load

    def load_and_change(*arguments):
        found = load(*arguments)
        draw(new / "bright" / "7.png", 50)
        return found

    monkeypatch.setattr(labelled, "load", load_and_change)
    with pytest.raises(errors.UserError, match="bright/7.png: the file was changed after it had been checked"):
        evaluate.command(run, new, name="new")
    assert not (run / "evaluations").exists()


def test_two_processes_cannot_write_one_evaluation(run, new):
    folder = run / "evaluations" / "new"
    folder.mkdir(parents=True)
    code = "import pathlib, sys; from common import outputs; held = outputs.lock(pathlib.Path(sys.argv[1])); input()"
    other = subprocess.Popen([sys.executable, "-c", code, folder], stdin=subprocess.PIPE, text=True)
    while not (folder / outputs.LOCK).exists() or not (folder / outputs.LOCK).read_text():
        assert other.poll() is None
    with pytest.raises(errors.UserError, match=f"another process writes there .process {other.pid}"):
        evaluate.command(run, new, name="new")
    other.communicate("\n")
    assert evaluate.command(run, new, name="new") == 0


def test_a_report_is_not_drawn_while_another_process_writes_the_run(run, new, capsys):
    """An evaluation is complete without it."""
    code = "import pathlib, sys; from common import outputs; held = outputs.lock(pathlib.Path(sys.argv[1])); input()"
    other = subprocess.Popen([sys.executable, "-c", code, run], stdin=subprocess.PIPE, text=True)
    while not (run / outputs.LOCK).exists() or not (run / outputs.LOCK).read_text():
        assert other.poll() is None
    with pytest.raises(errors.UserError, match="another process writes there"):
        report.command(run)
    assert evaluate.command(run, new, name="new") == 0 and results_of(run)
    said = capsys.readouterr().err
    assert "could not be drawn" in said and "another process writes there" in said
    other.communicate("\n")


def test_where_nothing_is_new_there_is_nothing_to_measure(run, tmp_path):
    with pytest.raises(errors.UserError, match="all 40 photos were in the run's training or validation data"):
        table = tmp_path / "train.csv"
        train = [row for row in split_of(run) if row["split"] == "train"]
        files.write_csv(table, ["path", "label"], [[row["path"], row["label"]] for row in train])
        evaluate.command(run, table, name="new")
    assert not (run / "evaluations").exists()


def test_unknown_classes_are_one_line_or_left_out_and_listed(run, new, capsys):
    draw(new / "darc" / "1.png", 30)
    with pytest.raises(errors.UserError) as refused:
        evaluate.command(run, new, name="new")
    assert "does not know the class 'darc' (1 photo; did you mean dark?); it knows bright, dark" in str(refused.value)
    assert "--skip-bad" in str(refused.value) and not (run / "evaluations").exists()
    assert evaluate.command(run, new, name="new", skip_bad=True) == 0
    assert results_of(run)["data"]["left_out"]["unknown"] == {"darc": 1} and results_of(run)["data"]["n"] == 40
    assert [row["label"] for row in rows_of(run, "skipped.csv")] == ["darc"]
    assert "1 photo left out, 'darc' unknown to the model" in capsys.readouterr().err


def test_classes_and_groups_are_compared_as_they_look(run, new, tmp_path, capsys):
    (new / "dark").rename(new / "Dark\u200b")
    assert evaluate.command(run, new, name="folders") == 0
    assert results_of(run, "folders")["result"]["confusion_matrix"] == [[20, 0], [0, 20]]
    assert r"'Dark\u200b' as 'dark'" in capsys.readouterr().err
    rows = []
    for number, path in enumerate(sorted(new.glob("*/*.png"))):
        label = "BRIGHT" if path.parent.name == "bright" else "dark"
        rows.append(f"{path.relative_to(tmp_path)};{label};{'Pp'[number % 2]}{number // 8}")
    (tmp_path / "new.csv").write_text("\n".join(["Path;Label;Patient", *rows]), encoding="utf-16")
    assert evaluate.command(run, tmp_path / "new.csv", name="csv") == 0
    found = results_of(run, "csv")
    assert found["result"]["accuracy"] == 1 and found["data"]["groups"] == found["result"]["interval_units"] == 5
    said = capsys.readouterr().err
    assert "column 'Patient' is used as group" in said and "'BRIGHT' as 'bright'" in said


def test_a_folder_of_hugging_face_is_new_data_too(run, new):
    (new / "bright").rename(new / "train")
    (new / "train" / "metadata.csv").write_text("file_name,label\n" + "".join(f"{n}.png,bright\n" for n in range(20)))
    shutil.rmtree(new / "dark")
    assert evaluate.command(run, new, name="new") == 0
    assert results_of(run)["data"]["n"] == 20 and results_of(run)["data"]["missing"] == ["dark"]


def test_unusable_files_are_one_line_or_left_out_and_listed(run, new):
    (new / "dark" / "bad.png").write_text("no photo")
    draw(new / "dark" / "twice.png", 200, 3)  # a copy of bright/3.png
    with pytest.raises(errors.UserError) as refused:
        evaluate.command(run, new, name="new")
    assert "3 of 42 photos cannot be used" in str(refused.value) and "bad.png (not an image" in str(refused.value)
    assert evaluate.command(run, new, name="new", skip_bad=True) == 0  # under the same name: nothing was finished
    assert results_of(run)["data"]["left_out"]["unusable"] == 3 and results_of(run)["data"]["n"] == 39
    assert len(rows_of(run, "skipped.csv")) == 3
    for name in ("bad", "twice"):
        (new / "dark" / f"{name}.png").unlink()
    (run / "evaluations" / "new" / "results.json").unlink()
    assert evaluate.command(run, new, name="new") == 0 and not rows_of(run, "skipped.csv")


def test_a_mark_of_one_class_in_the_new_data_is_named(run, new, capsys):
    for path in (new / "dark").iterdir():
        picture = Image.open(path)
        picture.putalpha(0)
        picture.save(path)
    assert evaluate.command(run, new, name="new") == 0
    assert results_of(run)["result"]["accuracy"] == 1
    assert "(it is 0 everywhere): 20 of 20 dark, 0 of 20 bright; it is unevenly spread" in capsys.readouterr().err


def test_a_missing_class_is_said_and_the_test_is_over_the_others_too(run, new, capsys):
    shutil.rmtree(new / "dark")
    assert evaluate.command(run, new, name="new") == 0
    found, said = results_of(run), capsys.readouterr()
    assert found["data"]["missing"] == ["dark"] and found["result"]["per_class"]["dark"]["recall"] is None
    own = finished_run.Result.read(run).results["test"]["per_class"]["bright"]
    assert found["test"]["n"] == 20 and found["test"]["accuracy"] == own["recall"]
    assert "no photo of dark" in said.err and "test, same classes" in said.out and "no photo of dark" in said.out


def test_groups_widen_the_interval(run, new, tmp_path):
    """Half of five patients are answered wrongly throughout: as photos they are many, as patients few."""
    rows = []
    for label, brightness in (("bright", 200), ("dark", 50)):
        for number in range(20):
            patient, wrong = f"{label} {number // 4}", number // 4 < 2
            path = tmp_path / "by_patient" / f"{label}{number}.png"
            draw(path, 250 - brightness if wrong else brightness, number + brightness)
            rows.append([f"by_patient/{label}{number}.png", label, patient])
    width = {}
    for name, columns in (("alone", 2), ("grouped", 3)):
        files.write_csv(tmp_path / f"{name}.csv", ["path", "label", "group"][:columns], [row[:columns] for row in rows])
        assert evaluate.command(run, tmp_path / f"{name}.csv", name=name) == 0
        found = results_of(run, name)
        low, high = found["result"]["accuracy_interval"]
        assert found["result"]["accuracy"] == 0.6 and low < 0.6 < high
        width[name] = high - low, found["difference"]["accuracy"][2] - found["difference"]["accuracy"][1]
    assert found["result"]["interval_units"] == found["data"]["groups"] == 10
    assert all(wide > 1.4 * narrow for wide, narrow in zip(width["grouped"], width["alone"], strict=True))


def test_a_training_photo_saved_again_is_no_new_photo(run, new, tmp_path, capsys):
    train = [row for row in split_of(run) if row["split"] == "train"]
    for number, row in enumerate(train[:3]):
        again = Image.open(row["path"]).convert("RGB").resize((80, 60))
        again.save(new / row["label"] / f"again {number}.jpg", quality=60)
    assert evaluate.command(run, new, name="new") == 0
    left_out = results_of(run)["data"]["left_out"]
    assert left_out["train"] == 3 and results_of(run)["data"]["n"] == 40
    assert "3 photos left out because the run used them for training" in capsys.readouterr().err


def test_copies_of_one_source_are_one_piece_of_evidence_and_so_are_groups_of_names(run, new, tmp_path):
    for number in range(20):
        draw(new / "dark" / f"{number}_aug1.png", 50, 200 + number)
    assert evaluate.command(run, new, name="new") == 0
    result = results_of(run)["result"]
    assert (result["n"], result["interval_units"]) == (60, 40)
    config = json.loads((run / "config.json").read_text())
    config["config"]["group_pattern"] = r"^(\d)"
    files.write_json(run / "config.json", config)
    assert evaluate.command(run, new, name="grouped") == 0
    assert results_of(run, "grouped")["result"]["interval_units"] == 10


def test_groups_named_like_those_of_the_training_are_pointed_out(run, new, tmp_path, capsys):
    split = split_of(run)
    rows = [[*row.values()] for row in split]
    rows[0][2] = "p1"
    files.write_csv(run / "split.csv", list(split[0]), rows)
    table = [[new / name / "1.png", name, "p1" if name == "dark" else "p2"] for name in NAMES]
    files.write_csv(tmp_path / "table.csv", ["path", "label", "group"], table)
    assert evaluate.command(run, tmp_path / "table.csv", name="new") == 0
    assert results_of(run)["data"]["groups_of_the_run"] == ["p1"] and "groups named p1" in capsys.readouterr().err


def test_a_run_with_a_target_is_judged_at_its_threshold(run, new, capsys):
    results = finished_run.Result.read(run).results
    test = {"sensitivity": [0.9, 0.7, 1.0], "specificity": [0.5, 0.3, 0.7]}
    results["clinic"] = {"target": {"classes": ["dark"], "threshold": 0.5, "test": test}}
    files.write_json(run / "results.json", results)
    for number in range(5):
        (new / "bright" / f"{number}.png").rename(new / "dark" / f"bright_{number}.png")
    assert evaluate.command(run, new, name="new") == 0
    target = results_of(run)["target"]
    assert target["sensitivity"][0] == 0.8 and target["specificity"][0] == 1 and target["test"] == test
    assert "sensitivity for dark" in capsys.readouterr().out


def test_a_report_that_cannot_be_drawn_is_no_failure(run, new, monkeypatch, capsys):
    def fails(directory, sections, saved=None):
        raise OSError("no space left")

    monkeypatch.setattr(page, "write", fails)
    assert evaluate.command(run, new, name="new") == 0
    said = capsys.readouterr()
    assert "could not be drawn (OSError: no space left)" in said.err and f"recipes report {run}`" in said.err
    assert results_of(run)["result"]["accuracy"] == 1 and said.out.splitlines()[-1].endswith("evaluations/new")


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"batch_size": 0}, "--batch-size"), ({"name": "a/b"}, "not a valid name"), ({"name": ".."}, "not a valid name"),
     ({"name": "taken"}, "already exists")],
)  # fmt: skip
def test_settings_that_are_refused(run, new, settings, message):
    (run / "evaluations" / "taken").mkdir(parents=True)
    (run / "evaluations" / "taken" / "results.json").touch()
    with pytest.raises(errors.UserError, match=message):
        evaluate.command(run, new, **settings)


def test_what_is_no_finished_run_or_no_data_is_refused(run, new, tmp_path):
    for data, message in ((tmp_path / "nowhere", "no such file"), (run / "config.json", "neither a folder")):
        with pytest.raises(errors.UserError, match=message):
            evaluate.command(run, data)
    with pytest.raises(errors.UserError, match="give the directory of the run"):
        evaluate.command(run / "model.keras", new)
    (run / "results.json").unlink()
    with pytest.raises(errors.UserError, match="is not finished"):
        evaluate.command(run, new)
    (run / "config.json").unlink()
    with pytest.raises(errors.UserError, match=r"no results\.json"):
        evaluate.command(run, new)


def test_a_model_of_numbers_is_refused(run, new):
    saved = saved_model.SavedModel(made_up_runs.tell_brightness(), toy_grids.Numbers(1.0), photos.PHOTOS)
    saved_model.save_model(run, saved)
    with pytest.raises(errors.UserError, match="predicts numbers, but evaluate only supports classes"):
        evaluate.command(run, new)


def test_without_a_name_it_is_the_time_and_never_an_earlier_one(run, new):
    for count in (1, 2):
        assert evaluate.command(run, new) == 0
        assert len(list((run / "evaluations").glob("20*Z*/results.json"))) == count


# The page -------------------------------------------------------------------------------------------------------------


def test_the_report_has_a_section_for_each_evaluation(run, new, monkeypatch, capsys):
    (new / "dark" / "0.png").rename(new / "bright" / "zero.png")
    for name in ("first", "second"):
        assert evaluate.command(run, new, name=name) == 0
    monkeypatch.undo()
    with made_up_runs.model_explained_by(made_up_runs.warm_left) as saved, monkeypatch.context() as patched:
        patched.setattr(saved_model, "load_model", lambda run: saved)
        assert report.command(run) == 0
    seen = made_up_runs.Page((run / "report.html").read_text())
    assert seen.text.count("On other data") == 2  # in the contents, too
    assert seen.text.index("first") < seen.text.index("second")
    assert "Recall of each class" in seen.text and "Always bright" in seen.text and "97.5" in seen.text
    anchors = {attributes["href"][1:] for attributes in seen.all("a") if attributes["href"].startswith("#")}
    assert "other-data" in anchors <= {attributes.get("id") for attributes in seen.all("section")}
    for name in ("first", "second"):
        assert Image.open(run / "evaluations" / name / "figures" / "confusion_matrix.png").width > 100
    assert not (run / "figures" / "evaluations").exists() and capsys.readouterr().out


def test_what_was_left_out_stands_on_the_page(run, new):
    draw(new / f"zebra {made_up_runs.SCRIPT.replace('/', '')}" / "1.png", 30)
    assert evaluate.command(run, new, name="new", skip_bad=True) == 0
    (run / "evaluations" / "unfinished").mkdir()
    (run / "figures").mkdir()
    section = other_data.section(finished_run.FinishedRun.read(run))
    (shown,) = section["evaluations"]
    assert shown["left_out"].startswith("1 photo of classes that the model does not know (zebra <script>")
    html = page.template(section["template"]).render(other_data=section, results={"test": shown["test"]})
    assert "Left out, and listed in skipped.csv: 1 photo of classes" in made_up_runs.Page(html).text
    assert "<script>" not in html


# Documents ------------------------------------------------------------------------------------------------------------


class Reader:
    """Tells documents apart by whether they say `lend`."""

    targets = targets.Classes(("lease", "loan"))
    medium = texts.Texts(characters=20_000)

    def probabilities(self, contents):
        return np.array([[0.2, 0.8] if "lend" in content else [0.9, 0.1] for content in contents])


def contract(kind, number):
    return f"{'lend' if kind == 'loan' else 'rent'} {helpers.words(number)}"


@pytest.fixture
def run_on_texts(tmp_path, monkeypatch):
    pytest.importorskip("keras_hub", reason="the extra `text` is not installed")
    run = made_up_runs.make_run(tmp_path, ["lease", "loan"], photos=False)
    config = json.loads((run / "config.json").read_text())
    config["config"] |= {"duplicate_threshold": 0.8, "group_pattern": r"^(\w+)_"}
    files.write_json(run / "config.json", config)
    rows = []
    for number in range(9):
        path = tmp_path / "old" / f"acme_{number}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(contract("lease", number))
        rows.append([path, "lease", f"{number}", ("train", "validation", "test")[number % 3]])
    files.write_csv(run / "split.csv", ["path", "label", "group", "split"], rows)
    monkeypatch.setattr(evaluate, "_reading", lambda run: (Reader(), None))
    monkeypatch.setattr(page, "write", lambda directory, sections, saved=None: directory / "report.html")
    return run


def test_documents_of_a_folder_with_a_filled_in_form(run_on_texts, tmp_path, capsys):
    """A training document with other names and sums in it is a leak, as it would be in the run's own split."""
    for kind in ("lease", "loan"):
        (tmp_path / "new" / kind).mkdir(parents=True)
        for number in range(8):
            text = contract(kind, 100 + number + 50 * (kind == "loan"))
            (tmp_path / "new" / kind / f"c{number // 2}_{number}.txt").write_text(text)
    (tmp_path / "new" / "lease" / "c9_form.txt").write_text(contract("lease", 0).replace("rent", "hire"))
    (tmp_path / "new" / "lease" / "c9_tested.txt").write_text(contract("lease", 2))
    assert evaluate.command(run_on_texts, tmp_path / "new", name="new") == 0
    found = results_of(run_on_texts)
    assert found["data"]["n"] == 17 and found["data"]["left_out"]["train"] == 1 and found["result"]["accuracy"] == 1
    assert found["data"]["test_samples_of_the_run"] == 1 and found["data"]["files_of_the_run_gone"] == 0
    assert found["data"]["groups"] == 5 and found["result"]["interval_units"] == 5  # c0 to c3 and c9
    assert found["result"]["n"] == 17 and "17" in capsys.readouterr().out
    assert [row["path"] for row in rows_of(run_on_texts, "skipped.csv")] == [str(tmp_path / "new/lease/c9_form.txt")]


def test_documents_of_a_jsonl_and_what_is_none(run_on_texts, tmp_path):
    lines = [{"text": contract(kind, 200 + number), "type": kind, "group": f"g{number}"}
             for number, kind in enumerate(("lease", "loan", "loan", "lease"))]  # fmt: skip
    lines.append({"text": "", "type": "loan"})
    path = tmp_path / "new.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(errors.UserError, match=r"1 of 5 documents cannot be used: .*new\.jsonl:5 \(empty\)"):
        evaluate.command(run_on_texts, path, name="new")
    assert evaluate.command(run_on_texts, path, name="new", skip_bad=True) == 0
    found = results_of(run_on_texts)
    assert found["result"]["confusion_matrix"] == [[2, 0], [0, 2]] and found["data"]["groups"] == 4
    (tmp_path / "table.csv").write_text("path,label\n")
    with pytest.raises(errors.UserError, match="neither a folder with a sub-folder"):
        evaluate.command(run_on_texts, tmp_path / "table.csv", name="other")


def test_lines_of_a_jsonl_that_the_run_was_trained_on_are_found(run_on_texts, tmp_path):
    old = [{"text": contract("loan", 300 + number), "type": "loan"} for number in range(3)]
    (tmp_path / "old.jsonl").write_text("\n".join(map(json.dumps, old)))
    rows = [[f"{tmp_path / 'old.jsonl'}:{number}", "loan", "", "train"] for number in (1, 2, 3, 4)]
    files.write_csv(run_on_texts / "split.csv", ["path", "label", "group", "split"], rows)
    new = [*old[:2], {"text": contract("loan", 400), "type": "loan"}, {"text": contract("lease", 401), "type": "lease"}]
    (tmp_path / "new.jsonl").write_text("\n".join(map(json.dumps, new)))
    assert evaluate.command(run_on_texts, tmp_path / "new.jsonl", name="new") == 0
    data = results_of(run_on_texts)["data"]
    assert data["n"] == 2 and data["left_out"]["train"] == 2 and data["files_of_the_run_gone"] == 1
