"""What stands beside a Postfix in the field, beside us: filters, policy servers and readers of the log, each with the lines of main.cf and
master.cf that its documentation gives for Postfix, and without any of ours.

They are Debian's packages (scripts/packages test); a case whose program is not there is skipped with its name. None of them asks the DNS.
"""
import base64
import json
import os
import re
import shutil
import smtplib
import subprocess
import time

from journey import Journey, free_port, parse, remains, unittest, wait_until
from real_peers import Program, listens, unpacked
from test_dkim import VERIFY

# What every spam filter takes for spam, so that it can be tested (GTUBE).
SPAM = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


def message(subject, body="hello", more=""):
    return (f"From: Somebody <a@ours.test>\r\nTo: user@there.test\r\nSubject: {subject}\r\nDate: Sat, 28 Nov 2026 09:00:00 +0000\r\n"
            f"Message-ID: <{time.monotonic_ns()}@ours.test>\r\nMIME-Version: 1.0\r\n{more}\r\n{body}\r\n")


class Companion(Program):
    """A program in the foreground, in a folder of its own that is also its user's."""

    def __init__(self, test, name, user=None):
        if not shutil.which(name, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"):
            raise unittest.SkipTest(f"{name} is not installed (scripts/packages test)")
        self.name, self.dir = name, remains.folder(f"posthorn-{name}.")
        self.dir.chmod(0o755)
        self.user = user if user and os.geteuid() == 0 else None
        if self.user:
            shutil.chown(self.dir, self.user)
        test.addCleanup(shutil.rmtree, self.dir, True)
        self._test = test

    def file(self, name, text):
        path = self.dir / name
        path.write_text(text)
        if self.user:
            shutil.chown(path, self.user)
        return path

    def run(self, command, port, ready=None, **kwargs):
        try:
            self.start(command, port, ready, cwd=self.dir, **kwargs)
        finally:
            self._test.addCleanup(self.close)
        return self


class Milters(Journey):
    def beside(self, settings):
        sink = self.sink()
        return sink, self.instance({"mynetworks": "127.0.0.0/8", **settings}, relay=sink.port)

    def hand_in(self, posthorn, text, recipient="user@there.test"):
        """The reply to the content."""
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            client.mail("a@ours.test")
            client.rcpt(recipient)
            return client.data(text.encode())

    def test_opendkim(self):
        signer, port = Companion(self, "opendkim", "opendkim"), free_port()
        key = signer.file("key", subprocess.run(["openssl", "genrsa", "-traditional", "2048"], capture_output=True, text=True, check=True).stdout)
        key.chmod(0o600)
        public = subprocess.run(["openssl", "rsa", "-in", key, "-pubout", "-outform", "DER"], capture_output=True, check=True).stdout
        configuration = signer.file("opendkim.conf", f"Syslog no\nCanonicalization relaxed/simple\nMode s\nSubDomains no\nOversignHeaders From\nDomain ours.test\nSelector mail\nRequireSafeKeys no\nKeyFile {key}\n"
                                    f"Socket inet:{port}@127.0.0.1\nPidFile {signer.dir}/pid\n")
        signer.run(["opendkim", "-f", "-x", configuration] + (["-u", signer.user] if signer.user else []), port)
        sink, posthorn = self.beside({"milter_default_action": "accept", "milter_protocol": "6", "smtpd_milters": f"inet:127.0.0.1:{port}", "non_smtpd_milters": "$smtpd_milters"})
        self.assertEqual(self.hand_in(posthorn, message("by smtp"))[0], 250)
        posthorn.run("sendmail", "-f", "a@ours.test", "user@there.test", input="From: a@ours.test\nTo: user@there.test\nSubject: by sendmail\n\n.\nhello\n")
        wait_until(lambda: len(sink.messages) == 2, "both arrive")
        keys = json.dumps({"mail._domainkey.ours.test": "v=DKIM1; k=rsa; p=" + base64.b64encode(public).decode()})
        for _, _, content in sink.messages:
            self.assertIn("d=ours.test", parse(content)["DKIM-Signature"])
            verified = subprocess.run(["/usr/bin/python3", "-c", VERIFY, keys], input=content, capture_output=True, check=True).stdout
            self.assertEqual(json.loads(verified), [True], content)

    def test_rspamd(self):
        filter, port = Companion(self, "rspamd", "_rspamd"), free_port()
        configuration = filter.file("rspamd.conf", f"""
options {{ pidfile = "{filter.dir}/pid"; filters = "chartable"; dns {{ nameserver = ["127.0.0.1:9:1"]; timeout = 0.1s; retransmits = 1; }} tempdir = "{filter.dir}"; url_tld = "/usr/share/rspamd/effective_tld_names.dat"; control_socket = "{filter.dir}/control mode=0600"; }}
logging {{ type = "console"; level = "info"; }}
lua = "/usr/share/rspamd/rules/rspamd.lua";
actions {{ reject = 15; add_header = 6; greylist = null; }}
metric {{ name = "default"; }}
milter_headers {{ use = ["x-spamd-bar", "x-spam-level"]; authenticated_headers = []; skip_local = false; }}
worker "rspamd_proxy" {{ bind_socket = "127.0.0.1:{port}"; milter = yes; timeout = 120s; upstream "local" {{ default = yes; self_scan = yes; }} count = 1; }}
""")
        command = ["rspamd", "-f", "-c", configuration] + (["-u", filter.user, "-g", filter.user] if filter.user else ["-i"])
        filter.run(command, port)
        sink, posthorn = self.beside({"smtpd_milters": f"inet:127.0.0.1:{port}", "milter_default_action": "accept", "milter_protocol": "6",
                                      "milter_mail_macros": "i {mail_addr} {client_addr} {client_name} {auth_authen}"})
        self.assertEqual(self.hand_in(posthorn, message("good"))[0], 250)
        code, text = self.hand_in(posthorn, message("bad", SPAM))
        self.assertEqual((code, text), (554, b"5.7.1 Gtube pattern"), filter.output())
        wait_until(lambda: sink.messages, "the good one arrives")
        posthorn.wait_log(r"cleanup\[\d+\]: \w+: milter-reject: END-OF-MESSAGE from \S+\[127\.0\.0\.1\]: 5\.7\.1 Gtube pattern; from=<a@ours\.test> to=<user@there\.test> proto=ESMTP helo=<client\.test>")

    def test_spamass_milter(self):
        spamd, port = Companion(self, "spamd"), free_port()
        home = spamd.dir / "home"
        home.mkdir()
        home.chmod(0o777)
        spamd.run(["spamd", "-L", "-x", "--max-children=1", f"--listen=127.0.0.1:{port}", "--syslog=stderr", f"--helper-home-dir={home}", "--pidfile", str(spamd.dir / "pid")], port)
        glue = Companion(self, "spamass-milter")
        socket = glue.dir / "milter.sock"
        glue.run(["spamass-milter", "-p", socket, "-r", "15", "--", "-p", str(port), "-d", "127.0.0.1"], None, ready=socket.exists)
        socket.chmod(0o666)
        sink, posthorn = self.beside({"smtpd_milters": f"unix:{socket}", "milter_default_action": "tempfail",
                                      "milter_connect_macros": "j {daemon_name} {daemon_addr} v _ {if_name} {if_addr}"})
        self.assertEqual(self.hand_in(posthorn, message("good"))[0], 250, glue.output())
        self.assertEqual(self.hand_in(posthorn, message("bad", SPAM)), (550, b"5.7.1 Blocked by SpamAssassin"))
        wait_until(lambda: sink.messages, "the good one arrives")
        found = parse(sink.messages[0][2])
        self.assertIn("X-Spam-Status", found)
        self.assertIn("X-Spam-Checker-Version", found)


class PolicyServers(Journey):
    """`check_policy_service`, as each says."""

    def rcpt(self, posthorn, sender="a@ours.test", recipient="user@there.test"):
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            client.mail(sender)
            return client.rcpt(recipient)

    def test_postgrey(self):
        server, port = Companion(self, "postgrey", "postgrey"), free_port()
        for name in ("clients", "recipients"):
            server.file(name, "")
        server.run(["postgrey", f"--inet=127.0.0.1:{port}", f"--dbdir={server.dir}", f"--pidfile={server.dir}/pid", "--delay=2", f"--whitelist-clients={server.dir}/clients",
                    f"--whitelist-recipients={server.dir}/recipients"] + ([f"--user={server.user}", f"--group={server.user}"] if server.user else []), port)
        sink = self.sink()
        posthorn = self.instance({"mynetworks": "192.0.2.1", "relay_domains": "there.test", "smtpd_recipient_restrictions":
                                  f"permit_mynetworks, reject_unauth_destination, check_policy_service inet:127.0.0.1:{port}"}, relay=sink.port)
        code, text = self.rcpt(posthorn)
        self.assertEqual(code, 450)
        self.assertRegex(text.decode(), r"^4\.2\.0 <user@there\.test>: Recipient address rejected: Greylisted, see http://postgrey\.schweikert\.ch/help/there\.test\.html")
        wait_until(lambda: self.rcpt(posthorn)[0] == 250, "the wait is over")
        posthorn.send(["user@there.test"], sender="a@ours.test")
        wait_until(lambda: sink.messages, "the message arrives")

    def test_policyd_spf(self):
        """A line spawn of master.cf; a client of this machine is no question for the DNS."""
        if os.geteuid() != 0:
            raise unittest.SkipTest("spawn runs its command as another user, which takes root")
        packages = unpacked("policyd-spf", ["postfix-policyd-spf-python", "python3-spf-engine"], "usr/bin/policyd-spf")
        sink = self.sink()
        posthorn = self.instance({"mynetworks": "192.0.2.1", "relay_domains": "there.test", "policyd-spf_time_limit": "3600", "smtpd_recipient_restrictions":
                                  "reject_unauth_destination, check_policy_service unix:private/policyd-spf"}, relay=sink.port, start=False)
        configuration = posthorn.dir / "policyd-spf.conf"
        configuration.write_text("debugLevel = 1\nTestOnly = 1\nHELO_reject = Fail\nMail_From_reject = Fail\nPermError_reject = False\nTempError_Defer = False\n"
                                 "skip_addresses = 127.0.0.0/8,::ffff:127.0.0.0/104,::1\n")
        python = packages / "usr/lib/python3/dist-packages"
        posthorn.add_service(f"policyd-spf  unix  -  n  n  -  0  spawn\n  user=games argv=/usr/bin/env PYTHONPATH={python} PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 {packages}/usr/bin/policyd-spf {configuration}")
        posthorn.start()
        for number in range(3):                                     # one connection, one process
            posthorn.send([f"user{number}@there.test"], sender="a@ours.test")
        wait_until(lambda: len(sink.messages) == 3, "all arrive")
        for _, _, content in sink.messages:
            self.assertRegex(parse(content)["X-Comment"], "SPF (check N/A|skipped|not applicable)")


class Filters(Journey):
    def test_amavis(self):
        """content_filter by LMTP, and back by a line smtpd of its own: amavisd-new's README.postfix."""
        amavis, port, back = Companion(self, "amavisd", "amavis"), free_port(), free_port()
        if not amavis.user:
            raise unittest.SkipTest("amavisd trusts no configuration that it could write, which takes root and a user of its own")
        shutil.chown(amavis.dir, "root")
        for name in ("home", "home/tmp", "home/db", "home/var"):
            (amavis.dir / name).mkdir()
            shutil.chown(amavis.dir / name, amavis.user)
        configuration = amavis.file("amavisd.conf", f"""use strict;
$daemon_user = $daemon_group = '{amavis.user}'; $max_servers = 1; $MYHOME = '{amavis.dir}/home'; $TEMPBASE = "$MYHOME/tmp"; $db_home = "$MYHOME/db"; $QUARANTINEDIR = undef;
$pid_file = "$MYHOME/var/pid"; $lock_file = "$MYHOME/var/lock"; $myhostname = 'mail.ours.test'; $mydomain = 'ours.test'; $enable_db = 0; $enable_zmq = 0;
$inet_socket_port = {port}; $inet_socket_bind = '127.0.0.1'; $forward_method = 'smtp:[127.0.0.1]:{back}'; $notify_method = $forward_method; $do_syslog = 0; $log_level = 1;
@local_domains_maps = (1); @bypass_virus_checks_maps = (1); @bypass_spam_checks_maps = (1); $final_banned_destiny = D_BOUNCE;
@mynetworks = qw( 192.0.2.1 ); $banned_filename_re = new_RE(qr'\.(exe|vbs)$'i); $enable_dkim_verification = 0;
$file = '/usr/bin/file'; $virus_admin = undef; $banned_admin = undef; $unix_socketname = undef;
1;
""")
        shutil.chown(configuration, "root")
        amavis.run(["amavisd", "-c", configuration, "foreground"], port)
        sink = self.sink()
        posthorn = self.instance({"mynetworks": "127.0.0.0/8", "content_filter": f"amavisfeed:[127.0.0.1]:{port}"}, relay=sink.port, start=False)
        posthorn.add_service("amavisfeed unix    -       -       n        -      2     lmtp\n    -o lmtp_data_done_timeout=1200\n    -o lmtp_send_xforward_command=yes\n"
                             "    -o disable_dns_lookups=yes\n    -o max_use=20")
        posthorn.add_service(f"127.0.0.1:{back} inet n  -       n     -       -  smtpd\n" + "".join(f"    -o {option}\n" for option in (
            "content_filter=", "smtpd_delay_reject=no", "smtpd_client_restrictions=permit_mynetworks,reject", "smtpd_helo_restrictions=", "smtpd_sender_restrictions=",
            "smtpd_recipient_restrictions=permit_mynetworks,reject", "smtpd_data_restrictions=reject_unauth_pipelining", "smtpd_end_of_data_restrictions=", "smtpd_restriction_classes=",
            "mynetworks=127.0.0.0/8", "smtpd_authorized_xforward_hosts=127.0.0.0/8", "smtpd_error_sleep_time=0", "smtpd_soft_error_limit=1001", "smtpd_hard_error_limit=1000", "smtpd_client_connection_count_limit=0",
            "smtpd_client_connection_rate_limit=0", "receive_override_options=no_header_body_checks,no_unknown_recipient_checks,no_milters", "local_header_rewrite_clients=",
            "smtpd_milters=", "local_recipient_maps=", "relay_recipient_maps=")))
        posthorn.start()
        posthorn.send(["one@there.test", "two@there.test"], sender="a@ours.test", content=message("good").encode())
        wait_until(lambda: len(sink.recipients()) == 2, "both arrive")
        for _, _, content in sink.messages:
            self.assertTrue(any("amavis" in field for field in parse(content).get_all("Received")), content)
        # The original client's name and address went along (XFORWARD), and the line says who answered.
        first = posthorn.wait_log(r"lmtp\[\d+\]: (\w+): to=<one@there\.test>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, .*dsn=2\.0\.0, status=sent \(250 2\.0\.0 from MTA\(smtp:\[127\.0\.0\.1\]:\d+\): 250 2\.0\.0 Ok: queued as (\w+)\)")[0]
        posthorn.wait_log(rf"smtpd\[\d+\]: {first[1]}: client=\S+, orig_queue_id={first[0]}, orig_client=\S*\[127\.0\.0\.1\]")
        # What it does not let through comes back to the sender, from it.
        posthorn.send(["one@there.test"], sender="a@ours.test", content=message("bad", more='Content-Type: application/octet-stream; name="run.exe"\r\nContent-Disposition: attachment; filename="run.exe"\r\n').encode())
        wait_until(lambda: len(sink.recipients()) == 3, "the report arrives")
        self.assertIn("<a@ours.test>", sink.messages[-1][1][0])
        self.assertEqual(parse(sink.messages[-1][2]).get_content_type(), "multipart/report")
        posthorn.wait_empty()

    def test_postsrsd(self):
        """Two tcp: tables that rewrite the envelope, and a bounce that finds its way back."""
        server, forward, back = Companion(self, "postsrsd"), free_port(), free_port()
        secret = server.file("secret", "not a secret\n")
        server.run(["postsrsd", "-4", f"-s{secret}", "-dours.test", f"-f{forward}", f"-r{back}", "-l127.0.0.1"], forward)
        wait_until(lambda: listens(back), "the other table is there")
        sink = self.sink()
        posthorn = self.instance({"mynetworks": "127.0.0.0/8", "sender_canonical_maps": f"tcp:localhost:{forward}", "sender_canonical_classes": "envelope_sender",
                                  "recipient_canonical_maps": f"tcp:localhost:{back}", "recipient_canonical_classes": "envelope_recipient,header_recipient"}, relay=sink.port)
        posthorn.send(["user@there.test"], sender="alice@elsewhere.test")
        wait_until(lambda: sink.messages, "the message arrives")
        returned = re.search("<(SRS0=[^>]*=elsewhere.test=alice@ours.test)>", sink.messages[0][0])[1]
        posthorn.send([returned], sender="")
        wait_until(lambda: len(sink.messages) == 2, "what comes back arrives")
        self.assertEqual(sink.recipients()[1], "alice@elsewhere.test")
        posthorn.send(["user@there.test"], sender="bob@ours.test")     # its own domain stays
        wait_until(lambda: len(sink.messages) == 3, "the third arrives")
        self.assertIn("<bob@ours.test>", sink.messages[2][0])


class Lists(Journey):
    def test_mlmmj(self):
        """A pipe transport whose next hop names the list's folder, reached by two tables, as its README.postfix has it: subscribe, confirm, post, bounce."""
        if os.geteuid() != 0:
            raise unittest.SkipTest("pipe runs its command as another user, which takes root")
        root = unpacked("mlmmj", ["mlmmj"], "usr/bin/mlmmj-receive")
        sink = self.sink()
        posthorn = self.instance({"mynetworks": "127.0.0.0/8", "mydestination": "", "mlmmj_destination_recipient_limit": "1", "recipient_delimiter": "+",
                                  "propagate_unmatched_extensions": "virtual"}, relay=sink.port, start=False)
        spool = posthorn.dir / "mlmmj"
        spool.mkdir()
        folder = spool / "list"
        for name in ("incoming", "queue", "queue/discarded", "archive", "text", "subconf", "unsubconf", "bounce", "control", "moderation", "subscribers.d", "digesters.d",
                     "requeue", "nomailsubs.d"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for language in (root / "usr/share/mlmmj").glob("*/en"):
            shutil.copytree(language, folder / "text", dirs_exist_ok=True)
        (folder / "index").write_text("0")
        for name, value in {"listaddress": "list@ours.test", "owner": "owner@there.test", "relayhost": "127.0.0.1", "smtpport": str(posthorn.port), "addtohdr": ""}.items():
            (folder / "control" / name).write_text(value + "\n")
        subprocess.run(["chown", "-R", "games", str(spool)], check=True)
        receive = root / "usr/bin/mlmmj-receive"
        posthorn.add_service(f"mlmmj   unix  -       n       n       -       -       pipe\n    flags=ORhu user=games argv={receive} -F -L {spool}/$nexthop")
        (posthorn.dir / "conf" / "virtual").write_text("list@ours.test        ours.test--list@localhost.mlmmj\n")
        (posthorn.dir / "conf" / "transport").write_text("ours.test--list@localhost.mlmmj   mlmmj:list\n")
        for table in ("virtual", "transport"):
            posthorn.run("postmap", f"hash:{posthorn.dir}/conf/{table}")
        posthorn.set({"virtual_alias_maps": f"hash:{posthorn.dir}/conf/virtual", "virtual_alias_domains": "ours.test", "transport_maps": f"hash:{posthorn.dir}/conf/transport"})
        posthorn.start()

        posthorn.send(["list+subscribe@ours.test"], sender="ann@there.test", content=b"From: ann@there.test\r\nTo: list+subscribe@ours.test\r\nSubject: in\r\n\r\nplease\r\n")
        wait_until(lambda: sink.messages, "the list asks")
        asked = parse(sink.messages[0][2])
        confirm = asked.get("Reply-To") or asked["From"]
        self.assertRegex(confirm, r"^list\+confsub-[0-9a-f]+-ann=there\.test@ours\.test$")
        posthorn.send([confirm], sender="ann@there.test", content=f"From: ann@there.test\r\nTo: {confirm}\r\nSubject: yes\r\n\r\nyes\r\n".encode())
        wait_until(lambda: any((folder / "subscribers.d").iterdir()), "ann is on the list")
        posthorn.send(["list@ours.test"], sender="ann@there.test", content=b"From: ann@there.test\r\nTo: list@ours.test\r\nSubject: news\r\nMessage-ID: <n@there.test>\r\n\r\nhello all\r\n")
        posts = wait_until(lambda: [message for message in sink.messages if parse(message[2])["Subject"] == "news"], "the post goes round")
        self.assertEqual(re.findall("<(.*?)>", " ".join(posts[0][1])), ["ann@there.test"])
        returned = re.search("<(list\\+bounces-[^>]*@ours.test)>", posts[0][0])[1]
        # What cannot be delivered comes back to the list, which remembers it.
        posthorn.send([returned], sender="", content=b"From: MAILER-DAEMON@there.test\r\nTo: " + returned.encode() + b"\r\nSubject: Undelivered\r\n\r\nno\r\n")
        wait_until(lambda: any((folder / "bounce").iterdir()), "the list counts the bounce")
        posthorn.wait_empty()


class LogReaders(Journey):
    def busy(self):
        """An instance that has been through what happens every day, and its log."""
        def rcpt(argument, sink):
            return {"gone": "550 5.1.1 no such user", "slow": "451 4.2.0 not now"}.get(re.search("<([a-z]*)", argument)[1], "250 2.1.5 Ok")
        sink = self.sink(replies={"RCPT": rcpt})
        posthorn = self.instance({"mynetworks": "192.0.2.1", "mydestination": "ours.test", "relay_domains": "there.test", "local_recipient_maps": "inline:{user=x}",
                                  "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": "private/auth", "smtpd_helo_required": "yes",
                                  "smtpd_recipient_restrictions": "reject_unauth_destination, reject_non_fqdn_sender, check_sender_access inline:{{bad@there.test=REJECT go away}}"},
                                 relay=sink.port)
        posthorn.send(["one@there.test", "gone@there.test", "slow@there.test"], sender="a@there.test")
        posthorn.run("sendmail", "-f", "local@ours.test", "c@there.test", input="Subject: x\n\nx\n")
        with posthorn.smtp() as client:
            self.assertEqual(client.mail("a@there.test")[0], 503)
            client.ehlo("client.test")
            for sender, recipient in [("a@there.test", "nobody@ours.test"), ("a@there.test", "user@elsewhere.test"), ("bad@there.test", "user@there.test"), ("short", "user@there.test")]:
                client.mail(sender)
                self.assertGreaterEqual(client.rcpt(recipient)[0], 500)
                client.rset()
            client.docmd("AUTH", "PLAIN AGpvZQB3cm9uZw==")
        with posthorn.smtp() as client:                             # and hangs up
            client.ehlo("client.test")
            client.sock.shutdown(2)
        posthorn.wait_log("lost connection after EHLO")
        posthorn.wait_log("status=deferred")
        posthorn.wait_log("sender non-delivery notification")
        wait_until(lambda: len(posthorn.queue()) == 1, "all but one are gone")
        posthorn.run("postsuper", "-d", "ALL")
        posthorn.wait_log("Deleted: 1 message")
        return posthorn

    def test_logwatch_knows_every_line(self):
        root = unpacked("logwatch", ["logwatch"], "usr/share/logwatch/scripts/services/postfix")
        posthorn = self.busy()
        posthorn.run("postfix", "stop")
        script = posthorn.dir / "postfix-logwatch"                  # by this name it reads whole lines
        shutil.copy(root / "usr/share/logwatch/scripts/services/postfix", script)
        text = subprocess.run(["perl", script, "--detail", "10", "--nosummary", posthorn.log_path], env={**os.environ, "PERL5LIB": str(root / "usr/share/logwatch/lib")},
                              capture_output=True, text=True, check=True).stdout
        self.assertRegex(text, "(?i)bounced")
        self.assertNotIn("Unmatched", text)

    def test_fail2ban_sees_who_misbehaves(self):
        if not shutil.which("fail2ban-regex"):
            raise unittest.SkipTest("fail2ban-regex is not installed (scripts/packages test)")
        posthorn = self.busy()
        # ddos: who hung up after EHLO, who looked whether we listen, and who left without having logged in.
        for mode, expected in {"more": 2, "auth": 1, "ddos": 3}.items():
            text = subprocess.run(["fail2ban-regex", "--print-all-matched", posthorn.log_path, f"/etc/fail2ban/filter.d/postfix.conf[mode={mode}]"], capture_output=True, text=True, check=True).stdout
            self.assertEqual(int(re.search(r"(\d+) matched", text)[1]), expected, (mode, text))


if __name__ == "__main__":
    unittest.main()
