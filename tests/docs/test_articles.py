"""The page of the articles: all their code is on it, its numbers are those of the pages that it links to, and its
commands work. That they parse, and that its links lead somewhere, is tested with those of all pages.
"""

import functools
import importlib
import itertools
import os
import pathlib
import posixpath
import re

import markdown_commands
import pytest
import recipe_source

pytestmark = pytest.mark.quick

PAGE = "docs/articles.md"
CODE = re.compile(r"(`+).+?\1")
QUOTED = re.compile(r'"[^"]*"')  # the articles' own words
LINK = re.compile(r"\]\(([^)\s]+)\)")
PAPER = re.compile(r"\[[^]]*\]\(\w+:[^)\s]+\)")
# A number, not a part of a name: `VGG16`, `GPT-2`, `0.35` in `MobileNetV2:0.35`.
OURS = re.compile(r"(?<![\w.,:/-])\d[\d,]*(?:\.\d+)?(?:e-\d+)?(?=x\b|\b)(?!D\b)")
ANY = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e-\d+)?")

# Every line of the articles' code, without comments; a call over several lines is joined.
LINES = """
import tensorflow as tf
from tensorflow.keras.applications import VGG16
from tensorflow.keras.applications import InceptionV3
from tensorflow.keras.layers import Dense, GlobalAveragePooling2D
from tensorflow.keras.layers import Dense, GlobalAveragePooling3D
from tensorflow.keras.layers import Dense, Flatten
from tensorflow.keras.models import Model
from tensorflow.keras.optimizers import Adam
base_model = VGG16(weights='imagenet', include_top=False, input_shape=(224, 224, 3))
base_model = InceptionV3(weights='imagenet', include_top=False, input_shape=(16, 112, 112, 3))
for layer in base_model.layers:
for layer in base_model.layers[:15]:
for layer in base_model.layers[15:]:
layer.trainable = False
layer.trainable = True
x = GlobalAveragePooling2D()(base_model.output)
x = GlobalAveragePooling3D()(base_model.output)
x = Flatten()(base_model.output)
x = Dense(128, activation='relu')(x)
x = Dense(256, activation='relu')(x)
output = Dense(num_classes, activation='softmax')(x)
model = Model(inputs=base_model.input, outputs=output)
model.compile(optimizer=Adam(lr=0.001), loss='categorical_crossentropy', metrics=['accuracy'])
model.compile(optimizer='adam', loss='categorical_crossentropy', metrics=['accuracy'])
train_generator = ... # Prepare your training data generator
val_generator = ... # Prepare your validation data generator
test_generator = ... # Prepare your test data generator
epochs = 10
history = model.fit( train_generator, epochs=epochs, validation_data=val_generator )
history = model.fit(train_generator, epochs=10, validation_data=val_generator)
model.fit(train_images, train_labels, epochs=10, validation_data=(val_images, val_labels))
test_loss, test_accuracy = model.evaluate(test_generator)
print(f"Test Accuracy: {test_accuracy}")
import transformers
from transformers import GPT2LMHeadModel, GPT2Tokenizer
model_name = 'gpt2'
model = GPT2LMHeadModel.from_pretrained(model_name)
tokenizer = GPT2Tokenizer.from_pretrained(model_name)
legal_text = open("legal_corpus.txt", "r").read()
input_ids = tokenizer.encode(legal_text, return_tensors="pt")
model.train(input_ids)
""".strip().splitlines()

# What a reader of the articles searches for.
WORDS = (
    "layers[:15]", "C3D", "skin cancer", "sports", "cows, horses, humans", "defect", "traffic signs", "flowers",
    "pedestrians", "BERT", "RoBERTa", "GPT-3", "sentiment", "named entity", "question answering", "translation",
    "speech", "predictive analytics", "CheXNet", "satellite", "Faster R-CNN", "YOLO", "U-Net", "DeepLab", "EWC",
    "Synaptic Intelligence", "rehearsal", "federated", "differential privacy", "DANN", "CORAL", "MMD", "FID", "t-SNE",
    "MAML", "meta-learning", "few-shot", "adversarial training", "pruning", "mixed precision", "F1", "mean squared",
    "augmentation", "L1/L2", "dropout", "catastrophic forgetting", "gradual unfreezing", "PyTorch", "OpenCV", "NLTK",
    "TPU", "AWS", "pay-as-you-go", "ResNet", "Inception", "VGG", "domain adaptation", "tags",
)  # fmt: skip


def read(name):
    return markdown_commands.Document(name, (recipe_source.ROOT / name).read_text(encoding="utf-8"))


DOCUMENT = read(PAGE)


def blocks(text):
    """(first line, text) of each row of a table, item of a list and paragraph; headings and HTML are none."""
    found, held, start = [], [], 0
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        if held and (not line.strip() or line.startswith(("|", "- ", "#", "<"))):
            found.append((start, " ".join(held)))
            held = []
        if line.strip() and not line.startswith(("#", "<")):
            start = start if held else number
            held.append(line)
    return found


def rows():
    """The cells of each row of the page's tables, without those of their heads."""
    found = [block.strip("| ").split(" | ") for _, block in blocks(DOCUMENT.text) if block.startswith("|")]
    heads = [number - 1 for number, cells in enumerate(found) if set("".join(cells)) <= set("|- ")]
    return [cells for number, cells in enumerate(found) if number not in heads and number - 1 not in heads]


@functools.cache
def section(name, anchor):
    """The text of a page below one of its headings, with the sections below that; all of it without one."""
    document = read(name)
    tokens = document.tokens()
    headings = [
        (int(token.tag[1]), re.sub(r"[^\w\- ]", "", following.content.lower()).replace(" ", "-"), token.map[0])
        for token, following in itertools.pairwise(tokens)
        if token.type == "heading_open"
    ]
    if not anchor:
        return document.text
    (level, start) = next((level, line) for level, title, line in headings if title == anchor)
    end = next((line for other, _, line in headings if line > start and other <= level), None)
    return "\n".join(document.text.splitlines()[start:end])


def linked(text):
    """The text of all sections to which a text links."""
    links = [link.partition("#") for link in LINK.findall(text) if not re.match(r"\w+:", link)]
    places = [posixpath.normpath(posixpath.join("docs", path)) if path else PAGE for path, _, _ in links]
    return "\n".join(section(place, link[2]) for place, link in zip(places, links, strict=True) if place != PAGE)


def numbers(text):
    """The numbers that a text tells, without those in code, links, papers and the articles' words."""
    for pattern, instead in ((CODE, ""), (PAPER, ""), (LINK, "]"), (QUOTED, "")):
        text = pattern.sub(instead, text)
    return OURS.findall(text)


def strange_numbers(text):
    """(line, number) of each number that is in no section to which its row, item or paragraph links."""
    told = [(line, block, set(ANY.findall(linked(block)))) for line, block in blocks(text)]
    return [(line, number) for line, block, known in told for number in numbers(block) if number not in known]


def commands():
    """The commands of the page that run a recipe."""
    return [each for each in markdown_commands.commands_of(DOCUMENT) if each.words[1:2][0].startswith("recipes/")]


# The articles -------------------------------------------------------------------------------------------------------


def test_every_line_of_their_code_is_in_the_tables_of_code():
    examples = section(PAGE, "the-code-examples")
    assert not [line for line in LINES if f"`{line}`" not in examples]


def test_every_recipe_with_article_has_its_example():
    with_article = {each.name for each in recipe_source.recipes() if "--article" in {s.flag for s in each.settings()}}
    told = {pathlib.Path(each.words[1]).stem for each in commands() if "--article" in each.words}
    assert told == with_article and len(told) >= 4


@pytest.mark.parametrize("word", WORDS)
def test_what_a_reader_searches_for_is_there(word):
    assert word.lower() in DOCUMENT.text.lower()


def test_every_row_says_where_it_stands():
    told = [cells for cells in rows() if len(cells) == 3]
    assert len(told) >= 110 and len(rows()) - len(told) >= 25
    here = re.compile(r"(planned|not measured|not here, because)\b|see there$")
    silent = [
        cells for cells in told if not (numbers(cells[2]) and LINK.search(cells[2])) and not here.search(cells[2])
    ]
    assert not silent
    assert not [cells for cells in told if cells[1] == "–" and not here.match(cells[2])]


def test_the_readme_leads_here_at_its_beginning():
    assert "(docs/articles.md)" in read("README.md").text.partition("\n## ")[0]
    assert "(migration.md" in DOCUMENT.text and "(articles.md" in read("docs/migration.md").text


def test_the_list_of_recipes_has_the_articles_names():
    lines = {each.name: each.docstring.partition("\n")[0] for each in recipe_source.recipes()}
    for name, words in {
        "compare_strategies": "transfer learning vs fine-tuning", "feature_extraction": "transfer learning example",
        "partial_unfreezing": "layers[:15]", "gradual_unfreezing": "layer freezing", "skin_lesions": "skin cancer",
        "video_actions": "sports", "legal_text": "legal documents", "text_classification": "sentiment",
        "linear_probe": "fixed feature extractor", "from_scratch": "from scratch",
        "domain_adaptation": "domain gap", "text_domains": "sentiment",
    }.items():  # fmt: skip
        assert words in lines[name].lower(), name


# Its numbers and flags ----------------------------------------------------------------------------------------------


def test_numbers_are_those_of_the_sections_to_which_they_link():
    assert not strange_numbers(DOCUMENT.text)


def test_one_that_is_not_is_found():
    known = next(number for number in ANY.findall(section("docs/measurements.md", "the-demo")) if "." in number)
    text = (
        f"| a | b |\n|---|---|\n| VGG16 `8` | [{known} (GPT-2)](measurements.md#the-demo) |\n"
        f"| 3D | [{known}1](measurements.md#the-demo) |\n| {known} | b |\n\n"
        "It is 98x [so](measurements.md#memory), or 4.1x\n"
    )
    assert strange_numbers(text) == [(4, f"{known}1"), (5, known), (7, "98"), (7, "4.1")]
    assert sum(len(numbers(block)) for _, block in blocks(DOCUMENT.text)) > 150


def test_flags_exist():
    known = [*map(recipe_source.settings_of, recipe_source.recipes()), *recipe_source.shared_settings().values()]
    flags = {setting.flag for settings in known for setting in settings} | {"--format", "--int8"}
    told = {flag for code in CODE.finditer(DOCUMENT.text) for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", code[0])}
    assert told <= flags and len(told) > 30


# Its commands -------------------------------------------------------------------------------------------------------

# What makes a dry run small; a network without weights, as none are downloaded.
SMALL = {"image_size": 96, "weights": "none", "frames": 4, "batch_size": 4, "seeds": 1, "backbones": ("MobileNetV2",)}
# Without --verify and --compare.
UNUSED = {"recipes.choose_backbone": {"seeds"}, "recipes.object_detection": {"seeds"}}


@pytest.mark.long
@pytest.mark.parametrize("command", commands(), ids=str)
def test_each_runs_dry_on_drawn_data(command, shared_cache, tmp_path, tmp_path_factory, monkeypatch, capsys):
    """As it stands, but on the demo's data, and with a small network."""
    from common import flags

    _, script, *arguments = command.words
    recipe = importlib.import_module(f"recipes.{pathlib.Path(script).stem}")
    for flag in {"--data", "--new-domain"} & set(arguments):
        place = arguments.index(flag)
        arguments[place : place + 2] = []
    if recipe.__name__ in ("recipes.legal_text", "recipes.text_classification", "recipes.text_domains"):
        pytest.importorskip("keras_hub", reason="the extra `text` is not installed")
        if "--backbone" in arguments:  # of KerasHub, which would be downloaded
            import tiny_encoder

            arguments[arguments.index("--backbone") + 1] = tiny_encoder.write(
                tmp_path_factory.mktemp("preset") / "tiny"
            )
    known = flags.flag_names(recipe.Config)
    arguments += ["--dry-run", "--out", str(tmp_path / "runs"), "--cache", str(shared_cache)]
    for name, value in SMALL.items():
        if name in known - UNUSED.get(recipe.__name__, set()):
            words = value if isinstance(value, tuple) else [str(value)]
            arguments += [f"--{name.replace('_', '-')}", *words]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        recipe.run(flags.parse(recipe.Config, arguments))
    assert not stop.value.code
    assert re.search(
        r"^(all|together|dry run of choose_backbone)\b", capsys.readouterr().out, re.MULTILINE
    ) and not os.listdir(tmp_path)
