"""The report: a folder of web pages about a dataset and its detectors, which opens from disk."""
