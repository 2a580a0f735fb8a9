#include "tester/rules.hpp"

#include "base/strings.hpp"
#include "smtp/path.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::tester {

using smtp::Keyword;
using smtp::Reply;

awaitable<Result<Conversation*>> Bench::connect()
{
    conversation_.reset();
    CO_TRY(auto stream, co_await dial_());
    conversation_ = std::make_unique<Conversation>(std::move(stream), question_.patience);
    const auto greeting = co_await conversation_->reply();
    if (!greeting)
        co_return Error{"the server gave no greeting"};
    if (greeting->code != 220)
        co_return Error{fmt::format("the server does not want to talk: {}", greeting->logged())};
    conversation_->greeting = smtp::parse_greeting(*greeting);
    co_return conversation_.get();
}

awaitable<Result<void>> Bench::ehlo(Conversation& conversation)
{
    const auto replies = co_await conversation.ask({"EHLO " + question_.helo});
    if (replies.empty())
        co_return Error{"no reply to EHLO"};
    if (!replies[0].positive())
        co_return Error{fmt::format("EHLO was refused: {}", replies[0].logged())};
    conversation.features = smtp::parse_ehlo(replies[0]);
    co_return Result<void>{};
}

awaitable<Result<void>> Bench::secure(Conversation& conversation)
{
    auto secured = co_await secure_(conversation.take_stream());
    if (!secured) {
        conversation.remark("TLS handshake failed: " + secured.error().text());
        co_return secured.error();
    }
    conversation.remark("TLS");
    conversation.resume(*std::move(secured));
    co_return Result<void>{};
}

awaitable<Result<Conversation*>> Bench::hello()
{
    CO_TRY(Conversation* const conversation, co_await connect());
    CO_TRY_VOID(co_await ehlo(*conversation));
    if (!question_.starttls)
        co_return conversation;
    if (!conversation->features.has(Keyword::starttls))
        co_return Error{"STARTTLS is not offered"};
    const auto ready = co_await conversation->ask({"STARTTLS"});
    if (ready.empty() || ready[0].code != 220)
        co_return Error{"STARTTLS was refused"};
    CO_TRY_VOID(co_await secure(*conversation));
    CO_TRY_VOID(co_await ehlo(*conversation));
    co_return conversation;
}

awaitable<Result<Conversation*>> Bench::open(Opening opening)
{
    if (opening == Opening::hello)
        co_return co_await hello();
    CO_TRY(Conversation* const conversation, co_await connect());
    if (opening == Opening::clear) {
        CO_TRY_VOID(co_await ehlo(*conversation));
    }
    co_return conversation;
}

std::string Bench::mail(std::string_view parameters) const
{
    return fmt::format("MAIL FROM:<{}>{}{}", question_.from, parameters.empty() ? "" : " ", parameters);
}

std::string Bench::rcpt() const { return fmt::format("RCPT TO:<{}>", question_.to); }

namespace {

std::string codes(const std::vector<Reply>& replies)
{
    std::string text;
    for (const Reply& reply : replies)
        text += fmt::format("{}{}", text.empty() ? "" : ", ", reply.code);
    return text.empty() ? "nothing" : text;
}

std::string how_it_ended(const Conversation& conversation)
{
    switch (conversation.end()) {
    case Conversation::End::open: return "";
    case Conversation::End::closed: return " and closed";
    case Conversation::End::reset: return ", and the connection was lost";
    case Conversation::End::timeout: return " and then kept silent";
    }
    return "";
}

/// A group in one segment: one reply each, none twice.
awaitable<Outcome> group(Bench& bench, Conversation& talk, std::vector<std::string> commands, bool ends_with_quit)
{
    if (!talk.features.has(Keyword::pipelining))
        co_return Outcome::untested("PIPELINING is not announced");
    const std::size_t count = commands.size();
    const auto replies = co_await talk.ask(std::move(commands));
    if (replies.size() < count)
        co_return Outcome::broken(fmt::format("{} of {} replies came ({}){}", replies.size(), count, codes(replies), how_it_ended(talk)));
    if (ends_with_quit ? replies.back().code != 221 : !replies.back().valid())
        co_return Outcome::broken(fmt::format("the replies are out of order: {}", codes(replies)));
    if (!ends_with_quit) {
        if (const auto more = co_await talk.reply_within(bench.question().glance))
            co_return Outcome::broken(fmt::format("a reply too many: {}", more->logged()));
        co_await talk.ask({"QUIT"});
    }
    co_return Outcome::kept();
}

awaitable<Outcome> greeting(Bench&, Conversation& talk)
{
    co_await talk.ask({"QUIT"});
    if (talk.greeting->masked)
        co_return Outcome::broken("a firewall has painted over the greeting");
    if (talk.greeting->host.find('.') == std::string::npos && !talk.greeting->host.starts_with('['))
        co_return Outcome::broken(fmt::format("the greeting does not begin with the server's name: \"{}\"", talk.greeting->host));
    co_return Outcome::kept();
}

awaitable<Outcome> ehlo(Bench&, Conversation& talk)
{
    co_await talk.ask({"QUIT"});
    if (talk.features.masked > 0)
        co_return Outcome::broken(
            fmt::format("a firewall has painted over {} keyword{}", talk.features.masked, talk.features.masked == 1 ? "" : "s"));
    co_return Outcome::kept();
}

/// One command, and the code that must answer it.
awaitable<Outcome> simple(Conversation& talk, std::string command, bool (*fits)(const Reply&), std::string_view wanted)
{
    const auto replies = co_await talk.ask({std::move(command)});
    if (replies.empty())
        co_return Outcome::broken("no reply" + how_it_ended(talk));
    if (!fits(replies[0]))
        co_return Outcome::broken(fmt::format("{} instead of {}", replies[0].logged(), wanted));
    const auto after = co_await talk.ask({"QUIT"});
    co_return after.empty() ? Outcome::broken("the session ended with it") : Outcome::kept();
}

bool is_250(const Reply& reply) { return reply.code == 250; }
bool is_refused(const Reply& reply) { return reply.permanent() && reply.code != 521; }

awaitable<Outcome> noop(Bench&, Conversation& talk) { return simple(talk, "NOOP", is_250, "250"); }
awaitable<Outcome> rset_first(Bench&, Conversation& talk) { return simple(talk, "RSET", is_250, "250"); }
awaitable<Outcome> letter_case(Bench&, Conversation& talk) { return simple(talk, "rSeT", is_250, "250"); }
awaitable<Outcome> unknown_command(Bench&, Conversation& talk) { return simple(talk, "XPOSTHORN", is_refused, "500"); }
awaitable<Outcome> long_line(Bench&, Conversation& talk)
{
    return simple(
        talk, "NOOP " + std::string(512 - 7, 'x'), [](const Reply& reply) { return reply.code == 250 || reply.code == 501 || reply.code == 504; },
        "250");
}

awaitable<Outcome> null_sender(Bench&, Conversation& talk)
{
    const auto replies = co_await talk.ask({"MAIL FROM:<>"});
    if (replies.empty())
        co_return Outcome::broken("no reply" + how_it_ended(talk));
    if (replies[0].transient())
        co_return Outcome::untested("refused for now: " + replies[0].logged());
    co_await talk.ask({"QUIT"});
    co_return replies[0].positive() ? Outcome::kept() : Outcome::broken(replies[0].logged());
}

awaitable<Outcome> postmaster(Bench& bench, Conversation& talk)
{
    const auto mail = co_await talk.ask({bench.mail()});
    if (mail.empty() || !mail[0].positive())
        co_return Outcome::untested("MAIL was refused");
    const auto replies = co_await talk.ask({"RCPT TO:<postmaster>"});
    if (replies.empty())
        co_return Outcome::broken("no reply" + how_it_ended(talk));
    if (replies[0].transient())
        co_return Outcome::untested("refused for now: " + replies[0].logged());
    co_await talk.ask({"RSET"});
    co_await talk.ask({"QUIT"});
    co_return replies[0].positive() ? Outcome::kept() : Outcome::broken(replies[0].logged());
}

awaitable<Outcome> split_line(Bench& bench, Conversation& talk)
{
    co_await talk.send("NO", "NO   (the line is sent in two segments)");
    co_await sleep_for(std::min(bench.question().glance, std::chrono::milliseconds{100}));
    co_await talk.send("OP\r\n", "  OP");
    const auto reply = co_await talk.reply();
    if (!reply)
        co_return Outcome::broken("no reply" + how_it_ended(talk));
    if (reply->code != 250)
        co_return Outcome::broken("the halves were taken for commands: " + reply->logged());
    co_await talk.ask({"QUIT"});
    co_return Outcome::kept();
}

awaitable<Outcome> ordered(Bench& bench, Conversation& talk) { return group(bench, talk, {bench.mail(), bench.rcpt(), "RSET"}, false); }
awaitable<Outcome> quit_in_group(Bench& bench, Conversation& talk) { return group(bench, talk, {bench.mail(), bench.rcpt(), "RSET", "QUIT"}, true); }

/// Ends before any content: closed after 354 (RFC 5321 4.1.1.4: then nothing was sent).
awaitable<Outcome> data_in_group(Bench& bench, Conversation& talk)
{
    if (!talk.features.has(Keyword::pipelining))
        co_return Outcome::untested("PIPELINING is not announced");
    const auto replies = co_await talk.ask({bench.mail(), bench.rcpt(), "DATA"});
    if (replies.size() < 3)
        co_return Outcome::broken(fmt::format("{} of 3 replies came ({}){}", replies.size(), codes(replies), how_it_ended(talk)));
    const bool somebody = replies[1].positive();
    if (somebody ? !(replies[2].code == 354 || replies[2].transient() || replies[2].permanent()) : replies[2].positive())
        co_return Outcome::broken(fmt::format("the replies are out of order: {}", codes(replies)));
    if (replies[2].code == 354)
        talk.remark("closed without content: nothing is sent");
    talk.close();
    co_return Outcome::kept();
}

awaitable<Outcome> parameters(Bench& bench, Conversation& talk)
{
    struct Parameter {
        Keyword keyword;
        std::string_view text;
    };
    constexpr Parameter all[] = {
        {Keyword::size, "SIZE=1000"}, {Keyword::eight_bit_mime, "BODY=8BITMIME"}, {Keyword::dsn, "RET=HDRS"}, {Keyword::smtputf8, "SMTPUTF8"}};
    const auto bare = co_await talk.ask({bench.mail()});
    if (bare.empty() || !bare[0].positive())
        co_return Outcome::untested("MAIL was refused without parameters as well");
    std::string refused;
    bool any = false;
    for (const Parameter& parameter : all) {
        if (!talk.features.has(parameter.keyword))
            continue;
        any = true;
        co_await talk.ask({"RSET"});
        const auto replies = co_await talk.ask({bench.mail(parameter.text)});
        if (replies.empty())
            co_return Outcome::broken(fmt::format("no reply to {}{}", parameter.text, how_it_ended(talk)));
        if (replies[0].permanent())
            refused += fmt::format("{}{}: {}", refused.empty() ? "" : "; ", parameter.text, replies[0].logged());
    }
    co_await talk.ask({"QUIT"});
    if (!any)
        co_return Outcome::untested("no extension with a parameter of MAIL is announced");
    co_return refused.empty() ? Outcome::kept() : Outcome::broken(refused);
}

awaitable<Outcome> enhanced_codes(Bench& bench, Conversation& talk)
{
    if (!talk.features.has(Keyword::enhanced_status_codes))
        co_return Outcome::untested("ENHANCEDSTATUSCODES is not announced");
    for (const std::string& command : {bench.mail(), bench.rcpt(), std::string("RSET")}) {
        const auto replies = co_await talk.ask({command});
        if (replies.empty())
            co_return Outcome::broken("no reply" + how_it_ended(talk));
        for (const std::string& line : replies[0].lines)
            if (const auto code = smtp::enhanced_code(line); code.empty() || code[0] != '0' + replies[0].digit())
                co_return Outcome::broken(fmt::format("{} has no enhanced code of its class", replies[0].logged()));
    }
    co_await talk.ask({"QUIT"});
    co_return Outcome::kept();
}

/// The octets of a refused BDAT must not be taken for commands: here they would be three NOOPs, answered one by one.
awaitable<Outcome> refused_bdat(Bench& bench, Conversation& talk)
{
    if (!talk.features.has(Keyword::chunking))
        co_return Outcome::untested("CHUNKING is not announced");
    const std::string octets = "NOOP\r\nNOOP\r\nNOOP\r\n";
    co_await talk.send(fmt::format("BDAT {}\r\n{}RSET\r\n", octets.size(), octets),
                       fmt::format("BDAT {} (without MAIL and RCPT), NOOP NOOP NOOP as its octets, then RSET, in one segment", octets.size()));
    std::vector<Reply> replies;
    while (replies.size() < 5) {
        auto reply = replies.size() < 2 ? co_await talk.reply() : co_await talk.reply_within(bench.question().glance);
        if (!reply)
            break;
        replies.push_back(*std::move(reply));
    }
    if (replies.size() > 2)
        co_return Outcome::broken(fmt::format("{} replies came for two commands ({}): the octets were executed", replies.size(), codes(replies)));
    if (replies.size() < 2)
        co_return Outcome::broken(fmt::format("{} of 2 replies came ({}){}", replies.size(), codes(replies), how_it_ended(talk)));
    if (!replies[0].permanent() && !replies[0].transient())
        co_return Outcome::broken("BDAT was taken without a recipient: " + replies[0].logged());
    co_await talk.ask({"QUIT"});
    co_return Outcome::kept();
}

awaitable<Outcome> starttls(Bench& bench, Conversation& talk)
{
    if (!talk.features.has(Keyword::starttls))
        co_return Outcome::untested("STARTTLS is not announced");
    const auto replies = co_await talk.ask({"STARTTLS"});
    if (replies.empty() || replies[0].code != 220)
        co_return Outcome::broken(replies.empty() ? "no reply" + how_it_ended(talk) : "announced, and refused: " + replies[0].logged());
    if (const auto secured = co_await bench.secure(talk); !secured)
        co_return Outcome::broken(secured.error().text());
    const auto again = co_await bench.ehlo(talk);
    if (!again)
        co_return Outcome::broken("after the handshake: " + again.error().text());
    if (talk.features.has(Keyword::starttls))
        co_return Outcome::broken("STARTTLS is announced again within TLS");
    co_await talk.ask({"QUIT"});
    co_return Outcome::kept();
}

awaitable<Outcome> injection(Bench& bench, Conversation& talk)
{
    if (!talk.features.has(Keyword::starttls))
        co_return Outcome::untested("STARTTLS is not announced");
    co_await talk.say({"STARTTLS", "NOOP"});
    const auto reply = co_await talk.reply();
    if (!reply || reply->code != 220) {
        if (reply)
            co_return Outcome::kept();                         // refusing it is as good
        co_return Outcome::untested("no reply" + how_it_ended(talk));
    }
    if (const auto secured = co_await bench.secure(talk); !secured)
        co_return Outcome::kept();                             // some end the session: nothing was executed
    const auto more = co_await talk.reply_within(bench.question().glance);
    if (more)
        co_return Outcome::broken("a command sent in clear was executed within TLS: " + more->logged());
    co_await talk.ask({"QUIT"});
    co_return Outcome::kept();
}

awaitable<Outcome> quit(Bench&, Conversation& talk)
{
    const auto replies = co_await talk.ask({"QUIT"});
    if (replies.empty())
        co_return Outcome::broken("no reply" + how_it_ended(talk));
    if (replies[0].code != 221)
        co_return Outcome::broken(replies[0].logged());
    co_await talk.reply();
    co_return talk.end() == Conversation::End::timeout ? Outcome::broken("the server did not close") : Outcome::kept();
}

constexpr std::string_view no_pipelining = "smtp_discard_ehlo_keyword_address_maps: ADDRESS silent-discard, pipelining";

constexpr Rule table[] = {
    {"greeting", "RFC 5321 4.2", "the greeting is 220 and begins with the server's name", "smtp_pix_workarounds, where a firewall stands in front",
     Opening::greeting, greeting},
    {"ehlo", "RFC 5321 4.1.1.1", "EHLO is answered with the extensions", "smtp_never_send_ehlo = yes", Opening::hello, ehlo},
    {"case", "RFC 5321 2.4", "commands are taken in any letter case", "", Opening::hello, letter_case},
    {"noop", "RFC 5321 4.1.1.9", "NOOP is answered with 250", "", Opening::hello, noop},
    {"rset", "RFC 5321 4.1.1.5", "RSET is taken before any transaction", "none in Postfix; Posthorn sends none first", Opening::hello, rset_first},
    {"unknown", "RFC 5321 4.2.4", "an unknown command is refused and the session goes on", "", Opening::hello, unknown_command},
    {"line", "RFC 5321 4.5.3.1.4", "a command line of 512 octets is taken", "", Opening::hello, long_line},
    {"stream", "RFC 5321 2.3.8", "a command ends with CRLF, not with a segment", "", Opening::hello, split_line},
    {"null-sender", "RFC 5321 4.5.5", "mail from <> is taken", "address_verify_sender = an address of yours, for probes", Opening::hello,
     null_sender},
    {"postmaster", "RFC 5321 4.5.1", "postmaster exists, without a domain", "", Opening::hello, postmaster},
    {"parameters", "RFC 5321 4.1.1.11", "what EHLO announces is taken at MAIL",
     "smtp_discard_ehlo_keyword_address_maps: ADDRESS and the refused keyword", Opening::hello, parameters},
    {"enhanced", "RFC 2034 4", "ENHANCEDSTATUSCODES: every reply has one", "", Opening::hello, enhanced_codes},
    {"order", "RFC 2920 3.2", "a group of commands is answered one by one, in order", no_pipelining, Opening::hello, ordered},
    {"quit", "RFC 2920 3.2", "a group that ends in QUIT is answered whole",
     "smtp_discard_ehlo_keyword_address_maps: ADDRESS silent-discard, pipelining "
     "(Posthorn needs nothing: QUIT never rides behind a command whose answer counts)",
     Opening::hello, quit_in_group},
    {"data", "RFC 2920 3.1", "a group that ends in DATA is answered whole", no_pipelining, Opening::hello, data_in_group},
    {"bdat", "RFC 3030 2", "the octets of a refused BDAT are discarded", "smtp_discard_ehlo_keyword_address_maps: ADDRESS silent-discard, chunking",
     Opening::hello, refused_bdat},
    {"starttls", "RFC 3207 4", "STARTTLS works, and EHLO is answered anew",
     "smtp_tls_policy_maps: none for this destination, where your policy allows", Opening::clear, starttls},
    {"injection", "RFC 3207 4.2", "what was sent in clear behind STARTTLS is forgotten", "", Opening::clear, injection},
    {"bye", "RFC 5321 4.1.1.10", "QUIT is answered with 221, then the connection is closed", "smtp_skip_quit_response = yes", Opening::hello, quit},
};

}  // namespace

std::span<const Rule> rules() { return table; }

bool Examination::kept() const
{
    return std::ranges::none_of(findings, [](const Finding& finding) { return finding.outcome.kind == Outcome::Kind::broken; });
}

awaitable<Result<Examination>> examine(Question question, Dial dial, Secure secure)
{
    Examination examination;
    {
        Bench first(question, dial, secure);
        CO_TRY(Conversation* const talk, co_await first.connect());
        if (!talk->transcript().empty())
            examination.greeting = talk->transcript().front().text;
        if (co_await first.ehlo(*talk))
            for (const Line& line : talk->transcript())
                if (line.who == 'S' && line.text.starts_with("250") && &line != &talk->transcript()[2])
                    examination.keywords.push_back(line.text.substr(std::min<std::size_t>(4, line.text.size())));
        co_await talk->ask({"QUIT"});
    }
    for (const Rule& rule : rules()) {
        Bench bench(question, dial, secure);
        const auto opened = co_await bench.open(rule.opening);
        // That there is no session is an answer to the rules about its beginning, and none to the others.
        const bool begins = rule.id == "greeting" || rule.id == "ehlo";
        Outcome outcome = opened   ? co_await rule.examine(bench, **opened)
                          : begins ? Outcome::broken(opened.error().text())
                                   : Outcome::untested(opened.error().text());
        examination.findings.emplace_back(rule, std::move(outcome), bench.transcript());
    }
    co_return examination;
}

}  // namespace posthorn::tester
