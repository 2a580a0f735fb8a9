#!/usr/bin/env python3
"""Holds each executable's libraries against what it may have: `libraries.py FOLDER`. A new library is a decision, not an accident."""
import pathlib
import re
import subprocess
import sys

C = {"libc", "libm", "libgcc_s", "libstdc++", "ld-linux-x86-64"}
SANITIZERS = {"libasan", "libubsan", "libtsan", "librt", "libpthread", "libdl", "libresolv"}
OWN = {
    "postdrop": C | {"libfmt", "libidn2"},
    "postqueue": C | {"libfmt", "libidn2", "libprotobuf-lite"},
    "posthorn-master": C | {"libfmt", "libidn2", "libprotobuf-lite", "libseccomp"},
    "posthorn": C | {"libfmt", "libidn2", "libprotobuf-lite", "libseccomp", "libsqlite3", "libssl", "libcrypto", "libunbound", "libpcre2-8", "liblmdb",
                     "libicuuc", "libicui18n", "libpsl", "libz", "libexpat", "libtinycdb", "libcdb", "libjemalloc"},
}


def needed(path):
    text = subprocess.run(["readelf", "-d", path], check=True, capture_output=True, text=True).stdout
    return {re.match(r"(.+?)(-[\d]+\.[\d.]+)?\.so", name).group(1) for name in re.findall(r"\(NEEDED\).*\[(.+?)\]", text)}


def main():
    folder, wrong = pathlib.Path(sys.argv[1]), 0
    for name, allowed in OWN.items():
        found = needed(folder / name) - SANITIZERS
        for library in sorted(found - allowed):
            print(f"{name} needs {library}, which its list does not have")
            wrong += 1
        if not found:
            print(f"{name}: no libraries found: is this the right file?")
            wrong += 1
    if "libssl" in needed(folder / "postdrop"):
        wrong += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
