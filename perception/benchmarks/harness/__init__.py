"""What benchmarks share: processes, true objects, and what becomes of the figures."""
