// receive/policy/policy_test.hpp: whom the tables of restrictions are about, and what they are told.
#pragma once

#include "receive/testing.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace posthorn::receive::testing {

using Settings = std::vector<std::pair<std::string, std::string>>;

inline constexpr std::string_view out = "192.0.2.1";        // a client that is not of mynetworks
inline constexpr std::string_view me = "user@example.test", stranger = "a@b.test";
inline constexpr std::string_view ok = "250 2.1.5 Ok";

}  // namespace posthorn::receive::testing
