#!/usr/bin/env python3
"""Sites whose tables are in PostgreSQL, MariaDB, OpenLDAP and SQLite, as hosting software, directories and mail gateways have them: moving_in.py's questions
to Debian's Postfix and to us, both with the same servers behind them. Skipped (77) without Debian's packages, the servers or root.

  hosting.py BIN [--site NAME] [--break]     --break: our sites know no relayhost and no tables of recipients; differences must be found
"""
import contextlib
import sqlite3

import moving_in
from databases import MariaDB, Memcached, OpenLDAP, PostgreSQL
from moving_in import Site, frame

# What the administration of a hosting site keeps: domains (some of them only relayed), mailboxes, aliases, names of domains, who may send as whom.
ROWS = """
create table domain(name varchar(200), transport varchar(200), backupmx int, active int);
create table mailbox(username varchar(200), maildir varchar(200), quota bigint, active int, sends_as varchar(200));
create table alias(address varchar(200), target varchar(200), active int);
create table alias_domain(alias_domain varchar(200), target_domain varchar(200), active int);
create table access(pattern varchar(200), action varchar(200));
insert into domain values ('virtual.test','',0,1),('off.test','',0,0),('backup.test','relay',1,1),('all.test','',0,1);
insert into mailbox values ('joe@virtual.test','virtual.test/joe/',1000,1,'joe@virtual.test'),('ann@virtual.test','virtual.test/ann/',0,1,'ann@virtual.test'),
  ('off@virtual.test','virtual.test/off/',0,0,NULL),('o''neil@virtual.test','virtual.test/oneil/',0,1,''),('100%@virtual.test','virtual.test/all/',0,1,NULL);
insert into alias values ('joe@virtual.test','joe@virtual.test',1),('info@virtual.test','joe@virtual.test',1),('info@virtual.test','ann@virtual.test',1),
  ('staff@virtual.test','joe@virtual.test,x@far.test',1),('@all.test','ann@virtual.test',1),('empty@virtual.test','',1),('gone@virtual.test','joe@virtual.test',0),
  ('hostmaster@virtual.test','o''neil@virtual.test',1);
insert into alias_domain values ('other.test','virtual.test',1),('was.test','virtual.test',0);
insert into access values ('bad@far.test','REJECT not wanted'),('slow@far.test','DEFER_IF_PERMIT later'),('held@virtual.test','strict'),('127.0.0.2','DUNNO'),('client.test','OK');
"""
QUESTIONS = {
    "domains": "SELECT name FROM domain WHERE name = '%s' AND backupmx = 0 AND active = 1",
    "relayed": "SELECT name FROM domain WHERE name = '%s' AND backupmx = 1 AND active = 1",
    "boxes": "SELECT maildir FROM mailbox WHERE username = '%s' AND active = 1",
    "boxes_other": "SELECT maildir FROM mailbox, alias_domain WHERE alias_domain.alias_domain = '%d' AND mailbox.username = CONCAT('%u', '@', alias_domain.target_domain) AND mailbox.active = 1 AND alias_domain.active = 1",
    "others": "SELECT alias_domain FROM alias_domain WHERE alias_domain = '%s' AND active = 1",
    "aliases": "SELECT target FROM alias WHERE address = '%s' AND active = 1 ORDER BY target",
    "aliases_other": "SELECT target FROM alias, alias_domain WHERE alias_domain.alias_domain = '%d' AND alias.address = CONCAT('%u', '@', alias_domain.target_domain) AND alias.active = 1 AND alias_domain.active = 1 ORDER BY target",
    "catchall_other": "SELECT target FROM alias, alias_domain WHERE alias_domain.alias_domain = '%d' AND alias.address = CONCAT('@', alias_domain.target_domain) AND alias_domain.active = 1",
    "all": "SELECT maildir AS what FROM mailbox WHERE username = '%s' AND active = 1 UNION SELECT target AS what FROM alias WHERE address = '%s' AND active = 1",
    "transport": "SELECT transport FROM domain WHERE name = '%s'",
    "logins": "SELECT username FROM mailbox WHERE sends_as = '%s' UNION SELECT target FROM alias WHERE address = '%s' AND active = 1",
    "access": "SELECT action FROM access WHERE pattern = '%s'",
}
# The sources, and what each of them calls joined text.
SOURCES = {"mysql": "hosts = inet:127.0.0.1:{mysql}\nuser = mail\npassword = secret\ndbname = mail\n", "pgsql": "hosts = 127.0.0.1:{pgsql}\nuser = mail\npassword = secret\ndbname = postgres\n",
           "sqlite": "dbpath = {sqlite}\n"}


def sql(kind, *names, **formats):
    """The tables of these questions; a format is the result_format of its question."""
    joined = {"CONCAT('%u', '@', alias_domain.target_domain)": "'%u' || '@' || alias_domain.target_domain", "CONCAT('@', alias_domain.target_domain)": "'@' || alias_domain.target_domain"}
    files = {}
    for name in names:
        question = QUESTIONS[name]
        for there, here in joined.items() if kind == "sqlite" else ():
            question = question.replace(there, here)
        files[f"cf:{kind}_{name}.cf"] = SOURCES[kind] + f"query = {question}\n" + (f"result_format = {formats[name]}\n" if name in formats else "")
    return files


DIRECTORY = """
dn: ou=people,dc=test
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=test
objectClass: organizationalUnit
ou: groups

dn: ou=virtual.test,dc=test
objectClass: organizationalUnit
objectClass: extensibleObject
ou: virtual.test
associatedDomain: virtual.test
associatedDomain: other.test

dn: uid=joe,ou=people,dc=test
objectClass: inetOrgPerson
objectClass: extensibleObject
uid: joe
cn: Joe
sn: Joe
mail: joe@virtual.test
description: SMTP:joe@virtual.test
description: smtp:joseph@virtual.test
description: x400:somewhere
employeeNumber: 512
l: boxes
labeledURI: joe@other.test

dn: uid=ann,ou=people,dc=test
objectClass: inetOrgPerson
objectClass: extensibleObject
uid: ann
cn: Ann
sn: Ann
mail: ann@virtual.test
description: smtp:ann@virtual.test
employeeNumber: 512
l: sink
secretary: uid=joe,ou=people,dc=test

dn: uid=off,ou=people,dc=test
objectClass: inetOrgPerson
objectClass: extensibleObject
uid: off
cn: Off
sn: Off
mail: off@virtual.test
description: smtp:off@virtual.test
employeeNumber: 514

dn: uid=odd,ou=people,dc=test
objectClass: inetOrgPerson
objectClass: extensibleObject
uid: odd
cn: Odd
sn: Odd
mail: o'neil@virtual.test
mail: (brackets)*@virtual.test
description: smtp:o'neil@virtual.test
employeeNumber: 512

dn: cn=staff,ou=groups,dc=test
objectClass: groupOfNames
objectClass: extensibleObject
cn: staff
mail: staff@virtual.test
member: uid=joe,ou=people,dc=test
member: uid=ann,ou=people,dc=test

dn: cn=all,ou=groups,dc=test
objectClass: groupOfNames
objectClass: extensibleObject
cn: all
mail: all@virtual.test
member: cn=staff,ou=groups,dc=test
member: uid=odd,ou=people,dc=test
member: uid=gone,ou=people,dc=test

dn: cn=round,ou=groups,dc=test
objectClass: groupOfNames
objectClass: extensibleObject
cn: round
mail: round@virtual.test
member: cn=round,ou=groups,dc=test
"""


def ldap(**questions):
    source = "server_host = ldap://127.0.0.1:{ldap}\nversion = 3\nbind = yes\nbind_dn = cn=root,dc=test\nbind_pw = secret\n"
    return {f"cf:ldap_{name}.cf": source + text for name, text in questions.items()}


HOSTED = ("joe@virtual.test", "JOE@Virtual.Test", "joe+box@virtual.test", "info@virtual.test", "staff@virtual.test", "none@virtual.test", "off@virtual.test", "gone@virtual.test", "empty@virtual.test",
          "hostmaster@virtual.test", "o'neil@virtual.test", "100%@virtual.test", "' or 1=1 --@virtual.test".replace(" ", "_"), "back\\\\slash@virtual.test", "\"two words\"@virtual.test",
          "joe@other.test", "info@other.test", "none@other.test", "joe@was.test", "anybody@all.test", "x@off.test", "x@backup.test", "x@far.test")


def hosting(kind):
    """As PostfixAdmin's documentation has it."""
    maps = {name: f"proxy:{kind}:{{folder}}/{kind}_{name}.cf" for name in QUESTIONS}
    return Site(
        {"virtual_mailbox_domains": f"{maps['domains']}, {maps['others']}", "virtual_mailbox_maps": f"{maps['boxes']}, {maps['boxes_other']}", "virtual_alias_maps": f"{maps['aliases']}, {maps['aliases_other']}, {maps['catchall_other']}",
         "relay_domains": maps["relayed"], "transport_maps": maps["transport"], "virtual_transport": "lmtp:inet:127.0.0.1:{boxes}", "recipient_delimiter": "+", "smtpd_error_sleep_time": "0"},
        tables=sql(kind, "domains", "others", "boxes", "boxes_other", "aliases", "aliases_other", "catchall_other", "relayed", "transport", transport="%s:[127.0.0.1]:{sink}"), outside=HOSTED, inside=("x@far.test", "info@other.test", "none@virtual.test"))


SITES = {
    "hosting, MySQL": hosting("mysql"),
    "hosting, PostgreSQL": hosting("pgsql"),
    "hosting, SQLite": hosting("sqlite"),
    # One query for all that a domain has, transports for its users, and who may send as whom, several of them.
    "hosting with logins": Site(
        {"virtual_mailbox_domains": "pgsql:{folder}/pgsql_domains.cf", "virtual_mailbox_maps": "pgsql:{folder}/pgsql_all.cf", "virtual_alias_maps": "pgsql:{folder}/pgsql_aliases.cf",
         "virtual_transport": "lmtp:inet:127.0.0.1:{boxes}", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": "inet:127.0.0.1:{login}", "smtpd_tls_chain_files": "{folder}/chain.pem",
         "smtpd_tls_security_level": "may", "smtpd_sender_login_maps": "pgsql:{folder}/pgsql_logins.cf", "mua_client_restrictions": "permit_sasl_authenticated, reject"},
        "127.0.0.1:{submission} inet n - n - - smtpd -o smtpd_sender_restrictions=reject_sender_login_mismatch\n  " + moving_in.SUBMISSION,
        tables=sql("pgsql", "domains", "all", "aliases", "logins"), outside=("joe@virtual.test", "info@virtual.test", "none@virtual.test"), logged_in=("x@far.test", "info@virtual.test"), sender="joe@virtual.test"),
    # Restrictions out of tables, classes among their results.
    "access in tables": Site(
        {"mydestination": "virtual.test", "local_recipient_maps": "mysql:{folder}/mysql_boxes.cf mysql:{folder}/mysql_aliases.cf", "alias_maps": "", "mailbox_transport": "lmtp:inet:127.0.0.1:{boxes}", "smtpd_restriction_classes": "strict",
         "strict": "check_helo_access mysql:{folder}/mysql_access.cf, reject", "smtpd_recipient_restrictions": "check_client_access mysql:{folder}/mysql_access.cf, check_recipient_access mysql:{folder}/mysql_access.cf, "
         "check_sender_access mysql:{folder}/mysql_access.cf, permit_mynetworks, reject_unauth_destination", "virtual_alias_maps": "mysql:{folder}/mysql_aliases.cf",
         "sender_bcc_maps": "mysql:{folder}/mysql_bcc.cf", "canonical_maps": "mysql:{folder}/mysql_canonical.cf"},
        tables=sql("mysql", "boxes", "aliases", "access") | {"cf:mysql_bcc.cf": SOURCES["mysql"] + "query = SELECT username FROM mailbox WHERE username = '%s'\ndomain = virtual.test\nresult_format = %u+copy@%d\n",
                                                           "cf:mysql_canonical.cf": SOURCES["mysql"] + "table = mailbox\nselect_field = maildir\nwhere_field = username\nadditional_conditions = AND active = 2\n"},
        outside=("joe@virtual.test", "held@virtual.test", "none@virtual.test", "staff@virtual.test"), inside=("joe@virtual.test", "x@far.test"), sender="ann@virtual.test"),
    "access, a sender that is refused": Site(
        {"virtual_mailbox_domains": "mysql:{folder}/mysql_domains.cf", "virtual_mailbox_maps": "mysql:{folder}/mysql_boxes.cf", "virtual_transport": "lmtp:inet:127.0.0.1:{boxes}",
         "smtpd_sender_restrictions": "check_sender_access mysql:{folder}/mysql_access.cf"}, tables=sql("mysql", "domains", "boxes", "access"), outside=("joe@virtual.test",), sender="bad@far.test"),
    # A directory of Exchange behind a gateway: addresses with their kind in front, accounts that are switched off.
    "gateway before a directory": Site(
        {"mydestination": "", "relay_domains": "virtual.test", "relay_recipient_maps": "ldap:{folder}/ldap_people.cf, ldap:{folder}/ldap_groups.cf", "transport_maps": "inline:{{virtual.test=smtp:[127.0.0.1]:{sink}}}",
         "smtpd_recipient_restrictions": "permit_mynetworks, reject_unauth_destination, reject_unlisted_recipient"},
        tables=ldap(people="search_base = dc=test\nscope = sub\nquery_filter = (&(objectClass=inetOrgPerson)(|(mail=%s)(description=smtp:%s))(!(employeeNumber=514)))\nresult_attribute = mail\nresult_format = OK\n",
                    groups="search_base = ou=groups,dc=test\nquery_filter = (mail=%s)\nresult_attribute = cn\n"),
        outside=("joe@virtual.test", "joseph@virtual.test", "off@virtual.test", "none@virtual.test", "staff@virtual.test", "o'neil@virtual.test", "(brackets)*@virtual.test".replace("(brackets)", "\"(brackets)\""), "*@virtual.test", "x@far.test")),
    # A groupware's directory: where each box lives, other names of it, forwards, groups of groups.
    "groupware": Site(
        {"virtual_mailbox_domains": "ldap:{folder}/ldap_domains.cf", "virtual_mailbox_maps": "ldap:{folder}/ldap_boxes.cf", "virtual_alias_maps": "ldap:{folder}/ldap_other.cf, ldap:{folder}/ldap_groups.cf",
         "transport_maps": "ldap:{folder}/ldap_transport.cf", "virtual_transport": "lmtp:inet:127.0.0.1:{boxes}", "recipient_delimiter": "+"},
        tables=ldap(domains="search_base = dc=test\nscope = one\nquery_filter = (associatedDomain=%s)\nresult_attribute = ou\n", boxes="search_base = ou=people,dc=test\nquery_filter = (mail=%s)\nresult_attribute = mail\n",
                    other="search_base = ou=people,dc=test\nquery_filter = (|(description=smtp:%s)(labeledURI=%s))\nresult_attribute = mail, roomNumber\n",
                    groups="search_base = ou=groups,dc=test\nquery_filter = (mail=%s)\nresult_attribute =\nleaf_result_attribute = mail\nspecial_result_attribute = member\nrecursion_limit = 5\n",
                    transport="search_base = ou=people,dc=test\nquery_filter = (&(mail=%s)(l=sink))\nresult_attribute = l\nresult_format = smtp:[127.0.0.1]:{sink}\n"),
        outside=("joe@virtual.test", "joseph@virtual.test", "joe+box@virtual.test", "joe@other.test", "ann@virtual.test", "staff@virtual.test", "all@virtual.test", "round@virtual.test", "none@virtual.test", "x@far.test"),
        inside=("staff@virtual.test",)),
    # Local names in a directory: aliases of groups, the parameters in main.cf as before 2.1, delegates who may send as others.
    "delegates": Site(
        {"mydestination": "virtual.test", "alias_maps": "ldap:staff", "local_recipient_maps": "$alias_maps ldap:{folder}/ldap_users.cf", "mailbox_transport": "lmtp:inet:127.0.0.1:{boxes}",
         "staff_server_host": "127.0.0.1:{ldap}", "staff_version": "3", "staff_bind": "no", "staff_search_base": "ou=groups,dc=test", "staff_query_filter": "(cn=%s)", "staff_result_attribute": "",
         "staff_leaf_result_attribute": "uid", "staff_special_result_attribute": "member", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": "inet:127.0.0.1:{login}", "smtpd_tls_chain_files": "{folder}/chain.pem",
         "smtpd_tls_security_level": "may", "smtpd_sender_login_maps": "ldap:{folder}/ldap_delegates.cf", "mua_client_restrictions": "permit_sasl_authenticated, reject"},
        "127.0.0.1:{submission} inet n - n - - smtpd -o smtpd_sender_restrictions=reject_sender_login_mismatch\n  " + moving_in.SUBMISSION,
        tables=ldap(users="search_base = ou=people,dc=test\nquery_filter = (uid=%u)\nresult_attribute = uid\n",
                    delegates="search_base = ou=people,dc=test\nquery_filter = (mail=%s)\nresult_attribute = mail\nspecial_result_attribute = secretary\n"),
        outside=("joe@virtual.test", "staff@virtual.test", "none@virtual.test"), logged_in=("x@far.test", "staff@virtual.test"), sender="ann@virtual.test"),
    # A cache before a database, the account in a file of MySQL's own kind.
    "a cache and an option file": Site(
        {"virtual_mailbox_domains": "mysql:{folder}/mysql_domains.cf", "virtual_mailbox_maps": "memcache:{folder}/cache.cf", "virtual_alias_maps": "mysql:{folder}/mysql_aliases.cf", "virtual_transport": "lmtp:inet:127.0.0.1:{boxes}"},
        tables=sql("mysql", "domains", "boxes") | {"cf:domains.list": "other.test\n# a comment\nvirtual.test\n", "cf:cache.cf": "memcache = inet:127.0.0.1:{memcache}\nbackup = mysql:{folder}/mysql_boxes.cf\nkey_format = boxes:%s\n", "cf:my.cnf": "[client]\nuser = mail\n[unused]\nuser = nobody\n",
                                                 "cf:mysql_aliases.cf": "hosts = 127.0.0.1:{closed} inet:127.0.0.1:{mysql}\ndbname = mail\npassword = secret\noption_file = {folder}/my.cnf\ndomain = far.test, {folder}/domains.list\nquery = " + QUESTIONS["aliases"] + "\n"},
        outside=("joe@virtual.test", "info@virtual.test", "none@virtual.test", "off@virtual.test")),
    # The base is made of the domain; the other one is not there, which is an error.
    "a tree for each domain": Site(
        {"virtual_mailbox_domains": "virtual.test, other.test", "virtual_mailbox_maps": "ldap:{folder}/ldap_tree.cf", "virtual_alias_maps": "", "virtual_transport": "lmtp:inet:127.0.0.1:{boxes}", "transport_maps": "ldap:{folder}/ldap_gone.cf"},
        tables=ldap(tree="search_base = ou=%d,dc=test\nscope = base\nquery_filter = (associatedDomain=%d)\nresult_attribute = ou\n", gone="search_base = ou=gone,dc=test\nquery_filter = (mail=%s)\nresult_attribute = mail\ndomain = other.test\n"),
        outside=("joe@virtual.test", "joe@other.test", "x@far.test")),
}


@contextlib.contextmanager
def servers(folder):
    """All of them with the same rows; their words."""
    found = {}
    try:
        for name, kind in (("pgsql", PostgreSQL), ("mysql", MariaDB), ("ldap", OpenLDAP), ("memcache", Memcached)):
            if not kind.program():
                raise frame.Skipped(f"{kind.__name__} is not installed")
            found[name] = kind(folder / name)
            found[name].prepare()
        yield found
    finally:
        for server in found.values():
            server.kill()


def fill(found, folder):
    """The same rows into all; the words of each."""
    found["pgsql"].sql("drop table alias;" + ROWS)
    found["mysql"].sql("use mail; drop table alias;" + ROWS)
    found["ldap"].run(["ldapadd", "-x", "-H", f"ldap://127.0.0.1:{found['ldap'].port}", "-D", "cn=root,dc=test", "-w", "secret"], stdin=DIRECTORY.lstrip())
    with contextlib.closing(sqlite3.connect(folder / "sqlite.db")) as database:
        database.executescript(ROWS)
    return {name: server.port for name, server in found.items()} | {"sqlite": folder / "sqlite.db"}


def main():
    options = moving_in.options_for(SITES)
    frame.need_root()
    debian = frame.Debian()
    with frame.workshop() as folder, servers(folder) as found:
        return moving_in.compare(frame.Area("hosting", moving_in.ACCEPTED), SITES, debian, options, fill(found, folder), at_once=3)


if __name__ == "__main__":
    frame.guarded(main)
