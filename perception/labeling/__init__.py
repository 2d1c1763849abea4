"""From evidence to labels: pure decisions on pixels and points."""
