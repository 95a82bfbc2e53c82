"""Training of a detector's back end."""

from codecfake.detector.training.loop import TrainConfig, TrainResult, train

__all__ = ["TrainConfig", "TrainResult", "train"]
