// The opening of a session, commands said alone, and how replies are read; session_transact.cpp has flights, session_write.cpp what goes out,
// session_leave.cpp how it ends.
#include "send/session.hpp"

#include "base/strings.hpp"

namespace posthorn::send {

namespace {

constexpr std::size_t read_room = 4096;
constexpr std::size_t banner_host_octets = 255;

}  // namespace

Transaction::Transaction(const handoff::DeliveryRequest& what, const Content& octets, Sheet& fates, std::vector<std::uint32_t> indexes)
    : request(&what), content(&octets), sheet(&fates), recipients(std::move(indexes))
{
    progress.recipients = static_cast<std::uint32_t>(recipients.size());
    progress.octets = octets.size();
    progress.probe = what.probe();
    progress.null_sender = what.envelope().sender().empty();
}

Session::Session(std::unique_ptr<net::Stream> stream, Host host, const Options& options, const Surroundings& around)
    : stream_(std::move(stream)), host_(std::move(host)), peer_text_(host_.text()), relay_(host_.relay()), options_(options), around_(around),
      recorder_(around.transcripts, around.clock), writers_(around.executor), parser_({.octets = options.reply_octets}),
      opened_(around.clock.steady())
{
    from_ = stream_->local().is_unix() ? "" : stream_->local().ip.text();
    plan_options_.chunking = options.chunking;
    plan_options_.quit_in_group = options.quit_in_group;
    plan_options_.probe_data = options.probe_data;
    plan_options_.contents_in_flight = options.contents_in_flight;
}

Session::~Session() = default;

std::chrono::seconds Session::timeout(Act act) const
{
    const Timeouts& limits = options_.timeouts;
    if (leaving_) {
        // Nobody waits for these answers; but they keep a connection.
        const auto patience = options_.skip_quit_response ? std::chrono::seconds(5) : limits.quit;
        return std::min(patience, limits.quit);
    }
    switch (act) {
    case Act::connect: return limits.connect;
    case Act::handshake:
    case Act::starttls: return limits.starttls;
    case Act::greeting:
    case Act::auth:
    case Act::hello: return limits.helo;
    case Act::rset: return limits.rset;
    case Act::xforward: return limits.xforward;
    case Act::mail: return limits.mail;
    case Act::rcpt: return limits.rcpt;
    case Act::data: return limits.data_init;
    case Act::content:
    case Act::pause: return limits.data_xfer;
    case Act::dot:
    case Act::bdat: return limits.data_done;
    case Act::header_chunk: return limits.data_xfer;
    case Act::quit: return limits.quit;
    }
    return limits.rcpt;
}

/// For the answer that is waited for. smtp_per_request_deadline: saying the command was part of its time.
void Session::limit_reply(Act act)
{
    if (options_.per_request_deadline)
        stream_->expires_at(request_began_ + timeout(act));
    else
        stream_->expires_after(timeout(act));
}

/// Before it is waited for. While a group of commands still goes out, each answer begins the time of the next command; of a content the writer
/// keeps the time. Without a deadline per request an answer is progress: who answers reads, however long the rest of the group takes.
void Session::limit_reading(Act act)
{
    if (!writing_ || (options_.per_request_deadline && !says_content()))
        limit_reply(act);
    else if (!options_.per_request_deadline)
        stream_->expires_after(timeout(Act::content));
}

Reason Session::lost(const Error& error, Act act) const
{
    if (own_fault_)
        return *own_fault_;
    return reason_of_error(error, peer_text_, phase(under_way(act), options_.lmtp));
}

/// While the content is on its way, it is the content that is being sent.
Act Session::under_way(Act act) const { return (act == Act::dot || act == Act::bdat) && writing_at_ < pieces_.size() ? Act::content : act; }

std::string_view Session::doing() const { return phase(shakes_hands_ ? Act::handshake : under_way(awaited_), options_.lmtp); }

void Session::end_with(Reason reason)
{
    if (over_)
        return;
    over_ = true;
    end_reason_ = std::move(reason);
}

void Session::transcript(char direction, std::string_view text)
{
    for (std::string_view line : split_exact(text, '\n')) {
        if (line.ends_with('\r'))
            line.remove_suffix(1);
        if (!line.empty())
            around_.log.info("{} {}: {}", direction, relay_, printable(line, true));
    }
}

awaitable<Result<smtp::Reply>> Session::read_reply(Act act)
{
    awaited_ = act;
    if (writing_)
        limit_reading(act);
    for (bool together = true;; together = false) {
        if (!input_.empty()) {
            auto parsed = around_.reply_filter ? co_await filtered() : parser_.feed(input_);
            if (!parsed) {
                recorder_.remark(parsed.error().what());
                co_return std::move(parsed).error();
            }
            auto reply = *std::move(parsed);
            if (reply) {
                if (act == Act::auth)
                    hide_echo(*reply);
                if (debug_)
                    transcript('<', act == Act::auth && reply->code == 334 ? "334 (challenges are not logged)" : reply->wire());
                if (reply->garbage != 0)
                    note_garbage(*reply);
                keep_evidence(*reply);
                recorder_.heard(*reply, together);
                begin_request();
                co_return *std::move(reply);
            }
        }
        if (together && !writing_)
            limit_reading(act);                                     // not for each of the answers that came with one read
        buffer_.resize(read_room);
        auto got = co_await stream_->read_some(buffer_);
        if (!got) {
            keep_end(got.error());
            recorder_.remark(got.error().text());
            co_return std::move(got).error();
        }
        if (*got == 0) {
            keep_end(Error("end of stream"));
            recorder_.remark("the server closed the connection");
            co_return Error("lost connection", "4.4.2");
        }
        input_ = std::string_view(buffer_).substr(0, *got);
        heard_at_ = around_.clock.steady();
    }
}

awaitable<Result<smtp::Reply>> Session::command(Act act, std::string line)
{
    if (ahead_ != 0) {
        --ahead_;                                                   // it was said before the greeting
        co_return co_await read_reply(act);
    }
    if (debug_)                                                     // a password is nobody's business
        transcript('>', act == Act::auth ? "AUTH (arguments are not logged)" : line);
    if (!input_.empty() || parser_.amid())
        out_of_step_ = true;                                        // it said more than it was asked: what comes next may answer nothing of ours
    if (around_.peers && act != Act::auth) {
        begin_exchange();
        evidence_.exchanges.back().verbs.push_back(act == Act::starttls       ? peers::Verb::starttls
                                                   : act == Act::mail         ? peers::Verb::mail
                                                   : line.starts_with("HELO") ? peers::Verb::helo
                                                                              : peers::Verb::ehlo);
    }
    recorder_.new_segment();
    recorder_.said(line);
    begin_request();
    limit_reply(act);
    const std::size_t octets = line.size();
    line += "\r\n";
    CO_TRY_VOID(co_await stream_->write(std::string_view(line)));
    ++round_trips_;
    if (act == Act::auth)
        auth_said_ = std::string_view(line).substr(0, octets);
    auto reply = co_await read_reply(act);
    auth_said_ = {};
    co_return reply;
}

awaitable<std::optional<Trouble>> Session::open(Wish wish)
{
    wish_ = std::move(wish);
    if (const auto path = around_.peers ? around_.path(*stream_) : std::nullopt) {
        segment_ = path->segment;
        evidence_.path.small = segment_ <= net::small_segment;
    }
    recorder_.begin(relay_, wish_.site, wish_.probes);
    for (std::string& remark : wish_.before)
        recorder_.remark(std::move(remark));
    co_await look_up_credentials();
    auto trouble = co_await opening();
    if (auto missing = trouble ? std::nullopt : misses(wish_.requires_tls))
        trouble.emplace(*std::move(missing));
    if (!trouble)
        trouble = co_await authenticate();
    credentials_.reset();                                           // a session that stays open needs no password
    if (trouble)
        recorder_.failed(wish_.queue_id, trouble->reason.text);
    recorder_.opened();
    co_return trouble;
}

awaitable<std::optional<Trouble>> Session::opening()
{
    begin_request();
    if (around_.debug)
        debug_ = co_await around_.debug->listed(host_.name, host_.endpoint.is_unix() ? std::string() : host_.endpoint.ip.text());
    const bool tls = wish_.tls.level != TlsLevel::none && !wish_.in_clear;
    const bool early = co_await may_be_early();
    if (options_.tls_wrapper) {
        if (auto trouble = co_await starttls(true))
            co_return trouble;
        if (early && suppose(allowed_early_.tls)) {
            unheard_ = Unheard::greeting_and_hello;                 // said by run(), with the first envelope behind it
            co_return std::nullopt;
        }
    } else if (early && suppose(allowed_early_.clear)) {
        if (tls && around_.tls && supposed_.has(smtp::Keyword::starttls))
            co_return co_await open_tls_early();
        if (!tls || wish_.tls.level == TlsLevel::may) {
            unheard_ = Unheard::greeting_and_hello;
            co_return std::nullopt;
        }
    }
    if (auto trouble = co_await greeting())
        co_return trouble;
    if (auto trouble = co_await hello())
        co_return trouble;
    if (secured_)
        co_return std::nullopt;
    const bool offered = features_.has(smtp::Keyword::starttls);
    if (offered && !tls && options_.tls_note_offer)
        around_.log.info("Host offered STARTTLS: [{}]", host_.name);
    // Only the administrator, or the rule file, can say no-tls; it gives way to any level above may.
    if (!tls || (wish_.tls.level == TlsLevel::may && known_.quirks.has(peers::Quirk::no_tls)))
        co_return std::nullopt;
    if (!offered || !around_.tls) {
        if (around_.tls)
            tls_outcome_ = TlsOutcome{.fault = TlsFault::starttls_not_supported};
        if (wish_.tls.level == TlsLevel::may || (around_.tls && demands(wish_.requires_tls)))
            co_return std::nullopt;                                 // the latter is refused by its name
        co_return Trouble(Reason(false, "4.7.4",
                                 around_.tls ? fmt::format("TLS is required, but was not offered by host {}", peer_text_)
                                             : std::string("TLS is required, but our TLS engine is unavailable")));
    }
    co_return co_await starttls(false);
}

awaitable<std::optional<Trouble>> Session::greeting()
{
    round_trips_ += early_flight_ ? 0 : 1;
    auto reply = co_await read_reply(Act::greeting);
    if (!reply) {
        end_with(lost(reply.error(), Act::greeting));
        co_return Trouble(end_reason_);
    }
    if (!reply->positive() || reply->code == 221) {
        const peers::Advice advice = heed(*reply);
        refused_at_greeting_ = advice.suspend.count() == 0 && (advice.fewer || reply->code == 421 || reply->code == 452 || reply->code == 554);
        const bool permanent = !advice.later() && reply->permanent() && reply->garbage == 0 && !options_.skip_5xx_greeting;
        Reason reason(permanent, reply->status(), fmt::format("host {} refused to talk to me: {}", peer_text_, reply->logged()));
        if (!permanent)
            reason.status = reason.status.size() > 1 ? "4" + reason.status.substr(1) : std::string("4.5.0");
        reason.diagnostic = reply->logged();
        reason.remote = host_.name;
        end_with(reason);
        co_return Trouble(std::move(reason));
    }
    const smtp::Greeting said = smtp::parse_greeting(*reply);
    esmtp_ = said.esmtp || options_.always_ehlo || options_.lmtp;
    if (options_.never_ehlo && !options_.lmtp)
        esmtp_ = false;
    if (around_.peers) {
        evidence_.peer = {host_.endpoint.is_unix() ? host_.endpoint.path : host_.endpoint.ip.text(), said.host.substr(0, banner_host_octets),
                          wish_.site};
        evidence_.shown.port = host_.endpoint.is_unix() ? 0 : host_.endpoint.port;
        evidence_.shown.mx_set = host_.mx != Host::Mx::none && host_.next_hop == wish_.next_hop ? wish_.mx_set : std::string();
        ask_about(reply->wire(), {});
        if (known_.quirks.has(peers::Quirk::helo_only) && !options_.lmtp)
            esmtp_ = false;
    }
    if (said.masked) {
        co_await learn_pix();
        if (over_)
            co_return Trouble(end_reason_);
    }
    co_return std::nullopt;
}

awaitable<std::optional<Trouble>> Session::hello()
{
    features_ = {};
    Trouble trouble;
    trouble.greeted = true;
    const auto refused = [&](const smtp::Reply& reply) {
        Judgement judgement = judge(Act::hello, reply, {.out_of_step = out_of_step_});
        if (judgement == Judgement::permanent && (speaks_of_dialogue(reply.code) || heed(reply).later()))
            judgement = Judgement::temporary;                       // about the greeting, not about the mail
        trouble.reason = judgement == Judgement::out_of_place ? reason_out_of_place(reply, Act::hello, peer_text_, host_.name, options_.lmtp)
                                                              : reason_of_reply(reply, judgement, Act::hello, peer_text_, host_.name, options_.lmtp);
        end_with(trouble.reason);
    };
    if (early_flight_ && !esmtp_) {
        end_with(Reason(false, "4.5.0", fmt::format("host {} wants HELO now", peer_text_)));
        trouble.reason = end_reason_;
        co_return trouble;
    }
    if (esmtp_) {
        auto reply = co_await command(Act::hello, (options_.lmtp ? "LHLO " : "EHLO ") + options_.helo_name);
        if (!reply) {
            trouble.reason = lost(reply.error(), Act::hello);
            end_with(trouble.reason);
            co_return trouble;
        }
        if (judge(Act::hello, *reply, {}) == Judgement::good) {
            co_await learn_features(*reply);
            features_sure_ = !out_of_step_;
            if (!over_ && iequals(features_.host, options_.my_name) && !host_.endpoint.is_unix() && host_.endpoint.port == 25) {
                end_with(Reason(true, "5.4.6", fmt::format("mail for {} loops back to myself", wish_.next_hop)));
                around_.log.warning("host {} replied to HELO/EHLO with my own hostname {}", relay_, options_.my_name);
            }
            if (over_) {
                trouble.reason = end_reason_;
                co_return trouble;
            }
            co_return std::nullopt;
        }
        if (options_.lmtp || early_flight_ || reply->code == 421 || reply->code == 221 || (secured_ && !speaks_of_dialogue(reply->code))) {
            refused(*reply);
            co_return trouble;
        }
        // Anything else: a server from before RFC 1869; or one that wants no second EHLO, now that TLS is in force.
        out_of_step_ = out_of_step_ || judge(Act::hello, *reply, {}) == Judgement::out_of_place;
        esmtp_ = false;
        features_sure_ = !out_of_step_ && !secured_ && (reply->code == 500 || reply->code == 502);
    }
    auto reply = co_await command(Act::hello, "HELO " + options_.helo_name);
    if (!reply) {
        trouble.reason = own_fault_ ? *own_fault_ : reason_of_error(reply.error(), peer_text_, "performing the HELO handshake");
        end_with(trouble.reason);
        co_return trouble;
    }
    if (judge(Act::hello, *reply, {}) != Judgement::good) {
        refused(*reply);
        if (const auto at = trouble.reason.text.rfind("to EHLO command"); at != std::string::npos)
            trouble.reason.text.replace(at, 15, "to HELO command");
        co_return trouble;
    }
    co_return std::nullopt;
}

/// What the administrator hides of this peer.
awaitable<std::optional<Reason>> Session::look_up_discards()
{
    discard_ = options_.discard;
    if (!around_.discard || host_.endpoint.is_unix())
        co_return std::nullopt;
    auto found = co_await around_.discard->keywords_for(host_.endpoint.ip.text());
    if (!found)
        co_return Reason(false, "4.3.0", fmt::format("discard keyword lookup for {}: {}", peer_text_, found.error().text()));
    if (const std::optional<std::string>& keywords = *found)
        discard_ = smtp::parse_discard_list(*keywords);
    co_return std::nullopt;
}

awaitable<void> Session::learn_features(const smtp::Reply& reply)
{
    smtp::Features announced = smtp::parse_ehlo(reply);
    if (auto trouble = co_await look_up_discards()) {
        end_with(*std::move(trouble));
        co_return;
    }
    const smtp::KeywordSet hidden = announced.keywords & discard_.keywords;
    if (!hidden.empty() && !discard_.silent())
        around_.log.info("discarding EHLO keywords: {}", smtp::text(hidden));
    if (around_.peers) {
        (secured_ ? evidence_.keywords_tls : evidence_.keywords_clear) = announced.keywords.bits();
        (secured_ ? evidence_.early_tls : evidence_.early_clear) = early_features(announced.keywords);
        ask_about({}, reply.wire());
        evidence_.early_granted = known_.privileges.early;
    }
    smtp::KeywordSet quirky;
    if (known_.quirks.hides(peers::Parameter::size))
        quirky.insert(smtp::Keyword::size);
    if (known_.quirks.hides(peers::Parameter::body))
        quirky.insert(smtp::Keyword::eight_bit_mime);
    if (known_.quirks.hides(peers::Parameter::smtputf8))
        quirky.insert(smtp::Keyword::smtputf8);
    if (known_.quirks.hides(peers::Parameter::dsn))
        quirky.insert(smtp::Keyword::dsn);
    features_ = announced.without(discard_.keywords | quirky);
}

std::string Session::sts_unmet() const
{
    if (wish_.tls.tested_domain.empty() || !wish_.tls.tested_unmet.empty())
        return wish_.tls.tested_unmet;
    return secured_ ? certificate_unmet_ : "TLS is not used";
}

TlsEnd Session::tls_end(const Trouble* trouble) const
{
    const std::optional<TlsFault> fault = tls_outcome_ ? tls_outcome_->fault : std::nullopt;
    if (!secured_) {
        if (fault == TlsFault::starttls_not_supported && required(wish_.tls.level))
            return TlsEnd::no_starttls;
        return trouble || unheard_ != Unheard::nothing ? TlsEnd::undecided : TlsEnd::clear;
    }
    if (fault && authenticated(wish_.tls.level))
        return TlsEnd::no_match;
    return trouble && trouble->reason.for_tls ? TlsEnd::no_requiretls : TlsEnd::secured;
}

awaitable<std::optional<Trouble>> Session::starttls(bool wrapper)
{
    const bool may = wish_.tls.level == TlsLevel::may && !wrapper;
    Trouble trouble;
    trouble.greeted = !wrapper;
    if (!around_.tls) {
        trouble.reason = Reason(false, "4.7.5", "TLS is required, but our TLS engine is unavailable");
        end_with(trouble.reason);
        co_return trouble;
    }
    if (!wrapper) {
        auto reply = co_await command(Act::starttls, "STARTTLS");
        if (!reply) {
            trouble.reason = lost(reply.error(), Act::starttls);
            trouble.try_in_clear = may && strangers();
            end_with(trouble.reason);
            co_return trouble;
        }
        if (reply->code != 220) {
            tls_outcome_ = TlsOutcome{.fault = TlsFault::starttls_not_supported, .reason = reply->logged()};
            if (may && reply->code != 421 && reply->code != 221 && reply->valid())
                co_return std::nullopt;                             // opportunistic: the session goes on in clear
            trouble.reason =
                demands(wish_.requires_tls) && reply->permanent() && reply->valid()
                    ? not_for_tls("10", fmt::format("refused to start TLS: {}", reply->logged()))
                    : Reason(false, "4.7.5", fmt::format("TLS is required, but host {} refused to start TLS: {}", peer_text_, reply->logged()));
            trouble.reason.diagnostic = reply->logged();
            trouble.reason.remote = host_.name;
            end_with(trouble.reason);
            co_return trouble;
        }
        if (amid_reply()) {
            // Octets in clear behind the 220 would be taken for the first answers over TLS.
            trouble.reason = Reason(false, "4.7.5", fmt::format("host {} sent more than its answer to STARTTLS", peer_text_));
            end_with(trouble.reason);
            co_return trouble;
        }
    }
    stream_->expires_after(timeout(Act::handshake));
    ++round_trips_;
    TlsDemand demand = wish_.tls;
    if (wrapper && demand.level == TlsLevel::none)
        demand.level = TlsLevel::encrypt;
    const TlsLevel demanded = demand.level;
    begin_request();
    shakes_hands_ = true;
    auto secured = co_await around_.tls->secure(std::move(stream_), std::move(demand), relay_);
    shakes_hands_ = false;
    if (!secured) {
        evidence_.tls_failed = true;
        const std::string& why = secured.error().evidence();
        tls_outcome_ = TlsOutcome{.fault = TlsFault::validation_failure, .reason = why.empty() ? secured.error().what() : why};
        around_.log.info("SSL_connect error to {}: {}", relay_, secured.error().what());
        recorder_.remark(fmt::format("TLS handshake failed: {}", secured.error().what()));
        trouble.reason = Reason(false, "4.7.5", "Cannot start TLS: handshake failure");
        trouble.try_in_clear = may && strangers();                // what is to prove who we are is for this server alone
        end_with(trouble.reason);
        co_return trouble;
    }
    verified_ = secured->verified;
    certificate_unmet_ = std::move(secured->unmet);
    shown_ = std::move(secured->shown);
    tls_outcome_ = TlsOutcome{.resumed = secured->resumed, .fault = secured->fault, .reason = std::move(secured->fault_reason)};
    stream_ = std::move(secured->stream);
    if (!secured->trouble.empty())
        around_.log.info("{}", secured->trouble);
    if (!secured->summary.empty())
        around_.log.info("{}", secured->summary);
    show_tls(*secured, demanded);
    recorder_.remark("TLS: " + secured->facts);
    recorder_.secured(std::move(secured->facts));
    tls_protocol_ = std::move(secured->protocol);
    tls_cipher_ = std::move(secured->cipher);
    tls_peer_ = std::move(secured->peer_name);
    secured_ = evidence_.tls = true;
    begin_request();
    parser_ = smtp::ReplyParser({.octets = options_.reply_octets});
    input_ = {};
    line_.clear();
    if (const auto& refused = secured->refused) {
        // Encrypted, for whom it is not meant: not one command more.
        recorder_.remark(fmt::format("{}: {}", refused->what(), refused->evidence()));
        trouble.reason = demands(wish_.requires_tls) ? not_for_tls("10", fmt::format("has not shown who it is: {}", refused->what()))
                                                     : Reason(false, refused->status(), refused->what());
        end_with(trouble.reason);
        co_return trouble;
    }
    if (wrapper)
        co_return std::nullopt;
    esmtp_ = true;
    if (std::ranges::find(allowed_early_.hosts, to_lower(evidence_.peer.banner_host)) != allowed_early_.hosts.end() && suppose(allowed_early_.tls)) {
        unheard_ = Unheard::hello;
        co_return std::nullopt;
    }
    co_return co_await hello();
}

}  // namespace posthorn::send
