"""The canary waits at its start until Kafka can be used, and says so."""

from harness.live_workers import readiness
from harness.records import eventually

from headrace_canary.app import application
from headrace_canary.settings import CanarySettings
from headrace_worker.settings import KafkaSettings


async def test_the_canary_waits_for_kafka_and_is_alive() -> None:
    app = application(CanarySettings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1")))
    async with app.router.lifespan_context(app):

        async def waits() -> bool:
            report = await readiness(app)
            return report["alive"] and any(
                problem.startswith("unavailable: kafka since") and "127.0.0.1:1" in problem
                for problem in report["problems"]
            )

        await eventually(waits, within=20.0)
