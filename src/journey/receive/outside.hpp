// receive/outside.hpp: what a session asks of others beside the stations of handoff/interfaces.hpp. Tests give their own.
#pragma once

#include "async/async.hpp"
#include "base/error.hpp"
#include "dns/record.hpp"
#include "handoff/aggregate.pb.h"
#include "handoff/frames.pb.h"
#include "net/stream.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace posthorn::sasl {
class Authenticator;
}

namespace posthorn::receive {

/// What the name service knows of the domain of an address (RFC 5321 5.1, RFC 7505).
enum class MailHost : std::uint8_t { found, absent, null_mx };

/// Names of clients, and domains of addresses. An Error: try later. Answers may take long: replies that are ready leave first.
class Names {
public:
    virtual ~Names() = default;
    /// PTR names of an address, without final dots; empty: there is none.
    virtual awaitable<Result<std::vector<std::string>>> names_of(std::string address) = 0;
    /// A and AAAA, as text.
    virtual awaitable<Result<std::vector<std::string>>> addresses_of(std::string name) = 0;
    /// MX, or else A or AAAA.
    virtual awaitable<Result<MailHost>> mail_host(std::string domain) = 0;
    /// Whatever is asked: lists of addresses and domains, mail hosts, name servers.
    virtual awaitable<dns::Answer> records(std::string name, dns::Type type) = 0;
    /// Of a server that the configuration names, or of what a client is called: hosts of this machine's own file come first.
    virtual awaitable<Result<std::vector<std::string>>> host_addresses(std::string name) { return addresses_of(std::move(name)); }
};

/// What clients do, counted over all processes of the service (Postfix's anvil). `client`: "service:address". An Error: not known now,
/// and then nobody is held to a limit.
class Rates {
public:
    enum class Event : std::uint8_t { connect, mail, rcpt, new_tls, ask_tls, auth };      // ask_tls counts nothing
    struct Count {
        std::uint32_t connections = 0;            // open now
        std::uint32_t rate = 0;                   // such events within anvil_rate_time_unit, this one included
    };
    virtual ~Rates() = default;
    virtual awaitable<Result<Count>> count(Event event, std::string client) = 0;
    /// The end of a connection that was counted.
    virtual void disconnected(std::string client) = 0;
};

/// Clients that authenticate by Cyrus SASL (smtpd_sasl_type = cyrus) are asked about here.
using CyrusAuthenticator = std::function<std::shared_ptr<sasl::Authenticator>()>;

/// A connection to the server that knows the clients' passwords (smtpd_sasl_path).
using AuthConnector = std::function<awaitable<Result<std::unique_ptr<net::Stream>>>()>;

/// A file of content above handoff::inline_content_limit. It is removed when it goes, unless it was kept.
class IncomingFile {
public:
    virtual ~IncomingFile() = default;
    /// The octets stay where they are until it returns.
    virtual awaitable<Result<void>> append(std::string_view octets) = 0;
    /// What was appended, from `offset`: `most` octets, fewer at the end.
    virtual awaitable<Result<std::string>> read(std::uint64_t offset, std::size_t most) = 0;
    /// File and folder on stable storage. Before this it may not be handed to the queue.
    virtual awaitable<Result<void>> sync() = 0;
    /// Its name is free for the file that takes its place; it can still be read.
    virtual awaitable<Result<void>> give_up_name() = 0;
    /// The queue has it, or its fate is not known.
    virtual void keep() = 0;
    /// For handoff::Content.file.
    virtual std::string name() const = 0;
};

class IncomingFolder {
public:
    virtual ~IncomingFolder() = default;
    virtual awaitable<Result<std::unique_ptr<IncomingFile>>> create(std::string queue_id) = 0;
    /// What its file system has free, for SIZE and queue_minfree. Measured, not remembered: it must say so when room has come back.
    virtual std::uint64_t free_octets() = 0;
};

/// Takes word of a session to the postmaster, in its own time.
class Postmaster {
public:
    virtual ~Postmaster() = default;
    virtual void tell(handoff::SessionNotice notice) = 0;
};

/// Hears of each message under a policy of DMARC that asks for reports, with what was done.
class DmarcReports {
public:
    virtual ~DmarcReports() = default;
    virtual void tell(handoff::DmarcSeen seen) = 0;
};

/// Who the client has proved to be by its certificate. All empty: it showed none.
struct ClientCertificate {
    std::string subject, issuer;                  // common names
    std::string fingerprint, key_fingerprint;     // "AA:BB:..."
    bool trusted = false;                         // it leads to an authority of ours
    bool present() const { return !fingerprint.empty(); }
};

/// What restrictions and policy servers hear of TLS.
struct TlsFacts {
    std::string protocol, cipher;                 // "TLSv1.3", "TLS_AES_256_GCM_SHA384"
    int bits = 0;
    bool resumed = false;                         // no new session, which counts against no limit
    ClientCertificate certificate;
    std::string received_text;                    // what stands within "(using ...)" of Received:, folded
};

/// A stream under TLS, with what logs and the Received: field say of it.
struct Secured {
    Secured(std::unique_ptr<net::Stream> s, std::string line, TlsFacts found)
        : stream(std::move(s)), log_line(std::move(line)), facts(std::move(found))
    {
    }
    std::unique_ptr<net::Stream> stream;
    std::string log_line;          // "Anonymous TLS connection established from NAME[ADDR]: TLSv1.3 with cipher ..."
    TlsFacts facts;
};

class TlsAcceptor {
public:
    virtual ~TlsAcceptor() = default;
    /// Without a key there is none; it may come.
    virtual bool available() const { return true; }
    /// The server's handshake, within the deadline of the stream. The stream is gone where it fails. `peer` is "name[addr]".
    virtual awaitable<Result<Secured>> accept(std::unique_ptr<net::Stream> stream, std::string peer) = 0;
};

}  // namespace posthorn::receive
