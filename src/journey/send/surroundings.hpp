// send/surroundings.hpp: what an Agent uses and does not own.
#pragma once

#include "async/async.hpp"
#include "base/clock.hpp"
#include "handoff/trials.hpp"
#include "net/connect.hpp"
#include "net/path.hpp"
#include "observe/log.hpp"
#include "peers/known.hpp"
#include "send/credentials.hpp"
#include "send/lookup.hpp"
#include "send/names.hpp"
#include "send/secure.hpp"
#include "send/tls_report.hpp"
#include "send/transcript.hpp"
#include "sts/book.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace posthorn::send {

/// smtp_discard_ehlo_keyword_address_maps: by the server's address. None: the general list counts. An Error defers (4.3.0).
class DiscardMaps {
public:
    virtual ~DiscardMaps() = default;
    virtual awaitable<Result<std::optional<std::string>>> keywords_for(std::string address) = 0;
};

/// debug_peer_list: whose sessions are logged line by line. Asked once per session; the address of a Unix socket is empty.
class DebugPeers {
public:
    virtual ~DebugPeers() = default;
    virtual awaitable<bool> listed(std::string name, std::string address) = 0;
};

/// How a host is reached: net::connect, or a test's stream in memory.
using Connector = std::function<awaitable<Result<std::unique_ptr<net::Stream>>>(net::Endpoint endpoint, net::ConnectOptions how)>;

/// What an Agent uses and does not own; all of it outlives the Agent.
struct Surroundings {
    Surroundings(Executor loop, const Clock& time, observe::Log lines, Names& name_service)
        : executor(std::move(loop)), clock(time), log(std::move(lines)), names(name_service)
    {
    }
    Executor executor;
    const Clock& clock;
    observe::Log log;
    Names& names;
    TlsClient* tls = nullptr;               // none: STARTTLS is as if not offered
    Passwords* passwords = nullptr;         // none: no mail is sent with authentication
    AuthFailures* auth_failures = nullptr;  // the Agent's own, unless one is given
    std::function<asio::thread_pool&()> helper;     // for what would hold up the loop; the Agent's own, unless one is given
    Lookup* tls_policy = nullptr;           // smtp_tls_policy_maps: by the next hop and its parents
    Lookup* requiretls_policy = nullptr;    // smtp_requiretls_policy: by the next hop's name, to one of its words; none: enforce
    sts::Policies* sts = nullptr;           // none: no domain is asked what it asks of TLS
    handoff::TrialListener* trials = nullptr;       // none: no level of TLS is on trial
    Lookup* tls_trial = nullptr;            // smtp_tls_trial_maps: as tls_policy
    TlsReports* reports = nullptr;          // none: nobody is told what became of TLS
    DiscardMaps* discard = nullptr;
    Lookup* pix = nullptr;                  // smtp_pix_workaround_maps: by the server's address
    Lookup* reply_filter = nullptr;         // smtp_reply_filter: by a line of a reply, which the result replaces
    Lookup* status_filter = nullptr;        // smtp_delivery_status_filter: by "5.1.1 text"
    Lookup* bounce_classes = nullptr;       // bounce_classification_maps: by the reply in one line, "550 5.1.1 text"
    Editor* editor = nullptr;               // smtp_generic_maps and the like
    DebugPeers* debug = nullptr;            // none: nobody's sessions
    peers::Peers* peers = nullptr;
    Transcripts* transcripts = nullptr;     // none: nothing is recorded
    Connector connector;                    // empty: net::connect
    std::function<std::optional<net::Path>(const net::Stream&)> path = net::path_of;    // how the octets of a connection arrive
    std::vector<net::IpAddress> own_addresses;  // inet_interfaces, proxy_interfaces: for loops
    std::uint64_t seed = 0;                 // of the shuffling; 0: from the system
};

}  // namespace posthorn::send
