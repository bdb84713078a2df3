"""The deployable: a directory with an ONNX graph without weights, and the model artifact's own files."""
