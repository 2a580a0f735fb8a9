"""sendmail -bv and -v: what Debian's Postfix and Posthorn say at once, write in the log, and report by mail, of the same recipients before the
same next host. Reports are compared whole, header and parts, after queue ids, ports, dates and boundaries are taken out. Without
Debian's packages, or without root, the test is skipped (77).

  trace_reports.py BIN
"""
import contextlib
import difflib
import email
import email.policy
import os
import re
import shutil
import subprocess

import frame
from verification import BIN, Comparison, Side, normal, wait_until

# name -> (options, recipients, content, further mail is expected: those that failed in a delivery come back)
QUESTIONS = {
    **{f"-bv {name}": (["-bv"], [f"{name}@there.test"]) for name in ("ok", "plain", "bad", "bare", "lines", "moved", "policy", "later", "full", "odd", "closing")},
    "-bv several at once": (["-bv"], ["ok-1@there.test", "bad-1@there.test", "later-1@there.test", "ok-2@there.test"]),
    "-bv aliases": (["-bv"], ["single@there.test", "several@there.test"]),
    "-bv error transport": (["-bv"], ["who@gone.test", "ok-3@there.test"]),
    "-bv nobody listens": (["-bv"], ["user@none.test"]),
    "-bv content is not looked at": (["-bv"], ["ok-4@there.test"], b"Subject: never seen\n\nbody\n"),
    **{f"-v {name}": (["-v"], [f"{name}@there.test"]) for name in ("ok", "later", "closing")},
    "-v bad": (["-v"], ["bad@there.test"]),
    "-v several at once": (["-v"], ["ok-1@there.test", "ok-2@there.test", "later-1@there.test"]),
    "-v aliases": (["-v"], ["several@there.test"]),
    "-v no recipient in the header": (["-v"], ["ok-5@there.test"], b"\nbody\n"),
}
WRONG = [["-bv"], ["-bv", "-t"], ["-bv", "-N", "never", "ok@there.test"], ["-bv", "-R", "hdrs", "ok@there.test"], ["-bv", "-v", "ok@there.test"]]
CONTENT = b"Subject: real\nTo: somebody@there.test\n\nhello\n"


def plain(text, system):
    """Without what differs by nature."""
    text = normal(text.replace(system.queue_id, "QUEUE-ID") if system.queue_id else text)
    text = re.sub(r"(?m)^(Arrival-Date|Date|Last-Attempt-Date): .*$", r"\1: DATE", text)
    text = re.sub(r"(?m)^(Message-I[dD]): <.*@(.*)>$", r"\1: <ID@\2>", text)
    text = re.sub(r"\[127\.0\.0\.1\]:\d+|127\.0\.0\.1:\d+", "[127.0.0.1]:PORT", text)
    return re.sub(r"(?m)^Received: (?:.*\n[ \t])*.*\n", "", text)


def taken_apart(content, side):
    """What the report says: header, per part its type and name, recipients in words, the machine's part, the header it returns. How both word
    what surrounds the recipients, and which charset they call plain text, is their own."""
    message = email.message_from_bytes(content, policy=email.policy.compat32)

    def fields(part, without=()):
        return [plain(f"{name}: " + re.sub(r"\s*\n\s+", " ", str(value)).strip(), side) for name, value in part.items() if name not in without]
    boundary = message.get_boundary() or "none"
    lines = sorted(line.replace(plain(boundary, side), "BOUNDARY") for line in fields(message, ("Received", "Content-Transfer-Encoding", "Return-Path")))
    for part in message.get_payload() if message.is_multipart() else []:
        lines.append(f"part {part.get_content_type()} {part['Content-Description']}")
        if part.get_content_type() == "text/plain":
            text = part.get_payload().replace("\r\n", "\n")
            lines += sorted(plain(re.sub(r"\s*\n\s+", " ", paragraph).strip(), side) for paragraph in re.split(r"\n\n|\n(?=<)", text) if paragraph.startswith("<"))
        elif part.get_content_type() == "message/delivery-status":
            for block in sorted(fields(block) for block in part.get_payload()):      # in no order, and the one of the message
                lines += ["block", *block]
        else:
            returned = part.get_payload()
            returned = returned[0] if isinstance(returned, list) else email.message_from_string(returned)
            lines += sorted(fields(returned, ("Received",)))
    return lines


class Asked(Side):
    queue_id = ""

    def sendmail(self, options, recipients, content=CONTENT, sender="reports@back.test"):
        program = self.system.tools.program("sendmail") if self.kind == "postfix" else str(BIN / "sendmail")
        environment = {**os.environ, "MAIL_CONFIG": str(self.system.conf), **({"LD_LIBRARY_PATH": self.system.tools.env["LD_LIBRARY_PATH"]} if self.kind == "postfix" else
                                                                  {"PATH": f"{BIN}:{os.environ['PATH']}"})}
        done = subprocess.run([program, "-f", sender, *options, *recipients], input=content, env=environment, capture_output=True, timeout=60)
        errors = [re.sub(r"^\S*?sendmail: ", "sendmail: ", line) for line in done.stderr.decode().splitlines()]
        return done.returncode, done.stdout.decode(), errors

    def mail_back(self, count):
        """The next messages to the asker."""
        def look():
            with self.sink._lock:
                found = [content for _, recipients, content in self.sink.messages if "reports@" in str(recipients)]
            return found[self.seen:] if len(found) >= self.seen + count else None
        found = wait_until(look, f"{self.kind} sends {count} reports")
        self.seen += len(found)
        return found

    seen = 0

    def question(self, name):
        options, recipients, *content = QUESTIONS[name]
        before = len(self.log())
        at_once = self.sendmail(options, recipients, *content)
        # A delivery that fails is returned, and reported: two mails, in no order.
        bounced = options == ["-v"] and any(recipient.startswith(("bad", "several")) for recipient in recipients)
        try:
            found = self.mail_back(2 if bounced else 1)
        except AssertionError:
            print(name, at_once, self.log()[before:])
            raise
        wait_until(lambda: "sender delivery status notification" in self.log()[before:], "the log names the report")
        ids = re.findall(r"qmgr\[\d+\]: (\w+): from=<reports@back\.test>", self.log()[before:])
        self.queue_id = ids[0] if ids else ""
        told = sorted((taken_apart(mail, self) for mail in found), key=lambda lines: [line for line in lines if line.startswith("Subject")])
        log = [re.sub(r"(notification: )\w+", r"\1ID", plain(match, self)) for match in
               re.findall(r"postfix/(?:relay/)?((?:smtp|error|bounce)\[\d+\]: \w+: (?:to=.*|sender .*notification: \w+))", self.log()[before:])]
        log = sorted(re.sub(r"\[\d+\]: [\w-]+: ", ": ", line, count=1) for line in log if "<reports@" not in line.split(", relay")[0])
        return at_once, told, log


class Reports(Comparison):
    def same_texts(self, what, postfix, posthorn):
        """Line by line, where lines may be missing on either side."""
        self.compared += max(len(postfix), len(posthorn))
        for line in difflib.ndiff(postfix, posthorn):
            if line[0] in "-+":
                self.different += 1
                print(f"DIFFERS: {what}\n  only {'Postfix ' if line[0] == '-' else 'Posthorn'}: {line[2:]}")


def main():
    frame.need_root()
    debian = frame.Debian()
    result, sides = Reports(), []
    with frame.workshop() as folder, contextlib.ExitStack() as ends:
        for kind in ("postfix", "posthorn"):
            # Debian's is set-gid to a group that does not exist here, and then believes no environment: a copy without.
            commands = folder / "commands"
            commands.mkdir(exist_ok=True)
            shutil.copy(debian.program("postdrop"), commands)
            (commands / "postdrop").chmod(0o755)
            sides.append(Asked(folder, debian, kind,
                               {"myorigin": "$myhostname", **({"command_directory": commands, "export_environment": "TZ MAIL_CONFIG LD_LIBRARY_PATH"} if kind == "postfix" else {})}))
            ends.callback(sides[-1].close)
        for name in QUESTIONS:
            (first, mail, log), (our_first, our_mail, our_log) = [side.question(name) for side in sides]
            result.same(f"{name}: what is said at once", first, our_first)
            result.same(f"{name}: mails back", len(mail), len(our_mail))
            for one, ours in zip(mail, our_mail):
                result.same_texts(f"{name}: the report", one, ours)
            result.same_lists(f"{name}: log", log, our_log)
        # Refused by both, with a reason; Postfix's status there is 75, ours that of wrong usage.
        for words in WRONG:
            for side in sides:
                code, out, errors = side.sendmail(words, [])
                result.same(f"sendmail {words} {side.kind}: refused, with a reason", (True, "", True), (code != 0, out, bool(errors) and "fatal: " in errors[0]))
        print(f"{result.compared} compared, {result.different} differ")
        return 1 if result.different else 0


if __name__ == "__main__":
    frame.guarded(main)
