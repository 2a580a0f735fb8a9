#include "migrate/testing.hpp"
#include "whatif/changes.hpp"
#include "whatif/comparison.hpp"
#include "whatif/log_files.hpp"
#include "whatif/report.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chrono>
#include <filesystem>

using namespace posthorn;
using migrate::testing::Folder;
using migrate::testing::quiet;
using migrate::testing::small_master;
using whatif::Answered;
using whatif::Group;
using whatif::LogQuestion;

namespace {

migrate::Survey survey_of(const Folder& folder, const std::string& main_cf, const std::string& master_cf = small_master, bool copied = false)
{
    folder.write("main.cf", quiet + main_cf);
    folder.write("master.cf", master_cf);
    auto survey = migrate::survey(folder.path(), copied);
    REQUIRE(survey);
    return *std::move(survey);
}

LogQuestion question(std::string recipient, std::uint64_t accepted, std::uint64_t refused = 0)
{
    return {.tag = "postfix/smtpd",
            .client = {.name = "c.test", .address = "192.0.2.7"},
            .helo = "h.test",
            .sender = "s@x.test",
            .recipient = std::move(recipient),
            .accepted = accepted,
            .refused = refused,
            .refusal = refused > 0 ? "554 5.7.1 x" : ""};
}

Answered answered(LogQuestion question, std::string now, std::string then, std::string way_now = {}, std::string way_then = {})
{
    return {.question = std::move(question),
            .service = {},
            .reply_now = std::move(now),
            .reply_then = std::move(then),
            .way_now = std::move(way_now),
            .way_then = std::move(way_then)};
}

std::vector<std::string> shown(const std::vector<Group>& groups)
{
    std::vector<std::string> lines;
    for (const Group& group : groups)
        lines.push_back(fmt::format("{}: {} -> {}: {} of {}", whatif::to_text(group.kind), group.before, group.after, group.times, group.questions));
    return lines;
}

std::vector<std::string> shown(const std::vector<whatif::Change>& changes)
{
    std::vector<std::string> lines;
    for (const whatif::Change& change : changes)
        lines.push_back(fmt::format("{}: {} -> {}", change.name, change.before.value_or("none"), change.after.value_or("none")));
    return lines;
}

using Lines = std::vector<std::string>;

const std::string ok = "250 2.1.5 Ok";

whatif::Report report_of_all_kinds()
{
    whatif::Report report{.now = "/etc/postfix", .next = "/tmp/new"};
    auto& answers = report.comparison.answers;
    for (int i = 0; i < 7; ++i)
        answers.push_back(
            answered(question(fmt::format("u{}@d.test", i), i == 5 ? 10 : 1), ok, "554 5.7.1 <c.test[192.0.2.7]>: Client host rejected: No"));
    answers.push_back(answered(question("v@far.test", 0, 3), "554 5.7.1 <v@far.test>: Relay access denied", ok));
    answers.push_back(answered(question("w@far.test", 2), ok, ok, "smtp far.test w@far.test", "relay [10.0.0.1] w@far.test"));
    answers.push_back(answered(question("x@near.test", 2), ok, ok, "smtp near.test x@near.test", "relay [10.0.0.1] x@near.test"));
    LogQuestion local{.tag = "postfix/pickup", .local = true, .sender = "root@x.test", .recipient = "root", .accepted = 4};
    answers.push_back(answered(local, "", "", "local x.test root@x.test", "smtp x.test root@x.test"));
    answers.push_back(answered(question("y@d.test", 0, 1), "450 4.1.1 <y@d.test>: later", "550 5.1.1 <y@d.test>: never"));
    answers.push_back(answered(question("z@d.test", 1), ok, ok, "smtp d.test z@d.test", "smtp d.test z@d.test"));
    return report;
}

}  // namespace

TEST_CASE("differences: grouped by what they were and become, refused mail first, then by how often the log has them")
{
    const auto report = report_of_all_kinds();
    const auto groups = whatif::differences(report.comparison);
    CHECK(shown(groups) == Lines{"refused: 250 2.1.5 Ok -> 554 5.7.1 <CLIENT>: Client host rejected: No: 16 of 7",
                                 "let in: 554 5.7.1 <RECIPIENT>: Relay access denied -> 250 2.1.5 Ok: 3 of 1",
                                 "other way: local x.test root@x.test -> smtp x.test root@x.test: 4 of 1",
                                 "other way: smtp DOMAIN RECIPIENT -> relay [10.0.0.1] RECIPIENT: 4 of 2",
                                 "other words: 450 4.1.1 <RECIPIENT>: later -> 550 5.1.1 <RECIPIENT>: never: 1 of 1"});
    REQUIRE(groups.front().samples.size() == 5);
    CHECK(groups.front().samples[0]->question.recipient == "u5@d.test");
    CHECK(groups.front().samples[1]->question.recipient == "u0@d.test");
    CHECK(whatif::differing_answers(report) == 12);
}

TEST_CASE("the log has it otherwise: what is refused and was taken, and the other way round; not where the log has both")
{
    whatif::Comparison comparison;
    comparison.answers.push_back(answered(question("a@d.test", 2), "554 5.7.1 <a@d.test>: no", "554 5.7.1 <a@d.test>: no"));
    comparison.answers.push_back(answered(question("b@d.test", 0, 3), ok, ok));
    comparison.answers.push_back(answered(question("c@d.test", 1, 1), ok, ok));
    comparison.answers.push_back(answered(question("d@d.test", 1, 1), "450 x", "450 x"));
    comparison.answers.push_back(answered(question("e@d.test", 1), ok, ok));
    comparison.answers.push_back(answered(question("f@d.test", 0, 1), "554 other", "554 other"));
    CHECK(whatif::differences(comparison).empty());
    CHECK(shown(whatif::otherwise_than_logged(comparison)) ==
          Lines{"refused: taken -> 554 5.7.1 <RECIPIENT>: no: 2 of 1", "let in: 554 5.7.1 x -> 250 2.1.5 Ok: 3 of 1"});
}

TEST_CASE("in general: what is the question's own is named, and nothing within another name")
{
    LogQuestion asked = question("u@d.test", 1);
    asked.login = "joe";
    const auto general = [&](std::string_view text) { return whatif::in_general(text, asked); };
    CHECK(general("554 5.7.1 Service unavailable; Client host [192.0.2.7] blocked using l.test; see http://l.test/192.0.2.7.") ==
          "554 5.7.1 Service unavailable; Client host [ADDRESS] blocked using l.test; see http://l.test/ADDRESS.");
    CHECK(general("553 <s@x.test>: Sender address rejected: not owned by user joe") ==
          "553 <SENDER>: Sender address rejected: not owned by user LOGIN");
    CHECK(general("504 5.5.2 <h.test>: Helo command rejected: x") == "504 5.5.2 <HELO>: Helo command rejected: x");
    CHECK(general("smtp d.test u@d.test; smtp sub.d.test au@d.test; local d.tests b@d.test") ==
          "smtp DOMAIN RECIPIENT; smtp sub.d.test au@d.test; local d.tests b@d.test");
    CHECK(general("x 192.0.2.70 c.test[192.0.2.7]") == "x 192.0.2.70 CLIENT");
    asked.client.name = migrate::Client().name;
    asked.helo.clear();
    CHECK(general("<unknown[192.0.2.7]> <[192.0.2.7]>: unknown") == "<CLIENT> <[ADDRESS]>: unknown");
}

TEST_CASE("report: text and JSON have the same")
{
    auto report = report_of_all_kinds();
    report.changes.parameters = {{"relayhost", "a", std::nullopt}, {"x", std::nullopt, "1"}};
    report.changes.services = {{"smtp/inet", "smtp inet n", "smtp inet y"}};
    report.changes.files = {{"gone", "there", std::nullopt}, {"new", std::nullopt, "there"}, {"other", "there", "changed"}};
    report.changes.remarks = {"a table"};
    report.comparison.not_asked = {{"for a reason", 3}};
    report.unread = {"log.1.gz: why"};
    const std::string text = whatif::as_text(report);
    CHECK(text.starts_with(
        "now:  /etc/postfix\nthen: /tmp/new\nmain.cf\n  - relayhost = a\n  + x = 1\nmaster.cf\n  - smtp inet n\n  + smtp inet y\n"
        "Files (* changed)\n  - gone\n  + new\n  * other\nNote: a table\n\nTaken now, would be refused: 16 times in the log, 7 questions\n"
        "  now:  250 2.1.5 Ok\n  then: 554 5.7.1 <CLIENT>: Client host rejected: No\n"
        "         10 c.test[192.0.2.7] h.test <s@x.test> to <u5@d.test>\n          1 c.test[192.0.2.7] h.test <s@x.test> to <u0@d.test>\n"));
    for (const char* piece : {"            and 2 more\n", "\nRefused now, would be let in: 3 times in the log, 1 question\n",
                              "          4 local <root@x.test> to <root>\n", "\nWould go another way: 4 times in the log, 2 questions\n",
                              "\nWould be refused with other words: 1 time in the log, 1 question\n",
                              "\n13 questions asked, which stand in the log 29 times; 12 answers differ, 28 times in the log\n",
                              "Not asked, 3 times: for a reason\n", "Not read: log.1.gz: why\n", "Not asked: policy servers, "})
        CHECK_MESSAGE(text.find(piece) != text.npos, piece << text);
    const std::string json = whatif::as_json(report);
    for (
        const char* piece :
        {"{\"now\": \"/etc/postfix\", \"then\": \"/tmp/new\", \"parameters\": [{\"name\": \"relayhost\", \"now\": \"a\", \"then\": null}, ",
         "\"services\": [{\"name\": \"smtp/inet\", ",
         "\"remarks\": [\"a table\"], \"asked\": 13, \"times\": 29, \"differ\": 12, \"differ_times\": 28, ",
         "\"groups\": [{\"kind\": \"refused\", \"now\": \"250 2.1.5 Ok\", \"then\": \"554 5.7.1 <CLIENT>: Client host rejected: No\", \"times\": 16, "
         "\"questions\": 7, \"samples\": [{\"times\": 10, \"local\": false, \"client_name\": \"c.test\", \"client_address\": \"192.0.2.7\", "
         "\"helo\": \"h.test\", \"login\": \"\", \"sender\": \"s@x.test\", \"recipient\": \"u5@d.test\"}, ",
         "\"not_asked\": {\"for a reason\": 3}, ", "\"unread\": [\"log.1.gz: why\"]}\n"})
        CHECK_MESSAGE(json.find(piece) != json.npos, piece << json);

    report.comparison.answers.resize(1);
    report.comparison.answers[0].question.sender = "a\x1b]0;x@b";
    CHECK(whatif::as_text(report).find("<a?]0;x@b>") != std::string::npos);  // a terminal may obey what strangers say

    whatif::Report same{.now = "a", .next = "b"};
    same.comparison.answers.push_back(answered(question("z@d.test", 1), ok, ok, "w", "w"));
    CHECK(whatif::as_text(same).starts_with("now:  a\nthen: b\n\n1 question asked, which stand in the log 1 time; no answer differs\n"));
}

TEST_CASE("changes: parameters, lines of master.cf and files; the directory's own path is no difference")
{
    const Folder now, next;
    now.write("same", "x\n");
    next.write("same", "x\n");
    now.write("other", "x\n");
    next.write("other", "y\n");
    next.write("new", "y\n");
    const auto own = [](const Folder& folder) {
        return fmt::format("transport_maps = texthash:{0}/other\nrelay_domains =\n  a.test\n  b.test\nx = {0}\ny = {0}-out/z\n", folder.path());
    };
    now.write("master.cf", small_master);
    const auto before = survey_of(now, own(now) + fmt::format("relayhost = [192.0.2.1]\nz = a {}/b\n", now.path())),
               after = survey_of(next, own(next) + "mynetworks = 10.0.0.0/8\nz = a ${config_directory}/b\n",
                                 small_master + "submission inet n - n - - smtpd\n  -o { smtpd_banner = a  b }\n", true);
    const auto changes = whatif::changes_between(before, after);
    CHECK(shown(changes.parameters) ==
          Lines{"mynetworks: none -> 10.0.0.0/8", "relayhost: [192.0.2.1] -> none", fmt::format("y: {}-out/z -> {}-out/z", now.path(), next.path())});
    CHECK(shown(changes.services) == Lines{"submission/inet: none -> submission inet n - n - - smtpd -o { smtpd_banner = a b }"});
    CHECK(shown(changes.files) == Lines{"new: none -> there", "other: there -> changed"});
    CHECK(changes.remarks.empty());
}

TEST_CASE("changes: a table that is read in the old directory is named, and an index older than its source; $config_directory is that of the copy")
{
    const Folder now, next;
    now.write("t", "x a:\n");
    next.write("t", "x b:\n");
    next.write("cf", "x b:\n");
    next.write("cf.lmdb", "no index\n");
    std::filesystem::last_write_time(next.path() + "/cf.lmdb", std::filesystem::last_write_time(next.path() + "/cf") - std::chrono::hours(1));
    const std::string common =
        fmt::format("config_directory = {0}\ntransport_maps = texthash:{0}/t\nvirtual_alias_maps = texthash:$config_directory/t\n", now.path());
    const auto before = survey_of(now, common), after = survey_of(next, common + "relocated_maps = lmdb:$config_directory/cf\n", small_master, true);
    const auto changes = whatif::changes_between(before, after);
    REQUIRE(changes.remarks.size() >= 2);
    CHECK(changes.remarks[0] ==
          fmt::format("texthash:{0}/t was asked as it is in {0}, since it is named by its path: $config_directory/t would be that of {1}", now.path(),
                      next.path()));
    CHECK(changes.remarks[1].starts_with(fmt::format("lmdb:{}/cf: ", next.path())));
    CHECK(after.snapshot.text("virtual_alias_maps") == fmt::format("texthash:{}/t", next.path()));
    CHECK(before.snapshot.text("virtual_alias_maps") == fmt::format("texthash:{}/t", now.path()));
}

TEST_CASE("services: a line is known by its tag in the log; that of port 25 goes before others that have the same")
{
    const Folder folder;
    const auto survey =
        survey_of(folder, "syslog_name = mx\n",
                  "127.0.0.1:10025 inet n - n - - smtpd\nsmtp inet n - n - 1 postscreen\nsmtpd pass - - n - - smtpd\n"
                  "submission inet n - n - - smtpd\n  -o syslog_name=mx/$service_name\n465 inet n - n - - smtpd -o syslog_name=mx/$service_name\n" +
                      small_master.substr(small_master.find("smtp unix")));
    const auto master_cf = config::read_master_cf(folder.path() + "/master.cf");
    REQUIRE(master_cf);
    const std::map<std::string, std::string> expected{{"mx/smtpd", "smtpd"}, {"mx/submission/smtpd", "submission"}, {"mx/465/smtpd", "465"}};
    CHECK(whatif::services_by_tag(survey, *master_cf) == expected);
}

TEST_CASE("compare: local mail needs no server; without time there is no answer, and nothing that differs")
{
    const Folder now, next;
    const auto before = survey_of(now, "relayhost = [192.0.2.1]\n"), after = survey_of(next, "relayhost = [192.0.2.2]\n", small_master, true);
    const auto ask = [&](whatif::Limits limits) {
        whatif::LogQuestions asked;
        asked.questions.push_back({.tag = "postfix/pickup", .local = true, .sender = "s@x.test", .recipient = "u@far.test", .accepted = 3});
        asked.questions.push_back({.tag = "postfix/pickup", .local = true, .sender = "t@x.test", .recipient = "v@far.test", .accepted = 2});
        asked.questions.push_back({.tag = "other/pickup", .local = true, .sender = "s@x.test", .recipient = "u@far.test", .accepted = 1});
        return whatif::compare(before, after, asked, limits);
    };
    const auto in_time = ask({});
    REQUIRE(in_time);
    CHECK(shown(whatif::differences(*in_time)) == Lines{"other way: smtp [192.0.2.1] RECIPIENT -> smtp [192.0.2.2] RECIPIENT: 5 of 2"});
    using Counts = std::map<std::string, std::uint64_t>;
    CHECK(in_time->not_asked == Counts{{"of other/pickup, which is no line of this master.cf", 1}});
    const auto too_late = ask({.questions = 1, .round = std::chrono::minutes(-1)});
    REQUIRE(too_late);
    CHECK(whatif::differences(*too_late).empty());
    CHECK(too_late->answers.empty());
    CHECK(too_late->not_asked == Counts{{"beyond the 1 questions that are most frequent", 2},
                                        {"no answer within the time there is", 3},
                                        {"of other/pickup, which is no line of this master.cf", 1}});
}

TEST_CASE("compare: the way is that of the sender, where senders have ways of their own")
{
    const Folder now, next;
    const auto before = survey_of(now, "relayhost = [192.0.2.1]\n"),
               after =
                   survey_of(next, "relayhost = [192.0.2.1]\nsender_dependent_relayhost_maps = inline:{s@x.test=[192.0.2.2]}\n", small_master, true);
    whatif::LogQuestions asked;
    asked.questions.push_back({.tag = "postfix/pickup", .local = true, .sender = "s@x.test", .recipient = "u@far.test", .accepted = 3});
    asked.questions.push_back({.tag = "postfix/pickup", .local = true, .sender = "t@x.test", .recipient = "u@far.test", .accepted = 2});
    const auto compared = whatif::compare(before, after, asked, {});
    REQUIRE(compared);
    CHECK(shown(whatif::differences(*compared)) == Lines{"other way: smtp [192.0.2.1] RECIPIENT -> smtp [192.0.2.2] RECIPIENT: 3 of 1"});
}

TEST_CASE("log files: the oldest first, the one that is written now last; compressed ones are named")
{
    const Folder folder;
    const std::string log = folder.path() + "/maillog";
    for (const char* name : {"maillog", "maillog.2", "maillog.1", "maillogs", "maillog.3.gz"})
        folder.write(name, name == std::string_view("maillog.3.gz") ? "\x1f\x8b..." : "x\n");
    const auto age = [&](const std::string& path, int hours) {
        std::filesystem::last_write_time(path, std::filesystem::file_time_type::clock::now() - std::chrono::hours(hours));
    };
    age(log, 9);
    age(log + ".1", 1);
    age(log + ".2", 2);
    const auto files = whatif::log_files_beside(log);
    REQUIRE(files);
    CHECK(files->paths == Lines{log + ".2", log + ".1", log});
    CHECK(files->unread == Lines{log + ".3.gz: is compressed: its text can be given by a pipe and --log -"});
    CHECK(whatif::log_files_beside(folder.path() + "/none").error().text() == fmt::format("no log {}/none: --log names another one", folder.path()));
    whatif::MailLog into;
    CHECK(whatif::read_log(log + ".3.gz", into).error().text() == log + ".3.gz is compressed: its text can be given by a pipe and --log -");
    CHECK(whatif::read_log(folder.path(), into).error().text() == fmt::format("read {}: Is a directory", folder.path()));
    CHECK(whatif::read_log(log, into).has_value());
}
