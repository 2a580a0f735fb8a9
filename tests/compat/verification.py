"""The same addresses, the same next host, the same settings: what Debian's Postfix and Posthorn tell an SMTP client, and write in
the log. Compared line by line after queue ids, ports, delays and dates are taken out. Without Debian's packages, or without root, the test is
skipped (77).

  verification.py BIN
"""
import contextlib
import os
import pathlib
import re
import smtplib
import sys
import threading
import time

import frame

os.environ["POSTHORN_BIN"] = str(pathlib.Path(sys.argv[1]).resolve())
from journey import BIN, PATIENCE, Sink, free_port, wait_until  # noqa: E402
from mail_systems import master_line  # noqa: E402

RCPT = {"ok": "250 2.1.5 Recipient OK", "plain": "250 fine", "bad": "550 5.1.1 No such user", "bare": "550 no such user here",
        "lines": "550-5.1.1 No such user\r\n550 5.1.1 ask the postmaster", "moved": "551 5.1.6 Gone elsewhere", "policy": "554 5.7.1 Not from you",
        "later": "450 4.2.1 Mailbox busy", "full": "452 4.2.2 Over quota", "odd": "550 4.2.2 Codes that disagree", "closing": None}
SMTPD = {                                               # smtpd lines beside the first: their own options
    "reject": {"unverified_recipient_reject_code": "550"},
    "reason": {"unverified_recipient_reject_code": "550", "unverified_recipient_reject_reason": "we will not say"},
    "pass": {"unverified_recipient_defer_code": "250"},
    "defer": {"unverified_recipient_tempfail_action": "defer", "smtpd_recipient_restrictions": "reject_unverified_recipient, reject"},
    "permit": {"smtpd_recipient_restrictions": "reject_unverified_recipient, reject"},
    "warn": {"smtpd_recipient_restrictions": "warn_if_reject, reject_unverified_recipient, permit"},
    "once": {"address_verify_poll_count": "1"},
    "sender": {"smtpd_recipient_restrictions": "permit", "smtpd_sender_restrictions": "reject_unverified_sender"},
    "sender550": {"smtpd_recipient_restrictions": "permit", "smtpd_sender_restrictions": "reject_unverified_sender", "unverified_sender_reject_code": "550"},
}
PROBED = ["ok", "plain", "bad", "bare", "lines", "moved", "policy", "later", "full", "odd", "closing", "single", "several", "none"]


def normal(text):
    text = re.sub(r"\[127\.0\.0\.1\]:\d+", "[127.0.0.1]:PORT", text)
    text = re.sub(r"delay=[\d.]+, delays=[\d./]+, (?:tls=\S+, )?", "", text)
    return re.sub(r"conn_use=\d+, ", "", text)


class Side:
    """One mail system with its own copy of the next host."""

    def __init__(self, folder, debian, kind, more):
        self.sink = Sink({"RCPT": lambda argument, _: RCPT.get(re.search(r"<([a-z]*)", argument).group(1), "250 2.1.5 Recipient OK")})
        settings = {"myhostname": "mail.demo.test", "relay_domains": "there.test", "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
                    "smtpd_recipient_restrictions": "reject_unverified_recipient", "mynetworks": "192.0.2.1", "smtpd_peername_lookup": "no",
                    "address_verify_poll_delay": "1s", "address_verify_poll_count": "5", "smtp_connection_cache_on_demand": "no", "address_verify_control_domains": "",
                    "virtual_alias_maps": "inline:{ {single@there.test=bad@there.test} {several@there.test=ok@there.test, bad@there.test} }",
                    "transport_maps": f"inline:{{ {{none.test=smtp:[127.0.0.1]:{free_port()}}} {{gone.test=error:5.1.2 No such place}} }}", **more}
        if kind == "postfix":
            settings.pop("address_verify_control_domains")
        self.kind = kind
        self.system = frame.start(kind, folder, debian, BIN, self.sink, settings)
        lines = {name: free_port() for name in SMTPD}
        self.system.add_services("".join(master_line(f"127.0.0.1:{lines[name]} inet n - n - - smtpd", options) for name, options in SMTPD.items()), lines.values())
        self.ports = {"": self.system.port, **lines}

    def ask(self, service, recipient, sender="sender@client.test"):
        with smtplib.SMTP("127.0.0.1", self.ports[service], timeout=PATIENCE) as client:
            client.ehlo("client.test")
            code, text = client.mail(sender)
            if code == 250:
                code, text = client.rcpt(recipient)
            return normal(f"{code} {text.decode()}")

    def ask_all(self, questions):
        """In parallel: Postfix sleeps a second over each."""
        answers = {}

        def one(question):
            answers[question] = self.ask(*question)
        threads = [threading.Thread(target=one, args=(question,)) for question in questions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers

    def log(self):
        return frame.log_of(self.system)

    def lines(self, pattern):
        """Set of normalised lines, without date, pid and queue id."""
        found = set()
        for line in self.log().splitlines():
            match = re.search(r"postfix/(\S+?)\[\d+\]: (.*)", line)
            if match and re.search(pattern, match.group(2)):
                found.add(normal(f"{match.group(1).rpartition('/')[2]}: " + re.sub(r"^[0-9A-Za-z]{6,}: ", "", match.group(2))))
        return found

    def close(self):
        self.system.close()


class Comparison:
    def __init__(self):
        self.compared = self.different = 0

    def same(self, what, postfix, posthorn):
        self.compared += 1
        if postfix != posthorn:
            self.different += 1
            print(f"DIFFERS: {what}\n  Postfix:  {postfix}\n  Posthorn: {posthorn}")

    def same_lists(self, what, postfix, posthorn):
        for line in sorted(set(postfix) - set(posthorn)):
            self.different += 1
            print(f"DIFFERS: {what}\n  only Postfix:  {line}")
        for line in sorted(set(posthorn) - set(postfix)):
            self.different += 1
            print(f"DIFFERS: {what}\n  only Posthorn: {line}")
        self.compared += len(set(postfix) | set(posthorn))


def main():
    frame.need_root()
    debian, result = frame.Debian(), Comparison()

    def both(questions, what, sides):
        answers = [side.ask_all(questions) for side in sides]
        for question in questions:
            result.same(f"{what} {question}", answers[0][question], answers[1][question])
    with frame.workshop() as folder, contextlib.ExitStack() as ends:
        sides = []
        for kind in ("postfix", "posthorn"):
            (folder / "first").mkdir(exist_ok=True)
            sides.append(Side(folder / "first", debian, kind, {}))
            ends.callback(sides[-1].close)
        first = [("", f"{name}@there.test") for name in PROBED if name != "none"]
        sides_none = [("pass", "user@none.test")]
        both(first, "an unknown address:", sides)
        both(first, "a known address:", sides)
        for service in ("reject", "reason", "pass", "defer", "permit", "warn"):
            both([(service, f"{name}@there.test") for name in ("ok", "bad", "later", "closing")], f"smtpd line {service}:", sides)
        both([("once", "ok-once@there.test")], "poll count 1:", sides)
        senders = [("sender", "x@there.test", f"{name}@there.test") for name in ("ok", "bad", "later")] + [("sender", "x@there.test", "")]
        both(senders + [("sender550", "x@there.test", "bad@there.test"), ("sender550", "x@there.test", "later@there.test"),
                        ("sender550", "x@there.test", "who@gone.test"), ("sender550", "x@there.test", "who@none.test")], "senders:", sides)
        both(sides_none, "elsewhere:", sides)
        with contextlib.suppress(AssertionError):            # a busy machine: the last probes may end behind their answers
            wait_until(lambda: len(sides[0].lines(r"status=(un)?deliverable")) == len(sides[1].lines(r"status=(un)?deliverable")), "both have ended", 10)
        time.sleep(1)
        for what, pattern in (("delivery lines", r"status=(un)?deliverable"), ("rejections", r"NOQUEUE: reject")):
            result.same_lists(what, sides[0].lines(pattern), sides[1].lines(pattern))
        # A cache without failures.
        cold = []
        for kind in ("postfix", "posthorn"):
            (folder / "second").mkdir(exist_ok=True)
            cold.append(Side(folder / "second", debian, kind, {"address_verify_negative_cache": "no"}))
            ends.callback(cold[-1].close)
        both([("once", f"{name}@there.test") for name in ("bad", "later")], "negative cache off:", cold)
        time.sleep(1)
        both([("once", "ok@there.test")], "negative cache off:", cold)
        for side in cold:
            wait_until(lambda: len(side.lines("status=")) >= 3, "the probes have ended")
        result.same_lists("negative cache off: delivery lines", cold[0].lines("status="), cold[1].lines("status="))
        print(f"{result.compared} compared, {result.different} differ")
        return 1 if result.different else 0


if __name__ == "__main__":
    frame.guarded(main)
