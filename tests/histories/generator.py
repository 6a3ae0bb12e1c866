"""Makes random histories. History number n of a seed is always the same, whatever was made before."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random
from uuid import uuid4

from headrace_demo.catalogue.malformed_records import DEFECTS
from headrace_schemas.fields import MAX_VERSION
from histories.steps import Edit, History, Lost, Malformed, Mend, Publish, Read, Refuse, Replay, Rewind, Step

SOURCE_WORKERS = ("embed", "elasticsearch")
WORKERS = ("embed", "elasticsearch", "qdrant", "pgvector")
CONTENTS = 6
BASES = (1, 1, 1, 2**32 - 3, 2**53 - 3, MAX_VERSION - 40)
"""First versions. The large ones are where 32-bit integers and 64-bit floats lose the difference of neighbours."""
OVERSIZED = "oversized"
USED_DEFECTS = (*(defect for defect in DEFECTS if defect not in ("id_too_long", "version_over_63_bits")), OVERSIZED)


def history(seed: int, number: int) -> History:
    """History `number` of a seed. `named` gives it a name."""
    random = Random(f"{seed}:{number}")
    return History("", tuple(_Catalogue(random).steps()))


def named(histories: Iterable[History]) -> list[History]:
    """The same histories with names that no other run uses, so that runs may share their stores."""
    run = uuid4().hex[:8]
    return [replace(history, name=f"h{run}x{number}") for number, history in enumerate(histories)]


class _Catalogue:
    """One or two entities with growing versions. Few entities and few contents make collisions frequent."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._entities = random.choice((1, 1, 2))
        self._newest = [random.choice(BASES)] * self._entities
        self._published: list[Publish] = []
        self._refusing = False

    def steps(self) -> list[Step]:
        steps: list[Step] = []
        for _ in range(self._random.randint(2, 6)):
            steps += [self._record() for _ in range(self._random.randint(1, 4))]
            if self._random.random() < 0.2:
                steps.append(self._refuse())
            if self._random.random() < 0.15:
                steps.append(Rewind(self._random.choice(WORKERS), self._random.randint(1, 3)))
            steps += [self._read() for _ in range(self._random.randint(1, 3))]
            if self._random.random() < 0.25:
                steps += self._operator()
        return steps

    def _record(self) -> Step:
        kinds: list[tuple[int, Callable[[], Step]]] = [
            (45, self._newer), (12, self._delete), (12, self._duplicate), (12, self._late), (7, self._equal),
            (12, self._malformed),
        ]  # fmt: skip
        (make,) = self._random.choices([make for _, make in kinds], [weight for weight, _ in kinds])
        step = make()
        if isinstance(step, Publish):
            self._published.append(step)
        return step

    def _newer(self) -> Publish:
        """An update, or after a delete the creation of the entity again."""
        return Publish(entity := self._entity(), self._next(entity), self._random.randrange(CONTENTS))

    def _delete(self) -> Publish:
        return Publish(entity := self._entity(), self._next(entity), None, self._random.random() < 0.4)

    def _duplicate(self) -> Publish:
        return self._random.choice(self._published) if self._published else self._newer()

    def _late(self) -> Publish:
        """A change that has a lower version than one that was published before it."""
        entity = self._entity()
        content = None if self._random.random() < 0.3 else self._random.randrange(CONTENTS)
        return Publish(entity, max(1, self._newest[entity] - self._random.randint(1, 3)), content)

    def _equal(self) -> Publish:
        """Perhaps other content under a version that was published."""
        if not self._published:
            return self._newer()
        before = self._random.choice(self._published)
        return Publish(before.entity, before.version, self._random.choice((None, *range(CONTENTS))))

    def _malformed(self) -> Malformed:
        entity = self._entity()
        return Malformed(entity, self._next(entity), self._random.choice(USED_DEFECTS))

    def _refuse(self) -> Refuse:
        entity = self._entity()
        version = self._newest[entity] + self._random.choice((0, 0, 0, 1, 2))
        return Refuse(self._random.choice(WORKERS), entity, version)

    def _read(self) -> Read:
        lost: Lost = self._random.choices(("", "all", "receipts", "commit"), (76, 8, 8, 8))[0]
        stale = self._random.randint(1, 4) if self._random.random() < 0.2 else 0
        return Read(self._random.choice(WORKERS), self._random.randint(1, 6), lost, stale)

    def _operator(self) -> list[Step]:
        worker = self._random.choice(WORKERS)
        mended: list[Step] = [Mend()] if self._random.random() < 0.7 else []
        answer: Step = Edit(worker) if self._random.random() < 0.3 else Replay(worker)
        return [*mended, answer]

    def _entity(self) -> int:
        return self._random.randrange(self._entities)

    def _next(self, entity: int) -> int:
        self._newest[entity] += self._random.choice((1, 1, 1, 2, 3))
        return self._newest[entity]
