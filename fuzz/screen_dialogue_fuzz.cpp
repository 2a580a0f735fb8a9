// A client that failed a test before the greeting, and says whatever it likes. Held against the lines as the RFC counts them: one reply for each line, in
// order and well formed; no recipient is taken and no content asked for; QUIT, DATA, BDAT, a line that is too long and one command too many end it;
// the pieces in which all this arrives do not matter; what was said ahead of STARTTLS is forgotten (RFC 3207 4.2).
//   first octet   how the house is set up: a bit each for what is watched, footers and maps, TLS, a client that stops speaking
//   second        where the pieces end
//   the rest      what the client says
#include "fuzz.hpp"

#include "receive/testing.hpp"
#include "smtp/command.hpp"

#include <array>
#include <memory>

namespace posthorn::fuzz {

using namespace posthorn::receive;
using namespace posthorn::receive::testing;

namespace {

constexpr std::size_t line_limit = 512, command_limit = 12, read_at_once = 1024;

enum Bits : std::uint8_t { watched = 1, dressed = 2, secured = 4, silent = 8 };

/// Takes every handshake, as the stream it had.
struct AnyHandshake final : TlsAcceptor {
    awaitable<Result<Secured>> accept(std::unique_ptr<net::Stream> stream, std::string) override
    {
        ++handshakes;
        co_return Secured(std::move(stream), "", {});
    }
    std::size_t handshakes = 0;
};

struct Place {
    explicit Place(std::uint8_t bits) : house(options_of(settings(bits)))
    {
        if ((bits & secured) != 0)
            house.tls = &tls;
    }
    static std::vector<std::pair<std::string, std::string>> settings(std::uint8_t bits)
    {
        std::vector<std::pair<std::string, std::string>> made{{"smtpd_screen_clients", "yes"},
                                                              {"postscreen_access_list", "reject"},
                                                              {"postscreen_denylist_action", "enforce"},
                                                              {"postscreen_greet_banner", ""},
                                                              {"line_length_limit", std::to_string(line_limit)},
                                                              {"postscreen_command_count_limit", std::to_string(command_limit)}};
        for (const char* test : {"pipelining", "non_smtp_command", "bare_newline"})
            made.emplace_back(std::string("postscreen_") + test + "_action", (bits & watched) != 0 ? "drop" : "ignore");
        if ((bits & dressed) != 0) {
            made.emplace_back("postscreen_reject_footer", "\\c; ask $client_address at $server_name");
            made.emplace_back("postscreen_reject_footer_maps", "regexp:{{/^501/ Ask someone}, {/^503/ $$$$nothing}}");
            made.emplace_back("postscreen_command_filter", "regexp:{{/^HELLO (.*)/ EHLO $$1}}");
            made.emplace_back("postscreen_discard_ehlo_keyword_address_maps", "inline:{192.0.2.1=size}");
            made.emplace_back("postscreen_helo_required", "yes");
            made.emplace_back("postscreen_disable_vrfy_command", "yes");
        }
        if ((bits & secured) != 0)
            made.emplace_back("smtpd_tls_security_level", (bits & dressed) != 0 ? "encrypt" : "may");
        return made;
    }
    House house;
    AnyHandshake tls;
};

/// Nothing is remembered of a client that failed, so one house serves all inputs.
Place& place_of(std::uint8_t bits)
{
    static std::array<std::unique_ptr<Place>, 8> places;
    auto& place = places[bits & 7U];
    if (!place)
        place = std::make_unique<Place>(bits & 7U);
    place->house.sink->lines.clear();
    place->tls.handshakes = 0;
    return *place;
}

struct Heard {
    std::string text;
    bool ended = false;
    std::size_t handshakes = 0;
    std::vector<std::string> log;
};

Heard talk_with(std::uint8_t bits, std::string_view said, std::uint32_t seed)
{
    Place& place = place_of(bits);
    Heard heard;
    {
        Talk talk(place.house);
        heard.text = talk.greeting;
        if (seed == 0)
            heard.text += talk.send(said);
        else
            in_pieces(said, seed, [&](std::string_view piece) {
                heard.text += talk.send(piece);
                return !talk.ended();
            });
        heard.ended = talk.ended();
        if (!heard.ended && (bits & silent) != 0) {
            talk.expire();
            heard.text += talk.receive();
            FUZZ_CHECK(talk.ended() && heard.text.find(" Error: timeout exceeded") != heard.text.npos);
        }
        talk.hang_up();
        FUZZ_CHECK(talk.ended());
    }
    heard.handshakes = place.tls.handshakes;
    heard.log = place.house.sink->lines;
    FUZZ_CHECK(place.house.queue.asked == 0);
    return heard;
}

/// Each reply as its code; the lines of one carry the same.
std::vector<int> codes_of(std::string_view text)
{
    std::vector<int> codes;
    bool more = false;
    while (!text.empty()) {
        const auto end = text.find("\r\n");
        FUZZ_CHECK(end != text.npos && end >= 4);
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(end + 2);
        FUZZ_CHECK(std::ranges::all_of(line, [](char c) { return c >= ' ' && c <= '~'; }));
        const auto code = parse_number(line.substr(0, 3));
        FUZZ_CHECK(code && *code >= 200 && *code < 600 && (line[3] == ' ' || line[3] == '-'));
        FUZZ_CHECK(!more || codes.back() == static_cast<int>(*code));
        if (!more)
            codes.push_back(static_cast<int>(*code));
        more = line[3] == '-';
    }
    FUZZ_CHECK(!more);
    return codes;
}

/// What must be said to `line`, as far as it is said by the verb alone.
void check_reply(std::string_view line, int code, bool dressed_up)
{
    FUZZ_CHECK(code >= 400 || code == 220 || code == 221 || code == 250);
    if (dressed_up && istarts_with(line, "HELLO "))
        return;
    const smtp::Command command = smtp::split_command(line);
    if (command.verb == nullptr)
        FUZZ_CHECK(code >= 500 || code == 421);
    else if (command.verb->id == smtp::VerbId::rcpt || command.verb->id == smtp::VerbId::data || command.verb->id == smtp::VerbId::bdat ||
             command.verb->id == smtp::VerbId::vrfy || command.verb->id == smtp::VerbId::auth)
        FUZZ_CHECK(code >= 400);
}

bool ends(std::string_view line)
{
    const smtp::Command command = smtp::split_command(line);
    return command.verb != nullptr &&
           (command.verb->id == smtp::VerbId::quit || command.verb->id == smtp::VerbId::data || command.verb->id == smtp::VerbId::bdat);
}

/// Where nothing that it does is held against it but what RFC 5321 says.
void check_dialogue(std::string_view said, const Heard& heard, std::uint8_t bits)
{
    const auto codes = codes_of(heard.text);
    FUZZ_CHECK(!codes.empty() && codes.front() == 220);
    std::size_t at = 1;
    bool over = false;
    const auto next = [&] {
        FUZZ_CHECK(at < codes.size());
        return codes[at++];
    };
    while (!over) {
        const auto end = said.find('\n');
        if (std::min(end, said.size()) > line_limit) {
            FUZZ_CHECK(next() == 421);
            over = true;
            break;
        }
        if (end == said.npos)
            break;
        std::string_view line = said.substr(0, end);
        if (line.ends_with('\r'))
            line.remove_suffix(1);
        said.remove_prefix(end + 1);
        const int code = next();
        if (at - 1 > command_limit) {
            FUZZ_CHECK(code == 421);
            over = true;
            break;
        }
        check_reply(line, code, (bits & dressed) != 0);
        over = ends(line) && code != 530;
    }
    if (over)
        FUZZ_CHECK(heard.ended);
    FUZZ_CHECK(at == codes.size() || (!over && (bits & silent) != 0 && at + 1 == codes.size() && codes.back() == 421));
}

}  // namespace

void fuzz_one(std::string_view input)
{
    Choices choices(input);
    const std::uint8_t bits = choices.octet() & 15U;
    const std::uint32_t seed = choices.octet() + 1U;
    const Heard whole = talk_with(bits, input, 0);
    for (const std::string& line : whole.log)
        FUZZ_CHECK(line.starts_with("postfix/postscreen: "));
    if ((bits & watched) != 0) {
        for (const int code : codes_of(whole.text))
            FUZZ_CHECK(code != 354);
        return;
    }
    if (whole.handshakes > 0) {
        // What came with STARTTLS was not heard: its reply is the last. In pieces the rest is what comes under TLS.
        FUZZ_CHECK(input.size() > read_at_once || codes_of(whole.text).back() == ((bits & silent) != 0 ? 421 : 220));
        (void)codes_of(talk_with(bits, input, seed).text);
        return;
    }
    check_dialogue(input, whole, bits);
    const Heard parts = talk_with(bits, input, seed);
    FUZZ_CHECK(parts.text == whole.text && parts.ended == whole.ended);
}

}  // namespace posthorn::fuzz
