"""Which data sets can be prepared, and the way from a name to one of them."""

import difflib

from data_prep import (
    audio_folder,
    audioset,
    esc10,
    esc50,
    ravdess,
    tau_urban_2019,
    tau_urban_2020,
    toy_scenes,
    toy_sounds,
    urbansound8k,
)
from data_prep.clips import Dataset, DatasetCard

DATASETS = {
    dataset.card.name: dataset
    for dataset in (
        Dataset(toy_sounds.CARD, toy_sounds.list_clips, toy_sounds.write_toy_sounds),
        *(
            Dataset(module.CARD, module.list_clips)
            for module in (audio_folder, esc10, esc50, urbansound8k, ravdess, audioset)
        ),
        *tau_urban_2019.DATASETS,
        *tau_urban_2020.DATASETS,
        *toy_scenes.DATASETS,
    )
}
_FAMILIES = {
    family: [member for member in DATASETS if member.startswith(f"{family}/")]
    for family in (name.partition("/")[0] for name in DATASETS if "/" in name)
}


def cards() -> tuple[DatasetCard, ...]:
    """The cards of all data sets.

    Example:
        >>> [card.name for card in cards()][:4]
        ['toy_sounds', 'audio_folder', 'esc10', 'esc50']
    """
    return tuple(dataset.card for dataset in DATASETS.values())


def find_dataset(name: str) -> Dataset:
    """The data set of that name.

    Raises:
        ValueError: If there is none; the message has the names, and one that is near.
    """
    if name not in DATASETS:
        near = difflib.get_close_matches(str(name), [*_FAMILIES, *DATASETS], n=1)
        meant = [member for known in near for member in _FAMILIES.get(known, [known])]
        hint = f" (did you mean {' or '.join(meant)}?)" if meant else ""
        raise ValueError(
            f"Expected one of the data sets {', '.join(DATASETS)}{hint}. Received: name={name!r}"
        )
    return DATASETS[name]
