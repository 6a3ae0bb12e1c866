"""The tokenizer adds no padding, and cuts a text at the maximum of the model."""

import json
import time

import pytest
from tokenizers import Tokenizer

from headrace_embed.model_files import TOKENIZER, ModelFiles
from headrace_embed.tokens import TextTokenizer


@pytest.fixture
def tokenizer(files: ModelFiles) -> TextTokenizer:
    return TextTokenizer(files)


def test_the_padding_of_the_tokenizer_file_is_not_used(files: ModelFiles, tokenizer: TextTokenizer) -> None:
    shipped = json.loads((files.folder / TOKENIZER).read_text(encoding="utf-8"))
    assert shipped["padding"]["strategy"] == {"Fixed": 128}
    assert [len(ids) for ids in tokenizer.token_ids(["", "red bag"])] == [2, 4]


@pytest.mark.parametrize(
    "words",
    [
        "word ",
        "Wasserflaschenverschlusskappe, ",
        "보온병 ",
        "ステンレスボトル",
        "1234567890 ",
        "a-b/c.d ",
        "🍼",
        "antidisestablishment",
    ],
)
def test_the_cut_of_a_long_text_changes_no_token(files: ModelFiles, tokenizer: TextTokenizer, words: str) -> None:
    uncut = Tokenizer.from_file(str(files.folder / TOKENIZER))
    uncut.no_padding()
    uncut.enable_truncation(files.model.max_tokens)
    for length in (100, 20_000, 200_000):
        text = (words * (length // len(words) + 1))[:length]
        assert tokenizer.token_ids([text]) == [uncut.encode(text).ids]


def test_a_text_of_20_mb_takes_no_longer_than_one_of_its_first_characters(tokenizer: TextTokenizer) -> None:
    began = time.perf_counter()
    assert len(tokenizer.token_ids(["<div class='row'><span>spec</span></div> " * 500_000])[0]) == 256
    assert time.perf_counter() - began < 1


def test_a_long_text_is_cut_at_the_models_maximum_and_not_at_that_of_the_file(tokenizer: TextTokenizer) -> None:
    assert len(tokenizer.token_ids(["word " * 600])[0]) == 256
