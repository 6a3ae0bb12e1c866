"""A worker as a FastStream application: one batch subscriber, its stage, and the routes that say how it does."""

import gc
import logging
import traceback
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import structlog
from faststream import AckPolicy
from faststream.asgi import AsgiFastStream
from faststream.kafka.message import KafkaAckableMessage

from headrace_shared.kafka import client_options, security
from headrace_shared.runtime.attempt import Attempts
from headrace_shared.runtime.batch import BatchPath
from headrace_shared.runtime.breaker import Breaker
from headrace_shared.runtime.consumer import Assignment, PartitionConsumer, StageBroker
from headrace_shared.runtime.decode import Decoder
from headrace_shared.runtime.execute import Executor
from headrace_shared.runtime.health import Health
from headrace_shared.runtime.items import Item, KafkaRecord
from headrace_shared.runtime.metrics import Metrics
from headrace_shared.runtime.publish import Outgoing, Publisher
from headrace_shared.runtime.retry import Stopping
from headrace_shared.runtime.routes import routes
from headrace_shared.runtime.traces import Traces, trace_headers
from headrace_shared.settings import WorkerSettings
from headrace_shared.stage import Output, Unavailable
from headrace_shared.worker import Worker

log = structlog.get_logger(__name__)

GC_THRESHOLD = 50_000
"""Objects made and not yet freed before the youngest generation is collected; Python's default is 700."""
MAX_POLL_INTERVAL_MS = 300_000
GRACE_SECONDS = 9.0
"""How long a stopping worker may finish the batch in hand, below the 10 s that a supervisor gives it."""


def build(worker: Worker, settings: WorkerSettings) -> AsgiFastStream:
    """The worker's application. Run it with uvicorn; it consumes from start-up to SIGTERM."""
    topics = settings.topics
    health = Health(alive_within=3 * settings.batch.give_back_after)
    metrics = Metrics(worker.name)
    stopping = Stopping()
    publisher = Publisher(settings.kafka)
    inputs = worker.inputs(settings)
    replay_topic = topics.replay(worker.name)
    assignment = Assignment(health, metrics, inputs)
    broker = StageBroker(
        client_options(settings.kafka)["bootstrap_servers"],
        make_consumer=partial(_consumer, assignment, health=health, metrics=metrics, wait_ms=settings.batch.wait_ms),
        security=security(settings.kafka),
        client_id=f"headrace-{worker.name}",
        allow_auto_create_topics=False,
        graceful_timeout=GRACE_SECONDS,
        parser=_parse,
        decoder=_decode,
        apply_types=False,
        serializer=None,
        logger=logging.getLogger("headrace.faststream"),
    )
    path: list[BatchPath] = []

    @broker.subscriber(
        *inputs,
        replay_topic,
        batch=True,
        batch_timeout_ms=1,
        max_records=settings.batch.max_records,
        group_id=f"{settings.topic_prefix}{worker.name}",
        ack_policy=AckPolicy.NACK_ON_ERROR,
        auto_offset_reset="earliest",
        max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
        session_timeout_ms=int(settings.kafka.session_timeout * 1000),
        heartbeat_interval_ms=int(settings.kafka.session_timeout * 1000 / 15),
        listener=assignment,
    )
    async def handle(records: Any) -> None:
        await path[0].handle(records)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        # A batch is thousands of objects that all go together: looking for cycles among them cost a tenth of the time.
        gc.set_threshold(GC_THRESHOLD)
        async with AsyncExitStack() as stack:
            traces = Traces(worker.name, settings.telemetry)
            stack.callback(traces.close)
            stack.push_async_callback(publisher.close)
            stage = await stack.enter_async_context(worker.stage(settings))

            async def publish(outputs: Any) -> None:
                await publisher.publish([_outgoing(item, output) for item, output in outputs])

            def on_unavailable(error: Unavailable) -> None:
                health.beat()
                health.unavailable = error.store
                metrics.unavailable.labels(error.store).inc()
                log.warning(
                    "store_unavailable", store=error.store, detail=error.detail, raised=_raised(error.__cause__)
                )

            executor = Executor(
                Attempts(
                    stage,
                    timeout=settings.batch.give_back_after,
                    poison_tries=settings.batch.poison_tries,
                    beat=health.beat,
                ),
                settings.batch,
                stopping,
                publish=publish,
                max_output_bytes=2 * settings.kafka.max_record_bytes,
                on_unavailable=on_unavailable,
            )
            path.append(
                BatchPath(
                    worker.name,
                    topics,
                    decoder=Decoder(
                        inputs,
                        replay_topic,
                        on_null=settings.null_without_version,
                        accept_newer=settings.breaker.allow_rejects,
                    ),
                    executor=executor,
                    publisher=publisher,
                    breaker=Breaker(settings.breaker),
                    health=health,
                    metrics=metrics,
                    stopping=stopping,
                    traces=traces,
                    max_dead_letter_bytes=2 * settings.kafka.max_record_bytes,
                    max_receipts_bytes=settings.kafka.max_record_bytes,
                )
            )
            log.info("worker_started", topics=[*inputs, replay_topic])
            yield
        log.info("worker_stopped")

    return AsgiFastStream(
        broker, lifespan=lifespan, on_shutdown=[stopping.set], asgi_routes=routes(health, metrics), logger=None
    )


def _consumer(assignment: Assignment, *args: Any, **options: Any) -> PartitionConsumer:
    consumer = PartitionConsumer(*args, **options)
    assignment.consumer = consumer
    return consumer


async def _parse(records: tuple[KafkaRecord, ...], original: Any) -> KafkaAckableMessage:
    """FastStream's own parser decodes headers and raises outside the handler on a null or binary one."""
    return KafkaAckableMessage(body=b"", raw_message=records, consumer=original.__self__._consumer)


async def _decode(message: KafkaAckableMessage) -> Any:
    return message.raw_message


def _raised(error: BaseException | None) -> list[str]:
    """The error's type and where it was raised. Not its message: that of a store or a fault may hold a payload."""
    if error is None:
        return []
    frames = traceback.extract_tb(error.__traceback__)
    return [type(error).__name__, *(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-5:])]


def _outgoing(item: Item, output: Output) -> Outgoing:
    return Outgoing(output.topic, output.key, output.value, [*output.headers, *trace_headers(item.record)])
