"""Several trainings one after another within one technique."""

from __future__ import annotations

from dataclasses import replace

from paddlepress.techniques import Context


def numbered(context: Context, number: int, epochs: int) -> Context:
    """The context of one of several trainings.

    It has a checkpoint of its own, so that finished trainings are only read again, and its epochs are counted
    on from those before it.

    Args:
        context: of all of them.
        number: of this one, from 0.
        epochs: of each.
    """
    checkpoint = None if context.checkpoint is None else context.checkpoint / f"training-{number}"

    def log(name: str, value: float, step: int) -> None:
        context.log(name, value, number * epochs + step)

    return replace(context, checkpoint=checkpoint, log=log)
