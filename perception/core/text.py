"""Text: bytes from outside decoded, tables for people."""

import codecs
from collections.abc import Sequence


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


def text_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as aligned lines: the first column to the left, the others right.

    Nothing is wrapped or cut, so that figures stay whole in a narrow terminal and in a file.

    Args:
        rows: All as long as the first, which may be the headers.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([first.ljust(widths[0]), *map(str.rjust, cells, widths[1:])])
        for first, *cells in rows
    ]
