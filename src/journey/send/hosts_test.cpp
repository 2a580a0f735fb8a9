// send/hosts_test.cpp: MX sets of many hosts, and name servers that take their time.
#include "async/run.hpp"
#include "send/hosts.hpp"
#include "send/world_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::send;
using namespace std::chrono_literals;

namespace {

/// "mxN.test", of preference N, each with an address unless N is in `dead`. Those that are dead take `silence` of the clock.
class SlowNames final : public Names {
public:
    SlowNames(HandClock& clock, unsigned hosts) : clock_(clock), hosts_(hosts) {}
    awaitable<dns::Answer> mx(std::string) override
    {
        dns::Answer answer;
        answer.status = dns::Status::found;
        for (unsigned at = 0; at < hosts_; ++at) {
            dns::Record record;
            record.type = dns::Type::mx;
            record.preference = static_cast<std::uint16_t>(at);
            record.host = fmt::format("mx{}.test", at);
            answer.records.push_back(record);
        }
        co_return answer;
    }
    awaitable<dns::Addresses> addresses(std::string host, dns::Families) override
    {
        const unsigned number = static_cast<unsigned>(std::stoi(host.substr(2)));
        most = std::max(most, ++under_way);
        ++asked;
        const SteadyTime until = clock_.steady() + silence;
        for (unsigned turn = 0; turn < 100 - number; ++turn)         // the last that are asked are answered first
            co_await asio::post(co_await asio::this_coro::executor, use_awaitable);
        dns::Addresses found;
        if (dead(number)) {
            if (clock_.steady() < until)
                clock_.advance(until - clock_.steady() > 30s ? 30s : std::chrono::duration_cast<std::chrono::microseconds>(until - clock_.steady()));
            found.status = dns::Status::temporary;
        } else {
            found.status = dns::Status::found;
            found.list.push_back(*net::IpAddress::parse(fmt::format("192.0.2.{}", number + 1)));
        }
        --under_way;
        co_return found;
    }
    awaitable<dns::Answer> query(std::string, dns::Type) override { co_return dns::Answer{}; }
    std::function<bool(unsigned)> dead = [](unsigned) { return false; };
    std::chrono::seconds silence{0};
    unsigned asked = 0, under_way = 0, most = 0;

private:
    HandClock& clock_;
    unsigned hosts_;
};

struct Asking {
    explicit Asking(unsigned hosts) : names(clock, hosts), around(loop.get_executor(), clock, {std::make_shared<observe::MemorySink>(), "t"}, names)
    {
        options.address_limit = 0;
        options.randomize = false;
        options.my_name = "client.test";
    }
    Hosts find() { return run(loop, find_hosts("many.test", &options, &around, &random)); }
    asio::io_context loop;
    HandClock clock;
    SlowNames names;
    Surroundings around;
    Options options;
    std::mt19937_64 random{1};
};

}  // namespace

TEST_CASE("hosts: those of an MX set are asked side by side, within a bound, and stand in the order of their preference")
{
    Asking asking(40);
    const Hosts hosts = asking.find();
    REQUIRE(hosts.list.size() == 40);
    for (unsigned at = 0; at < 40; ++at)
        CHECK(hosts.list[at].name == fmt::format("mx{}.test", at));
    CHECK(asking.names.most == 16);
}

TEST_CASE("hosts: a hundred of which none answers cost the time of a few, and the last one that lives is found")
{
    Asking asking(100);
    asking.names.silence = 30s;
    asking.names.dead = [](unsigned) { return true; };
    const SteadyTime begun = asking.clock.steady();
    const Hosts none = asking.find();
    CHECK(none.list.empty());
    CHECK_FALSE(none.reason.permanent);
    CHECK(asking.names.asked == 100);
    CHECK(asking.clock.steady() - begun <= 7 * 30s);                 // one after the other: 3 000 s

    asking.names.dead = [](unsigned number) { return number != 99; };
    CHECK(asking.find().list.size() == 1);

    asking.names.asked = 0;
    asking.names.dead = [](unsigned number) { return number != 3; };
    const SteadyTime again = asking.clock.steady();
    CHECK(asking.find().list.size() == 1);
    CHECK(asking.names.asked < 40);                                  // there is one, and time is up
    CHECK(asking.clock.steady() - again <= 60s);
}
