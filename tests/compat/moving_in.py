#!/usr/bin/env python3
"""Whole sites moving in: a configuration of each kind that administrators have, put to Debian's Postfix and to us with the same servers beside both. Mail comes
from outside, from a client that may relay, by login and by the sendmail command; replies, where mail went and in which words, and what the log warns of are
compared. The tables are of the types that such sites have (hash, btree), made by each system's own postmap. Skipped (77) without Debian's packages or root.

  moving_in.py BIN [--site NAME] [--break]     --break: our sites know no relayhost and no tables of recipients; differences must be found
"""
import argparse
import base64
import concurrent.futures
import contextlib
import dataclasses
import os
import pathlib
import re
import smtplib
import socket
import ssl
import subprocess
import sys

import frame

os.environ["POSTHORN_BIN"] = str(pathlib.Path(sys.argv[1]).resolve())
from journey import BIN, Sink, wait_until  # noqa: E402
from ports import free_port  # noqa: E402

ACCEPTED = {"orcpt": "of a recipient that the sendmail command was given without a domain ORCPT says what it was given, not what was made of it",
            "never": "a report asks for no report of its own",
            "proxymap": "Postfix's proxymap ended while it was asked, which its client says and asks anew"}
LOGIN = base64.b64encode(b"\0joe@virtual.test\0secret").decode()
MESSAGE = "Subject: moving in\r\nFrom: a@b.test\r\nTo: c@d.test\r\nMessage-Id: <1@x>\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n\r\nhello\r\n"
SUBMISSION = """-o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes -o smtpd_reject_unlisted_recipient=no
  -o smtpd_client_restrictions=$mua_client_restrictions -o smtpd_relay_restrictions=permit_sasl_authenticated,reject -o milter_macro_daemon_name=ORIGINATING
"""
LINES = ("back", "back2", "submission", "line1", "line2")
BACK = """127.0.0.1:{back} inet n - n - - smtpd -o content_filter= -o smtpd_proxy_filter= -o local_recipient_maps= -o relay_recipient_maps= -o smtpd_restriction_classes=
  -o smtpd_client_restrictions=permit_mynetworks,reject -o smtpd_helo_restrictions= -o smtpd_sender_restrictions= -o smtpd_recipient_restrictions=permit_mynetworks,reject
  -o mynetworks=127.0.0.0/8 -o receive_override_options=no_header_body_checks,no_unknown_recipient_checks,no_address_mappings
"""


@dataclasses.dataclass
class Site:
    """Words in braces: {sink} {boxes} {login} {policy} {filter} {filter2} {back} {back2} {submission} {line1} {line2} {closed} are ports, {folder} has the tables,
    {programs} the programs. A table of the type cf is a file of parameters, and is not made."""
    main: dict
    services: str = ""
    tables: dict = dataclasses.field(default_factory=dict)       # type:name -> text
    outside: tuple = ()                                          # recipients from 127.0.0.2, which may not relay
    inside: tuple = ()                                           # from 127.0.0.1, which may
    logged_in: tuple = ()                                        # over the line {submission}
    command: tuple = ()                                          # by sendmail
    over: dict = dataclasses.field(default_factory=dict)         # line1, line2 -> (client, recipients)
    programs: dict = dataclasses.field(default_factory=dict)     # name -> text; what it writes to $TOLD is compared, line by line
    sender: str = "stranger@far.test"


SITES = {
    "virtual hosting": Site(
        {"virtual_mailbox_domains": "hash:{folder}/domains", "virtual_mailbox_maps": "hash:{folder}/boxes", "virtual_alias_maps": "hash:{folder}/aliases, regexp:{folder}/catchall",
         "virtual_transport": "lmtp:inet:127.0.0.1:{boxes}", "recipient_delimiter": "+", "smtpd_recipient_restrictions": "permit_mynetworks, reject_unauth_destination, "
         "check_policy_service inet:127.0.0.1:{policy}", "enable_original_recipient": "no", "smtpd_milters": "inet:127.0.0.1:{closed}", "milter_default_action": "accept"},
        tables={"hash:domains": "virtual.test x\n", "hash:boxes": "joe@virtual.test joe/\nann@virtual.test ann/\n",
                "hash:aliases": "team@virtual.test joe@virtual.test, ann@virtual.test\nboth@virtual.test joe@virtual.test\nout@virtual.test joe@far.test\n",
                "regexp:catchall": "/^list-.*@virtual\\.test$/ ann@virtual.test\n"},
        outside=("joe@virtual.test", "joe+x@virtual.test", "none@virtual.test", "team@virtual.test", "out@virtual.test", "list-1@virtual.test", "refused@virtual.test", "x@far.test"),
        inside=("x@far.test", "both@virtual.test", "none@virtual.test"), command=("team@virtual.test", "x@far.test")),
    "gateway": Site(
        {"mydestination": "", "local_transport": "error:no mailboxes here", "relay_domains": "inside.test, sub.inside.test", "relay_recipient_maps": "hash:{folder}/recipients",
         "transport_maps": "hash:{folder}/transport", "relayhost": "", "smtpd_recipient_restrictions": "permit_mynetworks reject_unauth_destination check_sender_access hash:{folder}/senders",
         "virtual_alias_maps": "hash:{folder}/virtual", "smtp_generic_maps": "hash:{folder}/generic", "smtp_tls_policy_maps": "btree:{folder}/policy", "smtp_tls_security_level": "may",
         "always_bcc": "archive@inside.test", "header_checks": "regexp:{folder}/headers", "parent_domain_matches_subdomains": "debug_peer_list smtpd_access_maps"},
        tables={"hash:recipients": "user@inside.test x\n@sub.inside.test x\n", "hash:transport": "inside.test smtp:[127.0.0.1]:{sink}\nsub.inside.test relay:[127.0.0.1]:{sink}\n"
                "far.test smtp:[127.0.0.1]:{sink}\nnone.test error:5.7.1 not from here\n", "hash:senders": "bad@far.test REJECT unwanted\n",
                "hash:virtual": "postmaster user@inside.test\n", "hash:generic": "stranger@far.test known@far.test\n", "btree:policy": "[127.0.0.1]:{sink} none\n",
                "regexp:headers": "/^Subject: moving/ PREPEND X-Moved: yes\n"},
        outside=("user@inside.test", "nobody@inside.test", "any@sub.inside.test", "postmaster", "x@far.test", "user@mail.demo.test"),
        inside=("x@far.test", "x@none.test", "nobody@inside.test")),
    # Whose header is completed and mapped is a matter of the line that receives: who is ours there, and nobody.
    "networks of a line": Site(
        {"relay_domains": "far.test", "canonical_maps": "inline:{{a@b.test=known@b.test}}", "canonical_classes": "header_sender", "local_header_rewrite_clients": "permit_mynetworks"},
        "127.0.0.1:{line1} inet n - n - - smtpd -o mynetworks=127.0.0.2/32\n127.0.0.1:{line2} inet n - n - - smtpd -o mynetworks=\n",
        outside=("x@far.test",), inside=("y@far.test",), over={"line1": ("127.0.0.2", ("z@far.test",)), "line2": ("127.0.0.1", ("w@far.test",))}),
    "content filter": Site(
        {"mydestination": "here.test", "alias_maps": "hash:{folder}/aliases", "content_filter": "scan:[127.0.0.1]:{filter}", "mailbox_transport": "lmtp:inet:127.0.0.1:{boxes}",
         "smtpd_sender_restrictions": "check_sender_access regexp:{folder}/originating"},
        "scan unix - - n - 2 smtp -o smtp_send_xforward_command=yes -o smtp_data_done_timeout=1200 -o disable_dns_lookups=yes -o max_use=20\npassed unix - - n - - lmtp\n" + BACK,
        tables={"hash:aliases": "staff: root, team@far.test\n", "regexp:originating": "/^direct@/ FILTER passed:inet:127.0.0.1:{boxes}\n"},
        outside=("root@here.test", "staff@here.test", "none@here.test"), inside=("x@far.test", "root@here.test"), command=("root@here.test",)),
    "filter before the queue": Site(
        {"mydestination": "here.test", "alias_maps": "", "mailbox_transport": "lmtp:inet:127.0.0.1:{boxes}"},
        "127.0.0.1:{submission} inet n - n - - smtpd -o smtpd_proxy_filter=inet:[127.0.0.1]:{filter} -o smtpd_proxy_options=speed_adjust\n" + BACK,
        logged_in=("root@here.test", "x@far.test", "none@here.test")),
    "submission": Site(
        {"mydestination": "here.test", "alias_maps": "", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": "inet:127.0.0.1:{login}", "broken_sasl_auth_clients": "yes",
         "smtpd_tls_chain_files": "{folder}/chain.pem", "smtpd_tls_security_level": "may", "smtpd_sender_login_maps": "hash:{folder}/logins", "smtp_header_checks": "regexp:{folder}/anonymous",
         "mua_client_restrictions": "permit_sasl_authenticated, reject", "header_checks": ""},
        "127.0.0.1:{submission} inet n - n - - smtpd -o cleanup_service_name=leaving -o smtpd_sender_restrictions=reject_sender_login_mismatch\n  " + SUBMISSION
        + "leaving unix n - n - 0 cleanup -o header_checks=regexp:{folder}/leaving\n",
        tables={"hash:logins": "joe@virtual.test joe@virtual.test\nann@virtual.test ann@virtual.test\n", "regexp:anonymous": "/^X-Mailer:/ IGNORE\n", "regexp:leaving": "/^Received:/ IGNORE\n"},
        logged_in=("x@far.test", "y@far.test"), outside=("x@far.test",), sender="joe@virtual.test"),
    "smarthost with passwords": Site(
        {"mydestination": "here.test", "alias_maps": "hash:{folder}/aliases", "relayhost": "[127.0.0.1]:{sink}", "smtp_sasl_auth_enable": "yes", "smtp_sasl_password_maps": "hash:{folder}/passwords",
         "smtp_sasl_security_options": "noanonymous", "smtp_sender_dependent_authentication": "yes", "sender_dependent_relayhost_maps": "hash:{folder}/relays",
         "sender_canonical_maps": "regexp:{folder}/canonical", "smtp_generic_maps": "hash:{folder}/generic"},
        tables={"hash:aliases": "root: me@far.test\n", "hash:passwords": "[127.0.0.1]:{sink} isp:word\nboss@here.test boss:other\n", "hash:relays": "boss@here.test [127.0.0.1]:{sink}\n",
                "regexp:canonical": "/^daemon@here\\.test$/ boss@here.test\n", "hash:generic": "@mail.demo.test company@far.test\n"},
        inside=("x@far.test", "root@here.test"), command=("x@far.test", "root"), sender="daemon@here.test"),
    "backup MX": Site(
        {"mydestination": "", "relay_domains": "hash:{folder}/domains", "relay_recipient_maps": "", "transport_maps": "hash:{folder}/transport", "relayhost": "",
         "smtpd_recipient_restrictions": "permit_mynetworks, reject_unauth_destination, check_recipient_access hash:{folder}/rcpt", "unknown_relay_recipient_reject_code": "550", "maximal_queue_lifetime": "10d"},
        tables={"hash:domains": "primary.test x\n", "hash:transport": "primary.test relay:[127.0.0.1]:{sink}\n.primary.test relay:[127.0.0.1]:{closed}\n",
                "hash:rcpt": "gone@primary.test 550 5.1.6 moved away\nlater@primary.test DEFER come back\nkept@primary.test HOLD for a look\n"},
        outside=("any@primary.test", "gone@primary.test", "later@primary.test", "x@deep.primary.test", "x@far.test")),
    "mailing lists": Site(
        {"mydestination": "here.test", "alias_maps": "hash:{folder}/aliases", "transport_maps": "hash:{folder}/lists regexp:{folder}/more", "recipient_delimiter": "+", "owner_request_special": "no",
         "local_recipient_maps": "unix:passwd.byname $alias_maps hash:{folder}/lists", "lists_destination_recipient_limit": "1", "relay_domains": "lists.test"},
        "lists unix - n n - - pipe flags=FRq user=nobody argv=/bin/sh -c {{test $$1 = talk && exit 0; echo no list $$1; exit 67}} lists ${{user}} ${{nexthop}}\n",
        tables={"hash:aliases": "owner: root\n", "hash:lists": "talk@here.test lists:here\nlists.test lists:other\n", "regexp:more": "/^bounce-.*@lists\\.test$/ discard:bounces\n"},
        outside=("talk@here.test", "talk+x@here.test", "talk@lists.test", "nolist@lists.test", "bounce-1@lists.test", "none@here.test")),
    "null client": Site({"mydestination": "", "relayhost": "[127.0.0.1]:{sink}", "inet_interfaces": "loopback-only", "myorigin": "far.test", "local_transport": "error:none here", "alias_maps": ""},
                        inside=("x@far.test", "root"), command=("root", "x@far.test")),
    "satellite of before 2.4": Site(
        {"compatibility_level": "0", "mydestination": "$myhostname, localhost, , here.test", "relayhost": "[127.0.0.1]:{sink}", "alias_maps": "hash:{folder}/aliases", "mailbox_command": "",
         "smtpd_timeout": "300s   # seconds", "queue_run_delay": "10min", "mailbox_transport": "lmtp:inet:127.0.0.1:{boxes}", "smtpd_recipient_restrictions": "permit_mynetworks, reject_unauth_destination",
         "masquerade_domains": "demo.test", "canonical_maps": "hash:{folder}/canonical", "relocated_maps": "hash:{folder}/relocated"},
        tables={"hash:aliases": "webmaster: root\n", "hash:canonical": "root root.mail@far.test\n", "hash:relocated": "gone@here.test new@far.test\n"},
        inside=("x@far.test", "gone@here.test", "webmaster@here.test"), command=("webmaster@here.test",)),
    "queue manager of a watchdog": Site(
        {"mydestination": "here.test", "alias_maps": "", "mailbox_transport": "lmtp:inet:127.0.0.1:{boxes}", "transport_maps": "regexp:{folder}/transport"},
        "watch_qmgr unix n - n 300 1 qmgr -o syslog_name=watch -o rewrite_service_name=watch_rewrite\nwatch_discard unix - - n - - discard -o syslog_name=watch\n"
        "watch_rewrite unix - - n - - trivial-rewrite -o syslog_name=watch -o local_transport=discard -o virtual_transport=discard\n",
        tables={"regexp:transport": "/^watch@/ watch_discard:\n"}, outside=("root@here.test",), inside=("watch@here.test", "root@here.test")),
    "fields on their way out": Site(
        {"mydestination": "", "alias_maps": "", "smtpd_peername_lookup": "yes", "smtp_header_checks": "regexp:{folder}/out"},
        tables={"regexp:out": "/^Received: from [^ ]+ (.*)/ REPLACE X-Way: $1\n"}, inside=("x@far.test",)),
    "providers by sender": Site(
        {"mydestination": "", "relayhost": "[127.0.0.1]:{closed}", "sender_dependent_default_transport_maps": "hash:{folder}/providers", "smtp_fallback_relay": "[127.0.0.1]:{sink}", "alias_maps": "",
         "second_destination_concurrency_limit": "1", "second_destination_rate_delay": "0s"},
        "second unix - - n - - smtp -o smtp_helo_name=second.test -o syslog_name=postfix/second -o { smtp_fallback_relay = }\n".replace("{ ", "{{ ").replace(" }", " }}"),
        tables={"hash:providers": "stranger@far.test second:[127.0.0.1]:{sink}\n"}, inside=("x@far.test", "y@near.test")),
}


class Policy(frame.Server):
    """Refuses refused@, has no opinion of others."""

    def talk(self, stream, file, told):
        request = {}
        for line in file:
            name, _, value = line.decode().rstrip("\n").partition("=")
            request[name] = value
            if not name:
                refused = request.get("recipient", "").startswith("refused@")
                stream.sendall(b"action=REJECT not today\n\n" if refused else b"action=DUNNO\n\n")
                request = {}


class Logins(frame.Server):
    """Dovecot's auth service, for who says "secret"."""

    def talk(self, stream, file, told):
        stream.sendall(b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t" + b"0" * 32 + b"\nDONE\n")
        for line in file:
            words = line.decode().rstrip("\n").split("\t")
            if words[0] == "AUTH":
                _, user, password = base64.b64decode(words[-1].removeprefix("resp=")).decode().split("\0")
                stream.sendall((f"OK\t{words[1]}\tuser={user}\n" if password == "secret" else f"FAIL\t{words[1]}\tuser={user}\n").encode())


class Boxes(frame.Server):
    """The LMTP server of a mail store: an answer for each recipient."""

    def __init__(self):
        self.fields = []
        super().__init__()

    def talk(self, stream, file, told):
        stream.sendall(b"220 boxes.test LMTP\r\n")
        sender, recipients = "", []
        for line in file:
            command = line.decode().rstrip("\r\n")
            verb = command.split(" ")[0].upper()
            if verb == "MAIL":
                sender, recipients = command.split(":", 1)[1].split(" ")[0], []
            elif verb == "RCPT":
                recipients.append(command.split(":", 1)[1])
            elif verb == "DATA":
                stream.sendall(b"354 go\r\n")
                content = b""
                while (piece := file.readline()) != b".\r\n":
                    content += piece
                self.fields += telling_fields(content)
                told += [(sender, recipient) for recipient in recipients]
                stream.sendall(b"250 2.0.0 in the box\r\n" * len(recipients))
                continue
            stream.sendall(b"250-boxes.test\r\n250-PIPELINING\r\n250 DSN\r\n" if verb == "LHLO" else b"221 2.0.0 Bye\r\n" if verb == "QUIT" else b"250 2.0.0 Ok\r\n")
            if verb == "QUIT":
                return


class Filter(frame.Server):
    """Hands on what it is told, by SMTP or LMTP, to the port back; its own words are the last server's."""
    back = 0

    def talk(self, stream, file, told):
        with smtplib.SMTP("127.0.0.1", self.back, timeout=60) as behind:
            behind.ehlo("filter.test")
            stream.sendall(b"220 filter.test ESMTP\r\n")
            lmtp, recipients = False, 0
            for line in file:
                command = line.decode().rstrip("\r\n")
                verb = command.split(" ")[0].upper()
                if verb in ("EHLO", "HELO", "LHLO"):
                    lmtp = verb == "LHLO"
                    stream.sendall(b"250-filter.test\r\n250-XFORWARD NAME ADDR PROTO HELO SOURCE\r\n250 8BITMIME\r\n")
                elif verb == "XFORWARD":
                    told.append(" ".join(sorted(command.split(" "))))
                    stream.sendall(b"250 2.0.0 Ok\r\n")
                elif verb == "DATA":
                    code, text = behind.docmd("DATA")
                    stream.sendall(f"{code} {text.decode()}\r\n".encode())
                    content = b""
                    while code == 354 and (piece := file.readline()) != b".\r\n":
                        content += piece
                    if code == 354:
                        behind.send(content + b".\r\n")
                        code, text = behind.getreply()
                        stream.sendall(f"{code} {text.decode()}\r\n".encode() * (recipients if lmtp else 1))
                    recipients = 0
                else:
                    code, text = behind.docmd(command)
                    recipients += verb == "RCPT" and code == 250
                    stream.sendall(f"{code} {text.decode()}\r\n".encode())
                if verb == "QUIT":
                    return


def telling_fields(content):
    """Header lines that a configuration decides on."""
    return [line for line in content.decode().split("\r\n\r\n")[0].split("\r\n") if line.startswith(("X-", "From:", "Delivered-To:"))]


class Side:
    """One system with a site's configuration, and what stands beside it."""
    system = None

    def __init__(self, kind, site, folder, debian, broken, words=None):
        self.kind, self.site, self.debian, self.folder = kind, site, debian, folder / f"{kind}-tables"
        self.folder.mkdir()
        self.sink = Sink(keywords=("PIPELINING", "8BITMIME", "DSN", "AUTH PLAIN"), replies={"AUTH": "235 2.7.0 fine"})
        self.servers = {"policy": Policy(), "login": Logins(), "filter": Filter(), "filter2": Filter(), "boxes": Boxes()}
        with socket.create_server(("127.0.0.1", 0)) as closed:
            self.words = {"sink": self.sink.port, "folder": self.folder, "closed": closed.getsockname()[1], "programs": self.folder / "programs",
                          **{line: free_port() for line in LINES}, **{name: server.port for name, server in self.servers.items()}, **(words or {})}
        self.servers["filter"].back, self.servers["filter2"].back = self.words["back"], self.words["back2"]
        self.words["programs"].mkdir()
        self.told_to_programs = self.folder / "told"
        self.told_to_programs.touch()
        self.told_to_programs.chmod(0o666)
        for name, text in site.programs.items():
            (self.words["programs"] / name).write_text(text.replace("$TOLD", str(self.told_to_programs)))
            (self.words["programs"] / name).chmod(0o755)
        if "{folder}/chain.pem" in site.main.values():
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.folder / "chain.pem", "-out", self.folder / "cert.pem", "-days", "30", "-subj", "/CN=mail.demo.test"],
                           check=True, capture_output=True)
            with open(self.folder / "chain.pem", "a") as chain:
                chain.write((self.folder / "cert.pem").read_text())
        main = {name: value.format(**self.words) for name, value in site.main.items()}
        if broken and kind == "posthorn":
            main = {name: value for name, value in main.items() if name not in ("virtual_mailbox_maps", "relay_recipient_maps", "relayhost", "smtpd_recipient_restrictions")}
        for name, text in site.tables.items():
            (self.folder / name.partition(":")[2]).write_text(text.format(**self.words))
        # Made before the start: a server that misses a table ends, there.
        (self.folder / "main.cf").write_text("inet_protocols = ipv4\nalias_maps =\nmail_owner = mail\nsetgid_group = daemon\nmyhostname = mail.demo.test\n")
        (self.folder / "master.cf").write_text("")
        for name in site.tables:
            kind_of_table, _, file = name.partition(":")
            if kind_of_table not in ("regexp", "cf"):
                aliases = file == "aliases" and "alias_maps" in site.main
                self.tool("postalias" if aliases else "postmap", "-c", self.folder, f"{kind_of_table}:{self.folder}/{file}")
        first = {"myhostname": "mail.demo.test", "mynetworks": "127.0.0.1/32", "mydestination": "", "alias_maps": "", "alias_database": "", "local_recipient_maps": "unix:passwd.byname $alias_maps",
                 "relayhost": f"[127.0.0.1]:{self.sink.port}", "inet_protocols": "ipv4", "smtpd_relay_restrictions": "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
                 "mail_name": "Postfix", "myorigin": "$myhostname", "smtpd_peername_lookup": "no", "notify_classes": "", "biff": "no", "smtputf8_enable": "no", "export_environment": "TZ LD_LIBRARY_PATH MAIL_CONFIG"}
        if kind == "posthorn":
            first |= {"mail_owner": "daemon", "default_privs": "nobody", "requiretls_enable": "no"}
        self.system = frame.start(kind, folder, debian, BIN, self.sink, {**first, **main})
        ports = [line for line in LINES if line in site.over or "{" + line + "} inet" in site.services and not line.startswith("line")]
        self.system.add_services(site.services.format(**self.words), [self.words[port] for port in ports])

    def tool(self, name, *words, **more):
        theirs = self.kind == "postfix"
        environment = self.debian.env if theirs else {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
        if self.system:
            environment = {**environment, "MAIL_CONFIG": str(self.system.conf)}
        return subprocess.run([self.debian.program(name) if theirs else BIN / name, *words], env=environment, check=True, stdout=subprocess.DEVNULL, **more)

    def normal(self, text):
        for name, value in sorted(self.words.items(), key=lambda pair: -len(str(pair[1]))):
            text = text.replace(str(value), name.upper())
        text = text.replace(str(self.system.port), "PORT").replace(str(self.folder.parent / self.kind), "DIR")
        text = re.sub(r"(passed to transport=\S+ as|queued as|forwarded as|\bid) [0-9A-Za-z]{6,}\b", r"\1 QID", text)
        return frame.normal(text)

    def told(self, port, client, recipients, before=()):
        commands = [*before, f"MAIL FROM:<{self.site.sender}>", *[f"RCPT TO:<{recipient}>" for recipient in recipients], "DATA", "QUIT"]
        return [(command, self.normal(reply)) for command, reply in frame.dialogue(port, commands, MESSAGE + ".\r\n", client, patience=60)]

    def session(self, recipients):
        """Over the submission line: what it offers in clear, then TLS where it is demanded, and the login."""
        said = []
        with socket.create_connection(("127.0.0.1", self.words["submission"]), 60) as stream:
            file = stream.makefile("rb")

            def ask(command):
                nonlocal said
                if command:
                    stream.sendall(command.encode() + b"\r\n")
                lines = []
                while (line := file.readline()) and (lines.append(line.decode().rstrip("\r\n")) or line[3:4] == b"-"):
                    pass
                text = "\n".join(sorted(line[4:] for line in lines)) if command.startswith("EHLO") else "\n".join(lines)
                said.append((command, self.normal(text)))
                return lines[-1] if lines else ""
            ask("")
            ask("EHLO client.test")
            if "encrypt" in self.site.services:
                ask(f"MAIL FROM:<{self.site.sender}>")
                ask("STARTTLS")
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                stream = context.wrap_socket(stream)
                file = stream.makefile("rb")
                for command in ("EHLO client.test", "AUTH PLAIN " + base64.b64encode(b"\0joe@virtual.test\0wrong").decode(), "AUTH PLAIN " + LOGIN, "MAIL FROM:<ann@virtual.test>", "RCPT TO:<x@far.test>", "RSET"):
                    ask(command)
            ask(f"MAIL FROM:<{self.site.sender}>")
            for recipient in recipients:
                ask(f"RCPT TO:<{recipient}>")
            if ask("DATA").startswith("354"):
                ask(MESSAGE + ".")
            ask("QUIT")
        return said

    def answers(self):
        """All that the site is asked, then what became of it: replies, what came out, the log's words."""
        site, heard = self.site, {}
        if site.outside:
            heard["from outside"] = self.told(self.system.port, "127.0.0.2", site.outside, ["EHLO client.test"])
            heard["a bounce from outside"] = self.told(self.system.port, "127.0.0.2", site.outside[:1], ["HELO client.test"])
        if site.inside:
            heard["from inside"] = self.told(self.system.port, "127.0.0.1", site.inside, ["EHLO client.test"])
        for line, (client, recipients) in site.over.items():
            heard[f"over {line}"] = self.told(self.words[line], client, recipients, ["EHLO client.test"])
        if site.logged_in:
            heard["by login"] = self.session(site.logged_in)
        if site.command:
            self.tool("sendmail", "-f", site.sender, *site.command, input=MESSAGE.replace("\r\n", "\n").encode())
        accepted = sum(reply.startswith("250") and "queued as" in reply for told in heard.values() for _, reply in told) + bool(site.command)
        try:
            wait_until(lambda: self.finished(accepted), f"{self.kind}: {accepted} messages have an end", 40)
        except AssertionError:
            print(frame.log_of(self.system)[-4000:])
            raise
        log = frame.log_of(self.system)
        ends = re.findall(r"postfix(?:/\w+)?/(smtp|lmtp|pipe|local|virtual|error|discard)\[\d+\]: \w+: (to=<.*)", log)
        # A mailbox transport gets the mail as a message of its own here: the line that says so has no like there.
        ends = [(agent, end) for agent, end in ends if "passed to transport=" not in end]
        heard["ends"] = sorted(self.normal(f"{agent}: {re.sub(r'relay=[^,]*, ', '', end) if agent == 'error' else end}") for agent, end in ends)
        heard["queue managers"] = sorted(set(re.findall(r" (\S+)/qmgr\[\d+\]: \w+: from=", log)))
        heard["warnings"] = sorted(set(self.normal(text) for text in re.findall(r"\[\d+\]: ((?:warning|error|fatal|panic): .*)", log) if not self.own_affair(text)))
        heard["came out"] = sorted((sender.split(" ")[0], " ".join(sorted(recipient.split(" ")))) for sender, recipients, _ in self.sink.messages for recipient in recipients)
        heard["in the boxes"] = sorted((sender, " ".join(sorted(recipient.split(" ")))) for session in self.servers["boxes"].sessions for sender, recipient in session)
        heard["fields"] = sorted(line for *_, content in self.sink.messages for line in telling_fields(content))
        heard["fields in the boxes"] = sorted(self.servers["boxes"].fields)
        heard["programs were told"] = sorted(self.normal(line) for line in self.told_to_programs.read_text().split("\n"))
        heard["logins"] = sorted({command for command in self.sink.commands if command.startswith("AUTH")})
        heard["filtered"] = sorted(word for session in self.servers["filter"].sessions for word in session)
        return heard

    def finished(self, accepted):
        """Each message that came in has left the queue, or all of its recipients wait with a reason or are done."""
        log = frame.log_of(self.system)
        counts = {queue_id: int(count) for queue_id, count in re.findall(r"/qmgr\[\d+\]: (\w+): from=.*, nrcpt=(\d+)", log)}
        ids = set(counts)
        over = {queue_id for queue_id in ids if re.search(rf": {queue_id}: removed", log)
                or re.search(rf": {queue_id}: to=.*status=deferred", log) and len(set(re.findall(rf": {queue_id}: to=<([^>]*)>, .*status=", log))) >= counts[queue_id]}
        held = set(re.findall(r" (\w+): hold: ", log))
        cleaned = set(re.findall(r"/cleanup\[\d+\]: (\w+): message-id=", log))
        handed_in = re.search(r"/pickup\[\d+\]: (\w+): uid=\d+ from=\S+$", log, re.M)
        spoken_of = set(re.findall(r"(?:forwarded as|passed to transport=\S+ as|notification:) (\w+)", log))
        return len(ids) + len(held) >= accepted and cleaned - held <= ids and ids == over and spoken_of <= ids and (not self.site.command or bool(handed_in) and handed_in[1] in ids)

    @staticmethod
    def own_affair(text):
        """What is said of this machine, of settings by name, or of a directory, with each system's own words; and which host was asked first."""
        return re.search(r"dict_nis_init|NIS lookups|problem talking to service|unused parameter|is deprecated|will be removed|symlink leaves|not owned by|group or other writable|DEPRECATION|"
                         r"connect to mysql server|dict_ldap_|ldap://|not found, skipping|^warning: transport_maps lookup failure", text)

    def close(self):
        self.system.close()
        for server in self.servers.values():
            server.close()


def excused(site, there, here):
    """What of ACCEPTED makes two lists of senders and recipients differ; None: it is something else."""
    for name, words in (("orcpt", r"ORCPT=\S+ " if any("@" not in recipient for recipient in site.command) else "^$"), ("never", "NOTIFY=NEVER ")):
        without = [sorted((sender, re.sub(words, "", recipient)) for sender, recipient in one if name == "orcpt" or sender == "FROM:<>") for one in (there, here)]
        others = [[pair for pair in one if name == "never" and pair[0] != "FROM:<>"] for one in (there, here)]
        if without[0] == without[1] and others[0] == others[1]:
            return name
    return None


def asked_anew(there, here):
    """Warnings that are equal but for that one of Postfix's: a matter of when its proxymap has served enough, which the answers do not show."""
    ended = "warning: dict_proxy_open: service proxymap: Connection reset by peer"
    return "proxymap" if ended in there and [line for line in there if line != ended] == here else None


def options_for(sites):
    options = argparse.ArgumentParser()
    options.add_argument("bin", type=pathlib.Path)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--site", choices=sites)
    options.add_argument("--break", dest="broken", action="store_true")
    return options.parse_args()


def compare(area, sites, debian, options, words=None, at_once=1):
    """All of them, or the one that is asked for, so many side by side; the exit code."""
    def ask(site):
        heard = []
        for kind in ("postfix", "posthorn"):
            with frame.workshop() as folder, contextlib.closing(Side(kind, site, folder, debian, options.broken, words)) as side:
                heard.append(side.answers())
        return heard
    wanted = {name: site for name, site in sites.items() if options.site in (None, name)}
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        answers = dict(zip(wanted, pool.map(ask, wanted.values())))
    for name, site in wanted.items():
        heard = answers[name]
        for what in heard[0]:
            there, here = (one[what] for one in heard)
            excuse = excused(site, there, here) if what == "came out" else asked_anew(there, here) if what == "warnings" else None
            if there == here:
                area.same()
            elif excuse:
                area.accept([excuse])
            else:
                pairs = "\n".join(f"    {side} {[line for line in mine if line not in other]}" for side, mine, other in (("Postfix ", there, here), ("Posthorn", here, there)))
                area.differ(f"{name}: {what}\n{pairs}")
    code = area.close(options.seed)
    if options.broken:
        return 0 if area.differing >= 5 else 1
    return code


def main():
    options = options_for(SITES)
    frame.need_root()
    return compare(frame.Area("moving_in", ACCEPTED), SITES, frame.Debian(), options, at_once=2)


if __name__ == "__main__":
    frame.guarded(main)
