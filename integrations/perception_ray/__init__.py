"""Schedules the shards of a run over a Ray cluster. No perception logic lives here."""
