#include "migrate/answers.hpp"
#include "migrate/testing.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>

using namespace posthorn;
using migrate::testing::Folder;
using migrate::testing::quiet;
using migrate::testing::small_master;

namespace {

migrate::Survey survey_of(const Folder& folder, const std::string& main_cf, const std::string& master_cf = small_master)
{
    folder.write("main.cf", quiet + main_cf);
    folder.write("master.cf", master_cf);
    auto survey = migrate::survey(folder.path());
    REQUIRE(survey);
    return *std::move(survey);
}

bool asks(const migrate::Questions& questions, std::string_view address)
{
    return std::ranges::find(questions.addresses, address) != questions.addresses.end();
}

}  // namespace

TEST_CASE("questions: every domain of ours and every left-hand side is asked, from inside and outside, with a cap that is said")
{
    const Folder folder;
    folder.write("transport", "one.test smtp:a\n.two.test smtp:b\nuser@three.test smtp:c\n");
    const auto survey = survey_of(folder, "mydestination = here.test\nrelay_domains = relay.test\nrecipient_delimiter = +\nmyorigin = here.test\n"
                                          "mynetworks = 127.0.0.0/8 10.1.0.0/16\ntransport_maps = texthash:" +
                                              folder.path() + "/transport\n");
    const auto questions = migrate::built_in_questions(survey, {});
    for (const char* address : {"postmaster@here.test", "no-such-user-here@here.test", "postmaster@relay.test", "someone@one.test",
                                "someone@sub.two.test", "user@three.test", "postmaster+extension@here.test", "someone%example.com@here.test"})
        CHECK_MESSAGE(asks(questions, address), address);
    CHECK(questions.capped.empty());
    CHECK(std::ranges::count_if(questions.rcpts, [](const auto& one) { return one.client.address == "10.1.0.9"; }) ==
          static_cast<std::ptrdiff_t>(questions.addresses.size()));
    CHECK(std::ranges::any_of(questions.rcpts, [](const auto& one) { return one.sender.empty(); }));

    const auto few = migrate::built_in_questions(survey, {.table_cap = 1});
    CHECK(few.capped == std::vector<std::string>{"texthash:" + folder.path() + "/transport: 1 of 3 entries"});
}

TEST_CASE("questions: a file of them; what is wrong is named with its line")
{
    const Folder folder;
    const auto survey = survey_of(folder, "");
    const auto read = [&](std::string_view text) { return migrate::parse_questions(text, "f", survey); };
    const auto questions = read("# mine\na@b.test\nmx.test[192.0.2.1] <> c@d.test\n2001:db8::1 s@t.test a@b.test\n");
    REQUIRE(questions);
    CHECK(questions->addresses == std::vector<std::string>{"a@b.test", "c@d.test"});
    REQUIRE(questions->rcpts.size() == 4);
    CHECK(questions->rcpts[2].client.name == "mx.test");
    CHECK(questions->rcpts[2].client.address == "192.0.2.1");
    CHECK(questions->rcpts[2].sender.empty());
    CHECK(questions->rcpts[3].client.address == "2001:db8::1");
    CHECK(read("a b\n").error().text() == "f, line 1: one word (RECIPIENT) or three (CLIENT SENDER RECIPIENT) are expected: \"a b\"");
    CHECK(read("\nhost s@t a@b\n").error().text() == "f, line 2: bad client address: \"host s@t a@b\"");
    CHECK(read("10.0.0.0/8 s@t a@b\n").error().text() == "f, line 1: bad client address: \"10.0.0.0/8 s@t a@b\"");
    CHECK(read("192.0.2.1 <s> a@b\n").error().text() == "f, line 1: bad sender: \"192.0.2.1 <s> a@b\"");
    CHECK(read("<a@b>\n").error().text() == "f, line 1: bad recipient: \"<a@b>\"");
}

TEST_CASE("sandbox: nothing of the living system is asked, written or listened on")
{
    CHECK(migrate::without_questions_to_others(
              "permit_mynetworks, check_policy_service unix:private/p reject_unverified_recipient,\n  { check_policy_service "
              "inet:a:1, timeout=1 }, check_client_access hash:/x, reject") == "permit_mynetworks, check_client_access, hash:/x, reject");
    const Folder folder;
    const auto survey = survey_of(
        folder, "queue_directory = /var/spool/live\naddress_verify_map = btree:/var/lib/live\nx = $config_directory/y\n",
        "smtp inet n - y - - smtpd\n  -o smtpd_milters=inet:a:1 -o smtpd_banner=hello\n  -o smtpd_recipient_restrictions=check_policy_service,inet:b:2,reject\n"
        "submission inet n - y - - smtpd\npolicy unix - n n - - spawn user=nobody argv=/bin/p\nrelay unix - - y - - smtp\n"
        "cleanup unix n - y - 0 cleanup\n");
    const auto master_cf = config::read_master_cf(folder.path() + "/master.cf");
    REQUIRE(master_cf);
    const migrate::PostfixPrograms programs{.root = "/pf", .commands = "/pf/usr/sbin", .daemons = "/pf/sbin"};
    const auto theirs = migrate::sandbox_files(survey, *master_cf, {.folder = "/box", .ports = {{"", 10025}}, .postfix = &programs}),
               ours = migrate::sandbox_files(survey, *master_cf, {.folder = "/box", .ports = {{"", 10025}}});
    CHECK(theirs.master_cf == "127.0.0.1:10025 inet n - n - - smtpd\n  -o { smtpd_banner = hello }\n  -o { smtpd_recipient_restrictions = reject }\n"
                              "relay unix - - n - - discard\n  -o { syslog_name = posthorn-asks/relay }\ncleanup unix n - n - 0 cleanup\n"
                              "postlog unix-dgram n - n - 1 postlogd\n");
    CHECK(ours.master_cf.find("relay unix - - n - - smtp\n") != std::string::npos);
    config::MainCf read = *config::parse_main_cf(ours.main_cf, "main.cf");
    const config::Snapshot snapshot(config::Site{}, "/box/conf", read, {});
    CHECK(snapshot.text("queue_directory") == "/box/queue");
    CHECK(snapshot.text("address_verify_map").empty());
    CHECK(snapshot.text("x") == folder.path() + "/y");
}

TEST_CASE("sandbox: lines are asked through ports of their own, with logins where they are told; a line that is not there has none")
{
    const Folder folder;
    const auto survey = survey_of(
        folder,
        "notify_classes = policy\nrecord_file = /var/log/r\nrecord_hook_url = http://a.test/\nsmtpd_sasl_auth_enable = yes\nsmtpd_recipient_restrictions = check_policy_service inet:a:1, reject\n",
        "smtp inet n - y - - smtpd\nsubmission inet n - y - - smtpd\n  -o smtpd_sasl_type=cyrus\n  -o x=$config_directory/y\n"
        "  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject\n");
    const auto master_cf = config::read_master_cf(folder.path() + "/master.cf");
    REQUIRE(master_cf);
    CHECK(migrate::server_line(*master_cf, "25") == migrate::server_line(*master_cf, "smtp"));
    CHECK(migrate::server_line(*master_cf, "465") == nullptr);
    const auto screened =
        config::parse_master_cf("[::1]:2525 inet n - n - 1 postscreen\nsmtpd pass - - n - - smtpd\n10025 inet n - n - - smtpd\n", "m");
    REQUIRE(screened);
    for (const char* service : {"", "[::1]:2525", "smtp", "smtpd"})
        CHECK_MESSAGE(migrate::server_line(*screened, service) == &screened->services[1], service);
    CHECK(migrate::server_line(*screened, "10025") == &screened->services[2]);
    const migrate::Ports ports{{"", 10025}, {"submission", 10026}, {"465", 10027}};
    const auto files = migrate::sandbox_files(survey, *master_cf, {.folder = "/box", .ports = ports, .logins = true});
    CHECK(files.master_cf ==
          fmt::format("127.0.0.1:10025 inet n - n - - smtpd\n  -o {{ smtpd_recipient_restrictions = reject }}\n"
                      "127.0.0.1:10026 inet n - n - - smtpd\n  -o {{ x = {}/y }}\n"
                      "  -o {{ smtpd_recipient_restrictions = permit_sasl_authenticated,reject }}\npostlog unix-dgram n - n - 1 postlogd\n",
                      folder.path()));
    const auto value = [&](const migrate::SandboxFiles& of, std::string_view name) {
        return config::Snapshot(config::Site{}, "/box/conf", *config::parse_main_cf(of.main_cf, "main.cf"), {}).text(name);
    };
    CHECK(value(files, "smtpd_sasl_auth_enable") == "yes");
    CHECK(value(files, "smtpd_sasl_type") == "dovecot");
    CHECK(value(files, "smtpd_recipient_restrictions") == "reject");
    for (const char* outside : {"notify_classes", "record_file", "record_hook_url"})
        CHECK_MESSAGE(value(files, outside).empty(), outside);
    CHECK(value(migrate::sandbox_files(survey, *master_cf, {.folder = "/box", .ports = ports}), "smtpd_sasl_auth_enable") == "no");
}

TEST_CASE("answers: where mail would have gone is read from the log, and compared")
{
    constexpr std::string_view log =
        "Nov 26 03:00:00 h posthorn-asks/relay/discard[1]: A: to=<u@relay.test>, relay=none, delay=0, dsn=2.0.0, status=deliverable ([192.0.2.1]:25)\n"
        "Nov 26 03:00:00 h posthorn-asks/local/discard[1]: A: to=<me@here.test>, orig_to=<root>, relay=none, dsn=2.0.0, status=deliverable (mail.here.test)\n"
        "Nov 26 03:00:00 h posthorn-asks/smtp/discard[1]: A: to=<me@else.test>, orig_to=<root>, relay=none, dsn=2.0.0, status=deliverable (else.test)\n"
        "Nov 26 03:00:00 h postfix/cleanup[1]: A: to=<loop@here.test>, relay=none, dsn=5.4.6, status=undeliverable (alias loop)\n"
        "Nov 26 03:00:00 h posthorn-asks/smtp/discard[1]: A: to=<x@>, broken\n";
    const std::vector<std::string> asked{"u@relay.test", "root", "loop@here.test", "gone@here.test"};
    const auto theirs = migrate::logged_resolutions(log, asked);
    CHECK(theirs == std::vector<std::string>{"relay [192.0.2.1]:25 u@relay.test", "local mail.here.test me@here.test; smtp else.test me@else.test",
                                             "undeliverable (alias loop)", "no answer in the log"});
    migrate::Comparison comparison;
    comparison.questions.addresses = asked;
    comparison.theirs.resolutions = comparison.ours.resolutions = theirs;
    CHECK(comparison.differ() == 0);
    comparison.ours.resolutions[1] = "local mail.here.test me@here.test";
    CHECK(comparison.differ() == 1);
    CHECK(migrate::as_text(comparison)
              .starts_with("DIFFERS: address root\n  Postfix:  local mail.here.test me@here.test; smtp else.test me@else.test\n"
                           "  Posthorn: local mail.here.test me@here.test\n4 questions asked: 4 addresses, 0 RCPT; 1 differ\n"));
    comparison.alone = "no Postfix below /";
    CHECK(comparison.differ() == 0);
}

TEST_CASE("answers: ours are what the rooms say, failures without their status")
{
    const Folder folder;
    folder.write("virtual", "a@virt.test b@here.test, c@else.test\n");
    const auto survey =
        survey_of(folder, "mydestination = here.test\nvirtual_alias_domains = virt.test\nrelayhost = [192.0.2.1]\nvirtual_alias_maps = texthash:" +
                              folder.path() + "/virtual\n");
    CHECK(migrate::our_resolutions(survey, {"a@virt.test", "x@virt.test", "u@far.test"}) ==
          std::vector<std::string>{"local a.test b@here.test; smtp [192.0.2.1] c@else.test", "error User unknown in virtual alias table x@virt.test",
                                   "smtp [192.0.2.1] u@far.test"});
}
