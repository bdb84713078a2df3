"""Recipes, the pipelines made from them, and the command line that runs them."""
