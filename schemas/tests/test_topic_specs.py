"""The topics, their cleanup policies and the largest records that they accept."""

from headrace_schemas.topics import Topics, TopicSpec, topic_specs

DAY_MS = 86_400_000
SPECS = {spec.name: spec for spec in topic_specs(Topics(), "minilm-l6-v2", ["embed", "qdrant"], 1_000_000)}


def test_every_topic_of_the_contract_is_declared_once() -> None:
    names = [spec.name for spec in topic_specs(Topics("x."), "m1", ["qdrant"], 1_000_000)]
    assert sorted(names) == [
        "x.dead.qdrant",
        "x.keywords",
        "x.keywords.embedded.m1",
        "x.pauses",
        "x.product-links",
        "x.products",
        "x.products.embedded.m1",
        "x.receipts",
        "x.relink",
        "x.relink-bulk",
        "x.replay.qdrant",
    ]


def test_only_the_source_topics_and_the_pauses_are_compacted() -> None:
    compacted = {name for name, spec in SPECS.items() if spec.cleanup == "compact"}
    assert compacted == {"headrace.products", "headrace.keywords", "headrace.pauses"}
    assert {SPECS[name].config()["cleanup.policy"] for name in compacted} == {"compact"}


def test_compaction_waits_14_days_and_keeps_deletes_for_30_days() -> None:
    config = SPECS["headrace.products"].config()
    assert config["min.compaction.lag.ms"] == str(14 * DAY_MS)
    assert config["delete.retention.ms"] == str(30 * DAY_MS)
    assert config["message.timestamp.type"] == "LogAppendTime"
    assert "retention.ms" not in config


def test_derived_topics_expire_after_two_weeks() -> None:
    derived = [spec.config() for spec in SPECS.values() if spec.cleanup == "delete"]
    assert {config["retention.ms"] for config in derived} == {str(14 * DAY_MS)}
    assert {config["cleanup.policy"] for config in derived} == {"delete"}


def test_derived_topics_accept_twice_the_size_of_a_source_record_and_the_framing() -> None:
    sizes = {name: spec.config()["max.message.bytes"] for name, spec in SPECS.items()}
    assert sizes.pop("headrace.pauses") == sizes.pop("headrace.products") == sizes.pop("headrace.keywords") == "1000000"
    assert set(sizes.values()) == {str(2_000_000 + 65_536)}


def test_two_models_share_no_embedded_topic() -> None:
    assert Topics().embedded("product", "m1") != Topics().embedded("product", "m2")


def test_two_installations_share_no_topic() -> None:
    def names(prefix: str) -> set[str]:
        return {spec.name for spec in topic_specs(Topics(prefix), "m1", ["embed"], 1)}

    assert not names("blue.") & names("green.")


def test_a_spec_becomes_the_settings_of_a_kafka_topic() -> None:
    assert TopicSpec("t", "delete", 5).config() == {
        "cleanup.policy": "delete",
        "max.message.bytes": "5",
        "retention.ms": str(14 * DAY_MS),
    }
