#!/usr/bin/env python3
"""Plays tables.tsv: each bad table, query, pattern, half-written file or missing right gets its message and exit code from postmap, which names the file
and the line or parameter; and no file changes. As root the commands run as a user without rights.
usage: tables.py POSTMAP [--show]"""
import os
import pathlib
import pwd
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile

TABLE = pathlib.Path(__file__).with_name("tables.tsv")
MAIN = "compatibility_level = 3.7\nmydomain = example.test\nmyhostname = host.example.test\nmail_owner = daemon\nsetgid_group = mail\ndefault_privs = nobody\n"


def prepared(folder, action, who):
    """What is done to the files before the question: 'unreadable F', 'folder F', 'cut F OCTETS', 'built TYPE F', 'database F', 'sealed': no new files."""
    verb, _, rest = action.partition(" ")
    path = folder / rest.split()[0] if rest else folder
    if verb == "unreadable":
        path.chmod(0)
        if os.geteuid() == 0:
            os.chown(path, 0, 0)
    elif verb == "folder":
        path.mkdir()
    elif verb == "cut":
        with open(path, "r+b") as file:
            file.truncate(int(rest.split()[1]))
    elif verb == "built":
        kind, name = rest.split()
        subprocess.run([folder.parent / "postmap", "-c", folder.parent / "etc", f"{kind}:{name}"], cwd=folder, check=True, capture_output=True, **who)
    elif verb == "database":
        with sqlite3.connect(path) as database:
            database.execute("create table alias(name text, target text)")
            database.execute("insert into alias values('k', 'v')")
        database.close()
        path.chmod(0o644)
    elif verb == "sealed":
        os.chown(folder, 0, 0) if os.geteuid() == 0 else None
        folder.chmod(0o555)
    else:
        raise SystemExit(f"tables.tsv: {action!r} is nothing to be done")


def play(row, program, user):
    """(exit code, lines said, printed, changes)"""
    _, files, actions, program_name, arguments, *_ = row
    who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    with tempfile.TemporaryDirectory(prefix="bad-tables-") as name:
        top = pathlib.Path(name)
        top.chmod(0o755)
        folder = top / "t"
        folder.mkdir()
        (top / "etc").mkdir()
        (top / "etc/main.cf").write_text(MAIN)
        for link in ("postmap", "postalias"):
            (top / link).symlink_to(program)
        for file in filter(None, files.split(";;")):
            file_name, _, text = file.partition("=")
            (folder / file_name).write_bytes(text.encode().decode("unicode_escape").encode("latin-1"))
        if user:
            for path in (folder, *folder.iterdir()):
                os.chown(path, user.pw_uid, user.pw_gid)
        for action in filter(None, actions.split(";;")):
            prepared(folder, action, who)
        before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and os.access(path, os.R_OK)}
        done = subprocess.run([top / program_name, "-c", "../etc", *arguments.split("|")], cwd=folder, env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True, errors="replace",
                              timeout=60, **who)
        after = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and os.access(path, os.R_OK)}
        changes = [file for file in before if after.get(file) != before[file]]
        folder.chmod(0o755)
        said = re.sub(r"(\.(?:db|lmdb|cdb))\.\w{6}:", r"\1.XXXXXX:", done.stderr)
        return done.returncode, said.replace(str(folder), "DIR").splitlines(), done.stdout, changes


def main():
    program = os.path.abspath(sys.argv[1])
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    if user:                                                    # the build may lie where nobody else may look
        copy = pathlib.Path(tempfile.mkdtemp(prefix="bad-tables-program-"))
        copy.chmod(0o755)
        program = shutil.copy(program, copy / "program")
    rows = failed = 0
    for line in TABLE.read_text().splitlines():
        if line.startswith("#"):
            continue
        row = line.split("\t")
        name, *_, code, message = row
        rows += 1
        got, said, printed, changes = play(row, program, user)
        problems = []
        if got != int(code):
            problems.append(f"exit code {got}, not {code}")
        if message not in said:
            problems.append(f"said {said}, not {message!r}")
        if got != 0 and printed:
            problems.append(f"failed and yet printed {printed!r:.100}")
        if changes:
            problems.append(f"changed: {changes}")
        if problems:
            failed += 1
            print(f"{name}: {'; '.join(problems)}")
        elif "--show" in sys.argv:
            print(f"{name}: {said}")
    if user:
        shutil.rmtree(copy)
    print(f"{rows} rows, {failed} wrong")
    sys.exit(1 if failed or rows < 60 else 0)


if __name__ == "__main__":
    main()
