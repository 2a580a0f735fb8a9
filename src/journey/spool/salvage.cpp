#include "spool/salvage.hpp"

#include "handoff/queue_id.hpp"
#include "spool/hash.hpp"
#include "spool/incoming.hpp"
#include "spool/ledger.hpp"
#include "spool/page_image.hpp"
#include "spool/schema.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <set>

namespace posthorn::spool {

namespace {

std::string building_name(const std::string& database) { return database + ".building"; }
std::string complete_name(const std::string& database) { return database + ".salvaged"; }

bool is_there(FileOps& files, const std::string& name)
{
    bool yes = false;
    return files.exists(name, yes) == 0 && yes;
}

void must(int error, std::string_view what)
{
    if (error)
        throw Failed(Failed::Kind::fatal, fmt::format("{}: {}", what, errno_text(error)));
}

const std::int64_t* integer(const Cell& cell, std::size_t column) { return std::get_if<std::int64_t>(&cell.values[column]); }
const std::string* blob(const Cell& cell, std::size_t column) { return std::get_if<std::string>(&cell.values[column]); }

/// Rows as they come off the pages. Everything but content is kept in memory until the end of the first pass.
struct Found {
    struct Message {
        std::int64_t flags = 0, hash = 0, size = 0, recipients = 0;
        std::optional<std::string> state;
        std::string envelope;
    };
    std::map<std::uint64_t, Message> messages;
    std::map<std::pair<std::uint64_t, std::uint32_t>, std::string> recipients;
    struct Taken {
        std::int64_t at = 0;
        std::string source, queue_id, here;
    };
    std::vector<Taken> taken;
    std::set<std::uint64_t> gone, contents;
    std::uint64_t counters[4] = {};

    void take(const Cell& cell)
    {
        const auto key = static_cast<std::uint64_t>(cell.rowid);
        if (!cell.table) {
            if (cell.values.size() == 3 && integer(cell, 0) && integer(cell, 1) && blob(cell, 2))
                recipients[{static_cast<std::uint64_t>(*integer(cell, 0)), static_cast<std::uint32_t>(*integer(cell, 1))}] = *blob(cell, 2);
        } else if (cell.values.size() == 8 && integer(cell, 1) && integer(cell, 3) && integer(cell, 4) && integer(cell, 5) && blob(cell, 7)) {
            const std::string* state = blob(cell, 6);
            messages[key] = {*integer(cell, 1), *integer(cell, 4), *integer(cell, 3), *integer(cell, 5), state ? std::optional(*state) : std::nullopt,
                             *blob(cell, 7)};
        } else if (cell.values.size() == 5 && integer(cell, 1) && blob(cell, 2) && blob(cell, 3) && blob(cell, 4)) {
            taken.push_back({*integer(cell, 1), *blob(cell, 2), *blob(cell, 3), *blob(cell, 4)});
        } else if (cell.values.size() == 4 && integer(cell, 1) && integer(cell, 2) && blob(cell, 3)) {
            const std::string& keys = *blob(cell, 3);
            for (std::size_t at = 0; at + 8 <= keys.size(); at += 8) {
                std::uint64_t each = 0;
                std::memcpy(&each, keys.data() + at, 8);
                gone.insert(each);
            }
        } else if (cell.values.size() == 3 && integer(cell, 1) && cell.rowid >= 1 && cell.rowid <= 3) {
            counters[cell.rowid] = std::max(counters[cell.rowid], static_cast<std::uint64_t>(*integer(cell, 1)));
        }
    }
};

bool is_content(const Cell& cell) { return cell.table && cell.values.size() == 2 && blob(cell, 1); }

/// Why the content of a message cannot be had, or nothing.
std::string missing_content(FileOps& files, const Found& found, std::uint64_t key, const Found::Message& message, const handoff::Envelope& envelope)
{
    if (!(message.flags & flag_file))
        return found.contents.contains(key) ? "" : "its content is damaged";
    std::unique_ptr<File> file;
    std::uint64_t size = 0;
    if (files.open(fmt::format("{}/{}", incoming_folder, envelope.queue_id()), Open::read_only, file) != 0 || file->size(size) != 0)
        return "its content file is missing";
    return size == static_cast<std::uint64_t>(message.size) ? "" : "its content file has not its size";
}

void put_in_place(FileOps& files, const std::string& database, const std::string& aside)
{
    // The log first: laid over the new database it would ruin it.
    for (const char* end : {"-wal", "-journal", ""}) {
        const std::string name = database + end;
        if (!is_there(files, name))
            continue;
        must(files.rename(name, aside + end), name);
        must(files.sync_folder(""), "queue directory");
    }
    must(files.rename(complete_name(database), database), database);
    must(files.sync_folder(""), "queue directory");
}

std::string free_name(FileOps& files, const std::string& database)
{
    for (int number = 1;; ++number)
        if (std::string name = fmt::format("{}.damaged-{}", database, number); !is_there(files, name) && !is_there(files, name + "-wal"))
            return name;
}

void sync_whole(FileOps& files, const std::string& name)
{
    std::unique_ptr<File> file;
    must(files.open(name, Open::read_write, file), name);
    must(file->sync(), name);
}

}  // namespace

void finish_salvage(FileOps& files, const std::string& database)
{
    for (const char* end : {"", "-journal"})
        if (is_there(files, building_name(database) + end))
            must(files.remove(building_name(database) + end), building_name(database));
    if (is_there(files, complete_name(database)))
        put_in_place(files, database, free_name(files, database));
}

void salvage(SqliteVfs& vfs, const std::string& database, std::uint32_t node, WallTime now, Opened& report)
{
    FileOps& files = vfs.files();
    finish_salvage(files, database);
    Found found;
    PageImage image(files, database);
    image.for_each_cell([&](const Cell& cell) { found.take(cell); });
    report.salvaged = true;
    report.lost_pages = image.lost_pages();

    {
        Ledger::Setup setup;
        setup.name = building_name(database);
        setup.node = node;
        setup.durable = false;
        auto opened = Ledger::open(vfs, setup, now);
        if (!opened)
            throw Failed(Failed::Kind::fatal, opened.error().text());
        Ledger& ledger = **opened;
        ledger.begin();
        // Content with its hash first: then it is known which message lost its own.
        image.for_each_cell([&](const Cell& cell) {
            if (!is_content(cell))
                return;
            const auto key = static_cast<std::uint64_t>(cell.rowid);
            const auto owner = found.messages.find(key);
            if (owner == found.messages.end()) {
                if (!found.gone.contains(key))
                    report.lost.push_back(fmt::format("message number {}: its envelope is damaged; {} octets of content stay in the damaged file",
                                                      Lease{key, 0}.sequence(), blob(cell, 1)->size()));
            } else if (content_hash(*blob(cell, 1)) == static_cast<std::uint64_t>(owner->second.hash)) {
                ledger.restore_content(key, *blob(cell, 1));
                found.contents.insert(key);
            }
        });
        std::uint64_t highest = 0;
        for (const auto& [key, message] : found.messages) {
            highest = std::max(highest, Lease{key, 0}.sequence());
            handoff::Envelope envelope;
            StoredRecipients state;
            const bool rows = message.flags & flag_rows;
            if (!envelope.ParseFromString(message.envelope) || (message.state && !state.ParseFromString(*message.state)) ||
                make_key(node, handoff::queue_id_sequence(envelope.queue_id()).value_or(0)) != key) {
                report.lost.push_back(fmt::format("message number {}: its envelope is damaged", Lease{key, 0}.sequence()));
                continue;
            }
            std::int64_t left = rows ? 0 : 1;
            StoredRecipient recipient;
            for (auto at = found.recipients.lower_bound({key, 0}); rows && at != found.recipients.end() && at->first.first == key; ++at) {
                if (!recipient.ParseFromString(at->second))
                    continue;
                ledger.restore_recipient(key, at->first.second, at->second);
                ++left;
            }
            if (left == 0) {
                report.lost.push_back(fmt::format("{}: from=<{}>, its recipients are damaged", envelope.queue_id(), envelope.sender()));
                continue;
            }
            if (rows && image.lost_pages() > 0)
                report.lost.push_back(
                    fmt::format("{}: from=<{}>, {} recipients are left; some may have been lost", envelope.queue_id(), envelope.sender(), left));
            std::int64_t flags = message.flags;
            if (const std::string missing = missing_content(files, found, key, message, envelope); !missing.empty()) {
                flags |= flag_hold;
                report.lost.push_back(fmt::format("{}: from=<{}>, {}; put on hold", envelope.queue_id(), envelope.sender(), missing));
            }
            ledger.restore_message(key, flags, message.recipients, envelope, static_cast<std::uint64_t>(message.hash), message.state);
        }
        // Numbers may have been handed out after the counter's page was last readable: leave a wide gap.
        constexpr std::uint64_t gap = 1 << 20;
        ledger.restore_counter(counter_queue_id, std::max(found.counters[counter_queue_id], highest + 1) + gap);
        ledger.restore_counter(counter_attempt, found.counters[counter_attempt] + (gap << 10));
        ledger.restore_counter(counter_epoch, found.counters[counter_epoch] + gap);
        for (const std::uint64_t key : found.gone)
            ledger.restore_gone(key);
        for (const Found::Taken& taken : found.taken)
            ledger.restore_taken(taken.at, taken.source, taken.queue_id, taken.here);
        ledger.commit(now);
    }
    sync_whole(files, building_name(database));
    must(files.rename(building_name(database), complete_name(database)), database);
    must(files.sync_folder(""), "queue directory");
    report.set_aside = free_name(files, database);
    put_in_place(files, database, report.set_aside);
}

}  // namespace posthorn::spool
