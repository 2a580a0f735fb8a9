"""A mail filter over Debian's libmilter (python3-milter), started as a program of its own: SOCKET LOGFILE NAME.

What it does follows from the mail: a word of the Subject for the end of the message, the user of an address for the envelope. Each event is a line of
JSON in the log file.
"""
import json
import sys

import Milter

socket, log_path, name = sys.argv[1:4]
log = open(log_path, "a", buffering=1)


class Filter(Milter.Base):
    def note(self, event, *words, macros=()):
        known = {macro: self.getsymval(macro) for macro in macros}
        log.write(json.dumps([event, *words, {macro: value for macro, value in known.items() if value is not None}]) + "\n")

    def connect(self, host, family, address):
        self.note("connect", host, address[0] if isinstance(address, tuple) else address, macros=("j", "{daemon_name}", "{daemon_addr}", "v", "_"))
        return Milter.CONTINUE

    def hello(self, host):
        self.note("helo", host, macros=("{tls_version}", "{cipher_bits}"))
        return Milter.REJECT if host == "bad.test" else Milter.CONTINUE

    def envfrom(self, sender, *params):
        self.subject, self.octets, self.fields = "", 0, []
        self.note("mail", sender, *params, macros=("{mail_addr}", "{mail_host}", "{mail_mailer}"))
        return Milter.CONTINUE

    def envrcpt(self, recipient, *params):
        self.note("rcpt", recipient, *params, macros=("i", "{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}"))
        if "refused@" in recipient:
            self.setreply("550", "5.7.7", "not for 100%%", "really")
            return Milter.REJECT
        return Milter.TEMPFAIL if "later@" in recipient else Milter.CONTINUE

    def data(self):
        self.note("data", macros=("i",))
        return Milter.CONTINUE

    def header(self, field, value):
        self.fields.append([field, value])
        if field.lower() == "subject":
            self.subject = value
        return Milter.CONTINUE

    def body(self, chunk):
        self.octets += len(chunk)
        return Milter.CONTINUE

    def eom(self):
        self.note("eom", self.fields, self.octets, macros=("i",))
        for word in self.subject.split():
            if word == "add":
                self.addheader("X-Added-" + name, "first line\n\tsecond")
                self.addheader("X-Top-" + name, "top", 0)
                self.addheader("X-Second-" + name, "second", 1)
            elif word == "change":
                self.chgheader("X-Old", 1, "new")
                self.chgheader("X-Gone", 1, "")
                self.chgheader("Subject", 1, "changed by " + name)
            elif word == "body":
                self.replacebody("a new body\nby " + name + "\n")
            elif word == "sender":
                self.chgfrom("<changed@ours.test>")
            elif word == "rcpt":
                self.addrcpt("<added@there.test>")
                self.delrcpt("<removed@there.test>")
            elif word == "hold":
                self.quarantine("a closer look")
            elif word == "reject":
                self.setreply("550", "5.7.1", "no such subject")
                return Milter.REJECT
            elif word == "tempfail":
                return Milter.TEMPFAIL
            elif word == "discard":
                return Milter.DISCARD
            elif word == "accept":
                return Milter.ACCEPT
        return Milter.CONTINUE

    def abort(self):
        self.note("abort")
        return Milter.CONTINUE

    def close(self):
        self.note("close")
        return Milter.CONTINUE

    def unknown(self, command):
        self.note("unknown", command)
        return Milter.CONTINUE


Milter.factory = Filter
Milter.set_flags(Milter.ADDHDRS | Milter.CHGHDRS | Milter.CHGBODY | Milter.ADDRCPT | Milter.DELRCPT | Milter.QUARANTINE | Milter.CHGFROM)
Milter.runmilter(name, socket, 60)
