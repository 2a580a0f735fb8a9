#!/usr/bin/env python3
"""Plays config.tsv: each wrong configuration or command line gets its message and exit code, and no file changes.
usage: config.py POSTCONF"""
import os
import pathlib
import subprocess
import sys
import tempfile

TABLE = pathlib.Path(__file__).with_name("config.tsv")


def main():
    program = os.path.abspath(sys.argv[1])
    environment = {key: value for key, value in os.environ.items() if key != "MAIL_CONFIG"} | {"LC_ALL": "C"}
    rows = failed = 0
    for line in TABLE.read_text().splitlines():
        if line.startswith("#"):
            continue
        name, main_cf, master_cf, arguments, code, message = line.split("\t")
        rows += 1
        with tempfile.TemporaryDirectory(prefix="bad-input-") as folder:
            before = {}
            for file, text in (("main.cf", main_cf), ("master.cf", master_cf)):
                if text != "-":
                    before[file] = text.replace("\\n", "\n")
                    pathlib.Path(folder, file).write_text(before[file])
            words = [word.replace("\\n", "\n").replace("DIR", folder) for word in arguments.split("|")]
            done = subprocess.run([program, "-c", folder, *words], env=environment, capture_output=True, text=True, timeout=60)
            after = {path.name: path.read_text() for path in pathlib.Path(folder).iterdir()}
            said = done.stderr.replace(folder, "DIR").splitlines()
            problems = []
            if done.returncode != int(code):
                problems.append(f"exit code {done.returncode}, not {code}")
            if message not in said:
                problems.append(f"said {said}, not {message!r}")
            if done.returncode != 0 and done.stdout:
                problems.append(f"failed and yet printed {done.stdout!r:.100}")
            if after != before:
                problems.append(f"files changed: {after}")
            if problems:
                failed += 1
                print(f"{name}: {'; '.join(problems)}")
    print(f"{rows} rows, {failed} wrong")
    sys.exit(1 if failed or rows < 30 else 0)


if __name__ == "__main__":
    main()
