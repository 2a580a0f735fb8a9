"""What a parameter is set to, where, and whether that is in force: before a reload, after it, after one that was refused."""
import json
import unittest

from journey import Journey


class Settings(Journey):
    def pending(self, posthorn):
        result = posthorn.run("posthorn", "setting", "--pending", "--json", check=False)
        changes = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual(result.returncode, 1 if changes else 0, result.stderr)
        return {change["name"]: (change["in_force"], change["written"]) for change in changes}

    def setting(self, posthorn, name):
        return json.loads(posthorn.run("posthorn", "setting", "--json", name).stdout)

    def test_what_is_written_and_not_in_force(self):
        posthorn = self.instance({"relay_domains": "old.test"})
        self.assertEqual(self.pending(posthorn), {})
        self.assertEqual(posthorn.run("posthorn", "setting", "--pending").stdout, "What is written is in force.\n")
        posthorn.set({"relay_domains": "new.test", "mine": "x", "smtp_helo_name": "$mine.test"})
        posthorn.run("postconf", "-P", "smtp/unix/smtp_helo_timeout=7s")
        changed = self.pending(posthorn)
        line = changed.pop("smtp/unix")
        self.assertEqual(line[1], f"{line[0]} -o smtp_helo_timeout=7s")
        self.assertEqual(changed, {"relay_domains": ("old.test", "new.test"), "mine": (None, "x"), "smtp_helo_name": (None, "$mine.test")})
        one = self.setting(posthorn, "relay_domains")
        self.assertEqual((one["value"], one["in_force"]), ("new.test", "old.test"))
        self.assertIn(str(posthorn.dir / "conf" / "main.cf"), one["place"])
        self.assertEqual(self.setting(posthorn, "smtp_helo_name")["comes_to"], "x.test")
        self.assertEqual(self.setting(posthorn, "mine")["used_by"], ["smtp_helo_name"])
        self.assertEqual([line["value"] for line in self.setting(posthorn, "smtp_helo_timeout")["lines"]], ["7s"])

        posthorn.run("postfix", "reload")
        self.assertEqual(self.pending(posthorn), {})
        self.assertEqual(self.setting(posthorn, "relay_domains")["in_force"], "new.test")

        # One that is refused leaves in force what was.
        posthorn.set({"smtp_helo_timeout": "soon", "relay_domains": "third.test"})
        self.assertNotEqual(posthorn.run("postfix", "reload", check=False).returncode, 0)
        self.assertEqual(self.pending(posthorn), {"relay_domains": ("new.test", "third.test"), "smtp_helo_timeout": (None, "soon")})

    def test_down_and_wrong_words(self):
        posthorn = self.instance(start=False)
        self.assertEqual(posthorn.run("posthorn", "setting", "--pending", check=False).returncode, 69)
        self.assertIn("in force    nothing: the mail system is down", posthorn.run("posthorn", "setting", "myhostname").stdout)
        self.assertIsNone(self.setting(posthorn, "myhostname")["in_force"])
        wrong = posthorn.run("posthorn", "setting", "relay_domain", check=False)
        self.assertEqual((wrong.returncode, wrong.stdout), (1, ""))
        self.assertIn("relay_domain: no parameter has this name; there are relay_domains", wrong.stderr)
        for words in ([], ["--pending", "myhostname"], ["--what"]):
            self.assertEqual(posthorn.run("posthorn", "setting", *words, check=False).returncode, 64, words)


if __name__ == "__main__":
    unittest.main()
