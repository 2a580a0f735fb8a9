// handoff/delivery_log.hpp: the line that says what became of a recipient; the most parsed line of a mail log.
//   QID: to=<R>, orig_to=<O>, relay=HOST[ADDR]:PORT, conn_use=N, delay=D, delays=A/B/C/D, tls=FEATURES, dsn=X.Y.Z, status=WORD (TEXT)
// Times    delay: since arrival. delays: before the queue manager, in it, connection set-up, transmission.
//          Two significant digits, nothing below `resolution` decimals (delay_logging_resolution_limit).
#pragma once

#include "handoff/words.pb.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace posthorn::handoff {

struct DeliveryTimes {
    std::int64_t arrival = 0, active = 0, connecting = 0, connected = 0, finished = 0;    // microseconds since the epoch; 0: did not happen
};

/// "0.53", "12", "0.04": seconds with two significant digits and at most `resolution` decimals.
std::string format_delay(std::int64_t microseconds, int resolution = 2);

/// `status`: sent, deferred, bounced, deliverable, undeliverable, expired ... `conn_use`: of a reused session from 2 on.
/// `tls`: send/tls_status.hpp; empty: the line has no such field.
std::string delivery_line(std::string_view queue_id, const Recipient& recipient, const Verdict& verdict, const DeliveryTimes& times,
                          std::string_view status, unsigned conn_use = 0, int resolution = 2, std::string_view tls = {});

/// The word of the log line for an outcome, of mail or of a probe.
/// `cached` false: a failed probe of memory's, with address_verify_negative_cache = no.
std::string_view status_word(Outcome outcome, bool probe, bool cached = true);

}  // namespace posthorn::handoff
