"""Exim and OpenSMTPD as the benchmarks drive them, from Debian's packages, unpacked beside them.

Both have user names and paths compiled in: each runs in a mount namespace of its own, in which those exist. That takes root and a cgroup
to know their processes by. Both keep their own ways with the disk; what was left at its default and what was not is in `settings`.
"""
import os
import pathlib
import signal
import subprocess
import time

from load import answers, wait_until
from mail_systems import System, Unavailable, run


def unpacked(folder, package, program):
    """Debian's package in a folder of ours; where the program is."""
    folder = pathlib.Path(folder) / package
    if not (folder / program).exists():
        folder.mkdir(parents=True, exist_ok=True)
        if subprocess.run(["apt-get", "download", "-q", package], cwd=folder, capture_output=True).returncode != 0:
            raise Unavailable(f"apt-get download {package} failed")
        run(["dpkg", "-x", *folder.glob(f"{package}_*.deb"), folder])
    missing = [line.split()[0] for line in run(["ldd", folder / program]).splitlines() if "not found" in line]
    if missing:
        raise Unavailable(f"{package} lacks {', '.join(missing)}")
    return folder / program


class Peer(System):
    """A system whose processes are those of its cgroup."""
    users = ()

    def __init__(self, name, folder, tools, programs, store, **more):
        settings = more.pop("settings", {})
        super().__init__(name, folder, tools, programs, **more)
        if self.group.path is None:
            raise Unavailable(f"{name}: needs root and a cgroup that counts processor time")
        self.program = unpacked(store, self.package, self.path)
        self.settings = {**self.settings, **settings}
        for file, lines in (("passwd", [f"{user}:x:{number}:{number}::/nonexistent:/usr/sbin/nologin" for user, number in self.users]),
                            ("group", [f"{user}:x:{number}:" for user, number in self.users])):
            (self.dir / file).write_text(pathlib.Path(f"/etc/{file}").read_text() + "".join(f"{line}\n" for line in lines))
        inside = self.dir / "inside"
        inside.write_text("set -e\n" + "".join(f"mount --bind {self.dir}/{file} /etc/{file}\n" for file in ("passwd", "group")) + self.prepare())
        self.launch(["unshare", "-m", "sh", inside], env={**self.env, **self.more_env})
        wait_until(lambda: answers(self.port), f"{name} answers")

    more_env = {}

    def pids(self):
        return {int(pid): "" for pid in (self.group.path / "cgroup.procs").read_text().split()}

    def spent(self):
        return {"all": self.group.seconds}

    def stop(self):
        for how in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.pids():
                try:
                    os.kill(pid, how)
                except ProcessLookupError:
                    pass
            for _ in range(20):
                if not self.pids():
                    return
                time.sleep(0.1)


class Exim(Peer):
    package, path = "exim4-daemon-light", "usr/sbin/exim4"
    users = (("Debian-exim", 7011),)
    settings = {"smtp_accept_max": "0", "smtp_connect_backlog": "1024", "smtp_accept_queue_per_connection": "0", "deliver_drop_privilege": "true", "host_lookup": "", "tls_advertise_hosts": ""}

    def prepare(self):
        spool, log = self.dir / "spool", self.dir / "exim-log"
        for folder in (spool, log):
            folder.mkdir()
            os.chown(folder, 7011, 7011)
        lines = {**self.settings, "exim_path": self.program, "exim_user": "Debian-exim", "exim_group": "Debian-exim", "never_users": "", "spool_directory": spool,
                 "log_file_path": f"{log}/%slog", "pid_file_path": f"{spool}/exim.pid", "primary_hostname": "mail.demo.test", "qualify_domain": "demo.test",
                 "daemon_smtp_ports": self.port, "local_interfaces": "127.0.0.1", "acl_smtp_rcpt": "accept", "rfc1413_query_timeout": "0s", "keep_environment": "LD_PRELOAD:POSTHORN_BENCH_SYNCS:POSTHORN_BENCH_SYNC_US"}
        conf = self.dir / "exim.conf"
        conf.write_text("".join(f"{key} = {value}\n" for key, value in lines.items()) +
                        "begin routers\nrelay:\n  driver = manualroute\n  domains = *\n  transport = remote\n  route_list = * 127.0.0.1\n  self = send\n"
                        f"begin transports\nremote:\n  driver = smtp\n  port = {self.sink.port}\n  allow_localhost\nbegin retry\n*  *  F,2h,15m\n")
        return f"exec {self.program} -C {conf} -bd -q1m\n"


class OpenSmtpd(Peer):
    package, path = "opensmtpd", "usr/sbin/smtpd"
    users = (("opensmtpd", 7021), ("opensmtpq", 7022))
    send = "turns"                                                  # it refuses commands that come together
    settings = {"backlog": "1024 (it asks for 5)"}
    more_env = {"POSTHORN_BENCH_BACKLOG": "1024"}

    def prepare(self):
        spool = self.dir / "spool"
        spool.mkdir()
        spool.chmod(0o711)
        conf = self.dir / "smtpd.conf"
        conf.write_text(f'listen on 127.0.0.1 port {self.port}\naction "out" relay host smtp://127.0.0.1:{self.sink.port}\nmatch from any for any action "out"\n')
        return ("mount -t tmpfs none /var/spool\nmkdir /var/spool/smtpd\n" f"mount --bind {spool} /var/spool/smtpd\n"
                "mount -t tmpfs none /run\nmount -t tmpfs none /var/lib\nmkdir -p /var/lib/opensmtpd/empty\n"
                f"mount --bind {self.program.parent} /usr/sbin\nexec /usr/sbin/smtpd -f {conf}\n")
