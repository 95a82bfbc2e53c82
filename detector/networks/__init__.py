"""Back ends: what is trained."""
