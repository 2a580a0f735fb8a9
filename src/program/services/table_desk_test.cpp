#include "services/table_desk.hpp"
#include "tables/testing.hpp"

#include "tls/tls.hpp"

#include <doctest/doctest.h>

#include <fmt/format.h>

#include <algorithm>

using namespace posthorn;
using namespace posthorn::services;

TEST_CASE("table desk: who checks certificates by the system's authorities may read them; who brings its own, or checks none, may not")
{
    const auto reads_them = [](const std::string& kind, std::string_view parameters) {
        tables::TestSite site;
        const std::string path = site.write("source.cf", parameters);
        const std::vector<config::Assignment> written{{"virtual_alias_maps", fmt::format("{}:{}", kind, path)}};
        const TableDesk desk(site.tables, config::Snapshot({}, site.dir.string(), config::ParamLists{}).with(written, "test"));
        CHECK(desk.asks_network());
        return std::ranges::all_of(tls::default_authorities(),
                                   [&](const std::string& where) { return std::ranges::find(desk.paths(), where) != desk.paths().end(); });
    };
    CHECK(reads_them("ldap", "start_tls = yes\n"));
    CHECK(reads_them("ldap", "server_host = ldaps://directory.test\n"));
    CHECK_FALSE(reads_them("ldap", "server_host = directory.test\n"));
    CHECK_FALSE(reads_them("ldap", "start_tls = yes\ntls_ca_cert_file = /etc/ca.pem\n"));
    CHECK_FALSE(reads_them("ldap", "start_tls = yes\ntls_ca_cert_dir = /etc/ca\n"));
    CHECK(reads_them("mysql", "tls_verify_cert = yes\n"));
    CHECK_FALSE(reads_them("mysql", "tls_verify_cert = yes\ntls_CAfile = /etc/ca.pem\n"));
    CHECK_FALSE(reads_them("mysql", "tls_CApath = /etc/ca\n"));
}
