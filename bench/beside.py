#!/usr/bin/env python3
"""Debian's Postfix beside the demo: sendmail -bv at a server that drops what precedes QUIT, as it is and with the page's workaround.

    beside.py PORT       a frontbridge peer on 127.0.0.1 (posthorn peer frontbridge)

Postfix runs as a private instance, by absolute paths of its own tree: the one that is installed, or one that was unpacked
(apt-get download postfix; dpkg -x) at $POSTHORN_POSTFIX or where bench/relay leaves it. Exit 77, and why: it cannot be run here.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).resolve().parents[1] / "tests/journeys")]
import seed_transcripts
from load import free_port, wait_until
from mail_systems import Postfix, Tools


class Nowhere:
    """In place of a sink: all other mail waits."""
    def __init__(self):
        self.port = free_port()

    def close(self):
        pass


def tree():
    """A tree that is Postfix's: it has the programs that nobody else's has."""
    unpacked = [os.environ.get("POSTHORN_POSTFIX"), str(pathlib.Path(tempfile.gettempdir()) / "posthorn-bench-postfix"), "/"]
    for folder in filter(None, unpacked):
        root = pathlib.Path(folder)
        if all((root / file).exists() for file in ("usr/lib/postfix/sbin/smtp", "usr/lib/postfix/sbin/oqmgr", "usr/sbin/smtp-sink", "usr/share/postfix/master.cf.dist")):
            return root
    return None


def main(port):
    root = tree()
    if root is None:
        print("Debian's Postfix is neither installed nor unpacked at $POSTHORN_POSTFIX")
        return 77
    if os.getuid() != 0:
        print("Postfix needs root to run")
        return 77
    folder = pathlib.Path(tempfile.mkdtemp(prefix="posthorn-beside."))
    folder.chmod(0o755)
    tools = Tools(root)
    system = Postfix("postfix", folder / "postfix", tools, None, sink=Nowhere())
    try:
        conf = system.conf

        def configure(more):
            settings = {"transport_maps": f"inline:{{{{receiver@example.com=smtp:[127.0.0.1]:{port}}}, {{example.com=discard:}}}}",
                        "debug_peer_list": "127.0.0.1", "smtp_helo_name": "amnesiac.example.com", "smtp_tls_security_level": "none",
                        "export_environment": "TZ MAIL_CONFIG LD_LIBRARY_PATH", **more}               # sendmail hands it to postdrop
            lines = [line for line in (conf / "main.cf").read_text().splitlines() if line.split(" =")[0] not in settings]
            (conf / "main.cf").write_text("\n".join(lines + [f"{k} = {v}" for k, v in settings.items()]) + "\n")
            os.kill(system.master, signal.SIGHUP)

        def log():
            return system.log_path.read_text(errors="replace") if system.log_path.exists() else ""      # its first line may be still to come

        def verify():
            """The log line about the address."""
            before = len(log())
            subprocess.run([tools.program("sendmail"), "-C", str(conf), "-f", "sender@example.com", "-bv", "receiver@example.com"],
                           env={**tools.env, "MAIL_CONFIG": str(conf)}, check=True, capture_output=True)

            def answer():
                return [line for line in log()[before:].splitlines() if "to=<receiver@example.com>" in line and "status=" in line]
            return wait_until(answer, "Postfix has a verdict", 20)[-1]

        configure({})
        line = verify()
        version = subprocess.run([tools.program("postconf"), "-c", str(conf), "-d", "-h", "mail_version"], env=tools.env, capture_output=True, text=True).stdout.strip()
        print(f"Postfix {version}: {line}")
        same = seed_transcripts.delivery_line(line).replace("receiver", "user") == seed_transcripts.delivery_line(seed_transcripts.GERMAN_LINE)
        difference = seed_transcripts.difference(log(), "frontbridge", f":{port}")
        print(difference or "-- its session, too, is line for line the page's")
        configure({"smtp_discard_ehlo_keywords": "silent-discard pipelining"})
        workaround = verify()
        print(f"and with smtp_discard_ehlo_keywords = silent-discard pipelining: {workaround}")
        return 0 if same and not difference and "status=deliverable" in workaround else 1
    finally:
        system.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
