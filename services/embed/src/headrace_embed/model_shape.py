"""The shape of an encoder, read from the model's folder. A model that the graph builder cannot build is refused."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace_worker.model_catalogue import CatalogueModel

SUPPORTED_TYPES = ("bert", "xlm-roberta")
SUPPORTED_MODULES = ("Transformer", "Pooling", "Normalize")


class UnsupportedModel(ValueError):
    """The model needs something that the graph builder would compute wrongly."""


@dataclass(frozen=True)
class EncoderShape:
    """The numbers of config.json that the graph is built from."""

    hidden_size: int
    layers: int
    heads: int
    layer_norm_epsilon: float
    pad_token_id: int
    skipped_positions: int
    """Position rows before the one of the first token: XLM-RoBERTa counts from pad_token_id + 1."""


def read_shape(folder: Path, model: CatalogueModel) -> EncoderShape:
    """Reads config.json, modules.json and the pooling's configuration. Raises UnsupportedModel with the reason."""
    config = _read_json(folder / "config.json")
    _refuse(config.get("model_type") not in SUPPORTED_TYPES, f"model_type {config.get('model_type')!r}")
    _refuse(config.get("hidden_act") != "gelu", f"activation {config.get('hidden_act')!r}")
    position_type = config.get("position_embedding_type", "absolute")
    _refuse(position_type != "absolute", f"position_embedding_type {position_type!r}")
    _refuse(bool(config.get("is_decoder")), "is_decoder true")
    _refuse(config["hidden_size"] != model.dimension, f"hidden_size {config['hidden_size']}, not {model.dimension}")
    _check_modules(folder, model)
    pad_token_id = int(config.get("pad_token_id", 0))
    skipped = pad_token_id + 1 if config["model_type"] == "xlm-roberta" else 0
    positions = int(config["max_position_embeddings"]) - skipped
    _refuse(positions < model.max_tokens, f"{positions} positions for max_tokens {model.max_tokens}")
    return EncoderShape(
        hidden_size=int(config["hidden_size"]),
        layers=int(config["num_hidden_layers"]),
        heads=int(config["num_attention_heads"]),
        layer_norm_epsilon=float(config["layer_norm_eps"]),
        pad_token_id=pad_token_id,
        skipped_positions=skipped,
    )


def _check_modules(folder: Path, model: CatalogueModel) -> None:
    """A folder without modules.json has only an encoder, and the catalogue has the pooling."""
    if not (folder / "modules.json").exists():
        return
    for module in _read_json(folder / "modules.json"):
        name = str(module["type"]).rsplit(".", 1)[-1]
        _refuse(name not in SUPPORTED_MODULES, f"module {name}")
        if name == "Pooling":
            _check_pooling(_read_json(folder / str(module["path"]) / "config.json"), model)


def _check_pooling(config: dict[str, Any], model: CatalogueModel) -> None:
    flags = {
        "pooling_mode_mean_tokens": "mean",
        "pooling_mode_cls_token": "cls",
    }
    used = {flags.get(name, name) for name, on in config.items() if name.startswith("pooling_mode_") and on is True}
    if isinstance(config.get("pooling_mode"), str):
        used.add(config["pooling_mode"])
    _refuse(used != {model.pooling}, f"pooling {'+'.join(sorted(used)) or 'none'}, the catalogue has {model.pooling}")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UnsupportedModel(f"{path.parent} has no {path.name}") from None


def _refuse(wrong: bool, what: str) -> None:
    if wrong:
        raise UnsupportedModel(f"the model is not supported: {what}")
