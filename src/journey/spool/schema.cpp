#include "spool/schema.hpp"

#include "spool/sqlite.hpp"

#include <fmt/format.h>

namespace posthorn::spool {

namespace {

constexpr int application_id = 0x50486F72;      // "PHor"

// Tables differ in their number of columns: salvage tells rows of an unreadable tree apart by it.
constexpr Upgrade steps_known[] = {
    {1, R"(
        CREATE TABLE message(
            key INTEGER PRIMARY KEY, flags INTEGER NOT NULL, arrival INTEGER NOT NULL, size INTEGER NOT NULL,
            hash INTEGER NOT NULL, recipients INTEGER NOT NULL, state BLOB, envelope BLOB NOT NULL);
        CREATE TABLE content(key INTEGER PRIMARY KEY, octets BLOB NOT NULL);
        CREATE TABLE recipient(key INTEGER, position INTEGER, state BLOB NOT NULL, PRIMARY KEY(key, position)) WITHOUT ROWID;
        CREATE TABLE gone(id INTEGER PRIMARY KEY, at INTEGER NOT NULL, number INTEGER NOT NULL, keys BLOB NOT NULL);
        CREATE TABLE counter(id INTEGER PRIMARY KEY, value INTEGER NOT NULL, name TEXT NOT NULL);
        INSERT INTO counter VALUES(1, 1, 'queue_id'), (2, 1, 'attempt'), (3, 0, 'epoch');)"},
};

}  // namespace

std::span<const Upgrade> upgrades() { return steps_known; }

Result<void> bring_up(Connection& connection, std::span<const Upgrade> steps)
{
    const std::int64_t owner = connection.number("PRAGMA application_id");
    const std::int64_t version = connection.number("PRAGMA user_version");
    const bool empty = connection.number("SELECT count(*) FROM sqlite_schema") == 0;
    if (!empty && owner != application_id)
        return Error{"the file is a database, but not a queue of Posthorn", "4.3.5"};
    if (version > steps.back().to)
        return Error{fmt::format("the queue has format {}, this program knows formats up to {}: it was written by a newer version; "
                                 "install that again",
                                 version, steps.back().to),
                     "4.3.5"};
    for (const Upgrade& step : steps)
        if (step.to > version)
            connection.run(
                fmt::format("BEGIN IMMEDIATE; {} PRAGMA application_id = {}; PRAGMA user_version = {}; COMMIT;", step.sql, application_id, step.to));
    return {};
}

}  // namespace posthorn::spool
