"""The same mail for commands, virtual mailboxes and users with aliases: what Debian's Postfix and Posthorn make of it. The lines of pipe, virtual and local,
what commands were given and what stands in mailboxes are compared after ids, dates and ports are taken out. Needs root; without Debian's packages 77.

  deliver.py BIN [--seed N]
"""
import argparse
import json
import os
import pathlib
import re
import smtplib
import sys

import frame

os.environ["POSTHORN_BIN"] = str(pathlib.Path(sys.argv[1]).resolve())
from journey import BIN, PATIENCE, Sink, wait_until  # noqa: E402
from mail_systems import master_line  # noqa: E402

UID = GID = 23456
COMMAND = r'''
import json, os, sys
recipient = sys.argv[-1].split("@")[0].split("+")[0]
said = {"words": sys.argv[2:], "message": sys.stdin.buffer.read().decode("latin-1"), "uid": os.getuid(), "gid": os.getgid()}
with open("%s/%s.json" % (sys.argv[1], recipient), "w") as out:
    json.dump(said, out)
if recipient.startswith("exit"):
    print("some reason\non two lines\t")
    sys.exit(int(recipient[4:].split("-")[0]))
if recipient.startswith("says"):
    print(" ".join(recipient.split("-")[1:]))
    sys.exit(1)
if recipient == "signal":
    os.kill(os.getpid(), 9)
if recipient == "well":
    print("all is well")
'''
MESSAGE = (b"Received: from a by b\r\nSubject: =?x\r\nFrom: a@b.test\r\nTo: c@d.test\r\nMessage-Id: <1@x>\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n"
           b"\r\nFrom here\r\n.dot\r\n>From there\r\n\r\nend\r\n")
# What differs on purpose: recipient -> why.
ACCEPTED = {"missing@none.test": "a command that cannot be executed defers its mail here, for that is no fault of the mail",
            "gone@here.test": "an :include: file that is not there defers the mail here"}
LINES = {
    "plain": "user=nobody argv=COMMAND ${recipient}",
    "full": "flags=DRFOhuqX.B> user=nobody argv=COMMAND -f ${sender} ${user} ${extension} ${mailbox} ${domain} ${nexthop} ${original_recipient} $(queue_id)x ${recipient}",
    "eol": "flags=R user=nobody null_sender= eol=\\r\\n argv=COMMAND ${sender} ${recipient}",
    "many": "flags=F user=nobody argv=COMMAND -- ${recipient}",
    "sized": "user=nobody size=100 argv=COMMAND ${recipient}",
    "none": "user=nobody argv=/nonexistent/program ${recipient}",
    "jail": "chroot=/usr directory=/share user=nobody argv=/bin/sh -c {while read -r line; do :; done; echo 4.2.2 in $$PWD; test -e /usr && echo outside; exit 75} ${recipient}",
}
PIPED = [(f"{who}@{line}.test", sender) for line in LINES if line not in ("none", "sized", "jail") for who in ("User+Ext", "q uoted", "plain") for sender in ("s@x.test", "")]
PIPED += [(f"exit{status}@plain.test", "s@x.test") for status in (1, 2, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 100)]
PIPED += [(f"{who}@plain.test", "s@x.test") for who in ("says-4.2.2-it-is-full", "says-5.7.1-no", "says-2.0.0-yes", "says-nothing", "signal", "well")]
PIPED += [("a@sized.test", "s@x.test"), ("missing@none.test", "s@x.test"), ("inside@jail.test", "s@x.test")]
BOXES = [("dir@box.test", "s@x.test"), ("dir+ext@box.test", ""), ("file@box.test", "s@x.test"), ("file@box.test", ""), ("who@any.test", "s@x.test"),
         ("low@box.test", "s@x.test"), ("lost@box.test", "s@x.test")]
ALIASES = """cmd: "|COMMAND cmd"
cmd-env: "|/bin/echo $LOCAL $DOMAIN $EXTENSION $RECIPIENT $SENDER $USER"
fail: "|/bin/sh -c 'exit 75'"
words: "|/bin/true"
tofile: FOLDER/tofile
null: /dev/null
loop1: loop2
loop2: loop1
away: far@away.test
list: far@away.test, null
owner-list: boss@away.test
included: :include:FOLDER/include
gone: :include:/nonexistent/include
nothere: no-such-user
through: between, away
between: tofile, cmd, list
"""
LOCAL = [(f"{who}@here.test", "s@x.test") for who in ("cmd", "cmd-env+ext", "fail", "words", "tofile", "null", "away", "list", "included", "gone", "nothere", "no-such-user", "No.Such+x")]
# Aliases of aliases: what Delivered-To: says; and where each of them leaves its name, a message that was at one of them.
NESTED = [("through@here.test", ""), ("through+ext@here.test", ""), ("through@here.test", "Delivered-To: through@here.test\r\n")]
LOOPS = [("through@here.test", f"Delivered-To: {who}@here.test\r\n") for who in ("between", "list", "tofile")]


class Side:
    def __init__(self, kind, folder, debian, frozen):
        self.kind, self.sink, self.folder = kind, Sink(), folder / f"{kind}-side"
        self.folder.mkdir()
        self.told, self.base = self.folder / "told", self.folder / "vmail"
        for path in (self.told, self.base):
            path.mkdir()
            path.chmod(0o777)
        os.chown(self.base, UID, GID)
        program = self.folder / "command.py"
        program.write_text(COMMAND)
        command = f"/usr/bin/python3 {program} {self.told}"
        # Aliases' commands and files are nobody's.
        (self.folder / "aliases").write_text("".join(line.replace(":", "", 1) + "\n" for line in ALIASES.replace("COMMAND", command).replace("FOLDER", str(self.told)).splitlines()))
        (self.told / "include").write_text("# a list\nnull, far@away.test\n")
        (self.folder / "boxes").write_text("dir@box.test a/dir/\nfile@box.test file\n@any.test any/\nlow@box.test low\n")
        settings = {
            "myhostname": "mail.demo.test", "myorigin": "here.test", "mydestination": "here.test", "relay_domains": " ".join(f"{line}.test" for line in LINES),
            "transport_maps": "inline:{" + ", ".join(f"{line}.test={line}:Next.Hop" for line in LINES) + "}", "recipient_delimiter": "+", "mail_name": "Postfix",
            "virtual_mailbox_domains": "box.test any.test", "virtual_mailbox_maps": f"texthash:{self.folder}/boxes", "virtual_mailbox_base": self.base,
            "virtual_uid_maps": f"inline:{{dir@box.test={UID}, file@box.test={UID}, @any.test={UID}, low@box.test=5}}", "virtual_gid_maps": f"static:{GID}",
            "alias_maps": f"texthash:{self.folder}/aliases", "soft_bounce": "no", "frozen_delivered_to": frozen, "smtpd_reject_unlisted_recipient": "no", "biff": "no",
            **{f"{line}_destination_recipient_limit": 1 for line in LINES if line != "many"}, **({"mail_owner": "daemon", "default_privs": "nobody"} if kind == "posthorn" else {})}
        self.system = frame.start(kind, folder, debian, BIN, self.sink, settings)
        self.system.add_services("".join(master_line(f"{line} unix - n n - - pipe {arguments.replace('COMMAND', command)}", {}) for line, arguments in LINES.items()), [])

    def normal(self, text):
        text = text.replace(str(self.folder), "FOLDER").replace(self.kind, "KIND")
        text = re.sub(r"^(From \S+|From \"[^\"]*\"\S+)  .*$", r"\1  DATE", text, flags=re.M)
        text = re.sub(r"(forwarded as|\tid|\bid|x\d* ?) [0-9A-Za-z]{6,}\b", r"\1 QID", text)
        return frame.normal(text)

    def ask(self, recipients, sender, head=""):
        """(lines of the agents, what commands were given, what is new in mailboxes)"""
        start = self.system.log_path.stat().st_size

        def log():
            with open(self.system.log_path, "rb") as file:
                file.seek(start)
                return file.read().decode(errors="replace")
        with smtplib.SMTP("127.0.0.1", self.system.port, timeout=PATIENCE) as client:
            client.ehlo("client.test")
            client.mail(sender)
            for recipient in recipients:
                code, text = client.rcpt(recipient)
                if code != 250:
                    return [f"{code} {text.decode()}"], [], {}
            code, text = client.data(head.encode() + MESSAGE)
        queue_id = re.search(r"queued as (\w+)", text.decode()).group(1)
        done = re.compile(rf"postfix/(?:pipe|virtual|local|error)\[\d+\]: {queue_id}: (to=.*)")
        wait_until(lambda: re.search(rf"{queue_id}: removed", log()) or len(re.findall(rf"{queue_id}: to=.*status=deferred", log())) >= len(recipients), f"{self.kind}: {recipients} has an end", 60)
        lines = sorted(self.normal(line).replace(queue_id, "QID") for line in done.findall(log()))
        told = []
        for file in sorted(self.told.glob("*.json")):
            said = json.loads(file.read_text())
            words = [word.replace(queue_id, "QID") for word in said["words"]]
            told.append((words, self.normal(said["message"]).replace(queue_id, "QID"), said["uid"], said["gid"]))
            file.unlink()
        found = {}
        for top in (self.base, self.told):
            for path in sorted(p for p in top.rglob("*") if p.is_file() and p.name != "include"):
                name = re.sub(r"\d+\.V[0-9a-f]+I[0-9a-f]+M\d+\.", "N.", str(path.relative_to(top)))
                about = path.stat()
                found[name] = (self.normal(path.read_text()).replace(queue_id, "QID"), oct(about.st_mode), about.st_uid, about.st_gid)
                path.unlink()
        return lines, told, found

    def close(self):
        self.system.close()


def main():
    options = argparse.ArgumentParser()
    options.add_argument("bin", type=pathlib.Path)
    options.add_argument("--seed", type=int, default=1)
    options = options.parse_args()
    frame.need_root()
    area = frame.Area("deliver", ACCEPTED)
    debian = frame.Debian()
    questions = [([recipient], sender, "") for recipient, sender in PIPED + BOXES + LOCAL]
    questions.append(([f"u{n}@many.test" for n in range(3)], "s@x.test", ""))
    nested, loops = ([([recipient], "s@x.test", head) for recipient, head in those] for those in (NESTED, LOOPS))
    for frozen, asked in (("yes", questions + nested), ("no", nested + loops)):
        with frame.workshop() as folder:
            sides = [Side(kind, folder, debian, frozen) for kind in ("postfix", "posthorn")]
            try:
                for recipients, sender, head in asked:
                    there, here = (side.ask(recipients, sender, head) for side in sides)
                    if there == here:
                        area.same()
                    elif recipients[0] in ACCEPTED:
                        area.accept([recipients[0]])
                    else:
                        area.differ(f"<{sender}> to {recipients}, {head!r}, frozen_delivered_to = {frozen}\n    Postfix  {there}\n    Posthorn {here}")
            finally:
                for side in sides:
                    side.close()
    return area.close(options.seed)


if __name__ == "__main__":
    frame.guarded(main)
