// peers/greylist.hpp: hosts that refuse every stranger at first and take the same envelope later. Pure; time is given.
// Known by   the rule file's word `greylist` for the reply; or by conduct: three times running an envelope was put off at its first attempt in the
//            same words and taken later from the same address, each begun only after the one before had passed, and none was taken
//            at its first attempt meanwhile. An outage puts all off once; afterwards strangers are taken at once: it teaches nothing.
// Time       what the reply names, else the rule, else the shortest wait that has passed (narrowed by half where a shorter one was refused
//            long before it). Beyond three times that, the general back-off counts.
// Follow     the first envelope that passes lets those that wait for the same host go; not again before that time has passed once more.
// Bounded    hosts, envelopes of each, and envelopes in all; the oldest go. An envelope is a hash of sender and recipient.
#pragma once

#include "peers/known.hpp"

#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace posthorn::peers {

inline constexpr std::chrono::hours greylist_lifetime{7 * 24};
inline constexpr unsigned greylist_passes_needed = 3;
inline constexpr std::size_t greylist_hosts = 2000, greylist_envelopes = 1000, greylist_total = 50'000;

std::uint64_t envelope_of(std::string_view sender, std::string_view recipient);

class Greylists {
public:
    /// Put off by `host` (an address) at RCPT or DATA with a 4yz. When the same envelope may pass; none: nothing is known of that.
    std::optional<WallTime> put_off(const std::string& host, std::uint64_t envelope, std::string_view reply, const Advice& advice, WallTime now);
    /// Taken. True: what waits for this host may follow.
    bool taken(const std::string& host, std::uint64_t envelope, WallTime now);
    /// The host (address), known to greylist, where this envelope's time runs; empty: none.
    std::string host_of(std::uint64_t envelope, WallTime now) const;
    /// Known as one that greylists, by a rule or by conduct.
    bool known(const std::string& host, WallTime now) const;
    bool empty() const { return hosts_.empty(); }
    bool has(const std::string& host) const { return hosts_.contains(host); }
    /// What is worth knowing in another process, or after a restart: a host known to greylist, and its time.
    struct Lasting {
        WallTime until{};
        std::chrono::seconds passed{0}, refused{0};
    };
    std::optional<Lasting> lasting(const std::string& host, WallTime now) const;
    void recall(const std::string& host, const Lasting& known);
    void forget(const std::string& host);
    std::size_t envelopes() const { return total_; }

private:
    struct Host {
        WallTime convicted_until{};                 // by rule or conduct
        std::chrono::seconds passed{0}, refused{0}; // the shortest wait that passed, the longest that did not; 0: none
        unsigned cycles = 0;
        std::string words;                          // of the refusal, without what differs from mail to mail
        WallTime last_pass{}, followed{};
        std::unordered_map<std::uint64_t, WallTime> first;
        std::list<std::uint64_t> order;             // of `first`: the oldest comes first
        std::list<std::string>::iterator place;
    };
    Host& host(const std::string& name);
    void forget_oldest();
    static std::chrono::seconds learned_wait(const Host& host);

    std::unordered_map<std::string, Host> hosts_;
    std::list<std::string> order_;                  // the one used last comes first
    std::unordered_map<std::uint64_t, std::string> where_;
    std::size_t total_ = 0;                         // envelopes
};

}  // namespace posthorn::peers
