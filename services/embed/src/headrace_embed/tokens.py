"""Texts to token ids, without padding: the padding that a tokenizer.json asks for would take most of the time."""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from headrace_worker.model_catalogue import CatalogueModel


class TextTokenizer:
    """The model's tokenizer with special tokens, cut at the model's maximum."""

    def __init__(self, file: Path, model: CatalogueModel) -> None:
        self._tokenizer = Tokenizer.from_file(str(file))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(model.max_tokens)

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, 1 … max_tokens of them, in the order given."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]
