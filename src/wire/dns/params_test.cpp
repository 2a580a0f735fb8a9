#include "dns/params.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::dns;

namespace {

Result<Options> options(std::string_view main_cf, std::string_view as = "smtp")
{
    static constexpr std::span<const config::ParamInfo> rooms[] = {params};
    return options_from(config::Snapshot{{.host_name = "mail.test"}, "/etc/test", config::parse_main_cf(main_cf, "main.cf").value(), rooms}, as);
}

}  // namespace

TEST_CASE("dns params: servers, support level and host lookup become options; what is wrong names the parameter")
{
    CHECK(options("")->servers.empty());
    CHECK_FALSE(options("")->dnssec);
    CHECK(options("dns_servers = 127.0.0.1@5353, 2001:db8::1\n")->servers.at(1).text() == "[2001:db8::1]:53");
    CHECK(options("smtp_dns_support_level = dnssec\n")->dnssec);
    CHECK(options("smtp_host_lookup = dns, native\n")->host_lookup == std::vector{Lookup::dns, Lookup::native});
    CHECK(options("lmtp_host_lookup = native\n", "lmtp")->host_lookup == std::vector{Lookup::native});
    CHECK(options("")->trust_anchors.empty());
    CHECK(options("dns_trust_anchors = . IN DS 1 8 2 AA,\n x.test. IN DNSKEY 257 3 15 BB=\n")->trust_anchors ==
          std::vector<std::string>{". IN DS 1 8 2 AA", "x.test. IN DNSKEY 257 3 15 BB="});
    CHECK(options("smtp_dns_support_level = disabled\n")->host_lookup == std::vector{Lookup::native});
    CHECK(options("disable_dns_lookups = yes\n")->host_lookup == std::vector{Lookup::native});
    CHECK(options("dns_servers = ns.test\n").error().what() ==
          "parameter dns_servers: bad DNS server \"ns.test\": need an address, address@port or [address]:port");
    CHECK(options("smtp_dns_support_level = maybe\n").error().what() == "invalid smtp_dns_support_level value: \"maybe\"");
    CHECK(options("smtp_host_lookup = nis\n").error().what() == "bad \"smtp_host_lookup\" configuration: nis");
}
