#include "aggregate/sender.hpp"
#include "async/run.hpp"
#include "base/strings.hpp"
#include "mailauth/scripted_dns.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <stdlib.h>

#include <filesystem>
#include <optional>

using namespace posthorn;
using namespace posthorn::aggregate;
using namespace std::chrono_literals;

namespace {

constexpr Day sent_day = std::chrono::year(2026) / 1 / 1;               // HandClock begins with it

struct SenderWorld : Ways {
    explicit SenderWorld(std::string_view zone = "") : dns(zone)
    {
        char name[] = "/tmp/posthorn-sender.XXXXXX";
        folder = ::mkdtemp(name);
        ledger = std::make_unique<Ledger>(folder + "/reports");
        sender = std::make_unique<Sender>(*ledger, *this, &suffixes, clock, observe::Log(sink, "reporter"));
        sender->configure({.organization = "Ours", .address = "reports@ours.test", .spread = 4h, .exceptions = {".no.test", "never.test"}});
    }
    ~SenderWorld() override { std::filesystem::remove_all(folder); }

    awaitable<dns::Answer> texts(std::string name) override { co_return co_await dns.ask()(std::move(name), dns::Type::txt); }
    awaitable<Result<std::string>> mail(std::string from, std::string to, std::string octets) override
    {
        mails.push_back(fmt::format("{} {}", from, to));
        for (const Report& report : ledger->reports())
            on_disk.push_back(fmt::format("{} {}", report.state == Report::State::waiting ? "waiting" : "not waiting", report.attempts));
        last = std::move(octets);
        co_return mail_trouble ? Result<std::string>(*mail_trouble) : Result<std::string>("QID1");
    }
    awaitable<Result<int>> post(net::HttpUrl url, std::string type, std::string octets) override
    {
        posts.push_back(fmt::format("{}{} {}", url.host, url.target, type));
        last = std::move(octets);
        co_return status;
    }
    Report add(Kind kind, std::string domain, std::string record)
    {
        const Subject subject{.kind = kind, .domain = std::move(domain), .day = sent_day};
        handoff::TlsSeen row;
        row.mutable_policy()->set_type("no-policy-found");
        ledger->add({{subject, {.record = std::move(record), .good = 1, .rows = {{kind == Kind::tls ? row.SerializeAsString() : "", 1}}}}});
        return ledger->report(subject).value();
    }
    Report sent(const Report& report)
    {
        run(loop, sender->send(report));
        return ledger->report(report.subject).value();
    }
    void due() { run(loop, sender->send_due()); }

    asio::io_context loop;
    HandClock clock;
    std::shared_ptr<observe::MemorySink> sink = std::make_shared<observe::MemorySink>();
    mailauth::ScriptedDns dns;
    const mailauth::PublicSuffixes suffixes;
    std::string folder;
    std::unique_ptr<Ledger> ledger;
    std::unique_ptr<Sender> sender;
    std::vector<std::string> mails, posts, on_disk;                      // on_disk: what the ledger says of all while a mail goes
    std::string last;
    std::optional<Error> mail_trouble;
    Result<int> status = 200;
};

}  // namespace

TEST_CASE("sender: reports go when their day is over, each domain's at its own time, once")
{
    SenderWorld world;
    world.add(Kind::tls, "example.com", "v=TLSRPTv1; rua=mailto:tls@example.com");
    world.add(Kind::tls, "example.net", "v=TLSRPTv1; rua=https://example.net/in");
    world.clock.advance(24h - 1s);
    world.due();
    CHECK(world.mails.empty());
    const WallTime first = world.sender->due(world.ledger->report({Kind::tls, "example.com", sent_day}).value());
    const WallTime second = world.sender->due(world.ledger->report({Kind::tls, "example.net", sent_day}).value());
    CHECK(first != second);
    for (const WallTime at : {first, second}) {
        CHECK(at >= WallTime(sent_day + std::chrono::days(1)));
        CHECK(at < WallTime(sent_day + std::chrono::days(1)) + 4h);
    }
    world.clock.advance(first - world.clock.wall());
    world.due();
    CHECK(world.mails == std::vector<std::string>{"reports@ours.test tls@example.com"});
    CHECK(world.posts.empty() == (second > first));
    world.clock.advance(4h);
    world.due();
    world.due();
    CHECK(world.mails.size() == 1);
    CHECK(world.posts == std::vector<std::string>{"example.net/in application/tlsrpt+gzip"});
    const Report done = world.ledger->report({Kind::tls, "example.com", sent_day}).value();
    CHECK(done.state == Report::State::sent);
    CHECK(done.note == "mailto:tls@example.com (QID1)");
    CHECK(world.sender->counts().sent == 2);
    REQUIRE(world.sink->lines.size() == 2);
    CHECK(world.sink->lines.at(0).find(
              "aggregate report: kind=tls, domain=example.com, day=2026-01-01, good=1, bad=0, to=mailto:tls@example.com (QID1), status=sent") !=
          std::string::npos);
}

TEST_CASE("sender: what cannot be taken is tried again, elsewhere it does not come twice, and after a day it is given up")
{
    SenderWorld world;
    world.status = 503;
    Report report = world.sent(world.add(Kind::tls, "example.com", "v=TLSRPTv1; rua=mailto:tls@example.com,https://example.com/in"));
    CHECK(report.state == Report::State::waiting);
    CHECK(report.next == world.clock.wall() + 5min);
    CHECK(report.note == "https://example.com/in: the answer is 503");
    CHECK(report.accepted == std::vector<std::string>{"mailto:tls@example.com"});
    std::vector<std::int64_t> pauses;
    while (report.state == Report::State::waiting && pauses.size() < 50) {
        pauses.push_back(std::chrono::duration_cast<std::chrono::minutes>(report.next - world.clock.wall()).count());
        world.clock.advance(report.next - world.clock.wall() - 1s);
        world.due();
        CHECK(world.posts.size() == pauses.size());
        world.clock.advance(1s);
        world.due();
        report = world.ledger->report(report.subject).value();
    }
    CHECK(pauses == std::vector<std::int64_t>{5, 10, 20, 40, 80, 160, 160, 160, 160, 160, 160, 160, 160});
    CHECK(report.state == Report::State::sent);                          // by mail
    CHECK(world.mails.size() == 1);
    report = world.add(Kind::tls, "example.net", "v=TLSRPTv1; rua=https://example.net/in");
    while (!report.done()) {
        report = world.sent(report);
        world.clock.advance(3h);
    }
    CHECK(report.state == Report::State::given_up);
    CHECK(report.attempts == 14);
    CHECK(world.sender->counts().failed == 13 + 14);
}

TEST_CASE("sender: an attempt is on the disk before it is made, with the pause behind it")
{
    SenderWorld world;
    world.sent(world.add(Kind::tls, "example.com", "v=TLSRPTv1; rua=mailto:tls@example.com"));
    CHECK(world.on_disk == std::vector<std::string>{"waiting 1"});
}

TEST_CASE("sender: a queue that refuses it for good, a record without a place, an exception: it is given up, and said")
{
    SenderWorld world;
    world.mail_trouble = Error{"no recipient is left", "5.1.3"};
    CHECK(world.sent(world.add(Kind::tls, "example.com", "v=TLSRPTv1; rua=mailto:tls@example.com")).note ==
          "mailto:tls@example.com: no recipient is left");
    CHECK(world.sent(world.add(Kind::tls, "a.example.com", "v=TLSRPTv1; rua=ftp://x")).note == "its record names no place that reports can go to");
    for (const char* const domain : {"never.test", "deep.no.test"})
        CHECK(world.sent(world.add(Kind::tls, domain, "v=TLSRPTv1; rua=mailto:a@x.test")).note ==
              "it is to have none (aggregate_reports_exceptions)");
    for (const Report& report : world.ledger->reports())
        CHECK(report.state == Report::State::given_up);
    CHECK(world.mails.size() == 1);
    world.mail_trouble = Error{"the queue is full", "4.3.1"};
    CHECK(world.sent(world.add(Kind::tls, "b.example.com", "v=TLSRPTv1; rua=mailto:tls@example.com")).state == Report::State::waiting);
}

TEST_CASE("sender: reports of DMARC go to another organization where that one agrees (RFC 7489 7.1)")
{
    struct Row {
        std::string_view rua, zone, to;
        Report::State state;
    };
    using enum Report::State;
    const std::string_view asks = "example.com._report._dmarc.else.test";
    for (const Row& row : std::initializer_list<Row>{
             {"mailto:d@example.com", "", "d@example.com", sent},
             {"mailto:d@mail.example.com", "", "d@mail.example.com", sent},
             {"mailto:d@else.test", "", "", given_up},
             {"mailto:d@else.test", " TXT v=spf1 -all", "", given_up},
             {"mailto:d@else.test", " TXT v=DMARC1", "d@else.test", sent},
             {"mailto:d@else.test", " TXT v=DMARC1; rua=mailto:x@else.test", "x@else.test", sent},
             {"mailto:d@else.test", " TXT v=DMARC1; rua=mailto:x@third.test", "", given_up},
             {"mailto:d@else.test", " FAIL", "", waiting},
             {"mailto:d@example.com!10", "", "", given_up},
             {"mailto:d@example.com!1m", "", "d@example.com", sent},
             {"https://example.com/dmarc", "", "", given_up},
         }) {
        CAPTURE(row.rua);
        CAPTURE(row.zone);
        SenderWorld world(row.zone.empty() ? std::string() : fmt::format("{}{}", asks, row.zone));
        const Report report = world.sent(world.add(Kind::dmarc, "example.com", fmt::format("v=DMARC1; p=none; rua={}", row.rua)));
        CHECK(report.state == row.state);
        CHECK(fmt::format("{}", fmt::join(world.mails, " ")) == (row.to.empty() ? "" : fmt::format("reports@ours.test {}", row.to)));
    }
}

TEST_CASE("sender: a report of TLS goes wherever its record says, and has what was counted")
{
    SenderWorld world;
    CHECK(world.sent(world.add(Kind::tls, "example.com", "v=TLSRPTv1; rua=mailto:d@else.test")).state == Report::State::sent);
    CHECK(world.dns.asked.empty());
    CHECK(world.last.find("TLS-Report-Domain: example.com\r\n") != std::string::npos);
    CHECK(world.sender->document(world.add(Kind::tls, "example.com", "v=TLSRPTv1; rua=mailto:d@else.test"))
              .find("\"report-id\":\"2026-01-01.2.tls.example.com@ours.test\",\"policies\":[{\"policy\":{\"policy-type\":\"no-policy-found\"") !=
          std::string::npos);
}
