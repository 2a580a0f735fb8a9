#include "peers/early.hpp"

#include "base/strings.hpp"
#include "peers/observation.hpp"
#include "peers/record.hpp"

namespace posthorn::peers {

bool EarlyRecord::speaks() const
{
    return off_until != WallTime{} || path != PathRecord{} ||
           std::ranges::any_of(hosts, [](const EarlyHost& host) { return host.clear != 0 || host.tls != 0; });
}

bool note_early(EarlyRecord& record, const Observation& seen, WallTime now)
{
    record.last = now;
    std::erase_if(record.hosts, [&](const EarlyHost& host) { return !within(host.last, EarlyRecord::memory, now); });
    const bool news = seen.early_refused && record.off_until <= now;
    if (seen.early_refused)
        record.off_until = now + EarlyRecord::switched_off;
    const bool heard = seen.keywords_clear != 0 || seen.keywords_tls != 0;
    if (!seen.whole || !heard)
        return news;                            // nothing is known of its features: neither for nor against
    const std::string name = to_lower(seen.peer.banner_host);
    auto host = std::ranges::find(record.hosts, name, &EarlyHost::banner_host);
    if (host == record.hosts.end()) {
        if (record.hosts.size() >= EarlyRecord::hosts_at_most) {
            record.hosts.erase(std::ranges::min_element(record.hosts, {}, &EarlyHost::last));
            record.crowded = now;
        }
        host = record.hosts.insert(record.hosts.end(), EarlyHost{.banner_host = name});
    }
    host->last = now;
    const bool changed = (seen.early_clear != 0 && host->clear != 0 && seen.early_clear != host->clear) ||
                         (seen.early_tls != 0 && host->tls != 0 && seen.early_tls != host->tls);
    if (!seen.early_clean || changed)
        host->clean = {};
    if (!seen.early_clean) {
        host->clear = host->tls = 0;
        return news;
    }
    host->clear = seen.early_clear;
    if (seen.keywords_tls != 0)
        host->tls = seen.early_tls;
    std::ranges::rotate(host->clean, host->clean.end() - 1);
    host->clean.front() = now;
    if (seen.early_granted)
        host->clean.fill(now);
    return news;
}

Early early_of(const EarlyRecord& record, WallTime now)
{
    Early early;
    if (record.off_until > now || within(record.crowded, EarlyRecord::memory, now))
        return early;
    bool first = true;
    for (const EarlyHost& host : record.hosts) {
        if (!within(host.last, EarlyRecord::memory, now))
            continue;
        if (!within(host.clean.back(), EarlyRecord::memory, now))
            return {};
        if (!first && host.clear != early.clear)
            return {};
        if (first) {
            early.clear = host.clear;
            early.tls = host.tls;
        } else if (host.tls != early.tls)
            early.tls = 0;
        early.hosts.push_back(host.banner_host);
        first = false;
    }
    return early;
}

bool smells_of_pregreet_test(std::string_view reply)
{
    std::string text = to_lower(reply);
    for (const std::string_view words : {"pipelin", "pregreet", "synchroni", "protocol error", "too early", "talk first", "spoke too soon",
                                         "before greeting", "before the greeting", "wait for", "early talk", "out of turn"})
        if (text.find(words) != std::string::npos)
            return true;
    return false;
}

}  // namespace posthorn::peers
