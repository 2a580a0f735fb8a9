"""Mail systems and their peers as bench/relay drives them: a private instance each, on loopback, and what the kernel says they cost.

Debian's postfix package is unpacked, never installed: nothing of it starts by itself, and its smtp-source and smtp-sink come with it.
"""
import fcntl
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

ROLES = {"smtpd": 35, "qmgr": 30, "resolve": 10, "memory": None, "smtp": 20, "log threads": 5, "master": None}   # µs per message, design budget
QUEUES = "active bounce corrupt defer deferred flush hold incoming maildrop pid private public saved trace"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(question, what, patience=60):
    end = time.monotonic() + patience
    while not (answer := question()):
        if time.monotonic() > end:
            raise SystemExit(f"bench/relay: waited {patience} s in vain: {what}")
        time.sleep(0.02)
    return answer


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
            return s.recv(3) == b"220"
    except OSError:
        return False


def run(command, **kwargs):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **kwargs)
    if done.returncode != 0:
        raise SystemExit(f"bench/relay: {' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


# ---- What the kernel counts

def children(master):
    """pid -> command line of the master's living children."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == master:
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            except (OSError, ValueError, IndexError):
                continue
    return found


def thread_time(pid):
    """(of threads named log, of all others) in seconds: time on a processor as the scheduler counts it."""
    log = rest = 0
    try:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            spent = int((task / "schedstat").read_text().split()[0])
            if (task / "comm").read_text().strip() == "log":
                log += spent
            else:
                rest += spent
    except (OSError, IndexError):
        pass
    return log / 1e9, rest / 1e9


def reaped_time(pid):
    """Processor seconds of the children that it has waited for."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def pss(pids):
    """Proportional set size in MiB."""
    total = 0
    for pid in pids:
        try:
            total += int(re.search(r"^Pss:\s+(\d+)", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M).group(1))
        except (OSError, AttributeError):
            continue
    return total / 1024


# ---- The peers

class Unavailable(Exception):
    """What is needed cannot be had here."""


class Tools:
    """Debian's postfix package, unpacked into a folder of ours."""

    def __init__(self, folder):
        self.root = pathlib.Path(folder)
        if not (self.root / "usr/sbin/smtp-sink").exists():
            package = self.root / "package"
            package.mkdir(parents=True, exist_ok=True)
            if subprocess.run(["apt-get", "download", "-q", "postfix"], cwd=package, capture_output=True).returncode != 0:
                raise Unavailable("apt-get download postfix failed")
            run(["dpkg", "-x", *package.glob("postfix_*.deb"), self.root])
        self.env = {**os.environ, "LD_LIBRARY_PATH": str(self.root / "usr/lib/postfix")}

    def program(self, name):
        return str(self.root / "usr/sbin" / name)

    @property
    def version(self):
        names = [p.name for p in (self.root / "package").glob("postfix_*.deb")]
        return names[0].split("_")[1] if names else "?"


class Sink:
    """smtp-sink -c: takes everything and counts it."""

    def __init__(self, tools):
        self.port = free_port()
        user = ["-u", "nobody"] if os.getuid() == 0 else []
        self.process = subprocess.Popen([tools.program("smtp-sink"), *user, "-c", f"127.0.0.1:{self.port}", "1024"], env=tools.env,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        fcntl.fcntl(self.process.stdout, fcntl.F_SETPIPE_SZ, 1 << 20)
        self.messages = self.sessions = 0
        threading.Thread(target=self._read, daemon=True).start()
        wait_until(lambda: answers(self.port), "smtp-sink answers")

    def _read(self):
        left = b""
        while text := os.read(self.process.stdout.fileno(), 1 << 20):
            left = (left + text)[-200:]
            found = re.findall(rb"sess=(\d+) quit=\d+ mesg=(\d+)\s", left)
            if found:
                self.sessions, self.messages = map(int, found[-1])
            time.sleep(0.005)                                     # read in bulk: the measured systems need the processors

    def close(self):
        self.process.kill()
        self.process.wait()


# ---- The systems

class System:
    def __init__(self, name, folder, tools):
        self.name, self.dir, self.sink, self.port = name, pathlib.Path(folder), Sink(tools), free_port()
        self.log_path = self.dir / "log" / "maillog"

    def pids(self):
        return {self.master: "master", **children(self.master)}

    def log_from(self, offset):
        with open(self.log_path, "rb") as log:
            log.seek(offset)
            return log.read()

    def close(self):
        self.stop()
        self.sink.close()


class Posthorn(System):
    def __init__(self, name, folder, tools, bin):
        super().__init__(name, folder, tools)
        self.bin = pathlib.Path(bin)
        run([self.bin / "posthorn", "init", self.dir, "--smtp-port", self.port])
        self.settings = {"relayhost": f"[127.0.0.1]:{self.sink.port}", "relay_domains": "", "transport_maps": "", "default_transport": "smtp"}
        run([self.bin / "postconf", "-c", self.dir / "conf", "-e", *[f"{k}={v}" for k, v in self.settings.items()]])
        run([self.bin / "postfix", "-c", self.dir, "start"])
        wait_until(lambda: answers(self.port), f"{name} answers")
        self.master = int((self.dir / "queue/pid/master.pid").read_text())

    def role_of(self, command):
        return next((role for role in ("smtpd", "qmgr", "resolve", "memory") if re.search(rf"service {role}\b| {role}$", command)), "smtp")

    def spent(self):
        """role -> processor seconds."""
        spent = dict.fromkeys(ROLES, 0.0)
        for pid, command in self.pids().items():
            log, rest = thread_time(pid)
            spent["log threads"] += log
            spent["master" if pid == self.master else self.role_of(command)] += rest
        return spent

    def stop(self):
        subprocess.run([self.bin / "postfix", "-c", self.dir, "stop"], capture_output=True)


class Postfix(System):
    def __init__(self, name, folder, tools):
        super().__init__(name, folder, tools)
        self.tools = tools
        conf, queue = self.dir / "conf", self.dir / "queue"
        for sub in ("conf", "log", "data", "queue", *[f"queue/{name}" for name in QUEUES.split()]):
            (self.dir / sub).mkdir()
        share = tools.root / "usr/share/postfix"
        lines = []
        for line in (share / "master.cf.dist").read_text().splitlines():
            if re.match(r"[a-z]", line):
                fields = line.split(None, 7)
                if fields[0] == "smtp" and fields[1] == "inet":
                    fields[0] = f"127.0.0.1:{self.port}"
                fields[4] = "n"                                     # chroot
                line = " ".join(fields)
            lines.append(line)
        (conf / "master.cf").write_text("\n".join(lines) + "\n")
        # Owners that every Debian has: the package's own user does not exist here.
        self.settings = {
            "compatibility_level": "3.6", "queue_directory": queue, "data_directory": self.dir / "data", "mail_owner": "mail", "setgid_group": "daemon",
            "default_privs": "nobody", "command_directory": tools.root / "usr/sbin", "daemon_directory": tools.root / "usr/lib/postfix/sbin",
            "shlib_directory": tools.root / "usr/lib/postfix", "meta_directory": tools.root / "etc/postfix",
            "import_environment": "MAIL_CONFIG LD_LIBRARY_PATH", "export_environment": "TZ LD_LIBRARY_PATH",
            "maillog_file": self.log_path, "maillog_file_prefixes": self.dir, "myhostname": "mail.demo.test", "mydestination": "", "alias_maps": "",
            "alias_database": "", "local_recipient_maps": "", "inet_interfaces": "loopback-only", "inet_protocols": "ipv4", "mynetworks": "127.0.0.0/8",
            "smtpd_peername_lookup": "no", "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
            "relayhost": f"[127.0.0.1]:{self.sink.port}"}
        (conf / "main.cf").write_text("".join(f"{k} = {v}\n" for k, v in self.settings.items()))
        for folder in (self.dir / "data", *[queue / name for name in QUEUES.split() if name != "pid"]):
            shutil.chown(folder, "mail")
        run([tools.root / "usr/lib/postfix/sbin/master", "-c", conf, "-w"], env=tools.env)
        wait_until(lambda: answers(self.port), f"{name} answers")
        self.master = int((queue / "pid/master.pid").read_text())

    def spent(self):
        return {"all": sum(sum(thread_time(pid)) for pid in self.pids()) + reaped_time(self.master)}

    def stop(self):
        os.kill(self.master, signal.SIGTERM)
        try:
            wait_until(lambda: not pathlib.Path(f"/proc/{self.master}").exists(), "Postfix stops", 20)
        except SystemExit:
            os.kill(self.master, signal.SIGKILL)
