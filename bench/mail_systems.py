"""Mail systems as the benchmarks drive them: a private instance each, on loopback, and what the kernel says they cost.

Debian's packages of the others are unpacked, never installed: nothing of them starts by itself.
"""
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess

from load import Group, Sink, Syncs, answers, free_port, greeting, wait_until

ROLES = {"smtpd": 35, "qmgr": 30, "resolve": 10, "memory": None, "smtp": 20, "log threads": 5, "master": None}   # µs per message, design budget
QUEUES = "active bounce corrupt defer deferred flush hold incoming maildrop pid private public saved trace"


def run(command, **kwargs):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **kwargs)
    if done.returncode != 0:
        raise SystemExit(f"bench: {' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
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


def ended_children_time():
    """Processor seconds of our own ended children: the source."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def server_certificate(folder):
    """Settings of a server with a key and a certificate, made in that folder; None: no openssl here."""
    both = folder / "server.pem"
    if not both.exists():
        key, cert = folder / "key.pem", folder / "cert.pem"
        if subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=bench.test", "-keyout", key,
                           "-out", cert], capture_output=True).returncode != 0:
            return None
        both.write_text(key.read_text() + cert.read_text())
    return {"smtpd_tls_security_level": "may", "smtpd_tls_cert_file": str(both), "smtpd_tls_key_file": str(both)}


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


# ---- The systems

def master_line(fields, options):
    """A service of master.cf with settings of its own."""
    return fields + "\n" + "".join(f"  -o {{ {key} = {value} }}\n" for key, value in options.items())


class System:
    """Relays everything to its sink. `settings` is said with the results."""
    settings = {}
    send = None                       # how the source has to speak with it; None: as the workload says

    def __init__(self, name, folder, tools, programs, sink=None, sync_us=0):
        self.name, self.dir, self.port, self.tools = name, pathlib.Path(folder), free_port(), tools
        self.dir.mkdir(parents=True, exist_ok=True)
        self.sink = sink or Sink(programs, self.dir.parent, f"{name}-sink")
        self.group, self.syncs = Group(name), Syncs(programs, self.dir.parent, name, sync_us)
        self.env = {**os.environ, **self.syncs.env}
        self.log_path = self.dir / "log" / "maillog"
        self.log_read = self.log_deferred = 0

    def launch(self, command, env=None):
        run(command, env=env or self.env, preexec_fn=self.group.enter)

    def pids(self):
        return {self.master: "master", **children(self.master)}

    def spent(self):
        """role -> processor seconds; "all" is what the cgroup counted, with those that have ended."""
        seconds = self.group.seconds
        return {"all": seconds if seconds is not None else sum(sum(thread_time(pid)) for pid in self.pids()) + reaped_time(self.master)}

    def memory(self):
        return pss(self.pids())

    def deferred(self):
        """Recipients that the log calls deferred, so far."""
        with open(self.log_path, "rb") as log:
            log.seek(self.log_read)
            text = log.read()
        whole = text[:text.rfind(b"\n") + 1]
        self.log_read += len(whole)
        self.log_deferred += whole.count(b"status=deferred")
        return self.log_deferred

    def add_services(self, lines, ports):
        """Appends these lines to master.cf; the running system reads it again. Returns when a server greets on each of these ports, be
        it with a refusal."""
        with open(self.conf / "master.cf", "a") as file:
            file.write(lines)
        self.reload()
        try:
            for port in ports:
                wait_until(lambda: len(greeting(port)) == 3, f"{self.name} greets on port {port}")
        except SystemExit:
            print(self.log_path.read_text(errors="replace")[-3000:])
            raise

    def close(self):
        self.stop()
        self.sink.close()
        self.group.close()


class Posthorn(System):
    def __init__(self, name, folder, tools, programs, bin, **more):
        settings = more.pop("settings", {})
        super().__init__(name, folder, tools, programs, **more)
        self.bin, self.conf = pathlib.Path(bin), self.dir / "conf"
        run([self.bin / "posthorn", "init", self.dir, "--smtp-port", self.port])
        self.settings = {"relayhost": f"[127.0.0.1]:{self.sink.port}", "relay_domains": "", "transport_maps": "", "default_transport": "smtp", **settings}
        run([self.bin / "postconf", "-c", self.conf, "-e", *[f"{k}={v}" for k, v in self.settings.items()]])
        self.begin()

    def begin(self):
        self.launch([self.bin / "postfix", "-c", self.dir, "start"])
        wait_until(lambda: answers(self.port), f"{self.name} answers")
        self.master = int((self.dir / "queue/pid/master.pid").read_text())

    def of_role(self, role):
        return [pid for pid, command in self.pids().items() if pid != self.master and self.role_of(command) == role]

    def role_of(self, command):
        return next((role for role in ("smtpd", "qmgr", "resolve", "memory") if re.search(rf"service {role}\b| {role}$", command)), "smtp")

    def spent(self):
        spent = dict.fromkeys(ROLES, 0.0)
        for pid, command in self.pids().items():
            log, rest = thread_time(pid)
            spent["log threads"] += log
            spent["master" if pid == self.master else self.role_of(command)] += rest
        return {**super().spent(), **spent}

    def flush(self):
        run([self.bin / "postqueue", "-c", self.conf, "-f"])

    def reload(self):
        run([self.bin / "postfix", "-c", self.dir, "reload"])

    def stop(self):
        subprocess.run([self.bin / "postfix", "-c", self.dir, "stop"], capture_output=True)


class Postfix(System):
    def __init__(self, name, folder, tools, programs, **more):
        settings = more.pop("settings", {})
        super().__init__(name, folder, tools, programs, **more)
        self.env["LD_LIBRARY_PATH"] = tools.env["LD_LIBRARY_PATH"]
        conf, queue = self.dir / "conf", self.dir / "queue"
        self.conf = conf
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
        needed = {
            "queue_directory": queue, "data_directory": self.dir / "data", "mail_owner": "mail", "setgid_group": "daemon",
            "default_privs": "nobody", "command_directory": tools.root / "usr/sbin", "daemon_directory": tools.root / "usr/lib/postfix/sbin",
            "shlib_directory": tools.root / "usr/lib/postfix", "meta_directory": tools.root / "etc/postfix",
            "import_environment": "MAIL_CONFIG LD_LIBRARY_PATH " + " ".join(self.syncs.names), "export_environment": "TZ LD_LIBRARY_PATH",
            "maillog_file": self.log_path, "maillog_file_prefixes": self.dir}
        self.settings = {
            "compatibility_level": "3.6", "myhostname": "mail.demo.test", "mydestination": "", "alias_maps": "", "alias_database": "",
            "local_recipient_maps": "", "inet_interfaces": "loopback-only", "inet_protocols": "ipv4", "mynetworks": "127.0.0.0/8",
            "smtpd_peername_lookup": "no", "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
            "relayhost": f"[127.0.0.1]:{self.sink.port}", **settings}
        (conf / "main.cf").write_text("".join(f"{k} = {v}\n" for k, v in {**needed, **self.settings}.items()))
        for folder in (self.dir / "data", *[queue / name for name in QUEUES.split() if name != "pid"]):
            shutil.chown(folder, "mail")
        self.launch([tools.root / "usr/lib/postfix/sbin/master", "-c", conf, "-w"])
        wait_until(lambda: answers(self.port), f"{name} answers")
        self.master = int((queue / "pid/master.pid").read_text())

    def flush(self):
        run([self.tools.program("postqueue"), "-c", self.conf, "-f"], env=self.tools.env)

    def reload(self):
        os.kill(self.master, signal.SIGHUP)

    def stop(self):
        os.kill(self.master, signal.SIGTERM)
        try:
            wait_until(lambda: not pathlib.Path(f"/proc/{self.master}").exists(), "Postfix stops", 20)
        except SystemExit:
            os.kill(self.master, signal.SIGKILL)
