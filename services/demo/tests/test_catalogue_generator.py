"""The generated catalogue is reproducible, valid and readable in three languages, and its labels are true."""

import json
import os
import subprocess
import sys
from collections import Counter
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_demo.catalogue.keywords import keyword, keywords, number_of, phrase_of
from headrace_demo.catalogue.labels import labels
from headrace_demo.catalogue.phrases import tiers
from headrace_demo.catalogue.products import design, product, products
from headrace_demo.catalogue.vocabulary import vocabulary
from headrace_schemas.changes import CHANGES

_STAMP = {"op": "upsert", "occurred_at": "2025-01-01T00:00:00Z"}
_ALL_KEYWORDS = sum(tier.size for tier in tiers())


def test_the_same_seed_gives_the_same_bytes_in_every_process(tmp_path):
    program = (
        "import sys; from pathlib import Path; from headrace_demo.catalogue.files import write_catalogue;"
        "write_catalogue(Path(sys.argv[1]), 7, product_count=40, keyword_count=20, change_count=60, malformed=5)"
    )
    for name in ("a", "b"):
        environment = {**os.environ, "PYTHONHASHSEED": "1" if name == "a" else "2", "LC_ALL": "C"}
        subprocess.run([sys.executable, "-c", program, str(tmp_path / name)], env=environment, check=True)
    for file in ("products.jsonl", "keywords.jsonl", "labels.jsonl", "queries.jsonl", "changes.jsonl"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_another_seed_gives_another_catalogue():
    assert list(products(1, 5)) != list(products(2, 5))
    assert list(keywords(1, 5)) != list(keywords(2, 5))


@given(st.integers(0, 2**63), st.integers(0, 10**7))
def test_a_row_depends_on_its_seed_and_number_alone(seed, number):
    assert product(seed, number) == product(seed, number)
    assert product(seed, number)["product_id"].startswith(f"p-{number:06d}")


def test_a_catalogue_begins_like_a_smaller_one_with_the_same_seed():
    assert list(products(7, 10)) == list(islice(products(7, 1_000_000), 10))
    assert list(keywords(7, 10)) == list(islice(keywords(7, 1_000_000), 10))


def test_every_row_is_a_valid_change_with_an_id_of_its_own():
    for kind, rows in (("product", list(products(3, 2000))), ("keyword", list(keywords(3, 2000)))):
        changes = [CHANGES[kind].model_validate_json(json.dumps({**row, **_STAMP})) for row in rows]
        assert len({change.id for change in changes}) == 2000
        assert {change.version for change in changes} == {1}


def test_all_three_languages_have_their_own_script_and_currency():
    scripts = {"en-US": ("a", "z"), "ko-KR": ("가", "힣"), "ja-JP": ("ぁ", "鿿")}
    rows = list(products(5, 800))
    assert Counter(row["locale"] for row in rows).keys() == scripts.keys()
    for row in rows:
        first, last = scripts[row["locale"]]
        assert any(first <= letter <= last for letter in row["title"])
        assert any(first <= letter <= last for letter in row["description"])
        assert {"en-US": "USD", "ko-KR": "KRW", "ja-JP": "JPY"}[row["locale"]] == row["currency"]
        assert row["price"] > 0
    assert {row["locale"] for row in keywords(5, 100)} == scripts.keys()


def test_no_text_has_a_placeholder_or_no_words():
    for row in products(9, 3000):
        for text in (row["title"], row["description"], row["brand"], row["category"]):
            assert text.strip()
            assert not set("{}") & set(text)
            assert "  " not in text


def test_no_two_keywords_of_a_language_have_the_same_text():
    texts = Counter((row["locale"], row["text"]) for row in keywords(11, 20_000))
    assert [text for text, times in texts.items() if times > 1] == []


def test_a_type_has_no_two_facets_with_one_attribute():
    for named in vocabulary().types:
        attributes = [facet.attribute for facet in named.facets]
        assert len(attributes) == len(set(attributes))


def test_texts_and_price_change_independently():
    for number in range(300):
        first = product(7, number)
        for turn in range(1, 12):
            worded, priced = product(7, number, wording=turn), product(7, number, pricing=turn)
            assert {name for name in first if first[name] != priced[name]} <= {"price"}
            assert {name for name in first if first[name] != worded[name]} <= {"title", "description"}
            assert priced["price"] != product(7, number, pricing=turn - 1)["price"]
            assert worded["title"] != product(7, number, wording=turn - 1)["title"]
    for turn in range(1, 12):
        assert keyword(7, 1, wording=turn)["text"] != keyword(7, 1, wording=turn - 1)["text"]
        assert keyword(7, 1, pricing=turn)["popularity"] != keyword(7, 1, pricing=turn - 1)["popularity"]
        assert keyword(7, 1, pricing=turn)["text"] == keyword(7, 1)["text"]


@given(st.integers(0, 2**32), st.integers(0, _ALL_KEYWORDS - 1))
def test_every_keyword_number_stands_for_a_phrase_and_every_phrase_for_a_number(seed, number):
    assert number_of(seed, phrase_of(seed, number)) == number


def test_more_keywords_than_the_vocabulary_has_are_refused():
    with pytest.raises(ValueError, match="the vocabulary has"):
        keywords(7, _ALL_KEYWORDS + 1)


def test_labels_are_exactly_the_keywords_whose_words_describe_the_product():
    labelled = dict(labels(7, 200, 3000))
    phrases = {row["keyword_id"]: phrase_of(7, number) for number, row in enumerate(keywords(7, 3000))}
    for number, row in enumerate(products(7, 200)):
        made = design(7, number)
        assert labelled[row["product_id"]] == {
            id
            for id, phrase in phrases.items()
            if (phrase.language, phrase.type_number) == (made.language, made.type_number)
            and all(made.values[facet] == value for facet, value in phrase.chosen)
        }


def test_most_products_of_a_demo_have_a_label_of_their_own_language():
    labelled = dict(labels(7, 2000, 500))
    assert sum(bool(ids) for ids in labelled.values()) > 1000
    locales = {row["keyword_id"]: row["locale"] for row in keywords(7, 500)}
    for row in products(7, 2000):
        assert {locales[id] for id in labelled[row["product_id"]]} <= {row["locale"]}
