#include "receive/server_names.hpp"

#include "async/run.hpp"
#include "receive/testing.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;

TEST_CASE("server names: the name itself, then the domains above it with a dot; what is not there has the default chain, and is told")
{
    const std::filesystem::path folder = std::filesystem::temp_directory_path() / fmt::format("posthorn-names.{}", ::getpid());
    std::filesystem::create_directories(folder);
    for (const char* const name : {"one", "two", "above"})
        std::ofstream(folder / name) << name << "\n";
    std::ofstream(folder / "table") << fmt::format("mx.one.test {0}/one, {0}/two\n.example.test {0}/above\n", folder.string());
    House house(options_of({}));
    const auto chain = [&](const ServerNames& names, std::string name) { return run(house.loop, names.chain(std::move(name), "client[192.0.2.1]")); };

    const ServerNames names(fmt::format("texthash:{}/table", folder.string()), house.tables, observe::Log(house.sink, "postfix/smtpd"));
    CHECK(chain(names, "mx.one.test").value() == "one\n\ntwo\n");
    CHECK(chain(names, "MX.ONE.TEST").value() == "one\n\ntwo\n");
    CHECK(chain(names, "mx.example.test").value() == "above\n");
    CHECK(chain(names, "a.b.example.test").value() == "above\n");
    CHECK(house.log().empty());
    CHECK(chain(names, "example.test").value() == std::nullopt);
    CHECK(house.logged("TLS SNI example.test from client[192.0.2.1] not matched, using default chain"));
    CHECK(chain(names, "no_host..test").value() == std::nullopt);
    CHECK(house.logged("warning: TLS SNI from client[192.0.2.1] is invalid: no_host..test"));

    // A table that cannot answer, and what postmap -F did not make, are no reason for another certificate.
    const ServerNames away("fail:table", house.tables, observe::Log(house.sink, "postfix/smtpd"));
    CHECK(!chain(away, "mx.one.test"));
    REQUIRE(::setenv("mx.one.test", "no base64", 1) == 0);
    const ServerNames plain("environ:x", house.tables, observe::Log(house.sink, "postfix/smtpd"));
    CHECK(chain(plain, "mx.one.test").error().text() == "tls_server_sni_maps: the value for mx.one.test is no base64");
    CHECK(house.logged("warning: tls_server_sni_maps: malformed BASE64 value for mx.one.test: is the table made by postmap -F?"));
    std::filesystem::remove_all(folder);
}
