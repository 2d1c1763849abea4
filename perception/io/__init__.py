"""Files, buckets, pictures, point clouds: bytes from outside, checked, and bytes written whole."""
