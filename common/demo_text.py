"""Texts drawn by code: general prose to pretrain a small GPT-2 on, and contracts of known type to tune it on.

The demo needs both without a download. A text is a function of its kind and its seed. It is drawn from a grammar: a
template names what may stand in a place, `{thing}`, and one of the alternatives is put there, which may name further
places. What a text has named once (its parties, its town, its sums) stays the same to its end.

The two share the English language and the way names, dates and sums are written, and nothing else: no sentence of the
contracts is in the prose. Names are put together from syllables, so that a held-out company is a new one.
"""

import pathlib
import random
import re
from collections.abc import Callable, Mapping

from common import files

PRESET = pathlib.Path(__file__).resolve().parent.parent / "data" / "demo" / "text" / "gpt2_narrow"
CONTRACT_TYPES = ("employment", "lease", "licence", "loan", "nda", "supply")
CONTRACTS = 30  # of each type
REFILED = 2  # of each type that another company has filed again with hardly a word changed
GENERAL_TEXTS = 60  # of the held-out prose on which forgetting is measured
GENERAL_SEED = 10_000_000  # the pretraining's seeds are below
PLACE = re.compile(r"\{(\w+)\}")

Rules = Mapping[str, tuple[str, ...] | Callable[["Pen"], str]]


class Pen:
    """One text while it is drawn.

    Args:
        rules: place → the alternatives for it, or a function of the pen that makes one.
        seed: anything; the same seed draws the same text.
    """

    def __init__(self, rules: Rules, seed):
        self.rules, self.random, self.facts = rules, random.Random(str(seed)), {}

    def fix(self, **facts: str) -> None:
        """Draws each template once; from here on its name stands for what came out."""
        for name, template in facts.items():
            self.facts[name] = self.write(template)

    def write(self, template: str) -> str:
        """The template with every place filled."""
        return PLACE.sub(lambda match: self._filling(match[1]), template)

    def _filling(self, name: str) -> str:
        if name in self.facts:
            return self.facts[name]
        rule = self.rules[name]
        return rule(self) if callable(rule) else self.write(self.random.choice(rule))

    def sentences(self, place: str, count: int) -> str:
        """So many sentences of one kind, no template twice where there are enough."""
        templates = list(self.rules[place])
        self.random.shuffle(templates)
        chosen = [templates[number % len(templates)] for number in range(count)]
        return " ".join(sentence(self.write(template)) for template in chosen)


def sentence(text: str) -> str:
    """With a capital letter, `an` before a vowel, and plurals such as boxes and copies."""
    text = re.sub(r"\b([Aa]) (?=[aeiou])(?!one\b|us|uni|eur)", r"\1n ", text)
    text = re.sub(r"([^aeiou\W])ys\b", r"\1ies", re.sub(r"(x|ch|sh|ss)s\b", r"\1es", text))
    return text[:1].upper() + text[1:]


# Names, dates and sums ------------------------------------------------------------------------------------------

ONSETS = "b br c ch cl d dr f fl g gr h k l m n p pr r s sh st t tr v w".split()
VOWELS = "a e i o u ai ea oo".split()
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
    "town": lambda pen: _syllables(pen, 1) + pen.random.choice(("ton", "ford", "ham", "field", " Bay", "port", "wick")),
    "forename": tuple(
        "Anna Robert Maria Peter Helen Thomas Laura James Emma David Ruth Simon Clara Henry Alice George Nora Paul Jane "
        "Martin Susan Frank Julia Edward Grace Oliver Sarah Victor Ellen Walter".split()
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

PROSE: Rules = NAMES | {
    "person_word": tuple(
        "teacher farmer doctor baker sailor clerk mayor singer tailor driver writer nurse painter gardener judge "
        "student worker neighbour manager engineer keeper owner tenant officer director guest merchant member".split()
    ),
    "thing": tuple(
        "book letter table garden house door window road bridge river boat train ticket box map lamp coat bottle "
        "picture clock engine machine field tree stone fence wall roof key notice paper report office shop market "
        "school library building account copy list order price bill payment rule plan term place party".split()
    ),
    "stuff": tuple("water bread milk wood coal paper salt sugar oil wool corn glass iron money work time light".split()),
    "quality": tuple(
        "old new small large quiet heavy bright narrow cheap good poor early late careful plain certain general "
        "common public private written whole final former present reasonable clear open full empty".split()
    ),
    "abstract": tuple(
        "matter question answer reason cost value loss right duty interest change use condition purpose result delay "
        "agreement decision information service security notice part period failure damage benefit risk".split()
    ),
    "past": tuple(
        "saw found kept made sold bought carried opened closed left lost paid sent took held showed repaired received "
        "used returned offered delivered accepted signed rented described changed prepared provided".split()
    ),
    "present": tuple(
        "see find keep make sell buy carry open close leave lose pay send take hold show repair receive use return "
        "offer deliver accept sign rent describe change prepare provide give require include allow protect".split()
    ),
    "adverb": tuple("slowly quickly often never always soon together carefully at once again in full later".split(" ")),
    "place": ("in {town}", "near the {thing}", "behind the {quality} {thing}", "at the {thing}", "on the {thing}",
              "under the {thing}", "in the {quality} {thing}", "at {street}", "by the {thing} of {town}"),
    "when": ("on {weekday}", "in {month}", "in {year}", "on {date}", "after {small} days", "before the end of {month}",
             "within {small} weeks", "for {small} years", "every {weekday}", "during the {quality} {abstract}",
             "at the end of each month", "from time to time"),
    "one": ("the {person_word}", "the {quality} {person_word}", "{person}", "a {person_word} from {town}", "{company}",
            "the {person_word} of the {thing}", "every {person_word}", "each {person_word}", "any {person_word}"),
    "it": ("the {thing}", "a {quality} {thing}", "the {thing} of the {person_word}", "{small} {quality} {thing}s",
           "some {stuff}", "the {stuff}", "all {thing}s", "the {quality} {abstract}", "any {abstract}",
           "the {abstract} of the {thing}", "such {thing}s", "no {stuff}", "either the {thing} or the {thing}"),
    "clause": ("{one} {past} {it}", "{one} {past} {it} {place}", "{one} {past} {it} {when}", "{it} was {quality}",
               "{one} had {past} {it}", "there was no {abstract}", "{it} had been {past}", "{one} {past} {it} {adverb}"),
    "why": ("because {clause}", "although {clause}", "so that {one} could {present} {it}", "if {clause}", "when {clause}",
            "unless {clause}", "until {clause}", "where {clause}", "which {one} {past} {when}"),
    "story": (
        "{clause} {why}.", "{when}, {clause}.", "{clause}, and {clause}.", "{clause}, but {clause}.",
        "nobody knew {why}.", "{one} said that {clause}.", "{clause} and {past} {it}.",
        "it was the {person_word} who {past} {it} {place}.", "{one} would {present} {it} or {present} {it}.",
        "then {clause} {place}.", "{one} asked whether {clause}.", "there were {small} {thing}s {place}.",
        "{one}, who lived {place}, {past} {it} {when}.", "without {it}, {one} could not {present} {it}.",
        "{it} and {it} stood {place} {when}.", "not only {it} but also {it} was {past}.",
    ),
    "news": (
        "{company} said {when} that it would {present} {it} for {sum}.", "the company, founded in {year} in {town}, has {tens} workers.",
        "sales rose by {percent} to {sum} in {month}.", "{person}, director of {company}, called the {abstract} {quality}.",
        "shares of {company} fell by {percent} after the report.", "the bank has lent the firm {sum} at {percent} a year.",
        "a judge in {town} will hear the case on {date}.", "under the plan, {company} and {company} will share the {abstract}.",
        "both firms declined to say what they had paid.", "the new law is to come into force on {date}.",
        "according to {person}, the {thing} will be delivered {when}.", "the {person_word}s of {town} did not agree to the {abstract}.",
        "the sum of {sum} is to be paid {when}.", "prices are expected to stay the same until {month} {year}.",
        "the government of the state of {town} has promised to protect the {person_word}s.",
        "in a written statement, {person} denied any {abstract}.",
    ),
    "letter": (
        "thank you for your letter of {date}.", "please send {it} to {street}, {town}.", "we are sorry to hear of the {abstract}.",
        "I have received {it}, and I shall pay the bill {when}.", "you may {present} {it} at any time without our consent.",
        "as you know, {clause}.", "we hope that {one} will {present} {it} {when}.", "if you have any question, write to {person}.",
        "with this letter you will find {it} and a copy of {it}.", "the rent for {month} is {sum}, as agreed.",
        "our address has changed; it is now {street}, {town}.", "I shall not {present} {it} unless you {present} {it} first.",
        "we have agreed that either of us may {present} {it} by giving {small} days notice.", "yours faithfully, {person}.",
        "you are responsible for {it}, and we are responsible for {it}.", "I remember well that {clause}.",
    ),
    "rules": (
        "members shall {present} {it} before they {present} {it}.", "no {person_word} may {present} {it} without the written permission of the {person_word}.",
        "books must be returned within {tens} days.", "the fee is {sum} for each {thing}, to be paid {when}.",
        "visitors are not allowed to {present} {it}.", "any {person_word} who fails to {present} {it} shall pay {sum}.",
        "the {person_word} will keep {it} in a safe place.", "these rules apply to all {person_word}s and to their guests.",
        "if {it} is lost or damaged, the {person_word} must {present} it at once.", "the library is open from {weekday} to {weekday}.",
        "nothing in these rules prevents {one} from the use of {it}.", "a change of the rules requires the votes of {small} members.",
        "each member has the right to {present} {it} and the duty to {present} {it}.", "the committee may at any time {present} {it}.",
        "rule {few} does not apply where {clause}.", "for the purpose of this rule, a {thing} means {it}.",
    ),
    "advice": (
        "to {present} {it}, first {present} {it}.", "take {small} parts of {stuff} and one part of {stuff}.",
        "leave {it} for {few} hours {place}.", "never {present} {it} and {it} together.", "it is best to {present} {it} {when}.",
        "make sure that {it} is {quality}.", "a {quality} {thing} costs about {sum}.", "use {it} only for {it}.",
        "wait until {it} is {quality}, and then {present} {it}.", "most {person_word}s {present} {it} {adverb}.",
        "keep {it} away from {it} and from {it}.", "when {it} is {quality}, {present} {it} {adverb}.",
        "ask {one} to {present} {it}.", "do not {present} more than {few} {thing}s {when}.",
    ),
    "life": (
        "{person} was born in {town} on {date}.", "{person} worked as a {person_word} for {company}.", "in {year} the family moved to {town}.",
        "the {person_word} married {person} in {year}.", "{person} wrote {few} books on the {abstract} of {stuff}.",
        "after the death of {person}, the house at {street} was sold for {sum}.", "from {year} to {year} {person} was director of {company}.",
        "the town has {thousands} people and lies {few} miles from {town}.", "its oldest building is the {thing}, built in {year}.",
        "a {thing} is a kind of {thing} that is used to {present} {it}.", "in law, {it} means that {one} may {present} {it}.",
        "the {town} railway was opened in {year} and closed in {year}.", "the word {abstract} has more than one meaning.",
        "most of {it} belongs to {company}.", "the name comes from {person}, the first {person_word} of {town}.",
    ),
    "meeting": (
        "the meeting of {date} was held at {street}, {town}.", "{person} was in the chair, and {small} members were present.",
        "the report of the {person_word} was read and accepted.", "it was agreed that {one} shall {present} {it} {when}.",
        "{person} asked for {it}; this was refused.", "the cost of {sum} is to be shared by all parties.",
        "the {person_word} was asked to prepare {it} and to {present} {it}.", "the members thanked {person} for {it}.",
        "the next meeting will take place on {date}.", "a payment of {sum} to {company} was approved.",
        "in case of {abstract}, the {person_word} will {present} {it}.", "the following were elected: {person}, {person} and {person}.",
        "no other matter was raised.", "the agreement between {company} and the town ends on {date}.",
    ),
}  # fmt: skip
GENRES = ("story", "news", "letter", "rules", "advice", "life", "meeting")


def general_text(seed: int) -> str:
    """A page of general prose: two to four paragraphs of one to three genres."""
    pen = Pen(PROSE, f"prose {seed}")
    genres = pen.random.sample(GENRES, pen.random.choice((1, 1, 2)))
    paragraphs = [
        pen.sentences(pen.random.choice(genres), pen.random.randint(4, 9)) for _ in range(pen.random.randint(2, 4))
    ]
    return "\n\n".join(paragraphs)


# Contracts ------------------------------------------------------------------------------------------------------

CONTRACT: Rules = NAMES | {
    "made": ("is made on {signed}", "is entered into as of {signed}", "is dated {signed} and made"),
    "between": ("by and between", "between"),
    "hereafter": ("(the \"{role_a}\")", "(hereinafter the \"{role_a}\")"),
    "shall": ("shall", "will", "agrees to", "undertakes to", "is obliged to"),
    "shall_not": ("shall not", "will not", "may not", "agrees not to", "undertakes not to"),
    "subject": ("Subject to Section {few}", "Except as otherwise provided herein", "Without prejudice to Section {few}",
                "Notwithstanding the foregoing", "In addition to the foregoing", "Unless the parties agree otherwise in writing",
                "For the avoidance of doubt"),
    "consent": ("without the prior written consent of the {role_b}", "except with the prior written approval of the {role_b}",
                "unless the {role_b} has consented in writing"),
    "notice_days": ("{tens} days' prior written notice", "not less than {tens} days' notice in writing",
                    "written notice of at least {few} months"),
    "promptly": ("promptly", "without undue delay", "within {tens} business days", "immediately"),
    "law": ("the State of {home}", "the laws of {home}", "the courts of {home}"),
    "breach": ("material breach of this Agreement", "default in any payment due hereunder",
               "failure to perform any of its obligations hereunder", "breach of Section {few}"),
    "loss": ("any loss, damage, cost or expense", "all claims, liabilities and reasonable attorneys' fees",
             "any and all losses arising therefrom", "indirect or consequential damages"),
    "opening": (
        'THIS AGREEMENT {made} {between} {a}, a company with its registered office at {street_a}, {home} (the "{role_a}"), '
        'and {b}, of {street_b}, {town} (the "{role_b}").',
        'This {title} (this "Agreement") {made} {between} {a} (hereinafter the "{role_a}") and {b} (hereinafter the "{role_b}"), '
        'each a "Party" and together the "Parties".',
        'This {title}, effective as of {signed} (the "Effective Date"), {between} {a}, having its principal place of business '
        'in {home} (the "{role_a}"), and {b}, residing at {street_b}, {town} (the "{role_b}").',
    ),
    "recital": (
        "WHEREAS, the {role_a} is engaged in the business of {business}; and", "WHEREAS, the {role_b} wishes to {aim}; and",
        "WHEREAS, the {role_a} is willing to do so on the terms and conditions set forth below; and",
        "WHEREAS, the Parties have discussed the matter since {month} {year};",
    ),
    "therefore": (
        "NOW, THEREFORE, in consideration of the mutual covenants contained herein, the Parties agree as follows:",
        "NOW, THEREFORE, for good and valuable consideration, the receipt of which is hereby acknowledged, the Parties agree as follows:",
        "IT IS HEREBY AGREED as follows:",
    ),
    "business": ("{goods} and {goods}", "the manufacture of {goods}", "trade in {goods}", "the financing of {goods}"),
    "goods": ("steel parts", "printed goods", "office furniture", "computer programs", "industrial pumps", "cotton cloth",
              "packaging", "medical devices", "spare parts", "dairy products", "solar panels", "electric motors", "timber"),
}  # fmt: skip

# What every contract may contain: heading → ways to say it.
GENERAL_CLAUSES: dict[str, tuple[str, ...]] = {
    "Governing Law": (
        "This Agreement shall be governed by and construed in accordance with the laws of {home}, without regard to its conflict of laws principles.",
        "The validity and interpretation of this Agreement are governed by the laws of {home}. Any dispute shall be submitted to the courts of {home}.",
        "Any dispute arising out of this Agreement shall be finally settled by arbitration in {home} under the laws of {home}.",
    ),
    "Notices": (
        "All notices hereunder shall be in writing and shall be deemed given when delivered to the {role_a} at {street_a}, {home}, or to the {role_b} at {street_b}, {town}.",
        "Any notice under this Agreement must be given in writing and sent by registered mail to the address of the Party set forth above. It is deemed received {few} business days after mailing.",
    ),
    "Entire Agreement": (
        "This Agreement constitutes the entire agreement between the Parties with respect to its subject matter and supersedes all prior agreements, written or oral.",
        "This Agreement contains the entire understanding of the Parties. No amendment hereof shall be effective unless made in writing and signed by both Parties.",
    ),
    "Severability": (
        "If any provision of this Agreement is held to be invalid or unenforceable, the remaining provisions shall remain in full force and effect.",
        "The invalidity of any provision hereof shall not affect the validity of any other provision, and the Parties shall replace it {promptly} by a valid one.",
    ),
    "Assignment": (
        "The {role_b} {shall_not} assign or transfer this Agreement, in whole or in part, {consent_a}.",
        "Neither Party may assign its rights or delegate its obligations hereunder without the prior written consent of the other Party. This Agreement binds the successors and permitted assigns of the Parties.",
    ),
    "Termination": (
        "Either Party may terminate this Agreement upon {notice_days}. {subject}, it may be terminated at once in the event of a {breach} that is not cured within {tens} days.",
        "The {role_a} may terminate this Agreement upon {notice_days} if the {role_b} commits a {breach}. Upon termination, the {role_b} shall {promptly} pay all sums then due.",
        "This Agreement terminates on {end_date} unless extended in writing. In the event of a {breach}, the other Party may terminate it with immediate effect.",
    ),
    "Waiver": (
        "No failure or delay by either Party in exercising any right hereunder shall operate as a waiver thereof.",
        "A waiver of any {breach} shall not be deemed a waiver of any subsequent breach, and is effective only if given in writing.",
    ),
    "Force Majeure": (
        "Neither Party shall be liable for any delay caused by circumstances beyond its reasonable control, including fire, flood, war or strike. It shall notify the other Party {promptly}.",
    ),
    "Indemnification": (
        "The {role_b} {shall} indemnify and hold harmless the {role_a} from and against {loss} resulting from a {breach}.",
        "Each Party shall indemnify the other against {loss} arising out of its negligence. {subject}, neither Party is liable for indirect or consequential damages.",
    ),
    "Counterparts": (
        "This Agreement may be executed in two or more counterparts, each of which shall be deemed an original and all of which together constitute one instrument.",
    ),
}  # fmt: skip

# Type → its title, its two roles, its aims, and the clauses that only it has.
KINDS: dict[str, dict] = {
    "employment": {
        "titles": ("EMPLOYMENT AGREEMENT", "CONTRACT OF EMPLOYMENT", "EXECUTIVE EMPLOYMENT AGREEMENT"),
        "roles": (("Company", "Executive"), ("Employer", "Employee")), "b": "{person}",
        "aim": "be employed as {job} of the {role_a}",
        "clauses": {
            "Position and Duties": (
                "The {role_a} hereby employs the {role_b} as its {job}, and the {role_b} accepts such employment. The {role_b} {shall} devote full working time to the business of the {role_a}.",
                "The {role_b} shall serve as {job} and shall report to the Board of Directors. The {role_b} {shall_not} engage in any other employment {consent_a}.",
            ),
            "Base Salary": (
                "The {role_a} {shall} pay the {role_b} an annual base salary of {amount}, payable in equal monthly instalments, less applicable withholdings.",
                "As compensation for services rendered hereunder, the {role_b} shall receive a salary at the rate of {amount} per year, reviewed annually by the {role_a}.",
            ),
            "Annual Bonus": (
                "The {role_b} is eligible for an annual bonus of up to {tens} % of base salary, as determined by the Board in its sole discretion.",
                "For each fiscal year the {role_b} may earn a bonus of {sum}, provided that the {role_b} is still employed on {date}.",
            ),
            "Vacation and Benefits": (
                "The {role_b} is entitled to {tens} days of paid vacation in each calendar year and to the benefit plans generally available to executives.",
                "During employment the {role_b} shall participate in the health and pension plans of the {role_a} and is reimbursed for reasonable business expenses.",
            ),
            "Severance": (
                "If employment is terminated by the {role_a} without Cause, the {role_b} shall receive severance pay equal to {few} months of base salary.",
                "Upon a termination without Cause or for Good Reason, the {role_a} {shall} continue to pay the base salary for {few} months.",
            ),
            "Covenant Not to Compete": (
                "For {few} months after the end of employment the {role_b} {shall_not} compete with the {role_a} or solicit any of its customers or employees.",
            ),
        },
    },
    "lease": {
        "titles": ("LEASE AGREEMENT", "COMMERCIAL LEASE", "LEASE OF BUSINESS PREMISES"),
        "roles": (("Landlord", "Tenant"), ("Lessor", "Lessee")), "b": "{company}",
        "aim": "lease premises in {home}",
        "clauses": {
            "Premises": (
                "The {role_a} hereby leases to the {role_b}, and the {role_b} hereby leases from the {role_a}, the premises at {street}, {home}, of about {thousands} square feet (the \"Premises\").",
                "The {role_a} demises to the {role_b} the ground floor of the building at {street}, {home}, together with {few} parking spaces.",
            ),
            "Term of Lease": (
                "The term of this lease is {few} years, commencing on {date} and ending on {end_date}, unless sooner terminated.",
                "This lease commences on {date} and continues for {few} years. The {role_b} has an option to renew it for {few} more years upon {notice_days}.",
            ),
            "Rent": (
                "The {role_b} {shall} pay monthly rent of {amount}, in advance, on the first day of each month. Rent increases by {percent} each year.",
                "Annual rent is {amount}, payable in twelve equal instalments without deduction or set-off. Late rent bears interest at {percent} per annum.",
            ),
            "Security Deposit": (
                "Upon execution hereof the {role_b} {shall} deposit {sum} as security, to be returned within {tens} days after the Premises are vacated.",
            ),
            "Maintenance and Repairs": (
                "The {role_b} {shall} keep the Premises in good order and repair, reasonable wear and tear excepted. The {role_a} is responsible for the roof and the outer walls.",
                "Repairs in excess of {sum} are borne by the {role_a}; all others by the {role_b}. The {role_b} {shall_not} alter the Premises {consent_a}.",
            ),
            "Use and Subletting": (
                "The Premises shall be used solely for the sale and storage of {goods}. The {role_b} {shall_not} sublet the Premises {consent_a}.",
            ),
        },
    },
    "licence": {
        "titles": ("SOFTWARE LICENCE AGREEMENT", "LICENCE AGREEMENT", "END USER LICENCE AGREEMENT"),
        "roles": (("Licensor", "Licensee"), ("Vendor", "Customer")), "b": "{company}",
        "aim": "use the Software in its business",
        "clauses": {
            "Grant of Licence": (
                "The {role_a} hereby grants to the {role_b} a non-exclusive, non-transferable licence to use the Software on up to {tens} workstations.",
                "{subject}, the {role_a} grants the {role_b} a perpetual licence to install and use the Software, in object code only, for its internal business purposes.",
            ),
            "Restrictions": (
                "The {role_b} {shall_not} copy, modify, decompile or reverse engineer the Software, or make it available to any third party, {consent_a}.",
                "Except for one backup copy, the {role_b} {shall_not} reproduce the Software. All copies must bear the copyright notice of the {role_a}.",
            ),
            "Licence Fees": (
                "The {role_b} {shall} pay a licence fee of {amount} upon delivery and an annual maintenance fee of {percent} thereof.",
                "In consideration of the licence, the {role_b} shall pay royalties of {percent} of net revenue, but not less than {sum} in each year.",
            ),
            "Maintenance and Support": (
                "The {role_a} {shall} correct errors in the Software {promptly} and deliver new releases free of charge for {few} years.",
            ),
            "Intellectual Property": (
                "All right, title and interest in and to the Software, including copyrights and patents, remain with the {role_a}. No title passes to the {role_b}.",
                "The Software is the exclusive property of the {role_a}. The {role_b} acknowledges that its source code is a trade secret.",
            ),
            "Warranty": (
                "The {role_a} warrants that for {tens} days from delivery the Software will perform substantially as documented. THE SOFTWARE IS OTHERWISE PROVIDED \"AS IS\".",
            ),
        },
    },
    "loan": {
        "titles": ("LOAN AGREEMENT", "CREDIT AGREEMENT", "TERM LOAN AGREEMENT"),
        "roles": (("Lender", "Borrower"), ("Bank", "Borrower")), "b": "{company}",
        "aim": "borrow money for the purchase of {goods}",
        "clauses": {
            "The Loan": (
                "The {role_a} {shall} make available to the {role_b} a term loan in the principal amount of {amount} (the \"Loan\"), to be drawn on or before {date}.",
                "{subject}, the {role_a} agrees to lend to the {role_b} the sum of {amount}, evidenced by a promissory note of even date.",
            ),
            "Interest": (
                "The Loan bears interest at the rate of {percent} per annum on the outstanding principal balance, computed on the basis of a year of 360 days.",
                "Interest accrues at the prime rate plus {percent} and is payable quarterly in arrears. After default the rate increases by {percent}.",
            ),
            "Repayment": (
                "The {role_b} {shall} repay the principal in {tens} equal quarterly instalments, the first on {date} and the last on {end_date} (the \"Maturity Date\").",
                "All outstanding principal and accrued interest shall be due and payable on {end_date}. The {role_b} may prepay the Loan at any time without penalty.",
            ),
            "Collateral": (
                "As security for the Loan the {role_b} grants to the {role_a} a first priority security interest in all of its equipment and inventory.",
                "The Loan is secured by a mortgage on the land at {street}, {home}, and by a guaranty of {company}.",
            ),
            "Financial Covenants": (
                "So long as the Loan is outstanding, the {role_b} {shall} maintain a net worth of not less than {sum} and deliver audited statements within {tens} days of each year end.",
            ),
            "Events of Default": (
                "It is an Event of Default if the {role_b} fails to pay any principal or interest within {few} days when due, or becomes insolvent. Thereupon the {role_a} may declare the Loan immediately due.",
                "Upon any {breach}, the {role_a} may accelerate the Loan, whereupon all principal and interest become due without presentment or demand.",
            ),
        },
    },
    "nda": {
        "titles": ("NON-DISCLOSURE AGREEMENT", "CONFIDENTIALITY AGREEMENT", "MUTUAL NON-DISCLOSURE AGREEMENT"),
        "roles": (("Disclosing Party", "Receiving Party"), ("Discloser", "Recipient")), "b": "{company}",
        "aim": "evaluate a possible transaction concerning {goods}",
        "clauses": {
            "Confidential Information": (
                "\"Confidential Information\" means all technical and commercial information disclosed by the {role_a}, in any form, that is marked as confidential or is by its nature confidential.",
                "As used herein, \"Confidential Information\" includes drawings, customer lists, prices and know-how relating to {goods}, whether disclosed before or after {date}.",
            ),
            "Obligations of Confidence": (
                "The {role_b} {shall} hold the Confidential Information in strict confidence and {shall_not} disclose it to any third party {consent_a}.",
                "The {role_b} shall protect the Confidential Information with at least the same degree of care as its own, and shall limit access to employees who need to know it.",
            ),
            "Exceptions": (
                "The foregoing does not apply to information that is or becomes public without fault of the {role_b}, was already known to it, or must be disclosed by law.",
                "Information is not confidential if the {role_b} has independently developed it or lawfully received it from a third party.",
            ),
            "Permitted Use": (
                "The {role_b} shall use the Confidential Information solely for the purpose of evaluating the proposed transaction and for no other purpose.",
            ),
            "Return of Materials": (
                "Upon request the {role_b} {shall} {promptly} return or destroy all documents that contain Confidential Information and certify that it has done so.",
                "Within {tens} days after the end of discussions, all copies shall be returned to the {role_a} or destroyed.",
            ),
            "Duration of Confidence": (
                "The obligations of confidence hereunder continue for {few} years from the date of disclosure and survive any termination hereof.",
            ),
            "Remedies": (
                "The {role_b} acknowledges that damages may not be a sufficient remedy, and that the {role_a} is entitled to injunctive relief in addition to {sum} as liquidated damages.",
            ),
        },
    },
    "supply": {
        "titles": ("SUPPLY AGREEMENT", "PURCHASE AND SUPPLY AGREEMENT", "MASTER SUPPLY AGREEMENT"),
        "roles": (("Supplier", "Purchaser"), ("Seller", "Buyer")), "b": "{company}",
        "aim": "purchase {goods} for its plant in {town}",
        "clauses": {
            "Sale and Purchase": (
                "During the term the {role_a} {shall} sell and deliver to the {role_b}, and the {role_b} shall purchase, {goods} (the \"Products\") as set forth in Annex {few}.",
                "The {role_b} shall order not less than {thousands} units of the Products in each calendar year. Orders are binding once confirmed by the {role_a}.",
            ),
            "Price and Payment": (
                "The price of the Products is {amount} per lot, exclusive of value added tax. Invoices are payable within {tens} days of receipt.",
                "Prices are fixed until {date} and may thereafter be increased by up to {percent}. Overdue invoices bear interest at {percent} per annum.",
            ),
            "Delivery": (
                "The Products shall be delivered to the plant of the {role_b} in {town}, carriage paid, within {tens} days of each order. Title and risk pass upon delivery.",
                "Delivery dates are of the essence. For each week of delay the {role_a} {shall} pay {percent} of the price of the delayed Products.",
            ),
            "Inspection and Acceptance": (
                "The {role_b} {shall} inspect the Products {promptly} upon receipt and give notice of defects within {tens} days, failing which they are deemed accepted.",
            ),
            "Warranty of Quality": (
                "The {role_a} warrants that the Products conform to the specifications and are free from defects in material and workmanship for {few} months.",
                "Defective Products shall be repaired or replaced by the {role_a} at its own expense within {tens} days after notice.",
            ),
            "Forecasts": (
                "On the first day of each quarter the {role_b} {shall} provide a rolling forecast of its requirements for the next {few} months, which is not binding.",
            ),
        },
    },
}  # fmt: skip
# Other words for the same: each is put in by chance, so that clauses are rarely the same word for word.
VARIANTS: dict[str, tuple[str, ...]] = {
    "shall be": ("shall be", "is to be", "must be", "will be"),
    "this Agreement": ("this Agreement", "this Contract", "the present Agreement", "these presents"),
    "hereunder": ("hereunder", "under this Agreement", "under the terms hereof"),
    "prior written consent": ("prior written consent", "express consent in writing", "prior approval in writing"),
    "in writing": ("in writing", "in written form", "in a signed writing"),
    "within": ("within", "within a period of", "inside"),
    "notice": ("notice", "notification", "formal notice"),
    "pay": ("pay", "remit", "make payment of"),
    "effective": ("effective", "valid", "binding"),
    "provision": ("provision", "clause", "term or provision"),
    "liable": ("liable", "responsible", "answerable"),
    "prior": ("prior", "earlier", "previous"),
    "for": ("for", "for", "for", "in respect of"),
    "the other": ("the other", "the respective other", "such other"),
    "free": ("free", "wholly free"),
    "required": ("required", "needed"),
    "delivered": ("delivered", "handed over", "made available"),
    "received": ("received", "obtained"),
    "due": ("due", "owing", "due and owing"),
    "employees": ("employees", "officers and employees", "staff"),
    "remain": ("remain", "continue"),
    "deemed": ("deemed", "considered", "taken"),
    "not": ("not", "not", "not in any event"),
    "entire": ("entire", "whole", "complete"),
    "after": ("after", "following", "from and after"),
    "and": ("and", "and", "and", "and", "as well as"),
    "its own": ("its own", "its"),
    "terminate": ("terminate", "end", "cancel"),
    "any other": ("any other", "another", "any further"),
    "all other": ("all other", "the other", "all further"),
    "including": ("including", "including without limitation", "such as"),
    "provided that": ("provided that", "on condition that", "as long as"),
    "upon": ("upon", "on", "immediately upon"),
    "pursuant to": ("pursuant to", "under", "in accordance with"),
    "with respect to": ("with respect to", "relating to", "concerning", "as regards"),
    "reasonable": ("reasonable", "commercially reasonable", "fair and reasonable"),
    "receipt": ("receipt", "actual receipt"),
    "each": ("each", "every", "each and every"),
    "obligations": ("obligations", "duties", "duties and obligations", "covenants"),
    "rights": ("rights", "rights and benefits", "rights and remedies"),
    "solely": ("solely", "only", "exclusively"),
    "hereby": ("hereby", "herewith", "by this instrument"),
    "at any time": ("at any time", "at any time and from time to time", "at all times"),
    "equal": ("equal", "like"),
    "third party": ("third party", "third person", "outside party"),
    "if": ("if", "in the event that", "in case"),
    "payable": ("payable", "to be paid", "due and payable"),
    "may": ("may", "may at its option", "is entitled to"),
    "all": ("all", "any and all"),
}  # fmt: skip
VARIED = re.compile(r"\b(" + "|".join(sorted(VARIANTS, key=len, reverse=True)) + r")\b")
ENDINGS = ("to the fullest extent permitted by law", "save as expressly set out herein", "as the case may be",
           "unless the Parties otherwise agree in writing", "as further described in Annex {few}",
           "subject always to the provisions of Section {few}", "at the sole cost of the {role_b}",
           "without any further notice or demand", "and this Section {few} survives termination")  # fmt: skip
JOBS = ("Chief Executive Officer", "Chief Financial Officer", "Vice President", "General Counsel", "Sales Director",
        "Plant Manager", "Treasurer")  # fmt: skip


def contract(kind: str, seed: int, company: str | None = None) -> str:
    """A contract of one of the `CONTRACT_TYPES`.

    Args:
        kind: its type.
        seed: fixes everything but the company.
        company: the first party, by which the demo is split; drawn where it is not given.
    """
    about = KINDS[kind]
    pen = Pen(CONTRACT, f"{kind} {seed}")
    role_a, role_b = pen.random.choice(about["roles"])
    pen.facts.update(role_a=role_a, role_b=role_b, a=company or company_name(f"{kind} {seed}"))
    pen.fix(b=about["b"], home="{town}", street_a="{street}", street_b="{street}", signed="{date}", end_date="{date}",
            amount="{sum}", job=pen.random.choice(JOBS), title=pen.random.choice(about["titles"]))  # fmt: skip
    pen.facts["consent_a"] = pen.write("{consent}").replace(f"the {role_b}", f"the {role_a}")
    pen.fix(aim=about["aim"], goods=pen.random.choice(CONTRACT["goods"]))
    recitals = [pen.write(text) for text in CONTRACT["recital"] if pen.random.random() < 0.7]
    own, shared = list(about["clauses"].items()), list(GENERAL_CLAUSES.items())
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
    """A clause in other words than the last time: variants, now and then an opening or an ending."""
    varied = VARIED.sub(lambda match: pen.random.choice(VARIANTS[match[0]]), template)
    if pen.random.random() < 0.3 and not varied.startswith("{subject}"):
        first = varied if varied.startswith(("{", '"', "THE ")) else varied[0].lower() + varied[1:]
        varied = f"{{subject}}, {first}"
    if pen.random.random() < 0.35 and varied.endswith(".") and not varied.endswith('".'):
        varied = f"{varied[:-1]}, {pen.random.choice(ENDINGS)}."
    return sentence(pen.write(varied))


def company_name(seed) -> str:
    """A company's name."""
    return Pen(NAMES, f"company {seed}").write("{company}")


def refiled(text: str, company: str, another: str, seed: int) -> str:
    """The same contract as another company files it: another name and another first date, nothing else."""
    date = re.search(r"\b\d{1,2} [A-Z][a-z]+ \d{4}\b|\b[A-Z][a-z]+ \d{1,2}, \d{4}\b", text)
    text = text.replace(company, another)
    return text.replace(date[0], Pen(NAMES, f"refiled {seed}").write("{date}")) if date else text


def write_contracts(folder: pathlib.Path) -> pathlib.Path:
    """Writes the demo's contracts as `<type>/<company>_<number>.txt`; a company has one to three of them.

    Of each type some stand there twice, filed again by another company: what a search for near-duplicates must find.
    """

    def write(unfinished: pathlib.Path) -> None:
        for kind, number, company, text in demo_contracts():
            path = unfinished / kind / f"{company}_{number:03d}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")

    return files.complete_folder(folder, _has_contracts, write, "the demo's contracts")


def demo_contracts():
    """Yields type, number, the company's number and the text of the demo's contracts."""
    filer = 1000
    for kind in CONTRACT_TYPES:
        chance, drawn = random.Random(kind), []
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


def general_texts() -> list[str]:
    """Prose that the demo's network was not pretrained on."""
    return [general_text(GENERAL_SEED + number) for number in range(GENERAL_TEXTS)]
