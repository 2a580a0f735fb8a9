#!/usr/bin/env python3
"""Plays arguments.tsv and protocol.tsv against private instances: each wrong command line and each wrong SMTP line gets its message and
exit code, or its reply, and nothing else changes: queue, maildrop, files, configuration.
usage: system.py [--show]        --show prints what was said instead of judging it        POSTHORN_BIN: the executables
"""
import hashlib
import os
import pathlib
import socket
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "journeys"))
import journey  # noqa: E402

SHOW = "--show" in sys.argv


def rows(name):
    for line in (HERE / name).read_text().splitlines():
        if line and not line.startswith("#"):
            yield line.split("\t")


def text_of(field):
    """\\r \\n \\t \\\\ \\xHH, and {a*1000} for many of them."""
    while "{" in field and "*" in field:
        start = field.rfind("{")
        end = field.index("}", start)
        piece, _, count = field[start + 1:end].rpartition("*")
        if not count.isdigit():
            break
        field = field[:start] + piece * int(count) + field[end + 1:]
    return field.encode("latin-1").decode("unicode_escape").encode("latin-1")


def fingerprint(instance, running):
    """Everything of the instance that a wrong request could have changed."""
    found = {}
    for path in sorted(instance.dir.rglob("*")):
        name = str(path.relative_to(instance.dir))
        if name.startswith(("log/", "aliases")) or (running and name.startswith(("queue/spool", "queue/pid", "data/"))):
            continue                                              # those of a running instance are the queue's own affair: it is asked below
        found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else path.stat().st_mode
    if running:
        found["queue"] = instance.run("postqueue", "-j").stdout
    return found


class Table:
    def __init__(self):
        self.rows = self.failed = 0

    def judge(self, name, problems):
        self.rows += 1
        if problems:
            self.failed += 1
            print(f"{name}: {'; '.join(problems)}", flush=True)


def play_arguments(table, down, up):
    environment = {key: value for key, value in os.environ.items() if key != "MAIL_CONFIG"} | {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
    before = {down: fingerprint(down, False), up: fingerprint(up, True)}
    for name, state, command, stdin, code, message in rows("arguments.tsv"):
        instance = up if state == "up" else down
        words = [text_of(word.replace("DIR", str(instance.dir))) for word in command.split("|")]
        done = subprocess.run([str(journey.BIN / words[0].decode()), *words[1:]], env={**environment, "MAIL_CONFIG": str(instance.dir / "conf")},
                              input=text_of(stdin), capture_output=True, timeout=journey.PATIENCE)
        said = (done.stderr + done.stdout).decode("utf-8", "replace").replace(str(instance.dir), "DIR").strip()
        if SHOW:
            print(f"{name}\t{done.returncode}\t{said[-200:]!r}", flush=True)
        problems = []
        if done.returncode != int(code):
            problems.append(f"exit code {done.returncode}, not {code}: {said!r}")
        if message not in said:
            problems.append(f"said {said!r}, not {message!r}")
        if "warning: DIR/conf/main.cf" in said:
            problems.append(f"warns of the instance's own configuration: {said!r}")
        after = fingerprint(instance, instance is up)
        if after != before[instance]:
            problems.append(f"changed: {sorted(set(after.items()) ^ set(before[instance].items()))}")
            before[instance] = after
        table.judge(name, problems)


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=journey.PATIENCE)
        self.file = self.socket.makefile("rb")

    def reply(self):
        """One reply as text, or "closed"."""
        lines = []
        while True:
            try:
                line = self.file.readline()
            except ConnectionError:
                line = b""
            if not line:
                return "closed"
            lines.append(line.decode("latin-1").rstrip("\r\n"))
            if line[3:4] != b"-":
                return "\n".join(lines)

    def close(self):
        self.file.close()
        self.socket.close()


def play_protocol(table, instance):
    before = fingerprint(instance, True)
    for name, before_it, wrong, expected in rows("protocol.tsv"):
        client = Client(instance.port)
        replies = [client.reply()]
        problems = []
        for step in [step for step in before_it.split("|") if step]:
            client.socket.sendall(text_of(step + "\\r\\n"))
            replies.append(client.reply())
            if replies[-1][:1] not in "23":
                problems.append(f"{step!r} was refused: {replies[-1]!r}")
        try:
            client.socket.sendall(text_of(wrong))
        except ConnectionError:
            pass
        wanted = [reply for reply in expected.split("|") if reply]   # none: the client goes away in the middle
        got = [client.reply() for _ in wanted]
        client.close()
        if SHOW:
            print(f"{name}\t{got}", flush=True)
        for want, have in zip(wanted, got):
            if not have.split("\n")[-1].startswith(want):
                problems.append(f"answered {have!r}, not {want!r}")
        after = fingerprint(instance, True)
        if after != before:
            problems.append(f"changed: {sorted(set(after.items()) ^ set(before.items()))}")
            before = after
        table.judge(name, problems)


def main():
    table = Table()
    opened = []
    try:
        down = journey.Instance(start=False)
        opened.append(down)
        up = journey.Instance({"smtpd_helo_required": "yes", "smtpd_error_sleep_time": "0", "message_size_limit": "200000", "smtpd_recipient_limit": "3",
                               "mydestination": "ours.test", "local_recipient_maps": "inline:{user=x}", "smtpd_hard_error_limit": "5",
                               "smtpd_forbid_bare_newline": "reject", "mynetworks": "192.0.2.0/24", "line_length_limit": "2048"})
        opened.append(up)
        play_arguments(table, down, up)
        play_protocol(table, up)
        if not up.answers():
            table.judge("the server after all of it", ["does not answer"])
    finally:
        for instance in opened:
            instance.close(table.failed > 0 and bool(os.environ.get("POSTHORN_KEEP")))
    print(f"{table.rows} rows, {table.failed} wrong")
    sys.exit(1 if (table.failed and not SHOW) or table.rows < 110 else 0)


if __name__ == "__main__":
    main()
