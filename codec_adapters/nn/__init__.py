"""Building blocks of the codecs' networks: inference, and what a trainer needs of it; no files, no corpora."""
