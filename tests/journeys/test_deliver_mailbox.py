"""virtual(8) and local(8): mailboxes of users that are in tables alone, and of users of this machine with their aliases and .forward files."""
import fcntl
import grp
import json
import os
import pathlib
import shutil
import signal
import subprocess
import unittest

from journey import BIN, PATIENCE, Journey, wait_until

# Nobody's: virtual mailboxes need no account.
UID, GID = (23456, 34567) if os.geteuid() == 0 else (os.geteuid(), os.getegid())


class Virtual(Journey):
    def virtual(self, settings=None, maps="", **kwargs):
        posthorn = self.instance(start=False, **kwargs)
        self.base = posthorn.dir / "vmail"
        self.base.mkdir()
        os.chown(self.base, UID, GID)
        (posthorn.dir / "conf" / "vmailbox").write_text("dir@box.test a/dir/\nfile@box.test file\n@any.test any/\n" + maps)
        owner = {"mail_owner": "daemon"} if os.geteuid() == 0 else {}
        posthorn.set({"virtual_mailbox_domains": "box.test any.test", "virtual_mailbox_base": str(self.base), "recipient_delimiter": "+",
                      "virtual_mailbox_maps": f"texthash:{posthorn.dir}/conf/vmailbox", "virtual_uid_maps": f"static:{UID}",
                      "virtual_gid_maps": f"static:{GID}", "virtual_minimum_uid": "100" if UID >= 100 else "1", **owner, **(settings or {})})
        posthorn.start()
        return posthorn

    def mails(self, path):
        return sorted((self.base / path / "new").glob("*")) if (self.base / path / "new").is_dir() else []

    def test_a_maildir_and_an_mbox_file(self):
        posthorn = self.virtual()
        posthorn.send(["dir+x@box.test", "file@box.test", "who@any.test"], content=b"Subject: one\r\n\r\nFrom here\r\n")
        done = r"relay=virtual, delay=[\d.]+, delays=[\d./]+, dsn=2.0.0, status=sent \(delivered to {}\)"
        posthorn.wait_log(r"virtual\[\d+\]: \S+: to=<dir\+x@box.test>, " + done.format("maildir"))
        posthorn.wait_log(r"to=<file@box.test>, " + done.format("mailbox"))
        posthorn.wait_log(r"to=<who@any.test>, " + done.format("maildir"))
        posthorn.wait_empty()
        mail, = self.mails("a/dir")
        lines = mail.read_text().split("\n")
        self.assertEqual(lines[:3], ["Return-Path: <sender@example.com>", "X-Original-To: dir+x@box.test", "Delivered-To: dir+x@box.test"])
        self.assertEqual(lines[-3:], ["", "From here", ""])
        self.assertRegex(mail.name, r"^\d+\.V[0-9a-f]+I[0-9a-f]+M\d+\.\S+$")
        self.assertEqual((mail.stat().st_uid, mail.stat().st_gid, mail.stat().st_mode & 0o777), (UID, GID, 0o600))
        self.assertEqual(list((self.base / "a/dir/tmp").iterdir()), [])
        text = (self.base / "file").read_text()
        self.assertRegex(text, r"^From sender@example.com  .*\nReturn-Path: <sender@example.com>\nX-Original-To: file@box.test\nDelivered-To: file@box.test\n")
        self.assertTrue(text.endswith("\n\n>From here\n\n"), text)
        self.assertFalse((self.base / "file.lock").exists())
        self.assertEqual(len(self.mails("any")), 1)

    def test_who_is_not_there_and_what_must_not_be(self):
        sink = self.sink()
        posthorn = self.virtual({"relayhost": f"[127.0.0.1]:{sink.port}", "virtual_uid_maps": f"inline:{{low@box.test=1, dir@box.test={UID}, out@box.test={UID}}}"},
                                "low@box.test low\nout@box.test ../../out\n")
        posthorn.send(["dir@box.test"], content=b"Delivered-To: dir@box.test\r\nSubject: x\r\n\r\nx\r\n")
        posthorn.wait_log(r"to=<dir@box.test>, .* dsn=5.4.6, status=bounced \(mail forwarding loop for dir@box.test\)")
        posthorn.send(["low@box.test", "out@box.test", "file@box.test"])
        posthorn.wait_log(r"recipient out@box.test: \"..\" in ")
        if UID >= 100:
            posthorn.wait_log(r"recipient low@box.test: uid 1 in virtual_uid_maps is less than virtual_minimum_uid \(100\)")
        posthorn.wait_log(r"recipient file@box.test: not found in virtual_uid_maps")
        posthorn.wait_log(r"dsn=4.3.5, status=deferred \(mail system configuration error\)", 2)
        # At RCPT TO it would be refused; a message that is in already comes back.
        posthorn.run("sendmail", "nobody@box.test", input="Subject: x\n\nx\n")
        posthorn.wait_log(r'to=<nobody@box.test>, .* dsn=5.1.1, status=bounced \((unknown user: "nobody@box.test"|User unknown in virtual mailbox table)\)')
        self.assertEqual(list(self.base.iterdir()), [])

    def test_posthorn_why_names_the_mailbox_that_others_lock(self):
        posthorn = self.virtual({"deliver_lock_attempts": "60", "deliver_lock_delay": "1s"})
        (self.base / "file.lock").touch()
        posthorn.send(["file@box.test"])
        def named():
            queue = posthorn.queue()
            if not queue:
                return None
            said = json.loads(posthorn.run("posthorn", "why", "-c", str(posthorn.dir), "--json", queue[0]["queue_id"]).stdout)["waiting"][0]
            return said if said.get("now") else None
        one = wait_until(named, "it waits for the lock")
        self.assertEqual((one["wait"], one["now"]), ("delivery", f"the mailbox and its lock, {self.base}/file"))
        (self.base / "file.lock").unlink()
        posthorn.wait_empty()
        self.assertTrue((self.base / "file").exists())

    def test_a_mailbox_that_is_full_and_one_that_is_locked(self):
        posthorn = self.virtual({"virtual_mailbox_limit": "20000", "message_size_limit": "15000", "deliver_lock_attempts": "1", "relayhost": f"[127.0.0.1]:{self.sink().port}"})
        body = b"Subject: x\r\n\r\n" + b"0123456789\r\n" * 1000
        posthorn.send(["file@box.test"], content=body)
        posthorn.wait_log(r"status=sent \(delivered to mailbox\)")
        before = (self.base / "file").read_bytes()
        posthorn.send(["file@box.test"], content=body)
        posthorn.wait_log(r"dsn=5.2.2, status=bounced \(cannot update mailbox \S+/file for user file@box.test. File too large\)")
        self.assertEqual((self.base / "file").read_bytes(), before)
        (self.base / "file.lock").touch()
        posthorn.send(["file@box.test"])
        posthorn.wait_log(r"dsn=4.2.0, status=deferred \(cannot update mailbox .*unable to create lock file \S+/file.lock: File exists\)")

    def test_whoever_is_killed_nothing_is_lost_and_nothing_is_half(self):
        posthorn = self.virtual({"minimal_backoff_time": "1s", "maximal_backoff_time": "1s", "virtual_destination_concurrency_limit": "5"})
        wanted = [f"m{n}@any.test" for n in range(60)]
        posthorn.send(["first@any.test"])
        posthorn.wait_log(r"status=sent \(delivered to maildir\)")
        for at in range(0, 60, 10):
            posthorn.send(wanted[at:at + 10])
            for victim in ("virtual", "qmgr")[:1 + at // 30]:
                for pid in posthorn.pids_of(victim):
                    os.kill(pid, signal.SIGKILL)
        posthorn.wait_empty()
        wait_until(lambda: not list((self.base / "any/tmp").iterdir()), "the last child is done")
        mails = [mail.read_text() for mail in self.mails("any")]
        for mail in mails:
            self.assertTrue(mail.endswith("\n\nhello\n"), mail)
        for address in wanted:
            self.assertTrue(any(f"Delivered-To: {address}\n" in mail for mail in mails), address)

    def test_verification_writes_nothing(self):
        posthorn = self.virtual()
        posthorn.run("sendmail", "-bv", "dir@box.test", "file@box.test")
        posthorn.wait_log(r"to=<dir@box.test>, relay=virtual, .* status=deliverable \(delivers to maildir\)")
        posthorn.wait_log(r"to=<file@box.test>, relay=virtual, .* status=deliverable \(delivers to mailbox\)")
        self.assertEqual(list(self.base.iterdir()), [])


@unittest.skipUnless(os.geteuid() == 0, "needs root: users of its own, in a mount namespace")
class Local(Journey):
    JOE, ANN = 23001, 23002

    def local(self, settings=None, aliases="", relay=None):
        posthorn = self.instance(start=False, relay=relay)
        passwd = pathlib.Path("/etc/passwd").read_text()
        for name, uid in (("joe", self.JOE), ("ann", self.ANN)):
            home = posthorn.dir / "home" / name
            home.mkdir(parents=True)
            os.chown(home, uid, uid)
            passwd += f"{name}:x:{uid}:{uid}::{home}:/bin/sh\n"
        (posthorn.dir / "passwd").write_text(passwd)
        self.spool = posthorn.dir / "mail"                                   # as Debian's /var/mail
        self.spool.mkdir()
        os.chown(self.spool, 0, grp.getgrnam("mail").gr_gid)
        self.spool.chmod(0o2775)
        (posthorn.dir / "conf" / "aliases").write_text(aliases)
        posthorn.set({"mydestination": "here.test", "myorigin": "here.test", "mail_owner": "daemon", "mail_spool_directory": str(self.spool),
                      "alias_maps": f"texthash:{posthorn.dir}/conf/aliases", "recipient_delimiter": "+", "message_size_limit": "5000000",
                      "default_privs": "nobody", **(settings or {})})
        # What is started from here sees the users; nobody else on this machine does.
        subprocess.run(["unshare", "--mount", "sh", "-c", f"mount --bind {posthorn.dir}/passwd /etc/passwd && exec {BIN}/postfix start"],
                       env=posthorn.env(), check=True, capture_output=True, timeout=PATIENCE)
        wait_until(posthorn.answers, "the SMTP port answers")
        return posthorn

    def put(self, posthorn, user, name, text, uid=None):
        path = posthorn.dir / "home" / user / name
        path.write_text(text)
        os.chown(path, uid or getattr(self, user.upper()), -1)
        return path

    def test_system_mailboxes_aliases_and_forwards(self):
        sink = self.sink()
        posthorn = self.local(aliases="team joe, ann, far@away.test\nowner-team boss@away.test\nfile /dev/null\n", relay=sink.port)
        posthorn.send(["Joe+x@here.test"])
        posthorn.wait_log(r"local\[\d+\]: \S+: to=<Joe\+x@here.test>, relay=local, delay=[\d.]+, delays=[\d./]+, dsn=2.0.0, status=sent \(delivered to mailbox\)")
        text = (self.spool / "joe").read_text()
        self.assertRegex(text, r"^From sender@example.com  .*\nReturn-Path: <sender@example.com>\nX-Original-To: Joe\+x@here.test\nDelivered-To: Joe\+x@here.test\nReceived: ")
        self.assertTrue(text.endswith("\n\nhello\n\n"), text)
        self.assertEqual((self.spool / "joe").stat().st_uid, self.JOE)
        self.assertEqual((self.spool / "joe").stat().st_mode & 0o777, 0o600)
        posthorn.send(["team@here.test"])
        new = posthorn.wait_log(r"to=<team@here.test>, relay=local, .* status=sent \(forwarded as (\S+)\)")[0]
        posthorn.wait_log(rf"{new}: from=<owner-team@here.test>, .*\(queue active\)")
        posthorn.wait_log(rf"{new}: to=<far@away.test>, relay=.* status=sent")      # as of a mail that begins with its owner
        self.assertEqual(sink.recipients(), ["far@away.test"])
        self.assertIn(b"\r\nDelivered-To: team@here.test\r\n", sink.messages[0][2])
        wait_until(lambda: (self.spool / "joe").read_text().count("\nFrom ") == 1 and (self.spool / "ann").exists(), "both have it")
        posthorn.send(["file@here.test"])
        posthorn.wait_log(r"status=sent \(delivered to file: /dev/null\)")
        self.put(posthorn, "ann", ".forward", "\\ann, \"|cat > $HOME/copy; id -u >> $HOME/copy; pwd >/dev/null\"\n")
        posthorn.send(["ann@here.test"])
        posthorn.wait_log(r"to=<ann@here.test>, .* status=sent \(delivered to command: cat > ")
        copy = (posthorn.dir / "home/ann/copy").read_text().split("\n")
        self.assertEqual(copy[-2], str(self.ANN))
        wait_until(lambda: (self.spool / "ann").read_text().count("Delivered-To: ann@here.test") == 1, "it is in the mailbox as well")
        # Whose .forward it is must own it.
        self.put(posthorn, "joe", ".forward", "far@away.test\n", uid=self.ANN)
        posthorn.send(["joe@here.test"])
        posthorn.wait_log(r"warning: file \S+/joe/.forward has bad owner")
        posthorn.wait_empty()
        self.assertEqual(len(sink.messages), 1)

    def test_with_sun_mailtool_compatibility_a_lock_file_is_the_only_lock(self):
        posthorn = self.local({"sun_mailtool_compatibility": "yes", "mailbox_delivery_lock": "fcntl, flock, dotlock", "deliver_lock_attempts": "1"})
        box = self.spool / "joe"
        box.touch(0o660)
        os.chown(box, self.JOE, grp.getgrnam("mail").gr_gid)
        with open(box, "r+") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            fcntl.lockf(held, fcntl.LOCK_EX)
            posthorn.send(["joe@here.test"])
            posthorn.wait_log(r"to=<joe@here.test>, relay=local, .*status=sent")
        posthorn.wait_log(r"local\[\d+\]: warning: sun_mailtool_compatibility: deprecated parameter, use \"mailbox_delivery_lock = dotlock\" instead")
        lock = self.spool / "joe.lock"
        lock.touch()
        posthorn.send(["joe@here.test"])
        posthorn.wait_log(r"to=<joe@here.test>, relay=local, .*status=deferred \(.*unable to create lock file")

    def test_delivered_to_is_the_recipient_or_the_alias_on_the_way(self):
        for frozen, said in (("yes", "list"), ("no", "team")):
            sink = self.sink()
            posthorn = self.local({"frozen_delivered_to": frozen}, aliases="list team\nteam far@away.test\n", relay=sink.port)
            posthorn.send(["list@here.test"])
            posthorn.wait_log(r"to=<far@away.test>, orig_to=<list@here.test>, .* status=sent")
            self.assertIn(f"Delivered-To: {said}@here.test\r\n".encode(), sink.messages[0][2])

    def test_home_mailboxes_unknown_users_and_commands_of_aliases(self):
        sink = self.sink()
        posthorn = self.local({"home_mailbox": "Maildir/", "local_recipient_maps": "", "export_environment": ""},
                              relay=sink.port)
        (posthorn.dir / "conf" / "aliases").write_text(f'bot "|echo $(id -un) $RECIPIENT $SENDER $USER > {posthorn.dir}/told/bot"\nlist :include:{posthorn.dir}/list\nreq "|/bin/true"\n')
        (posthorn.dir / "told").mkdir()
        (posthorn.dir / "told").chmod(0o777)
        (posthorn.dir / "list").write_text("# who\njoe@here.test\n")
        posthorn.send(["joe@here.test", "nobody-here@here.test"])
        posthorn.wait_log(r"to=<joe@here.test>, .* status=sent \(delivered to maildir\)")
        mail, = (posthorn.dir / "home/joe/Maildir/new").iterdir()
        self.assertEqual((mail.stat().st_uid, mail.stat().st_mode & 0o777), (self.JOE, 0o600))
        posthorn.wait_log(r'to=<nobody-here@here.test>, .* dsn=5.1.1, status=bounced \(unknown user: "nobody-here"\)')

        def list_delivers():
            posthorn.send(["list@here.test"])
            return len(list((posthorn.dir / "home/joe/Maildir/new").iterdir())) > 1
        wait_until(list_delivers, "the changed table is seen, and the list leads to joe")
        posthorn.send(["bot@here.test"])
        posthorn.wait_log(r"to=<bot@here.test>, .* status=sent \(delivered to command: echo .*/told/bot\)")
        self.assertEqual((posthorn.dir / "told/bot").read_text(), "nobody bot@here.test sender@example.com bot\n")

    def test_mailbox_transport_goes_to_another_agent(self):
        sink = self.sink()
        posthorn = self.local({"mailbox_transport": f"smtp:[127.0.0.1]:{sink.port}", "local_recipient_maps": ""}, aliases="all joe, ann\n")
        posthorn.send(["joe@here.test"])
        new = posthorn.wait_log(r"to=<joe@here.test>, relay=local, .* status=sent \(passed to transport=smtp:\[127.0.0.1\]:\d+ as (\S+)\)")[0]
        posthorn.wait_log(rf"{new}: to=<joe@here.test>, relay=127.0.0.1\[127.0.0.1\]:{sink.port}, .* status=sent")
        self.assertEqual(sink.recipients(), ["joe@here.test"])

    def test_what_local_sends_on_is_checked_copied_and_completed_once(self):
        sink = self.sink()
        posthorn = self.local({"mailbox_transport": f"smtp:[127.0.0.1]:{sink.port}", "local_recipient_maps": "", "relayhost": f"[127.0.0.1]:{sink.port}",
                               "header_checks": "regexp:{{/^Subject:/ PREPEND X-Checked: yes}}", "sender_bcc_maps": "inline:{copied@far.test=log@far.test}",
                               "canonical_maps": "inline:{from@far.test=changed@far.test}", "local_header_rewrite_clients": ""}, aliases="away gone@far.test\n")
        posthorn.send(["joe@here.test", "away@here.test"], sender="copied@far.test", content=b"Subject: x\r\nFrom: from@far.test\r\n\r\nhello\r\n")
        wait_until(lambda: len(sink.recipients()) == 3, "the mailbox's transport, the alias and the copy have it")
        self.assertEqual(sorted(sink.recipients()), ["gone@far.test", "joe@here.test", "log@far.test"])
        for _, recipients, content in sink.messages:
            head = content.decode().split("\r\n\r\n")[0]
            self.assertEqual(head.count("X-Checked: yes"), 1, head)
            self.assertIn("\r\nFrom: from@far.test", head)
            self.assertEqual(head.count("Received: "), 2 if "gone" in recipients[0] else 1, head)

    @unittest.skipUnless(shutil.which("procmail"), "no procmail")
    def test_procmail_by_mailbox_command_and_by_a_pipe_line(self):
        posthorn = self.local({"mailbox_command": '/usr/bin/procmail -a "$EXTENSION"', "relay_domains": "piped.test",
                               "transport_maps": "inline:{piped.test=procmail:}", "procmail_destination_recipient_limit": "1"})
        posthorn.add_service("procmail unix - n n - - pipe flags=RDFu user=joe argv=/usr/bin/procmail -t -m USER=${user} EXTENSION=${extension} "
                             f"{posthorn.dir}/piperc")
        self.put(posthorn, "joe", ".procmailrc", "MAILDIR=$HOME\n:0\n* ^Subject: large\nlarge\n\n:0\nMaildir/\n")
        (posthorn.dir / "piperc").write_text(f"MAILDIR={posthorn.dir}/home/joe\n:0\n* ? test \"$EXTENSION\" = refuse\n{{\n  EXITCODE=67\n  HOST\n}}\n:0\npiped/\n")
        posthorn.run("postfix", "reload")
        posthorn.send(["joe@here.test", "User@piped.test", "user+refuse@piped.test"])
        posthorn.wait_log(r'to=<joe@here.test>, .* status=sent \(delivered to command: /usr/bin/procmail -a "\$EXTENSION"\)')
        posthorn.wait_log(r"to=<User@piped.test>, relay=procmail, .* status=sent \(delivered via procmail service\)")
        posthorn.wait_log(r"to=<user\+refuse@piped.test>, relay=procmail, .* dsn=5.1.1, status=bounced \(user unknown\)")
        home = posthorn.dir / "home/joe"
        self.assertEqual(len(list((home / "Maildir/new").iterdir())), 1)
        self.assertEqual(len(list((home / "piped/new").iterdir())), 1)
        posthorn.send(["joe@here.test"], content=b"Subject: large\r\n\r\n" + b"0123456789\r\n" * 100000)
        wait_until(lambda: (home / "large").exists() and (home / "large").stat().st_size > 1100000, "procmail has all of it")


if __name__ == "__main__":
    unittest.main()
