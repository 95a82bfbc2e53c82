"""What a listening page shows: utterances chosen for it, and every fake measured and drawn beside its source."""
