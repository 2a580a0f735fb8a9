// AUTH: who we are, said once, between the last EHLO and the first mail.                           RFC 4954
// Turns     a mechanism that speaks first says so in the command itself. AUTH ends its group (RFC 4954 4): no mail rides behind it.
// Failure   is the session's, not the mail's: the next host is tried, then the mail waits. Only with smtp_sasl_auth_soft_bounce = no does a 5xx
//          return it.
#include "send/session.hpp"

#include "base/strings.hpp"
#include "sasl/client.hpp"
#include "tls/digest.hpp"

#include <algorithm>

namespace posthorn::send {

namespace {

/// Challenges of one AUTH; the longest mechanism here has three.
constexpr int challenges_at_most = 10;
constexpr std::size_t command_octets = 512;  // with CRLF: RFC 5321 4.5.3.1.4
constexpr std::size_t auth_failures_kept = 1000;
constexpr std::size_t echo_octets = 8;  // so many of a response known again are its echo

std::string key_of(std::string_view host, const sasl::Credentials& credentials)
{
    return fmt::format("{}\n{}\n{}", to_lower(host), credentials.username, tls::digest(tls::Digest::sha256, credentials.password));
}

Result<std::string> challenge_in(const smtp::Reply& reply)
{
    if (reply.lines.size() != 1)
        return Error("a challenge of more than one line");
    auto octets = base64_decode(trim(reply.lines.front()));
    if (!octets || octets->size() > sasl::challenge_octets)
        return Error("a challenge that is no base64");
    return *std::move(octets);
}

}  // namespace

const AuthFailures::Failure* AuthFailures::find(std::string_view host, const sasl::Credentials& credentials, std::chrono::seconds age)
{
    const auto at = failures_.find(key_of(host, credentials));
    if (at == failures_.end())
        return nullptr;
    if (clock_.steady() - at->second.when < age)
        return &at->second;
    failures_.erase(at);
    return nullptr;
}

void AuthFailures::keep(std::string_view host, const sasl::Credentials& credentials, Failure failure)
{
    if (failures_.size() >= auth_failures_kept)
        failures_.clear();
    failure.when = clock_.steady();
    failures_.insert_or_assign(key_of(host, credentials), std::move(failure));
}

/// Before a word is said: who has credentials for this server, or may have, says nothing early, and is not tried again in clear when TLS failed.
/// By the next hop that led here: a fallback relay has credentials of its own, or none.
awaitable<void> Session::look_up_credentials()
{
    if (!options_.sasl.enable || !around_.passwords)
        co_return;
    std::optional<std::string> value = wish_.credentials;
    if (!value) {
        auto found = co_await around_.passwords->by_server(host_.name, host_.next_hop);
        if (!found) {
            credentials_error_ = found.error().text();
            co_return;
        }
        value = *std::move(found);
    }
    if (value) {
        credentials_ = std::make_unique<sasl::Credentials>(sasl::Credentials::of(*value, options_.sasl.delimiter));
        credentials_->say_authzid = options_.sasl.say_authzid;
    }
}

/// Some servers repeat the line that they do not like, whole or its beginning: logs, transcripts and bounces have nothing of it.
void Session::hide_echo(smtp::Reply& reply) const
{
    std::string_view said = auth_said_;
    if (said.starts_with("AUTH "))
        said.remove_prefix(std::min(said.find(' ', 5), said.size() - 1) + 1);
    if (reply.code == 334 || said.size() < echo_octets)
        return;
    for (std::string& line : reply.lines)
        for (auto at = line.find(said.substr(0, echo_octets)); at != line.npos; at = line.find(said.substr(0, echo_octets), at)) {
            std::size_t same = echo_octets;
            while (same < said.size() && at + same < line.size() && line[at + same] == said[same])
                ++same;
            line.replace(at, same, "[not recorded]");
        }
}

Trouble Session::auth_failed(Reason reason)
{
    Trouble trouble(std::move(reason));
    trouble.greeted = true;
    end_with(trouble.reason);
    return trouble;
}

/// Which of the announced mechanisms the filter leaves.
awaitable<Result<std::vector<std::string>>> Session::mechanisms()
{
    std::vector<std::string> left;
    for (const std::string& mechanism : features_.auth) {
        CO_TRY(const bool allowed, co_await around_.passwords->allows(mechanism));
        if (allowed)
            left.push_back(mechanism);
    }
    co_return left;
}

awaitable<std::optional<Trouble>> Session::authenticate()
{
    if (!options_.sasl.enable || !around_.passwords || !features_.has(smtp::Keyword::auth))
        co_return std::nullopt;
    if (!credentials_error_.empty())
        co_return auth_failed(Reason(false, "4.3.0", credentials_error_));
    const auto left = co_await mechanisms();
    if (!left)
        co_return auth_failed(Reason(false, "4.3.0", left.error().text()));
    if (left->empty())
        around_.log.warning("{}", features_.auth.empty() ? fmt::format("{} offered null AUTH mechanism list", relay_)
                                                         : fmt::format("{} offered no supported AUTH mechanisms: '{}'", relay_,
                                                                       printable(fmt::format("{}", fmt::join(features_.auth, " ")))));
    if (!credentials_)
        co_return std::nullopt;  // strangers here
    if (left->empty())
        co_return auth_failed(Reason(false, "4.7.0",
                                     fmt::format("SASL authentication failed: server {} offered no compatible authentication mechanisms for this "
                                                 "type of connection security",
                                                 peer_text_)));
    const std::string_view name = sasl::choose(*left, !secured_ ? options_.sasl.clear : verified_ ? options_.sasl.verified : options_.sasl.tls);
    if (name.empty()) {
        around_.log.warning("SASL authentication failure: No worthy mechs found");
        co_return auth_failed(cannot_authenticate("no mechanism available"));
    }
    if (options_.sasl.remember_failures && around_.auth_failures)
        if (const auto* const before = around_.auth_failures->find(host_.name, *credentials_, options_.sasl.remember_for))
            co_return auth_failed(refused_login(before->status, before->said, true, " [CACHED]"));
    co_return co_await exchange_challenges(name);
}

Reason Session::cannot_authenticate(std::string_view why) const
{
    return {false, "4.7.0", fmt::format("SASL authentication failed; cannot authenticate to server {}: {}", peer_text_, why)};
}

/// `believed`: a 5xx that is what it looks like.
Reason Session::refused_login(std::string status, std::string said, bool believed, std::string_view cached) const
{
    const bool permanent = believed && status.starts_with('5') && !options_.sasl.soft_bounce;
    if (!permanent)
        status = status.size() > 1 ? "4" + status.substr(1) : "4.7.0";
    Reason reason(permanent, std::move(status), fmt::format("SASL{} authentication failed; server {} said: {}", cached, peer_text_, said));
    reason.diagnostic = std::move(said);
    reason.remote = host_.name;
    return reason;
}

awaitable<std::optional<Trouble>> Session::exchange_challenges(std::string_view name)
{
    const auto mechanism = sasl::begin(name, *credentials_, {options_.lmtp ? "lmtp" : "smtp", host_.name, host_.endpoint.port});
    std::string line = fmt::format("AUTH {}", name);
    auto unsaid = mechanism->initial();
    if (unsaid) {
        const std::string first = unsaid->empty() ? "=" : base64_encode(*unsaid);
        if (line.size() + first.size() + 3 <= command_octets) {  // a long one, as tokens are, waits to be asked for: RFC 4954 4
            line += " " + first;
            unsaid.reset();
        }
    }
    auto reply = co_await command(Act::auth, std::move(line));
    for (int challenges = 0; reply && reply->code == 334; ++challenges) {
        Result<std::string> answer = challenge_in(*reply);
        if (challenges == challenges_at_most)
            answer = Error("it asks and asks");
        else if (answer && unsaid && !answer->empty())
            answer = Error("a challenge where it is the client who speaks first");
        else if (auto first = answer ? std::exchange(unsaid, std::nullopt) : std::nullopt)
            answer = *std::move(first);
        else if (answer && mechanism->costly() && around_.helper)
            answer = co_await on_thread(around_.helper(), [&mechanism, challenge = *std::move(answer)] { return mechanism->answer(challenge); });
        else if (answer)
            answer = mechanism->answer(*answer);
        if (!answer)
            co_return auth_failed(cannot_authenticate(answer.error().text()));
        reply = co_await command(Act::auth, base64_encode(*answer));
    }
    if (!reply)
        co_return auth_failed(lost(reply.error(), Act::auth));
    const Judgement judgement = judge(Act::auth, *reply, {.out_of_step = out_of_step_});
    if (judgement == Judgement::good && reply->positive()) {
        if (const auto proved = mechanism->finished(); !proved)
            co_return auth_failed(cannot_authenticate(proved.error().text()));
        authenticated_ = true;
        co_return std::nullopt;
    }
    const bool believed = judgement == Judgement::permanent;
    if (believed && options_.sasl.remember_failures && around_.auth_failures)
        around_.auth_failures->keep(host_.name, *credentials_, {reply->status(), reply->logged()});
    co_return auth_failed(refused_login(reply->status(), reply->logged(), believed, {}));
}

}  // namespace posthorn::send
