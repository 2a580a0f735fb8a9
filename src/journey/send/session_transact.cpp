// What happens between opening and goodbye: flights said, answers read, transactions handed back. What an answer means: session_answers.cpp.
#include "send/session.hpp"

#include "base/strings.hpp"

namespace posthorn::send {

namespace {

bool is_goodbye(std::span<const Step> flight)
{
    return flight.front().act == Act::quit || (flight.size() == 2 && flight[0].act == Act::rset && flight[1].act == Act::quit);
}

/// Probes of one flight: more would only make a larger loss.
constexpr std::size_t probes_in_flight = 50;

}  // namespace

std::uint32_t Session::room_for_refusals() const
{
    const std::uint32_t known = known_.limits.errors_per_session;
    if (!wish_.probes)
        return known == 0 ? UINT32_MAX : known - std::min(known, errors_);
    // One less than known: the goodbye wants an answer too.
    const std::uint32_t limit = known == 0 ? options_.probe_errors : std::max(1U, known - 1);
    std::uint32_t said = errors_;
    for (const Transaction* const transaction : current_)
        said += transaction->progress.recipients - transaction->progress.asked;
    return limit - std::min(limit, said);
}

bool Session::takes_more() const
{
    if (over_ || used_up_ || room_for_refusals() == 0)
        return false;
    if (mails_used_up(mails_to_say()))
        return false;
    if (current_.empty())
        return true;
    if (current_.back()->progress.apart)
        return false;
    if (unheard_ != Unheard::nothing && supposed_.has(smtp::Keyword::limits))
        return false;                                               // what they are is not known yet
    if (!features_.has(smtp::Keyword::pipelining))
        return false;
    const Transaction& last = *current_.back();
    if (last.progress.probe)
        return current_.size() < probes_in_flight && last.progress.stage == Stage::waiting && !options_.probe_data;
    if (known_.privileges.bdat_first && unheard_ == Unheard::nothing && features_.has(smtp::Keyword::chunking) &&
        last.progress.stage == Stage::waiting)
        return current_.size() < options_.contents_in_flight;
    // The next envelope rides behind the content that is said next.
    return current_.size() < 2 &&
           (last.progress.stage == Stage::invited ||
            (last.progress.stage == Stage::addressing && last.progress.asked == last.progress.recipients && last.progress.accepted > 0));
}

/// Of the transactions that it has.
std::size_t Session::mails_to_say() const
{
    std::size_t mails = 0;
    for (const Transaction* const one : current_)
        mails += one_mail_each(one->progress, known_.quirks) ? one->progress.recipients - one->progress.asked : one->progress.stage == Stage::waiting;
    return mails;
}

/// RFC 9422, MAILMAX: every MAIL counts, whatever its answer.
bool Session::mails_used_up(std::size_t not_said) const
{
    return features_.limits.mail_max != 0 && mails_said_ + not_said >= features_.limits.mail_max;
}

std::vector<std::uint32_t> Session::askable(const handoff::DeliveryRequest& request, std::vector<std::uint32_t> open)
{
    const smtp::Limits& announced = features_.limits;
    // A mail goes to as many as the peer takes at once; a probe asks for no more than may be refused (takes_more() sees to it that some may).
    std::uint64_t most = request.probe() ? std::max(1U, room_for_refusals()) : known_.limits.recipients_per_mail;
    if (one_mail_each(Mail::probe_of(0, request.probe() && request.envelope().sender().empty()), known_.quirks)) {
        if (options_.probe_data)
            most = 1;                                               // DATA speaks for the last of them alone
        const std::uint64_t said = mails_said_ + mails_to_say();
        if (announced.mail_max > said)
            most = std::min<std::uint64_t>(most, announced.mail_max - said);
    } else if (request.probe() && known_.limits.recipients_per_mail != 0)
        most = std::min<std::uint64_t>(most, known_.limits.recipients_per_mail);
    if (announced.rcpt_max != 0)
        most = most == 0 ? announced.rcpt_max : std::min(most, announced.rcpt_max);
    std::vector<std::uint32_t> chosen;
    for (const std::uint32_t index : open) {
        if (most != 0 && chosen.size() >= most)
            break;
        if (announced.rcpt_domain_max != 0) {
            const std::string& address = request.envelope().recipients(static_cast<int>(index)).address();
            std::string domain = to_lower(address.substr(address.rfind('@') + 1));
            if (!domains_.contains(domain) && domains_.size() >= announced.rcpt_domain_max)
                continue;
            domains_.insert(std::move(domain));
        }
        chosen.push_back(index);
    }
    used_up_ = used_up_ || (chosen.empty() && !open.empty());
    return chosen;
}

/// A quirk, or a server that would not answer to EHLO, hides what there may be: that never returns mail.
bool Session::sure_of_features() const { return features_sure_ && !known_.quirks.has(peers::Quirk::helo_only); }

/// The words are of RFC 8689 4.2.1. Another host may have what is asked for; this one is told QUIT.
Reason Session::not_for_tls(std::string_view code, std::string_view why) const
{
    const bool sure = sure_of_features();
    Reason reason(sure, fmt::format("{}.7.{}", sure ? '5' : '4', code),
                  fmt::format("the message requires TLS (REQUIRETLS), and host {} {}", peer_text_, why));
    reason.for_tls = true;
    return reason;
}

/// What mail that requires so much does not find in this session.
std::optional<Reason> Session::misses(RequireTls required) const
{
    if (demands(required) && !secured_)
        return not_for_tls("10", "does not offer STARTTLS");
    if (required != RequireTls::enforce)
        return std::nullopt;
    if (!verified_)
        return not_for_tls("10", "has not shown who it is");
    if (!features_.has(smtp::Keyword::requiretls))
        return not_for_tls("30", "does not offer REQUIRETLS");
    return std::nullopt;
}

/// Why this peer cannot have this mail at all; where it can be helped (8-bit content), it is.
std::optional<Reason> Session::not_for(Transaction& transaction) const
{
    const handoff::Envelope& envelope = transaction.request->envelope();
    // Its session was opened for what it requires: where that is not so, nothing is said, whosever fault it is.
    if (auto missing = misses(transaction.requires_tls)) {
        missing->permanent = false;
        missing->status.replace(0, 1, "4");
        return missing;
    }
    const bool sure = sure_of_features();
    if (features_.size != 0 && transaction.content->size() > features_.size)
        return Reason(sure, sure ? "5.3.4" : "4.3.4",
                      fmt::format("message size {} exceeds size limit {} of server {}", transaction.content->size(), features_.size, peer_text_));
    if (envelope.smtputf8() && !features_.has(smtp::Keyword::smtputf8)) {
        const bool bounce = sure && !known_.quirks.hides(peers::Parameter::smtputf8);
        return Reason(bounce, bounce ? "5.6.7" : "4.6.7", fmt::format("SMTPUTF8 is required, but was not offered by host {}", peer_text_));
    }
    // Most clients say nothing of the body; what it is decides.
    if (options_.convert_to_7bit && !features_.has(smtp::Keyword::eight_bit_mime) && !transaction.progress.probe && transaction.content->has_8bit()) {
        auto converted = transaction.content->to_7bit();
        if (converted) {
            transaction.converted = std::make_unique<Content>(*std::move(converted));
            transaction.content = transaction.converted.get();
            transaction.progress.octets = transaction.content->size();
        } else if (converted.error().status() != "5.6.7")
            return Reason(converted.error().status().starts_with('5') && sure, converted.error().status(), converted.error().what());
        // An 8-bit header without SMTPUTF8 was never right; peers see it as it came, as they do from Postfix.
    }
    if (!transaction.progress.probe && plan_options_.chunking && features_.has(smtp::Keyword::chunking))
        transaction.progress.by_data = transaction.content->has_line_over(options_.line_length);
    return std::nullopt;
}

awaitable<void> Session::run(Feed* feed, bool end)
{
    while (!over_) {
        while (takes_more()) {
            Transaction* const transaction = feed->next();
            if (!transaction)
                break;
            transaction->use = ++transactions_;
            recorder_.serves(transaction->request->envelope().queue_id());
            if (unheard_ != Unheard::nothing && needs_certainty(*transaction) && !co_await meet(true)) {
                current_.push_back(transaction);
                break;
            }
            if (auto reason = not_for(*transaction)) {
                fail_all(*transaction, *reason);
                record_fate(*transaction);
                feed->done(*transaction);
                continue;
            }
            prepare_xforward(*transaction);
            take_parked(*transaction);
            current_.push_back(transaction);
        }
        if (current_.empty() || over_)
            break;
        if (amid_reply()) {
            // An answer nobody asked for: which of the next answers belongs to what could only be guessed.
            out_of_step_ = true;
            end_with(Reason(false, "4.5.0", fmt::format("Protocol error: host {} sent more replies than commands were sent", peer_text_)));
            break;
        }
        mails_.clear();
        for (const Transaction* transaction : current_)
            mails_.push_back(transaction->progress);
        plan_options_.content_held = unheard_ != Unheard::nothing;
        plan(plan_, Dialogue{.mails = mails_, .open_transaction = open_transaction_, .mails_before = contents_, .end = end},
             {.pipelining = features_.has(smtp::Keyword::pipelining), .chunking = features_.has(smtp::Keyword::chunking)}, known_, plan_options_);
        const auto flight = first_flight(plan_);
        if (flight.empty() || is_goodbye(flight)) {
            used_up_ = true;
            break;
        }
        co_await fly(flight);
        settle();
        hand_back(feed);
    }
    if (room_for_refusals() == 0)
        used_up_ = true;                                            // before the peer counts one more
    used_up_ = used_up_ || mails_used_up();
    abandon(feed);
    if (amid_reply())
        over_ = true;                                               // it speaks unasked: no other mail is trusted to it
    input_ = {};
    if (over_)
        stream_->close();
    buffer_ = std::string();                                        // an idle session holds no read buffer
}

awaitable<void> Session::fly(std::span<const Step> flight)
{
    compose(flight);
    refused_here_.clear();
    asked_here_.clear();
    codes_here_.clear();
    last_reply_ = around_.clock.steady();
    begin_request();
    stream_->expires_after(timeout(Act::content));
    if (around_.peers && !early_flight_ && before_content(flight))
        silent_since_ = last_reply_;
    write_flight();
    ++round_trips_;
    if (early_flight_)
        (void)co_await meet(false);                                 // if not, the session is over
    bool all_in = false;
    for (std::size_t i = 0; i < expected_.size() && !over_; ++i) {
        const Expected expected = expected_[i];
        const Act next = i + 1 < expected_.size() ? expected_[i + 1].act : expected.act;
        std::uint32_t answers = 1;
        if (options_.lmtp && (expected.act == Act::dot || expected.act == Act::bdat)) {
            answers = std::max(1U, expected.transaction->progress.accepted);
            // One, or one for each that it took in spite of MAIL: whose the next ones are is not known.
            if (expected.transaction->contradicted) {
                end_with(Reason(false, "4.5.0", fmt::format("Protocol error: host {} took recipients of a sender that it refused", peer_text_)));
                break;
            }
        }
        asked_here_.insert(asked_here_.end(), answers, expected.act);
        not_heard_ = i + 1;
        for (; answers > 0 && !over_; --answers) {
            auto reply = co_await read_reply(expected.act);
            silent_since_.reset();
            if (!reply) {
                cut_off_ = !content_error_ && reply.error().what() != "conversation timed out";
                if (content_error_)
                    end_with(Reason(false, "4.3.0", content_error_->text()));
                else {
                    end_with(lost(reply.error(), expected.act));
                    if (reply.error().what() != "lost connection")      // it is still there, silent or without an end
                        doubt_refusals(true);
                }
                break;
            }
            codes_here_.push_back(reply->code);
            all_in = i + 1 == expected_.size() && answers == 1;
            note(expected, *reply, expected.piece >= writing_at_, next);
        }
    }
    if (all_in && !input_.empty() && !input_.starts_with("421")) {
        end_with(Reason(false, "4.5.0", fmt::format("Protocol error: host {} sent more replies than commands were sent", peer_text_)));
        out_of_step_ = true;
        doubt_refusals();                                           // and one of them may be that one too many
    }
    if (over_)
        stream_->close();                                           // the writer, if it is still at work, ends with it
    co_await writers_.drained();
}

/// The answers of this flight do not add up: a refusal may have been another's. Cut short: the last ones never came, although the peer stayed.
void Session::doubt_refusals(bool cut_short)
{
    if (asked_here_.size() < 2 && expected_.size() < 2)
        return;
    for (; not_heard_ < expected_.size(); ++not_heard_)
        asked_here_.push_back(expected_[not_heard_].act);
    for (const Refusal& refusal : refused_here_)
        if (!cut_short || may_be_later_ones(asked_here_, codes_here_, refusal.place))
            refusal.transaction->sheet->doubt(refusal.index, end_reason_);
}

/// A peer refused the sender and took recipients all the same. One of the two is not so; with its content said the mail may have arrived.
void Session::doubt_contradicted(Transaction& transaction)
{
    if (!transaction.contradicted || !transaction.content_said)
        return;
    const Reason reason(false, "4.5.0",
                        fmt::format("Protocol error: host {} refused the sender, and took the mail all the same, or may have", peer_text_));
    for (const std::uint32_t index : transaction.recipients)
        transaction.sheet->doubt(index, reason);
}

void Session::refuse(Transaction& transaction, std::uint32_t index, const Reason& reason)
{
    refused_here_.push_back({&transaction, index, codes_here_.empty() ? 0 : codes_here_.size() - 1});
    transaction.sheet->fail(index, reason);
}

void Session::refuse_accepted(Transaction& transaction, const Reason& reason)
{
    for (const std::uint32_t index : transaction.recipients)
        if ((*transaction.sheet)[index].state == Fate::State::accepted)
            refuse(transaction, index, reason);
}

void Session::fail_all(Transaction& transaction, const Reason& reason)
{
    for (const std::uint32_t index : transaction.recipients)
        transaction.sheet->fail(index, reason);
    transaction.progress.stage = Stage::done;
}

void Session::settle()
{
    for (Transaction* const transaction : current_) {
        Mail& mail = transaction->progress;
        if (over_ || mail.stage == Stage::done)
            continue;
        if (mail.stage == Stage::invited) {
            if (mail.accepted == 0 && options_.lmtp)
                end_with(Reason(false, "4.5.0", fmt::format("Protocol error: host {} wants content for nobody", peer_text_)));
            continue;
        }
        const bool asked = mail.asked == mail.recipients;
        if (transaction->refused && !asked && one_mail_each(mail, known_.quirks))
            transaction->refused = false;
        if (transaction->refused || (asked && (mail.accepted == 0 || (mail.probe && !options_.probe_data))))
            mail.stage = Stage::done;
    }
}

void Session::hand_back(Feed* feed)
{
    std::deque<Transaction*> rest;
    bool doubted = false;
    for (const Transaction* const transaction : current_)
        doubted = doubted || (transaction->doubted && transaction->progress.stage == Stage::done);
    // What was doubted may be cleared up at once, on a session that says it otherwise; this one has served its time.
    const bool shifted =
        std::ranges::any_of(current_, [](const Transaction* one) { return one->progress.stage == Stage::done && one->has_doubtful(); });
    const bool replay = ((doubted && report(false)) || shifted) && may_say_again(shifted);
    used_up_ = used_up_ || replay;
    for (Transaction* const transaction : current_)
        if (transaction->progress.stage == Stage::done) {
            if (over_)
                fail_all(*transaction, end_reason_);                // LMTP: those whose answer did not come
            transaction->replay = replay && (transaction->doubted || transaction->has_doubtful()) && !transaction->content_said;
            transaction->late = transaction->late && (!transaction->content_said || transaction->content_taken);
            doubt_contradicted(*transaction);
            record_fate(*transaction);
            feed->done(*transaction);
        } else
            rest.push_back(transaction);
    current_.swap(rest);
    recorder_.tell();
}

/// A probe was cut off behind MAIL: may those without an answer be asked again? Nothing is lost, and each time one more is settled: those that were
/// answered, or the one at whose RCPT the peer hung up, which is not to spoil the answers of the others.
bool Session::ask_rest(Transaction& transaction) const
{
    const auto& recipients = transaction.recipients;
    if (std::ranges::any_of(recipients, [&](std::uint32_t index) { return (*transaction.sheet)[index].final(); }))
        return true;
    const Mail& mail = transaction.progress;
    if (told_to_leave_ || transaction.refused || mail.stage != Stage::addressing || mail.asked + 1 >= recipients.size())
        return false;
    transaction.sheet->fail(recipients[mail.asked], end_reason_);
    return true;
}

/// Once more within this attempt. Where nothing is learned, whoever is in doubt would be in doubt each time.
bool Session::may_say_again(bool some_doubted) const
{
    if (!around_.peers || !around_.peers->obeys())
        return some_doubted;
    return around_.peers->may_replay(wish_.site);
}

void Session::abandon(Feed* feed)
{
    bool served = transactions_ > current_.size();
    const bool news = !current_.empty() && over_ && report(true);
    // Behind a refused recipient the peer went away: without that one the others may be served.
    const bool without_it = !current_.empty() && over_ && refused_last_ && around_.peers;
    const bool some_doubted = std::ranges::any_of(current_, [](const Transaction* one) { return one->has_doubtful(); });
    const bool may_help = (news || without_it || some_doubted) && may_say_again(some_doubted);
    for (Transaction* const transaction : std::exchange(current_, {})) {
        const bool untouched = (transaction->answers == 0 || superseded_) && !transaction->content_said;
        // Said early, and the session ended over it: it is said again, in time, unless content went out since.
        transaction->late = (transaction->late || early_flight_ || too_early_) && !transaction->content_said;
        if (untouched && (served || superseded_ || (used_up_ && !over_)))
            transaction->unserved = true;
        else if (transaction->progress.probe && cut_off_ && ask_rest(*transaction)) {
            transaction->cut_short = true;
            transaction->sheet->forget_accepted();                  // smtp_address_verify_target = data: they have no answer yet
        } else
            fail_all(*transaction, end_reason_);                    // those that have a fate keep it
        transaction->replay = may_help && !transaction->unserved && !transaction->content_said;
        served = served || transaction->answers != 0;
        doubt_contradicted(*transaction);
        record_fate(*transaction);
        feed->done(*transaction);
    }
    recorder_.tell();
}

}  // namespace posthorn::send
