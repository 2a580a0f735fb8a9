// heard/unpack.hpp: what is packed by gzip or zip, up to so many octets.                         RFC 1951, RFC 1952, APPNOTE.TXT 4.3
// Shape    gzip: all members, one after the other. zip: its first entry that is a file, stored or deflated, with its sizes before or behind it.
// Errors   no such format, damaged (also by its checksum), cut off, encrypted, another method, more octets than `most`.
// Trust    none. Memory is within `most`, whatever the input claims: no size that it names is believed.
// Pure.
#pragma once

#include "base/error.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace posthorn::heard {

bool is_gzip(std::string_view octets);
bool is_zip(std::string_view octets);

Result<std::string> unpack_gzip(std::string_view octets, std::size_t most);
Result<std::string> unpack_zip(std::string_view octets, std::size_t most);

}  // namespace posthorn::heard
