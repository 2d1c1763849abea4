"""A run folder: the contract between commands. The layout stands in docs/concepts/run-folder.md."""
