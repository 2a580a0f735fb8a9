#include <doctest/doctest.h>

#include "smtp/data.hpp"

using namespace posthorn::smtp;

namespace {

struct Read {
    std::string stored, rest;
    bool ended = false, bare_lf = false;
    std::uint64_t octets = 0;
    bool operator==(const Read&) const = default;
};

Read read(std::string_view octets, ContentOptions options, std::size_t piece)
{
    DataReader reader{options};
    Read result;
    while (!octets.empty() && !result.ended) {
        std::string_view part = octets.substr(0, piece);
        const std::size_t size = part.size();
        result.ended = reader.feed(part, result.stored);
        octets.remove_prefix(size - part.size());
        CHECK((result.ended || part.empty()));
    }
    result.rest = octets;
    result.bare_lf = reader.bare_lf();
    result.octets = reader.octets();
    return result;
}

// The whole in one piece, and the same in pieces of every size.
Read read(std::string_view octets, ContentOptions options = {})
{
    const Read whole = read(octets, options, octets.size() + 1);
    for (std::size_t piece = 1; piece <= octets.size(); ++piece) {
        CAPTURE(octets);
        CAPTURE(piece);
        CHECK(read(octets, options, piece) == whole);
    }
    return whole;
}

std::string written(std::string_view stored, std::size_t limit = 0)
{
    std::string whole;
    DataWriter writer{limit};
    writer.feed(stored, whole);
    writer.finish(whole);
    for (std::size_t piece = 1; piece <= stored.size(); ++piece) {
        std::string pieces;
        DataWriter again{limit};
        for (std::size_t at = 0; at < stored.size(); at += piece)
            again.feed(stored.substr(at, piece), pieces);
        again.finish(pieces);
        CAPTURE(piece);
        CHECK(pieces == whole);
        // What may pass as it is, and only the rest fed.
        pieces.clear();
        DataWriter passing{limit};
        for (std::size_t at = 0; at < stored.size(); at += piece) {
            const std::string_view one = stored.substr(at, piece);
            const std::size_t passed = passing.pass(one);
            pieces += one.substr(0, passed);
            passing.feed(one.substr(passed), pieces);
        }
        passing.finish(pieces);
        CHECK(pieces == whole);
        CHECK(passing.broke_line() == writer.broke_line());
    }
    return whole;
}

}  // namespace

TEST_CASE("data: dots are taken off, the end is found, the next command is left alone")
{
    const Read got = read("a\r\n..b\r\n.c\r\n\r\n.\r\nQUIT\r\n");
    CHECK(got.ended);
    CHECK(got.stored == "a\r\n.b\r\nc\r\n\r\n");
    CHECK(got.rest == "QUIT\r\n");
    CHECK(got.octets == 14);
    CHECK(read(".\r\n").ended);
    CHECK(read(".\r\n").stored.empty());
    CHECK(read("..\r\n.\r\n").stored == ".\r\n");
}

TEST_CASE("data: with normalize only CRLF.CRLF ends it, and a smuggled end stays content")
{
    for (std::string_view smuggled : {"a\n.\r\nMAIL\r\n", "a\r\n.\nMAIL\r\n", "a\n.\nMAIL\r\n", "a\r\n.\rMAIL\r\n", "a\r.\r\nMAIL\r\n"}) {
        CAPTURE(smuggled);
        const Read got = read(std::string(smuggled) + ".\r\nQUIT\r\n");
        CHECK(got.ended);
        CHECK(got.rest == "QUIT\r\n");
        CHECK(got.stored.find("MAIL") != std::string::npos);
        // What is stored has no line end but CRLF: it cannot smuggle on the way out either.
        for (std::size_t i = 0; i < got.stored.size(); ++i) {
            CHECK((got.stored[i] == '\n') == (i > 0 && got.stored[i - 1] == '\r'));
            CHECK((got.stored[i] != '\r' || got.stored[i + 1] == '\n'));
        }
    }
    // What Debian's Postfix stores of these: a line of one dot that is no end is dropped.
    CHECK(read("a\n.\r\nb\r\n.\r\n").stored == "a\r\nb\r\n");
    CHECK(read("a\r\n.\nb\r\n.\r\n").stored == "a\r\nb\r\n");
    CHECK(read("a\r\n.\r\r\nb\r\n.\r\n").stored == "a\r\n \r\nb\r\n");
    CHECK(read("\r.\r\nb\r\n.\r\n").stored == " .\r\nb\r\n");
    CHECK(read("a\nb\r\n.\r\n").bare_lf);
    CHECK(read("a\nb\r\n.\r\n").stored == "a\r\nb\r\n");
    CHECK_FALSE(read("a\r\n.\r\n").bare_lf);
}

TEST_CASE("data: with smtpd_forbid_bare_newline = no any line end goes, as before 2024")
{
    const Read got = read("a\n.\nQUIT\r\n", {.bare_lf = BareLf::no});
    CHECK(got.ended);
    CHECK(got.stored == "a\r\n");
    CHECK(got.rest == "QUIT\r\n");
    CHECK(got.octets == 2);
    CHECK(got.bare_lf);
    for (BareLf policy : {BareLf::note, BareLf::reject})
        CHECK_FALSE(read("a\n.\nQUIT\r\n", {.bare_lf = policy}).ended);
}

TEST_CASE("data: a CR without LF becomes a space, or stays where the administrator says so")
{
    CHECK(read("a\rb\r\r\nc\r\n.\r\n").stored == "a b \r\nc\r\n");
    CHECK(read("a\rb\r\n.\r\n", {.stray_cr = StrayCr::keep}).stored == "a\rb\r\n");
    CHECK(read(".\rx\r\n.\r\n").stored == " x\r\n");
    CHECK(read("\r\r\n.\r\n").stored == " \r\n");
}

TEST_CASE("data: the writer stuffs dots and ends the last line, the reader takes it back")
{
    CHECK(written("") == ".\r\n");
    CHECK(written(".a\r\n..\r\nb\r\n") == "..a\r\n...\r\nb\r\n.\r\n");
    CHECK(written("a") == "a\r\n.\r\n");
    CHECK(written("a\r") == "a\r\n.\r\n");
    CHECK(written("a\n.b") == "a\n..b\r\n.\r\n");
    const std::string content = ".\r\n\r\n..x\r\ny.\r\n";
    CHECK(read(written(content)).stored == content);
    CHECK(goes_as_it_is("a\r\nb.\r\n"));
    CHECK(goes_as_it_is(""));
    CHECK_FALSE(goes_as_it_is("a\r\n.b\r\n"));
    CHECK_FALSE(goes_as_it_is("a"));
    CHECK(goes_as_it_is("abcd\r\n", 4));
    CHECK_FALSE(goes_as_it_is("abcde\r\n", 4));
}

TEST_CASE("data: a line over the limit is broken by CRLF SPACE")
{
    CHECK(written("abcdefgh\r\nij\r\n", 4) == "abcd\r\n efg\r\n h\r\nij\r\n.\r\n");
    CHECK(written("abcd\r\n", 4) == "abcd\r\n.\r\n");
    CHECK(written(".bcde\r\n", 4) == "..bcd\r\n e\r\n.\r\n");
    CHECK(written("abc", 1) == "ab\r\n c\r\n.\r\n");
    CHECK(written("abcd\ref\r\n", 4) == "abcd\r\n \ref\r\n.\r\n");
}

TEST_CASE("data: line ends of every kind become stored form, in pieces of any size, and go back to LF")
{
    const std::string_view input = "a\nb\r\n\r\rc\r\n\n.d\re";
    for (std::size_t piece = 1; piece <= input.size(); ++piece) {
        CAPTURE(piece);
        LineEnds ends;
        std::string stored;
        for (std::size_t at = 0; at < input.size(); at += piece)
            ends.feed(input.substr(at, piece), stored);
        ends.finish(stored);
        CHECK(stored == "a\r\nb\r\n  c\r\n\r\n.d e\r\n");
        CHECK(ends.bare_lf());
        std::string lf;
        bool held = false;
        for (std::size_t at = 0; at < stored.size(); at += piece)
            append_with_lf(std::string_view(stored).substr(at, piece), held, lf);
        CHECK(lf == "a\nb\n  c\n\n.d e\n");
    }
    LineEnds ends;
    std::string stored;
    ends.feed("x\r", stored);
    ends.finish(stored);
    CHECK(stored == "x \r\n");
}
