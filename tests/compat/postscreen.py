"""Before the greeting: the same clients before Debian's postscreen and ours: the permanent list, who speaks too early, lists in the DNS, the temporary list,
and what is said to those that failed. Compared: every octet that the client hears, and the lines of the log. In a network of its own, where both ask the
name server of this test. Without Debian's packages, or without root, the test is skipped (77).

  postscreen.py BIN [--only NAME] [--postfix]
"""
import collections
import concurrent.futures
import contextlib
import os
import pathlib
import re
import socket
import sys
import time

import frame

os.environ["POSTHORN_BIN"] = str(pathlib.Path(sys.argv[1]).resolve())
from journey import BIN, free_port, wait_until  # noqa: E402
from mail_systems import master_line  # noqa: E402

ZONE = """
2.0.0.127.bad.test A 127.0.0.2
2.0.0.127.worse.test A 127.0.0.4
2.0.0.127.odd.test A 127.0.0.10
3.0.0.127.good.test A 127.0.9.2
3.0.0.127.bad.test A 127.0.0.2
6.0.0.127.good.test A 127.0.0.1
4.0.0.127.secret.bad.test A 127.0.0.2
"""
QUICK = {"postscreen_greet_wait": "2s"}
LISTS = {"postscreen_dnsbl_sites": "bad.test*2, worse.test=127.0.0.[2..5] odd.test=127.0.0.2*9 good.test=127.0.[0..255].[1;2]*-4", "postscreen_dnsbl_threshold": "3"}
ACCESS = {"postscreen_access_list": "permit_mynetworks, cidr:{{127.0.0.9 permit}, {127.0.0.8 reject}, {127.0.0.7 dunno}, {127.0.0.0/24 dunno}}"}
# line -> its settings
LINES = {
    "calm": {},
    "old words": {"respectful_logging": "no", "postscreen_blacklist_action": "enforce", **ACCESS},
    "ignores": {**ACCESS},
    "enforces": {"postscreen_greet_action": "enforce", "postscreen_denylist_action": "enforce", **ACCESS},
    "drops": {"postscreen_greet_action": "drop", "postscreen_denylist_action": "drop", **ACCESS},
    "no teaser": {"postscreen_greet_banner": "", "postscreen_greet_action": "enforce"},
    "lists ignore": LISTS,
    "lists enforce": {"postscreen_dnsbl_action": "enforce", **LISTS},
    "lists drop": {"postscreen_dnsbl_action": "drop", **LISTS},
    "all enforce": {"postscreen_dnsbl_action": "enforce", "postscreen_greet_action": "enforce", **LISTS},
    "both fail": {"postscreen_dnsbl_action": "enforce", "postscreen_greet_action": "enforce", **LISTS},
    "masks": {"postscreen_dnsbl_action": "enforce", "postscreen_dnsbl_sites": "secret.bad.test", "postscreen_dnsbl_reply_map": "inline:{secret.bad.test=multiple-lists}"},
    "forgives": {"postscreen_dnsbl_allowlist_threshold": "-1", "postscreen_dnsbl_action": "enforce", "postscreen_greet_action": "enforce", **LISTS},
    "few commands": {"postscreen_command_count_limit": "3", "postscreen_greet_action": "enforce"},
    "little time": {"postscreen_command_time_limit": "2s", "postscreen_greet_action": "enforce"},
    "asks for HELO": {"postscreen_helo_required": "yes", "postscreen_greet_action": "enforce", "postscreen_disable_vrfy_command": "yes",
                      "postscreen_discard_ehlo_keywords": "etrn, dsn"},
    "deep": {"postscreen_pipelining_enable": "yes", "postscreen_non_smtp_command_enable": "yes", "postscreen_bare_newline_enable": "yes",
             "postscreen_bare_newline_action": "enforce", "postscreen_non_smtp_command_action": "enforce"},
    "deep, dropped": {"postscreen_pipelining_enable": "yes", "postscreen_non_smtp_command_enable": "yes", "postscreen_bare_newline_enable": "yes",
                      "postscreen_bare_newline_action": "drop", "postscreen_pipelining_action": "drop"},
    "deep, ignored": {"postscreen_pipelining_enable": "yes", "postscreen_pipelining_action": "ignore", "postscreen_greet_banner": ""},
    "backup": {"postscreen_allowlist_interfaces": "!127.0.0.1 static:all"},
}
EARLY = "EHLO early.test\r\n"
MAIL = ["<", "MAIL FROM:<a@b.test>\r\n", "<", "RCPT TO:<c@demo.test>\r\n", "<", "DATA\r\n", "<", "QUIT\r\n"]
SHORT = ["<", "EHLO client.test\r\n", "<", "MAIL FROM:<a@b.test>\r\n", "<", "RCPT TO:<c@demo.test>\r\n", "<", "QUIT\r\n"]
PATIENT = ["<", "EHLO client.test\r\n", "<", "QUIT\r\n"]
WORDS = ["HELO\r\n", "HELO client.test\r\n", "EHLO client.test\r\n", "NOOP\r\n", "RSET\r\n", "VRFY x\r\n", "ETRN x\r\n", "AUTH PLAIN x\r\n", "STARTTLS\r\n", "XCLIENT A=B\r\n", "NONSENSE\r\n",
         "RCPT TO:<a@b.test>\r\n", "DATA\r\n", "MAIL FROM a\r\n", "MAIL FROM:<>\r\n", "MAIL FROM:<a@b.test>\r\n", "RCPT TO:\r\n", "RCPT TO:<a@b.test>\r\n"]
MORE = ["MAIL FROM:<a@b.test> SIZE=10\r\n", "RCPT TO:<c@demo.test> NOTIFY=NEVER\r\n", "RCPT TO:<\"a b\"@demo.test>\r\n", "RSET\r\n", "\r\n", "HELP\r\n", "VRFY\r\n", "XFORWARD\r\n", "ETRN\r\n", "RSET now\r\n", "DATA now\r\n", "BDAT\r\n"]


def answered(words):
    return [part for word in words for part in ("<", word)]


# (line, what, client, session): "<" hears one whole reply, a number waits, text is said
SESSIONS = [
    ("calm", "a patient client", "127.0.0.2", PATIENT),
    ("calm", "the same again", "127.0.0.2", PATIENT),
    ("calm", "who hangs up", "127.0.0.5", [0.3]),
    ("calm", "who speaks early", "127.0.0.6", [EARLY, "<", "QUIT\r\n"]),
    ("calm", "one of ours", "127.0.0.1", PATIENT),
    *[(line, f"listed {last}", f"127.0.0.{last}", SHORT) for line in ("old words", "ignores", "enforces", "drops") for last in (1, 9, 8, 7)],
    ("old words", "early", "127.0.0.2", [EARLY, *MAIL]),
    ("enforces", "early", "127.0.0.2", [EARLY, *MAIL]),
    ("enforces", "early, with odd octets", "127.0.0.2", ["\x01\x80\\a\t\"\r\n" + "x" * 120 + "\r\n", *MAIL]),
    ("enforces", "patient", "127.0.0.3", PATIENT),
    ("enforces", "patient again", "127.0.0.3", PATIENT),
    ("enforces", "early after it was let in", "127.0.0.3", [EARLY, "<", "QUIT\r\n"]),
    ("enforces", "hangs up later", "127.0.0.5", [EARLY, "<"]),
    ("enforces", "all at once", "127.0.0.6", ["HELO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@demo.test>\r\nDATA\r\nQUIT\r\n"]),
    ("drops", "early", "127.0.0.2", [EARLY]),
    ("no teaser", "patient", "127.0.0.2", PATIENT),
    ("no teaser", "early", "127.0.0.3", [EARLY, *MAIL]),
    *[(line, f"client {last}", f"127.0.0.{last}", SHORT) for line in ("lists ignore", "lists enforce", "lists drop", "masks", "forgives", "all enforce")
      for last in (2, 3, 4, 5)],
    ("lists enforce", "5 again", "127.0.0.5", PATIENT),
    ("both fail", "early and listed", "127.0.0.2", [EARLY, *MAIL]),
    ("all enforce", "early and not", "127.0.0.6", [EARLY, *MAIL]),
    ("forgives", "early and good", "127.0.0.6", [EARLY, *MAIL]),
    ("few commands", "too many", "127.0.0.2", ["NOOP\r\n", *answered(["NOOP\r\n"] * 5)]),
    ("little time", "silent", "127.0.0.2", ["NOOP\r\n", "<", 2.5, "<"]),
    ("asks for HELO", "words", "127.0.0.2", ["MAIL FROM:<a@b.test>\r\n", *answered(WORDS[:7])]),
    ("enforces", "words", "127.0.0.8", ["<", "NOOP\r\n", *answered(WORDS)]),
    ("enforces", "more words", "127.0.0.8", ["<", "EHLO x\r\n", *answered(MORE)]),
    ("enforces", "a header", "127.0.0.8", ["<", "EHLO x\r\n", "<", "Subject: x\r\n"]),
    ("enforces", "CONNECT", "127.0.0.8", ["<", "EHLO x\r\n", "<", "CONNECT 1.2.3.4:25\r\n"]),
    ("enforces", "bare newlines", "127.0.0.8", ["<", "EHLO x\r\n", "<", "NOOP\n", "<", "QUIT\n"]),
    ("enforces", "a group", "127.0.0.8", ["<", "EHLO x\r\n", "<", "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@demo.test>\r\nDATA\r\nQUIT\r\n"]),
    ("enforces", "a long line", "127.0.0.8", ["<", "EHLO x\r\n", "<", "NOOP " + "x" * 3000 + "\r\n"]),
    ("lists ignore", "2 again", "127.0.0.2", PATIENT),
    ("lists enforce", "2 again", "127.0.0.2", PATIENT),
    ("calm", "who spoke early, again", "127.0.0.6", PATIENT),
    ("both fail", "early and listed, again", "127.0.0.2", PATIENT),
    *[(line, what, client, ["<", *steps]) for line in ("deep", "deep, dropped", "deep, ignored") for client, what, steps in (
        ("127.0.0.2", "hangs up after EHLO", ["EHLO x\r\n", "<"]),
        ("127.0.0.2", "QUIT after EHLO", ["EHLO x\r\n", "<", "QUIT\r\n"]),
        ("127.0.0.2", "QUIT after RCPT", answered(["EHLO x\r\n", "MAIL FROM:<a@b.test>\r\n", "RCPT TO:<c@demo.test>\r\n", "QUIT\r\n"])[1:]),
        ("127.0.0.2", "again", ["EHLO x\r\n", "<", "QUIT\r\n"]),
        ("127.0.0.3", "DATA", answered(["HELO x\r\n", "MAIL FROM:<a@b.test>\r\n", "RCPT TO:<c@demo.test>\r\n", "DATA\r\n"])[1:]),
        ("127.0.0.3", "again", ["EHLO x\r\n", "<", "QUIT\r\n"]),
        ("127.0.0.4", "a group", ["EHLO x\r\n", "<", "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@demo.test>\r\nDATA\r\nQUIT\r\n"]),
        ("127.0.0.4", "a group, again", ["EHLO x\r\n", "<", "QUIT\r\n"]),
        ("127.0.0.5", "no SMTP", answered(["EHLO x\r\n", "Subject: x\r\n", "MAIL FROM:<a@b.test>\r\n", "RCPT TO:<c@demo.test>\r\n", "QUIT\r\n"])[1:]),
        ("127.0.0.6", "bare newlines", answered(["EHLO x\n", "MAIL FROM:<a@b.test>\n", "RCPT TO:<c@demo.test>\r\n", "QUIT\r\n"])[1:]),
        ("127.0.0.7", "hangs up after RCPT", answered(["EHLO x\r\n", "MAIL FROM:<a@b.test>\r\n", "RCPT TO:<c@demo.test>\r\n"])[1:] + ["<"]),
        ("127.0.0.7", "again", ["EHLO x\r\n", "<", "QUIT\r\n"]),
        ("127.0.0.9", "VRFY", answered(["EHLO x\r\n", "VRFY x\r\n", "NOOP\r\n", "QUIT\r\n"])[1:]))],
    ("backup", "patient", "127.0.0.2", PATIENT),
    ("backup", "mail", "127.0.0.2", SHORT),
    ("enforces", "BDAT", "127.0.0.8", ["<", "EHLO x\r\n", *answered(["MAIL FROM:<a@b.test>\r\n", "RCPT TO:<c@demo.test>\r\n", "BDAT 3 LAST\r\nabc"])]),
    ("enforces", "BDAT alone", "127.0.0.8", ["<", "EHLO x\r\n", *answered(["BDAT 3 LAST\r\nabc"])]),
    ("enforces", "QUIT now", "127.0.0.8", ["<", "EHLO x\r\n", *answered(["QUIT now\r\n"])]),
    ("enforces", "one bare newline", "127.0.0.8", ["<", "EHLO x\r\n", "<", "RSET\r\n", "<", "NOOP\n", "<", "QUIT\r\n"]),
]


def talk(port, client, steps):
    """All that the server says."""
    heard = b""
    with socket.socket() as stream:
        stream.settimeout(8)
        stream.bind((client, 0))
        stream.connect(("127.0.0.1", port))
        file = stream.makefile("rb")
        with contextlib.suppress(OSError):
            for step in steps:
                if step == "<":
                    while line := file.readline():
                        heard += line
                        if line[3:4] != b"-":
                            break
                elif isinstance(step, float):
                    time.sleep(step)
                else:
                    stream.sendall(step.encode("latin-1"))
            if not steps or not isinstance(steps[-1], float) and steps[-1] != "<":
                heard += file.read()
    return heard.decode("latin-1")


class Nowhere:
    """No mail leaves."""
    port = 1

    def close(self):
        pass


class Side:
    def __init__(self, kind, folder, debian):
        self.kind = kind
        self.system = frame.start(kind, folder, debian, BIN, Nowhere(), {"mynetworks": "127.0.0.1", "mydestination": "demo.test", "local_recipient_maps": "", "smtpd_peername_lookup": "no",
                                                                    "myhostname": "mail.demo.test", "compatibility_level": "3.6", "smtpd_banner": "$myhostname ESMTP",
                                                                    "smtpd_client_connection_count_limit": "0", "smtpd_forbid_unauth_pipelining": "no", "smtpd_tls_security_level": "none", **QUICK})
        self.ports, self.numbers, text = {}, {}, ""
        for number, (line, settings) in enumerate(LINES.items()):
            self.ports[line], self.numbers[line] = free_port(), number
            text += master_line(f"127.0.0.1:{self.ports[line]} inet n - n - 1 postscreen",
                                {"syslog_name": f"at{number}", "postscreen_cache_map": f"btree:$data_directory/screen{number}", **settings})
        if kind == "postfix":
            text += "smtpd pass - - n - - smtpd\ndnsblog unix - - n - 0 dnsblog\ntlsproxy unix - - n - 0 tlsproxy\n"
        self.system.add_services(text, self.ports.values())
        time.sleep(1)

    def ask(self, line, client, steps):
        log, tag = self.system.log_path, f" at{self.numbers[line]}/postscreen["
        start = len(log.read_text(errors="replace"))

        def lines():
            return [text.split("]: ", 1)[1] for text in log.read_text(errors="replace")[start:].splitlines() if tag in text and f"[{client}]" in text]
        heard = talk(self.ports[line], client, steps)
        with contextlib.suppress(SystemExit, AssertionError):
            wait_until(lambda: any(re.match("DISCONNECT|PASS|ALLOWLISTED|WHITELISTED", one) for one in lines()), "the end", 3)
        time.sleep(0.2)
        return heard, [self.normal(one) for one in lines()]

    def normal(self, line):
        line = re.sub(r"\]:\d+", "]:PORT", line)
        return re.sub(r"(PREGREET \d+|HANGUP) after [\d.]+", r"\1 after TIME", line)

    def close(self):
        self.system.close()


ACCEPTED = {"reset": "Postfix leaves what an early talker said unread, so that its last word may be lost in a reset"}


def accepted(what, postfix, posthorn):
    """Names of the differences that may be; none where there are others, or none at all."""
    if "early" in what and postfix[1] == posthorn[1] and postfix[0] != posthorn[0] and posthorn[0].startswith(postfix[0]):
        return ["reset"]
    return []


def show(answer):
    heard, lines = answer
    return "\n".join([f"    {line!r}" for line in heard.splitlines()] + [f"    log {line}" for line in lines])


def main():
    frame.need_root()
    frame.network_of_its_own()
    debian = frame.Debian()
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else ""
    with frame.workshop() as folder, frame.name_server(BIN, folder, ZONE), concurrent.futures.ThreadPoolExecutor(2) as pool, contextlib.ExitStack() as ends:
        sides = []
        for kind in ("postfix",) if "--postfix" in sys.argv else ("postfix", "posthorn"):
            sides.append(Side(kind, folder, debian))
            ends.callback(sides[-1].close)
        asked = differ = 0
        excused = collections.Counter()
        for line, what, client, steps in SESSIONS:
            if only not in f"{line}: {what}":
                continue
            answers = list(pool.map(lambda side: side.ask(line, client, steps), sides))
            asked += 1
            if len(answers) == 1:
                print(f"{line}, {what}:\n{show(answers[0])}", flush=True)
            elif (names := accepted(what, *answers)):
                excused.update(names)
            elif answers[0] != answers[1]:
                differ += 1
                print(f"DIFFERS: {line}, {what}\n  Postfix:\n{show(answers[0])}\n  Posthorn:\n{show(answers[1])}", flush=True)
        print(f"{asked} clients before the greeting compared, {differ} differ")
        for name, count in excused.items():
            print(f"accepted: {name}: {count}: {ACCEPTED[name]}")
        return 1 if differ else 0


if __name__ == "__main__":
    frame.guarded(main)
