"""One module per codec family; a new module in this folder is found without being named elsewhere."""
