// bench/wire.hpp: octets to and from a socket that does not block, in clear or in TLS. For source and sink.
// Calls are as recv(2) and sendmsg(2): -1 with EAGAIN where nothing can be done now.
#pragma once

#include "load.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/uio.h>

#include <memory>

namespace posthorn::bench {

struct Free {
    void operator()(SSL* tls) const { ::SSL_free(tls); }
};

/// One for all sessions; the server's has a certificate of its own making.
inline SSL_CTX* tls_context(bool server)
{
    SSL_CTX* const context = ::SSL_CTX_new(server ? ::TLS_server_method() : ::TLS_client_method());
    ::SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    if (!server)
        return context;
    EVP_PKEY* const key = EVP_EC_gen("P-256");
    X509* const certificate = ::X509_new();
    ::X509_set_version(certificate, 2);
    ::ASN1_INTEGER_set(::X509_get_serialNumber(certificate), 1);
    ::X509_gmtime_adj(::X509_getm_notBefore(certificate), -3600);
    ::X509_gmtime_adj(::X509_getm_notAfter(certificate), 86'400);
    ::X509_set_pubkey(certificate, key);
    X509_NAME* const name = ::X509_get_subject_name(certificate);
    ::X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("sink.test"), -1, -1, 0);
    ::X509_set_issuer_name(certificate, name);
    if (::X509_sign(certificate, key, ::EVP_sha256()) == 0 || ::SSL_CTX_use_certificate(context, certificate) != 1 ||
        ::SSL_CTX_use_PrivateKey(context, key) != 1)
        give_up("no certificate could be made");
    ::X509_free(certificate);
    ::EVP_PKEY_free(key);
    return context;
}

class Wire {
public:
    Wire() = default;
    explicit Wire(int fd) : fd_(fd) {}

    /// From here on TLS. shaken() has to be asked, whenever there is something to read, until it says yes.
    void secure(SSL_CTX* context, bool server)
    {
        tls_.reset(::SSL_new(context));
        ::SSL_set_fd(tls_.get(), fd_);
        server ? ::SSL_set_accept_state(tls_.get()) : ::SSL_set_connect_state(tls_.get());
    }
    bool secured() const { return tls_ != nullptr; }
    /// 1: done; 0: more has to come; -1: it failed.
    int shaken()
    {
        if (!tls_ || ::SSL_is_init_finished(tls_.get()))
            return 1;
        const int result = ::SSL_do_handshake(tls_.get());
        return result == 1 ? 1 : again(result) ? 0 : -1;
    }
    /// Something was read from the socket that receive() has not given yet: no event will tell of it.
    bool pending() const { return tls_ && ::SSL_pending(tls_.get()) > 0; }

    ssize_t receive(char* room, std::size_t size)
    {
        if (!tls_)
            return ::recv(fd_, room, size, 0);
        const int got = ::SSL_read(tls_.get(), room, static_cast<int>(size));
        return got > 0 ? got : failure(got);
    }
    ssize_t send(const iovec* pieces, std::size_t count)
    {
        if (!tls_) {
            msghdr call{};
            call.msg_iov = const_cast<iovec*>(pieces);
            call.msg_iovlen = count;
            return ::sendmsg(fd_, &call, MSG_NOSIGNAL);
        }
        together_.clear();
        for (std::size_t i = 0; i < count; ++i)
            together_.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
        std::size_t sent = 0;
        while (sent < together_.size()) {
            const int taken = ::SSL_write(tls_.get(), together_.data() + sent, static_cast<int>(together_.size() - sent));
            if (taken <= 0) {
                const ssize_t failed = failure(taken);
                return sent > 0 && failed < 0 && errno == EAGAIN ? static_cast<ssize_t>(sent) : failed;
            }
            sent += static_cast<std::size_t>(taken);
        }
        return static_cast<ssize_t>(sent);
    }

private:
    bool again(int result) const
    {
        const int error = ::SSL_get_error(tls_.get(), result);
        return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
    }
    ssize_t failure(int result) const
    {
        const int error = ::SSL_get_error(tls_.get(), result);
        ::ERR_clear_error();
        errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : ECONNRESET;
        return error == SSL_ERROR_ZERO_RETURN ? 0 : -1;
    }

    int fd_ = -1;
    std::unique_ptr<SSL, Free> tls_;
    std::string together_;
};

}  // namespace posthorn::bench
