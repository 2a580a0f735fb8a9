#include "spool/opening.hpp"

#include "spool/incoming.hpp"
#include "spool/salvage.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <unistd.h>

#include <cerrno>

namespace posthorn::spool {

namespace {

constexpr std::size_t syncs_at_once = 4;
constexpr std::uint64_t checked_at_start = 64 << 20;    // a larger database is only read, as far as scheduling needs it

[[noreturn]] void refuse(std::string_view what, int error_number)
{
    throw Failed(Failed::Kind::fatal, fmt::format("{}: {}", what, errno_text(error_number)));
}

bool exists(FileOps& files, std::string_view name)
{
    bool yes = false;
    if (const int error = files.exists(name, yes))
        refuse(name, error);
    return yes;
}

std::unique_ptr<File> take_lock(FileOps& files)
{
    std::unique_ptr<File> lock;
    if (const int error = files.open(lock_name, Open::create, lock))
        refuse(lock_name, error);
    if (const int error = lock->lock()) {
        if (error == EAGAIN)
            throw Failed(Failed::Kind::busy, "another process has the queue open");
        refuse(lock_name, error);
    }
    return lock;
}

void make_incoming(FileOps& files)
{
    if (exists(files, incoming_folder))
        return;
    if (const int error = files.make_folder(incoming_folder))
        refuse(incoming_folder, error);
    if (const int error = files.sync_folder(""))
        refuse("queue directory", error);
}

/// See the header: the log's pages are written once more, by this process, before anything is built on them.
void rewrite_log(FileOps& files, const std::string& database)
{
    const std::string log = database + "-wal", copy = database + "-log-copy";
    std::unique_ptr<File> from, to;
    std::uint64_t size = 0;
    if (!exists(files, log))
        return;
    if (const int error = files.open(log, Open::read_only, from))
        refuse(log, error);
    if (const int error = from->size(size))
        refuse(log, error);
    if (size == 0)
        return;
    if (const int error = files.open(copy, Open::create, to))
        refuse(copy, error);
    int error = to->truncate(0);
    std::string piece(std::min<std::uint64_t>(size, 1 << 20), '\0');
    for (std::uint64_t at = 0; error == 0 && at < size;) {
        std::size_t got = 0;
        error = from->read(at, piece, got);
        if (error == 0 && got == 0)
            break;
        if (error == 0)
            error = to->write(at, {piece.data(), got});
        at += got;
    }
    if (error == 0)
        error = to->sync();
    if (error == 0)
        error = files.rename(copy, log);
    if (error == 0)
        error = files.sync_folder("");
    if (error)
        refuse(log, error);
}

/// What is on hold does not count: salvage puts a message there that has lost its content, and would do it anew at every start.
bool contents_are_there(Ledger& ledger)
{
    for (std::uint64_t after = 0;;) {
        const Page<StoredMessage> page = ledger.list(after, 256);
        for (const StoredMessage& message : page.entries)
            if (!message.hold && !ledger.content(message.lease))
                return false;
        if (page.done)
            return true;
        after = page.next;
    }
}

/// Reads what scheduling will read; for a small database, every page.
bool is_sound(Ledger& ledger, bool thoroughly) { return !thoroughly || (ledger.check_structure().empty() && contents_are_there(ledger)); }

std::uint64_t size_of(FileOps& files, const std::string& name)
{
    std::unique_ptr<File> file;
    std::uint64_t size = 0;
    if (files.open(name, Open::read_only, file) != 0 || file->size(size) != 0)
        return 0;
    return size;
}

Result<std::unique_ptr<Ledger>> open_ledger(Opening& opening, FileOps& files, const Options& options, const Clock& clock)
{
    opening.vfs = std::make_unique<SqliteVfs>(files);
    Ledger::Setup setup;
    setup.node = options.node;
    setup.cache_octets = options.cache_octets;
    setup.slack_octets = options.slack_octets;
    setup.remember_removed = options.remember_removed;
    return Ledger::open(*opening.vfs, setup, clock.wall());
}

}  // namespace

void mark_damaged(FileOps& files)
{
    std::unique_ptr<File> marker;
    if (files.open(damaged_name, Open::create, marker) == 0)
        files.sync_folder("");
}

Result<Opening> open_queue(FileOps& files, const Options& options, const Clock& clock, const observe::Log& log)
{
    try {
        Opening opening;
        opening.lock = take_lock(files);
        make_incoming(files);
        remove_spares(files);
        const std::string database(database_name);
        finish_salvage(files, database);
        bool damaged = exists(files, damaged_name);
        std::string why = "a page was found damaged by the last process";
        if (!damaged) {
            rewrite_log(files, database);
            try {
                TRY(opening.ledger, open_ledger(opening, files, options, clock));
                if (!is_sound(*opening.ledger, size_of(files, database) <= checked_at_start)) {
                    damaged = true;
                    why = "the check at start failed";
                }
            } catch (const Failed& failure) {
                if (failure.kind != Failed::Kind::damaged)
                    throw;
                damaged = true;
                why = failure.what();
            }
        }
        if (damaged) {
            log.error("queue database {} is damaged: {}; salvaging", database, why);
            opening.ledger.reset();
            opening.vfs = std::make_unique<SqliteVfs>(files);
            salvage(*opening.vfs, database, options.node, clock.wall(), opening.opened);
            for (const std::string& sentence : opening.opened.lost)
                log.warning("salvage: {}", sentence);
            log.warning("salvage: {} unreadable pages, the damaged database is kept as {}", opening.opened.lost_pages, opening.opened.set_aside);
            TRY(opening.ledger, open_ledger(opening, files, options, clock));
            files.remove(damaged_name);
            files.sync_folder("");
        }
        // Before anybody is answered, what the log holds is in the database as well, by writes of this process.
        opening.ledger->checkpoint();
        for (std::unique_ptr<File>& each : opening.logs = std::vector<std::unique_ptr<File>>(syncs_at_once))
            if (const int error = files.open(database + "-wal", Open::read_only, each))
                refuse(database + "-wal", error);
        opening.opened.orphans = opening.ledger->sweep(options.orphan_age);
        return opening;
    } catch (const Failed& failure) {
        return Error{fmt::format("queue database: {}", failure.what()), "4.3.0"};
    }
}

Result<std::uint64_t> messages_at_rest(const std::string& directory)
{
    const std::string file = directory + "/" + std::string(database_name);
    if (::access(file.c_str(), F_OK) != 0)
        return 0;
    try {
        Connection connection(file, SQLITE_OPEN_READWRITE, nullptr);
        return static_cast<std::uint64_t>(connection.number("SELECT count(*) FROM message"));
    } catch (const Failed& failure) {
        return Error{fmt::format("{}: {}", file, failure.what())};
    }
}

}  // namespace posthorn::spool
