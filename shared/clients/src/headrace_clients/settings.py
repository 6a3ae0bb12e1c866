"""How to reach the servers that several services use."""

import re
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, BaseModel, Field, SecretStr

from headrace_worker.settings import CertificateFile, Url, with_certificates

HOST = r"(\[[^\]]*\]|[^:,/@?#]*)(:\d+)?"
DSN = re.compile(rf"postgres(ql)?://([^@/?#]*@)?{HOST}(,{HOST})*(/[^#]*|\?[^#]*)?")
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


class QdrantSettings(BaseModel):
    """How to reach Qdrant."""

    url: Url = Field("http://127.0.0.1:6333", description="URL of any node")
    api_key: SecretStr | None = Field(None, description="sent with every request")
    ca_file: CertificateFile | None = Field(
        None, description="PEM file of the authorities to trust for https, over REST and gRPC; default: public ones"
    )
    prefer_grpc: bool = Field(True, description="use gRPC and not REST; the development server has only REST")
    grpc_port: int = Field(6334, description="gRPC port of the node, with prefer_grpc")
    replication_factor: int = Field(
        1, ge=1, description="replicas of each collection; used when a collection is created"
    )
    timeout: int = Field(30, gt=0, description="longest wait for one request, seconds")


def _usable(dsn: SecretStr) -> SecretStr:
    """Raises ValueError without quoting the DSN: asyncpg's own errors quote a part of it, which may be the password."""
    text = dsn.get_secret_value()
    if not DSN.fullmatch(text):
        raise ValueError(
            "it is not of the form postgresql://user:password@host:port/database (percent-encode / ? # @ in a password)"
        )
    options = {name: values[-1] for name, values in parse_qs(urlsplit(text).query).items()}
    if options.get("sslmode", "prefer") not in SSL_MODES:
        raise ValueError(f"its sslmode is none of {', '.join(SSL_MODES)}")
    if "channel_binding" in options:
        raise ValueError("leave channel_binding out: asyncpg does not know it")
    if authority := options.get("sslrootcert"):
        try:
            with_certificates(authority)
        except ValueError as error:
            raise ValueError(f"its sslrootcert {error}") from None
    return dsn


class PostgresSettings(BaseModel):
    """How to reach PostgreSQL."""

    dsn: Annotated[SecretStr, AfterValidator(_usable)] = Field(
        SecretStr("postgresql://postgres@127.0.0.1:5432/postgres"),
        description="address, account and TLS, as postgresql://user:password@host/db?sslmode=verify-full"
        "&sslrootcert=FILE",
    )
    timeout: float = Field(30.0, gt=0, description="longest wait for one statement, seconds")
