// aggregate/settings.hpp: what main.cf says of reports.
#pragma once

#include "config/snapshot.hpp"

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::aggregate {

/// aggregate_reports. Throws config::BadValue where a word is none of its.
struct Wanted {
    bool tls = false, dmarc = false;
    bool any() const { return tls || dmarc; }
    static Wanted from(const config::Snapshot& snapshot);
};

struct Settings {
    std::string organization, address;
    std::chrono::seconds spread{};
    std::vector<std::string> exceptions;           // domains, or ".domain" with all below it
    bool except(std::string_view domain) const;
    /// Throws config::BadValue where the address is none with a domain.
    static Settings from(const config::Snapshot& snapshot);
};

}  // namespace posthorn::aggregate
