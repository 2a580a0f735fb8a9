#!/usr/bin/env python3
"""Configurations in the manner of real sites, from a seeded generator: a gateway before Exchange, hosting out of SQL, a null client, mailing lists, two
providers, a content filter, one of several instances, a smarthost behind a login, and more. Each is one question: what Debian's postconf (3.7) and
ours list, expand, look up and edit of it has to be the same, in output, messages, exit codes and the files left behind.

usage: sites.py OUR_POSTCONF [--seed N] [--show NUMBER]
"""
import argparse
import pathlib
import random
import re

import frame
import postconf

EACH = 6                      # of every kind of site
STOCK = [
    ("smtp      inet  n       -       {y}       -       -       smtpd", []), ("pickup    unix  n       -       {y}       60      1       pickup", []),
    ("cleanup   unix  n       -       {y}       -       0       cleanup", []), ("qmgr      unix  n       -       n       300     1       qmgr", []),
    ("tlsmgr    unix  -       -       {y}       1000?   1       tlsmgr", []), ("rewrite   unix  -       -       {y}       -       -       trivial-rewrite", []),
    ("bounce    unix  -       -       {y}       -       0       bounce", []), ("verify    unix  -       -       {y}       -       1       verify", []),
    ("proxymap  unix  -       -       n       -       -       proxymap", []), ("smtp      unix  -       -       {y}       -       -       smtp", []),
    ("relay     unix  -       -       {y}       -       -       smtp", ["syslog_name=postfix/$service_name"]), ("showq     unix  n       -       {y}       -       -       showq", []),
    ("error     unix  -       -       {y}       -       -       error", []), ("local     unix  -       n       n       -       -       local", []),
    ("virtual   unix  -       n       n       -       -       virtual", []), ("lmtp      unix  -       -       {y}       -       -       lmtp", []),
    ("anvil     unix  -       -       {y}       -       1       anvil", []), ("scache    unix  -       -       {y}       -       1       scache", []),
    ("postlog   unix-dgram n  -       n       -       1       postlogd", [])]
SUBMISSION = ["syslog_name=postfix/submission", "smtpd_tls_security_level=encrypt", "smtpd_sasl_auth_enable=yes", "smtpd_tls_auth_only=yes", "smtpd_reject_unlisted_recipient=no",
              "smtpd_client_restrictions=$mua_client_restrictions", "smtpd_recipient_restrictions=", "smtpd_relay_restrictions=permit_sasl_authenticated,reject",
              "milter_macro_daemon_name=ORIGINATING"]


class Site:
    """Parameters and services, as they come together; a generator that decides the details."""

    def __init__(self, rng):
        self.rng, self.main, self.services = rng, [], [(line, list(options)) for line, options in STOCK]
        self.domain = rng.choice(["example.com", "example.org", "firma.example", "uni.example.net", "shop.example"])
        self.kind = rng.choice(["hash", "lmdb", "texthash", "cdb", "btree"])
        self.set(myhostname=f"{rng.choice(['mail', 'mx1', 'gw', 'smtp'])}.{self.domain}")
        self.maybe(0.6, mydomain=self.domain)
        self.maybe(0.7, myorigin=rng.choice(["$mydomain", "$myhostname", "/etc/mailname"]))
        self.maybe(0.5, smtpd_banner="$myhostname ESMTP $mail_name", mail_name=rng.choice(["Postfix", "Mail", "$myhostname"]))
        self.maybe(0.6, compatibility_level=rng.choice(["2", "3.6", "3"]))
        self.maybe(0.4, inet_protocols=rng.choice(["ipv4", "all", "ipv4, ipv6"]))
        self.maybe(0.5, mynetworks=self.listed("127.0.0.0/8", "[::ffff:127.0.0.0]/104", "[::1]/128", f"10.{rng.randrange(256)}.0.0/16", "192.168.1.0/24"))

    def set(self, **values):
        self.main += list(values.items())

    def maybe(self, chance, **values):
        if self.rng.random() < chance:
            self.set(**values)

    def table(self, name):
        return f"{self.kind}:/etc/postfix/{name}"

    def listed(self, *words):
        """Some of these, in order, put as people put lists."""
        rng = self.rng
        some = [word for word in words if rng.random() < 0.8] or [words[0]]
        return rng.choice([", ", " ", ",", ",\n    ", "\n\t", ",\n# for now\n  "]).join(some)

    def service(self, line, *options):
        self.services.append((line, list(options)))

    # ---- What sites are

    def null_client(self):
        self.set(mydestination="", relayhost=f"[{self.rng.choice(['smarthost', '$mydomain', 'mail.$mydomain'])}]", inet_interfaces="loopback-only",
                 local_transport="error:local delivery is disabled")
        self.maybe(0.5, mynetworks_style="host", masquerade_domains="$mydomain")
        self.services = [(line, options) for line, options in self.services if not line.startswith(("local", "virtual"))]

    def exchange_gateway(self):
        self.set(mydestination="", local_recipient_maps="", local_transport="error:local mail delivery is disabled", relay_domains=self.listed("$mydomain", f"sub.{self.domain}", "partner.example"),
                 relay_recipient_maps=self.listed(self.table("relay_recipients"), "proxy:ldap:/etc/postfix/ad-users.cf"), transport_maps=self.table("transport"),
                 smtpd_recipient_restrictions=self.listed("permit_mynetworks", "reject_unauth_destination", "reject_non_fqdn_sender", "reject_unknown_sender_domain",
                                                          "check_sender_access " + self.table("sender_access"), "reject_rbl_client zen.dnsbl.example=127.0.0.[2..11]", "reject_unverified_recipient"))
        self.maybe(0.6, address_verify_map="btree:$data_directory/verify_cache", unverified_recipient_reject_code="550")
        self.maybe(0.5, message_size_limit=str(self.rng.choice([20480000, 52428800, 0])), header_checks="pcre:/etc/postfix/header_checks")
        self.maybe(0.3, smtp_tls_policy_maps=self.table("tls_policy"), smtp_tls_security_level="may")

    def hosting(self):
        engine = self.rng.choice(["mysql", "pgsql", "sqlite", "ldap"])
        proxied = self.rng.choice(["proxy:", ""])
        self.set(alias_maps="hash:/etc/aliases", virtual_mailbox_domains=f"{proxied}{engine}:/etc/postfix/sql/domains.cf", virtual_mailbox_maps=f"{proxied}{engine}:/etc/postfix/sql/mailboxes.cf",
                 virtual_alias_maps=self.listed(f"{proxied}{engine}:/etc/postfix/sql/aliases.cf", f"{proxied}{engine}:$config_directory/sql/catchall.cf"),
                 virtual_transport=self.rng.choice(["lmtp:unix:private/dovecot-lmtp", "dovecot", "virtual"]), smtpd_sasl_type="dovecot", smtpd_sasl_path="private/auth", smtpd_sasl_auth_enable="yes",
                 smtpd_relay_restrictions="permit_mynetworks permit_sasl_authenticated defer_unauth_destination")
        self.maybe(0.5, virtual_mailbox_base="/var/vmail", virtual_uid_maps="static:5000", virtual_gid_maps="static:5000", virtual_minimum_uid="100")
        self.maybe(0.5, proxy_read_maps="$local_recipient_maps $mydestination $virtual_alias_maps\n $virtual_mailbox_maps $virtual_mailbox_domains")
        self.maybe(0.5, smtpd_sender_login_maps=f"{engine}:/etc/postfix/sql/logins.cf", smtpd_sender_restrictions="reject_authenticated_sender_login_mismatch")
        self.service("submission inet n       -       y       -       -       smtpd", *[option for option in SUBMISSION if self.rng.random() < 0.7])
        self.service("dovecot   unix  -       n       n       -       -       pipe", "@flags=DRhu user=vmail:vmail argv=/usr/lib/dovecot/deliver -f ${sender} -d ${recipient}")
        self.maybe(0.6, dovecot_destination_recipient_limit="1")

    def mailman(self):
        self.set(relay_domains="$mydestination, lists.$mydomain", transport_maps=self.table("transport"), mailman_destination_recipient_limit="1", recipient_delimiter="+",
                 alias_maps=self.listed("hash:/etc/aliases", "hash:/var/lib/mailman/data/aliases"), alias_database="hash:/etc/aliases")
        self.maybe(0.5, owner_request_special="no", unknown_local_recipient_reject_code="550", local_recipient_maps="proxy:unix:passwd.byname $alias_maps regexp:/var/lib/mailman3/data/postfix_lmtp")
        self.service("mailman   unix  -       n       n       -       -       pipe", "@flags=FR user=list argv=/usr/lib/mailman/bin/postfix-to-mailman.py", "@${nexthop} ${user}")

    def two_providers(self):
        self.set(sender_dependent_default_transport_maps=self.table("sender_transport"), smtp_bind_address="192.0.2.10", default_transport="smtp", slow_destination_concurrency_limit="2",
                 slow_destination_rate_delay="1s", smtp_connection_cache_destinations="$relayhost")
        self.service("isp-a     unix  -       -       n       -       -       smtp", "smtp_bind_address=192.0.2.10", "smtp_helo_name=a.$mydomain", "syslog_name=postfix-a")
        self.service("isp-b     unix  -       -       n       -       -       smtp", "smtp_bind_address=198.51.100.7", "smtp_helo_name=b.$mydomain", "syslog_name=postfix-b")
        self.service("slow      unix  -       -       n       -       5       smtp", "smtp_fallback_relay=", "smtp_destination_concurrency_limit=1")
        self.maybe(0.5, fallback_relay="", smtp_fallback_relay="[backup.$mydomain]:10025", smtp_randomize_addresses="no")

    def content_filter(self):
        port = self.rng.choice([10024, 10026])
        self.set(content_filter=self.rng.choice([f"smtp-amavis:[127.0.0.1]:{port}", f"lmtp-amavis:[127.0.0.1]:{port}", f"scan:127.0.0.1:{port}"]))
        self.maybe(0.6, smtpd_milters="unix:/spamass/spamass.sock, inet:localhost:8891", non_smtpd_milters="$smtpd_milters", milter_default_action="accept", milter_protocol="6")
        self.maybe(0.5, receive_override_options="no_address_mappings")
        self.service("smtp-amavis unix -      -       y     -       2  smtp", "smtp_data_done_timeout=1200", "smtp_send_xforward_command=yes", "disable_dns_lookups=yes", "max_use=20")
        self.service(f"127.0.0.1:{port + 1} inet n  -       y     -       -  smtpd", "content_filter=", "smtpd_restriction_classes=", "smtpd_recipient_restrictions=permit_mynetworks,reject",
                     "mynetworks=127.0.0.0/8", "smtpd_error_sleep_time=0", "receive_override_options=no_header_body_checks,no_unknown_recipient_checks", "{ smtpd_client_restrictions = permit_mynetworks, reject }")

    def one_of_several(self):
        self.set(multi_instance_wrapper="${command_directory}/postmulti -p --", multi_instance_enable=self.rng.choice(["yes", "no"]), multi_instance_directories="/etc/postfix-out /etc/postfix-in",
                 multi_instance_group=self.rng.choice(["mta", ""]), multi_instance_name=f"postfix-{self.rng.choice(['in', 'out'])}", queue_directory="/var/spool/postfix-out", data_directory="/var/lib/postfix-out",
                 master_service_disable=self.rng.choice(["", "inet", "smtp.inet"]), authorized_submit_users=self.rng.choice(["", "root", "static:anyone"]))

    def smarthost_with_login(self):
        self.set(relayhost=f"[smtp.{self.rng.choice(['provider', 'isp'])}.example]:{self.rng.choice(['587', 'submission', '465'])}", smtp_sasl_auth_enable="yes", smtp_sasl_password_maps=self.table("sasl_passwd"),
                 smtp_sasl_security_options=self.rng.choice(["noanonymous", "noanonymous, noplaintext", ""]), smtp_tls_security_level=self.rng.choice(["may", "encrypt", "secure"]))
        self.maybe(0.5, smtp_sasl_tls_security_options="noanonymous", smtp_sasl_mechanism_filter="plain, login", smtp_use_tls="yes")
        self.maybe(0.5, smtp_generic_maps=self.table("generic"), sender_canonical_maps="regexp:/etc/postfix/sender_canonical", sender_dependent_relayhost_maps=self.table("relayhosts"),
                   smtp_sender_dependent_authentication="yes")
        self.maybe(0.4, smtp_tls_wrappermode="yes", smtp_tls_CAfile="/etc/ssl/certs/ca-certificates.crt")

    def guarded_front(self):
        self.set(postscreen_access_list="permit_mynetworks, cidr:/etc/postfix/postscreen_access.cidr", postscreen_greet_action="enforce", postscreen_dnsbl_threshold="3", postscreen_dnsbl_action="enforce",
                 postscreen_dnsbl_sites=self.listed("zen.dnsbl.example*3", "bl.example=127.0.0.2*2", "swl.example=127.0.[0..255].[1..3]*-2"), smtpd_client_connection_rate_limit="30",
                 anvil_rate_time_unit="60s", smtpd_restriction_classes="greylist, strict", greylist="check_policy_service inet:127.0.0.1:10023",
                 strict=self.listed("reject_non_fqdn_helo_hostname", "reject_invalid_helo_hostname", "reject_unknown_helo_hostname"))
        self.maybe(0.6, smtpd_helo_required="yes", disable_vrfy_command="yes", strict_rfc821_envelopes="${stress?{no}:{yes}}", smtpd_timeout="${stress?{10}:{300}}s")
        self.maybe(0.5, smtpd_data_restrictions="reject_unauth_pipelining, permit", smtpd_client_restrictions=self.listed("permit_mynetworks", "check_client_access " + self.table("clients"), "greylist", "permit"))
        if self.rng.random() < 0.6:
            self.services[0] = ("smtp      inet  n       -       y       -       1       postscreen", [])
            self.service("smtpd     pass  -       -       y       -       -       smtpd")
            self.service("dnsblog   unix  -       -       y       -       0       dnsblog")
            self.service("tlsproxy  unix  -       -       y       -       0       tlsproxy")

    def campus(self):
        """Old habits: local users, forwards, many hosts behind one name."""
        self.set(mydestination=self.listed("$myhostname", "localhost.$mydomain", "localhost", "$mydomain", "www.$mydomain"), home_mailbox=self.rng.choice(["Maildir/", "Mailbox"]),
                 alias_maps=self.listed("hash:/etc/aliases", "nis:mail.aliases"), canonical_maps=self.table("canonical"), masquerade_domains="$mydomain", masquerade_exceptions="root, mailer-daemon",
                 luser_relay=self.rng.choice(["$user@other.$mydomain", "", "admin+$local"]), mailbox_size_limit="0", mailbox_command=self.rng.choice(["procmail -a \"$EXTENSION\"", "/usr/bin/maildrop -d \"$USER\"", ""]),
                 notify_classes="resource, software, policy", relocated_maps=self.table("relocated"), biff="no", readme_directory="no")
        self.maybe(0.4, forward_path="$home/.forward${recipient_delimiter}${extension}, $home/.forward", recipient_delimiter="+-", local_destination_concurrency_limit="2", 
                   html_directory="/usr/share/doc/postfix/html")
        self.service("uucp      unix  -       n       n       -       -       pipe", "@flags=Fqhu user=uucp argv=uux -r -n -z -a$sender - $nexthop!rmail ($recipient)")
        self.service("maildrop  unix  -       n       n       -       -       pipe", "@flags=DRXhu user=vmail argv=/usr/bin/maildrop -d ${recipient}")

    def encrypted(self):
        self.set(smtpd_tls_cert_file=f"/etc/letsencrypt/live/$myhostname/fullchain.pem", smtpd_tls_key_file="/etc/letsencrypt/live/$myhostname/privkey.pem", smtpd_tls_security_level="may",
                 smtpd_tls_mandatory_protocols=self.rng.choice([">=TLSv1.2", "!SSLv2, !SSLv3, !TLSv1"]), smtpd_tls_loglevel="1", smtp_tls_session_cache_database="btree:${data_directory}/smtp_scache",
                 smtp_tls_security_level="dane", smtp_dns_support_level="dnssec", tls_preempt_cipherlist="yes", tls_ssl_options="NO_COMPRESSION")
        self.maybe(0.5, smtpd_tls_session_cache_database="btree:${data_directory}/smtpd_scache", smtpd_tls_received_header="yes", tls_high_cipherlist="ECDHE+AESGCM:!aNULL", smtpd_tls_eecdh_grade="auto",
                   smtpd_tls_exclude_ciphers="aNULL, MD5, DES", smtpd_tls_dh1024_param_file="${config_directory}/dh2048.pem", smtpd_use_tls="yes")
        self.service("smtps     inet  n       -       y       -       -       smtpd", "smtpd_tls_wrappermode=yes", *[option for option in SUBMISSION if self.rng.random() < 0.6])

    KINDS = ["null_client", "exchange_gateway", "hosting", "mailman", "two_providers", "content_filter", "one_of_several", "smarthost_with_login", "guarded_front", "campus", "encrypted"]

    # ---- How people write it down

    def spoiled(self):
        """What goes wrong in files that are years old: said twice, misspelt, left over."""
        rng = self.rng
        if rng.random() < 0.5:
            name, value = rng.choice(self.main)
            self.main.insert(rng.randrange(len(self.main) + 1), (name, value))
        self.maybe(0.4, **{rng.choice(["smtpd_recipent_restrictions", "mynetwork", "relay_host", "smtp_tls_securty_level", "old_setting"]): "value of it"})
        self.maybe(0.3, my_networks="10.0.0.0/8", mynetworks="127.0.0.0/8 $my_networks")
        self.maybe(0.2, relayhost="")
        self.maybe(0.2, alias_database="${{$compatibility_level} < {2} ? {hash:/etc/aliases} : {lmdb:/etc/aliases}}")
        self.maybe(0.2, mynetworks="$nowhere_defined 127.0.0.0/8")

    def main_cf(self):
        rng, out = self.rng, []
        for name, value in self.main:
            if rng.random() < 0.15:
                out.append(rng.choice(["", "# " + name + " = as it was", "#", f"# {self.domain}", "\t", "   # indented"]))
            out.append(f"{name}{rng.choice([' = ', ' = ', ' = ', '=', '  =   ', ' ='])}{value}{rng.choice(['', '', '', ' ', chr(9)])}")
        return "\n".join(out) + "\n"

    def master_cf(self):
        rng, chroot, out = self.rng, self.rng.choice("ny-"), ["# service type  private unpriv  chroot  wakeup  maxproc command + args"]
        for line, options in self.services:
            out.append(line.replace("{y}", chroot))
            for option in options:
                if option.startswith("@"):
                    out.append("  " + option[1:])
                elif rng.random() < 0.1:
                    out.append("#  -o " + option)
                else:
                    out.append(rng.choice(["  -o ", "\t-o ", "    -o  "]) + option)
        return "\n".join(out) + "\n"

    def lines(self):
        """The command lines of the question."""
        rng = self.rng
        names = [name for name, _ in self.main]
        some = rng.sample(sorted(set(names)), k=min(5, len(set(names))))
        service = rng.choice(self.services)[0].split()
        asked = [["-n"], ["-Mf"], ["-P"], ["-x", *some], rng.choice([["-nf"], ["-nx"], ["-F"], ["-M"], ["-Px"], ["-Ff"], ["-nh"], ["-Mh"]]),
                 rng.choice([["-h", *some[:2]], ["-H", *some[:2]], ["-M", f"{service[0]}/{service[1]}"], ["-F", f"*/{service[1]}"], ["-P", f"{service[0]}/{service[1]}"], ["-Mf", service[0]],
                             ["-o", f"{some[0]}={dict(self.main)[some[0]]}", "-x", some[0]], ["-C", "user"], ["-p", *some[:1]]]),
                 rng.choice([["-e", f"{some[0]}=new value", "unheard_of=1"], ["-X", some[0]], ["-#", some[0]], ["-e", f"{some[-1]}=$myhostname, $mydomain"],
                             ["-Me", f"extra/unix=extra unix - - n - {rng.randint(1, 9)} smtp -o {{ smtp_helo_name = $myhostname x }}"], ["-MX", f"{service[0]}/{service[1]}"],
                             ["-M#", f"{service[0]}/{service[1]}"], ["-Fe", f"{service[0]}/{service[1]}/chroot=y"], ["-Pe", f"{service[0]}/{service[1]}/smtp_bind_address=192.0.2.1"],
                             ["-Fe", f"{service[0]}/{service[1]}/process_limit=7", f"{service[0]}/{service[1]}/wakeup=60?"]])]
        if rng.random() < 0.3:
            asked.append(["-d", *rng.sample(["inet_interfaces", "mynetworks_style", "relay_domains", "smtpd_recipient_limit", "recipient_delimiter"], k=2)])
        return asked


def questions(seed):
    """(name, main.cf, master.cf, command lines)"""
    for kind in Site.KINDS:
        for number in range(EACH):
            site = Site(random.Random(f"{seed} {kind} {number}"))
            getattr(site, kind)()
            for other in site.rng.sample([one for one in Site.KINDS if one != kind], k=site.rng.choice([0, 0, 1])):      # sites are more than one thing
                getattr(site, other)()
            site.spoiled()
            yield f"{kind} {number}", site.main_cf(), site.master_cf(), site.lines()


def main():
    options = argparse.ArgumentParser()
    options.add_argument("program", type=pathlib.Path)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--show")
    options = options.parse_args()
    debian, area = frame.Debian(), frame.Area("postconf", postconf.ACCEPTED)
    asked = list(questions(options.seed))
    cases = [(name, main_cf, master_cf, args, {"database-file", "comment-place"}) for name, main_cf, master_cf, lines in asked for args in lines]
    found, exact = {}, set(name for name, *_ in asked)
    with frame.workshop() as folder:
        for case, answers in postconf.Asker(debian, options.program, folder).ask(cases):
            if options.show == case[0]:
                print(case[1], case[2], case[3], answers, sep="\n")
            if problems := postconf.compare(case, *answers):
                found.setdefault(case[0], []).append(postconf.told(case, problems))
            elif postconf.compare((*case[:4], set()), *answers):
                exact.discard(case[0])
    for name, main_cf, master_cf, lines in asked:
        if name in found:
            area.differ(f"{name} ({len(found[name])} of {len(lines)} command lines)\n" + "\n".join(found[name]))
        else:
            area.accept([] if name in exact else ["database-file" if "/" in "".join(re.findall("(?:sql|ldap):(.)", main_cf)) else "comment-place"])
    print(f"{len(cases)} command lines over {len(asked)} configurations")
    return area.close(options.seed)


if __name__ == "__main__":
    frame.guarded(main)
