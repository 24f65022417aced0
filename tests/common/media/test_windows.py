import numpy as np
import pytest

from common.media import windows

pytestmark = pytest.mark.quick


def test_packing_to_the_token():
    packed = windows.pack([np.array([5, 6, 7]), np.array([8, 9])], length=3, end_token=1)
    assert packed.token_ids.tolist() == [[1, 5, 6], [7, 1, 8], [9, 0, 0]]
    assert packed.targets.tolist() == [[5, 6, 7], [1, 8, 9], [1, 0, 0]]
    assert packed.weights.tolist() == [[1, 1, 1], [1, 1, 1], [1, 0, 0]]
    assert packed.documents.tolist() == [[0, 0, 0], [0, 1, 1], [1, -1, -1]]
    assert (len(packed), packed.tokens) == (3, 7)


def test_a_token_0_of_a_document_is_no_padding():
    packed = windows.pack([np.array([0, 4])], length=4, end_token=1)
    assert packed.targets.tolist() == [[0, 4, 1, 0]] and packed.weights.tolist() == [[1, 1, 1, 0]]


def test_every_token_is_a_target_once_whatever_the_length():
    documents = [np.random.default_rng(n).integers(2, 99, size) for n, size in enumerate((1, 17, 40, 0, 5))]
    expected = [token for document in documents for token in [*document, 1]]
    for length in (1, 2, 7, 16, 200):
        packed = windows.pack(documents, length, end_token=1)
        counted = packed.weights > 0
        assert packed.targets[counted].tolist() == expected
        assert packed.documents[counted].tolist() == [n for n, d in enumerate(documents) for _ in range(len(d) + 1)]
        assert packed.token_ids[counted].tolist() == [1, *expected[:-1]]


def test_rows_of_a_classifier_hold_one_document_each():
    packed = windows.pack_each([np.arange(2, 9), np.array([50])], length=6, end_token=1)
    assert packed.token_ids.tolist() == [[1, 2, 3, 4, 5, 6], [1, 50, 0, 0, 0, 0]]
    assert packed.documents.max(axis=1).tolist() == [0, 1]
    assert packed.weights.tolist() == [[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0]]


def test_nothing_to_pack_is_refused():
    with pytest.raises(ValueError, match="at least one document"):
        windows.pack([], 4, 1)


def test_each_window_of_an_encoder_has_its_own_start_and_end():
    long, short, empty = np.arange(10, 17), np.array([20]), np.array([], "int32")
    packed = windows.pack_framed([long, short, empty], 5, 2, start_token=1, end_token=2, pad_token=0)
    assert packed.token_ids.tolist() == [
        [1, 10, 11, 12, 2, 1, 13, 14, 15, 2],
        [1, 20, 2, 0, 0, 0, 0, 0, 0, 0],
        [1, 2, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
    assert packed.weights.tolist() == (packed.token_ids > 0).tolist()
    # Six of the long one's seven tokens and its end are read: 6 of 8; all of the others.
    assert windows.share_read({"train": packed}, {"train": [long, short, empty]}) == pytest.approx((6 + 2 + 1) / 11)
    with pytest.raises(ValueError, match="a length of at least 3"):
        windows.pack_framed([short], 2, 1, 1, 2, 0)
