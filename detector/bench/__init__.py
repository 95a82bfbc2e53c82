"""How fast features are computed and detectors are trained on this machine, and what limits them."""
