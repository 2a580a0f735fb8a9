"""Milters: the same sessions through Debian's Postfix and Posthorn, with the same mail filters beside them.

Compared: the replies that the client hears, every event and macro that the filter is told, the lines of the log, and the mail that arrives, envelope and content.
The filters are played by this program, one behaviour each, octet by octet. What may differ is listed below, and in docs/from-postfix.md. Without Debian's
packages, or without root, the test is skipped (77).

  milters.py BIN [--only NAME] [--postfix]
"""
import concurrent.futures
import contextlib
import os
import pathlib
import re
import struct
import sys

import frame

os.environ["POSTHORN_BIN"] = str(pathlib.Path(sys.argv[1]).resolve())
from journey import BIN, PATIENCE, Sink, free_port, wait_until  # noqa: E402
from mail_systems import master_line  # noqa: E402

EVENTS = {"C": "CONNECT", "H": "HELO", "M": "MAIL", "R": "RCPT", "T": "DATA", "L": "HEADER", "N": "EOH", "B": "BODY", "E": "EOB", "U": "UNKNOWN", "A": "ABORT", "Q": "QUIT"}
NO_ANSWER = {"D", "A", "Q"}


def packet(code, data=b""):
    return struct.pack("!I", len(data) + 1) + code.encode() + data


def texts(*words):
    return b"".join(word.encode() + b"\0" for word in words)


def numbered(number, *words):
    return struct.pack("!I", number) + texts(*words)


GO_ON = packet("c")


# event -> the step that says that it gets no answer
MUTE_STEPS = {"C": 0x1000, "H": 0x2000, "M": 0x4000, "R": 0x8000, "T": 0x10000, "U": 0x20000, "N": 0x40000, "B": 0x80000, "L": 0x80}
MUTE = sum(MUTE_STEPS.values())


class Filter(frame.Server):
    """script: the beginning of an event ("RCPT <two") -> packets, None: hang up, b"": silence."""

    def __init__(self, script=None, steps=0, actions=0x1ff, version=6, lists=b"", negotiation=None):
        self.script, self.steps, self.actions, self.version, self.lists, self.negotiation = script or {}, steps, actions, version, lists, negotiation
        super().__init__()

    def talk(self, stream, file, told):
        try:
            while len(head := file.read(4)) == 4:
                data = file.read(struct.unpack("!I", head)[0])
                code, data = chr(data[0]), data[1:]
                answer = self.react(code, data, told)
                if answer is None:
                    break
                if answer:
                    stream.sendall(answer)
        finally:
            told.append("(end)")

    def react(self, code, data, told):
        if code == "O":
            told.append("OFFER " + data.hex())
            if self.negotiation is not None:
                return self.negotiation
            return packet("O", struct.pack("!III", self.version, self.actions, self.steps) + self.lists)
        words = [word.decode(errors="replace") for word in data.split(b"\0")]
        if code == "D":
            pairs = [word.decode(errors="replace") for word in data[1:].split(b"\0")][:-1]
            told.append(f"MACRO {EVENTS[data[:1].decode()]} " + " ".join(f"{name}={value}" for name, value in zip(pairs[::2], pairs[1::2])))
            return b""
        event = EVENTS[code]
        if code == "C":
            words[1] = words[1][:1]                                # family; the port is nobody's business
            text = f"{event} {words[0]} {words[1]} {words[-2]}"
        elif code == "B":
            text = f"{event} {data!r}"
        else:
            text = " ".join([event, *(word for word in words if word)])
        told.append(text)
        for begin, answer in self.script.items():
            if text.startswith(begin):
                return answer
        # An answer that nobody waits for would be unread when the connection is closed, which then ends with a reset: what was said last is lost.
        return b"" if code in NO_ANSWER or self.steps & MUTE_STEPS.get(code, 0) else GO_ON


def at_end(*packets):
    return {"EOB": b"".join([*packets, GO_ON])}


# name -> (what the filter is, options of the line)
FILTERS = {
    "goes on": (dict(), {}),
    "answers little": (dict(steps=MUTE), {}),
    "wants little": (dict(steps=0x1 | 0x2 | 0x8 | 0x10 | 0x20), {}),
    "wants white space": (dict(steps=0x100000), {}),
    "wants refused recipients": (dict(steps=0x800), {}),
    "is old": (dict(version=2), {}),
    "is offered little": (dict(version=4), {"milter_protocol": "4"}),
    "asks for macros": (dict(lists=numbered(2, "{mail_addr} j") + numbered(5, "i {daemon_name} {nothing}")), {"milter_macro_defaults": "nothing=something, {v}=no"}),
    "refuses the connection": (dict(script={"CONNECT": packet("r")}), {}),
    "defers the connection": (dict(script={"CONNECT": packet("t")}), {}),
    "hangs up": (dict(script={"CONNECT": packet("4")}), {}),
    "says 421": (dict(script={"CONNECT": packet("y", texts("421 4.7.0 not today"))}), {}),
    "accepts the connection": (dict(script={"CONNECT": packet("a")}), {}),
    "discards at HELO": (dict(script={"HELO": packet("d")}), {}),
    "refuses HELO": (dict(script={"HELO": packet("y", texts("550 5.7.1 nice name"))}), {}),
    "refuses MAIL": (dict(script={"MAIL": packet("r")}), {}),
    "hangs up at MAIL": (dict(script={"MAIL": packet("4")}), {}),
    "accepts MAIL": (dict(script={"MAIL": packet("a")}), {}),
    "discards MAIL": (dict(script={"MAIL": packet("d")}), {}),
    "refuses a recipient": (dict(script={"RCPT <two": packet("y", texts("550-5.1.1 no two\r\n550 5.1.1 here, 100%%"))}), {}),
    "defers all recipients": (dict(script={"RCPT": packet("t")}), {}),
    "refuses DATA": (dict(script={"DATA": packet("r")}), {}),
    "refuses a field": (dict(script={"HEADER Subject": packet("y", texts("554 5.6.0 bad subject"))}), {}),
    "skips fields": (dict(script={"HEADER": packet("s")}), {}),
    "accepts at EOH": (dict(script={"EOH": packet("a")}), {}),
    "refuses at EOH": (dict(script={"EOH": packet("r")}), {}),
    "refuses the message": (dict(script={"EOB": packet("r")}), {}),
    "refuses at length": (dict(script={"EOB": packet("y", texts("550-5.7.1 no\r\n550 5.7.1 never"))}), {}),
    "defers the message": (dict(script={"EOB": packet("t")}), {}),
    "discards the message": (dict(script={"EOB": packet("d")}), {}),
    "holds the message": (dict(script=at_end(packet("q", texts("why")))), {}),
    "adds": (dict(script=at_end(packet("h", texts("X-One", "1")), packet("h", texts("X-Two", "2\n\tmore")))), {}),
    "inserts": (dict(script=at_end(packet("i", numbered(1, "X-One", "1")), packet("i", numbered(3, "X-Three", "3")), packet("i", numbered(99, "X-Far", "99")))), {}),
    "changes": (dict(script=at_end(packet("m", numbered(1, "Subject", "changed")), packet("m", numbered(2, "x-a", "second")), packet("m", numbered(1, "X-B", "")),
                                   packet("m", numbered(1, "X-New", "made")), packet("m", numbered(7, "X-A", "")), packet("m", numbered(1, "Received", "")))), {}),
    "replaces the body": (dict(script=at_end(packet("b", b"line one\r\nline"), packet("b", b" two\nthree"))), {}),
    "changes the sender": (dict(script=at_end(packet("e", texts("<new@good.test>")))), {}),
    "has no sender": (dict(script=at_end(packet("e", texts("<>")))), {}),
    "adds a recipient": (dict(script=at_end(packet("+", texts("<three@demo.test>")), packet("2", texts("<four@demo.test>", "NOTIFY=NEVER")))), {}),
    "adds one that is mapped": (dict(script=at_end(packet("+", texts("<alias@demo.test>")))), {"virtual_alias_maps": "inline:{alias@demo.test=mapped@demo.test}"}),
    "deletes recipients": (dict(script=at_end(packet("-", texts("<two@demo.test>")))), {}),
    "header checks": (dict(script=at_end(packet("h", texts("X-Gone", "1")), packet("h", texts("X-Kept", "2")), packet("h", texts("X-Other", "3")))),
                      {"milter_header_checks": "regexp:{{/^X-Gone:/ IGNORE} {/^X-Other: (.*)/ REPLACE X-Else: $1}}"}),
    "dies at once": (dict(negotiation=None, script={"CONNECT": None}), {}),
    "dies at RCPT": (dict(script={"RCPT": None}), {"milter_default_action": "accept"}),
    "dies at the end": (dict(script={"EOB": None}), {"milter_default_action": "quarantine"}),
    "dies at DATA": (dict(script={"DATA": None}), {"milter_default_action": "reject"}),
    "is silent": (dict(script={"MAIL": b""}), {"milter_command_timeout": "1s"}),
    "says nonsense": (dict(script={"MAIL": packet("!")}), {}),
    "says 250": (dict(script={"MAIL": packet("y", texts("250 fine"))}), {}),
    "adds at MAIL": (dict(script={"MAIL": packet("h", texts("X", "y"))}), {}),
    "negotiates badly": (dict(negotiation=GO_ON), {}),
    "is not there": (None, {}),
    "is not there, and need not be": (None, {"milter_default_action": "accept"}),
    "is not there for now": (None, {"smtpd_milters": "{ inet:127.0.0.1:PORT, default_action=reject }"}),
    "is not asked": (dict(), {"receive_override_options": "no_milters"}),
    "is disabled": (dict(), {"smtpd_milter_maps": "cidr:{{127.0.0.0/8 DISABLE}}"}),
    "soft bounce": (dict(script={"EOB": packet("r")}), {"soft_bounce": "yes"}),
}
CONTENT = "From: <a@good.test>\r\nTo: <one@demo.test>\r\nSubject: test\r\nX-A: 1\r\nX-A:  2\r\n\tfolded\r\nX-B: b\r\nDate: Thu, 26 Nov 2026 09:00:00 +0000\r\nMessage-ID: <x@good.test>\r\n\r\n..a dot\r\nbody\r\n.\r\n"
SESSION = ["EHLO client.test", "MAIL FROM:<a@good.test> SIZE=40 BODY=8BITMIME", "RCPT TO:<one@demo.test>", "RCPT TO:<two@demo.test>", "DATA", "QUIT"]
MORE = {
    "goes on": {
        "two mails, one forgotten": ["HELO client.test", "MAIL FROM:<>", "RCPT TO:<one@demo.test>", "RSET", "MAIL FROM:<a@good.test>", "RCPT TO:<one@demo.test>", "DATA",
                                     "MAIL FROM:<b@good.test>", "RCPT TO:<x@elsewhere.test>", "QUIT"],
        "unknown commands": ["EHLO client.test", "HUH what", "MAIL FROM:<a@good.test>", "HUH again", "EHLO other.test", "QUIT"],
        "upper case": ["EHLO Client.Test", "MAIL FROM:<A@GOOD.Test>", "RCPT TO:<One@DEMO.Test>", "RCPT TO:<x@RELAY.Test>", "RCPT TO:<x@Elsewhere.Test>", "QUIT"],
        "lost": ["EHLO client.test", "MAIL FROM:<a@good.test>", "RCPT TO:<one@demo.test>"],
        "chunks": ["EHLO client.test", "MAIL FROM:<a@good.test>", "RCPT TO:<one@demo.test>", "BDAT 66\r\nMessage-ID: <x@good.test>\r\nDate: Thu, 26 Nov 2026 09:00:00 +0000\r\n", "BDAT 6 LAST\r\n\r\nbody", "QUIT"],
    },
    "wants refused recipients": {"one is refused": ["EHLO client.test", "MAIL FROM:<a@good.test>", "RCPT TO:<x@elsewhere.test>", "RCPT TO:<one@demo.test>", "DATA", "QUIT"]},
    "refuses a recipient": {"the only one": ["EHLO client.test", "MAIL FROM:<a@good.test>", "RCPT TO:<two@demo.test>", "DATA", "QUIT"]},
}


def talk(port, commands):
    return [normal(reply) for command, reply in frame.dialogue(port, commands, CONTENT, patience=PATIENCE) if not command.startswith("EHLO") or reply.count("\n") < 3]


def normal(text):
    text = re.sub(r"inet:127\.0\.0\.1:(\d+|PORT)", "inet:FILTER", text)
    text = re.sub(r"^NOQUEUE: (?=lost connection)", "", text)
    text = re.sub(r"\bi=[0-9A-F]{6,}", "i=QID", text)
    return frame.normal(text)


class Side:
    def __init__(self, kind, folder, debian):
        self.kind, self.sink, self.filters, self.ports = kind, Sink(), {}, {}
        settings = {"myhostname": "mail.demo.test", "mydestination": "demo.test", "local_recipient_maps": "", "local_transport": f"smtp:[127.0.0.1]:{self.sink.port}",
                    "mynetworks": "192.0.2.0/24", "relay_domains": "", "smtpd_banner": "$myhostname ESMTP", "smtpd_peername_lookup": "no", "smtpd_error_sleep_time": "0",
                    "smtpd_relay_restrictions": "reject_unauth_destination", "mail_name": "Postfix", "milter_macro_v": "the same", "milter_default_action": "tempfail"}
        self.system = frame.start(kind, folder, debian, BIN, self.sink, settings)
        master = ""
        for name, (arguments, options) in FILTERS.items():
            self.filters[name] = Filter(**arguments) if arguments is not None else None
            self.ports[name] = free_port()
            at = self.filters[name].port if arguments is not None else free_port()
            number = len(self.ports)
            own = {key: value for key, value in options.items() if key in ("virtual_alias_maps", "milter_header_checks", "soft_bounce")}
            master += master_line(f"127.0.0.1:{self.ports[name]} inet n - n - - smtpd",
                                  {"syslog_name": f"at{number}", "cleanup_service_name": f"cleanup{number}", "smtpd_milters": f"inet:127.0.0.1:{at}",
                                   **{key: value.replace("PORT", str(at)) for key, value in options.items()}})
            master += master_line(f"cleanup{number} unix n - n - 0 cleanup", {"syslog_name": f"at{number}", **own,
                                  **{key: value for key, value in options.items() if key.startswith("milter_")}})
        self.numbers = {name: number + 1 for number, name in enumerate(self.ports)}
        self.system.add_services(master, self.ports.values())
        for server in self.filters.values():
            if server:
                del server.sessions[:]                             # who waited for the ports

    def ask(self, name, commands):
        """(replies, what the filter was told, log lines, what arrived)"""
        server, log = self.filters[name], self.system.log_path
        if server:
            del server.sessions[:]
        start, before = len(log.read_text(errors="replace")), len(self.sink.messages)
        replies = talk(self.ports[name], commands)
        tag = f" at{self.numbers[name]}/"

        def text():
            return log.read_text(errors="replace")[start:]
        wait_until(lambda: re.search(re.escape(tag) + r"smtpd\[\d+\]: disconnect", text()), f"{self.kind}: {name}: the session is over")
        # What was taken has arrived, or is known to go nowhere.
        taken = sum("queued as" in reply for reply in replies)
        gone = len(re.findall(r"milter-(?:discard|hold):", text()))
        if taken and not gone:
            wait_until(lambda: len(re.findall(r": removed$", text(), re.M)) >= taken, f"{self.kind}: {name}: the mail is delivered")
        if server:
            wait_until(lambda: all(session[-1:] == ["(end)"] for session in server.sessions), f"{self.kind}: {name}: the filter has heard it")
        lines = [normal(line.split("]: ", 1)[1]) for line in text().splitlines() if tag in line and re.search(r"milter|Milter|reject", line)]
        told = [[normal(one) for one in session if not one.startswith("ABORT")] for session in (server.sessions if server else [])]
        arrived = sorted((sender.split(" SIZE")[0], sorted(re.sub(r" .*", "", one) for one in recipients), normal(content.decode(errors="replace")))
                         for sender, recipients, content in self.sink.messages[before:])
        return replies, told, lines, arrived

    def close(self):
        self.system.close()
        for server in self.filters.values():
            if server:
                server.close()


ACCEPTED = {
    "macros once": "the macros of a header and of a body go with its first piece; Postfix repeats them with each",
    "closed": "where the filter has closed the connection the log says so; Postfix prints whatever errno was",
    "odd answer": "an answer of no kind is shown as it is; Postfix says only that it is unknown",
    "null sender": "{mail_host} and {mail_mailer} of the null sender are empty: no host is asked for it",
    "whole command": "an unknown command is told whole, as libmilter's manual has it; Postfix tells its first word",
    "last line end": "a last BDAT without line end is counted as it came; Postfix counts the one that it adds",
}
# name -> what of Postfix's line goes, and what of ours
LINES = {
    "closed": (r"(reply packet (?:header|data)): .*", r"\1", None),
    "odd answer": (r"unexpected filter response \(unknown filter reply\) after event SMFIC_\w+", "unexpected filter response", r"(unexpected filter response) \".*\""),
    "null sender": (r"(MACRO MAIL \{mail_addr\}=) \{mail_host\}=\S+ \{mail_mailer\}=\S+", r"\1 {mail_host}= {mail_mailer}=", None),
    "whole command": (None, "", r"(UNKNOWN \S+) .*"),
}


def alike(theirs, ours):
    """The name of the difference between two lines, "" where there is none, or None where it may not be."""
    if theirs == ours:
        return ""
    for name, (pattern, text, own) in LINES.items():
        left = re.sub(pattern, text, theirs) if pattern else theirs
        if left == (re.sub(own, r"\1", ours) if own else re.sub(pattern, text, ours)):
            return name
    sizes = [re.fullmatch(r"250 2\.0\.0 Ok: (\d+) bytes queued as QID", line) for line in (theirs, ours)]
    return "last line end" if all(sizes) and int(sizes[0][1]) == int(sizes[1][1]) + 2 else None


def without_repeats(session):
    """Of the macros for fields and pieces the first."""
    kept, seen = [], set()
    for one in session:
        kind = " ".join(one.split()[:2])
        if kind in ("MACRO HEADER", "MACRO BODY"):
            if kind in seen:
                continue
            seen.add(kind)
        else:
            if one.startswith("MAIL"):
                seen = set()
        kept.append(one)
    return kept


def accepted(postfix, posthorn):
    """Names of the differences that may be, or None where there are others."""
    (replies, told, lines, arrived), (our_replies, our_told, our_lines, our_arrived) = postfix, posthorn
    if arrived != our_arrived or len(told) != len(our_told):
        return None
    names, pairs = set(), [(replies, our_replies), (lines, our_lines)]
    for theirs, ours in zip(told, our_told):
        if len(theirs) != len(ours) and len(fewer := without_repeats(theirs)) != len(theirs):
            names.add("macros once")
            theirs = fewer
        pairs.append((theirs, ours))
    for theirs, ours in pairs:
        if len(theirs) != len(ours):
            return None
        found = [alike(*pair) for pair in zip(theirs, ours)]
        if None in found:
            return None
        names.update(name for name in found if name)
    return names


def show(answer):
    replies, told, lines, arrived = answer
    return "\n".join([f"    {reply!r}" for reply in replies] + [f"    log {line}" for line in lines] + [f"      filter: {line}" for session in told for line in ["---", *session]]
                     + [f"    mail {one!r}" for one in arrived])


def main():
    frame.need_root()
    debian = frame.Debian()
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else ""
    area = frame.Area("milters", ACCEPTED)
    with frame.workshop() as folder, concurrent.futures.ThreadPoolExecutor(2) as pool, contextlib.ExitStack() as ends:
        sides = []
        for kind in ("postfix",) if "--postfix" in sys.argv else ("postfix", "posthorn"):
            sides.append(Side(kind, folder, debian))
            ends.callback(sides[-1].close)
        questions = [(name, "mail", SESSION) for name in FILTERS] + [(name, what, commands) for name, more in MORE.items() for what, commands in more.items()]
        for name, what, commands in questions:
            if only not in name:
                continue
            answers = list(pool.map(lambda side: side.ask(name, commands), sides))
            if len(answers) == 1:
                print(f"{name}, {what}:\n{show(answers[0])}")
            elif answers[0] == answers[1]:
                area.same()
            elif (names := accepted(*answers)) is not None:
                area.accept(names)
            else:
                area.differ(f"{name}, {what}\n  Postfix:\n{show(answers[0])}\n  Posthorn:\n{show(answers[1])}")
    return area.close(1)


if __name__ == "__main__":
    frame.guarded(main)
