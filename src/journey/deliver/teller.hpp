// deliver/teller.hpp: the fate of a recipient becomes its verdict and its line in the log; and what its delivery waits for before.
// Promise  one verdict for each recipient of a request. A probe's failure is "undeliverable"; what delivery_status_filter says takes the place
//          of status and text (handoff/status_filter.hpp), and a filter that cannot be asked returns no mail.
#pragma once

#include "async/async.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "deliver/fate.hpp"
#include "deliver/steps.hpp"
#include "handoff/frames.pb.h"
#include "observe/log.hpp"

#include <functional>
#include <optional>
#include <string>

namespace posthorn::deliver {

struct TellerOptions {
    std::string relay;                       // "local", "virtual", the name of a pipe service
    bool soft_bounce = false;
    bool failed_probes_cached = true;        // address_verify_negative_cache
    int delay_digits = 2;
};

/// The result for "5.1.1 text"; none: as it is. Empty function: no filter.
using StatusFilter = std::function<awaitable<Result<std::optional<std::string>>>(std::string key)>;

/// A probe, or sendmail -bv: nothing is delivered.
bool only_asked(const handoff::DeliveryRequest& request);

class Teller {
public:
    Teller(TellerOptions options, observe::Log log, const Clock& clock, StatusFilter filter)
        : steps(clock), options_(std::move(options)), log_(std::move(log)), clock_(clock), filter_(std::move(filter))
    {
    }
    /// `began`: of the delivery itself, microseconds.
    awaitable<handoff::Verdict> tell(const handoff::DeliveryRequest* request, const handoff::Recipient* recipient, Fate fate,
                                     std::int64_t began) const;
    std::int64_t now() const { return clock_.wall().time_since_epoch().count(); }
    WallTime wall() const { return clock_.wall(); }
    const observe::Log& log() const { return log_; }
    Steps steps;

private:
    awaitable<Fate> filtered(const std::string* queue_id, Fate fate) const;

    TellerOptions options_;
    observe::Log log_;
    const Clock& clock_;
    StatusFilter filter_;
};

}  // namespace posthorn::deliver
