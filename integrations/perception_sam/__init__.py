"""SAM checkpoints as a Segmenter: encode an image once, decode many boxes."""
