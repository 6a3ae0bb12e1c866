"""Three Kafka nodes form one cluster that accepts writes while one of them is down."""

from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from headrace_local.stack import Stack

pytestmark = [pytest.mark.servers, pytest.mark.long]

NODES = {"kafka-1", "kafka-2", "kafka-3"}


async def test_a_topic_is_written_while_one_node_of_three_is_down(tmp_path: Path) -> None:
    stack = Stack(tmp_path, kafka_nodes=3, services=NODES)
    try:
        servers = stack.up()["HEADRACE_KAFKA__BOOTSTRAP_SERVERS"]
        admin = AIOKafkaAdminClient(bootstrap_servers=servers)
        await admin.start()
        await admin.create_topics([NewTopic("kept", num_partitions=3, replication_factor=3)])
        await admin.close()
        async with AIOKafkaProducer(bootstrap_servers=servers, acks="all") as producer:
            for down in sorted(NODES):
                stack.kill(down)
                assert {server.name for server in stack.status() if server.state == "stopped"} == {down}
                for partition in range(3):
                    await producer.send_and_wait("kept", b"record", partition=partition)
                stack.start(down)
    finally:
        stack.destroy()
