"""A published dataset becomes a run folder: its audio linked or copied as it is, its lists a split."""
