import ast
import dataclasses
import itertools

import pytest
import recipe_source

from common import flags
from recipes import (
    compare_strategies,
    feature_extraction,
    legal_text,
    partial_unfreezing,
    skin_lesions,
    text_classification,
)

FILE = '''"""Toy: does nothing.

When to use it: never.

Data: none.

Expected, on any computer: nothing.
"""

import dataclasses


# Why this one is here,
# in two lines.
@dataclasses.dataclass
class Config:
    """Settings."""

    one: int = 3  # 2 to 4 # or 5
    # What stands before counts
    # where nothing stands behind.
    two: tuple[str, ...] = (
        "a",
    )
    three: str


def build_model(x):
    """Its docstring."""
    return x
'''


@pytest.fixture
def source(tmp_path):
    (tmp_path / "toy.py").write_text(FILE)
    return recipe_source.Source(tmp_path / "toy.py")


def test_title_sections_and_what(source):
    assert (source.name, source.title, source.what) == ("toy", "Toy", "Does nothing.")
    assert source.markdown(3) == (
        "### When to use it\n\nNever.\n\n### Data\n\nNone.\n\n### Expected result\n\nOn any computer: nothing."
    )


def test_settings_with_their_comments(source):
    one, two, three = source.settings()
    assert (one.flag, one.type, one.default, one.rule) == ("--one", "int", "3", "2 to 4 # or 5")
    assert two.rule == "What stands before counts where nothing stands behind." and two.default == "('a',)"
    assert (three.default, three.rule) == ("", "")


def test_code_and_the_comment_before_it(source):
    assert source.code_of("build_model").splitlines()[0] == "def build_model(x):"
    assert source.code_of("Config").startswith("@dataclasses.dataclass\nclass Config:")
    node = next(node for node in source.tree.body if isinstance(node, ast.ClassDef))
    assert source.comment_before(recipe_source.first_line(node)) == ["Why this one is here,", "in two lines."]
    assert source.has("Config") and not source.has("run")
    with pytest.raises(ValueError, match="toy has no run"):
        source.code_of("run")


@pytest.mark.parametrize("recipe", recipe_source.recipes(), ids=lambda recipe: recipe.name)
def test_every_recipe_says_what_a_page_needs(recipe):
    headings = [line for line in recipe.markdown().splitlines() if line.startswith("## ")]
    assert headings == ["## When to use it", "## Data", "## Command", "## Expected result"]
    assert recipe.title and recipe.what.endswith((".", "?"))
    for setting in recipe_source.settings_of(recipe):
        assert setting.rule, f"{setting.flag} has no rule of thumb"


def test_settings_are_those_of_the_config():
    for module in (feature_extraction, partial_unfreezing, skin_lesions):
        source = recipe_source.Source(recipe_source.ROOT / f"{module.__name__.replace('.', '/')}.py")
        own = recipe_source.settings_of(source)
        names = {
            each.flag[2:].replace("-", "_")
            for each in [*own, *itertools.chain(*recipe_source.shared_settings().values())]
        }
        assert names == {field.name for field in dataclasses.fields(module.Config)}


def test_the_settings_of_texts_are_on_the_page_of_each_recipe():
    for module in (legal_text, text_classification):
        source = recipe_source.Source(recipe_source.ROOT / f"{module.__name__.replace('.', '/')}.py")
        shared = set(flags.RunConfig.__dataclass_fields__)
        found = {each.flag[2:].replace("-", "_") for each in recipe_source.settings_of(source)}
        assert found | shared == set(module.Config.__dataclass_fields__) and "lora_rank" in found


def test_what_is_inherited_is_listed_once_and_what_help_hides_is_not():
    source = recipe_source.Source(recipe_source.ROOT / "recipes" / "compare_strategies.py")
    found = [each.flag for each in recipe_source.settings_of(source)]
    assert len(found) == len(set(found)) and {"--strategies", "--fine-tuning-rate", "--hidden-units"} <= set(found)
    assert "Suppress" in str(compare_strategies.Config.__dataclass_fields__["backbone"].type)
    assert "--backbone" not in found
    assert next(each.default for each in recipe_source.settings_of(source) if each.flag == "--head") == "'gap'"


def test_every_shared_setting_has_a_rule_of_thumb():
    shared = recipe_source.shared_settings()
    assert len(shared) == 2
    for setting in itertools.chain(*shared.values()):
        assert setting.rule, f"{setting.flag} has no rule of thumb"


def test_recipes_come_in_the_readmes_order():
    names = [recipe.name for recipe in recipe_source.recipes()]
    assert names[:3] == ["compare_strategies", "linear_probe", "feature_extraction"]
    assert set(names) == {path.stem for path in (recipe_source.ROOT / "recipes").glob("[!_]*.py")}
