"""What becomes of the inputs that data hold before a network takes them.

A model owns its preprocessing: it is trained, compressed, measured and deployed with the same. Nothing but NumPy is
needed to apply it, so a device runs the very same steps.
"""

from paddlepress.spec.preprocessing.base import InputPreprocessing
from paddlepress.spec.preprocessing.numbers import Preprocessing
from paddlepress.spec.preprocessing.several import AnyPreprocessing, NamedPreprocessing, form_of, preprocessing_of
from paddlepress.spec.preprocessing.tokens import Tokenization

__all__ = [
    "AnyPreprocessing",
    "InputPreprocessing",
    "NamedPreprocessing",
    "Preprocessing",
    "Tokenization",
    "form_of",
    "preprocessing_of",
]
