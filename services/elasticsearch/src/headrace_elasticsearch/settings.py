"""What this worker reads from the environment."""

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field, SecretStr, model_validator

from headrace_worker.settings import BatchSettings, CertificateFile, Url, WorkerSettings

PORTS = {"https": 443, "http": 9200}


def _with_port(url: str) -> str:
    """The URL with a port: the client needs one, and Elastic Cloud shows URLs without."""
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError("it is not a URL that begins with https:// or http://")
    return url if parts.port else parts._replace(netloc=f"{parts.netloc.rstrip(':')}:{PORTS[parts.scheme]}").geturl()


class ElasticsearchSettings(BaseModel):
    """How to reach Elasticsearch."""

    url: Annotated[Url, AfterValidator(_with_port)] = Field(
        "http://127.0.0.1:9200", description="URL of any node; without a port: 443 for https, 9200 for http"
    )
    api_key: SecretStr | None = Field(None, description="sent with every request")
    username: str | None = Field(None, description="user, instead of an API key")
    password: SecretStr | None = Field(None, description="password of the user")
    ca_file: CertificateFile | None = Field(None, description="PEM file of the authority to trust for https")
    ca_fingerprint: str | None = Field(
        None, description="SHA-256 of the certificate of the authority to trust for https, instead of the file"
    )
    analyzer: str = Field("standard", description="analyzer of text fields; used when an index is created")
    timeout: float = Field(30.0, gt=0, description="longest wait for one request, seconds")

    @model_validator(mode="after")
    def _one_authority(self) -> Self:
        if self.ca_file and self.ca_fingerprint:
            raise ValueError("set the CA file or the CA fingerprint, not both")
        return self

    @model_validator(mode="after")
    def _one_account(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("set USERNAME and PASSWORD together")
        if self.api_key and self.username:
            raise ValueError("set the API key, or the user and the password, not both")
        return self


class ElasticsearchBatchSettings(BatchSettings):
    """A poll is large enough for every bulk request that the stage has in flight."""

    max_records: int = Field(4000, ge=1, description="most records of one poll")


class ElasticsearchWorkerSettings(WorkerSettings):
    """The settings of every worker, and how to reach Elasticsearch."""

    elasticsearch: ElasticsearchSettings = ElasticsearchSettings()
    batch: ElasticsearchBatchSettings = ElasticsearchBatchSettings()
