"""Convolutions and max pooling through oneDNN, for networks that Paddle runs operation by operation on a CPU.

Paddle's own convolution on a CPU unfolds the image and multiplies matrices, which takes two to six times as long as
oneDNN's. Paddle's wheel ships oneDNN all the same, so its C interface is called here. The modules, each of which
imports only those before it:

- `library`: the C interface, oneDNN's objects and scratch memory.
- `primitives`: convolution and max pooling on arrays at addresses.
- `gradients`: functions that Paddle doesn't know, in its graphs.
- `functions`: the same with gradients, on Paddle's tensors.
- `install`: takes the place of Paddle's operations, after a self-test.
"""
