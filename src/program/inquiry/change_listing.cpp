#include "inquiry/change_listing.hpp"

#include "base/json.hpp"
#include "base/strings.hpp"
#include "config/units.hpp"
#include "inquiry/peer_listing.hpp"
#include "peers/listing.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace posthorn::inquiry {

using posthorn::peers::Aspect;
using posthorn::peers::Change;
using posthorn::peers::PeerKey;
using posthorn::peers::Portrait;
using posthorn::peers::Trait;

namespace {

std::string_view word_of(Aspect aspect)
{
    switch (aspect) {
    case Aspect::greeting: return "greeting";
    case Aspect::host: return "host";
    case Aspect::feature: return "feature";
    case Aspect::feature_in_tls: return "feature-in-tls";
    case Aspect::tls_version: return "tls";
    case Aspect::issuer: return "certificate";
    case Aspect::trust: return "trust";
    case Aspect::mx_set: return "mx";
    case Aspect::limit: return "limit";
    }
    return {};
}

std::string who(const PeerKey& peer)
{
    const std::string site = peer.site.empty() ? "-" : printable(peer.site, true);
    if (peer.address.empty())
        return "MX set  " + site;
    return fmt::format("{}[{}]  {}", peer.banner_host.empty() ? "unknown" : printable(peer.banner_host), printable(peer.address), site);
}

/// The value that one session after the other shows; empty: none yet.
std::string usual(const Portrait& portrait, Aspect aspect)
{
    for (const Trait& trait : portrait.traits)
        if (trait.aspect == aspect)
            return printable(trait.value);
    return {};
}

}  // namespace

bool matches(const Portrait& portrait, std::string_view word)
{
    const PeerKey& peer = portrait.peer;
    const std::string wanted = to_lower(word), banner = to_lower(peer.banner_host), site = to_lower(peer.site);
    const bool is_peer = !peer.address.empty() && (to_lower(peer.address) == wanted || banner == wanted || banner.ends_with("." + wanted) ||
                                                   peer.address + ' ' + banner == wanted);
    return is_peer || (!site.empty() && (site == wanted || site.ends_with(":" + wanted)));
}

std::vector<ChangeTold> changes_since(std::span<const Portrait> portraits, WallTime since)
{
    std::vector<ChangeTold> found;
    for (const Portrait& portrait : portraits)
        for (const Change& change : portrait.changes)
            if (change.told >= since)
                found.push_back({portrait.peer, change});
    std::ranges::sort(found, {}, [](const ChangeTold& one) { return std::tie(one.change.told, one.peer.address, one.peer.site, one.change.name); });
    return found;
}

Result<WallTime> since_of(std::string_view word, WallTime now)
{
    if (const auto whole = posthorn::peers::parse_time(word); whole && word != "-")
        return *whole;
    if (const auto day = posthorn::peers::parse_time(fmt::format("{}T00:00:00Z", word)))
        return *day;
    const auto span = word.empty() || word.starts_with('-') ? std::nullopt : config::parse_whole_time(word, config::Unit::seconds);
    if (!span || *span > now.time_since_epoch())
        return Error(fmt::format("'{}' is no time: 2026-11-25, 2026-11-25T10:00:00Z, or how long ago (3d, 12h)", printable(word.substr(0, 60))),
                     "5.5.4");
    return now - *span;
}

std::string change_text(const Change& change)
{
    return text_of(change, [](WallTime time) { return local_time(time); });
}

std::string change_line(const ChangeTold& told)
{
    return fmt::format("{}  {}: {}{}\n", local_time(told.change.told), who(told.peer), told.change.grave ? "warning: " : "",
                       change_text(told.change));
}

std::string change_json(const ChangeTold& told)
{
    const Change& change = told.change;
    return fmt::format(
        R"({{"told": {}, "address": {}, "banner_host": {}, "site": {}, "kind": "{}", "of": "{}", "name": {}, "before": {}, "now": {}, "since": {}, )"
        R"("grave": {}, "why": {}, "text": {}}})",
        json_time(change.told), json_text(told.peer.address), json_text(told.peer.banner_host), json_text(told.peer.site), name_of(change.kind),
        word_of(change.aspect), json_text(change.name), json_text(change.before), json_text(change.now), json_time(change.since), change.grave,
        json_text(change.why), json_text(text_of(change)));
}

std::string changes_json(const Portrait& portrait, WallTime since)
{
    std::string text;
    for (const ChangeTold& one : changes_since(std::span(&portrait, 1), since))
        text += (text.empty() ? "" : ", ") + change_json(one);
    return "[" + text + "]";
}

std::vector<std::pair<std::string, std::string>> usual_of(const Portrait& portrait)
{
    std::vector<std::pair<std::string, std::string>> said;
    if (const std::string greeting = usual(portrait, Aspect::greeting); !greeting.empty())
        said.emplace_back("greeting", greeting);
    if (const std::string version = usual(portrait, Aspect::tls_version); !version.empty()) {
        const std::string issuer = usual(portrait, Aspect::issuer), trust = usual(portrait, Aspect::trust);
        said.emplace_back("TLS version",
                          fmt::format("{}{}{}", version, issuer.empty() ? "" : ", certificate by " + issuer, trust.empty() ? "" : ", " + trust));
    }
    std::string arguments;
    for (const Trait& trait : portrait.traits)
        if ((trait.aspect == Aspect::feature_in_tls || (trait.aspect == Aspect::feature && portrait.in_tls == 0)) && trait.value != "offered" &&
            !trait.value.empty())
            arguments += fmt::format("{}{} {}", arguments.empty() ? "" : ", ", printable(trait.name), printable(trait.value));
    if (!arguments.empty())
        said.emplace_back("says", arguments);
    return said;
}

const Portrait* portrait_of(std::span<const Portrait> portraits, const PeerKey& peer)
{
    const Portrait* found = nullptr;
    for (const Portrait& one : portraits)
        if (!peer.address.empty() && one.peer.address == peer.address && (!found || iequals(one.peer.banner_host, peer.banner_host)))
            found = &one;
    return found;
}

}  // namespace posthorn::inquiry
