#include "async/run.hpp"
#include "route/params.hpp"
#include "route/router.hpp"
#include "tables/params.hpp"
#include "tables/testing.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::route;
using tables::TestSite;

namespace {

Options options()
{
    Options made;
    made.own.mydestination = "here.test, localhost";
    made.own.myorigin = "here.test";
    made.own.addresses = {"192.0.2.1", "2001:db8::1"};
    made.own.delimiter.characters = "+";
    made.mail.local_transport = "local:host.here.test";
    made.virtual_alias_domains = "alias.test";
    made.virtual_mailbox_domains = "box.test";
    made.relay_domains = "relay.test";
    made.parent_domain_matches_subdomains = "relay_domains";
    return made;
}

std::string way(const Options& made, std::string_view address, std::string_view sender = "s@x.test",
                Resolver::Purpose purpose = Resolver::Purpose::mail)
{
    TestSite site;
    const Resolver resolver(made, purpose, site.tables);
    Lookups lookups;
    const auto target = resolver.resolve(lookups, sender, address);
    return target ? fmt::format("{}:{} {}", target->transport, target->nexthop, target->address) : "error " + target.error().status();
}

std::string standing(const Options& made, std::string_view address)
{
    TestSite site;
    const Resolver resolver(made, Resolver::Purpose::mail, site.tables);
    Lookups lookups;
    const auto found = resolver.standing(lookups, address);
    if (!found)
        return "error";
    const std::string_view names[] = {"local", "alias", "mailbox", "relay", "other"};
    return fmt::format("{}{}{}{}{}", names[static_cast<int>(found->address_class)], found->resolved.empty() ? "" : " as " + found->resolved,
                       found->malformed ? " malformed"
                       : found->routed  ? " routed"
                                        : "",
                       found->known ? "" : " unknown", found->unknown_text.empty() ? "" : " " + found->unknown_status + " " + found->unknown_text);
}

}  // namespace

TEST_CASE("route: each class of addresses has its transport, and the domain is the next hop unless something says more")
{
    const Options made = options();
    CHECK(way(made, "u@here.test") == "local:host.here.test u@here.test");
    CHECK(way(made, "u@HERE.test.") == "local:host.here.test u@HERE.test");
    CHECK(way(made, "u@[192.0.2.1]") == "local:host.here.test u@[192.0.2.1]");
    CHECK(way(made, "u@[IPv6:2001:db8::1]") == "local:host.here.test u@[IPv6:2001:db8::1]");
    CHECK(way(made, "u@[192.0.2.2]") == "smtp:[192.0.2.2] u@[192.0.2.2]");
    CHECK(way(made, "u@alias.test") == "error:5.1.1 User unknown in virtual alias table u@alias.test");
    CHECK(way(made, "u@box.test") == "virtual:box.test u@box.test");
    CHECK(way(made, "u@sub.relay.test") == "relay:sub.relay.test u@sub.relay.test");
    CHECK(way(made, "u@sub.box.test") == "smtp:sub.box.test u@sub.box.test");
    CHECK(way(made, "u@else.test") == "smtp:else.test u@else.test");
    CHECK(way(made, "") == "local:host.here.test MAILER-DAEMON@here.test");
    CHECK(way(made, "u") == "local:host.here.test u@here.test");
}

TEST_CASE("route: relayhost takes what is not ours, unless the transport names a next hop; senders may have their own")
{
    Options made = options();
    made.mail.relayhost = "[mx.isp.test]:587";
    CHECK(way(made, "u@else.test") == "smtp:[mx.isp.test]:587 u@else.test");
    CHECK(way(made, "u@relay.test") == "relay:[mx.isp.test]:587 u@relay.test");
    CHECK(way(made, "u@box.test") == "virtual:box.test u@box.test");
    made.mail.sender_dependent_relayhost_maps = "inline:{s@x.test=[s.test] @d.test=[d.test] <>=[null.test] o@d.test=DUNNO}";
    CHECK(way(made, "u@else.test", "s@x.test") == "smtp:[s.test] u@else.test");
    CHECK(way(made, "u@else.test", "any+ext@d.test") == "smtp:[d.test] u@else.test");
    CHECK(way(made, "u@else.test", "o@d.test") == "smtp:[mx.isp.test]:587 u@else.test");
    CHECK(way(made, "u@else.test", "") == "smtp:[null.test] u@else.test");
    made.mail.sender_dependent_default_transport_maps = "inline:{s@x.test=slow:[slow.test] t@x.test=slow:}";
    CHECK(way(made, "u@else.test", "s@x.test") == "slow:[slow.test] u@else.test");
    CHECK(way(made, "u@else.test", "t@x.test") == "slow:[mx.isp.test]:587 u@else.test");
    CHECK(way(made, "u@relay.test", "t@x.test") == "relay:[mx.isp.test]:587 u@relay.test");
    made.mail.relay_transport = "lmtp:unix:private/x";
    CHECK(way(made, "u@relay.test") == "lmtp:unix:private/x u@relay.test");
    made.probe = made.mail;
    made.probe.relayhost.clear();
    CHECK(way(made, "u@else.test", "p@x.test", Resolver::Purpose::probe) == "smtp:else.test u@else.test");
}

TEST_CASE("route: transport_maps are asked address first, then domain and parents, then *; a missing part keeps or resets")
{
    Options made = options();
    made.mail.relayhost = "[isp.test]";
    made.mail.transport_maps =
        "inline:{ {u+x@a.test=t1:h1} {u@a.test=t2:} {a.test=:h3} {.a.test=t4:[h4]:26} {k.a.test=:} {here.test=smtp:[in.test]} {e.test=error:5.7.1 no mail here} {alias.test=smtp:x} }";
    CHECK(way(made, "u+x@a.test") == "t1:h1 u+x@a.test");
    CHECK(way(made, "u+y@a.test") == "t2:a.test u+y@a.test");     // a transport alone resets the next hop to the domain
    CHECK(way(made, "v@a.test") == "smtp:h3 v@a.test");
    CHECK(way(made, "v@b.c.a.test") == "t4:[h4]:26 v@b.c.a.test");
    CHECK(way(made, "v@k.a.test") == "smtp:[isp.test] v@k.a.test");   // ":" is: as if there were no table
    CHECK(way(made, "u@here.test") == "smtp:[in.test] u@here.test");
    CHECK(way(made, "u@e.test") == "error:5.7.1 no mail here u@e.test");
    CHECK(way(made, "u@alias.test") == "error:5.1.1 User unknown in virtual alias table u@alias.test");
    CHECK(way(made, "u@z.test") == "smtp:[isp.test] u@z.test");
    made.mail.transport_maps = "inline:{*=all:}";
    CHECK(way(made, "u@z.test") == "all:z.test u@z.test");
    made.mail.transport_maps = "regexp:{{/^u@/ whole:r}, {/^z\\.test$/ never:n}}";
    CHECK(way(made, "u@z.test") == "whole:r u@z.test");
    CHECK(way(made, "v@z.test") == "smtp:[isp.test] v@z.test");
    // The recipient's words are the client's: no part of them becomes a transport or a next hop (transport(5), REGULAR EXPRESSION TABLES).
    made.mail.transport_maps = "regexp:{{/^(.*)@z\\.test$/ smtp:[$1]}}";
    CHECK(way(made, "evil.test@z.test") == "smtp:[isp.test] evil.test@z.test");
    made.mail.transport_maps = "";
    made.mail.sender_dependent_relayhost_maps = "regexp:{{/^(.*)@x\\.test$/ [$1]}}";
    CHECK(way(made, "u@z.test") == "smtp:[isp.test] u@z.test");
    made.mail.sender_dependent_relayhost_maps = "";
    made.parent_domain_matches_subdomains = "transport_maps";
    made.mail.transport_maps = "inline:{a.test=p:q}";
    CHECK(way(made, "u@b.a.test") == "p:q u@b.a.test");
}

TEST_CASE("route: moved users, bad domains, and nested addresses behind our own domain")
{
    Options made = options();
    made.relocated_maps = "inline:{old@else.test=new@there.test}";
    CHECK(way(made, "old@else.test") == "error:5.1.6 User has moved to new@there.test old@else.test");
    made.relocated_prefix = false;
    CHECK(way(made, "old@else.test") == "error:new@there.test old@else.test");
    for (const char* bad : {"u@", "u@a..b", "u@-a.test", "u@1.2.3.4", "u@[1.2.3]", "u@a b", "u@a_b.test;rm", "u@[]"})
        CHECK(way(made, bad).starts_with("error:5.1.3 bad address syntax"));
    CHECK(way(made, "u@a_b.test") == "smtp:a_b.test u@a_b.test");
    made.numeric_domain = true;
    CHECK(way(made, "u@1.2.3.4") == "smtp:[1.2.3.4] u@[1.2.3.4]");
    CHECK(way(made, "u%else.test@here.test") == "smtp:else.test u@else.test");
    CHECK(way(made, "else.test!u@here.test") == "smtp:else.test u@else.test");
    CHECK(way(made, "u@else.test@here.test") == "smtp:else.test u@else.test");
    CHECK(way(made, "u%here.test@localhost") == "local:host.here.test u@here.test");
    CHECK(way(made, "u%else.test@other.test") == "smtp:other.test u%else.test@other.test");
    made.percent_hack = false;
    CHECK(way(made, "u%else.test@here.test") == "local:host.here.test u%else.test@here.test");
    made.percent_hack = true;
    made.swap_bangpath = false;
    CHECK(way(made, "else.test!u@here.test") == "local:host.here.test else.test!u@here.test");
    // Correctly instead of safely: "u@else.test"@here.test is a user of ours with an odd name; % and ! stand in no quotes.
    made.swap_bangpath = true;
    made.dequoted = false;
    CHECK(way(made, "u@else.test@here.test").starts_with("local:host.here.test "));
    CHECK(way(made, "u%else.test@here.test") == "smtp:else.test u@else.test");
    CHECK(way(made, "else.test!u@here.test") == "smtp:else.test u@else.test");
}

TEST_CASE("route: a table that cannot be read defers, whichever it is")
{
    const std::string broken = "texthash:/nonexistent";
    const auto with = [&](auto set) {
        Options made = options();
        set(made);
        return way(made, "u@else.test");
    };
    CHECK(with([&](Options& o) { o.mail.transport_maps = broken; }) == "error 4.3.0");
    CHECK(with([&](Options& o) { o.relay_domains = broken; }) == "error 4.3.0");
    CHECK(with([&](Options& o) { o.virtual_alias_domains = broken; }) == "error 4.3.0");
    CHECK(with([&](Options& o) { o.own.mydestination = "/nonexistent"; }) == "error 4.3.5");
    CHECK(with([&](Options& o) { o.relocated_maps = broken; }) == "error 4.3.0");
    CHECK(with([&](Options& o) { o.mail.sender_dependent_relayhost_maps = broken; }) == "error 4.3.0");
    CHECK(with([&](Options& o) { o.mail.sender_dependent_default_transport_maps = broken; }) == "error 4.3.0");
}

TEST_CASE("standing: an address is known by the table of its class, by an alias, or where there is no table")
{
    Options made = options();
    CHECK(standing(made, "u@here.test") == "local");
    CHECK(standing(made, "u@alias.test") == "alias unknown");
    made.local_recipient_maps = "inline:{u=x v@here.test=x}";
    made.relay_recipient_maps = "inline:{r@relay.test=x}";
    made.virtual_mailbox_maps = "inline:{b@box.test=x @all.box.test=x}";
    made.virtual_alias_maps = "inline:{a@alias.test=x a@here.test=y}";
    made.virtual_mailbox_domains = "box.test all.box.test";
    CHECK(standing(made, "u@here.test") == "local");
    CHECK(standing(made, "u+ext@localhost") == "local");
    CHECK(standing(made, "v@here.test") == "local");
    CHECK(standing(made, "v@localhost") == "local unknown");
    CHECK(standing(made, "a@here.test") == "local");
    CHECK(standing(made, "a+x@alias.test") == "alias");
    CHECK(standing(made, "b@alias.test") == "alias unknown");
    CHECK(standing(made, "r@relay.test") == "relay");
    CHECK(standing(made, "q@relay.test") == "relay unknown");
    CHECK(standing(made, "b@box.test") == "mailbox");
    CHECK(standing(made, "c@box.test") == "mailbox unknown");
    CHECK(standing(made, "c@all.box.test") == "mailbox");
    CHECK(standing(made, "c@else.test") == "other");
    CHECK(standing(made, "u%else.test@here.test") == "other as u@else.test");
    CHECK(standing(made, "u%else.test@relay.test") == "relay routed unknown");
    made.relocated_maps = "inline:{gone@here.test=new@there.test}";
    CHECK(standing(made, "gone@here.test") == "local unknown 5.1.6 User has moved to new@there.test");
    made.mail.transport_maps = "inline:{{e.test=error:mail for this domain is off}}";
    CHECK(standing(made, "x@e.test") == "other unknown  mail for this domain is off");
    made.local_recipient_maps = "texthash:/nonexistent";
    CHECK(standing(made, "u@here.test") == "error");
}

TEST_CASE("standing: what another host may send elsewhere is routed, whichever operators are known here")
{
    Options made = options();
    CHECK(standing(made, "u%here.test@here.test") == "local as u@here.test");
    CHECK(standing(made, "u%else.test%here.test@here.test") == "other as u@else.test");
    CHECK(standing(made, "a!b!u@here.test") == "other as b!u@a routed");
    CHECK(standing(made, "u%else.test") == "other as u@else.test");
    made.own.myorigin = "relay.test";                               // cleanup completes these as u@else.test and q@relay.test
    CHECK(standing(made, "u%else.test") == "other as u@else.test");
    CHECK(standing(made, "q") == "relay as q@relay.test");
    CHECK(standing(made, "u%") == "other as u@ malformed unknown 5.1.3 bad address syntax");
    CHECK(standing(made, "u%@here.test") == "other as u@ malformed unknown 5.1.3 bad address syntax");
    CHECK(standing(made, "u%a..b@here.test") == "other as u@a..b malformed unknown 5.1.3 bad address syntax");
    made.percent_hack = made.swap_bangpath = false;
    for (const char* local : {"u%else.test", "u%here.test", "else.test!u", "u%"}) {
        CAPTURE(local);
        CHECK(standing(made, fmt::format("{}@here.test", local)) == "local routed");
        CHECK(standing(made, fmt::format("{}@relay.test", local)) == "relay routed");
        CHECK(standing(made, fmt::format("{}@box.test", local)) == "mailbox routed");
        CHECK(standing(made, fmt::format("{}@else.test", local)) == "other routed");
    }
    CHECK(standing(made, "u@else.test@here.test") == "other as u@else.test");
    made.dequoted = false;
    CHECK(standing(made, "u@else.test@here.test") == "local routed");
    CHECK(standing(made, "u@else.test@relay.test") == "relay routed");
}

TEST_CASE("route: who has no local mail misses no alias file, before somebody asks for it")
{
    TestSite site;
    Options made = options();
    made.local_recipient_maps = "texthash:/nonexistent/aliases";
    const std::string missing = "error: open database /nonexistent/aliases: No such file or directory";
    {
        made.own.mydestination = "";
        const Resolver resolver(made, Resolver::Purpose::mail, site.tables);
        Lookups lookups;
        CHECK(resolver.standing(lookups, "u@else.test"));
        CHECK_FALSE(site.said(missing));
        CHECK_FALSE(resolver.standing(lookups, "u@[192.0.2.1]"));
        CHECK(site.said(missing));
    }
    TestSite other;
    made.own.mydestination = "here.test";
    const Resolver resolver(made, Resolver::Purpose::mail, other.tables);
    CHECK(other.said(missing));
}

TEST_CASE("router: many addresses in one question, each with the key of its site")
{
    TestSite site;
    Router router(options(), Resolver::Purpose::mail, site.tables);
    asio::io_context loop;
    Result<std::vector<handoff::Route>> got = Error{"none"};
    asio::co_spawn(loop, router.route("s@x.test", {"u@Else.TEST", "v@here.test"}), [&](std::exception_ptr, auto routes) { got = std::move(routes); });
    loop.run();
    REQUIRE(got);
    REQUIRE(got->size() == 2);
    CHECK((*got)[0].site() == "smtp:else.test");
    CHECK((*got)[0].nexthop() == "Else.TEST");
    CHECK((*got)[1].transport() == "local");
    CHECK(router.in_memory());
}

TEST_CASE("options: read from main.cf, with the interfaces of the host and the file that myorigin names")
{
    TestSite site;
    const std::string origin = site.write("mailname", "# a comment\nmail.example.test\n");
    config::Site host{.host_name = "mail.example.test",
                      .addresses = {*config::parse_host_address("192.0.2.7/24"), *config::parse_host_address("2001:db8::7/64")}};
    const std::span<const config::ParamInfo> rooms[] = {route::params, tables::params};
    const config::Assignment written[] = {
        {"myorigin", origin}, {"proxy_interfaces", "198.51.100.1"}, {"relayhost", "[smart.test]"}, {"compatibility_level", "3.6"}};
    const auto snapshot = config::Snapshot(host, "/nonexistent", rooms).with(written, "-o");
    tables::DirectOpener opener;
    const Options made = Options::from(snapshot, host.addresses, opener);
    CHECK(made.own.myorigin == "mail.example.test");
    CHECK(made.own.addresses == std::vector<std::string>{"192.0.2.7", "2001:db8::7", "198.51.100.1"});
    CHECK(made.own.mydestination == "mail.example.test, localhost.example.test, localhost");
    CHECK(made.probe.relayhost == "[smart.test]");
    CHECK(made.relay_domains.empty());
    CHECK(made.mynetworks == "192.0.2.7/32 [2001:db8::7]/128");
}

TEST_CASE("filter: without a next hop of its own it has default_filter_nexthop, else the domain of the recipient, else our name")
{
    config::Site host{.host_name = "mail.example.test", .addresses = {*config::parse_host_address("192.0.2.7/24")}};
    const std::span<const config::ParamInfo> rooms[] = {route::params, tables::params};
    const auto nexthop = [&](std::string filter, std::string by_default, std::string address) {
        const config::Assignment written[] = {{"compatibility_level", "3.6"}, {"default_filter_nexthop", by_default}};
        tables::DirectOpener opener;
        const auto made = Options::from(config::Snapshot(host, "/nonexistent", rooms).with(written, "-o"), host.addresses, opener);
        const handoff::Route found = to_filter(filter, address, made);
        return found.transport() + " " + found.nexthop() + " " + found.site();
    };
    CHECK(nexthop("scan:[127.0.0.1]:10025", "[Other.test]", "u@x.test") == "scan [127.0.0.1]:10025 scan:[127.0.0.1]:10025");
    CHECK(nexthop("scan:", "[Other.test]", "u@x.test") == "scan [Other.test] scan:[other.test]");
    CHECK(nexthop("scan", "", "u@x.test") == "scan x.test scan:x.test");
    CHECK(nexthop("scan:", "", "user") == "scan mail.example.test scan:mail.example.test");
}

TEST_CASE("route: retry_schedule_maps is asked as transport_maps, then for the transport, a pool's name or a filter's too; probes have no schedule")
{
    Options made = options();
    made.retry_schedule_maps =
        "inline:{u@else.test=maximal_queue_lifetime=1d else.test=maximal_queue_lifetime=2d .else.test=maximal_queue_lifetime=3d "
        "transport:bulk=maximal_queue_lifetime=4d transport:smtp=maximal_queue_lifetime=5d}";
    made.mail.transport_maps = "inline:{news.test=bulk:}";
    TestSite site;
    const auto schedule = [&](std::string_view address, Resolver::Purpose purpose = Resolver::Purpose::mail, const char* filter = "") {
        Router router(made, purpose, site.tables);
        asio::io_context loop;
        const auto routes =
            *filter ? run(loop, router.route_to_filter(filter, {std::string(address)})) : run(loop, router.route("s@x.test", {std::string(address)}));
        return routes && routes->size() == 1 ? routes->front().retry() : "error";
    };
    CHECK(schedule("u@else.test") == "maximal_queue_lifetime=1d");
    CHECK(schedule("u+box@ELSE.test") == "maximal_queue_lifetime=1d");
    CHECK(schedule("v@else.test") == "maximal_queue_lifetime=2d");
    CHECK(schedule("v@a.else.test") == "maximal_queue_lifetime=3d");
    CHECK(schedule("v@news.test") == "maximal_queue_lifetime=4d");
    CHECK(schedule("v@third.test") == "maximal_queue_lifetime=5d");
    CHECK(schedule("v@here.test").empty());
    CHECK(schedule("v@third.test", Resolver::Purpose::probe).empty());
    CHECK(schedule("v@third.test", Resolver::Purpose::mail, "bulk:[127.0.0.1]:10025") == "maximal_queue_lifetime=4d");
    CHECK(schedule("u@else.test", Resolver::Purpose::mail, "bulk:[127.0.0.1]:10025") == "maximal_queue_lifetime=1d");
    CHECK(schedule("v@here.test", Resolver::Purpose::mail, "scan:[127.0.0.1]:10025").empty());
    made.retry_schedule_maps = "fail:broken";
    CHECK(schedule("v@third.test") == "error");                  // a table that cannot be asked is not "nothing"
}

TEST_CASE(
    "route: mail for report_addresses goes to the transport that reads it, whatever the class of the domain and what tables say; the address exists")
{
    Options made = options();
    made.report_addresses = {"dmarc@here.test", "tls@alias.test", "dmarc@box.test"};
    made.virtual_mailbox_maps = "inline:{u@box.test=u}";
    made.mail.transport_maps = made.probe.transport_maps = "inline:{here.test=slow:, dmarc@here.test=other:}";
    made.relocated_maps = "inline:{dmarc@here.test=elsewhere}";
    CHECK(way(made, "DMARC@Here.test") == "reports:Here.test DMARC@Here.test");
    CHECK(way(made, "dmarc+x@here.test") == "reports:here.test dmarc+x@here.test");
    CHECK(way(made, "dmarc") == "reports:here.test dmarc@here.test");
    CHECK(way(made, "tls@alias.test") == "reports:alias.test tls@alias.test");
    CHECK(way(made, "dmarc@here.test", "", Resolver::Purpose::probe) == "reports:here.test dmarc@here.test");
    CHECK(way(made, "u@here.test") == "slow:here.test u@here.test");
    CHECK(way(made, "dmarc@alias.test") == "error:5.1.1 User unknown in virtual alias table dmarc@alias.test");
    CHECK(standing(made, "tls@alias.test") == "alias");
    CHECK(standing(made, "dmarc@box.test") == "mailbox");
    CHECK(standing(made, "tls@box.test") == "mailbox unknown");
}
