#include "mailauth/tags.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace posthorn;
using namespace posthorn::mailauth;

namespace {

/// "name|value,name|value", or "!" and what is wrong.
std::string parsed_tags(std::string_view text)
{
    const auto list = TagList::parse(text);
    if (!list)
        return "!" + list.error().text();
    std::string made;
    for (const Tag& tag : list->all())
        made += (made.empty() ? "" : ",") + std::string(tag.name) + "|" + std::string(tag.value);
    return made;
}

}  // namespace

TEST_CASE("tag lists: names and values, whatever is folded around them")
{
    CHECK(parsed_tags("v=1; a=rsa-sha256;d=example.com") == "v|1,a|rsa-sha256,d|example.com");
    CHECK(parsed_tags(" v = 1 ;\r\n\tp = a\r\n b ;\r\n ") == "v|1,p|a\r\n b");
    CHECK(parsed_tags("p=") == "p|");
    CHECK(parsed_tags("p=;") == "p|");
    CHECK(parsed_tags("bh=ab==; b=c=") == "bh|ab==,b|c=");
    CHECK(parsed_tags("x_1=2") == "x_1|2");
    CHECK(parsed_tags("A=1; a=2") == "A|1,a|2");
    CHECK(parsed_tags("d=b\xc3\xbc"
                      "cher.example") == "d|b\xc3\xbc"
                                         "cher.example");
}

TEST_CASE("tag lists: what is malformed is nothing at all")
{
    for (const std::string_view text : {"", " ", ";", "v", "v=1;;a=2", "v=1; ;", "=1", "1=2", "v=1; a b=2", "v-x=1", "_a=1", "just text"})
        CHECK(parsed_tags(text) == "!malformed tag list");
    CHECK(parsed_tags("v=1; a=2; v=1") == "!duplicate tag");
    CHECK(parsed_tags(std::string_view("v=1; a=x\0y", 10)) == "!malformed tag value");
    CHECK(parsed_tags("v=1; a=\x7f") == "!malformed tag value");
    CHECK(parsed_tags("v=1; a=\xc3\x28") == "!malformed tag value");
}

TEST_CASE("tag lists: a tag is found by its name, an empty one too")
{
    const auto list = TagList::parse("v=DKIM1; p=").value();
    CHECK(list.find("v") == "DKIM1");
    CHECK(list.find("p") == "");
    CHECK_FALSE(list.find("V"));
    CHECK_FALSE(list.find("k"));
}

TEST_CASE("tag lists: values of several words, and values in base64")
{
    CHECK(colon_words(" From :\r\n\tto: : x") == std::vector<std::string_view>{"From", "to", "", "x"});
    CHECK(colon_words("") == std::vector<std::string_view>{""});
    CHECK(without_space("ab c\r\n\td==") == "abcd==");
}
