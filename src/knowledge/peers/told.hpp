// peers/told.hpp: what a machine tells its siblings of a peer, and what becomes of it there. Pure.
// Told       what its own sessions convicted: quirks, limits of refusals, that TLS worked, that a quirk was taken back, ways that lose
//            large segments.
// Not told   what was told to it: nothing echoes, however siblings are connected. What depends on who asks from where, or may hurt who
//            believes it: greylisting, what MX sets ask for, who may be spoken to early or given content with its envelope, suspicions. The
//            class security.
// Clocks     of two machines differ: a word has ages and what is left of a life, no times. Nothing lives longer than its own life from when
//            it was heard.
// Wins       the younger evidence, ours or theirs; that a feature worked here is evidence too. What was told is expired and tested as what
//            was learned here, and is ours as soon as a session from here shows it.
#pragma once

#include "peers/learn.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::peers {

struct Word {
    struct Fault {
        Quirk quirk{};
        std::uint64_t number = 0;  // as in Mark
        std::string seen;
        std::chrono::milliseconds age{0}, left{0};
        bool operator==(const Fault&) const = default;
    };
    struct TakenBack {
        Quirk quirk{};
        std::chrono::milliseconds age{0};
        bool operator==(const TakenBack&) const = default;
    };
    PeerKey peer;
    std::vector<Fault> faults;
    std::vector<TakenBack> taken_back;
    Limits limits;  // of recipients and errors alone
    std::chrono::milliseconds limits_left{0};
    std::optional<std::chrono::milliseconds> tls_worked;  // so long ago
    bool operator==(const Word&) const = default;
};

struct WayWord {
    std::string address;
    std::uint32_t lost = 0;  // octets of the segments that are
    std::chrono::milliseconds left{0};
    bool operator==(const WayWord&) const = default;
};

/// None: there is nothing to tell.
std::optional<Word> word_of(const Record& record, WallTime now);
std::optional<WayWord> word_of(const std::string& address, const PathRecord& path, WallTime now);
/// Is there something to tell that was not told before? That the same is believed for a while longer is none.
bool tells_more(const Record& before, const Record& after, WallTime now);

/// Evidence that differs by less is the same, told once more.
inline constexpr std::chrono::seconds told_again{10};

/// `forgotten`: older evidence counts for nothing: an operator had it forgotten then. The same record where nothing was news.
Learned hear(Record record, const Word& word, std::string_view by, WallTime forgotten, WallTime now);
/// True: it was news.
bool hear(PathRecord& path, const WayWord& word, std::string_view by, WallTime forgotten, WallTime now);

}  // namespace posthorn::peers
