"""Problems that no command mends: what is to be done by hand stands at the end of each."""

MOVE_OUT_OF_TREE = "move it out of the tree"
MOVE_OUT_OF_RUN = "move it out of the run"
RENAME_BACK = "rename it back"
FROM_BACKUP = "bring it back from a backup"
BY_HAND = (MOVE_OUT_OF_TREE, MOVE_OUT_OF_RUN, RENAME_BACK, FROM_BACKUP)


def is_by_hand(problem: str) -> bool:
    """Whether a retry can do nothing about a problem."""
    return problem.endswith(BY_HAND)
