#include "tls/core.hpp"

#include <fmt/format.h>
#include <openssl/err.h>

#include <algorithm>
#include <cstring>

namespace posthorn::tls {

namespace {

/// Ciphertext that may wait for the lower stream before a writer waits as well.
constexpr std::size_t unsent_limit = 64 * 1024;
constexpr std::size_t record_size = 16 * 1024;
/// What a peer may make us say (answers to key updates) without taking any of it.
constexpr std::size_t untaken_limit = 4 * unsent_limit;
/// What one attempt takes off the lower stream: OpenSSL reads on while there is anything but content (key updates, tickets), and a peer
/// that sends them as fast as they are opened would keep the loop for itself.
constexpr std::size_t attempt_limit = 64 * 1024;

class TlsStream;
BIO_METHOD* lower_method();

class TlsStream final : public net::Stream {
public:
    TlsStream(std::shared_ptr<Context> context, std::unique_ptr<net::Stream> lower, std::string first)
        : context_(std::move(context)), lower_(std::move(lower)), first_(std::move(first)), ssl_(SSL_new(context_->core().ctx.get()))
    {
        BIO* bio = BIO_new(lower_method());
        BIO_set_data(bio, this);
        BIO_set_init(bio, 1);
        SSL_set_bio(ssl_.get(), bio, bio);
    }

    SSL* ssl() { return ssl_.get(); }

    /// The steps, each with its turn on the loop; what a step says leaves in one write. `greeting`: of a server, with its first flight.
    awaitable<Result<void>> handshake(std::string session_octets, Keeper keeper, std::string greeting = {}, FindChain find = {})
    {
        if (find)
            SSL_set_ex_data(ssl_.get(), choice_index(), &choice_);
        keeper_ = std::move(keeper);
        SSL_set_ex_data(ssl_.get(), keeper_index(), &keeper_);
        if (!session_octets.empty())
            resume(session_octets);
        for (;;) {
            co_await context_->core().turns.wait(executor());
            ERR_clear_error();
            may_take_ = attempt_limit;
            const bool greets = !greeting.empty();
            const int outcome = greets ? greet(greeting) : SSL_do_handshake(ssl_.get());
            const int wants = SSL_get_error(ssl_.get(), outcome);
            Error failure = outcome == 1 ? Error{""} : handshake_failure(wants);   // before the queue of errors changes
            CO_TRY_VOID(co_await flush_all());
            if (outcome == 1 && !greets)
                co_return Result<void>{};
            if (outcome == 1) {
                greeting.clear();
                continue;
            }
            if (wants == SSL_ERROR_WANT_CLIENT_HELLO_CB) {
                co_await choose(find);
                continue;
            }
            if (wants != SSL_ERROR_WANT_READ && wants != SSL_ERROR_WANT_WRITE)
                co_return failure;
            if (wants == SSL_ERROR_WANT_READ)
                CO_TRY_VOID(co_await lower_->wait(net::Direction::read));
        }
    }

    net::Io try_read(std::span<char> room) override
    {
        ERR_clear_error();
        may_take_ = attempt_limit;
        std::size_t got = 0;
        const int outcome = SSL_read_ex(ssl_.get(), room.data(), room.size(), &got);
        const int wants = outcome == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl_.get(), outcome);
        if (!out_.empty())
            (void)try_flush();                                        // key updates, alerts; a failure shows in the next write
        if (out_.size() > untaken_limit)
            return fail(Error{"lost connection", "4.4.2"}.after("the peer asks for answers and takes none"));
        switch (wants) {
        case SSL_ERROR_NONE: return net::Io::done(got);
        case SSL_ERROR_ZERO_RETURN: return net::Io::end();
        case SSL_ERROR_WANT_READ:
        case SSL_ERROR_WANT_WRITE: return net::Io::again();
        default: return fail(broken());
        }
    }

    net::Io try_write(std::span<const iovec> pieces) override
    {
        std::size_t taken = 0;
        char gathered[record_size];
        for (std::size_t next = 0, offset = 0; next < pieces.size() && out_.size() < unsent_limit;) {
            // Small pieces share a record; a large one is sealed from where it lies.
            const char* text = static_cast<const char*>(pieces[next].iov_base) + offset;
            std::size_t length = std::min(pieces[next].iov_len - offset, record_size);
            std::size_t used = length;
            if (length < record_size && next + 1 < pieces.size()) {
                used = 0;
                std::size_t at = next, from = offset;
                while (at < pieces.size() && used < record_size) {
                    const std::size_t part = std::min(pieces[at].iov_len - from, record_size - used);
                    std::memcpy(gathered + used, static_cast<const char*>(pieces[at].iov_base) + from, part);
                    used += part;
                    from = from + part == pieces[at].iov_len ? (++at, 0) : from + part;
                }
                text = gathered;
                length = used;
            }
            if (length > 0) {
                ERR_clear_error();
                std::size_t sealed = 0;
                const int outcome = SSL_write_ex(ssl_.get(), text, length, &sealed);
                if (outcome != 1) {
                    const int wants = SSL_get_error(ssl_.get(), outcome);
                    if (wants == SSL_ERROR_WANT_READ || wants == SSL_ERROR_WANT_WRITE)
                        break;
                    return fail(broken());
                }
                used = sealed;
            }
            taken += used;
            for (std::size_t left = used; next < pieces.size();) {
                const std::size_t part = std::min(left, pieces[next].iov_len - offset);
                left -= part;
                offset += part;
                if (offset < pieces[next].iov_len)
                    break;
                ++next;
                offset = 0;
                if (left == 0)
                    break;
            }
        }
        const net::Io flushed = try_flush();
        if (flushed.state == net::Io::State::failed)
            return flushed;
        return taken > 0 ? net::Io::done(taken) : net::Io::again();
    }

    net::Io try_flush() override
    {
        std::size_t sent = 0;
        while (sent < out_.size()) {
            const iovec piece{out_.data() + sent, out_.size() - sent};
            const net::Io io = lower_->try_write({&piece, 1});
            if (io.state != net::Io::State::done) {
                out_.erase(0, sent);
                return io.state == net::Io::State::again ? io : fail(lower_->failure());
            }
            sent += io.octets;
        }
        std::string().swap(out_);                                     // idle sessions hold no buffer
        return net::Io::done(sent);
    }

    awaitable<Result<void>> wait(net::Direction direction) override { co_return co_await lower_->wait(direction); }
    bool has_buffered() const override { return SSL_has_pending(ssl_.get()) == 1 || !first_.empty(); }

    void expires_at(SteadyTime deadline) override { lower_->expires_at(deadline); }
    SteadyTime deadline() const override { return lower_->deadline(); }

    awaitable<Result<void>> shutdown() override
    {
        say_goodbye();
        CO_TRY_VOID(co_await flush_all());
        co_return co_await lower_->shutdown();
    }
    void close() override
    {
        if (lower_->is_open()) {
            say_goodbye();
            (void)try_flush();
        }
        lower_->close();
    }
    void abort() override { lower_->abort(); }
    bool is_open() const override { return lower_->is_open(); }
    const net::Endpoint& peer() const override { return lower_->peer(); }
    const net::Endpoint& local() const override { return lower_->local(); }
    int native() const override { return lower_->native(); }
    Executor executor() const override { return lower_->executor(); }
    net::Stream* next_layer() override { return lower_.get(); }

    // What OpenSSL asks of the lower stream.
    int lower_read(BIO* bio, char* room, std::size_t size, std::size_t* got)
    {
        BIO_clear_retry_flags(bio);
        if (!first_.empty()) {
            *got = first_.copy(room, size);
            first_.erase(0, *got);
            return 1;
        }
        if (may_take_ == 0) {                                         // the rest waits in the lower stream, whose wait ends at once
            BIO_set_retry_read(bio);
            return 0;
        }
        const net::Io io = lower_->try_read({room, std::min(size, may_take_)});
        switch (io.state) {
        case net::Io::State::done:
            *got = io.octets;
            may_take_ -= io.octets;
            return 1;
        case net::Io::State::again: BIO_set_retry_read(bio); return 0;
        case net::Io::State::end: ended_ = true; return 0;
        case net::Io::State::failed: lower_failure_ = lower_->failure(); return 0;
        }
        return 0;
    }
    void lower_write(const char* text, std::size_t size) { out_.append(text, size); }
    bool lower_ended() const { return ended_; }

    /// Of a server: the name that has a chain of its own.
    const std::string& chosen() const { return chosen_; }

private:
    /// Which certificate the client is shown. A chain that cannot be had, or not used, is worse than a wrong one: the client comes again.
    awaitable<void> choose(const FindChain& find)
    {
        const auto answer = co_await find(choice_.name);
        Result<void> done = answer ? Result<void>{} : Result<void>(answer.error());
        if (answer)
            if (const std::optional<std::string>& chain = *answer) {
                done = show_chain(ssl_.get(), *chain, choice_.name);
                chosen_ = done ? choice_.name : "";
            }
        if (!done)
            refusal_ = done.error();
        choice_.state = done ? NameChoice::State::settled : NameChoice::State::refused;
    }

    void say_goodbye()
    {
        if (SSL_in_init(ssl_.get()) == 0 && !(SSL_get_shutdown(ssl_.get()) & SSL_SENT_SHUTDOWN)) {
            ERR_clear_error();
            SSL_shutdown(ssl_.get());
            ERR_clear_error();
        }
    }

    awaitable<Result<void>> flush_all()
    {
        for (;;) {
            const net::Io io = try_flush();
            if (io.state == net::Io::State::done)
                co_return Result<void>{};
            if (io.state != net::Io::State::again)
                co_return failure();
            CO_TRY_VOID(co_await lower_->wait(net::Direction::write));
        }
    }

    /// A server's part of the first round trip, and these words behind it. TLS 1.2 has no such place: there the handshake is done first.
    /// 1: it is said. Early data is not taken: none is announced in tickets.
    int greet(std::string_view words)
    {
        char none[1];
        std::size_t octets = 0;
        if (SSL_read_early_data(ssl_.get(), none, sizeof none, &octets) != SSL_READ_EARLY_DATA_FINISH)
            return 0;
        return SSL_write_early_data(ssl_.get(), words.data(), words.size(), &octets);
    }

    void resume(const std::string& octets)
    {
        const auto* at = reinterpret_cast<const unsigned char*>(octets.data());
        const Session session(d2i_SSL_SESSION(nullptr, &at, static_cast<long>(octets.size())));
        if (session)
            SSL_set_session(ssl_.get(), session.get());
        ERR_clear_error();                                            // a session we cannot read is none
    }

    /// After the handshake: what ended the stream.
    Error broken()
    {
        if (lower_failure_) {
            ERR_clear_error();
            return *lower_failure_;
        }
        const std::string reasons = openssl_reasons();
        if (ended_)
            return Error{"lost connection", "4.4.2"}.after("end of stream without close_notify");
        return Error{"lost connection", "4.4.2"}.after(reasons);
    }

    Error handshake_failure(int wants)
    {
        if (wants == SSL_ERROR_WANT_READ || wants == SSL_ERROR_WANT_WRITE || wants == SSL_ERROR_WANT_CLIENT_HELLO_CB)
            return Error{""};
        if (refusal_)
            return Error{"Cannot start TLS: handshake failure", "4.7.5"}.after(refusal_->text());
        if (lower_failure_)
            return *lower_failure_;
        const std::string reasons = openssl_reasons();
        if (ended_)
            return Error{"lost connection", "4.4.2"}.after(reasons);
        return Error{"Cannot start TLS: handshake failure", "4.7.5"}.after(reasons);
    }

    std::shared_ptr<Context> context_;
    std::unique_ptr<net::Stream> lower_;
    std::string first_, out_;
    std::optional<Error> lower_failure_;
    Keeper keeper_;
    NameChoice choice_;
    std::string chosen_;
    std::optional<Error> refusal_;
    std::size_t may_take_ = attempt_limit;
    bool ended_ = false;
    Ssl ssl_;                                                         // goes first: it refers to the others
};

TlsStream& owner(BIO* bio) { return *static_cast<TlsStream*>(BIO_get_data(bio)); }

BIO_METHOD* lower_method()
{
    static BIO_METHOD* const method = [] {
        BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "posthorn stream");
        BIO_meth_set_read_ex(made,
                             [](BIO* bio, char* room, std::size_t size, std::size_t* got) { return owner(bio).lower_read(bio, room, size, got); });
        BIO_meth_set_write_ex(made, [](BIO* bio, const char* text, std::size_t size, std::size_t* taken) {
            owner(bio).lower_write(text, size);
            *taken = size;
            return 1;
        });
        BIO_meth_set_ctrl(made, [](BIO* bio, int command, long, void*) -> long {
            if (command == BIO_CTRL_EOF)
                return owner(bio).lower_ended();
            return command == BIO_CTRL_FLUSH ? 1 : 0;
        });
        return made;
    }();
    return method;
}

}  // namespace

awaitable<Result<Secured>> accept(std::shared_ptr<Context> context, std::unique_ptr<net::Stream> lower, std::string first, std::string greeting,
                                  FindChain find)
{
    auto stream = std::make_unique<TlsStream>(context, std::move(lower), std::move(first));
    SSL_set_accept_state(stream->ssl());
    if (auto done = co_await stream->handshake({}, {}, std::move(greeting), std::move(find)); !done) {
        stream->close();                                              // no reset: the alert shall arrive
        co_return done.error();
    }
    Facts facts = facts_of(stream->ssl(), context->core(), {});
    facts.sni = stream->chosen();
    co_return Secured(std::move(stream), std::move(facts));
}

Result<void> set_up(SSL* ssl, const ConnectOptions& options)
{
    if (options.protocols) {
        TRY(const Protocols protocols, parse_protocols(*options.protocols));
        SSL_clear_options(ssl, SSL_OP_NO_SSLv3 | SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_TLSv1_2 | SSL_OP_NO_TLSv1_3);
        SSL_set_options(ssl, protocols.without);
        if (SSL_set_min_proto_version(ssl, protocols.least) != 1 || SSL_set_max_proto_version(ssl, protocols.most) != 1)
            return Error{fmt::format("invalid TLS protocol list \"{}\"", *options.protocols), "4.7.5"};
    }
    if (options.cipher_list && SSL_set_cipher_list(ssl, options.cipher_list->c_str()) != 1)
        return Error{fmt::format("invalid TLS cipher list \"{}\": {}", *options.cipher_list, openssl_reasons()), "4.7.5"};
    if (!options.anchors.empty() && !hold_against(ssl, options.anchors))
        return Error{"no trust anchor can be used", "4.7.5"};
    return {};
}

awaitable<Result<Secured>> connect(std::shared_ptr<Context> context, std::unique_ptr<net::Stream> lower, ConnectOptions options)
{
    auto stream = std::make_unique<TlsStream>(context, std::move(lower), std::string{});
    SSL_set_connect_state(stream->ssl());
    if (!options.sni.empty() && !net::IpAddress::parse(options.sni))
        SSL_set_tlsext_host_name(stream->ssl(), options.sni.c_str());
    if (auto ready = set_up(stream->ssl(), options); !ready) {
        stream->close();
        co_return ready.error();
    }
    std::string session;
    if (options.sessions && !options.session_key.empty())
        session = options.sessions->get(options.session_key).value_or("");
    if (auto done = co_await stream->handshake(std::move(session), Keeper{options.sessions, options.session_key}); !done) {
        if (options.sessions)
            options.sessions->remove(options.session_key);            // in case the session was what the peer stumbled over
        stream->close();
        co_return done.error();
    }
    Facts facts = facts_of(stream->ssl(), context->core(), options);
    if (auto refused = options.must_verify ? refusal(facts, options) : std::nullopt) {
        stream->close();
        co_return *std::move(refused);
    }
    co_return Secured(std::move(stream), std::move(facts));
}

}  // namespace posthorn::tls
