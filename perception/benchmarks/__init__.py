"""Benchmarks: a file for each verb of `perception bench`; `harness` is what they share."""
