// aggregate/database.hpp: a database of one process, whose content can be lost without mail being lost.
// Errors   spool::Failed, as SQLite says it; of the kind busy where another process has it. A file that is damaged is put aside.
#pragma once

#include "spool/sqlite.hpp"

#include <memory>
#include <string>

namespace posthorn::aggregate {

/// Made where it is not there. `remark`: the words for the log where the file was put aside, with `loss` as their end.
std::unique_ptr<spool::Connection> open_database(const std::string& file, const std::string& schema, const std::string& loss, std::string& remark);

/// Rolled back where it is not committed.
class Transaction {
public:
    explicit Transaction(spool::Connection& database) : database_(database) { database_.run("BEGIN IMMEDIATE"); }
    Transaction(Transaction&&) = delete;
    ~Transaction()
    {
        if (database_.in_transaction())
            database_.roll_back();
    }
    void commit() { database_.run("COMMIT"); }

private:
    spool::Connection& database_;
};

}  // namespace posthorn::aggregate
