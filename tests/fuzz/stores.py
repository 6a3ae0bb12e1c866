"""Documents of Elasticsearch and points of Qdrant that anybody has written, as a comparison reads them."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from qdrant_client import models

from fuzz.records import VALID
from fuzz.values import NUMBERS, Target, storable
from headrace_clients.qdrant import VECTOR
from headrace_elasticsearch.scan import scanned as scanned_document
from headrace_expected.differences import Comparison, Finding
from headrace_expected.entities import expected_of
from headrace_qdrant.scan import scanned as scanned_point
from headrace_schemas.changes import CHANGES
from headrace_schemas.fields import Kind
from headrace_verify.entity_comparison import alike, finding
from headrace_verify.fold import NOWHERE
from headrace_verify.fold_file import Row
from headrace_worker.scan import Scanned

ID = "p1"
FIELDS: dict[Kind, dict[str, Any]] = {
    kind: {name: VALID[name] for name in model.field_names if name in VALID} | {"version": 7, "deleted": False}
    for kind, model in CHANGES.items()
}
NAMES = ("digest", "content_hash", "model", "version_hi", "version_lo", "deleted_at", "price", "attributes", "brand")
MODEL = "minilm-l6-v2"
scalars = st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.floats() | storable
stored_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(storable, inner, max_size=3), max_leaves=6
)
kinds: st.SearchStrategy[Kind] = st.sampled_from(sorted(CHANGES))
sources = kinds.flatmap(
    lambda kind: st.tuples(
        st.just(kind),
        st.builds(
            lambda odd, without: {name: value for name, value in (FIELDS[kind] | odd).items() if name not in without},
            st.dictionaries(st.sampled_from((*NAMES, *FIELDS[kind])) | storable, stored_values, max_size=4),
            st.sets(st.sampled_from(sorted(FIELDS[kind])), max_size=2),
        ),
    )
)
points = st.one_of(st.uuids().map(str), st.integers(0, 2**64 - 1))
vectors = st.none() | st.lists(st.floats(width=32), min_size=1, max_size=3) | st.just({VECTOR: [0.5, 0.5]})


def _expected(kind: Kind) -> Row:
    change = CHANGES[kind].model_validate({**VALID, "op": "upsert"})
    return Row(expected_of(change, NOWHERE), 0)


def _compared(kind: Kind, found: Scanned, model: str | None) -> None:
    row, rules = _expected(kind), Comparison({}, model, every_version=model is None)
    for expected in (row, None):
        wrong = finding(rules, kind, ID, expected, found)
        assert wrong is None or isinstance(wrong, Finding)
    same = alike(kind, [(found.key, row)], [found], model)
    assert not (same and finding(rules, kind, ID, row, found))


def _document(source: tuple[Kind, Mapping[str, Any]], version: int) -> None:
    kind, fields = source
    _compared(kind, scanned_document(kind, {"_id": ID, "_version": version, "_source": fields}), None)


def _point(source: tuple[Kind, Mapping[str, Any]], id: Any, vector: Any) -> None:
    kind, fields = source
    named = vector if isinstance(vector, dict) or vector is None else {VECTOR: vector}
    point = models.Record.model_construct(id=id, payload=dict(fields), vector=named)
    _compared(kind, scanned_point(kind, point), MODEL)


documents = Target(_document, {"source": sources, "version": st.integers(1, 2**63 - 1)})
stored_points = Target(_point, {"source": sources, "id": points, "vector": vectors})
