"""Texts are planned into batches of one length, within the token budget."""

from hypothesis import given
from hypothesis import strategies as st

from headrace_embed.buckets import BUCKETS, MAX_ROWS, TOKEN_BUDGET, bucket, padded, plan_batches

lengths = st.lists(st.integers(1, 256), max_size=400)


@given(lengths)
def test_every_text_is_in_exactly_one_batch(lengths: list[int]) -> None:
    planned = [position for batch in plan_batches(lengths, 256) for position in batch.positions]
    assert sorted(planned) == list(range(len(lengths)))


@given(lengths)
def test_a_batch_keeps_to_the_token_budget_and_the_rows_a_server_accepts(lengths: list[int]) -> None:
    for batch in plan_batches(lengths, 256):
        assert len(batch.positions) * batch.length <= TOKEN_BUDGET
        assert len(batch.positions) <= MAX_ROWS


@given(lengths)
def test_padding_never_goes_beyond_the_bucket_of_each_text(lengths: list[int]) -> None:
    for batch in plan_batches(lengths, 256):
        assert all(lengths[position] <= batch.length == bucket(lengths[position], 256) for position in batch.positions)


def test_texts_of_one_length_fill_their_batches() -> None:
    batches = plan_batches([16] * 100, 256)
    assert [len(batch.positions) for batch in batches] == [64, 36]


def test_typical_products_waste_little_on_padding() -> None:
    lengths = [40 + (7 * position) % 61 for position in range(256)]
    padded_tokens = sum(len(batch.positions) * batch.length for batch in plan_batches(lengths, 256))
    assert padded_tokens < 1.15 * sum(lengths)


def test_a_text_longer_than_the_budget_is_alone() -> None:
    batches = plan_batches([2000, 2000], 4096, budget=1024)
    assert [len(batch.positions) for batch in batches] == [1, 1]


def test_no_text_gives_no_batch() -> None:
    assert plan_batches([], 256) == []


def test_a_bucket_never_exceeds_the_models_maximum() -> None:
    assert bucket(129, 130) == 130
    assert bucket(300, 512) == 512
    assert bucket(BUCKETS[-1], 512) == 256


def test_padding_is_on_the_right_and_masked() -> None:
    ids, mask = padded([[5, 6], [7]], 3, pad_token_id=1)
    assert ids.tolist() == [[5, 6, 1], [7, 1, 1]]
    assert mask.tolist() == [[1, 1, 0], [1, 0, 0]]
