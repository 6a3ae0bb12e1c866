"""Dead letters, groups and predictions as JSON objects, for programs."""

import base64
from typing import Any

from headrace_cli.dead.topic_letters import TopicGroup
from headrace_letters.bulk_decisions import Touched
from headrace_letters.groups import Group
from headrace_letters.letter import Letter
from headrace_letters.letter_rows import IndexedLetter
from headrace_letters.prediction import OUTCOMES, Prediction
from headrace_letters.preview import Preview


def letter_object(letter: Letter, found: IndexedLetter | None = None) -> dict[str, Any]:
    """All columns of the letter; `found`: its row, if it comes from the index."""
    failed = letter.failed
    return {
        "id": letter.id,
        "status": found.status if found else None,
        "worker": letter.worker,
        "reason": letter.reason,
        "fingerprint": letter.fingerprint,
        "error": letter.error,
        "key": shown_key(letter.key),
        "kind": letter.kind,
        "entity_id": letter.entity_id,
        "version": letter.version,
        "attempts": letter.attempts,
        "first_failed_at": letter.first_failed_at,
        "failed_at": letter.failed_at,
        "topic": failed.topic if failed else None,
        "partition": failed.partition if failed else None,
        "offset": failed.offset if failed else None,
        "dead_topic": letter.at.topic,
        "dead_partition": letter.at.partition,
        "dead_offset": letter.at.offset,
        "origin": letter.origin,
        "size": letter.size,
        "replayed_at": found.replayed_at if found else None,
        "superseded_by": found.superseded_by if found else None,
    }


def group_object(group: Group) -> dict[str, Any]:
    """`count`: letters. `records`: source records; each has a letter of every worker that rejected it."""
    return {
        "fingerprint": group.fingerprint,
        "worker": group.worker,
        "workers": dict(group.workers),
        "reason": group.reason,
        "count": group.total,
        "records": group.records,
        "counts": dict(group.counts),
        "first_seen": group.first_seen,
        "last_seen": group.last_seen,
        "sample_id": group.sample_id,
        "sample_error": group.sample_error,
        "series": list(group.series),
    }


def topic_group_object(group: TopicGroup) -> dict[str, Any]:
    count = group.workers.total()
    return {
        "fingerprint": group.fingerprint,
        "worker": group.workers.most_common(1)[0][0],
        "workers": dict(group.workers),
        "reason": group.reason,
        "count": count,
        "records": len(group.records),
        "counts": {"waiting": count},
        "first_seen": group.first.failed_at,
        "last_seen": group.last.failed_at,
        "sample_id": group.last.id,
        "sample_error": group.last.error,
    }


def touched_objects(touched: Touched) -> list[dict[str, Any]]:
    """By cause and worker. `letters`: of the selection. `twins`: of other workers for the same source records."""
    causes = sorted({*touched.chosen, *touched.twins})
    return [cause._asdict() | {"letters": touched.chosen[cause], "twins": touched.twins[cause]} for cause in causes]


def preview_object(preview: Preview) -> dict[str, Any]:
    """`superseded_by`: how often each version is the newer one."""
    return {
        "total": preview.total,
        **{outcome: preview.counts.get(outcome, 0) for outcome in OUTCOMES},
        "superseded_by": {str(version): count for version, count in preview.superseded_by.most_common()},
        "causes": dict(preview.causes.most_common()),
        "samples": {outcome: [prediction_object(one) for one in some] for outcome, some in preview.samples.items()},
    }


def prediction_object(prediction: Prediction) -> dict[str, Any]:
    return {
        "id": prediction.letter.id,
        "outcome": prediction.outcome,
        "by": prediction.by,
        "detail": prediction.detail,
        "kind": prediction.kind,
        "entity_id": prediction.entity_id,
        "version": prediction.version,
        "stores": dict(prediction.stores),
    }


def raw_object(value: bytes | None) -> str | None:
    """Bytes in base64."""
    return None if value is None else base64.b64encode(value).decode()


def shown_key(key: bytes | None) -> str:
    """A key as text, or as 0x… if it is not text."""
    if key is None:
        return "none"
    try:
        return key.decode()
    except UnicodeDecodeError:
        return f"0x{key.hex()}"
