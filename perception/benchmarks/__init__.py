"""Benchmarks: a file per `perception bench` verb, and what several of them need."""
