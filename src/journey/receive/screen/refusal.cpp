#include "receive/screen/refusal.hpp"

#include "base/strings.hpp"
#include "receive/core.hpp"
#include "receive/ehlo_reply.hpp"
#include "receive/screen/words.hpp"
#include "smtp/command.hpp"

#include <fmt/format.h>

#include <array>

namespace posthorn::receive::screen {

Refusal::Refusal(Gate& gate, std::unique_ptr<net::Stream> stream, net::Endpoint client, std::string early, std::string reply,
                 std::array<bool, deep_tests> watched)
    : gate_(gate), stream_(std::move(stream)), address_(std::move(client)), client_(name_of(address_)), input_(std::move(early)),
      reply_(std::move(reply)), watched_(watched), since_(std::chrono::steady_clock::now())
{
}

awaitable<bool> Refusal::run(bool greet)
{
    waiting_ = gate_.waiting_.insert(gate_.waiting_.end(), stream_.get());
    if (!greet || co_await say(fmt::format("220 {}", gate_.core_.options.banner))) {
        while (!over_) {
            std::string line;
            if (!co_await hear(&line))
                break;
            co_await answer(std::move(line));
        }
    }
    gate_.waiting_.erase(waiting_);
    if (stream_)
        stream_->close();
    co_return passed_ && !failed_;
}

awaitable<bool> Refusal::say(std::string text)
{
    text = co_await gate_.with_footer(std::move(text), address_) + "\r\n";
    stream_->expires_after(std::chrono::seconds{10});
    const auto written = co_await stream_->write(text);
    if (!written) {
        hung_up();
        co_return false;
    }
    co_return true;
}

void Refusal::hung_up()
{
    if (!over_)
        gate_.log_.info("HANGUP after {} from {} in tests after SMTP handshake", time_since(since_), client_);
    over_ = true;
}

awaitable<void> Refusal::drop(std::string reply)
{
    over_ = true;
    co_await say(std::move(reply));
}

awaitable<bool> Refusal::hear(std::string* line)
{
    const auto deadline = std::chrono::steady_clock::now() + gate_.pace().command;
    for (;;) {
#ifdef POSTHORN_PLANT_BUG_screen_dialogue  // a line ends with the CR, where its LF has not come yet (scripts/fuzz-planted)
        auto end = input_.find('\n');
        if (end == std::string::npos && input_.ends_with('\r')) {
            end = input_.size();
            input_ += '\n';
        }
#else
        const auto end = input_.find('\n');
#endif
        if (std::min(end, input_.size()) > gate_.core_.options.line_length_limit) {
            gate_.log_.info("COMMAND LENGTH LIMIT from {} after {}", client_, where_);
            co_await drop(fmt::format("421 {} Service unavailable - try again later", gate_.core_.options.myhostname));
            co_return false;
        }
        if (end != std::string::npos) {
            const bool whole = end > 0 && input_[end - 1] == '\r';
            bare_ = !whole;
            line->assign(input_, 0, whole ? end - 1 : end);
            input_.erase(0, end + 1);
            co_return true;
        }
        std::array<char, 1024> room{};
        stream_->expires_at(deadline);
        const auto got = co_await stream_->read_some(room);
        if (got && *got > 0) {
            input_.append(room.data(), *got);
            continue;
        }
        if (!got && got.error().what() == "conversation timed out") {
            gate_.log_.info("COMMAND TIME LIMIT from {} after {}", client_, where_);
            co_await drop(fmt::format("421 4.4.2 {} Error: timeout exceeded", gate_.core_.options.myhostname));
        } else {
            hung_up();
        }
        co_return false;
    }
}

awaitable<std::string> Refusal::ehlo(bool extended)
{
    const receive::Options& told = gate_.core_.options;
    if (!extended)
        co_return "250 " + told.myhostname;
    smtp::KeywordSet discarded = gate_.options().discarded.keywords;
    if (!gate_.discards_.empty()) {
        const auto found = co_await gate_.discards_.lookup(address_.is_unix() ? "127.0.0.1" : address_.ip.text());
        if (!found)
            gate_.log_.warning("{}: {}: {}", client_, gate_.discards_.parameter(), found.error().text());
        else if (const std::optional<std::string>& list = *found)
            discarded = smtp::parse_discard_list(*list).keywords;
    }
    discarded.insert(smtp::Keyword::pipelining);
    const auto* tls = gate_.core_.outside.tls;
    std::string text =
        ehlo_reply(gate_.told_to_failed_, discarded, {.starttls = told.tls_level != TlsLevel::none && !tls_ && tls != nullptr && tls->available()});
    text.resize(text.size() - 2);
    co_return text;
}

bool Refusal::no_smtp(std::string_view line, std::string_view word) const
{
    if (smtp::looks_like_header(line))
        return true;
    tables::Lookups lookups;
    const auto listed = gate_.forbidden_.matches(lookups, printable(word));      // a table would not have what is no UTF-8
    return listed && *listed;
}

/// postscreen_command_filter. A table that cannot be asked leaves the line as it is: nothing is taken from this client anyway.
awaitable<void> Refusal::filter(std::string* line)
{
    const auto found = co_await gate_.filter_.lookup(*line);
    if (!found) {
        gate_.log_.warning("{}: {} lookup error for \"{}\"", client_, gate_.filter_.parameter(), printable(smtp::split_command(*line).word));
    } else if (const std::optional<std::string>& other = *found) {
        gate_.log_.info("{}: replacing command \"{}\" with \"{}\"", client_, printable(std::string_view(*line).substr(0, 100)),
                        printable(std::string_view(*other).substr(0, 100)));
        *line = *other;
    }
}

/// One more test that it failed. False: the talk is over.
awaitable<bool> Refusal::fail(Deep test, std::string reply)
{
    watched_[static_cast<std::size_t>(test)] = false;
    const Act act = gate_.options().deep[static_cast<std::size_t>(test)].act;
    failed_ = failed_ || act != Act::ignore;
    if (act == Act::enforce)
        reply_ = "550 5.5.1 Protocol error";
    if (act == Act::drop)
        co_await drop(std::move(reply));
    co_return act != Act::drop;
}

/// To DATA and BDAT, which end the talk.
std::string_view Refusal::after_refusal(const smtp::Command& command) const
{
    if (command.verb->id == smtp::VerbId::bdat) {
        if (!smtp::parse_bdat(command.arguments))
            return "501 5.5.4 Syntax: BDAT count [LAST]";
        return mail_ ? "554 5.5.1 Error: no valid recipients" : "554 5.5.1 Error: need MAIL command";
    }
    if (!command.arguments.empty())
        return "501 5.5.4 Syntax: DATA";
    return mail_ ? "554 5.5.1 Error: no valid recipients" : "503 5.5.1 Error: need RCPT command";
}

awaitable<void> Refusal::answer(std::string line)
{
    using smtp::VerbId;
    if (!gate_.filter_.empty())
        co_await filter(&line);
    const smtp::Command command = smtp::split_command(line);
    const std::string arguments(command.arguments);
    const bool known = command.verb != nullptr && command.verb->id != VerbId::lhlo && command.verb->id != VerbId::expn &&
                       command.verb->id != VerbId::turn && command.verb->id != VerbId::help && command.verb->id != VerbId::auth &&
                       command.verb->id != VerbId::xclient && command.verb->id != VerbId::xforward;
    if (!known && looks_for(Deep::non_smtp) && no_smtp(line, command.word)) {
        const std::string_view whole(line);
        const std::size_t space = std::min(whole.find(' '), whole.size());
        gate_.log_.info("NON-SMTP COMMAND from {} after {}: {} {}", client_, where_, printable(whole.substr(0, std::min<std::size_t>(space, 100))),
                        printable(trim(whole.substr(space))));
        if (!co_await fail(Deep::non_smtp, "521 5.7.0 Error: I can break rules, too. Goodbye."))
            co_return;
    }
    const std::string before = std::exchange(where_, known ? std::string(command.verb->name) : printable(command.word));
    if (!input_.empty() && looks_for(Deep::pipelining) && !(known && command.verb->id == VerbId::bdat)) {
        gate_.log_.info("COMMAND PIPELINING from {} after {}: {}", client_, where_, in_c_form(input_));
        if (!co_await fail(Deep::pipelining, "521 5.5.1 Protocol error"))
            co_return;
    }
    if (bare_ && looks_for(Deep::bare_newline)) {
        gate_.log_.info("BARE NEWLINE from {} after {}", client_, printable(std::string_view(line).substr(0, 100)));
        if (!co_await fail(Deep::bare_newline, "521 5.5.1 Protocol error"))
            co_return;
    }
    if (++commands_ > gate_.options().command_limit) {
        gate_.log_.info("COMMAND COUNT LIMIT from {} after {}", client_, before);
        co_await drop(fmt::format("421 {} Service unavailable - try again later", gate_.core_.options.myhostname));
        co_return;
    }
    if (!known) {
        co_await say("502 5.5.2 Error: command not recognized");
        co_return;
    }
    if (gate_.core_.options.tls_level == TlsLevel::encrypt && !tls_ && !command.verb->before_tls) {
        co_await say("530 5.7.0 Must issue a STARTTLS command first");
        co_return;
    }
    switch (command.verb->id) {
    case VerbId::helo:
    case VerbId::ehlo: {
        const bool extended = command.verb->id == VerbId::ehlo;
        if (arguments.empty()) {
            co_await say(fmt::format("501 Syntax: {} hostname", command.verb->name));
            break;
        }
        helo_ = arguments;
        esmtp_ = extended;
        sender_.clear();
        mail_ = false;
        co_await say(co_await ehlo(extended));
        break;
    }
    case VerbId::mail:
        if (helo_.empty() && gate_.options().helo_required)
            co_await say("503 5.5.1 Error: send HELO/EHLO first");
        else if (mail_)
            co_await say("503 5.5.1 Error: nested MAIL command");
        else if (auto address = address_behind("FROM:", arguments); !address)
            co_await say("501 5.5.4 Syntax: MAIL FROM:<address>");
        else {
            sender_ = *address;
            mail_ = true;
            co_await say("250 2.1.0 Ok");
        }
        break;
    case VerbId::rcpt:
        if (!mail_)
            co_await say("503 5.5.1 Error: need MAIL command");
        else if (const auto address = address_behind("TO:", arguments); !address)
            co_await say("501 5.5.4 Syntax: RCPT TO:<address>");
        else {
            passed_ = true;
            const std::string ip = address_.is_unix() ? std::string() : address_.ip.text();
            gate_.core_.note_rejection(handoff::Rejected{.command = "RCPT",
                                                         .reply = reply_,
                                                         .by = "screen",
                                                         .client_address = ip,
                                                         .helo = helo_,
                                                         .protocol = esmtp_ ? "ESMTP" : "SMTP",
                                                         .sender = sender_,
                                                         .recipient = *address});
            gate_.log_.info("NOQUEUE: reject: RCPT from {}: {}; from=<{}>, to=<{}>, proto={}, helo=<{}>", client_, reply_, printable(sender_),
                            printable(*address), esmtp_ ? "ESMTP" : "SMTP", printable(helo_));
            co_await say(reply_);
        }
        break;
    case VerbId::data:
    case VerbId::bdat:
        gate_.log_.info("{} without valid RCPT from {}", command.verb->name, client_);
        co_await drop(std::string(after_refusal(command)));
        break;
    case VerbId::rset:
        sender_.clear();
        mail_ = false;
        co_await say("250 2.0.0 Ok");
        break;
    case VerbId::noop: co_await say("250 2.0.0 Ok"); break;
    case VerbId::vrfy:
        co_await say(arguments.empty()              ? "501 5.5.4 Syntax: VRFY address"
                     : gate_.options().disable_vrfy ? "502 5.5.1 VRFY command is disabled"
                                                    : reply_);
        break;
    case VerbId::etrn: co_await say(arguments.empty() ? "500 Syntax: ETRN domain" : "458 Unable to queue messages"); break;
    case VerbId::quit: co_await drop("221 2.0.0 Bye"); break;
    case VerbId::starttls: co_await secure(); break;
    default: co_await say("502 5.5.1 Error: command not implemented");
    }
}

awaitable<void> Refusal::secure()
{
    auto* tls = gate_.core_.outside.tls;
    if (tls_) {
        co_await say("554 5.5.1 Error: TLS already active");
        co_return;
    }
    if (gate_.core_.options.tls_level == TlsLevel::none || gate_.options().discarded.keywords.has(smtp::Keyword::starttls)) {
        co_await say("502 5.5.1 Error: command not implemented");
        co_return;
    }
    if (tls == nullptr || !tls->available()) {
        co_await say("454 4.7.0 TLS not available due to local problem");
        co_return;
    }
    if (!co_await say("220 2.0.0 Ready to start TLS"))
        co_return;
    input_.clear();                               // RFC 3207 4.2: what was sent ahead in clear is forgotten
    *waiting_ = nullptr;                          // in the handshake it has a limit of its own
    stream_->expires_after(gate_.core_.pace().starttls_timeout);
    auto secured = co_await tls->accept(std::move(stream_), client_);
    if (!secured) {
        hung_up();
        co_return;
    }
    stream_ = std::move(secured->stream);
    *waiting_ = stream_.get();
    tls_ = true;
    helo_.clear();
    sender_.clear();
    esmtp_ = mail_ = false;
}

}  // namespace posthorn::receive::screen
