// heard/report.hpp: one report, of one domain, as somebody else sent it.
// Shape    a row is what others saw, as often as they say; the words are those in which we report to others (handoff/aggregate.proto).
// Trust    none: each text is one line of printable UTF-8 of at most `longest_text` octets; domains are in lower case.
//          Anybody can send such a report of anybody: what it says is what its sender claims.
// Bounds   so many rows; those that have no room are counted all the same (left_out).
#pragma once

#include "aggregate/report.hpp"
#include "base/error.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::heard {

inline constexpr std::size_t longest_text = 256;
inline constexpr std::size_t most_rows = 20'000;
/// What one row may count: beyond it is no number of mails or sessions that a day has.
inline constexpr std::uint64_t most_counted = 1'000'000'000'000;

struct Row {
    handoff::DmarcRow dmarc;         // of a report of DMARC
    handoff::TlsSeen tls;            // of one of TLS; without domain and record
    std::uint64_t count = 0;
    bool good = false;               // aligned; a session that was as the policy asks
};

struct Report {
    aggregate::Kind kind = aggregate::Kind::tls;
    std::string organization, contact, id;
    std::string domain;              // of whom
    std::string policy;              // of DMARC: "p=reject sp=none adkim=r"
    WallTime begin{}, end{};         // both 0: it does not say
    std::vector<Row> rows;
    std::uint64_t good = 0, bad = 0, left_out = 0;

    /// Counts it, and keeps it where there is room.
    void add(Row row);
};

/// As the head of this file has it.
std::string text_of(std::string_view octets);
/// The same in lower case without the last dot; empty where it is no host name.
std::string domain_of(std::string_view octets);

}  // namespace posthorn::heard
