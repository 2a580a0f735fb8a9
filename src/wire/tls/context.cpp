#include "tls/core.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstring>

namespace posthorn::tls {

namespace {

struct FreeByOpenssl {
    void operator()(void* block) const { OPENSSL_free(block); }
};

Error wrong(std::string_view what)
{
    std::string reasons = openssl_reasons();
    const std::string shown = reasons.empty() ? std::string(what) : fmt::format("{}: {}", what, reasons);
    return Error{shown, "4.3.5"}.after(reasons);
}

std::string no_data_from(const std::string& path) { return fmt::format("cannot load certificate/key data from {}", path); }

Error wrong_file(const std::string& path) { return wrong(no_data_from(path)); }

/// Private keys with a pass phrase are refused: nobody sits there to type it.
int no_password(char*, int, int, void*) { return 0; }

/// For a Context, or for one session of it.
template <class Owner>
Result<void> use(Owner* owner, KeySet set, const std::string& path)
{
    if (!set.key)
        return Error{fmt::format("cannot load certificate/key data from {}: no private key", path), "4.3.5"};
    if (!set.leaf)
        return Error{fmt::format("cannot load certificate/key data from {}: no certificate", path), "4.3.5"};
    int taken = 0;
    if constexpr (std::is_same_v<Owner, SSL>)
        taken = SSL_use_cert_and_key(owner, set.leaf.get(), set.key.get(), set.issuers.get(), 1);
    else
        taken = SSL_CTX_use_cert_and_key(owner, set.leaf.get(), set.key.get(), set.issuers.get(), 1);
    if (taken != 1)
        return wrong_file(path);
    return {};
}

/// PEM blocks in order. Every key but the first begins a new set.
Result<std::vector<KeySet>> parse_pem(const std::string& text, const std::string& path)
{
    std::vector<KeySet> sets;
    sets.emplace_back();
    TRY(const auto blocks, pem_blocks(text, no_data_from(path)));
    for (const auto& [kind, header, octets] : blocks) {
        const auto* at = reinterpret_cast<const unsigned char*>(octets.data());
        const auto length = static_cast<long>(octets.size());
        if (kind == "CERTIFICATE" || kind == "X509 CERTIFICATE" || kind == "TRUSTED CERTIFICATE") {
            X509Ptr certificate(kind == "TRUSTED CERTIFICATE" ? d2i_X509_AUX(nullptr, &at, length) : d2i_X509(nullptr, &at, length));
            if (!certificate)
                return wrong_file(path);
            if (!sets.back().leaf)
                sets.back().leaf = std::move(certificate);
            else if (sk_X509_push(sets.back().issuers.get(), certificate.get()) > 0)
                (void)certificate.release();
        } else if (kind.ends_with("PRIVATE KEY")) {
            if (kind == "ENCRYPTED PRIVATE KEY" || header.find("ENCRYPTED") != header.npos)
                return Error{fmt::format("cannot load certificate/key data from {}: the private key has a pass phrase", path), "4.3.5"};
            Key key(d2i_AutoPrivateKey(nullptr, &at, length));
            if (!key)
                return wrong_file(path);
            if (sets.back().key)                                      // (a first key may stand behind its certificates)
                sets.emplace_back();
            sets.back().key = std::move(key);
        }
    }
    return sets;
}

Result<void> load_certificates(Context::Core& core, const ReadFile& read)
{
    SSL_CTX* ctx = core.ctx.get();
    SSL_CTX_set_default_passwd_cb(ctx, no_password);
    std::optional<std::pair<Key, std::string>> waiting;                // a key alone in its file: its certificates stand in the next
    for (const std::string& path : core.options.chain_files) {
        TRY(const std::string text, read(path));
        TRY(auto sets, parse_pem(text, path));
        if (waiting && !sets.front().key && sets.front().leaf) {
            sets.front().key = std::move(waiting->first);
            waiting.reset();
        }
        if (sets.back().key && !sets.back().leaf && !waiting) {
            waiting.emplace(std::move(sets.back().key), path);
            sets.pop_back();
        }
        for (KeySet& set : sets)
            TRY_VOID(use(ctx, std::move(set), path));
        core.has_certificate = core.has_certificate || !sets.empty();
    }
    if (waiting)
        return Error{fmt::format("cannot load certificate/key data from {}: no certificate", waiting->second), "4.3.5"};
    if (!core.options.chain_files.empty())
        return {};
    for (const CertificateFiles& files : core.options.certificates) {
        TRY(const std::string certificate_text, read(files.certificate));
        TRY(auto sets, parse_pem(certificate_text, files.certificate));
        if (sets.size() != 1)
            return Error{fmt::format("cannot load certificate/key data from {}: more than one private key", files.certificate), "4.3.5"};
        if (files.key != files.certificate) {
            TRY(const std::string key_text, read(files.key));
            TRY(auto keys, parse_pem(key_text, files.key));
            if (!keys.front().key)
                return Error{fmt::format("cannot load certificate/key data from {}: no private key", files.key), "4.3.5"};
            sets.front().key = std::move(keys.front().key);
        }
        TRY_VOID(use(ctx, std::move(sets.front()), files.certificate));
        core.has_certificate = true;
    }
    return {};
}

/// Gives what the file of authorities says.
Result<std::string> load_authorities(Context::Core& core, const ReadFile& read)
{
    SSL_CTX* ctx = core.ctx.get();
    std::string text;
    if (!core.options.ca_file.empty()) {
        TRY(text, read(core.options.ca_file));
        TRY(auto sets, parse_pem(text, core.options.ca_file));
        X509_STORE* store = SSL_CTX_get_cert_store(ctx);
        if (!sets.front().leaf)
            return Error{fmt::format("cannot load Certification Authority data from {}: no certificate", core.options.ca_file), "4.3.5"};
        for (const KeySet& set : sets) {
            X509_STORE_add_cert(store, set.leaf.get());
            for (int i = 0; i < sk_X509_num(set.issuers.get()); ++i)
                X509_STORE_add_cert(store, sk_X509_value(set.issuers.get(), i));
        }
    }
    if (!core.options.ca_path.empty() && SSL_CTX_load_verify_dir(ctx, core.options.ca_path.c_str()) != 1)
        return wrong(fmt::format("cannot load Certification Authority data from {}", core.options.ca_path));
    if (core.options.default_ca && SSL_CTX_set_default_verify_paths(ctx) != 1)
        return wrong("cannot load the system's Certification Authority data");
    return text;
}

/// As short as OpenSSL wants a scope to be.
std::string sha256_of(const std::string& text)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (EVP_Digest(text.data(), text.size(), digest, &length, EVP_sha256(), nullptr) != 1)
        return text.substr(0, SSL_MAX_SID_CTX_LENGTH);
    return {reinterpret_cast<const char*>(digest), length};
}

/// Where a ticket of another server of ours is good. It carries the client's certificate and what was thought of it, so that it resumes
/// nothing where certificates are judged otherwise, or where none was asked for before.
void set_ticket_scope(Context::Core& core, const std::string& authorities)
{
    const Options& options = core.options;
    std::string scope = "posthorn";
    if (options.ask_certificate) {
        for (const std::string& part : {authorities, options.ca_path, std::to_string(options.default_ca), std::to_string(options.verify_depth),
                                        std::to_string(options.trust_server_certificates)})
            scope += std::to_string(part.size()) + ':' + part;
        scope = sha256_of(scope);
    }
    SSL_CTX_set_session_id_context(core.ctx.get(), reinterpret_cast<const unsigned char*>(scope.data()), static_cast<unsigned>(scope.size()));
    core.ticket_scope = std::move(scope);
}

/// The groups of the lists that this OpenSSL knows.
Result<void> set_groups(SSL_CTX* ctx, const Options& options)
{
    std::string known;
    const SslCtx trial(SSL_CTX_new(TLS_method()));
    for (const std::string& list : {options.groups, options.ffdhe_groups})
        for (const std::string_view word : split(list, " \t\r\n,:")) {
            const std::string name(word);
            if (SSL_CTX_set1_groups_list(trial.get(), name.c_str()) != 1)
                continue;
            known += (known.empty() ? "" : ":") + name;
        }
    ERR_clear_error();
    if (!known.empty() && SSL_CTX_set1_groups_list(ctx, known.c_str()) != 1)
        return wrong("cannot set the TLS groups");
    return {};
}

Context::Core& core_of(SSL* ssl) { return *static_cast<Context::Core*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl))); }

/// 1: sealed or opened; 2: opened with the previous keys, renew; 0: not ours, a full handshake follows.
int ticket_keys(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, int seal)
{
    const TicketKeys& keys = core_of(ssl).keys;
    const TicketKey* key = &keys.current;
    int outcome = 1;
    if (seal) {
        if (RAND_bytes(iv, 16) != 1)
            return -1;
        std::memcpy(name, key->name.data(), key->name.size());
    } else if (std::memcmp(name, key->name.data(), key->name.size()) != 0) {
        if (!keys.previous || std::memcmp(name, keys.previous->name.data(), keys.previous->name.size()) != 0)
            return 0;
        key = &*keys.previous;
        outcome = 2;
    } else if (SSL_version(ssl) == TLS1_3_VERSION) {
        outcome = 2;                                                  // RFC 8446 C.4: a fresh ticket each time
    }
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, const_cast<std::uint8_t*>(key->mac.data()), key->mac.size()),
                           OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
    if (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key->cipher.data(), iv, seal) != 1 || EVP_MAC_CTX_set_params(mac, params) != 1)
        return -1;
    return outcome;
}

/// A session whose client's certificate has expired meanwhile is not resumed: what was thought of it is true no more, and with a fresh ticket for
/// each session (RFC 8446 4.6.1) it would be for ever.
SSL_TICKET_RETURN judge_ticket(SSL*, SSL_SESSION* session, const unsigned char*, std::size_t, SSL_TICKET_STATUS status, void*)
{
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    const X509* peer = SSL_SESSION_get0_peer(session);
    if (peer && X509_cmp_current_time(X509_get0_notAfter(peer)) <= 0)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

/// A session arrived (TLS 1.3: after the handshake). Zero: OpenSSL keeps its hold on it, we kept octets.
int new_session(SSL* ssl, SSL_SESSION* session)
{
    const auto* keeper = static_cast<Keeper*>(SSL_get_ex_data(ssl, keeper_index()));
    if (!keeper || !keeper->store || keeper->key.empty() || SSL_SESSION_is_resumable(session) != 1)
        return 0;
    std::string octets(static_cast<std::size_t>(std::max(i2d_SSL_SESSION(session, nullptr), 0)), '\0');
    auto* at = reinterpret_cast<unsigned char*>(octets.data());
    if (!octets.empty() && i2d_SSL_SESSION(session, &at) > 0)
        keeper->store->put(keeper->key, std::move(octets));
    return 0;
}

/// tls_trust_server_ccerts: a chain that is right is one for clients, or one for servers. OpenSSL is asked for neither (X509_PURPOSE_ANY), and the
/// verdict stays with the session, as its own does.
int verify_for_either(X509_STORE_CTX* verifying, void*)
{
    const int fine = X509_verify_cert(verifying);
    if (X509_STORE_CTX_get_error(verifying) != X509_V_OK)
        return fine;
    const STACK_OF(X509)* chain = X509_STORE_CTX_get0_chain(verifying);
    const auto is_for = [chain](int purpose) {
        for (int at = 0; at < sk_X509_num(chain); ++at)
            if (X509_check_purpose(sk_X509_value(chain, at), purpose, at > 0 ? 1 : 0) <= 0)
                return false;
        return true;
    };
    if (!is_for(X509_PURPOSE_SSL_CLIENT) && !is_for(X509_PURPOSE_SSL_SERVER))
        X509_STORE_CTX_set_error(verifying, X509_V_ERR_INVALID_PURPOSE);
    return fine;
}

Result<std::unique_ptr<Context::Core>> make(Role role, Options options, const ReadFile& read)
{
    ERR_clear_error();
    TRY_VOID(configure_library(options, read));
    auto core = std::make_unique<Context::Core>(role, std::move(options));
    core->ctx.reset(SSL_CTX_new(role == Role::client ? TLS_client_method() : TLS_server_method()));
    if (!core->ctx)
        return wrong("cannot make a TLS context");
    SSL_CTX* ctx = core->ctx.get();
    SSL_CTX_set_app_data(ctx, core.get());
    TRY(const Protocols protocols, parse_protocols(core->options.protocols));
    TRY(const std::uint64_t bits, option_bits(core->options));
    SSL_CTX_clear_options(ctx, SSL_OP_ALL);                           // some are on by themselves
    SSL_CTX_set_options(ctx, protocols.without | bits | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_min_proto_version(ctx, protocols.least);
    SSL_CTX_set_max_proto_version(ctx, protocols.most);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1);
    TRY(const std::string ciphers, cipher_list(core->options));
    if (SSL_CTX_set_cipher_list(ctx, ciphers.c_str()) != 1)
        return wrong(fmt::format("invalid TLS cipher list \"{}\"", ciphers));
    core->fingerprint = EVP_get_digestbyname(core->options.fingerprint_digest.c_str());
    if (!core->fingerprint)
        return Error{fmt::format("unknown digest algorithm \"{}\"", core->options.fingerprint_digest), "4.3.5"};
    TRY_VOID(set_groups(ctx, core->options));
    SSL_CTX_set_dh_auto(ctx, 1);
    SSL_CTX_set_verify_depth(ctx, core->options.verify_depth);
    TRY_VOID(load_certificates(*core, read));
    TRY(const std::string authorities, load_authorities(*core, read));
    SSL_CTX_set_timeout(ctx, static_cast<long>(core->options.session_lifetime.count()));
    if (role == Role::server) {
        set_ticket_scope(*core, authorities);
        SSL_CTX_set_client_hello_cb(ctx, on_client_hello, nullptr);
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);      // tickets only: the state is the client's
        SSL_CTX_set_num_tickets(ctx, 1);
        core->keys = TicketKeys::random();
        SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_keys);
        SSL_CTX_set_session_ticket_cb(ctx, nullptr, judge_ticket, nullptr);
        if (!core->options.tickets)
            SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        if (core->options.server_chooses)
            SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
        if (core->options.trust_server_certificates) {
            SSL_CTX_set_purpose(ctx, X509_PURPOSE_ANY);
            SSL_CTX_set_cert_verify_callback(ctx, verify_for_either, nullptr);
        }
        if (core->options.ask_certificate)
            SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, [](int, X509_STORE_CTX*) { return 1; });      // Facts say what is wrong with it
    } else {
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(ctx, new_session);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, nullptr);            // verified all the same; Facts carry the result
        TRY_VOID(enable_dane(ctx, core->options.dane_digests));
    }
    return core;
}

Result<std::shared_ptr<Context>> wrap(Result<std::unique_ptr<Context::Core>> core, auto made)
{
    if (!core)
        return core.error();
    return made(*std::move(core));
}

}  // namespace

std::string openssl_reasons()
{
    std::string all;
    while (const unsigned long code = ERR_get_error()) {
        char text[256];
        ERR_error_string_n(code, text, sizeof text);
        all += (all.empty() ? "" : "; ") + std::string(text);
    }
    return all;
}

std::string openssl_reason()
{
    const unsigned long code = ERR_peek_error();
    const char* reason = code ? ERR_reason_error_string(code) : nullptr;
    return reason ? reason : "";
}

int keeper_index()
{
    static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return index;
}

awaitable<void> Turns::wait(Executor executor)
{
    while (*used_ >= per_turn_)
        co_await asio::post(executor, use_awaitable);
    if ((*used_)++ == 0)
        asio::post(executor, [used = used_] { *used = 0; });
}

Context::Context(std::unique_ptr<Core> core) : core_(std::move(core)) {}

Context::~Context() = default;

Result<std::shared_ptr<Context>> Context::client(Options options, ReadFile read)
{
    return wrap(make(Role::client, std::move(options), read),
                [](std::unique_ptr<Core> core) { return std::shared_ptr<Context>(new Context(std::move(core))); });
}

Result<std::shared_ptr<Context>> Context::server(Options options, ReadFile read)
{
    return wrap(make(Role::server, std::move(options), read),
                [](std::unique_ptr<Core> core) { return std::shared_ptr<Context>(new Context(std::move(core))); });
}

std::shared_ptr<Context> Context::without_files(Options options)
{
    auto core = std::make_unique<Core>(Role::server, std::move(options));
    core->ctx.reset(SSL_CTX_new(TLS_server_method()));
    SSL_CTX_set_app_data(core->ctx.get(), core.get());
    core->keys = TicketKeys::random();
    return std::shared_ptr<Context>(new Context(std::move(core)));
}

Result<std::vector<PemBlock>> pem_blocks(const std::string& text, std::string_view what)
{
    std::vector<PemBlock> blocks;
    const Bio bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
    for (;;) {
        char *name = nullptr, *header = nullptr;
        unsigned char* raw = nullptr;
        long length = 0;
        if (PEM_read_bio(bio.get(), &name, &header, &raw, &length) != 1) {
            const unsigned long error = ERR_peek_last_error();
            if (ERR_GET_LIB(error) != ERR_LIB_PEM || ERR_GET_REASON(error) != PEM_R_NO_START_LINE)
                return wrong(what);
            ERR_clear_error();
            return blocks;
        }
        using Text = std::unique_ptr<char, FreeByOpenssl>;
        const Text name_owner(name), header_owner(header);
        const std::unique_ptr<unsigned char, FreeByOpenssl> raw_owner(raw);
        blocks.emplace_back(name, header, std::string(reinterpret_cast<const char*>(raw), static_cast<std::size_t>(length)));
    }
}

std::vector<std::string> default_authorities()
{
    return {X509_get_default_cert_file(), X509_get_default_cert_dir(), "/etc/ssl/certs", "/usr/share/ca-certificates",
            "/usr/local/share/ca-certificates"};
}

void Context::set_ticket_keys(TicketKeys keys) { core_->keys = keys; }

Result<void> Context::read_again(const ReadFile& read)
{
    TRY(auto fresh, make(core_->role, core_->options, read));
    SSL_CTX_set_app_data(fresh->ctx.get(), core_.get());
    core_->ctx = std::move(fresh->ctx);                              // sessions under way hold theirs
    core_->has_certificate = fresh->has_certificate;
    core_->fingerprint = fresh->fingerprint;
    core_->ticket_scope = std::move(fresh->ticket_scope);
    return {};
}

Result<void> show_chain(SSL* ssl, const std::string& pem, const std::string& name)
{
    const std::string place = "SNI data for " + name;
    ERR_clear_error();
    TRY(auto sets, parse_pem(pem, place));
    SSL_certs_clear(ssl);  // or a client that likes the Context's kind of key better is shown its certificate
    for (KeySet& set : sets)
        TRY_VOID(use(ssl, std::move(set), place));
    // What is resumed shows no certificate: a ticket is for the name that it was given for.
    const std::string scope = sha256_of(core_of(ssl).ticket_scope + '\0' + name);
    SSL_set_session_id_context(ssl, reinterpret_cast<const unsigned char*>(scope.data()), static_cast<unsigned>(scope.size()));
    return {};
}

bool Context::has_certificate() const { return core_->has_certificate; }

const Options& Context::options() const { return core_->options; }

}  // namespace posthorn::tls
