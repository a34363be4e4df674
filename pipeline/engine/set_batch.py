"""Many sets at once that take in a choice a step, as the samples of a model do."""

from pipeline.core.jit import kernel
from pipeline.engine.state import State, conflicts_added, join, leave


@kernel
def set_of(states, row):
    """Return one of the sets, a view."""
    return State(
        states.members[row],
        states.where[row],
        states.inside[row],
        states.chosen[row],
        states.position[row],
        states.counts[row],
        states.pair_conflicts[row],
        states.totals[row],
    )


@kernel
def free_choices(space, states, free):
    """Mark in ``free``, bool ``(B, M)``, the absent choices of each set that violate nothing."""
    for row in range(len(free)):
        state = set_of(states, row)
        for choice in range(free.shape[1]):
            fits = state.position[choice] < 0 and conflicts_added(space, state, choice) == 0
            if fits and not space.exact:
                # The load may miss what several elements of the choice do together.
                fits = join(space, state, choice) == 0
                leave(space, state, choice)
            free[row, choice] = fits


@kernel
def join_each(space, states, choices):
    """Add ``choices[row]`` to each set; -1, or a choice that is there, adds nothing."""
    for row in range(len(choices)):
        state = set_of(states, row)
        if choices[row] >= 0 and state.position[choices[row]] < 0:
            join(space, state, choices[row])
