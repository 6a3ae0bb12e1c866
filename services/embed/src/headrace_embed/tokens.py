"""Texts to token ids, without padding: the padding that a tokenizer.json asks for would take most of the time."""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from headrace_worker.model_catalogue import CatalogueModel

CHARACTERS_PER_TOKEN = 64
"""A text is cut at the model's maximum of tokens times this many characters before it is tokenised, because a tokenizer
reads the whole text before it cuts it, which takes long for a text of many megabytes. Words have 1 to 10 characters
for each token, so the cut changes no token, except where words of hundreds of characters have one token each.
"""


class TextTokenizer:
    """The model's tokenizer with special tokens, cut at the model's maximum."""

    def __init__(self, file: Path, model: CatalogueModel) -> None:
        self._tokenizer = Tokenizer.from_file(str(file))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(model.max_tokens)
        self._longest = model.max_tokens * CHARACTERS_PER_TOKEN

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, 1 … max_tokens of them, in the order given."""
        return [
            encoding.ids for encoding in self._tokenizer.encode_batch_fast([text[: self._longest] for text in texts])
        ]
