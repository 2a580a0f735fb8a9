#!/usr/bin/env python3
"""ARCHITECTURE.md's list of rooms is the one that CMake knows: rooms.py SOURCE BUILD [--write]."""
import pathlib
import sys

source, build = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
floors = {}
for line in (build / "rooms.txt").read_text().splitlines():
    if line.strip():
        name, floor, _uses, says = line.split("|", 3)
        floors.setdefault(floor, []).append(f"  - `{name}`: {says.replace('%3B', ';')}")
listing = "\n".join(f"- **{floor}**\n" + "\n".join(rooms) for floor, rooms in floors.items())
path = source / "ARCHITECTURE.md"
text = path.read_text()
begin, end = "<!-- rooms -->\n", "\n<!-- /rooms -->"
head, rest = text.split(begin)
old, tail = rest.split(end)
if sys.argv[3:] == ["--write"]:
    path.write_text(head + begin + listing + end + tail)
elif old != listing:
    sys.exit("ARCHITECTURE.md and the declared rooms differ; run: python3 tests/house/rooms.py . build/dev --write")
