// sts/book.hpp: the policies of domains, each fetched when it is needed and kept as long as it says.                       RFC 8461 3.3, 5.1
// Asked    the record of the domain each time (answers of the DNS are cached below). Its id is that of the policy known: that one holds. Another id,
//          or nothing known: the policy is fetched, and who asks waits for it; one fetch for all who ask meanwhile.
// Holds    a policy known, until its max_age is over: also where record and policy cannot be had, which whoever is on the way can bring about.
// Afresh   a policy known for a day, or half its time, is fetched again, and nobody waits for that.
// Failed   a fetch is not tried again for five minutes unless the id is another. Without a policy known the domain is as one without any.
// Shelf    what outlives the process: asked once for each domain, told of each fetch. A domain of which it cannot be asked may have a policy that
//          holds: nobody can tell, and its mail waits.
// Log      each policy that is another than before; each fetch that failed.
#pragma once

#include "async/async.hpp"
#include "base/clock.hpp"
#include "dns/record.hpp"
#include "observe/log.hpp"
#include "sts/policy.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>

namespace posthorn::sts {

/// Where records and policies come from.
class Source {
public:
    virtual ~Source() = default;
    virtual awaitable<dns::Answer> record(std::string name) = 0;
    /// The text of the domain's policy.
    virtual awaitable<Result<std::string>> fetch(std::string domain) = 0;
};

class Shelf {
public:
    virtual ~Shelf() = default;
    /// Octets of known_of(), or none. Error: it cannot be asked now.
    virtual awaitable<Result<std::optional<std::string>>> find(std::string domain) = 0;
    virtual void keep(const std::string& domain, const std::string& octets) = 0;
};

/// What is known of a domain now. `fault`: its record names a policy, none is known, and it could not be had: why, in the words of reports
/// (RFC 8460 4.3.2.2).
struct Finding {
    std::optional<Known> known;  // none: it has no policy that holds
    std::string fault;
};

/// What `send` asks.
class Policies {
public:
    virtual ~Policies() = default;
    /// `domain` in A-labels and lower case. Error: nobody can tell.
    virtual awaitable<Result<Finding>> find(std::string domain) = 0;
};

class Book final : public Policies {
public:
    static constexpr std::chrono::minutes rest{5};
    static constexpr std::chrono::hours afresh{24};
    static constexpr std::size_t domains_at_most = 10'000;

    /// All outlive it. `shelf`: none, nothing outlives the process.
    Book(Executor executor, const Clock& clock, observe::Log log, Source& source, Shelf* shelf);
    awaitable<Result<Finding>> find(std::string domain) override;
    /// Ends the fetches that nobody waits for; find() is over before.
    awaitable<void> close() { return tasks_.close(); }

private:
    struct Page {
        explicit Page(const Executor& executor) : changed(executor) {}
        bool looked_up = false;                 // on the shelf
        bool looking = false, fetching = false;
        std::optional<Known> known;
        std::string failed_id, fault;  // of the fetch that failed last
        SteadyTime failed{};
        Signal changed;                         // when `looking` and `fetching` end
    };
    awaitable<Result<void>> look(std::string domain, std::shared_ptr<Page> page);
    awaitable<void> fetch(std::string domain, std::string id, std::shared_ptr<Page> page);
    std::shared_ptr<Page> page(const std::string& domain);
    /// What is known, while it holds.
    const Known* holds(const Page& page) const;
    bool rests(const Page& page, const std::string& id) const;
    bool due(const Known& known) const;
    void failed(const std::string& domain, const std::string& id, Page& page, const Error& why, bool fetched);

    Executor executor_;
    const Clock& clock_;
    observe::Log log_;
    Source& source_;
    Shelf* shelf_;
    std::map<std::string, std::shared_ptr<Page>> pages_;
    TaskGroup tasks_;
};

}  // namespace posthorn::sts
