#include "spool/jobs.hpp"

#include "spool/incoming.hpp"
#include "spool/schema.hpp"

#include <sqlite3.h>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace posthorn::spool {

namespace {

constexpr int pages_per_step = 256;
constexpr std::size_t messages_per_step = 256;

bool is_plain_name(std::string_view name)
{
    return !name.empty() && name.front() != '.' && name.size() <= 128 &&
           std::ranges::all_of(name, [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_' || c == '.'; });
}

class CheckJob final : public Job<std::vector<std::string>> {
public:
    std::optional<Result<std::vector<std::string>>> step(Ledger& ledger) override
    {
        if (!structure_done_) {
            structure_done_ = true;
            findings_ = ledger.check_structure();              // one piece: the tree can only be checked standing still
            return {};
        }
        Page<std::string> page = ledger.check_content(after_, messages_per_step);
        std::ranges::move(page.entries, std::back_inserter(findings_));
        after_ = page.next;
        if (!page.done)
            return {};
        return std::move(findings_);
    }

private:
    bool structure_done_ = false;
    std::uint64_t after_ = 0;
    std::vector<std::string> findings_;
};

/// The database by SQLite's own backup, which follows what this connection writes meanwhile; then content files by link: they never
/// change, and while this runs none is removed. Then what stands beside it, by link as well: such a file is only ever replaced as a whole.
class BackupJob final : public Job<bool> {
public:
    BackupJob(std::string folder, std::vector<std::string> beside)
        : folder_(std::move(folder)), database_(fmt::format("{}/{}", folder_, database_name)), beside_(std::move(beside))
    {
    }
    ~BackupJob() override
    {
        if (backup_)
            sqlite3_backup_finish(backup_);
    }

    std::optional<Result<bool>> step(Ledger& ledger) override
    {
        try {
            auto done = turn(ledger);
            if (done && holds_)
                ledger.release_files();
            return done;
        } catch (const Failed& failure) {                      // of the copy's own files
            if (holds_)
                ledger.release_files();
            return Result<bool>(Error{fmt::format("backup: {}", failure.what()), failure.kind == Failed::Kind::full ? "4.3.1" : "4.3.0"});
        }
    }

private:
    std::optional<Result<bool>> turn(Ledger& ledger)
    {
        if (!target_)
            return begin(ledger);
        if (backup_) {
            const int code = sqlite3_backup_step(backup_, pages_per_step);
            if (code == SQLITE_OK || code == SQLITE_BUSY || code == SQLITE_LOCKED)
                return {};
            sqlite3_backup_finish(std::exchange(backup_, nullptr));
            if (code != SQLITE_DONE)
                target_->fail(code, "backup");
            return {};
        }
        return link_files(ledger.files());
    }

    std::optional<Result<bool>> begin(Ledger& ledger)
    {
        FileOps& files = ledger.files();
        if (!is_plain_name(folder_) || folder_ == incoming_folder)
            return Result<bool>(Error{"backup: the folder must be a plain name inside the queue directory", "4.3.0"});
        for (const std::string& name : {folder_, fmt::format("{}/{}", folder_, incoming_folder)})
            if (const int error = files.make_folder(name))
                return Result<bool>(Error{fmt::format("backup: {}: {}", name, errno_text(error)), "4.3.0"});
        vfs_ = std::make_unique<SqliteVfs>(files);             // of its own: a failure here must not end the queue's
        target_ = std::make_unique<Connection>(database_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs_->name());
        target_->run("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF");
        backup_ = sqlite3_backup_init(target_->get(), "main", ledger.connection().get(), "main");
        if (!backup_)
            target_->fail(sqlite3_errcode(target_->get()), "backup");
        ledger.hold_files();
        holds_ = true;
        return {};
    }

    std::optional<Result<bool>> link_files(FileOps& files)
    {
        Statement rows(*target_, "SELECT key, flags, envelope FROM message WHERE key > ? ORDER BY key LIMIT ?");
        rows.bind(1, static_cast<std::int64_t>(after_)).bind(2, static_cast<std::int64_t>(messages_per_step));
        std::size_t seen = 0;
        handoff::Envelope envelope;
        for (; rows.step(); ++seen) {
            after_ = static_cast<std::uint64_t>(rows.integer(0));
            const std::string_view octets = rows.blob(2);
            if (!(rows.integer(1) & flag_file) || !envelope.ParseFromArray(octets.data(), static_cast<int>(octets.size())))
                continue;
            const std::string name = incoming_name(envelope.queue_id());
            must(files.link(name, fmt::format("{}/{}", folder_, name)), name);
        }
        if (seen == messages_per_step)
            return {};
        target_.reset();
        for (const std::string& name : beside_)
            if (const int error = files.link(name, fmt::format("{}/{}", folder_, name)); error != ENOENT)
                must(error, name);
        std::unique_ptr<File> file;
        must(files.open(database_, Open::read_write, file), database_);
        must(file->sync(), database_);
        must(files.sync_folder(fmt::format("{}/{}", folder_, incoming_folder)), folder_);
        must(files.sync_folder(folder_), folder_);
        must(files.sync_folder(""), "queue directory");
        return true;
    }

    static void must(int error, std::string_view what)
    {
        if (error)
            throw Failed(error == ENOSPC ? Failed::Kind::full : Failed::Kind::fatal, fmt::format("{}: {}", what, errno_text(error)));
    }

    std::string folder_, database_;
    std::vector<std::string> beside_;
    std::unique_ptr<SqliteVfs> vfs_;
    std::unique_ptr<Connection> target_;
    sqlite3_backup* backup_ = nullptr;
    bool holds_ = false;
    std::uint64_t after_ = 0;
};

constexpr const char* snapshot_schema = R"(
    CREATE TABLE message(
        key INTEGER PRIMARY KEY, node INTEGER, sequence INTEGER, queue_id TEXT, sender TEXT, arrival INTEGER, size INTEGER,
        hold INTEGER, expire INTEGER, recipients INTEGER, message_id TEXT, client_name TEXT, client_address TEXT, helo TEXT,
        protocol TEXT, sasl_username TEXT);
    CREATE TABLE recipient(
        key INTEGER, position INTEGER, queue_id TEXT, address TEXT, original TEXT, tries INTEGER, next_try INTEGER, status TEXT,
        reason TEXT, relay TEXT, PRIMARY KEY(key, position)) WITHOUT ROWID;)";

/// Copies the queue in key order between commits; what changes meanwhile is noted and copied again at the end, in one turn, so that
/// the snapshot is the queue at that moment.
class SnapshotJob final : public Job<std::shared_ptr<Snapshot>> {
public:
    std::optional<Result<std::shared_ptr<Snapshot>>> step(Ledger& ledger) override
    {
        try {
            if (!target_) {
                begin(ledger);
                return {};
            }
            Page<StoredMessage> page = ledger.list(after_, messages_per_step);
            for (const StoredMessage& message : page.entries)
                insert(message);
            after_ = page.next;
            if (!page.done)
                return {};
            ledger.note_changes(nullptr);
            catch_up(ledger);
            target_->run("COMMIT");
            insert_message_.reset();
            insert_recipient_.reset();
            target_.reset();
            return std::move(snapshot_);
        } catch (const Failed& failure) {
            ledger.note_changes(nullptr);
            if (failure.kind == Failed::Kind::damaged)
                throw;
            return Result<std::shared_ptr<Snapshot>>(
                Error{fmt::format("snapshot: {}", failure.what()), failure.kind == Failed::Kind::full ? "4.3.1" : "4.3.0"});
        }
    }

private:
    void begin(Ledger& ledger)
    {
        static std::uint64_t number = 0;
        const std::string name = fmt::format("snapshot-{}.db", ++number);      // one writer thread numbers them
        ledger.files().remove(name);                                           // of a process that ended early
        snapshot_ = std::make_shared<Snapshot>(ledger.files(), name);
        vfs_ = std::make_unique<SqliteVfs>(ledger.files());
        target_ = std::make_unique<Connection>(name, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs_->name());
        target_->run("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF");
        target_->run(snapshot_schema);
        target_->run("BEGIN");
        insert_message_ = std::make_unique<Statement>(*target_, "INSERT INTO message VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
        insert_recipient_ = std::make_unique<Statement>(*target_, "INSERT INTO recipient VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
        ledger.note_changes(&changed_);
    }

    void insert(const StoredMessage& message)
    {
        const handoff::Envelope& envelope = message.envelope;
        const auto key = static_cast<std::int64_t>(message.lease.key);
        insert_message_->bind(1, key)
            .bind(2, message.lease.node())
            .bind(3, static_cast<std::int64_t>(message.lease.sequence()))
            .bind_text(4, envelope.queue_id())
            .bind_text(5, envelope.sender())
            .bind(6, envelope.arrival() / 1'000'000)
            .bind(7, static_cast<std::int64_t>(envelope.size()))
            .bind(8, message.hold)
            .bind(9, message.expire)
            .bind(10, static_cast<std::int64_t>(message.recipients.size()))
            .bind_text(11, envelope.message_id())
            .bind_text(12, envelope.client().name())
            .bind_text(13, envelope.client().address())
            .bind_text(14, envelope.client().helo())
            .bind_text(15, envelope.client().protocol())
            .bind_text(16, envelope.client().sasl_username())
            .run();
        for (const RecipientState& each : message.recipients) {
            static const handoff::Verdict none;
            const handoff::Verdict& last = each.last ? *each.last : none;
            insert_recipient_->bind(1, key)
                .bind(2, each.recipient.index())
                .bind_text(3, envelope.queue_id())
                .bind_text(4, each.recipient.address())
                .bind_text(5, each.recipient.original())
                .bind(6, each.tries)
                .bind(7, each.next_try.time_since_epoch().count() / 1'000'000)
                .bind_text(8, last.status())
                .bind_text(9, last.text())
                .bind_text(10, last.relay())
                .run();
        }
    }

    void catch_up(Ledger& ledger)
    {
        std::ranges::sort(changed_);
        const auto repeated = std::ranges::unique(changed_);
        changed_.erase(repeated.begin(), repeated.end());
        Statement drop_message(*target_, "DELETE FROM message WHERE key = ?"), drop_recipients(*target_, "DELETE FROM recipient WHERE key = ?");
        for (const std::uint64_t key : changed_) {
            drop_message.bind(1, static_cast<std::int64_t>(key)).run();
            drop_recipients.bind(1, static_cast<std::int64_t>(key)).run();
            if (const auto message = ledger.read({key, ledger.epoch()}))
                insert(*message);
        }
    }

    std::shared_ptr<Snapshot> snapshot_;
    std::unique_ptr<SqliteVfs> vfs_;
    std::unique_ptr<Connection> target_;
    std::unique_ptr<Statement> insert_message_, insert_recipient_;
    std::vector<std::uint64_t> changed_;
    std::uint64_t after_ = 0;
};

int allow_reading(void*, int action, const char*, const char* name, const char*, const char*)
{
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_RECURSIVE: return SQLITE_OK;
    case SQLITE_FUNCTION: return name && sqlite3_stricmp(name, "load_extension") == 0 ? SQLITE_DENY : SQLITE_OK;
    default: return SQLITE_DENY;
    }
}

struct QueryLimit {
    std::chrono::steady_clock::time_point end;
    std::int64_t memory = 0;
};
constexpr std::int64_t query_memory = 256 << 20;

int over_limit(void* limit)
{
    const auto& query = *static_cast<QueryLimit*>(limit);
    return std::chrono::steady_clock::now() > query.end || sqlite3_memory_used() > query.memory;
}

}  // namespace

std::unique_ptr<Job<std::vector<std::string>>> check_job() { return std::make_unique<CheckJob>(); }
std::unique_ptr<Job<bool>> backup_job(std::string folder, std::vector<std::string> beside)
{
    return std::make_unique<BackupJob>(std::move(folder), std::move(beside));
}
std::unique_ptr<Job<std::shared_ptr<Snapshot>>> snapshot_job() { return std::make_unique<SnapshotJob>(); }

Result<Rows> run_query(const Snapshot& snapshot, const std::string& sql, std::size_t row_limit, std::chrono::milliseconds time_limit)
{
    constexpr std::size_t octet_limit = 8 << 20;
    try {
        SqliteVfs vfs(snapshot.files());
        Connection db(snapshot.name(), SQLITE_OPEN_READONLY, vfs.name());
        db.run("PRAGMA temp_store = MEMORY; PRAGMA query_only = ON");
        sqlite3_limit(db.get(), SQLITE_LIMIT_LENGTH, 1 << 20);
        QueryLimit limit{std::chrono::steady_clock::now() + time_limit, sqlite3_memory_used() + query_memory};
        sqlite3_progress_handler(db.get(), 1000, over_limit, &limit);
        sqlite3_set_authorizer(db.get(), allow_reading, nullptr);
        sqlite3_stmt* raw = nullptr;
        const char* tail = nullptr;
        if (sqlite3_prepare_v2(db.get(), sql.c_str(), static_cast<int>(sql.size()), &raw, &tail) != SQLITE_OK)
            return Error{sqlite3_errmsg(db.get()), "5.5.4"};
        const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement(raw, sqlite3_finalize);
        if (!raw || !sqlite3_stmt_readonly(raw) || std::string_view(tail).find_first_not_of(" \t\r\n;") != std::string_view::npos)
            return Error{"one statement that reads is allowed", "5.5.4"};
        Rows rows;
        const int columns = sqlite3_column_count(raw);
        for (int column = 0; column < columns; ++column)
            rows.columns.emplace_back(sqlite3_column_name(raw, column));
        std::size_t octets = 0;
        int code = SQLITE_ROW;
        while ((code = sqlite3_step(raw)) == SQLITE_ROW) {
            if (rows.rows.size() == row_limit || octets > octet_limit) {
                rows.truncated = true;
                return rows;
            }
            auto& row = rows.rows.emplace_back();
            for (int column = 0; column < columns; ++column) {
                const unsigned char* text = sqlite3_column_text(raw, column);
                row.emplace_back(text ? reinterpret_cast<const char*>(text) : "", static_cast<std::size_t>(sqlite3_column_bytes(raw, column)));
                octets += row.back().size();
            }
        }
        if (code == SQLITE_INTERRUPT)
            return Error{"the query took more time or memory than it may", "5.5.4"};
        if (code != SQLITE_DONE)
            return Error{sqlite3_errmsg(db.get()), "5.5.4"};
        return rows;
    } catch (const Failed& failure) {
        return Error{fmt::format("snapshot: {}", failure.what()), "4.3.0"};
    }
}

}  // namespace posthorn::spool
