#include "report/explanations.hpp"

#include "async/run.hpp"
#include "base/strings.hpp"
#include "config/snapshot.hpp"
#include "report/params.hpp"
#include "tables/testing.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::report;
using namespace std::chrono_literals;
using handoff::ReportRequest;

namespace {

/// Answers when it is told to, or never.
class SlowTable final : public tables::Table {
public:
    SlowTable(std::string name, const Executor& executor) : Table(std::move(name)), told(executor) {}
    bool in_memory() const override { return false; }
    tables::Answer find(std::string_view) override { return Error{"not in memory", "4.3.0"}; }
    awaitable<tables::Answer> lookup(std::string key) override
    {
        asked.push_back(key);
        if (!answers)
            co_await told.wait();
        if (key == "QuotaIssues:en")
            co_return "slowly";
        co_return std::nullopt;
    }
    Signal told;
    bool answers = true;
    std::vector<std::string> asked;
};

struct Explained : tables::Loop, tables::TestSite {
    TaskGroup tasks{loop.get_executor()};
    std::shared_ptr<SlowTable> slow = std::make_shared<SlowTable>("slow:x", loop.get_executor());
    std::chrono::milliseconds patience = 10s;

    Explained()
    {
        tables.add_kind("slow", [this](std::string, std::string, tables::Flags, tables::Tables&) { return slow; });
    }
    ~Explained() { run(loop, tasks.close()); }

    static config::Snapshot snapshot(const std::string& maps, const std::string& languages, const std::string& classes)
    {
        static constexpr config::ParamInfo classification[] = {
            config::Param<std::string>{.name = "bounce_classification_maps", .initial = "", .own = true}};
        static constexpr std::span<const config::ParamInfo> rooms[] = {report::params, classification};
        auto main_cf =
            config::parse_main_cf(fmt::format("bounce_explanation_maps = {}\nbounce_explanation_languages = {}\nbounce_classification_maps = {}\n",
                                              maps, languages, classes),
                                  "main.cf");
        REQUIRE(main_cf);
        return config::Snapshot(config::this_host("test"), "/nonexistent", *main_cf, rooms);
    }
    std::vector<std::string> of(const ReportRequest& request, const std::string& maps, const std::string& languages = "",
                                const std::string& classes = "shipped")
    {
        const config::Snapshot made = snapshot(maps, languages, classes);
        Explanations explanations(made, tables, tasks, patience);
        Options options;
        options.myhostname = "mail.ours.test";
        options.parameter = template_parameters(made);
        return run(loop, explanations.of(request, options));
    }
    std::vector<std::string> warnings() const
    {
        std::vector<std::string> found;
        for (const std::string& line : sink->lines)
            if (const auto at = line.find("warning: "); at != line.npos)
                found.push_back(line.substr(at + 9));
        return found;
    }
};

ReportRequest failures(const std::vector<std::pair<std::string, std::string>>& replies, ReportRequest::Kind kind = ReportRequest::FAILURE)
{
    ReportRequest made;
    made.set_kind(kind);
    made.set_header("Content-Language: de\r\n\r\n");
    made.mutable_envelope()->set_queue_id("OLD");
    made.mutable_envelope()->set_sender("a@ours.test");
    for (const auto& [address, reply] : replies) {
        const auto index = static_cast<std::uint32_t>(made.verdicts_size());
        handoff::Recipient& recipient = *made.mutable_envelope()->add_recipients();
        recipient.set_index(index);
        recipient.set_address(address);
        handoff::Verdict& verdict = *made.add_verdicts();
        verdict.set_recipient(index);
        verdict.set_outcome(kind == ReportRequest::DELAY ? handoff::OUTCOME_DEFERRED : handoff::OUTCOME_BOUNCED);
        verdict.set_status(std::string(split(reply)[1]));
        verdict.set_diagnostic(reply);
        made.add_gives_up(1'796'252'460'000'000);
    }
    return made;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("explanations: without tables nothing is asked, and reports that are none of failure or delay explain nothing")
{
    Explained explained;
    const ReportRequest request = failures({{"u@there.test", "552 5.2.2 full"}});
    CHECK(explained.of(request, "").empty());
    for (const auto kind : {ReportRequest::SUCCESS, ReportRequest::VERIFY})
        CHECK(explained.of(failures({{"u@there.test", "552 5.2.2 full"}}, kind), "static:x").empty());
    ReportRequest to_nobody = request;
    to_nobody.mutable_envelope()->clear_sender();
    CHECK(explained.of(to_nobody, "static:x").empty());
    CHECK(explained.of(request, "static:x") == Texts{"x"});
}

TEST_CASE("explanations: the class is the one of the record, or what the tables say of the reply, or the status")
{
    Explained explained;
    const std::string maps = "inline:{ SpamBlock=block, QuotaIssues=quota, Mine=mine, MessageExpired=expired, *=other }";
    ReportRequest request = failures({{"a@x.test", "554 5.7.1 listed by Spamhaus"}, {"b@x.test", "552 5.2.2 no"}, {"c@x.test", "550 5.0.0 no"}});
    CHECK(explained.of(request, maps) == Texts{"block", "quota", "other"});
    CHECK(explained.of(request, maps, "", "") == Texts{"other", "quota", "other"});
    CHECK(explained.of(request, maps, "", "regexp:{ { /^550 5\\.0\\.0 no$$/ Mine } }") == Texts{"other", "quota", "mine"});
    request.mutable_verdicts(0)->set_classification("Mine");
    CHECK(explained.of(request, maps) == Texts{"mine", "quota", "other"});
    request.mutable_verdicts(2)->set_outcome(handoff::OUTCOME_EXPIRED);
    request.mutable_verdicts(1)->set_outcome(handoff::OUTCOME_EXPIRED);
    CHECK(explained.of(request, maps) == Texts{"mine", "quota", "expired"});
}

TEST_CASE("explanations: what refuses here is explained as what others say is")
{
    Explained explained;
    ReportRequest request = failures({{"a@x.test", "550 5.4.6 x"}, {"b@x.test", "550 5.3.4 x"}, {"c@x.test", "550 5.4.4 x"}});
    for (auto& verdict : *request.mutable_verdicts())
        verdict.clear_diagnostic();
    request.mutable_verdicts(0)->set_text("mail for x.test loops back to myself");
    request.mutable_verdicts(1)->set_text("message size 3000 exceeds size limit 2000 of server mx.x.test[192.0.2.1]");
    request.mutable_verdicts(2)->set_text("Host or domain name not found. Name service error for name=x.test type=A: Host not found");
    const Texts texts = explained.of(request, "shipped");
    REQUIRE(texts.size() == 3);
    CHECK(texts[0].starts_with("Your message went round in circles"));
    CHECK(texts[1].starts_with("Your message is larger than"));
    CHECK(texts[2].starts_with("Your message cannot be delivered to x.test: this domain could not be found"));
}

TEST_CASE("explanations: the first table that has any key answers, and its own words go before a shipped one of the sender's language")
{
    Explained explained;
    const ReportRequest request = failures({{"a@x.test", "552 5.2.2 full"}, {"b@y.test", "552 5.2.2 full"}, {"c@x.test", "550 5.1.1 none"}});
    const Texts texts = explained.of(request, "inline:{ { x.test:QuotaIssues = x is full }, { QuotaIssues = full } }, shipped", "sender");
    REQUIRE(texts.size() == 3);
    CHECK(texts[0] == "x is full");
    CHECK(texts[1] == "full");
    CHECK(texts[2].starts_with("Das empfangende Mailsystem kennt"));
}

TEST_CASE("explanations: a text that is empty, or a dash, says that nothing is said; no table behind it is asked")
{
    Explained explained;
    const ReportRequest request = failures({{"a@x.test", "552 5.2.2 full"}, {"b@x.test", "550 5.1.1 none"}});
    const Texts texts = explained.of(request, "inline:{ QuotaIssues=- }, shipped");
    CHECK(texts[0].empty());
    CHECK(texts[1].starts_with("The receiving mail system"));
    CHECK(explained.of(request, "regexp:{ { /^QuotaIssues$$/ } }, shipped")[0].empty());
    CHECK_FALSE(explained.said("bounce_explanation_maps"));
}

TEST_CASE("explanations: delays have texts of their own, and none of a failure's")
{
    Explained explained;
    const ReportRequest request = failures({{"a@x.test", "452 4.2.2 full"}}, ReportRequest::DELAY);
    CHECK(explained.of(request, "inline:{ { QuotaIssues = full }, { *:en = any } }") == Texts{""});
    CHECK(explained.of(request, "inline:{ { delay:QuotaIssues = full until $${retry_until} } }")[0].starts_with("full until 2026-12-02 "));
}

TEST_CASE("explanations: a table that cannot be asked is said once, and costs the explanation alone")
{
    Explained explained;
    const ReportRequest request = failures({{"a@x.test", "552 5.2.2 full"}, {"b@x.test", "550 5.1.1 none"}});
    CHECK(explained.of(request, "fail:x, shipped") == Texts{"", ""});
    REQUIRE(explained.warnings().size() == 1);
    CHECK(explained.warnings()[0] == "OLD: bounce_explanation_maps: fail:x: \"x.test:QuotaIssues/2.2:en\": Application error");
    CHECK(explained.of(request, "shipped", "", "fail:x")[0].starts_with("The recipient's mailbox is full"));
    REQUIRE(explained.warnings().size() == 2);
    CHECK(explained.warnings()[1] == "OLD: bounce_classification_maps: fail:x: \"552 5.2.2 full\": Application error");
}

TEST_CASE("explanations: a text that does not expand is said once, with table and key, and costs its own recipients the explanation")
{
    Explained explained;
    const ReportRequest request = failures({{"a@x.test", "552 5.2.2 full"}, {"b@x.test", "552 5.2.2 full"}, {"c@x.test", "550 5.1.1 none"}});
    CHECK(explained.of(request, "inline:{ { QuotaIssues = $${nobody} }, { * = other } }") == Texts{"", "", "other"});
    REQUIRE(explained.warnings().size() == 1);
    CHECK(explained.warnings()[0] ==
          "OLD: bounce_explanation_maps: inline:{ { QuotaIssues = ${nobody} }, { * = other } }: \"QuotaIssues\": nothing is called \"${nobody}\"");
}

TEST_CASE("explanations: a table that has to ask somebody is waited for, but not for long")
{
    Explained explained;
    const ReportRequest request = failures({{"a@x.test", "552 5.2.2 full"}, {"b@y.test", "552 5.2.2 full"}});
    CHECK(explained.of(request, "slow:x") == Texts{"slowly", "slowly"});
    explained.slow->answers = false;
    explained.slow->asked.clear();
    explained.patience = 20ms;
    CHECK(explained.of(request, "slow:x, shipped") == Texts{"", ""});
    CHECK(explained.slow->asked == Texts{"x.test:QuotaIssues/2.2:en"});
    REQUIRE(explained.warnings().size() == 1);
    CHECK(explained.warnings()[0] == "OLD: bounce_explanation_maps: slow:x: \"x.test:QuotaIssues/2.2:en\": no answer in time");
}

TEST_CASE("explanations: nothing of a stranger's address gets into what is expanded")
{
    Explained explained;
    const ReportRequest request = failures({{"a@${myhostname}", "552 5.2.2 full"}});
    (void)explained.of(request, "regexp:{ { /^(.*):QuotaIssues$$/ $$1 } }");
    CHECK(explained.said("regular expression substitution is not allowed"));
    CHECK(explained.of(request, "inline:{ { QuotaIssues = $${recipient_domain} } }") == Texts{"${myhostname}"});
}

TEST_CASE("explanations: what is wrong with texts and languages is said before any mail fails")
{
    Explained explained;
    const config::Snapshot made =
        Explained::snapshot("inline:{ { QuotaIssues = $${nobody} }, { *:de = $$myhostname } }, shipped, fail:x", "", "shipped");
    const Explanations explanations(made, explained.tables, explained.tasks);
    const Texts faults = explanations.faults();
    REQUIRE(faults.size() == 1);
    CHECK(faults[0].starts_with("bounce_explanation_maps: inline:"));
    CHECK(faults[0].ends_with(": quotaissues: nothing is called \"${nobody}\""));
    CHECK(explanation_faults(made, explained.tables) == faults);
    CHECK(explanation_faults(Explained::snapshot("texthash:/nonexistent/texts, shipped", "", ""), explained.tables) ==
          Texts{"bounce_explanation_maps: texthash:/nonexistent/texts: open database /nonexistent/texts: No such file or directory"});
    CHECK(explanation_faults(Explained::snapshot("", "sender, de_DE, pt-BR", ""), explained.tables) ==
          Texts{"bounce_explanation_languages: de_DE: neither sender nor a tag like de or pt-BR"});
}
