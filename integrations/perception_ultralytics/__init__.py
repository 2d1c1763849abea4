"""YOLO weights as a Detector, through ultralytics: the AGPL-3.0 fence."""
