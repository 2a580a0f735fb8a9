// Replies of a peer without trust: pieces do not matter, limits hold, what is not garbage reads back after being written.
#include "fuzz.hpp"

#include <vector>

#include "smtp/ehlo.hpp"
#include "smtp/reply.hpp"

namespace posthorn::fuzz {
namespace {

using namespace posthorn::smtp;

struct Outcome {
    std::vector<Reply> replies;
    bool too_long = false;
    bool amid = false;
    bool operator==(const Outcome&) const = default;
};

bool feed(ReplyParser& parser, std::string_view octets, Outcome& outcome)
{
    while (!octets.empty()) {
        const std::size_t before = octets.size();
        auto reply = parser.feed(octets);
        if (!reply) {
            outcome.too_long = true;
            return false;
        }
        FUZZ_CHECK(octets.size() < before);
        if (*reply)
            outcome.replies.push_back(**std::move(reply));
    }
    return true;
}

}  // namespace

void fuzz_one(std::string_view input)
{
    Choices choices{input};
    const std::uint8_t bits = choices.octet();
    ReplyLimits limits;
    if ((bits & 1) != 0)
        limits = {.line = 12, .lines = 3, .octets = 4096};
    Outcome whole, pieces;
    ReplyParser parser{limits}, again{limits};
    feed(parser, input, whole);
    whole.amid = parser.amid();
    in_pieces(input, bits, [&](std::string_view piece) { return feed(again, piece, pieces); });
    pieces.amid = again.amid();
    // Where exactly an endless reply is given up may depend on the pieces.
    if (!whole.too_long && !pieces.too_long)
        FUZZ_CHECK(whole == pieces);

    for (const Reply& reply : whole.replies) {
        FUZZ_CHECK(!reply.lines.empty() && reply.lines.size() <= limits.lines);
        FUZZ_CHECK(reply.code >= 0 && reply.code <= 999);
        FUZZ_CHECK(reply.garbage_line.size() <= limits.line);
        for (const std::string& line : reply.lines)
            FUZZ_CHECK(line.size() <= limits.line && line.find('\n') == std::string::npos);
        const std::string status = reply.status();
        FUZZ_CHECK(status.empty() || (status.front() - '0' == reply.digit() && reply.valid() && enhanced_code(status) == status));
        FUZZ_CHECK(reply.logged().find_first_of("\r\n") == std::string::npos);
        (void)reply.text();

        // Written and read again it is the same, without the marks of how it came.
        ReplyParser reader{ReplyLimits{.line = limits.line + 8, .lines = limits.lines}};
        const std::string wire = reply.wire();
        std::string_view rest = wire;
        const auto back = reader.feed(rest);
        FUZZ_CHECK(back && *back && rest.empty());
        FUZZ_CHECK((*back)->code == reply.code && (*back)->garbage == 0 && !(*back)->mixed_codes && !(*back)->irregular);
        bool stray_cr = false;
        for (const std::string& line : reply.lines)
            stray_cr = stray_cr || line.ends_with('\r');
        FUZZ_CHECK(stray_cr || (*back)->lines == reply.lines);

        const Features peer = parse_ehlo(reply);
        FUZZ_CHECK(peer.auth.size() <= 64 && peer.unknown.size() <= 64 && peer.xforward.size() <= 64 && peer.xclient.size() <= 64);
        FUZZ_CHECK(!peer.has(Keyword::silent_discard));
        FUZZ_CHECK(peer.without({}) == peer);
        const Features none = peer.without(peer.keywords);
        FUZZ_CHECK(none.keywords.empty() && none.size == 0 && none.auth.empty() && none.limits == Limits{});
        const DiscardList list = parse_discard_list(text(peer.keywords));
        FUZZ_CHECK(list.keywords == peer.keywords && list.unknown.empty());
        (void)parse_greeting(reply);
    }

    // What we make ourselves, from a text that came from a table: always as many lines as asked, never more.
    const Reply ours{550, "5.7.1", input};
    ReplyParser reader{ReplyLimits{.line = 1 << 20, .lines = 1 << 20, .octets = 1 << 24}};
    const std::string wire = ours.wire();
    std::string_view rest = wire;
    const auto back = reader.feed(rest);
    FUZZ_CHECK(back && *back && rest.empty() && (*back)->lines == ours.lines && (*back)->status() == "5.7.1");
    (void)parse_discard_list(input);

    // The same within the limit of RFC 5321 4.5.3.1.5: shorter lines of one reply, with all that was said but blanks.
    const std::string shorter = within_line_limit(wire);
    std::size_t longest = 0, length = 0;
    for (const char c : shorter) {
        longest = std::max(longest, ++length);
        length = c == '\n' ? 0 : length;
    }
    FUZZ_CHECK(longest <= 512 || wire.find("334") == 0);
    std::string_view rest_of_shorter = shorter;
    ReplyParser shorter_reader{ReplyLimits{.line = 1 << 20, .lines = 1 << 20, .octets = 1 << 24}};
    const auto short_back = shorter_reader.feed(rest_of_shorter);
    FUZZ_CHECK(short_back && *short_back && rest_of_shorter.empty() && (*short_back)->code == 550 && (*short_back)->status() == "5.7.1");
    const auto said = [](const Reply& reply) {
        std::string text = reply.text();
        std::erase_if(text, [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); });
        return text;
    };
    FUZZ_CHECK(said(**short_back) == said(ours));
}

}  // namespace posthorn::fuzz
