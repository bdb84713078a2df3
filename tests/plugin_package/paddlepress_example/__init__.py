"""An example of a paddlepress plugin."""
