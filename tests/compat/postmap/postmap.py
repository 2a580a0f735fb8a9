#!/usr/bin/env python3
"""The same tables and keys to Debian's postmap and postalias (3.7) and to ours: output, exit code, messages, and each other's LMDB files.

Postfix sleeps for a second before each fatal exit: the questions are asked in many folders at once, each with equal files for both.
usage: postmap.py OUR_POSTMAP [--seed N]
"""
import argparse
import collections
import concurrent.futures
import os
import pathlib
import queue
import random
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import frame  # noqa: E402
from further_kinds import Further, write_database  # noqa: E402

SUFFIXES = {"lmdb": "lmdb", "hash": "db", "btree": "db", "cdb": "cdb"}
PLACES = 24
# Types that must be asked about, each at least so often. Those of database servers are in databases.py.
KINDS = """texthash inline static cidr regexp pcre hash btree lmdb cdb environ unix internal fail debug unionmap pipemap randmap sqlite tcp socketmap memcache nis""".split()
EACH = 5

# What may differ, by name, and why.
ACCEPTED = {
    "order": "texthash, inline, hash and btree list in an order of their own; both sides are sorted",
    "library": "what Berkeley DB prints to standard error by itself (BDB0641) is left out",
    "list-cdb": "postmap -s of a cdb file: Postfix cannot, we list it; not asked",
    "repeated": "Postfix says a warning again each time the table is walked; compared as a set",
    "rule-order": "where one rule has two faults, either is named: compared by map and line",
    "told-at-commit": "duplicates are found when all changes are made together; the order of warnings is not compared",
    "erase-from-none": "-d on a missing file: Postfix creates an empty one without a word, we say that there is none; both exit 1",
    "made-at": "the values of YP_LAST_MODIFIED and YP_MASTER_NAME are time and place",
    "mode-in-place": "we replace a file where Postfix writes into it; contents are compared through both readers",
    "own-words": "what is wrong with a server, its answer or its source file is said in our words; both fail, and both say why (we have printed what keys before it gave)",
    "sqlite-missing": "Postfix makes an empty database of a file that is not there; we say that there is none",
    "debug-is-new": "Postfix 3.11 has debug, Debian's 3.7 has not: compared with the table inside",
    "json-is-new": "Postfix 3.11 has -j, Debian's 3.7 has not: the usage line names it",
    "nis": "refused with a reason; Postfix warns and finds nothing",
    "environment": "Postfix's programs forget the environment but for import_environment",
}


class Side:
    """One postmap and postalias, in the folder `programs`, and a working folder of their own."""

    def __init__(self, programs, folder, environment, debian):
        self.programs, self.folder, self.environment = programs, folder, environment
        (folder / "t").mkdir(parents=True)
        (folder / "etc").mkdir()
        (folder / "etc/main.cf").write_text(
            f"compatibility_level = 3.7\ndaemon_directory = {debian.root}/usr/lib/postfix/sbin\ncommand_directory = {debian.root}/usr/sbin\n"
            f"shlib_directory = {debian.library}\nmeta_directory = {folder}/etc\nmydomain = example.test\nmyhostname = host.example.test\n"
            f"mail_owner = daemon\nsetgid_group = mail\ndefault_privs = nobody\ndefault_database_type = lmdb\nqueue_directory = {folder.parent}/queue\n")
        (folder / "etc/dynamicmaps.cf").write_text(debian.dynamicmaps())

    def run(self, args, stdin, program="postmap"):
        return subprocess.run([f"{self.programs}/{program}", "-c", "../etc", *args], cwd=self.folder / "t", input=stdin, capture_output=True,
                              env=self.environment, timeout=60)


class Place:
    """Both sides with equal files."""

    def __init__(self, folder, debian, ours):
        self.theirs = Side(f"{debian.root}/usr/sbin", folder / "theirs", debian.env, debian)
        self.ours = Side(ours, folder / "ours", {**os.environ, "LC_ALL": "C"}, debian)

    def write(self, files):
        for side in (self.theirs, self.ours):
            for old in (side.folder / "t").iterdir():
                old.unlink()
            for file, text in files.items():
                path = side.folder / "t" / file
                if text is None:
                    write_database(path)
                else:
                    path.write_bytes(text.encode("latin-1" if "\xfc\xfc" in text else "utf-8"))

    def ask(self, name, files, args, stdin, accept, command="postmap"):
        asked = [*args[:-1], args[-1].removeprefix("debug:")] if "debug-is-new" in accept else args
        return name, files, args, stdin, accept, self.theirs.run(asked, stdin.encode(), command), self.ours.run(args, stdin.encode(), command)


ODD = (" lead ws\n# comment\nKey value one\n  continued\n# c\n more\nnovalue\nalias: x\nkey dup\n\"quoted key\"@x val\n\"un val\n\n"
       "UPPER Val #nocomment\n\xfc\xfc bad utf8\nlast   spaces  kept   \n")
CIDR = ("10.0.0.0/8 ten\n!10.1.0.0/16 notten1\n1.2.3.4/24 badbits\n300.1.1.1 bad\n2001:db8::/32 v6\n[::1] br\n::1 lo\n"
        "if 192.168.0.0/16\n192.168.1.0/24 inner\nendif\nendif\n1.2.3.4\n10.0.0.0/33 x\nif 1.0.0.0/8 text\nfoo x\n10.0.0.0/x y\n")
RULES = ("/^(.*)@(.*)$/ $2 $1 ${1}x $(2) $$\n!/foo/ nofoo $1\n/unbalanced(/ x\n/nores/\nbare text\n/a/z flags\nif /abc/\n/b/ B\nendif\n"
         "endif\n/x/ $1\n/(x)/ $3 and $x\n!/zzz/ nozzz\nif !/q/\n/noend\n/a/x basic\nendif\nif /never/\n/never/ x\n")
MESSAGE = ("From: a key\nSubject: b\n c\nContent-Type: multipart/mixed; boundary=\"x\"\n\npreamble key\n--x\nContent-Type: text/plain; name=key\n\n"
           "body key\n--x\nContent-Type: message/rfc822\n\nSubject: inner key\n\ninner body key\n--x--\nepilogue key\n")


def fixed_cases():
    """(name, files, arguments, standard input, accepted)"""
    out = []

    def add(name, files, *args, stdin="", accept=()):
        out.append((name, files, list(args), stdin, set(accept)))

    odd = {"a": ODD}
    for key in ["key", "KEY", "quoted key", '"quoted key"@x', "upper", "UPPER", "alias:", "missing", "", "last"]:
        add("texthash", odd, "-q", key, "texthash:a")
        add("texthash-f", odd, "-f", "-q", key, "texthash:a")
    add("texthash-list", odd, "-s", "texthash:a", accept=["order"])
    add("texthash-build", odd, "texthash:a")
    for spec in ["unionmap:{static:one,static:two}", "unionmap:{static:one,inline:{x=two}}", "unionmap:static:one", "unionmap:{}", "unionmap:{foo:x}",
                 "unionmap:{texthash:nofile}", "unionmap:{fail:x,static:y}", "unionmap:{static:{},static:a}", "unionmap:{static:a,static:{}}", "unionmap:{{texthash:m}}", "unionmap:{inline:{x=1,b=2}, static:z}",
                 "unionmap:{inline:{b=1},inline:{c=2}}", "pipemap:{}", "pipemap:x", "pipemap:{inline:{x=y}}", "pipemap:{inline:{x=y}, inline:{y=z}}",
                 "pipemap:{inline:{x=y}, inline:{q=z}, static:s}", "pipemap:{static:x, fail:x}", "pipemap:{inline:{a=b}, fail:x}", "pipemap:{foo:x}",
                 "randmap:{one}", "randmap:{one one,one}", "randmap:{}", "randmap:x", "randmap:{{one two}}", "internal:x", "fail:x", "socketmap:x"]:
        for key in ["x", "X", "b"]:
            add("composed", {}, "-q", key, spec)
    for spec in ["texthash:nofile", "hash:nofile", "btree:nofile", "cdb:nofile", "dbm:a", "sdbm:a", "lmdb:nofile", "pcre:nofile", "regexp:nofile", "cidr:nofile", "foo:a", "static:", "inline:foo", "inline:{}",
                 "inline:{x, {y = 2 3}}", "unix:nothing"]:
        add("open", {}, "-q", "x", spec)
    for spec in ["texthash:nofile", "lmdb:nofile", "static:x", "regexp:a"]:
        add("list-open", {"a": "/x/ y\n"}, "-s", spec)
    inline = "inline:{x=1, {y = 2 3} , Z=3,u=}"
    for key in ["x", "X", "y", "z", "Z", "none", "u"]:
        add("inline", {}, "-q", key, inline)
        add("inline-f", {}, "-f", "-q", key, inline)
    for spec in ["static:v", "static:{ a b }"]:
        add("static", {}, "-q", "anything", spec)
    for key in ["10.2.3.4", "10.1.1.1", "192.168.1.5", "::1", "2001:DB8::5", "foo", "[::1]", "1.2.3.4", "1.2.3", "255.255.255.255"]:
        add("cidr", {"c": CIDR}, "-q", key, "cidr:c")
    for key in ["a@b", "foo", "abc", "x", "foox", "zzz", "q", "never", "A@B@C"]:
        for kind in ["regexp", "pcre"]:
            add(kind, {"r": RULES}, "-q", key, f"{kind}:r")
    for kind in ["regexp", "pcre"]:
        for key in ["ab", "abcd", "", "b"]:
            add(kind + "-longest", {}, "-q", key, kind + ":{{/(a|ab)(c|bcd)?/ $1-$2}, {/(a|ab)/ $1}}")
        for flags in [["-h"], ["-b"], ["-hb"], ["-hm"], ["-bm"], ["-hbm"]]:
            add(kind + "-message", {"m": "/key/ HIT\n/^subject/ S\n"}, *flags, "-q", "-", f"{kind}:m", stdin=MESSAGE)
    add("stdin-keys", {}, "-q", "-", "inline:{a=1}", "static:z", stdin="A\n\nb c\n")
    add("stdin-none", {}, "-q", "-", "inline:{a=1}", stdin="x\n")
    add("two-maps", odd, "-q", "key", "inline:{x=1}", "texthash:a")
    for args in [[], ["-q", "x"], ["-s", "-q", "x", "a"], ["-d", "x", "-q", "x", "a"], ["-m", "a"], ["-b", "-q", "x", "static:x"], ["-z"]]:
        add("usage", {}, *args, accept=["json-is-new"])
    add("utf8", {}, "-q", b"\xff", "inline:{a=1}")
    add("utf8-off", {}, "-u", "-q", "\u00d6", "inline:{\u00f6=1}")
    add("utf8-on", {}, "-q", "\u00d6", "inline:{\u00f6=1}")
    values = {"fv": "hello\n", "ff": "k fv\nbad nofile\n"}
    add("file-values", values, "-F", "-q", "k", "texthash:ff", accept=["repeated"])
    add("file-values-raw", values, "-q", "k", "texthash:ff")
    add("file-values-static", values, "-F", "-q", "x", "static:fv")
    return out


def database_steps(kind):
    """lmdb_steps for another kind: what it cannot be asked is left out."""
    for name, files, steps in lmdb_steps():
        left = [([arg.replace("lmdb:", kind + ":") for arg in args], stdin) for args, stdin in steps
                if "l" not in args and not (kind == "cdb" and {"-s", "-i", "-d"} & set(args) and "none" not in "".join(args))]
        yield f"{kind}-{name}", files, left


def lmdb_steps():
    """Sequences: each side builds with its own program in its own folder; then each reads the other's file."""
    yield "odd", {"l": ODD}, [(["lmdb:l"], ""), (["-s", "lmdb:l"], ""), (["-q", "upper", "lmdb:l"], ""), (["-q", "key", "l"], "")]
    yield "change", {"l": "k v\nlonger value two\n"}, [
        (["lmdb:l"], ""), (["-d", "k", "lmdb:l"], ""), (["-d", "k", "lmdb:l"], ""), (["-i", "lmdb:l"], "n 1\nk 2\n"), (["-s", "lmdb:l"], ""),
        (["-i", "lmdb:l"], "k 3\nnovalue\n"), (["-w", "-i", "lmdb:l"], "k 3\n"), (["-r", "-i", "lmdb:l"], "k 4\n"), (["-s", "lmdb:l"], ""),
        (["-q", "-", "lmdb:l"], "k\nn\nzz\n"), (["-d", "-", "lmdb:l"], "k\nzz\n"), (["-s", "lmdb:l"], ""), (["-d", "x", "lmdb:none"], ""),
        (["-i", "lmdb:fresh"], "a b\n"), (["-s", "lmdb:fresh"], "")]
    yield "null", {"l": "k v\n"}, [(["-n", "lmdb:l"], ""), (["-q", "k", "lmdb:l"], ""), (["-N", "lmdb:l"], ""), (["-q", "k", "lmdb:l"], "")]
    yield "values", {"l": "k fv\nbad nofile\n", "fv": "hello\n"}, [(["-F", "lmdb:l"], ""), (["-q", "k", "lmdb:l"], ""), (["-F", "-q", "k", "lmdb:l"], ""),
                                                                  (["-F", "-s", "lmdb:l"], "")]


ALIASES = """# comment
root: admin@example.com
Postmaster:   root,  other (a comment)
  , third
"quoted name": x
"a\\"b:c" : y
novalue
empty:
list: :include:/etc/list, "|/bin/cmd -x 'a b'", /var/mail/x
pipe: |/bin/cmd
dup: 1
DUP: 2
owner-list: "John Doe" <j@x.test>
weird@domain.test: z
spaced   :   a b c
a.b.c: q
multi word: v
: nokey

\tleading: tab
colon:a:b
<angle>: x
\u00fctf: x
dquote: "abc
paren: (unclosed
group: grp: a, b;
back\\ slash: v
semi: a; b
lit: a@[1.2.3.4]
"""


def alias_steps():
    listed = [(["lmdb:a"], ""), (["-s", "lmdb:a"], "")]
    yield "file", {"a": ALIASES}, listed + [(["-q", key, "lmdb:a"], "") for key in ("ROOT", "quoted name", '"quoted name"', "nothere", 'a"b:c', "@")]
    yield "no-fold", {"a": ALIASES}, [(["-f", "lmdb:a"], ""), (["-s", "lmdb:a"], ""), (["-f", "-q", "Postmaster", "lmdb:a"], ""), (["-f", "-q", "postmaster", "lmdb:a"], "")]
    yield "change", {"a": "k: v\nl: w\n"}, listed + [
        (["-i", "lmdb:a"], "n: v\nk: 2\nbad\n"), (["-r", "-i", "lmdb:a"], "k: 3\n"), (["-w", "-i", "lmdb:a"], "k: 4\n"), (["-s", "lmdb:a"], ""),
        (["-d", "n", "lmdb:a"], ""), (["-d", "n", "lmdb:a"], ""), (["-d", "-", "lmdb:a"], "k\nzz\n"), (["-q", "-", "lmdb:a"], "l\nk\n"), (["-s", "lmdb:a"], "")]
    yield "duplicates", {"a": "d: 1\nd: 2\n"}, [(["-r", "lmdb:a"], ""), (["-q", "d", "lmdb:a"], ""), (["-w", "lmdb:a"], ""), (["-q", "d", "lmdb:a"], "")]
    yield "default-type", {"a": "d: 1\n"}, [(["a"], ""), (["-q", "d", "a"], "")]
    yield "others", {"a": "d: 1\nk v\n"}, [(args, "") for args in (
        ["texthash:a"], ["-q", "d:", "texthash:a"], ["-q", "k", "texthash:a"], ["-s", "static:a"], ["lmdb:none"], ["-q", "x", "foo:a"],
        ["-b", "a"], ["-s", "-q", "x", "a"], [], ["-U", "a"], ["-q", "x", "inline:{x=y}"], ["-o", "-p", "-n", "lmdb:a"], ["-q", "d", "lmdb:a"], ["-v", "-N", "lmdb:a"])
        if "-v" not in args]


def random_aliases(seed, count):
    rng = random.Random(seed)
    parts = ["a", "b.c", "D", " ", " ", ",", ", ", ":", "(x y)", '"q w"', "<", ">", "@", "[1]", ";", "\\,", "|/bin/x", "/f", "\t", "'", "()"]
    for case in range(count):
        lines = [("".join(rng.choice(parts) for _ in range(rng.randrange(1, 5))) + ": ").lstrip() + "".join(rng.choice(parts) for _ in range(rng.randrange(0, 9)))
                 for _ in range(8)]
        yield "random", {"a": "\n".join(lines) + "\n"}, [(["lmdb:a"], ""), (["-s", "lmdb:a"], "")]


def random_cases(seed, count):
    rng = random.Random(seed)
    words = ["a", "b", "ab", "Key", "user@x.test", "@x.test", "user+e@x.test", '"q r"@x', "x.test", ".x.test", "\u00f6@x", "w" * 40]
    letters = "abAB.@x"

    def subject():
        return "".join(rng.choice(letters) for _ in range(rng.randrange(0, 8)))

    def pattern(depth=0):
        out = ""
        for _ in range(rng.randrange(1, 5)):
            atom = rng.choice(["a", "b", "B", "\\.", ".", "[ab]", "[^a]", "x", "@", "^", "$"])
            if depth < 2 and rng.random() < 0.3:
                atom = "(" + pattern(depth + 1) + ("|" + pattern(depth + 1) if rng.random() < 0.4 else "") + ")"
            if atom not in "^$" and rng.random() < 0.3:
                atom += rng.choice(["*", "+", "?", "{1,2}"])
            out += atom
        return out

    def address():
        if rng.random() < 0.25:
            return f"2001:db8:{rng.randrange(4)}::{rng.randrange(4)}"
        return f"10.{rng.randrange(3)}.{rng.randrange(4)}.{rng.randrange(256)}"

    def network():
        if rng.random() < 0.25:
            return rng.choice(["2001:db8::/32", "2001:db8:1::/48", "2001:db8:2::1", "::/0", "2001:db8::/46"])
        length = rng.choice([8, 15, 16, 22, 23, 24, 30, 32])
        number = (10 << 24 | rng.randrange(3) << 16 | rng.randrange(4) << 8 | rng.randrange(256)) >> (32 - length) << (32 - length)
        return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}/{length}"

    for case in range(count):
        kind = rng.choice(["texthash", "cidr", "regexp", "pcre", "inline"])
        files, lines, depth = {}, [], 0
        if kind in ("texthash", "inline"):
            entries = [(rng.choice(words), rng.choice(words)) for _ in range(6)]
            key = rng.choice(words).swapcase()
            if kind == "inline":
                entries = {k.lower(): v for k, v in entries if " " not in k and "@" not in k[:1]} or {"a": "b"}
                yield "random-inline", {}, ["-q", key, "inline:{" + ", ".join(f"{{{k} = {v}}}" for k, v in entries.items()) + "}"], "", set()
                continue
            files["f"] = "".join(f"{k}{rng.choice([' ', chr(9), '  '])}{v}\n" for k, v in entries)
        elif kind == "cidr":
            for number in range(12):
                if rng.random() < 0.15:
                    lines.append(f"if {rng.choice(['', '!'])}{network()}")
                    depth += 1
                elif depth and rng.random() < 0.2:
                    lines.append("endif")
                    depth -= 1
                else:
                    lines.append(f"{rng.choice(['', '', '', '!'])}{network()} r{number}")
            key = address()
        else:
            for number in range(5):
                negated = rng.random() < 0.2
                flags = rng.choice(["", "", "i"] + (["s", "U", "A", "m"] if kind == "pcre" else ["m"]))
                text = pattern()
                if rng.random() < 0.15:
                    lines.append(f"if {'!' if negated else ''}/{text}/{flags}")
                    depth += 1
                elif depth and rng.random() < 0.2:
                    lines.append("endif")
                    depth -= 1
                else:
                    fill = "" if negated or "(" not in text else rng.choice(["", " <$1>", " <${1}>", " $(1)$$"])
                    lines.append(f"{'!' if negated else ''}/{text}/{flags} r{number}{fill}")
            key = subject()
        if lines:
            files["f"] = "\n".join(lines) + "\n"
        yield "random-" + kind, files, ["-q", key, f"{kind}:f"], "", {"rule-order"}


def errors_of(text, accept):
    lines = [line for line in text.decode("utf-8", "replace").splitlines() if line]
    # The program's own name stands before what getopt says of an option.
    lines = [line if ": invalid option" not in line and ": option requires" not in line else "postmap" + line[line.index(":"):] for line in lines]
    if "rule-order" in accept:
        lines = [line.split(", line ")[0] + line.split(", line ")[1].split(":")[0] if ", line " in line else line for line in lines]
    if "erase-from-none" in accept:
        return []
    if "library" in accept:
        lines = [line for line in lines if not line.startswith("BDB")]
    return sorted(set(lines)) if accept & {"repeated", "rule-order", "told-at-commit"} else lines


def same(theirs, ours, accept):
    left, right = theirs.stdout, ours.stdout
    if "made-at" in accept:
        left, right = (re.sub(rb"(?m)^(YP_\w+:\t).*", rb"\1", text) for text in (left, right))
    if "order" in accept:
        left, right = b"".join(sorted(left.splitlines(True))), b"".join(sorted(right.splitlines(True)))
    if accept & {"sqlite-missing", "nis"}:
        return ours.returncode == 1 and ours.stderr.startswith(b"postmap: fatal: ")
    said = ours.stderr
    if "json-is-new" in accept:
        said = said.replace(b"usage: postmap [-bfFhijmn", b"usage: postmap [-bfFhimn").replace(b"usage: postalias [-Nfijno", b"usage: postalias [-Nfino")
    if "debug-is-new" in accept:
        return left == right and theirs.returncode == ours.returncode
    if "environment" in accept:
        path = os.environb.get(b"PATH", b"")
        return left == b"".join(line for line in right.splitlines(True) if line not in (b"PATH\t" + path + b"\n", path + b"\n"))
    if accept & {"own-words"} and theirs.returncode == 1 and theirs.stderr and b"fatal: " in ours.stderr:
        return ours.returncode == 1 and right.startswith(left)
    return left == right and theirs.returncode == ours.returncode and errors_of(theirs.stderr, accept) == errors_of(said, accept)


def strictly(done):
    """Only the name that a program was called by is not its own."""
    return done.stdout, done.returncode, errors_of(done.stderr, set())


def told(name, files, args, stdin, theirs, ours):
    lines = [f"{name}: postmap {args} input {stdin!r}", *(f"    {file}: {text!r}" for file, text in files.items())]
    for who, got in (("Postfix", theirs), ("ours", ours)):
        lines.append(f"    {who}: exit {got.returncode}\n      out {got.stdout!r}\n      err {got.stderr.decode('utf-8', 'replace')!r}")
    return "\n".join(lines)


def built_and_exchanged(kind, name, files, steps):
    """Each builds with its own program; then each reads what the other has written."""
    accept = {"told-at-commit"} | ({"order", "library"} if SUFFIXES[kind] == "db" else set())

    def job(place):
        place.write(files)
        for args, stdin in steps:
            yield place.ask(f"{kind}-{name}", files, args, stdin, accept | ({"erase-from-none"} if f"{kind}:none" in args else set()))
        for built in (place.theirs.folder / "t").glob("*." + SUFFIXES[kind]):
            mine = place.ours.folder / "t" / built.name
            if not mine.exists():
                continue
            kept = mine.read_bytes()
            shutil.copyfile(built, mine)
            built.write_bytes(kept)
            for args in [["-q", "upper"], ["-q", "KEY"], ["-q", "k"], *([] if kind == "cdb" else [["-s"]])]:
                yield place.ask(f"{kind}-exchange-{name}", files, [*args, f"{kind}:{built.stem}"], "", accept)
    return job


def steps_in_order(name, files, steps, accept, command):
    def job(place):
        place.write(files)
        for args, stdin in steps:
            yield place.ask(name, files, args, stdin, accept, command)
    return job


def jobs(seed, further):
    """Each asks its questions in a place of its own."""
    for name, files, args, stdin, accept in [*fixed_cases(), *random_cases(seed, 150), *further.questions()]:
        yield steps_in_order(name, files, [(args, stdin)], accept | ({"repeated"} if any("texthash:" in str(arg) for arg in args) else set()), "postmap")
    for kind in SUFFIXES:
        for name, files, steps in lmdb_steps() if kind == "lmdb" else database_steps(kind):
            yield built_and_exchanged(kind, name, files, steps)
    for kind, other in (("hash", "btree"), ("btree", "hash")):
        yield steps_in_order(f"{kind}-as-{other}", {"l": "k v\n"}, [([f"{kind}:l"], ""), (["-q", "k", f"{other}:l"], "")], {"library"}, "postmap")
    for name, files, steps in [*alias_steps(), *random_aliases(seed, 60)]:
        yield steps_in_order("alias-" + name, files, steps, {"told-at-commit", "made-at"} | ({"json-is-new"} if name == "others" else set()), "postalias")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("program", type=pathlib.Path)
    options.add_argument("--seed", type=int, default=1)
    options = options.parse_args()
    debian = frame.Debian()
    further = Further(options.seed)
    area = frame.Area("lookups", ACCEPTED)
    found = 0
    with frame.workshop() as folder:
        programs = folder / "bin"
        programs.mkdir()
        for name in ("postmap", "postalias"):
            (programs / name).symlink_to(options.program.resolve())
        places = queue.Queue()
        for number in range(PLACES):
            places.put(Place(folder / f"place{number}", debian, programs))

        def run(job):
            place = places.get()
            try:
                return list(job(place))
            finally:
                places.put(place)

        kinds = collections.Counter()
        with concurrent.futures.ThreadPoolExecutor(PLACES) as pool:
            for answers in pool.map(run, jobs(options.seed, further)):
                for name, files, args, stdin, accept, theirs, ours in answers:
                    found += theirs.returncode == 0
                    kinds.update(re.findall(r"^([a-z]+):", str(args[-1]) if args else ""))
                    if strictly(theirs) == strictly(ours):
                        area.same()
                    elif same(theirs, ours, accept):
                        area.accept(sorted(accept))
                    else:
                        area.differ(told(name, files, args, stdin, theirs, ours))
        further.close()
    print(f"{found} with an answer; of each type: {', '.join(f'{kind} {count}' for kind, count in sorted(kinds.items()))}")
    missing = {kind for kind in KINDS if kinds[kind] < EACH}
    if missing or found < frame.QUOTAS["lookups"]:
        print(f"FAILED: fewer than {EACH} questions of: {', '.join(sorted(missing))}; {found} answers")
    return area.close(options.seed) or bool(missing) or found < frame.QUOTAS["lookups"]


if __name__ == "__main__":
    frame.guarded(main)
