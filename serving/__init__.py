"""What ships: the ONNX export, the served file and its rehearsal."""
