"""The settings of the link worker."""

from pydantic import BaseModel, Field

from headrace_clients.settings import QdrantSettings
from headrace_worker.settings import BatchSettings, VectorStoreSettings


class LinkBatchSettings(BatchSettings):
    """The default batch is small: the vectors and link sets of its products must fit into memory."""

    max_records: int = Field(512, ge=1, description="records of one poll")


class LinkOptions(BaseModel):
    """Which keywords a product is linked to, and when all products are linked again instead of some.

    After a change of `LINK__K` or `LINK__MIN_SCORE` run `headrace relink --all`.
    """

    k: int = Field(30, ge=1, le=1000, description="most keywords of a product")
    min_score: float = Field(-1.0, ge=-1, le=1, description="least cosine of a link; -1: any")
    sweep_threshold: int | None = Field(
        None,
        ge=1,
        description="products that keyword changes of 10 s may concern, above which all are linked again; "
        "default: half of the products",
    )
    sweep_keywords: int = Field(
        2000, ge=1, description="keyword changes of one poll, above which all products are linked again"
    )
    sweep_wait: float = Field(
        30.0, ge=0, le=45, description="longest wait of a sweep for keywords that are still on their way, seconds"
    )
    receipts: int = Field(8, ge=1, description="batches of receipts in one poll")


class LinkSettings(VectorStoreSettings):
    """The settings of a worker, of Qdrant and of the links."""

    qdrant: QdrantSettings = QdrantSettings()
    batch: LinkBatchSettings = LinkBatchSettings()
    link: LinkOptions = LinkOptions()
