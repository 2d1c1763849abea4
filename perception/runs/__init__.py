"""A run folder: the contract between commands. The layout stands in perception/DESIGN.md."""
