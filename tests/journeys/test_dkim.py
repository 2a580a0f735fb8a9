"""DKIM signatures: what our own hand in is signed, and Debian's dkimpy, which knows nothing of us, verifies what the receiver got."""
import base64
import json
import os
import pathlib
import smtplib
import subprocess

from journey import Journey, unittest, wait_until

VERIFY = """
import dkim, json, sys
keys = json.loads(sys.argv[1])
ask = lambda name, timeout=5: keys.get((name.decode() if isinstance(name, bytes) else name).rstrip("."), "").encode()
message = sys.stdin.buffer.read()
count = sum(1 for name, _ in dkim.DKIM(message).headers if name.lower() == b"dkim-signature")
def good(i):
    try:
        return bool(dkim.DKIM(message).verify(idx=i, dnsfunc=ask))
    except dkim.ValidationError:
        return False
print(json.dumps([good(i) for i in range(count)]))
"""
HEAD = "From: Ann <ann@ours.test>\r\nTo: user@there.test\r\nSubject: one\r\n\ttwo  three\r\nDate: Thu, 26 Nov 2026 09:00:00 +0000\r\nMessage-ID: <x@ours.test>\r\n\r\n"
BODY = "Hello,  \r\n.dot\r\n\r\n text \t here\r\n\r\n\r\n"


def private_key(path, *options):
    subprocess.run(["openssl", "genpkey", *options, "-out", str(path)], check=True, capture_output=True)


def record(path, kind):
    octets = subprocess.run(["openssl", "pkey", "-in", str(path), "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout
    return f"v=DKIM1; k={kind}; p=" + base64.b64encode(octets[-32:] if kind == "ed25519" else octets).decode()


class Dkim(Journey):
    def setUp(self):
        super().setUp()
        if subprocess.run(["/usr/bin/python3", "-c", "import dkim, nacl"], capture_output=True).returncode != 0:
            self.skipTest("python3-dkim and python3-nacl are not installed")

    def signing(self, settings=None, start=True):
        """Sink and system; the keys are RSA for s1, Ed25519 for s2, in a table made by postmap -F."""
        sink = self.sink()
        posthorn = self.instance({"relay_domains": "there.test", "notify_classes": "", **(settings or {})}, relay=sink.port, start=False)
        folder = pathlib.Path(posthorn.dir)
        private_key(folder / "s1.pem", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
        private_key(folder / "s2.pem", "-algorithm", "ed25519")
        self.keys = {"s1._domainkey.ours.test": record(folder / "s1.pem", "rsa"), "s2._domainkey.ours.test": record(folder / "s2.pem", "ed25519")}
        (folder / "keys").touch(0o600)                            # for root alone
        (folder / "keys").write_text("".join(f"{s}._domainkey.ours.test {folder}/{s}.pem\n" for s in ("s1", "s2")))
        posthorn.run("postmap", "-F", f"lmdb:{folder}/keys")
        posthorn.set({"dkim_key_maps": f"lmdb:{folder}/keys", "dkim_sign_maps": "inline:{ {ours.test=s1} {both@ours.test=s1, s2} {lost.test=s9} }"})
        if start:
            posthorn.start()
        return sink, posthorn

    def verified(self, content):
        """One answer for each signature, from the top."""
        done = subprocess.run(["/usr/bin/python3", "-c", VERIFY, json.dumps(self.keys)], input=content, capture_output=True, check=True)
        return json.loads(done.stdout)

    def arrived(self, sink, count):
        wait_until(lambda: len(sink.messages) >= count, "the messages arrive")
        return sink.messages[count - 1][2]

    def test_what_our_own_hand_in_is_signed_and_can_be_verified(self):
        sink, posthorn = self.signing()
        posthorn.send(["user@there.test"], content=(HEAD + BODY).encode())
        content = self.arrived(sink, 1)
        self.assertEqual(self.verified(content), [True])
        self.assertTrue(content.startswith(b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=ours.test;"), content[:200])
        posthorn.wait_log(r"postfix/cleanup\[\d+\]: [0-9A-F]+: DKIM-Signature field added \(s=s1, d=ours.test\)")
        # It is the octets that are signed: another word, and a From: put on top, are noticed.
        self.assertEqual(self.verified(content.replace(b"Hello", b"Hallo")), [False])
        self.assertEqual(self.verified(content.replace(b"From: Ann", b"From: <x@y.test>\r\nFrom: Ann")), [False])

        # No process but resolve has the keys.
        if os.geteuid() == 0:
            holders = {name.split(" service ")[1].split()[0] for pid, name in posthorn.processes().items() if " service " in name and
                       str(pathlib.Path(posthorn.dir) / "keys.lmdb") in posthorn.open_files(pid)}
            self.assertEqual(holders, {"resolve"})

        # Two keys; a large content, which lies in a file; what the sendmail command submits; BDAT.
        posthorn.send(["user@there.test"], content=(HEAD.replace("ann@", "both@") + BODY).encode())
        self.assertEqual(self.verified(self.arrived(sink, 2)), [True, True])
        posthorn.send(["user@there.test"], content=(HEAD + "line of the body \r\n" * 40_000 + "\r\n").encode())
        large = self.arrived(sink, 3)
        self.assertGreater(len(large), 700_000)
        self.assertEqual(self.verified(large), [True])
        posthorn.run("sendmail", "-f", "ann@ours.test", "user@there.test", input=(HEAD + BODY).replace("\r\n", "\n"))
        self.assertEqual(self.verified(self.arrived(sink, 4)), [True])
        posthorn.run("sendmail", "-f", "ann@ours.test", "user@there.test", input=(HEAD + "x\n" * 100_000).replace("\r\n", "\n"))
        self.assertEqual(self.verified(self.arrived(sink, 5)), [True])
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            client.mail("ann@ours.test")
            client.rcpt("user@there.test")
            octets = (HEAD + BODY).encode()
            client.send(b"BDAT %d LAST\r\n" % len(octets) + octets)
            self.assertEqual(client.getreply()[0], 250)
        self.assertEqual(self.verified(self.arrived(sink, 6)), [True])
        # Another author is nobody that we answer for.
        posthorn.send(["user@there.test"], content=(HEAD + BODY).replace("ann@ours.test", "ann@stranger.test").encode())
        self.assertEqual(self.verified(self.arrived(sink, 7)), [])

    def test_strangers_mail_and_what_a_filter_brings_back_is_not_signed(self):
        sink, posthorn = self.signing({"dkim_sign_clients": "permit_sasl_authenticated", "smtpd_authorized_xforward_hosts": "127.0.0.0/8"}, start=False)
        posthorn.start()
        posthorn.send(["user@there.test"], content=(HEAD + BODY).encode())
        self.assertEqual(self.verified(self.arrived(sink, 1)), [])
        posthorn.set({"dkim_sign_clients": "permit_mynetworks", "mynetworks": "127.0.0.0/8"})
        posthorn.run("postfix", "reload")

        def signed_now():
            count = len(sink.messages)
            posthorn.send(["user@there.test"], content=(HEAD + BODY).encode())
            return self.verified(self.arrived(sink, count + 1)) == [True]
        wait_until(signed_now, "the new settings hold")
        # A content filter's mail came from where XFORWARD says.
        for address, answer in (("192.0.2.1", []), ("127.0.0.1", [True])):
            count = len(sink.messages)
            with posthorn.smtp() as client:
                client.ehlo("filter.test")
                self.assertEqual(client.docmd("XFORWARD", f"ADDR={address} NAME=client.test")[0], 250)
                client.sendmail("ann@ours.test", ["user@there.test"], (HEAD + BODY).encode())
            self.assertEqual(self.verified(self.arrived(sink, count + 1)), answer)
        # As for Milters, the port that a filter brings mail back to leaves it as it is.
        posthorn.set({"receive_override_options": "no_milters"})
        posthorn.run("postfix", "reload")

        def unsigned_now():
            count = len(sink.messages)
            posthorn.send(["user@there.test"], content=(HEAD + BODY).encode())
            return self.verified(self.arrived(sink, count + 1)) == []
        wait_until(unsigned_now, "the new settings hold")

    def test_what_should_be_signed_and_cannot_be_waits(self):
        sink, posthorn = self.signing()
        with self.assertRaises(smtplib.SMTPDataError) as refused:
            posthorn.send(["user@there.test"], content=(HEAD + BODY).replace("ann@ours.test", "ann@lost.test").encode())
        self.assertEqual(refused.exception.smtp_code, 451)
        posthorn.wait_log(r"postfix/smtpd\[\d+\]: warning: [0-9A-F]+: not signed: ")
        posthorn.wait_log(r"postfix/resolve\[\d+\]: warning: [0-9A-F]+: dkim_key_maps: no key for s9._domainkey.lost.test")
        posthorn.run("sendmail", "-f", "ann@lost.test", "user@there.test", input=(HEAD + BODY).replace("ann@ours.test", "ann@lost.test").replace("\r\n", "\n"))
        posthorn.wait_log(r"maildrop/.*: not signed: dkim_key_maps: no key for s9._domainkey.lost.test")
        self.assertEqual(sink.messages, [])
        # The key comes, and with it the mail.
        folder = pathlib.Path(posthorn.dir)
        with open(folder / "keys", "a") as table:
            table.write(f"s9._domainkey.lost.test {folder}/s2.pem\n")
        posthorn.run("postmap", "-F", f"lmdb:{folder}/keys")
        self.keys["s9._domainkey.lost.test"] = self.keys["s2._domainkey.ours.test"]
        posthorn.stop()                                           # what waits in the maildrop is tried at the start
        posthorn.start()
        self.assertEqual(self.verified(self.arrived(sink, 1)), [True])


if __name__ == "__main__":
    unittest.main()
