"""AUTH: the same sessions with Debian's Postfix and Posthorn before one Dovecot, one saslauthd, one database of Cyrus SASL's; and the same mail through both to providers that want a login.

Compared: the replies that the client hears, the lines of smtpd's log; the commands that the provider hears, and what becomes of the mail. Without Debian's
packages, without dovecot-core or without root, the test is skipped (77).

  authentication.py BIN [--only NAME] [--postfix]
"""
import base64
import concurrent.futures
import contextlib
import itertools
import os
import pathlib
import re
import shutil
import sys
import unittest

import frame

os.environ["POSTHORN_BIN"] = str(pathlib.Path(sys.argv[1]).resolve())
from journey import BIN, PATIENCE, Sink, free_port, wait_until  # noqa: E402
from mail_systems import master_line  # noqa: E402
from real_peers import Dovecot, Saslauthd, sasldb  # noqa: E402


def b64(text):
    return base64.b64encode(text.encode()).decode()


# name -> options of a line of smtpd
LINES = {
    "plain": {},
    "old": {"broken_sasl_auth_clients": "yes", "smtpd_sasl_authenticated_header": "yes"},
    "careful": {"smtpd_sasl_security_options": "noanonymous,noplaintext"},
    "tls only": {"smtpd_tls_auth_only": "yes"},
    "excepted": {"smtpd_sasl_exceptions_networks": "127.0.0.0/8"},
    "hidden": {"smtpd_discard_ehlo_keywords": "silent-discard,auth"},
    "filtered": {"smtpd_sasl_mechanism_filter": "!login,static:rest"},
    "owners": {"smtpd_sender_login_maps": "inline:{joe@good.test=joe, eve@good.test=eve}", "smtpd_sender_restrictions": "reject_sender_login_mismatch"},
    "off": {"smtpd_sasl_auth_enable": "no"},
    "claimed": {"smtpd_authorized_xclient_hosts": "127.0.0.1"},
    "checked": {"smtpd_recipient_restrictions": "check_sasl_access inline:{{joe=REJECT not joe}}"},
}
# Cyrus SASL, its library and plugins: the same questions. name -> (file of options, what else the line says)
CYRUS = {
    "cyrus": ("sasldb", {}),
    "cyrus careful": ("sasldb", {"smtpd_sasl_security_options": "noanonymous,noplaintext"}),
    "cyrus realm": ("sasldb", {"smtpd_sasl_local_domain": "realm.test"}),
    "cyrus owners": ("sasldb", LINES["owners"]),
    "cyrus saslauthd": ("saslauthd", {}),
    "cyrus saslauthd away": ("away", {}),
    "cyrus without passwords": ("nothing", {}),
    "cyrus old": ("saslauthd", {"broken_sasl_auth_clients": "yes", "smtpd_sasl_authenticated_header": "yes"}),
}
LINES.update({name: {"smtpd_sasl_type": "cyrus", "smtpd_sasl_path": file, **options} for name, (file, options) in CYRUS.items()})
GOOD, BAD = "AUTH PLAIN " + b64("\0joe\0secret"), "AUTH PLAIN " + b64("\0joe\0wrong")
MAIL = ["MAIL FROM:<joe@good.test>", "RCPT TO:<x@elsewhere.test>", "RSET"]
SESSIONS = {
    "in": [GOOD, *MAIL, GOOD],
    "initial later": ["AUTH PLAIN", b64("\0joe\0secret"), *MAIL],
    "login": ["AUTH LOGIN", b64("joe"), b64("secret"), *MAIL],
    "login in one": ["AUTH LOGIN " + b64("joe"), b64("secret"), *MAIL],
    "lower case": ["auth plain " + b64("\0joe\0secret"), *MAIL],
    "refused": [BAD, *MAIL],
    "login refused": ["AUTH LOGIN", b64("joe"), b64("wrong")],
    "nobody": ["AUTH PLAIN " + b64("\0nobody\0x")],
    "no such mechanism": ["AUTH KERBEROS_V4", "AUTH X"],
    "aborted": ["AUTH LOGIN", "*", "AUTH LOGIN", b64("joe"), "*", GOOD],
    "no base64": ["AUTH PLAIN ???", "AUTH LOGIN", "???"],
    "syntax": ["AUTH", "AUTH PLAIN a b", "AUTH PLAIN ="],
    "amid mail": ["MAIL FROM:<joe@good.test>", GOOD],
    "owner": [GOOD, "MAIL FROM:<eve@good.test>", "RCPT TO:<x@elsewhere.test>", "RSET", *MAIL],
    "vouched": [GOOD, "MAIL FROM:<joe@good.test> AUTH=<>", "RCPT TO:<x@elsewhere.test>", "RSET", "MAIL FROM:<joe@good.test> AUTH=a+2Bb@good.test", "RCPT TO:<x@elsewhere.test>", "RSET"],
    "vouched by a stranger": ["MAIL FROM:<joe@good.test> AUTH=a@good.test", "RCPT TO:<x@demo.test>", "RSET"],
    "stranger": MAIL,
    "lost": ["AUTH LOGIN"],
    "digest refused": ["AUTH CRAM-MD5", b64("joe 00112233445566778899aabbccddeeff"), "AUTH CRAM-MD5", "*", "AUTH CRAM-MD5 " + b64("joe"), "AUTH DIGEST-MD5", "???"],
    "as another": ["AUTH PLAIN " + b64("eve\0joe\0secret"), "AUTH PLAIN " + b64("joe\0joe\0secret")],
    "realm said": ["AUTH PLAIN " + b64("\0joe@realm.test\0secret"), "AUTH PLAIN " + b64("\0joe@realm.test\0of the realm"), *MAIL],
    "no message": ["AUTH PLAIN " + b64("joe"), "AUTH PLAIN " + b64("\0\0"), "AUTH LOGIN", frame.empty_line, b64("secret")],
}
CYRUS_SESSIONS = ["in", "initial later", "login", "login in one", "lower case", "refused", "login refused", "nobody", "no such mechanism", "aborted", "no base64", "digest refused",
                  "as another", "realm said", "no message", "lost"]
ONLY = {**{name: ["in", "refused", "login"] for name in CYRUS}, "cyrus": CYRUS_SESSIONS, "cyrus saslauthd": ["in", "login", "refused", "login refused", "nobody", "as another", "realm said"], "cyrus realm": ["in", "realm said", "login refused"],
        "cyrus careful": ["in", "digest refused", "login"], "cyrus owners": ["in", "owner", "stranger"],
        **{line: [name for name in SESSIONS if name not in ("digest refused", "as another", "realm said", "no message")] for line in ["plain"]},
        "old": ["in"], "careful": ["in", "login"], "tls only": ["in"], "excepted": ["in"], "hidden": ["in"], "filtered": ["in", "login"], "owners": ["in", "owner", "stranger"],
        "off": ["in", "vouched by a stranger"], "checked": ["in"]}
CLAIM = ["XCLIENT LOGIN=fred", "EHLO client.test", *MAIL, GOOD]

# The client: what a provider says to AUTH. name -> (mechanisms, replies to AUTH and what follows, options of smtp)
PROVIDERS = {
    "takes it": ("PLAIN LOGIN", ["235 2.7.0 welcome"], {}),
    "asks for it": ("LOGIN", ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 2.7.0 welcome"], {}),
    "refuses it": ("PLAIN", ["535 5.7.8 Error: authentication failed"], {}),
    "refuses it without a code": ("PLAIN", ["535 no"], {}),
    "refuses it for good": ("PLAIN", ["535 5.7.8 no"], {"smtp_sasl_auth_soft_bounce": "no"}),
    "is not ready": ("PLAIN", ["454 4.7.0 later"], {"smtp_sasl_auth_soft_bounce": "no"}),
    "wants what we have not": ("X-OTHER", [], {}),
    "has plain text alone": ("PLAIN LOGIN", [], {"smtp_sasl_security_options": "noplaintext,noanonymous"}),
    "has nothing": ("", [], {}),
    "is filtered": ("PLAIN LOGIN", [], {"smtp_sasl_mechanism_filter": "cram-md5"}),
    "has only LOGIN left": ("PLAIN LOGIN", ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 ok"], {"smtp_sasl_mechanism_filter": "!plain, login"}),
    "is told AUTH=": ("PLAIN", ["235 2.7.0 welcome"], {"smtp_send_dummy_mail_auth": "yes"}),
    "is told as whom": ("PLAIN", ["235 2.7.0 welcome"], {"send_cyrus_sasl_authzid": "yes"}),
    "hangs up": ("PLAIN", [None], {}),
    "is a stranger": ("PLAIN", [], {"smtp_sasl_password_maps": "inline:{other=a:b}"}),
    "knows us by name": ("PLAIN", ["235 2.7.0 welcome"], {"smtp_sasl_password_maps": "inline:{127.0.0.1=host:pw}"}),
    "knows us by name and next hop": ("PLAIN", ["235 2.7.0 welcome"], {"smtp_sasl_password_maps": "inline:{127.0.0.1=host:pw, NEXTHOP=hop:pw}"}),
    "knows us without the port": ("PLAIN", [], {"smtp_sasl_password_maps": "inline:{[127.0.0.1]=host:pw}"}),
    "knows the sender": ("PLAIN", ["235 2.7.0 welcome"], {"smtp_sender_dependent_authentication": "yes",
                                                          "smtp_sasl_password_maps": "inline:{a@good.test=sender:pw, NEXTHOP=hop:pw}"}),
    "knows the sender's domain": ("PLAIN", ["235 2.7.0 welcome"], {"smtp_sender_dependent_authentication": "yes",
                                                                   "smtp_sasl_password_maps": "inline:{@good.test=domain:pw, NEXTHOP=hop:pw}"}),
}


class Provider(frame.Server):
    """An SMTP server that takes mail, and says its script's replies to AUTH and to what follows it."""

    def __init__(self, mechanisms, replies):
        self.mechanisms, self.replies, self.heard = mechanisms, replies, []
        super().__init__()

    def talk(self, stream, file, told):
        stream.sendall(b"220 provider.test ESMTP\r\n")
        script = list(self.replies)
        amid = False
        while line := file.readline():
            text = line.decode().rstrip("\r\n")
            verb = text.split(" ")[0].upper()
            self.heard.append(text)
            if verb == "AUTH" or amid:
                reply = script.pop(0) if script else "503 5.5.1 no more"
                if reply is None:
                    return
                amid = reply.startswith("334")
            elif verb == "EHLO":
                reply = f"250-provider.test\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250 AUTH{' ' + self.mechanisms if self.mechanisms else ''}"
            elif verb == "DATA":
                stream.sendall(b"354 go\r\n")
                while (line := file.readline()) not in (b".\r\n", b""):
                    pass
                reply = "250 2.0.0 taken"
            else:
                reply = "221 2.0.0 bye" if verb == "QUIT" else f"250 2.0.0 {verb} ok"
            stream.sendall(reply.encode() + b"\r\n")
            if verb == "QUIT":
                return


def normal(text):
    text = re.sub(r"^NOQUEUE: (?=lost connection)", "", text)      # smtpd_log_abort_queue_id: Postfix has the prefix since 3.10
    text = re.sub(r"( helo=<\S*>) sasl_method=.*", r"\1", text)      # Postfix has it since 3.10
    text = re.sub(r"xclient=\d\S* (.*) commands=\S+", r"xclient \1 commands", text)         # Postfix counts a good XCLIENT as a bad one
    text = re.sub(r"relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+", "relay=PROVIDER", text)
    text = re.sub(r"^warning: 127\.0\.0\.1\[127\.0\.0\.1\]:\d+", "warning: PROVIDER", text)
    text = re.sub(r"SASL authentication failure: No worthy mechs found.*", "SASL authentication failure: No worthy mechs found", text)
    text = re.sub(r"^334 (?!VXNlcm5hbWU6|UGFzc3dvcmQ6)\S{20,}", "334 CHALLENGE", text)
    return frame.normal(text)


def cyrus_files(folder, users):
    """A folder with a file of options for each kind of line, and what they name."""
    made = folder / "sasl"
    made.mkdir()
    made.chmod(0o755)
    sasldb(made / "db", "mail.demo.test", users)
    sasldb(made / "db", "realm.test", {"joe": "of the realm"})
    for name, text in {"sasldb": f"pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {made}/db\nmech_list: plain login cram-md5 digest-md5\n",
                       "nothing": "auxprop_plugin: sasldb\nsasldb_path: /nonexistent/db\nmech_list: plain login cram-md5\n",
                       "saslauthd": f"pwcheck_method: saslauthd\nmech_list: plain login\nsaslauthd_path: {folder}/authd/mux\n",
                       "away": "pwcheck_method: saslauthd\nmech_list: plain login\nsaslauthd_path: /nonexistent/mux\n"}.items():
        (made / f"{name}.conf").write_text(text)
    return made


class Side:
    def __init__(self, kind, folder, debian, dovecot):
        self.kind, self.sink, self.ports, master = kind, Sink(), {}, ""
        self.providers = {name: Provider(mechanisms, replies) for name, (mechanisms, replies, _) in PROVIDERS.items()}
        hops = {name: f"[127.0.0.1]:{provider.port}" for name, provider in self.providers.items()}
        settings = {"myhostname": "mail.demo.test", "mydestination": "demo.test", "local_recipient_maps": "", "local_transport": f"smtp:[127.0.0.1]:{self.sink.port}",
                    "mynetworks": "192.0.2.0/24", "relay_domains": "", "smtpd_banner": "$myhostname ESMTP", "smtpd_peername_lookup": "no", "smtpd_error_sleep_time": "0",
                    "smtpd_relay_restrictions": "permit_mynetworks,permit_sasl_authenticated,reject_unauth_destination", "mail_name": "Postfix",
                    "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": f"inet:127.0.0.1:{dovecot.port}", "minimal_backoff_time": "1h",
                    "maximal_backoff_time": "2h", "smtp_tls_security_level": "none",
                    "transport_maps": "inline:{" + ", ".join(f"{{p{number}.test=to{number}:{hops[name]}}}" for number, name in enumerate(PROVIDERS)) + "}"}
        self.system = frame.start(kind, folder, debian, BIN, self.sink, settings)
        shutil.copytree(folder / "sasl", self.system.conf / "sasl")       # where Debian's looks, whatever cyrus_sasl_config_path says
        for number, (name, options) in enumerate({**LINES, "inject": {"mynetworks": "127.0.0.0/8"}}.items()):
            self.ports[name] = free_port()
            master += master_line(f"127.0.0.1:{self.ports[name]} inet n - n - - smtpd", {"syslog_name": f"at{number}", **options})
        for number, (name, (_, _, options)) in enumerate(PROVIDERS.items()):
            given = {"smtp_sasl_auth_enable": "yes", "smtp_sasl_security_options": "noanonymous", "smtp_sasl_password_maps": "inline:{{NEXTHOP=user:secret}}", **options}
            master += master_line(f"to{number} unix - - n - - smtp", {"syslog_name": f"to{number}", **{key: value.replace("NEXTHOP", hops[name]) for key, value in given.items()}})
        self.system.add_services(master, self.ports.values())
        self.numbers = {name: number for number, name in enumerate(self.ports)}
        # Each port has been asked for its greeting: those sessions are not of the questions.
        wait_until(lambda: set(self.numbers.values()) <= {int(number) for number in re.findall(r" at(\d+)/smtpd\[\d+\]: disconnect", self.read())},
                   f"{kind}: the sessions that asked for greetings are over")

    def read(self, start=0):
        return frame.log_of(self.system)[start:]

    def ask(self, line, commands):
        """(replies, log lines of smtpd)"""
        start = len(self.read())
        replies = [normal(reply) for command, reply in frame.dialogue(self.ports[line], commands, "Subject: x\r\n\r\nx\r\n.\r\n", patience=PATIENCE) if command != "CONNECT"]
        tag = f" at{self.numbers[line]}/smtpd["
        wait_until(lambda: re.search(re.escape(tag) + r"\d+\]: disconnect", self.read(start)), f"{self.kind}: {line}: the session is over")
        return replies, [normal(text.split("]: ", 1)[1]) for text in self.read(start).splitlines() if tag in text and ": connect from" not in text]

    def send(self, name):
        """(commands that the provider heard, log lines of smtp)"""
        number, provider = list(PROVIDERS).index(name), self.providers[name]
        start = len(self.read())
        frame.dialogue(self.ports["inject"], ["EHLO client.test", "MAIL FROM:<a@good.test>", f"RCPT TO:<user@p{number}.test>", "DATA", "QUIT"], "Subject: x\r\n\r\nx\r\n.\r\n",
                       patience=PATIENCE)
        tag = f" to{number}/smtp["
        wait_until(lambda: re.search(re.escape(tag) + r".*status=", self.read(start)), f"{self.kind}: {name}: the mail is tried")
        lines = [normal(text.split("]: ", 1)[1]) for text in self.read(start).splitlines() if tag in text]
        return [re.sub(r" SIZE=\d+", "", text) for text in provider.heard if not re.match(r"QUIT|RSET", text)], lines

    def close(self):
        self.system.close()
        for provider in self.providers.values():
            provider.close()


def show(answer):
    return "\n".join([f"    {reply!r}" for reply in answer[0]] + [f"    log {line}" for line in answer[1]])


def main():
    frame.need_root()
    debian = frame.Debian()
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else ""
    with frame.workshop() as folder, concurrent.futures.ThreadPoolExecutor(16) as pool, \
            concurrent.futures.ThreadPoolExecutor(8) as askers, contextlib.ExitStack() as ends:
        try:
            users = {"joe": "secret", "eve": "secret"}
            dovecot = Dovecot(folder / "auth", users)
            ends.callback(dovecot.close)
            cyrus_files(folder, users)
            saslauthd = Saslauthd(folder / "authd", users)
            ends.callback(saslauthd.close)
        except unittest.SkipTest as why:
            raise frame.Skipped(str(why)) from None
        sides = []
        for kind in ("postfix",) if "--postfix" in sys.argv else ("postfix", "posthorn"):
            sides.append(Side(kind, folder, debian, dovecot))
            ends.callback(sides[-1].close)
        asked = differ = 0
        questions = [(f"{line}, {name}", lambda side, line=line, name=name: side.ask(line, ["EHLO client.test", *SESSIONS[name], *([] if name == "lost" else ["QUIT"])]))
                     for line in LINES if line != "claimed" for name in ONLY.get(line, SESSIONS)]
        questions.append(("claimed", lambda side: side.ask("claimed", ["EHLO client.test", *CLAIM, "QUIT"])))
        questions += [(f"provider {name}", lambda side, name=name: side.send(name)) for name in PROVIDERS]
        # A refused login waits, at Dovecot ever longer, and sessions of one line stand in the log one behind the other: so the lines are asked beside each other.
        def answers_of(of_line):
            return [(title, list(pool.map(question, sides))) for title, question in of_line]

        lines = [list(of_line) for _, of_line in itertools.groupby((one for one in questions if only in one[0]), lambda one: one[0].split(", ")[0])]
        for title, answers in itertools.chain.from_iterable(askers.map(answers_of, lines)):
            asked += 1
            if len(answers) == 1:
                print(f"{title}:\n{show(answers[0])}")
            elif answers[0] != answers[1]:
                differ += 1
                print(f"DIFFERS: {title}\n  Postfix:\n{show(answers[0])}\n  Posthorn:\n{show(answers[1])}")
        print(f"{asked} questions about authentication compared, {differ} differ")
        return 1 if differ else 0


if __name__ == "__main__":
    frame.guarded(main)
