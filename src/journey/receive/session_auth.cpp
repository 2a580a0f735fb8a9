// AUTH: who the client is, asked of the server that knows the passwords.                           RFC 4954
// Secrets  what the client says here is in no log line, transcript or reply.
// Replies  and warnings are Postfix's to the letter: fail2ban reads "SASL LOGIN authentication failed".
#include "base/strings.hpp"
#include "receive/session.hpp"
#include "sasl/server.hpp"
#include "smtp/xtext.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::receive {

namespace {

constexpr std::size_t mechanism_octets = 100;             // of a name, in the log
constexpr int challenges_at_most = 100;

std::string or_else(const std::string& text, std::string_view other) { return text.empty() ? std::string(other) : text; }

bool fits(const sasl::Offer& offer, const SaslOptions& options, bool tls) { return offer.has.includes(tls ? options.tls : options.clear); }

}  // namespace

/// Not in clear where smtpd_tls_auth_only says so.
bool Session::auth_allowed() const { return core_.logins && (facts_.tls || !core_.options.sasl.under_tls_only); }

/// What is offered of what the server knows: by the security options of clear or TLS, and by the filter.
awaitable<std::string> Session::auth_offer()
{
    if (!auth_allowed() || discarded_.has(smtp::Keyword::auth) || co_await listed(core_.sasl_exceptions))
        co_return std::string{};
    (void)co_await flush();                               // what was decided before leaves before any wait
    const auto offers = co_await core_.logins->offers();
    if (!offers) {
        core_.outside.log.warning("{}", offers.error().what());
        co_return std::string{};
    }
    std::string words;
    for (const sasl::Offer& offer : *offers)
        if (co_await auth_offered(offer))
            words += (words.empty() ? "" : " ") + offer.name;
    co_return words;
}

/// The filter decides what is announced; who asks for another that fits is served, as by Postfix.
awaitable<bool> Session::auth_offered(const sasl::Offer& offer)
{
    if (!fits(offer, core_.options.sasl, facts_.tls))
        co_return false;
    if (core_.sasl_mechanisms.empty())
        co_return true;
    const auto allowed = co_await core_.sasl_mechanisms.ask(offer.name);
    co_return allowed.has_value() && *allowed;
}

awaitable<bool> Session::auth(std::string arguments)
{
    if (co_await exceeds(Rates::Event::auth, core_.options.client.auth_rate, "AUTH command rate")) {
        say(fmt::format("450 4.7.1 Error: too many AUTH commands from {}", facts_.client_address));
        co_return false;
    }
    const auto refuse = [&](std::string_view reply) {
        say(reply);
        return false;
    };
    if (needs_helo())
        co_return false;
    if (!auth_allowed() || discarded_.has(smtp::Keyword::auth))
        co_return refuse("503 5.5.1 Error: authentication not enabled");
    if (transaction_)
        co_return refuse("503 5.5.1 Error: MAIL transaction in progress");
    if (login_)
        co_return refuse("503 5.5.1 Error: already authenticated");
    const auto words = split(arguments, " \t");
    if (words.empty() || words.size() > 2)
        co_return refuse("501 5.5.4 Syntax: AUTH mechanism");
    co_return co_await authenticate(std::string(words[0]), words.size() == 2 ? std::optional(std::string(words[1])) : std::nullopt);
}

/// The client's next line; none: it has gone, or said enough.
awaitable<std::optional<std::string>> Session::auth_response(std::string challenge, std::string_view mechanism)
{
    say(fmt::format("334 {}", challenge));
    input_.limit_lines(core_.options.sasl.response_limit);
    auto line = input_.take_line();
    while (!line && co_await fill())
        line = input_.take_line();
    input_.limit_lines(core_.options.line_length_limit);
    if (!line)
        co_return std::nullopt;
    if (debug_)
        transcript('<', "AUTH (arguments are not logged)");
    if (line->cut) {
        say("500 5.5.6 SASL response limit exceeded");
        co_return std::nullopt;
    }
    if (line->text == "*") {
        core_.outside.log.warning("{}: SASL {} authentication aborted", namaddr(), mechanism);
        say("501 5.7.0 Authentication aborted");
        co_return std::nullopt;
    }
    co_return std::move(line->text);
}

awaitable<bool> Session::authenticate(std::string mechanism, std::optional<std::string> initial)
{
    const std::string shown = printable(std::string_view(mechanism).substr(0, mechanism_octets));
    sasl::Question question;
    question.mechanism = to_upper(mechanism);
    question.initial = std::move(initial);
    question.client_address = facts_.client_address;
    question.client_port = client_port_;
    const policy::SessionFacts here = session_facts();
    question.server_address = here.server_address;
    question.server_port = here.server_port;
    question.secured = facts_.tls;
    question.certificate = tls_ && tls_->certificate.trusted;

    if (!co_await flush())                                // what was decided before leaves before any wait
        co_return false;
    sasl::Answer answer(sasl::Answer::Kind::refused, "Invalid authentication mechanism");
    question.wanted = facts_.tls ? core_.options.sasl.tls : core_.options.sasl.clear;
    const bool judges = core_.logins->judges_mechanisms();
    const auto offers = judges ? Result<std::vector<sasl::Offer>>{} : co_await core_.logins->offers();
    const auto exchange = core_.logins->exchange();
    if (judges)
        answer = co_await exchange->begin(std::move(question));
    else if (!offers)
        answer = {sasl::Answer::Kind::later, "Can't connect to authentication server"};
    else if (const auto known = std::ranges::find(*offers, question.mechanism, &sasl::Offer::name);
             known != offers->end() && fits(*known, core_.options.sasl, facts_.tls))
        answer = co_await exchange->begin(std::move(question));
    for (int challenges = 0; answer.kind == sasl::Answer::Kind::more; ++challenges) {
        if (challenges == challenges_at_most) {
            answer = {sasl::Answer::Kind::later, "Authentication backend error"};
            break;
        }
        auto response = co_await auth_response(std::move(answer.text), shown);
        if (!response)
            co_return false;                              // and the exchange is given up
        answer = co_await exchange->respond(*std::move(response));
    }
    if (answer.kind == sasl::Answer::Kind::accepted) {
        login_ = std::make_unique<Login>(std::move(mechanism), printable(answer.username, true));
        say("235 2.7.0 Authentication successful");
        co_return true;
    }
    const std::string reason = printable(or_else(answer.text, "(reason unavailable)"));
    core_.outside.log.warning("{}: SASL {} authentication failed: {}, sasl_username={}", namaddr(), shown, reason,
                              printable(or_else(answer.username, "(unavailable)").substr(0, 100), true));
    say(fmt::format(
        "{}: {}", answer.kind == sasl::Answer::Kind::later ? "454 4.7.0 Temporary authentication failure" : "535 5.7.8 Error: authentication failed",
        reason));
    co_return false;
}

/// What the line "client=" says of it.
std::string Session::login_for_log() const
{
    std::string text;
    if (login_)
        text = fmt::format(", sasl_method={}, sasl_username={}", printable(login_->method), printable(login_->username, true));
    if (transaction_ && !transaction_->sasl_sender.empty())
        text += fmt::format(", sasl_sender={}", smtp::xtext_encode(transaction_->sasl_sender));
    return text;
}

}  // namespace posthorn::receive
