// receive/screen/options.hpp: what the tests before the greeting were told, immutable.
// From     Options::from(snapshot) throws config::BadValue with parameter and word. Stress as in receive/options.hpp: both sets of values are read.
#pragma once

#include "config/snapshot.hpp"
#include "receive/screen/allowed.hpp"
#include "receive/screen/params.hpp"
#include "receive/screen/rank.hpp"
#include "smtp/ehlo.hpp"

namespace posthorn::receive::screen {

struct Options {
    static Options from(const config::Snapshot& snapshot);

    bool enabled = false;
    /// Of postscreen_access_list: words, or a table.
    struct Access {
        enum class Kind : std::uint8_t { permit, reject, dunno, permit_mynetworks, table } kind = Kind::dunno;
        std::string table;
    };
    /// What a word of a list, or a result of a table, says. None: it is no such word.
    static std::optional<Access> access_word(std::string_view word);

    std::vector<Access> access;
    Act denied = Act::ignore, early = Act::ignore, listed = Act::ignore;
    std::string interfaces;
    bool respectful = true;
    struct Pace {
        std::chrono::seconds wait{6}, command{300};
    } calm, stressed;
    std::string teaser;                           // without code; empty: none
    std::vector<RankedDomain> sites;
    int threshold = 1, good_threshold = 0;
    std::string reply_map;
    std::chrono::seconds dns_timeout{10}, dns_least{60}, dns_most{3600}, greet_life{86400}, retention{604800}, cleanup{43200};
    std::size_t memory_limit = 200'000;
    int command_limit = 20;
    bool helo_required = false, disable_vrfy = false;
    smtp::DiscardList discarded;
    std::string discard_maps, command_filter, footer, footer_maps;
    std::string forbidden;
    struct DeepTest {
        bool enabled = false;
        Act act = Act::ignore;
        std::chrono::seconds life{30 * 86400};
    };
    std::array<DeepTest, deep_tests> deep;        // by Deep
    std::size_t per_client = 50, most = 100;      // clients before the greeting
    bool proxied = false;
    std::chrono::seconds proxy_timeout{5};
};

}  // namespace posthorn::receive::screen
