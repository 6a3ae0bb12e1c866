"""The tokenizer adds no padding, and cuts a text at the maximum of the model."""

import json

import pytest

from headrace_embed.model_files import TOKENIZER, ModelFiles
from headrace_embed.tokens import TextTokenizer


@pytest.fixture
def tokenizer(files: ModelFiles) -> TextTokenizer:
    return TextTokenizer(files.folder / TOKENIZER, files.model)


def test_the_padding_of_the_tokenizer_file_is_not_used(files: ModelFiles, tokenizer: TextTokenizer) -> None:
    shipped = json.loads((files.folder / TOKENIZER).read_text(encoding="utf-8"))
    assert shipped["padding"]["strategy"] == {"Fixed": 128}
    assert [len(ids) for ids in tokenizer.token_ids(["", "red bag"])] == [2, 4]


def test_a_long_text_is_cut_at_the_models_maximum_and_not_at_that_of_the_file(tokenizer: TextTokenizer) -> None:
    assert len(tokenizer.token_ids(["word " * 600])[0]) == 256
