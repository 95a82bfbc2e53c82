"""Datasets whose trials a detector can be trained on or scored with."""
