#include "config/snapshot.hpp"

#include <doctest/doctest.h>

#include "config/known.hpp"
#include "config/reading.hpp"

using namespace posthorn;
using namespace posthorn::config;
using namespace std::chrono_literals;

namespace {

enum class Level { none, may, encrypt };

}  // namespace

template <>
inline constexpr auto posthorn::config::words<Level> =
    std::to_array<Word<Level>>({{"none", Level::none}, {"may", Level::may}, {"encrypt", Level::encrypt}});

namespace {

constexpr Param<std::chrono::seconds> smtp_rcpt_timeout{.name = "smtp_rcpt_timeout", .initial = "300s", .least = 1s, .doc = "d"};
constexpr Param<std::chrono::seconds> maximal_queue_lifetime{.name = "maximal_queue_lifetime", .initial = "5d", .most = 8640000s};
constexpr Param<int> hopcount_limit{.name = "hopcount_limit", .initial = "50", .least = 1};
constexpr Param<Octets> message_size_limit{.name = "message_size_limit", .initial = "10240000"};
constexpr Param<bool> smtputf8_enable{.name = "smtputf8_enable", .initial = "${{$compatibility_level} <level {1} ? {no} : {yes}}"};
constexpr Param<std::string> myorigin{.name = "myorigin", .initial = "$myhostname", .least = 1};
constexpr Param<Raw> luser_relay{.name = "luser_relay", .initial = ""};
constexpr Param<List> mydestination{.name = "mydestination", .initial = "$myhostname, localhost.$mydomain, localhost"};
constexpr Param<std::string> postscreen_denylist_action{.name = "postscreen_denylist_action",
                                                        .initial = "${postscreen_blacklist_action?{$postscreen_blacklist_action}:{ignore}}"};
constexpr Param<Level> own_level{.name = "own_level", .initial = "may", .own = true};
constexpr Param<int> transport_destination_concurrency_limit{.name = "transport_destination_concurrency_limit",
                                                             .initial = "$default_destination_concurrency_limit"};
constexpr ParamInfo params[] = {smtp_rcpt_timeout,
                                maximal_queue_lifetime,
                                hopcount_limit,
                                message_size_limit,
                                smtputf8_enable,
                                myorigin,
                                luser_relay,
                                mydestination,
                                own_level,
                                transport_destination_concurrency_limit,
                                postscreen_denylist_action};
constexpr std::span<const ParamInfo> rooms[] = {params};

Site test_site()
{
    return {.host_name = "mail.example.test",
            .addresses = {*parse_host_address("127.0.0.1/8"), *parse_host_address("192.0.2.7/24"), *parse_host_address("::1/128"),
                          *parse_host_address("2001:db8::7/64")},
            .process_name = "test",
            .process_id = 42};
}

Snapshot of(std::string_view main_cf, Site site = test_site())
{
    const auto parsed = parse_main_cf(main_cf, "main.cf");
    REQUIRE(parsed);
    return Snapshot{std::move(site), "/etc/test", *parsed, rooms};
}

}  // namespace

TEST_CASE("a parameter that nobody wrote has its default, converted")
{
    const auto snapshot = of("");
    CHECK(snapshot.get(smtp_rcpt_timeout) == 300s);
    CHECK(snapshot.get(maximal_queue_lifetime) == 5 * 86400s);
    CHECK(snapshot.get(hopcount_limit) == 50);
    CHECK(snapshot.get(message_size_limit) == Octets{10240000});
    CHECK(snapshot.get(myorigin) == "mail.example.test");
    CHECK(snapshot.get(mydestination).at(1).text == "localhost.example.test");
    CHECK(snapshot.get(own_level) == Level::may);
}

TEST_CASE("a time without a unit has the unit of the parameter's default")
{
    const auto snapshot = of("smtp_rcpt_timeout = 20\nmaximal_queue_lifetime = 2\n");
    CHECK(snapshot.get(smtp_rcpt_timeout) == 20s);
    CHECK(snapshot.get(maximal_queue_lifetime) == 2 * 86400s);
}

TEST_CASE("defaults follow compatibility_level")
{
    CHECK_FALSE(of("").get(smtputf8_enable));
    CHECK(of("compatibility_level = 2\n").get(smtputf8_enable));
    CHECK(of("compatibility_level = 3.6\n").get(smtputf8_enable));
    CHECK_FALSE(of("compatibility_level = 0.9\n").get(smtputf8_enable));
}

TEST_CASE("the LMTP twin of an SMTP parameter is read under its own name")
{
    const auto snapshot = of("lmtp_rcpt_timeout = 7s\nsmtp_rcpt_timeout = 9s\n");
    CHECK(snapshot.get(smtp_rcpt_timeout, "lmtp") == 7s);
    CHECK(snapshot.get(smtp_rcpt_timeout) == 9s);
    CHECK(of("").get(smtp_rcpt_timeout, "lmtp") == 300s);
}

TEST_CASE("a transport family takes the service's name, and its default from the family unless Postfix has one")
{
    const auto snapshot = of("relay_destination_concurrency_limit = 3\ndefault_destination_concurrency_limit = 11\n");
    CHECK(snapshot.get(transport_destination_concurrency_limit, "relay") == 3);
    CHECK(snapshot.get(transport_destination_concurrency_limit, "slow") == 11);
    CHECK(snapshot.get(transport_destination_concurrency_limit, "local") == 2);
}

TEST_CASE("a raw parameter keeps its dollars for who reads it")
{
    CHECK(of("luser_relay = $user@$mydomain\n").get(luser_relay).text == "$user@$mydomain");
}

TEST_CASE("a check names file, line, parameter and value, and finds every wrong value")
{
    const auto report = of("hopcount_limit = many\n\nsmtp_rcpt_timeout = 5x\nmyorigin =\nsmtputf8_enable = perhaps\n"
                           "own_level = high\nmessage_size_limit = -1\nmaximal_queue_lifetime = 200d\nlmtp_rcpt_timeout = 0\n"
                           "slow_destination_concurrency_limit = x\n")
                            .validated(rooms, std::array{std::string{"slow"}});
    CHECK(report.errors == std::vector<std::string>{
                               "main.cf, line 3: parameter smtp_rcpt_timeout: bad time value or unit: 5x",
                               "main.cf, line 9: invalid lmtp_rcpt_timeout: 0 (min 1)",
                               "main.cf, line 8: invalid maximal_queue_lifetime: 17280000 (max 8640000)",
                               "main.cf, line 1: bad numerical configuration: hopcount_limit = many",
                               "main.cf, line 7: invalid message_size_limit parameter value -1 < 0",
                               "main.cf, line 5: bad boolean configuration: smtputf8_enable = perhaps",
                               "main.cf, line 4: bad string length 0 < 1: myorigin = ",
                               "main.cf, line 6: bad parameter value: own_level = high (specify one of: none, may, encrypt)",
                               "main.cf, line 10: bad numerical configuration: slow_destination_concurrency_limit = x",
                           });
}

TEST_CASE("a name nobody knows is a warning, unless a used value refers to it")
{
    const auto report = of("x = y\nmine = $other\nother = 1\nmyorigin = $mine.test\nlost = $x\n").validated(rooms);
    CHECK(report.errors.empty());
    CHECK(report.warnings == std::vector<std::string>{"main.cf: unused parameter: lost=$x", "main.cf: unused parameter: x=y"});
    CHECK(of("postscreen_blacklist_action = $how\nhow = drop\n").validated(rooms).warnings.empty());      // the default of its new name has it
    CHECK(of("smtpd_restriction_classes = strict, soft\nstrict = $more\nmore = reject\nsoft = permit\n").validated(rooms).warnings.empty());
}

TEST_CASE("a wrong value that was not checked for throws rather than becoming another")
{
    CHECK_THROWS_AS((void)of("hopcount_limit = many\n").get(hopcount_limit), BadValue);
    CHECK_THROWS_AS((void)of("myorigin = $myorigin\n").get(myorigin), BadValue);
}

TEST_CASE("overrides of a service lie over main.cf, and only for that service")
{
    const auto base = of("smtp_rcpt_timeout = 9s\n");
    const auto service = base.for_service("relay", "smtp", std::array{Assignment{"smtp_rcpt_timeout", "5s", 14}}, "master.cf");
    CHECK(service.get(smtp_rcpt_timeout) == 5s);
    CHECK(base.get(smtp_rcpt_timeout) == 9s);
    CHECK(service.text("service_name") == "relay");
    CHECK(service.definition("smtp_rcpt_timeout")->place() == "master.cf, line 14");
}

TEST_CASE("what an override changes changes the defaults computed from it, before and after the bytes")
{
    // From level 2 on, mynetworks is this host alone; a service must not trust more clients than main.cf would.
    const auto before = of("");
    CHECK(before.text("mynetworks") == "127.0.0.0/8 192.0.2.0/24 [::1]/128 [2001:db8::]/64");
    const std::string host = "127.0.0.1/32 192.0.2.7/32 [::1]/128 [2001:db8::7]/128";
    const std::array level{Assignment{"compatibility_level", "3.6"}};
    CHECK(of("compatibility_level = 3.6\n").text("mynetworks") == host);
    CHECK(before.with(level, "-o").text("mynetworks") == host);
    const auto after = Snapshot::parse(before.serialise());
    REQUIRE(after);
    CHECK(after->for_service("smtp", "smtpd", level, "master.cf").text("mynetworks") == host);
    const std::array name{Assignment{"myhostname", "mx.other.test"}, Assignment{"inet_interfaces", "127.0.0.1"}};
    const auto other = after->for_service("smtp", "smtpd", name, "master.cf");
    CHECK(other.text("mydomain") == "other.test");
    CHECK(other.text("mynetworks") == "127.0.0.0/8");
    CHECK(other.text("process_name") == "smtpd");
    CHECK(after->text("mydomain") == "example.test");
}

TEST_CASE("a snapshot goes through bytes and comes back the same")
{
    const auto before = of("smtp_rcpt_timeout = 9s\nmine = $other\nother =\nmine = again\n");
    const auto after = Snapshot::parse(before.serialise());
    REQUIRE(after);
    CHECK(after->get(smtp_rcpt_timeout) == 9s);
    CHECK(after->text("myhostname") == "mail.example.test");
    CHECK(after->text("mynetworks") == before.text("mynetworks"));
    CHECK(after->definition("smtp_rcpt_timeout")->place() == "main.cf, line 1");
    CHECK(after->warnings() == before.warnings());
    CHECK(after->get(own_level) == Level::may);
}

TEST_CASE("damaged snapshot bytes are an error, wherever they are cut or changed in length")
{
    const auto bytes = of("smtp_rcpt_timeout = 9s\n").serialise();
    for (std::size_t size = 0; size < bytes.size(); size += 7)
        CHECK_FALSE(Snapshot::parse(bytes.substr(0, size)));
    CHECK_FALSE(Snapshot::parse(bytes + "x"));
    CHECK_FALSE(Snapshot::parse("posthorn-snapshot 2\n99999999999:x"));
    CHECK_FALSE(Snapshot::parse("posthorn-snapshot 2\n1:x99999999999;"));
}

TEST_CASE("host name, domain and networks are computed from the host where nothing is written")
{
    CHECK(of("").text("mydomain") == "example.test");
    CHECK(of("mydomain = other.test\n", {.host_name = "mail"}).text("myhostname") == "mail.other.test");
    CHECK(of("", {.host_name = "mail"}).text("myhostname") == "mail.localdomain");
    CHECK(of("myhostname = a.b.test\n").text("mydomain") == "b.test");
    CHECK(of("").text("mynetworks") == "127.0.0.0/8 192.0.2.0/24 [::1]/128 [2001:db8::]/64");
    CHECK(of("compatibility_level = 2\n").text("mynetworks") == "127.0.0.1/32 192.0.2.7/32 [::1]/128 [2001:db8::7]/128");
    CHECK(of("mynetworks_style = class\ninet_protocols = ipv4\n").text("mynetworks") == "127.0.0.0/8 192.0.2.0/24");
    CHECK(of("mynetworks_style = host\ninet_interfaces = loopback-only\n").text("mynetworks") == "127.0.0.1/32 [::1]/128");
}

TEST_CASE("reading: a scope has the names that were asked for in it, by whichever way, once; the inner of two takes them")
{
    using Names = std::set<std::string, std::less<>>;
    const auto snapshot = of("myhostname = a.test\n");
    (void)snapshot.get(hopcount_limit);
    const Reading outer;
    (void)snapshot.get(myorigin);                                // "$myhostname": who asks for the one is given the other
    (void)snapshot.get(smtp_rcpt_timeout, "lmtp");
    {
        const Reading inner;
        (void)snapshot.text("mydomain");
        (void)snapshot.as_written("mynetworks");
        (void)snapshot.as_written("mynetworks");
        CHECK(inner.names() == Names{"mydomain", "mynetworks"});
    }
    (void)snapshot.with({}, "x").text("mydestination");
    CHECK(outer.names() == Names{"lmtp_rcpt_timeout", "mydestination", "myorigin"});
}

TEST_CASE("every known parameter's default expands")
{
    const auto snapshot = of("");
    for (const auto& parameter : known_parameters()) {
        CAPTURE(parameter.name);
        if (parameter.kind != KnownKind::raw)
            CHECK_NOTHROW((void)snapshot.text(parameter.name));
    }
}
