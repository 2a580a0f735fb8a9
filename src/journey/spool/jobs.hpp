// spool/jobs.hpp: long work beside the queue, in steps between commits: check, backup, snapshot for a query.
#pragma once

#include "spool/ledger.hpp"
#include "spool/spool.hpp"

#include <memory>
#include <optional>

namespace posthorn::spool {

template <class T>
class Job {
public:
    virtual ~Job() = default;
    /// A few milliseconds of work; a value at the end.
    virtual std::optional<Result<T>> step(Ledger& ledger) = 0;
};

std::unique_ptr<Job<std::vector<std::string>>> check_job();
std::unique_ptr<Job<bool>> backup_job(std::string folder, std::vector<std::string> beside);

/// A database file of its own with the tables of the README; removed when this goes.
class Snapshot {
public:
    Snapshot(FileOps& files, std::string name) : files_(files), name_(std::move(name)) {}
    Snapshot(Snapshot&&) = delete;
    ~Snapshot() { files_.remove(name_); }
    FileOps& files() const { return files_; }
    const std::string& name() const { return name_; }

private:
    FileOps& files_;
    std::string name_;
};
std::unique_ptr<Job<std::shared_ptr<Snapshot>>> snapshot_job();
Result<Rows> run_query(const Snapshot& snapshot, const std::string& sql, std::size_t row_limit, std::chrono::milliseconds time_limit);

}  // namespace posthorn::spool
