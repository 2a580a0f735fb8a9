"""The same sessions, the same restrictions, the same tables: what Debian's Postfix and Posthorn tell an SMTP client, and write in the log.

Lists of restrictions, access tables and sessions come from a seeded generator; both systems read the same files. Replies are compared one
by one, log lines session by session, after ports, queue ids and process ids are taken out. Both have the same name server and the same policy
server, in a network of their own. Without Debian's packages, or without root, the test is skipped (77).

  restrictions.py BIN [--seed N]      two areas: restrictions, and access results (access.py)
"""
import argparse
import os
import pathlib
import random
import re
import socketserver
import threading
import time

import frame
from access import Access
from frame import normal

# Lines of the log that only one of them writes, and why. Replies have no such list.
ACCEPTED = {
    "unreachable words": (r"^warning: restriction `.*' after `.*' is ignored$", "Postfix warns at every session of what stands behind permit, reject and defer"),
    "names of clients": (r"^warning: hostname \S+ does not resolve to address", "the reason is in the words of the C library there, of our resolver here"),
    "busy machine": (r"^warning: event loop was late by", "our services say so"),
    "the look at a port": (r"^warning: Unable to look up NS host for localhost: ", "of who asked whether the system has started"),
    "hosts without address": (r"^warning: Unable to look up (MX|NS) host \S+ for .*: ", "likewise"),
}
# Sessions whose answers may differ, with all that they log. Of the others' sessions nothing may.
SESSIONS = {
    "unlisted sender": "reject_unlisted_sender refuses a sender for each recipient; Postfix for the first one of a mail, and lets the others pass",
    "policy server that hung up": "it is asked anew; Postfix holds on to the lost connection until the session ends",
}
USED = dict.fromkeys(ACCEPTED, 0)

# Rules broken on purpose in Posthorn's configuration alone: the comparison has to notice each.
MUTANTS = {
    "another code for REJECT": lambda: {"access_map_reject_code": "556"},
    "parent domains do not count": lambda: {"parent_domain_matches_subdomains": "debug_peer_list,mynetworks,relay_domains"},
    "another text for DNS lists": lambda: {"default_rbl_reply": "$rbl_code go away, $rbl_what"},
    "a client is of our networks": lambda: {"mynetworks": "127.0.0.4, 127.0.0.3"},
}


def accepted(line):
    for name, (pattern, _) in ACCEPTED.items():
        if re.search(pattern, line):
            USED[name] += 1
            return True
    return False


ZONE = """
5.0.0.127.in-addr.arpa PTR client.net.test
client.net.test A 127.0.0.5
2.0.0.127.in-addr.arpa PTR liar.net.test
liar.net.test A 192.0.2.99
3.0.0.127.in-addr.arpa PTR listed.net.test
listed.net.test A 127.0.0.3
listed.net.test MX 10 mx.bad.test
3.0.0.127.list.test A 127.0.0.2
3.0.0.127.list.test TXT "listed for reasons"
2.0.0.127.list.test A 127.0.0.10
5.0.0.127.good.test A 127.0.0.5
listed.net.test.names.test A 127.0.1.2
bad.test.names.test A 127.0.1.2
helo.bad.test.names.test A 127.0.1.2
helo.bad.test A 203.0.113.9
bad.test MX 10 mx.bad.test
bad.test MX 20 mx2.bad.test
bad.test NS ns.bad.test
mx.bad.test A 203.0.113.1
mx2.bad.test A 203.0.113.2
ns.bad.test A 203.0.113.53
good.test MX 10 mx.good.test
good.test NS ns.good.test
mx.good.test A 198.51.100.1
ns.good.test A 198.51.100.53
alone.test A 198.51.100.7
null.test MX 0 .
backup.test MX 10 mx.good.test
backup.test MX 50 mail.demo.test
primary.test MX 10 mail.demo.test
mail.demo.test A 127.0.0.1
relay.test MX 10 mx.good.test
"""

CLIENTS = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"]       # 127.0.0.1 is named by /etc/hosts
HELOS = ["client.net.test", "helo.bad.test", "nodots", "a..b", "[127.0.0.1]", "[1.2.3", "127.0.0.1", "under_score.test", "gone.nowhere.test", "good.test", None]
SENDERS = ["a@good.test", "b@bad.test", "", "c@gone.nowhere.test", "d@null.test", "e@alone.test", "f@nodots", "user@ours.test", "nobody@ours.test",
           "g+ext@good.test", "h@[192.0.2.1]", "i@sub.bad.test"]
RECIPIENTS = ["user@ours.test", "nobody@ours.test", "x@relay.test", "x@elsewhere.test", "x@backup.test", "x@primary.test", "user+ext@ours.test",
              "x@nodots", "x@gone.nowhere.test", "x@null.test", "user@alias.test", "user%elsewhere.test@ours.test", "postmaster"]

PLAIN = """permit reject defer permit_mynetworks permit_auth_destination permit_inet_interfaces permit_mx_backup reject_unauth_destination
defer_unauth_destination reject_unauth_pipelining reject_plaintext_session reject_multi_recipient_bounce reject_unknown_client_hostname
reject_unknown_reverse_client_hostname reject_invalid_helo_hostname reject_non_fqdn_helo_hostname reject_unknown_helo_hostname reject_non_fqdn_sender
reject_non_fqdn_recipient reject_unknown_sender_domain reject_unknown_recipient_domain reject_unlisted_sender reject_unlisted_recipient
defer_if_permit defer_if_reject permit_sasl_authenticated permit_tls_clientcerts reject_sender_login_mismatch
reject_unauthenticated_sender_login_mismatch reject_known_sender_login_mismatch""".split()
LISTS = ["list.test", "list.test=127.0.0.2", "list.test=127.0.0.[3..10]", "names.test", "names.test=127.0.1.[1;2]", "good.test", "none.test"]
DNS_WORDS = """reject_rbl_client permit_dnswl_client permit_rhswl_client reject_rhsbl_client reject_rhsbl_reverse_client reject_rhsbl_helo reject_rhsbl_sender
reject_rhsbl_recipient""".split()
PARTIES = ["client", "reverse_client_hostname", "helo", "sender", "recipient"]
SUBJECTS = {"client": ["127.0.0.5", "127.0.0", "client.net.test", "net.test", "unknown", "127"],
            "reverse_client_hostname": ["liar.net.test", "net.test", "unknown"],
            "helo": ["helo.bad.test", "bad.test", "nodots", "test", "[127.0.0.1]"],
            "sender": ["a@good.test", "bad.test", "<>", "nodots", "g@", "g+ext@good.test", "user@ours.test", "test"],
            "recipient": ["user@ours.test", "ours.test", "user@", "relay.test", "nobody@ours.test", "x@elsewhere.test"]}
SERVERS = ["mx.bad.test", "bad.test", "203.0.113.1", "203.0.113", "mx2.bad.test", "ns.bad.test", "203.0.113.53", "203.0.113.9", "198.51.100.7", "127.0.0.3"]
RESULTS = ["OK", "ok", "RELAY", "PERMIT", "DUNNO", "REJECT", "REJECT go away", "REJECT 5.7.9 go away", "DEFER", "DEFER later", "DEFER 4.9.9 later", "450",
           "450 try again", "451 4.2.1 try again", "550", "550 no", "550 5.1.8 no", "554 4.7.9 mixed", "521 5.7.1 bye", "DEFER_IF_PERMIT", "DEFER_IF_PERMIT greylisted",
           "DEFER_IF_PERMIT 4.2.9 greylisted", "DEFER_IF_REJECT", "DEFER_IF_REJECT not sure", "WARN", "WARN look here", "INFO", "INFO for you", "HOLD", "HOLD a look",
           "DISCARD", "DISCARD gone", "FILTER smtp:[127.0.0.1]:1", "FILTER smtp", "FILTER", "REDIRECT user@ours.test", "REDIRECT nobody", "REDIRECT", "BCC user@ours.test",
           "BCC nobody", "PREPEND X-Seen: yes", "PREPEND nonsense", "PREPEND", "HANGUP", "reject_unauth_destination", "reject_non_fqdn_sender, reject",
           "permit_mynetworks, defer", "warn_if_reject reject", "warn_if_reject, reject, permit", "class_one", "class_one, class_two", "class_two", "12345", "200 fine",
           "300 odd", "defer_if_permit", "defer_if_reject, reject", "permit", "reject", "no_such_word", "check_client_access inline:{a=b}", "REJECT  two  spaces ", "Reject mixed",
           "5.7.1 bare", "dunno", "sleep 1", "421 4.7.0 go", "permit_auth_destination, reject"]


class Policy:
    """Answers by the recipient, or the sender where there is none yet. The word behind a dot: REJECT, or nothing at all."""
    ANSWERS = {"user@ours.test": "DUNNO", "x@relay.test": "REJECT 5.7.9 policy", "nobody@ours.test": "DEFER_IF_PERMIT policy", "x@elsewhere.test": "OK",
               "user+ext@ours.test": "reject_unknown_sender_domain, defer", "x@backup.test": "WARN from policy", "user@alias.test": "HOLD by policy"}

    def __init__(self):
        self.requests = []
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                lines = []
                for line in self.rfile:
                    text = line.decode().rstrip("\n")
                    if text:
                        lines.append(text)
                        continue
                    asked = dict(line.split("=", 1) for line in lines)
                    outer.requests.append(lines)
                    lines = []
                    if asked["recipient"] == "x@null.test":
                        return
                    self.wfile.write(f"action={outer.ANSWERS.get(asked['recipient'], 'DUNNO')}\n\n".encode())
                    self.wfile.flush()
        socketserver.ThreadingTCPServer.allow_reuse_address = socketserver.ThreadingTCPServer.daemon_threads = True
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Generator:
    def __init__(self, seed, folder, policy):
        self.random, self.folder, self.policy, self.tables = random.Random(seed), folder, policy, 0

    def table(self, keys, results):
        """A table of its own; both systems read the same file."""
        self.tables += 1
        path = self.folder / f"table{self.tables}"
        path.write_text("".join(f"{key} {self.random.choice(results)}\n" for key in self.random.sample(keys, k=self.random.randint(1, len(keys)))))
        path.chmod(0o644)
        return f"texthash:{path}"

    def word(self, stage):
        dice = self.random.random()
        plain_results = [result for result in RESULTS if not result.startswith(("HANGUP", "sleep", "421", "521", "PREPEND", "BCC", "REDIRECT", "FILTER"))]
        if dice < 0.5:
            return self.random.choice(PLAIN)
        if dice < 0.65:
            return f"{self.random.choice(DNS_WORDS)} {self.random.choice(LISTS)}"
        if dice < 0.82:
            party = self.random.choice(PARTIES)
            return f"check_{party}_access {self.table(SUBJECTS[party], plain_results)}"
        if dice < 0.94:
            party = self.random.choice(PARTIES)
            return f"check_{party}_{self.random.choice(['mx', 'ns', 'a'])}_access {self.table(SERVERS, ['REJECT', 'DEFER', 'DUNNO', 'OK', '550 5.7.2 host', 'WARN w'])}"
        return f"check_policy_service inet:127.0.0.1:{self.policy}" if stage in ("recipient", "sender") else "warn_if_reject reject"

    def restrictions(self, stage):
        words = []
        for _ in range(self.random.randint(1, 5)):
            if self.random.random() < 0.1:
                words.append("warn_if_reject")
            words.append(self.word(stage))
        return ", ".join(words)

    def service(self):
        """The options of one smtpd line."""
        options = {}
        for stage in self.random.sample(["client", "helo", "sender", "relay", "recipient", "data"], k=self.random.randint(1, 3)):
            options[f"smtpd_{stage}_restrictions"] = self.restrictions(stage)
        # An open relay is refused by both at the start: there is always somebody who guards.
        options["smtpd_relay_restrictions"] = options.get("smtpd_relay_restrictions", "permit_mx_backup") + ", reject_unauth_destination"
        for name, values in {"smtpd_delay_reject": ["yes", "yes", "no"], "soft_bounce": ["no", "no", "no", "yes"], "smtpd_helo_required": ["no", "no", "yes"],
                             "access_map_reject_code": ["554", "554", "555"], "access_map_defer_code": ["450", "451"], "maps_rbl_reject_code": ["554", "550", "450"],
                             "unknown_client_reject_code": ["450", "550"], "unknown_address_reject_code": ["450", "550"], "reject_code": ["554", "555"],
                             "smtpd_reject_unlisted_sender": ["no", "no", "yes"], "smtpd_sasl_auth_enable": ["no"],
                             "unknown_address_tempfail_action": ["defer_if_permit", "defer"], "show_user_unknown_table_name": ["yes", "no"],
                             "smtpd_log_access_permit_actions": ["", "", "permit permit_mynetworks static:all"]}.items():
            value = self.random.choice(values)
            if value != values[0]:
                options[name] = value
        return options

    def session(self):
        commands = []
        helo = self.random.choice(HELOS)
        if helo is not None:
            commands.append(f"{self.random.choice(['EHLO', 'EHLO', 'HELO'])} {helo}")
        commands.append(f"MAIL FROM:<{self.random.choice(SENDERS)}>")
        for recipient in self.random.sample(RECIPIENTS, k=self.random.randint(2, 4)):
            commands.append(f"RCPT TO:<{recipient}>")
        if self.random.random() < 0.4:
            commands.append("DATA")
        commands.append("QUIT")
        return self.random.choice(CLIENTS), commands


def told(lines):
    """A request less what no two runs share; only the attributes that Debian's 3.7 knows, in its order."""
    text = "\n".join(line for line in lines if not line.startswith(("mail_version=", "compatibility_level=")))
    text = re.sub(r"(?m)^((?:client|server)_port|instance)=.+$", r"\1=SOME", text)
    return re.sub(r"(?m)^queue_id=.+$", "queue_id=SOME", text)


def talk(port, client, commands):
    """All replies, to one command after the other."""
    return [normal(re.sub(r"(?s)^250-mail\.demo\.test.*", "250 EHLO", reply) if command.startswith("EHLO") else reply)
            for command, reply in frame.dialogue(port, commands, "Subject: test\r\n\r\nbody\r\n.\r\n", client)]


def excused(commands, left, right):
    """Why this session may differ; None: it may not. Replies are those to the greeting, the commands and contents."""
    recipients = 0
    hung_up = False
    for command, one, other in zip(["CONNECT", *commands], left, right + [""] * 9):
        recipients += command.startswith("RCPT")
        if one != other:
            if recipients > 1 and "Sender address rejected: User unknown" in other:
                return "unlisted sender"
            return "policy server that hung up" if hung_up and "Server configuration problem" in one else None
        hung_up = hung_up or command == "RCPT TO:<x@null.test>"
    return None


class Side:
    def __init__(self, kind, folder, debian, bin, services, settings):
        folder.mkdir(exist_ok=True)
        from mail_systems import master_line
        from ports import free_port
        self.kind = kind
        self.system = frame.start(kind, folder, debian, bin, Nowhere(), settings)
        self.ports = [free_port() for _ in services]
        self.system.add_services("".join(master_line(f"127.0.0.1:{port} inet n - n - - smtpd", {"syslog_name": f"line{number}", **options})
                                         for number, (port, options) in enumerate(zip(self.ports, services))), self.ports)

    def ask_all(self, sessions):
        """Sessions of one line one after the other, lines side by side."""
        answers = {}

        def line(number):
            for key, (at, client, commands) in sessions.items():
                if at == number:
                    answers[key] = talk(self.ports[number], client, commands)
        threads = [threading.Thread(target=line, args=(number,)) for number in range(len(self.ports))]
        for start in range(0, len(threads), 8):
            for thread in threads[start:start + 8]:
                thread.start()
            for thread in threads[start:start + 8]:
                thread.join()
        return answers

    def lines(self):
        """line number -> log lines of its smtpd that tell of a decision, in order."""
        found = {}
        for line in frame.log_of(self.system).splitlines():
            match = re.search(r" line(\d+)/smtpd\[\d+\]: (.*)", line)
            if match and re.search(r"NOQUEUE: |^[0-9A-Za-z]{6,}: (?!client=)|^warning: ", match.group(2)) and "connection after" not in match.group(2) and "[127.0.0.1]" not in match.group(2) \
                    and not accepted(match.group(2)):
                found.setdefault(int(match.group(1)), []).append(normal(match.group(2)))
        return found

    def close(self):
        self.system.close()


class Nowhere:
    port = 1

    def close(self):
        pass


def described(options):
    """The options of a line, and what stands in their tables."""
    text = ", ".join(f"{name} = {value}" for name, value in options.items())
    for path in re.findall(r"texthash:(\S*/table\d+)", text):
        text = text.replace(f"texthash:{path}", "{" + "; ".join(pathlib.Path(path).read_text().splitlines()) + "}")
    return text


def without(apart, number, lines):
    """Less what sessions logged that may differ; their warnings name no session."""
    mine = [(f"[{client}]", f"from=<{sender}>") for at, client, sender in apart if at == number]
    return [line for line in lines if not (mine and line.startswith("warning: ")) and not any(client in line and sender in line for client, sender in mine)]


def counted(seed, sessions, services, left, right, logs, told_left, told_right):
    """The counts of both areas: each session, each line's log, and what the policy server was told, are a question."""
    areas = {"restrictions": frame.Area("restrictions", {name: why for name, (_, why) in ACCEPTED.items()} | SESSIONS), "access": frame.Area("access")}
    apart = []                                                  # line, client and sender of sessions that may differ
    for key, (number, client, commands) in sessions.items():
        area = areas["restrictions" if key.startswith(("session", "policy")) else "access"]
        if left[key] == right[key]:
            area.same()
            continue
        reason = excused(commands, left[key], right[key]) if area is areas["restrictions"] else None
        if reason:
            area.accept([reason])
            sender = next((re.match(r"MAIL FROM:<(.*?)>", one).group(1) for one in commands if one.startswith("MAIL")), "")
            apart.append((number, client, sender))
            continue
        area.differ(f"{key}: {described(services[number])}\n  {client}: {commands}\n" + "\n".join(
            f"    {command}\n      Postfix:  {one}\n      Posthorn: {other}"
            for command, one, other in zip(["CONNECT", *commands, "...", "..."], left[key] + [""] * 9, right[key] + [""] * 9) if one != other))
    of_access = {number for key, (number, *_) in sessions.items() if not key.startswith(("session", "policy"))}
    for number in range(len(services)):
        area = areas["access" if number in of_access else "restrictions"]
        one, other = (without(apart, number, side.get(number, [])) for side in logs)
        if one == other:
            area.same()
        else:
            area.differ(f"log of line {number}: {described(services[number])}\n" + "\n".join(
                [f"    only Postfix:  {line}" for line in one if line not in other][:6] + [f"    only Posthorn: {line}" for line in other if line not in one][:6] +
                (["    the same lines in another order"] if sorted(one) == sorted(other) else [])))
    told_left, told_right = ([one for one in told if not any(f"client_address={client}\n" in one and f"sender={sender}\n" in one for _, client, sender in apart)]
                             for told in (told_left, told_right))
    if told_left == told_right:
        areas["restrictions"].same()
    else:
        areas["restrictions"].differ("a policy server is told\n" + "\n".join([f"    only by Postfix:  {one}" for one in told_left if one not in told_right][:5] +
                                                                             [f"    only by Posthorn: {one}" for one in told_right if one not in told_left][:5]))
    areas["restrictions"].used.update({name: count for name, count in USED.items() if count})
    return max([area.close(seed) for area in areas.values()])


def main():
    options = argparse.ArgumentParser()
    options.add_argument("bin", type=pathlib.Path)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--all-mutants", action="store_true", help="breaks every rule of MUTANTS, not only the first, and asks every line again")
    options = options.parse_args()
    os.environ["POSTHORN_BIN"] = str(options.bin.resolve())
    frame.need_root()
    debian = frame.Debian()
    frame.network_of_its_own()
    with frame.workshop() as folder, frame.name_server(options.bin, folder, ZONE):
        return ask(options, debian, folder)


def ask(options, debian, folder):
    policy, opened = Policy(), []
    try:
        generator = Generator(options.seed, folder, policy.port)
        services = [generator.service() for _ in range(40)]
        sessions = {f"session {number}.{count}": (number, *generator.session()) for number in range(len(services)) for count in range(3)}
        # Every access result once, by recipient, and once more by client name: each with a message behind it.
        results = folder / "results"
        results.write_text("".join(f"r{number}@ours.test {result}\n" for number, result in enumerate(RESULTS)))
        results.chmod(0o644)
        results_line = len(services)
        services.append({"smtpd_recipient_restrictions": f"check_recipient_access texthash:{results}, permit_mynetworks, reject"})
        services.append({"smtpd_sender_restrictions": f"check_recipient_access texthash:{results}", "smtpd_recipient_restrictions": "permit_auth_destination, reject"})
        by_name = folder / "by_name"
        by_name.write_text("".join(f"r{number}.test {result}\n" for number, result in enumerate(RESULTS)))
        by_name.chmod(0o644)
        services.append({"smtpd_helo_restrictions": f"check_helo_access texthash:{by_name}", "smtpd_log_access_permit_actions": "static:all"})
        for number in range(len(RESULTS)):
            sessions[f"result by name {RESULTS[number]}"] = (len(services) - 1, "127.0.0.5", [f"EHLO r{number}.test", "MAIL FROM:<a@good.test>", "RCPT TO:<user@ours.test>", "QUIT"])
        # A policy server that is asked about everything: what it was told is compared, too.
        service = f"check_policy_service {{ inet:127.0.0.1:{policy.port}, policy_context=all }}"
        services.append({f"smtpd_{stage}_restrictions": service for stage in ("client", "helo", "sender", "recipient", "data", "end_of_data")} | {
            "smtpd_delay_reject": "no"})
        for number, (client, sender) in enumerate([("127.0.0.4", "a@good.test> SIZE=1234"), ("127.0.0.5", ">"), ("127.0.0.2", "a@good.test>")]):
            sessions[f"policy {number}"] = (len(services) - 1, client, ["EHLO client.test" if number else "HELO client.test", f"MAIL FROM:<{sender}", "RCPT TO:<user@ours.test>",
                                            *["RCPT TO:<postmaster@ours.test>", "RCPT TO:<x@null.test>", "RCPT TO:<x@relay.test>"][:number * 3], "DATA", "QUIT"])
        for at in (len(services) - 4, len(services) - 3):
            for number in range(len(RESULTS)):
                sessions[f"result {at}.{RESULTS[number]}"] = (at, "127.0.0.4", ["EHLO client.test", "MAIL FROM:<a@good.test>", f"RCPT TO:<r{number}@ours.test>", "DATA", "QUIT"])
        # Addresses that get a domain by myorigin, or have one that some machines know without the DNS.
        services.append({"smtpd_relay_restrictions": "permit_mx_backup, reject_unauth_destination"})
        services.append({"smtpd_relay_restrictions": "reject_unknown_recipient_domain, reject_unauth_destination", "smtpd_sender_restrictions": "reject_unknown_sender_domain"})
        services.append({"smtpd_sender_restrictions": "reject_unlisted_sender"})
        completed = ["someone", "root@localhost", "user%elsewhere.test@ours.test", "user%gone.nowhere.test@ours.test", "user"]
        for at in range(len(services) - 3, len(services)):
            for sender in ("a@good.test", "root@localhost", "someone", "nobody@alias.test"):
                sessions[f"completed {at}.{sender}"] = (at, "127.0.0.2", ["EHLO client.test", f"MAIL FROM:<{sender}>", *[f"RCPT TO:<{one}>" for one in completed], "QUIT"])
        # Tables that fail, addresses that are none, and what is put off until somebody permits or refuses.
        lost = "texthash:/nonexistent/table"
        ours_alone = {"smtpd_client_event_limit_exceptions": "", "smtpd_forbid_bare_newline_exclusions": ""}
        put_off = "check_sender_access inline:{{ {{a@good.test={}}} }}, check_recipient_access inline:{{ {{user@ours.test={}}} }}, {}"
        first = len(services)
        services += [{"mynetworks": lost, **ours_alone}, {"mynetworks": lost, "smtpd_sender_restrictions": "permit_mynetworks", **ours_alone}, {"local_recipient_maps": lost},
                     {"smtpd_sender_restrictions": f"check_sender_access {lost}"}, {"smtpd_command_filter": lost},
                     {"smtpd_sender_restrictions": "check_sender_access inline:{ {someone@mail.demo.test=REJECT} {a@=DEFER} }", "smtpd_recipient_restrictions": "check_recipient_access inline:{ {mail.demo.test=REJECT} }"}]
        services += [{"smtpd_recipient_restrictions": put_off.format(one, other, last)} for one, other in (("DEFER_IF_PERMIT", "DEFER_IF_REJECT"), ("DEFER_IF_REJECT", "DEFER_IF_PERMIT"),
                     ("DEFER_IF_REJECT", "DEFER_IF_REJECT")) for last in ("reject", "permit")]
        for at in range(first, len(services)):
            for sender in ("a@good.test", "someone", "someone%", "x%@ours.test"):
                sessions[f"failing {at}.{sender}"] = (at, "127.0.0.2", ["EHLO client.test", f"MAIL FROM:<{sender}>", *[f"RCPT TO:<{one}>" for one in ("user@ours.test", "user%@ours.test", "%@ours.test", "user")], "QUIT"])
        for line, asked_there in Access(random.Random(f"access {options.seed}"), folder, debian).lines():
            sessions |= {name: (len(services), *session) for name, session in asked_there.items()}
            services.append(line)
        settings = {"myhostname": "mail.demo.test", "myorigin": "$myhostname", "mydestination": "ours.test", "local_recipient_maps": "inline:{ {user=x} " + " ".join(
            f"{{r{number}=x}}" for number in range(len(RESULTS))) + " }", "relay_domains": "relay.test", "virtual_alias_maps": "inline:{ {user@alias.test=user@ours.test} }",
            "virtual_alias_domains": "alias.test", "mynetworks": "127.0.0.4", "smtpd_peername_lookup": "yes", "recipient_delimiter": "+", "default_transport": "smtp",
            "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination", "smtpd_restriction_classes": "class_one class_two",
            "class_one": "reject_unknown_sender_domain, reject_non_fqdn_recipient", "class_two": "defer_if_permit, permit_mynetworks, reject", "smtpd_banner": "$myhostname ESMTP",
            "smtpd_error_sleep_time": "0", "smtpd_policy_service_try_limit": "1", "unverified_recipient_reject_code": "450", "smtpd_forbid_unauth_pipelining": "no",
            "parent_domain_matches_subdomains": "debug_peer_list,mynetworks,relay_domains,smtpd_access_maps", "inet_interfaces": "127.0.0.1"}
        settings["proxy_read_maps"] = " ".join(re.findall(r"proxy:texthash:[^ ,]*", str(services)))
        settings["local_transport"] = "smtp:[127.0.0.1]:1"
        answers, logs, asked = [], [], []
        for kind in ("postfix", "posthorn"):
            own = {key: value for key, value in settings.items() if kind != "postfix" or key != "smtpd_forbid_unauth_pipelining"}
            policy.requests.clear()
            side = Side(kind, folder, debian, options.bin.resolve(), services, own)
            opened.append(side)
            answers.append(side.ask_all(sessions))
            time.sleep(1)
            logs.append(side.lines())
            asked.append(sorted(told(lines) for lines in policy.requests if "client_address=127.0.0.1" not in lines))
        failed = counted(options.seed, sessions, services, *answers, logs, *asked)
        print(f"{sum(len(one) for one in answers[0].values())} replies, {sum(len(one) for one in logs[0].values())} log lines, {len(asked[0])} questions to the policy server")
        side.close()                                            # the mutants need the room
        opened.pop()
        blind = 0
        # Broken on purpose. A process of smtpd for each line is what takes the time: the first is asked of one line alone.
        lines = range(len(services)) if options.all_mutants else [results_line]
        again = {key: (lines.index(at), *rest) for key, (at, *rest) in sessions.items() if at in lines}
        for number, (name, broken) in enumerate([*MUTANTS.items()][:None if options.all_mutants else 1]):
            side = Side("posthorn", folder / f"mutant{number}", debian, options.bin.resolve(), [services[at] for at in lines], {**settings, **broken()})
            opened.append(side)
            seen = sum(answers[0][key] != answer for key, answer in side.ask_all(again).items())
            blind += seen == 0
            print(f"broken on purpose: {name}: {seen} sessions differ")
            opened.pop().close()
        return 1 if failed or blind else 0
    finally:
        for side in opened:
            side.close()


if __name__ == "__main__":
    frame.guarded(main)
