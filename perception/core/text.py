"""Bytes of text files from outside, decoded."""

import codecs


def text_of(data: bytes) -> str:
    """Decode text as editors and Windows write it: UTF-8, or UTF-16 with a byte order mark.

    Raises:
        UnicodeError: for anything else, NUL bytes included: UTF-16 without a mark.
    """
    utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = data.decode("utf-16" if utf_16 else "utf-8-sig")
    if "\0" in text:
        raise UnicodeError("holds NUL bytes")
    return text
