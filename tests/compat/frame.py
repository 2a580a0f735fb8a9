"""What all comparisons with Debian's Postfix share: its packages, unpacked once and never installed; both systems side by side; what no two
runs have in common; and the count of what was asked, equal, accepted and different.

  POSTHORN_POSTFIX_DEBS     a folder with Postfix's packages, instead of downloading them; POSTHORN_READERS_DEBS those of the log readers
  POSTHORN_COMPAT_REPORT    a folder: each area leaves its count there for run.py
"""
import collections
import contextlib
import fcntl
import glob
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

HOUSE = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path[:0] = [str(HOUSE / "tests/journeys"), str(HOUSE / "bench")]

# What has to be asked at least of each area, whatever the seed.
QUOTAS = {"restrictions": 80, "rewriting": 60, "lookups": 100, "access": 40, "postconf": 60, "tools": 60}
PACKAGES = ["postfix", "postfix-pcre", "postfix-lmdb", "postfix-cdb", "postfix-sqlite", "postfix-pgsql", "postfix-mysql", "postfix-ldap"]
# type -> can its tables be made
MODULES = {"pcre": False, "lmdb": True, "cdb": True, "sqlite": False, "pgsql": False, "mysql": False, "ldap": False}
SKIPPED = 77


class Skipped(Exception):
    """What is needed cannot be had here."""


def unpacked(name, packages, given):
    """The root of these packages of Debian, in a folder of this user that outlives the test. given: a folder that has them already, or None."""
    place = pathlib.Path(tempfile.gettempdir()) / ("posthorn-debian-postfix" + (f".{os.getuid()}" if os.getuid() else ""))
    place.mkdir(exist_ok=True)
    if place.stat().st_uid != os.getuid():
        raise Skipped(f"{place} is somebody else's")
    place.chmod(0o755)
    root, part = place / name, place / f"{name}.part"
    with open(place / "lock", "w") as lock:             # tests run side by side; one unpacks
        fcntl.flock(lock, fcntl.LOCK_EX)
        if root.exists():
            return root
        source = pathlib.Path(given or place / "package")
        source.mkdir(exist_ok=True)

        def found():
            return [max(debs, key=os.path.getmtime) for package in packages if (debs := glob.glob(f"{source}/{package}_*.deb"))]        # of several versions one
        if len(found()) < len(packages):
            subprocess.run(["apt-get", "download", "-q", *packages], cwd=source, capture_output=True)
        if len(found()) < len(packages):
            raise Skipped(f"Debian's {packages[0]} and what belongs to it cannot be had here")
        shutil.rmtree(part, ignore_errors=True)                 # whole, or not there
        for deb in found():
            subprocess.run(["dpkg-deb", "-x", deb, part], check=True)
        part.rename(root)
    return root


class Debian:
    """Debian's postfix packages in a folder of ours. In the shape of mail_systems.Tools."""

    def __init__(self):
        self.root = unpacked("root", PACKAGES, os.environ.get("POSTHORN_POSTFIX_DEBS"))
        self.library = f"{self.root}/usr/lib/postfix"
        self.env = {**os.environ, "LC_ALL": "C", "LD_LIBRARY_PATH": f"{self.library}:{self.root}/usr/lib/x86_64-linux-gnu"}
        self.env.pop("MAIL_CONFIG", None)
        probe = subprocess.run([self.program("postconf"), "-d", "mail_version"], env=self.env, capture_output=True, text=True)
        if not probe.stdout.startswith("mail_version ="):
            raise Skipped(f"Debian's Postfix does not run here: {probe.stderr.strip()}")

    def program(self, name):
        return str(self.root / "usr/sbin" / name)

    def dynamicmaps(self):
        """The text of dynamicmaps.cf for all modules."""
        return "".join(f"{kind}\t{self.library}/postfix-{kind}.so\tdict_{kind}_open" + (f"\tmkmap_{kind}_open" if made else "") + "\n" for kind, made in MODULES.items())


def log_of(system):
    """What it has logged, without what it says of a machine that is crowded."""
    return re.sub(r"(?m)^.*: warning: (event loop was late by \d+ ms|file system clock is \d+ seconds? .*|resetting file time stamps .*)\n", "", system.log_path.read_text(errors="replace"))


def start(kind, folder, debian, bin, sink, settings, name=None):
    """One system of this kind in folder/name, with Debian's modules for tables."""
    import relays
    from mail_systems import Postfix, Posthorn
    programs = relays.programs_beside(bin)
    if kind == "postfix":
        meta = folder / "meta"
        if not meta.exists():
            meta.mkdir()
            (meta / "dynamicmaps.cf").write_text(debian.dynamicmaps())
        return Postfix(kind, folder / (name or kind), debian, programs, sink=sink, settings={"meta_directory": meta, **settings})
    return Posthorn(kind, folder / (name or kind), debian, programs, bin, sink=sink, settings=settings)


@contextlib.contextmanager
def workshop():
    """A folder that both systems' users may enter; gone at the end."""
    import remains
    folder = remains.folder("posthorn-compat.")
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def need_root():
    if os.getuid() != 0:
        raise Skipped("Debian's Postfix needs root to run")


def guarded(main):
    """Runs main; its exit code, or 77 where something is not to be had."""
    from mail_systems import Unavailable
    try:
        sys.exit(main())
    except (Skipped, Unavailable) as why:
        print(f"skipped: {why}")
        sys.exit(SKIPPED)


def network_of_its_own():
    """Starts this program again where it has a network and mounts of its own; returns there. Port 53 and resolv.conf are the test's."""
    if os.environ.pop("POSTHORN_APART", None):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    apart = ["unshare", "--mount", "--net", "--propagation", "private"]
    if subprocess.run([*apart, "true"], capture_output=True).returncode:
        raise Skipped("no network of our own can be had here")
    os.execvpe(apart[0], [*apart, sys.executable, *sys.argv], {**os.environ, "POSTHORN_APART": "yes"})      # who ends this process ends that one


@contextlib.contextmanager
def name_server(bin, folder, zone):
    """Both systems ask a name server of the test. In a network of its own."""
    (folder / "zone").write_text(zone)
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    (folder / "resolv.conf").chmod(0o644)
    subprocess.run(["mount", "--bind", folder / "resolv.conf", "/etc/resolv.conf"], check=True)
    names = subprocess.Popen([bin.resolve().parent / "tests/tools/posthorn-testdns", folder / "zone", "53"], stdout=subprocess.PIPE, text=True)
    try:
        names.stdout.readline()
        yield
    finally:
        names.terminate()
        names.wait(10)
        subprocess.run(["umount", "/etc/resolv.conf"], check=False)


def normal(text):
    """Without what two systems, or two runs, cannot have in common: queue ids, dates, ports, delays."""
    text = re.sub(r"\b(id|queued as) [0-9A-Za-z]{6,}\b", r"\1 QID", text)
    text = re.sub(r"<\d{14}\.[0-9A-Za-z]{6,}@", "<TIME.QID@", text)
    text = re.sub(r"\b[0-9A-F]{6,}\b(?=: )", "QID", text)
    text = re.sub(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun), +\d+ \w{3} 20\d\d \d\d:\d\d:\d\d [+-]\d{4}( \(\w+\))?", "DATE", text)
    text = re.sub(r"\(Postfix\)|\(Posthorn\)", "(MTA)", text)
    text = re.sub(r"127\.0\.0\.1(\]?):\d+", r"127.0.0.1\1:PORT", text)
    text = re.sub(r"delay=[\d.]+, delays=[\d./]+, (?:tls=\S+, )?", "", text)
    return re.sub(r"conn_use=\d+, ", "", text)


empty_line = "\r\n"


def dialogue(port, commands, content, client="127.0.0.1", patience=240):
    """(command, reply whole) for the greeting (CONNECT) and each command, and once more for each content, which is said where 354 asks for it; until
    the connection ends. A chunk brings its octets along; an empty command says nothing and hears one more reply; empty_line is said as such."""
    said = []
    with socket.socket() as stream:
        stream.settimeout(patience)
        stream.bind((client, 0))
        stream.connect(("127.0.0.1", port))
        file = stream.makefile("rb")

        def reply():
            lines = []
            while line := file.readline():
                lines.append(line.decode(errors="replace").rstrip("\r\n"))
                if line[3:4] != b"-":
                    break
            return "\n".join(lines)
        said.append(("CONNECT", reply()))
        for command in commands:
            try:
                if command:
                    stream.sendall(command.encode() + b"\r\n" * (command != empty_line and not command.startswith("BDAT")))
                answer = reply()
                if command in ("DATA", "") and answer.startswith("354"):
                    said.append((command, answer))
                    stream.sendall(content.encode())
                    answer = reply()
            except OSError:
                answer = ""
            said.append((command, answer))
            if not answer:
                break
    return said


class Server:
    """A server that a test plays, on a port of its own: talk(stream, file, told) is had with each connection, in a thread of its own. told is the connection's
    list in sessions."""

    def __init__(self):
        self.sessions = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            told = []
            self.sessions.append(told)
            threading.Thread(target=self.serve, args=(stream, told), daemon=True).start()

    def serve(self, stream, told):
        with contextlib.suppress(OSError), stream:
            self.talk(stream, stream.makefile("rb"), told)

    def close(self):
        self.listener.close()


class Area:
    """The count of one area. accepted: name -> reason of each difference that may be."""

    def __init__(self, name, accepted=None):
        self.name, self.reasons = name, dict(accepted or {})
        self.asked = self.equal = self.differing = 0
        self.used = collections.Counter()

    def same(self):
        self.asked += 1
        self.equal += 1

    def accept(self, names):
        """One question whose answers differ in what these names say, and in nothing else."""
        self.asked += 1
        for name in names:
            if name not in self.reasons:
                raise SystemExit(f"{self.name}: accepted without a reason: {name}")
            self.used[name] += 1
        if not names:
            self.equal += 1

    def differ(self, text):
        self.asked += 1
        self.differing += 1
        print(f"DIFFERS: {self.name}: {text}")

    @property
    def excused(self):
        return self.asked - self.equal - self.differing

    def close(self, seed):
        """Prints the count, leaves it for run.py; the exit code."""
        report = {"area": self.name, "seed": seed, "asked": self.asked, "equal": self.equal, "accepted": self.excused, "differing": self.differing,
                  "reasons": {name: [count, self.reasons[name]] for name, count in sorted(self.used.items())}}
        folder = os.environ.get("POSTHORN_COMPAT_REPORT")
        if folder:
            pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
            (pathlib.Path(folder) / f"{self.name}.json").write_text(json.dumps(report))
        print(said(report))
        return 1 if problem(report) else 0


def problem(report):
    """What is wrong with this count; "" where nothing."""
    quota = QUOTAS.get(report["area"], 1)
    if report["asked"] < quota:
        return f"only {report['asked']} of at least {quota} questions were asked"
    return f"{report['differing']} differ" if report["differing"] else ""


def said(report):
    lines = [f"{report['area']:<14} seed {report['seed']}: {report['asked']} asked (quota {QUOTAS.get(report['area'], '-')}), {report['equal']} equal, "
             f"{report['accepted']} accepted differences, {report['differing']} differing"]
    lines += [f"    {count} x {name}: {why}" for name, (count, why) in report["reasons"].items()]
    return "\n".join(lines + ([f"    FAILED: {problem(report)}"] if problem(report) else []))
