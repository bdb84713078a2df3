"""Tasks: what networks are for, and everything that follows from it.

A task is a plugin of the entry-point group `paddlepress.tasks`. It has two halves: what a device needs is NumPy
(decoding and scoring outputs), what training needs is Paddle (losses), imported where it is used.
"""

from __future__ import annotations

from paddlepress.tasks.base import AnyTask, Score, Task
from paddlepress.tasks.classification import Classification
from paddlepress.tasks.multi_label import MultiLabel
from paddlepress.tasks.regression import Regression
from paddlepress.tasks.segmentation import Segmentation
from paddlepress.tasks.text_recognition import TextRecognition

__all__ = ["AnyTask", "Classification", "MultiLabel", "Regression", "Score", "Segmentation", "Task", "TextRecognition"]
