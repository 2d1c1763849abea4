"""How likely a label is right: features of a label, a model fitted on checked ones, a threshold."""
