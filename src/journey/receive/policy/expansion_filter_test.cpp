#include "receive/policy/expansion_filter.hpp"

#include "receive/params.hpp"
#include "receive/reject_text.hpp"

#include <doctest/doctest.h>

using namespace posthorn::receive;
using policy::ExpansionFilter;

TEST_CASE("expansion filter: what is not named becomes an underscore, octet by octet")
{
    CHECK(ExpansionFilter("abc")("abcd cab") == "abc__cab");
    CHECK(ExpansionFilter("abc")("\xc3\xbc") == "__");
    CHECK(ExpansionFilter("")("a") == "_");
    CHECK(ExpansionFilter()("\xff\n") == "\xff\n");
}

TEST_CASE("expansion filter: the escapes of C")
{
    CHECK(ExpansionFilter("\\t\\40\\1011\\q\\\\")("\t A1q\\n") == "\t A1q\\_");
    CHECK(ExpansionFilter("a\\")("a\\") == "a\\");
    CHECK(ExpansionFilter("\\n\\a")("\n\a\b") == "\n\a_");
}

TEST_CASE("expansion filter: by default all that a line of ASCII may have")
{
    const ExpansionFilter filter(smtpd_expansion_filter.initial);
    std::string line = "\t";
    for (char c = 32; c < 127; ++c)
        line += c;
    CHECK(filter(line) == line);
    CHECK(filter("a\r\n\x7f\xc3\xbc") == "a_____");
}

TEST_CASE("reject footer: what its names stand for is filtered, and what is written is not")
{
    const FooterFacts facts{.client_address = "192.0.2.1", .server_name = "mx.test", .client_port = 40000, .filter = ExpansionFilter("0123456789")};
    CHECK(with_footer("550 no", "\\c; $client_address, $client_port of $server_name", facts).value() == "550 no; 192_0_2_1, 40000 of _______");
}
