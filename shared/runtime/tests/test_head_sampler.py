"""The head sampler decides as the SDK's samplers do, which the variables of OpenTelemetry name."""

import random

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from headrace_runtime.head_sampler import head_sampler
from headrace_runtime.trace_context import TraceContext

NAMES = ["always_on", "always_off", "traceidratio", "unknown"]
ARGUMENTS = [None, "0", "0.01", "0.5", "1", "1.5", "-1", "many"]


@pytest.mark.parametrize("argument", ARGUMENTS)
@pytest.mark.parametrize("name", [None, *NAMES, *(f"parentbased_{name}" for name in NAMES), "ALWAYS_OFF"])
def test_it_decides_as_the_sampler_of_the_sdk(
    name: str | None, argument: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": argument}
    environ = {variable: value for variable, value in given.items() if value is not None}
    for variable in given:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    expected, sampler = TracerProvider().sampler, head_sampler(environ)
    numbers = random.Random(1)
    for trace_id in [1, 2**64 - 1, 2**128 - 1, *(numbers.getrandbits(128) for _ in range(200))]:
        started = expected.should_sample(None, trace_id, "process")
        assert sampler.starts(trace_id) == (started.decision is Decision.RECORD_AND_SAMPLE)
        for flags in (0, 1):
            parent = NonRecordingSpan(SpanContext(trace_id, 1, True, TraceFlags(flags)))
            continued = expected.should_sample(set_span_in_context(parent), trace_id, "process")
            assert sampler.continues(TraceContext(trace_id, 1, flags)) == (
                continued.decision is Decision.RECORD_AND_SAMPLE
            )


def test_a_ratio_samples_its_share_of_traces() -> None:
    sampler = head_sampler({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"})
    numbers = random.Random(2)
    sampled = sum(sampler.starts(numbers.getrandbits(128)) for _ in range(10_000))
    assert 900 < sampled < 1100
