"""Training of codec networks: recipes, losses, codebooks, and the session that takes the steps; it knows no files."""
