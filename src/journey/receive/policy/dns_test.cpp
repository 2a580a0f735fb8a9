// Restrictions that ask the name service: lists of addresses and domains, the hosts behind a domain, backup mail hosts.
#include "observe/testing.hpp"
#include "receive/policy/policy_test.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;

namespace {

dns::Answer found(std::vector<dns::Record> records)
{
    dns::Answer answer;
    answer.status = dns::Status::found;
    answer.records = std::move(records);
    return answer;
}

dns::Record record(dns::Type type, std::string_view value, std::uint16_t preference = 0)
{
    dns::Record made;
    made.type = type;
    made.preference = preference;
    if (type == dns::Type::a)
        made.address = *net::IpAddress::parse(value);
    else if (type == dns::Type::txt)
        made.text = value;
    else
        made.host = value;
    return made;
}

void fill(FakeNames& names)
{
    using dns::Type;
    names.zone[{"1.2.0.192.list.test", Type::a}] = found({record(Type::a, "127.0.0.2"), record(Type::a, "127.0.0.10")});
    names.zone[{"1.2.0.192.list.test", Type::txt}] = found({record(Type::txt, "seen $spamming\r\nRCPT")});
    names.zone[{"client.test.names.test", Type::a}] = found({record(Type::a, "127.0.1.2")});
    names.zone[{"bad.test.names.test", Type::a}] = found({record(Type::a, "127.0.1.2")});
    names.zone[{"h.test.names.test", Type::a}] = found({record(Type::a, "127.0.1.2")});
    names.zone[{"relay.test.names.test", Type::a}] = found({record(Type::a, "127.0.1.2")});
    names.zone[{"1.2.0.192.broken.test", Type::a}] = dns::Answer{};          // temporary
    names.zone[{"bad.test", Type::mx}] = found({record(Type::mx, "mx1.bad.test", 10), record(Type::mx, "198.51.100.7", 20)});
    names.zone[{"b.test", Type::mx}] = found({record(Type::mx, "mx.b.test", 10)});
    names.zone[{"null.test", Type::mx}] = found({record(Type::mx, "")});
    names.zone[{"bad.test", Type::ns}] = found({record(Type::ns, "ns.host.test")});
    names.zone[{"slow.test", Type::mx}] = dns::Answer{};
    names.zone[{"backup.test", Type::mx}] = found({record(Type::mx, "best.backup.test", 5), record(Type::mx, "MX.example.test", 50)});
    names.zone[{"primary.test", Type::mx}] = found({record(Type::mx, "mx.example.test", 5), record(Type::mx, "best.backup.test", 50)});
    names.zone[{"others.test", Type::mx}] = found({record(Type::mx, "best.backup.test", 5)});
    names.zone[{"mute.test", Type::mx}] = found({record(Type::mx, "mx.mute.test", 5)});
    names.addresses["best.backup.test"] = "203.0.113.9";
    names.addresses["mx1.bad.test"] = "203.0.113.5";
    names.addresses["mx.b.test"] = "203.0.113.6";
    names.addresses["ns.host.test"] = "203.0.113.53";
    names.addresses["h.test"] = "203.0.113.77";
    names.addresses["mx.example.test"] = "192.0.2.2";
}

// Guards against an open relay as far as the check of the configuration goes; "x@..." passes.
constexpr const char* guard = "check_recipient_access regexp:{{/^x@/ OK}}, reject_unauth_destination";

struct DnsRow {
    std::string_view list, restrictions, client, sender, recipient, reply;
    std::string_view warning = "";
};

constexpr std::string_view other = "192.0.2.7";
constexpr std::string_view blocked = "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using list.test; seen $spamming??RCPT";
constexpr std::string_view broken = "451 4.3.5 Server configuration error";

constexpr DnsRow dns_rows[] = {
    {"client", "reject_rbl_client list.test", out, stranger, me, blocked},
    {"client", "reject_rbl_client list.test", other, stranger, me, ok},
    {"client", "reject_rbl_client list.test=127.0.0.[3..9]", out, stranger, me, ok},
    {"client", "reject_rbl_client list.test=127.0.0.[3..10]", out, stranger, me, blocked},
    {"recipient", "reject_rbl_client list.test", out, stranger, me, blocked},
    {"client", "reject_rbl_client broken.test", out, stranger, me, ok, "1.2.0.192.broken.test: RBL lookup error: "},
    {"client", "warn_if_reject reject_rbl_client list.test", out, stranger, me, ok},
    {"client", "permit_dnswl_client list.test, reject", out, stranger, me, ok},
    {"client", "permit_dnswl_client list.test, reject", other, stranger, me, "554 5.7.1 <unknown[192.0.2.7]>: Client host rejected: Access denied"},
    {"client", "permit_dnswl_client list.test, reject", out, stranger, "x@elsewhere.test",
     "554 5.7.1 <client.test[192.0.2.1]>: Client host rejected: Access denied"},
    {"client", "permit_dnswl_client broken.test, reject", out, stranger, me, "450 4.7.1 <192.0.2.1>: Client host rejected: Service unavailable",
     "1.2.0.192.broken.test: RBL lookup error: "},
    {"client", "permit_rhswl_client names.test, reject", out, stranger, me, ok},
    {"client", "reject_rhsbl_client names.test", out, stranger, me,
     "554 5.7.1 Service unavailable; Client host [client.test] blocked using names.test"},
    {"client", "reject_rhsbl_client names.test", other, stranger, me, ok},
    {"client", "reject_rhsbl_reverse_client names.test", out, stranger, me,
     "554 5.7.1 Service unavailable; Unverified Client host [client.test] blocked using names.test"},
    {"client", "reject_rhsbl_helo names.test", out, stranger, me, "554 5.7.1 Service unavailable; Helo command [h.test] blocked using names.test"},
    {"sender", "reject_rhsbl_sender names.test", out, "a@bad.test", me,
     "554 5.7.1 Service unavailable; Sender address [a@bad.test] blocked using names.test"},
    {"sender", "reject_rhsbl_sender names.test=127.0.1.3", out, "a@bad.test", me, ok},
    {"sender", "reject_rhsbl_sender names.test", out, "", me, ok},
    {"recipient", "reject_rhsbl_recipient names.test", out, stranger, "x@relay.test",
     "554 5.7.1 Service unavailable; Recipient address [x@relay.test] blocked using names.test"},
    // The hosts behind a domain.
    {"sender", "check_sender_mx_access inline:{mx1.bad.test=REJECT}", out, "a@bad.test", me,
     "554 5.7.1 <a@bad.test>: Sender address rejected: Access denied"},
    {"sender", "check_sender_mx_access inline:{203.0.113.5=REJECT}", out, "a@bad.test", me,
     "554 5.7.1 <a@bad.test>: Sender address rejected: Access denied"},
    {"sender", "check_sender_mx_access inline:{198.51.100=REJECT}", out, "a@bad.test", me,
     "554 5.7.1 <a@bad.test>: Sender address rejected: Access denied"},
    {"sender", "check_sender_mx_access inline:{mx1.bad.test=DUNNO, 198.51.100=REJECT}", out, "a@bad.test", me, ok},
    {"sender", "check_sender_mx_access inline:{203.0.113=REJECT}", out, "a@[192.0.2.9]", me, ok},
    {"sender", "check_sender_mx_access inline:{203.0.113=REJECT}", out, "", me, ok},
    {"sender", "check_sender_mx_access inline:{203.0.113=REJECT}", out, "a@null.test", me, ok},
    {"sender", "check_sender_mx_access inline:{203.0.113=REJECT}", out, "a@slow.test", me, ok,
     "Unable to look up MX host for slow.test: Host not found, try again"},
    {"sender", "check_sender_mx_access inline:{203.0.113.5=OK}", out, "a@bad.test", me, broken,
     "restriction check_sender_mx_access returns OK for a@bad.test"},
    {"sender", "check_sender_ns_access inline:{host.test=REJECT}", out, "a@bad.test", me,
     "554 5.7.1 <a@bad.test>: Sender address rejected: Access denied"},
    {"sender", "check_sender_ns_access inline:{203.0.113.53=REJECT}", out, "a@deep.down.bad.test", me,
     "554 5.7.1 <a@deep.down.bad.test>: Sender address rejected: Access denied"},
    {"sender", "check_sender_a_access inline:{203.0.113=REJECT}", out, "a@h.test", me,
     "554 5.7.1 <a@h.test>: Sender address rejected: Access denied"},
    {"sender", "check_sender_a_access inline:{h.test=REJECT}", out, "a@h.test", me, ok},
    {"helo", "check_helo_a_access inline:{203.0.113.77=REJECT}", out, stranger, me, "554 5.7.1 <h.test>: Helo command rejected: Access denied"},
    {"helo", "check_helo_mx_access inline:{h.test=REJECT}", out, stranger, me, "554 5.7.1 <h.test>: Helo command rejected: Access denied"},
    {"client", "check_client_a_access inline:{192.0.2.1=REJECT}", out, stranger, me,
     "554 5.7.1 <client.test[192.0.2.1]>: Client host rejected: Access denied"},
    {"client", "check_client_a_access inline:{192.0.2=REJECT}", other, stranger, me, ok},
    {"client", "check_reverse_client_hostname_a_access inline:{192.0.2=REJECT}", out, stranger, me,
     "554 5.7.1 <client.test>: Unverified Client host rejected: Access denied"},
    {"recipient", "check_recipient_mx_access inline:{relay.test=REJECT}", out, stranger, "x@relay.test",
     "554 5.7.1 <x@relay.test>: Recipient address rejected: Access denied"},
    // Names by which nobody is let in.
    {"client", "check_reverse_client_hostname_access inline:{client.test=OK}", out, stranger, me, broken,
     "restriction check_reverse_client_hostname_access returns OK for client.test"},
    // Backup mail hosts.
    {"relay", "permit_mx_backup, reject_unauth_destination", out, stranger, "x@backup.test", ok},
    {"relay", "permit_mx_backup, reject_unauth_destination", out, stranger, "x@primary.test", "554 5.7.1 <x@primary.test>: Relay access denied"},
    {"relay", "permit_mx_backup, reject_unauth_destination", out, stranger, "x@others.test", "554 5.7.1 <x@others.test>: Relay access denied"},
    {"relay", "permit_mx_backup, reject_unauth_destination", out, stranger, "x@none.test", "554 5.7.1 <x@none.test>: Relay access denied"},
    {"relay", "permit_mx_backup, reject", out, stranger, me, ok},
    {"relay", "permit_mx_backup, reject", out, stranger, "user", ok},
    {"relay", "permit_mx_backup, defer", out, stranger, "completed", "450 4.3.2 <completed>: Recipient address rejected: Try again later"},
    // Not known whether they are: no refusal for good, and nothing that others permit is put off.
    {"relay", "permit_mx_backup, reject_unauth_destination", out, stranger, "x@slow.test",
     "450 4.4.4 <x@slow.test>: Recipient address rejected: Unable to look up mail exchanger information: Host not found, try again"},
    {"relay", "permit_mx_backup, reject_unauth_destination", out, stranger, "x@mute.test",
     "450 4.4.4 <x@mute.test>: Recipient address rejected: Unable to look up mail exchanger host mx.mute.test: Name or service not known"},
    {"relay", "permit_mx_backup, permit", out, stranger, "x@slow.test", ok},
};

std::string reply_to(House& house, std::string_view address, std::string_view sender, std::string_view recipient)
{
    Talk talk(house, std::string(address));
    talk("EHLO h.test");
    talk(fmt::format("MAIL FROM:<{}>", sender));
    const auto lines = lines_of(talk(fmt::format("RCPT TO:<{}>", recipient)));
    return lines.empty() ? "" : lines.back();
}

}  // namespace

TEST_CASE("restrictions over the DNS: lists, hosts behind a domain, backup mail hosts")
{
    for (const DnsRow& row : dns_rows) {
        CAPTURE(row.restrictions);
        CAPTURE(row.sender);
        CAPTURE(row.recipient);
        // Where the relay list lets pass, another guards.
        House house(
            options_of({{fmt::format("smtpd_{}_restrictions", row.list), std::string(row.restrictions)},
                        {"smtpd_etrn_restrictions", ""},
                        {row.list == "relay" ? "smtpd_recipient_restrictions" : "smtpd_data_restrictions", row.list == "relay" ? guard : ""}}));
        fill(house.names);
        const observe::AskedSince asked(observe::Helper::dns_list);
        CHECK(reply_to(house, row.client, row.sender, row.recipient) == row.reply);
        CHECK(asked.count().failed == (row.warning.find("RBL lookup error") != row.warning.npos ? 1 : 0));
        CAPTURE(house.whole_log());
        if (row.warning.empty())
            CHECK(house.whole_log().find("\nwarning: ") == std::string::npos);
        else
            CHECK(house.whole_log().find(fmt::format("warning: {}", row.warning)) != std::string::npos);
    }
}

TEST_CASE("DNS lists: the text of the reply is the template's")
{
    const std::string list = "smtpd_client_restrictions", rbl = "reject_rbl_client list.test";
    struct Wanted {
        Settings settings;
        std::string_view reply;
    };
    const Wanted all[] = {
        {{{"default_rbl_reply",
           "$rbl_code 5.7.9 $rbl_what|$rbl_class|$rbl_domain|$client|$client_address|$client_name|$helo_name|$sender|$sender_name|"
           "$sender_domain|$recipient|${recipient_domain}"}},
         "554 5.7.9 192.0.2.1|Client host|list.test|client.test[192.0.2.1]|192.0.2.1|client.test|h.test|a@b.test|a|b.test|user@example.test|example.test"},
        {{{"default_rbl_reply", "$rbl_code no ${rbl_reason?{reason}:{none}}"}, {"maps_rbl_reject_code", "550"}}, "550 5.7.1 no reason"},
        {{{"rbl_reply_maps", "inline:{{list.test = 521 5.7.2 go away}}"}}, "521 5.7.2 go away"},
        {{{"rbl_reply_maps", "inline:{{else.test = 521 5.7.2 go away}}"}}, blocked},
        {{{"maps_rbl_reject_code", "450"}}, "450 4.7.1 Service unavailable; Client host [192.0.2.1] blocked using list.test; seen $spamming??RCPT"},
        {{{"smtpd_expansion_filter", "\\40abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"}},
         "554 5.7.1 Service unavailable; Client host [192_0_2_1] blocked using list_test; seen _spamming__RCPT"},
        {{{"maps_rbl_domains", "none.test, list.test"}, {list, "reject_maps_rbl"}}, blocked},
    };
    for (const Wanted& wanted : all) {
        Settings settings{{list, rbl}};
        for (const auto& one : wanted.settings) {
            std::erase_if(settings, [&](const auto& known) { return known.first == one.first; });
            settings.push_back(one);
        }
        House house(options_of(settings));
        fill(house.names);
        CAPTURE(wanted.settings.front().second);
        CHECK(reply_to(house, out, stranger, me) == wanted.reply);
    }
}

TEST_CASE("smtpd_dns_reply_filter: a record that a table ignores is not there, and the log says so; a table that cannot be read defers")
{
    const auto with = [](std::string restriction, std::string filter) {
        auto house = std::make_unique<House>(
            options_of({{"smtpd_recipient_restrictions", std::move(restriction)}, {"smtpd_dns_reply_filter", std::move(filter)}}));
        fill(house->names);
        return house;
    };
    const auto one = with("reject_rbl_client list.test", "regexp:{{/ IN A 127.0.0.2$$/ IGNORE}}");
    CHECK(reply_to(*one, out, stranger, me) == blocked);                    // by the other record
    CHECK(one->logged("ignoring DNS RR: 1.2.0.192.list.test. 0 IN A 127.0.0.2"));
    const auto all = with("reject_rbl_client list.test", "regexp:{{/ IN A / IGNORE}}");
    CHECK(reply_to(*all, out, stranger, me) == ok);
    const auto mx = with("check_sender_mx_access inline:{mx1.bad.test=REJECT}", "regexp:{{/^bad.test. 0 IN MX 10 mx1.bad.test.$$/ IGNORE}}");
    CHECK(reply_to(*mx, out, "a@bad.test", me) == ok);
    const auto wrong = with("reject_unknown_sender_domain", "regexp:{{/MX/ DROP}}");
    CHECK(reply_to(*wrong, out, "a@bad.test", me).starts_with("450 4.1.8 <a@bad.test>: Sender address rejected: Domain not found"));
    CHECK(wrong->logged("warning: smtpd_dns_reply_filter: unknown DNS filter action: \"DROP\""));
    const auto gone = with("reject_unknown_sender_domain", "regexp:{{/ MX / IGNORE}}");
    CHECK(reply_to(*gone, out, "a@bad.test", me) == "450 4.1.8 <a@bad.test>: Sender address rejected: Domain not found");
}

TEST_CASE("permit_mx_backup_networks: the best mail hosts have to be in them")
{
    for (const auto& [networks, reply] :
         {std::pair<std::string, std::string_view>{"203.0.113.0/24", ok}, {"198.51.100.0/24", "554 5.7.1 <x@backup.test>: Relay access denied"}}) {
        House house(
            options_of({{"smtpd_relay_restrictions", "permit_mx_backup, reject_unauth_destination"}, {"permit_mx_backup_networks", networks}}));
        fill(house.names);
        CHECK(reply_to(house, out, stranger, "x@backup.test") == reply);
    }
}

TEST_CASE("sender logins: who is not logged in may not send as somebody's address")
{
    const std::string maps = "inline:{{owned@example.test = fred, bob}, {@ours.test = admin}, {other = eve}}";
    struct Case {
        std::string_view restriction, sender, reply;
    };
    constexpr Case cases[] = {
        {"reject_sender_login_mismatch", "owned@example.test", "553 5.7.1 <owned@example.test>: Sender address rejected: not logged in"},
        {"reject_unauthenticated_sender_login_mismatch", "owned@example.test",
         "553 5.7.1 <owned@example.test>: Sender address rejected: not logged in"},
        {"reject_known_sender_login_mismatch", "owned@example.test", "553 5.7.1 <owned@example.test>: Sender address rejected: not logged in"},
        {"reject_authenticated_sender_login_mismatch", "owned@example.test", ok},
        {"reject_sender_login_mismatch", "any@ours.test", "553 5.7.1 <any@ours.test>: Sender address rejected: not logged in"},
        {"reject_sender_login_mismatch", "other@example.test", "553 5.7.1 <other@example.test>: Sender address rejected: not logged in"},
        {"reject_sender_login_mismatch", "other@b.test", ok},
        {"reject_sender_login_mismatch", "", ok},
    };
    for (const Case& one : cases) {
        CAPTURE(one.restriction);
        CAPTURE(one.sender);
        House house(options_of(
            {{"smtpd_sender_restrictions", std::string(one.restriction)}, {"smtpd_sasl_auth_enable", "yes"}, {"smtpd_sender_login_maps", maps}}));
        CHECK(reply_to(house, out, one.sender, me) == one.reply);
        House without(options_of({{"smtpd_sender_restrictions", std::string(one.restriction)}, {"smtpd_sender_login_maps", maps}}));
        CHECK(reply_to(without, out, one.sender, me) == ok);
        CHECK(without.whole_log().find("ignored: no SASL support") != std::string::npos);
    }
}
