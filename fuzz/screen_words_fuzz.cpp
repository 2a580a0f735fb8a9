// What the tests before the greeting read and write: whom MAIL and RCPT of a client that failed name, for the log; what it said, as C writes it; and
// what a file keeps of who passed. The whole reader of MAIL and RCPT finds the same address where it finds one at all.
#include "fuzz.hpp"

#include "base/strings.hpp"
#include "receive/screen/passed.hpp"
#include "receive/screen/words.hpp"
#include "smtp/path.hpp"

namespace posthorn::fuzz {

using namespace posthorn::receive;

namespace {

void check_address(std::string_view arguments)
{
    const auto address = screen::address_behind("FROM:", arguments);
    FUZZ_CHECK(address.has_value() == (istarts_with(arguments, "FROM:") && !trim(arguments.substr(5)).empty()));
    if (!address)
        return;
    FUZZ_CHECK(inside(*address, arguments));
    const std::string_view rest = trim(arguments.substr(5));
    // A source route may hold what it likes: it is dropped.
    for (std::size_t end = 2; rest.starts_with('<') && !rest.starts_with("<@") && end <= rest.size(); ++end)
        if (rest[end - 1] == '>' && smtp::parse_path(rest.substr(0, end), {.strict = true})) {
            FUZZ_CHECK(*address == rest.substr(1, end - 2));
            return;
        }
}

/// The octets that C means by that text; it may be cut off in its last one.
std::string octets_of(std::string_view text)
{
    constexpr std::string_view named = "\a\b\f\n\r\t\v\\", names = "abfnrtv\\";
    std::string octets;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] != '\\') {
            octets += text[at];
        } else if (at + 1 < text.size() && names.find(text[at + 1]) != names.npos) {
            octets += named[names.find(text[++at])];
        } else {
            if (at + 3 >= text.size())
                break;
            int value = 0;
            for (const char digit : text.substr(at + 1, 3)) {
                FUZZ_CHECK(digit >= '0' && digit <= '7');
                value = value * 8 + (digit - '0');
            }
            octets += static_cast<char>(value);
            at += 3;
        }
    }
    return octets;
}

}  // namespace

void fuzz_one(std::string_view input)
{
    check_address(input);
    check_address(std::string("FROM:") + std::string(input));

    const std::string text = screen::in_c_form(input);
    FUZZ_CHECK(text.size() <= 100 && std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; }));
    const std::string octets = octets_of(text);
    FUZZ_CHECK(input.starts_with(octets) && (octets.size() == input.size() || text.size() >= 97));

    if (const auto address = net::IpAddress::parse(input))
        FUZZ_CHECK(screen::name_of(net::Endpoint(*address, 25)) == "[" + address->text() + "]:25");

    if (const auto passed = screen::parse_passed(input)) {
        const auto again = screen::parse_passed(screen::to_text(*passed));
        FUZZ_CHECK(again && *again == *passed);
        FUZZ_CHECK(passed->last() >= passed->greet && screen::both(*passed, *again) == *passed);
    }
}

}  // namespace posthorn::fuzz
