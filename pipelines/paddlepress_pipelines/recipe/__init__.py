"""A recipe: one YAML file that says what to compress, how, and what may be promoted."""

from paddlepress_pipelines.recipe.load import load
from paddlepress_pipelines.recipe.schema import Recipe, Step

__all__ = ["Recipe", "Step", "load"]
