"""Pictures of what was decided."""
