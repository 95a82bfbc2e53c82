"""Training codecs from files to checkpoints: speech, validation, the loop, and the export of what was learnt."""
