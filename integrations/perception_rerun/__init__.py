"""Writes samples with their labels as a Rerun recording. Opens no viewer, no server, no socket."""
