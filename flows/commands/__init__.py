"""The commands of `codecfake`, a module per group; what they do is imported when they run."""
