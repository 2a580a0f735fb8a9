// catalogue/unserved.hpp: parameters of Postfix's that somebody set and that nothing here acts on.
// They are accepted, so that a configuration of Postfix's can be used as it is; but who relies on one must be told what does not happen.
// By design  is what has nothing left to decide here: the text says for what it is in Postfix, or what is here instead. The others may still come.
#pragma once

#include "config/main_cf.hpp"
#include "config/snapshot.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace posthorn::catalogue {

enum class Standing : std::uint8_t { acted_on, obsolete, informative, by_design, unserved };
struct About {
    Standing standing = Standing::unserved;
    std::string_view text;                         // what it is for; of `by_design` and `unserved`: what is so, whatever it is set to
    std::string_view instead;                      // of `obsolete`: what to set
};
/// Of a parameter of Postfix's or our own, by its name (families: "transport_...").
About about(std::string_view name);

struct Unserved {
    std::string place, name, follows;              // "/etc/postfix/main.cf, line 12", "smtpd_milters", "mail is not shown to Milters"
    int line = 0;
    bool in_master_cf = false, by_design = false;
};
std::vector<Unserved> unserved_parameters(const config::Snapshot& snapshot, std::span<const std::string> transports,
                                          std::span<const config::Assignment> master_cf);

/// One line each, sorted by name: "FILE, line N: qmqpd_timeout is accepted but not acted on yet: QMQP is not served"; of those by design: "FILE, line N:
/// hash_queue_depth decides nothing here: ...". What is set to its default says nothing. `transports`: master.cf's delivery services; `master_cf`: all its -o settings.
std::vector<std::string> unserved(const config::Snapshot& snapshot, std::span<const std::string> transports,
                                  std::span<const config::Assignment> master_cf, bool by_design = false);

}  // namespace posthorn::catalogue
