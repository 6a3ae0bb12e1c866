"""Decides from what was read what became of the newest version of one entity."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from headrace_letters.journey import InStore, Journey, Passage, Sources, Stop
from headrace_letters.last_receipts import EntityReceipt
from headrace_letters.letter_rows import IndexedLetter
from headrace_letters.store_answers import StoreAnswer
from headrace_runtime.trace_context import parsed
from headrace_schemas.fields import Kind
from headrace_schemas.receipts import ReceiptOutcome

FINAL: tuple[ReceiptOutcome, ...] = ("applied", "superseded", "ignored")
LEAST_TITLE = 100
"""Characters of the title that every link set has."""
CLOSED = ("resolved", "superseded")
"""The statuses of letters whose change has been settled since."""


def journey(kind: Kind, id: str, stops: Sequence[Stop], link: Stop | None, sources: Sources) -> Journey:
    """The journey, from what was read. `stops`: the workers in the order of the records' way, without `link`."""
    failed = [one.letter.version for one in sources.letters if one.letter.kind == kind]
    reported = [one.receipt.version for one in sources.receipts.found if one.receipt.kind == kind]
    past = [number for number in (*failed, *reported) if number not in sources.published.taken_back]
    known = [sources.published.version, *(one.version for one in sources.stored), *past]
    version = max((number for number in known if number is not None), default=None)
    newest = sources.published.newest
    record = newest if newest is not None and newest.version == version else None
    receipts = [one for one in sources.receipts.found if one.receipt.kind == kind and one.receipt.version == version]
    at = [one.version == version and one.deleted for one in sources.stored]
    deleted = record.deleted if record else any(at)
    published_at = record.published_at if record else _first(one.receipt.published_at for one in receipts)
    occurred_at = _in_utc(record.occurred_at if record else _first(one.receipt.occurred_at for one in receipts))
    passages: list[Passage] = []
    stores = [InStore(answer, answer.problem) for answer in sources.stored]
    links = [InStore(answer, answer.problem) for answer in sources.links]
    if version is not None:
        way = _Way(kind, version, deleted, published_at, receipts, stops, sources)
        for stop in stops:
            passages.append(way.passage(stop, passages))
        if link is not None and kind == "product":
            passages.append(way.link(link, passages))
        stores = [way.store(answer, passages) for answer in sources.stored]
        links = [way.link_set(answer, link.worker if link else None) for answer in sources.links]
    trace_id = record.trace_id if record and record.trace_id else _trace_id(receipts)
    after = {one.worker: one.after for one in (*stops, *([link] if link else []))}
    return Journey(
        kind, id, version, deleted, occurred_at, published_at, trace_id, passages, stores, links, after, sources
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Way:
    """Decides about one version. `receipts`: of this version, newest first."""

    kind: Kind
    version: int
    deleted: bool
    published_at: datetime | None
    receipts: Sequence[EntityReceipt]
    stops: Sequence[Stop]
    sources: Sources

    def passage(self, stop: Stop, before: Sequence[Passage]) -> Passage:
        """What became of the version at a worker. `before`: at the workers that come earlier."""
        receipt = _deciding([one for one in self.receipts if one.worker == stop.worker])
        letter = self._letter(stop.worker)
        if receipt is not None and receipt.receipt.outcome != "dead":
            outcome = receipt.receipt.outcome
            wrong = "" if outcome in FINAL else "the store keeps other content of the same version"
            return self._settled(stop.worker, receipt, wrong)
        if self._is_stored(stop):
            return Passage(stop.worker, "stored", self.version)
        if letter is not None:
            why = f"dead letter ({letter.status}): {letter.letter.reason}: {letter.letter.error}"
            return Passage(stop.worker, "dead", self.version, letter.letter.failed_at,
                           self._since_publication(letter.letter.failed_at), why, letter)  # fmt: skip
        if receipt is not None:
            return self._settled(stop.worker, receipt, "it became a dead letter")
        return Passage(stop.worker, missing=self._why_not_settled(stop, before))

    def link(self, stop: Stop, before: Sequence[Passage]) -> Passage:
        """Whether the links of a product are computed. A change of its price alone asks for no links."""
        earlier = next((one for one in before if one.worker == stop.after), None)
        if earlier is not None and earlier.outcome in (None, "dead"):
            return Passage(stop.worker, missing=self._why_not_settled(stop, before))
        visible = [one.settled_at for one in before if one.worker == stop.after and one.settled_at is not None]
        asked = [
            one
            for one in self.sources.receipts.found
            if one.worker == stop.worker and (not visible or one.applied_at >= min(visible))
        ]
        receipt = _deciding(asked)
        if receipt is not None and receipt.receipt.outcome != "dead":
            return self._settled(stop.worker, receipt, "")
        letter = self._letter(stop.worker, of_version=False)
        if receipt is not None or letter is not None:
            why = f"{letter.letter.reason}: {letter.letter.error}" if letter else "see the dead letters"
            return Passage(stop.worker, "dead", missing=f"dead letter: {why}", letter=letter)
        own = next((one for one in self.sources.links if one.store == stop.worker), None)
        if own is None or own.problem:
            return Passage(stop.worker, missing="not known: its link sets cannot be read")
        if self.deleted and (own.version is None or own.deleted):
            return Passage(stop.worker, "stored")
        if own.version is not None and not own.deleted and not self.deleted and self._is_of_this_title(own):
            return Passage(stop.worker, "stored", own.version, missing=self._why_links_may_change(stop, bool(visible)))
        return Passage(stop.worker, missing=self._why_not_settled(stop, before))

    def _is_of_this_title(self, links: StoreAnswer) -> bool:
        """Whether a link set is that of the product's title as it is stored; link sets may have the title shortened."""
        titles = {one.fields.get("title") for one in self.sources.stored if one.version == self.version}
        linked = links.fields.get("title")
        return linked is None or not titles or any(str(title)[:LEAST_TITLE] == linked[:LEAST_TITLE] for title in titles)

    def _why_links_may_change(self, stop: Stop, reported: bool) -> str:
        """Why the stored link set may not be that of the version; "" if it is. `reported`: whether the worker that link
        follows has a receipt of the version.
        """
        requests, since = self.sources.requests, self.sources.receipts.since
        if requests is None:
            return f"not known: {self.sources.requests_problem or 'its requests were not read'}"
        unread = f"{stop.worker} has {requests.unread:,} unread {'record' if requests.unread == 1 else 'records'}"
        if requests.of_product is None:
            return f"not known: {unread}, too many to look for those of this product"
        if requests.of_product:
            return f"not settled: {unread}, {requests.of_product:,} of them of this product"
        follows = next((one for one in self.stops if one.worker == stop.after), None)
        late = self._lag(follows) if follows and not reported else ""
        if late and since is not None and self.published_at is not None and self.published_at > since:
            # It may have been stored by a batch that was not finished: its receipt, which causes a request, comes then.
            return f"not known: there is no receipt of {stop.after}, which has {late}"
        return ""

    def store(self, answer: StoreAnswer, passages: Sequence[Passage]) -> InStore:
        """What is wrong with one store's answer."""
        if answer.problem:
            return InStore(answer, answer.problem)
        if answer.version is None or answer.version < self.version:
            has = "not stored" if answer.version is None else f"has version {answer.version}"
            why = next((one.missing for one in passages if one.worker == answer.store and one.missing), "")
            return InStore(answer, f"{has}; {why}" if why else has)
        if answer.searchable is None:
            return InStore(answer, "" if answer.deleted else "it cannot say what a search finds")
        wanted = 0 if answer.deleted else answer.version
        if answer.searchable == wanted:
            return InStore(answer)
        finds = f"still finds version {answer.searchable}" if answer.searchable else "does not find it yet"
        return InStore(answer, f"a search {finds}")

    def link_set(self, answer: StoreAnswer, owner: str | None) -> InStore:
        """What is wrong with the product's link set in one store, compared with that of the worker `owner`."""
        if answer.problem:
            return InStore(answer, answer.problem)
        if self.deleted:
            return InStore(answer, "" if answer.version is None or answer.deleted else "still has links")
        if answer.version is None or answer.deleted:
            return InStore(answer, "no link set")
        own = next((one for one in self.sources.links if one.store == owner and not one.problem), None)
        if own is None or answer.store == owner or own.version is None:
            return InStore(answer)
        same = [one.keyword_id for one in answer.links] == [one.keyword_id for one in own.links]
        return InStore(answer, "" if same else f"other links than {owner} has, whose version is {own.version}")

    def _settled(self, worker: str, receipt: EntityReceipt, missing: str) -> Passage:
        at = receipt.applied_at
        outcome, version = receipt.receipt.outcome, receipt.receipt.version
        return Passage(worker, outcome, version, at, self._since_publication(at), missing)

    def _since_publication(self, at: datetime) -> int | None:
        return None if self.published_at is None else round((at - self.published_at).total_seconds() * 1000)

    def _letter(self, worker: str, of_version: bool = True) -> IndexedLetter | None:
        for one in self.sources.letters:
            letter = one.letter
            about = letter.kind == self.kind and letter.version == self.version if of_version else True
            if letter.worker == worker and about and one.status not in CLOSED:
                return one
        return None

    def _is_stored(self, stop: Stop) -> bool:
        """Whether a store proves that the worker has settled the version."""
        proofs = {one.worker for one in self.stops if one.store and stop.worker in (one.worker, one.after)}
        return any((one.version or 0) >= self.version for one in self.sources.stored if one.store in proofs)

    def _why_not_settled(self, stop: Stop, before: Sequence[Passage]) -> str:
        earlier = next((one for one in before if one.worker == stop.after and one.outcome in (None, "dead")), None)
        if earlier is not None:
            what = "rejected it" if earlier.outcome == "dead" else "has not settled it"
            return f"not settled: it reads the records of {stop.after}, which {what}"
        reasons = list(self._condition(stop))
        if not reasons:
            read = self.sources.receipts
            since = f" since {read.since:%Y-%m-%d %H:%M:%S} UTC" if read.since else ""
            return f"not known: no receipt among the last {read.records:,}{since}, and no problem is reported"
        return "; ".join(["not settled", *reasons])

    def _condition(self, stop: Stop) -> Iterator[str]:
        condition = self.sources.conditions.get(stop.worker)
        if condition is None:
            yield "the state of the worker is not known"
            return
        if not condition.copies:
            yield f"no copy of {stop.worker} runs"
        yield from (f"the worker: {problem}" for problem in condition.problems)
        if condition.copies and not condition.answering:
            yield "its /readyz cannot be read from here"
        if late := self._lag(stop):
            yield late

    def _lag(self, stop: Stop) -> str:
        condition = self.sources.conditions.get(stop.worker)
        lag = sum((condition.lag if condition else {}).get(topic, 0) for topic in stop.topics)
        return f"lag {lag:,} {'record' if lag == 1 else 'records'}" if lag else ""


def _deciding(receipts: Sequence[EntityReceipt]) -> EntityReceipt | None:
    """Of several receipts of one worker for one version: a conflict, the first that was settled, the last failure."""
    for outcomes in (("conflict",), FINAL):
        if found := [one for one in receipts if one.receipt.outcome in outcomes]:
            return min(found, key=lambda one: one.applied_at)
    return max(receipts, key=lambda one: one.applied_at, default=None)


def _first(times: Iterable[datetime | None]) -> datetime | None:
    return min((time for time in times if time is not None), default=None)


def _trace_id(receipts: Sequence[EntityReceipt]) -> str | None:
    contexts = [parsed((one.receipt.traceparent or "").encode()) for one in receipts]
    return next((f"{context.trace_id:032x}" for context in contexts if context), None)


def _in_utc(moment: datetime | None) -> datetime | None:
    """The same moment; None if it is outside the years 1 to 9999 in UTC, so that nobody can show it."""
    try:
        return None if moment is None else moment.astimezone(UTC)
    except OverflowError:
        return None
