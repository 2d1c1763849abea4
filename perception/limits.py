"""How large a picture may be. Here, because settings need it and must not wait for a decoder."""

MAX_MEGAPIXELS = 64  # unless somebody says otherwise
MOST_MEGAPIXELS = 512  # whatever they say
