"""Notebooks are the recipes: the same code, and each runs from its first cell to its last."""

import ast
import os

import every_recipe
import pytest
import recipe_source

nbformat = pytest.importorskip("nbformat", reason="needs pip install -e '.[notebooks]'")
import make_notebooks  # noqa: E402

RECIPES = {recipe.name: recipe for recipe in recipe_source.recipes()}

# Shorter than the demo as the shell runs it.
QUICK = {
    "compare_strategies": 'strategies=("nearest_centroid", "logistic_regression"), seeds=1',
    "gradual_unfreezing": "max_blocks=1, epochs=2, fine_tuning_epochs=2",
    "partial_unfreezing": "epochs=2, fine_tuning_epochs=2",
    # By lesion the demo would train seven more heads, and all once more by picture.
    "skin_lesions": 'epochs=2, fine_tuning_epochs=0, views=1, test_time_views=1, image_size=48, split="random"',
    "video_actions": "epochs=2, views=1, frames=4, image_size=48",
    "feature_extraction": "epochs=2",
    "domain_adaptation": 'new_domain=("dusk",)',
    "from_scratch": "epochs=2",
    "object_detection": "epochs=1, views=1",
    "legal_text": 'strategy="full", epochs=1, samples=2, sample_tokens=10',
    "text_classification": "epochs=1, windows_per_document=1",
    "text_domains": "windows_per_document=1",
}


def code_of(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("name", RECIPES)
def test_the_cells_are_the_file(name):
    notebook = make_notebooks.notebook(RECIPES[name], "https://example.org/x")
    nbformat.validate(notebook)
    set_up, *cells, run, _, _ = code_of(notebook)
    statements = [node for node in RECIPES[name].tree.body[1:] if not make_notebooks.is_main_guard(node)]
    assert [ast.dump(node) for cell in cells for node in ast.parse(cell).body] == [
        ast.dump(node) for node in statements
    ]
    assert "https://example.org/x" in set_up and "Config()" in run
    assert sum(cell.startswith("def ") or "\nclass " in cell for cell in cells) >= 2


def test_comments_become_text(tmp_path):
    (tmp_path / "toy.py").write_text(
        '"""Toy: x."""\nimport os\n\nA = 1\n\n\n# Why.\ndef f():\n    # stays\n    return 1\n\n\nB = f()\n\n\n'
        'if __name__ == "__main__":\n    f()\n'
    )
    blocks = make_notebooks.blocks(recipe_source.Source(tmp_path / "toy.py"))
    assert blocks == [
        ("code", "import os\n\nA = 1"), ("text", "Why."), ("code", "def f():\n    # stays\n    return 1"),
        ("code", "B = f()"),
    ]  # fmt: skip


def test_the_same_source_makes_the_same_file(tmp_path, capsys):
    for place in ("one", "two"):
        make_notebooks.main(
            make_notebooks.Config(recipes=("linear_probe",), out=tmp_path / place, repository="https://x")
        )
    assert (tmp_path / "one/linear_probe.ipynb").read_bytes() == (tmp_path / "two/linear_probe.ipynb").read_bytes()
    assert capsys.readouterr().out.splitlines()[0] == str(tmp_path / "one/linear_probe.ipynb")


def test_what_colab_clones_is_known_or_a_placeholder(monkeypatch, tmp_path):
    for url in ("", "https://example.org/known"):
        monkeypatch.setattr(make_notebooks.copy, "repository_url", lambda url=url: url)
        make_notebooks.main(make_notebooks.Config(recipes=("linear_probe",), out=tmp_path))
        assert (
            f'repository = \\"{url or make_notebooks.PLACEHOLDER}\\"' in (tmp_path / "linear_probe.ipynb").read_text()
        )


def test_the_first_cell_installs_what_the_recipe_needs():
    assert "keras-hub" in make_notebooks.notebook(RECIPES["legal_text"], "https://x").cells[1].source
    assert "keras-hub" not in make_notebooks.notebook(RECIPES["linear_probe"], "https://x").cells[1].source


def test_an_unknown_recipe_is_said(tmp_path):
    with pytest.raises(SystemExit, match="there is no linear_prob$"):
        make_notebooks.main(make_notebooks.Config(recipes=("linear_prob",), out=tmp_path))


def test_own_data_are_those_of_the_docstring():
    assert 'run(Config(data="photos/"))' in make_notebooks.own_call(RECIPES["feature_extraction"])
    assert 'data="clips/"' in make_notebooks.own_call(RECIPES["video_actions"])
    assert make_notebooks.own_call(RECIPES["compare_strategies"]).startswith("result = compare_strategies.run(")


def test_inherited_settings_are_listed():
    *_, last = make_notebooks.notebook(RECIPES["partial_unfreezing"], "https://x").cells
    assert "| `head` | `'gap'` | flatten has far more weights" in last.source and "`fine_tuning_rate`" in last.source
    assert "`unfreeze_from`" not in last.source  # the cell with the Config shows it
    *_, last = make_notebooks.notebook(RECIPES["legal_text"], "https://x").cells
    assert "| `lora_rank` | `8` | rank of lora, 4 to 16" in last.source and "`compare`" not in last.source
    assert "inherits" not in make_notebooks.notebook(RECIPES["linear_probe"], "https://x").cells[-1].source


@pytest.fixture(scope="module")
def default_cache(tmp_path_factory):
    """Where the notebooks' runs have their cache, so that the demo's photos are drawn once."""
    return tmp_path_factory.mktemp("default_cache")


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", every_recipe.parameters(RECIPES))
def test_it_runs(name, tmp_path, monkeypatch, default_cache):
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv("XDG_CACHE_HOME", str(default_cache))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(recipe_source.ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = make_notebooks.notebook(RECIPES[name], "nowhere", QUICK.get(name, ""))
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    (finished,) = (tmp_path / "runs" / name).glob("*/results.json")
    *_, results, figures = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert results.outputs and any("image/png" in output.get("data", {}) for output in figures.outputs)
    page = {"compare_strategies": "compare.html", "choose_backbone": "networks.csv"}.get(name, "report.html")
    assert (finished.parent / page).is_file()
