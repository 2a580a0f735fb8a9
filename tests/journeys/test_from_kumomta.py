"""Moving in from KumoMTA: a policy with all that its user guide's example has, and the files of its helpers, becomes a configuration that starts; mail by SMTP and by HTTP then
leaves from the addresses, with the signature and for the tenants that the policy names, records are written, and a reply that an automation names silences the site."""
import datetime
import http.client
import json
import os
import re
import smtplib
import subprocess
import unittest.mock

from journey import PATIENCE, Journey, Sink, free_port, unittest, wait_until

POLICY = """
local kumo = require 'kumo'
local shaping = require 'policy-extras.shaping'
local shaper = shaping:setup_with_automation {{
  publish = {{ 'http://127.0.0.1:8008' }}, subscribe = {{ 'http://127.0.0.1:8008' }},
  extra_files = {{ '{dir}/etc/shaping.toml' }},
}}
kumo.on('init', function()
  for _, name in ipairs {{ 'data', 'meta' }} do
    kumo.define_spool {{ name = name, path = '{dir}/spool/' .. name, kind = 'RocksDB' }}
  end
  kumo.configure_local_logs {{ log_dir = '{dir}/log', headers = {{ 'Subject' }} }}
  kumo.configure_bounce_classifier {{ files = {{ '/opt/kumomta/share/bounce_classifier/iana.toml' }} }}
  kumo.start_http_listener {{ listen = '127.0.0.1:{http}', trusted_hosts = {{ '127.0.0.1', '::1' }} }}
  kumo.start_esmtp_listener {{ listen = '127.0.0.1:{smtp}', hostname = 'mail.ours.test', relay_hosts = {{ '127.0.0.1' }} }}
  kumo.start_esmtp_listener {{ listen = '127.0.0.1:{other}', relay_hosts = {{ '192.0.2.0/24' }}, banner = 'the other one' }}
  shaper.setup_publish()
end)
kumo.on('get_listener_domain', require('policy-extras.listener_domains'):setup {{ '{dir}/etc/listener_domains.toml' }})
kumo.on('get_egress_path_config', shaper.get_egress_path_config)
require('policy-extras.sources'):setup {{ '{dir}/etc/sources.toml' }}
local queue_helper = require('policy-extras.queue'):setup {{ '{dir}/etc/queues.toml' }}
local dkim_signer = require('policy-extras.dkim_sign'):setup {{ '{dir}/etc/dkim_data.toml' }}
local function take(msg)
  queue_helper:apply(msg)
  dkim_signer(msg)
end
kumo.on('smtp_server_message_received', take)
kumo.on('http_message_generated', take)
"""
CONTAINER = """
local kumo = require 'kumo'
kumo.on('init', function()
  kumo.define_spool {{ name = 'data', path = '{dir}/spool/data' }}
  kumo.configure_local_logs {{ log_dir = '{dir}/log' }}
  local clients = kumo.string.split(os.getenv 'RELAY_CLIENTS' or '192.0.2.1', ',')
  kumo.start_esmtp_listener {{ listen = '127.0.0.1:{smtp}', hostname = os.getenv 'MAIL_NAME', relay_hosts = clients }}
end)
kumo.on('smtp_server_message_received', function(msg)
  local failed = msg:check_fix_conformance('', 'LINE_TOO_LONG')
  if failed then kumo.reject(552, string.format('5.6.0 %s', failed)) end
  if os.getenv 'SMART_HOST' then msg:set_meta('routing_domain', os.getenv 'SMART_HOST') end
end)
"""
FILES = {
    "listener_domains": '["in.test"]\nrelay_to = true\n["www.in.test"]\nrelay_to = false\n',
    "sources": '[source.first]\nsource_address = "127.0.0.2"\nehlo_domain = "first.ours.test"\n[source.second]\nsource_address = "127.0.0.3"\nehlo_domain = "second.ours.test"\n'
               '[pool.plain.first]\n[pool.better.second]\n[pool.both.first]\nweight = 2\n[pool.both.second]\n',
    "queues": 'tenant_header = "X-Tenant"\nremove_tenant_header = true\ndefault_tenant = "everybody"\n[tenant.everybody]\negress_pool = "plain"\n[tenant.gold]\negress_pool = "better"\n'
              '[tenant.mixed]\negress_pool = "both"\n[queue.default]\nmax_age = "10 hours"\nretry_interval = "1 minute"\nprotocol = {{smtp = {{mx_list = ["127.0.0.1:{sink}"]}}}}\n',
    "shaping": '[default]\nconnection_limit = 7\nmax_message_rate = "1000/s"\nenable_tls = "Opportunistic"\nconnect_timeout = "9s"\n'
               "[[default.automation]]\nregex = 'come back \\d+ later'\naction = 'Suspend'\nduration = '2 hours'\n",
    "dkim_data": '[base]\nselector = "s1"\nheaders = ["From", "To", "Subject"]\n[domain."ours.test"]\nfilename = "{dir}/s1.pem"\n',
}


class Watched(Sink):
    """A sink that knows where its clients come from."""

    def __init__(self, *args, **kwargs):
        self.clients = set()
        super().__init__(*args, **kwargs)

    async def _session(self, reader, writer):
        self.clients.add(writer.get_extra_info("peername")[0])
        await super()._session(reader, writer)


class FromKumoMta(Journey):
    def moved_in(self, replies=None, policy=POLICY):
        """(sink, system): the policy's files written, translated, and in the place of the system's own configuration."""
        self.to = Watched(replies)
        self._opened.append(self.to)
        posthorn = self.instance(start=False)
        self.http, self.other = free_port(), free_port()
        places = {"dir": posthorn.dir, "http": self.http, "smtp": posthorn.port, "other": self.other, "sink": self.to.port}
        (posthorn.dir / "etc/policy").mkdir(parents=True)
        (posthorn.dir / "etc/policy/init.lua").write_text(policy.format(**places))
        for name, text in FILES.items():
            (posthorn.dir / "etc" / f"{name}.toml").write_text(text.format(**places) if "{" in text else text)
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(posthorn.dir / "s1.pem")], check=True, capture_output=True)
        own = {name: posthorn.run("postconf", "-h", name).stdout.strip() for name in (
            "mail_owner", "setgid_group", "default_privs", "queue_directory", "data_directory", "command_directory", "daemon_directory", "maillog_file", "maillog_file_prefixes")}
        done = posthorn.run("posthorn", "migrate", "--kumomta", str(posthorn.dir / "etc/policy"), "--to", str(posthorn.dir / "made"), check=False)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.report = done.stdout
        (posthorn.dir / "conf").rename(posthorn.dir / "conf.init")
        (posthorn.dir / "made").rename(posthorn.dir / "conf")
        self.spool = posthorn.run("postconf", "-h", "queue_directory").stdout.strip()
        posthorn.set({**own, "smtpd_peername_lookup": "no"})       # what a machine has of its own, and a test's
        checked = posthorn.run("postfix", "check")
        # What it says of the programs is of this build's folder.
        self.assertEqual([line for line in (checked.stdout + checked.stderr).splitlines() if not line.endswith(("/postdrop", "/postqueue"))], [])
        posthorn.start()
        return self.to, posthorn

    def mail(self, posthorn, recipient, fields="", sender="news@ours.test"):
        posthorn.send([recipient], sender=sender, content=f"{fields}From: {sender}\r\nTo: {recipient}\r\nSubject: for {recipient}\r\n\r\nhello\r\n".encode())

    def content_for(self, recipient):
        def found():
            return next((content for _, recipients, content in self.to.messages if any(recipient in one for one in recipients)), None)
        return wait_until(found, f"mail for {recipient}").decode()

    def test_mail_leaves_as_the_policy_says(self):
        sink, posthorn = self.moved_in()
        self.assertEqual(self.spool, f"{posthorn.dir}/spool/posthorn")
        # Without a field it is the default tenant's; what our own send is signed.
        self.mail(posthorn, "a@there.test")
        content = self.content_for("a@there.test")
        self.assertEqual(sink.clients, {"127.0.0.2"})
        self.assertRegex(content, r"(?s)DKIM-Signature:.*d=ours\.test;.*s=s1;")
        self.assertRegex(content, r"(?si)h=from:to:subject;")
        self.assertIn("EHLO first.ours.test", " ".join(map(str, sink.commands)))
        # The field chooses the pool, and does not leave.
        self.mail(posthorn, "b@there.test", "X-Tenant: gold\r\n", sender="else@other.test")
        content = self.content_for("b@there.test")
        self.assertEqual(sink.clients, {"127.0.0.2", "127.0.0.3"})
        self.assertNotIn("X-Tenant", content)
        self.assertNotIn("DKIM-Signature", content)
        # A tenant of nobody's is refused, as KumoMTA's helper does.
        with self.assertRaisesRegex(Exception, "There is no such tenant"):
            self.mail(posthorn, "c@there.test", "X-Tenant: Gold\r\n")
        def recorded():                                                        # a record is written behind the reply
            lines = (posthorn.dir / "log/posthorn-records").read_text().splitlines(keepends=True)
            records = [json.loads(line) for line in lines if line.endswith("\n")]
            return ("Delivery", "b@there.test", "for b@there.test") in [(one["type"], one["recipient"], one.get("headers", {}).get("Subject")) for one in records]
        wait_until(recorded, "the delivery is recorded")

    def test_mail_over_http_is_taken_and_leaves_alike(self):
        sink, posthorn = self.moved_in()
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=PATIENCE)
        self.addCleanup(connection.close)
        connection.request("POST", "/api/inject/v1", headers={"Content-Type": "application/json"}, body=json.dumps({
            "envelope_sender": "news@ours.test", "recipients": [{"email": "h@there.test", "name": "Ann"}],
            "content": "From: news@ours.test\nTo: h@there.test\nX-Tenant: gold\nSubject: hi\n\nHello {{ name }}\n"}))
        self.assertEqual(json.loads(connection.getresponse().read())["success_count"], 1)
        content = self.content_for("h@there.test")
        self.assertIn("Hello Ann", content)
        self.assertNotIn("X-Tenant", content)
        self.assertIn("DKIM-Signature", content)
        self.assertEqual(sink.clients, {"127.0.0.3"})
        # The admin service has what /metrics had.
        port = int(re.search(r"a line of admin at 127\.0\.0\.1:(\d+)", self.report).group(1))
        admin = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self.addCleanup(admin.close)
        admin.request("GET", "/metrics")
        self.assertEqual(admin.getresponse().status, 200)

    def test_who_may_relay_is_who_might(self):
        sink, posthorn = self.moved_in()
        with smtplib.SMTP("127.0.0.1", self.other, timeout=PATIENCE) as stranger:        # not from its relay_hosts
            stranger.ehlo("x.test")
            stranger.mail("x@x.test")
            self.assertEqual(stranger.rcpt("a@there.test")[0], 554)
            self.assertEqual(stranger.rcpt("a@www.in.test")[0], 554)
            self.assertEqual(stranger.rcpt("a@sub.in.test")[0], 554)
            self.assertEqual(stranger.rcpt("a@in.test")[0], 250)

    def test_a_reply_that_an_automation_names_silences_the_site(self):
        sink, posthorn = self.moved_in({"RCPT": lambda argument, _: "421 4.7.0 come back 99 later" if "slow@" in argument else "250 2.1.5 Ok"})
        self.mail(posthorn, "slow@there.test")
        posthorn.wait_log(r"to=<slow@there\.test>.*status=deferred")
        sessions = sink.sessions
        self.mail(posthorn, "next@there.test")
        posthorn.wait_log(r"to=<next@there\.test>.*status=deferred \(delivery temporarily suspended: .*421 4\.7\.0 come back 99 later")
        self.assertEqual(sink.sessions, sessions)
        # Two hours, as it says; the other source is not concerned: what is asked of an address holds for it.
        times = re.findall(r"(since|next try) +(\S+ [\d:]+)", posthorn.run("posthorn", "why", "slow@there.test").stdout)
        since, until = (datetime.datetime.fromisoformat(next(at for what, at in times if what == name)) for name in ("since", "next try"))
        self.assertTrue(datetime.timedelta(minutes=110) < until - since < datetime.timedelta(minutes=150), times)
        self.mail(posthorn, "gold@there.test", "X-Tenant: gold\r\n")
        self.content_for("gold@there.test")

    def test_a_pool_of_several_sources_uses_them_all(self):
        sink, posthorn = self.moved_in()
        for number in range(40):
            self.mail(posthorn, f"{number}@there.test", "X-Tenant: mixed\r\n")
        wait_until(lambda: len(sink.messages) == 40, "all mail has left")
        self.assertEqual(sink.clients, {"127.0.0.2", "127.0.0.3"})

    def test_a_container_is_configured_by_its_environment(self):
        here = unittest.mock.patch.dict(os.environ, {"MAIL_NAME": "box.ours.test", "RELAY_CLIENTS": "127.0.0.1,192.0.2.7"})
        here.start()
        self.addCleanup(here.stop)
        smart = Watched()
        self._opened.append(smart)
        os.environ["SMART_HOST"] = f"[127.0.0.1]:{smart.port}"
        _, posthorn = self.moved_in(policy=CONTAINER)
        self.assertEqual(posthorn.run("postconf", "-h", "mynetworks").stdout.strip(), "127.0.0.1, 192.0.2.7")
        self.mail(posthorn, "a@there.test")
        wait_until(lambda: any("a@there.test" in str(recipients) for _, recipients, _ in smart.messages), "mail at the smart host")
        self.assertIn("EHLO box.ours.test", " ".join(map(str, smart.commands)))

    def test_nothing_is_written_where_the_policy_is_wrong(self):
        posthorn = self.instance(start=False)
        for text, error in (("local x = nobody.here\n", "init.lua, line 1: "), ("\nwhile true do end\n", "init.lua, line 2: too many steps"),
                            ("require('policy-extras.sources'):setup { '%s/etc/s.toml' }\n" % posthorn.dir, "s.toml, line 2: ")):
            (posthorn.dir / "etc").mkdir(exist_ok=True)
            (posthorn.dir / "etc/s.toml").write_text("[a]\nb = \n")
            (posthorn.dir / "etc/init.lua").write_text(text)
            done = posthorn.run("posthorn", "migrate", "--kumomta", str(posthorn.dir / "etc/init.lua"), str(posthorn.dir / "made"), check=False)
            self.assertEqual((done.returncode, (posthorn.dir / "made").exists()), (2, False), done.stderr)
            self.assertIn(error, done.stderr)


if __name__ == "__main__":
    unittest.main()
