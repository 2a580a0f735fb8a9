#include "tables/maps.hpp"
#include "tables/match_list.hpp"
#include "tables/testing.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::tables;

namespace {

struct Own final : LocalDomains {
    Result<bool> local(Lookups&, std::string_view domain) const override { return domain == "here.test"; }
};

std::string find(TestSite& site, std::string_view list, std::string_view address, std::string_view delimiter = "+")
{
    const Maps maps("virtual_alias_maps", list, {}, site.tables);
    Lookups lookups;
    const Own own;
    const auto found = maps.find_address(lookups, address, Delimiter{std::string(delimiter)}, &own);
    if (!found)
        return "error";
    return *found ? (*found)->value + "|" + (*found)->extension : "none";
}

std::string match(TestSite& site, ListKind kind, std::string_view list, std::string_view name, std::string_view address = {}, bool parent = false)
{
    const MatchList matching(kind, "list", list, parent, site.tables);
    Lookups lookups;
    const auto result = matching.matches_host(lookups, name, address);
    return result ? (*result ? "yes" : "no") : result.error().what();
}

}  // namespace

TEST_CASE("maps: an address is asked whole, without extension, as user of our domains, and as @domain, in this order")
{
    TestSite site;
    const std::string_view all[] = {"{u+x@here.test=1}", "{u@here.test=2}", "{u+x=3}", "{u=4}", "{@here.test=5}"};
    const std::string_view want[] = {"1|", "2|+x", "3|", "4|+x", "5|+x"};
    for (std::size_t from = 0; from < std::size(all); ++from) {
        std::string list = "inline:{";
        for (std::size_t i = from; i < std::size(all); ++i)
            list += std::string(all[i]) + " ";
        CHECK(find(site, list + "}", "u+x@here.test") == want[from]);
    }
    CHECK(find(site, "inline:{u=4}", "u@away.test") == "none");
    CHECK(find(site, "inline:{u@here.test=2}", "u+x@here.test", "-") == "none");
    CHECK(find(site, "texthash:" + site.write("t", "\"a b\"@here.test q\n"), "a b@here.test") == "q|");
}

TEST_CASE("maps: an extension is taken off at the first of a set of delimiters, not from list owners or postmaster")
{
    const Delimiter both{"+-"};
    CHECK(extension_at("user+ext", both) == 4);
    CHECK(extension_at("us-er+ext", both) == 2);
    CHECK(extension_at("+ext", both) == std::string_view::npos);
    CHECK(extension_at("owner-list", both) == std::string_view::npos);
    CHECK(extension_at("list-request", both) == std::string_view::npos);
    CHECK(extension_at("list-request", Delimiter{"-", false}) == 4);
    CHECK(extension_at("double-bounce", both) == std::string_view::npos);
    CHECK(extension_at("MAILER-DAEMON", both) == std::string_view::npos);
}

TEST_CASE("maps: the first table that has the key answers; one that cannot answer ends the search as an error")
{
    TestSite site;
    CHECK(find(site, "inline:{a@x=1}, inline:{a@x=2 b@x=3}", "a@x") == "1|");
    CHECK(find(site, "inline:{a@x=1}, inline:{a@x=2 b@x=3}", "b@x") == "3|");
    CHECK(find(site, "texthash:/nonexistent inline:{a@x=1}", "a@x") == "error");
    CHECK(find(site, "inline:{a@x=1} texthash:/nonexistent", "a@x") == "1|");
    CHECK(site.said("warning: texthash:/nonexistent lookup error for \"a@x\""));
}

TEST_CASE("match list: domains match themselves; subdomains only with a leading dot, or in parent style")
{
    TestSite site;
    using enum ListKind;
    CHECK(match(site, domains, "example.com .sub.test", "EXAMPLE.com") == "yes");
    CHECK(match(site, domains, "example.com .sub.test", "a.example.com") == "no");
    CHECK(match(site, domains, "example.com .sub.test", "x.sub.test") == "yes");
    CHECK(match(site, domains, "example.com .sub.test", "sub.test") == "no");
    CHECK(match(site, domains, "example.com", "a.b.example.com", {}, true) == "yes");
    CHECK(match(site, domains, "!bad.example.com .example.com", "bad.example.com") == "no");
    CHECK(match(site, domains, "inline:{.example.com=x}", "a.example.com") == "yes");
    CHECK(match(site, domains, "!inline:{bad.example.com=x} static:all", "bad.example.com") == "no");
    CHECK(match(site, domains, "", "x") == "no");
    CHECK(match(site, strings, "a b", "A") == "yes");
    CHECK(match(site, strings, ".b", "a.b") == "no");
}

TEST_CASE("match list: a file's items stand where the file is named, and a missing file is an error, not a 'no'")
{
    TestSite site;
    using enum ListKind;
    const auto file = site.write("domains", "# ours\none.test\n  !two.test, three.test\n");
    CHECK(match(site, domains, file, "one.test") == "yes");
    CHECK(match(site, domains, file + " two.test", "two.test") == "no");
    CHECK(match(site, domains, "!" + file + " .test", "three.test") == "no");
    CHECK(match(site, domains, "a.test /nonexistent", "a.test") == "yes");
    CHECK(match(site, domains, "a.test /nonexistent", "b.test") == "list: open /nonexistent: No such file or directory");
    CHECK(site.said("warning: list: open /nonexistent: No such file or directory"));
    const auto loop = site.write("loop", (site.dir / "loop").string());
    CHECK(match(site, domains, loop, "x").find("files name each other") != std::string::npos);
}

TEST_CASE("match list: networks, negated ones first, names beside them, and slips of the pen found out")
{
    TestSite site;
    using enum ListKind;
    const std::string_view nets = "!192.168.1.7 192.168.0.0/16 [2001:db8::]/32 [::1] host.test .sub.test";
    CHECK(match(site, hosts, nets, "unknown", "192.168.1.6") == "yes");
    CHECK(match(site, hosts, nets, "unknown", "192.168.1.7") == "no");
    CHECK(match(site, hosts, nets, "unknown", "2001:db8:1::5") == "yes");
    CHECK(match(site, hosts, nets, "unknown", "::1") == "yes");
    CHECK(match(site, hosts, nets, "unknown", "::2") == "no");
    CHECK(match(site, hosts, nets, "host.test", "10.0.0.1") == "yes");
    CHECK(match(site, hosts, nets, "a.sub.test", "10.0.0.1") == "yes");
    CHECK(match(site, hosts, "unknown", "unknown", "10.0.0.1") == "no");
    CHECK(match(site, hosts, "168.100.189.1/27", "", "10.0.0.1") ==
          "list: non-null host address bits in \"168.100.189.1/27\", perhaps you should use \"168.100.189.0/27\" instead");
    CHECK(match(site, hosts, "10.0.0/8", "", "10.0.0.1") == "list: bad address pattern: \"10.0.0/8\"");
    CHECK(match(site, hosts, "0.0.0.0/0", "", "1.2.3.4") == "yes");
    CHECK(match(site, hosts, "0.0.0.0/0", "", "::1") == "no");
    CHECK(match(site, hosts, "texthash:/nonexistent", "", "::1") == "list: texthash:/nonexistent: table lookup problem");
    CHECK(site.said("warning: texthash:/nonexistent is unavailable. "));
    CHECK(site.said("warning: list: texthash:/nonexistent: table lookup problem"));
}
