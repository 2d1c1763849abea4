"""What everything knows: types, errors, settings, classes, masks, geometry. Reads no image."""
