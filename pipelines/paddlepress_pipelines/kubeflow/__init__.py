"""A recipe on a Kubeflow Pipelines server: submit it, schedule it, see what became of it.

Everything goes through the server's own client, `kfp_server_api`. `kfp.Client` would print where it should tell,
never tries again, and refuses recurring runs that name a pipeline without a version.
"""
