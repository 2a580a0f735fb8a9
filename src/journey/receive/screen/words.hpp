// receive/screen/words.hpp: how the lines of the tests before the greeting say things.
#pragma once

#include "base/clock.hpp"
#include "net/address.hpp"

#include <string>
#include <string_view>

namespace posthorn::receive::screen {

/// "[192.0.2.1]:4711", for a Unix socket too.
std::string name_of(const net::Endpoint& endpoint);
/// What a client said, as C writes it, and no more than 100 characters of that.
std::string in_c_form(std::string_view octets);
/// "0.21": seconds since then.
std::string time_since(SteadyTime begin);

}  // namespace posthorn::receive::screen
