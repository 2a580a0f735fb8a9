// verify/desk.hpp: where the question about an address is answered.
// Answer   from the cache where it knows; else from a probe, if it ends while the asker waits; else in_progress.
// Probes   one per address at a time, whoever asks; all who wait hear of it the moment it ends. At most options.pending_limit.
// Refresh  an answer that is old enough is given from the cache and asked anew behind it.
// Ahead    who was asked about not long before its time to be refreshed is asked anew when that comes, before the next question and long before
//          the answer expires; at most refresh_rate a minute, never in the way of questions. What nobody asks about any more fades.
// Failed   refreshes of a good address are not repeated for retry_pause, as Postfix counts a probe as outstanding for so long.
// Control  behind a good answer the domain may be asked about a random address: one that takes it takes everybody. That is marked, said and
//          shown; its addresses count as verified all the same.
// Errors   none: what cannot be known is deferred, with the reason.
#pragma once

#include "async/async.hpp"
#include "verify/cache.hpp"
#include "verify/options.hpp"

#include <functional>
#include <map>
#include <unordered_set>

namespace posthorn::verify {

/// Asks the next host.
class Prober {
public:
    struct Answer {
        Answer(Finding what, std::string address_probed) : finding(std::move(what)), final_address(std::move(address_probed)) {}
        Finding finding;
        std::string final_address;        // after aliases; the result counts for it as well
        bool may_control = false;         // its domain is one of address_verify_control_domains
        bool takes_all = false;           // the rule file says that this host takes every recipient
    };
    virtual ~Prober() = default;
    /// An Error: nobody could be asked, and nothing was learned. Status 4.3.2: for want of room, and its text is for who asked.
    virtual awaitable<Result<Answer>> probe(std::string sender, std::string address) = 0;
};

class Desk {
public:
    static constexpr std::chrono::seconds retry_pause{1000};
    static constexpr std::size_t wanted_limit = 100'000;

    Desk(Executor executor, Options options, Prober& prober, const Clock& clock, observe::Log log);
    Desk(Desk&&) = delete;

    void start();
    awaitable<void> close();
    /// Another map counts from the next start on; all else at once.
    void reconfigure(Options options) { options_ = std::move(options); }

    /// For operators: what is known of an address and its domain, and what a question about it waits for. Nobody is asked because of it.
    struct Standing {
        std::optional<Record> record, control;
        Worth worth{};                        // of the record
        std::optional<WallTime> asked_since;  // a probe is under way
        std::size_t waiting = 0;              // questions that wait for its end
    };
    Result<Standing> standing(std::string_view address);

    awaitable<Finding> ask(std::string address, std::chrono::milliseconds patience);
    /// Begins the refreshes whose time has come, as far as the rate allows; from start() on done in time.
    void refresh_ahead();

    /// Siblings (told.hpp): addresses of which there is more to tell, and probes that begin and end without a word to tell.
    std::function<void(const std::string& key)> on_word;
    std::function<void(const std::string& key, bool over)> on_asking;
    std::optional<Told> word(const std::string& key);
    /// All of them, or the youngest `most`.
    awaitable<Result<std::vector<Told>>> words(std::size_t most) { return cache_.told(options_.rules, most); }
    /// False: it was no news. Who waits for the address is answered.
    bool hear(const Told& told, const std::string& by);
    /// A sibling asks about it: a question here waits for the answer with half its patience. Over: it has nothing to tell of it.
    void asked_elsewhere(const std::string& key, const std::string& by, bool over);
    /// That sibling is away.
    void away(const std::string& by);

    struct Counts {
        std::uint64_t questions = 0, probes = 0, from_cache = 0, controls = 0, ahead = 0, told = 0;
    };
    const Counts& counts() const { return counts_; }

private:
    struct Outstanding {
        Outstanding(const Executor& executor, WallTime begun) : ended(executor), since(begun) {}
        Signal ended;
        WallTime since;
        std::size_t waiting = 0;
        std::optional<Finding> finding;
    };

    struct Elsewhere {
        std::string by;
        SteadyTime until{};
    };
    bool is_asked_elsewhere(const std::string& key);
    awaitable<bool> answered_elsewhere(const std::string& key, std::shared_ptr<Outstanding> outstanding, std::chrono::milliseconds patience);
    awaitable<void> probe(std::string address, std::shared_ptr<Outstanding> outstanding, std::chrono::milliseconds patience);
    std::shared_ptr<Outstanding> begin_probe(const std::string& key, std::string address, std::chrono::milliseconds patience = {});
    void want(const std::string& key, std::string address, const Record& record);
    awaitable<void> keep_ahead();
    void learn(const std::string& address, const Finding& finding);
    bool failed_lately(const std::string& key);
    awaitable<void> control(std::string domain);
    void learn_control(const std::string& domain, const Finding& finding);
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
    std::unordered_map<std::string, SteadyTime> failed_;                             // refreshes of good addresses, by key
    std::unordered_set<std::string> wanted_;                                         // keys of those in due_
    std::multimap<WallTime, std::string> due_;                                       // addresses to be refreshed ahead of a question
    std::unordered_map<std::string, Elsewhere> elsewhere_;                           // what siblings ask about, by key
    Signal wanted_one_, to_write_;
    double allowance_ = 0;                                                           // of refreshes ahead
    SteadyTime allowed_at_{};
    std::unordered_set<std::string> controls_;                                       // domains that are being asked
    Counts counts_;
    std::string trouble_;                                // why the cache could not be written the last time
    TaskGroup tasks_;
};

}  // namespace posthorn::verify
