"""Models: protocols, the table of adapters, weights, and boxes given in place of a detector."""
