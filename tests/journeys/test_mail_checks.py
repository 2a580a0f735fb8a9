"""Received mail is checked, and sealed: Debian's dkimpy signs it, and verifies our seals, knowing nothing of us; its authres reads what we say of it."""
import base64
import json
import pathlib
import smtplib
import subprocess

from journey import Journey, unittest, wait_until

SIGN = """
import dkim, json, sys
order = json.loads(sys.argv[1])
message = sys.stdin.buffer.read()
key = open(order["key"], "rb").read()
kind = order["kind"].encode()
field = dkim.sign(message, order["selector"].encode(), b"there.test", key, signature_algorithm=kind, length=order["length"],
                  canonicalize=tuple(form.encode() for form in order["forms"]), include_headers=[b"from", b"subject", b"to"])
sys.stdout.buffer.write(field + message)
"""
SEAL = """
import dkim, sys
message = sys.stdin.buffer.read()
key = open(sys.argv[1], "rb").read()
fields = dkim.arc_sign(message, b"rsa", b"list.test", key, b"list.test", include_headers=[b"from", b"subject", b"to"])
sys.stdout.buffer.write(b"".join(fields) + message)
"""
VERIFY_SEALS = """
import dkim, json, sys
keys = json.loads(sys.argv[1])
ask = lambda name, timeout=5: keys.get((name.decode() if isinstance(name, bytes) else name).rstrip("."), "").encode()
status, sets, reason = dkim.arc_verify(sys.stdin.buffer.read(), dnsfunc=ask)
print(json.dumps([status and status.decode(), reason, [[one["instance"], one["as-domain"].decode(), one["cv"].decode(), one["ams-valid"], one["as-valid"]] for one in sets]]))
"""
PARSE = """
import authres, email, json, sys
message = email.message_from_bytes(sys.stdin.buffer.read())
found = []
for value in message.get_all("Authentication-Results", []):
    field = authres.AuthenticationResultsHeader.parse("Authentication-Results: " + value)
    found.append([field.authserv_id, [[one.method, one.result, one.reason, {f"{p.type}.{p.name}": p.value for p in one.properties}] for one in field.results]])
print(json.dumps(found))
"""
HEAD = "Date: Fri, 27 Nov 2026 12:00:00 +0000\r\nFrom: Ann <ann@there.test>\r\nTo: user@ours.test\r\nSubject: one\r\n\ttwo  three\r\nMessage-ID: <x@there.test>\r\n\r\n"
BODY = "Hello,  \r\n.dot\r\n\r\n text \t here\r\n\r\n\r\n"


class MailChecks(Journey):
    def setUp(self):
        super().setUp()
        if subprocess.run(["/usr/bin/python3", "-c", "import dkim, nacl, authres"], capture_output=True).returncode != 0:
            self.skipTest("python3-dkim, python3-nacl and python3-authres are not installed")

    def checking(self, settings=None, seal=False):
        sink = self.sink()
        posthorn = self.instance({"relay_domains": "ours.test", "notify_classes": "", "mailauth_checks": "dkim spf", "mailauth_exempt_clients": "",
                                  "myhostname": "mx.ours.test", **(settings or {})}, relay=sink.port, start=False)
        self.folder = pathlib.Path(posthorn.dir)
        for name, options in (("rsa", ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]), ("weak", ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:768"])):
            subprocess.run(["openssl", "genpkey", *options, "-out", str(self.folder / name)], check=True, capture_output=True)
        seed = bytes(range(32))                                   # dkimpy wants Ed25519 keys bare
        (self.folder / "ed").write_text(base64.b64encode(seed).decode())
        public = subprocess.run(["/usr/bin/python3", "-c", "import nacl.signing, sys, base64; "
                                 "print(base64.b64encode(bytes(nacl.signing.SigningKey(bytes(range(32))).verify_key)).decode())"],
                                check=True, capture_output=True, text=True).stdout.strip()
        zone = f'ed._domainkey.there.test. TXT "v=DKIM1; k=ed25519; p={public}"\nthere.test. TXT "v=spf1 ip4:127.0.0.1 -all"\n_dmarc.there.test. TXT "v=DMARC1; p=reject"\n@servfail later._domainkey.there.test\n'
        self.keys = {}
        for name in ("rsa", "weak"):
            octets = subprocess.run(["openssl", "pkey", "-in", str(self.folder / name), "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout
            text = base64.b64encode(octets).decode()
            for domain in ("there.test", "list.test", "ours.test"):
                self.keys[f"{name}._domainkey.{domain}"] = f"v=DKIM1; p={text}"
                zone += f'{name}._domainkey.{domain}. TXT "v=DKIM1; p={text[:200]}" "{text[200:]}"\n'
        posthorn.set({"dns_servers": self.dns(zone)})
        if seal:
            (self.folder / "seal_keys").write_text(f"rsa._domainkey.ours.test {self.folder}/rsa\n")
            posthorn.run("postmap", "-F", f"lmdb:{self.folder}/seal_keys")
            posthorn.set({"arc_sign_selector": "rsa", "arc_sign_domain": "ours.test", "dkim_key_maps": f"lmdb:{self.folder}/seal_keys"})
        posthorn.start()
        return sink, posthorn

    def signed(self, selector="rsa", key=None, forms=("relaxed", "relaxed"), length=False, body=BODY):
        kind = "ed25519-sha256" if selector == "ed" else "rsa-sha256"
        order = {"key": str(self.folder / (key or selector)), "kind": kind, "selector": selector, "forms": forms, "length": length}
        return subprocess.run(["/usr/bin/python3", "-c", SIGN, json.dumps(order)], input=(HEAD + body).encode(), check=True, capture_output=True).stdout

    def results(self, sink, posthorn, content, sender="ann@there.test"):
        """What authres finds in what arrives: [[id, [[method, result, reason, properties]]]]."""
        count = len(sink.messages)
        posthorn.send(["user@ours.test"], sender=sender, content=content)
        wait_until(lambda: len(sink.messages) > count, "the message arrives")
        self.arrived = sink.messages[count][2]
        return json.loads(subprocess.run(["/usr/bin/python3", "-c", PARSE], input=self.arrived, check=True, capture_output=True).stdout)

    def sealed(self, content):
        return subprocess.run(["/usr/bin/python3", "-c", SEAL, str(self.folder / "rsa")], input=content, check=True, capture_output=True).stdout

    def seals(self, content):
        """[status, reason, [[instance, domain, cv, signature of the message holds, seal holds], newest first]]."""
        done = subprocess.run(["/usr/bin/python3", "-c", VERIFY_SEALS, json.dumps(self.keys)], input=content, check=True, capture_output=True)
        return json.loads(done.stdout)

    def dkim(self, sink, posthorn, content):
        (ours,) = [results for service, results in self.results(sink, posthorn, content) if service == "mx.ours.test"]
        return [(result, reason) for method, result, reason, _ in ours if method == "dkim"]

    def test_what_others_sign_is_verified_and_what_was_found_can_be_read(self):
        sink, posthorn = self.checking()
        (service, found), = self.results(sink, posthorn, self.signed())
        self.assertEqual(service, "mx.ours.test")
        (method, result, reason, properties), spf = found
        self.assertEqual((method, result, reason), ("dkim", "pass", None))
        self.assertEqual({name: properties[name] for name in ("header.d", "header.s", "header.a")},
                         {"header.d": "there.test", "header.s": "rsa", "header.a": "rsa-sha256"})
        self.assertEqual((spf[0], spf[1], spf[3]), ("spf", "pass", {"smtp.mailfrom": "ann@there.test"}))
        self.assertTrue(self.arrived.startswith(b"Authentication-Results: mx.ours.test;\r\n\tdkim=pass "), self.arrived[:200])
        posthorn.wait_log(r"postfix/smtpd\[\d+\]: [0-9A-F]+: checked: dkim=pass header.d=there.test .* spf=pass smtp.mailfrom=ann@there.test")

        # Forms, kinds of keys, a large body, part of a body.
        self.assertEqual(self.dkim(sink, posthorn, self.signed("ed")), [("pass", None)])
        for forms in (("simple", "simple"), ("simple", "relaxed"), ("relaxed", "simple")):
            self.assertEqual(self.dkim(sink, posthorn, self.signed(forms=forms)), [("pass", None)], forms)
        self.assertEqual(self.dkim(sink, posthorn, self.signed(body="line of the body \r\n" * 40_000)), [("pass", None)])
        self.assertGreater(len(self.arrived), 700_000)
        self.assertEqual(self.dkim(sink, posthorn, self.signed(length=True)), [("pass", None)])
        ((result, reason),) = self.dkim(sink, posthorn, self.signed(length=True) + b"Buy this!\r\n")
        self.assertEqual((result, reason[:5]), ("pass", "only "))

        # What is not as it was signed, or by nobody's key.
        self.assertEqual(self.dkim(sink, posthorn, self.signed().replace(b"Hello", b"Hallo")), [("fail", "body hash did not verify")])
        self.assertEqual(self.dkim(sink, posthorn, self.signed().replace(b"two", b"2")), [("fail", "signature did not verify")])
        self.assertEqual(self.dkim(sink, posthorn, self.signed("ed").replace(b"From: Ann", b"From: x@y.test\r\nFrom: Ann")), [("pass", None)])
        self.assertEqual(self.dkim(sink, posthorn, self.signed("none", key="rsa")), [("permerror", "no key for signature")])
        self.assertEqual(self.dkim(sink, posthorn, self.signed("later", key="rsa")), [("temperror", "key unavailable")])
        self.assertEqual(self.dkim(sink, posthorn, self.signed("weak")), [("policy", "key of 768 bits")])
        self.assertEqual(self.dkim(sink, posthorn, (HEAD + BODY).encode()), [("none", None)])

    def test_forged_results_go_and_those_of_others_stay(self):
        sink, posthorn = self.checking()
        forged = b"Authentication-Results: mx.ours.test; dkim=pass header.d=bank.test\r\nAuthentication-Results: \"MX.ours.test\" 1; spf=pass\r\n"
        others = b"Authentication-Results: mx.other.test; dkim=pass header.d=there.test\r\n"
        found = self.results(sink, posthorn, forged + others + (HEAD + BODY).encode())
        self.assertEqual([service for service, _ in found], ["mx.ours.test", "mx.other.test"])
        self.assertNotIn(b"bank.test", self.arrived)
        self.assertTrue(self.arrived.endswith(others + (HEAD + BODY).encode()))

    def test_a_policy_is_obeyed_unless_a_trusted_list_has_seen_it_kept(self):
        sink, posthorn = self.checking({"mailauth_checks": "dmarc", "dmarc_reject": "yes", "mailauth_trusted_sealers": "list.test"})
        methods = [(method, result) for method, result, _, _ in self.results(sink, posthorn, self.signed())[0][1]]
        self.assertEqual(methods, [("dkim", "pass"), ("spf", "pass"), ("arc", "none"), ("dmarc", "pass")])

        # A list writes below the text, and says what it had found before.
        changed = b"Authentication-Results: list.test; dmarc=pass header.from=there.test\r\n" + self.signed() + b"-- the list\r\n"
        sealed = self.sealed(changed)
        (service, found), *_ = self.results(sink, posthorn, sealed, sender="list@list.test")
        self.assertEqual([(method, result) for method, result, _, _ in found], [("dkim", "fail"), ("spf", "none"), ("arc", "pass"), ("dmarc", "fail")])
        self.assertEqual(found[3][2], "it passed where list.test sealed it")
        for content in (changed, sealed + b"more\r\n"):
            with self.assertRaises(smtplib.SMTPDataError) as refused:
                self.results(sink, posthorn, content, sender="list@list.test")
            self.assertEqual((refused.exception.smtp_code, refused.exception.smtp_error),
                             (550, b"5.7.1 Error: refused as the DMARC policy of there.test asks"))

    def test_what_is_passed_on_is_sealed_with_what_it_had_proved(self):
        sink, posthorn = self.checking({"mailauth_checks": "dmarc", "virtual_alias_maps": "inline:{user@ours.test=friend@far.test}",
                                        "alias_maps": "inline:{gone=friend@far.test}", "mydestination": "here.test"}, seal=True)
        self.results(sink, posthorn, self.signed())
        self.assertEqual(sink.recipients(), ["friend@far.test"])
        first = self.arrived
        self.assertEqual(self.seals(first), ["pass", "success", [[1, "ours.test", "none", True, True]]])
        self.assertTrue(first.startswith(b"ARC-Seal: i=1; a=rsa-sha256; cv=none; d=ours.test; s=rsa;"), first[:200])
        said = first[first.index(b"ARC-Authentication-Results: i=1; mx.ours.test;"):first.index(b"\r\nAuthentication-Results:")]
        for part in (b"dkim=pass header.d=there.test", b"spf=pass smtp.mailfrom=ann@there.test", b"arc=none", b"dmarc=pass header.from=there.test"):
            self.assertIn(part, said)
        posthorn.wait_log(r"postfix/cleanup\[\d+\]: [0-9A-F]+: ARC-Seal field added \(i=1, cv=none, s=rsa, d=ours.test\)")
        self.assertEqual(self.seals(first.replace(b"Hello", b"Hallo"))[:2], ["fail", "Most recent ARC-Message-Signature did not validate"])
        self.assertEqual(self.seals(first.replace(b"spf=pass", b"spf=fail"))[:2], ["fail", "ARC-Seal[1] did not validate"])

        # On top of what others have sealed, and of what we have ourselves.
        self.results(sink, posthorn, self.sealed(b"Authentication-Results: list.test; dmarc=pass header.from=there.test\r\n" + self.signed()))
        self.assertEqual(self.seals(self.arrived), ["pass", "success", [[2, "ours.test", "pass", True, True], [1, "list.test", "none", True, True]]])
        self.results(sink, posthorn, self.arrived)
        chain = self.arrived
        self.assertEqual(self.seals(chain)[2], [[3, "ours.test", "pass", True, True], [2, "ours.test", "pass", True, True], [1, "list.test", "none", True, True]])
        # What goes out by an alias of this machine has it, too; so has a large content.
        count = len(sink.messages)
        posthorn.send(["gone@here.test"], sender="ann@there.test", content=self.signed(body="line of the body \r\n" * 40_000))
        wait_until(lambda: len(sink.messages) > count, "the message arrives")
        self.assertGreater(len(sink.messages[count][2]), 700_000)
        self.assertEqual(self.seals(sink.messages[count][2]), ["pass", "success", [[1, "ours.test", "none", True, True]]])

        # A chain that was broken is sealed once more, as such, and then never again.
        self.results(sink, posthorn, chain + b"more\r\n")
        status, reason, sets = self.seals(self.arrived)
        self.assertEqual((status, reason, sets[0][:4]), (None, "ARC-Seal[4] reported failure, the chain is terminated", [4, "ours.test", "fail", True]))
        self.results(sink, posthorn, self.arrived)
        self.assertEqual(self.arrived.count(b"\r\nARC-Seal: "), 4)
        self.assertTrue(self.arrived.startswith(b"Authentication-Results: mx.ours.test;"))
        posthorn.wait_log(r"postfix/cleanup\[\d+\]: [0-9A-F]+: no ARC-Seal field added: the chain had failed before")

    def test_our_own_are_not_checked(self):
        sink, posthorn = self.checking({"mailauth_exempt_clients": "permit_mynetworks", "mynetworks": "127.0.0.0/8"})
        self.assertEqual(self.results(sink, posthorn, self.signed()), [])
        self.assertNotIn(": checked: ", posthorn.log())


if __name__ == "__main__":
    unittest.main()
