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

dns::Record srv(std::uint16_t priority, std::uint16_t weight, std::uint16_t port, std::string host)
{
    dns::Record record;
    record.type = dns::Type::srv;
    record.preference = priority;
    record.weight = weight;
    record.port = port;
    record.host = std::move(host);
    return record;
}

/// A name service with a mail provider: records of services for submission; MX records besides.
struct Services {
    Services() : around(loop.get_executor(), clock, {log, "t"}, names)
    {
        options.my_name = "client.test";
        options.srv_services = {"submission"};
        names.addresses_of = {
            {"a.test", {"192.0.2.1"}}, {"b.test", {"192.0.2.2", "192.0.2.3"}}, {"c.test", {"192.0.2.4"}}, {"mx.test", {"192.0.2.9"}}};
        names.mx_of["example.test"] = {{10, "mx.test"}};
        names.srv_of["_submission._tcp.example.test"] = {srv(20, 0, 587, "c.test"), srv(10, 0, 2525, "b.test"), srv(5, 1, 10587, "a.test")};
    }
    Hosts find(std::string next_hop = "example.test:submission") { return run(loop, find_hosts(std::move(next_hop), &options, &around, &random)); }
    std::vector<std::string> relays(std::string next_hop = "example.test:submission")
    {
        std::vector<std::string> all;
        for (const Host& host : find(std::move(next_hop)).list)
            all.push_back(host.relay());
        return all;
    }
    asio::io_context loop;
    HandClock clock;
    std::shared_ptr<observe::MemorySink> log = std::make_shared<observe::MemorySink>();
    TableNames names;
    Surroundings around;
    Options options;
    std::mt19937_64 random{1};
};

using Relays = std::vector<std::string>;

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

TEST_CASE("hosts: our own name at an address that is not ours is another server: what decides is inet_interfaces and proxy_interfaces")
{
    Services world;
    world.names.mx_of["self.test"] = {{10, "client.test"}, {20, "b.test"}};
    world.names.addresses_of["client.test"] = {"192.0.2.7"};
    CHECK(world.relays("self.test").front() == "client.test[192.0.2.7]:25");
    world.around.own_addresses = {*net::IpAddress::parse("192.0.2.7")};
    CHECK(world.find("self.test").reason.loops);
}

TEST_CASE("hosts: what looks like an error in writing relayhost or smtp_fallback_relay returns no mail")
{
    const auto find = [](std::string next_hop, const auto& set) {
        Services world;
        world.names.mx_of["loop.test"] = {{10, "client.test"}};
        world.names.mx_of["none.test"] = {{0, ""}};
        world.names.addresses_of["client.test"] = {"192.0.2.7"};
        world.around.own_addresses = {*net::IpAddress::parse("192.0.2.7")};
        world.names.fails["busy.test"] = dns::Status::temporary;
        set(world.options);
        Reason why = world.find(std::move(next_hop)).reason;
        return std::pair(std::move(why), fmt::format("{}", fmt::join(world.log->lines, "\n")));
    };
    for (const std::string next_hop : {"[gone.test]", "gone.test:587", "loop.test", "none.test"}) {
        CAPTURE(next_hop);
        const auto [returned, silence] = find(next_hop, [](Options& options) { options.relayhost = "[other.test]"; });
        CHECK(returned.permanent);                                  // a domain of the mail's own, or a transport's next hop
        CHECK(silence.empty());
        const auto [kept, said] = find(next_hop, [&](Options& options) { options.relayhost = next_hop; });
        CHECK_FALSE(kept.permanent);
        CHECK(kept.status == "4.3.5");
        CHECK(kept.text == returned.text);
        CHECK_FALSE(kept.loops);                                    // best_mx_transport is not for the mail of others
        CHECK(said.find("warning: relayhost configuration problem") != std::string::npos);

        const auto [waits, warned] = find("gone.test", [&](Options& options) { options.fallback_relays = {next_hop}; });
        CHECK_FALSE(waits.permanent);
        CHECK(waits.status == "4.3.5");
        CHECK(waits.text == returned.text);
        CHECK_FALSE(waits.loops);
        CHECK(warned.find("warning: smtp_fallback_relay configuration problem") != std::string::npos);
    }
    const auto later = find("gone.test", [](Options& options) { options.fallback_relays = {"[busy.test]"}; });
    CHECK_FALSE(later.first.permanent);                             // it may be there tomorrow, and take the mail
    CHECK(later.second.empty());
    CHECK(find("loop.test", [](Options& options) { options.fallback_relays = {"[a.test]"}; }).first.loops);
}

TEST_CASE("hosts: use_srv_lookup takes hosts and ports of SRV records, by priority; other ports, brackets and LMTP are as ever")
{
    Services world;
    world.options.randomize = false;
    CHECK(world.relays() == Relays{"a.test[192.0.2.1]:10587", "b.test[192.0.2.2]:2525", "b.test[192.0.2.3]:2525", "c.test[192.0.2.4]:587"});
    CHECK(world.relays("example.test:SUBMISSION").size() == 4);
    const Hosts found = world.find();
    CHECK(found.set == "a.test,b.test,c.test");
    for (const Host& host : found.list) {
        CHECK(host.next_hop == "example.test:submission");
        CHECK(host.domain == "example.test");
        CHECK(host.mx == Host::Mx::insecure);
    }
    world.names.is_signed = {"_submission._tcp.example.test"};
    CHECK(world.find().list.front().mx == Host::Mx::secure);
    CHECK(world.relays("example.test") == Relays{"mx.test[192.0.2.9]:25"});
    CHECK(world.relays("example.test:587") == Relays{"mx.test[192.0.2.9]:587"});
    CHECK(world.relays("[mx.test]:submission") == Relays{"mx.test[192.0.2.9]:587"});
    world.options.lmtp = true;
    world.names.addresses_of["example.test"] = {"192.0.2.8"};
    CHECK(world.relays("example.test:submission") == Relays{"example.test[192.0.2.8]:587"});
    world.options.lmtp = world.options.mx_lookups = false;          // smtp_dns_support_level = disabled
    CHECK(world.relays() == Relays{"example.test[192.0.2.8]:587"});
}

TEST_CASE("hosts: a next hop without a port has the service of smtp_tcp_port")
{
    Services world;
    world.options.srv_services = {"smtp"};
    world.names.srv_of["_smtp._tcp.example.test"] = {srv(0, 0, 2526, "a.test")};
    CHECK(world.relays("example.test") == Relays{"a.test[192.0.2.1]:2526"});
    CHECK(world.relays() == Relays{"mx.test[192.0.2.9]:587"});
}

TEST_CASE("hosts: where SRV records cannot be had the mail waits or is returned, unless it may go by MX records")
{
    struct Row {
        dns::Status status;
        bool ignore, allow;
        const char* reason;             // "": goes by MX
    };
    using dns::Status;
    const std::string name = "_submission._tcp.example.test";
    const std::string text = "Host or domain name not found. Name service error for name=" + name + " type=SRV: ";
    for (const Row& row : {Row{Status::nxdomain, false, false, "5.4.4 Host not found"},
                           Row{Status::nodata, true, false, "5.4.4 Host found but no data record of requested type"},
                           Row{Status::nxdomain, false, true, ""}, Row{Status::temporary, false, false, "4.4.3 Host not found, try again"},
                           Row{Status::bogus, false, false, "4.4.3 Host not found, try again"}, Row{Status::temporary, true, false, ""},
                           Row{Status::temporary, false, true, ""}}) {
        CAPTURE(row.reason);
        Services world;
        world.names.fails[name] = row.status;
        world.options.ignore_srv_error = row.ignore;
        world.options.allow_srv_fallback = row.allow;
        const Hosts found = world.find();
        const std::string_view reason = row.reason;
        if (reason.empty()) {
            REQUIRE(found.list.size() == 1);
            CHECK(found.list[0].relay() == "mx.test[192.0.2.9]:587");
            REQUIRE(world.log->lines.size() == 1);
            CHECK(world.log->lines[0].starts_with("t: skipping SRV lookup for " + name + ": Host or domain name not found."));
        } else {
            CHECK(found.list.empty());
            CHECK(found.reason.status == reason.substr(0, 5));
            CHECK(found.reason.permanent == reason.starts_with('5'));
            CHECK(found.reason.text == text + std::string(reason.substr(6)));
        }
    }
}

TEST_CASE("hosts: an SRV record of the root says that there is no such service: no MX record takes its place")
{
    Services world;
    world.options.ignore_srv_error = world.options.allow_srv_fallback = true;
    world.names.srv_of["_submission._tcp.example.test"] = {srv(0, 0, 0, "")};
    const Hosts none = world.find();
    CHECK(none.list.empty());
    CHECK(none.reason.permanent);
    CHECK(none.reason.status == "5.4.4");
    // Beside others it says nothing.
    world.names.srv_of["_submission._tcp.example.test"].push_back(srv(0, 0, 587, "a.test"));
    CHECK(world.relays() == Relays{"a.test[192.0.2.1]:587"});
}

TEST_CASE("hosts: SRV hosts without an address are passed over; without any the mail waits or is returned as with MX records")
{
    Services world;
    const std::string name = "_submission._tcp.example.test";
    world.names.srv_of[name] = {srv(0, 0, 587, "dead.test"), srv(1, 0, 587, "c.test")};
    CHECK(world.relays() == Relays{"c.test[192.0.2.4]:587"});
    world.names.srv_of[name].pop_back();
    CHECK(world.find().reason.permanent);
    world.options.defer_if_no_mx_address = true;
    CHECK_FALSE(world.find().reason.permanent);
    world.options.defer_if_no_mx_address = false;
    world.names.srv_of[name].push_back(srv(1, 0, 587, "later.test"));
    world.names.fails["later.test"] = dns::Status::temporary;
    CHECK_FALSE(world.find().reason.permanent);
    // Records that lead nowhere serve nobody more than none.
    world.options.ignore_srv_error = true;
    CHECK(world.find().list.empty());
    world.options.allow_srv_fallback = true;
    CHECK(world.relays() == Relays{"mx.test[192.0.2.9]:587"});
}

TEST_CASE("hosts: SRV records that lead to this host's port 25 are a loop, and what is behind them is no way; other ports are other servers")
{
    Services world;
    const std::string name = "_submission._tcp.example.test";
    world.around.own_addresses = {*net::IpAddress::parse("192.0.2.1")};
    CHECK(world.relays().front() == "a.test[192.0.2.1]:10587");
    world.names.srv_of[name] = {srv(5, 0, 587, "c.test"), srv(10, 0, 25, "a.test"), srv(20, 0, 25, "b.test")};
    CHECK(world.relays() == Relays{"c.test[192.0.2.4]:587"});
    world.names.srv_of[name].erase(world.names.srv_of[name].begin());
    CHECK(world.find().reason.status == "5.4.6");
    // Whom we would give it to has no address now: that is not our being the last.
    world.names.srv_of[name].push_back(srv(1, 0, 587, "dead.test"));
    const Hosts waits = world.find();
    CHECK(waits.reason.status == "4.4.4");
    CHECK_FALSE(waits.reason.permanent);
    CHECK(waits.reason.text == "unable to find primary relay for " + name);
}

TEST_CASE("SRV records of a priority come first as often as their weights say, those without weight seldom, and the priority always counts")
{
    std::mt19937_64 random{7};
    std::map<std::string, int> first, second;
    for (int i = 0; i < 10'000; ++i) {
        std::vector<dns::Record> records{srv(1, 3, 25, "three"), srv(1, 0, 25, "zero"), srv(0, 0, 25, "best"), srv(1, 1, 25, "one"),
                                         srv(2, 9, 25, "last")};
        order_by_weight(records, random);
        CHECK(records.front().host == "best");
        CHECK(records.back().host == "last");
        ++first[records[1].host];
        ++second[records[2].host];
    }
    // Draws from 0 to 4: one of five finds the weight of zero.
    CHECK(std::abs(first["zero"] - 2000) < 200);
    CHECK(std::abs(first["one"] - 2000) < 200);
    CHECK(std::abs(first["three"] - 6000) < 200);
    // Without weights, or with equal ones, nothing is said for the one that the answer happens to name first.
    int before = 0;
    for (int i = 0; i < 1000; ++i) {
        std::vector<dns::Record> none{srv(0, 0, 25, "a"), srv(0, 0, 25, "b")};
        order_by_weight(none, random);
        CHECK(none.size() == 2);
        before += none.front().host == "a" ? 1 : 0;
    }
    CHECK(std::abs(before - 500) < 100);
}

TEST_CASE("a delivery by SRV records: the next one where the first does not answer, on its own port")
{
    World world;
    world.options.srv_services = {"submission"};
    world.names.srv_of["_submission._tcp.example.test"] = {srv(0, 0, 587, "away.test"), srv(1, 0, 2525, "there.test")};
    world.names.addresses_of = {{"away.test", {"192.0.2.7"}}, {"there.test", {"192.0.2.2"}}};
    world.add("192.0.2.2", "data-only");
    const auto verdict = world.run(request({"user@example.test"}, "Subject: x\r\n\r\nx\r\n", "example.test:submission")).verdicts(0);
    CHECK(verdict.outcome() == delivered);
    CHECK(verdict.relay() == "there.test[192.0.2.2]:2525");
    CHECK(world.connects == 2);
}
