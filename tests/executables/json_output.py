#!/usr/bin/env python3
"""`json_output.py BIN`: what postconf -j, postmap -j, postalias -j and postmulti -lj print is read back by a JSON parser and is what the text form shows."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

BIN = pathlib.Path(sys.argv.pop(1)).resolve()
# As main.cf and a table can hold them: in one line, without blanks at the ends.
DIFFICULT = [b'with "quotes" and \\back\\slashes\\', b"gr\xc3\xbc\xc3\x9f gott \xf0\x9f\x93\xaf", b"\xff\xfe no UTF-8 \xc3", b"half a pair \xed\xa0\x80 of surrogates",
             b"bell \x07 escape \x1b[31m delete \x7f", b"{\"name\": \"not mine\"}", b"/slash\\/ \\u0041 \\n", b"\xe2\x80\xa8 line separator"]


def replaced(octets):
    """Each octet that is no part of UTF-8 is U+FFFD in JSON (Python would count a broken sequence once)."""
    return octets.decode("utf-8", "surrogateescape").translate({0xDC00 + octet: "\ufffd" for octet in range(0x80, 0x100)})


class JsonOutput(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="posthorn-json-")
        self.conf = pathlib.Path(self.folder.name)
        self.conf.chmod(0o755)
        self.main_cf(b"")
        (self.conf / "master.cf").write_bytes(
            b"smtp inet n - n - 20 smtpd\n  -o { smtpd_banner = gr\xc3\xbc\xc3\x9f \"you\" \\ \xff }\n  -o smtpd_client_restrictions=\nsmtp unix - - n - - smtp\n"
            b"odd unix - n n - - pipe flags=R user=nobody argv=/bin/x \"${sender}\" {a b}\n")

    def tearDown(self):
        self.folder.cleanup()

    def main_cf(self, text):
        (self.conf / "main.cf").write_bytes(b"compatibility_level = 3.6\nmail_owner = nobody\n" + text)

    def run_(self, program, *words, given=b""):
        return subprocess.run([str(BIN / program), "-c", str(self.conf), *words], input=given, capture_output=True, timeout=60, env={**os.environ, "TZ": "UTC"})

    def objects(self, program, *words, status=0, given=b""):
        done = self.run_(program, *words, given=given)
        self.assertEqual(done.returncode, status, (words, done.stderr))
        objects = [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]                # splitlines() knows more ends of lines
        for one in objects:
            self.assertTrue(all(isinstance(value, str) for value in one.values()), one)
        return objects

    def refused(self, message, program, *words):
        done = self.run_(program, *words)
        self.assertEqual((done.returncode, done.stdout), (1, b""), words)
        self.assertIn(message, done.stderr.decode(), words)

    def test_postconf_shows_main_cf(self):
        values = {f"own_{i}": value for i, value in enumerate(DIFFICULT)}
        self.main_cf(b"".join(name.encode() + b" = " + value + b"\n" for name, value in values.items()) + b"myorigin = $own_0\nrelay_domains = " + b" ".join(b"$" + name.encode() for name in values) + b"\nmydestination = a,\n  b\n")
        for name, value in values.items():
            self.assertEqual(self.objects("postconf", "-j", name), [{"name": name, "value": replaced(value)}])
        self.assertEqual(self.objects("postconf", "-j", "myorigin", "mydestination"), [{"name": "myorigin", "value": "$own_0"}, {"name": "mydestination", "value": "a, b"}])
        self.assertEqual(self.objects("postconf", "-jx", "myorigin"), [{"name": "myorigin", "value": DIFFICULT[0].decode()}])
        self.assertEqual(self.objects("postconf", "-jh", "myorigin"), [{"value": "$own_0"}])
        self.assertEqual(self.objects("postconf", "-jH", "myorigin"), [{"name": "myorigin"}])
        self.assertEqual(self.objects("postconf", "-jd", "mail_name"), [{"name": "mail_name", "value": "Posthorn"}])
        self.assertEqual(self.objects("postconf", "-j", "-o", "myorigin=x.test", "myorigin"), [{"name": "myorigin", "value": "x.test"}])
        self.assertIn({"name": "mail_owner", "value": "nobody"}, self.objects("postconf", "-jn"))
        # All of them: the same names and values as the text has.
        text = [line.split(" =", 1) for line in self.run_("postconf").stdout.decode("utf-8", "surrogateescape").split("\n")[:-1] if not line.startswith(("own_", "process_id"))]
        all_ = [one for one in self.objects("postconf", "-j") if not one["name"].startswith(("own_", "process_id"))]
        self.assertEqual([(one["name"], one["value"]) for one in all_], [(name, value.removeprefix(" ")) for name, value in text])
        self.assertGreater(len(all_), 500)

    def test_postconf_of_a_name_that_nobody_knows_warns_as_the_text_form(self):
        done = self.run_("postconf", "-j", "no_such_name")
        self.assertEqual((done.returncode, done.stdout), (0, b""))
        self.assertEqual(done.stderr, self.run_("postconf", "no_such_name").stderr)

    def test_postconf_shows_master_cf(self):
        entries = self.objects("postconf", "-jM")
        self.assertEqual(entries[1], {"service": "smtp", "type": "unix", "private": "-", "unprivileged": "-", "chroot": "n", "wakeup": "-", "process_limit": "-",
                                      "command": "smtp"})
        self.assertEqual([one["type"] for one in self.objects("postconf", "-jM", "smtp")], ["inet", "unix"])
        banner = "gr\u00fc\u00df \"you\" \\ \ufffd"
        self.assertEqual(entries[0]["command"], "smtpd -o {smtpd_banner=" + banner + "} -o smtpd_client_restrictions=")
        # Fields: the same as the members of -M.
        for entry in entries:
            fields = self.objects("postconf", "-jF", f"{entry['service']}/{entry['type']}")
            self.assertEqual({one["name"]: one["value"] for one in fields}, entry)
            self.assertTrue(all((one["service"], one["type"]) == (entry["service"], entry["type"]) for one in fields))
        self.assertEqual(self.objects("postconf", "-jF", "smtp/inet/process_limit"), [{"service": "smtp", "type": "inet", "name": "process_limit", "value": "20"}])
        self.assertEqual(self.objects("postconf", "-jFh", "smtp/inet/chroot"), [{"value": "n"}])
        self.assertEqual(self.objects("postconf", "-jFH", "smtp/inet/chroot"), [{"service": "smtp", "type": "inet", "name": "chroot"}])
        self.assertEqual(self.objects("postconf", "-jFf", "smtp/inet/command")[0]["value"], entries[0]["command"])
        self.assertEqual(self.objects("postconf", "-jP"), [{"service": "smtp", "type": "inet", "name": "smtpd_banner", "value": banner},
                                                           {"service": "smtp", "type": "inet", "name": "smtpd_client_restrictions", "value": ""}])
        self.assertEqual(self.objects("postconf", "-jPH", "smtp/inet/smtpd_banner"), [{"service": "smtp", "type": "inet", "name": "smtpd_banner"}])

    def test_postconf_refuses_what_the_text_forms_refuse_and_changes_nothing(self):
        before = (self.conf / "main.cf").read_bytes(), (self.conf / "master.cf").read_bytes()
        self.refused("specify one of -e -j", "postconf", "-ej", "myorigin=x")
        self.refused("specify one of -e -j", "postconf", "-j", "myorigin=x")
        self.refused("specify one of -e -j", "postconf", "-jM", "smtp/inet=x")
        self.refused("specify one of -j -X", "postconf", "-jX", "myorigin")
        self.refused("specify one of -j -#", "postconf", "-j#", "myorigin")
        self.refused("with option -M, do not specify -h", "postconf", "-jMh")
        for mode in "aAblmt":
            self.refused(f"with option -{mode}, do not specify -j", "postconf", f"-j{mode}")
        self.refused("with option -T, do not specify -j", "postconf", "-j", "-T", "run-version")
        self.refused("specify one of -F -M", "postconf", "-jFM")
        self.refused("invalid service attribute name", "postconf", "-jF", "smtp/inet/nonsense")
        self.assertEqual(((self.conf / "main.cf").read_bytes(), (self.conf / "master.cf").read_bytes()), before)

    def table(self, program, text, *words):
        (self.conf / "table").write_bytes(text)
        done = self.run_(program, *words, f"lmdb:{self.conf}/table")
        self.assertEqual(done.returncode, 0, done.stderr)
        return f"lmdb:{self.conf}/table"

    def test_postmap_asks_and_lists(self):
        table = self.table("postmap", b"".join(b"key%d\t%s\n" % (i, value) for i, value in enumerate(DIFFICULT)), "-u")
        expected = [{"key": f"key{i}", "value": replaced(value)} for i, value in enumerate(DIFFICULT)]
        for one in expected:
            self.assertEqual(self.objects("postmap", "-u", "-jq", one["key"], table), [one])
        self.assertEqual(sorted(self.objects("postmap", "-u", "-js", table), key=lambda one: one["key"]), expected)
        asked = b"key1\nnone\nkey0\n"
        self.assertEqual(self.objects("postmap", "-u", "-j", "-q", "-", table, given=asked), [expected[1], expected[0]])
        self.assertEqual(self.objects("postmap", "-jq", "none", table, status=1), [])
        self.assertEqual(self.objects("postmap", "-j", "-q", "-", table, given=b"none\n", status=1), [])
        self.assertEqual(self.objects("postmap", "-jq", "KEY0", table), [{"key": "KEY0", "value": expected[0]["value"]}])
        # Keys of several lines, and a value that is a file's content.
        self.assertEqual(self.objects("postmap", "-jhq", "-", "regexp:{{/two/ HOLD}}", given=b"Subject: one\n two \"x\"\n\nbody\n"),
                         [{"key": "Subject: one\n two \"x\"", "value": "HOLD"}])
        content = b"\x00first\nsecond \xff\n"
        (self.conf / "content").write_bytes(content)
        table = self.table("postmap", f"file {self.conf}/content\n".encode(), "-F")
        self.assertEqual(self.objects("postmap", "-Fjq", "file", table), [{"key": "file", "value": replaced(content)}])

    def test_postalias_asks_and_lists(self):
        table = self.table("postalias", b"root: admin, \"|/bin/cmd -x\"\n\"a:b\": \"c d\", e\n")
        self.assertEqual(self.objects("postalias", "-jq", "root", table), [{"key": "root", "value": "admin, \"|/bin/cmd -x\""}])
        listed = {one["key"]: one["value"] for one in self.objects("postalias", "-js", table)}
        self.assertEqual((listed["a:b"], listed["@"]), ("\"c d\", e", "@"))
        self.assertEqual(self.objects("postalias", "-jq", "nobody", table, status=1), [])

    def test_postmap_and_postalias_refuse_it_where_nothing_is_shown(self):
        for program in ("postmap", "postalias"):
            table = self.table(program, b"a: b\n")
            self.refused("specify -j only with -s or -q", program, "-j", table)
            self.refused("specify -j only with -s or -q", program, "-jd", "a", table)
            self.refused("specify only one of -s -q or -d", program, "-jsq", "a", table)
            self.refused("unsupported dictionary type: nonsense", program, "-jq", "a", "nonsense:x")

    def test_postmulti_lists(self):
        self.assertEqual(self.objects("postmulti", "-lj"), [{"name": "-", "group": "-", "enabled": "y", "config_directory": str(self.conf)}])
        self.main_cf(b"multi_instance_enable = yes\nmulti_instance_group = gr\xc3\xbc\"n\\\xff\n")
        self.assertEqual(self.objects("postmulti", "-jl", "-a"), [{"name": "-", "group": "gr\u00fc\"n\\\ufffd", "enabled": "y", "config_directory": str(self.conf)}])
        for words in (("-jx", "true"), ("-jp", "status"), ("-j", "-e", "init")):
            self.refused("preclude the use of '-j'", "postmulti", *words)
        self.refused("Specify exactly one of", "postmulti", "-j")
        self.refused("Command not allowed with '-l'", "postmulti", "-lj", "word")


if __name__ == "__main__":
    unittest.main()
