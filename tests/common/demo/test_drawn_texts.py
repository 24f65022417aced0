import re

import pytest

from common.data import near_duplicates
from common.demo import drawn_texts


def test_a_text_is_a_function_of_its_seed():
    assert drawn_texts.general_text(3) == drawn_texts.general_text(3) != drawn_texts.general_text(4)
    for kind in drawn_texts.CONTRACT_TYPES:
        assert drawn_texts.contract(kind, 3) == drawn_texts.contract(kind, 3) != drawn_texts.contract(kind, 4)


@pytest.mark.parametrize("kind", drawn_texts.CONTRACT_TYPES)
def test_contracts_are_whole(kind):
    for seed in range(20):
        contract = drawn_texts.contract(kind, seed, "Nobody Ltd")
        assert not re.search(r"[{}]|\ba [aeo]\w", contract.replace("a one", "")), contract
        numbers = [int(number) for number in re.findall(r"^(\d+)\. [A-Z]", contract, re.MULTILINE)]
        assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= 7
        assert "Nobody Ltd" in contract and "IN WITNESS WHEREOF" in contract
        assert 200 < len(contract.split()) < 900


def test_prose_is_whole_and_no_contract():
    pages = [drawn_texts.general_text(seed) for seed in range(300)]
    assert not any(re.search(r"[{}]", page) for page in pages)
    runs = {run for page in pages for run in near_duplicates.runs(page)}
    contracts = [
        near_duplicates.runs(drawn_texts.contract(kind, seed))
        for kind in drawn_texts.CONTRACT_TYPES
        for seed in range(10)
    ]
    share = sum(sum(run in runs for run in contract) for contract in contracts) / sum(map(len, contracts))
    assert share < 0.01  # dates and sums, of the contracts' runs of five words


def test_the_demo_has_companies_with_several_contracts_and_refiled_ones(tmp_path):
    folder = drawn_texts.write_contracts(tmp_path / "contracts")
    paths = sorted(folder.glob("*/*.txt"))
    assert len(paths) == 6 * (drawn_texts.CONTRACTS + drawn_texts.REFILED)
    assert {path.parent.name for path in paths} == set(drawn_texts.CONTRACT_TYPES)
    companies = [path.name.partition("_")[0] for path in paths]
    assert 0.4 * len(paths) < len(set(companies)) < len(paths)
    assert drawn_texts.write_contracts(folder) == folder


def test_the_planted_near_duplicates_are_found(tmp_path):
    drawn = list(drawn_texts.demo_contracts())
    texts = {f"{kind} {number}": content for kind, number, _, content in drawn}
    planted = {
        (f"{kind} {copy}", f"{kind} {drawn_texts.CONTRACTS + copy}")
        for kind in drawn_texts.CONTRACT_TYPES for copy in range(drawn_texts.REFILED)
    }  # fmt: skip
    found = {(pair.first, pair.second): pair.similarity for pair in near_duplicates.near_duplicates(texts, 0.5)}
    assert planted <= set(found)
    assert min(found[pair] for pair in planted) > max((found[pair] for pair in set(found) - planted), default=0)
