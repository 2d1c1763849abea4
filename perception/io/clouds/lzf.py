"""LZF, by which PCD files are compressed: copies of what came before, and bytes as they are.

Source: Marc Lehmann's LibLZF, lzf_d.c. Packages for it come without wheels.
"""


def decompress(data: bytes, size_bytes: int) -> bytes:
    """Return the first bytes of what `data` holds; at most `size_bytes`, at least if there are.

    Raises:
        ValueError: for data that points before its beginning or behind its end.
    """
    out = bytearray()
    at, end = 0, len(data)
    try:
        while at < end and len(out) < size_bytes:
            control = data[at]
            if control < 32:  # so many bytes and one, as they are
                out += data[at + 1 : at + 2 + control]
                at += 2 + control
                continue
            length = control >> 5
            at += 1
            if length == 7:
                length += data[at]
                at += 1
            start = len(out) - ((control & 31) << 8) - data[at] - 1
            at, length = at + 1, length + 2
            if start < 0:
                raise ValueError("points before its beginning")
            copied = out[start : start + length]
            if len(copied) < length:  # it runs into what it writes: a pattern
                copied = (copied * (length // len(copied) + 1))[:length]
            out += copied
    except IndexError:
        raise ValueError("ends early") from None
    if at > end:
        raise ValueError("ends early")
    return bytes(out[:size_bytes])
