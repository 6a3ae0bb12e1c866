"""Builds a worker: a FastStream application with a subscriber for each consumer group, and HTTP routes."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from faststream.asgi import AsgiFastStream

from headrace_runtime.assignment import Repair
from headrace_runtime.attempts import Attempts, RetryLoop
from headrace_runtime.batch import BatchPath
from headrace_runtime.batch_trace import ReportsChanges
from headrace_runtime.breaker import Breaker
from headrace_runtime.broker import Path, consume_with, subscribe, worker_broker
from headrace_runtime.consumer import PartitionConsumer
from headrace_runtime.consumer_groups import Group, consumer_groups
from headrace_runtime.decoder import Decoded, Decoder
from headrace_runtime.group_succession import take_over
from headrace_runtime.health import Health
from headrace_runtime.holds import Holds
from headrace_runtime.kafka_start import KafkaStart
from headrace_runtime.metrics import Metrics
from headrace_runtime.origin import published_at
from headrace_runtime.pauses import Pauses
from headrace_runtime.publisher import Headers, Outgoing, Publisher
from headrace_runtime.raw_path import RawPath
from headrace_runtime.readiness import Readiness
from headrace_runtime.reporter import Reporter
from headrace_runtime.results import ResultPublisher
from headrace_runtime.routes import routes
from headrace_runtime.stopping import Stopping
from headrace_runtime.trace_context import TRACEPARENT, TraceContext, carried, new_span_id, trace_headers, trace_id_of
from headrace_schemas.headers import PUBLISHED_AT
from headrace_worker.served_model import check_model
from headrace_worker.settings import WorkerSettings
from headrace_worker.stage import Output, RawStage, Stage, Unavailable
from headrace_worker.worker import Worker

if TYPE_CHECKING:
    from headrace_runtime.traces import Traces

log = structlog.get_logger(__name__)

GC_THRESHOLD = 50_000
"""New objects between two collections of the youngest generation. A batch makes thousands of objects and frees them
together; with Python's default of 700 the search for cycles took a tenth of the time.
"""

READY_POLL = 0.1
MODEL_SECONDS = 3.0


class Paths:
    """Makes the paths of a worker's consumer groups from what the groups share."""

    def __init__(
        self,
        worker: Worker,
        settings: WorkerSettings,
        publisher: Publisher,
        metrics: Metrics,
        traces: "Traces | None",
    ) -> None:
        self._worker = worker
        self._settings = settings
        self._publisher = publisher
        self._metrics = metrics
        self._traces = traces
        self.stopping = Stopping()

    def path(self, group: Group, stage: Any, repair: Repair, holds: Holds) -> Path:
        """The path of the group's batches to its stage."""
        reporter = Reporter(self._worker.name, group.health, self._metrics, self._worker.step)
        if group.pattern is not None:
            return self._raw(stage, reporter)
        return self._decoded(group, stage, repair, holds, reporter)

    def _raw(self, stage: RawStage, reporter: Reporter) -> RawPath:
        return RawPath(stage, self._settings.batch, reporter, self.stopping)

    def _decoded(self, group: Group, stage: Stage[Any], repair: Repair, holds: Holds, reporter: Reporter) -> BatchPath:
        worker, settings = self._worker.name, self._settings
        max_record_bytes = settings.kafka.max_record_bytes
        attempts = Attempts(
            stage,
            timeout=settings.batch.give_back_after,
            poison_tries=settings.batch.poison_tries,
            beat=group.health.beat,
        )
        loop = RetryLoop(
            attempts,
            settings.batch,
            self.stopping,
            publish=self._publish,
            max_output_bytes=2 * max_record_bytes,
            on_unavailable=reporter.unavailable,
            on_retry=reporter.retry,
        )
        decoder = Decoder(
            group.inputs,
            settings.topics.replay(worker),
            on_null=settings.null_without_version,
            accept_newer=settings.breaker.allow_rejects,
            max_record_bytes=max_record_bytes,
            without_canary=not self._worker.takes_canary,
            model=settings.model,
        )
        results = ResultPublisher(
            worker, settings.topics, self._publisher, max_record_bytes=max_record_bytes, receipts=group.receipts
        )
        breaker = Breaker(worker, settings.breaker)
        reporting = [topic for topic, model in group.inputs.items() if issubclass(model, ReportsChanges)]
        traces = self._traces.of(group.name, reporting) if self._traces is not None else None
        return BatchPath(decoder, loop, breaker, results, repair, holds, reporter, traces=traces)

    async def _publish(self, outputs: Sequence[tuple[Decoded, Output]]) -> None:
        await self._publisher.publish(
            [
                Outgoing(
                    output.topic,
                    output.key,
                    output.value,
                    [*output.headers, *self._trace(decoded, output), *_publication(decoded)],
                )
                for decoded, output in outputs
            ]
        )

    def _trace(self, decoded: Decoded, output: Output) -> Headers:
        """The headers with which an output continues the trace of its record, unless it has one of its own.

        A trace that is not sampled is continued as well: otherwise the next worker would decide again.
        """
        if carried(output.headers) is not None:
            return ()
        headers = trace_headers(decoded.record.headers)
        if self._traces is None or carried(headers) is not None:
            return headers
        return [(TRACEPARENT, TraceContext(trace_id_of(decoded.record), new_span_id()).traceparent)]


def build(worker: Worker, settings: WorkerSettings) -> AsgiFastStream:
    """The worker's application. Run it with uvicorn; it consumes from its start to SIGTERM."""
    groups = consumer_groups(worker, settings)
    metrics = Metrics(
        worker.name, [group.health for group in groups], worker.metrics, revision=settings.telemetry.revision
    )
    publisher = Publisher(settings.kafka)
    traces = _traces(worker, settings, metrics)
    paths = Paths(worker, settings, publisher, metrics, traces)
    pauses = Pauses(worker.name, settings)

    async def before_joining(name: str) -> None:
        (group,) = (one for one in groups if one.name == name)
        if group.former is not None:
            await take_over(settings, group.former, name, group.topics)
        await pauses.known()

    kafka = KafkaStart(settings.kafka, [group.health for group in groups], before_joining)
    broker = worker_broker(worker.name, settings, new_topics=worker.raw is not None)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        gc.set_threshold(GC_THRESHOLD)
        await refuse_other_model(worker, settings)
        consumers: dict[str, Callable[..., PartitionConsumer]] = {}
        async with AsyncExitStack() as stack:
            if traces is not None:
                stack.push_async_callback(traces.close)
            stack.push_async_callback(publisher.close)
            for group in groups:
                stage = await stack.enter_async_context(group.open_stage(settings))
                repair = Repair(stage, settings.topics, publisher.publish)
                holds = Holds(worker.name, group.health, metrics)
                pauses.follow(holds, group.health)
                path = paths.path(group, stage, repair, holds)
                check_kafka = subscribe(
                    broker,
                    path,
                    group.topics,
                    pattern=group.pattern,
                    group=group.name,
                    max_records=group.max_records,
                    settings=settings,
                )
                consumers[group.name] = _consumer(group, settings, metrics, holds, repair, kafka)
                readiness = Readiness(group.health, check_kafka, stage.check)
                _run(stack, readiness.run())
            _run(stack, pauses.run())
            _run(stack, log_when_ready([group.health for group in groups]))
            await consume_with(broker, consumers, settings.kafka)
            log.info("worker_started", topics=[name for group in groups for name in group.topics or (group.pattern,)])
            yield
        log.info("worker_stopped")

    return AsgiFastStream(
        broker,
        lifespan=lifespan,
        on_shutdown=[paths.stopping.set],
        asgi_routes=routes(groups[0].health, metrics, groups[1].health if len(groups) > 1 else None),
        logger=None,
    )


def _consumer(
    group: Group, settings: WorkerSettings, metrics: Metrics, holds: Holds, repair: Repair, kafka: KafkaStart
) -> Callable[..., PartitionConsumer]:
    return partial(
        PartitionConsumer,
        health=group.health,
        metrics=metrics,
        holds=holds,
        wait_ms=settings.batch.wait_ms,
        max_bytes=settings.batch.max_bytes,
        largest_value=2 * settings.kafka.max_record_bytes,
        inputs=group.inputs,
        in_bulk=group.in_bulk,
        repair=repair,
        kafka=kafka,
    )


def _run(stack: AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    """Runs the work beside everything else, until the stack is closed."""
    stack.push_async_callback(cancelled, asyncio.create_task(work))


async def refuse_other_model(worker: Worker, settings: WorkerSettings) -> None:
    """Raises OtherModel. A store that does not answer is no reason not to start: nothing of two models ever mixes."""
    with suppress(Unavailable, TimeoutError):
        async with asyncio.timeout(MODEL_SECONDS):
            await check_model(worker, settings)


async def log_when_ready(healths: Sequence[Health]) -> None:
    """Writes one line, when /readyz answers 200 for the first time."""
    while True:
        if not any(health.open_problems() for health in healths):
            log.info("worker_ready", partitions=sum(health.assigned for health in healths))
            return
        await asyncio.sleep(READY_POLL)


def _publication(decoded: Decoded) -> Headers:
    """The header with the publication of the change that a record is made from."""
    published = published_at(decoded.record, decoded.kind)
    return [] if published is None else [(PUBLISHED_AT, str(published).encode())]


async def cancelled(task: "asyncio.Task[None]") -> None:
    """Cancels the task and waits for its end."""
    task.cancel()
    await asyncio.wait([task])


def _traces(worker: Worker, settings: WorkerSettings, metrics: Metrics) -> "Traces | None":
    if settings.telemetry.otlp_endpoint is None:
        return None
    from headrace_runtime.otlp_export import otlp_exporter
    from headrace_runtime.traces import Traces

    exporter = otlp_exporter(worker.name, settings.telemetry)
    dead_topic = settings.topics.dead(worker.name)
    return Traces(
        worker, settings.telemetry, dead_topic, exporter, metrics.spans_dropped.inc, metrics.traces_left_out.inc
    )
