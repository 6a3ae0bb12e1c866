"""No order of events leaves a product with wrong links, and every way to weaken the protocol shows.

The protocol changes only together with its model.
"""

import pytest

from model.exploration import explore
from model.link_model import MUTATIONS, Mutation, Protocol, Scenario

LIMIT = 400_000
"""States of one scenario: several times what the largest has."""

SCENARIOS = {
    "keywords come and go, a death": Scenario(((None, 0.5, None), (None, 0.4)), (None, "x"), crashes=1),
    "a keyword is re-worded below another, a death": Scenario(((None, 0.5, 0.2), (0.4,)), ("x",), crashes=1),
    "a keyword comes, an old consumer goes on": Scenario(((None, 0.5), (0.4,)), ("x",), rebalances=1),
    "a keyword goes, an old consumer goes on": Scenario(((0.5, None), (0.4,)), ("x",), rebalances=1),
    "a keyword is re-worded and back, a death": Scenario(((0.5, 0.2, 0.5), (0.4,)), ("x",), crashes=1),
    "a keyword is re-worded and back, an old consumer": Scenario(((0.5, 0.2, 0.5), ()), ("x",), rebalances=1),
    "a product is deleted, an old consumer goes on": Scenario(((None, 0.5), ()), ("x", None), rebalances=1),
    "a product is deleted and made again, a death": Scenario(((None, 0.5), ()), ("x", None, "x"), crashes=1),
    "a product is re-worded and back, an old consumer": Scenario(((0.5,), ()), ("x", "y", "x"), rebalances=1),
    "two rebalances": Scenario(((None, 0.5), ()), ("x",), rebalances=2),
    "a rebalance, and the old consumer dies": Scenario(((None, 0.5), ()), ("x",), rebalances=1, crashes=1),
}
SHOWN_BY: dict[Mutation, str] = {
    "no-open": "keywords come and go, a death",
    "open-whatever-was-looked-at": "a keyword comes, an old consumer goes on",
    "close-whoever-opened": "a keyword comes, an old consumer goes on",
    "drop-when-beaten-at-opening": "a keyword comes, an old consumer goes on",
    "close-before-publishing": "keywords come and go, a death",
    "cover-what-comes-after-the-read": "keywords come and go, a death",
    "forget-the-holders": "keywords come and go, a death",
    "probe-before-the-holders": "keywords come and go, a death",
    "open-only-once": "a rebalance, and the old consumer dies",
    "forget-the-tombstone": "a product is deleted and made again, a death",
    "ask-for-products-only-when-they-are-new": "a product is deleted, an old consumer goes on",
}


LARGEST = ("a keyword is re-worded and back, an old consumer", "a product is re-worded and back, an old consumer")
"""Half of the time goes into these."""


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(scenario, id=name, marks=[pytest.mark.long] if name in LARGEST else [])
        for name, scenario in SCENARIOS.items()
    ],
)
def test_every_quiet_state_has_the_right_links(scenario: Scenario) -> None:
    explored = explore(Protocol(scenario), LIMIT)
    assert explored.violation is None
    assert explored.quiet > 0


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_weaker_protocol_is_caught(mutation: Mutation) -> None:
    assert explore(Protocol(SCENARIOS[SHOWN_BY[mutation]], mutation), LIMIT).violation is not None
