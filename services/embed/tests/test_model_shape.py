"""A model that the graph builder would compute wrongly is refused, and the error names the unsupported value."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from headrace_embed.model_shape import UnsupportedModel, read_shape
from headrace_worker.model_catalogue import CatalogueModel, UnknownModel, catalogue_model

MODEL = CatalogueModel(id="test", dimension=8, max_tokens=16, pooling="mean")
CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 16,
    "pad_token_id": 0,
}
MODULES = [
    {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"idx": 2, "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
]


def folder(tmp_path: Path, config: Any = (), modules: Any = None, pooling: Any = None) -> Path:
    shutil.rmtree(tmp_path / "model", ignore_errors=True)
    (tmp_path / "model" / "1_Pooling").mkdir(parents=True)
    path = tmp_path / "model"
    (path / "config.json").write_text(json.dumps(CONFIG | dict(config)))
    (path / "modules.json").write_text(json.dumps(MODULES if modules is None else modules))
    (path / "1_Pooling" / "config.json").write_text(json.dumps(pooling or {"pooling_mode_mean_tokens": True}))
    return path


def test_a_bert_with_mean_pooling_is_read(tmp_path: Path) -> None:
    shape = read_shape(folder(tmp_path), MODEL)
    assert (shape.hidden_size, shape.layers, shape.heads, shape.skipped_positions) == (8, 1, 2, 0)


def test_xlm_roberta_counts_positions_from_after_the_padding_id(tmp_path: Path) -> None:
    config = {"model_type": "xlm-roberta", "pad_token_id": 1, "max_position_embeddings": 18}
    assert read_shape(folder(tmp_path, config), MODEL).skipped_positions == 2


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"model_type": "distilbert"}, "model_type 'distilbert'"),
        ({"hidden_act": "gelu_new"}, "activation 'gelu_new'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type 'relative_key'"),
        ({"is_decoder": True}, "is_decoder"),
        ({"hidden_size": 16}, "hidden_size 16, not 8"),
        ({"max_position_embeddings": 15}, "15 positions for max_tokens 16"),
        ({"model_type": "xlm-roberta", "pad_token_id": 1}, "14 positions"),
    ],
)
def test_another_architecture_is_refused(tmp_path: Path, config: dict[str, Any], name: str) -> None:
    with pytest.raises(UnsupportedModel, match=name):
        read_shape(folder(tmp_path, config), MODEL)


def test_another_module_is_refused(tmp_path: Path) -> None:
    dense = {"idx": 2, "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    with pytest.raises(UnsupportedModel, match="module Dense"):
        read_shape(folder(tmp_path, modules=[*MODULES[:2], dense]), MODEL)


@pytest.mark.parametrize(
    "pooling",
    [
        {"pooling_mode_max_tokens": True},
        {"pooling_mode_cls_token": True},
        {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True},
        {"pooling_mode": "lasttoken"},
        {"pooling_mode_mean_tokens": False},
    ],
)
def test_another_pooling_is_refused(tmp_path: Path, pooling: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedModel, match="pooling"):
        read_shape(folder(tmp_path, pooling=pooling), MODEL)


def test_an_unknown_id_is_refused_with_the_known_ids() -> None:
    with pytest.raises(UnknownModel, match="minilm-l6-v2"):
        catalogue_model("minilm")
