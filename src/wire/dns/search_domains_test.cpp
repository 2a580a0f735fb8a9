#include "dns/search_domains.hpp"

#include <doctest/doctest.h>

#include <sstream>

using namespace posthorn;

TEST_CASE("search domains: the last line that names some counts, else the domain of the host's name")
{
    const auto of = [](const std::string& text, std::string_view host = "mx.own.test") {
        std::istringstream file(text);
        return dns::search_domains(file, host);
    };
    using List = std::vector<std::string>;
    CHECK(of("nameserver 192.0.2.53\nsearch A.test b.test.\n") == List{"a.test", "b.test"});
    CHECK(of("search a.test\ndomain c.test d.test\r\n") == List{"c.test"});
    CHECK(of("domain c.test\nsearch\ta.test\n# search x.test\n") == List{"a.test"});
    CHECK(of("nameserver 192.0.2.53\n") == List{"own.test"});
    CHECK(of("search .\n") == List{});
    CHECK(of("", "localhost") == List{});
}
