"""`python -m bench.storm [FOLDER]`: runs every case, prints a line for each, and draws the plots into the folder
(default: bench/results)."""

import sys
from pathlib import Path

from bench.storm.drawing import draw
from bench.storm.scenarios import CASES, Storm, outcome


def main(folder: Path) -> None:
    runs = {}
    print("| mechanisms | attempts a request in the overload | answered in time in it | from 5 s after it |")
    print("|---|---|---|---|")
    for name, mechanisms in CASES.items():
        runs[name] = Storm(mechanisms).run()
        one = outcome(runs[name])
        print(f"| {name} | {one.amplification:.2f} | {one.good_in_storm:.1%} | {one.good_after:.1%} |", flush=True)
    draw(runs, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2] / "bench" / "results")
