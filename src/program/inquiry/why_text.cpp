#include "inquiry/why_text.hpp"

#include "base/json.hpp"
#include "base/strings.hpp"
#include "handoff/interfaces.hpp"
#include "handoff/waits.hpp"
#include "inquiry/change_listing.hpp"
#include "inquiry/forecast.hpp"
#include "inquiry/orders.hpp"
#include "inquiry/peer_listing.hpp"
#include "inquiry/queue_listing.hpp"
#include "inquiry/transcripts.hpp"
#include "peers/learn.hpp"
#include "schedule/orders.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::inquiry {

namespace {

using handoff::Explanation;
using handoff::Wait;
using handoff::Waiting;

constexpr std::size_t peers_shown = 5;
constexpr int waiting_shown = 20;

std::string filled(std::string_view text, std::string_view transport, std::string_view id, std::string_view order = {})
{
    std::string out(text);
    for (const auto& [mark, word] :
         {std::pair{std::string_view("{transport}"), transport}, {std::string_view("{id}"), id}, {std::string_view("{order}"), order}})
        for (auto at = out.find(mark); at != out.npos; at = out.find(mark, at + word.size()))
            out.replace(at, mark.size(), word);
    return out;
}

std::string time_or(std::int64_t microseconds, std::string_view otherwise)
{
    return microseconds == 0 ? std::string(otherwise) : local_time(microseconds);
}

std::string json_time(std::int64_t microseconds) { return microseconds == 0 ? std::string("null") : fmt::format("\"{}\"", utc_time(microseconds)); }

std::string_view word_of(const handoff::VerifyKnowledge& known)
{
    switch (static_cast<handoff::Finding::Kind>(known.kind())) {
    case handoff::Finding::Kind::deliverable: return "deliverable";
    case handoff::Finding::Kind::deferred: return "not known for now";
    case handoff::Finding::Kind::undeliverable: return "undeliverable";
    case handoff::Finding::Kind::in_progress: break;
    }
    return "being asked for the first time";
}

std::string words_of_order(const Waiting& waiting) { return waiting.has_order() ? schedule::order_words(waiting.order()) : std::string(); }

class Text {
public:
    void head(std::string line) { text_ += (text_.empty() ? "" : "\n") + std::move(line) + "\n"; }
    void line(std::string line) { text_ += std::move(line) + "\n"; }
    void say(std::string_view name, const std::string& what)
    {
        if (!what.empty())
            text_ += fmt::format("    {:<12} {}\n", name, what);
    }
    void wait(Wait wait, std::string_view transport, std::string_view id, std::string_view order = {})
    {
        const handoff::WaitName& name = handoff::name_of(wait);
        say("waits for", fmt::format("{}: {}", name.name, name.says));
        if (wait == Wait::nothing)
            return;
        const std::string setting = filled(name.setting, transport.empty() ? "default" : transport, id), now = filled(name.now, transport, id, order);
        std::string change = setting.empty() ? std::string() : "the setting " + setting;
        if (!now.empty() && (!id.empty() || now.find("{id}") == now.npos))
            change += (change.empty() ? "at once: " : "; at once: ") + now;
        say("changed by", change);
    }
    std::string take() { return std::move(text_); }

private:
    std::string text_;
};

void add(Text& text, const Waiting& waiting, const std::string& queue_id)
{
    const auto wait = static_cast<Wait>(waiting.wait());
    text.line(fmt::format("  {}", printable(waiting.recipient().address(), true)));
    text.wait(wait, waiting.route().transport(), queue_id, words_of_order(waiting));
    if (waiting.has_order())
        text.say("order", order_line(waiting.order()));
    text.say("since", time_or(waiting.since(), ""));
    if (!waiting.progress().empty())
        text.say("now", fmt::format("{}, since {}", printable(waiting.progress(), true), local_time(waiting.progress_since())));
    text.say(wait == Wait::order ? "until" : "next try", time_or(waiting.until(), ""));
    if (waiting.gives_up() != 0)
        text.say("goes back", local_time(waiting.gives_up()) + " (retry_schedule_maps)");
    if (waiting.ahead() != 0)
        text.say("ahead", fmt::format("{} messages of its site", waiting.ahead()));
    text.say("trouble", printable(waiting.trouble(), true));
    if (!waiting.route().transport().empty())
        text.say("goes to", fmt::format("{}, {}", printable(waiting.route().transport()), printable(waiting.route().nexthop(), true)));
    if (!waiting.reason().empty())
        text.say("last try", fmt::format("{} ({} {})", printable(waiting.reason(), true), waiting.tries(), waiting.tries() == 1 ? "try" : "tries"));
}

void add(Text& text, const Explanation& message)
{
    text.head(fmt::format("{}: {}, from <{}>, {} octets, here since {}, goes back to its sender {}", printable(message.queue_id()),
                          printable(message.queue_name()), printable(message.sender(), true), message.size(), local_time(message.arrival()),
                          time_or(message.gives_up(), "?")));
    if (!message.hold_reason().empty())
        text.line("  put on hold as it arrived: " + printable(message.hold_reason(), true) + " (posthorn accounts)");
    if (message.requiretls())
        text.line("  requires TLS on all its way (REQUIRETLS): smtp_requiretls_policy says how far that is kept");
    if (message.tls_optional())
        text.line("  goes whatever its next hop's policy of TLS is (TLS-Required: no)");
    for (int at = 0; at < std::min(message.waiting_size(), waiting_shown); ++at)
        add(text, message.waiting(at), message.queue_id());
    if (message.waiting_size() > waiting_shown)
        text.line(fmt::format("  and {} recipients more", message.waiting_size() - waiting_shown));
}

void add(Text& text, const handoff::SiteStanding& site, const std::string& queue_id)
{
    text.head(fmt::format("site {}", printable(site.site(), true)));
    if (site.window() == 0)
        text.say("now", "no mail of it is under way");
    else
        text.say("now", fmt::format("{} of {} deliveries at once, {} messages with {} recipients wait for their turn", site.in_flight(),
                                    site.window(), site.waiting_messages(), site.waiting_recipients()));
    text.say("pace", forecast_text(site));
    if (site.dead_until() != 0) {
        text.wait(Wait::dead_site, site.transport(), queue_id);
        text.say("until", local_time(site.dead_until()));
        text.say("reason", printable(site.reason(), true));
    }
    if (site.not_before() != 0) {
        text.wait(Wait::site_rate, site.transport(), queue_id);
        text.say("until", local_time(site.not_before()));
    }
    if (site.set().empty())
        return;
    text.say("servers", printable(site.set(), true));
    if (site.silent_until() != 0)
        text.say("silent", fmt::format("nothing is sent until {}, then one delivery at a time", local_time(site.silent_until())));
    if (site.ceiling() != 0)
        text.say("at most", fmt::format("{} deliveries at once, all sites of these servers together", site.ceiling()));
    if (site.per_minute() != 0)
        text.say("at most", fmt::format("{:.0f} mails a minute", site.per_minute()));
    if (!site.said().empty())
        text.say("since", printable(site.said(), true));
}

void add(Text& text, const handoff::VerifyKnowledge& known)
{
    text.head("verification");
    if (known.known()) {
        text.say("known", fmt::format("{} since {}: {}", word_of(known), time_or(known.updated(), "?"), printable(known.text(), true)));
        if (!known.told_by().empty())
            text.say("told by", printable(known.told_by()) + ": its probe, not one from here");
        text.say("asked anew", "at the first question after, or where it is in use at, " + time_or(known.refresh(), "?"));
        text.say("counts until", time_or(known.expires(), "?"));
        const bool good = static_cast<handoff::Finding::Kind>(known.kind()) == handoff::Finding::Kind::deliverable;
        text.say("changed by", good ? "the settings address_verify_positive_refresh_time, address_verify_positive_expire_time"
                                    : "the settings address_verify_negative_refresh_time, address_verify_negative_expire_time");
    } else
        text.say("known", "nothing");
    if (known.takes_all() != 0)
        text.say("domain", "takes every recipient, also one made up (" + local_time(known.takes_all()) + "): verified says little");
    if (known.asked_since() == 0)
        return;
    text.wait(Wait::probe, "", "");
    text.say("since", local_time(known.asked_since()));
    if (known.waiting() != 0)
        text.say("for", fmt::format("{} SMTP clients", known.waiting()));
}

std::int64_t micros_of(WallTime time) { return time.time_since_epoch().count(); }

std::string hosts_of(const sts::Known& known)
{
    std::string hosts;
    for (const std::string& host : known.policy.hosts)
        hosts += (hosts.empty() ? "" : " ") + printable(host);
    return hosts;
}

void add(Text& text, const sts::Known& known)
{
    text.head("MTA-STS");
    text.say("policy", fmt::format("{} (id {}, from the domain's web server)", sts::mode_name(known.policy.mode), printable(known.id)));
    text.say("hosts", hosts_of(known));
    text.say("since", local_time(micros_of(known.fetched)));
    text.say("holds until", local_time(micros_of(known.until())));
    text.say("changed by", "the domain, with another id; an entry for it in smtp_tls_policy_maps; the setting smtp_mta_sts");
}

void add(Text& text, const PeerSaid& peer, WallTime now)
{
    text.head("server " + peer_text(peer.record, now, peer.portrait ? &*peer.portrait : nullptr));
    if (!peer.rule_file.empty())
        text.line("  rule file      " + printable(peer.rule_file, true) + " (smtp_peer_rules; outvotes what is learned)");
    if (!peer.administrator.empty())
        text.line("  administrator  " + printable(peer.administrator, true) + " (outvotes both)");
}

template <class Values, class Shown>
std::string json_list(const Values& values, const Shown& shown)
{
    std::string text;
    for (const auto& value : values)
        text += (text.empty() ? "" : ", ") + shown(value);
    return "[" + text + "]";
}

std::string json_of(const Waiting& waiting, const std::string& queue_id)
{
    const handoff::WaitName& name = handoff::name_of(static_cast<Wait>(waiting.wait()));
    const std::string& transport = waiting.route().transport();
    return fmt::format(
        R"({{"recipient": {}, "wait": {}, "says": {}, "since": {}, "next_try": {}, "ahead": {}, "trouble": {}, "now": {}, "now_since": {}, "transport": {}, )"
        R"("nexthop": {}, "site": {}, "reason": {}, "relay": {}, "tries": {}, "gives_up": {}, "setting": {}, "command": {}, "order": {}}})",
        json_text(waiting.recipient().address()), json_text(name.name), json_text(name.says), json_time(waiting.since()), json_time(waiting.until()),
        waiting.ahead(), json_text(waiting.trouble()), json_text(waiting.progress()), json_time(waiting.progress_since()), json_text(transport),
        json_text(waiting.route().nexthop()), json_text(waiting.route().site()), json_text(waiting.reason()), json_text(waiting.relay()),
        waiting.tries(), json_time(waiting.gives_up()), json_text(filled(name.setting, transport, queue_id)),
        json_text(filled(name.now, transport, queue_id, words_of_order(waiting))), waiting.has_order() ? order_json(waiting.order()) : "null");
}

std::string json_of(const Explanation& message)
{
    return fmt::format(
        R"("queue_id": {}, "queue_name": {}, "sender": {}, "message_size": {}, "arrival": {}, "gives_up": {}, "hold_reason": {}, "requiretls": {}, "tls_optional": {}, "waiting": {})",
        json_text(message.queue_id()), json_text(message.queue_name()), json_text(message.sender()), message.size(), json_time(message.arrival()),
        json_time(message.gives_up()), message.hold_reason().empty() ? "null" : json_text(message.hold_reason()), message.requiretls(),
        message.tls_optional(), json_list(message.waiting(), [&](const Waiting& one) { return json_of(one, message.queue_id()); }));
}

std::string json_of(const handoff::SiteStanding& site)
{
    return fmt::format(
        R"({{"site": {}, "transport": {}, "window": {}, "in_flight": {}, "waiting_messages": {}, "waiting_recipients": {}, "dead_until": {}, "reason": {}, "rate_delay_until": {}, )"
        R"("set": {}, "sessions_at_most": {}, "mails_per_minute_at_most": {:.1f}, "silent_until": {}, "said": {}, {}}})",
        json_text(site.site()), json_text(site.transport()), site.window(), site.in_flight(), site.waiting_messages(), site.waiting_recipients(),
        json_time(site.dead_until()), json_text(site.reason()), json_time(site.not_before()), json_text(site.set()), site.ceiling(),
        site.per_minute(), json_time(site.silent_until()), json_text(site.said()), forecast_json(site));
}

}  // namespace

bool Why::known() const
{
    return (queue && (kind == Kind::message || queue->messages() != 0 || queue->sites_size() != 0 || queue->orders_size() != 0)) ||
           (verification && (verification->known() || verification->asked_since() != 0)) || !peers.empty() || sts || last;
}

std::string why_text(const Why& why, WallTime now)
{
    Text text;
    for (const std::string& note : why.notes)
        text.line("(" + note + ")");
    std::string queue_id;
    if (why.queue && why.kind == Why::Kind::message) {
        queue_id = why.queue->queue_id();
        add(text, *why.queue);
    } else if (why.kind == Why::Kind::message)
        text.head(fmt::format("{}: not in the queue", printable(why.word)));
    else {
        text.head(printable(why.word, true));
        if (why.queue && why.queue->messages() != 0) {
            const Explanation& queue = *why.queue;
            text.say("in the queue", fmt::format("{} messages with {} recipients: {} under way, {} on hold; the oldest of {}", queue.messages(),
                                                 queue.recipients(), queue.active(), queue.on_hold(), local_time(queue.oldest())));
            std::string ids;
            for (const std::string& id : queue.queue_ids())
                ids += (ids.empty() ? "" : " ") + printable(id);
            text.say("", ids + (queue.messages() > static_cast<std::uint64_t>(queue.queue_ids_size()) ? " ..." : ""));
        } else if (why.queue)
            text.say("in the queue", "nothing");
        if (why.queue)
            for (const handoff::Order& order : why.queue->orders()) {
                text.say("order", order_line(order));
                text.say("changed by", "at once: posthorn resume " + schedule::order_words(order));
            }
        for (const Explanation& message : why.messages)
            add(text, message);
    }
    if (why.queue) {
        if (!why.queue->trouble().empty())
            text.say("trouble", "where it goes cannot be said: " + printable(why.queue->trouble(), true));
        for (const handoff::SiteStanding& site : why.queue->sites())
            add(text, site, queue_id);
    }
    if (why.verification)
        add(text, *why.verification);
    if (why.sts)
        add(text, *why.sts);
    for (const posthorn::peers::Portrait& site : why.sites) {
        text.head("servers of " + printable(site.peer.site, true));
        for (const ChangeTold& told : changes_since(std::span(&site, 1), now - changed_lately))
            text.say("changed", change_text(told.change));
    }
    for (std::size_t at = 0; at < std::min(why.peers.size(), peers_shown); ++at)
        add(text, why.peers[at], now);
    if (why.peers.size() > peers_shown)
        text.head(fmt::format("and {} servers more: posthorn peers list", why.peers.size() - peers_shown));
    if (why.last)
        text.head("the last transcript: " + text_of(*why.last));
    return text.take();
}

std::string why_json(const Why& why, WallTime now)
{
    static constexpr std::string_view kinds[] = {"message", "address", "destination"};
    std::string text = fmt::format(R"({{"asked": {}, "kind": "{}", "known": {}, "notes": {})", json_text(why.word),
                                   kinds[static_cast<std::size_t>(why.kind)], why.known(), json_list(why.notes, json_text));
    if (why.queue) {
        const Explanation& queue = *why.queue;
        if (why.kind == Why::Kind::message)
            text += ", " + json_of(queue);
        else
            text += fmt::format(
                R"(, "messages": {}, "recipients": {}, "active": {}, "on_hold": {}, "oldest": {}, "queue_ids": {}, "orders": {}, "waiting": {})",
                queue.messages(), queue.recipients(), queue.active(), queue.on_hold(), json_time(queue.oldest()),
                json_list(queue.queue_ids(), json_text), json_list(queue.orders(), order_json),
                json_list(why.messages, [](const Explanation& one) { return "{" + json_of(one) + "}"; }));
        text += fmt::format(R"(, "sites": {}, "trouble": {})",
                            json_list(queue.sites(), [](const handoff::SiteStanding& one) { return json_of(one); }), json_text(queue.trouble()));
    }
    if (why.verification) {
        const handoff::VerifyKnowledge& known = *why.verification;
        text += fmt::format(
            R"(, "verification": {{"known": {}, "status": {}, "text": {}, "updated": {}, "refresh": {}, "expires": {}, "takes_all": {}, "told_by": {}, "wait": {}, )"
            R"("asked_since": {}, "waiting": {}}})",
            known.known(), known.known() ? json_text(word_of(known)) : std::string("null"), json_text(known.text()), json_time(known.updated()),
            json_time(known.refresh()), json_time(known.expires()), json_time(known.takes_all()), json_text(known.told_by()),
            known.asked_since() != 0 ? json_text(handoff::name_of(Wait::probe).name) : std::string("null"), json_time(known.asked_since()),
            known.waiting());
    }
    if (why.sts)
        text += fmt::format(R"(, "mta_sts": {{"id": {}, "mode": "{}", "hosts": {}, "fetched": {}, "until": {}}})", json_text(why.sts->id),
                            sts::mode_name(why.sts->policy.mode), json_list(why.sts->policy.hosts, json_text), json_time(micros_of(why.sts->fetched)),
                            json_time(micros_of(why.sts->until())));
    text += fmt::format(R"(, "peers": {})", json_list(why.peers, [&](const PeerSaid& peer) {
                            return fmt::format(R"({{"server": {}, "rule_file": {}, "administrator": {}}})",
                                               peer_json(peer.record, now, peer.portrait ? &*peer.portrait : nullptr), json_text(peer.rule_file),
                                               json_text(peer.administrator));
                        }));
    text += fmt::format(R"(, "site_changes": {})", json_list(changes_since(why.sites, now - changed_lately), change_json));
    return text + fmt::format(R"(, "transcript": {}}})", why.last ? json_of(*why.last) : std::string("null"));
}

}  // namespace posthorn::inquiry
