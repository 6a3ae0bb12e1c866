"""The text that is embedded, and the hash that identifies an unchanged text."""

from datetime import UTC, datetime
from typing import Any

from headrace_embed.text import content_hash, entity_text
from headrace_schemas.changes import KeywordChange, ProductChange
from headrace_worker.model_catalogue import CATALOGUE, catalogue_model


def product(**fields: Any) -> ProductChange:
    return ProductChange.model_validate(
        {"op": "upsert", "version": 1, "occurred_at": datetime.now(UTC), "product_id": "p", "title": "Red bag"} | fields
    )


def test_a_missing_field_adds_nothing() -> None:
    assert entity_text(product(brand=None, description=None)) == "Red bag"
    assert entity_text(product(brand="", category="  ")) == "Red bag"


def test_the_most_important_fields_of_a_product_come_first() -> None:
    text = entity_text(product(description="For every day", category="Bags", brand="Acme"))
    assert text == "Red bag. Acme. Bags. For every day"


def test_price_currency_and_attributes_are_not_part_of_the_text() -> None:
    assert entity_text(product(price=1.0, currency="EUR", attributes={"stock": 3})) == entity_text(
        product(price=2.0, currency="USD", attributes={"stock": 4})
    )


def test_white_space_alone_makes_no_new_text() -> None:
    assert entity_text(product(title=" Red\n bag ")) == entity_text(product())


def test_a_keyword_is_its_text() -> None:
    change = KeywordChange(op="upsert", version=1, occurred_at=datetime.now(UTC), keyword_id="k", text="빨간  가방")
    assert entity_text(change) == "빨간 가방"


def test_documents_and_queries_have_their_own_prefixes() -> None:
    model = catalogue_model("multilingual-e5-small")
    assert model.prefixed("red bag", "document") == "passage: red bag"
    assert model.prefixed("red bag", "query") == "query: red bag"


def test_the_ids_of_releases_before_keep_the_prefixes_that_their_stored_vectors_have() -> None:
    for size in ("small", "base"):
        before, now = catalogue_model(f"multilingual-e5-{size}"), catalogue_model(f"multilingual-e5-{size}-r2")
        assert (before.text_kinds["keyword"], now.text_kinds["keyword"]) == ("document", "query")
        assert before.text_kinds["product"] == now.text_kinds["product"] == "document"


def test_the_hash_is_of_the_exact_text_prefix_included() -> None:
    assert content_hash("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert len({content_hash(model.prefixed("red bag", "document")) for model in CATALOGUE.values()}) == 2
