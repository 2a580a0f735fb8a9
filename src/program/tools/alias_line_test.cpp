#include "tools/alias_line.hpp"

#include <doctest/doctest.h>

using posthorn::tools::parse_alias;

TEST_CASE("postalias: a name loses its quotes, a value keeps them; blanks count once")
{
    struct Row {
        const char *line, *name, *value;
    };
    const Row rows[] = {
        {"root: admin@example.com", "root", "admin@example.com"},
        {"Postmaster:   root,  other (a comment)\n  , third", "Postmaster", "root, other (a comment), third"},
        {"\"quoted name\": x", "quoted name", "x"},
        {"\"a\\\"b:c\" : y", "a\"b:c", "y"},
        {"list: :include:/etc/list, \"|/bin/cmd -x 'a b'\", /var/mail/x", "list", ":include:/etc/list, \"|/bin/cmd -x 'a b'\", /var/mail/x"},
        {"owner-list: \"John Doe\" <j@x.test>", "owner-list", "\"John Doe\" <j@x.test>"},
        {"multi word: v", "multi word", "v"},
        {"group: grp: a, b;", "group", "grp:a, b;"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.line);
        const auto alias = parse_alias(row.line);
        REQUIRE(alias);
        CHECK(alias->name == row.name);
        CHECK(alias->value == row.value);
    }
}

TEST_CASE("postalias: what is no alias is named")
{
    for (const char* line : {"novalue", "empty:", ": nokey", "no colon here", "x (: y)"})
        CHECK(parse_alias(line).error().what() == "need name:value pair");
    CHECK(parse_alias("weird@domain.test: z").error().what() == "name must be local");
}
