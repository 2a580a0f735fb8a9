// sts/policy.hpp: what a domain says of the hosts that take its mail.                                                       RFC 8461 3, 4.1
// Record   "v=STSv1; id=20160831085700Z;": one of them counts, among whatever other TXT records there are; more than one is none.
// Policy   lines of "name: value"; of a field that is there twice the first counts, of "mx" each. Unknown ones are left alone.
// Known    a policy with its id and the time of its fetch, as octets that memory stores: "1 ID MICROSECONDS" and the policy.
// Limits   a policy of 64 KiB, max_age of 31 557 600 s (more is that), 100 hosts of which a policy of ours is made anew.
// Errors   what is wrong, in words for a log line. Pure.
#pragma once

#include "base/clock.hpp"
#include "base/error.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::sts {

enum class Mode : std::uint8_t { none, testing, enforce };
std::string_view mode_name(Mode mode);

struct Policy {
    Mode mode = Mode::none;
    std::vector<std::string> hosts;             // "mx.example.test"; "*.example.test": one label below it
    std::chrono::seconds max_age{0};

    bool operator==(const Policy&) const = default;
};

inline constexpr std::size_t policy_octets = 64 * 1024, hosts_at_most = 100;
inline constexpr std::chrono::seconds longest_age{31'557'600};

/// The id of the record among these texts; none: the domain has no such policy, whatever else it has there.
std::optional<std::string> id_of(std::span<const std::string> texts);
Result<Policy> parse_policy(std::string_view text);
std::string to_text(const Policy& policy);
/// Does one of the policy's hosts stand for this one?
bool names(const Policy& policy, std::string_view host);

struct Known {
    std::string id;
    WallTime fetched{};
    Policy policy;

    WallTime until() const { return fetched + policy.max_age; }
    bool operator==(const Known&) const = default;
};
std::string octets_of(const Known& known);
/// None: these are no such octets.
std::optional<Known> known_of(std::string_view octets);

}  // namespace posthorn::sts
