"""paddlepress: compress PaddlePaddle models and take the best variant to production."""

__version__ = "0.1.0"

__all__ = ["__version__"]
