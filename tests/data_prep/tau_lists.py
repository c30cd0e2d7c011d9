"""Lists and tables of acoustic scenes in the layout of TAU Urban Acoustic Scenes, to test with."""

TRAIN, TEST = "evaluation_setup/fold1_train.csv", "evaluation_setup/fold1_evaluate.csv"
META_HEADER = ("filename", "scene_label", "identifier", "source_label")


def write_rows(path, header, rows, newline="\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(row) for row in (header, *rows)]
    path.write_bytes("".join(line + newline for line in lines).encode())


def write_lists(root, train, test, meta=(), newline="\n"):
    write_rows(root / TRAIN, META_HEADER[:2], train, newline)
    write_rows(root / TEST, META_HEADER[:2], test, newline)
    if meta:
        write_rows(root / "meta.csv", META_HEADER, meta, newline)
    return root


def meta_of(rows):
    """The rows of `meta.csv` for clips with names of the official form."""
    return [
        (name, label, f"{city}-{location}", end[0])
        for name, label in rows
        for _, city, location, _, end in [name.split("-")]
    ]


def clip_of(clip_list, clip_id):
    (clip,) = [clip for clip in clip_list.clips if clip.clip_id == clip_id]
    return clip
