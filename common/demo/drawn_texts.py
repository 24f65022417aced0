"""Texts drawn by code: general prose to pretrain a small GPT-2 on, and contracts of known type to tune it on.

The demo needs both without a download. A text is a function of its kind and its seed. It is drawn from a grammar: each
place in a template, `{thing}`, is filled with one of its alternatives, which may contain further places. The parties,
the town and the sums of a text stay the same throughout.

The two share only the English language and the form of names, dates and sums: no sentence of the contracts is in the
prose. Names are composed of syllables, so that a held-out company is a new one.
"""

import hashlib
import pathlib
import random
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from common import files

FILES = ("data/demo/text/gpt2_narrow", "templates")
PRESET = files.ROOT / FILES[0]
CONTRACT_TYPES = ("employment", "lease", "licence", "loan", "nda", "supply")
CONTRACTS = 16  # of each type
REFILED = 2  # of each type, filed again by another company with hardly a word changed
SCANS = "scans"  # the demo's other domain: contracts as a bad scanner reads them
SCAN_SEED = 1_000  # the contracts of the scans have numbers from here on
MISREAD = 0.15  # of the letters that have a look-alike
LOOK_ALIKES = {"l": "1", "o": "0", "e": "c", "i": "l", "m": "rn", "h": "li", "a": "o", "s": "5", "n": "u", "t": "f"}
GENERAL_TEXTS = 60  # held-out texts of prose on which forgetting is measured
GENERAL_SEED = 10_000_000  # the seeds of the pretraining are below it
TEMPLATES = pathlib.Path(__file__).resolve().parent / "templates"
PLACE = re.compile(r"\{(\w+)\}")

Rules = Mapping[str, Any]  # place → its alternatives, or a function of the pen


class Pen:
    """The state of one text while it is drawn.

    Args:
        rules: place → its alternatives, or a function of the pen that returns one.
        seed: any value with a text form; the same seed draws the same text.
    """

    def __init__(self, rules: Rules, seed: object) -> None:
        self.rules, self.random = rules, random.Random(str(seed))
        self.facts: dict[str, str] = {}

    def fix(self, **facts: str) -> None:
        """Fill each template once; from then on its name is replaced by the result."""
        for name, template in facts.items():
            self.facts[name] = self.write(template)

    def write(self, template: str) -> str:
        """Return the template with every place filled."""
        return PLACE.sub(lambda match: self._filling(match[1]), template)

    def _filling(self, name: str) -> str:
        if name in self.facts:
            return self.facts[name]
        rule = self.rules[name]
        return rule(self) if callable(rule) else self.write(self.random.choice(rule))

    def sentences(self, place: str, count: int) -> str:
        """Return `count` sentences of one kind; templates are repeated only if there are too few."""
        templates = list(self.rules[place])
        self.random.shuffle(templates)
        chosen = [templates[number % len(templates)] for number in range(count)]
        return " ".join(sentence(self.write(template)) for template in chosen)


def sentence(text: str) -> str:
    """Return the text with a capital letter, `an` before a vowel, and plurals such as boxes and copies."""
    text = re.sub(r"\b([Aa]) (?=[aeiou])(?!one\b|us|uni|eur)", r"\1n ", text)
    text = re.sub(r"([^aeiou\W])ys\b", r"\1ies", re.sub(r"(x|ch|sh|ss)s\b", r"\1es", text))
    return text[:1].upper() + text[1:]


# Names, dates and sums ------------------------------------------------------------------------------------------

ONSETS = "b br c ch cl d dr f fl g gr h k l m n p pr r s sh st t tr v w".split()
VOWELS = "a e i o u ai ea oo".split()
TOWN_ENDINGS = ("ton", "ford", "ham", "field", " Bay", "port", "wick")
CODAS = "l m n nd r rd s st t ck ll ng rt x".split()


def _syllables(pen: Pen, count: int) -> str:
    parts = [pen.random.choice(ONSETS) + pen.random.choice(VOWELS) for _ in range(count)]
    return ("".join(parts) + pen.random.choice(CODAS)).capitalize()


def _number(low: int, high: int, step: int = 1) -> Callable[[Pen], str]:
    return lambda pen: f"{pen.random.randrange(low, high + 1, step):,}"


def _year(pen: Pen) -> str:
    return str(pen.random.randint(1985, 2024))


NAMES: Rules = {
    "surname": lambda pen: _syllables(pen, pen.random.choice((1, 1, 2))),
    "town": lambda pen: _syllables(pen, 1) + pen.random.choice(TOWN_ENDINGS),
    "forename": tuple(
        "Anna Robert Maria Peter Helen Thomas Laura James Emma David Ruth Simon Clara Henry Alice George Nora Paul "
        "Jane Martin Susan Frank Julia Edward Grace Oliver Sarah Victor Ellen Walter".split()
    ),
    "person": ("{forename} {surname}",),
    "trade": tuple(
        "Foods Steel Paper Textiles Energy Software Logistics Chemicals Motors Timber Shipping Media Optics Glass "
        "Pharma Printing Farms Mining Insurance Holdings Partners Systems Tools Plastics".split()
    ),
    "form": ("Ltd", "plc", "Inc.", "LLC", "Corp.", "& Sons Ltd", "Group plc", "Company"),
    "company": ("{surname} {trade} {form}", "{surname} & {surname} {form}", "{town} {trade} {form}"),
    "month": tuple(
        "January February March April May June July August September October November December".split()
    ),
    "weekday": tuple("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()),
    "year": _year,
    "day": _number(1, 28),
    "date": ("{day} {month} {year}", "{month} {day}, {year}"),
    "small": ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve"),
    "tens": _number(10, 90, 5),
    "percent": ("{few} per cent", "{few}.5 per cent", "{few} %"),
    "few": _number(2, 12),
    "thousands": _number(1000, 95000, 500),
    "sum": ("${thousands}", "£{thousands}", "{thousands} dollars", "€{thousands}"),
    "street": ("{few} {surname} Street", "{tens} {surname} Road", "{few} {town} Lane", "{tens} Market Square"),
}  # fmt: skip

# General prose --------------------------------------------------------------------------------------------------


def _grammar(name: str) -> dict:
    """Read a grammar from `templates`."""
    return tomllib.loads((TEMPLATES / f"{name}.toml").read_text(encoding="utf-8"))


PROSE: Rules = {**NAMES, **_grammar("prose")}
GENRES = ("story", "news", "letter", "rules", "advice", "life", "meeting")


def general_text(seed: int) -> str:
    """Return a page of general prose: paragraphs of one or two genres, or numbered parts, often under a heading."""
    pen = Pen(PROSE, f"prose {seed}")
    genres = pen.random.sample(GENRES, pen.random.choice((1, 1, 2)))
    parts = [pen.write("{heading}").upper()] if pen.random.random() < 0.6 else []
    if pen.random.random() < 0.4:
        for number in range(1, pen.random.randint(4, 10)):
            heading = pen.write("{heading}").title()
            parts.append(f"{number}. {heading}. {pen.sentences(pen.random.choice(genres), pen.random.randint(1, 2))}")
    else:
        for _ in range(pen.random.randint(2, 4)):
            parts.append(pen.sentences(pen.random.choice(genres), pen.random.randint(4, 9)))
    return "\n\n".join(parts)


# Contracts ------------------------------------------------------------------------------------------------------

GRAMMAR = _grammar("contracts")
CONTRACT: Rules = NAMES | GRAMMAR["places"]
VARIED = re.compile(r"\b(" + "|".join(sorted(GRAMMAR["variants"], key=len, reverse=True)) + r")\b")


def contract(kind: str, seed: int, company: str | None = None) -> str:
    """Return a contract of one of the `CONTRACT_TYPES`.

    Args:
        kind: the type.
        seed: determines everything but the company.
        company: the first party, by which the demo is split; drawn at random if it is not given.
    """
    about = GRAMMAR["kinds"][kind]
    pen = Pen(CONTRACT, f"{kind} {seed}")
    role_a, role_b = pen.random.choice(about["roles"])
    pen.facts.update(role_a=role_a, role_b=role_b, a=company or company_name(f"{kind} {seed}"))
    pen.fix(
        b=about["second"], home="{town}", street_a="{street}", street_b="{street}", signed="{date}", end_date="{date}",
        amount="{sum}", job=pen.random.choice(GRAMMAR["jobs"]), title=pen.random.choice(about["titles"]),
    )  # fmt: skip
    pen.facts["consent_a"] = pen.write("{consent}").replace(f"the {role_b}", f"the {role_a}")
    pen.fix(aim=about["aim"], goods=pen.random.choice(CONTRACT["goods"]))
    recitals = [pen.write(text) for text in CONTRACT["recital"] if pen.random.random() < 0.7]
    own, shared = list(about["clauses"].items()), list(GRAMMAR["clauses"].items())
    own = [own[0], *pen.random.sample(own[1:], min(len(own) - 1, pen.random.randint(3, 5)))]
    clauses = own + pen.random.sample(shared, pen.random.randint(4, 6))
    body = [
        f"{number}. {heading}. {_clause(pen, pen.random.choice(ways))}"
        for number, (heading, ways) in enumerate(clauses, start=1)
    ]
    ending = pen.write(
        f"IN WITNESS WHEREOF, the Parties have executed this Agreement as of the date first above written.\n\n"
        f"{pen.facts['a']}\nBy: {{person}}\n\n{pen.facts['b']}\nBy: {{person}}"
    )
    parts = [pen.facts["title"], pen.write("{opening}"), *recitals, pen.write("{therefore}"), *body, ending]
    return "\n\n".join(parts) + "\n"


def _clause(pen: Pen, template: str) -> str:
    """Return a clause in varied words: with variants and, now and then, an opening or an ending."""
    varied = VARIED.sub(lambda match: pen.random.choice(GRAMMAR["variants"][match[0]]), template)
    if pen.random.random() < 0.3 and not varied.startswith("{subject}"):
        first = varied if varied.startswith(("{", '"', "THE ")) else varied[0].lower() + varied[1:]
        varied = f"{{subject}}, {first}"
    if pen.random.random() < 0.35 and varied.endswith(".") and not varied.endswith('".'):
        varied = f"{varied[:-1]}, {pen.random.choice(GRAMMAR['endings'])}."
    return sentence(pen.write(varied))


def company_name(seed: object) -> str:
    """Return a company's name."""
    return Pen(NAMES, f"company {seed}").write("{company}")


def refiled(text: str, company: str, another: str, seed: int) -> str:
    """Return a contract as another company files it: only the name and the first date differ."""
    date = re.search(r"\b\d{1,2} [A-Z][a-z]+ \d{4}\b|\b[A-Z][a-z]+ \d{1,2}, \d{4}\b", text)
    text = text.replace(company, another)
    return text.replace(date[0], Pen(NAMES, f"refiled {seed}").write("{date}")) if date else text


def write_contracts(folder: pathlib.Path) -> pathlib.Path:
    """Write the demo's contracts as `<type>/<company>_<number>.txt`; a company has one to three of them.

    Some of each type are written twice, filed again by another company. A search for near-duplicates must find them.
    """

    def write(unfinished: pathlib.Path) -> None:
        for kind, number, company, text in demo_contracts():
            path = unfinished / kind / f"{company}_{number:03d}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")

    return files.complete_folder(folder, _has_contracts, write, "the demo's contracts")


def scanned(text: str, seed: int) -> str:
    """Return a text as a bad scanner reads it: some letters become others that look like them."""
    chance = random.Random(f"scan {seed}")
    return "".join(
        LOOK_ALIKES[letter] if letter in LOOK_ALIKES and chance.random() < MISREAD else letter for letter in text
    )


def write_scans(folder: pathlib.Path) -> pathlib.Path:
    """Write further contracts as `scans/<type>/<company>_<number>.txt`, each scanned and of its own company."""

    def write(unfinished: pathlib.Path) -> None:
        for place, kind in enumerate(CONTRACT_TYPES):
            for number in range(SCAN_SEED, SCAN_SEED + CONTRACTS):
                filer = 5000 + CONTRACTS * place + number - SCAN_SEED
                path = unfinished / kind / f"{filer}_{number}.txt"
                path.parent.mkdir(exist_ok=True)
                path.write_text(scanned(contract(kind, number, company_name(filer)), filer), encoding="utf-8")

    def is_there(folder: pathlib.Path) -> bool:
        return len(list(folder.glob("*/*.txt"))) == len(CONTRACT_TYPES) * CONTRACTS

    return files.complete_folder(folder / SCANS, is_there, write, "the demo's scans")


def demo_contracts() -> Iterator[tuple[str, int, int, str]]:
    """Yield type, number, the company's number and the text of the demo's contracts."""
    filer = 1000
    for kind in CONTRACT_TYPES:
        chance = random.Random(kind)
        drawn: list[tuple[str, str]] = []
        while len(drawn) < CONTRACTS:
            filer += 1
            for _ in range(min(chance.choice((1, 1, 2, 3)), CONTRACTS - len(drawn))):
                number = len(drawn)
                drawn.append((company_name(filer), contract(kind, number, company_name(filer))))
                yield kind, number, filer, drawn[-1][1]
        for number, (company, text) in enumerate(drawn[:REFILED]):
            filer += 1
            yield kind, CONTRACTS + number, filer, refiled(text, company, company_name(filer), filer)


def _has_contracts(folder: pathlib.Path) -> bool:
    return len(list(folder.glob("*/*.txt"))) == len(CONTRACT_TYPES) * (CONTRACTS + REFILED)


def version() -> str:
    """Return a hash of everything that the texts depend on."""
    digest = hashlib.sha256(pathlib.Path(__file__).read_bytes())
    for path in sorted(TEMPLATES.glob("*.toml")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def general_texts() -> list[str]:
    """Return prose that the demo's network was not pretrained on."""
    return [general_text(GENERAL_SEED + number) for number in range(GENERAL_TEXTS)]
