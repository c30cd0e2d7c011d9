"""Run the benchmarks that targets are set for, one after the other, and say which are met.

Each is a script of its own beside this one, and prints and writes what it measures. Nothing else
should run meanwhile. All take about fifty minutes on two cores.

Examples:
  python benchmarks/run_all.py --source ESC-10-master
  python benchmarks/run_all.py log_mel exports
  python benchmarks/run_all.py --quick --to quick-benchmarks
"""

import argparse
import pathlib
import subprocess
import sys
import time
from collections.abc import Sequence

from targets import BENCHMARKS, read_targets, summary

HERE = pathlib.Path(__file__).resolve().parent
WITH_SOUNDS = ("pipeline", "preparation", "command_line")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print the table of all targets; 1 if a benchmark failed."""
    options = parse(arguments)
    failed, begun = [], time.time()
    for name in options.names:
        command = [sys.executable, str(HERE / f"{name}.py"), "--to", str(options.to)]
        command += ["--quick"] if options.quick else []
        if name in WITH_SOUNDS and options.source is not None:
            command += ["--source", str(options.source)]
        started = time.monotonic()
        print(f"{name}: running", file=sys.stderr, flush=True)
        if subprocess.run(command).returncode:
            failed.append(name)
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    # What a benchmark calls its files says how it was run.
    kinds = ("", "_quick", "_toy_sounds", "_quick_toy_sounds")
    written = [f"{name}{kind}" for name in options.names for kind in kinds]
    written = [name for name in written if _written_at(options.to / f"{name}.csv") >= begun]
    if written:
        print(summary(read_targets(options.to, written), ""))
    for name in failed:
        print(f"{name} failed; its sentence stands above.", file=sys.stderr)
    return 1 if failed else 0


def _written_at(path: pathlib.Path) -> float:
    return path.stat().st_mtime if path.is_file() else 0.0


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = f"default: {', '.join(BENCHMARKS)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    text = "the folder of ESC-10, for those that read sounds; default: generated ones"
    parser.add_argument("--source", type=pathlib.Path, help=text)
    parser.add_argument("--quick", action="store_true", help="to try the scripts")
    parser.add_argument("--to", type=pathlib.Path, default=pathlib.Path("results/benchmarks"))
    options = parser.parse_args(arguments)
    options.names = options.names or list(BENCHMARKS)
    for name in options.names:
        if name not in BENCHMARKS:
            parser.error(f"expected some of {', '.join(BENCHMARKS)}, not {name!r}")
    return options


if __name__ == "__main__":
    sys.exit(main())
