// siblings/words.hpp: what is told, as values and as frames.
// Trust    none: all of a frame is read before anything of it counts; one word that is none ends the session.
// Errors   5.5.2, with what is wrong. A quirk of a later version is left out, no error.
#pragma once

#include "base/error.hpp"
#include "peers/told.hpp"
#include "siblings/said.pb.h"
#include "verify/told.hpp"

#include <string>
#include <vector>

namespace posthorn::siblings {

inline constexpr std::size_t words_at_most = 10'000;    // of a frame

struct Asked {
    std::string key;
    bool over = false;
    bool operator==(const Asked&) const = default;
};

struct Words {
    std::vector<peers::Word> peers;
    std::vector<peers::WayWord> ways;
    std::vector<verify::Told> addresses;
    std::vector<Asked> asking;
    std::size_t size() const { return peers.size() + ways.size() + addresses.size(); }
    bool operator==(const Words&) const = default;
};

Result<Words> words_of(const Said& said);
/// How many octets it takes there.
std::size_t add(Said& said, const peers::Word& word);
std::size_t add(Said& said, const peers::WayWord& word);
std::size_t add(Said& said, const verify::Told& word);
std::size_t add(Said& said, const Asked& asked);

/// A host name, or what may stand for one in a log line.
bool is_name(std::string_view name);

}  // namespace posthorn::siblings
