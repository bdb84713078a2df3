"""Models in formats of others, which people give where a model artifact is expected: what they are, and what to do.

Nothing of them is loaded: a name, or the first bytes, tell.
"""

from __future__ import annotations

from pathlib import Path

from paddlepress.core.errors import ArtifactError, in_one_line

_PROGRAM = "a program that Paddle saved for inference"
_WEIGHTS = "weights alone, without the network"
_SUFFIXES = {
    ".pdparams": f"{_WEIGHTS}, that Paddle saved",
    ".pdopt": "an optimizer's state that Paddle saved",
    ".pdmodel": f"{_PROGRAM}, in the format before Paddle 3",
    ".pdiparams": f"the weights of {_PROGRAM}",
    ".onnx": "an ONNX graph",
    ".pt": "a PyTorch file",
    ".pth": "a PyTorch file",
    ".safetensors": _WEIGHTS,
}
_PADDLES_PROGRAM = b'"base_code"'
"""What every program that Paddle 3 saves as JSON begins with."""
_HEAD = 4096
_REMEDY = (
    "not a model artifact. `paddlepress import` makes one of the network's class and its weights, saved as .pdparams, "
    ".safetensors or .npz; the README shows it under 'Your own model'"
)


def refuse(place: Path, manifest: str) -> None:
    """Refuse a model of another format; anything else passes.

    Args:
        place: a file or a directory, which may be missing.
        manifest: the name of the file that makes a directory a model artifact.

    Raises:
        ArtifactError: it is one; says which, and what to do.
    """
    try:
        found = _in_directory(place, manifest) if place.is_dir() else _of_file(place) if place.is_file() else None
    except OSError:
        return  # whoever reads it will say why that can't be done
    if found is not None:
        file, kind = found
        raise ArtifactError(f"{in_one_line(file, 200)} is {kind}, {_REMEDY}")


def _in_directory(directory: Path, manifest: str) -> tuple[Path, str] | None:
    if (directory / manifest).is_file():
        return _of_file(directory / manifest)
    # Tensors may be an artifact's own, which has lost its manifest.
    suffixes = {".json", *_SUFFIXES} - {".safetensors"}
    found = (_of_file(file) for file in sorted(directory.iterdir()) if file.suffix in suffixes)
    return next((one for one in found if one is not None), None)


def _of_file(file: Path) -> tuple[Path, str] | None:
    if file.suffix in _SUFFIXES:
        return file, _SUFFIXES[file.suffix]
    if file.suffix != ".json" or not file.is_file():  # opening a pipe would wait for whoever writes to it
        return None
    with file.open("rb") as stream:
        return (file, _PROGRAM) if _PADDLES_PROGRAM in stream.read(_HEAD) else None
