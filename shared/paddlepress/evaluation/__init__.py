"""What a model costs and what it gets right, measured on the runtime that it is deployed on."""
