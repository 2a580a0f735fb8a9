// Content: the reader against a plain line-by-line model and against itself in pieces; the writer against the reader.
#include "fuzz.hpp"

#include <algorithm>

#include "smtp/data.hpp"

namespace posthorn::fuzz {
namespace {

using namespace posthorn::smtp;

struct Outcome {
    std::string stored, rest;
    bool ended = false, bare_lf = false, stray_cr = false;
    std::uint64_t octets = 0;
    bool operator==(const Outcome&) const = default;
};

// RFC 5321 4.5.2 read slowly: cut at each LF, look at the line.
Outcome model(std::string_view input, ContentOptions options)
{
    Outcome outcome;
    const bool strict = options.bare_lf != BareLf::no;
    bool after_crlf = true;
    for (std::string_view left = input;;) {
        const std::size_t lf = left.find('\n');
        if (lf == left.npos)
            return outcome;  // an open line: not compared
        std::string line(left.substr(0, lf));
        const bool crlf = line.ends_with('\r');
        if (crlf)
            line.pop_back();
        if (line == "." && (!strict || (crlf && after_crlf))) {
            outcome.ended = true;
            outcome.bare_lf = outcome.bare_lf || !crlf;
            outcome.octets = input.size() - left.size();
            outcome.rest = left.substr(lf + 1);
            return outcome;
        }
        left.remove_prefix(lf + 1);
        outcome.bare_lf = outcome.bare_lf || !crlf;
        after_crlf = crlf;
        if (line == ".")
            continue;
        if (line.starts_with('.'))
            line.erase(0, 1);
        for (char& c : line) {
            if (c != '\r')
                continue;
            outcome.stray_cr = true;
            if (options.stray_cr == StrayCr::space)
                c = ' ';
        }
        outcome.stored += line + "\r\n";
    }
}

Outcome read(std::string_view input, ContentOptions options, std::uint32_t seed)
{
    DataReader reader{options};
    Outcome outcome;
    const auto feed = [&](std::string_view piece) {
        std::string_view rest = piece;
        outcome.ended = reader.feed(rest, outcome.stored);
        FUZZ_CHECK(inside(rest, piece) && (outcome.ended || rest.empty()));
        outcome.rest = rest;
        return !outcome.ended;
    };
    std::size_t fed = 0;
    if (seed == 0) {
        feed(input);
        fed = input.size();
    } else {
        in_pieces(input, seed, [&](std::string_view piece) {
            fed += piece.size();
            return feed(piece);
        });
    }
    outcome.rest += input.substr(fed);
    outcome.bare_lf = reader.bare_lf();
    outcome.stray_cr = reader.stray_cr();
    outcome.octets = reader.octets();
    return outcome;
}

void check_stored(std::string_view stored)
{
    for (std::size_t i = 0; i < stored.size(); ++i) {
        FUZZ_CHECK(stored[i] != '\n' || (i > 0 && stored[i - 1] == '\r'));
        FUZZ_CHECK(stored[i] != '\r' || (i + 1 < stored.size() && stored[i + 1] == '\n'));
    }
}

std::string write(std::string_view stored, std::size_t limit, std::uint32_t seed)
{
    DataWriter writer{limit};
    std::string out;
    if (seed == 0)
        writer.feed(stored, out);
    else
        in_pieces(stored, seed, [&](std::string_view piece) {
            writer.feed(piece, out);
            return true;
        });
    writer.finish(out);
    return out;
}

}  // namespace

void fuzz_one(std::string_view input)
{
    Choices choices{input};
    const std::uint8_t bits = choices.octet();
    const std::uint32_t seed = 1u + choices.octet();
    const ContentOptions options{.bare_lf = static_cast<BareLf>(bits & 3), .stray_cr = (bits & 4) != 0 ? StrayCr::keep : StrayCr::space};

    const Outcome whole = read(input, options, 0);
    FUZZ_CHECK(read(input, options, seed) == whole);
    const Outcome slow = model(input, options);
    FUZZ_CHECK(slow.ended == whole.ended);
    if (slow.ended) {
        FUZZ_CHECK(slow == whole);
        if (options.stray_cr == StrayCr::space)
            check_stored(whole.stored);
    } else {
        FUZZ_CHECK(whole.stored.starts_with(slow.stored) && whole.octets == input.size());
    }

    // Any octets as lines, into stored form; over the wire and back they are the same.
    LineEnds ends, ends_again;
    std::string stored, again;
    ends.feed(input, stored);
    ends.finish(stored);
    in_pieces(input, seed, [&](std::string_view piece) {
        ends_again.feed(piece, again);
        return true;
    });
    ends_again.finish(again);
    FUZZ_CHECK(stored == again && ends.bare_lf() == ends_again.bare_lf());
    check_stored(stored);
    FUZZ_CHECK(stored.empty() || stored.ends_with("\r\n"));
    const std::string wire = write(stored, 0, 0);
    FUZZ_CHECK(wire == write(stored, 0, seed));
    FUZZ_CHECK(goes_as_it_is(stored) == (wire == stored + ".\r\n"));
    for (std::uint8_t policy = 0; policy < 4; ++policy) {
        const Outcome back = read(wire, {.bare_lf = static_cast<BareLf>(policy)}, 0);
        FUZZ_CHECK(back.ended && back.stored == stored && back.rest.empty() && !back.bare_lf && !back.stray_cr);
    }

    // With a line limit: no line is longer, nothing but CRLF SPACE was added.
    const std::size_t limit = 2 + (bits >> 3);
    const std::string broken = write(stored, limit, 0);
    FUZZ_CHECK(broken == write(stored, limit, seed));
    const Outcome back = read(broken, {}, 0);
    FUZZ_CHECK(back.ended && back.rest.empty());
    std::size_t longest = 0;
    for (std::string_view left = stored; !left.empty(); left.remove_prefix(left.find('\n') + 1))
        longest = std::max(longest, left.find('\n') - 1);
    FUZZ_CHECK((back.stored == stored) == (longest <= limit));
    FUZZ_CHECK(!goes_as_it_is(stored, limit) || longest <= limit);
    for (std::string_view left = back.stored; !left.empty(); left.remove_prefix(left.find('\n') + 1))
        FUZZ_CHECK(left.find('\n') <= limit + 1);

    std::string lf, lf_again;
    bool held = false, held_again = false;
    append_with_lf(input, held, lf);
    in_pieces(input, seed, [&](std::string_view piece) {
        append_with_lf(piece, held_again, lf_again);
        return true;
    });
    FUZZ_CHECK(lf == lf_again && held == held_again);
    FUZZ_CHECK(lf.find("\r\n") == std::string::npos || input.find("\r\r\n") != input.npos);
}

}  // namespace posthorn::fuzz
