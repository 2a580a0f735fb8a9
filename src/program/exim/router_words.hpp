// exim/router_words.hpp: the forms in which routers ask for whom mail is, and what stands for an address that no file names.
#pragma once

#include "exim/expansion.hpp"

#include <string>
#include <string_view>

namespace posthorn::exim {

/// What stands for any local part that no file names: no address has it.
inline constexpr const char* no_local_part = "\x01";

/// "$local_part" in one of its forms: what a lookup's key may be. Likewise of the whole address, and of its domain.
bool is_local_part(std::string_view key);
bool is_address(std::string_view key);
bool is_domain(std::string_view key);

/// The same, with this local part.
Known with_local_part(Known known, const std::string& local);

}  // namespace posthorn::exim
