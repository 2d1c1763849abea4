"""Works through the shards of a run: a worker, the process that shields it, the local engine."""
