"""QMQP: the same packets to Debian's qmqpd and to ours, each through a line for each way it may be set up.

Compared: the answer that the client hears, the lines of the log, and the mail that arrives, envelope and content; and what qmqp-source sends. What may differ is
listed below, and in docs/from-postfix.md. Without Debian's packages, or without root, the test is skipped (77).

  qmqp.py BIN [--only NAME] [--postfix]
"""
import collections
import concurrent.futures
import contextlib
import os
import pathlib
import re
import socket
import subprocess
import sys
import time

import frame

os.environ["POSTHORN_BIN"] = str(pathlib.Path(sys.argv[1]).resolve())
from journey import BIN, Sink, free_port, wait_until  # noqa: E402
from mail_systems import master_line  # noqa: E402

import milters  # noqa: E402

# name -> options of the line
LINES = {
    "plain": {},
    "named": {"qmqpd_client_port_logging": "yes", "soft_bounce": "yes"},
    "nobody": {"qmqpd_authorized_clients": ""},
    "nobody, softly": {"qmqpd_authorized_clients": "!127.0.0.1, 127.0.0.0/8", "soft_bounce": "yes"},
    "by a table": {"qmqpd_authorized_clients": "inline:{127.0.0.1=x}"},
    "no table": {"qmqpd_authorized_clients": "pcre:/nonexistent/table"},
    "small": {"message_size_limit": "3000", "line_length_limit": "600"},
    "impatient": {"qmqpd_timeout": "1s", "qmqpd_error_delay": "0"},
    "no checks": {"receive_override_options": "no_header_body_checks"},
    "no mapping": {"receive_override_options": "no_address_mappings"},
    "no milters": {"receive_override_options": "no_milters"},
    "filtered": {"content_filter": "smtp:[127.0.0.1]:PORT"},
}
TEXT = b"Subject: test\n\nbody\n"


def net(octets):
    return b"%d:%s," % (len(octets), octets)


def packet(content=TEXT, sender=b"a@good.test", recipients=(b"one@demo.test",)):
    return net(net(content) + net(sender) + b"".join(map(net, recipients)))


WHOLE = packet()
TWO = (b"one@demo.test", b"two@demo.test")
PACKETS = {
    "one": WHOLE,
    "two": packet(recipients=TWO),
    "nobody": packet(recipients=()),
    "an empty recipient": packet(recipients=(b"",)),
    "the null sender": packet(sender=b""),
    "VERP": packet(sender=b"list-@good.test-@[]", recipients=TWO),
    "VERP by plus": packet(sender=b"list+@good.test-@[]"),
    "VERP by a wrong character": packet(sender=b"list.@good.test-@[]"),
    "VERP of nothing": packet(sender=b"-@good.test-@[]"),
    "VERP without a domain": packet(sender=b"list-@-@[]"),
    "no VERP": packet(sender=b"list-@good.test-@[x]"),
    "names without a domain": packet(content=b"From: joe\nTo: one, two@there\nSubject: x\n\nbody\n", sender=b"joe", recipients=(b"one", b"two@there")),
    "quoted": packet(sender=b"a b@good.test", recipients=(b"one two@demo.test", b"\"q\"@demo.test")),
    "an alias": packet(recipients=(b"alias@demo.test",)),
    "UTF-8": packet(content="From: ü@good.test\nSubject: ü\n\nü\n".encode(), sender="ü@good.test".encode(), recipients=("ö@demo.test".encode(),)),
    "8 bits": packet(content=b"Subject: test\n\nb\xfcdy\n"),
    "no content": packet(content=b""),
    "no header": packet(content=b"\nbody\n"),
    "no body": packet(content=b"Subject: test\n"),
    "no last line end": packet(content=b"Subject: test\n\nbody"),
    "a blank in front": packet(content=b" Subject: test\n\nbody\n"),
    "From_": packet(content=b"From x@y Mon\n>From z\nSubject: test\n\nbody\n"),
    "dots": packet(content=b"Subject: test\n\n.\n..\n.x\n"),
    "a long line": packet(content=b"Subject: test\n\n" + b"x" * 5000 + b"\nshort\n"),
    "nearly too large": packet(content=b"Subject: test\n\n" + b"\n" * 2980),
    "large": packet(content=b"Subject: test\n\n" + b"a line of some length\n" * 10000),
    "Bcc": packet(content=b"Bcc: z@demo.test\nReturn-Path: <x@y>\nContent-Length: 7\nSubject: test\n\nbody\n"),
    "hops": packet(content=b"Received: x\n" * 60 + b"Subject: test\n\nbody\n"),
    "refused header": packet(content=b"Subject: bad\n\nbody\n"),
    "discarded": packet(content=b"Subject: gone\n\nbody\n"),
    "refused body": packet(content=b"Subject: test\n\nbad body\n"),
    "CRLF": packet(content=b"Subject: test\r\nX: y\r\n\r\nbody\r\n"),
    "a bare CR": packet(content=b"Subject: test\n\nbo\rdy\n"),
    "more behind it": WHOLE + b"QUIT\r\n",
    "two packets": WHOLE + WHOLE,
    "outer length too small": b"3:" + WHOLE.split(b":", 1)[1],
    "outer length too large": b"99999:" + WHOLE.split(b":", 1)[1],
    "outer length huge": b"99999999999999999999:" + WHOLE.split(b":", 1)[1],
    "leading zeros": b"0000" + WHOLE,
    "no length": b":" + WHOLE.split(b":", 1)[1],
    "no length of the content": b"100::x,",
    "SMTP": b"EHLO client.test\r\n",
    "a word for a length": b"12x:abc",
    "a word for a length of the content": b"100:abc:",
    "a negative length": b"100:-3:abc",
    "no comma behind the content": b"100:3:abcd1:a,",
    "no comma behind the sender": b"100:3:abc,1:ab",
    "no comma behind a recipient": b"100:3:abc,1:a,1:bc",
    "a wrong end": b"100:3:abc,1:a,1:b,;",
    "content too large": b"99999999:99999998:abc",
    "sender too long": b"99999999:3:abc,99999:abc",
    "recipient too long": b"99999999:3:abc,1:a,99999:abc",
    **{f"lost {place}": part for place, part in {
        "at once": b"", "in the header": b"10", "behind the header": b"100:", "in the content": b"100:19:Subj", "behind the content": b"100:1:a,",
        "in the sender": b"100:1:a,9:a@", "behind the sender": b"100:1:a,1:b,", "in a recipient": b"100:1:a,1:b,5:c", "before the end": b"100:1:a,1:b,1:c,"}.items()},
}
# line -> packets that it is asked; the plain one all
ASKED = {
    "named": ["one", "nobody", "refused header", "SMTP", "lost in the content"],
    # Who sends before he hears that he may not: Postfix closes the connection over it, and the answer may be lost.
    "nobody": ["SILENT at once", "lost at once"], "nobody, softly": ["SILENT at once"], "by a table": ["one"], "no table": ["SILENT at once"],
    "small": ["nearly too large", "a long line", "content too large", "sender too long", "recipient too long"],
    "impatient": ["SILENT at once", "SILENT in the content", "SILENT before the end", "nobody"],
    "no checks": ["refused header", "refused body"], "no mapping": ["an alias"], "no milters": ["one"], "filtered": ["one"],
}
# name -> (script of the filter, packets); a line of its own has it as non_smtpd_milters
MILTERS = {
    "takes all": (None, ["one", "two", "the null sender"]),
    "refuses the client": ({"CONNECT": milters.packet("r")}, ["one"]),
    "refuses the sender": ({"MAIL": milters.packet("y", milters.texts("550 5.7.1 no such sender"))}, ["one"]),
    "refuses a recipient": ({"RCPT": milters.packet("r")}, ["one"]),
    "defers the content": ({"EOB": milters.packet("t")}, ["one"]),
    "refuses the content": ({"EOB": milters.packet("y", milters.texts("554 5.7.1 looks like spam"))}, ["one"]),
    "discards": ({"EOB": milters.packet("d")}, ["one"]),
    "adds a field": (milters.at_end(milters.packet("h", milters.texts("X-Seen", "yes"))), ["one", "large"]),
}


def talk(port, octets, silent=False):
    """What the server says until it closes. A client that is lost sends its end first."""
    heard = b""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as stream:
        with contextlib.suppress(OSError):
            stream.sendall(octets)
            if not silent:
                stream.shutdown(socket.SHUT_WR)
            while piece := stream.recv(65536):
                heard += piece
    return normal(heard.decode("utf-8", "backslashreplace"))


def normal(text):
    text = re.sub(r"^\d+(?=:[KZD])", "N", text)                 # queue ids differ in length
    text = re.sub(r"<\d+@", "<PID@", text)                        # what qmqp-source sends
    text = re.sub(r"\bunknown(?= ?\(?\[127)|\bunknown(?= \(unknown \[)", "localhost", text)         # Postfix reads /etc/hosts for it, and there is no name server
    return re.sub(r"localhost:\d+", "localhost:PORT", frame.normal(text))


class Side:
    def __init__(self, kind, folder, debian):
        self.kind, self.sink, self.filters, self.ports, master = kind, Sink(), {}, {}, ""
        settings = {"myhostname": "mail.demo.test", "mydestination": "", "mynetworks": "192.0.2.0/24", "relay_domains": "", "mail_name": "Postfix",
                    "myorigin": "$myhostname", "qmqpd_authorized_clients": "127.0.0.0/8", "qmqpd_error_delay": "0", "inet_interfaces": "127.0.0.1", "local_header_rewrite_clients": "",
                    "header_checks": "regexp:{ {/^Subject: bad/ REJECT bad subject} {/^Subject: gone/ DISCARD} }", "body_checks": "regexp:{ {/^bad/ REJECT} }",
                    "virtual_alias_maps": "inline:{ {alias@demo.test = one@demo.test, two@demo.test} }", "verp_delimiter_filter": "-=+"}
        self.system = frame.start(kind, folder, debian, BIN, self.sink, settings)
        for name, options in LINES.items():
            master += self.line(name, {key: value.replace("PORT", str(self.sink.port)) for key, value in options.items()})
        for name, (script, _) in MILTERS.items():
            self.filters[name] = milters.Filter(script)
            master += self.line(f"milter {name}", {"non_smtpd_milters": f"inet:127.0.0.1:{self.filters[name].port}", "milter_connect_timeout": "5s"})
        with open(self.system.conf / "master.cf", "a") as file:
            file.write(master)
        # Filters are cleanup's, in Postfix: there each line needs a cleanup of its own.
        self.system.reload()
        wait_until(lambda: all(map(self.listens, self.ports.values())), f"{kind} listens")
        time.sleep(1)                                           # those connections are over

    def line(self, name, options):
        self.ports[name] = free_port()
        options = {"syslog_name": f"at{len(self.ports)}", **options}
        more = ""
        of_cleanup = {key: value for key, value in options.items() if key in ("non_smtpd_milters", "milter_connect_timeout", "message_size_limit")}
        if of_cleanup and self.kind == "postfix":
            more = master_line(f"cleanup{len(self.ports)} unix n - n - 0 cleanup", of_cleanup)
            options["cleanup_service_name"] = f"cleanup{len(self.ports)}"
        return more + master_line(f"127.0.0.1:{self.ports[name]} inet n - n - - qmqpd", options)

    @staticmethod
    def listens(port):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            return False
        return True

    def ask(self, line, packets):
        """(answer, lines of the log, mail that arrived, what the filter was told)"""
        server = self.filters.get(line.removeprefix("milter "))
        if server:
            del server.sessions[:]
        del self.sink.messages[:]
        start = len(frame.log_of(self.system))
        if packets.startswith("SILENT "):
            answer = talk(self.ports[line], PACKETS[packets.replace("SILENT", "lost")], silent=True)
        else:
            answer = talk(self.ports[line], PACKETS[packets])
        return answer, *self.outcome(line, start), [self.told(session) for session in server.sessions] if server else []

    def outcome(self, line, start):
        number = list(self.ports).index(line) + 1
        tag = f" at{number}/qmqpd["
        wait_until(lambda: re.search(re.escape(tag) + r"\d+\]: disconnect", frame.log_of(self.system)[start:]), f"{self.kind}: {line}: the session is over")

        def ended():
            log = frame.log_of(self.system)[start:]
            queued = re.findall(r"qmgr\[\d+\]: (\w+): from=", log)
            return all(f"{one}: removed" in log for one in queued) and log.count("status=sent") == log.count("status=")
        time.sleep(0.2)
        wait_until(ended, f"{self.kind}: {line}: the mail is gone")
        lines = []
        for text in frame.log_of(self.system)[start:].splitlines():
            # What cleanup and qmqpd say to each other there is no answer.
            if re.search(r"message-id=|queue file size limit exceeded|mail_stream_cleanup: close error|message rejected: hopcount exceeded", text):
                continue
            if tag in text or "/cleanup[" in text or re.search(rf" at{number}/cleanup\[", text):
                lines.append(normal(text.split("]: ", 1)[1]))
        with self.sink._lock:
            arrived = sorted((re.sub(r" SIZE=\d+", "", str(sender)), sorted(map(str, recipients)), normal(self.text(content)).split("\n"))
                             for sender, recipients, content in self.sink.messages)
        return lines, arrived

    @staticmethod
    def told(session):
        """As to mail of sendmail: one MACRO for all of a kind, no {daemon_addr}, ABORT before QUIT. Of the client the port is told, which Postfix 3.7 does not know."""
        told = [normal(milters.normal(one)) for one in session if not one.startswith(("MACRO HEADER", "MACRO BODY")) and one != "ABORT"]
        told = [re.sub(r"^CONNECT \S+ 4 .*|^HELO (unknown|localhost)$", lambda found: found[0].split()[0], one) for one in told]
        return [re.sub(r" \{daemon_addr\}=\S+", "", one) for one in told]

    @staticmethod
    def text(content):
        return (content if isinstance(content, str) else content.decode("utf-8", "backslashreplace")).replace("\r\n", "\n")

    def source(self, debian, arguments):
        """The same of what Debian's qmqp-source sends."""
        del self.sink.messages[:]
        start = len(frame.log_of(self.system))
        done = subprocess.run([debian.program("qmqp-source"), *arguments, f"inet:127.0.0.1:{self.ports['plain']}"], env=debian.env, capture_output=True, text=True, timeout=120)
        lines, arrived = self.outcome("plain", start)
        return normal(f"exit {done.returncode} {done.stderr}"), sorted(lines), arrived, []

    def close(self):
        self.system.close()
        for server in self.filters.values():
            server.close()


ACCEPTED = {
    "from": "From: of the null sender, where it is missing, is that of other mail made here",
    "orcpt": "ORCPT is what the client gave, quoted where it has to be",
    "8bit": "content that has 8 bits is announced as such; a recipient beyond ASCII has no ORCPT of the type rfc822",
    "crlf": "a line that ends with CR LF ends there",
    "port": "cleanup names a client without its port",
    "table": "the words about a table that cannot be opened",
}
# (line, packets) -> (why, what differs)
MAY_DIFFER = {("plain", "the null sender"): ("from", "mail"), ("plain", "names without a domain"): ("orcpt", "mail"), ("plain", "quoted"): ("orcpt", "mail"),
              ("plain", "UTF-8"): ("8bit", "mail"), ("plain", "8 bits"): ("8bit", "mail"), ("plain", "CRLF"): ("crlf", "mail"),
              ("named", "refused header"): ("port", "log"), ("no table", "SILENT at once"): ("table", "log"),
              ("milter takes all", "the null sender"): ("from", "mail filter")}
PARTS = ("answer", "log", "mail", "filter")
SOURCES = {"one": ["-f", "a@good.test", "-t", "one@demo.test"], "recipients": ["-f", "a@good.test", "-t", "one@demo.test", "-r", "3", "-m", "2"],
           "many": ["-f", "a@good.test", "-t", "one@demo.test", "-m", "40", "-s", "5", "-l", "3000"]}


def accepted(line, packets, postfix, posthorn):
    """The name of the difference that may be, or None."""
    why, part = MAY_DIFFER.get((line, packets), (None, None))
    others = [one == other for name, one, other in zip(PARTS, postfix, posthorn) if name not in (part or "")]
    return why if why and all(others) else None


def show(answer):
    said, lines, arrived, told = answer
    return "\n".join([f"    {said!r}", *(f"    log {line}" for line in lines), *(f"    mail {one[0]} {one[1]} {str(one[2])[:1000]}" for one in arrived),
                      *(f"      filter: {line}" for session in told for line in session)])


def main():
    frame.need_root()
    debian = frame.Debian()
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else ""
    questions = [("plain", name) for name in PACKETS] + [(line, name) for line, names in ASKED.items() for name in names] + [
        (f"milter {name}", one) for name, (_, packets) in MILTERS.items() for one in packets] + [("source", name) for name in SOURCES]
    with frame.workshop() as folder, concurrent.futures.ThreadPoolExecutor(2) as pool, contextlib.ExitStack() as ends:
        sides = []
        for kind in ("postfix",) if "--postfix" in sys.argv else ("postfix", "posthorn"):
            sides.append(Side(kind, folder, debian))
            ends.callback(sides[-1].close)
        differ, excused = 0, collections.Counter()
        questions = [one for one in questions if only in ", ".join(one)]
        for line, name in questions:
            answers = list(pool.map(lambda side: side.source(debian, SOURCES[name]) if line == "source" else side.ask(line, name), sides))
            if len(answers) == 1:
                print(f"{line}, {name}:\n{show(answers[0])}")
            elif answers[0] == answers[1]:
                continue
            elif (why := accepted(line, name, *answers)) is not None:
                excused[why] += 1
            else:
                differ += 1
                print(f"DIFFERS: {line}, {name}\n  Postfix:\n{show(answers[0])}\n  Posthorn:\n{show(answers[1])}")
        print(f"{len(questions)} packets compared, {differ} differ")
        for why, count in excused.items():
            print(f"accepted: {why}: {count}: {ACCEPTED[why]}")
        return 1 if differ else 0


if __name__ == "__main__":
    frame.guarded(main)
