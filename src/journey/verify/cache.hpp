// verify/cache.hpp: address_verify_map, or memory.
// Shape    keys are those of key_of(); values are records. What others wrote and is no record is "nothing known".
// Writing  put() counts at once for who asks here; flush() brings what was put to the file in one transaction, on a helper thread.
//          A kill loses what was put since the last flush: addresses that are probed again.
// Errors   of find(): the file cannot be read. Then nobody is told anything but "try later".
#pragma once

#include "async/async.hpp"
#include "observe/log.hpp"
#include "tables/table.hpp"
#include "verify/told.hpp"

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace posthorn::verify {

/// What another process may read of the file that Cache writes; it knows what was learned up to a second ago.
class CacheReader {
public:
    /// Reads nothing where `map` is not of a kind that may be read while it is written (lmdb), is not there yet, or cannot be opened: then
    /// find() knows nothing.
    CacheReader(std::string map, const Clock& clock, observe::Log log);
    std::optional<Record> find(std::string_view address);

private:
    std::string map_;                                    // empty: nothing to read
    tables::Tables tables_;
    std::shared_ptr<tables::Table> table_;
};

class Cache {
public:
    /// `map`: "type:name", made where it is not there; empty: memory. At most memory_limit addresses wait for a file that cannot be written,
    /// or are kept where there is none.
    Cache(std::string map, const Clock& clock, observe::Log log);
    Cache(Cache&&) = delete;
    ~Cache();

    Result<std::optional<Record>> find(const std::string& key);
    void put(const std::string& key, const Record& record);
    bool dirty() const { return !map_.empty() && !changed_.empty(); }
    awaitable<Result<void>> flush();

    /// Of those that may be told to siblings (told.hpp), the youngest, at most so many.
    awaitable<Result<std::vector<Told>>> told(Rules rules, std::size_t most);

    struct Cleaned {
        std::size_t retained = 0, dropped = 0;
    };
    awaitable<Result<Cleaned>> cleanup(Rules rules);

    static constexpr std::size_t memory_limit = 1'000'000;

private:
    using Values = std::unordered_map<std::string, std::string>;
    static Result<void> write(std::string type, std::string name, const Values& values, const std::vector<std::string>& erased);
    Result<void> open();

    std::string map_, type_, name_;
    const Clock& clock_;
    observe::Log log_;
    tables::Tables tables_;
    std::shared_ptr<tables::Table> table_;
    Values changed_;                                     // not in the file yet; in memory: all there is
    std::shared_ptr<const Values> flushing_;
    std::unique_ptr<asio::thread_pool> writer_;          // one thread: what is written and what is scanned follow each other
};

}  // namespace posthorn::verify
