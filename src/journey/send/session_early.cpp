// PIPECONNECT: what is said before the greeting, and how it is taken back where that was a mistake.
// What      EHLO and the envelope; EHLO and STARTTLS where TLS is to be; in TLS again EHLO and the envelope. Never content: its octets
//           would be commands to a peer that is not the one it was taken for.
// Mistakes  a refused greeting, a refused EHLO, other features than supposed: all was said for nothing, and is said again in time, on another
//           session (Transaction.late). A refusal of a recipient counts where it speaks of the address; others may be about our haste.
#include "peers/early.hpp"
#include "send/session.hpp"

namespace posthorn::send {

namespace {

using smtp::Keyword;

/// Features that what is said early depends on.
constexpr smtp::KeywordSet that_count{Keyword::pipelining, Keyword::size,     Keyword::eight_bit_mime, Keyword::starttls,    Keyword::dsn,
                                      Keyword::smtputf8,   Keyword::chunking, Keyword::limits,         Keyword::pipe_connect};
/// Up to here no peer's SIZE is exceeded that is worth knowing.
constexpr std::uint64_t sure_size = 1U << 20;

std::uint32_t index_of(const auto& expected) { return expected.act == Act::rcpt ? expected.transaction->recipients[expected.recipient] : 0; }

bool about_address_or_size(const smtp::Reply& reply)
{
    const std::string status = reply.status();
    return status.starts_with("5.1.") || status.starts_with("5.2.") || status.starts_with("5.3.");
}

}  // namespace

std::uint32_t Session::early_features(smtp::KeywordSet announced)
{
    const bool offered = announced.has(Keyword::pipelining) && announced.has(Keyword::pipe_connect);
    return offered ? (announced & that_count).bits() : 0;
}

/// May anything be said before the greeting? Then allowed_early_ tells what is known of the features.
awaitable<bool> Session::may_be_early()
{
    if (!options_.pipe_connect || !around_.peers || wish_.late || demands(wish_.requires_tls) || !strangers() || options_.lmtp ||
        host_.endpoint.is_unix() || options_.quit_in_group || options_.never_ehlo)
        co_return false;
    allowed_early_ = around_.peers->early(host_.endpoint.ip.text());
    if (allowed_early_ == peers::Early{})
        co_return false;
    if (const auto trouble = co_await look_up_discards(); trouble || discard_.keywords.has(Keyword::pipe_connect)) {
        allowed_early_ = {};                                        // said where the answer to EHLO is looked at
        co_return false;
    }
    known_.limits = allowed_early_.limits;                          // until the greeting tells which of the hosts it is
    co_return true;
}

/// Takes these features for announced; false where they do not allow to be early.
bool Session::suppose(std::uint32_t bits)
{
    supposed_ = smtp::KeywordSet::of_bits(bits) - discard_.keywords;
    if (!supposed_.has(Keyword::pipelining) || !supposed_.has(Keyword::pipe_connect))
        return false;
    features_ = {};
    features_.keywords = supposed_;
    return true;
}

/// What depends on more than is known: it waits for the answer to EHLO.
bool Session::needs_certainty(const Transaction& transaction) const
{
    const handoff::Envelope& envelope = transaction.request->envelope();
    return envelope.smtputf8() || transaction.requires_tls != RequireTls::disable || envelope.body() != handoff::BODY_7BIT ||
           transaction.content->size() > sure_size || (options_.send_xforward && !transaction.progress.probe) ||
           (supposed_.has(Keyword::limits) && transaction.recipients.size() > 1);
}

/// EHLO and STARTTLS before the greeting, and the way into TLS.
awaitable<std::optional<Trouble>> Session::open_tls_early()
{
    begin_exchange();
    evidence_.exchanges.back().early = true;
    evidence_.exchanges.back().verbs = {peers::Verb::ehlo, peers::Verb::starttls};
    const std::string text = fmt::format("EHLO {}\r\nSTARTTLS\r\n", options_.helo_name);
    if (debug_)
        transcript('>', text);
    recorder_.new_segment();
    recorder_.said("EHLO " + options_.helo_name);
    recorder_.said("STARTTLS");
    early_flight_ = true;
    ahead_ = 2;
    ++round_trips_;
    stream_->expires_after(timeout(Act::greeting));
    if (auto written = co_await stream_->write(std::string_view(text)); !written)
        end_with(lost(written.error(), Act::greeting));
    std::optional<Trouble> trouble;
    if (over_)
        trouble.emplace(end_reason_);
    if (!trouble)
        trouble = co_await greeting();
    if (!trouble)
        trouble = co_await hello();
    if (!trouble && !features_.has(Keyword::starttls)) {
        end_with(Reason(false, "4.7.4", fmt::format("host {} no longer offers STARTTLS", peer_text_)));
        trouble.emplace(end_reason_);
    }
    if (trouble)
        too_early(*trouble);
    early_flight_ = false;
    if (trouble)
        co_return trouble;
    co_return co_await starttls(false);
}

/// Hears what was taken for granted, before answers to anything else are. `say_hello`: EHLO was not said yet.
awaitable<bool> Session::meet(bool say_hello)
{
    const Unheard unheard = std::exchange(unheard_, Unheard::nothing);
    std::optional<Trouble> trouble;
    if (unheard == Unheard::greeting_and_hello)
        trouble = co_await greeting();
    ahead_ = say_hello ? 0 : 1;
    if (!trouble)
        trouble = co_await hello();
    const bool secure = wish_.tls.level != TlsLevel::none && !wish_.in_clear && around_.tls;
    if (!trouble && !secured_ && secure && features_.has(Keyword::starttls)) {
        end_with(Reason(false, "4.7.4", fmt::format("host {} offers STARTTLS now", peer_text_)));   // not one command more in clear
        trouble.emplace(end_reason_);
    }
    if (trouble) {
        too_early(*trouble);
        co_return false;
    }
    features_differ_ = (features_.keywords & that_count) != supposed_;
    if (features_differ_)
        evidence_.early_clear = evidence_.early_tls = 0;            // not one of the sessions that were expected
    co_return true;
}

/// The session is of no use. Was it because of our haste?
void Session::too_early(Trouble& trouble)
{
    too_early_ = used_up_ = trouble.late = true;
    // All of it is said again, in time: what was answered to haste returns nothing.
    for (Reason* const reason : {&trouble.reason, &end_reason_})
        if (reason->permanent) {
            reason->permanent = false;
            reason->status = reason->status.size() > 1 ? "4" + reason->status.substr(1) : std::string("4.5.0");
        }
    if (!early_flight_)
        return;
    const std::string& said = trouble.reason.diagnostic;
    const bool gone = trouble.reason.text.starts_with("lost connection");
    if (gone || said.starts_with('5') || peers::smells_of_pregreet_test(said))
        refused_early(gone ? "the connection was closed" : said);
}

void Session::refused_early(std::string seen)
{
    if (evidence_.peer.address.empty())
        evidence_.peer = {host_.endpoint.ip.text(), {}, wish_.site};
    evidence_.early_refused = true;
    evidence_.early_seen = std::move(seen);
}

/// True: this refusal, of something said early, is not to be believed; it is said again, in time.
bool Session::doubts_early(const Expected& expected, const smtp::Reply& reply, Judgement judgement)
{
    Transaction& transaction = *expected.transaction;
    if (judgement == Judgement::good || expected.act == Act::rset || transaction.refused ||
        (expected.act == Act::data && transaction.progress.accepted == 0))
        return false;
    const bool smells = peers::smells_of_pregreet_test(reply.text());
    const bool strange = judgement == Judgement::permanent && !about_address_or_size(reply);
    if (judgement != Judgement::permanent || features_differ_)
        evidence_.early_clear = evidence_.early_tls = 0;            // greylisted, perhaps for it: the next sessions wait
    if (!smells && !strange && !features_differ_)
        return false;
    if (smells)
        refused_early(reply.logged());
    else if (!features_differ_)
        transaction.hasty.push_back({expected.act, index_of(expected), reply.logged()});
    transaction.late = true;
    return true;
}

/// Said again in time and accepted: the refusal was of our haste. Refused again, it was about the mail, as with peers that have no enhanced codes.
void Session::compare_with_early(const Expected& expected, Judgement judgement)
{
    if (judgement != Judgement::good || early_flight_)
        return;
    for (const HastyRefusal& before : expected.transaction->hasty)
        if (before.act == expected.act && before.recipient == index_of(expected))
            refused_early(before.text);
}

}  // namespace posthorn::send
