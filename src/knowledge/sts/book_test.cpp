#include "async/run.hpp"
#include "sts/book.hpp"

#include <doctest/doctest.h>

#include <deque>
#include <functional>

using namespace posthorn;
using namespace posthorn::sts;

namespace {

dns::Answer record_of(const std::string& id)
{
    dns::Answer answer;
    answer.status = dns::Status::found;
    dns::Record one;
    one.type = dns::Type::txt;
    one.text = "v=STSv1; id=" + id + ";";
    answer.records = {one};
    return answer;
}

dns::Answer no_record(dns::Status status)
{
    dns::Answer answer;
    answer.status = status;
    return answer;
}

std::string policy(std::string_view mode, int max_age = 604800)
{
    return fmt::format("version: STSv1\nmode: {}\nmx: mx.a.test\nmax_age: {}\n", mode, max_age);
}

class TestSource final : public Source {
public:
    dns::Answer said = record_of("1");
    Result<std::string> text = policy("enforce");
    std::vector<std::string> asked, fetched;
    Signal* slow = nullptr;                     // a fetch waits for it
    awaitable<dns::Answer> record(std::string name) override
    {
        asked.push_back(name);
        co_return said;
    }
    awaitable<Result<std::string>> fetch(std::string domain) override
    {
        fetched.push_back(domain);
        if (slow)
            co_await slow->wait();
        co_return text;
    }
};

class TestShelf final : public Shelf {
public:
    std::map<std::string, std::string> kept;
    bool away = false;
    int asked = 0;
    awaitable<Result<std::optional<std::string>>> find(std::string domain) override
    {
        ++asked;
        if (away)
            co_return Error("memory does not answer", "4.3.0");
        const auto at = kept.find(domain);
        co_return at != kept.end() ? std::optional(at->second) : std::nullopt;
    }
    void keep(const std::string& domain, const std::string& octets) override { kept[domain] = octets; }
};

struct Domain {
    asio::io_context loop{1};
    HandClock clock;
    TestSource source;
    TestShelf shelf;
    std::shared_ptr<observe::MemorySink> lines = std::make_shared<observe::MemorySink>();
    std::unique_ptr<Book> book = another();

    std::unique_ptr<Book> another() { return std::make_unique<Book>(loop.get_executor(), clock, observe::Log(lines, "smtp"), source, &shelf); }
    /// "1 enforce", "none", or what nobody can tell.
    std::string find()
    {
        const auto found = run(loop, book->find("a.test"));
        loop.poll();
        if (!found)
            return found.error().what();
        const std::optional<Known>& known = found->known;
        if (known)
            CHECK(found->fault.empty());
        return known ? fmt::format("{} {}", known->id, mode_name(known->policy.mode)) : found->fault.empty() ? "none" : "none: " + found->fault;
    }
    std::size_t said(std::string_view what) const
    {
        std::size_t times = 0;
        for (const std::string& line : lines->lines)
            times += line.find(what) != std::string::npos ? 1 : 0;
        return times;
    }
};

}  // namespace

TEST_CASE("book: a policy is fetched once for each id, and kept; a domain without a record is not asked for one")
{
    Domain domain;
    CHECK(domain.find() == "1 enforce");
    CHECK(domain.find() == "1 enforce");
    CHECK(domain.source.asked == std::vector<std::string>{"_mta-sts.a.test", "_mta-sts.a.test"});
    CHECK(domain.source.fetched == std::vector<std::string>{"a.test"});
    CHECK(domain.said("MTA-STS: the policy 1 of a.test is enforce until 2026-01-08 00:00 UTC, hosts: mx.a.test") == 1);
    domain.source.said = record_of("2");
    domain.source.text = policy("testing");
    CHECK(domain.find() == "2 testing");
    CHECK(domain.source.fetched.size() == 2);
    CHECK(known_of(domain.shelf.kept["a.test"])->id == "2");
    Domain other;
    other.source.said = no_record(dns::Status::nxdomain);
    CHECK(other.find() == "none");
    CHECK(other.source.fetched.empty());
    CHECK(other.shelf.kept.empty());
}

TEST_CASE("book: whoever keeps record and policy back lowers nothing until the policy ends, in this process or the next")
{
    for (const bool restarted : {false, true})
        for (const dns::Status status :
             {dns::Status::found, dns::Status::nxdomain, dns::Status::nodata, dns::Status::temporary, dns::Status::bogus}) {
            CAPTURE(restarted);
            CAPTURE(static_cast<int>(status));
            Domain domain;
            CHECK(domain.find() == "1 enforce");
            if (restarted)
                domain.book = domain.another();
            domain.source.said = status == dns::Status::found ? record_of("2") : no_record(status);
            domain.source.text = Error("connection timed out");
            domain.clock.advance(std::chrono::hours(24 * 7) - std::chrono::seconds(1));
            CHECK(domain.find() == "1 enforce");
            CHECK(domain.said("the policy 2 of a.test was not fetched: connection timed out; the policy 1 holds until 2026-01-08 00:00 UTC") ==
                  (status == dns::Status::found ? 1 : 0));
            domain.clock.advance(std::chrono::seconds(1));
            CHECK(domain.find() == (status == dns::Status::found ? "none: sts-policy-fetch-error" : "none"));
        }
}

TEST_CASE("book: while the shelf cannot be asked nobody can tell, and nothing is fetched in its place")
{
    Domain domain;
    domain.shelf.away = true;
    CHECK(domain.find() == "memory does not answer");
    CHECK(domain.source.fetched.empty());
    domain.shelf.away = false;
    CHECK(domain.find() == "1 enforce");
    domain.shelf.away = true;                                         // what is known needs it no more
    CHECK(domain.find() == "1 enforce");
    CHECK(domain.shelf.asked == 2);
}

TEST_CASE("book: one fetch for all who ask meanwhile")
{
    Domain domain;
    Signal slow(domain.loop.get_executor());
    domain.source.slow = &slow;
    TaskGroup tasks(domain.loop.get_executor());
    int answers = 0;
    const auto ask = [](Book* book, int* count) -> awaitable<void> {
        const auto found = co_await book->find("a.test");
        *count += found && found->known ? 1 : 0;
    };
    for (int at = 0; at < 5; ++at)
        tasks.spawn(ask(domain.book.get(), &answers));
    domain.loop.poll();
    CHECK(answers == 0);
    slow.notify_all();
    run(domain.loop, tasks.drained());
    CHECK(answers == 5);
    CHECK(domain.source.fetched.size() == 1);
    CHECK(domain.shelf.asked == 1);
}

TEST_CASE("book: a failed fetch rests for five minutes, unless the id is another")
{
    Domain domain;
    domain.source.text = Error("connection timed out");
    CHECK(domain.find() == "none: sts-policy-fetch-error");
    CHECK(domain.find() == "none: sts-policy-fetch-error");
    CHECK(domain.source.fetched.size() == 1);
    CHECK(domain.said("the policy 1 of a.test was not fetched: connection timed out; mail goes as without one") == 1);
    domain.source.said = record_of("2");
    domain.source.text = Error("Server certificate not trusted", "4.7.5");
    CHECK(domain.find() == "none: sts-webpki-invalid");
    CHECK(domain.source.fetched.size() == 2);
    domain.clock.advance(Book::rest);
    domain.source.text = "nonsense";
    CHECK(domain.find() == "none: sts-policy-invalid");
    CHECK(domain.source.fetched.size() == 3);
    CHECK(domain.said("the policy 2 of a.test was not fetched: a line that is no field: \"nonsense\"") == 1);
    domain.clock.advance(Book::rest);
    domain.source.text = policy("enforce");
    CHECK(domain.find() == "2 enforce");
}

TEST_CASE("book: a policy is fetched afresh after a day, or half its time, and nobody waits for it")
{
    for (const auto& [max_age, after] : {std::pair{604800, std::chrono::seconds(86400)}, {3600, std::chrono::seconds(1800)}}) {
        CAPTURE(max_age);
        Domain domain;
        domain.source.text = policy("enforce", max_age);
        CHECK(domain.find() == "1 enforce");
        domain.clock.advance(after);
        CHECK(domain.find() == "1 enforce");
        CHECK(domain.source.fetched.size() == 1);
        domain.clock.advance(std::chrono::seconds(1));
        domain.source.text = policy("testing", max_age);
        Signal slow(domain.loop.get_executor());
        domain.source.slow = &slow;
        CHECK(domain.find() == "1 enforce");
        CHECK(domain.find() == "1 enforce");
        CHECK(domain.source.fetched.size() == 2);
        domain.source.slow = nullptr;
        slow.notify_all();
        domain.loop.poll();
        CHECK(domain.find() == "1 testing");
        CHECK(domain.source.fetched.size() == 2);
        domain.clock.advance(after + std::chrono::seconds(1));
        domain.source.text = Error("connection refused");
        CHECK(domain.find() == "1 testing");
        CHECK(domain.find() == "1 testing");
        CHECK(domain.source.fetched.size() == 3);
        CHECK(domain.said("the policy 1 of a.test was not fetched: connection refused; the policy 1 holds until") == 1);
    }
}

TEST_CASE("book: a domain that has withdrawn its policy is kept so, and a failure to hear it again is not told")
{
    Domain domain;
    domain.source.text = "version: STSv1\nmode: none\nmax_age: 86400\n";
    CHECK(domain.find() == "1 none");
    domain.source.said = record_of("2");
    domain.source.text = Error("connection refused");
    CHECK(domain.find() == "1 none");
    CHECK(domain.said("was not fetched") == 0);
}

TEST_CASE("book: octets on the shelf that are no policy are as none")
{
    Domain domain;
    domain.shelf.kept["a.test"] = "0 nonsense";
    CHECK(domain.find() == "1 enforce");
    CHECK(domain.source.fetched.size() == 1);
}
