"""The model artifact: a directory with `model.json` and `weights.safetensors`."""
