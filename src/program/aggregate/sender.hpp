// aggregate/sender.hpp: sends the reports of days that are over.                                                    RFC 8460 5, RFC 7489 7
// When     the day over, and then within `spread` of midnight UTC, at a time of each domain's own, so that not all come at once.
// Where    to all places that the record names. DMARC's that are another organization's only where that one agrees (RFC 7489 7.1).
// Again    what could not be taken is tried for a day, after 5 minutes and then twice as long each time, up to 160. A report is sent where one place has it
//          by then.
// Errors   logged, and kept as the report's note. spool::Failed of the ledger is the caller's.
#pragma once

#include "aggregate/destination.hpp"
#include "aggregate/ledger.hpp"
#include "aggregate/settings.hpp"
#include "async/async.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "dns/record.hpp"
#include "mailauth/public_suffixes.hpp"
#include "net/http_client.hpp"
#include "observe/log.hpp"

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::aggregate {

class Ways {
public:
    virtual ~Ways() = default;
    virtual awaitable<dns::Answer> texts(std::string name) = 0;
    /// Into the queue; its queue id. An Error of status 5 will not be otherwise later.
    virtual awaitable<Result<std::string>> mail(std::string from, std::string to, std::string octets) = 0;
    /// The status of the answer.
    virtual awaitable<Result<int>> post(net::HttpUrl url, std::string type, std::string octets) = 0;
};

class Sender {
public:
    struct Counts {
        std::uint64_t sent = 0, failed = 0;  // reports; attempts
    };
    /// `suffixes`: none where no report is of DMARC.
    Sender(Ledger& ledger, Ways& ways, const mailauth::PublicSuffixes* suffixes, const Clock& clock, observe::Log log)
        : ledger_(ledger), ways_(ways), suffixes_(suffixes), clock_(clock), log_(std::move(log))
    {
    }
    void configure(Settings settings) { settings_ = std::move(settings); }

    /// All that are due, one after the other.
    awaitable<void> send_due();
    /// At once, due or not, over or not.
    awaitable<void> send(Report report);
    /// When it goes by itself, or is tried again.
    WallTime due(const Report& report) const;
    /// What would be sent now: JSON or XML.
    std::string document(const Report& report);
    const Counts& counts() const { return counts_; }

private:
    struct Attempt;
    struct Made {
        std::string document, summary;
    };
    About about(const Report& report) const;
    Made make(const Report& report);
    awaitable<std::vector<Destination>> places(const Report* report, Attempt* attempt);
    awaitable<bool> agrees(const Report* report, Destination* place, Attempt* attempt);
    awaitable<void> deliver(const Report* report, const Destination* place, const Made* made, const std::string* packed, Attempt* attempt);
    void conclude(Report report, const Attempt& attempt);

    Ledger& ledger_;
    Ways& ways_;
    const mailauth::PublicSuffixes* suffixes_;
    const Clock& clock_;
    observe::Log log_;
    Settings settings_;
    Counts counts_;
};

}  // namespace posthorn::aggregate
