"""Run a compiled pipeline on this machine: in parallel, cached by content, resumable.

Kubeflow's own local runner executes independent tasks one after another, stops at the first failure and
forgets a run that was killed. Tasks here are executed exactly as it does (the same compiled components,
inputs, placeholders and outputs, through `kfp.local`), but scheduled by dependency on several workers,
kept by the content of their inputs, and shown as they go.
"""
