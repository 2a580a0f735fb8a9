// sim/peers.hpp: the scripts of sim/peers, compiled in.
#pragma once

#include "sim/script.hpp"

#include <span>
#include <string_view>

namespace posthorn::sim {

struct PeerFile {
    std::string_view name, text;
};

/// Sorted by name.
std::span<const PeerFile> peer_files();
/// The text of one; empty where there is none of that name.
std::string_view peer_text(std::string_view name);

}  // namespace posthorn::sim
