"""Exports of a split: the published tree, Hugging Face, WebDataset, Lhotse Shar, ASVspoof protocols."""
