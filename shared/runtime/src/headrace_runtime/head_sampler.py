"""Which traces are exported: decided once for each trace, at its start, as `OTEL_TRACES_SAMPLER` asks.

The SDK's samplers decide the same (a test compares them), but take longer for one decision than a record takes to
decode.
"""

import logging
from collections.abc import Mapping

from headrace_runtime.decoder import KafkaRecord
from headrace_runtime.trace_context import SAMPLED, TraceContext, trace_digest

log = logging.getLogger(__name__)

LIMIT = 2**64
"""A ratio is compared with the lower half of the trace's id, as the SDK's TraceIdRatioBased does."""
DEFAULT = "parentbased_always_on"
SAMPLER, ARGUMENT = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
NAMES = ("always_on", "always_off", "traceidratio")
PARENT_BASED = "parentbased_"


class HeadSampler:
    """Decides whether a trace is sampled.

    `bound`: traces whose id has a lower half below it are sampled. `parent_based`: a trace that has begun keeps the
    decision of its start.
    """

    def __init__(self, bound: int, *, parent_based: bool) -> None:
        self.bound = bound
        self.parent_based = parent_based
        self._lower_half = min(bound, LIMIT - 1).to_bytes(8)

    def starts(self, trace_id: int) -> bool:
        """Whether a trace that starts here is sampled."""
        return trace_id % LIMIT < self.bound

    def starts_at(self, record: KafkaRecord) -> bool:
        """Whether the trace that a record without one starts is sampled: `starts` of its `trace_id_of`, but faster."""
        if self.bound == 0 or self.bound == LIMIT:
            return self.bound > 0
        return trace_digest(record)[8:16] < self._lower_half

    def continues(self, context: TraceContext) -> bool:
        """Whether a trace that has begun elsewhere is sampled."""
        return context.sampled if self.parent_based else self.starts(context.trace_id)

    def flags(self, trace_id: int) -> int:
        """The flags of a trace that starts here."""
        return SAMPLED if self.starts(trace_id) else 0


def head_sampler(environ: Mapping[str, str]) -> HeadSampler:
    """The sampler that the variables of OpenTelemetry ask for. A value that is not known counts as the default, with a
    warning: wrong settings of traces stop no worker.
    """
    name = environ.get(SAMPLER, DEFAULT).strip().lower() or DEFAULT
    if name.removeprefix(PARENT_BASED) not in NAMES:
        log.warning("%s=%s is not one of %s; %s is used", SAMPLER, name, ", ".join(NAMES), DEFAULT)
        name = DEFAULT
    match name.removeprefix(PARENT_BASED):
        case "traceidratio":
            bound = round(_ratio(environ.get(ARGUMENT)) * LIMIT)
        case "always_off":
            bound = 0
        case _:
            bound = LIMIT
    return HeadSampler(bound, parent_based=name.startswith(PARENT_BASED))


def _ratio(argument: str | None) -> float:
    """The ratio from 0 to 1; 1 without a valid one."""
    try:
        ratio = float(argument or "1")
    except ValueError:
        ratio = -1.0
    if 0.0 <= ratio <= 1.0:
        return ratio
    log.warning("%s=%s is not a ratio from 0 to 1; 1 is used", ARGUMENT, argument)
    return 1.0
