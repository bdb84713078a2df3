"""Where data come from: one module a source, each registered as an entry point of `paddlepress.sources`."""
