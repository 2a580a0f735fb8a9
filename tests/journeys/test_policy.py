"""Policy servers, asked by smtpd as it is installed: confined, over TCP, over a Unix socket of the queue directory, over a spawn line."""
import hashlib
import os
import socket
import socketserver
import ssl
import threading

from journey import Certificate, Journey, free_port, unittest, wait_until

SPAWNED = """#!/bin/sh
while read -r line; do
  case $line in
    recipient=*) recipient=${line#recipient=};;
    "") printf 'action=REJECT %s seen by a spawned server\\n\\n' "$recipient";;
  esac
done
"""


class PolicyServer:
    """Answers with answer(attributes); None closes the connection instead."""

    def __init__(self, address, answer):
        self.answer, self.requests, self.connections, self.open = answer, [], 0, set()
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                outer.connections += 1
                outer.open.add(self.connection)
                lines = []
                for line in self.rfile:
                    text = line.decode().rstrip("\n")
                    if text:
                        lines.append(text)
                        continue
                    outer.requests.append(lines)
                    reply = outer.answer(dict(line.split("=", 1) for line in lines))
                    lines = []
                    if reply is None:
                        return
                    self.wfile.write(f"action={reply}\n\n".encode())
                    self.wfile.flush()

        kind = socketserver.ThreadingUnixStreamServer if isinstance(address, str) else socketserver.ThreadingTCPServer
        kind.allow_reuse_address = kind.daemon_threads = True
        self.server = kind(address, Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        for connection in self.open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


NAMES = ["request", "protocol_state", "protocol_name", "client_address", "client_name", "client_port", "reverse_client_name", "server_address", "server_port",
         "helo_name", "sender", "recipient", "recipient_count", "queue_id", "instance", "size", "etrn_domain", "stress", "sasl_method", "sasl_username",
         "sasl_sender", "ccert_subject", "ccert_issuer", "ccert_fingerprint", "ccert_pubkey_fingerprint", "encryption_protocol", "encryption_cipher",
         "encryption_keysize", "policy_context", "compatibility_level", "mail_version"]


class Policy(Journey):
    def test_over_tcp(self):
        actions = {"bad": "REJECT 5.7.9 not you", "later": "DEFER_IF_PERMIT greylisted", "list": "reject_unauth_destination, defer",
                   "head": "PREPEND X-Policy: seen", "held": "HOLD for a look"}
        # End of content is asked about too, and there a header field comes too late.
        server = PolicyServer(("127.0.0.1", 0), lambda asked: actions.get(asked["recipient"].split("@")[0], "DUNNO")
                              if asked["protocol_state"] == "RCPT" else "DUNNO")
        self.addCleanup(server.close)
        port = server.server.server_address[1]
        sink = self.sink()
        posthorn = self.instance(relay=sink.port, start=False)
        service = f"check_policy_service {{ inet:localhost:{port}, policy_context=ours }}"
        posthorn.set({"relay_domains": "there.test", "smtpd_recipient_restrictions": service, "smtpd_data_restrictions": service, "smtpd_end_of_data_restrictions": service})
        posthorn.start()
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            client.mail("a@ours.test", ["SIZE=777"])
            self.assertEqual(client.rcpt("bad@there.test"), (554, b"5.7.9 <bad@there.test>: Recipient address rejected: not you"))
            self.assertEqual(client.rcpt("later@there.test"), (450, b"4.7.1 <later@there.test>: Recipient address rejected: greylisted"))
            self.assertEqual(client.rcpt("list@there.test"), (450, b"4.3.2 <list@there.test>: Recipient address rejected: Try again later"))
            self.assertEqual(client.rcpt("head@there.test")[0], 250)
            self.assertEqual(client.data(b"Subject: hello\r\n\r\nbody\r\n")[0], 250)
        wait_until(lambda: sink.messages, "the message arrives")
        self.assertIn(b"X-Policy: seen\r\n", sink.messages[0][2])
        asked = [dict(line.split("=", 1) for line in lines) for lines in server.requests]
        self.assertEqual([line.split("=", 1)[0] for line in server.requests[0]], NAMES)
        self.assertEqual([one["protocol_state"] for one in asked], ["RCPT"] * 4 + ["DATA", "END-OF-MESSAGE"])
        self.assertEqual([one["recipient_count"] for one in asked], ["0"] * 4 + ["1", "1"])
        self.assertEqual(len({one["instance"] for one in asked}), 1)
        self.assertEqual([one["size"] for one in asked[:5]], ["777"] * 5)
        self.assertNotIn(asked[5]["size"], ("0", "777"))
        self.assertEqual([one["queue_id"] != "" for one in asked], [False] * 4 + [True, True])
        for name, value in {"helo_name": "client.test", "sender": "a@ours.test", "recipient": "bad@there.test", "client_address": "127.0.0.1",
                            "policy_context": "ours", "protocol_name": "ESMTP", "server_address": "127.0.0.1"}.items():
            self.assertEqual(asked[0][name], value, name)
        self.assertEqual(server.connections, 1)

        # The server goes, and comes back: mail waits, is let pass again, and nobody restarts anything.
        server.close()
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            client.mail("a@ours.test")
            self.assertEqual(client.rcpt("ok@there.test"), (451, b"4.3.5 <ok@there.test>: Recipient address rejected: Server configuration problem"))
        posthorn.wait_log(rf"warning: problem talking to server localhost:{port}: Connection refused")
        again = PolicyServer(("127.0.0.1", port), lambda asked: "DUNNO")
        self.addCleanup(again.close)
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            client.mail("a@ours.test")
            self.assertEqual(client.rcpt("ok@there.test")[0], 250)

    def test_over_unix_sockets(self):
        posthorn = self.instance(start=False)
        script = posthorn.dir / "policy.sh"
        script.write_text(SPAWNED)
        script.chmod(0o755)
        posthorn.add_service(f"policy unix - n n - 0 spawn user={'daemon' if os.getuid() == 0 else self.user()} argv={script}")
        path = str(posthorn.dir / "queue/private/beside")
        posthorn.set({"relay_domains": "there.test", "smtpd_recipient_restrictions": "reject_unauth_destination, "
                      "check_policy_service { unix:private/nobody, try_limit=1, default_action=DUNNO }, check_policy_service unix:private/beside, "
                      "check_policy_service unix:private/policy"})
        posthorn.start()
        server = PolicyServer(path, lambda asked: "REJECT beside" if asked["recipient"].startswith("first") else "DUNNO")
        os.chmod(path, 0o666)
        self.addCleanup(server.close)
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            client.mail("a@ours.test")
            self.assertEqual(client.rcpt("first@there.test"), (554, b"5.7.1 <first@there.test>: Recipient address rejected: beside"))
            self.assertEqual(client.rcpt("second@there.test"),
                             (554, b"5.7.1 <second@there.test>: Recipient address rejected: second@there.test seen by a spawned server"))
        posthorn.wait_log(r"warning: connect to private/nobody: No such file or directory")

    @staticmethod
    def user():
        import pwd
        return pwd.getpwuid(os.getuid()).pw_name

    def test_client_certificates(self):
        server, known, other = (Certificate("127.0.0.1") for _ in range(3))
        for certificate in (server, known, other):
            self.addCleanup(certificate.close)

        def fingerprint(certificate):
            octets = ssl.PEM_cert_to_DER_cert(certificate.path.read_text())
            return ":".join(f"{octet:02X}" for octet in hashlib.sha256(octets).digest())
        asked = PolicyServer(("127.0.0.1", 0), lambda attributes: "DUNNO")
        self.addCleanup(asked.close)
        posthorn = self.instance(start=False)
        posthorn.set({"smtpd_tls_security_level": "may", "smtpd_tls_cert_file": str(server.path), "smtpd_tls_key_file": str(server.key), "smtpd_tls_ask_ccert": "yes",
                      "smtpd_tls_fingerprint_digest": "sha256", "relay_clientcerts": f"inline:{{{{{fingerprint(known)} = somebody}}}}", "mynetworks": "192.0.2.1",
                      "smtpd_relay_restrictions": f"check_policy_service inet:127.0.0.1:{asked.server.server_address[1]}, "
                      f"check_ccert_access inline:{{{{{fingerprint(other)} = REJECT not this one}}}}, permit_tls_clientcerts, reject_unauth_destination"})
        posthorn.start()

        def answer(certificate):
            context = server.client()
            if certificate:
                context.load_cert_chain(certificate.path, certificate.key)
            with posthorn.smtp() as client:
                client.starttls(context=context)
                client.ehlo("client.test")
                client.mail("a@ours.test")
                code, text = client.rcpt("x@elsewhere.test")
                return code, text.decode()
        self.assertEqual(answer(None), (554, "5.7.1 <x@elsewhere.test>: Relay access denied"))
        self.assertEqual(answer(known)[0], 250)
        self.assertEqual(answer(other), (554, "5.7.1 <unknown[127.0.0.1]>: Client certificate rejected: not this one"))
        seen = [dict(line.split("=", 1) for line in lines) for lines in asked.requests]
        self.assertEqual([one["ccert_fingerprint"] for one in seen], ["", fingerprint(known), fingerprint(other)])
        self.assertEqual(seen[1]["ccert_subject"], "127.0.0.1")
        self.assertEqual({one["encryption_protocol"] for one in seen}, {"TLSv1.3"})
        self.assertNotEqual(seen[0]["encryption_keysize"], "0")

    def test_what_is_wrong_is_said_and_what_is_served_is_not_listed(self):
        posthorn = self.instance(start=False)
        posthorn.set({"smtpd_recipient_restrictions": "check_policy_service inet:127.0.0.1", "smtpd_policy_service_timeout": "50s"})
        posthorn.run("postfix", "start", check=False)
        posthorn.wait_log(r'check_policy_service inet:127\.0\.0\.1: "inet:127\.0\.0\.1": expected inet:host:port or unix:path')
        posthorn.stop()
        posthorn.set({"smtpd_recipient_restrictions": f"check_policy_service inet:127.0.0.1:{free_port()}, reject_rbl_client list.test"})
        self.assertNotRegex(posthorn.run("postfix", "check", check=False).stderr, r"policy|rbl")


if __name__ == "__main__":
    unittest.main()
