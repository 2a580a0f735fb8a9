#!/usr/bin/env python3
"""All areas of the comparison with Debian's Postfix, each with its quota of questions; per area: asked, equal, accepted differences (by name, with
the reason), differing. Fails where something differs or a quota is not met.

  run.py BIN [--seed N] [--all] [--area NAME ...]     asks them one after the other; --all: all messages, all rules broken on purpose
  run.py --reports FOLDER                     adds up what the areas left there (POSTHORN_COMPAT_REPORT), as ctest runs them one by one
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import frame

HERE = pathlib.Path(__file__).resolve().parent
# file -> areas it asks about, what it is started on, what --all adds
SCRIPTS = {
    "restrictions.py": (["restrictions", "access"], "{bin}", ["--all-mutants"]), "rewriting.py": (["rewriting"], "{bin}", ["--all"]),
    "postmap/postmap.py": (["lookups"], "{bin}/postmap", []),
    "sites.py": (["postconf"], "{bin}/postconf", []), "tools.py": (["tools"], "{bin}", []),
}


def summed(folder, wanted):
    """Prints every area's count; the exit code."""
    failed, missing, total = 0, [], 0
    print()
    for area in wanted:
        path = folder / f"{area}.json"
        if not path.exists():
            missing.append(area)
            print(f"{area:<14} NOT ASKED")
            continue
        report = json.loads(path.read_text())
        print(frame.said(report))
        total += report["asked"]
        failed += bool(frame.problem(report))
    print(f"{total} questions in {len(wanted) - len(missing)} areas" + (f", {failed} areas failed" if failed else "") + (f"; not asked: {', '.join(missing)}" if missing else ""))
    return 1 if failed else frame.SKIPPED if missing else 0


def main():
    options = argparse.ArgumentParser()
    options.add_argument("bin", nargs="?", type=pathlib.Path)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--all", action="store_true")
    options.add_argument("--area", action="append", choices=frame.QUOTAS)
    options.add_argument("--reports", type=pathlib.Path)
    options = options.parse_args()
    wanted = options.area or list(frame.QUOTAS)
    if options.reports:
        return summed(options.reports, wanted)
    worst = 0
    with tempfile.TemporaryDirectory(prefix="posthorn-compat-reports.") as folder:
        for script, (areas, given, more) in SCRIPTS.items():
            if set(areas) & set(wanted):
                done = subprocess.run([sys.executable, HERE / script, given.format(bin=options.bin.resolve()), "--seed", str(options.seed), *(more if options.all else [])],
                                      env={**os.environ, "POSTHORN_COMPAT_REPORT": folder})
                worst = max(worst, 1 if done.returncode not in (0, frame.SKIPPED) else 0)
        return summed(pathlib.Path(folder), wanted) or worst


if __name__ == "__main__":
    sys.exit(main())
