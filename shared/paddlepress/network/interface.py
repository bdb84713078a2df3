"""What kind of network is supported: one that gives one tensor as its task has it, in training as in evaluation."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from paddlepress.core.errors import DataError, in_one_line

if TYPE_CHECKING:
    from paddlepress.network.model import Model

BATCH = 2


def check_supported(model: Model) -> None:
    """Refuse a network of another kind, before anything is spent on it, by running a copy on two random inputs.

    What is drawn from random numbers afterwards stays the same.

    Raises:
        DataError: it does not run on inputs of the stated shapes, or gives something else than one floating-point
            tensor of the task's shape.
    """
    from paddlepress.network.random_inputs import unseeded

    name, output = model.architecture.name, model.task.outputs[0]
    shape = ", ".join(map(str, output.shape))
    wanted = f"supported is a network that gives one tensor of {output.name}, here [n, {shape}]"
    with unseeded():
        twin = model.copy()  # in training, batch norms note what goes through them
        for training in (False, True):
            if wrong := _wrong(twin, output.shape, training):
                where = " in training mode" if training else ""
                raise DataError(f"architecture {name!r} {wrong}{where}; {wanted}")


def _wrong(model: Model, wanted: tuple[int, ...], training: bool) -> str:
    import paddle

    try:
        outputs = _run(model, training)
    except Exception as error:  # whatever a network's own code raises
        forms = " and ".join(f"{spec.dtype} {list(spec.shape)}" for spec in model.inputs)
        reason = in_one_line(f"{type(error).__name__}: {error}", 200)
        return f"can't be run on {BATCH} inputs of {forms}: {reason}"
    if isinstance(outputs, list | tuple | dict):
        return f"gives {len(outputs)} outputs as a {type(outputs).__name__}"
    if not isinstance(outputs, paddle.Tensor):
        return f"gives a {type(outputs).__name__}"
    if tuple(outputs.shape) != (BATCH, *wanted) or not outputs.is_floating_point():
        dtype = str(outputs.dtype).removeprefix("paddle.")
        sizes = [str(size) for size in outputs.shape]
        if sizes[:1] == [str(BATCH)]:
            sizes[0] = "n"
        return f"gives {dtype} [{', '.join(sizes)}]"
    return ""


def _run(model: Model, training: bool) -> Any:
    import paddle

    from paddlepress.network.random_inputs import random_inputs

    numbers = np.random.default_rng(0)
    network = model.network
    network.train() if training else network.eval()
    with paddle.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a network's own run may tell
        try:
            return network(*map(paddle.to_tensor, random_inputs(model, BATCH, numbers)))
        except Exception:  # it may look these numbers up; then small ones do
            return network(*map(paddle.to_tensor, random_inputs(model, BATCH, numbers, standard=False)))
