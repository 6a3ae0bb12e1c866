"""A worker as a FastStream application: its batch subscribers, their stages, and the routes that say how it does."""

import gc
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog
from faststream.asgi import AsgiFastStream
from faststream.exceptions import NackMessage

from headrace_runtime.attempt import Attempts
from headrace_runtime.batch import BatchPath
from headrace_runtime.breaker import Breaker
from headrace_runtime.consumer import Assignment, PartitionConsumer, StageBroker, stage_broker, subscribe
from headrace_runtime.decoder import Decoded, Decoder, KafkaRecord
from headrace_runtime.execute import Executor
from headrace_runtime.health import Health
from headrace_runtime.holes import Holes
from headrace_runtime.metrics import Metrics
from headrace_runtime.publisher import Outgoing, Publisher
from headrace_runtime.retry import Stopping
from headrace_runtime.routes import routes
from headrace_runtime.traces import Traces, trace_headers
from headrace_worker.settings import WorkerSettings
from headrace_worker.stage import Output, Record, Stage, Unavailable
from headrace_worker.worker import Worker

log = structlog.get_logger(__name__)

GC_THRESHOLD = 50_000
"""Objects made and not yet freed before the youngest generation is collected; Python's default is 700."""


@dataclass
class Reading:
    """One subscriber of a worker. `reports`: whether it writes receipts. `handle` is there once the stage is open."""

    group: str
    inputs: Mapping[str, type[Record]]
    topics: Sequence[str]
    open_stage: Callable[[Any], AbstractAsyncContextManager[Stage[Any]]]
    max_records: int
    reports: bool
    health: Health
    assignment: Assignment = field(init=False)
    handle: Callable[[Sequence[KafkaRecord]], Awaitable[None]] = field(init=False)
    holes: Holes = field(init=False)


def build(worker: Worker, settings: WorkerSettings) -> AsgiFastStream:
    """The worker's application. Run it with uvicorn; it consumes from start-up to SIGTERM."""
    if worker.application is not None:
        made: AsgiFastStream = worker.application(settings)
        return made
    metrics = Metrics(worker.name)
    stopping = Stopping()
    publisher = Publisher(settings.kafka)
    readings = _readings(worker, settings, metrics)
    by_group = {reading.group: reading for reading in readings}
    consumer = partial(_consumer, by_group, metrics=metrics, wait_ms=settings.batch.wait_ms)
    broker = stage_broker(worker.name, settings, consumer)
    for reading in readings:
        _subscribe(broker, reading, settings)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        # A batch is thousands of objects that all go together: looking for cycles among them cost a tenth of the time.
        gc.set_threshold(GC_THRESHOLD)
        async with AsyncExitStack() as stack:
            traces = Traces(worker.name, settings.telemetry)
            stack.callback(traces.close)
            stack.push_async_callback(publisher.close)
            for reading in readings:
                stage = await stack.enter_async_context(reading.open_stage(settings))
                reading.holes = Holes(stage, publisher.publish)
                path = _path(worker, settings, reading, stage, publisher, metrics, stopping, traces)
                reading.handle = path.handle
            log.info("worker_started", topics=[topic for reading in readings for topic in reading.topics])
            yield
        log.info("worker_stopped")

    listener = readings[1].health if len(readings) > 1 else None
    return AsgiFastStream(
        broker,
        lifespan=lifespan,
        on_shutdown=[stopping.set],
        asgi_routes=routes(readings[0].health, metrics, listener),
        logger=None,
    )


def _readings(worker: Worker, settings: WorkerSettings, metrics: Metrics) -> list[Reading]:
    assert worker.stage is not None, "a worker has a stage or an application of its own"
    group, inputs = f"{settings.topic_prefix}{worker.name}", worker.inputs(settings)

    def health() -> Health:
        return Health(alive_within=3 * settings.batch.give_back_after)

    topics = (*inputs, settings.topics.replay(worker.name))
    readings = [Reading(group, inputs, topics, worker.stage, settings.batch.max_records, True, health())]
    if (listener := worker.listener) is not None:
        heard = listener.inputs(settings)
        size = listener.max_records(settings)
        readings.append(Reading(f"{group}.{listener.name}", heard, tuple(heard), listener.stage, size, False, health()))
    for reading in readings:
        reading.assignment = Assignment(reading.health, metrics, reading.inputs, partial(_found_a_hole, reading))
    return readings


def _subscribe(broker: StageBroker, reading: Reading, settings: WorkerSettings) -> None:
    async def handle(records: Any) -> None:
        try:
            await reading.holes.settle()
        except Unavailable as error:
            reading.health.unavailable = error.store
            raise NackMessage from error
        await reading.handle(records)

    subscribe(
        broker,
        handle,
        *reading.topics,
        group=reading.group,
        max_records=reading.max_records,
        assignment=reading.assignment,
        settings=settings,
    )


def _path(
    worker: Worker,
    settings: WorkerSettings,
    reading: Reading,
    stage: Stage[Any],
    publisher: Publisher,
    metrics: Metrics,
    stopping: Stopping,
    traces: Traces,
) -> BatchPath:
    async def publish(outputs: Any) -> None:
        await publisher.publish([_outgoing(item, output) for item, output in outputs])

    def on_unavailable(error: Unavailable) -> None:
        reading.health.beat()
        reading.health.unavailable = error.store
        metrics.unavailable.labels(error.store).inc()
        log.warning("store_unavailable", store=error.store, detail=error.detail, raised=_raised(error.__cause__))

    executor = Executor(
        Attempts(
            stage,
            timeout=settings.batch.give_back_after,
            poison_tries=settings.batch.poison_tries,
            beat=reading.health.beat,
        ),
        settings.batch,
        stopping,
        publish=publish,
        max_output_bytes=2 * settings.kafka.max_record_bytes,
        on_unavailable=on_unavailable,
    )
    return BatchPath(
        worker.name,
        settings.topics,
        decoder=Decoder(
            reading.inputs,
            settings.topics.replay(worker.name),
            on_null=settings.null_without_version,
            accept_newer=settings.breaker.allow_rejects,
        ),
        executor=executor,
        publisher=publisher,
        breaker=Breaker(settings.breaker),
        health=reading.health,
        metrics=metrics,
        stopping=stopping,
        traces=traces,
        max_dead_letter_bytes=2 * settings.kafka.max_record_bytes,
        max_receipts_bytes=settings.kafka.max_record_bytes if reading.reports else None,
    )


async def _found_a_hole(reading: Reading) -> None:
    await reading.holes.found()


def _consumer(readings: Mapping[str, Reading], *args: Any, metrics: Metrics, wait_ms: int, **options: Any) -> Any:
    reading = readings[options["group_id"]]
    consumer = PartitionConsumer(*args, health=reading.health, metrics=metrics, wait_ms=wait_ms, **options)
    reading.assignment.consumer = consumer
    return consumer


def _raised(error: BaseException | None) -> list[str]:
    """The error's type and where it was raised. Not its message: that of a store or a fault may hold a payload."""
    if error is None:
        return []
    frames = traceback.extract_tb(error.__traceback__)
    return [type(error).__name__, *(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-5:])]


def _outgoing(item: Decoded, output: Output) -> Outgoing:
    return Outgoing(output.topic, output.key, output.value, [*output.headers, *trace_headers(item.record)])
