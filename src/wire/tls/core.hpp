// tls/core.hpp: what context.cpp and tls_stream.cpp share: OpenSSL's objects with owners. Not for other rooms.
#pragma once

#include "async/async.hpp"
#include "tls/tls.hpp"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::tls {

template <auto free_function>
struct FreeBy {
    template <class T>
    void operator()(T* object) const
    {
        free_function(object);
    }
};
using SslCtx = std::unique_ptr<SSL_CTX, FreeBy<SSL_CTX_free>>;
using Ssl = std::unique_ptr<SSL, FreeBy<SSL_free>>;
using Bio = std::unique_ptr<BIO, FreeBy<BIO_free>>;
using Key = std::unique_ptr<EVP_PKEY, FreeBy<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, FreeBy<X509_free>>;
using Session = std::unique_ptr<SSL_SESSION, FreeBy<SSL_SESSION_free>>;

using CertificateStack = std::unique_ptr<STACK_OF(X509), decltype([](STACK_OF(X509) * chain) { sk_X509_pop_free(chain, X509_free); })>;

/// A key and its certificates, as far as a file has them.
struct KeySet {
    Key key;
    X509Ptr leaf;
    CertificateStack issuers{sk_X509_new_null()};
    bool empty() const { return !key && !leaf; }
};

/// Everything in OpenSSL's error queue, "error:0A00010B:SSL routines::wrong version number", joined by "; ". Empties it.
std::string openssl_reasons();
/// The short reason of the first, "wrong version number".
std::string openssl_reason();

/// tls_config_file and tls_config_name, before the first context; what another context said of them does not hold any more. Options that leave both at
/// their defaults change nothing. Errors name the file, and the line or OpenSSL's reason.
Result<void> configure_library(const Options& options, const ReadFile& read);

/// Lets a few through in one turn of the loop; the others come again behind what is ready.
class Turns {
public:
    explicit Turns(int per_turn) : per_turn_(per_turn) {}
    awaitable<void> wait(Executor executor);

private:
    std::shared_ptr<int> used_ = std::make_shared<int>(0);
    int per_turn_;
};

struct PemBlock {
    std::string kind, header, octets;
};
/// The blocks of a file of keys and certificates, in order. Error: `what`, with OpenSSL's reasons.
Result<std::vector<PemBlock>> pem_blocks(const std::string& text, std::string_view what);

struct Context::Core {
    Core(Role side, Options with) : role(side), options(std::move(with)), turns(options.handshakes_per_turn) {}

    Role role;
    Options options;
    SslCtx ctx;
    TicketKeys keys;
    Turns turns;
    bool has_certificate = false;
    const EVP_MD* fingerprint = nullptr;
    std::string ticket_scope;  // of sessions that are shown the Context's own certificates
};

/// What one session of a client needs to keep its tickets: hangs on the SSL object.
struct Keeper {
    std::shared_ptr<SessionStore> store;
    std::string key;
};
/// The index of the Keeper on SSL objects.
int keeper_index();

/// The name that a client of a server asks for: hangs on the SSL object of who has several names to show.
struct NameChoice {
    enum class State : std::uint8_t { open, asked, settled, refused } state = State::open;
    std::string name;  // as the client says it
};
/// The index of the NameChoice on SSL objects.
int choice_index();
/// OpenSSL's callback: halts the handshake until the choice is made.
int on_client_hello(SSL* ssl, int* alert, void*);
/// What stands in the extension server_name (RFC 6066 3); empty: none, or nothing that is a name.
std::string server_name_in(std::span<const unsigned char> extension);
/// This session has these keys and certificates, and no others. The Error names the name.
Result<void> show_chain(SSL* ssl, const std::string& pem, const std::string& name);

/// Of a client's Context: its sessions may be held against anchors, by these digests.
Result<void> enable_dane(SSL_CTX* ctx, const std::string& digests);
/// False: none of them can be used, and nothing would verify.
bool hold_against(SSL* ssl, const std::vector<TlsaRecord>& anchors);
/// The usage of the anchor that vouched for the peer; none: no one did.
std::optional<int> matched_usage(SSL* ssl);

/// What a session asks for beyond its Context.
Result<void> set_up(SSL* ssl, const ConnectOptions& options);

/// Of the certificate alone: whose it is, and what it is worth against `wanted` by what `ssl` found of its chain.
void note_peer(SSL* ssl, X509* certificate, const Context::Core& core, const ConnectOptions& wanted, Facts& facts);
/// `wanted`: what the peer is held against; of a server's, nothing.
Facts facts_of(SSL* ssl, const Context::Core& core, const ConnectOptions& wanted);

}  // namespace posthorn::tls
