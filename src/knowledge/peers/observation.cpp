#include "peers/observation.hpp"

#include "base/strings.hpp"

namespace posthorn::peers {

namespace {

constexpr std::size_t verbs_shown = 12;

bool contains_folded(std::string_view text, std::string_view what)
{
    return std::ranges::search(text, what, [](char a, char b) { return ascii_lower(a) == b; }).begin() != text.end();
}

bool lost(StreamEnd end) { return end == StreamEnd::end || end == StreamEnd::reset || end == StreamEnd::timeout; }
bool good(int code) { return code >= 200 && code < 400; }
bool unknown_command(int code) { return code == 500 || code == 502; }
/// Not about the mail, but about how it was said.
bool about_saying(int code) { return unknown_command(code) || code == 503 || code == 504; }

class Observer {
public:
    explicit Observer(const Evidence& evidence) : evidence_(evidence)
    {
        made_.peer = evidence.peer;
        made_.when = evidence.when;
        made_.tls = evidence.tls;
        made_.tls_failed = evidence.tls_failed;
        made_.whole = evidence.whole;
        made_.keywords_clear = evidence.keywords_clear;
        made_.keywords_tls = evidence.keywords_tls;
        made_.canary = evidence.canary;
        made_.mails = evidence.mails;
        made_.errors_told = evidence.errors_told;
        made_.early_clear = evidence.early_clear;
        if (evidence.whole)
            made_.face = face_of(evidence.shown, evidence.peer.banner_host);
        made_.early_tls = evidence.early_tls;
        made_.early_granted = evidence.early_granted;
        made_.early_refused = evidence.early_refused;
        made_.early_seen = evidence.early_seen;
        made_.path = evidence.path;
    }

    Observation run()
    {
        for (std::size_t i = 0; i < evidence_.exchanges.size(); ++i) {
            const Exchange& exchange = evidence_.exchanges[i];
            if (exchange.verbs.empty() || exchange.early)
                continue;                       // what was said early proves nothing about what is said in time
            if (evidence_.path.lost != 0 && lost(exchange.end))
                continue;                       // it never heard that
            if (exchange.verbs.size() == 1)
                single(exchange);
            else if (exchange.verbs.back() == Verb::quit)
                quit_group(exchange);
            else
                group(exchange);
            parameters(exchange);
            content(exchange, i);
            limits(exchange);
        }
        if (evidence_.errors != 0)
            made_.errors = evidence_.errors;                // counted over the whole session, not its last exchanges
        made_.early_clean = is_clean();
        return std::move(made_);
    }

private:
    /// Nothing that an early client would stumble over: what it may not do, and answers that do not fit their commands.
    bool is_clean() const
    {
        constexpr Quirks harmless{Quirk::quit_alone, Quirk::no_bdat,     Quirk::no_bdat_over,  Quirk::no_rset_first,
                                  Quirk::no_rset,    Quirk::close_after, Quirk::verify_useless};
        const bool surplus = std::ranges::any_of(evidence_.exchanges, &Exchange::surplus);
        return evidence_.whole && (evidence_.early_clear != 0 || evidence_.early_tls != 0) && !evidence_.early_refused && !evidence_.tls_failed &&
               !surplus && Quirks(evidence_.in_force).subtract(harmless).empty();
    }

    void note(Quirk quirk, Sighting::Kind kind, const Exchange& exchange, std::uint64_t number = 0)
    {
        using Kind = Sighting::Kind;
        const bool bad = kind == Kind::signature || kind == Kind::suspicion;
        const bool without = kind == Kind::failed_without || kind == Kind::worked_without;
        for (Sighting& sighting : made_.sightings) {
            if (sighting.quirk != quirk || without != (sighting.kind == Kind::failed_without || sighting.kind == Kind::worked_without))
                continue;
            if (kind < sighting.kind)           // the enumeration goes from what counts most to what counts least
                sighting = {quirk, kind, number, bad ? text_of(exchange) : std::string()};
            else if (kind == sighting.kind && kind == Kind::worked)
                sighting.number = std::max(sighting.number, number);
            return;
        }
        made_.sightings.push_back({quirk, kind, number, bad ? text_of(exchange) : std::string()});
    }

    /// A group was used, or not used although it could be, because of a quirk.
    bool held_back(Quirk quirk) const { return evidence_.in_force.has(quirk); }

    void without(Quirk quirk, const Exchange& exchange)
    {
        if (!held_back(quirk))
            return;
        if (!exchange.codes.empty() && !about_saying(exchange.codes.front()))
            note(quirk, Sighting::Kind::worked_without, exchange);
        else if (!exchange.codes.empty() || lost(exchange.end))
            note(quirk, Sighting::Kind::failed_without, exchange);
    }

    void single(const Exchange& exchange)
    {
        const int code = exchange.codes.empty() ? 0 : exchange.codes.front();
        const bool silent = exchange.codes.empty() && lost(exchange.end);
        if (code != 0 && !silent)
            made_.milliseconds = std::max(made_.milliseconds, exchange.milliseconds);
        switch (exchange.verbs.front()) {
        case Verb::ehlo:
            if (silent && !evidence_.tls)       // after TLS it spoke EHLO before
                note(Quirk::helo_only, Sighting::Kind::suspicion, exchange);
            else if (good(code))
                note(Quirk::helo_only, Sighting::Kind::worked, exchange);
            break;
        case Verb::helo: without(Quirk::helo_only, exchange); break;
        case Verb::starttls: made_.tls_failed = made_.tls_failed || (code != 220 && !exchange.codes.empty()) || silent; break;
        case Verb::mail:
            without(Quirk::one_command_per_flight, exchange);
            if (evidence_.mails != 0)           // a transaction after another, begun without RSET
                without(Quirk::no_rset, exchange);
            break;
        case Verb::rcpt: without(Quirk::one_command_per_flight, exchange); break;
        case Verb::data:
            without(Quirk::data_alone, exchange);
            without(Quirk::one_command_per_flight, exchange);
            break;
        case Verb::quit:
            without(Quirk::quit_alone, exchange);
            without(Quirk::no_rset, exchange);
            break;
        case Verb::rset: rset(exchange); break;
        case Verb::dot:
        case Verb::bdat:
        case Verb::xforward: break;
        }
    }

    void rset(const Exchange& exchange)
    {
        const int code = exchange.codes.empty() ? 0 : exchange.codes.front();
        if (unknown_command(code) || code == 503)
            note(Quirk::no_rset, Sighting::Kind::signature, exchange);
        else if (code == 421 || (code == 0 && exchange.verbs.size() == 1 && lost(exchange.end)))
            note(Quirk::no_rset, Sighting::Kind::suspicion, exchange);
        else if (good(code) && code != 221)
            note(Quirk::no_rset, Sighting::Kind::worked, exchange);
    }

    void quit_group(const Exchange& exchange)
    {
        const std::size_t asked = exchange.verbs.size(), told = exchange.codes.size();
        const bool goodbye = asked == 2 && exchange.verbs.front() == Verb::rset;
        if (told == 1 && exchange.codes.front() == 221)
            note(Quirk::quit_alone, Sighting::Kind::signature, exchange);
        else if (told == asked && exchange.codes.back() == 221)
            note(Quirk::quit_alone, Sighting::Kind::worked, exchange);
        else if (told + 1 < asked && lost(exchange.end) && !goodbye && (told == 0 || good(exchange.codes.back())))
            note(Quirk::quit_alone, Sighting::Kind::suspicion, exchange);
        if (exchange.verbs.front() == Verb::rset && told >= 1)
            rset(exchange);
    }

    void group(const Exchange& exchange)
    {
        using Kind = Sighting::Kind;
        const auto& verbs = exchange.verbs;
        const auto& codes = exchange.codes;
        const std::size_t asked = verbs.size(), told = codes.size();
        if (verbs.front() == Verb::rset && told >= 1)
            rset(exchange);
        if (exchange.says_pipelining) {
            note(Quirk::one_command_per_flight, Kind::signature, exchange);
            return;
        }
        if (const auto quirk = out_of_turn(exchange)) {
            note(*quirk, Kind::suspicion, exchange);
            return;
        }
        for (std::size_t i = 0; i < told && i < asked; ++i) {
            const bool invited = codes[i] == 354 && verbs[i] != Verb::data;
            const bool refused = i != 0 && unknown_command(codes[i]) && verbs[i] != Verb::bdat && good(codes.front());
            if (!invited && !refused)
                continue;
            note(Quirk::one_command_per_flight, Kind::signature, exchange);
            return;
        }
        if (told >= asked) {
            if (exchange.surplus)
                return;
            note(Quirk::one_command_per_flight, Kind::worked, exchange);
            if (verbs.back() == Verb::data)
                note(Quirk::data_alone, Kind::worked, exchange);
            return;
        }
        if (!lost(exchange.end) || (told != 0 && !good(codes.back())) || next_is_a_mail_after(exchange))
            return;
        if (verbs[told] == Verb::bdat || verbs[told] == Verb::dot)
            return;                             // content(): the octets, not the grouping
        // Two answers of a group: it does read groups, and DATA was too much. One: perhaps it read only that command.
        const bool data_it_is = verbs.back() == Verb::data && (told != 1 || told + 1 == asked);
        note(data_it_is ? Quirk::data_alone : Quirk::one_command_per_flight, Kind::suspicion, exchange);
    }

    /// "Bad sequence" to RCPT behind an accepted MAIL, to DATA behind an accepted RCPT: it lost its place in the group.
    static std::optional<Quirk> out_of_turn(const Exchange& exchange)
    {
        bool sender = false, recipient = false;
        for (std::size_t i = 0; i < exchange.codes.size() && i < exchange.verbs.size(); ++i) {
            const bool fine = good(exchange.codes[i]);
            if (exchange.verbs[i] == Verb::mail) {
                sender = fine;
                recipient = false;
            } else if (exchange.verbs[i] == Verb::rcpt) {
                if (sender && exchange.codes[i] == 503)
                    return Quirk::one_command_per_flight;
                recipient = recipient || fine;
            } else if (exchange.verbs[i] == Verb::data && recipient && exchange.codes[i] == 503)
                return Quirk::data_alone;
        }
        return std::nullopt;
    }

    void parameters(const Exchange& exchange)
    {
        using Kind = Sighting::Kind;
        for (std::size_t i = 0; i < exchange.codes.size() && i < exchange.verbs.size(); ++i) {
            const int code = exchange.codes[i];
            if (exchange.verbs[i] == Verb::rcpt && exchange.says_one_recipient)
                note(Quirk::one_rcpt_null_sender, Kind::signature, exchange);
            if (exchange.verbs[i] != Verb::mail)
                continue;
            if (held_back(Quirk::no_param) && (good(code) || code == 501 || code == 504 || code == 555))
                note(Quirk::no_param, good(code) ? Kind::worked_without : Kind::failed_without, exchange);
            if (exchange.parameters == 0)
                continue;
            const bool certain = about_parameters(code, exchange.parameters, exchange.named);
            if (certain || exchange.may_mean_parameters) {
                std::uint8_t blamed = exchange.named & exchange.parameters;
                for (const Parameter parameter : {Parameter::size, Parameter::dsn, Parameter::body, Parameter::smtputf8})
                    if (blamed == 0)            // which one is not said: the one that is needed least
                        blamed = exchange.parameters & static_cast<std::uint8_t>(parameter);
                note(Quirk::no_param, certain ? Kind::signature : Kind::suspicion, exchange, blamed);
            } else if (good(code))
                note(Quirk::no_param, Kind::worked, exchange, exchange.parameters);
        }
    }

    void content(const Exchange& exchange, std::size_t index)
    {
        const auto bdat = std::ranges::find(exchange.verbs, Verb::bdat);
        if (bdat == exchange.verbs.end()) {
            const auto dot = std::ranges::find(exchange.verbs, Verb::dot);
            if (dot == exchange.verbs.end())
                return;
            const auto at = static_cast<std::size_t>(dot - exchange.verbs.begin());
            if (!held_back(Quirk::no_bdat) && !held_back(Quirk::no_bdat_over))
                return;
            if (at < exchange.codes.size())
                note(Quirk::no_bdat, Sighting::Kind::worked_without, exchange, exchange.content);
            else if (lost(exchange.end))
                note(Quirk::no_bdat, Sighting::Kind::failed_without, exchange, exchange.content);
            return;
        }
        const auto at = static_cast<std::size_t>(bdat - exchange.verbs.begin());
        if (at >= exchange.codes.size()) {
            if (at == exchange.codes.size() && lost(exchange.end) && (at == 0 || good(exchange.codes.back())))
                note(Quirk::no_bdat, Sighting::Kind::suspicion, exchange, exchange.content);
            return;
        }
        const int code = exchange.codes[at];
        if (unknown_command(code) || code == 504)
            note(Quirk::no_bdat, Sighting::Kind::signature, exchange, exchange.content);
        else if (code / 100 == 2)
            note(Quirk::no_bdat, Sighting::Kind::worked, exchange, exchange.content);
        if (code < 400 || code == 421 || exchange.content == 0 || at + 1 != exchange.verbs.size())
            return;
        // Refused. What is answered next tells whether its octets were discarded: in number and in kind.
        if (exchange.surplus)
            made_.discards_bdat = false;
        else if (index + 1 < evidence_.exchanges.size()) {
            const Exchange& next = evidence_.exchanges[index + 1];
            if (next.verbs.front() != Verb::rset || next.codes.empty())
                return;
            const bool in_step = next.codes.front() == 250 && !next.surplus &&
                                 (next.verbs.back() != Verb::quit || (next.codes.size() == next.verbs.size() && next.codes.back() == 221)) &&
                                 (next.verbs.back() == Verb::quit || next.codes.size() == next.verbs.size());
            if (in_step)
                made_.discards_bdat = made_.discards_bdat.value_or(true);
            else if (next.surplus || unknown_command(next.codes.front()) || next.codes.back() == 250)
                made_.discards_bdat = false;
        }
    }

    /// The unanswered command begins a mail, and mails were taken before: a peer that takes so many per session.
    bool next_is_a_mail_after(const Exchange& exchange) const
    {
        const std::size_t told = exchange.codes.size();
        return evidence_.mails != 0 && told < exchange.verbs.size() &&
               (exchange.verbs[told] == Verb::mail ||
                (exchange.verbs[told] == Verb::rset && told + 1 < exchange.verbs.size() && exchange.verbs[told + 1] == Verb::mail));
    }

    void limits(const Exchange& exchange)
    {
        const auto& codes = exchange.codes;
        if (evidence_.mails != 0) {
            const bool farewell = !codes.empty() && codes.size() <= exchange.verbs.size() && codes.back() == 421;
            const std::size_t at = farewell ? codes.size() - 1 : 0;
            const bool next_mail = exchange.verbs[at] == Verb::mail ||
                                   (exchange.verbs[at] == Verb::rset && at + 1 < exchange.verbs.size() && exchange.verbs[at + 1] == Verb::mail);
            if ((farewell && next_mail) || ((exchange.end == StreamEnd::end || exchange.end == StreamEnd::reset) && next_is_a_mail_after(exchange)))
                made_.ended_after = evidence_.mails;
        }
        std::uint32_t accepted = 0, refused = 0, deferred = 0, put_off = 0;
        bool in_order = true;
        for (std::size_t i = 0; i < codes.size() && i < exchange.verbs.size(); ++i) {
            if (exchange.verbs[i] == Verb::mail)
                accepted = deferred = 0;
            if (exchange.verbs[i] != Verb::rcpt)
                continue;
            in_order = in_order && !(deferred != 0 && codes[i] != 452);
            accepted += codes[i] / 100 == 2 ? 1 : 0;
            deferred += codes[i] == 452 ? 1 : 0;
            put_off += codes[i] == 452 ? 1 : 0;
            refused += codes[i] / 100 == 5 ? 1 : 0;
            if (codes[i] == 421)
                made_.errors = errors_ + refused;
        }
        errors_ += refused;
        const bool told = put_off != 0 && exchange.say_too_many == put_off;
        if (!in_order || accepted == 0 || exchange.says_one_recipient || (deferred < 2 && !(told && deferred != 0)))
            return;
        made_.recipients = accepted;
        made_.recipients_told = told;
    }

    const Evidence& evidence_;
    Observation made_;
    std::uint32_t errors_ = 0;
};

}  // namespace

std::string_view name_of(Verb verb)
{
    switch (verb) {
    case Verb::ehlo: return "EHLO";
    case Verb::helo: return "HELO";
    case Verb::starttls: return "STARTTLS";
    case Verb::mail: return "MAIL";
    case Verb::rcpt: return "RCPT";
    case Verb::data: return "DATA";
    case Verb::dot: return ".";
    case Verb::bdat: return "BDAT";
    case Verb::rset: return "RSET";
    case Verb::quit: return "QUIT";
    case Verb::xforward: return "XFORWARD";
    }
    return "?";
}

std::string text_of(const Exchange& exchange)
{
    const auto some = [](const auto& all, auto word) {
        std::string text;
        for (std::size_t i = 0; i < all.size() && i < verbs_shown; ++i)
            text += (i == 0 ? "" : " ") + word(all[i]);
        return all.size() > verbs_shown ? fmt::format("{} ... ({} in all)", text, all.size()) : text;
    };
    std::string text = some(exchange.verbs, [](Verb verb) { return std::string(name_of(verb)); });
    text += ": ";
    text += exchange.codes.empty() ? std::string("no reply") : some(exchange.codes, [](std::uint16_t code) { return std::to_string(code); });
    switch (exchange.end) {
    case StreamEnd::end: text += ", then the end of the stream"; break;
    case StreamEnd::reset: text += ", then a reset"; break;
    case StreamEnd::timeout: text += ", then silence"; break;
    default: break;
    }
    return text;
}

bool speaks_of_pipelining(std::string_view reply) { return contains_folded(reply, "pipelin"); }

bool speaks_of_one_recipient(std::string_view reply)
{
    for (const std::string_view words : {"one recipient", "single recipient", "multiple recipients", "too many recipients"})
        if (contains_folded(reply, words))
            return true;
    return false;
}

bool speaks_of_recipient_limit(std::string_view status, std::string_view reply)
{
    if (status != "4.5.3" && status != "4.0.0")
        return false;
    // So many in a time, or by who asks: that is nothing that a mail could keep to.
    for (const std::string_view words : {"hour", "minute", "second", "day", "daily", "quota", "rate", "connection", "domain"})
        if (contains_folded(reply, words))
            return false;
    for (const std::string_view words : {"too many recipients", "too many rcpt", "recipient limit", "recipients limit", "number of recipients"})
        if (contains_folded(reply, words))
            return true;
    return false;
}

bool speaks_of_errors(std::string_view reply)
{
    for (const std::string_view words :
         {"too many errors", "too many bad", "too many unknown", "too many invalid", "too many nonexist", "too many failed"})
        if (contains_folded(reply, words))
            return true;
    return false;
}

std::uint8_t parameters_named(std::string_view reply)
{
    std::uint8_t named = 0;
    for (const auto& [word, parameter] : std::initializer_list<std::pair<std::string_view, Parameter>>{{"size", Parameter::size},
                                                                                                       {"body", Parameter::body},
                                                                                                       {"8bitmime", Parameter::body},
                                                                                                       {"smtputf8", Parameter::smtputf8},
                                                                                                       {"ret=", Parameter::dsn},
                                                                                                       {"envid", Parameter::dsn},
                                                                                                       {"dsn", Parameter::dsn}})
        if (contains_folded(reply, word))
            named |= static_cast<std::uint8_t>(parameter);
    return named;
}

bool about_parameters(int code, std::uint8_t parameters, std::uint8_t named)
{
    if (parameters == 0)
        return false;
    return code == 555 || code == 504 || (code == 501 && (named & parameters) != 0);
}

Observation observe(const Evidence& evidence) { return Observer(evidence).run(); }

}  // namespace posthorn::peers
