"""YOLO weights as a Detector and a Segmenter, through ultralytics: the AGPL-3.0 fence."""
