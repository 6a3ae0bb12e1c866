"""What goes wrong: each fault breaks something, waits, and repairs it as an operator or a supervisor would.

A fault returns when what it broke runs again; how long the pipeline takes to recover is measured from there.
"""

import asyncio
import contextlib
import os
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient

from chaos.cluster import BROKERS, STORES, WITH_OWN_CLOCK, Cluster
from chaos.scene import ALLOW_REJECTS, Fault, Scene, restarted, stopped
from headrace_clients.kafka import client_options
from headrace_schemas.topics import SOURCE_NAMES

HOUR = 3600


async def kill_worker(scene: Scene) -> str:
    name, copy = scene.random.choice(list(scene.cluster.workers))
    worker = scene.cluster.workers[name, copy]
    worker.end()
    await scene.wait(0.2, 3)
    await scene.cluster.start(worker)
    return f"{name}-{copy}"


async def kill_both_copies(scene: Scene) -> str:
    """Nobody reads for a while; both begin again from what is committed."""
    name = scene.random.choice(sorted({name for name, _ in scene.cluster.workers}))
    for worker in scene.cluster.copies_of(name):
        worker.end()
    await scene.wait(1, 4)
    await asyncio.gather(*(scene.cluster.start(worker) for worker in scene.cluster.copies_of(name)))
    return name


async def pause_worker(scene: Scene) -> str:
    """Longer than a session: another copy has its partitions when it continues in the middle of a batch."""
    name, copy = scene.random.choice(list(scene.cluster.workers))
    worker = scene.cluster.workers[name, copy]
    worker.pause()
    await scene.wait(4, 12)
    worker.resume()
    return f"{name}-{copy}"


async def kill_store(scene: Scene) -> str:
    return await _killed(scene, scene.random.choice(STORES), 1, 5)


async def pause_store(scene: Scene) -> str:
    return await _paused(scene, scene.random.choice(STORES), 4, 14)


async def kill_broker(scene: Scene) -> str:
    return await _killed(scene, scene.random.choice(BROKERS), 2, 6)


async def kill_leader(scene: Scene) -> str:
    """The broker that leads a partition of a source topic."""
    topic = scene.cluster.settings.topics.source(scene.random.choice(list(SOURCE_NAMES)))
    partition = scene.random.randrange(scene.cluster.settings.kafka.partitions)
    broker = await _leader(scene.cluster, topic, partition)
    await _killed(scene, broker, 3, 8)
    return f"{broker}, leader of {topic} {partition}"


async def pause_broker(scene: Scene) -> str:
    return await _paused(scene, scene.random.choice(BROKERS), 4, 12)


async def cut_connections(scene: Scene) -> str:
    store = scene.random.choice(STORES)
    proxy = scene.cluster.proxies[store]
    before = proxy.cut
    for _ in range(scene.random.randint(3, 8)):
        proxy.cut_all()
        await scene.wait(0.1, 1)
    return f"{store}, {proxy.cut - before} connections"


async def slow_connections(scene: Scene) -> str:
    store, delay = scene.random.choice(STORES), scene.random.uniform(0.1, 1.0)
    scene.cluster.proxies[store].delay = delay
    await scene.wait(5, 10)
    scene.cluster.proxies[store].heal()
    return f"{store}, {delay:.1f} s for each chunk"


async def silence_connections(scene: Scene) -> str:
    """Connections stay open and nothing arrives, as when a network drops packets."""
    store = scene.random.choice(STORES)
    scene.cluster.proxies[store].silence()
    await scene.wait(5, 12)
    scene.cluster.proxies[store].heal()
    scene.cluster.proxies[store].cut_all()
    return store


async def fill_disk(scene: Scene) -> str:
    store = scene.random.choice(sorted(scene.cluster.disks))
    filler = scene.cluster.disks[store] / "filler"
    await asyncio.to_thread(_fill, filler)
    await scene.wait(4, 10)
    filler.unlink()
    await scene.cluster.heal()
    return store


async def step_clock(scene: Scene) -> str:
    name, step = scene.random.choice(WITH_OWN_CLOCK), scene.random.choice((HOUR, -HOUR, 10 * 24 * HOUR))
    clock = scene.cluster.clock(name)
    await asyncio.to_thread(clock.write_text, f"{step:+d}\n")
    await scene.wait(5, 10)
    await asyncio.to_thread(clock.write_text, "+0\n")
    return f"{name}-b, {step:+,d} s and back"


async def rebalance(scene: Scene) -> str:
    """A third copy joins and leaves."""
    name = scene.random.choice(sorted({name for name, _ in scene.cluster.workers}))
    third = scene.cluster.process(name, "c")
    try:
        await scene.cluster.start(third)
        await scene.wait(3, 8)
    finally:
        await stopped(third)
    return name


async def rolling_restart(scene: Scene) -> str:
    """Every copy of two workers, one after the other."""
    names = scene.random.sample(sorted({name for name, _ in scene.cluster.workers}), 2)
    for name in names:
        for worker in scene.cluster.copies_of(name):
            await stopped(worker)
            await scene.cluster.start(worker)
    return ", ".join(names)


async def poison(scene: Scene) -> str:
    """A bad deploy of the catalogue: the topic is held, and an operator lets the workers reject the records."""
    kind = scene.random.choice(list(SOURCE_NAMES))
    readers = ("embed", "elasticsearch")
    for name in readers:
        await restarted(scene.cluster, name)
    await scene.stream.burst(kind, 700)
    await scene.wait(2, 4)
    held = sum(worker.count("topic_held") for name in readers for worker in scene.cluster.copies_of(name))
    for name in readers:
        await restarted(scene.cluster, name, **ALLOW_REJECTS)
    return f"700 malformed records of one cause on the topic of the {kind}s, held {held} times so far"


async def open_transaction(scene: Scene) -> str:
    """Everything behind it waits for its end."""
    await scene.stream.leave_open(scene.random.uniform(4, 10))
    return "a producer that was silent in its transaction"


async def _killed(scene: Scene, server: str, least: float, most: float) -> str:
    """A server is down for so many seconds."""
    await asyncio.to_thread(scene.cluster.stack.kill, server)
    await scene.wait(least, most)
    await asyncio.to_thread(scene.cluster.stack.start, server)
    return server


async def _paused(scene: Scene, server: str, least: float, most: float) -> str:
    """A server is silent for so many seconds."""
    await asyncio.to_thread(scene.cluster.stack.pause, server)
    await scene.wait(least, most)
    await asyncio.to_thread(scene.cluster.stack.resume, server)
    return server


async def _leader(cluster: Cluster, topic: str, partition: int) -> str:
    admin = AIOKafkaAdminClient(**client_options(cluster.settings.kafka))
    await admin.start()
    try:
        (described,) = await admin.describe_topics([topic])
    finally:
        await admin.close()
    (leader,) = [one["leader"] for one in described["partitions"] if one["partition"] == partition]
    return BROKERS[leader - 1] if 1 <= leader <= len(BROKERS) else BROKERS[0]


def _fill(filler: Path) -> None:
    """Takes every free byte of the file system."""
    with filler.open("wb") as file, contextlib.suppress(OSError):
        while True:
            os.write(file.fileno(), b"x" * 65_536)


QUICK: dict[str, Fault] = {
    "kill -9 of a worker": kill_worker,
    "SIGSTOP of a worker": pause_worker,
    "kill -9 of a store": kill_store,
    "SIGSTOP of a store": pause_store,
    "kill -9 of a broker": kill_broker,
    "kill -9 of a leader": kill_leader,
    "SIGSTOP of a broker": pause_broker,
    "connections cut": cut_connections,
    "connections slowed": slow_connections,
    "connections silenced": silence_connections,
    "open transaction": open_transaction,
}
SLOW: dict[str, Fault] = {
    "kill -9 of both copies": kill_both_copies,
    "rebalance": rebalance,
    "rolling restart": rolling_restart,
    "poison stream": poison,
}
