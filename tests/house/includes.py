#!/usr/bin/env python3
"""The include checker: what the floors and rooms may include, read from the sources themselves.

CMake's USES already stops what is not declared from linking; this stops what would compile anyway, because rooms of one floor share
an include folder, and what only headers bring along. `includes.py --selftest` shows that each rule can fail.
"""
import pathlib
import re
import sys
import tempfile

FLOORS = ["foundation", "protocol", "wire", "knowledge", "journey", "program"]
BELOW = {
    "foundation": set(),
    "protocol": {"foundation"},
    "wire": {"foundation"},
    "knowledge": {"foundation", "protocol", "wire"},
    "journey": {"foundation", "protocol", "wire", "knowledge"},
    "program": {"foundation", "protocol", "wire", "knowledge", "journey"},
}
MEETING_ROOMS = {"handoff", "spool"}
# A library, and the only place that may include it (a prefix of the path below src/).
OWNERS = [
    (re.compile(r"<openssl/"), ("wire/tls/",)),
    (re.compile(r"<unbound\.h>"), ("wire/dns/",)),
    (re.compile(r"<sqlite3\.h>"), ("journey/spool/", "knowledge/tables/sqlite")),
    (re.compile(r"<lmdb\.h>"), ("knowledge/tables/lmdb", "knowledge/peers/", "journey/verify/")),
    (re.compile(r"<(libpq-fe|mysql/|mariadb/|ldap)"), ("knowledge/tables/",)),
    (re.compile(r"<seccomp\.h>|<sys/capability\.h>|<linux/landlock\.h>"), ("program/",)),
    (re.compile(r"<expat\.h>"), ("program/heard/",)),
    (re.compile(r"<cdb\.h>|<db\.h>"), ("knowledge/tables/",)),
]
# What only program/ may call: the rest of the house neither forks nor changes who it is.
POWERS = re.compile(r"(?<![\w.>])(?:::)?(fork|vfork|setuid|setgid|setresuid|setresgid|chroot|execve|execv|execvp|posix_spawn)\s*\(")
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<][^">]+[">])', re.M)


def room_of(path):
    return path.parts[0], path.parts[1]


def check(src):
    files = {p.relative_to(src): p.read_text() for p in sorted(src.rglob("*")) if p.suffix in {".hpp", ".cpp", ".def"}}
    rooms = {}                                        # room name -> floor
    for path in files:
        if len(path.parts) >= 3:
            floor, room = room_of(path)
            rooms[room] = floor
    errors, includes = [], {}
    for path, text in files.items():
        if len(path.parts) < 3:
            errors.append(f"{path}: a source outside a room")
            continue
        floor, room = room_of(path)
        includes[path] = []
        test = path.stem.endswith(("_test", "_for_tests")) or path.stem == "testing"
        for line, match in ((text.count("\n", 0, m.start()) + 1, m.group(1)) for m in INCLUDE.finditer(text)):
            name, where = match[1:-1], f"src/{path}:{line}"
            if match[0] == '"':
                other = name.split("/")[0]
                if other not in rooms:
                    if other != "sim" or not (test or floor == "program"):    # `posthorn peer` plays the simulator's peers
                        errors.append(f'{where}: "{name}" is no room of the house')
                    continue
                target_floor = rooms[other]
                includes[path].append(pathlib.Path(target_floor) / name)
                if target_floor != floor and target_floor not in BELOW[floor]:
                    errors.append(f"{where}: {floor}/{room} may not include {target_floor}/{other}")
                if floor == target_floor == "journey" and other != room and other not in MEETING_ROOMS:
                    errors.append(f"{where}: station {room} includes station {other}; they meet in handoff/ and spool/")
            for pattern, owners in OWNERS:
                if pattern.match(match) and not str(path).startswith(owners):
                    errors.append(f"{where}: {match} belongs to {', '.join(owners)}")
            if floor == "protocol" and match.startswith(("<boost/asio", "<boost/beast")):
                errors.append(f"{where}: protocol/ is pure, it does not know {match}")
            if floor == "protocol" and match == '"base/clock.hpp"':
                errors.append(f"{where}: protocol/ has no clock")
        if floor != "program":
            for match in POWERS.finditer(re.sub(r"//[^\n]*|\"(?:[^\"\\\n]|\\.)*\"", lambda m: " " * len(m.group()), text)):
                if not test:
                    errors.append(f"src/{path}:{text.count(chr(10), 0, match.start()) + 1}: {match.group(1)}() outside program/")

    # protocol/ must not reach Asio or the configuration through anybody's header either.
    def reaches(path, seen):
        for other in includes.get(path, ()):
            if other in files and other not in seen:
                seen[other] = path
                reaches(other, seen)
        return seen
    for path in files:
        if len(path.parts) >= 3 and path.parts[0] == "protocol":
            for other in reaches(path, {}):
                if other.parts[1] in {"async", "config", "ipc"}:
                    errors.append(f"src/{path}: reaches {other}")
    return errors


def selftest():
    """Each rule is broken once, in a tree of its own; the checker must see it."""
    broken = {
        "protocol/smtp/a.hpp": ['#include "net/stream.hpp"', '#include <boost/asio.hpp>', '#include "base/clock.hpp"'],
        "journey/send/a.cpp": ['#include "receive/x.hpp"', "#include <openssl/ssl.h>", "void f() { ::fork(); }", '#include "tools/t.hpp"'],
        "foundation/base/a.hpp": ['#include "smtp/a.hpp"', '#include "nowhere/x.hpp"'],
    }
    for path, lines in broken.items():
        for line in lines:
            with tempfile.TemporaryDirectory() as folder:
                src = pathlib.Path(folder)
                for room in ["wire/net/stream.hpp", "journey/receive/x.hpp", "foundation/base/clock.hpp", "protocol/smtp/b.hpp",
                             "program/tools/t.hpp", "journey/send/b.hpp"]:
                    (src / room).parent.mkdir(parents=True, exist_ok=True)
                    (src / room).write_text("#pragma once\n")
                assert check(src) == [], check(src)
                (src / path).write_text(line + "\n")
                assert check(src), f"not noticed: {path}: {line}"
    print("each rule notices its breach")


if __name__ == "__main__":
    if sys.argv[1:] == ["--selftest"]:
        selftest()
        sys.exit(0)
    problems = check(pathlib.Path(sys.argv[1]) / "src")
    print("\n".join(problems) or "includes: every floor keeps to what stands below it")
    sys.exit(1 if problems else 0)
