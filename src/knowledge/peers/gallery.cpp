#include "peers/gallery.hpp"

#include "peers/times.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::peers {

namespace {

constexpr std::size_t portrait_key_octets = 300;
constexpr std::uint16_t usual_port = 25;

}  // namespace

std::string portrait_key(const PeerKey& peer, std::uint16_t port)
{
    const std::string address = peer.address.substr(0, portrait_key_octets);
    return port == 0 || port == usual_port ? address : fmt::format("{} {}", address, port);
}
std::string portrait_key_of_site(std::string_view site) { return '@' + std::string(site.substr(0, portrait_key_octets)); }

bool is_portrait_of(std::string_view key, const PeerKey& peer)
{
    const std::string address = portrait_key(peer, 0);
    return key == address || (key.starts_with(address) && key[address.size()] == ' ') || key == portrait_key_of_site(peer.site);
}

Gallery::Gallery(const Clock& clock, Wants wants, std::size_t capacity, Shelf* shelf)
    : clock_(clock), wants_(wants), capacity_(std::max<std::size_t>(capacity, 1)), shelf_(shelf)
{
}

Portrait& Gallery::hang(const std::string& key)
{
    if (const auto at = all_.find(key); at != all_.end()) {
        order_.splice(order_.begin(), order_, at->second.place);
        return at->second.portrait;
    }
    while (all_.size() >= capacity_) {
        all_.erase(order_.back());
        order_.pop_back();
    }
    auto stored = shelf_ ? shelf_->portrait(key) : std::nullopt;
    order_.push_front(key);
    Portrait portrait = stored ? believable(*std::move(stored), clock_.wall()) : Portrait{};
    return all_.emplace(key, Hung{std::move(portrait), order_.begin()}).first->second.portrait;
}

void Gallery::seen(const std::string& key, const PeerKey& peer, const std::function<Look(Portrait&)>& look)
{
    Portrait& portrait = hang(key);
    const Look found = look(portrait);
    if (!found.altered)
        return;
    portrait.peer = peer;
    if (shelf_)
        shelf_->keep(key, portrait);
    if (on_change)
        for (const Change& change : found.changes)
            on_change(peer, change);
}

void Gallery::take(const Observation& observation)
{
    if (!observation.whole || observation.peer.address.empty() || observation.face == Face{})
        return;
    const WallTime now = clock_.wall();
    const Face& face = observation.face;
    seen(portrait_key(observation.peer, face.port), observation.peer, [&](Portrait& portrait) { return look(portrait, face, wants_, now); });
    if (face.mx_set.empty() || observation.peer.site.empty())
        return;
    Face of_site;
    of_site.seen.push_back({Aspect::mx_set, {}, face.mx_set});
    seen(portrait_key_of_site(observation.peer.site), {{}, {}, observation.peer.site},
         [&](Portrait& portrait) { return look(portrait, of_site, wants_, now); });
}

void Gallery::take(const Observation& observation, const Limits& limits)
{
    seen(portrait_key(observation.peer, observation.face.port), observation.peer,
         [&](Portrait& portrait) { return look(portrait, limits, clock_.wall()); });
}

void Gallery::forget(const std::string& key)
{
    if (const auto at = all_.find(key); at != all_.end()) {
        order_.erase(at->second.place);
        all_.erase(at);
    }
    if (shelf_)
        shelf_->drop_portrait(key);
}

bool Herald::may(const std::string& site, WallTime now)
{
    // With more sites than these in an hour something is on that one line more or less does not tell.
    if (hours_.size() >= herald_sites && !hours_.contains(site))
        return false;
    Hour& hour = hours_[site];
    if (hour.said == 0)
        hour.begun = now;
    if (hour.said < herald_lines) {
        ++hour.said;
        return true;
    }
    ++hour.silenced;
    return false;
}

std::vector<Herald::Silenced> Herald::over(WallTime now)
{
    std::vector<Silenced> ended;
    std::erase_if(hours_, [&](const auto& one) {
        const auto& [site, hour] = one;
        if (now - hour.begun < herald_hour && now >= hour.begun)
            return false;
        if (hour.silenced != 0)
            ended.push_back({site, hour.silenced, hour.begun});
        return true;
    });
    std::ranges::sort(ended, {}, &Silenced::site);
    return ended;
}

}  // namespace posthorn::peers
