"""Settings come from the environment and show no secret, and a misspelt name causes a warning."""

import json
from importlib.metadata import entry_points
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, TypeAdapter, ValidationError

from headrace_clients.settings import PostgresSettings, QdrantSettings
from headrace_elasticsearch.settings import ElasticsearchSettings
from headrace_worker.settings import KafkaSettings, WorkerSettings, unknown_variables, variable_names
from headrace_worker.worker import SETTINGS_GROUP, known_variables

SECRET = "s3cr3t-value-of-some-length"
NESTED = [ElasticsearchSettings, KafkaSettings, PostgresSettings, QdrantSettings]
CLASSES = [WorkerSettings, *[entry_point.load() for entry_point in entry_points(group=SETTINGS_GROUP)]]
SECRETS = {"KAFKA__SASL_PASSWORD", "ELASTICSEARCH__API_KEY", "QDRANT__API_KEY", "POSTGRES__DSN", "CONSOLE__TOKEN"}


class PostgresHolder(WorkerSettings):
    postgres: PostgresSettings = PostgresSettings()


@pytest.fixture(autouse=True)
def _only_what_a_test_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in known_variables():
        monkeypatch.delenv(name, raising=False)


def secret_fields(settings: type[BaseModel], prefix: str = "") -> set[str]:
    """The names of every field that contains a secret, nested by `__`."""
    found = set()
    for name, field in settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= secret_fields(field.annotation, f"{prefix}{name.upper()}__")
        elif "SecretStr" in str(field.annotation):
            found.add(prefix + name.upper())
    return found


@pytest.mark.parametrize("settings", CLASSES, ids=lambda one: one.__name__)
def test_no_settings_show_a_secret(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in secret_fields(settings):
        monkeypatch.setenv(f"HEADRACE_{name}", SECRET)
    made = settings()
    dumped = TypeAdapter(dict[str, Any]).dump_json(made.model_dump())
    shown = [repr(made), str(made), f"{made}", made.model_dump_json(), str(made.model_dump()), dumped.decode()]
    assert not [text for text in shown if SECRET in text]


def test_every_secret_setting_has_a_secret_type() -> None:
    assert set().union(*map(secret_fields, CLASSES)) == SECRETS
    suspicious = {
        name
        for name in known_variables()
        if {"PASSWORD", "KEY", "DSN", "SECRET", "TOKEN"} & set(name.split("_")) and not name.endswith("_FILE")
    }
    assert suspicious == {f"HEADRACE_{name}" for name in SECRETS}


def test_a_secret_that_is_refused_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_POSTGRES", json.dumps([SECRET]))
    with pytest.raises(ValidationError) as raised:
        PostgresHolder()
    assert SECRET not in str(raised.value)


def test_code_can_read_a_secret_explicitly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_KAFKA__SASL_PASSWORD", SECRET)
    password = WorkerSettings().kafka.sasl_password
    assert isinstance(password, SecretStr)
    assert password.get_secret_value() == SECRET


@pytest.mark.parametrize("settings", [*CLASSES, *NESTED], ids=lambda one: one.__name__)
def test_every_setting_is_described(settings: type[BaseModel]) -> None:
    for name, field in settings.model_fields.items():
        nested = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        assert nested or field.description, name


def test_two_settings_share_no_state() -> None:
    changed, other = WorkerSettings(), WorkerSettings()
    changed.breaker.allow_rejects = True
    changed.batch.give_back_after = 1.0
    assert not other.breaker.allow_rejects
    assert not WorkerSettings().breaker.allow_rejects
    assert other.batch.give_back_after != 1.0


def test_variables_are_nested_by_two_underscores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_BATCH__MAX_RECORDS", "7")
    monkeypatch.setenv("HEADRACE_TOPIC_PREFIX", "blue.")
    settings = WorkerSettings()
    assert settings.batch.max_records == 7
    assert settings.topics.receipts == "blue.receipts"


@pytest.mark.parametrize("name", sorted(variable_names(WorkerSettings)))
def test_every_listed_variable_is_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "text-or-wrong")
    where = tuple(name.removeprefix("HEADRACE_").lower().split("__"))
    try:
        read: Any = WorkerSettings()
    except ValidationError as error:
        found = [problem["loc"] for problem in error.errors()]
    else:
        for step in where:
            read = getattr(read, step)
        found = [where] if "text-or-wrong" in (read, getattr(read, "_secret_value", None)) else []
    assert found == [where]


def test_the_names_of_the_contract_are_settings() -> None:
    names = {
        "KAFKA__BOOTSTRAP_SERVERS", "KAFKA__SECURITY_PROTOCOL", "KAFKA__SASL_USERNAME", "KAFKA__SSL_CA_FILE",
        "ELASTICSEARCH__URL", "ELASTICSEARCH__CA_FINGERPRINT", "QDRANT__URL", "QDRANT__PREFER_GRPC", "EMBEDDER",
        "TRITON__URL", "TRITON__MODEL", "MODEL", "TOPIC_PREFIX", "NULL_WITHOUT_VERSION",
    } | SECRETS  # fmt: skip
    assert {f"HEADRACE_{name}" for name in names} <= known_variables()


def test_a_misspelt_variable_is_named_with_the_nearest_one() -> None:
    known = list(variable_names(WorkerSettings))
    assert unknown_variables({"HEADRACE_KAFKA__BOOTSTRAP_SERVER": "x"}, known) == [
        "the environment variable HEADRACE_KAFKA__BOOTSTRAP_SERVER is not a setting; "
        "did you mean HEADRACE_KAFKA__BOOTSTRAP_SERVERS?"
    ]


def test_a_variable_unlike_every_setting_gets_no_hint_and_its_value_is_not_shown() -> None:
    (warning,) = unknown_variables({"HEADRACE_ZZZZZZ": SECRET}, ["HEADRACE_TOPIC_PREFIX"])
    assert "did you mean" not in warning
    assert SECRET not in warning


def test_known_and_foreign_variables_raise_no_warning() -> None:
    environment = dict.fromkeys([*variable_names(WorkerSettings), "PATH", "KAFKA__BOOTSTRAP_SERVER"], "x")
    assert unknown_variables(environment, variable_names(WorkerSettings)) == []


def test_a_removed_setting_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_PORT", "tcp://10.0.0.1:80")
    monkeypatch.setenv("HEADRACE_KAFKA__OLD", json.dumps(1))
    WorkerSettings()


def test_a_null_without_a_version_is_ignored_only_if_the_settings_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert WorkerSettings().null_without_version == "dead-letter"
    monkeypatch.setenv("HEADRACE_NULL_WITHOUT_VERSION", "ignore")
    assert WorkerSettings().null_without_version == "ignore"


@pytest.mark.parametrize("namespace", ["", "a", "shop_2", "a" + "_" * 20])
def test_a_namespace_is_in_every_name(namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_NAMESPACE", namespace)
    names = WorkerSettings().names
    start, schema = (f"{namespace}-", f"headrace_{namespace}") if namespace else ("", "headrace")
    assert names.public("products") == f"{start}products"
    assert names.of_model("products") == f"{start}products__minilm-l6-v2"
    assert names.schema == schema


@pytest.mark.parametrize("namespace", ["A", "1a", "_a", "a-b", "a.b", "a b", "ä", "a" * 22, "a\n", 'a"; DROP', " a"])
def test_a_wrong_namespace_is_an_error_with_the_value_and_the_rule(
    namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_NAMESPACE", namespace)
    with pytest.raises(ValidationError) as raised:
        WorkerSettings()
    (problem,) = raised.value.errors()
    assert problem["loc"] == ("namespace",)
    assert repr(namespace) in problem["msg"]
    assert "a letter from a to z, and has at most 20 more" in problem["msg"]
