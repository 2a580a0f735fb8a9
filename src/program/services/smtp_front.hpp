// services/smtp_front.hpp: another way to the sessions of an SMTP server process: what stands between its sockets and them.
// A service whose clients do not speak SMTP (inject) has a Front that does it for them, over memory streams. All else is as in smtpd: restrictions,
// limits, filters, cleanup, log lines and counters, and no answer before the sync.
#pragma once

#include "async/async.hpp"
#include "config/main_cf.hpp"
#include "handoff/frames.pb.h"
#include "net/stream.hpp"

#include <functional>
#include <memory>
#include <span>
#include <string>

namespace posthorn::process {
class Service;
}

namespace posthorn::receive {
class Server;
}

namespace posthorn::services {

class Front {
public:
    virtual ~Front() = default;
    /// Before the first connection is accepted.
    virtual awaitable<void> prepare() { co_return; }
    /// The whole life of one connection.
    virtual awaitable<void> serve(std::unique_ptr<net::Stream> stream) = 0;
    /// No new connection comes; returns when the last has ended.
    virtual awaitable<void> finish() = 0;
    /// finish() waits for nobody who has not asked yet.
    virtual void hurry() = 0;
    virtual void count(handoff::CountersReply& reply) = 0;
};

struct FrontOf {
    /// What mail is said to be received by: "HTTP" (receive::Options::protocol).
    std::string protocol;
    /// Mail that is no session of smtpd's goes past the filters of such mail (non_smtpd_milters), and the sessions have none.
    bool other_filters = false;
    /// Says what the restrictions, the filters and TLS of smtpd are not, whatever main.cf says: the service has none of it.
    std::span<const config::Assignment> settings{};
    /// From, Date and Message-ID are added where they are missing (always_add_missing_headers).
    bool complete_header = true;
    /// Once the process is confined. The sessions outlive the front.
    std::function<std::unique_ptr<Front>(process::Service& service, receive::Server& sessions)> make;
};

/// A process of smtpd's, with all its powers. Clients are not tested before the greeting and bring no PROXY header, and there is no TLS: those are
/// matters of sockets, which are the front's.
int serve_behind(process::Service& service, const FrontOf& front);

}  // namespace posthorn::services
