#!/usr/bin/env python3
"""The same calls of the tools to Debian's Postfix and to ours, over the same files and the same mail in the queue: output, messages, exit codes,
and main.cf afterwards. Each side has its own /etc/postfix in a mount namespace of its own, as postmulti knows no other. Skipped (77) where
Debian's packages, root or namespaces cannot be had.

  tools.py BIN [--seed N] [--show NAME] [--break]     --break changes one setting for Posthorn alone: the comparison must notice
"""
import argparse
import concurrent.futures
import contextlib
import os
import pathlib
import pty
import random
import re
import select
import shutil
import smtplib
import subprocess
import sys

import frame

# What may differ, by name, and why.
ACCEPTED = {
    "usage": "usage texts are in our own words, and name what we offer",
    "sysexits": "sendmail's wrong command lines end with 64, usage, not with 75, which means that trying again helps",
    "numbers": "a number that is none is refused; Postfix's scripts go on with 0",
    "advice": "advice about DANE is ours; the session cache is an lmdb file; openssl's own messages are not repeated",
    "exec": "the message for a command that is not there names the program first",
    "spelling": "one of Postfix's messages has a slip of the pen",
    "expires-at-once": "a message that is forced to expire goes back at once; Postfix waits for the next run of the queue",
}
SENDERS = ["a@one.test", "b@two.test", "", "c@one.test", "\"q r\"@three.test"]


class Question:
    def __init__(self, name, words, text="", accept=(), show=None, after=()):
        self.name, self.words, self.text, self.accept, self.show, self.after = name, [str(word) for word in words], text, tuple(accept), show, after


def multi_questions(rng):
    """postmulti, in this order: each builds on those before. DIR is the folder of the side's instances."""
    def place(name, *parts):
        return [f"{part}_directory=DIR/{name}/{part}" for part in (parts or ("config", "queue", "data"))]
    group = rng.choice(["mta", "msa", "out"])
    one, two, three = rng.sample(["postfix-a", "postfix-b", "postfix-in", "postfix-out", "postfix-x1"], 3)
    return [
        Question("list alone", ["postmulti", "-l"]), Question("no such name", ["postmulti", "-i", "foo", "-l"]),
        Question("no such group", ["postmulti", "-g", "foo", "-l"]), Question("an action that is none", ["postmulti", "-e", rng.choice(["make", "nonsense"])]),
        Question("no mode", ["postmulti"]), Question("two modes", ["postmulti", "-l", "-p"]), Question("two selections", ["postmulti", "-l", "-a", "-g", group], accept=["spelling"]),
        Question("a list with words", ["postmulti", "-l", "extra"]), Question("nothing to run", ["postmulti", rng.choice(["-p", "-x"])]),
        Question("reversed status", ["postmulti", "-R", "-p", "status"]), Question("a name for a list", ["postmulti", "-I", one, "-l"]),
        Question("unknown option", ["postmulti", "-z"], accept=["usage"]),
        Question("a command in one", ["postmulti", "-x", "sh", "-c", "echo [$multi_instance_name] [$multi_instance_enable] $config_directory; exit 3"]),
        Question("status of one", ["postmulti", "-p", "status"]), Question("create before init", ["postmulti", "-I", one, "-e", "create", *place(one)]),
        Question("init", ["postmulti", "-e", "init"], after=["multi_instance_enable", "multi_instance_wrapper"]),
        Question("a name without its beginning", ["postmulti", "-I", "foo", "-e", "create"]),
        Question("create", ["postmulti", "-I", one, "-G", group, "-e", "create", *place(one)], after=["multi_instance_directories"]),
        Question("create another", ["postmulti", "-I", two, "-e", "create", *place(two)], after=["multi_instance_directories"]),
        Question("create in front", ["postmulti", "-a", "-I", three, "-G", group, "-e", "create", *place(three)], after=["multi_instance_directories"]),
        Question("create again", ["postmulti", "-I", one, "-e", "create", *place(one)]), Question("list", ["postmulti", "-l"]), Question("list reversed", ["postmulti", "-l", "-R"]),
        Question("list of a group", ["postmulti", "-l", "-g", group]), Question("list of one", ["postmulti", "-l", "-i", rng.choice([one, two, three, "-"])]),
        Question("list by folder", ["postmulti", "-l", "-i", f"DIR/{two}/config"]), Question("create nowhere", ["postmulti", "-e", "create"]),
        Question("a parameter it does not take", ["postmulti", "-e", "create", "foo=bar"]), Question("words for enable", ["postmulti", "-i", one, "-e", "enable", "foo=bar"]),
        Question("enable nobody", ["postmulti", "-e", "enable"]), Question("enable unknown", ["postmulti", "-i", "nope", "-e", "enable"]),
        Question("names of all", ["postmulti", "-x", "postconf", "-h", "multi_instance_name"]),
        Question("group by postconf", ["postmulti", "-g", group, "-x", "postconf", "multi_instance_group", "queue_directory"]),
        Question("one fails", ["postmulti", "-x", "sh", "-c", f"test \"$multi_instance_name\" != {two}"]), Question("status of all", ["postmulti", "-p", "status"]),
        Question("postfix status goes to the wrapper", ["postfix", "status"]), Question("postfix -c is one alone", ["postfix", "-c", f"DIR/{one}/config", "status"]),
        Question("stop", ["postmulti", "-p", "stop"]), Question("reload", ["postmulti", "-p", "reload"]),
        Question("destroy the first", ["postmulti", "-i", "-", "-e", "destroy"]), Question("enable", ["postmulti", "-i", one, "-e", "enable"]),
        Question("destroy an enabled one", ["postmulti", "-i", one, "-e", "destroy"]), Question("disable", ["postmulti", "-i", one, "-e", "disable"]),
        Question("assign", ["postmulti", "-i", one, "-I", "postfix-new", "-G", "-", "-e", "assign"]), Question("listed after", ["postmulti", "-l"]),
        Question("assign a name twice", ["postmulti", "-i", "postfix-new", "-I", two, "-e", "assign"]),
        Question("deport", ["postmulti", "-i", two, "-e", "deport"], after=["multi_instance_directories"]),
        Question("import", ["postmulti", "-i", "postfix-new", "-I", "postfix-back", "-e", "import", f"config_directory=DIR/{two}/config"], after=["multi_instance_directories"]),
        Question("import nothing", ["postmulti", "-I", "postfix-none", "-e", "import", "config_directory=DIR/none"], accept=["exec"]),
        Question("disable the first", ["postmulti", "-i", "-", "-e", "disable"]), Question("the first is off", ["postmulti", "-l"]),
        Question("assign while off", ["postmulti", "-i", "-", "-I", "postfix-x", "-e", "assign"]), Question("enable the first", ["postmulti", "-i", "-", "-e", "enable"]),
        Question("init again", ["postmulti", "-e", "init"], after=["multi_instance_enable", "multi_instance_wrapper"]),
        Question("destroy", ["postmulti", "-i", three, "-e", "destroy"], after=["multi_instance_directories"]),
        Question("list at the end", ["postmulti", "-l"]),
    ]


def command_questions(rng):
    """postfix on one instance; those about TLS build on those before."""
    return [
        Question("unknown command", ["postfix", "-c", "DIR/postfix", "nonsense"], accept=["usage"]),
        Question("no command", ["postfix", "-c", "DIR/postfix"], accept=["usage"]), Question("logrotate without a file", ["postfix", "-c", "DIR/postfix", "logrotate"]),
        Question("tls alone", ["postfix", "-c", "DIR/postfix", "tls"]), Question("tls nonsense", ["postfix", "-c", "DIR/postfix", "tls", "nonsense"]),
        Question("tls defaults", ["postfix", "-c", "DIR/postfix", "tls", rng.choice(["all-default-client", "all-default-server"])]),
        Question("tls with a word", ["postfix", "-c", "DIR/postfix", "tls", "all-default-client", "x"]),
        Question("tls no key", ["postfix", "-c", "DIR/postfix", "tls", rng.choice(["output-server-csr", "output-server-tlsa"])]),
        Question("tls client", ["postfix", "-c", "DIR/postfix", "tls", "enable-client"], after=["smtp_tls_security_level", "smtp_tls_loglevel"]),
        Question("tls client again", ["postfix", "-c", "DIR/postfix", "tls", "enable-client"], accept=["advice"]),
        Question("tls server", ["postfix", "-c", "DIR/postfix", "tls", "enable-server", "mail.test"], accept=["advice"],
                 after=["smtpd_tls_security_level", "smtpd_tls_loglevel", "smtpd_tls_received_header", "smtpd_tls_cert_file", "smtpd_tls_key_file"]),
        Question("tls server defaults", ["postfix", "-c", "DIR/postfix", "tls", "all-default-server"]),
        Question("tls records", ["postfix", "-c", "DIR/postfix", "tls", "output-server-tlsa", "-h", "mx.test"]),
        Question("tls new key", ["postfix", "-c", "DIR/postfix", "tls", "new-server-key", "-a", "ecdsa", "a.test", "b.test"]),
        Question("tls algorithm", ["postfix", "-c", "DIR/postfix", "tls", "new-server-key", "-a", "dsa"]),
        Question("tls key too small", ["postfix", "-c", "DIR/postfix", "tls", "new-server-key", "-b", "12"], accept=["advice"]),
        Question("tls unknown option", ["postfix", "-c", "DIR/postfix", "tls", "new-server-key", "-z"]),
        Question("tls deploy nothing", ["postfix", "-c", "DIR/postfix", "tls", "deploy-server-cert", "none", "none"]),
        Question("tls deploy usage", ["postfix", "-c", "DIR/postfix", "tls", "deploy-server-cert"]),
    ]


def lock_questions(rng):
    box = "DIR/box"
    return [
        Question("lock", ["postlock", box, "sh", "-c", f"ls DIR | grep '^box'; exit {rng.randrange(1, 60)}"]), Question("lock without a command", ["postlock", box]),
        Question("lock nothing", ["postlock"]), Question("a method that is none", ["postlock", "-l", rng.choice(["lease", "fcntl,lease"]), box, "true"]),
        Question("flock", ["postlock", "-l", rng.choice(["flock", "fcntl"]), box, "sh", "-c", "ls DIR | grep '^box'"]), Question("no folder", ["postlock", "DIR/none/x", "true"]),
        Question("no command", ["postlock", box, "/no/such/command"]), Question("a folder", ["postlock", "DIR", "true"]),
        Question("killed", ["postlock", box, "sh", "-c", "kill -9 $$"]), Question("unknown option", ["postlock", "-z"], accept=["usage"]),
        Question("no configuration", ["postlock", "-c", "/nowhere", box, "true"]),
        Question("held", ["sh", "-c", f"flock {box} postlock -c DIR/impatient -l flock {box} true"]),
        Question("a lock file", ["sh", "-c", f"touch {box}.lock; postlock -c DIR/impatient {box} true; s=$?; rm {box}.lock; exit $s"]),
    ]


def queue_questions(rng):
    """On two running systems that hold the same deferred mail. ID1, ID2 ...: queue ids by sender."""
    known, other = rng.choice(["ID1", "ID2"]), rng.choice(["AAAAAAAA1", "7FFFFFFF2"])
    buckets = rng.choice([2, 3, 5])
    return [
        Question("queue", ["postqueue", "-p"], show="queue"), Question("queue as JSON", ["postqueue", "-j"], show="json"), Question("mailq", ["sendmail", "-bp"], show="queue"),
        Question("shape", ["qshape", "deferred"], show="rows"), Question("shape of new mail", ["qshape"], show="rows"), Question("shape by sender", ["qshape", "-s", "deferred"], show="rows"),
        Question("shape with parents", ["qshape", "-p", "-m", rng.choice([1, 2, 3]), "deferred"], show="rows"),
        Question("shape of few columns", ["qshape", "-b", buckets, "-t", rng.choice([30, 70]), "deferred"], show="rows"),
        Question("shape in equal steps", ["qshape", "-l", "-b", buckets, "-t", 40, "-s", "deferred", "hold"], show="rows"),
        Question("shape of all", ["qshape", "incoming", "active", "deferred", "hold"], show="rows"), Question("shape of no queue", ["qshape", "nonsense"], accept=["exec"]),
        Question("shape with no number", ["qshape", "-b", "x", "deferred"], accept=["numbers"]), Question("shape unknown option", ["qshape", "-x"], accept=["usage"]),
        Question("wide shape", ["qshape", "-w", rng.choice([100, 132]), "-b", 3, "deferred"], show="rows"),
        Question("header and body", ["postcat", "-q", "-bh", known], show="content"), Question("body", ["postcat", "-q", "-b", known]),
        Question("cat of none", ["postcat", "-q", other]), Question("cat of nonsense", ["postcat", "-q", "../x"]), Question("cat unknown option", ["postcat", "-z"], accept=["usage"]),
        Question("hold", ["postsuper", "-h", known]), Question("held in the queue", ["postqueue", "-p"], show="queue"), Question("hold again", ["postsuper", "-h", known]),
        Question("release", ["postsuper", "-H", known]), Question("hold nonsense", ["postsuper", "-h", "nonsense!"]), Question("hold by list", ["postsuper", "-h", "-"], text=f"ID1\nID2\n{other}\n"),
        Question("release all", ["postsuper", "-H", "ALL"]), Question("delete of none", ["postsuper", "-d", other]), Question("a queue that is none", ["postsuper", "-d", "ALL", "nonsense"]),
        Question("hold all of a queue", ["postsuper", "-h", "ALL", "deferred"]), Question("release and expire", ["postsuper", "-f", "ID2", "hold"]),
        Question("super unknown option", ["postsuper", "-z"], accept=["usage"]), Question("super without an id", ["postsuper", "-d"], accept=["usage"]), Question("structure", ["postsuper", "-s"]),
        Question("purge", ["postsuper", "-p"]), Question("delete", ["postsuper", "-d", "ID1", "-d", "ID4"]), Question("what is left", ["postqueue", "-j"], show="json", accept=["expires-at-once"]),
        Question("delete the rest on hold", ["postsuper", "-d", "ALL", "hold"]),
        Question("nothing asked", ["postqueue"]), Question("two things asked", ["postqueue", "-f", "-p"]), Question("a word too many", ["postqueue", "-p", "extra"]),
        Question("a site that is none", ["postqueue", "-s", rng.choice(["bad site@", "a@b.test"])]), Question("an id that is none", ["postqueue", "-i", "no!"]),
        Question("flush", ["postqueue", "-f"]), Question("schedule", ["postqueue", "-i", other]),
        Question("poke qmgr", ["postkick", "public", "qmgr", rng.choice(["F", "D", "I"])], show="code-poke"), Question("poke pickup", ["postkick", "public", "pickup", "W"], show="code-poke"),
        Question("poke nobody", ["postkick", "public", "nosuch", "x"]), Question("poke no class", ["postkick", "nonsense", "qmgr", "x"]), Question("poke too little", ["postkick", "public"]),
        Question("poke unknown option", ["postkick", "-z"]), Question("-qS", ["sendmail", "-qSthere.test"], accept=["sysexits"]), Question("-q!", ["sendmail", "-q!R"], accept=["sysexits", "usage"]),
        Question("-qX", ["sendmail", "-qX"], accept=["sysexits", "usage"]), Question("-qI alone", ["sendmail", "-qI"], accept=["sysexits"]), Question("-qI nonsense", ["sendmail", "-qIzzz!"]),
        Question("-q", ["sendmail", "-q"]), Question("-q5m", ["sendmail", "-q5m"]), Question("-bt", ["sendmail", "-bt"], accept=["sysexits"]), Question("-bi", ["sendmail", "-bi"]),
        Question("-qR with a recipient", ["sendmail", "-qRthere.test", "x@there.test"], accept=["sysexits", "usage"]), Question("log", ["postlog", "-p", "warn", "-t", "foo", "hello", "log"]),
        Question("log unknown priority", ["postlog", "-p", "nonsense", "x"], accept=["exec"]), Question("log unknown option", ["postlog", "-z"], accept=["usage"]),
        Question("log lines", ["postlog"], text="a\n\nb\n"),
    ]


def questions(seed):
    rng = random.Random(seed)
    return {"instances": multi_questions(rng), "commands": command_questions(rng), "locks": lock_questions(rng), "queue": queue_questions(rng)}


class Side:
    """One system's programs, with /etc/postfix of its own."""

    def __init__(self, kind, folder, debian, bin):
        self.kind, self.debian, self.bin, self.dir = kind, debian, bin, folder / kind
        self.dir.mkdir(exist_ok=True)
        self.env = {**debian.env, "PATH": f"{debian.root}/usr/sbin:/usr/bin:/bin:/usr/sbin:/sbin"} if kind == "postfix" else {**os.environ, "PATH": f"{bin}:/usr/bin:/bin:/usr/sbin:/sbin"}
        self.env.pop("MAIL_CONFIG", None)
        self.env["TZ"] = "UTC"
        self.ids = {}
        self.system = None

    def write(self, broken=False):
        conf = self.dir / "postfix"
        conf.mkdir()
        meta = self.dir / "meta"
        meta.mkdir()
        share = self.debian.root / "usr/share/postfix"
        shutil.copy(share / "master.cf.dist", conf / "master.cf")
        if self.kind == "postfix":
            shutil.copytree(self.debian.root / "etc/postfix", meta, dirs_exist_ok=True)
            shutil.copy(share / "main.cf.dist", meta / "main.cf.proto")
            shutil.copy(share / "master.cf.dist", meta / "master.cf.proto")
        for part in ("spool/pf", "lib/pf"):
            (self.dir / part).mkdir(parents=True)
        programs = self.debian.root / "usr/sbin" if self.kind == "postfix" else self.bin
        settings = {"compatibility_level": "3.6", "mail_owner": "mail", "setgid_group": "daemon", "queue_directory": self.dir / "spool/pf", "data_directory": self.dir / "lib/pf",
                    "command_directory": programs, "daemon_directory": self.debian.root / "usr/lib/postfix/sbin" if self.kind == "postfix" else self.bin, "meta_directory": meta,
                    "shlib_directory": "no", "myhostname": "mail.demo.test", "mailbox_delivery_lock": "fcntl" if broken else "fcntl, dotlock"}
        text = "".join(f"{key} = {value}\n" for key, value in settings.items())
        (conf / "main.cf").write_text(text)
        impatient = self.dir / "impatient"
        impatient.mkdir()
        (impatient / "main.cf").write_text(text + "deliver_lock_attempts = 2\ndeliver_lock_delay = 1\n")
        (self.dir / "box").touch()
        # A copy of /etc that has our postfix/ in it, for a namespace.
        etc = self.dir / "etc"
        subprocess.run(["cp", "-a", "/etc", etc], check=True)
        shutil.rmtree(etc / "postfix", ignore_errors=True)
        (etc / "postfix").mkdir()
        if self.kind == "postfix":           # its scripts pass no LD_LIBRARY_PATH on
            (etc / "ld.so.conf.d/posthorn-compat.conf").write_text(f"{self.debian.library}\n")
            subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", 'mount --bind "$0" /etc && ldconfig', etc], check=True)

    def call(self, question):
        """(exit code, standard output, standard error as on a terminal)"""
        words = [self.known(word) for word in question.words]
        if self.system is None:
            words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", 'mount --bind "$0/etc" /etc && mount --bind "$0/postfix" /etc/postfix && exec "$@"', str(self.dir), *words]
            env = self.env
        else:
            env = {**self.env, "MAIL_CONFIG": str(self.system.conf)}
        shown, terminal = pty.openpty()
        with open(terminal, "wb", closefd=False):
            process = subprocess.Popen(words, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=terminal, cwd="/")
        os.close(terminal)
        said = b""
        out, _ = process.communicate(self.known(question.text).encode(), timeout=120)
        while select.select([shown], [], [], 0.2)[0]:
            try:
                more = os.read(shown, 65536)
            except OSError:
                break
            if not more:
                break
            said += more
        os.close(shown)
        return process.returncode, self.normal(out.decode(errors="replace")), self.normal(said.decode(errors="replace").replace("\r\n", "\n"))

    def known(self, text):
        for name, queue_id in self.ids.items():
            text = re.sub(rf"\b{name}\b", queue_id, text)
        return text.replace("DIR", str(self.dir))

    def normal(self, text):
        for place in (f"{self.debian.root}/usr/sbin/", f"{self.bin}/"):
            text = text.replace(place, "")
        text = text.replace(str(self.dir), "DIR").replace("/etc/postfix", "DIR/postfix")
        for name, queue_id in self.ids.items():
            text = re.sub(rf"\b{queue_id}\b", name, text)
        text = re.sub(r"\b20\d{6}-\d{6}\.pem", "DATE.pem", text)
        text = re.sub(r"(?<=TLSA 3 1 1 )[0-9a-f]{64}", "DIGEST", text)
        text = re.sub(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun) (\w{3}) [ \d]\d \d\d:\d\d:\d\d", "TIME", text)
        return re.sub(r"127\.0\.0\.1\[127\.0\.0\.1\]:\d+", "HOST:PORT", text)


def shown(how, answer):
    """What of an answer is compared."""
    code, out, said = answer
    if how == "queue":                      # by message, in any order; how large Received: makes it is each one's own
        out = re.sub(r"(?m)^(ID\d[*!#]?) +\d+ ", r"\1 SIZE ", out)
        head, *blocks = re.split(r"\n(?=ID\d)", out)
        tail = ""
        if blocks:
            blocks[-1], _, tail = blocks[-1].partition("\n\n--")
        out = "\n".join([re.sub(" +", " ", head), *sorted(re.sub(r"[ \t]+", " ", block).strip() for block in blocks), re.sub(r"\d+ Kbytes", "N Kbytes", tail)])
    elif how == "json":
        out = re.sub(r'"(arrival_time|message_size)": \d+', r'"\1": N', out)
        out = re.sub(r', "(next_attempt|attempts)": \d+', "", out)
        out = "\n".join(sorted(out.splitlines()))
    elif how == "rows":                     # Postfix lists what is equally much, and equally long, in no order
        rows = out.splitlines()
        out = "\n".join(rows[:2] + sorted(rows[2:]))
    elif how == "content":                  # the message as it came, below what each system writes of itself
        out = re.sub(r"(?m)^(Message-Id: <)\d+|^(Date: ).*", r"\1\2TIME", out[out.find("Subject:"):])
    elif how == "code-poke":                # Postfix's postkick may be ended by the service that closes first
        code = 0 if code in (0, 141, -13) else code
    return code, out, said


def without_id2(listing):
    """The queue's JSON without that message, and without its report, which has an id that is none of ours."""
    return [line for line in listing.splitlines() if re.search(r'"queue_id": "ID[1345]"', line)]


def excused(question, answers):
    """Whether what differs is what the question's names say."""
    if not question.accept:
        return False
    (code, out, said), (our_code, our_out, our_said) = answers
    fits = {
        "usage": lambda: bool(our_said) and (code != 0) == (our_code != 0), "sysexits": lambda: (code, our_code) == (75, 64) and ("usage" in question.accept or said == our_said),
        "numbers": lambda: our_code != 0 and "a number" in our_said, "advice": lambda: code == our_code, "spelling": lambda: said.replace("Specity", "Specify") == our_said,
        "expires-at-once": lambda: without_id2(out) == without_id2(our_out), "exec": lambda: (code != 0) == (our_code != 0) and out == our_out and bool(our_said),
    }
    return all(fits[name]() for name in question.accept)


def ask(questions, side):
    """This side's answers, one after the other."""
    return [answer_to(question, side) for question in questions]


def answer_to(question, side):
    answer = shown(question.show, side.call(question))
    if question.after:
        now = side.call(Question("", ["postconf", "-c", "DIR/postfix", "-n", *question.after]))
        answer = (answer[0], answer[1] + now[1], answer[2] + now[2])
    return answer


def judge(question, answers, area, show):
    if show == question.name:
        print(*answers, sep="\n")
    if answers[0] == answers[1]:
        area.same()
    elif excused(question, answers):
        area.accept(question.accept)
    else:
        told = [f"{name} {left!r}\n      {'':8} {right!r}" for name, left, right in zip(("exit", "output", "messages"), *answers) if left != right]
        area.differ(f"{question.name}: {' '.join(question.words)}   (Postfix, Posthorn)\n    " + "\n    ".join(told))


def fill(side):
    """The same mail in both queues, all of it deferred; learns the ids."""
    from journey import wait_until
    mail = [["x@there.test", "y@there.test"], ["z@long.sub.there.test"], ["w@a.b.test", "w@c.b.test", "w@D.b.test"], ["\"o p\"@there.test"], ["x@there.test"]]
    for sender, recipients in zip(SENDERS, mail):
        with smtplib.SMTP("127.0.0.1", side.system.port, timeout=60) as client:
            client.ehlo("client.test")
            client.docmd(f"MAIL FROM:<{sender}>")
            for recipient in recipients:
                code, text = client.docmd(f"RCPT TO:<{recipient}>")
                if code != 250:
                    raise SystemExit(f"{side.kind}: {recipient}: {code} {text}")
            client.data(b"Subject: one\r\nTo: somebody\r\n\r\nfirst line\r\n.dot\r\nlast\r\n")
    import json
    names = [sender.replace('"', "") for sender in SENDERS]

    def deferred():
        done = subprocess.run(["postqueue", "-j"], env={**side.env, "MAIL_CONFIG": str(side.system.conf)}, capture_output=True, text=True)
        entries = [json.loads(line) for line in done.stdout.splitlines()]
        side.ids = {f"ID{names.index('' if one['sender'] == 'MAILER-DAEMON' else one['sender'].replace(chr(34), '')) + 1}": one["queue_id"] for one in entries}
        return len(entries) == len(SENDERS) and all(one["queue_name"] == "deferred" and all("delay_reason" in to for to in one["recipients"]) for one in entries)
    wait_until(deferred, f"{side.kind}: all mail is deferred", 60)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("bin", type=pathlib.Path)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--show")
    options.add_argument("--break", dest="broken", action="store_true")
    options = options.parse_args()
    frame.need_root()
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        raise frame.Skipped("no mounts of one's own can be had here")
    os.environ["POSTHORN_BIN"] = str(options.bin.resolve())
    from journey import Sink
    debian, area, bin = frame.Debian(), frame.Area("tools", ACCEPTED), options.bin.resolve()
    asked = questions(options.seed)
    kinds = ("postfix", "posthorn")
    # Postfix's programs sleep a second over each fatal error: each group of questions and each side goes on by itself.
    with frame.workshop() as folder, contextlib.ExitStack() as ends, concurrent.futures.ThreadPoolExecutor(len(asked) * len(kinds)) as pool:
        answers = {}
        for group in asked:
            (folder / group).mkdir()
            (folder / group).chmod(0o755)
            sides = [Side(kind, folder / group, debian, bin) for kind in kinds]
            for side in sides:
                if group == "queue":
                    sink = Sink({"RCPT": lambda argument, _: "450 4.2.1 Mailbox busy"})
                    settings = {"relay_domains": "", "minimal_backoff_time": "4000s", "queue_run_delay": "4000s", "smtp_connection_cache_on_demand": "no", "myorigin": "demo.test",
                                "fast_flush_domains": ""}
                    running = folder / "running"
                    running.mkdir(exist_ok=True)
                    side.system = frame.start(side.kind, running, debian, bin, sink, settings)
                    ends.callback(side.system.close)
                    fill(side)
                else:
                    side.write(options.broken and side.kind == "posthorn")
            answers[group] = [pool.submit(ask, asked[group], side) for side in sides]
        for group, sides in answers.items():
            for question, *both in zip(asked[group], *[side.result() for side in sides]):
                judge(question, both, area, options.show)
    if options.broken:
        print("noticed" if area.differing else "NOT NOTICED: a setting differs on one side")
        return 0 if area.differing else 1
    return area.close(options.seed)


if __name__ == "__main__":
    frame.guarded(main)
