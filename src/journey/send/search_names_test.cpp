#include "send/search_names.hpp"

#include "async/run.hpp"
#include "send/world_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::send;

TEST_CASE("search names: what is asked for instead of a name, by the words of smtp_dns_resolver_options")
{
    using List = std::vector<std::string>;
    const List domains{"a.test", "b.test"};
    const auto asked = [&](std::string_view name, std::string_view words) { return searched(name, parse_search_rules(words).value(), domains); };
    CHECK(asked("mail", "") == List{"mail"});
    CHECK(asked("mail", "res_defnames") == List{"mail.a.test", "mail"});
    CHECK(asked("mail", "res_dnsrch") == List{"mail"});
    CHECK(asked("mail", "res_defnames, res_dnsrch") == List{"mail.a.test", "mail.b.test", "mail"});
    CHECK(asked("mail.sub", "res_defnames") == List{"mail.sub"});
    CHECK(asked("mail.sub", "res_dnsrch") == List{"mail.sub", "mail.sub.a.test", "mail.sub.b.test"});
    CHECK(asked("mail.", "res_defnames res_dnsrch") == List{"mail."});
    CHECK(parse_search_rules("res_defnames RES_DNSRCH").error().what() == "unknown name: RES_DNSRCH");
}

TEST_CASE("search names: the first that there is counts, and a name server without an answer ends the search")
{
    asio::io_context loop;
    TableNames table;
    table.addresses_of = {
        {"mail.b.test", {"192.0.2.2"}}, {"both.a.test", {"192.0.2.3"}}, {"both.b.test", {"192.0.2.4"}}, {"mx.b.test", {"192.0.2.5"}}};
    table.mx_of["sub.example.b.test"] = {{10, "mx.b.test"}};
    SearchNames names(table, {true, true}, {"a.test", "b.test"});
    const auto address = [&](const std::string& host) {
        const dns::Addresses found = run(loop, names.addresses(host, dns::Families::both));
        return found.found() ? found.list.front().text() : std::string(found.status == dns::Status::nxdomain ? "none" : "later");
    };
    CHECK(address("mail") == "192.0.2.2");
    CHECK(address("both") == "192.0.2.3");
    CHECK(address("nobody") == "none");
    CHECK(run(loop, names.mx("sub.example")).records.size() == 1);
    CHECK(run(loop, names.mx("mx")).status == dns::Status::nodata);         // a host without MX records
    table.fails["mail.a.test"] = dns::Status::temporary;
    CHECK(address("mail") == "later");
}
