#!/usr/bin/env python3
"""Configurations in the manner of products and of what is written about them: a mail gateway with its scanner before and behind the queue, groupware that is
scanned twice, hosting panels, list managers by pipes and by LMTP, a forum that takes mail, a forwarder that rewrites senders, a filter that sees mail before
its aliases. moving_in.py's questions to Debian's Postfix and to us. Skipped (77) without Debian's packages or root.

  products.py BIN [--site NAME] [--break]     --break: our sites know no relayhost and no tables of recipients; differences must be found
"""
import contextlib

import moving_in
from moving_in import Site, frame

# What a port does without behind a filter, all of it said on its line.
BEHIND = """-o local_recipient_maps= -o virtual_mailbox_maps= -o virtual_alias_maps= -o relay_recipient_maps= -o smtpd_restriction_classes= -o smtpd_delay_reject=no
  -o smtpd_client_restrictions=permit_mynetworks,reject -o smtpd_helo_restrictions= -o smtpd_sender_restrictions= -o smtpd_relay_restrictions= -o smtpd_data_restrictions= -o smtpd_milters=
  -o smtpd_recipient_restrictions=permit_mynetworks,reject -o smtpd_end_of_data_restrictions= -o smtpd_reject_unlisted_sender=no -o smtpd_sasl_auth_enable=no -o mynetworks_style=host
  -o mynetworks=127.0.0.0/8,[::1]/128 -o strict_rfc821_envelopes=yes -o smtpd_error_sleep_time=0 -o smtpd_soft_error_limit=1001 -o smtpd_hard_error_limit=1000
  -o smtpd_client_connection_count_limit=0 -o smtpd_client_connection_rate_limit=0 -o local_header_rewrite_clients= -o syslog_name=postfix/behind
  -o receive_override_options=no_header_body_checks,no_unknown_recipient_checks,no_address_mappings
"""
# Its arguments, and what a configuration decides of the message.
TELLS = "#!/bin/sh\n{ echo \"$(basename $0): $*\"; sed -nE '/^(Return-Path:|X-|Delivered-To:|>From )/p; s/^(From [^ ]*).*/\\1/p; /^$/q'; cat >/dev/null; } >>$TOLD\n"
ENVIRONMENT = TELLS + "env | grep -E '^(SENDER|RECIPIENT|LOCAL|DOMAIN|EXTENSION|USER|LOGNAME|HOME|SHELL|ORIGINAL_RECIPIENT|CLIENT_ADDRESS|CLIENT_HELO|CLIENT_PROTOCOL)=' >>$TOLD\n"
# A policy server that spawn starts: names of recipients say what it answers.
POLICY = """#!/usr/bin/python3
import sys
ANSWERS = {"refused": "REJECT closed list", "strict": "strictest", "later": "DEFER_IF_PERMIT service is not there", "marked": "PREPEND X-Policy: seen"}
request = {}
for line in sys.stdin:
    name, _, value = line.rstrip("\\n").partition("=")
    request[name] = value
    if not name:
        print("action=" + ANSWERS.get(request.get("recipient", "").split("@")[0], "DUNNO") + "\\n", flush=True)
        request = {}
"""
# A tcp: table behind spawn.
RETURN_PATHS = """#!/usr/bin/python3
import sys
for line in sys.stdin:
    key = line.split(" ", 1)[1].strip()
    print("200 joe@panel.test" if key.startswith("SRS0=") else "500 none", flush=True)
"""
GATEWAY = {
    "mydestination": "$myhostname localhost.$mydomain localhost", "relay_domains": "hash:{folder}/domains", "transport_maps": "hash:{folder}/transport", "smtpd_banner": "$myhostname ESMTP gateway",
    "smtpd_hard_error_limit": "10", "smtpd_soft_error_limit": "5", "smtpd_helo_required": "yes", "unverified_recipient_reject_code": "550", "smtpd_data_restrictions": "reject_unauth_pipelining",
    "lmtp_destination_recipient_limit": "1000", "alias_maps": "hash:{folder}/aliases", "mailbox_transport": "lmtp:inet:127.0.0.1:{boxes}", "message_size_limit": "10485760", "mailbox_size_limit": "0",
    "smtpd_sender_restrictions": "permit_mynetworks reject_non_fqdn_sender check_client_access cidr:{folder}/clients check_sender_access regexp:{folder}/senders",
    "smtpd_recipient_restrictions": "permit_mynetworks reject_unauth_destination reject_non_fqdn_recipient check_recipient_access regexp:{folder}/recipients check_sender_access regexp:{folder}/senders "
    "check_client_access cidr:{folder}/clients check_policy_service inet:127.0.0.1:{policy}"}
GATEWAY_TABLES = {"hash:domains": "inside.test x\n", "hash:transport": "inside.test smtp:[127.0.0.1]:{sink}\n", "hash:aliases": "postmaster: root\n", "cf:clients": "127.0.0.77 REJECT\n",
                  "regexp:senders": "/^bad@far\\.test$/ REJECT\n", "regexp:recipients": "/^open@inside\\.test$/ OK\n/^closed@inside\\.test$/ 550 no mail\n"}
GATEWAY_ASKED = {"line1": ("127.0.0.2", ("user@inside.test", "closed@inside.test", "refused@inside.test", "x@far.test", "root@mail.demo.test", "user%far.test@inside.test", "bare")),
                 "line2": ("127.0.0.1", ("x@far.test", "root@mail.demo.test"))}

SITES = {
    "gateway, its scanner behind the queue": Site(
        GATEWAY, """scan unix - - n - - lmtp -o lmtp_send_xforward_command=yes -o lmtp_connection_cache_on_demand=no -o disable_dns_lookups=yes -o lmtp_data_done_timeout=600s
127.0.0.1:{line1} inet n - n - 100 smtpd -o content_filter=scan:127.0.0.1:{filter}
127.0.0.1:{line2} inet n - n - 100 smtpd -o content_filter=scan:127.0.0.1:{filter} -o smtpd_client_restrictions=permit_mynetworks,reject -o smtpd_sender_restrictions=
  -o smtpd_recipient_restrictions=permit_mynetworks,reject -o receive_override_options=no_address_mappings -o syslog_name=postfix/inside
127.0.0.1:{back} inet n - n - - smtpd -o content_filter= """ + BEHIND, GATEWAY_TABLES, outside=("open@inside.test",), over=GATEWAY_ASKED),
    "gateway, its scanner before the queue": Site(
        GATEWAY, """127.0.0.1:{line1} inet n - n - 100 smtpd -o smtpd_proxy_filter=127.0.0.1:{filter} -o smtpd_proxy_options=speed_adjust -o smtpd_client_connection_count_limit=10
127.0.0.1:{line2} inet n - n - 100 smtpd -o smtpd_proxy_filter=127.0.0.1:{filter}
127.0.0.1:{back} inet n - n - - smtpd -o smtpd_proxy_filter= -o smtpd_authorized_xforward_hosts=127.0.0.0/8 """ + BEHIND, GATEWAY_TABLES, over=GATEWAY_ASKED),
    # Scanned by one filter and worked by another, policy by programs, lists that name each other.
    "groupware, scanned twice": Site(
        {"mydestination": "$myhostname, ware.test", "local_recipient_maps": "hash:{folder}/users", "virtual_maps": "$alias_maps, hash:{folder}/other", "mailbox_transport": "lmtp:inet:127.0.0.1:{boxes}",
         "transport_maps": "proxy:hash:{folder}/transport", "alias_maps": "hash:{folder}/aliases", "recipient_delimiter": "+", "content_filter": "smtp-scan:[127.0.0.1]:{filter}", "owner_request_special": "no",
         "canonical_maps": "hash:{folder}/canonical", "masquerade_domains": "$mydomain", "masquerade_exceptions": "root", "sender_canonical_maps": "hash:{folder}/senders", "sender_canonical_classes": "envelope_sender, header_sender",
         "smtpd_restriction_classes": "strict, stricter, strictest", "strict": "reject_non_fqdn_sender, stricter", "stricter": "check_sender_access regexp:{folder}/strange, permit",
         "strictest": "check_client_access cidr:{folder}/clients, strict", "always_add_missing_headers": "yes", "smtpd_end_of_data_restrictions": "check_policy_service inet:127.0.0.1:{policy}",
         "smtpd_recipient_restrictions": "check_policy_service unix:private/listfilter, permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination, check_recipient_access hash:{folder}/guarded",
         "submission_recipient_restrictions": "check_policy_service unix:private/listfilter, permit_sasl_authenticated, reject", "mua_client_restrictions": "permit_sasl_authenticated, reject",
         "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": "inet:127.0.0.1:{login}", "smtpd_sasl_authenticated_header": "yes", "smtpd_sender_login_maps": "hash:{folder}/logins",
         "smtpd_tls_chain_files": "{folder}/chain.pem", "smtpd_tls_security_level": "may"},
        """listfilter unix - n n - 0 spawn user=nobody argv={programs}/policy -b site
smtp-scan unix - - n - 3 smtp -o smtp_data_done_timeout=1800 -o disable_dns_lookups=yes -o smtp_send_xforward_command=yes -o max_use=20 -o smtp_bind_address=127.0.0.5
smtp-work unix - - n - 3 smtp -o default_destination_recipient_limit=1 -o disable_dns_lookups=yes -o smtp_send_xforward_command=yes -o disable_mime_output_conversion=yes -o smtp_generic_maps=
127.0.0.1:{submission} inet n - n - - smtpd -o cleanup_service_name=hidden -o smtpd_sender_restrictions=reject_sender_login_mismatch -o smtpd_recipient_restrictions=$submission_recipient_restrictions
  """ + moving_in.SUBMISSION + """hidden unix n - n - 0 cleanup -o header_checks=regexp:{folder}/hidden
127.0.0.1:{back} inet n - n - - smtpd -o content_filter=smtp-work:[127.0.0.1]:{filter2} """ + BEHIND + "127.0.0.1:{back2} inet n - n - - smtpd -o content_filter= " + BEHIND,
        {"hash:users": "joe@ware.test x\nann@ware.test x\nstrict@ware.test x\nmarked@ware.test x\nlater@ware.test x\n", "hash:other": "info@ware.test joe@ware.test\nteam@ware.test joe@ware.test, ann@ware.test, x@far.test\n",
         "hash:transport": "car@ware.test smtp-work:[127.0.0.1]:{filter2}\n", "hash:aliases": "root: joe@ware.test\n", "hash:canonical": "old@ware.test joe@ware.test\n", "hash:senders": "stranger@far.test known@far.test\n",
         "regexp:strange": "/^stranger/ REJECT you are strange\n", "cf:clients": "127.0.0.3 REJECT\n127.0.0.0/8 DUNNO\n", "hash:guarded": "ann@ware.test stricter\nteam@ware.test OK\n", "hash:logins": "joe@virtual.test joe@virtual.test\n",
         "regexp:hidden": "/^Received: from .*/ REPLACE Received: from [private]\n"},
        outside=("joe@ware.test", "info@ware.test", "team@ware.test", "ann@ware.test", "old@ware.test", "none@ware.test", "refused@ware.test", "strict@ware.test", "later@ware.test", "marked@ware.test", "x@far.test"),
        inside=("x@far.test", "ann@ware.test"), logged_in=("x@far.test", "team@ware.test", "none@ware.test"), command=("root@mail.demo.test", "team@ware.test"), sender="joe@virtual.test", programs={"policy": POLICY}),
    # The scanner sees recipients as they came, the port behind it maps them; header checks, copies and completed headers are of one time each.
    "a filter before the aliases": Site(
        {"mydestination": "here.test", "content_filter": "scan:[127.0.0.1]:{filter}", "virtual_alias_maps": "hash:{folder}/virtual", "canonical_maps": "hash:{folder}/canonical", "sender_bcc_maps": "hash:{folder}/copies",
         "header_checks": "regexp:{folder}/headers", "body_checks": "regexp:{folder}/body", "alias_maps": "hash:{folder}/aliases", "mailbox_transport": "lmtp:inet:127.0.0.1:{boxes}", "strict_rfc821_envelopes": "yes",
         "smtpd_recipient_restrictions": "permit_mynetworks, reject_unauth_destination, check_policy_service unix:private/policyd-spf", "policyd-spf_time_limit": "3600"},
        """scan unix - - n - 2 smtp -o smtp_data_done_timeout=1200 -o smtp_send_xforward_command=yes -o disable_dns_lookups=yes -o max_use=20
127.0.0.1:{back} inet n - n - - smtpd -o content_filter= -o local_recipient_maps= -o smtpd_delay_reject=no -o smtpd_client_restrictions=permit_mynetworks,reject -o smtpd_recipient_restrictions=permit_mynetworks,reject
  -o mynetworks=127.0.0.0/8 -o receive_override_options=no_unknown_recipient_checks,no_milters -o local_header_rewrite_clients=
127.0.0.1:{line1} inet n - n - - smtpd -o cleanup_service_name=pre-cleanup
127.0.0.1:{line2} inet n - n - - smtpd -o receive_override_options=no_address_mappings -o smtpd_client_restrictions=permit_mynetworks,reject -o content_filter=
pre-cleanup unix n - n - 0 cleanup -o virtual_alias_maps= -o canonical_maps= -o sender_canonical_maps= -o recipient_canonical_maps= -o masquerade_domains= -o always_bcc= -o sender_bcc_maps= -o recipient_bcc_maps=
policyd-spf unix - n n - 0 spawn user=nobody argv={programs}/policy
""", {"hash:virtual": "team@here.test root@here.test, x@far.test\n", "hash:canonical": "stranger@far.test known@far.test\na@b.test z@b.test\n", "hash:copies": "known@far.test log@far.test\nstranger@far.test log2@far.test\n",
      "regexp:headers": "/^Subject: moving/ PREPEND X-Checked: yes\n", "regexp:body": "/^hello/ WARN hello\n", "hash:aliases": "staff: root, y@far.test\n"},
        outside=("root@here.test", "team@here.test", "staff@here.test", "marked@here.test", "refused@here.test", "x@far.test"), inside=("x@far.test",), command=("team@here.test",),
        over={"line1": ("127.0.0.2", ("team@here.test", "staff@here.test")), "line2": ("127.0.0.1", ("team@here.test", "x@far.test"))}, programs={"policy": POLICY}),
    # Mailboxes by a wrapper of procmail, an address of ours for each customer, answers of those who are away, return paths by a program.
    "hosting panel": Site(
        {"mydestination": "$myhostname, ns.demo.test", "virtual_alias_maps": "$virtual_maps, hash:{folder}/virtual", "virtual_maps": "", "sender_bcc_maps": "hash:{folder}/copies", "recipient_bcc_maps": "hash:{folder}/incoming",
         "sender_dependent_default_transport_maps": "hash:{folder}/dependent", "home_mailbox": "Maildir/", "mailbox_command": "{programs}/wrapper -o -a $DOMAIN -d $LOGNAME", "allow_percent_hack": "no", "resolve_dequoted_address": "no",
         "relayhost": "", "transport_maps": ", regexp:{folder}/transport", "alias_maps": "hash:{folder}/aliases", "default_transport": "smtp:[127.0.0.1]:{sink}", "virtual_mailbox_domains": "$virtual_mailbox_maps, hash:{folder}/domains",
         "virtual_mailbox_maps": ", hash:{folder}/boxes", "panel_destination_recipient_limit": "1", "smtpd_sender_restrictions": "check_sender_access hash:{folder}/blocked", "authorized_flush_users": "",
         "authorized_mailq_users": "", "smtpd_authorized_xforward_hosts": "127.0.0.0/8 [::1]/128", "smtp_send_xforward_command": "yes", "smtpd_timeout": "3600s", "recipient_delimiter": "+", "non_smtpd_milters": "inet:127.0.0.1:{closed}",
         "smtpd_milters": "inet:127.0.0.1:{closed}", "milter_default_action": "accept", "milter_protocol": "2"},
        """customer-127.0.0.3 unix - - n - - smtp -o smtp_bind_address=127.0.0.3 -o smtp_bind_address6= -o smtp_helo_name=three.demo.test -o syslog_name=postfix/three
vacation unix - n n - - pipe flags=DRhu user=nobody argv={programs}/vacation -f ${{sender}} -- ${{recipient}}
panel unix - n n - - pipe flags=DORhu user=nobody:nogroup argv={programs}/panel -f ${{sender}} -d ${{recipient}} -p /var/mailnames -u ${{user}} -e ${{extension}} -c ${{client_address}}
127.0.0.1:{line2} inet n n n - - spawn user=nobody:nogroup argv={programs}/return_paths
127.0.0.1:{line1} inet n - n - - smtpd -o cleanup_service_name=returning
returning unix n - n - 0 cleanup -o recipient_canonical_maps=tcp:127.0.0.1:{line2} -o recipient_canonical_classes=envelope_recipient,header_recipient
""", {"hash:virtual": "dom.test dom.test\ninfo@dom.test root\nsales@dom.test root@mail.demo.test, x@far.test\n@catch.test nobody\ncatch.test x\nvac@dom.test root@mail.demo.test, vac@dom.test@autoreply.dom.test\n",
      "hash:copies": "stranger@far.test log@far.test\n", "hash:incoming": "info@dom.test copy@far.test\n", "hash:dependent": "stranger@far.test customer-127.0.0.3:[127.0.0.1]:{sink}\n", "regexp:transport": "/@autoreply\\.dom\\.test$/ vacation:\n/@panel\\.test$/ panel:\n",
      "hash:aliases": "webmaster: root\nautoreply-root: \"|{programs}/autoreply /etc/virtual/1 root@mail.demo.test 1\"\nboth: \\\\root, \"|{programs}/autoreply x\"\n", "hash:domains": "panel.test y\n", "hash:boxes": "joe@panel.test panel.test/joe/Maildir/\n",
      "hash:blocked": "bad@far.test REJECT\n"},
        outside=("info@dom.test", "sales@dom.test", "none@dom.test", "any@catch.test", "vac@dom.test", "webmaster@mail.demo.test", "autoreply-root@mail.demo.test", "both@mail.demo.test", "nobody@ns.demo.test", "joe+x@panel.test",
                 "none@panel.test", "joe%far.test@mail.demo.test", "joe%far.test@panel.test", "far.test!joe@panel.test", '"joe@far.test"@mail.demo.test', "x@far.test"),
        inside=("x@far.test", "info@dom.test"), command=("info@dom.test",), over={"line1": ("127.0.0.2", ("SRS0=x=far.test=joe@panel.test", "joe@panel.test"))},
        programs={"wrapper": TELLS, "vacation": TELLS, "panel": TELLS, "autoreply": TELLS, "return_paths": RETURN_PATHS}),
    "lists by pipes": Site(
        {"mydestination": "lists.test, localhost", "alias_maps": "hash:{folder}/aliases", "owner_request_special": "no", "recipient_delimiter": "+", "virtual_alias_maps": "hash:{folder}/virtual, regexp:{folder}/owners",
         "unknown_local_recipient_reject_code": "550", "virtual_alias_domains": "hash:{folder}/domains", "virtual_mailbox_domains": "regexp:{folder}/ways", "virtual_mailbox_maps": "hash:{folder}/addresses",
         "transport_maps": "hash:{folder}/addresses, regexp:{folder}/ways", "queue_destination_recipient_limit": "1", "bouncequeue_destination_recipient_limit": "1", "relayhost": "[127.0.0.1]:{sink}"},
        "queue unix - n n - - pipe flags=hqRu null_sender= user=nobody argv={programs}/queue ${{nexthop}}\nbouncequeue unix - n n - - pipe flags=hqRu user=nobody argv={programs}/bounced ${{nexthop}}\n",
        {"hash:aliases": "talk: \"|{programs}/lists post talk\"\ntalk-admin: \"|{programs}/lists admin talk\"\ntalk-bounces: \"|{programs}/lists bounces talk\"\ntalk-owner: \"|{programs}/lists owner talk\"\nowner-talk: talk-owner\n"
         "unknown: \"|{programs}/ends 67\"\nodd: \"|{programs}/ends 3\"\n", "hash:virtual": "v.test x\nnews@v.test talk\nnews-bounces@v.test talk-bounces\n", "hash:domains": "v.test x\n",
         "regexp:owners": "/^(.*)-owner\\@sy\\.test$/ $1+owner@sy.test\n", "regexp:ways": "/^.*\\+owner\\@sy\\.test$/ bouncequeue:\n/^sy\\.test$/ x\n",
         "hash:addresses": "manager@sy.test queue:manager@sy.test\nbounce@sy.test bouncequeue:manager@sy.test\ntalk@sy.test queue:talk@sy.test\ntalk+owner@sy.test bouncequeue:talk@sy.test\n"},
        outside=("talk@lists.test", "talk-bounces+joe=far.test@lists.test", "owner-talk@lists.test", "none@lists.test", "news@v.test", "news-bounces+a=b@v.test", "nonews@v.test", "unknown@lists.test", "odd@lists.test",
                 "manager@sy.test", "talk@sy.test", "talk-owner@sy.test", "bounce+talk==joe==far.test@sy.test", "none@sy.test"), command=("talk@lists.test", "talk@sy.test"),
        programs={"lists": ENVIRONMENT, "queue": TELLS, "bounced": TELLS, "ends": "#!/bin/sh\ncat >/dev/null\necho says $1\nexit $1\n"}),
    "lists over LMTP": Site(
        {"mydestination": "localhost", "owner_request_special": "no", "recipient_delimiter": "+", "transport_maps": "regexp:{folder}/patterns, texthash:{folder}/addresses", "local_recipient_maps": "regexp:{folder}/patterns texthash:{folder}/addresses",
         "relay_domains": "regexp:{folder}/domain_patterns, texthash:{folder}/domains", "relay_recipient_maps": "regexp:{folder}/patterns texthash:{folder}/addresses", "virtual_alias_maps": "texthash:{folder}/other"},
        "", {"regexp:patterns": "/^talk(\\+.*)?@l\\.test$/ lmtp:[127.0.0.1]:{boxes}\n/^talk-bounces(\\+.*)?@l\\.test$/ lmtp:[127.0.0.1]:{boxes}\n", "regexp:domain_patterns": "/^l\\.test$/ l.test\n",
             "cf:addresses": "# made by the list manager\nnews@m.test lmtp:[127.0.0.1]:{boxes}\nnews-bounces@m.test lmtp:[127.0.0.1]:{boxes}\nnews-owner@m.test lmtp:[127.0.0.1]:{boxes}\n", "cf:domains": "m.test m.test\n", "cf:other": "alias@m.test news@m.test\n"},
        outside=("talk@l.test", "talk+x@l.test", "talk-bounces+a=b@l.test", "none@l.test", "news@m.test", "news-bounces+verp=far.test@m.test", "alias@m.test", "nobody@m.test", "talk%far.test@l.test", "x@far.test"), inside=("x@far.test",)),
    "a forum that takes mail": Site(
        {"mydestination": "localhost", "relay_domains": "forum.test", "transport_maps": "hash:{folder}/transport", "virtual_alias_maps": "regexp:{folder}/all", "smtpd_recipient_restrictions": "check_policy_service unix:private/policy",
         "local_recipient_maps": "", "smtputf8_enable": "yes", "forum_destination_recipient_limit": "1", "code_destination_recipient_limit": "1", "recipient_delimiter": "+", "policy_time_limit": "3600s", "smtpd_policy_service_request_limit": "1"},
        """forum unix - n n - - pipe user=nobody:nogroup argv={programs}/receive ${{recipient}}
code unix - n n - - pipe flags=DRhu user=nobody null_sender= argv={programs}/code -x ${{extension}} -m ${{mailbox}} -d ${{domain}} -o ${{original_recipient}} -c ${{client_address}} -h ${{client_helo}} -p ${{client_protocol}} -n ${{nexthop}} -- ${{recipient}}
policy unix - n n - - spawn user=nobody argv={programs}/policy
""", {"hash:transport": "forum.test forum:\ncode.test code:\nincoming@code.test code:hop\n", "regexp:all": "/^incoming\\+.*@code\\.test$/ incoming@code.test\n/^(.+)@all\\.test$/ $1@forum.test\n"},
        outside=("reply+0123abc@forum.test", "refused@forum.test", "later@forum.test", "marked@forum.test", "x@far.test"), inside=("incoming+key@code.test", "any@all.test", "issue+a+b@code.test"), command=("reply+1@forum.test",),
        programs={"receive": TELLS, "code": TELLS, "policy": POLICY}),
    # Senders of elsewhere have an address of ours on their way out, and what comes back to it finds them.
    "forwarder": Site(
        {"mydestination": "here.test", "virtual_alias_maps": "hash:{folder}/virtual", "sender_canonical_maps": "socketmap:inet:127.0.0.1:{rewriter}:forward", "sender_canonical_classes": "envelope_sender",
         "recipient_canonical_maps": "socketmap:inet:127.0.0.1:{rewriter}:reverse", "recipient_canonical_classes": "envelope_recipient,header_recipient", "alias_maps": "hash:{folder}/aliases", "local_recipient_maps": "",
         "mailbox_transport": "lmtp:inet:127.0.0.1:{boxes}"},
        "", {"hash:virtual": "out@here.test y@far.test\n", "hash:aliases": "fwd: z@far.test\n"}, outside=("out@here.test", "fwd@here.test", "SRS0=x=far.test=joe@here.test", "SRS0=bad@here.test", "x@far.test"),
        inside=("x@far.test", "out@here.test"), command=("out@here.test", "x@far.test")),
    # A sender that each round makes longer: taken all the same.
    "rewriting that does not end": Site(
        {"mydestination": "here.test", "local_recipient_maps": "", "mailbox_transport": "lmtp:inet:127.0.0.1:{boxes}", "canonical_maps": "regexp:{folder}/canonical", "recipient_canonical_maps": "regexp:{folder}/recipients"},
        "", {"regexp:canonical": "/^(.*)@(b|far)\\.test$/ ${{1}}x@$2.test\n", "regexp:recipients": "/^(r.*)@here\\.test$/ ${{1}}y@here.test\n"}, outside=("root@here.test", "joe@here.test"), inside=("x@far.test", "x@b.test")),
    "smart host with names of its own": Site(
        {"mydestination": "$myhostname, here.test", "smtp_sasl_auth_enable": "yes", "smtp_sasl_password_maps": "hash:{folder}/passwords", "smtp_sasl_security_options": "noanonymous", "smtp_sasl_mechanism_filter": "plain, login",
         "smtp_tls_security_level": "may", "smtp_tls_policy_maps": "hash:{folder}/policy", "smtp_generic_maps": "regexp:{folder}/generic", "sender_canonical_classes": "envelope_sender, header_sender", "sender_canonical_maps": "regexp:{folder}/senders",
         "smtp_header_checks": "regexp:{folder}/out", "sender_dependent_relayhost_maps": "regexp:{folder}/relays", "smtp_sender_dependent_authentication": "yes", "smtp_destination_recipient_limit": "1", "alias_maps": "hash:{folder}/aliases"},
        "", {"hash:passwords": "[127.0.0.1]:{sink} KEY:word:with:colons\nboss@far.test boss@far.test:other secret\n", "hash:policy": "[127.0.0.1]:{sink} may\n", "regexp:generic": "/^root@.*/ noreply@far.test\n/^(.*)@mail\\.demo\\.test$/ $1.mail@far.test\n",
             "regexp:senders": "/^www-data@.*$/ web@far.test\n/^.+@here\\.test$/ boss@far.test\n", "regexp:out": "/^From:[ ]*(.*)<.*>/ REPLACE From: \"$1\" <noreply@far.test>\n/^From:[ ]*([^<>]*)$/ REPLACE From: noreply@far.test\n",
             "regexp:relays": "/@far\\.test$/ [127.0.0.1]:{sink}\n", "hash:aliases": "root: me@far.test\n"},
        inside=("x@far.test", "y@far.test", "root@here.test"), command=("x@far.test", "root"), sender="someone@here.test"),
}


class Rewriter(frame.Server):
    """socketmap tables: forward makes user@site SRS0=x=site=user@here.test, reverse what that was made of."""

    def talk(self, stream, file, told):
        size = b""
        while piece := file.read(1):
            if piece != b":":
                size += piece
                continue
            name, key = file.read(int(size) + 1)[:-1].decode().split(" ", 1)
            size = b""
            user, _, site = key.partition("@")
            made = None
            if name == "reverse" and user.startswith("SRS0=x="):
                _, _, domain, local = user.split("=", 3)
                made = f"{local}@{domain}"
            elif name == "forward" and site not in ("", "here.test"):
                made = f"SRS0=x={site}={user}@here.test"
            answer = f"OK {made}" if made else "NOTFOUND "
            stream.sendall(f"{len(answer)}:{answer},".encode())


def main():
    options = moving_in.options_for(SITES)
    frame.need_root()
    with contextlib.closing(Rewriter()) as rewriter:
        return moving_in.compare(frame.Area("products", moving_in.ACCEPTED), SITES, frame.Debian(), options, {"rewriter": rewriter.port}, at_once=2)


if __name__ == "__main__":
    frame.guarded(main)
