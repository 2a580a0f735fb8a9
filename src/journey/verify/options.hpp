// verify/options.hpp: the configuration as values.
#pragma once

#include "config/snapshot.hpp"
#include "verify/rules.hpp"
#include "verify/sender.hpp"

namespace posthorn::verify {

struct Options {
    std::string map;                              // "lmdb:/var/lib/postfix/verify_cache"; empty: in memory
    Rules rules;
    std::chrono::seconds cleanup_interval = std::chrono::hours{12};
    ProbeSender sender{"double-bounce"};
    std::size_t pending_limit = 5000;
    std::size_t site_sessions = 2, site_pending = 500;
    std::size_t refresh_rate = 60;                // a minute, ahead of questions

    /// `origin`: the domain that completes a sender without one.
    static Options from(const config::Snapshot& snapshot, std::string_view origin);
};

/// The sender of probes alone, for who has to know it again.
ProbeSender probe_sender(const config::Snapshot& snapshot, std::string_view origin);

}  // namespace posthorn::verify
