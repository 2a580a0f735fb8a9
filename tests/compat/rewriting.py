"""The same mail, the same rules: what Debian's Postfix and Posthorn make of it on the way through. Delivered messages, envelopes, replies and
the lines of cleanup are compared after ids, dates and ports are taken out. Postfix's package is unpacked, not installed; without it, or
without root, the test is skipped (77).

  rewriting.py BIN [--seed N] [--break LINE]    --break changes a rule of that line for Posthorn alone: the comparison must notice
"""
import os
import pathlib
import random
import re
import shutil
import smtplib
import sys
import tempfile

HOUSE = pathlib.Path(__file__).resolve().parents[2]
os.environ["POSTHORN_BIN"] = str(pathlib.Path(sys.argv[1]).resolve())
sys.dont_write_bytecode = True
sys.path[:0] = [str(HOUSE / "tests/journeys"), str(HOUSE / "bench")]
import relays  # noqa: E402
from journey import BIN, PATIENCE, Sink, free_port, wait_until  # noqa: E402
from mail_systems import Postfix, Posthorn, Tools, Unavailable, master_line  # noqa: E402
from rewriting_mail import LINES, TRANSPORTS, accepted, questions  # noqa: E402


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

    def __init__(self, kind, folder, tools, programs, broken):
        self.kind, self.sink = kind, Sink()
        self.seven = Sink(keywords=("PIPELINING", "SIZE 0", "ENHANCEDSTATUSCODES"))      # a host without 8BITMIME
        make = Postfix if kind == "postfix" else Posthorn
        more = () if kind == "postfix" else (BIN,)
        settings = {"myhostname": "mail.demo.test", "myorigin": "demo.test", "mydomain": "demo.test", "mydestination": "demo.test", "relay_domains": "",
                    "local_recipient_maps": "", "local_transport": f"smtp:[127.0.0.1]:{self.sink.port}", "mail_name": "Postfix", "smtpd_banner": "$myhostname ESMTP",
                    "smtp_connection_cache_on_demand": "no", "local_header_rewrite_clients": "", "remote_header_rewrite_domain": "remote.invalid", "recipient_delimiter": "+", "smtpd_peername_lookup": "no"}
        self.system = make(kind, folder / kind, tools, programs, *more, sink=self.sink, settings=settings)
        self.ports, master = {}, ""
        for name, options in LINES.items():
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

    def log(self):
        return self.system.log_path.read_text(errors="replace")

    def ask(self, question):
        """(replies, lines of cleanup, what the next host got)"""
        del self.sink.messages[:], self.seven.messages[:]
        start = len(self.log())
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
            wait_until(lambda: gone.search(self.log()[start:]), f"{self.kind}: {question.name} has an end", 30)
            if not re.search(rf"{queue_id}: (discard|hold):", self.log()[start:]):
                wait_until(lambda: re.search(rf"{queue_id}: removed|{queue_id}: .*status=deferred", self.log()[start:]), f"{self.kind}: {question.name} is gone", 30)
        else:
            wait_until(lambda: re.search(r"reject: |message not accepted", self.log()[start:]), f"{self.kind}: {question.name} ({replies}) is logged", 10)
        lines = []
        for line in self.log()[start:].splitlines():
            match = re.search(r"postfix/(cleanup|qmgr)\[\d+\]: (.*)", line)
            if match and not re.search(r"removed$|queue active|table.*changed|statistics", match.group(2)):
                lines.append(normal(re.sub(r"\b[0-9A-Z]{8,}: ", "", match.group(2))))
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


def main():
    if os.getuid() != 0:
        print("skipped: Debian's Postfix needs root to run")
        return 77
    try:
        tools = Tools(pathlib.Path(tempfile.gettempdir()) / "posthorn-bench-postfix")
    except Unavailable as why:
        print(f"skipped: {why}")
        return 77
    arguments = sys.argv[2:]
    option = {arguments[i]: arguments[i + 1] for i in range(0, len(arguments) - 1, 2)}
    folder = pathlib.Path(tempfile.mkdtemp(prefix="posthorn-compat."))
    folder.chmod(0o755)
    programs, sides = relays.programs_beside(BIN), []
    try:
        for kind in ("postfix", "posthorn"):
            sides.append(Side(kind, folder, tools, programs, option.get("--break")))
        asked = differ = 0
        excused = set()
        for question in questions(random.Random(int(option.get("--seed", "1")))):
            if option.get("--only", question.line) != question.line:
                continue
            answers = [side.ask(question) for side in sides]
            asked += 1
            if answers[0] == answers[1]:
                continue
            name = accepted(question, *answers)
            if name:
                excused.add(name)
                continue
            differ += 1
            print(f"DIFFERS: {question.name} ({question.line})\n  Postfix:\n{show(answers[0])}\n  Posthorn:\n{show(answers[1])}")
        print(f"{asked} rewritings compared, {differ} differ; accepted: {', '.join(sorted(excused)) or 'none'}")
        if "--break" in option:
            print("noticed" if differ else "NOT NOTICED: a rule is missing on one side")
            return 0 if differ else 1
        return 1 if differ else 0
    finally:
        for side in sides:
            side.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
