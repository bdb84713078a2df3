"""The Kubeflow components of paddlepress, and the techniques that they run."""
