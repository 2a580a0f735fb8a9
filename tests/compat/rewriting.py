"""The same mail, the same rules: what Debian's Postfix and Posthorn make of it on the way through. Delivered messages, envelopes, replies and
the lines of cleanup are compared after ids, dates and ports are taken out. Without Debian's packages, or without root, the test is skipped (77).

  rewriting.py BIN [--seed N] [--all] [--only LINE] [--break LINE]

Without --all, a part of the messages of every line. --only starts and asks that line alone; --break changes a rule of it for Posthorn alone: the
comparison must notice.
"""
import argparse
import concurrent.futures
import os
import pathlib
import random
import re
import smtplib
import sys

import frame

os.environ["POSTHORN_BIN"] = str(pathlib.Path(sys.argv[1]).resolve())
from journey import BIN, PATIENCE, Sink, free_port, wait_until  # noqa: E402
from mail_systems import master_line  # noqa: E402
from rewriting_mail import ACCEPTED, LINES, TRANSPORTS, accepted, questions  # noqa: E402


def normal(text):
    """Without what two systems, or two runs, cannot have in common."""
    text = re.sub(r"\b(id|queued as) [0-9A-Za-z]{6,}\b", r"\1 QID", text)
    text = re.sub(r"<\d{14}\.[0-9A-Za-z]{6,}@", "<TIME.QID@", text)
    text = re.sub(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun), +\d+ \w{3} 20\d\d \d\d:\d\d:\d\d [+-]\d{4}( \(\w+\))?", "DATE", text)
    text = re.sub(r"\(Postfix\)|\(Posthorn\)", "(MTA)", text)
    text = re.sub(r"127\.0\.0\.1(\]?):\d+", r"127.0.0.1\1:PORT", text)
    head, empty, body = text.partition("\r\n\r\n")
    return re.sub(r",\s*", ", ", head) + empty + body     # a list of addresses that was rewritten is folded anew by Postfix, and kept by us


class Side:
    """One mail system before a next host of its own, with a line of smtpd and one of cleanup for each set of rules."""

    def __init__(self, kind, folder, debian, names, broken):
        self.kind, self.sink = kind, Sink()
        self.seven = Sink(keywords=("PIPELINING", "SIZE 0", "ENHANCEDSTATUSCODES"))      # a host without 8BITMIME
        settings = {"myhostname": "mail.demo.test", "myorigin": "demo.test", "mydomain": "demo.test", "mydestination": "demo.test", "relay_domains": "",
                    "local_recipient_maps": "", "local_transport": f"smtp:[127.0.0.1]:{self.sink.port}", "mail_name": "Postfix", "smtpd_banner": "$myhostname ESMTP",
                    "smtp_connection_cache_on_demand": "no", "local_header_rewrite_clients": "", "remote_header_rewrite_domain": "remote.invalid", "recipient_delimiter": "+", "smtpd_peername_lookup": "no"}
        self.system = frame.start(kind, folder, debian, BIN, self.sink, settings)
        self.ports, master = {}, ""
        for name, options in LINES.items():
            if name not in names:
                continue
            self.ports[name] = free_port()
            values = {key: value.replace("SINK", str(self.sink.port)).replace("SEVEN", str(self.seven.port)) for key, value in options.items()}
            if kind == "posthorn" and name == broken:
                values.pop(next(key for key in values if not key.startswith("local_")))
            values = {"remote_header_rewrite_domain": "", **values}
            smtpd = {key: value for key, value in values.items() if key.startswith(("smtpd_", "receive_", "content_", "local_header"))}
            cleanup = {key: value for key, value in values.items() if key not in smtpd or key.startswith("local_")}
            master += master_line(f"127.0.0.1:{self.ports[name]} inet n - n - - smtpd", {"cleanup_service_name": f"clean-{name}", **smtpd})
            master += master_line(f"clean-{name} unix n - n - 0 cleanup", cleanup)
        for name, options in TRANSPORTS.items():
            master += master_line(f"{name} unix - - n - - smtp", options)
        self.system.add_services(master, self.ports.values())

    def log(self, start):
        """What was written since it had `start` octets."""
        with open(self.system.log_path, "rb") as file:
            file.seek(start)
            return file.read().decode(errors="replace")

    def ask(self, question):
        """(replies, lines of cleanup, what the next host got)"""
        del self.sink.messages[:], self.seven.messages[:]
        start = self.system.log_path.stat().st_size
        replies = []
        with smtplib.SMTP("127.0.0.1", self.ports[question.line], timeout=PATIENCE) as client:
            client.ehlo("client.test")
            client.mail(question.sender, question.mail_options)
            for recipient in question.recipients:
                code, text = client.rcpt(recipient)
                replies.append(f"{code} {text.decode()}")
            code, text = client.data(question.content)
            replies.append(normal(f"{code} {text.decode()}"))
        queued = re.search(rb"queued as (\w+)", text)
        if queued:
            queue_id = queued.group(1).decode()
            gone = re.compile(rf": {queue_id}: (removed|.*status=|discard:|hold:)|postfix/cleanup.*{queue_id}: (discard|hold):")
            wait_until(lambda: gone.search(self.log(start)), f"{self.kind}: {question.name} has an end", 30)
            if not re.search(rf"{queue_id}: (discard|hold):", self.log(start)):
                wait_until(lambda: re.search(rf"{queue_id}: removed|{queue_id}: .*status=deferred", self.log(start)), f"{self.kind}: {question.name} is gone", 30)
        else:
            wait_until(lambda: re.search(r"reject: |message not accepted", self.log(start)), f"{self.kind}: {question.name} ({replies}) is logged", 10)
        # A log is written in pieces: what cleanup said is there in full when smtpd's last word is.
        wait_until(lambda: re.search(r"smtpd\[\d+\]: disconnect from ", self.log(start)), f"{self.kind}: the session of {question.name} has an end", 30)
        lines = []
        for line in self.log(start).splitlines():
            match = re.search(r"postfix/(cleanup|qmgr)\[\d+\]: (.*)", line)
            # On a busy machine Postfix finds the file system's clock beside its own.
            if match and not re.search(r"removed$|queue active|table.*changed|statistics|warning: (file system clock is|resetting file time|event loop was late)", match.group(2)):
                lines.append(normal(re.sub(r"\b[0-9A-Z]{8,}: ", "", match.group(2))))
            if "event loop was late" in line:
                continue
            match = re.search(r"postfix/smtp\[\d+\]: (?:\w+: )?((?:warning|info|replace|prepend|strip|ignore): .*)", line)
            if match:
                lines.append("smtp " + match.group(1).replace(f"{queue_id if queued else ''}: ", ""))
            match = re.search(r"postfix/smtp\[\d+\]: \w+: (to=<.*?), relay=.*status=(\w+)", line)
            if match:
                lines.append(f"{match.group(1)} {match.group(2)}")
        got = []
        for sender, recipients, body in self.sink.messages + self.seven.messages:
            sender = re.sub(r" (SIZE=\d+|BODY=\w+|RET=\w+|ENVID=\S+)", "", sender)
            recipients = sorted(re.sub(r" (ORCPT|NOTIFY)=\S+", lambda m: m.group(0) if "NEVER" in m.group(0) else "", one) for one in recipients)
            got.append((sender, recipients, normal(body.decode("utf-8", "backslashreplace"))))
        return replies, sorted(lines), sorted(got)

    def close(self):
        self.system.close()
        self.seven.close()


def show(answer):
    replies, lines, got = answer
    parts = [f"    {reply}" for reply in replies] + [f"    log {line}" for line in lines]
    for sender, recipients, body in got:
        parts += [f"    {sender} -> {' '.join(recipients)}"] + [f"      | {line}" for line in body.splitlines()]
    return "\n".join(parts)


PART = 3                        # without --all: every third message of a line


def chosen(seed, everything, only):
    """The messages to ask about."""
    seen, some = {}, []
    for question in questions(random.Random(seed)):
        number = seen.setdefault(question.line, 0)
        seen[question.line] += 1
        if only not in (None, question.line) or not (everything or only or number % PART == seed % PART or number < 1):
            continue
        some.append(question)
    return some


def main():
    options = argparse.ArgumentParser()
    options.add_argument("bin", type=pathlib.Path)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--all", action="store_true")
    options.add_argument("--only", choices=LINES)
    options.add_argument("--break", dest="broken", choices=LINES)
    options = options.parse_args()
    frame.need_root()
    debian, sides = frame.Debian(), []
    area = frame.Area("rewriting", {name: why for name, (_, why) in ACCEPTED.items()})
    with frame.workshop() as folder, concurrent.futures.ThreadPoolExecutor(2) as pool:
        try:
            for kind in ("postfix", "posthorn"):
                sides.append(Side(kind, folder, debian, [options.only] if options.only else LINES, options.broken))
            for question in chosen(options.seed, options.all, options.only):
                postfix, posthorn = pool.map(lambda side: side.ask(question), sides)
                name = accepted(question, postfix, posthorn)
                if postfix == posthorn:
                    area.same()
                elif name:
                    area.accept([name])
                else:
                    area.differ(f"{question.name} ({question.line})\n  Postfix:\n{show(postfix)}\n  Posthorn:\n{show(posthorn)}")
        finally:
            for side in sides:
                side.close()
    if options.only:                                            # no quota for one line
        print("noticed" if area.differing else "equal")
        return area.differing == 0 if options.broken else area.differing != 0
    return area.close(options.seed)


if __name__ == "__main__":
    frame.guarded(main)
