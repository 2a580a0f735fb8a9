#include <doctest/doctest.h>

#include "message/address_list.hpp"

using namespace posthorn;
using namespace posthorn::message;

namespace {
// "local@domain|display|group" of each, "bad" for what is none.
std::vector<std::string> read(std::string_view text)
{
    std::vector<std::string> out;
    for (const Address& address : parse_address_list(text).addresses)
        out.push_back(address.malformed ? "bad" : address.mailbox.text() + "|" + address.display + "|" + address.group);
    return out;
}
using All = std::vector<std::string>;
}  // namespace

TEST_CASE("addresses: everything RFC 5322 and its obsolete syntax allow")
{
    CHECK(read("a@b.test") == All{"a@b.test||"});
    CHECK(read("John Smith <a@b.test>, c@d.test (Carl)") == All{"a@b.test|John Smith|", "c@d.test|Carl|"});
    CHECK(read("\"Smith, John\" <a@b.test>") == All{"a@b.test|Smith, John|"});
    CHECK(read("Group: a@b, C <c@d>;, e@f") == All{"a@b||Group", "c@d|C|Group", "e@f||"});
    CHECK(read("undisclosed-recipients:;") == All{});
    CHECK(read("<@r.test,@s.test:a@b.test>") == All{"a@b.test||"});
    CHECK(read(" a . b @ c . test (x)") == All{"a.b@c.test|x|"});
    CHECK(read("\"a b\"@c, \"a\\\"b\"@c") == All{"a b@c||", "a\"b@c||"});
    CHECK(read(", ,a@b,,") == All{"a@b||"});
    CHECK(read("a@[192.0.2.1]") == All{"a@[192.0.2.1]||"});
    CHECK(read("user, <user2>") == All{"user||", "user2||"});
    CHECK(read("(a (nested) comment) a@b") == All{"a@b|a (nested) comment|"});
    CHECK(read("J\u00f6rg <j\u00f6rg@b\u00fccher.test>") == All{"j\u00f6rg@b\u00fccher.test|J\u00f6rg|"});
    CHECK(read("a@b,\r\n c@d") == All{"a@b||", "c@d||"});
    CHECK(read("John Q. Public <a@b>") == All{"a@b|John Q. Public|"});
    CHECK(read("<>") == All{"||"});
    CHECK(read("") == All{});
}

TEST_CASE("addresses: what is none is marked and does not take its neighbours with it")
{
    CHECK(read("a@, b@c") == All{"bad", "b@c||"});
    CHECK(read("a@b c@") == All{"a@b||", "bad"});
    CHECK(read("<a@b, c@d") == All{"bad"});
    CHECK(read("@b") == All{"bad"});
    CHECK(read("\"unclosed <a@b>") == All{"bad"});
}

TEST_CASE("addresses: members that white space alone parts, as Postfix takes them")
{
    CHECK(read("a@b c@d") == All{"a@b||", "c@d||"});
    CHECK(read("a b\tc@d, e") == All{"a||", "b||", "c@d||", "e||"});
    CHECK(read("John Smith, a@b") == All{"John||", "Smith||", "a@b||"});
    CHECK(read("<a@b> <c@d> e") == All{"a@b||", "c@d||", "e||"});
    CHECK(read("Some <a@b> c@d") == All{"a@b|Some|", "c@d||"});
    CHECK(read("a@b (one) c@d (two)") == All{"a@b|one|", "c@d|two|"});
    CHECK(read("\"a b\"@c d@[192.0.2.1] e") == All{"a b@c||", "d@[192.0.2.1]||", "e||"});
    CHECK(read("G: a b;") == All{"a||G", "b||G"});
    // What may belong together does.
    CHECK(read("a @b c . d") == All{"a@b||", "c.d||"});
    CHECK(read("a@b <c@d>") == All{"c@d|a@b|"});
    const auto complete = [](const smtp::Mailbox& mailbox) { return std::optional(smtp::Mailbox{mailbox.local, "new.test"}); };
    CHECK(*rewrite_addresses("a@new.test  b (x) c, Some <d> e", complete) ==
          "a@new.test,  b@new.test (x), c@new.test, Some <d@new.test>, e@new.test");
    CHECK(*rewrite_addresses("a\\\t b", complete) == "\"a\\\t\"@new.test, b@new.test");       // white space behind a backslash is of the word
    std::string many;
    for (int i = 0; i < 10'000; ++i)
        many += "a ";
    CHECK(parse_address_list(many).addresses.size() == 10'000);
}

TEST_CASE("addresses: what a field of many colons, or of one long name for many, costs grows with its length alone")
{
    std::string colons = "(c) @a";
    for (int i = 0; i < 5000; ++i)
        colons += ":b";
    CHECK(read(colons + ", c@d") == All{"bad", "c@d||"});
    CHECK(read("(x) g: @r:a@b, h: c@d; @s:e@f") == All{"a@b||g", "c@d||h", "e@f||"});

    std::string many = std::string(50'000, 'g') + ": ";
    for (int i = 0; i < 5000; ++i)
        many += "a,";
    const AddressList list = parse_address_list(many, 20'000);
    CHECK(list.addresses.size() == 5000);
    std::size_t octets = 0;
    for (const Address& address : list.addresses)
        octets += address.group.size();
    CHECK(octets == list.addresses.size() * group_limit);
}

TEST_CASE("addresses: a rewriting replaces exactly the address and leaves names, comments and folding")
{
    const auto complete = [](const smtp::Mailbox& mailbox) -> std::optional<smtp::Mailbox> {
        if (!mailbox.domain.empty() && mailbox.domain != "old.test")
            return std::nullopt;
        return smtp::Mailbox{mailbox.local, "new.test"};
    };
    CHECK(*rewrite_addresses(" \"A, B\" <a@old.test> (x),\r\n\tuser,\r\n <@r:c@old.test>, keep@k.test", complete) ==
          " \"A, B\" <a@new.test> (x),\r\n\tuser@new.test,\r\n <c@new.test>, keep@k.test");
    CHECK(*rewrite_addresses("\"a b\" ", complete) == "\"a b\"@new.test ");
    CHECK(*rewrite_addresses("G: user, John Smith;", complete) == "G: user@new.test, John@new.test, Smith@new.test;");
    CHECK_FALSE(rewrite_addresses("keep@k.test, <>, no@address@, @", complete));
}

TEST_CASE("addresses: a list beyond the token limit is cut, and the rest left alone")
{
    std::string text;
    for (int i = 0; i < 1000; ++i)
        text += "u, ";
    const AddressList list = parse_address_list(text, 100);
    CHECK(list.cut);
    CHECK(list.addresses.size() == 50);
    const auto all = [](const smtp::Mailbox&) { return std::optional{smtp::Mailbox{"v", {}}}; };
    const auto rewritten = rewrite_addresses(text, all, 100);
    REQUIRE(rewritten);
    CHECK(rewritten->size() == text.size());
    CHECK(std::ranges::count(*rewritten, 'v') == 50);
}
