"""From raw masks to labels: which are good, which are the same object, who owns a pixel."""
