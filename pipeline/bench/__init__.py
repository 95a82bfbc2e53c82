"""How fast resynthesis is on this machine, and what limits it: `codecfake bench resynthesis` and `bench io`."""
