"""Robustness conditions: the evaluation files of a split through channels, noise and rooms."""
