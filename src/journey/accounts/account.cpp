#include "accounts/account.hpp"

#include "net/address.hpp"

#include <algorithm>
#include <limits>

namespace posthorn::accounts {

namespace {

constexpr std::int64_t an_hour = 60, a_day = 24 * an_hour;            // minutes

std::int64_t minute_of(WallTime time) { return std::chrono::floor<std::chrono::minutes>(time).time_since_epoch().count(); }
std::int64_t day_of(WallTime time) { return std::chrono::floor<std::chrono::days>(time).time_since_epoch().count(); }
std::int64_t microseconds_of(WallTime time) { return time.time_since_epoch().count(); }
WallTime time_of(std::int64_t microseconds) { return WallTime{std::chrono::microseconds{microseconds}}; }

void add_to(std::uint32_t& count, std::uint32_t more)
{
    constexpr std::uint32_t most = std::numeric_limits<std::uint32_t>::max();
    count = more > most - count ? most : count + more;
}

Counts counts_of(const handoff::AccountCounts& stored) { return {stored.messages(), stored.recipients(), stored.tried(), stored.refused()}; }

}  // namespace

void Counts::add(const Counts& more)
{
    add_to(messages, more.messages);
    add_to(recipients, more.recipients);
    add_to(tried, more.tried);
    add_to(refused, more.refused);
}

std::string network_of(std::string_view client_address)
{
    const auto address = net::IpAddress::parse(client_address);
    return address ? address->network(address->is_v6() ? 32 : 16) : std::string();
}

Account::Account(const handoff::Account& stored) : since_(time_of(stored.since())), last_(time_of(stored.last()))
{
    for (const handoff::AccountBucket& bucket : stored.buckets())
        buckets_.push_back({bucket.minute(), counts_of(bucket.counts())});
    for (const handoff::AccountDay& day : stored.days())
        days_.push_back({day.day(), day.busiest_hour(), day.recipients()});
    for (const handoff::AccountNetwork& network : stored.networks())
        networks_.push_back({network.network(), time_of(network.first()), time_of(network.last())});
}

void Account::store(handoff::Account& into) const
{
    into.set_since(microseconds_of(since_));
    into.set_last(microseconds_of(last_));
    for (const Bucket& bucket : buckets_) {
        handoff::AccountBucket& stored = *into.add_buckets();
        stored.set_minute(bucket.minute);
        stored.mutable_counts()->set_messages(bucket.counts.messages);
        stored.mutable_counts()->set_recipients(bucket.counts.recipients);
        stored.mutable_counts()->set_tried(bucket.counts.tried);
        stored.mutable_counts()->set_refused(bucket.counts.refused);
    }
    for (const Day& day : days_) {
        handoff::AccountDay& stored = *into.add_days();
        stored.set_day(day.day);
        stored.set_busiest_hour(day.busiest_hour);
        stored.set_recipients(day.recipients);
    }
    for (const Network& network : networks_) {
        handoff::AccountNetwork& stored = *into.add_networks();
        stored.set_network(network.text);
        stored.set_first(microseconds_of(network.first));
        stored.set_last(microseconds_of(network.last));
    }
}

void Account::handed_in(std::uint32_t recipients, std::string_view network, WallTime now)
{
    count({.messages = 1, .recipients = recipients}, now);
    last_ = now;
    const std::int64_t today = day_of(now);
    if (days_.empty() || days_.back().day < today) {
        days_.push_back({today, 0, 0});
        if (days_.size() > usual_days + 1)
            days_.erase(days_.begin());
    }
    Day& day = days_.back();
    add_to(day.recipients, recipients);
    day.busiest_hour = std::max(day.busiest_hour, within_hour(now).recipients);
    if (network.empty())
        return;
    const auto known = std::ranges::find(networks_, network, &Network::text);
    if (known != networks_.end()) {
        known->last = now;
        return;
    }
    if (networks_.size() >= most_networks)
        networks_.erase(std::ranges::min_element(networks_, {}, &Network::last));
    networks_.push_back({std::string(network), now, now});
}

void Account::tried(bool refused, WallTime now) { count({.tried = 1, .refused = refused ? 1U : 0U}, now); }

void Account::count(const Counts& more, WallTime now)
{
    const std::int64_t minute = minute_of(now);
    if (buckets_.empty() || buckets_.back().minute < minute) {
        tidy(now);
        buckets_.push_back({minute, {}});
    }
    buckets_.back().counts.add(more);
}

/// What is older than an hour is kept by the hour, what is older than a day not at all.
void Account::tidy(WallTime now)
{
    const std::int64_t minute = minute_of(now);
    std::vector<Bucket> kept;
    for (const Bucket& bucket : buckets_) {
        if (bucket.minute <= minute - a_day - an_hour)
            continue;
        const bool old = bucket.minute <= minute - an_hour;
        const std::int64_t from = old ? bucket.minute - bucket.minute % an_hour : bucket.minute;
        if (!kept.empty() && kept.back().minute == from && old)
            kept.back().counts.add(bucket.counts);
        else
            kept.push_back({from, bucket.counts});
    }
    buckets_ = std::move(kept);
}

Counts Account::within_hour(WallTime now) const
{
    Counts sum;
    for (const Bucket& bucket : buckets_)
        if (bucket.minute > minute_of(now) - an_hour)
            sum.add(bucket.counts);
    return sum;
}

Counts Account::within_day(WallTime now) const
{
    Counts sum;
    for (const Bucket& bucket : buckets_)
        if (bucket.minute > minute_of(now) - a_day)
            sum.add(bucket.counts);
    return sum;
}

std::uint32_t Account::usual_hour(WallTime now) const
{
    std::uint32_t most = 0;
    for (const Day& day : days_)
        if (day.day < day_of(now))
            most = std::max(most, day.busiest_hour);
    return most;
}

std::size_t Account::days_before(WallTime now) const
{
    return static_cast<std::size_t>(std::ranges::count_if(days_, [&](const Day& day) { return day.day < day_of(now); }));
}

Account::Networks Account::networks(WallTime now) const
{
    Networks found;
    for (const Network& network : networks_) {
        if (network.last <= now - std::chrono::hours{1})
            continue;
        ++found.seen;
        if (network.first > now - std::chrono::hours{1})
            ++found.fresh;
    }
    return found;
}

}  // namespace posthorn::accounts
