// receive/outside.hpp: what a session asks of others beside the stations of handoff/interfaces.hpp. Tests give their own.
#pragma once

#include "async/async.hpp"
#include "base/error.hpp"
#include "net/stream.hpp"

#include <memory>
#include <string>
#include <vector>

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
};

/// A file of content above handoff::inline_content_limit. It is removed when it goes, unless it was kept.
class IncomingFile {
public:
    virtual ~IncomingFile() = default;
    virtual awaitable<Result<void>> append(std::string octets) = 0;
    /// File and folder on stable storage. Before this it may not be handed to the queue.
    virtual awaitable<Result<void>> sync() = 0;
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

/// A stream under TLS, with what logs and the Received: field say of it.
struct Secured {
    Secured(std::unique_ptr<net::Stream> s, std::string line, std::string received)
        : stream(std::move(s)), log_line(std::move(line)), received_text(std::move(received))
    {
    }
    std::unique_ptr<net::Stream> stream;
    std::string log_line;          // "Anonymous TLS connection established from NAME[ADDR]: TLSv1.3 with cipher ..."
    std::string received_text;     // what stands within "(using ...)" of Received:, folded
};

class TlsAcceptor {
public:
    virtual ~TlsAcceptor() = default;
    /// The server's handshake, within the deadline of the stream. The stream is gone where it fails. `peer` is "name[addr]".
    virtual awaitable<Result<Secured>> accept(std::unique_ptr<net::Stream> stream, std::string peer) = 0;
};

}  // namespace posthorn::receive
