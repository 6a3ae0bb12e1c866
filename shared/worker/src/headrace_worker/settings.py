"""Settings from the environment: prefix `HEADRACE_`, nested by `__`, secrets kept out of every repr."""

import difflib
import ssl
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from headrace_schemas.topics import DEFAULT_PREFIX, Topics
from headrace_worker.model_catalogue import catalogue_model
from headrace_worker.secret_files import SUFFIX, SecretFiles, secret_paths
from headrace_worker.store_names import StoreNames, checked_namespace

ENV_PREFIX = "HEADRACE_"


def _without_credentials(url: str) -> str:
    if "@" in urlsplit(url).netloc:
        raise ValueError("a URL appears in logs and errors: put the credentials into their own settings")
    return url


Url = Annotated[str, AfterValidator(_without_credentials)]


def with_certificates(path: str) -> str:
    """The path. Raises ValueError unless the file has certificates."""
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        raise ValueError(f"{path}: is not a PEM file of certificates") from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    return path


CertificateFile = Annotated[str, AfterValidator(with_certificates)]
"""The path of a PEM file with certificates."""


def load_client_certificate(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    """Raises ValueError if the files cannot be read. OpenSSL would ask the terminal for the password of a key."""
    try:
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError:
        raise ValueError(
            f"{certificate} and {key or 'the key in it'} are not a certificate in PEM and its key without a password"
        ) from None
    except OSError as error:
        raise ValueError(f"{certificate} or {key}: {error.strerror}") from None


class KafkaSettings(BaseModel):
    """How to reach the brokers."""

    bootstrap_servers: str = Field(
        "127.0.0.1:9092", description="host:port of one or more brokers, separated by commas"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="security protocol, named as in Kafka's own clients"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism, with SASL_PLAINTEXT or SASL_SSL"
    )
    sasl_username: str | None = Field(
        None, description="user, with SASL_PLAINTEXT or SASL_SSL; the client id, with SASL_TOKEN_URL"
    )
    sasl_password: SecretStr | None = Field(
        None, description="password, with SASL_PLAINTEXT or SASL_SSL; the client secret, with SASL_TOKEN_URL"
    )
    sasl_token_url: Url | None = Field(
        None, description="URL where an OAuth 2 server gives tokens for the client id and secret, with OAUTHBEARER"
    )
    sasl_token_scope: str | None = Field(None, description="scope to ask of SASL_TOKEN_URL; default: the server's")
    sasl_token_file: str | None = Field(
        None, description="file with the token, instead of SASL_TOKEN_URL; read again for each connection"
    )
    sasl_token_extensions: str = Field(
        "", description="SASL extensions to send with the token: name=value, separated by commas"
    )
    ssl_ca_file: CertificateFile | None = Field(
        None, description="PEM file of the authorities to trust; default: the system's"
    )
    ssl_cert_file: CertificateFile | None = Field(None, description="PEM file of the client's certificate")
    ssl_key_file: str | None = Field(None, description="PEM file of the client's key")
    session_timeout: float = Field(
        45.0, ge=6, description="seconds without a heartbeat until a consumer's partitions go to another"
    )
    partitions: int = Field(6, ge=1, description="partitions of each topic; do not change it once a topic is in use")
    replication_factor: int = Field(1, ge=1, description="replicas of each topic; 3 in production")
    min_insync_replicas: int = Field(1, ge=1, description="min.insync.replicas of each topic; 2 in production")
    max_record_bytes: int = Field(
        1_048_576,
        ge=1024,
        description="largest value of a source record, unpacked, bytes; records of derived topics have twice as much",
    )

    @model_validator(mode="after")
    def _signs_in(self) -> Self:
        if not self.security_protocol.startswith("SASL"):
            return self
        user = self.sasl_username is not None and self.sasl_password is not None
        if self.sasl_mechanism == "OAUTHBEARER":
            if (self.sasl_token_url is None) == (self.sasl_token_file is None):
                raise ValueError("OAUTHBEARER needs SASL_TOKEN_URL or SASL_TOKEN_FILE, and not both")
            if self.sasl_token_url and not user:
                raise ValueError("SASL_TOKEN_URL needs SASL_USERNAME and SASL_PASSWORD: the client id and its secret")
        elif not user:
            raise ValueError(f"{self.security_protocol} needs SASL_USERNAME and SASL_PASSWORD")
        return self

    @model_validator(mode="after")
    def _client_certificate_can_be_read(self) -> Self:
        if self.ssl_cert_file:
            load_client_certificate(ssl.create_default_context(), self.ssl_cert_file, self.ssl_key_file)
        return self


class HttpSettings(BaseModel):
    """Where a worker answers /healthz, /readyz and /metrics."""

    host: str = Field("127.0.0.1", description="address to listen on; in a container 0.0.0.0")
    port: int = Field(0, ge=0, le=65535, description="port; 0: any free port, which the log names")
    supervisor_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="port on 127.0.0.1 where `headrace work`, with several workers, answers /metrics about them",
    )


class TelemetrySettings(BaseModel):
    """Where traces are sent, which changes are always in them, and what the metrics say about the code."""

    otlp_endpoint: Url | None = Field(
        None, description="OTLP endpoint, for example http://127.0.0.1:4318, or http://127.0.0.1:4317 with grpc"
    )
    otlp_protocol: Literal["http/protobuf", "grpc"] = Field("http/protobuf", description="protocol of the endpoint")
    slow_after: float = Field(
        30.0,
        gt=0,
        description="seconds from the publication of a change until it is settled, above which its spans are exported "
        "although its trace is not sampled",
    )
    revision: str | None = Field(
        None, max_length=64, description="revision of the code, such as a commit; the metric headrace_build_info has it"
    )


class BatchSettings(BaseModel):
    """How many records a worker reads at once, and how long it retries before a batch goes back to Kafka."""

    max_records: int = Field(4000, ge=1, description="most records of one poll")
    max_bytes: int = Field(
        32 * 2**20,
        ge=2**20,
        description="most bytes of the values of one poll, unpacked; a value larger than half of this may exceed it",
    )
    wait_ms: int = Field(200, ge=0, description="longest wait for the first record of a poll, milliseconds")
    give_back_after: float = Field(
        60.0, gt=0, description="seconds of retries before a batch goes back to Kafka; far below max.poll.interval"
    )
    backoff_max: float = Field(30.0, gt=0, description="longest pause between two attempts, seconds")
    poison_tries: int = Field(
        5,
        ge=2,
        description="tries of one change alone that fail, on a healthy store, before it is a dead letter",
    )


class BreakerSettings(BaseModel):
    """When a topic is held instead of making dead letters of the whole catalogue."""

    window: int = Field(
        200, ge=1, description="latest live changes of a topic that count; the breaker never opens on fewer"
    )
    share: float = Field(
        0.5, gt=0, le=1, description="share of them, rejected for one fingerprint, above which the breaker opens"
    )
    allow_rejects: bool = Field(
        False, description="write dead letters and never open the breaker; as headrace work NAME --allow-rejects"
    )


class CommonSettings(BaseSettings):
    """The settings of every part of the product."""

    # A refused value may be a mistyped secret: no error shows it.
    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="ignore", hide_input_in_errors=True
    )

    kafka: KafkaSettings = KafkaSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    topic_prefix: str = Field(DEFAULT_PREFIX, description="prefix of each topic and consumer group")
    namespace: Annotated[str, AfterValidator(checked_namespace)] = Field(
        "",
        description="start of the names in every store, for installations that share servers: "
        "a lower-case letter, then at most 20 of a-z, 0-9 and _",
    )
    model: str = Field(
        "minilm-l6-v2", pattern=r"^[a-z0-9][a-z0-9.-]*$", description="id of the model in the model catalogue"
    )
    groups_by_model: bool = Field(
        False, description="name the consumer groups of every worker by model: for the workers of a second model"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The arguments, the environment, and the files that it names for secrets."""
        return init_settings, env_settings, SecretFiles(settings_cls)

    @property
    def topics(self) -> Topics:
        """The names of the topics, with this prefix and model."""
        return Topics(self.topic_prefix, self.model)

    @property
    def names(self) -> StoreNames:
        """The names in the stores, with this namespace and model."""
        return StoreNames(self.namespace, self.model)


class ProcessSettings(CommonSettings):
    """The settings of every process that `headrace work` runs."""

    http: HttpSettings = HttpSettings()
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe level to log")


class WorkerSettings(ProcessSettings):
    """The settings of every worker. A worker's own class adds those of its store."""

    batch: BatchSettings = BatchSettings()
    breaker: BreakerSettings = BreakerSettings()
    null_without_version: Literal["dead-letter", "ignore"] = Field(
        "dead-letter",
        description="what becomes of a null record without a headrace-version header, as Debezium sends after a delete",
    )


class VectorStoreSettings(WorkerSettings):
    """The settings of a worker that stores vectors."""

    dimension: int | None = Field(
        None, ge=1, le=65_536, description="dimension of the model's vectors; default: as in the model catalogue"
    )

    @property
    def vector_size(self) -> int:
        """The number of dimensions. Raises UnknownModel if neither the settings nor the catalogue have it."""
        return self.dimension or catalogue_model(self.model).dimension


def variable_names(settings: type[BaseModel], prefix: str = ENV_PREFIX) -> Iterator[str]:
    """Every environment variable that a settings class reads."""
    for name, described in settings.model_fields.items():
        nested = described.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            yield from variable_names(nested, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}"


def secret_file_names(settings: type[BaseModel]) -> Iterator[str]:
    """The variables that name a file with a secret of a settings class."""
    return (f"{ENV_PREFIX}{'__'.join(path).upper()}{SUFFIX}" for path in secret_paths(settings))


def unknown_variables(environ: Mapping[str, str], known: Iterable[str]) -> list[str]:
    """One warning for each `HEADRACE_` variable that is no setting, with the nearest name that is one.

    A warning, not an error: Kubernetes sets such variables for a service called headrace.
    """
    names = sorted(set(known))
    warnings = []
    for name in sorted(set(environ) - set(names)):
        if name.startswith(ENV_PREFIX):
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
            hint = f"; did you mean {near[0]}?" if near else ""
            warnings.append(f"the environment variable {name} is not a setting{hint}")
    return warnings
