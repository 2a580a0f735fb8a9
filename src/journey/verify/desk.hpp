// verify/desk.hpp: where the question about an address is answered.
// Answer   from the cache where it knows; else from a probe, if it ends while the asker waits; else in_progress.
// Probes   one per address at a time, whoever asks; all who wait hear of it the moment it ends. At most options.pending_limit.
// Refresh  an answer that is old enough is given from the cache and asked anew behind it.
// Errors   none: what cannot be known is deferred, with the reason.
#pragma once

#include "async/async.hpp"
#include "verify/cache.hpp"
#include "verify/options.hpp"

namespace posthorn::verify {

/// Asks the next host.
class Prober {
public:
    struct Answer {
        Answer(Finding what, std::string address_probed) : finding(std::move(what)), final_address(std::move(address_probed)) {}
        Finding finding;
        std::string final_address;        // after aliases; the result counts for it as well
    };
    virtual ~Prober() = default;
    /// An Error: nobody could be asked, and nothing was learned.
    virtual awaitable<Result<Answer>> probe(std::string sender, std::string address) = 0;
};

class Desk {
public:
    Desk(Executor executor, Options options, Prober& prober, const Clock& clock, observe::Log log);
    Desk(Desk&&) = delete;

    void start();
    awaitable<void> close();
    /// Another map counts from the next start on; all else at once.
    void reconfigure(Options options) { options_ = std::move(options); }

    awaitable<Finding> ask(std::string address, std::chrono::milliseconds patience);

    struct Counts {
        std::uint64_t questions = 0, probes = 0, from_cache = 0;
    };
    const Counts& counts() const { return counts_; }

private:
    struct Outstanding {
        explicit Outstanding(const Executor& executor) : ended(executor) {}
        Signal ended;
        std::optional<Finding> finding;
    };

    awaitable<void> probe(std::string address, std::shared_ptr<Outstanding> outstanding);
    void learn(const std::string& address, const Finding& finding);
    awaitable<void> keep_file();
    awaitable<void> keep_clean();
    awaitable<void> flush();

    Executor executor_;
    Options options_;
    Prober& prober_;
    const Clock& clock_;
    observe::Log log_;
    Cache cache_;
    std::unordered_map<std::string, std::shared_ptr<Outstanding>> outstanding_;      // by key
    Counts counts_;
    std::string trouble_;                                // why the cache could not be written the last time
    TaskGroup tasks_;
};

}  // namespace posthorn::verify
