"""How large things may be. Here, because settings need it and must not wait for a decoder."""

MAX_MEGAPIXELS = 64  # unless somebody says otherwise
MOST_MEGAPIXELS = 512  # whatever they say
MIN_COLUMNS, MAX_COLUMNS = 3, 10  # numbers per point of a sweep without a header
