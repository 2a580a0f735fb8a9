"""The load: bench/source and bench/sink, what they counted, and the library that counts and slows what waits for the disk."""
import array
import json
import mmap
import os
import pathlib
import resource
import signal
import socket
import struct
import subprocess
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "tests/journeys"))
from ports import free_port  # noqa: E402

# Whoever ends a run by a signal ends the mail systems too: what cleans up runs.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

FIELDS = ("run", "connections", "open", "most_open", "messages", "recipients", "octets", "turns", "changed", "strangers", "seen_recipients")
HEAD = 16 * 8
MOST_MESSAGES = 1 << 21


def wait_until(question, what, patience=180):                        # a sanitizer's build on a crowded machine starts a dozen services in a minute
    end = time.monotonic() + patience
    while not (answer := question()):
        if time.monotonic() > end:
            raise SystemExit(f"bench: waited {patience} s in vain: {what}")
        time.sleep(0.02)
    return answer


def greeting(port, address="127.0.0.1"):
    """The reply code that a server greets with; empty while there is none."""
    try:
        with socket.create_connection((address, port), timeout=5) as s:
            return s.recv(3)
    except OSError:
        return b""


def answers(port, address="127.0.0.1"):
    return greeting(port, address) == b"220"


def more_descriptors():
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Sink:
    """bench/sink, and its counters, which cost nothing to read."""

    def __init__(self, programs, folder, name="sink", address="127.0.0.1", port=None, arguments=()):
        self.port, self.address = port or free_port(), address
        self.path = pathlib.Path(folder) / f"{name}.counters"
        self.command = [str(pathlib.Path(programs) / "sink"), *arguments, str(self.path), f"{address}:{self.port}"]
        self.process = None
        self.start()
        with open(self.path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 0)

    def start(self):
        self.process = subprocess.Popen(self.command)
        wait_until(lambda: answers(self.port, "127.0.0.1" if self.address == "0.0.0.0" else self.address), "the sink answers")

    def stop(self):
        self.process.kill()
        self.process.wait()

    close = stop

    def begin(self, run):
        """What was delivered of this run so far is none of it."""
        self.memory[HEAD:HEAD + 2 * MOST_MESSAGES] = bytes(2 * MOST_MESSAGES)
        self.memory[8 * FIELDS.index("seen_recipients"):8 * FIELDS.index("seen_recipients") + 8] = bytes(8)
        self.memory[0:8] = struct.pack("Q", run)

    def __getattr__(self, name):
        if name not in FIELDS:
            raise AttributeError(name)
        return struct.unpack_from("Q", self.memory, 8 * FIELDS.index(name))[0]

    def counts(self):
        return dict(zip(FIELDS, struct.unpack_from(f"{len(FIELDS)}Q", self.memory, 0)))

    def check(self, messages, recipients):
        """(lost, doubled): recipients of this run's messages that were delivered to less or more than once."""
        seen = array.array("H", self.memory[HEAD:HEAD + 2 * messages])
        return sum(recipients - n for n in seen if n < recipients), sum(n - recipients for n in seen if n > recipients)


class Source:
    """bench/source at work. What it printed is in `said` once it has ended."""

    def __init__(self, programs, port, run, messages, sessions=20, per_session=1, octets=4096, recipients=1, send="group", to=None, domains=1, tls=False):
        self.process = subprocess.Popen(
            [str(pathlib.Path(programs) / "source"), "--run", str(run), "--messages", str(messages), "--sessions", str(sessions),
             "--per-session", str(per_session), "--octets", str(octets), "--recipients", str(recipients), "--send", send, "--domains", str(domains),
             "--tls", str(int(tls)), "--to", to or "n%n.r%r@sink.test", f"127.0.0.1:{port}"], stdout=subprocess.PIPE)
        self.said = None

    def ended(self):
        if self.said is None and self.process.poll() is not None:
            self.said = json.loads(self.process.stdout.read() or b"{}") or {"accepted": 0, "refused": 0, "cut_off": 0, "seconds": 0, "sessions": 0}
        return self.said is not None


class Syncs:
    """bench/slow_sync for one mail system: the environment it has to be started with, and the count."""

    def __init__(self, programs, folder, name, microseconds=0):
        if programs is None:                                        # no bench was built: nothing is counted
            self.names, self.env = (), {}
            return
        self.path = pathlib.Path(folder) / f"{name}.syncs"
        self.path.write_bytes(bytes(8))
        self.path.chmod(0o666)
        self.names = ("LD_PRELOAD", "POSTHORN_BENCH_SYNCS", "POSTHORN_BENCH_SYNC_US")
        library = pathlib.Path(programs) / "libslow_sync.so"
        self.env = {"LD_PRELOAD": str(library), "POSTHORN_BENCH_SYNCS": str(self.path), "POSTHORN_BENCH_SYNC_US": str(microseconds)}

    @property
    def count(self):
        return struct.unpack("Q", self.path.read_bytes())[0]


class Group:
    """A cgroup that counts the processor time of everything started in it, also of what has ended; None where the machine has none."""
    ROOT = pathlib.Path("/sys/fs/cgroup/cpuacct")
    count = 0

    def __init__(self, name):
        Group.count += 1
        self.path = None
        if os.getuid() == 0 and (self.ROOT / "cpuacct.usage").exists():
            path = self.ROOT / f"posthorn-bench-{os.getpid()}-{Group.count}-{name}"
            try:
                path.mkdir()
                self.path = path
            except OSError:
                pass

    def enter(self):
        """For a child, before it becomes the program."""
        if self.path:
            (self.path / "tasks").write_text(str(os.getpid()))

    @property
    def seconds(self):
        return int((self.path / "cpuacct.usage").read_text()) / 1e9 if self.path else None

    def close(self):
        for _ in range(50 if self.path else 0):                     # its last processes are still ending
            try:
                return self.path.rmdir()
            except OSError:
                time.sleep(0.1)
