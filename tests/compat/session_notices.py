"""notify_classes: the same SMTP sessions through Debian's Postfix and Posthorn, each through a smtpd for each class of trouble: of which the
postmaster is told, and in which words. Without Debian's packages, or without root, the test is skipped (77).

  session_notices.py BIN
"""
import contextlib
import email
import re
import socket
import time

import frame
import verification
from verification import Comparison, Side, wait_until

CLASSES = ("policy", "protocol", "resource", "software", "data", "bounce")
MAIL, RCPT = "MAIL FROM:<a@b.test>", "RCPT TO:<ok@there.test>"
# name -> what is said after EHLO; a name that ends in "lost" does not say QUIT.
SESSIONS = {
    "nothing wrong": [MAIL, RCPT, "RSET"],
    "no EHLO": ["HELO", MAIL],
    "VRFY is off": ["VRFY a@b.test"],
    "DATA without recipient": [MAIL, "DATA"],
    "DATA without mail": ["DATA"],
    "address syntax": ["MAIL FROM:<a b@>"],
    "unknown option": [MAIL + " FOO=BAR"],
    "relay": [MAIL, "RCPT TO:<u@elsewhere.test>"],
    "relay, lost": [MAIL, "RCPT TO:<u@elsewhere.test>"],
    "relay, RSET, MAIL": [MAIL, "RCPT TO:<u@elsewhere.test>", "RSET", MAIL],
    "wrong restriction": ["MAIL FROM:<config@b.test>", RCPT],
    "rule says later": ["MAIL FROM:<later@b.test>", RCPT],
    "rule hangs up, lost": ["MAIL FROM:<gone@b.test>", RCPT],
    "unknown user": [MAIL, "RCPT TO:<nobody@mail.demo.test>"],
    "too large as announced": [MAIL + " SIZE=10000"],
    "too large": [MAIL, RCPT, "DATA", ("x" * 900 + "\r\n") * 5 + "."],
    "too many recipients": [MAIL, RCPT, "RCPT TO:<ok-b@there.test>", "RCPT TO:<ok-c@there.test>"],
    "header check": [MAIL, RCPT, "DATA", "Subject: bad\r\n\r\nx\r\n."],
    "hops": [MAIL, RCPT, "DATA", "Received: x\r\n" * 60 + "\r\nx\r\n."],
    "ETRN is refused": ["ETRN foo.test"],
    "AUTH without": ["AUTH PLAIN AGEAYg=="],
    "XCLIENT without": ["XCLIENT NAME=x"],
    "MAIL twice": [MAIL, MAIL],
    "null recipient": [MAIL, "RCPT TO:<>"],
    "no such command": ["FOO", "RSET now"],
    "a word for HTTP, lost": ["GET / HTTP/1.0"],
    "too many errors, lost": ["FOO"] * 6,
    "error, then mail": ["FOO", MAIL, RCPT, "DATA", "Subject: x\r\n\r\nx\r\n."],
    "mail, then error": [MAIL, RCPT, "DATA", "Subject: x\r\n\r\nx\r\n.", "FOO"],
    "a long line": ["FOO" + " word" * 40],
}
SETTINGS = {
    "myorigin": "$myhostname", "notify_classes": "", "error_notice_recipient": "reports@back.test", "bounce_notice_recipient": "reports-bounce@back.test",
    "smtpd_recipient_restrictions": "check_sender_access inline:{ {config@b.test=check_nonsense} {later@b.test=450 4.7.1 wait} {gone@b.test=421 4.7.1 go} }",
    "local_recipient_maps": "inline:{somebody=x}", "smtpd_hard_error_limit": "5", "smtpd_error_sleep_time": "0", "message_size_limit": "4000",
    "smtpd_recipient_limit": "2", "header_checks": "regexp:{ {/^Subject: bad/ REJECT no} }", "smtpd_helo_required": "yes", "disable_vrfy_command": "yes",
    "smtpd_etrn_restrictions": "reject", "mail_name": "Some Mail", "smtp_destination_concurrency_limit": "5",
}


def talk(port, name, lines):
    """The name goes with the session, in a command that does no harm."""
    lost, hello = name.endswith("lost"), not lines[0].startswith("HELO")
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client, client.makefile("rb") as replies:
        def hear():
            while True:
                line = replies.readline()
                if line[3:4] != b"-":
                    return line
        hear()
        for line in [*(["EHLO client.test"] if hello else []), f"NOOP {name}", *(lines if hello else lines[1:]), *([] if lost else ["QUIT"])]:
            with contextlib.suppress(OSError):
                client.sendall(line.encode() + b"\r\n")
            if not hear():
                break


def told(side):
    """(class, session) -> recipient, header and text of each notice."""
    found = {}
    with side.sink._lock:
        messages = list(side.sink.messages)
    for sender, recipients, content in messages:
        if b"Transcript of session" not in content:
            continue
        message = email.message_from_bytes(content)
        text = message.get_payload().replace("\r\n", "\n")
        key = re.search(r"220 (\w+)\.demo\.test", text).group(1), re.search(r"NOOP (.*)", text).group(1)
        fields = [f"{name}: {message[name]}" for name in ("From", "To", "Subject", "Content-Type", "Auto-Submitted")]
        # The keywords of EHLO are another test's; queue ids are chance.
        text = re.sub(r"(?m)^( In:  AUTH) .*", r"\1", text)        # we keep passwords from the postmaster
        text = text.replace(" 554 5.4.0 Error: too many hops", " 554 5.4.6 Error: too many hops")      # the status is of Postfix 3.11
        text = re.sub(r"(?m)^ Out: 250[- ](?![0-9]).*\n", "", re.sub(r"queued as \w+", "queued as ID", text))
        found.setdefault(key, []).append([str(sender).split(" SIZE")[0], str(recipients[0]).split(" ")[0], *fields, *text.split("\n")])
    return found


def settled(side):
    """What was told when nothing has come for two seconds."""
    found = told(side)
    for _ in range(30):
        time.sleep(2)
        before, found = found, told(side)
        if sum(map(len, before.values())) == sum(map(len, found.values())):
            break
    return found


def main():
    frame.need_root()
    debian, result, all_told = frame.Debian(), Comparison(), []
    verification.SMTPD.clear()
    verification.SMTPD.update({name: {"notify_classes": name, "smtpd_banner": f"{name}.demo.test ESMTP"} for name in CLASSES})
    with frame.workshop() as folder, contextlib.ExitStack() as ends:
        for kind in ("postfix", "posthorn"):
            side = Side(folder, debian, kind, SETTINGS)
            ends.callback(side.close)
            for name, lines in SESSIONS.items():
                for each in CLASSES:
                    talk(side.ports[each], name, lines)
            # A last one of each class that is told of; those before it have been on their way longer.
            for each, lines in {"protocol": ["FOO"], "policy": [MAIL, "RCPT TO:<u@elsewhere.test>"]}.items():
                talk(side.ports[each], "the last", lines)
            wait_until(lambda side=side: {("protocol", "the last"), ("policy", "the last")} <= set(told(side)), f"{kind} tells of the last sessions")
            all_told.append(settled(side))
    first, second = all_told
    for key in sorted(set(first) | set(second)):
        result.same(f"{key[0]}: {key[1]}", first.get(key), second.get(key))
    print(f"{result.compared} compared, {result.different} differ")
    return 1 if result.different or len(first) < 20 else 0


if __name__ == "__main__":
    frame.guarded(main)
