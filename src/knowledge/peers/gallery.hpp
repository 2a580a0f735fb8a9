// peers/gallery.hpp: the portraits of all addresses and sites, in memory's process; and how much of what changes is said in the log.
// Gallery   looks at each session that has ended, keeps what it altered (Shelf), tells what changed. A session that shows the same as those before
//           it writes nothing. Bounded: `capacity` portraits are held, those used least recently go.
// Herald    at most herald_lines lines for a site in an hour, from its first on; how many more there were is said when the hour is over.
#pragma once

#include "peers/book.hpp"
#include "peers/portrait.hpp"

#include <cstdint>
#include <functional>
#include <list>
#include <string>
#include <unordered_map>
#include <vector>

namespace posthorn::peers {

/// Under which the portrait of an address is kept, "192.0.2.1", with a port other than 25 "192.0.2.1 587"; and that of a site.
std::string portrait_key(const PeerKey& peer, std::uint16_t port);
std::string portrait_key_of_site(std::string_view site);
/// It is that of this peer's address, whatever the port, or of its site.
bool is_portrait_of(std::string_view key, const PeerKey& peer);

class Gallery {
public:
    Gallery(const Clock& clock, Wants wants, std::size_t capacity, Shelf* shelf);

    void want(Wants wants) { wants_ = wants; }
    /// Of a session that has ended; others say nothing yet.
    void take(const Observation& observation);
    /// What is believed now of the limits of this session's peer.
    void take(const Observation& observation, const Limits& limits);
    /// Nothing is known of how this address, or this site, was.
    void forget(const std::string& key);
    /// Of those held here.
    std::vector<std::string> keys() const { return {order_.begin(), order_.end()}; }

    /// Told of each change, once. Whose: a site has no address.
    std::function<void(const PeerKey&, const Change&)> on_change;

private:
    struct Hung {
        Portrait portrait;
        std::list<std::string>::iterator place;
    };
    Portrait& hang(const std::string& key);
    void seen(const std::string& key, const PeerKey& peer, const std::function<Look(Portrait&)>& look);

    const Clock& clock_;
    Wants wants_;
    std::size_t capacity_;
    Shelf* shelf_;
    std::unordered_map<std::string, Hung> all_;
    std::list<std::string> order_;      // the one used last comes first
};

inline constexpr std::uint32_t herald_lines = 10;
inline constexpr std::size_t herald_sites = 10'000;
inline constexpr std::chrono::hours herald_hour{1};

class Herald {
public:
    struct Silenced {
        std::string site;
        std::uint32_t changes = 0;
        WallTime since{};
    };
    /// May one more line be said of this site?
    bool may(const std::string& site, WallTime now);
    /// Hours that are over, with what was not said in them.
    std::vector<Silenced> over(WallTime now);

private:
    struct Hour {
        WallTime begun{};
        std::uint32_t said = 0, silenced = 0;
    };
    std::unordered_map<std::string, Hour> hours_;
};

}  // namespace posthorn::peers
