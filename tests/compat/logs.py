#!/usr/bin/env python3
"""Logs, read by programs of others: the same seeded traffic through Debian's Postfix and through Posthorn, and what Debian's pflogsumm and fail2ban's
postfix filter (every mode) read out of the log of each. Counts, details and offending hosts have to be the same. The packages are unpacked, never
installed; without them, without root, or without a network of its own, the test is skipped (77).

  logs.py BIN [--seed N]
"""
import argparse
import collections
import contextlib
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys

import frame

MODES = ["normal", "more", "auth", "rbl", "ddos", "extra", "aggressive", "errors"]
FOUND_BY = {"normal", "more", "rbl", "ddos", "extra", "aggressive", "errors"}      # modes that this traffic must have something for; auth asks for SASL
ZONE = """
2.0.0.127.in-addr.arpa PTR client.net.test
client.net.test A 127.0.0.2
9.0.0.127.list.test A 127.0.0.2
good.test MX 10 mx.good.test
mx.good.test A 198.51.100.1
client.test A 127.0.0.2
"""
SETTINGS = {"myhostname": "mail.demo.test", "mydestination": "ours.test", "local_recipient_maps": "inline:{ {user=x} {postmaster=x} }", "mynetworks": "127.0.0.2", "smtpd_peername_lookup": "yes",
            "smtpd_helo_required": "yes", "smtpd_error_sleep_time": "0", "smtpd_soft_error_limit": "3", "smtpd_hard_error_limit": "5", "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
            "smtpd_recipient_restrictions": "permit_mynetworks, reject_rbl_client list.test, reject_non_fqdn_helo_hostname, reject_unknown_sender_domain, check_recipient_access inline:{{held@ours.test=HOLD look} "
            "{warned@ours.test=WARN careful} {gone@ours.test=DISCARD} {later@ours.test=450 4.7.1 not now}}", "smtpd_data_restrictions": "reject_unauth_pipelining", "smtpd_client_restrictions": "",
            "unverified_recipient_reject_code": "550", "minimal_backoff_time": "1000s", "default_transport": "smtp", "relay_domains": "relay.test", "smtp_connection_cache_on_demand": "no",
            "header_checks": "regexp:{ {/^Subject: bad/ REJECT no thanks} {/^Subject: warn/ WARN look} }", "smtpd_forbid_unauth_pipelining": "no"}


def mail(recipients, sender="a@good.test", subject="hello", helo="EHLO client.test"):
    return [helo, f"MAIL FROM:<{sender}>", *[f"RCPT TO:<{recipient}>" for recipient in recipients], "DATA", f"Subject: {subject}", "QUIT"]


# name -> (client, what it says; None: hangs up there)
KINDS = {
    "good": lambda rng: ("127.0.0.2", mail(rng.sample(["x@else.test", "y@else.test", "user@ours.test", "z@there.test"], k=rng.randint(1, 3)), rng.choice(["a@good.test", "b@client.test", ""]))),
    "deferred": lambda rng: ("127.0.0.2", mail([rng.choice(["slow@else.test", "full@else.test"])])),
    "bounced": lambda rng: ("127.0.0.2", mail([rng.choice(["unknown@else.test", "policy@else.test"]), "x@else.test"])),
    "unknown user": lambda rng: (f"127.0.0.{rng.randint(3, 8)}", mail(["nobody@ours.test"])),
    "relay denied": lambda rng: (f"127.0.0.{rng.randint(3, 8)}", mail(["x@elsewhere.test"])),
    "listed": lambda rng: ("127.0.0.9", mail(["user@ours.test"])),
    "helo": lambda rng: (f"127.0.0.{rng.randint(3, 8)}", mail(["user@ours.test"], helo=f"HELO {rng.choice(['nodots', 'a..b', 'client.test'])}")),
    "sender": lambda rng: (f"127.0.0.{rng.randint(3, 8)}", mail(["user@ours.test"], sender="x@nowhere.invalid")),
    "held": lambda rng: (f"127.0.0.{rng.randint(3, 8)}", mail([rng.choice(["held@ours.test", "warned@ours.test", "gone@ours.test", "later@ours.test"])])),
    "content": lambda rng: ("127.0.0.2", mail(["x@else.test"], subject=rng.choice(["bad thing", "warn me"]))),
    "gone after": lambda rng: (f"127.0.0.{rng.randint(3, 8)}", mail(["user@ours.test"])[:rng.randint(0, 3)] + [None]),
    "auth": lambda rng: (f"127.0.0.{rng.randint(3, 8)}", ["EHLO client.test", "AUTH LOGIN", rng.choice(["QUIT", None])]),
    "errors": lambda rng: (f"127.0.0.{rng.randint(3, 8)}", ["EHLO client.test", *["FOO bar"] * 7]),
    "web browser": lambda rng: (f"127.0.0.{rng.randint(3, 8)}", ["GET / HTTP/1.0"]),
    "hasty": lambda rng: (f"127.0.0.{rng.randint(3, 8)}", ["EHLO client.test", "MAIL FROM:<a@good.test>\r\nRCPT TO:<user@ours.test>\r\nDATA\r\nSubject: x\r\n\r\n.\r\nQUIT"]),
}
EACH = 5


def refusals(argument, _):
    address = re.search(r"<(.*?)>", argument).group(1)
    return {"slow@else.test": "451 4.3.0 try later", "full@else.test": "452 4.2.2 mailbox full", "unknown@else.test": "550 5.1.1 no such user", "policy@else.test": "554 5.7.1 not from you"}.get(
        address, "250 2.1.5 Ok")


def speak(port, client, said):
    """One command after the other, as far as the server goes along."""
    with socket.socket() as stream:
        stream.settimeout(60)
        stream.bind((client, 0))
        stream.connect(("127.0.0.1", port))
        file = stream.makefile("rb")

        def reply():
            while (line := file.readline())[3:4] == b"-":
                pass
            return line
        with contextlib.suppress(OSError):
            reply()
            for line in said:
                if line is None:
                    return
                if line.startswith("Subject: ") and b"354" not in answer:      # no content for who was refused
                    continue
                stream.sendall(line.encode() + (b"\r\n\r\nbody\r\n.\r\n" if line.startswith("Subject: ") else b"\r\n"))
                answer = reply()
                if not answer:
                    return
            while file.readline():
                pass


def quiet(system):
    """Nothing more is written, and nothing is under way."""
    text = frame.log_of(system)
    under_way = set(re.findall(r"qmgr\[\d+\]: (\w+): from=", text)) - set(re.findall(r"qmgr\[\d+\]: (\w+): removed", text)) - set(re.findall(r" (\w+): to=.*status=(?:deferred|bounced)", text))
    connected = len(re.findall(r"smtpd\[\d+\]: connect from", text)) - len(re.findall(r"smtpd\[\d+\]: disconnect from", text))
    return not under_way and connected == 0


class Readers:
    """Debian's log readers, in a folder of ours."""
    PACKAGES = ["pflogsumm", "fail2ban"]

    def __init__(self):
        self.root = frame.unpacked("readers", self.PACKAGES, os.environ.get("POSTHORN_READERS_DEBS"))
        # fail2ban-regex needs nothing but Python; pflogsumm a module of Perl that is not its own.
        probe = subprocess.run(["perl", "-MDate::Calc", "-e", ""], capture_output=True, text=True) if shutil.which("perl") else None
        if probe is None or probe.returncode:
            raise frame.Skipped("pflogsumm needs perl and Date::Calc (libdate-calc-perl)")

    def offenders(self, log, mode):
        """host -> how often the filter finds it."""
        done = subprocess.run([sys.executable, self.root / "usr/bin/fail2ban-regex", "-c", self.root / "etc/fail2ban", "-o", "ip", log, f"{self.root}/etc/fail2ban/filter.d/postfix.conf[mode={mode}]"],
                              env={**os.environ, "PYTHONPATH": str(self.root / "usr/lib/python3/dist-packages"), "PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, text=True, timeout=60)
        if done.returncode not in (0, 1) or "Traceback" in done.stderr:
            raise SystemExit(f"fail2ban-regex: {done.stderr}")
        found = collections.Counter(re.findall(r"\d+\.\d+\.\d+\.\d+", done.stdout))
        del found["127.0.0.1"]                                  # who looks whether it runs yet
        return found

    def summary(self, log):
        """section -> its lines, without octets and times."""
        text = subprocess.run(["perl", self.root / "usr/sbin/pflogsumm", "--verbose-msg-detail", "--problems-first", log], capture_output=True, text=True, timeout=60, check=True).stdout
        sections, name = {}, ""
        for line in text.splitlines():
            if re.match(r"\S.*", line) and not line.startswith("-"):
                name = line.strip()
            elif line.strip() and not line.startswith("-") and "bytes" not in line:
                sections.setdefault(re.sub(r" for \w+ \d+.*", "", name), []).append(re.sub(r"127\.0\.0\.1\]?:\d+|/tmp/\S+", "SOMEWHERE", line.strip()))
        return {name: sorted(lines) for name, lines in sections.items() if re.match(r"Grand Totals|message |smtp delivery|Fatal|Panics|Master", name)}


def traffic(seed):
    rng = random.Random(f"logs {seed}")
    some = [(name, *KINDS[name](rng)) for name in KINDS for _ in range(EACH)]
    rng.shuffle(some)
    return some


def main():
    options = argparse.ArgumentParser()
    options.add_argument("bin", type=pathlib.Path)
    options.add_argument("--seed", type=int, default=1)
    options = options.parse_args()
    os.environ["POSTHORN_BIN"] = str(options.bin.resolve())
    frame.need_root()
    debian = frame.Debian()
    readers = Readers()
    frame.network_of_its_own()
    from journey import Sink, wait_until
    area, logs = frame.Area("logs"), {}
    with frame.workshop() as folder, frame.name_server(options.bin, folder, ZONE):
        for kind in ("postfix", "posthorn"):
            sink = Sink({"RCPT": refusals})
            settings = {**SETTINGS, "relayhost": f"[127.0.0.1]:{sink.port}", "local_transport": f"smtp:[127.0.0.1]:{sink.port}"}
            if kind == "postfix":
                settings.pop("smtpd_forbid_unauth_pipelining")
            system = frame.start(kind, folder, debian, options.bin.resolve(), sink, settings)
            try:
                for _, client, said in traffic(options.seed):
                    speak(system.port, client, said)
                wait_until(lambda: quiet(system), f"{kind} has done all")
                logs[kind] = folder / f"{kind}.log"
                logs[kind].write_bytes(system.log_path.read_bytes())
            finally:
                system.close()
        for mode in MODES:
            postfix, posthorn = (readers.offenders(logs[kind], mode) for kind in ("postfix", "posthorn"))
            if postfix != posthorn:
                area.differ(f"fail2ban, mode {mode}\n  Postfix:  {dict(postfix)}\n  Posthorn: {dict(posthorn)}")
            elif mode in FOUND_BY and not postfix:
                area.differ(f"fail2ban, mode {mode}: the traffic has nothing for it")
            else:
                area.same()
        summaries = [readers.summary(logs[kind]) for kind in ("postfix", "posthorn")]
        for name in sorted(summaries[0].keys() | summaries[1].keys()):
            one, other = (summary.get(name, []) for summary in summaries)
            if one == other:
                area.same()
            else:
                area.differ(f"pflogsumm, {name}\n" + "\n".join([f"    only Postfix:  {line}" for line in one if line not in other] + [f"    only Posthorn: {line}" for line in other if line not in one]))
        if os.environ.get("POSTHORN_KEEP"):
            for kind, path in logs.items():
                pathlib.Path(os.environ["POSTHORN_KEEP"], f"{kind}.log").write_bytes(path.read_bytes())
    print(f"{len(traffic(options.seed))} sessions")
    return area.close(options.seed)


if __name__ == "__main__":
    frame.guarded(main)
