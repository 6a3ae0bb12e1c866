"""How the servers are reached that several services use."""

from pydantic import BaseModel, Field, SecretStr

from headrace_worker.settings import Url


class QdrantSettings(BaseModel):
    """How to reach Qdrant."""

    url: Url = Field("http://127.0.0.1:6333", description="of any node")
    api_key: SecretStr | None = Field(None, description="sent with every request")
    prefer_grpc: bool = Field(True, description="the development server speaks REST only")
    grpc_port: int = Field(6334, description="used with prefer_grpc")
    replication_factor: int = Field(1, ge=1, description="of collections, when they are created")
    timeout: int = Field(30, gt=0, description="of one request, seconds")


class PostgresSettings(BaseModel):
    """How to reach PostgreSQL."""

    dsn: SecretStr = Field(
        SecretStr("postgresql://postgres@127.0.0.1:5432/postgres"), description="postgresql://user:password@host/db"
    )
    timeout: float = Field(30.0, gt=0, description="of one statement, seconds")
