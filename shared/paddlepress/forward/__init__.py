"""Running networks over data."""
