"""AUTH with real programs: Dovecot or Cyrus SASL knows the passwords, Python's smtplib and swaks are clients, aiosmtpd is a provider that wants a login."""
import base64
import os
import pathlib
import re
import smtplib
import subprocess

from journey import PATIENCE, Journey, free_port, unittest, wait_until
from real_peers import Aiosmtpd, Dovecot, Saslauthd, sasldb

SERVER = {"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": "private/auth", "mynetworks": "192.0.2.0/24",
          "smtpd_relay_restrictions": "permit_mynetworks permit_sasl_authenticated reject_unauth_destination",
          "smtpd_client_connection_count_limit": "0", "smtpd_sasl_authenticated_header": "yes"}
CYRUS = {name: value for name, value in SERVER.items() if name not in ("smtpd_sasl_type", "smtpd_sasl_path")}     # Postfix's defaults
MECHANISMS = ("scram-sha-256", "scram-sha-1", "digest-md5", "cram-md5", "plain", "login")


class Authentication(Journey):
    def send_as_eve(self, posthorn):
        """By each mechanism that Python's client has; what she sends arrives."""
        for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5"):
            with posthorn.smtp() as client:
                client.ehlo()
                client.user, client.password = "eve", "also, secret"
                self.assertEqual(client.auth(mechanism, getattr(client, "auth_" + mechanism.lower().replace("-", "_")))[0], 235)
                client.sendmail("eve@here.test", [f"{mechanism.lower()}@there.test"], "Subject: x\r\n\r\nhello\r\n")
            posthorn.wait_log(rf"client=\S+, sasl_method={mechanism}, sasl_username=eve\n")
            posthorn.wait_log(rf"to=<{mechanism.lower()}@there\.test>.* status=sent")

    def dovecot(self, posthorn, **more):
        server = Dovecot(f"{posthorn.dir}/queue/private/auth", {"joe@here.test": "secret", "eve": "also, secret"}, **more)
        self._opened.append(server)
        return server

    def test_clients_authenticate_by_dovecot(self):
        sink = self.sink()
        posthorn = self.instance({**SERVER, "smtpd_sender_login_maps": "inline:{eve@here.test=eve}", "smtpd_sender_restrictions": "reject_authenticated_sender_login_mismatch"},
                                 relay=sink.port)
        dovecot = self.dovecot(posthorn)
        with posthorn.smtp() as client:
            client.ehlo()
            self.assertEqual(set(client.esmtp_features["auth"].split()), {word.upper() for word in MECHANISMS})
            client.mail("joe@here.test")
            self.assertEqual(client.rcpt("user@there.test")[0], 554)
            client.rset()
            with self.assertRaises(smtplib.SMTPAuthenticationError) as refused:
                client.login("joe@here.test", "wrong")
            self.assertEqual(refused.exception.smtp_code, 535)
        # As fail2ban's filter for Postfix wants it.
        posthorn.wait_log(r"postfix/smtpd\[\d+\]: warning: [-._\w]+\[127\.0\.0\.1\]: SASL CRAM-MD5 authentication failed: \S.*, sasl_username=joe@here\.test\n")
        self.send_as_eve(posthorn)
        self.assertIn(b"\t(Authenticated sender: eve)\r\n", sink.messages[0][2])
        self.assertRegex(sink.messages[0][2], rb"with ESMTPA id ")
        with posthorn.smtp() as client:
            client.ehlo()
            client.login("joe@here.test", "secret")
            client.mail("eve@here.test")
            self.assertEqual(client.rcpt("user@there.test"), (553, b"5.7.1 <eve@here.test>: Sender address rejected: not owned by user joe@here.test"))
        swaks = subprocess.run(["swaks", "--server", f"127.0.0.1:{posthorn.port}", "--from", "eve@here.test", "--to", "swaks@there.test", "--auth", "PLAIN",
                                "--auth-user", "eve", "--auth-password", "also, secret"], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(swaks.returncode, 0, swaks.stdout + swaks.stderr)
        # Away, and back: mail goes on meanwhile, and nobody has to restart anything.
        dovecot.close()
        self._opened.remove(dovecot)
        with posthorn.smtp() as client:
            client.ehlo()
            self.assertEqual(client.docmd("AUTH", "PLAIN " + base64.b64encode(b"\0eve\0also, secret").decode())[0], 454)
            client.mail("eve@here.test")
        self.dovecot(posthorn)
        with posthorn.smtp() as client:
            client.ehlo()
            self.assertEqual(client.login("eve", "also, secret")[0], 235)
        for secret in (b"also, secret", base64.b64encode(b"\0eve\0also, secret")):
            self.assertNotIn(secret.decode(), posthorn.log())

    def cyrus(self, posthorn, text):
        """smtpd.conf, where Debian's Postfix has it."""
        folder = posthorn.dir / "conf/sasl"
        folder.mkdir(exist_ok=True)
        (folder / "smtpd.conf").write_text(text)

    def sasldb(self, posthorn):
        sasldb(posthorn.dir / "db", "mail.demo.test", {"eve": "also, secret", "joe": "secret"})
        return f"pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {posthorn.dir}/db\nmech_list: {' '.join(MECHANISMS)}\n"

    def test_clients_authenticate_by_cyrus(self):
        sink = self.sink()
        posthorn = self.instance(CYRUS, relay=sink.port, start=False)
        self.cyrus(posthorn, self.sasldb(posthorn))
        posthorn.start()
        with posthorn.smtp() as client:
            client.ehlo()
            self.assertEqual(set(client.esmtp_features["auth"].split()), {word.upper() for word in MECHANISMS})
            with self.assertRaises(smtplib.SMTPAuthenticationError) as refused:
                client.login("joe", "wrong")
            self.assertEqual(refused.exception.smtp_code, 535)
        posthorn.wait_log(r"postfix/smtpd\[\d+\]: warning: [-._\w]+\[127\.0\.0\.1\]: SASL CRAM-MD5 authentication failed: authentication failure, sasl_username=")
        posthorn.wait_log(r"postfix/smtpd\[\d+\]: warning: SASL authentication failure: Password verification failed\n")
        self.send_as_eve(posthorn)
        # The library, and what it reads, are where no stranger speaks.
        asker, = posthorn.pids_of("sasl")
        server, = posthorn.pids_of("smtpd")
        if os.geteuid() == 0:
            def holds(pid):
                return "libsasl2" in pathlib.Path(f"/proc/{pid}/maps").read_text()
            self.assertEqual((holds(asker), holds(server)), (True, False))
        # It ends, and comes back; nobody's AUTH is refused for that.
        os.kill(asker, 9)

        def login():
            with posthorn.smtp() as client:
                client.ehlo()
                return client.docmd("AUTH", "PLAIN " + base64.b64encode(b"\0eve\0also, secret").decode())[0]
        seen = set()
        wait_until(lambda: seen.add(login()) or 235 in seen, "logins go on")
        self.assertLessEqual(seen, {235, 454})
        # Another smtpd.conf comes with a reload.
        saslauthd = Saslauthd(posthorn.dir / "authd", {"eve": "of IMAP"})
        self._opened.append(saslauthd)
        self.cyrus(posthorn, f"pwcheck_method: saslauthd\nmech_list: plain login\nsaslauthd_path: {posthorn.dir}/authd/mux\n")
        posthorn.run("postfix", "reload")
        with posthorn.smtp() as client:
            client.ehlo()
            self.assertEqual(set(client.esmtp_features["auth"].split()), {"PLAIN", "LOGIN"})
            self.assertEqual(client.login("eve", "of IMAP")[0], 235)
        saslauthd.close()
        self._opened.remove(saslauthd)
        with posthorn.smtp() as client:
            client.ehlo()
            self.assertEqual(client.docmd("AUTH", "PLAIN " + base64.b64encode(b"\0eve\0of IMAP").decode())[0], 454)
        posthorn.wait_log(r"postfix/smtpd\[\d+\]: warning: SASL authentication failure: cannot connect to saslauthd server: \S")
        for secret in ("also, secret", "of IMAP"):
            self.assertNotIn(secret, posthorn.log())

    def test_the_realm_of_cyrus_s_is_the_name_of_the_line_that_asks(self):
        posthorn, port = self.instance(CYRUS, start=False), free_port()
        for realm, password in (("mail.demo.test", "secret"), ("other.test", "another")):
            sasldb(posthorn.dir / "db", realm, {"joe": password})
        self.cyrus(posthorn, f"pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {posthorn.dir}/db\nmech_list: plain\n")
        posthorn.add_service(f"127.0.0.1:{port} inet n - n - - smtpd -o myhostname=other.test")
        posthorn.start()

        def reply(port, password):
            with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
                client.ehlo()
                return client.docmd("AUTH", "PLAIN " + base64.b64encode(f"\0joe\0{password}".encode()).decode())[0]
        self.assertEqual([reply(line, password) for line in (posthorn.port, port) for password in ("secret", "another")], [235, 535, 535, 235])

    def test_who_does_not_authenticate_by_cyrus_has_no_process_for_it(self):
        posthorn = self.instance(start=False)
        posthorn.start()
        self.assertEqual(posthorn.pids_of("sasl"), [])
        self.cyrus(posthorn, "mech_list: plain\n")
        posthorn.set(CYRUS)
        posthorn.run("postfix", "reload")
        with posthorn.smtp() as client:
            client.ehlo()
            self.assertEqual(client.esmtp_features["auth"].split(), ["PLAIN"])

    def test_every_mechanism_of_our_client_against_cyrus_s(self):
        self.every_mechanism(CYRUS, before=lambda provider: self.cyrus(provider, self.sasldb(provider)))

    def test_every_mechanism_of_our_client_against_dovecot_s(self):
        self.every_mechanism(SERVER, after=self.dovecot)

    def every_mechanism(self, settings, before=lambda provider: None, after=lambda provider: None):
        sink = self.sink()
        provider = self.instance(settings, relay=sink.port, start=False)
        before(provider)
        provider.start()
        after(provider)
        posthorn = self.instance({"smtp_sasl_auth_enable": "yes", "smtp_sasl_security_options": "noanonymous"}, start=False)
        table = posthorn.dir / "sasl_passwd"
        table.write_text(f"[127.0.0.1]:{provider.port} eve:also, secret\n")
        table.chmod(0o600)
        posthorn.set({"smtp_sasl_password_maps": f"texthash:{table}",
                      "transport_maps": "inline:{" + ", ".join(f"{name}.test={name}:[127.0.0.1]:{provider.port}" for name in MECHANISMS) + "}"})
        for name in MECHANISMS:
            posthorn.add_service(f"{name} unix - - n - - smtp -o smtp_sasl_mechanism_filter={name}")
        posthorn.start()
        posthorn.send([f"user@{name}.test" for name in MECHANISMS])
        for name in MECHANISMS:
            posthorn.wait_log(rf"to=<user@{re.escape(name)}\.test>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:{provider.port}, .*status=sent")
            provider.wait_log(rf"client=\S+, sasl_method={name.upper()}, sasl_username=eve\n")
        provider.wait_log("status=sent", len(MECHANISMS))
        self.assertEqual(sorted(recipient for recipient in sink.recipients()), sorted(f"user@{name}.test" for name in MECHANISMS))
        self.assertNotIn("also, secret", posthorn.log())

    @unittest.skipUnless(os.geteuid() == 0, "needs root to look at what a confined process holds")
    def test_no_process_that_strangers_talk_to_holds_the_passwords(self):
        for written in ({"smtp_sasl_password_maps": "{table}"}, {"smtp_sasl_password_maps": "$our_passwords", "our_passwords": "{table}"}):
            with self.subTest(written):
                posthorn = self.instance({"smtp_sasl_auth_enable": "yes"}, start=False)
                table = posthorn.dir / "sasl_passwd"
                table.write_text("[127.0.0.1]:25 eve:secret\n")
                table.chmod(0o600)
                posthorn.set({name: value.replace("{table}", f"texthash:{table}") for name, value in written.items()})
                posthorn.start()
                with posthorn.smtp() as client:
                    self.assertEqual(client.ehlo()[0], 250)
                def holders():
                    """Service -> whether one of its processes has the table open."""
                    found = {}
                    for pid, name in posthorn.processes().items():
                        if " service " in name:
                            service = name.split(" service ")[1].split()[0]
                            found[service] = found.get(service, False) or str(table) in posthorn.open_files(pid)
                    return found
                wait_until(lambda: holders().get("smtp"), "smtp with its table open")       # it asks for it when it starts, beside all others
                found = holders()
                self.assertGreaterEqual(found.keys(), {"smtpd", "qmgr", "resolve", "memory", "smtp"})
                self.assertEqual({service for service, holds in found.items() if holds} - {"lmtp"}, {"smtp"})

    def test_a_provider_that_wants_a_login(self):
        provider = Aiosmtpd("auth_required=True, auth_require_tls=False, authenticator=lambda server, session, envelope, mechanism, data: "
                            "__import__('aiosmtpd.smtp').smtp.AuthResult(handled=False, success=(data.login, data.password) == (b'user', b'secret'))")
        self._opened.append(provider)
        posthorn = self.instance({"smtp_sasl_auth_enable": "yes", "smtp_sasl_security_options": "noanonymous", "smtp_sender_dependent_authentication": "yes",
                                  "relayhost": f"[127.0.0.1]:{provider.port}",
                                  "smtp_sasl_password_maps": "inline:{127.0.0.1=user:secret, wrong@example.com=user:guess}"})
        posthorn.send(["user@there.test"])
        posthorn.wait_log(r"to=<user@there\.test>.* status=sent")
        posthorn.send(["other@there.test"], sender="wrong@example.com")
        posthorn.wait_log(r"to=<other@there\.test>, .*dsn=4\.7\.8, status=deferred \(SASL authentication failed; server 127\.0\.0\.1\[127\.0\.0\.1\] said: 535 5\.7\.8 .*\)")
        posthorn.set({"smtp_sasl_security_options": "noplaintext, noanonymous"})
        posthorn.run("postfix", "reload")
        posthorn.send(["third@there.test"])
        posthorn.wait_log(r"warning: SASL authentication failure: No worthy mechs found\n")
        posthorn.wait_log(r"to=<third@there\.test>, .*dsn=4\.7\.0, status=deferred \(SASL authentication failed; cannot authenticate to server "
                          r"127\.0\.0\.1\[127\.0\.0\.1\]: no mechanism available\)")
        self.assertEqual([recipient for recipient, _ in provider.received()], ["user@there.test"])


if __name__ == "__main__":
    unittest.main()
