// receive/screen/words.hpp: how the lines of the tests before the greeting say things.
#pragma once

#include "base/clock.hpp"
#include "net/address.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace posthorn::receive::screen {

/// "[192.0.2.1]:4711", for a Unix socket too.
std::string name_of(const net::Endpoint& endpoint);
/// What a client said, as C writes it, and no more than 100 characters of that.
std::string in_c_form(std::string_view octets);
/// "0.21": seconds since then.
std::string time_since(SteadyTime begin);

/// "a@b" of "FROM:<a@b> SIZE=1", and of "FROM: a@b"; none where the word before it is not `keyword`. A part of `arguments`: whom every recipient is
/// refused needs no exact reading.
std::optional<std::string_view> address_behind(std::string_view keyword, std::string_view arguments);

}  // namespace posthorn::receive::screen
