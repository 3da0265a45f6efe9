"""A tokenizer whose tokens are bytes: token b is byte b, and one more token ends texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

#: Tokens: the 256 bytes, and the end of a text.
VOCABULARY = 257
END_OF_TEXT = 256
END_OF_TEXT_NAME = "<|endoftext|>"


def byte_tokenizer(context: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer of bytes that `transformers.AutoTokenizer` can load once it is saved.

    Texts are encoded as UTF-8 and nothing is added; bytes that are no UTF-8 are decoded as U+FFFD. The end of
    a text also serves as beginning and as padding.

    Parameters
    ----------
    context
        Longest sequence of the models, in tokens.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {character: byte for byte, character in enumerate(byte_characters())}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    # In one piece: without merges there is nothing that a word could keep together.
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
        bos_token=END_OF_TEXT_NAME,
        eos_token=END_OF_TEXT_NAME,
        pad_token=END_OF_TEXT_NAME,
    )


def byte_characters() -> list[str]:
    """Return the printable character by which byte-level tokenizers spell each byte.

    Printable bytes of Latin-1 are spelled by themselves, the others by the characters from U+0100 on, in
    order; this is the alphabet of `tokenizers.pre_tokenizers.ByteLevel`.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    characters, others = [], 0
    for byte in range(256):
        characters.append(chr(byte if byte in printable else 256 + others))
        others += byte not in printable
    return characters
