"""paddlepress: compress PaddlePaddle models and take the best variant to production.

    import paddlepress as pp

    data = pp.from_arrays(images, labels)
    base = pp.train("lenet", data, epochs=3)
    small = pp.compress(base, "prune-filters", data, macs=0.5)
    print(pp.evaluate(small, base, data).metrics)

What is named here is the public interface; everything else may change.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paddlepress.core.errors import PaddlepressError
    from paddlepress.data.memory import Data, Sizes, from_arrays
    from paddlepress.data.raw import Examples, Raw
    from paddlepress.data.source import Source
    from paddlepress.data.tokens import Tokens
    from paddlepress.evaluation.measurement import Measurement, Subject
    from paddlepress.evaluation.result import Evaluation
    from paddlepress.network.model import Model
    from paddlepress.public_api import compress, evaluate, load, save, train
    from paddlepress.spec.metric import Metric
    from paddlepress.spec.origin import ArchitectureRef
    from paddlepress.spec.preprocessing import NamedPreprocessing, Preprocessing, Tokenization
    from paddlepress.spec.signature import TensorSpec
    from paddlepress.spec.tensors import NamedArrays
    from paddlepress.tasks import Classification, MultiLabel, Regression, Score, Segmentation, Task, TextRecognition
    from paddlepress.techniques import Context, Technique

__version__ = "0.1.0"

__all__ = [
    "ArchitectureRef",
    "Classification",
    "Context",
    "Data",
    "Evaluation",
    "Examples",
    "Measurement",
    "Metric",
    "Model",
    "MultiLabel",
    "NamedArrays",
    "NamedPreprocessing",
    "PaddlepressError",
    "Preprocessing",
    "Raw",
    "Regression",
    "Score",
    "Segmentation",
    "Sizes",
    "Source",
    "Subject",
    "Task",
    "Technique",
    "TensorSpec",
    "TextRecognition",
    "Tokenization",
    "Tokens",
    "__version__",
    "compare",
    "compress",
    "evaluate",
    "from_arrays",
    "load",
    "promote",
    "run",
    "save",
    "train",
]

# Loaded on first use, so that importing the package brings in nothing heavy. The functions on recipes and the
# registry stand above the library, in a package of the same distribution; nothing in the library goes this way.
_HOMES = {
    "ArchitectureRef": "paddlepress.spec.origin",
    "Classification": "paddlepress.tasks",
    "Context": "paddlepress.techniques",
    "Data": "paddlepress.data.memory",
    "Evaluation": "paddlepress.evaluation.result",
    "Examples": "paddlepress.data.raw",
    "Measurement": "paddlepress.evaluation.measurement",
    "Metric": "paddlepress.spec.metric",
    "Model": "paddlepress.network.model",
    "MultiLabel": "paddlepress.tasks",
    "NamedArrays": "paddlepress.spec.tensors",
    "NamedPreprocessing": "paddlepress.spec.preprocessing",
    "PaddlepressError": "paddlepress.core.errors",
    "Preprocessing": "paddlepress.spec.preprocessing",
    "Raw": "paddlepress.data.raw",
    "Regression": "paddlepress.tasks",
    "Score": "paddlepress.tasks",
    "Segmentation": "paddlepress.tasks",
    "Sizes": "paddlepress.data.memory",
    "Source": "paddlepress.data.source",
    "Tokens": "paddlepress.data.tokens",
    "Subject": "paddlepress.evaluation.measurement",
    "Task": "paddlepress.tasks",
    "Technique": "paddlepress.techniques",
    "TensorSpec": "paddlepress.spec.signature",
    "TextRecognition": "paddlepress.tasks",
    "Tokenization": "paddlepress.spec.preprocessing",
    "compare": "paddlepress_pipelines.public_api",
    "compress": "paddlepress.public_api",
    "evaluate": "paddlepress.public_api",
    "from_arrays": "paddlepress.data.memory",
    "load": "paddlepress.public_api",
    "promote": "paddlepress_pipelines.public_api",
    "run": "paddlepress_pipelines.public_api",
    "save": "paddlepress.public_api",
    "train": "paddlepress.public_api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
