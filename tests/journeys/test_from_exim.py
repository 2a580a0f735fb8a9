"""Moving in from Exim: its configuration becomes one of ours, and both are asked the same: `exim -bt` where addresses go, `exim -bh` what RCPT is
answered. Exim, the program that makes Debian's configurations of it, and Posthorn run in one root folder with users, files and a DNS of its own.
Skipped without root or without Debian's packages."""
import json
import os
import re
import subprocess
import sys
import unittest

from journey import BIN, wait_until
from real_peers import Rooted, unpacked

EXIM = "/package/usr/sbin/exim4"
NAMES = """
import socket, struct, sys
zone = dict(line.split(" ", 1) for line in open(sys.argv[1]).read().splitlines())
def name(text):
    return b"".join(bytes([len(part)]) + part.encode() for part in text.split(".") if part) + b"\\0"
def records(owner, kind):
    for piece in zone.get(owner, "").split(", "):
        if piece.startswith("A ") and kind == 1:
            yield 1, socket.inet_aton(piece[2:])
        if piece.startswith("MX ") and kind == 15:
            yield 15, struct.pack(">H", 10) + name(piece[3:])
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind(("127.0.0.1", 53))
    print("ready", flush=True)
    while True:
        query, client = server.recvfrom(4096)
        at, parts = 12, []
        while query[at]:
            parts.append(query[at + 1:at + 1 + query[at]].decode("latin-1").lower())
            at += 1 + query[at]
        question, owner, kind = query[12:at + 5], ".".join(parts), struct.unpack(">H", query[at + 1:at + 3])[0]
        found = list(records(owner, kind))
        code = 0 if owner in zone else 3
        head = query[:2] + struct.pack(">HHHHH", 0x8580 | code, 1, len(found), 0, 0)
        server.sendto(head + question + b"".join(b"\\xc0\\x0c" + struct.pack(">HHIH", k, 1, 60, len(data)) + data for k, data in found), client)
"""


class Site(Rooted):
    """A machine with Exim on it. zone: "name" to "A 192.0.2.1" or "MX host"."""
    users = ("Debian-exim",)
    environment = None                      # of all commands; none: the test's own

    def __init__(self, zone, accounts=("anna", "bert")):
        package = unpacked("exim4-site", ["exim4-daemon-light", "exim4-config", "exim4-base"], "usr/sbin/exim4")
        self.enter(package)
        for folder in ("posthorn", "etc/exim4", "var/spool/exim4", "var/log/exim4", "var/lib/exim4"):
            (self.root / folder).mkdir(exist_ok=True, parents=True)
        self._mounts = f"mount --bind {BIN} {self.root}/posthorn && " + self._mounts
        with open(self.root / "etc/passwd", "a") as passwd, open(self.root / "etc/group", "a") as group:
            passwd.write("uucp:x:10:10::/:/bin/false\nmail:x:8:8::/var/mail:/bin/sh\nposthorn:x:950:950::/:/bin/false\n")
            group.write("uucp:x:10:\nposthorn:x:950:\npostdrop:x:951:\n")
            for number, name in enumerate(accounts, 1000):
                passwd.write(f"{name}:x:{number}:{number}::/home/{name}:/bin/sh\n")
                (self.root / "home" / name).mkdir()
                os.chown(self.root / "home" / name, number, number)
        self.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
        self.write("zone", "".join(f"{name} {records}\n" for name, records in zone.items()))
        # Without a network but loopback, and there port 53 is ours.
        self._names = subprocess.Popen(["unshare", "-n", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh", sys.executable, "-c", NAMES, str(self.root / "zone")],
                                       stdout=subprocess.PIPE, text=True)
        if self._names.stdout.readline() != "ready\n":
            self.close()
            raise unittest.SkipTest("needs a network of its own (unshare -n, ip)")

    def inside(self, *command):
        return ["nsenter", "-t", str(self._names.pid), "-n", *super().inside(*command)]

    def run(self, *command, **kwargs):
        if self.environment is not None:
            kwargs["env"] = {"PATH": os.environ["PATH"], **self.environment}
        return super().run(*command, **kwargs)

    def close(self):
        self._names.kill()
        self._names.wait(10)
        self._names.stdout.close()
        super().close()

    def debian(self, kind, **settings):
        """What Debian's script makes of these answers: /etc/exim4/config."""
        package = unpacked("exim4-site", [], "usr/sbin/exim4")
        for file in ("exim4.conf.template", "passwd.client"):
            (self.root / "etc/exim4" / file).write_bytes((package / "etc/exim4" / file).read_bytes())
        self.write("etc/email-addresses", (package / "etc/email-addresses").read_text())
        answers = {"eximconfig_configtype": kind, "other_hostnames": "site.test", "local_interfaces": "127.0.0.1 ; ::1", "readhost": "hub.test",
                   "relay_domains": "relay.test;nowhere.test", "minimaldns": "true", "relay_nets": "192.0.2.0/24", "smarthost": "smart.test::587",
                   "use_split_config": "false", "hide_mailname": "true", "localdelivery": "mail_spool", **settings}
        self.write("etc/exim4/update-exim4.conf.conf", "".join(f"dc_{name}='{value}'\n" for name, value in answers.items()) + "CFILEMODE='644'\n")
        (self.root / "etc/exim4/config").unlink(missing_ok=True)
        done = self.run("sh", "/package/usr/sbin/update-exim4.conf", "-o", "/etc/exim4/config")
        assert done.returncode == 0, done.stderr
        # The script asks hostname(1); the name of the machine that tests run on is not to matter.
        text = re.sub(r"(?m)^MAIN_HARDCODE_PRIMARY_HOSTNAME=.*\n", "", (self.root / "etc/exim4/config").read_text())
        self.write("etc/exim4/config", "MAIN_HARDCODE_PRIMARY_HOSTNAME = mail.site.test\n" + text)

    def exim(self, *words, **kwargs):
        return self.run(EXIM, "-C", "/etc/exim4/config", *words, **kwargs)

    def exim_routes(self, address):
        """[(address, "local" | "hosts ..." | "fails" | "later" | "discard")], as it is followed to its end."""
        done = self.exim("-bt", address)
        routes, current, hosts = set(), None, []
        for line in done.stdout.splitlines() + ["end"]:
            router = re.match(r"  router = (\S+), transport = (\S+)", line)
            host = re.match(r"  host (\S+)\s+\[(\S+)\](?:.* port=(\d+))?", line)
            if host:
                hosts.append(host.group(1) + (":" + host.group(3) if host.group(3) else ""))
                continue
            if hosts:
                routes.add((current[0], "hosts " + " ".join(hosts)))
                current, hosts = None, []
            if router:
                if "smtp" in router.group(2) or router.group(2) == "remote":
                    continue
                routes.add((current[0], router.group(2)))
            elif line.startswith("    <-- ") or line == "end":
                continue
            elif " is undeliverable" in line:
                routes.add((line.split(" is undeliverable")[0], "fails"))
            elif " cannot be resolved" in line:
                routes.add((line.split(" cannot be resolved")[0], "later"))
            elif " is discarded" in line or "mail to " in line:
                routes.add((address, "discard"))
            elif re.match(r"\S+@\S+$", line) or "-> " in line:
                current = (line.split(" ")[0].removesuffix(":"),)
        return routes, done.stdout + done.stderr

    def exim_replies(self, client, sender, recipients):
        dialogue = f"EHLO client.test\r\nMAIL FROM:<{sender}>\r\n" + "".join(f"RCPT TO:<{recipient}>\r\n" for recipient in recipients) + "QUIT\r\n"
        done = self.exim("-bh", client, input=dialogue)
        replies = re.findall(r"(?m)^(\d\d\d) .*$", done.stdout)
        # The greeting, EHLO, MAIL; one for each RCPT; QUIT. A refused greeting or MAIL refuses each RCPT.
        for reply in replies[0], replies[2:3] and replies[2]:
            if reply and reply[0] != "2":
                return [reply] * len(recipients), done.stdout
        return replies[3:3 + len(recipients)], done.stdout + done.stderr

    def convert(self, *words):
        return self.run("/posthorn/posthorn", "migrate", "--exim", "/etc/exim4/config", *words)

    def ask(self, questions):
        self.write("questions", "\n".join(questions) + "\n")
        done = self.run("/posthorn/posthorn", "migrate", "--json", "--ask", "/questions", "--postfix", "/nowhere", "/made")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)["answers"]


class FromExim(unittest.TestCase):
    ZONE = {"else.test": "MX mx.else.test", "mx.else.test": "A 203.0.113.9", "relay.test": "MX mx.relay.test", "mx.relay.test": "A 203.0.113.10", "smart.test": "A 203.0.113.5",
            "mail.site.test": "A 127.0.0.1", "inner.test": "A 203.0.113.44", "sub.relay.test": "MX mx.relay.test", "mx.test": "MX mx.else.test", "hub.test": "A 203.0.113.6", "8.100.51.198.rbl.test": "A 127.0.0.2",
            "bad.test.sender.test": "A 127.0.0.2", "bad.test": "MX mx.else.test"}

    def site(self, **kwargs):
        site = Site(self.ZONE, **kwargs)
        self.addCleanup(site.close)
        return site

    def write_directory(self, site):
        """The converter's report; what it wrote is in /made, and `postfix check` has nothing to say of it."""
        report = json.loads(site.convert("--json", "--to", "/made").stdout)
        self.assertEqual(report["written"], "/made")
        self.assertEqual(report["refusals"], [])
        check = site.run("/posthorn/posthorn", "-c", "/made", "check")
        said = [line for line in check.stderr.splitlines() if not re.search("not owned by|not set-gid", line)]
        self.assertEqual((check.returncode, said), (0, []), check.stdout + check.stderr)
        return report

    def our_routes(self, site, address, seen=()):
        """As exim_routes: aliases of local's are followed in the table that was written."""
        aliases = {}
        if (site.root / "made/aliases").exists():
            aliases = dict(line.split(" ", 1) for line in (site.root / "made/aliases").read_text().splitlines() if not line.startswith("#"))
        origin = re.search(r"(?m)^myorigin = (.*)$", (site.root / "made/main.cf").read_text()).group(1)
        routes = set()
        answer = next(one["posthorn"] for one in site.ask([address]) if "address" in one)
        for part in answer.split("; "):
            words = part.split(" ")
            transport, hop, recipient = words[0], " ".join(words[1:-1]), words[-1].removesuffix(".invalid").replace("nobody@discard", address)
            if transport == "local":
                name = recipient.split("@")[0]
                passwd = [line.split(":")[0] for line in (site.root / "etc/passwd").read_text().splitlines()]
                if name in aliases and recipient not in seen and aliases[name] != name:
                    for target in aliases[name].split(", "):
                        if target.startswith(("/", "|")):
                            routes.add((recipient, "file"))
                        else:
                            routes |= self.our_routes(site, target if "@" in target else f"{target}@{origin}", (*seen, recipient))
                else:
                    routes.add((recipient, "local" if name in passwd else "fails"))
            elif transport in ("smtp", "relay") or transport.endswith("smtp"):
                routes.add((recipient, "smtp " + hop))
            elif transport == "virtual":
                known = (site.root / "made/mailboxes").read_text()
                routes.add((recipient, "mailbox" if f"\n{re.sub('[+][^@]*', '', recipient)} " in known else "fails"))
            else:
                if transport == "error" and hop.startswith("4"):
                    transport = "retry"
                routes.add((recipient, {"error": "fails", "retry": "later", "discard": "discard"}.get(transport, transport)))
        return routes

    def same_routes(self, site, addresses, local="mail_spool", differs=None):
        """differs: address to why both may differ."""
        for address in addresses:
            with self.subTest(address=address):
                theirs, output = site.exim_routes(address)
                ours = self.our_routes(site, address)
                normal = set()
                for recipient, where in theirs:
                    if where == local:
                        where = "mailbox" if local == "boxes" else "local"
                    normal.add((recipient, where))
                # Hosts that Exim found by the DNS are the domain here; hosts by name are in brackets.
                found = set()
                for recipient, where in ours:
                    if where.startswith("smtp "):
                        hops = [hop.strip("[]").replace("]", "") for hop in where[5:].split(", ")]
                        where = "hosts " + " ".join(self.ZONE.get(hop, "A").partition("MX ")[2] or hop for hop in hops)
                    found.add((recipient, where))
                if address in (differs or {}):
                    self.assertNotEqual(found, normal, "no difference any more: take it off the list")
                else:
                    self.assertEqual(found, normal, output)

    def same_replies(self, site, clients, senders, recipients, differs=None):
        answers = {(one["client_address"], one["sender"], one["recipient"]): one["posthorn"] for one in site.ask(
            [f"{client} {sender or '<>'} {recipient}" for client in clients for sender in senders for recipient in recipients]) if "recipient" in one}
        for client in clients:
            for sender in senders:
                replies, output = site.exim_replies(client, sender, recipients)
                self.assertEqual(len(replies), len(recipients), output)
                turned_away = answers[(client, sender, recipients[0])].startswith("521 ")    # and the connection is closed
                for recipient, theirs in zip(recipients, replies):
                    with self.subTest(client=client, sender=sender, recipient=recipient):
                        ours = answers[(client, sender, recipient)]
                        if turned_away and ours == "lost connection":
                            ours = "521"
                        if (client, recipient) in (differs or {}):
                            self.assertNotEqual(ours[0], theirs[0], "no difference any more: take it off the list")
                        else:
                            self.assertEqual(ours[0], theirs[0], f"{ours}\n{output}")

    ALIASES = "postmaster: root\nroot: anna\nfailing: :fail: gone away\nhole: :blackhole:\nlist: anna, far@else.test\n\"quoted name\": anna\n"
    ADDRESSES = ["anna@site.test", "root@site.test", "list@mail.site.test", "failing@site.test", "hole@site.test", "nobody-there@site.test", "far@else.test", "x@relay.test",
                 "postmaster@mail.site.test", "bert@localhost"]
    RECIPIENTS = ["anna@site.test", "root@site.test", "failing@site.test", "hole@site.test", "nobody-there@site.test", "far@else.test", "x@relay.test", "postmaster@relay.test", "x@nowhere.test"]
    UNUSUAL = ["x@sub.relay.test", "anna@sub.site.test", "anna@[127.0.0.1]", "anna", "x@[203.0.113.9]", "anna+x@site.test", "ANNA@Site.Test"]
    ODD = ["a%b@site.test", "a%b@else.test", ".x@site.test", "a|b@site.test", "x/../y@else.test", "/x@else.test", "a!b@relay.test", "bert@localhost", "x@nowhere.example", "postmaster@site.test"]

    def debian(self, kind, differs=None, replies=None, **settings):
        site = self.site()
        site.write("etc/aliases", self.ALIASES)
        site.write("etc/mailname", "mail.site.test\n")
        site.debian(kind, **settings)
        report = self.write_directory(site)
        self.assertGreater(len(report["statements"]), 150)
        self.same_routes(site, self.ADDRESSES, differs=differs)
        for recipients in (self.RECIPIENTS, self.ODD, self.UNUSUAL):                 # Debian's ACL refuses whoever has ten bad ones
            self.same_replies(site, ["198.51.100.7", "192.0.2.7"], ["a@else.test", ""], recipients, differs=replies)
        return site, report

    def test_debian_internet(self):
        self.debian("internet")

    def test_debian_smarthost(self):
        self.debian("smarthost")

    def test_debian_satellite(self):
        self.debian("satellite")

    def test_debian_local(self):
        self.debian("local")

    def test_the_configuration_that_exim_brings_along(self):
        text = (unpacked("exim4-site", [], "usr/sbin/exim4") / "usr/share/doc/exim4-base/examples/example.conf").read_text()
        for smart in False, True:
            with self.subTest(smart=smart):
                site = self.site()
                site.write("etc/aliases", self.ALIASES)
                site.write("etc/exim4/config", "ROUTER_SMARTHOST = smart.test\n" * smart + "primary_hostname = site.test\ndomainlist more = mail.site.test\n" +
                           text.replace("domainlist local_domains = @", "domainlist local_domains = @ : +more").replace("domainlist relay_to_domains =", "domainlist relay_to_domains = relay.test"))
                self.write_directory(site)
                self.same_routes(site, [address for address in self.ADDRESSES if "localhost" not in address], local="local_delivery")
                self.same_replies(site, ["198.51.100.7", "127.0.0.1"], ["a@else.test", "", "nobody-there@site.test", "x@nowhere.example"],
                                  [one for one in self.RECIPIENTS + self.UNUSUAL if "root@" not in one and "postmaster@r" not in one][:10])
                self.assertEqual("smtp_tls_security_level = verify\n" in (site.root / "made/main.cf").read_text(), smart)

    GATEWAY = """
primary_hostname = gate.test
qualify_domain = gate.test
domainlist local_domains = @
domainlist virtual_domains = dsearch;/etc/exim4/virtual
domainlist relay_to_domains = partial-lsearch;/etc/exim4/relays : mx.test
hostlist relay_from_hosts = <; 127.0.0.0/8 ; 192.0.2.0/24 ; ::1
addresslist trusted = boss@else.test : *@friends.test
acl_smtp_mail = check_mail
acl_smtp_rcpt = check_rcpt
tls_advertise_hosts =
never_users = root
message_size_limit = 20M
recipients_max = 200
begin acl
whitelist:
  accept senders = +trusted
  accept hosts = 198.51.100.99
check_mail:
  deny senders = /etc/exim4/bad_senders
       message = not from you
  accept
check_rcpt:
  accept hosts = :
  deny hosts = 198.51.100.66 : 203.0.113.0/24 : !203.0.113.1
       message = bad host
  drop !acl = whitelist
       local_parts = ^spam
       message = no
  defer senders = slow@else.test
        domains = +virtual_domains
        message = come back
  deny !acl = whitelist
       recipients = secret@gate.test : ^hidden.*@gate\\.test\$
       message = not for you
  accept hosts = +relay_from_hosts
  require message = relay not permitted
          domains = +local_domains : +virtual_domains : +relay_to_domains
  require verify = recipient
  accept
begin routers
relays:
  driver = manualroute
  domains = +relay_to_domains
  transport = remote
  route_data = ${lookup{$domain}partial-lsearch{/etc/exim4/relays}}
mx:
  driver = dnslookup
  domains = mx.test
  transport = remote
  no_more
smart:
  driver = manualroute
  domains = ! +local_domains : ! +virtual_domains
  transport = remote
  route_list = *.far.test inner.test byname ; * "smart.test::587 : inner.test" byname
  no_more
virtual:
  driver = redirect
  domains = +virtual_domains
  allow_fail
  allow_defer
  data = ${lookup{$local_part}lsearch*{/etc/exim4/virtual/$domain_data}}
  no_more
aliases:
  driver = redirect
  domains = +local_domains
  allow_fail
  data = ${lookup{$local_part}lsearch{/etc/exim4/aliases}}
boxes:
  driver = accept
  domains = +local_domains
  local_parts = lsearch;/etc/exim4/users
  local_part_suffix = +*
  local_part_suffix_optional
  transport = boxes
begin transports
remote:
  driver = smtp
  hosts_require_tls = inner.test
boxes:
  driver = appendfile
  directory = /var/vmail/$domain_data/$local_part_data
  maildir_format
  user = mail
begin retry
* * F,1h,10m; F,2d,2h
"""
    FILES = {"relays": "partner.test: inner.test::2525\n*.inside.test:   203.0.113.44\n", "bad_senders": "bad@else.test\n*@worse.test # all\n^x\\\\d+@\n",
             "aliases": "info: paula,\n  far@else.test\npostmaster: paula\ngone: :fail: left us\n", "users": "paula:\nquentin: x\nsecret:\nhidden1:\nspam:\n"}
    VIRTUAL = {"first.test": "info: paula@gate.test, x@far.test\nold: :fail: gone\nhole: :blackhole:\nwait: :defer: later\n*: quentin@gate.test\n", "second.test": "a.b: quentin@gate.test\n\"odd name\": paula@gate.test\n"}

    def gateway(self, text=None):
        site = self.site()
        (site.root / "etc/exim4/virtual").mkdir()
        for name, content in self.FILES.items():
            site.write(f"etc/exim4/{name}", content)
        for name, content in self.VIRTUAL.items():
            site.write(f"etc/exim4/virtual/{name}", content)
        site.write("etc/exim4/config", text or self.GATEWAY)
        return site

    def test_a_gateway_of_lists_files_and_folders(self):
        site = self.gateway()
        self.write_directory(site)
        self.same_routes(site, ["x@partner.test", "x@a.inside.test", "x@inside.test", "x@mx.test", "x@b.far.test", "x@far.test", "info@first.test", "any@first.test", "old@first.test",
                                "wait@first.test", "hole@first.test", "a.b@second.test", "none@second.test", "info@gate.test", "gone@gate.test", "paula@gate.test", "nobody@gate.test"], local="boxes")
        recipients = ["paula@gate.test", "secret@gate.test", "hidden1@gate.test", "nobody@gate.test", "gone@gate.test", "x@partner.test", "x@b.inside.test", "x@mx.test", "x@far.test"]
        more = ["info@first.test", "old@first.test", "any@first.test", "none@second.test", "a.b@second.test", "spam@gate.test", "spammer@mx.test", "quentin+ext@gate.test", "wait@first.test", "hole@first.test"]
        for asked in (recipients, more):
            self.same_replies(site, ["198.51.100.7", "198.51.100.66", "198.51.100.99", "203.0.113.1", "203.0.113.2", "192.0.2.7"],
                              ["a@else.test", "", "bad@else.test", "any@worse.test", "x12@y.test", "boss@else.test", "joe@friends.test", "slow@else.test"], asked)

    HOST = """
primary_hostname = host.test
domainlist local_domains = host.test : listed.test
domainlist mailboxes = box.test : lm.test
hostlist relay_from_hosts = 192.0.2.0/24
acl_smtp_connect = at_connect
acl_smtp_helo = at_helo
acl_smtp_rcpt = at_rcpt
acl_smtp_data = at_data
tls_advertise_hosts =
begin acl
at_connect:
  deny hosts = 198.51.100.128/25
  accept
at_helo:
  warn condition = ${if eq{$sender_helo_name}{x}}
       set acl_c_x = 1
  accept
at_data:
  accept
at_rcpt:
  deny dnslists = rbl.test : sender.test/$sender_address_domain
       message = listed at $dnslist_domain
  deny senders = :
       recipients = list@host.test : *@listed.test
  warn hosts = 192.0.2.0/25
       add_header = X-From: inside
  accept domains = box.test
         recipients = hole@box.test
         hosts = 198.51.100.10
  accept hosts = +relay_from_hosts
  accept authenticated = *
  require verify = sender
  accept domains = +local_domains : +mailboxes
         endpass
         message = unknown user
         verify = recipient
  deny message = no relaying
begin routers
out:
  driver = dnslookup
  domains = ! +local_domains : ! +mailboxes
  transport = remote
  ignore_target_hosts = 127.0.0.0/8
  no_more
lmtp:
  driver = accept
  domains = lm.test
  local_parts = lsearch;/etc/exim4/users
  transport = store
boxes:
  driver = accept
  domains = box.test
  local_parts = lsearch;/etc/exim4/users
  transport = boxes
rest_of_boxes:
  driver = redirect
  domains = box.test
  allow_fail
  data = catchall@host.test
aliases:
  driver = redirect
  allow_fail
  domains = +local_domains
  data = ${lookup{$local_part}lsearch{/etc/exim4/aliases}}
  file_transport = files
  pipe_transport = commands
  user = mail
forwards:
  driver = redirect
  check_local_user
  file = $home/.forward
  no_verify
users:
  driver = accept
  check_local_user
  local_parts = anna : bert
  transport = homes
nobody_else:
  driver = redirect
  allow_fail
  data = :fail: nobody here
begin transports
remote:
  driver = smtp
  max_rcpt = 20
store:
  driver = lmtp
  socket = /run/lmtp
boxes:
  driver = appendfile
  directory = /var/vmail/$domain_data/$local_part_data
  maildir_format
  user = mail
homes:
  driver = appendfile
  directory = $home/Maildir
  maildir_format
files:
  driver = appendfile
commands:
  driver = pipe
"""

    def test_a_host_with_users_boxes_and_lists(self):
        site = self.gateway(self.HOST)
        with open(site.root / "etc/exim4/aliases", "a") as aliases:
            aliases.write("catchall: anna\nlist: anna, bert\nlog: /var/log/mail-in\n")
        report = self.write_directory(site)
        self.assertEqual([one["statement"] for one in report["statements"] if one["loud"]], [])
        self.same_routes(site, ["anna@host.test", "uucp@host.test", "list@listed.test", "catchall@host.test", "far@else.test", "gone@host.test"], local="homes",
                         differs={"uucp@host.test": "whom no router names is refused at RCPT; mail that is in delivers to every user of the machine"})
        self.same_routes(site, ["paula@box.test"], local="boxes")
        asked = ["anna@host.test", "bert@listed.test", "uucp@host.test", "mail@host.test", "list@host.test", "nobody@host.test", "gone@host.test", "log@host.test"]
        more = ["paula@box.test", "any@box.test", "paula@lm.test", "any@lm.test", "far@else.test", "hole@box.test", "catchall@host.test"]
        for recipients in (asked, more):
            self.same_replies(site, ["198.51.100.7", "198.51.100.8", "198.51.100.130", "192.0.2.7"],
                              ["a@else.test", "", "a@bad.test", "anna@host.test", "nobody@host.test", "x@nowhere.example", "paula@box.test", "none@lm.test"], recipients)

    PANEL = """
primary_hostname = panel.test
domainlist local_domains = dsearch;/etc/exim4/domains
domainlist relay_to_domains = dsearch;/etc/exim4/domains
hostlist whitelist = net-iplsearch;/etc/exim4/white
hostlist spammers = net-iplsearch;/etc/exim4/black
host_reject_connection = 198.51.100.128/25
acl_smtp_connect = at_connect
acl_smtp_mail = at_mail
acl_smtp_rcpt = at_rcpt
tls_advertise_hosts =
begin acl
at_connect:
  accept hosts = +whitelist
  drop hosts = +spammers
  accept
at_mail:
  deny condition = ${if eq{$sender_helo_name}{}}
       message = HELO first
  drop condition = ${if isip{$sender_helo_name}}
  drop condition = ${if match{$sender_helo_name}{\\N[.][.]|^bad\\N}{yes}{no}}
  deny condition = ${if match_domain{$sender_address_domain}{forged.test : +local_domains}}
       condition = ${if !match_ip{$sender_host_address}{192.0.2.0/24}}
  accept
at_rcpt:
  deny local_parts = ^[.] : ^.*[@%!/|]
  deny hosts = !+whitelist
       dnslists = ${readfile{/etc/exim4/lists}{:}}
  accept hosts = 192.0.2.0/24
  require message = relay not permitted
          domains = +local_domains : +relay_to_domains
  require condition = ${if def:sender_helo_name}
  deny senders = *
       recipients = reports@first.test
  require verify = recipient
  accept
begin routers
out:
  driver = dnslookup
  domains = ! +local_domains
  transport = remote
  no_more
aliases:
  driver = redirect
  domains = +local_domains
  require_files = /etc/exim4/domains/$domain_data/aliases
  data = ${extract{1}{:}{${lookup{$local_part@$domain_data}lsearch{/etc/exim4/domains/$domain_data/aliases}}}}
  unseen
sent_on:
  driver = accept
  domains = +local_domains
  condition = ${if exists{/etc/exim4/domains/$domain_data/sent_on}{${lookup{$local_part}lsearch{/etc/exim4/domains/$domain_data/sent_on}{true}{false}}}}
  transport = nothing
boxes:
  driver = accept
  domains = +local_domains
  condition = ${lookup{$local_part}lsearch{/etc/exim4/domains/$domain_data/passwd}{true}{false}}
  transport = boxes
rest:
  driver = redirect
  domains = +local_domains
  require_files = /etc/exim4/domains/$domain_data/aliases
  data = ${extract{1}{:}{${lookup{*@$domain_data}lsearch{/etc/exim4/domains/$domain_data/aliases}}}}
end_of_aliases:
  driver = accept
  domains = +local_domains
  condition = ${lookup{$local_part@$domain_data}lsearch{/etc/exim4/domains/$domain_data/aliases}{true}{false}}
  transport = nothing
begin transports
remote:
  driver = smtp
nothing:
  driver = appendfile
  file = /dev/null
boxes:
  driver = appendfile
  maildir_format
  user = ${extract{2}{:}{${lookup{$local_part}lsearch{/etc/exim4/domains/$domain_data/passwd}}}}
  directory = ${extract{5}{:}{${lookup{$local_part}lsearch{/etc/exim4/domains/$domain_data/passwd}}}}/mail/$domain_data/$local_part
"""
    PANEL_FILES = {"domains/first.test/aliases": "info@first.test:paula@first.test:a note\nboth@first.test:far@else.test\npaula@first.test:far@else.test\n",
                   "domains/first.test/passwd": "paula:x:anna:mail::/home/anna:0\nquentin:x:bert:mail::/home/bert:0\nreports:x:bert:mail::/home/bert:0\n",
                   "domains/second.test/passwd": "carl:x:anna:mail::/home/anna:0\n", "domains/second.test/aliases": "*@second.test:carl@second.test\n",
                   "domains/second.test/sent_on": "gone:1\n", "white": "198.51.100.99\n", "black": "198.51.100.66\n203.0.113.0/24\n", "lists": "rbl.test\n"}

    def test_a_panel_with_a_folder_for_each_domain(self):
        site = self.site()
        for name, content in self.PANEL_FILES.items():
            (site.root / "etc/exim4" / name).parent.mkdir(exist_ok=True, parents=True)
            site.write(f"etc/exim4/{name}", content)
        site.write("etc/exim4/config", self.PANEL)
        report = self.write_directory(site)
        self.assertEqual([one["statement"] for one in report["statements"] if one["loud"]], [])
        self.same_routes(site, ["paula@first.test", "quentin@first.test", "info@first.test", "both@first.test", "none@first.test", "carl@second.test", "any@second.test",
                                "far@else.test"], local="boxes",
                         differs=dict.fromkeys(["info@first.test", "both@first.test"], "an alias without a box ends in /dev/null there; here nothing is written there"))
        self.same_replies(site, ["198.51.100.7", "198.51.100.66", "198.51.100.99", "198.51.100.8", "198.51.100.130", "192.0.2.7"],
                          ["a@else.test", "", "paula@first.test", "x@forged.test"],
                          ["paula@first.test", "none@first.test", "info@first.test", "any@second.test", "reports@first.test", "far@else.test", "a%b@first.test"])

    RELAY = """
keep_environment = LOCAL_DOMAINS : RELAY_TO_DOMAINS : RELAY_TO_USERS : RELAY_FROM_HOSTS : SMARTHOST : SKIP_SENDER
primary_hostname = relay.site.test
domainlist local_domains = ${env{LOCAL_DOMAINS}{$value}{@}}
domainlist relay_to_domains = ${env{RELAY_TO_DOMAINS}{$value}{}}
addresslist relay_to_users = ${env{RELAY_TO_USERS}{$value}{}}
hostlist relay_from_hosts = ${env{RELAY_FROM_HOSTS}{$value}{}}
acl_smtp_rcpt = check
tls_advertise_hosts =
begin acl
check:
  require verify = ${env{SKIP_SENDER}{recipient}{sender}}
  accept hosts = +relay_from_hosts
         domains = +relay_to_domains
  accept hosts = +relay_from_hosts
         recipients = +relay_to_users
  require condition = ${if def:sender_helo_name}
          message = HELO first
  require domains = +local_domains
  require verify = recipient
  accept
begin routers
direct:
  driver = dnslookup
  domains = ! +local_domains
  transport = remote
  condition = ${if eq{${env{SMARTHOST}{$value}{}}}{}}
  no_more
smart:
  driver = manualroute
  domains = ! +local_domains
  transport = remote
  route_data = ${env{SMARTHOST}{$value}{none}}
  condition = ${if !eq{${env{SMARTHOST}{$value}{}}}{}}
  no_more
users:
  driver = accept
  check_local_user
  transport = box
begin transports
remote:
  driver = smtp
box:
  driver = appendfile
  file = /var/mail/$local_part_data
"""

    def test_a_relay_that_its_environment_configures(self):
        for environment in ({}, {"RELAY_FROM_HOSTS": "192.0.2.0/24", "RELAY_TO_DOMAINS": "*"},
                            {"LOCAL_DOMAINS": "@ : site.test", "RELAY_FROM_HOSTS": "192.0.2.0/24", "RELAY_TO_DOMAINS": "relay.test", "RELAY_TO_USERS": "far@else.test",
                             "SMARTHOST": "smart.test::587"}):
            with self.subTest(environment=environment):
                site = self.site()
                site.environment = environment
                site.write("etc/exim4/config", self.RELAY)
                self.write_directory(site)
                self.same_routes(site, ["anna@relay.site.test", "far@else.test", "x@relay.test"], local="box")
                self.same_replies(site, ["198.51.100.7", "192.0.2.7"], ["a@else.test", ""], ["anna@relay.site.test", "nobody@relay.site.test", "x@relay.test", "far@else.test", "other@else.test"])

    def test_what_is_written_starts_and_delivers(self):
        site = self.gateway(self.HOST)
        with open(site.root / "etc/exim4/aliases", "a") as aliases:
            aliases.write("list: anna, bert\n")
        self.write_directory(site)
        with open(site.root / "made/main.cf", "a") as main_cf:
            main_cf.write("command_directory = /posthorn\ndaemon_directory = /posthorn\n")
        (site.root / "var/vmail").mkdir()
        os.chown(site.root / "var/vmail", 8, 8)
        started = site.run("/posthorn/posthorn", "-c", "/made", "start")
        self.assertEqual(started.returncode, 0, started.stderr)
        try:
            taken = site.run("/posthorn/sendmail", "-C", "/made", "-f", "a@else.test", "list@listed.test", "paula@box.test", input="Subject: moved\n\nhello\n")
            self.assertEqual(taken.returncode, 0, taken.stderr)
            for box in "home/anna/Maildir", "home/bert/Maildir", "var/vmail/box.test/paula":
                wait_until(lambda: list((site.root / box / "new").glob("*")), f"mail in {box}")
        finally:
            site.run("/posthorn/posthorn", "-c", "/made", "stop")

    def test_what_cannot_be_said_is_named_and_what_must_not_be_lost_keeps_the_directory_away(self):
        site = self.gateway(self.GATEWAY.replace("  require verify = recipient\n", "  require verify = recipient\n  require malware = *\n").replace(
            "  accept hosts = +relay_from_hosts\n", "  deny ratelimit = 10 / 1h\n  accept hosts = +relay_from_hosts\n"))
        before = {path: path.read_bytes() for path in (site.root / "etc/exim4").rglob("*") if path.is_file()}
        said = site.convert()
        self.assertEqual(said.returncode, 1, said.stderr)
        loud = said.stdout.partition("NOT REFUSED ANY MORE")[2].partition("\n\n")[0]
        self.assertIn("deny  ratelimit = 10 / 1h", loud)
        self.assertIn("Nothing was written.", said.stdout)
        refused = site.convert("--to", "/made")
        self.assertEqual(refused.returncode, 2, refused.stdout)
        self.assertIn("nothing was written, since this must not be lost: /etc/exim4/config, line 41: require  malware = *", refused.stderr)
        self.assertEqual([path.name for path in site.root.iterdir() if path.name.startswith("made")], [])
        # Without it, it is written; once.
        site.write("etc/exim4/config", self.GATEWAY)
        self.assertEqual(site.convert("--to", "/made").returncode, 0)
        again = site.convert("--to", "/made")
        self.assertEqual((again.returncode, again.stderr.strip()), (2, "posthorn migrate: fatal: /made exists: nothing was written"))
        self.assertEqual({path: path.read_bytes() for path in before if path.name != "config"}, {path: text for path, text in before.items() if path.name != "config"})
        main_cf = (site.root / "made/main.cf").read_text()
        self.assertIn("\n# /etc/exim4/config, line 14: recipients_max = 200\nsmtpd_recipient_limit = 200\n", main_cf)
        for words, code in ((["--nonsense"], 64), (["--to"], 64)):
            self.assertEqual(site.convert(*words).returncode, code)
        site.write("etc/exim4/config", "primary_hostname = x\n.include /etc/exim4/gone\n")
        broken = site.convert("--json")
        self.assertEqual((broken.returncode, broken.stderr.strip()),
                         (2, "posthorn migrate: fatal: /etc/exim4/config, line 2: open /etc/exim4/gone: No such file or directory"))


if __name__ == "__main__":
    unittest.main()
