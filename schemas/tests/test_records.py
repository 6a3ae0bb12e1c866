"""The required and the optional fields of changes, embedded changes, link sets and receipts."""

import base64
import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from headrace_schemas.changes import KeywordChange, ProductChange
from headrace_schemas.embedded import EmbeddedKeyword, EmbeddedProduct
from headrace_schemas.export import RECORDS
from headrace_schemas.links import ProductLinks, Sweep
from headrace_schemas.receipts import Receipts

PRODUCT = {"op": "upsert", "product_id": "p1", "version": 1, "occurred_at": "2026-01-01T00:00:00Z", "title": "Lamp"}
KEYWORD = {"op": "upsert", "keyword_id": "k1", "version": 1, "occurred_at": "2026-01-01T00:00:00Z", "text": "lamp"}
VECTOR = b"\x00\x00\x80\x3f\x00\x00\x00\x00"
EMBEDDING = {"model": "minilm-l6-v2", "content_hash": "a" * 64, "vector": base64.b64encode(VECTOR).decode()}
CASES = [(ProductChange, PRODUCT), (KeywordChange, KEYWORD)]
EMBEDDED_CASES = [(EmbeddedProduct, PRODUCT), (EmbeddedKeyword, KEYWORD)]


def parse(model: type[BaseModel], fields: dict[str, Any]) -> Any:
    return model.model_validate_json(json.dumps(fields))


def delete_of(fields: dict[str, Any]) -> dict[str, Any]:
    kept = ("product_id", "keyword_id", "version", "occurred_at")
    return {"op": "delete"} | {name: value for name, value in fields.items() if name in kept}


@pytest.mark.parametrize(("model", "fields"), CASES)
def test_fields_of_a_newer_catalogue_are_ignored(model: type[BaseModel], fields: dict[str, Any]) -> None:
    assert parse(model, fields | {"warehouse": {"row": 7}}) == parse(model, fields)


@pytest.mark.parametrize(("model", "fields"), CASES)
@pytest.mark.parametrize("text", [None, "", "  \n"])
def test_an_upsert_without_text_is_invalid(model: type[BaseModel], fields: dict[str, Any], text: str | None) -> None:
    words = "title" if model is ProductChange else "text"
    with pytest.raises(ValidationError, match=words):
        parse(model, fields | {words: text})


@pytest.mark.parametrize(("model", "fields"), CASES)
def test_a_delete_needs_no_text(model: type[BaseModel], fields: dict[str, Any]) -> None:
    change = parse(model, delete_of(fields))
    assert change.deleted
    assert not parse(model, fields).deleted


@pytest.mark.parametrize(("model", "fields"), CASES)
@pytest.mark.parametrize("missing", ["op", "version", "occurred_at", "id"])
def test_each_required_field_must_be_present(model: type[BaseModel], fields: dict[str, Any], missing: str) -> None:
    name = next(name for name in fields if name == missing or name.endswith(f"_{missing}"))
    with pytest.raises(ValidationError, match=name):
        parse(model, {key: value for key, value in fields.items() if key != name})


def test_a_time_without_its_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        parse(ProductChange, PRODUCT | {"occurred_at": "2026-01-01T00:00:00"})


def test_an_unknown_operation_is_invalid() -> None:
    with pytest.raises(ValidationError, match="op"):
        parse(ProductChange, PRODUCT | {"op": "patch"})


@pytest.mark.parametrize(("model", "fields"), CASES)
def test_fields_are_the_entitys_own_with_the_id_first(model: type[Any], fields: dict[str, Any]) -> None:
    change = parse(model, fields)
    names = list(change.fields())
    assert names[0] == f"{model.kind}_id"
    assert change.fields()[names[0]] == change.id
    assert set(names) == set(model.model_fields) - {"op", "version", "occurred_at"}


@pytest.mark.parametrize(("model", "fields"), EMBEDDED_CASES)
def test_a_vector_is_float32_in_base64(model: type[BaseModel], fields: dict[str, Any]) -> None:
    record = parse(model, fields | {"embedding": EMBEDDING})
    assert record.embedding.vector == VECTOR
    assert json.loads(record.model_dump_json())["embedding"]["vector"] == EMBEDDING["vector"]
    assert parse(model, json.loads(record.model_dump_json())) == record


@pytest.mark.parametrize("vector", ["", "AAAA", "AAAAAAA=", "not base64!", "AACA\nPwAAAAA=", [1.0, 0.0], None, 7])
def test_a_vector_that_is_not_float32_in_base64_is_invalid(vector: object) -> None:
    with pytest.raises(ValidationError, match="vector"):
        parse(EmbeddedProduct, PRODUCT | {"embedding": EMBEDDING | {"vector": vector}})


@pytest.mark.parametrize("content_hash", ["a" * 63, "A" * 64, "a" * 65, "a" * 64 + "\n"])
def test_a_content_hash_is_64_hex_digits(content_hash: str) -> None:
    with pytest.raises(ValidationError, match="content_hash"):
        parse(EmbeddedProduct, PRODUCT | {"embedding": EMBEDDING | {"content_hash": content_hash}})


@pytest.mark.parametrize(("model", "fields"), EMBEDDED_CASES)
def test_an_upsert_has_a_vector_and_a_delete_has_none(model: type[BaseModel], fields: dict[str, Any]) -> None:
    assert parse(model, delete_of(fields)).embedding is None
    for wrong in (fields, delete_of(fields) | {"embedding": EMBEDDING}):
        with pytest.raises(ValidationError, match="embedding"):
            parse(model, wrong)


LINK = {"keyword_id": "k1", "text": "lamp", "score": 0.5, "rank": 1}
LINKS = {"product_id": "p1", "version": 1, "title": "Lamp", "links": [LINK]}


def test_a_live_link_set_has_a_title_and_may_be_empty() -> None:
    assert parse(ProductLinks, LINKS | {"links": []}).links == ()
    with pytest.raises(ValidationError, match="title"):
        parse(ProductLinks, LINKS | {"title": None})


def test_the_link_set_of_a_deleted_product_has_no_title_and_no_links() -> None:
    gone = {"product_id": "p1", "version": 2, "deleted": True}
    assert parse(ProductLinks, gone).deleted
    for left in ({"title": "Lamp"}, {"links": [LINK]}):
        with pytest.raises(ValidationError, match="neither"):
            parse(ProductLinks, gone | left)


@pytest.mark.parametrize("ranks", [[2], [1, 3], [2, 1], [1, 1]])
def test_links_are_ranked_from_1_without_a_gap(ranks: list[int]) -> None:
    links = [LINK | {"keyword_id": f"k{place}", "rank": rank} for place, rank in enumerate(ranks)]
    with pytest.raises(ValidationError, match="rank"):
        parse(ProductLinks, LINKS | {"links": links})


def test_a_product_is_linked_to_a_keyword_at_most_once() -> None:
    with pytest.raises(ValidationError, match="at most once"):
        parse(ProductLinks, LINKS | {"links": [LINK, LINK | {"rank": 2}]})


def test_every_record_ignores_unknown_fields() -> None:
    samples: dict[type[BaseModel], dict[str, Any]] = {
        Receipts: {"worker": "qdrant", "applied_at": "2026-01-01T00:00:00Z", "receipts": []},
        ProductLinks: {"product_id": "p1", "version": 1, "title": "Bottle", "links": []},
        Sweep: {"sweep": True},
    }
    for model, fields in samples.items():
        assert parse(model, fields | {"later": 1}) == parse(model, fields)
    assert {model.model_config.get("extra") for model in RECORDS.values()} == {"ignore"}
