// spool/sqlite.hpp: a connection and its prepared statements.
// Errors   Failed, an exception: the writer thread ends its batch on it, and mostly the store with it.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace posthorn::spool {

class Failed : public std::runtime_error {
public:
    enum class Kind {
        full,      // no room: nothing of the transaction is stored; can be tried later
        damaged,   // a page is not what it should be
        busy,      // another process has the database open
        fatal,     // sync, I/O, memory, or our own mistake
    };
    Failed(Kind failed_kind, const std::string& text) : std::runtime_error(text), kind(failed_kind) {}
    Kind kind;
};

class Connection {
public:
    Connection(const std::string& file, int flags, const char* vfs);
    /// To read and write; made where it is not there.
    explicit Connection(const std::string& file);
    Connection(Connection&&) = delete;
    ~Connection();

    void run(const std::string& sql);
    std::int64_t number(const std::string& sql);
    std::string text(const std::string& sql);
    sqlite3* get() const { return db_; }
    bool in_transaction() const;
    void roll_back() noexcept;
    std::int64_t changes() const;
    [[noreturn]] void fail(int code, std::string_view during) const;

private:
    sqlite3* db_ = nullptr;
};

class Statement {
public:
    Statement(Connection& connection, std::string_view sql);
    Statement(Statement&& other) noexcept;
    ~Statement();

    Statement& bind(int column, std::int64_t value);
    /// `octets` must stay until the statement has run.
    Statement& bind(int column, std::string_view octets);
    Statement& bind_text(int column, std::string_view text);
    Statement& bind_null(int column);
    /// True: a row is there. False: done, and reset.
    bool step();
    /// Steps to the end.
    void run();
    void reset();

    std::int64_t integer(int column) const;
    bool null(int column) const;
    /// Valid until the next step.
    std::string_view blob(int column) const;

private:
    Connection& connection_;
    sqlite3_stmt* statement_ = nullptr;
};

/// Resets a statement at the end of a scope that may leave rows unread.
struct ResetAtEnd {
    Statement& statement;
    ~ResetAtEnd() { statement.reset(); }
};

}  // namespace posthorn::spool
