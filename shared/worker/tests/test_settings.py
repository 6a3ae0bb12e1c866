"""Settings come from the environment and show no secret, and a misspelt name causes a warning."""

import json
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, TypeAdapter, ValidationError
from pydantic_settings import SettingsError

from headrace_clients.settings import PostgresSettings, QdrantSettings
from headrace_elasticsearch.settings import ElasticsearchSettings
from headrace_worker.settings import KafkaSettings, WorkerSettings, unknown_variables, variable_names
from headrace_worker.worker import SETTINGS_GROUP, known_variables

SECRET = "s3cr3t-value-of-some-length"
NESTED = [ElasticsearchSettings, KafkaSettings, PostgresSettings, QdrantSettings]
CLASSES = [WorkerSettings, *[entry_point.load() for entry_point in entry_points(group=SETTINGS_GROUP)]]
SECRETS = {
    "KAFKA__SASL_PASSWORD", "ELASTICSEARCH__API_KEY", "ELASTICSEARCH__PASSWORD", "QDRANT__API_KEY", "POSTGRES__DSN",
    "CONSOLE__TOKEN",
}  # fmt: skip
VALUES = {"POSTGRES__DSN": f"postgresql://user:{SECRET}@db.example/headrace"}
BESIDE = {"ELASTICSEARCH__PASSWORD": {"HEADRACE_ELASTICSEARCH__USERNAME": "user"}}
"""What must be set beside a secret."""


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
        with monkeypatch.context() as environment:
            for variable, value in {**BESIDE.get(name, {}), f"HEADRACE_{name}": VALUES.get(name, SECRET)}.items():
                environment.setenv(variable, value)
            made = settings()
        dumped = TypeAdapter(dict[str, Any]).dump_json(made.model_dump())
        shown = [repr(made), str(made), f"{made}", made.model_dump_json(), str(made.model_dump()), dumped.decode()]
        assert not [text for text in shown if SECRET in text]


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_every_secret_can_come_from_a_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    value = VALUES.get(name, SECRET)
    file = tmp_path / "secret"
    file.write_text(f"{value}\n")
    for variable, beside in BESIDE.get(name, {}).items():
        monkeypatch.setenv(variable, beside)
    monkeypatch.setenv(f"HEADRACE_{name}_FILE", str(file))
    readers = [settings for settings in CLASSES if name in secret_fields(settings)]
    assert readers
    assert f"HEADRACE_{name}_FILE" in known_variables()
    for settings in readers:
        read: Any = settings()
        for step in name.lower().split("__"):
            read = getattr(read, step)
        assert read.get_secret_value() == value


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file or directory"),
        (b"", "is empty"),
        (b"\r\n", "is empty"),
        (b"\xff\xfe", "is not UTF-8"),
    ],
)
def test_a_file_without_a_secret_is_named(
    content: bytes | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("HEADRACE_KAFKA__SASL_PASSWORD_FILE", str(file))
    with pytest.raises(SettingsError, match=f"HEADRACE_KAFKA__SASL_PASSWORD_FILE: {file}: {words}"):
        WorkerSettings()


def test_a_secret_and_a_file_for_it_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text(SECRET)
    monkeypatch.setenv("HEADRACE_KAFKA__SASL_PASSWORD_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("HEADRACE_KAFKA__SASL_PASSWORD", SECRET)
    with pytest.raises(SettingsError, match="are both set") as raised:
        WorkerSettings()
    assert SECRET not in str(raised.value)


def test_a_file_for_a_setting_that_is_no_secret_is_unknown() -> None:
    assert "HEADRACE_KAFKA__SASL_USERNAME_FILE" not in known_variables()


def kafka_with(**values: Any) -> KafkaSettings:
    return KafkaSettings.model_validate({"security_protocol": "SASL_SSL", **values})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "SASL_SSL needs SASL_USERNAME and SASL_PASSWORD"),
        ({"sasl_mechanism": "PLAIN", "sasl_username": "u"}, "needs SASL_USERNAME and SASL_PASSWORD"),
        ({"sasl_mechanism": "OAUTHBEARER"}, "needs SASL_TOKEN_URL or SASL_TOKEN_FILE"),
        ({"sasl_mechanism": "OAUTHBEARER", "sasl_token_url": "https://a/t"}, "the client id and its secret"),
        ({"sasl_token_url": "https://user:pw@a/t"}, "put the credentials into their own settings"),
        ({"security_protocol": "SSL", "ssl_ca_file": "/nowhere/ca.pem"}, "/nowhere/ca.pem: No such file"),
        ({"security_protocol": "SSL", "ssl_ca_file": __file__}, "is not a PEM file of certificates"),
        ({"security_protocol": "SSL", "ssl_cert_file": __file__}, "is not a PEM file of certificates"),
    ],
)
def test_a_connection_to_kafka_that_cannot_be_made_is_refused_at_the_start(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        kafka_with(**values)


def test_every_secret_setting_has_a_secret_type() -> None:
    assert set().union(*map(secret_fields, CLASSES)) == SECRETS
    suspicious = {name for name in known_variables() if name.endswith(("PASSWORD", "KEY", "DSN", "SECRET", "TOKEN"))}
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


@pytest.mark.parametrize(
    "namespace",
    ["A", "1a", "_a", "a-b", "a.b", "a b", "ä", "a" * 22, "a\n", 'a"; DROP', " a", "a__old", "shop__rebuild"],
)
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
