// receive/screen/kept.hpp: the temporary list of all smtpd processes together, beyond a restart: in postscreen_cache_map, or in memory alone.
// Shape    keys are addresses as text, values are Passed as text: Postfix's. Other keys in the file are left alone.
// Reading  the file once, when the first client is asked about; from then on what counts is in memory, at most `limit` clients.
// Writing  within a second of what was put, in one transaction, on a helper thread. A kill loses what was put since: such a client is tested anew.
//          What is forgotten goes from the file as well.
// Errors   a file that cannot be read or written is warned of once; who passed is then known until the process ends, and written when it can be.
#pragma once

#include "config/snapshot.hpp"
#include "observe/log.hpp"
#include "receive/screen/allowed.hpp"

#include <map>
#include <set>
#include <vector>

namespace posthorn::receive::screen {

class Kept {
public:
    struct Settings {
        static Settings from(const config::Snapshot& snapshot);
        std::string map;                          // "lmdb:/var/lib/postfix/postscreen_cache"; empty: memory
        std::size_t limit = 200'000;
        std::chrono::seconds retention{604800}, cleanup{43200};      // the latter 0: only where there are too many
    };

    Kept(Executor executor, Settings settings, const Clock& clock, observe::Log log);
    Kept(Kept&&) = delete;
    ~Kept();

    awaitable<std::optional<Passed>> find(std::string address);
    void put(const std::string& address, const Passed& passed);
    /// Writes and cleans up until cancelled; `write_out` is due after it.
    awaitable<void> run();
    /// What is not stored yet. Blocks.
    void write_out();
    /// All but the map, which stays that of the start.
    void reconfigure(const Settings& settings);
    std::size_t clients() const { return allowed_.size(); }

private:
    struct Batch {
        std::map<std::string, std::string> values;
        std::vector<std::string> erased;
        bool empty() const { return values.empty() && erased.empty(); }
    };
    using Entries = std::vector<std::pair<std::string, Passed>>;
    static Result<void> write(const std::string& map, const Batch& batch);
    static Result<Entries> read(const std::string& map, const Clock& clock);
    awaitable<void> load();
    void take(const Result<Entries>& entries);
    std::shared_ptr<const Batch> batch();
    void written(const Result<void>& result, const Batch& batch);
    void clean();
    void trouble(const Error& error);

    Settings settings_;
    const Clock& clock_;
    observe::Log log_;
    Allowed allowed_;
    std::set<std::string> changed_;               // whose entry in the file is not what is known
    enum class Loading : std::uint8_t { not_yet, now, done } loading_ = Loading::not_yet;
    bool in_trouble_ = false;
    WallTime cleaned_;
    Signal loaded_, change_;
    std::unique_ptr<asio::thread_pool> thread_;   // one: what is written and what is read follow each other
};

}  // namespace posthorn::receive::screen
