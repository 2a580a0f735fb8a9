#include "spool/sqlite.hpp"

#include <sqlite3.h>

#include <fmt/format.h>

namespace posthorn::spool {

// Features that the spool stands on: WAL, exclusive locking without shared memory, incremental vacuum, backup.
static_assert(SQLITE_VERSION_NUMBER >= 3040000, "SQLite 3.40 or newer is needed");

Connection::Connection(const std::string& file, int flags, const char* vfs)
{
    if (sqlite3_libversion_number() < 3040000 || !sqlite3_threadsafe() || sqlite3_compileoption_used("OMIT_WAL") ||
        sqlite3_compileoption_used("OMIT_AUTOVACUUM"))
        throw Failed(Failed::Kind::fatal,
                     fmt::format("SQLite {} lacks what the queue needs (3.40, threads, WAL, auto-vacuum)", sqlite3_libversion()));
    const int code = sqlite3_open_v2(file.c_str(), &db_, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, vfs);
    if (code != SQLITE_OK) {
        const std::string text = db_ ? sqlite3_errmsg(db_) : sqlite3_errstr(code);
        sqlite3_close(db_);
        throw Failed((code & 0xff) == SQLITE_BUSY ? Failed::Kind::busy : Failed::Kind::fatal, fmt::format("open {}: {}", file, text));
    }
    sqlite3_db_config(db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);       // a failed store must not try again while it closes
    sqlite3_db_config(db_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(db_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    sqlite3_db_config(db_, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, nullptr);
}

Connection::Connection(const std::string& file) : Connection(file, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr) {}

Connection::~Connection() { sqlite3_close_v2(db_); }

void Connection::fail(int code, std::string_view during) const
{
    Failed::Kind kind = Failed::Kind::fatal;
    switch (code & 0xff) {
    case SQLITE_FULL: kind = Failed::Kind::full; break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: kind = Failed::Kind::damaged; break;
    case SQLITE_BUSY: kind = Failed::Kind::busy; break;
    default: break;
    }
    throw Failed(kind, fmt::format("{}: {}", during, sqlite3_errmsg(db_)));
}

void Connection::run(const std::string& sql)
{
    const int code = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
    if (code != SQLITE_OK)
        fail(code, sql);
}

std::int64_t Connection::number(const std::string& sql)
{
    Statement statement(*this, sql);
    return statement.step() ? statement.integer(0) : 0;
}

std::string Connection::text(const std::string& sql)
{
    Statement statement(*this, sql);
    return statement.step() ? std::string(statement.blob(0)) : std::string{};
}

bool Connection::in_transaction() const { return sqlite3_get_autocommit(db_) == 0; }
void Connection::roll_back() noexcept { sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr); }
std::int64_t Connection::changes() const { return sqlite3_changes64(db_); }

Statement::Statement(Connection& connection, std::string_view sql) : connection_(connection)
{
    const int code = sqlite3_prepare_v3(connection.get(), sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &statement_, nullptr);
    if (code != SQLITE_OK)
        connection.fail(code, sql);
}

Statement::Statement(Statement&& other) noexcept : connection_(other.connection_), statement_(std::exchange(other.statement_, nullptr)) {}
Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::bind(int column, std::int64_t value)
{
    sqlite3_bind_int64(statement_, column, value);
    return *this;
}

Statement& Statement::bind(int column, std::string_view octets)
{
    // An empty blob, not NULL: a null data pointer would bind NULL.
    sqlite3_bind_blob64(statement_, column, octets.data() ? octets.data() : "", octets.size(), SQLITE_STATIC);
    return *this;
}

Statement& Statement::bind_text(int column, std::string_view text)
{
    sqlite3_bind_text64(statement_, column, text.data() ? text.data() : "", text.size(), SQLITE_STATIC, SQLITE_UTF8);
    return *this;
}

Statement& Statement::bind_null(int column)
{
    sqlite3_bind_null(statement_, column);
    return *this;
}

bool Statement::step()
{
    const int code = sqlite3_step(statement_);
    if (code == SQLITE_ROW)
        return true;
    if (code == SQLITE_DONE) {
        sqlite3_reset(statement_);
        return false;
    }
    const std::string sql = sqlite3_sql(statement_);
    sqlite3_reset(statement_);
    connection_.fail(code, sql);
}

void Statement::run()
{
    while (step()) {
    }
}

void Statement::reset() { sqlite3_reset(statement_); }
std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_, column); }
bool Statement::null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

std::string_view Statement::blob(int column) const
{
    const void* octets = sqlite3_column_blob(statement_, column);
    return {static_cast<const char*>(octets), static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

}  // namespace posthorn::spool
