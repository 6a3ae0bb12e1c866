"""No order of events leaves a product with wrong links, and each weakening of the protocol is found.

Change the protocol and its model together.
"""

import pytest

from model.exploration import explore
from model.link_model import MUTATIONS, Mutation, Protocol, Scenario

LIMIT = 400_000
"""States of one scenario: several times those of the largest."""

SCENARIOS = {
    "keywords created and deleted, a death": Scenario(((None, 0.5, None), (None, 0.4)), (None, "x"), crashes=1),
    "a keyword reworded below another, a death": Scenario(((None, 0.5, 0.2), (0.4,)), ("x",), crashes=1),
    "a keyword created, an old consumer": Scenario(((None, 0.5), (0.4,)), ("x",), rebalances=1),
    "the only keyword deleted, an old consumer": Scenario(((0.5, None), ()), ("x",), rebalances=1),
    "the only keyword reworded and back, a death": Scenario(((0.5, 0.2, 0.5), ()), ("x",), crashes=1),
    "a product deleted, an old consumer": Scenario(((None, 0.5), ()), ("x", None), rebalances=1),
    "a product deleted and created again, a death": Scenario(((None, 0.5), ()), ("x", None, "x"), crashes=1),
    "a product reworded, an old consumer": Scenario(((0.5,), ()), ("x", "y"), rebalances=1),
    "the stores lose the links, a death": Scenario(((None, 0.5), ()), ("x",), crashes=1, losses=1, batches=True),
    "the stores lose the links, an old consumer": Scenario(((0.5,), ()), ("x",), rebalances=1, losses=1, batches=True),
    "two rebalances": Scenario(((None, 0.5), ()), ("x",), rebalances=2),
    "a rebalance, and the old consumer dies": Scenario(((None, 0.5), ()), ("x",), rebalances=1, crashes=1),
    "two topics, a keyword created and deleted": Scenario(((None, 0.5, None), ()), ("x", "y"), two_topics=True),
    "two topics, a death": Scenario(((None, 0.5), ()), ("x", "y"), crashes=1, two_topics=True),
}
LARGE_SCENARIOS = {
    "a keyword deleted, an old consumer": Scenario(((0.5, None), (0.4,)), ("x",), rebalances=1),
    "a keyword reworded and back, a death": Scenario(((0.5, 0.2, 0.5), (0.4,)), ("x",), crashes=1),
    "a keyword reworded and back, an old consumer": Scenario(((0.5, 0.2, 0.5), ()), ("x",), rebalances=1),
    "a product reworded and back, an old consumer": Scenario(((0.5,), ()), ("x", "y", "x"), rebalances=1),
    "two topics, a keyword reworded and back": Scenario(((0.5, 0.2, 0.5), ()), ("x", "y"), two_topics=True),
}
"""Three quarters of the time of all. Each has a smaller one above with the same kinds of events."""
SHOWN_BY: dict[Mutation, str] = {
    "do-not-open": "keywords created and deleted, a death",
    "open-without-condition": "a keyword created, an old consumer",
    "close-without-condition": "a keyword created, an old consumer",
    "give-up-when-another-opened": "a keyword created, an old consumer",
    "close-before-publish": "keywords created and deleted, a death",
    "note-end-after-open": "a keyword created, an old consumer",
    "note-end-after-read": "keywords created and deleted, a death",
    "skip-holders": "keywords created and deleted, a death",
    "query-probe-before-holders": "keywords created and deleted, a death",
    "query-open-points-once": "a rebalance, and the old consumer dies",
    "tombstone-keeps-content": "a product deleted and created again, a death",
    "request-only-new-products": "a product deleted, an old consumer",
    "cover-explicit-requests": "the stores lose the links, a death",
    "publish-only-changed-sets": "the stores lose the links, a death",
    "take-the-last-request-of-a-batch": "the stores lose the links, a death",
    "leave-open-points": "a rebalance, and the old consumer dies",
    "compare-offsets-of-two-topics": "two topics, a keyword created and deleted",
}


@pytest.mark.parametrize(
    "scenario",
    [
        *(pytest.param(scenario, id=name) for name, scenario in SCENARIOS.items()),
        *(pytest.param(scenario, id=name, marks=pytest.mark.long) for name, scenario in LARGE_SCENARIOS.items()),
    ],
)
def test_every_idle_state_has_the_right_links(scenario: Scenario) -> None:
    explored = explore(Protocol(scenario), LIMIT)
    assert explored.violation is None
    assert explored.idle > 0


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_weaker_protocol_is_found(mutation: Mutation) -> None:
    assert explore(Protocol(SCENARIOS[SHOWN_BY[mutation]], mutation), LIMIT).violation is not None
