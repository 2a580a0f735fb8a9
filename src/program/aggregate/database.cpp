#include "aggregate/database.hpp"

#include <fmt/format.h>

#include <cstdio>

namespace posthorn::aggregate {

std::unique_ptr<spool::Connection> open_database(const std::string& file, const std::string& schema, const std::string& loss, std::string& remark)
{
    for (const bool again : {false, true}) {
        try {
            auto database = std::make_unique<spool::Connection>(file);
            database->run("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;");  // one process: no shared memory
            database->run(schema);
            if (const std::string found = database->text("PRAGMA quick_check(1)"); found != "ok")
                throw spool::Failed(spool::Failed::Kind::damaged, found);
            return database;
        } catch (const spool::Failed& failed) {
            if (failed.kind != spool::Failed::Kind::damaged || again)
                throw;
            remark = fmt::format("{} is damaged ({}): it is put aside as {}.damaged, and {}", file, failed.what(), file, loss);
            for (const char* suffix : {"-wal", "-journal"})
                std::remove((file + suffix).c_str());
            std::rename(file.c_str(), (file + ".damaged").c_str());
        }
    }
    throw std::logic_error("unreachable");
}

}  // namespace posthorn::aggregate
