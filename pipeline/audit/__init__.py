"""What the shortcut audit measures: properties of files that are no speech, and fakes beside their sources."""
