// tls/tls.hpp: TLS over any Stream. OpenSSL lives behind this room and nowhere else.
// Context    one per set of Options; made once, shared by all sessions. Errors of files name the file and OpenSSL's reason.
// Stream     accept() and connect() give a net::Stream that owns the lower one; the deadline is the lower one's, set by the caller
//            before. Idle sessions hold no record buffers. What read_ahead took from the lower stream stays here: after a handshake
//            the lower stream is not read by others.
// Errors     handshake: "Cannot start TLS: handshake failure", 4.7.5, with OpenSSL's reasons as evidence; lost connection and timeout
//            stay what they are. Reading: end of stream only after close_notify; without it "lost connection" (truncated).
// CPU        steps of handshakes take turns on the loop: a few per turn, so that sessions under way are not held up.
// Trust      a certificate that does not verify ends no handshake by itself (opportunistic TLS): Facts say it, the caller decides,
//            before anything is sent; `must_verify` makes it an Error here. What the peer is held against is one of three: fingerprints
//            alone; anchors (DANE, files of trust anchors) in place of the Context's authorities; those authorities.
#pragma once

#include "net/stream.hpp"
#include "tls/dane.hpp"
#include "tls/facts.hpp"
#include "tls/options.hpp"
#include "tls/sessions.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace posthorn::tls {

class Context {
public:
    static Result<std::shared_ptr<Context>> client(Options options, ReadFile read = read_file);
    /// Without a certificate a server only does anonymous ciphers (TLS 1.2); that is said by has_certificate().
    static Result<std::shared_ptr<Context>> server(Options options, ReadFile read = read_file);
    /// A server whose files are still to come, with read_again(). No handshake succeeds before.
    static std::shared_ptr<Context> without_files(Options options);

    Context(Context&&) = delete;
    ~Context();

    /// From the next ticket on. Without keys from outside, random ones of this process are used.
    void set_ticket_keys(TicketKeys keys);
    /// Keys, certificates and authorities anew, for the sessions that begin from now on. On an error all stays as it is.
    Result<void> read_again(const ReadFile& read = read_file);
    bool has_certificate() const;
    const Options& options() const;
    /// Of a client: the records that it can hold a chain against; the others are malformed, of an unknown kind, or none for SMTP (dane.hpp).
    std::vector<TlsaRecord> usable(std::vector<TlsaRecord> records) const;

    struct Core;
    Core& core() { return *core_; }

private:
    explicit Context(std::unique_ptr<Core> core);
    std::unique_ptr<Core> core_;
};

struct ConnectOptions {
    ConnectOptions() = default;
    explicit ConnectOptions(std::string server_name) : sni(std::move(server_name)) {}
    std::string sni;                                                  // empty, or an address: none is sent
    std::vector<std::string> names;                                   // one of them must be in the certificate to be "verified"
    bool several_labels = false;                                      // see name_matches()
    std::vector<std::string> fingerprints;                            // one must be the certificate's or its key's
    std::vector<TlsaRecord> anchors;  // usable ones; not together with `sessions`: nothing is known of a resumed one
    std::optional<std::string> protocols, cipher_list;  // instead of the Context's: as parse_protocols(), cipher_list() have them
    bool must_verify = false;
    bool keep_shown = false;  // for a look_again() (second_look.hpp)
    std::shared_ptr<SessionStore> sessions;  // none: no resumption
    std::string session_key;
};

struct Secured {
    Secured() = default;
    Secured(std::unique_ptr<net::Stream> made, Facts found) : stream(std::move(made)), facts(std::move(found)) {}
    std::unique_ptr<net::Stream> stream;
    Facts facts;
};

/// Is the peer less than what `options` hold it against? "Server certificate not trusted", "... not verified", with the reason as evidence.
std::optional<Error> refusal(const Facts& facts, const ConnectOptions& options);

/// Files and folders where the system keeps its authorities (tls_append_default_CA), and where links of those lead.
std::vector<std::string> default_authorities();

/// A server that has several names: keys and certificates for the one that a client asks for, as the octets of PEM files; none: those of the
/// Context. An Error ends the handshake.
using FindChain = std::function<awaitable<Result<std::optional<std::string>>>(std::string name)>;

/// Octets of the lower stream that were read already must be none: RFC 3207 forbids commands behind STARTTLS. A wrapper-mode
/// session that looked ahead passes them as `first`.
/// `greeting` leaves with our first flight where TLS 1.3 is agreed (RFC 8446 4.4.4: before the client's Finished, so to whoever asks),
/// else behind the handshake: a client that waits for it waits no round trip of its own.
awaitable<Result<Secured>> accept(std::shared_ptr<Context> context, std::unique_ptr<net::Stream> lower, std::string first = {},
                                  std::string greeting = {}, FindChain find = {});
awaitable<Result<Secured>> connect(std::shared_ptr<Context> context, std::unique_ptr<net::Stream> lower, ConnectOptions options = {});

}  // namespace posthorn::tls
