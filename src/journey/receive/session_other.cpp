// EHLO, HELO, STARTTLS, VRFY, ETRN, RSET, HELP.
#include "base/strings.hpp"
#include "base/timestamp.hpp"
#include "receive/ehlo_reply.hpp"
#include "receive/session.hpp"
#include "tls/facts.hpp"

#include <fmt/format.h>

namespace posthorn::receive {

namespace {

// The HELO name goes into logs and header fields: what could break out of them becomes a question mark (Postfix does likewise).
std::string harmless(std::string name)
{
    for (char& c : name)
        if (std::string_view(" <>()\\\";@").find(c) != std::string_view::npos || static_cast<unsigned char>(c) < 32 || c == 127)
            c = '?';
    return name;
}

}  // namespace

awaitable<bool> Session::helo(smtp::VerbId verb, std::string arguments)
{
    auto name = smtp::parse_helo(verb, arguments);
    if (!name) {
        say(name.error());
        co_return false;
    }
    const auto previous = std::exchange(facts_.helo, harmless(*name));
    if (!core_.options.policy.delay_reject) {
        policy::Effects effects = client_effects_ ? *client_effects_ : policy::Effects();
        policy::Judge judge(core_.law, facts_, effects, *this);
        auto ruling = co_await judge.helo();
        facts_.helo_deferral = judge.deferral();
        helo_effects_ = effects.any() ? std::make_unique<policy::Effects>(std::move(effects)) : nullptr;
        if (ruling.refused()) {
            facts_.helo = previous;
            obey(std::move(ruling));
            co_return false;
        }
    }
    end_transaction();
    helo_given_ = true;
    latest_release_.reset();
    std::optional<std::string> refused;                            // logged with the protocol that was spoken so far
    if (asks_milters())
        refused = co_await milters_on_helo();
    esmtp_ = verb == smtp::VerbId::ehlo;
    if (refused) {
        if (refused->starts_with("421")) {
            say(*refused);
            co_return false;
        }
        if (esmtp_ && refused->starts_with('5')) {      // as Sendmail does: the refusal is said to MAIL
            say(fmt::format("250-{}\r\n250 ENHANCEDSTATUSCODES", core_.options.myhostname));
            co_return true;
        }
    }
    if (!esmtp_) {
        say(fmt::format("250 {}", core_.options.myhostname));
        co_return true;
    }
    smtp::DiscardList list = core_.options.discard_ehlo_keywords;
    if (!core_.discard_ehlo_keywords.empty()) {
        const auto found = co_await core_.discard_ehlo_keywords.lookup(facts_.client_address);
        if (!found) {
            // Not known what to hide: an answer would be a guess.
            say_line(451, "4.3.0", "Temporary lookup failure");
            co_return false;
        }
        if (const auto& words = *found; words)
            list = smtp::parse_discard_list(*words);
    }
    discarded_ = list.keywords;
    discarded_.erase(smtp::Keyword::silent_discard);
    if (!discarded_.empty() && !list.silent())
        core_.outside.log.info("discarding EHLO keywords: {}", smtp::text(discarded_));
    // Who may say nothing without it is told so, and by STARTTLS that it is our fault; others are spared the attempt.
    const bool tls_may_be = tls_available() || core_.options.tls_level == TlsLevel::encrypt;
    const bool offer_tls = core_.options.tls_level != TlsLevel::none && !facts_.tls && tls_may_be;
    may_verp_ = co_await listed(core_.verp_clients);
    Offered offered{.starttls = offer_tls, .requiretls = core_.options.requiretls && facts_.tls, .pipe_connect = pipe_connect_, .verp = may_verp_};
    offered.auth = co_await auth_offer();
    // Who may authenticate hears of it before: clients ask once.
    if (const auto most = core_.options.release_limit; most.count() != 0 && !core_.options.filter && !discarded_.has(smtp::Keyword::future_release) &&
                                                       (!offered.auth.empty() || co_await may_schedule())) {
        latest_release_ = std::chrono::floor<std::chrono::seconds>(core_.outside.clock.wall()) + most;
        offered.future_release = fmt::format("{} {}", most.count(), timestamp(*latest_release_));
    }
    offered.xclient = co_await listed(core_.xclient_hosts);
    offered.xforward = co_await listed(core_.xforward_hosts);
    const std::string reply = ehlo_reply(core_.options, discarded_, offered);
    say(std::string_view(reply).substr(0, reply.size() - 2));        // without its last line end
    co_return true;
}

bool Session::tls_available() const { return core_.outside.tls && core_.outside.tls->available(); }

awaitable<bool> Session::starttls(std::string arguments)
{
    if (!trim(arguments).empty()) {
        say("501 5.5.4 Syntax: STARTTLS");
        co_return false;
    }
    if (transaction_) {
        say("503 5.5.1 Error: MAIL transaction in progress");
        co_return false;
    }
    if (facts_.tls) {
        say("554 5.5.1 Error: TLS already active");
        co_return false;
    }
    if (core_.options.tls_level == TlsLevel::none || discarded_.has(smtp::Keyword::starttls)) {
        say("502 5.5.1 Error: command not implemented");
        co_return false;
    }
    if (!tls_available()) {
        say("454 4.7.0 TLS not available due to local problem");
        co_return false;
    }
    if (counted_ && core_.options.client.tls_rate != 0) {
        const auto rate = co_await core_.outside.rates->count(Rates::Event::ask_tls, rate_key());
        if (rate && rate->rate > core_.options.client.tls_rate) {
            say(fmt::format("454 4.7.0 Error: too many new TLS sessions from {}", namaddr()));
            core_.outside.log.warning("Refusing STARTTLS request from {} for service {}", namaddr(), core_.options.client.service);
            co_return false;
        }
    }
    say("220 2.0.0 Ready to start TLS");
    if (!co_await flush())
        co_return false;
    // RFC 3207 4.2: what was sent ahead in clear, and what was said, is forgotten.
    input_.clear();
    co_return co_await secure();
}

awaitable<bool> Session::secure()
{
    if (!tls_available()) {
        core_.outside.log.warning(
            "Wrapper-mode request dropped from {} for service {}. TLS context initialization failed. For details see earlier warnings "
            "in your logs.",
            namaddr(), core_.options.client.service);
        end_ = End::hangup;
        co_return false;
    }
    stream_->expires_after(core_.pace().starttls_timeout);
    auto secured = co_await core_.outside.tls->accept(std::move(stream_), namaddr());
    if (!secured) {
        const auto lines = tls::handshake_failed(tls::Role::server, namaddr(), secured.error());
        core_.outside.log.info("{}", lines.info);
        for (const std::string& warning : lines.warnings)
            core_.outside.log.warning("{}", warning);
        end_ = End::lost;
        co_return false;
    }
    stream_ = std::move(secured->stream);
    facts_.tls = true;
    facts_.helo.reset();
    facts_.helo_deferral.reset();
    helo_effects_.reset();
    helo_given_ = esmtp_ = false;
    latest_release_.reset();
    login_.reset();                               // RFC 3207 4.2: what was said in clear is forgotten
    tls_ = std::make_unique<TlsFacts>(std::move(secured->facts));
    if (core_.options.tls_log)
        core_.outside.log.info("{}", secured->log_line);
    if (core_.options.tls_require_certificate && core_.options.tls_level == TlsLevel::encrypt && !tls_->certificate.trusted) {
        const std::string_view why = tls_->certificate.present() ? "Client certificate not trusted" : "No client certificate presented";
        core_.outside.log.info("NOQUEUE: abort: TLS from {}: {}", namaddr(), why);
        say(fmt::format("421 4.7.1 {} Error: {}", core_.options.myhostname, why));
        co_return false;
    }
    if (!tls_->resumed && co_await exceeds(Rates::Event::new_tls, core_.options.client.tls_rate, "New TLS session rate")) {
        say(fmt::format("421 4.7.0 {} Error: too many new TLS sessions from {}", core_.options.myhostname, namaddr()));
        co_return false;
    }
    co_return true;
}

awaitable<bool> Session::vrfy(std::string arguments)
{
    if (needs_helo())
        co_return false;
    if (core_.options.disable_vrfy) {
        say("502 5.5.1 VRFY command is disabled");
        co_return false;
    }
    if (trim(arguments).empty()) {
        say("501 5.5.4 Syntax: VRFY address [SMTPUTF8]");
        co_return false;
    }
    const auto options = command_options();
    auto text = trim(arguments);
    if (options.smtputf8 && iends_with(text, " SMTPUTF8"))
        text = trim(text.substr(0, text.size() - 9));
    const auto mailbox = smtp::parse_path(text, options.path);
    if (!mailbox || mailbox->null()) {
        core_.outside.log.warning("Illegal address syntax from {} in VRFY command: {}", namaddr(), printable(arguments));
        say("501 5.1.3 Bad recipient address syntax");
        co_return false;
    }
    const auto recipient_before = std::exchange(facts_.recipient, mailbox->text());
    policy::Effects effects;
    policy::Judge judge(core_.law, facts_, effects, *this);
    auto ruling = co_await judge.recipient();
    facts_.recipient = recipient_before;
    if (ruling.refused()) {
        obey(std::move(ruling));
        co_return false;
    }
    say(fmt::format("252 2.0.0 {}", printable(text, true)));
    co_return true;
}

awaitable<bool> Session::etrn(std::string arguments)
{
    if (needs_helo())
        co_return false;
    if (transaction_) {
        say("503 Error: MAIL transaction in progress");
        co_return false;
    }
    const auto words = split(arguments);
    if (words.size() != 1) {
        say("500 Syntax: ETRN domain");
        co_return false;
    }
    std::string domain(words.front());
    if (domain.starts_with('@') || domain.starts_with('#'))
        domain.erase(0, 1);
    if (!smtp::is_valid_hostname(domain, core_.options.smtputf8)) {
        say("501 Error: invalid parameter syntax");
        co_return false;
    }
    facts_.etrn_domain = domain;
    policy::Effects effects;
    policy::Judge judge(core_.law, facts_, effects, *this);
    auto ruling = co_await judge.etrn();
    facts_.etrn_domain.clear();
    if (ruling.refused()) {
        obey(std::move(ruling));
        co_return false;
    }
    const auto listed = co_await core_.etrn_domains.ask(domain);
    if (!core_.outside.flush_site || !listed || !*listed) {
        core_.outside.log.warning("reject: ETRN {}... from {}", printable(domain), namaddr());
        say(fmt::format("459 <{}>: service unavailable", domain));
        co_return false;
    }
    if (!co_await flush())
        co_return false;
    const auto flushed = co_await core_.outside.flush_site(domain);
    if (!flushed) {
        say("458 Unable to queue messages");
        co_return false;
    }
    say("250 Queuing started");
    co_return true;
}

bool Session::rset(std::string_view arguments)
{
    if (!trim(arguments).empty()) {
        say("501 5.5.4 Syntax: RSET");
        return false;
    }
    end_transaction();
    say("250 2.0.0 Ok");
    return true;
}

bool Session::help()
{
    say(fmt::format("214 2.0.0 Commands: {}BDAT DATA EHLO ETRN HELO HELP MAIL NOOP QUIT RCPT RSET STARTTLS VRFY", core_.logins ? "AUTH " : ""));
    return true;
}

}  // namespace posthorn::receive
