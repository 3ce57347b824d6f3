"""`python -m scripts.release wheel|deb|lock|kustomize [--out DIR] [--suite NAME]… [--revision N]`"""

import argparse
import sys
from pathlib import Path

from scripts.release import deb, kustomize, lock, wheel
from scripts.release.suites import ROOT, SUITES, bundled


def main(argv: list[str] | None = None) -> int:
    asked = argparse.ArgumentParser(prog="python -m scripts.release", description=__doc__)
    asked.add_argument("what", choices=["wheel", "deb", "lock", "kustomize"])
    asked.add_argument("--out", type=Path, default=ROOT / "dist")
    asked.add_argument("--suite", action="append", choices=sorted(SUITES), help="deb: for this one  [all]")
    asked.add_argument("--revision", type=int, default=1, help="deb: of the package, for the same version")
    given = asked.parse_args(argv)
    try:
        if given.what == "lock":
            _say(f"{lock.LOCK.name} pins {', '.join(lock.write())}")
            return 0
        if given.what == "kustomize":
            _say(f"{kustomize.FOLDER}: {', '.join(kustomize.write())}")
            return 0
        built = wheel.build(given.out)
        _say(str(built))
        if given.what == "deb":
            for name in given.suite or sorted(SUITES):
                package = deb.build(built, SUITES[name], given.out, given.revision)
                _say(f"{package}: bundles {', '.join(bundled(SUITES[name]))}")
    except wheel.ReleaseError as failed:
        sys.stderr.write(f"release: {failed}\n")
        return 1
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
