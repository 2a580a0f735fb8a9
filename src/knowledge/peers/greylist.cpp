#include "peers/greylist.hpp"

#include "base/strings.hpp"

#include <algorithm>
#include <functional>

namespace posthorn::peers {

using std::chrono::seconds;

namespace {

constexpr seconds slack{2};                             // clocks differ, and some count the second that has begun
constexpr seconds narrow_above{60}, follow_again{60};

/// The words without addresses and numbers: they differ from mail to mail.
std::string without_particulars(std::string_view reply)
{
    std::string words;
    bool inside = false;
    for (const char c : reply.substr(0, 512)) {
        inside = c == '<' || (inside && c != '>');
        if (!inside && !is_digit(c) && c != '>')
            words += ascii_lower(c);
    }
    words += reply.substr(0, 3);
    return words;
}

seconds since(WallTime then, WallTime now) { return std::chrono::duration_cast<seconds>(now - then); }

}  // namespace

std::uint64_t envelope_of(std::string_view sender, std::string_view recipient)
{
    std::string both(sender);
    both += '\0';
    both += recipient;
    return std::hash<std::string>{}(both);
}

Greylists::Host& Greylists::host(const std::string& name)
{
    const auto at = hosts_.find(name);
    if (at != hosts_.end()) {
        order_.splice(order_.begin(), order_, at->second.place);
        return at->second;
    }
    if (hosts_.size() >= greylist_hosts)
        forget_oldest();
    order_.push_front(name);
    Host& made = hosts_[name];
    made.place = order_.begin();
    return made;
}

void Greylists::forget_oldest() { forget(std::string(order_.back())); }

void Greylists::forget(const std::string& name)
{
    const auto at = hosts_.find(name);
    if (at == hosts_.end())
        return;
    for (const std::uint64_t envelope : at->second.order)
        where_.erase(envelope);
    total_ -= at->second.order.size();
    order_.erase(at->second.place);
    hosts_.erase(at);
}

seconds Greylists::learned_wait(const Host& host)
{
    if (host.refused.count() == 0 || host.passed - host.refused <= narrow_above)
        return host.passed;
    return host.refused + (host.passed - host.refused) / 2;
}

std::optional<WallTime> Greylists::put_off(const std::string& name, std::uint64_t envelope, std::string_view reply, const Advice& advice,
                                           WallTime now)
{
    Host& at = host(name);
    const auto [first, fresh] = at.first.try_emplace(envelope, now);
    const WallTime begun = first->second;
    if (fresh) {
        at.order.push_back(envelope);
        where_[envelope] = name;
        if (++total_ > greylist_total && hosts_.size() > 1)
            forget_oldest();                            // not this one: it was used last
        if (at.order.size() > greylist_envelopes) {
            --total_;
            where_.erase(at.order.front());
            at.first.erase(at.order.front());
            at.order.pop_front();
        }
    } else {
        at.refused = std::max(at.refused, since(begun, now));
        if (at.refused >= at.passed)
            at.passed = seconds{0};                     // what passed once does no more
    }
    if (advice.greylist)
        at.convicted_until = now + greylist_lifetime;
    else if (std::string words = without_particulars(reply); words != at.words) {
        at.words = std::move(words);
        at.cycles = 0;
    }
    if (at.convicted_until <= now)
        return std::nullopt;
    const seconds learned = learned_wait(at);
    const seconds wait = advice.wait.count() != 0 ? advice.wait : learned;
    if (wait.count() == 0 || (!fresh && now - begun > 3 * wait))
        return std::nullopt;
    // A server names the whole time, or what is left of it: at a later attempt that is not told from the number.
    const WallTime whole = begun + wait + slack;
    return whole > now ? whole : now + (advice.wait.count() != 0 ? advice.wait : std::max(at.passed, seconds{30})) + slack;
}

bool Greylists::taken(const std::string& name, std::uint64_t envelope, WallTime now)
{
    const auto found = hosts_.find(name);
    if (found == hosts_.end())
        return false;
    Host& at = found->second;
    const auto first = at.first.find(envelope);
    if (first == at.first.end()) {
        if (at.convicted_until <= now)
            at.cycles = 0;                              // a stranger was taken at once
        return false;
    }
    const WallTime begun = first->second;
    const seconds wait = std::max(seconds{1}, since(begun, now));
    at.first.erase(first);
    --total_;
    std::erase(at.order, envelope);
    where_.erase(envelope);
    if (at.passed.count() == 0 || wait < at.passed)
        at.passed = wait;
    if (at.refused >= at.passed)
        at.refused = seconds{0};
    if (begun > at.last_pass && ++at.cycles >= greylist_passes_needed)
        at.convicted_until = now + greylist_lifetime;
    at.last_pass = now;
    if (at.convicted_until <= now || (at.followed != WallTime{} && now - at.followed < std::max(at.passed, follow_again)))
        return false;
    at.followed = now;
    return true;
}

std::string Greylists::host_of(std::uint64_t envelope, WallTime now) const
{
    const auto at = where_.find(envelope);
    return at == where_.end() || !known(at->second, now) ? std::string() : at->second;
}

std::optional<Greylists::Lasting> Greylists::lasting(const std::string& name, WallTime now) const
{
    const auto at = hosts_.find(name);
    if (at == hosts_.end() || at->second.convicted_until <= now)
        return std::nullopt;
    return Lasting{at->second.convicted_until, at->second.passed, at->second.refused};
}

void Greylists::recall(const std::string& name, const Lasting& known)
{
    Host& at = host(name);
    at.convicted_until = known.until;
    at.passed = known.passed;
    at.refused = known.refused;
}

bool Greylists::known(const std::string& name, WallTime now) const
{
    const auto at = hosts_.find(name);
    return at != hosts_.end() && at->second.convicted_until > now;
}

}  // namespace posthorn::peers
