import re

import pytest

from common import demo_text, text


def test_a_text_is_a_function_of_its_seed():
    assert demo_text.general_text(3) == demo_text.general_text(3) != demo_text.general_text(4)
    for kind in demo_text.CONTRACT_TYPES:
        assert demo_text.contract(kind, 3) == demo_text.contract(kind, 3) != demo_text.contract(kind, 4)


@pytest.mark.parametrize("kind", demo_text.CONTRACT_TYPES)
def test_contracts_are_whole(kind):
    for seed in range(20):
        contract = demo_text.contract(kind, seed, "Nobody Ltd")
        assert not re.search(r"[{}]|\ba [aeo]\w", contract.replace("a one", "")), contract
        numbers = [int(number) for number in re.findall(r"^(\d+)\. [A-Z]", contract, re.MULTILINE)]
        assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= 7
        assert "Nobody Ltd" in contract and "IN WITNESS WHEREOF" in contract
        assert 200 < len(contract.split()) < 900


def test_prose_is_whole_and_no_contract():
    pages = [demo_text.general_text(seed) for seed in range(300)]
    assert not any(re.search(r"[{}]", page) for page in pages)
    runs = {run for page in pages for run in text.shingles(page).tolist()}
    contracts = [
        text.shingles(demo_text.contract(kind, seed)) for kind in demo_text.CONTRACT_TYPES for seed in range(10)
    ]
    share = sum(sum(run in runs for run in contract.tolist()) for contract in contracts) / sum(map(len, contracts))
    assert share < 0.01  # dates and sums, of the contracts' runs of five words


def test_the_demo_has_companies_with_several_contracts_and_refiled_ones(tmp_path):
    folder = demo_text.write_contracts(tmp_path / "contracts")
    paths = sorted(folder.glob("*/*.txt"))
    assert len(paths) == 6 * (demo_text.CONTRACTS + demo_text.REFILED)
    assert {path.parent.name for path in paths} == set(demo_text.CONTRACT_TYPES)
    companies = [path.name.partition("_")[0] for path in paths]
    assert 0.4 * len(paths) < len(set(companies)) < len(paths)
    assert demo_text.write_contracts(folder) == folder


def test_the_planted_near_duplicates_are_found(tmp_path):
    pytest.importorskip("datasketch", reason="the extra `text` is not installed")
    drawn = list(demo_text.demo_contracts())
    texts = {f"{kind} {number}": content for kind, number, _, content in drawn}
    planted = {
        (f"{kind} {copy}", f"{kind} {demo_text.CONTRACTS + copy}")
        for kind in demo_text.CONTRACT_TYPES for copy in range(demo_text.REFILED)
    }  # fmt: skip
    found = {(pair.first, pair.second): pair.similarity for pair in text.near_duplicates(texts, 0.5)}
    assert planted <= set(found)
    assert min(found[pair] for pair in planted) > max((found[pair] for pair in set(found) - planted), default=0)
