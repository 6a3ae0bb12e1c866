"""The writes that are planned for a batch, without a server."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import combinations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import models
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc

from headrace_clients.qdrant import below
from headrace_qdrant.points import Seen, groups_sharing_a_fence, newer_than_stored, outcomes, set_fields, writes
from headrace_qdrant.stage import PART, parts_of
from headrace_schemas.embedded import EmbeddedProduct
from headrace_schemas.fields import MAX_VERSION
from headrace_worker.stage import Applied, Superseded

VERSIONS = st.integers(min_value=1, max_value=6)


def delete(id: int, version: int) -> EmbeddedProduct:
    return EmbeddedProduct(op="delete", version=version, occurred_at=datetime.now(UTC), product_id=str(id))


@given(st.lists(st.tuples(st.integers(min_value=0, max_value=5), VERSIONS), max_size=7))
def test_groups_are_the_fewest_whose_fence_writes_every_change(entities: list[tuple[int, int]]) -> None:
    stored = {str(id): Seen(version) for id, (version, _) in enumerate(entities)}
    changes = newer_than_stored((delete(id, new) for id, (_, new) in enumerate(entities)), stored)
    groups = groups_sharing_a_fence(changes, stored)
    assert sorted(change.id for group in groups for change in group) == sorted(change.id for change in changes)
    for group in groups:
        fence = group[0].version
        assert all(stored[change.id].version < fence <= change.version for change in group)
    assert len(groups) == fewest_fences([(stored[change.id].version, change.version) for change in changes])


def fewest_fences(intervals: list[tuple[int, int]]) -> int:
    """By brute force: the size of the smallest set of fences that has one in each interval (stored, new]."""
    for size in range(8):
        for fences in combinations(range(1, 7), size):
            if all(any(stored < fence <= new for fence in fences) for stored, new in intervals):
                return size
    raise AssertionError


def test_new_entities_share_one_fence_with_updates_of_lower_stored_versions() -> None:
    changes = [delete(id, version) for id, version in enumerate([900, 901, 1000, 1001])]
    planned = writes(changes, {"2": Seen(899), "3": Seen(10)})
    assert planned.upsert is not None
    assert len(planned.upsert.points) == 4
    assert planned.operations == []


def test_the_largest_group_is_a_plain_upsert_and_every_group_has_the_fence_of_its_lowest_version() -> None:
    changes = [delete(id, version) for id, version in enumerate([5, 6, 20, 21, 22])]
    planned = writes(changes, {"2": Seen(10), "3": Seen(12), "4": Seen(13)})
    assert planned.upsert is not None
    assert [point.payload["version"] for point in planned.upsert.points if point.payload] == [20, 21, 22]
    assert planned.upsert.update_filter == below(20)
    (other,) = planned.operations
    assert isinstance(other, models.UpsertOperation)
    assert isinstance(other.upsert, models.PointsList)
    assert [point.payload["version"] for point in other.upsert.points if point.payload] == [5, 6]
    assert other.upsert.update_filter == below(5)


def test_a_stored_version_means_applied_and_a_newer_one_superseded() -> None:
    changes = [delete(0, 5), delete(1, 5)]
    assert outcomes(changes, {"0": Seen(5), "1": Seen(6)}) == [Applied(), Superseded(by=6)]


def test_a_batch_is_cut_by_kind_and_into_neighbouring_versions(upsert: Callable[..., Any]) -> None:
    changes = [delete(id, 10_000 - id) for id in range(PART + 1)] + [upsert("k", 1, kind="keyword")]
    parts = parts_of(changes)
    assert [(part[0].kind, len(part)) for part in parts] == [("product", PART), ("product", 1), ("keyword", 1)]
    assert max(change.version for change in parts[0]) < min(change.version for change in parts[1])


def test_payloads_and_conditions_mean_the_same_over_grpc(upsert: Callable[..., Any]) -> None:
    change = upsert("a", MAX_VERSION, "text", attributes={"n": 2**63 - 1, "deep": {"list": [1, None, "x", 1.5]}})
    planned = writes([change], {}).upsert
    assert planned is not None
    sent = RestToGrpc.convert_update_operation(models.UpsertOperation(upsert=planned)).upsert
    assert GrpcToRest.convert_payload(sent.points[0].payload) == planned.points[0].payload
    assert set_parts(GrpcToRest.convert_filter(sent.update_filter)) == set_parts(planned.update_filter)

    fields = set_fields(change, Seen(MAX_VERSION - 1)).set_payload
    changed = RestToGrpc.convert_update_operation(models.SetPayloadOperation(set_payload=fields)).set_payload
    assert GrpcToRest.convert_payload(changed.payload) == fields.payload
    assert set_parts(GrpcToRest.convert_filter(changed.points_selector.filter)) == set_parts(fields.filter)


def set_parts(thing: Any) -> Any:
    """A filter without empty values: over gRPC an empty list and a missing one are the same."""
    if isinstance(thing, models.Filter):
        thing = thing.model_dump(mode="json")
    if isinstance(thing, dict):
        return {name: set_parts(value) for name, value in thing.items() if value not in (None, [])}
    return [set_parts(value) for value in thing] if isinstance(thing, list) else thing
