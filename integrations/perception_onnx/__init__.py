"""YOLO and YOLOX ONNX files as a Detector, through ONNX Runtime or OpenVINO: no AGPL code."""
