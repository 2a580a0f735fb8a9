// receive/server.hpp: all SMTP sessions of one process.
//   receive::Server server(executor, options, outside);
//   co_await server.serve(std::move(stream));            // one coroutine per accepted connection; returns when it has ended
// Ownership  what Outside names outlives the server; the server outlives its sessions.
// Start      throws config::BadValue where tables of lists are unusable words; a table that cannot be opened answers 451 later.
// Ends       drain(): a new generation has taken over; sessions finish their transaction, the next MAIL gets 421 4.3.2.
//            close(): all ends; who waits without a transaction gets 421 4.3.2 unasked (RFC 5321 3.8).
#pragma once

#include "base/clock.hpp"
#include "handoff/interfaces.hpp"
#include "handoff/record.hpp"
#include "handoff/trials.hpp"
#include "net/stream.hpp"
#include "observe/counters.hpp"
#include "observe/log.hpp"
#include "receive/ceiling.hpp"
#include "receive/options.hpp"
#include "receive/outside.hpp"
#include "tables/table.hpp"

#include <functional>
#include <memory>
#include <string>

namespace posthorn::mailauth {
class PublicSuffixes;
}

namespace posthorn::receive {

struct Outside {
    Outside(handoff::Queue& q, handoff::Cleaner& c, handoff::AddressClasses& a, Names& n, tables::Tables& t, IncomingFolder& f, const Clock& time,
            observe::Log l)
        : queue(q), cleaner(c), classes(a), names(n), tables(t), incoming(f), clock(time), log(std::move(l)), cleanup_log(log), screen_log(log)
    {
    }
    handoff::Queue& queue;
    handoff::Cleaner& cleaner;
    handoff::AddressClasses& classes;
    Names& names;
    tables::Tables& tables;
    IncomingFolder& incoming;
    const Clock& clock;
    observe::Log log;
    /// Of what mail filters say to a whole message, which tools look for under cleanup's name.
    observe::Log cleanup_log;
    /// Of the tests before the greeting, likewise under postscreen's name.
    observe::Log screen_log;
    /// None: STARTTLS is not offered ("TLS not available due to local problem" where the level asks for it).
    TlsAcceptor* tls = nullptr;
    /// None: reject_unverified_* defer.
    handoff::Verifier* verifier = nullptr;
    /// None: smtpd_sasl_path is connected to.
    AuthConnector auth_connector = nullptr;
    /// None: smtpd_sasl_type = cyrus lets nobody authenticate.
    CyrusAuthenticator cyrus = nullptr;
    /// None: nothing is signed, whatever the configuration says.
    handoff::Signer* signer = nullptr;
    /// Compute what checks of received mail need; none: nothing is checked, whatever the configuration says.
    Helpers* threads = nullptr;
    /// Organizations of domains, for DMARC; none: it is not checked.
    const mailauth::PublicSuffixes* suffixes = nullptr;
    /// Filters of mail that comes by QMQP; none: it is shown to nobody.
    handoff::Filters* other_filters = nullptr;
    /// None: mail filters are not told where addresses go.
    handoff::Router* router = nullptr;
    /// None: clients are held to no rates.
    Rates* rates = nullptr;
    /// None: who passed the tests before the greeting is known to this process alone.
    screen::Remembered* remembered = nullptr;
    /// None: nobody reports what mail proves to whose it says it is.
    DmarcReports* dmarc_reports = nullptr;
    /// None: the postmaster hears of no session.
    Postmaster* postmaster = nullptr;
    /// What was refused, for who records it; none: nobody does, and nothing is gathered for it.
    std::function<void(const handoff::Rejected& rejected)> record_rejection = nullptr;
    /// What restrictions behind warn_if_reject come to; none: nobody keeps it.
    handoff::TrialListener* trials = nullptr;
    /// What account_limit_maps says of who authenticated; none: nothing. An Error: not known now.
    std::function<awaitable<Result<std::string>>(std::string login)> account_limits = nullptr;
    /// ETRN: asks the queue to try the mail for this domain. None: ETRN is refused.
    std::function<awaitable<Result<void>>(std::string domain)> flush_site = nullptr;
};

class Server {
public:
    Server(Executor executor, Options options, Outside outside);
    Server(Server&&) = delete;
    ~Server();

    /// The whole life of one connection. The client's address is the stream's peer.
    awaitable<void> serve(std::unique_ptr<net::Stream> stream);
    /// The same of a client that speaks QMQP.
    awaitable<void> serve_qmqp(std::unique_ptr<net::Stream> stream);
    /// New transactions get 421 4.3.2 from now on.
    void drain();
    /// And sessions that have none are told so at once, those that have one at its end.
    void close();

    struct Counters {
        std::size_t sessions = 0, transactions = 0, idle = 0, buffers = 0;
        std::uint64_t memory = 0, accepted = 0, refused_for_memory = 0, connections = 0;
        bool stressed = false;
    };
    Counters counters() const;
    /// By command, class of the reply code and what refused.
    const observe::Tally<3>& rejections() const;
    /// The same of restrictions behind warn_if_reject: what would have been refused.
    const observe::Tally<3>& reject_warnings() const;

    /// Of the memory of this process (smtpd_memory_limit), for who holds some on behalf of clients. The server outlives it.
    Ceiling::Share share();
    /// What options say, for who speaks to sessions from within.
    const Options& options() const;

    struct Core;

private:
    std::unique_ptr<Core> core_;
};

}  // namespace posthorn::receive
