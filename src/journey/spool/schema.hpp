// spool/schema.hpp: the tables, their version, and the way from an older version to this one.
// message    one row per message; flags and what the scheduler needs in columns; the envelope as stored at first; `state`: the recipients
//            that are left, NULL while none was tried. Removing a message of one recipient touches this row and its content, nothing else.
// recipient  one row per recipient where there are more than inline_recipients: a verdict must not rewrite 50 000 of them.
// content    up to 64 KiB; larger content is the file incoming/QUEUE_ID.
// gone       keys of messages that left lately, one row per commit: "was it committed?" must be answered right after a crash as well.
// counter    numbers never given twice, and the epoch of the leases.
// taken      what was taken over from another queue, until it has left that: made by the first that comes, so that the program before this one can
//            still read a queue nobody handed anything to. For it, a message that leaves is one on hold.
#pragma once

#include "base/error.hpp"

#include <cstddef>
#include <span>
#include <string>

namespace posthorn::spool {

class Connection;

inline constexpr std::size_t inline_recipients = 8;

/// Bits of message.flags.
enum Flag : unsigned {
    flag_hold = 1,
    flag_expire = 2,
    flag_warned = 4,
    flag_rows = 8,
    flag_file = 16,
    flag_requeue = 32,
    flag_leaving = 64,
    flag_held_before = 128
};

/// Rows of table counter.
enum CounterRow { counter_queue_id = 1, counter_attempt = 2, counter_epoch = 3 };

/// Differs from the others in its number of columns, as salvage needs it.
inline constexpr const char* taken_table =
    "CREATE TABLE IF NOT EXISTS taken(id INTEGER PRIMARY KEY, at INTEGER NOT NULL, source BLOB NOT NULL, queue_id BLOB NOT NULL, "
    "here BLOB NOT NULL, UNIQUE(source, queue_id))";

struct Upgrade {
    int to;                     // the version reached; versions follow each other
    const char* sql;
};
/// From nothing (version 0) to the newest.
std::span<const Upgrade> upgrades();

/// Brings the database to the newest version, one transaction per step. An Error where it was made by a newer program.
Result<void> bring_up(Connection& connection, std::span<const Upgrade> steps);

}  // namespace posthorn::spool
