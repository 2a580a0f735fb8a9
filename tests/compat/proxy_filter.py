"""A filter before the queue: the same sessions through Debian's Postfix and Posthorn, with smtpd_proxy_filter before the same filters.

Compared: the replies that the client hears, the commands and the content that the filter is told, and the lines of the log. The filters are played by this program,
one behaviour each: it takes everything, refuses in each place, dies in each place, offers more or less. Without Debian's packages, or without root, the test is
skipped (77).

  proxy_filter.py BIN [--only NAME]
"""
import collections
import concurrent.futures
import contextlib
import os
import pathlib
import re
import sys
import time

import frame

os.environ["POSTHORN_BIN"] = str(pathlib.Path(sys.argv[1]).resolve())
from journey import BIN, PATIENCE, Sink, free_port, wait_until  # noqa: E402
from mail_systems import master_line  # noqa: E402

ALL = "NAME ADDR PROTO HELO SOURCE PORT IDENT"


class Filter(frame.Server):
    """A server that says `250` but where its script says otherwise: place -> reply, or None where it hangs up. A place is CONNECT, a verb, a whole RCPT line, or END."""

    def __init__(self, keywords=("PIPELINING", "8BITMIME", f"XFORWARD {ALL}"), script=None, say=None, wait=None):
        self.keywords, self.script, self.wait = keywords, script or {}, wait
        super().__init__()

    def talk(self, stream, file, told):
        def say(place, usual):
            reply = self.script.get(place, usual)
            if reply == "SLEEP":
                time.sleep(4)
                return False
            if reply is None:
                return False
            stream.sendall(reply.encode() + b"\r\n")
            return not reply.startswith("421")
        if not say("CONNECT", "220 filter.test ESMTP"):
            return
        while line := file.readline():
            text = line.decode().rstrip("\r\n")
            told.append(text)
            verb = text.split()[0].upper()
            if verb == "DATA":
                if not say("DATA", "354 go on"):
                    return
                if not self.script.get("DATA", "354").startswith("354"):
                    continue
                if "CONTENT" in self.script:
                    file.readline()
                    told.append("(content begins)")
                    return
                while (line := file.readline()) and line != b".\r\n":
                    told.append("| " + line.decode().rstrip("\r\n"))
                if not line:
                    return
                told.append(".")
                if not say("END", "250 2.0.0 taken by the filter"):
                    return
            elif verb == "EHLO":
                usual = "\r\n".join(["250-filter.test", *(f"250-{word}" for word in self.keywords), "250 HELP"])
                if not say("EHLO", usual):
                    return
            elif verb == "QUIT":
                say("QUIT", "221 bye")
                return
            elif not say(next((place for place in self.script if place.startswith("RCPT TO") and text.startswith(place)), verb), f"250 {verb} ok"):
                return


TIMEOUT = {"smtpd_proxy_timeout": "1s"}
# name -> (what the filter is, options of the line beside the filter)
FILTERS = {
    "takes all": (dict(), {}),
    "knows less of XFORWARD": (dict(keywords=("XFORWARD NAME ADDR HELO",)), {}),
    "no XFORWARD": (dict(keywords=("SIZE 1000", "8BITMIME")), {}),
    "nothing but HELP": (dict(keywords=()), {"smtpd_proxy_ehlo": "proxy.client.test"}),
    "refuses XFORWARD": (dict(script={"XFORWARD": "550 5.7.0 not you"}), {}),
    "refuses EHLO": (dict(script={"EHLO": "502 5.5.1 what?"}), {}),
    "refuses the connection": (dict(script={"CONNECT": "554 5.7.1 no"}), {}),
    "is too busy": (dict(script={"CONNECT": "421 4.3.2 busy"}), {}),
    "refuses MAIL": (dict(script={"MAIL": "553 5.1.8 bad sender"}), {}),
    "defers MAIL": (dict(script={"MAIL": "451 4.3.0 later"}), {}),
    "refuses a recipient": (dict(script={"RCPT TO:<two@demo.test>": "550 5.1.1 no two here"}), {}),
    "refuses a recipient at length": (dict(script={"RCPT TO:<two@demo.test>": "550-5.1.1 no two\r\n550 5.1.1 here"}), {}),
    "refuses all recipients": (dict(script={"RCPT": "450 4.2.1 not now"}), {}),
    "refuses DATA": (dict(script={"DATA": "554 5.7.1 nothing today"}), {}),
    "takes DATA oddly": (dict(script={"DATA": "250 ok"}), {}),
    "refuses the content": (dict(script={"END": "550 5.7.1 looks like spam"}), {}),
    "refuses at length": (dict(script={"END": "550-5.7.1 looks\r\n550 5.7.1 like spam"}), {}),
    "defers the content": (dict(script={"END": "451 4.7.1 greylisted"}), {}),
    "closes with 421": (dict(script={"END": "421 4.3.2 going away"}), {}),
    "takes at length": (dict(script={"END": "250-2.0.0 taken\r\n250 2.0.0 indeed"}), {}),
    "says nonsense": (dict(script={"END": "hello there"}), TIMEOUT),
    "dies at once": (dict(script={"CONNECT": None}), {}),
    "dies at EHLO": (dict(script={"EHLO": None}), {}),
    "dies at XFORWARD": (dict(script={"XFORWARD": None}), {}),
    "dies at MAIL": (dict(script={"MAIL": None}), {}),
    "dies at RCPT": (dict(script={"RCPT": None}), {}),
    "dies at the second RCPT": (dict(script={"RCPT TO:<two@demo.test>": None}), {}),
    "dies at DATA": (dict(script={"DATA": None}), {}),
    "dies in the content": (dict(script={"CONTENT": None}), {}),
    "dies at the end": (dict(script={"END": None}), {}),
    "is silent at once": (dict(script={"CONNECT": "SLEEP"}), TIMEOUT),
    "is silent at RCPT": (dict(script={"RCPT": "SLEEP"}), TIMEOUT),
    "is silent at the end": (dict(script={"END": "SLEEP"}), TIMEOUT),
    "is not there": (None, {}),
    "access results": (dict(), {"smtpd_recipient_restrictions": "check_recipient_access inline:{ {h@demo.test=HOLD} {d@demo.test=DISCARD} {r@demo.test=REDIRECT x@demo.test}"
                                " {f@demo.test=FILTER smtp:[127.0.0.1]:1} {b@demo.test=BCC x@demo.test} {p@demo.test=PREPEND X-Seen: yes} }",
                                "smtpd_end_of_data_restrictions": "check_sender_access inline:{ {late@good.test=REJECT late} }"}),
    "small": (dict(), {"message_size_limit": "100"}),
    "by its port": (dict(), {"smtpd_proxy_filter": "PORT"}),
    "inet": (dict(), {"smtpd_proxy_filter": "inet:localhost:PORT", "soft_bounce": "yes", "smtpd_reject_footer": "call us"}),
}
CONTENT = "Subject: test\r\n\r\n..a dot\r\nbody\r\n.\r\n"
LONG = "Subject: test\r\n\r\n" + "a line of some length\r\n" * 20 + ".\r\n"
SESSION = ["EHLO client.test", "MAIL FROM:<a@good.test> SIZE=40 BODY=8BITMIME", "RCPT TO:<one@demo.test>", "RCPT TO:<two@demo.test> ORCPT=rfc822;two@x.test", "DATA", "QUIT"]
MORE = {
    "reset": ["HELO client.test", "MAIL FROM:<a@good.test>", "RCPT TO:<one@demo.test>", "RSET", "MAIL FROM:<>", "RCPT TO:<two@demo.test>", "RCPT TO:<x@elsewhere.test>", "DATA", "QUIT"],
    "two mails": SESSION[:-1] + SESSION[1:],
    "no recipient": ["EHLO client.test", "MAIL FROM:<a@good.test>", "RCPT TO:<x@elsewhere.test>", "DATA", "QUIT"],
    "lost": ["EHLO client.test", "MAIL FROM:<a@good.test>", "RCPT TO:<one@demo.test>"],
    "quit amid": ["EHLO client.test", "MAIL FROM:<a@good.test>", "RCPT TO:<one@demo.test>", "QUIT"],
    "chunks": ["EHLO client.test", "MAIL FROM:<a@good.test>", "RCPT TO:<one@demo.test>", "BDAT 18\r\nSubject: test\r\n\r\nx", "BDAT 5 LAST\r\n.y\r\nz", "QUIT"],
    "claims": ["EHLO client.test", "XFORWARD NAME=far.test ADDR=192.0.2.7 PROTO=SMTP HELO=far.helo.test IDENT=ABC SOURCE=REMOTE", "MAIL FROM:<a@good.test>", "RCPT TO:<one@demo.test>", "DATA", "QUIT"],
}

PARTICULAR = {
    "access results": {letter: ["MAIL FROM:<a@good.test>", f"RCPT TO:<{letter}@demo.test>", "DATA"] for letter in "hdrfbp"} | {
        "end of data": ["MAIL FROM:<late@good.test>", "RCPT TO:<one@demo.test>", "DATA"]},
    "small": {"too much": ["MAIL FROM:<a@good.test>", "RCPT TO:<one@demo.test>", "LONG"], "chunk too big": ["MAIL FROM:<a@good.test>", "RCPT TO:<one@demo.test>", "BDAT 200 LAST\r\n" + "x" * 200]},
    "refuses a recipient": {"all at once": ["MAIL FROM:<a@good.test>\r\nRCPT TO:<one@demo.test>\r\nRCPT TO:<two@demo.test>\r\nRCPT TO:<x@elsewhere.test>\r\nRCPT TO:<three@demo.test>", "", "", "", "", "DATA"],
                            "chunks": ["MAIL FROM:<a@good.test>", "RCPT TO:<one@demo.test>", "RCPT TO:<two@demo.test>", "BDAT 18 LAST\r\nSubject: test\r\n\r\nx"]},
    "refuses all recipients": {"all at once": ["MAIL FROM:<a@good.test>\r\nRCPT TO:<one@demo.test>\r\nRCPT TO:<two@demo.test>\r\nDATA", "", "", ""]},
    "refuses DATA": {"chunks": ["MAIL FROM:<a@good.test>", "RCPT TO:<one@demo.test>", "BDAT 18\r\nSubject: test\r\n\r\nx", "BDAT 5 LAST\r\n.y\r\nz"]},
    "refuses the content": {"chunks": ["MAIL FROM:<a@good.test>", "RCPT TO:<one@demo.test>", "BDAT 18\r\nSubject: test\r\n\r\nx", "BDAT 5 LAST\r\n.y\r\nz"]},
    "inet": {"refused by us": ["MAIL FROM:<a@good.test>", "RCPT TO:<x@elsewhere.test>"]},
}

SENT = {"a client": ["MAIL FROM:<a@good.test>", "RCPT TO:<one@demo.test>", "DATA"],
        "a client's client": ["XFORWARD NAME=far.test ADDR=192.0.2.7 PROTO=SMTP HELO=far.helo.test IDENT=ABC SOURCE=REMOTE", "MAIL FROM:<a@good.test>", "RCPT TO:<one@demo.test>", "DATA"],
        "little known": ["XFORWARD NAME=[UNAVAILABLE] ADDR=[UNAVAILABLE] PORT=25 HELO=a+2Bb", "MAIL FROM:<a@good.test>", "RCPT TO:<one@demo.test>", "DATA"]}


def talk(port, commands):
    """Replies to all but the greeting and EHLO. LONG is DATA with a message that is too big."""
    content = LONG if "LONG" in commands else CONTENT
    return [normal(reply) for command, reply in frame.dialogue(port, ["DATA" if command == "LONG" else command for command in commands], content, patience=PATIENCE)
            if not command.startswith(("CONNECT", "EHLO"))]


def normal(text):
    text = re.sub(r"PORT=\d+", "PORT=N", text)
    text = re.sub(r"^NOQUEUE: (?=lost connection)", "", text)      # smtpd_log_abort_queue_id: Postfix has the prefix since 3.10
    return re.sub(r"localhost:\d+", "localhost:PORT", frame.normal(text))


class Side:
    def __init__(self, kind, folder, debian):
        self.kind, self.sink, self.filters = kind, Sink(), {}
        settings = {"myhostname": "mail.demo.test", "mydestination": "demo.test", "local_recipient_maps": "", "local_transport": f"smtp:[127.0.0.1]:{self.sink.port}",
                    "mynetworks": "192.0.2.0/24", "relay_domains": "", "smtpd_banner": "$myhostname ESMTP", "smtpd_peername_lookup": "no", "smtpd_error_sleep_time": "0",
                    "smtpd_relay_restrictions": "reject_unauth_destination", "smtpd_authorized_xforward_hosts": "127.0.0.1", "mail_name": "Postfix"}
        self.system = frame.start(kind, folder, debian, BIN, self.sink, settings)
        self.ports, master = {}, ""
        for name, (arguments, options) in FILTERS.items():
            for adjust in ("", "speed_adjust"):
                line = name + (" (whole)" if adjust else "")
                self.filters[line] = Filter(**arguments) if arguments is not None else None
                self.ports[line] = free_port()
                at = self.filters[line].port if arguments is not None else free_port()
                master += master_line(f"127.0.0.1:{self.ports[line]} inet n - n - - smtpd",
                                      {"syslog_name": f"at{len(self.ports)}", "smtpd_proxy_filter": f"127.0.0.1:{at}", "smtpd_proxy_options": adjust,
                                       **{key: value.replace("PORT", str(at)) for key, value in options.items()}})
        # XFORWARD as client: mail that was taken goes on to a filter, which says what it is told.
        self.after, self.less = Filter(), Filter(keywords=("PIPELINING", "XFORWARD NAME HELO SOURCE"), script={"XFORWARD": "550 5.7.0 not you"})
        for name, server in {"after": self.after, "after less": self.less}.items():
            self.ports[name], self.filters[name] = free_port(), server
            master += master_line(f"127.0.0.1:{self.ports[name]} inet n - n - - smtpd", {"syslog_name": f"at{len(self.ports)}", "content_filter": f"forward:[127.0.0.1]:{server.port}"})
        master += master_line("forward unix - - n - - smtp", {"smtp_send_xforward_command": "yes"})
        self.numbers = {line: number + 1 for number, line in enumerate(self.ports)}
        self.system.add_services(master, self.ports.values())

    def ask(self, line, commands):
        """(replies, what the filter was told, log lines)"""
        server = self.filters[line]
        if server:
            del server.sessions[:]
        start = len(frame.log_of(self.system))
        replies = talk(self.ports[line], commands)
        tag = f" at{self.numbers[line]}/smtpd["
        wait_until(lambda: re.search(re.escape(tag) + r"\d+\]: disconnect", frame.log_of(self.system)[start:]), f"{self.kind}: {line}: the session is over")
        lines = []
        for text in frame.log_of(self.system)[start:].splitlines():
            if tag in text and not re.search(r": (dis)?connect from|client=localhost", text):
                lines.append(normal(text.split("]: ", 1)[1]))
        told = []
        if server:
            wait_until(lambda: all(one[-1:] == ["QUIT"] or one is not None for one in server.sessions), "the filter has heard it")
            told = [[normal(one) for one in session] for session in server.sessions]
        return replies, told, lines

    def sent_on(self, line, commands):
        """(replies, what the filter behind the queue was told of each mail, warnings)"""
        server = self.filters[line]
        before = {id(session): len(session) for session in server.sessions}         # a session may carry several mails

        def heard():
            return [one for session in server.sessions for one in session[before.get(id(session), 0):]]
        start = len(frame.log_of(self.system))
        replies = talk(self.ports[line], commands)
        wait_until(lambda: "." in heard(), f"{self.kind}: {line}: the mail has arrived")
        wait_until(lambda: ": removed" in frame.log_of(self.system)[start:], f"{self.kind}: {line}: the mail is gone")
        told = [re.sub(r"IDENT=[0-9A-F]{6,}", "IDENT=QID", normal(one)) for one in heard() if one.startswith("XFORWARD")]
        warnings = [normal(text.split("]: ", 1)[1]) for text in frame.log_of(self.system)[start:].splitlines()
                    if "/smtp[" in text and "warning" in text]
        return replies, [sorted(" ".join(told).replace("XFORWARD ", "").split())], warnings

    def close(self):
        self.system.close()
        for server in self.filters.values():
            if server:
                server.close()


ACCEPTED = {
    "cut": "a message that is given up is cut off; Postfix says QUIT amid its content",
    "group": "a filter that offers PIPELINING hears MAIL, RCPT and DATA together: some behind a command that it refuses",
    "order": "lines about recipients that came in a group are in the order of the answers",
    "too-big": "the log says why a message that is too big was refused; Postfix repeats the last words of the filter",
}


def accepted(line, postfix, posthorn):
    """Names of the differences that may be, or None where there are others."""
    names = set()
    (replies, told, lines), (our_replies, our_told, our_lines) = postfix, posthorn
    if replies != our_replies or len(told) != len(our_told):
        return None
    for theirs, ours in zip(told, our_told):
        if theirs == ours:
            continue
        if "." not in theirs + ours and any(one.startswith("|") for one in theirs):
            theirs = [one for one in theirs if not one.startswith("|")]
            ours = [one for one in ours if not one.startswith("|")]
            names.add("cut")
        theirs, ours = ([one for one in session if one != "QUIT"] for session in (theirs, ours))
        if theirs != ours:
            names.add("group")
            if ours[:len(theirs)] != theirs or not all(one.startswith(("MAIL", "RCPT", "DATA")) for one in ours[len(theirs):]):
                return None
    if "group" in names:                                    # of what was sent together, more is refused
        our_lines = [one for one in our_lines if one in lines or 'rejected "RCPT' not in one]
    if lines != our_lines:
        if sorted(lines) == sorted(our_lines):
            names.add("order")
        elif line.startswith("small") and "552 5.3.4" in "".join(replies) and any("552 5.3.4" in one for one in our_lines):
            names.add("too-big")
        else:
            return None
    return names


def show(answer):
    replies, told, lines = answer
    return "\n".join([f"    {reply!r}" for reply in replies] + [f"    log {line}" for line in lines] + [f"      filter: {line}" for session in told for line in ["---", *session]])


def main():
    frame.need_root()
    debian = frame.Debian()
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else ""
    with frame.workshop() as folder, concurrent.futures.ThreadPoolExecutor(2) as pool, contextlib.ExitStack() as ends:
        sides = []
        for kind in ("postfix",) if "--postfix" in sys.argv else ("postfix", "posthorn"):
            sides.append(Side(kind, folder, debian))
            ends.callback(sides[-1].close)
        asked = differ = 0
        excused = collections.Counter()
        questions = [(line, "mail", SESSION) for line in sides[0].ports if not line.startswith("after")] + [
            (line, *more) for line in ("takes all", "takes all (whole)") for more in MORE.items()] + [
            (line + whole, name, ["EHLO client.test", *commands, "QUIT"]) for whole in ("", " (whole)") for line, asked in PARTICULAR.items() for name, commands in asked.items()] + [
            (line, name, ["EHLO client.test", *commands, "QUIT"]) for line in ("after", "after less") for name, commands in SENT.items()]
        for line, name, commands in questions:
            if only not in line:
                continue
            answers = list(pool.map(lambda side: (side.sent_on if line.startswith("after") else side.ask)(line, commands), sides))
            asked += 1
            if len(answers) == 1:
                print(f"{line}, {name}:\n{show(answers[0])}")
            elif answers[0] == answers[1]:
                continue
            elif (names := accepted(line, *answers)) is not None:
                excused.update(names)
            else:
                differ += 1
                print(f"DIFFERS: {line}, {name}\n  Postfix:\n{show(answers[0])}\n  Posthorn:\n{show(answers[1])}")
        print(f"{asked} sessions through filters compared, {differ} differ")
        for name, count in excused.items():
            print(f"accepted: {name}: {count}: {ACCEPTED[name]}")
        return 1 if differ else 0


if __name__ == "__main__":
    frame.guarded(main)
