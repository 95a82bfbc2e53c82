"""Two runs side by side: where they differ, and by how much."""
