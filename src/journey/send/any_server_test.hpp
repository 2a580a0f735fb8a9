// send/any_server_test.hpp: a client and a server that is made of an input's octets: any words, any time, any end. For the fuzzer `delivery`
// and for seeded runs in the tests.
// Input    8 octets: what is sent, and how (Wish); then a choice for each thing the server could say, 0 for what is right; where the
//          input has ended all is right. Some choices take more octets of it, and say them as they are.
// Holds    one verdict per recipient; time, turns of the loop, sessions and octets read within bounds; returned, delivered and said twice only
//          as witness_test.hpp allows (each canned reply carries a number, by which it is told from the others).
#pragma once

#include "base/strings.hpp"
#include "peers/book.hpp"
#include "send/witness_test.hpp"
#include "send/world_test.hpp"

#include <optional>
#include <string>
#include <vector>

namespace posthorn::send {

class AnyServer {
public:
    /// `limits`, `xforward`: whether these keywords are announced.
    AnyServer(std::string_view choices, bool lmtp, bool limits, bool xforward) : choices_(choices), lmtp_(lmtp), limits_(limits), xforward_(xforward)
    {
    }

    awaitable<void> play(std::unique_ptr<net::Stream> stream)
    {
        Talk talk(std::move(stream));
        bool open = co_await answer(talk, "220", "any.test ESMTP");
        for (unsigned commands = 0; open && commands < 300; ++commands) {
            auto line = co_await next_line(talk);
            if (!line)
                break;
            if (istarts_with(*line, "EHLO") || istarts_with(*line, "LHLO"))
                open = co_await announce(talk);
            else if (iequals(*line, "DATA")) {
                open = co_await answer(talk, "354", "go");
                if (!open || choice() == 1)                     // it does not read the content that it asked for
                    continue;
                open = co_await read_content(talk) && co_await take(talk);
            } else if (istarts_with(*line, "BDAT ")) {
                const auto words = split(*line);
                const auto size = words.size() > 1 ? parse_number(words[1]) : std::nullopt;
                const bool discards = choice() != 1;
                if (discards && size) {
                    while (open && talk.input.size() < *size)
                        open = co_await more(talk);
                    talk.input.erase(0, std::min<std::size_t>(talk.input.size(), *size));
                }
                open = open && (words.size() > 2 ? co_await take(talk) : co_await answer(talk, "250", "more"));
            } else if (iequals(*line, "QUIT")) {
                co_await answer(talk, "221", "bye");
                break;
            } else {
                open = co_await answer(talk, "250", "ok");
                if (istarts_with(*line, "RCPT"))
                    talk.accepted += talk.good ? 1 : 0;
                else
                    talk.accepted = 0;
            }
        }
        co_await flush(talk);
        talk.stream->close();
    }

private:
    struct Talk {
        explicit Talk(std::unique_ptr<net::Stream> what) : stream(std::move(what)) {}
        std::unique_ptr<net::Stream> stream;
        std::string input, output;
        std::size_t accepted = 0;       // recipients of the mail under way
        bool good = false;              // the last answer began with 2
    };

    std::uint8_t choice()
    {
        if (choices_.empty())
            return 0;
        const auto octet = static_cast<std::uint8_t>(choices_.front());
        choices_.remove_prefix(1);
        return octet;
    }
    std::string_view octets(std::size_t count)
    {
        const auto some = choices_.substr(0, count);
        choices_.remove_prefix(some.size());
        return some;
    }

    awaitable<bool> flush(Talk& talk)
    {
        const std::string now = std::exchange(talk.output, {});
        if (now.empty())
            co_return true;
        talk.stream->expires_after(std::chrono::hours(1));
        co_return (co_await talk.stream->write(std::string_view(now))).has_value();
    }
    awaitable<bool> more(Talk& talk)
    {
        if (!co_await flush(talk))
            co_return false;
        char room[8192];
        talk.stream->expires_after(std::chrono::hours(1));
        auto got = co_await talk.stream->read_some(room);
        if (!got || *got == 0)
            co_return false;
        talk.input.append(room, *got);
        co_return true;
    }
    awaitable<std::optional<std::string>> next_line(Talk& talk)
    {
        std::size_t end;
        while ((end = talk.input.find("\r\n")) == talk.input.npos)
            if (!co_await more(talk))
                co_return std::nullopt;
        std::string line = talk.input.substr(0, end);
        talk.input.erase(0, end + 2);
        co_return line;
    }
    awaitable<bool> read_content(Talk& talk)
    {
        std::size_t end;
        while (!talk.input.starts_with(".\r\n") && (end = talk.input.find("\r\n.\r\n")) == talk.input.npos)
            if (!co_await more(talk))
                co_return false;
        talk.input.erase(0, talk.input.starts_with(".\r\n") ? 3 : talk.input.find("\r\n.\r\n") + 5);
        co_return true;
    }
    awaitable<bool> announce(Talk& talk)
    {
        const std::uint8_t what = choice();
        if (what % 4 == 3)
            co_return co_await answer(talk, "250", "any.test");
        std::string text = "250-any.test\r\n";
        for (const auto& [bit, keyword] : std::initializer_list<std::pair<unsigned, std::string_view>>{
                 {4, "CHUNKING"}, {8, "SIZE 100"}, {16, "SIZE"}, {32, "DSN"}, {64, "8BITMIME"}, {128, "SMTPUTF8"}})
            if (what & bit)
                text += fmt::format("250-{}\r\n", keyword);
        if (xforward_)
            text += "250-XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT\r\n";
        if (limits_) {
            const std::uint8_t most = choice();
            text += fmt::format("250-LIMITS MAILMAX={} RCPTMAX={} RCPTDOMAINMAX={}\r\n", 1 + most % 4, 1 + most / 4 % 4, 1 + most / 16 % 4);
        }
        talk.output += text + (what % 4 == 2 ? "250 HELP\r\n" : "250 PIPELINING\r\n");
        co_return true;
    }

    /// LMTP: an answer for each recipient.
    awaitable<bool> take(Talk& talk)
    {
        bool open = true;
        for (std::size_t left = lmtp_ ? std::max<std::size_t>(talk.accepted, 1) : 1; open && left != 0; --left)
            open = co_await answer(talk, "250", "taken");
        talk.accepted = 0;
        co_return open;
    }

    /// What is right, or something else.
    awaitable<bool> answer(Talk& talk, std::string_view code, std::string_view text)
    {
        const std::string number = fmt::format("reply{}", ++replies_);
        talk.good = false;
        const auto say = [&](std::string_view other) {
            talk.good = other.starts_with('2');
            talk.output += fmt::format("{} {} {}\r\n", other, text, number);
        };
        const auto refuse = [&](std::string_view other) { talk.output += fmt::format("{} {}_{}\r\n", other, number, other); };
        switch (choice() % 32) {
        case 1: refuse("550"); break;
        case 2: refuse("554"); break;
        case 3: refuse("503"); break;
        case 4: refuse("555"); break;
        case 5: refuse("501"); break;
        case 6: say("451"); break;
        case 7: say("421"); break;
        case 8: say("221"); break;
        case 9: say("354"); break;
        case 10: say("250"); break;
        case 11:                                            // no reply, then one
            talk.output += "what was that\r\n";
            say(code);
            break;
        case 12:                                            // one too many; what comes after answers something else
            say(code);
            say(code);
            break;
        case 13:                                            // the refusal is surplus
            say(code);
            refuse("550");
            break;
        case 14: break;                // none: the next one is taken for this
        case 15:
            talk.output += "250-first\r\n";
            talk.output += fmt::format("550 {}_mixed\r\n", number);
            break;
        case 16:                                            // never whole
            talk.output += fmt::format("550 {}_cut", number);
            co_await flush(talk);
            talk.stream->close();
            co_return false;
        case 17:
            co_await flush(talk);
            talk.stream->close();
            co_return false;
        case 18:
            co_await flush(talk);
            talk.stream->abort();
            co_return false;
        case 19:
            if (!co_await flush(talk))
                co_return false;
            co_await sleep_for(std::chrono::seconds(1 + 3 * choice()));     // up to twelve minutes
            say(code);
            break;
        case 20:
            say(code);
            if (!co_await flush(talk))
                co_return false;
            break;
        case 21:                                            // a piece of it, the rest later
            say(code);
            {
                const std::string whole = std::exchange(talk.output, {});
                talk.output = whole.substr(0, whole.size() / 2);
                if (!co_await flush(talk))
                    co_return false;
                co_await sleep_for(std::chrono::milliseconds(20));
                talk.output = whole.substr(whole.size() / 2);
            }
            break;
        case 22:
            talk.input.clear();
            say(code);
            break;      // what came with it is lost
        case 23: talk.output += fmt::format("{}-a\r\n{}-b\r\n{} c {}\r\n", code, code, code, number); break;
        case 24: {                                          // a flood
            const std::size_t count = std::size_t{choice()} * 1024;
            const std::string line = std::array<std::string, 4>{"x", "250-more\r\n", "250 whole\r\n", "550-no\r\n"}[choice() % 4];
            for (std::size_t i = 0; i < count; i += 1024) {
                while (talk.output.size() < 1024)
                    talk.output += line;
                if (!co_await flush(talk))
                    co_return false;
            }
            break;
        }
        case 25: talk.output += fmt::format("{}\r\n", code); break;
        case 26: refuse("500"); break;
        case 27: refuse("552"); break;
        case 28: talk.output += octets(choice() % 64); break;   // anything at all
        case 29:                                            // octet by octet
            say(code);
            for (const std::string whole = std::exchange(talk.output, {}); const char octet : whole) {
                talk.output = octet;
                if (!co_await flush(talk))
                    co_return false;
                co_await sleep_for(std::chrono::seconds(100));
            }
            break;
        case 30: co_await hold(talk); co_return false;      // silence, for ever
        case 31: talk.output += fmt::format("550-{0}_many\r\n550-{0}_many\r\n550 {0}_many\r\n", number); break;
        default: say(code);
        }
        co_return true;
    }
    awaitable<void> hold(Talk& talk)
    {
        while (co_await more(talk))
            talk.input.clear();
    }

    std::string_view choices_;
    unsigned replies_ = 0;
    bool lmtp_, limits_, xforward_;
};

/// What does not hold; none: all does.
inline std::optional<std::string> run_any_server(std::string_view input)
{
    std::array<std::uint8_t, 8> wish{};
    for (std::size_t i = 0; i < wish.size() && i < input.size(); ++i)
        wish[i] = static_cast<std::uint8_t>(input[i]);
    const bool from_client = (wish[7] & 1) != 0, limits = (wish[7] & 2) != 0, utf8 = (wish[7] & 4) != 0, domains = (wish[7] & 8) != 0;
    AnyServer server(input.substr(std::min(input.size(), wish.size())), (wish[0] & 2) != 0, limits, from_client);

    HandClock clock;
    auto rules = std::make_shared<peers::Rules>();
    std::string words;
    for (const peers::QuirkName& quirk : peers::quirk_names) {
        const auto bit = static_cast<unsigned>(quirk.quirk);
        const bool wanted = (wish[bit < 8 ? 3 : 4] >> (bit % 8) & 1) != 0;
        if (!wanted || quirk.quirk == peers::Quirk::verify_useless)
            continue;
        words += fmt::format(" {}{}", quirk.name,
                             quirk.quirk == peers::Quirk::no_bdat_over  ? "(30)"
                             : quirk.quirk == peers::Quirk::close_after ? "(2)"
                             : quirk.quirk == peers::Quirk::no_param    ? "(SIZE)"
                                                                        : "");
    }
    if (wish[5] & 1)
        words += " bdat-first";
    if (wish[5] & 2)
        words += " recipients-per-mail=1";
    if (!words.empty() && !rules->add("/./" + words, "rules"))
        return "rules: " + words;
    peers::Book book(clock, {.learning = wish[0] & 1 ? peers::Learning::yes : peers::Learning::no}, rules);

    World world;
    world.turned = &clock;
    world.leaps = &clock;
    world.knowledge = &book;
    world.options.lmtp = (wish[0] & 2) != 0;
    world.options.quit_in_group = (wish[0] & 4) != 0;
    world.options.chunking = (wish[0] & 8) == 0;
    world.options.probe_data = (wish[0] & 16) != 0;
    world.in_turn = (wish[0] & 32) != 0;
    world.options.pix_delay = std::chrono::seconds(1);
    world.options.send_xforward = from_client;
    world.memory.capacity = wish[0] & 64 ? 300 : 1 << 16;
    world.memory.keep_segments = (wish[0] & 128) == 0;
    world.players["192.0.2.2"] = [&server](std::unique_ptr<net::Stream> stream) { return server.play(std::move(stream)); };
    world.options.reply_octets = 1U << 14;
    std::vector<std::shared_ptr<Witness>> witnesses;
    world.wrap = [&](std::unique_ptr<net::Stream> stream) -> std::unique_ptr<net::Stream> {
        witnesses.push_back(std::make_shared<Witness>(world.options.lmtp, world.options.reply_octets));
        return std::make_unique<Tap>(std::move(stream), witnesses.back());
    };
    std::vector<handoff::DeliveryRequest> requests;
    const unsigned messages = 1 + wish[1] % 5, recipients = 1 + wish[1] / 5 % 4;
    const bool probes = (wish[2] & 1) != 0, from_nobody = (wish[2] & 64) != 0;
    const auto sender_of = [&](std::size_t message) { return from_nobody ? std::string() : fmt::format("s{}@client.test", message); };
    const auto recipient_of = [&](std::size_t message, std::size_t recipient) {
        return fmt::format("{}{}.{}@{}example.test", utf8 ? "\u00fc" : "u", message, recipient, domains ? fmt::format("d{}.", recipient % 3) : "");
    };
    std::string content = "Subject: x\r\n\r\n";
    for (unsigned k = 0; k < (wish[6] % 16U) * (wish[7] & 16 ? 200 : 20); ++k)         // also more than goes before the recipients' answers
        content += ".dotted line of some length\r\n";
    if (wish[7] & 32)
        content += "eight bits: \u00fc\r\n";
    if (wish[7] & 64)
        content += std::string(1200, 'l') + "\r\n";                                      // over smtp_line_length_limit
    for (unsigned i = 0; i < messages; ++i) {
        std::vector<std::string> to;
        for (unsigned r = 0; r < recipients; ++r)
            to.push_back(recipient_of(i, r));
        requests.push_back(probes ? probe(std::move(to)) : request(std::move(to), content));
        requests.back().set_connections(1 + wish[2] / 2 % 3);
        requests.back().mutable_envelope()->set_sender(sender_of(i));
        if (wish[2] & 128)
            requests.back().mutable_envelope()->set_body(handoff::BODY_8BIT);
        requests.back().mutable_envelope()->set_smtputf8(utf8);
        if (from_client) {
            handoff::Client& client = *requests.back().mutable_envelope()->mutable_client();
            client.set_name("far.test");
            client.set_address("192.0.2.7");
            client.set_port(4711);
            client.set_helo(std::string(wish[6], 'h') + ".test");
            client.set_protocol("ESMTP");
        }
    }
    const WallTime begun = clock.wall();
    world.most_time = std::chrono::hours(200);
    world.most_turns = 1'000'000;
    const auto all = world.run(std::move(requests));
    if (!world.ended)
        return "does not end";
    // A server may take as long as each timeout allows, for each of its answers; it may not take longer.
    auto most = std::chrono::seconds(60);
    for (const auto& witness : witnesses) {
        most += std::chrono::seconds(620) * static_cast<long>(witness->asked() + 1);
        if (witness->read_too_much())
            return "reads a reply without end";
        if (witness->over_limits())
            return "said more than the server's LIMITS allow\n" + witness->text();
    }
    if (clock.wall() - begun > most)
        return "takes longer than its timeouts";
    if (witnesses.size() > messages * (4 + 2 * recipients))
        return fmt::format("{} sessions for {} messages", witnesses.size(), messages);
    if (all.size() != messages)
        return "not every message has its verdicts";
    const bool by_data = world.options.probe_data;
    const auto shown = [&](std::string what) {
        for (const auto& witness : witnesses)
            what += "\n" + witness->text();
        return what;
    };
    for (std::size_t message = 0; message < all.size(); ++message) {
        std::vector<bool> seen(recipients);
        const std::string sender = sender_of(message);
        for (const auto& verdict : all[message].verdicts()) {
            if (verdict.recipient() >= recipients || seen[verdict.recipient()])
                return "a verdict too many";
            seen[verdict.recipient()] = true;
            if (verdict.status().empty() || verdict.text().empty())
                return shown(fmt::format("a verdict without words for {}.{}: {} {}", message, verdict.recipient(), verdict.status(), verdict.text()));
            const std::string recipient = recipient_of(message, verdict.recipient());
            const auto any = [&](auto what) { return std::ranges::any_of(witnesses, what); };
            unsigned taken = 0;
            for (const auto& witness : witnesses)
                taken += probes ? 0 : witness->may_have_taken(sender, recipient);
            if (taken > 1)
                return shown("said twice to " + recipient);
            switch (verdict.outcome()) {
            case handoff::OUTCOME_DELIVERED:
                if (!any([&](const auto& witness) { return witness->took(sender, recipient, probes, by_data); }))
                    return shown("delivered: " + verdict.text());
                break;
            case handoff::OUTCOME_DEFERRED:
                if (!verdict.status().starts_with('4'))
                    return "deferred with " + verdict.status();
                break;
            default: {
                const bool too_big = verdict.status() == "5.3.4" && verdict.diagnostic().empty() && any([&](const auto& witness) {
                                         return witness->announced(
                                             [&](const smtp::Features& features) { return features.size != 0 && features.size < content.size(); });
                                     });
                const bool ourselves =
                    verdict.status() == "5.4.6" && any([&](const auto& witness) {
                        return witness->announced([&](const smtp::Features& features) { return iequals(features.host, world.options.my_name); });
                    });
                const bool no_utf8 = verdict.status() == "5.6.7" && verdict.diagnostic().empty() && utf8 &&
                                     any([&](const auto& witness) { return witness->lacks(smtp::Keyword::smtputf8); });
                if (taken != 0)
                    return shown("returned, and perhaps taken: " + verdict.text());
                if (!too_big && !ourselves && !no_utf8 &&
                    !any([&](const auto& witness) { return witness->refuses(verdict.diagnostic(), sender, recipient); }))
                    return shown("returned: " + verdict.text());
            }
            }
        }
        if (std::ranges::find(seen, false) != seen.end())
            return "a recipient without a verdict";
    }
    return std::nullopt;
}

}  // namespace posthorn::send
