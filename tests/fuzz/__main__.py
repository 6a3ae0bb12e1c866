"""`make fuzz ARGS="--minutes 10"`: new inputs until the time is over. A failure prints its smallest input.

With `--coverage` atheris chooses the inputs by the lines that they reach. It has packages for some versions of Python
only, so it is not among the dependencies: .venv/bin/pip install atheris
"""

import argparse
import random
import sys
import time
from typing import Any

TARGETS = ("decoding", "letters", "reading", "reporting", "editing", "documents", "points")
DECODING_PACKAGES = (
    "headrace_schemas", "headrace_runtime.decoder", "headrace_letters", "headrace_cli", "headrace_expected",
    "headrace_verify", "headrace_elasticsearch", "headrace_qdrant",
)  # fmt: skip
"""The code whose lines guide atheris."""


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long, in all")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="of the first inputs")
    parser.add_argument("--only", choices=TARGETS, help="one kind of input")
    parser.add_argument("--coverage", action="store_true", help="let atheris choose the inputs of --only")
    options = parser.parse_args()
    if options.coverage:
        _guided(options.only or TARGETS[0], options.minutes * 60)
    else:
        _unguided([options.only] if options.only else list(TARGETS), options.minutes * 60, options.seed)


def _tests() -> dict[str, Any]:
    from fuzz import files, records, reports, stores

    targets = {"decoding": records.decoding, "letters": records.letters, "reading": files.reading}
    targets |= {"reporting": reports.reporting, "editing": reports.editing}
    targets |= {"documents": stores.documents, "points": stores.stored_points}
    return {name: target.test() for name, target in targets.items()}


def _unguided(names: list[str], seconds: float, seed: int) -> None:
    from hypothesis import HealthCheck, settings
    from hypothesis import seed as seeded

    options = settings(
        max_examples=2000, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=True
    )
    until, done = time.monotonic() + seconds, dict.fromkeys(names, 0)
    tests = {name: options(test) for name, test in _tests().items()}
    while time.monotonic() < until:
        for name in names:
            print(f"{name}: seed {seed}, {done[name]:,} inputs so far", flush=True)
            seeded(seed)(tests[name])()
            done[name] += options.max_examples
        seed += 1
    print(f"no fault in {', '.join(f'{count:,} inputs of {name}' for name, count in done.items())}")


def _guided(name: str, seconds: float) -> None:
    import atheris

    with atheris.instrument_imports(include=list(DECODING_PACKAGES)):
        test = _tests()[name]
    # Hypothesis reads an input from many bytes: short ones are mostly too short for it.
    options = [f"-max_total_time={seconds:.0f}", "-max_len=4096", "-len_control=0"]
    atheris.Setup([sys.argv[0], *options], test.hypothesis.fuzz_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
