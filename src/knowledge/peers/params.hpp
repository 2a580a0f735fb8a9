// peers/params.hpp: the parameters of this room.
#pragma once

#include "config/param.hpp"
#include "peers/book.hpp"

#include <array>

namespace posthorn::config {

template <>
inline constexpr auto words<posthorn::peers::Learning> = std::to_array<Word<posthorn::peers::Learning>>(
    {{"no", posthorn::peers::Learning::no}, {"report", posthorn::peers::Learning::report}, {"yes", posthorn::peers::Learning::yes}});

}  // namespace posthorn::config

namespace posthorn::peers {

// clang-format off
inline constexpr config::Param<Learning> smtp_peer_learning{.name = "smtp_peer_learning", .initial = "yes", .doc = "Learn from sessions what other servers do wrong, and speak with them accordingly. report: log what was learned, and change nothing.", .since = "posthorn 0.1", .own = true};
inline constexpr config::Param<std::string> smtp_peer_rules{.name = "smtp_peer_rules", .initial = "shipped", .doc = "Files with rules for servers by their names, greetings, EHLO replies and refusals, in order; shipped: the rules that came with the program.", .since = "posthorn 0.1", .own = true};
// clang-format on

inline constexpr auto params = std::to_array<config::ParamInfo>({smtp_peer_learning, smtp_peer_rules});

/// The rules of smtp_peer_rules. A file that cannot be read or has an error is left out, and `troubles` says so in full lines.
std::shared_ptr<const Rules> load_rules(std::string_view files, std::vector<std::string>& troubles);

}  // namespace posthorn::peers
