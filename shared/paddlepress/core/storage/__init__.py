"""Files where the user keeps them: a local path, or `s3://bucket/key`."""

from paddlepress.core.storage.transfer import fetch, is_s3, push

__all__ = ["fetch", "is_s3", "push"]
