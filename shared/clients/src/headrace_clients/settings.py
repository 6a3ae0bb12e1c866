"""How to reach the servers that several services use."""

from pydantic import BaseModel, Field, SecretStr

from headrace_worker.settings import Url


class QdrantSettings(BaseModel):
    """How to reach Qdrant."""

    url: Url = Field("http://127.0.0.1:6333", description="URL of any node")
    api_key: SecretStr | None = Field(None, description="sent with every request")
    prefer_grpc: bool = Field(True, description="use gRPC and not REST; the development server has only REST")
    grpc_port: int = Field(6334, description="gRPC port of the node, with prefer_grpc")
    replication_factor: int = Field(
        1, ge=1, description="replicas of each collection; used when a collection is created"
    )
    timeout: int = Field(30, gt=0, description="longest wait for one request, seconds")


class PostgresSettings(BaseModel):
    """How to reach PostgreSQL."""

    dsn: SecretStr = Field(
        SecretStr("postgresql://postgres@127.0.0.1:5432/postgres"),
        description="address and account, as postgresql://user:password@host/db",
    )
    timeout: float = Field(30.0, gt=0, description="longest wait for one statement, seconds")
