#include "exim/convert.hpp"
#include "exim/translate.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>

using namespace posthorn;
using namespace posthorn::exim;

namespace {

struct Translated {
    Configuration tree;
    Translation result;

    std::string value(std::string_view name) const
    {
        const Setting* setting = result.find(name);
        return setting ? setting->value : "(unset)";
    }
    /// The table that stands behind "type:$config_directory/NAME" in a setting's value; or by its name.
    std::string table(std::string_view name) const
    {
        for (const TableText& one : result.tables)
            if (one.name == name)
                return one.content.starts_with('#') ? one.content.substr(one.content.find('\n') + 1) : one.content;
        return "(none)";
    }
    std::string verdict(std::string_view statement) const
    {
        for (const Verdict& one : result.verdicts)
            if (one.statement.find(statement) != one.statement.npos)
                return fmt::format("{}{}: {}", one.loud ? "LOUD " : "", to_text(one.kind), one.text);
        return "(none)";
    }
};

Translated translated(const std::string& text, std::map<std::string, std::string> files = {})
{
    files["/exim"] = text;
    Machine machine;
    machine.read = [files](const std::string& path) -> Result<std::string> {
        const auto found = files.find(path);
        return found == files.end() ? Result<std::string>(Error{"open " + path + ": No such file or directory"}) : found->second;
    };
    machine.exists = [files](const std::string& path) { return files.contains(path); };
    machine.folder = [files](const std::string& path) {
        std::vector<std::string> names;
        for (const auto& [file, unused] : files)
            if (file.starts_with(path + "/"))
                names.push_back(file.substr(path.size() + 1));
        return names;
    };
    machine.user = [](const std::string& name) { return name == "vmail" ? std::optional(std::pair(501U, 502U)) : std::nullopt; };
    machine.environment = [](const std::string& name) -> std::optional<std::string> {
        return name == "NETS"     ? std::optional<std::string>("192.0.2.0/24")
               : name == "HOST"   ? std::optional<std::string>("hub.test::26")
               : name == "HIDDEN" ? std::optional<std::string>("198.51.100.0/24")
                                  : std::nullopt;
    };
    machine.host_name = "me.test";
    machine.users = {"root", "anna", "mail"};
    auto tree = read_configuration("/exim", machine.read);
    REQUIRE_MESSAGE(tree, tree.error().text());
    Translation result = translate(*tree, machine);
    CHECK(unjudged(*tree, result) == std::vector<std::string>{});
    return {*std::move(tree), std::move(result)};
}

/// All tables' texts.
std::string made_of(const Translated& translated)
{
    std::string text;
    for (const TableText& table : translated.result.tables)
        text += table.content;
    return text;
}

const std::string base =
    "primary_hostname = me.test\ndomainlist local = @ : b.test\nhostlist nets = 127.0.0.1 : 192.0.2.0/24 : ::::1\nacl_smtp_rcpt = check\n";
const std::string relaying = "  accept hosts = +nets\n  require domains = +local\n  require verify = recipient\n";
const std::string routing =
    "begin routers\nout:\n driver = dnslookup\n domains = ! +local\n transport = smtp_out\nusers:\n driver = accept\n check_local_user\n transport = box\n"
    "begin transports\nsmtp_out:\n driver = smtp\nbox:\n driver = appendfile\n file = /var/mail/$local_part\nbegin retry\n* * F,2h,15m; G,16h,1h,1.5; F,4d,6h\n";

}  // namespace

TEST_CASE("translate: classes of domains, networks and the order of restrictions")
{
    const Translated made = translated(base + "begin acl\ncheck:\n" + relaying + "  accept\n" + routing);
    CHECK(made.value("mydestination") == "b.test, $myhostname");
    CHECK(made.value("relay_domains").empty());
    CHECK(made.value("mynetworks") == "127.0.0.1, 192.0.2.0/24, [::1]");
    CHECK(made.value("mail_spool_directory") == "/var/mail");
    CHECK(made.value("smtpd_relay_restrictions").empty());
    CHECK(
        made.value("smtpd_recipient_restrictions") ==
        "check_sender_access pcre:$config_directory/without_domain_sender, check_recipient_access pcre:$config_directory/without_domain_recipient, permit_mynetworks, "
        "reject_unauth_destination, reject_unlisted_recipient, reject_unknown_recipient_domain, permit");
    CHECK(made.value("minimal_backoff_time") == "15m");
    CHECK(made.value("maximal_backoff_time") == "6h");
    CHECK(made.value("maximal_queue_lifetime") == "4d");
    CHECK(made.result.refusals.empty());
}

TEST_CASE("translate: nothing is looser: whoever comes to the end of an ACL is refused, and no accept opens more than our domains")
{
    CHECK(translated(base + "begin acl\ncheck:\n  accept hosts = +nets\n" + routing)
              .value("smtpd_recipient_restrictions")
              .ends_with("permit_mynetworks, reject, reject_unauth_destination"));
    CHECK(translated(base + "begin acl\ncheck:\n  accept\n" + routing)
              .value("smtpd_recipient_restrictions")
              .ends_with(", reject_unauth_destination, permit"));
    // An accept that is not known is left out; a deny is said loudly; for a require nothing is to be written.
    const Translated unknown = translated(
        base + "begin acl\ncheck:\n  accept condition = ${if eq{$sender_helo_name}{x}}\n  deny ratelimit = 10 / 1h\n  require malware = *\n" +
        relaying + "  accept\n" + routing);
    CHECK(unknown.verdict("accept  condition").starts_with("not carried over: condition = "));
    CHECK(unknown.verdict("deny  ratelimit").starts_with("LOUD not carried over: ratelimit = 10 / 1h"));
    REQUIRE(unknown.result.refusals.size() == 1);
    CHECK(unknown.result.refusals.front().find("require  malware = *") != std::string::npos);
    CHECK(migrate::write_directory(unknown.result, "/exim", "/nowhere/made")
              .error()
              .text()
              .starts_with("nothing was written, since this must not be lost: "));
    CHECK(translated("begin acl\nx:\n accept\n" +
                     std::string("begin routers\nr:\n driver = dnslookup\n transport = t\nbegin transports\nt:\n driver = smtp\n"))
              .value("smtpd_recipient_restrictions")
              .ends_with("reject, reject_unauth_destination"));
    CHECK(translated(base + "begin acl\ncheck:\n  accept hosts = *\n" + routing).value("smtpd_recipient_restrictions").find("permit_mynetworks") ==
          std::string::npos);
}

TEST_CASE("translate: a ratelimit by login is a limit of accounts; another one is said loudly")
{
    const auto with = [](const std::string& statement) {
        return translated(base + "begin acl\ncheck:\n" + statement + relaying + "  accept\n" + routing +
                          "begin authenticators\nd:\n driver = dovecot\n server_socket = /run/d\n");
    };
    const auto limit = [&](const std::string& statement) { return with(statement).value("account_limit_maps"); };
    CHECK(limit("  deny authenticated = *\n    ratelimit = 100 / 1h / per_rcpt / strict / $authenticated_id\n") ==
          "inline:{ {login: = recipients=100/h over=reject} }");
    CHECK(limit("  defer ratelimit = 500 / 1d / ${authenticated_id}\n") == "inline:{ {login: = messages=500/d over=defer} }");
    const Translated two = with("  deny ratelimit = 100 / 1h / $authenticated_id\n  deny ratelimit = 500 / 1d / per_rcpt / $authenticated_id\n");
    CHECK(two.value("account_limit_maps") == "inline:{ {login: = messages=100/h over=reject} }");
    CHECK(two.verdict("deny  ratelimit = 500")
              .starts_with("LOUD not carried over: one limit by login is carried over: its entry wants recipients=500/d"));
    for (const char* other :
         {"  deny ratelimit = 100 / 1h / per_rcpt / strict\n", "  deny ratelimit = 100 / 10m / $authenticated_id\n",
          "  deny ratelimit = 100 / 1h / per_byte / $authenticated_id\n", "  deny ratelimit = 1k / 1h / $authenticated_id\n",
          "  deny ratelimit = 100 / 1h / $sender_address\n", "  deny hosts = 192.0.2.1\n    ratelimit = 100 / 1h / $authenticated_id\n",
          "  deny !authenticated = *\n    ratelimit = 100 / 1h / $authenticated_id\n", "  warn ratelimit = 100 / 1h / $authenticated_id\n"}) {
        CAPTURE(other);
        CHECK(limit(other) == "(unset)");
    }
}

TEST_CASE("translate: refusals of inner hosts that clients hear are heard here too, whatever else the statement says")
{
    const auto with = [](const std::string& statement, const std::string& routers = routing) {
        return translated(base + "begin acl\ncheck:\n" + statement + relaying + "  accept\n" + routers);
    };
    const std::string inner = "begin routers\nr:\n driver = manualroute\n domains = b.test\n route_list = b.test 192.0.2.9\n transport = t\n"
                              "begin transports\nt:\n driver = smtp\n";
    const Translated made = with("  warn control = cutthrough_delivery\n", inner);
    CHECK(made.value("smtpd_delivery_answer_domains") == "$relay_domains");
    CHECK(made.verdict("warn  control").starts_with("becomes: smtpd_delivery_answer_domains = $relay_domains for cutthrough_delivery"));
    const Translated more =
        with("  accept domains = b.test\n         control = cutthrough_delivery/defer=pass\n         verify = recipient\n", inner);
    CHECK(more.value("smtpd_delivery_answer_domains") == "$relay_domains");
    CHECK(more.verdict("accept  domains").ends_with("; what is put off is queued here"));
    CHECK(with("  warn control = dscp/ef\n", inner).value("smtpd_delivery_answer_domains") == "(unset)");
    // Where nothing is relayed there is nothing to hear.
    const Translated none = with("  warn control = cutthrough_delivery\n");
    CHECK(none.value("smtpd_delivery_answer_domains") == "(unset)");
    CHECK(none.verdict("warn  control").find("no domain is relayed") != std::string::npos);
}

TEST_CASE("translate: nothing is looser: endpass denies, and who is let in by itself is verified by nobody")
{
    const auto with = [](const std::string& statement) {
        return translated(base + "begin acl\ncheck:\n" + statement + relaying + "  accept\n" + routing);
    };
    // Behind endpass a condition that does not hold denies: left out, more would come through.
    const Translated endpass = with("  accept domains = b.test\n         endpass\n         hosts = 192.0.2.9\n");
    REQUIRE(endpass.result.refusals.size() == 1);
    CHECK(endpass.verdict("accept  domains = b.test  endpass").starts_with("LOUD not carried over: a condition behind endpass"));
    CHECK(with("  accept domains = b.test\n         endpass\n         condition = $x\n").result.refusals.size() == 1);
    CHECK(with("  accept domains = b.test\n         endpass\n         verify = recipient\n").result.refusals.empty());
    // permit_sasl_authenticated before a permit would let in whoever is verified, authenticated or not.
    const Translated both = with("  accept authenticated = *\n         verify = sender\n");
    CHECK(both.verdict("accept  authenticated").starts_with("nothing needed: it never applies"));
    const std::string dovecot = "begin authenticators\nd:\n driver = dovecot\n server_socket = /run/d\n";
    const Translated sasl =
        translated(base + "begin acl\ncheck:\n  accept authenticated = *\n         verify = sender\n" + relaying + "  accept\n" + routing + dovecot);
    CHECK(sasl.verdict("accept  authenticated").starts_with("not carried over: who is let in by itself is not verified"));
    CHECK(sasl.value("smtpd_recipient_restrictions").find("permit_sasl") == std::string::npos);
    CHECK(sasl.value("smtpd_sasl_path") == "/run/d");
    const Translated alone = translated(base + "begin acl\ncheck:\n  accept authenticated = *\n" + relaying + "  accept\n" + routing + dovecot);
    CHECK(alone.value("smtpd_recipient_restrictions").find(", permit_sasl_authenticated, permit_mynetworks, ") != std::string::npos);
    // A deny by a host's name is said, and that the name is asked another way.
    CHECK(with("  deny hosts = bad.example\n").verdict("deny  hosts").starts_with("LOUD becomes: check_client_access pcre:"));
    CHECK(with("  deny !verify = sender\n       dnslists = a.example\n").verdict("deny  !verify").starts_with("LOUD not carried over"));
    CHECK(with("  accept hosts = 192.0.2.1\n         control = freeze\n")
              .verdict("control = freeze")
              .starts_with("not carried over: control = freeze"));
    CHECK(made_of(with("  deny local_parts = ^a|b\n")).find("|b") == std::string::npos);
}

TEST_CASE("translate: what a client calls itself is asked, and that it does")
{
    const auto with = [](const std::string& statements, std::map<std::string, std::string> files = {}) {
        return translated(base + "begin acl\ncheck:\n" + statements + relaying + "  accept\n" + routing, std::move(files));
    };
    for (const char* statement :
         {"  require message = no\n          condition = ${if def:sender_helo_name}\n", "  deny condition = ${if eq{$sender_helo_name}{} {1}}\n",
          "  deny condition = ${if def:sender_helo_name {no}{yes}}\n"}) {
        const Translated made = with(statement);
        CHECK(made.result.refusals.empty());
        CHECK(made.value("smtpd_helo_required") == "yes");
    }
    // The other way round it is no such thing.
    CHECK(with("  deny condition = ${if def:sender_helo_name}\n").value("smtpd_helo_required") == "(unset)");
    CHECK(with("  accept condition = ${if eq{$sender_helo_name}{}}\n").value("smtpd_helo_required") == "(unset)");
    const Translated both = with("  require condition = ${if def:sender_helo_name}\n          malware = *\n");
    CHECK(both.result.refusals.size() == 1);

    CHECK(made_of(with("  deny condition = ${if isip{$sender_helo_name}}\n       message = no\n")).find("){3}$/ 550 5.7.1 no\n") !=
          std::string::npos);
    CHECK(with("  deny condition = ${if match{$sender_helo_name}{\\N^\\d{1,3}[.]\\N}{yes}{no}}\n").table("check_7") ==
          "/^\\d{1,3}[.]/ 550 5.7.1 Administrative prohibition\n");
    CHECK(with("  deny condition = ${if match{$sender_helo_name}{\\N[.]\\N}{no}{yes}}\n").table("check_7") ==
          "/[.]/ DUNNO\n/^/ 550 5.7.1 Administrative prohibition\n");
    CHECK(
        with("  drop condition = ${if match_domain{$sender_helo_name}{x.test:+local}{true}{false}}\n").table("check_7") ==
        "/^x\\.test$/ 521 5.7.1 Administrative prohibition\n/^me\\.test$/ 521 5.7.1 Administrative prohibition\n/^b\\.test$/ 521 5.7.1 Administrative prohibition\n");
    CHECK(with("  drop condition = ${lookup{$sender_helo_name}lsearch{/names}{yes}{no}}\n", {{"/names", "x.test: 1\n"}}).table("check_7") ==
          "/^x\\.test$/ 521 5.7.1 Administrative prohibition\n");
    CHECK(with("  accept condition = ${if eq{$sender_helo_name}{friend}}\n").verdict("accept  condition").starts_with("not carried over"));
}

TEST_CASE("translate: lists that conditions ask are lists, and who authenticates is in before who does not is refused")
{
    const std::string dovecot = "begin authenticators\nd:\n driver = dovecot\n server_socket = /run/d\n";
    const auto with = [&](const std::string& statements) {
        return translated(base + "begin acl\ncheck:\n" + statements + relaying + "  accept\n" + routing + dovecot);
    };
    const Translated forged = with(
        "  deny condition = ${if match_domain{$sender_address_domain}{+local}}\n       condition = ${if !match_ip{$sender_host_address}{+nets}}\n");
    CHECK(made_of(forged).find("192.0.2.0/24 DUNNO\n") != std::string::npos);
    CHECK(made_of(forged).find("/@b\\.test$/ ") != std::string::npos);
    CHECK(with("  deny condition = ${if eq{$sender_address}{}}\n").table("check_7") == "/^<>$/ 550 5.7.1 Administrative prohibition\n");
    // "*" is any address, and the empty sender none.
    CHECK(with("  deny senders = *\n").table("check_7") == "/@/ 550 5.7.1 Administrative prohibition\n");
    CHECK(with("  deny senders = ! *\n").table("check_7") == "/@/ DUNNO\n/^/ 550 5.7.1 Administrative prohibition\n");
    CHECK(with("  accept authenticated = *\n  deny sender_domains = +local\n       !authenticated = *\n").table("check_8") ==
          "/@me\\.test$/ 550 5.7.1 Administrative prohibition\n/@b\\.test$/ 550 5.7.1 Administrative prohibition\n");
    CHECK(with("  deny sender_domains = +local\n       !authenticated = *\n").verdict("deny  sender_domains").starts_with("LOUD not carried over"));
    // An endpass behind what cannot be asked: everybody is verified, and nobody let in.
    const Translated verified = with("  accept condition = $acl_c_x\n         endpass\n         verify = recipient\n");
    CHECK(verified.result.refusals.empty());
    CHECK(verified.value("smtpd_recipient_restrictions").find("without_domain_recipient, reject_unlisted_recipient, ") != std::string::npos);
    CHECK(verified.value("smtpd_recipient_restrictions").find("permit, permit") == std::string::npos);
    const Translated whoever = with("  accept authenticated = *\n         endpass\n         verify = recipient\n");
    CHECK(
        whoever.value("smtpd_recipient_restrictions")
            .find(
                "without_domain_recipient, reject_unlisted_recipient, reject_unknown_recipient_domain, permit_sasl_authenticated, permit_mynetworks") !=
        std::string::npos);
    // Behind endpass who has not authenticated is refused: at once, or on one port, which is said.
    CHECK(with("  accept hosts = *\n         endpass\n         authenticated = *\n")
              .value("smtpd_recipient_restrictions")
              .find("without_domain_recipient, permit_sasl_authenticated, reject, permit_mynetworks") != std::string::npos);
    const Translated on_one_port =
        with("  accept hosts = *\n         condition = ${if eq{$interface_port}{587}}\n         endpass\n         authenticated = *\n");
    CHECK(on_one_port.result.refusals.empty());
    CHECK(on_one_port.verdict("accept  hosts = *").starts_with("LOUD not carried over: of one port alone"));
    CHECK(with("  accept senders = *@x.test\n         endpass\n         authenticated = *\n").result.refusals.size() == 1);
    const Translated turned_away =
        translated("host_reject_connection = 203.0.113.0/24\n" + base + "begin acl\ncheck:\n" + relaying + "  accept\n" + routing);
    CHECK(turned_away.table("host_reject_connection_1") == "203.0.113.0/24 521 5.7.1 Administrative prohibition\n");
    CHECK(turned_away.value("smtpd_client_restrictions") == "check_client_access cidr:$config_directory/host_reject_connection_1");
}

TEST_CASE("translate: the environment that Exim keeps is asked, and what is not set is said")
{
    const std::string text =
        "keep_environment = NETS : HOST : MORE\nprimary_hostname = me.test\nhostlist nets = ${env{NETS}{$value} fail}\n"
        "hostlist others = ${env{HIDDEN}{$value}{}}\nacl_smtp_rcpt = check\nbegin acl\ncheck:\n  accept hosts = +nets : +others\n"
        "  require domains = @ : ${env{MORE}{$value}{}}\n  accept\n"
        "begin routers\nhub:\n driver = manualroute\n domains = ! @\n transport = out\n route_data = ${env{HOST}{$value}{none}}\n"
        " condition = ${if !eq{${env{HOST}{$value}{}}}{}}\nbegin transports\nout:\n driver = smtp\n";
    const Translated made = translated(text);
    CHECK(made.value("mynetworks") == "192.0.2.0/24");
    CHECK(made.value("relayhost") == "[hub.test]:26");
    CHECK(made.verdict("${env{...}}").starts_with("not carried over: what the environment has where this runs (set: HOST, NETS; not set: MORE)"));
}

TEST_CASE("translate: a panel's folders of domains, with a file of mailboxes and one of aliases in each")
{
    const std::string files = "/d/$domain";
    const std::string text =
        "primary_hostname = me.test\ndomainlist local = a.test : b.test : c.test\nacl_smtp_rcpt = check\nbegin acl\ncheck:\n  require domains = +local\n  require verify = recipient\n  accept\n"
        "begin routers\nout:\n driver = dnslookup\n domains = ! +local\n transport = smtp_out\n no_more\n"
        "aliases:\n driver = redirect\n require_files = " +
        files + "/aliases\n data = ${extract{1}{:}{${lookup{$local_part@$domain}lsearch{" + files +
        "/aliases}}}}\n unseen\n"
        "sent_on:\n driver = accept\n condition = ${if exists{" +
        files + "/sent_on}{${lookup{$local_part}lsearch{" + files +
        "/sent_on}{true}{false}}}}\n transport = nothing\n"
        "boxes:\n driver = accept\n condition = ${lookup{$local_part}lsearch{" +
        files +
        "/passwd}{true}{false}}\n transport = box\n"
        "rest:\n driver = redirect\n require_files = " +
        files + "/aliases\n data = ${extract{1}{:}{${lookup{*@$domain}lsearch{" + files +
        "/aliases}}}}\n"
        "unknown:\n driver = accept\n condition = ${lookup mysql{SELECT 1}}\n transport = box\n"
        "begin transports\nsmtp_out:\n driver = smtp\nnothing:\n driver = appendfile\n file = /dev/null\nbox:\n driver = appendfile\n maildir_format\n"
        " user = ${extract{2}{:}{${lookup{$local_part}lsearch{" +
        files +
        "/passwd}}}}\n"
        " directory = ${extract{5}{:}{${lookup{$local_part}lsearch{" +
        files + "/passwd}}}}/mail/$domain/$local_part\n";
    const std::map<std::string, std::string> machine = {
        {"/d/a.test", ""},
        {"/d/b.test", ""},
        {"/d/c.test", ""},
        {"/d/a.test/aliases", "info@a.test:x@else.test:note\nbox@a.test:y@else.test\n*@a.test:box@a.test\n"},
        {"/d/a.test/passwd", "box:secret:vmail:x:x:/home/v\nonly:secret:vmail:x:x:/home/v\n"},
        {"/d/b.test/passwd", "box:secret:vmail:x:x:/home/w\n"},
        {"/d/b.test/sent_on", "gone:1\n"},
        {"/d/b.test/aliases", "*@b.test:box@b.test\n"}};
    const Translated made = translated(text, machine);
    CHECK(made.result.refusals.empty());
    CHECK(made.table("mailboxes") ==
          "box@a.test home/v/mail/a.test/box/\nonly@a.test home/v/mail/a.test/only/\nbox@b.test home/w/mail/b.test/box/\n");
    CHECK(made.table("mailbox_uids") == "box@a.test 501\nonly@a.test 501\nbox@b.test 501\n");
    CHECK(made.value("virtual_gid_maps") == "texthash:$config_directory/mailbox_gids");
    // An alias that routers behind it see too: the box, or who gets the rest, has a copy. A box has no part of the rest.
    CHECK(
        made.table("aliases_virtual") ==
        "@a.test box@a.test\n@b.test box@b.test\nbox@a.test y@else.test, box@a.test\nbox@b.test box@b.test\ngone@b.test gone@b.test\ninfo@a.test x@else.test, box@a.test\nonly@a.test only@a.test\n");
    CHECK(made.table("routes").find("gone@b.test discard:\n") != std::string::npos);
    CHECK(made.value("virtual_mailbox_domains").find("a.test, b.test") != std::string::npos);
    CHECK(made.verdict("mail for ").find("not carried over: no router that is carried over takes it") == 0);
    CHECK(made.verdict("mail for c.test") != "(none)");

    auto stranger = machine;
    stranger["/d/b.test/passwd"] = "box:secret:nobody-here:x:x:/home/w\n";
    const Translated refused = translated(text, stranger);
    REQUIRE(refused.result.refusals.size() == 1);
    CHECK(refused.result.refusals.front().find("there is no user nobody-here here: whose is the mailbox of box@b.test?") != std::string::npos);
}

TEST_CASE("translate: mailboxes of nobody are of Exim's own user")
{
    const std::string text = "primary_hostname = me.test\nacl_smtp_rcpt = check\nbegin acl\ncheck:\n  require domains = @\n  accept\n"
                             "begin routers\nbox:\n driver = accept\n domains = @\n local_parts = bounces\n transport = box\n"
                             "begin transports\nbox:\n driver = appendfile\n directory = /v/$local_part\n maildir_format\n";
    const Translated made = translated("exim_user = vmail\n" + text);
    CHECK(made.result.refusals.empty());
    CHECK(made.table("mailboxes") == "bounces@me.test v/bounces/\n");
    CHECK(made.value("virtual_uid_maps") == "static:501");
    CHECK(made.value("virtual_gid_maps") == "static:502");
    for (const char* nobody : {"", "exim_user = gone\n"}) {
        const Translated refused = translated(nobody + text);
        REQUIRE(refused.result.refusals.size() == 1);
        CHECK(refused.result.refusals.front().ends_with("transport box names no user: whose are the mailboxes?"));
    }
}

TEST_CASE("translate: an address that a rule leaves alone is left alone by those behind it")
{
    const Translated made = translated(base + "begin acl\ncheck:\n" + relaying + "  accept\n" + routing +
                                       "begin rewrite\n*@b.test * \n*@b.test $1@me.test\nx@b.test z@me.test\nx@me.test y@me.test\n");
    CHECK(made.table("canonical") == "x@me.test y@me.test\n");
}

TEST_CASE("translate: conditions of a statement are tables, each the way to the next")
{
    const Translated made = translated(base +
                                       "begin acl\nfriends:\n  accept senders = *@friend.test\n  accept hosts = 198.51.100.9\ncheck:\n"
                                       "  deny !acl = friends\n       domains = !+local\n       local_parts = ^[.]\n       message = odd\n"
                                       "  deny dnslists = a.example : b.example=127.0.0.2 : c.example/$sender_address_domain\n"
                                       "  accept domains = b.test\n         endpass\n         verify = recipient/callout\n" +
                                       relaying + "  accept\n" + routing);
    const std::string restrictions = made.value("smtpd_recipient_restrictions");
    CHECK(restrictions.find("reject_rbl_client a.example, reject_rbl_client b.example=127.0.0.2, reject_rhsbl_sender c.example") !=
          std::string::npos);
    CHECK(made.table("check_10") == "/^\"?[.].*@[^@]*$/ 550 5.7.1 odd\n");
    CHECK(made.table("check_10_2") == "/@me\\.test$/ DUNNO\n/@b\\.test$/ DUNNO\n/^/ exim_1\n");
    CHECK(made.table("check_10_3") == "198.51.100.9 DUNNO\n0.0.0.0/0 exim_2\n::/0 exim_2\n");
    CHECK(made.table("check_10_4") == "/@friend\\.test$/ DUNNO\n/^/ exim_3\n");
    CHECK(made.value("exim_3") == "check_client_access cidr:$config_directory/check_10_3");
    CHECK(made.value("exim_4") == "reject_unlisted_recipient, reject_unverified_recipient, permit");
    CHECK(made.value("smtpd_restriction_classes") == "exim_1, exim_2, exim_3, exim_4");
}

TEST_CASE("translate: smart hosts, routes by file, passwords only for verified servers, and settings of a transport")
{
    const Translated made = translated(
        base + "begin acl\ncheck:\n" + relaying +
            "  accept\nbegin routers\n"
            "hubs:\n driver = manualroute\n domains = ! +local\n route_data = ${lookup{$domain}lsearch{/hubs}}\n transport = inner\n"
            "smart:\n driver = manualroute\n domains = ! +local\n route_list = * smart.test::587:other.test byname\n transport = smtp_out\n no_more\n"
            "begin transports\ninner:\n driver = smtp\n interface = 192.0.2.5\n hosts_require_tls = *\n"
            "smtp_out:\n driver = smtp\n helo_data = $primary_hostname\n tls_verify_hosts = *\n max_rcpt = 50\n hosts_require_auth = *\n"
            "begin authenticators\nplain:\n driver = plaintext\n client_send = ${if !eq{$tls_out_cipher}{}{^${lookup{$host}nwildlsearch{/pw}{$value}fail}}fail}\n",
        {{"/hubs", "hub.test: inside.test::2525\n"}, {"/pw", "smart.test:me:secret\n"}});
    CHECK(made.value("relayhost") == "[smart.test]:587, [other.test]");
    CHECK(made.table("routes") == "hub.test inner:[inside.test]:2525\n");
    REQUIRE(made.result.services.size() == 1);
    CHECK(
        made.result.services[0].text ==
        "inner     unix  -       -       n       -       -       smtp\n    -o smtp_bind_address=192.0.2.5\n    -o smtp_tls_security_level=encrypt\n    -o smtp_helo_name=$myhostname\n");
    CHECK(made.value("smtp_helo_name") == "$myhostname");
    CHECK(made.value("smtp_destination_recipient_limit") == "50");
    CHECK(made.table("sasl_passwords") == "[smart.test]:587 me:secret\nsmart.test me:secret\n");
    CHECK(made.value("smtp_sasl_security_options") == "noanonymous, noplaintext");
    CHECK(made.value("smtp_tls_security_level") == "verify");
    const Translated required =
        translated(base + "begin acl\ncheck:\n" + relaying +
                       "  accept\nbegin routers\nr:\n driver = dnslookup\n transport = t\nbegin transports\nt:\n driver = smtp\n"
                       " hosts_require_tls = *\n tls_verify_hosts = *\n",
                   {{"/etc/ssl/certs/ca-certificates.crt", ""}});
    CHECK(required.value("smtp_tls_security_level") == "verify");
    CHECK(required.value("smtp_tls_CAfile") == "/etc/ssl/certs/ca-certificates.crt");
    CHECK(made.value("maximal_queue_lifetime") == "0");            // without a retry rule
}

TEST_CASE("translate: hosts that TLS is asked of are keys of the policy as the next hops name them, with their ports")
{
    const auto policy = [](std::string_view hosts, std::string_view route, std::string_view port) {
        const Translated made =
            translated(base + "begin acl\ncheck:\n" + relaying + "  accept\nbegin routers\nsmart:\n driver = manualroute\n domains = ! +local\n" +
                       fmt::format(" route_list = * \"{}\" byname\n transport = out\n no_more\nbegin transports\nout:\n driver = smtp\n"
                                   " port = {}\n hosts_require_tls = {}\n",
                                   route, port, hosts));
        return made.table("tls_policy");
    };
    CHECK(policy("smart.test : far.test", "Smart.test::587 : other.test", "25") ==
          "[Smart.test]:587 encrypt\nfar.test encrypt\nsmart.test encrypt\n");
    CHECK(policy("smart.test", "smart.test", "submission") == "[smart.test]:submission encrypt\nsmart.test encrypt\n");
    CHECK(policy("smart.test", "smart.test::25", "587") == "[smart.test] encrypt\nsmart.test encrypt\n");
    CHECK(policy("<; 2001:db8::1", "[2001::db8::::1]::587", "25") == "2001:db8::1 encrypt\n[2001:db8::1]:587 encrypt\n");
}

TEST_CASE("translate: virtual domains of a folder, aliases that are no addresses, mailboxes below a folder")
{
    const Translated made = translated(
        base +
            "domainlist virtual = dsearch;/v\nbegin acl\ncheck:\n  require domains = +local : +virtual\n  require verify = recipient\n  accept\nbegin routers\n"
            "virtual:\n driver = redirect\n domains = +virtual\n data = ${lookup{$local_part}lsearch*{/v/$domain}}\n no_more\n"
            "boxes:\n driver = accept\n domains = +local\n local_parts = lsearch;/users\n transport = boxes\n"
            "begin transports\nboxes:\n driver = appendfile\n directory = /m/$domain/$local_part\n user = vmail\n maildir_format\n",
        {{"/v/one.test", "info: anna, x@far.test\nold: :fail: gone\nhole: :blackhole:\nrun: \"|/bin/x\"\n"},
         {"/v/two.test", "*: anna@else.test\n"},
         {"/users", "anna:\nbert: x\n"}});
    CHECK(made.value("virtual_alias_domains") == "one.test, two.test");
    CHECK(made.table("aliases_virtual") ==
          "@two.test anna@else.test\nhole@one.test nobody@discard.invalid\ninfo@one.test anna@me.test, x@far.test\nold@one.test old@one.test\n");
    CHECK(made.table("routes") == "discard.invalid discard:\nhole@one.test discard:\nold@one.test error:5.1.1 gone\n");
    CHECK(made.verdict("run@one.test = ").starts_with("not carried over: a command"));
    CHECK(made.table("mailboxes").starts_with("anna@b.test m/b.test/anna/\nbert@b.test m/b.test/bert/\n"));
    CHECK(made.value("virtual_uid_maps") == "static:501");
    CHECK(made.value("virtual_gid_maps") == "static:502");
    CHECK(made.value("mydestination").empty());
}

TEST_CASE("translate: aliases of local users keep their order with what stands behind them")
{
    const std::string head = base + "begin acl\ncheck:\n" + relaying +
                             "  accept\nbegin routers\nout:\n driver = dnslookup\n domains = ! +local\n transport = smtp_out\n"
                             "aliases:\n driver = redirect\n data = ${lookup{$local_part}lsearch{/aliases}}\n";
    const std::string tail =
        "users:\n driver = accept\n check_local_user\n transport = box\nroot:\n driver = redirect\n local_parts = root\n data = /var/mail/mail\n user = mail\n"
        " file_transport = box\nbegin transports\nsmtp_out:\n driver = smtp\nbox:\n driver = appendfile\n directory = $home/Maildir\n maildir_format\n";
    const std::map<std::string, std::string> files{{"/aliases", "postmaster: root\nlost: :fail: left\ncmd: |/bin/x\n"}};
    const Translated plain = translated(head + tail, files);
    CHECK(plain.table("aliases") == "lost lost\npostmaster root\nroot /var/mail/mail\n");
    CHECK(plain.value("allow_mail_to_files") == "alias, forward");
    CHECK(plain.value("allow_mail_to_commands") == "forward");
    CHECK(plain.value("default_privs") == "mail");
    CHECK(plain.value("home_mailbox") == "Maildir/");
    CHECK(plain.value("forward_path").empty());
    CHECK(plain.table("routes") == "lost@b.test error:5.1.1 left\nlost@me.test error:5.1.1 left\n");
    const Translated hub = translated(head + "hub:\n driver = redirect\n check_local_user\n data = ${local_part}@hub.test\n" + tail, files);
    CHECK(hub.table("aliases_virtual").find("postmaster@b.test root@me.test\n") != std::string::npos);
    CHECK(hub.table("aliases_virtual").find("anna@b.test anna@hub.test\n") != std::string::npos);
    CHECK(hub.value("alias_maps").empty());
}

TEST_CASE("translate: listeners, sizes, certificates and lists of what is offered")
{
    const Translated made = translated(
        base +
        "daemon_smtp_ports = smtp : 465\ntls_on_connect_ports = 465\nlocal_interfaces = <; 127.0.0.1 ; ::1\nmessage_size_limit = 5M\ntls_certificate = /c\n"
        "tls_privatekey = /k\nchunking_advertise_hosts =\nsmtp_banner = \"$smtp_active_hostname ESMTP\"\nsmtp_accept_max = 30\nsmtp_receive_timeout = 1h30m\nhelo_verify_hosts = *\nperl_startup = x\n"
        "nonsense_option = 1\nbegin acl\ncheck:\n  accept hosts = +nets\n" +
        routing);
    CHECK(made.result.listeners == std::vector<std::string>{"smtp", "465"});
    CHECK(made.result.wrapped == std::vector<std::string>{"465"});
    CHECK(made.value("inet_interfaces") == "loopback-only");
    CHECK(made.value("message_size_limit") == "5242880");
    CHECK(made.value("smtpd_tls_cert_file") == "/c");
    CHECK(made.value("smtpd_tls_key_file") == "/k");
    CHECK(made.value("smtpd_tls_security_level") == "may");
    CHECK(made.value("smtpd_discard_ehlo_keywords") == "chunking");
    CHECK(made.value("smtpd_timeout") == "90m");
    CHECK(made.value("smtpd_banner") == "$myhostname ESMTP");
    CHECK(made.verdict("helo_verify_hosts").starts_with("LOUD not carried over"));
    CHECK(made.verdict("nonsense_option") == "not carried over: nothing here is known to do the same");
    const std::string master = migrate::master_cf_text(made.result, "/exim");
    CHECK(
        master.find(
            "smtp inet n -       n       -       30       smtpd\n465 inet n -       n       -       30       smtpd\n    -o smtpd_tls_wrappermode=yes\n") !=
        std::string::npos);
}

TEST_CASE("translate: whose mail was signed is told, and nothing is signed before its key is there")
{
    const auto made = translated("begin routers\nr:\n driver = dnslookup\n transport = t\nbegin transports\nt:\n driver = smtp\n"
                                 " dkim_domain = here.test\n dkim_selector = s1\n dkim_private_key = /etc/dkim.pem\n");
    CHECK(made.value("dkim_sign_maps") == "(unset)");
    CHECK(made.table("dkim_selectors") == "here.test s1\n");
    CHECK(made.verdict("dkim_domain").starts_with("not carried over: dkim_sign_maps = texthash:$config_directory/dkim_selectors "));
    CHECK(made.verdict("dkim_private_key").find("\"s1._domainkey.here.test /etc/dkim.pem\"") != std::string::npos);
}

TEST_CASE("translate: rewriting by the flags of its rules, as mail comes in and as it leaves")
{
    const Translated made = translated(
        base +
            "begin acl\ncheck:\n  accept hosts = +nets\nbegin routers\nout:\n driver = dnslookup\n domains = ! +local\n transport = t\nbegin transports\nt:\n driver = smtp\n"
            " headers_rewrite = *@+local $1@out.test frs\nbegin rewrite\n*@+local \"${lookup{$1}lsearch{/who}{$value}fail}\" Ffrs\nboss@b.test chief@b.test Tt\n"
            "^x@ y@z E\n*@*.sub.test $1@b.test\n",
        {{"/who", "anna: anna@isp.test\n"}});
    CHECK(made.table("sender_canonical") == "anna@b.test anna@isp.test\nanna@me.test anna@isp.test\n");
    CHECK(made.value("sender_canonical_classes") == "envelope_sender, header_sender");
    CHECK(made.table("recipient_canonical") == "boss@b.test chief@b.test\n");
    CHECK(made.table("smtp_generic") == "@b.test @out.test\n@me.test @out.test\n");
    CHECK(made.value("local_header_rewrite_clients") == "static:all");
    CHECK(made.verdict("^x@ y@z") == "not carried over: canonical_maps with a pcre table");
}

TEST_CASE("translate: times of retry by domain and address become retry_schedule_maps, in the order that counts there; those of mail from nobody too")
{
    const std::string rules = routing.substr(0, routing.find("begin retry"));
    const auto of = [&](const std::string& retry) {
        return translated(base + "begin acl\ncheck:\n" + relaying + "  accept\n" + rules + "begin retry\n" + retry);
    };
    const Translated made =
        of("*.slow.test * F,1h,10m; G,10d,1h,2\nu@Fast.test * F,2h,5m\nfast.test * senders=: F,1d,1h\nfast.test *\n"
           "slow.test rcpt_4xx F,1d,1h\na.slow.test * F,1h,1m\n^x * F,1h,1m\n+local * F,1h,1m\nodd.test * X,1h,1m\nby.test * senders=a@b F,1h,1m\n"
           "* * senders=: F,8h,1h\nlast.test * F,3d,1h\n* * F,2h,15m; F,4d,6h\nlate.test * F,1h,1m\n");
    CHECK(made.value("retry_schedule_maps") == "texthash:$config_directory/retry_schedule");
    CHECK(made_of(made).find(".slow.test minimal_backoff_time=10m, maximal_backoff_time=1h, maximal_queue_lifetime=10d, bounce_queue_lifetime=10d\n"
                             "fast.test bounce_queue_lifetime=1d, maximal_queue_lifetime=0s\n"
                             "last.test minimal_backoff_time=1h, maximal_backoff_time=1h, maximal_queue_lifetime=3d\n"
                             "u@fast.test minimal_backoff_time=5m, maximal_backoff_time=5m, maximal_queue_lifetime=2h, bounce_queue_lifetime=2h\n") !=
          std::string::npos);
    CHECK(made.value("minimal_backoff_time") == "15m");
    CHECK(made.value("maximal_queue_lifetime") == "4d");
    CHECK(made.value("bounce_queue_lifetime") == "8h");
    const auto verdict = [&](std::string_view statement) {
        const auto found =
            std::ranges::find_if(made.result.verdicts, [&](const auto& one) { return one.where == "retry" && one.statement.starts_with(statement); });
        return found == made.result.verdicts.end() ? std::string("none") : found->text;
    };
    CHECK(verdict("slow.test rcpt_4xx") == "times by error: a server that greylists or asks for a pause gets it without a rule (`posthorn peers`)");
    CHECK(verdict("a.slow.test") == "a rule before it is about all of these");
    CHECK(verdict("late.test") == "a rule before it is about all of these");
    CHECK(verdict("^x") == "no domain or address that a key of retry_schedule_maps could be");
    CHECK(verdict("+local") == "no domain or address that a key of retry_schedule_maps could be");
    CHECK(verdict("odd.test") == "times that are not known");
    CHECK(verdict("by.test") == "times by sender");
    CHECK(verdict("fast.test * senders=:") == "retry_schedule_maps: fast.test bounce_queue_lifetime=1d");
}
