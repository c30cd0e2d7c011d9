"""Tables of plain text, for terminals and files."""

from collections.abc import Collection, Iterable, Sequence


def text_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Collection[int] = ()
) -> str:
    """Lay out cells in columns as wide as their widest cell, two spaces apart.

    Args:
        header: The first line.
        rows: The lines below, each of as many cells.
        right: Numbers of the columns, from 0, whose cells stand to the right, as numbers do.

    Returns:
        The lines, without spaces at their ends.

    Example:
        >>> print(text_table(("layer", "kernels"), [("conv1", "16"), ("c", "1024")], right=(1,)))
        layer  kernels
        conv1       16
        c         1024
    """
    lines = [tuple(header), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
