"""STARTTLS in and out, with certificates made here."""
import os
import re
import smtplib
import socket
import ssl
import subprocess

from journey import PATIENCE, Certificate, Journey, SignedZone, free_port, unittest, wait_until


class Tls(Journey):
    def setUp(self):
        super().setUp()
        self.ours, self.theirs = Certificate("me.ours.test"), Certificate("sink.test")
        self.addCleanup(self.ours.close)
        self.addCleanup(self.theirs.close)

    def serving(self, level, settings=None, **kwargs):
        return self.instance({"smtpd_tls_security_level": level, "smtpd_tls_chain_files": f"{self.ours.key}, {self.ours.path}",
                              "smtpd_tls_loglevel": "1", **(settings or {})}, **kwargs)

    # In

    def test_in_by_starttls(self):
        sink = self.sink()
        posthorn = self.serving("may", {"smtpd_tls_received_header": "yes"}, relay=sink.port)
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            self.assertTrue(client.has_extn("starttls"))
            client.starttls(context=self.ours.client())
            self.assertEqual(client.sock.version(), "TLSv1.3")
            client.ehlo("client.test")
            self.assertFalse(client.has_extn("starttls"))
            client.sendmail("a@ours.test", ["user@there.test"], "Subject: in\r\n\r\nhello\r\n")
        posthorn.wait_log(r"smtpd\[\d+\]: Anonymous TLS connection established from (localhost|unknown)\[127\.0\.0\.1\]: TLSv1\.3 with cipher "
                          r"TLS_\w+ \(\d+/\d+ bits\) key-exchange \w+ server-signature ECDSA \(P-256\) server-digest SHA\d+\n")
        posthorn.wait_log("status=sent")
        self.assertRegex(sink.messages[0][2].decode(), r"\(using TLSv1\.3 with cipher TLS_\w+ \(\d+/\d+ bits\)\r\n\t")
        self.assertRegex(sink.messages[0][2].decode(), r"with ESMTPS id \w+")
        # And in clear, since the level is may.
        posthorn.send(["clear@there.test"])
        posthorn.wait_log("status=sent", 2)

    def test_encrypt_takes_no_mail_in_clear(self):
        posthorn = self.serving("encrypt")
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            self.assertEqual(client.mail("a@ours.test"), (530, b"5.7.0 Must issue a STARTTLS command first"))
            client.starttls(context=self.ours.client())
            client.ehlo("client.test")
            self.assertEqual(client.mail("a@ours.test")[0], 250)

    def test_openssl_has_the_configuration_that_is_named(self):
        config = self.ours.path.with_name("openssl.cnf")
        config.write_text("posthorn = settings\n[settings]\nssl_conf = ssl\n[ssl]\nsystem_default = ours\n[ours]\nCiphersuites = TLS_CHACHA20_POLY1305_SHA256\n")
        os.chmod(config.parent, 0o755)
        os.chmod(config, 0o644)
        posthorn = self.serving("may", {"tls_config_file": str(config), "tls_config_name": "posthorn"})

        def cipher():
            with posthorn.smtp() as client:
                client.ehlo("client.test")
                client.starttls(context=self.ours.client())
                return client.sock.cipher()[0]
        self.assertEqual(cipher(), "TLS_CHACHA20_POLY1305_SHA256")
        posthorn.set({"tls_config_name": "other"})
        refused = posthorn.run("postfix", "reload", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn('nothing for the application name "other" (tls_config_name)', refused.stderr + posthorn.log())
        self.assertEqual(cipher(), "TLS_CHACHA20_POLY1305_SHA256")
        posthorn.set({"tls_config_file": "none"})
        posthorn.run("postfix", "reload")
        self.assertEqual(cipher(), "TLS_AES_256_GCM_SHA384")

    def test_a_key_that_is_missing_takes_nothing_out_of_service(self):
        sink = self.sink()
        missing = {"smtpd_tls_chain_files": "/nonexistent/key.pem", "smtp_tls_chain_files": "/nonexistent/key.pem"}
        posthorn = self.serving("may", {**missing, "smtp_tls_security_level": "may"}, relay=sink.port)
        posthorn.wait_log(r"smtpd\[\d+\]: warning: .*/nonexistent/key\.pem.*: disabling TLS support")
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            self.assertFalse(client.has_extn("starttls"))
            self.assertEqual(client.docmd("STARTTLS"), (454, b"4.7.0 TLS not available due to local problem"))
            client.sendmail("a@ours.test", ["user@there.test"], "Subject: in\r\n\r\nhello\r\n")
        posthorn.wait_log("status=sent")
        posthorn.wait_log(r"smtp\[\d+\]: warning: .*/nonexistent/key\.pem.*: disabling TLS support")
        # Nobody who insists is given less.
        late = self.ours.path.with_name("late.pem")
        strict = self.serving("encrypt", {"smtpd_tls_chain_files": str(late)})
        with strict.smtp() as client:
            client.ehlo("client.test")
            self.assertTrue(client.has_extn("starttls"))                # where nothing else is taken, the client is told whose fault it is
            self.assertEqual(client.mail("a@ours.test"), (530, b"5.7.0 Must issue a STARTTLS command first"))
            self.assertEqual(client.docmd("STARTTLS")[0], 454)
            # The key comes: TLS is there, without a reload.
            late.with_suffix(".new").write_bytes(self.ours.key.read_bytes() + self.ours.path.read_bytes())
            os.replace(late.with_suffix(".new"), late)
            strict.wait_log(rf"TLS: keys and certificates were read again: {late}")
            client.starttls(context=self.ours.client())
            client.ehlo("client.test")
            self.assertEqual(client.mail("a@ours.test")[0], 250)
        careful = self.serving("may", {"smtp_tls_chain_files": "/nonexistent/key.pem", "smtp_tls_security_level": "encrypt"}, relay=sink.port)
        careful.send(["user@there.test"])
        careful.wait_log(r"dsn=4\.7\.\d, status=deferred \(TLS is required, but our TLS engine is unavailable\)")

    def test_a_reload_without_the_key_is_refused(self):
        posthorn = self.serving("may", {"smtp_tls_security_level": "may"})
        for name in ("smtpd_tls_chain_files", "smtp_tls_chain_files"):
            with self.subTest(name):
                posthorn.set({name: "/nonexistent/key.pem"})
                refused = posthorn.run("postfix", "reload", check=False)
                self.assertEqual(refused.returncode, 1)
                self.assertRegex(refused.stderr, r"service \S+: open /nonexistent/key\.pem: No such file or directory")
                with posthorn.smtp() as client:
                    client.ehlo("client.test")
                    client.starttls(context=self.ours.client())
                posthorn.set({name: f"{self.ours.key}, {self.ours.path}"})
        self.assertNotRegex(posthorn.log(), "disabling TLS support")

    def test_what_came_before_the_handshake_counts_for_nothing(self):
        """RFC 3207 6: commands slipped in behind STARTTLS in clear are not executed inside."""
        posthorn = self.serving("may")
        with socket.create_connection(("127.0.0.1", posthorn.port), timeout=PATIENCE) as raw:
            self.assertTrue(raw.recv(1000).startswith(b"220"))
            raw.sendall(b"EHLO client.test\r\n")
            self.assertIn(b"STARTTLS", raw.recv(4000))
            raw.sendall(b"STARTTLS\r\nRSET\r\n")
            answer = raw.recv(1000)
            self.assertNotIn(b"RSET", answer)
            if answer.startswith(b"220"):                         # taken: then nothing of what followed may be answered inside
                with self.ours.client().wrap_socket(raw, server_hostname="me.ours.test") as inside:
                    inside.settimeout(2)
                    with self.assertRaises(TimeoutError):
                        inside.recv(100)
            else:
                self.assertTrue(answer.startswith(b"554"), answer)

    def test_a_renewed_certificate_is_served_without_a_reload(self):
        posthorn = self.serving("may")
        renewed = Certificate("me.ours.test")
        self.addCleanup(renewed.close)

        def served():
            with posthorn.smtp() as client:
                client.ehlo("client.test")
                try:
                    client.starttls(context=self.ours.client())   # knows the certificate alone that the file has now
                except ssl.SSLError:
                    client.close()
                    return False
                return True
        self.assertTrue(served())
        for old, new in ((self.ours.path, renewed.path), (self.ours.key, renewed.key)):
            os.replace(new, old)                                  # as certbot and its like do it, one after the other
        wait_until(served, "the renewed certificate is served")
        posthorn.wait_log(r"smtpd\[\d+\]: TLS: keys and certificates were read again: ")

    def test_each_name_has_a_certificate_of_its_own(self):
        made = {name: Certificate(name) for name in ("one.test", "two.test", "above.test", "late.test")}
        for certificate in made.values():
            self.addCleanup(certificate.close)
            for file in (certificate.key, certificate.path):
                os.chmod(file, 0o600)
        posthorn = self.serving("may", start=False)
        lines = [f"one.test {made['one.test'].key}, {made['one.test'].path}", f".above.test {made['above.test'].key} {made['above.test'].path}"]
        built, text = posthorn.dir / "sni", posthorn.dir / "sni.txt"
        built.write_text("\n".join(lines[:1]) + "\n")
        text.write_text("\n".join(lines[1:]) + "\n")
        posthorn.set({"tls_server_sni_maps": f"lmdb:{built}, texthash:{text}, inline:{{{{two.test={made['two.test'].key} {made['two.test'].path}}}}}"})
        posthorn.run("postmap", "-F", f"lmdb:{built}")
        os.chmod(f"{built}.lmdb", 0o600)
        os.chmod(text, 0o600)
        posthorn.start()

        def shown(name):
            context = ssl._create_unverified_context()
            with posthorn.smtp() as client:
                client.ehlo("client.test")
                client._host = name                                   # what smtplib asks for
                client.starttls(context=context)
                return client.sock.getpeercert(True)

        def certificate(which):
            return ssl.PEM_cert_to_DER_cert(which.path.read_text())
        for name, which in {"one.test": made["one.test"], "ONE.test": made["one.test"], "two.test": made["two.test"], "mx.above.test": made["above.test"],
                            "a.b.above.test": made["above.test"], "above.test": self.ours, "other.test": self.ours, "127.0.0.1": self.ours}.items():
            with self.subTest(name):
                self.assertEqual(shown(name), certificate(which))
        posthorn.wait_log(r"smtpd\[\d+\]: Anonymous TLS connection established from \S+\[127\.0\.0\.1\] to one\.test: TLSv1\.3 with cipher ")
        posthorn.wait_log(r"smtpd\[\d+\]: TLS SNI other\.test from \S+\[127\.0\.0\.1\] not matched, using default chain\n")
        # A name more, as postmap -F has it, is there with the next session; as text, with the reload.
        built.write_text(f"late.test {made['late.test'].key} {made['late.test'].path}\n{lines[0]}\n")
        posthorn.run("postmap", "-F", f"lmdb:{built}")
        wait_until(lambda: shown("late.test") == certificate(made["late.test"]), "the new name has its certificate")
        text.write_text(f"other.test {made['two.test'].key} {made['two.test'].path}\n{lines[1]}\n")
        posthorn.run("postfix", "reload")
        wait_until(lambda: shown("other.test") == certificate(made["two.test"]), "the name of the text has its certificate")
        # No process but smtpd has the keys.
        if os.geteuid() == 0:
            holders = {name.split(" service ")[1].split()[0] for pid, name in posthorn.processes().items() if " service " in name and
                       {str(made["one.test"].key), f"{built}.lmdb", str(text)} & posthorn.open_files(pid)}
            self.assertEqual(holders, {"smtpd"})

    def test_wrapper_mode(self):
        posthorn, port = self.serving("may", start=False), free_port()
        posthorn.add_service(f"127.0.0.1:{port} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes")
        posthorn.start()
        with smtplib.SMTP_SSL("127.0.0.1", port, context=self.ours.client(), timeout=PATIENCE) as client:
            self.assertEqual(client.ehlo("client.test")[0], 250)
            self.assertFalse(client.has_extn("starttls"))
            client.sendmail("a@ours.test", ["user@there.test"], "Subject: in\r\n\r\nhello\r\n")

    def test_a_session_resumes_with_another_process(self):
        """Two lines of master.cf are two processes; both seal their tickets with the same keys."""
        posthorn, other = self.serving("may", start=False), free_port()
        posthorn.add_service(f"127.0.0.1:{other} inet n - n - - smtpd")
        posthorn.start()
        context = self.ours.client()

        def visit(port, session):
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as raw:
                file = raw.makefile("rb")
                file.readline()
                raw.sendall(b"EHLO client.test\r\n")
                while file.readline()[3:4] == b"-":
                    pass
                raw.sendall(b"STARTTLS\r\n")
                self.assertTrue(file.readline().startswith(b"220"))
                with context.wrap_socket(raw, server_hostname="me.ours.test", session=session) as inside:
                    inside.sendall(b"QUIT\r\n")
                    inside.recv(1000)                              # the ticket travels in front of it
                    return inside.session, inside.session_reused
        def resumes():                                              # the keys come from another process, a moment after the start
            session, _ = visit(posthorn.port, None)
            return visit(other, session)[1]
        wait_until(resumes, "the second process takes the ticket of the first")
        # The peer's word is the proof; the log of the other process agrees.
        wait_until(lambda: len(set(re.findall(r"smtpd\[(\d+)\]: Anonymous TLS connection (?:established|reused) from ", posthorn.log()))) == 2,
                   "both processes tell of a TLS connection")

    # Out

    def test_out_by_starttls_where_it_is_offered(self):
        sink = self.sink(tls=self.theirs.server())
        plain = self.sink()
        posthorn = self.instance({"smtp_tls_security_level": "may", "smtp_tls_loglevel": "1", "smtp_log_tls_feature_status": "yes",
                                  "transport_maps": f"inline:{{plain.test=smtp:[127.0.0.1]:{plain.port}}}"}, relay=sink.port)
        posthorn.send(["user@there.test", "user@plain.test"])
        posthorn.wait_log("status=sent", 2)
        self.assertEqual(sink.recipients(), ["user@there.test"])
        self.assertEqual(plain.recipients(), ["user@plain.test"])
        self.assertRegex(posthorn.log(), r"to=<user@there\.test>, relay=\S+, delay=[\d.]+, delays=[\d./]+, tls=may, dsn=2\.0\.0, status=sent")
        self.assertRegex(posthorn.log(), r"to=<user@plain\.test>, relay=\S+, delay=[\d.]+, delays=[\d./]+, tls=may:none, dsn=2\.0\.0, status=sent")
        self.assertEqual([version for version, _ in sink.tls_sessions], ["TLSv1.3"])
        self.assertRegex(posthorn.log(), rf"smtp\[\d+\]: Untrusted TLS connection established to 127\.0\.0\.1\[127\.0\.0\.1\]:{sink.port}: TLSv1\.3 "
                                         r"with cipher TLS_\w+ \(\d+/\d+ bits\)")

    def test_trusted_where_the_authority_is_known(self):
        sink = self.sink(tls=self.theirs.server())
        posthorn = self.instance({"smtp_tls_security_level": "encrypt", "smtp_tls_loglevel": "1", "smtp_tls_CAfile": str(self.theirs.path)}, relay=sink.port)
        posthorn.send(["user@there.test"])
        posthorn.wait_log(r"Trusted TLS connection established to 127\.0\.0\.1")

    def test_each_next_hop_has_the_policy_of_the_table(self):
        issuer = Certificate("issuer.test")
        self.addCleanup(issuer.close)
        issued = Certificate("mx.right.test", issuer)
        self.addCleanup(issued.close)
        os.chmod(issuer.path.parent, 0o755)
        right, other = self.sink(tls=issued.server()), self.sink(tls=self.theirs.server())
        digest = subprocess.run(["openssl", "x509", "-in", str(self.theirs.path), "-noout", "-fingerprint", "-sha256"], check=True, capture_output=True,
                                text=True).stdout.split("=")[1].strip()
        hops = {"verified": (right, "mx.right.test", f"verify tafile={issuer.path}"), "named": (right, "mx.wrong.test", f"verify tafile={issuer.path}"),
                "secure": (right, "right.test", f"secure match=dot-nexthop tafile={issuer.path}"), "finger": (other, "mx.finger.test", f"fingerprint match={digest}"),
                "clear": (other, "mx.clear.test", "none"), "odd": (other, "mx.odd.test", "secur"), "default": (other, "mx.default.test", None)}
        zone = "".join(f"{host}. A 127.0.0.1\n" for _, host, _ in hops.values())
        table = self.ours.path.with_name("policies")
        table.write_text("".join(f"[{host}]:{sink.port} {policy}\n" for sink, host, policy in hops.values() if policy))
        os.chmod(table.parent, 0o755)
        os.chmod(table, 0o644)
        posthorn = self.instance({"dns_servers": self.dns(zone), "smtp_tls_security_level": "verify", "smtp_tls_loglevel": "1",
                                  "smtp_tls_policy_maps": f"texthash:{table}",
                                  "transport_maps": "inline:{" + ", ".join(f"{name}.test=smtp:[{host}]:{sink.port}"
                                                                           for name, (sink, host, _) in hops.items()) + "}"})
        for name in hops:
            posthorn.send([f"user@{name}.test"])
        for name in ("verified", "secure", "finger", "clear"):
            posthorn.wait_log(rf"to=<user@{name}\.test>, .*status=sent")
        posthorn.wait_log(r"to=<user@named\.test>, relay=mx\.wrong\.test\[127\.0\.0\.1\]:\d+, .*dsn=4\.7\.5, status=deferred \(Server certificate not verified\)")
        posthorn.wait_log(r"to=<user@default\.test>, .*dsn=4\.7\.5, status=deferred \(Server certificate not verified\)")
        posthorn.wait_log(r"to=<user@odd\.test>, relay=none, .*dsn=4\.7\.5, status=deferred \(client TLS configuration problem\)")
        posthorn.wait_log(rf"smtp\[\d+\]: warning: smtp_tls_policy_maps, next-hop destination \"\[mx\.odd\.test\]:{other.port}\": invalid security level \"secur\"")
        for word, host in (("Verified", "mx.right.test"), ("Untrusted", "mx.wrong.test"), ("Verified", "mx.finger.test"), ("Untrusted", "mx.default.test")):
            posthorn.wait_log(rf"{word} TLS connection established to {re.escape(host)}\[127\.0\.0\.1\]:\d+: TLSv1\.3")
        self.assertEqual(sorted(right.recipients()), ["user@secure.test", "user@verified.test"])
        self.assertEqual(sorted(other.recipients()), ["user@clear.test", "user@finger.test"])

    def test_dane_by_a_signed_zone(self):
        other = Certificate("elsewhere.test")
        self.addCleanup(other.close)
        sink = self.sink(tls=self.theirs.server())
        zone = SignedZone()
        self.addCleanup(zone.close)
        for domain, certificate in (("right.test", self.theirs), ("wrong.test", other), ("none.test", None)):
            zone.mx(f"{domain}.", f"mx.{domain}.")
            zone.address(f"mx.{domain}.", "127.0.0.1")
            if certificate:
                zone.tlsa(f"_{sink.port}._tcp.mx.{domain}.", certificate)
        posthorn = self.instance({"dns_servers": self.dns(zone.text), "dns_trust_anchors": zone.anchor, "smtp_dns_support_level": "dnssec",
                                  "smtp_tls_security_level": "dane", "smtp_tls_loglevel": "1", "inet_protocols": "ipv4",
                                  "transport_maps": "inline:{" + ", ".join(f"{name}.test=smtp:{name}.test:{sink.port}" for name in ("right", "wrong", "none")) + "}"})
        for name in ("right", "wrong", "none"):
            posthorn.send([f"user@{name}.test"])
        posthorn.wait_log(r"to=<user@right\.test>, .*status=sent")
        posthorn.wait_log(r"Verified TLS connection established to mx\.right\.test\[127\.0\.0\.1\]:\d+: TLSv1\.3")
        posthorn.wait_log(r"to=<user@wrong\.test>, .*dsn=4\.7\.5, status=deferred \(Server certificate not verified\)")
        # That it has no TLSA records nobody signed either: whoever keeps them back makes the mail wait, not go unprotected.
        posthorn.wait_log(rf"to=<user@none\.test>, .*dsn=4\.7\.5, status=deferred \(TLSA lookup error for mx\.none\.test:{sink.port}\)")
        self.assertEqual(sink.recipients(), ["user@right.test"])

    def test_encrypt_defers_what_could_only_go_in_clear(self):
        sink = self.sink()
        posthorn = self.instance({"smtp_tls_security_level": "encrypt"}, relay=sink.port)
        posthorn.send(["user@there.test"])
        posthorn.wait_log(r"dsn=4\.7\.4, status=deferred \(TLS is required, but was not offered by host 127\.0\.0\.1\[127\.0\.0\.1\]\)")
        self.assertFalse([line for line in sink.commands if line.upper().startswith("MAIL")])

    def test_may_goes_on_in_clear_after_a_failed_handshake_and_encrypt_does_not(self):
        for level in ("may", "encrypt"):
            with self.subTest(level):
                broken = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)      # no certificate: every handshake fails
                sink = self.sink(tls=broken)
                posthorn = self.instance({"smtp_tls_security_level": level, "smtp_tls_loglevel": "1"}, relay=sink.port)
                posthorn.send(["user@there.test"])
                if level == "may":
                    posthorn.wait_log("status=sent")
                    self.assertEqual(sink.recipients(), ["user@there.test"])
                else:
                    posthorn.wait_log(r"dsn=4\.7\.5, status=deferred \(Cannot start TLS: handshake failure\)")
                    self.assertEqual(sink.messages, [])
                self.assertRegex(posthorn.log(), rf"SSL_connect error to 127\.0\.0\.1\[127\.0\.0\.1\]:{sink.port}: ")

    def test_the_next_session_resumes_the_last(self):
        sink = self.sink(tls=self.theirs.server())
        posthorn = self.instance({"smtp_tls_security_level": "may", "smtp_tls_loglevel": "1", "smtp_connection_cache_on_demand": "no",
                                  "smtp_tls_session_cache_database": "lmdb:${data_directory}/smtp_scache"}, relay=sink.port)
        for i in range(3):
            posthorn.send([f"user{i}@there.test"])
            posthorn.wait_log("status=sent", i + 1)
        self.assertEqual([resumed for _, resumed in sink.tls_sessions], [False, True, True])
        # A resumed handshake proves nothing anew; its line names no signature. ("reused" is said of connections, not of TLS sessions.)
        lines = posthorn.wait_log(r"TLS connection established to 127\.0\.0\.1.*\n", 3)
        self.assertEqual(["server-signature" in line for line in lines], [True, False, False])


if __name__ == "__main__":
    unittest.main()
