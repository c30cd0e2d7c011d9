"""By which clips a run's weights were chosen, and what its history says of those held out."""

from collections.abc import Sequence

import cells

from keras_audio.training.run_folder import RunFolder


def last_score(run: RunFolder, name: str) -> str:
    """What the history says of the last round on the clips held out; nothing if others validate."""
    return f"{run.history()[name][-1]:.4f}" if run.recipe.validation == "held_out" else ""


def how_chosen(rows: Sequence[dict], usual: str, what: str) -> str:
    """The sentence on what a run counts with.

    Args:
        rows: The runs.
        usual: What it is where the clips held out validate.
        what: What the best of counts, such as `epoch`.
    """
    others = [cells.recipe_of(row).validation == "next" for row in rows]
    if not any(others):
        return usual
    which = f"its best {what} on the fold after the held-out one (`validation=next`)"
    rest = "nothing is chosen on the clips it is measured on."
    if all(others):
        return f"A run counts with {which}: {rest}"
    return f"{usual} A run of which no last {what} is shown counts with {which}: there {rest}"
