"""Times for people: relative, exact, and durations."""

import math
from datetime import UTC, datetime

from markupsafe import Markup

_STEPS = ((86_400 * 2, 86_400, "d"), (3600 * 2, 3600, "h"), (120, 60, "min"), (0, 1, "s"))


def ago(moment: datetime, now: datetime) -> str:
    """How long before `now`: 5 s, 12 min, 3 h, 9 d."""
    seconds = (now - moment).total_seconds()
    if seconds < 1:
        return "just now"
    for least, unit, name in _STEPS:
        if seconds >= least:
            return f"{int(seconds // unit)} {name} ago"
    raise AssertionError("the last step has the minimum 0")


def exact(moment: datetime) -> str:
    """In UTC, to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def time_ago(moment: datetime | None) -> Markup:
    """The relative time; its title is the exact time."""
    if moment is None:
        return Markup("never")
    shown = ago(moment, datetime.now(UTC))
    return Markup('<time datetime="{}" title="{}">{}</time>').format(moment.isoformat(), exact(moment), shown)


def time_exact(moment: datetime | None) -> Markup:
    """The exact time."""
    if moment is None:
        return Markup("never")
    return Markup('<time datetime="{}">{}</time>').format(moment.isoformat(), exact(moment))


def duration(seconds: float) -> str:
    """0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def delay(seconds: float) -> str:
    """45 ms, 1.2 s, 3 min 20 s; a time above what is measured has no number."""
    if math.isinf(seconds):
        return "longer than is measured"
    return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else duration(seconds)


def milliseconds(number: int) -> str:
    """With a comma between thousands; a minus sign means before."""
    return f"{number:,} ms".replace("-", "\u2212")


def exact_ms(moment: datetime | None) -> Markup:
    """The exact time, to the millisecond."""
    if moment is None:
        return Markup("")
    shown = f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d} UTC"
    return Markup('<time datetime="{}">{}</time>').format(moment.isoformat(), shown)
