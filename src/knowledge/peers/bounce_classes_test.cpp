#include "peers/bounce_classes.hpp"

#include <doctest/doctest.h>

using namespace posthorn::peers;

TEST_CASE("bounce classes: a pcre table's text becomes one in line, without comments, with its continued lines")
{
    CHECK(inline_pcre("# a comment\n/a b/ One\n\n/c/\n   Two words\n") == "pcre:{{/a b/ One}, {/c/ Two words}}");
    CHECK(inline_pcre("") == "pcre:{}");
}

TEST_CASE("bounce classes: shipped is a word of the list, and what stands beside it stays")
{
    CHECK(with_shipped_classes("").empty());
    CHECK(with_shipped_classes("pcre:/etc/shipped, inline:{a=shipped}") == "pcre:/etc/shipped, inline:{a=shipped}");
    const std::string shipped = with_shipped_classes("shipped");
    CHECK(shipped.starts_with("pcre:{{/"));
    CHECK(shipped.ends_with("}}"));
    CHECK(with_shipped_classes("pcre:/etc/mine shipped") == "pcre:/etc/mine, " + shipped);
}
