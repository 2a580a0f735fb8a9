#include <doctest/doctest.h>

#include "message/edits.hpp"
#include "message/header.hpp"

using namespace posthorn::message;

TEST_CASE("header: whether it ended without an empty line is said when it is sure")
{
    CHECK_FALSE(ended_by_no_field("Subject: x\r\nno field"));
    CHECK(ended_by_no_field("Subject: x\r\nno field\r\n"));
    CHECK(ended_by_no_field("no field\r\n"));
    CHECK(ended_by_no_field("Subject: x\r\n" + std::string(3000, 'y')));
    CHECK_FALSE(ended_by_no_field("Subject: x\r\nTo: " + std::string(3000, 'y')));
    CHECK_FALSE(ended_by_no_field("Subject: x\r\n\r\nno field\r\n"));
    CHECK_FALSE(ended_by_no_field(""));
}

TEST_CASE("header: fields come with name, folded body and place, until the empty line")
{
    const std::string_view content = "From: a@b\r\nSubject : one\r\n two\r\n\r\nbody: x\r\n";
    HeaderWalk walk{content};
    auto field = walk.next();
    REQUIRE(field);
    CHECK(field->name == "From");
    CHECK(field->body == " a@b");
    field = walk.next();
    REQUIRE(field);
    CHECK(field->is("subject"));
    CHECK(field->body == " one\r\n two");
    CHECK(content.substr(field->offset, field->whole.size()) == field->whole);
    CHECK(unfold(field->body) == "one two");
    CHECK_FALSE(walk.next());
    CHECK(walk.end() == HeaderEnd::empty_line);
    CHECK(content.substr(walk.body_offset()) == "body: x\r\n");
    CHECK(content.substr(walk.header_size()).starts_with("\r\nbody"));
    CHECK_FALSE(walk.next());
}

TEST_CASE("header: a line that is no field ends it and begins the body")
{
    for (std::string_view line : {"no colon\r\n", " leading blank: x\r\n", ": no name\r\n", "n\u00e9: x\r\n", "--boundary\r\n"}) {
        const std::string content = "A: b\r\n" + std::string(line);
        const bool continued = line.front() == ' ';
        const HeaderWalk walk = walk_to_end(content);
        CAPTURE(line);
        CHECK(walk.end() == (continued ? HeaderEnd::content_end : HeaderEnd::no_field));
        CHECK(walk.body_offset() == (continued ? content.size() : 6));
    }
    CHECK(walk_to_end(" x\r\n").end() == HeaderEnd::no_field);
    CHECK(walk_to_end("").end() == HeaderEnd::content_end);
    CHECK(walk_to_end("\r\nx").body_offset() == 2);
    CHECK(walk_to_end("A: b\nB: c\n\nx").body_offset() == 11);
}

TEST_CASE("header: unfolding leaves one line, whatever the body holds")
{
    CHECK(unfold(" a\r\n\tb\n c\rd") == "a\tb c d");
    CHECK(unfold(std::string(100, 'x'), 10).size() == 10);
    CHECK(find_field("A: 1\r\nB: 2\r\n\r\nC: 3", "b")->body == " 2");
    CHECK_FALSE(find_field("A: 1\r\n\r\nC: 3", "c"));
}

TEST_CASE("header: octets above 127 are seen wherever they stand")
{
    for (std::size_t at = 0; at < 100; ++at) {
        std::string text(100, 'x');
        CHECK_FALSE(has_8bit(text));
        text[at] = '\xc3';
        CHECK(has_8bit(text));
    }
    CHECK(header_has_8bit("Subject: \xc3\xa9\r\n\r\nx"));
    CHECK_FALSE(header_has_8bit("Subject: e\r\n\r\n\xc3\xa9"));
}

TEST_CASE("header: which fields hold addresses")
{
    CHECK(address_field("resent-to") == AddressField::recipient);
    CHECK(address_field("Bcc") == AddressField::recipient);
    CHECK(address_field("Reply-To") == AddressField::sender);
    CHECK(address_field("Subject") == AddressField::none);
    CHECK(address_field("") == AddressField::none);
    CHECK(is_resent("Resent-Date"));
}

TEST_CASE("edits: inserts, removals and replacements, in the order of their places, leave the rest where it is")
{
    const std::string_view content = "A: 1\r\nBcc: x\r\nC: 3\r\n\r\nbody";
    Edits edits;
    edits.insert(20, "D: 4\r\n");
    edits.remove(6, 8);
    edits.insert(0, "Received: r\r\n");
    edits.insert(0, "Second: s\r\n");
    edits.replace(17, 1, "three");
    CHECK(edits.apply(content) == "Received: r\r\nSecond: s\r\nA: 1\r\nC: three\r\nD: 4\r\n\r\nbody");
    CHECK(edits.size(content) == edits.apply(content).size());
    const auto pieces = edits.pieces(content);
    CHECK(pieces.back().data() + pieces.back().size() == content.data() + content.size());  // the body is not copied
    CHECK(Edits{}.pieces(content) == std::vector<std::string_view>{content});
}

TEST_CASE("edits: removals that overlap or reach beyond the end take each octet once")
{
    Edits edits;
    edits.remove(2, 4);
    edits.remove(3, 2);
    edits.remove(5, 3);
    edits.remove(100, 5);
    edits.insert(100, "!");
    CHECK(edits.apply("0123456789") == "0189!");
}
