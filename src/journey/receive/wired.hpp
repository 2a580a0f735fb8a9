// receive/wired.hpp: the interfaces of outside.hpp over the rooms that do the work: names, TLS, files. For program/services.
#pragma once

#include "base/clock.hpp"
#include "dns/hosts.hpp"
#include "dns/resolver.hpp"
#include "receive/outside.hpp"
#include "receive/server_names.hpp"
#include "spool/incoming.hpp"
#include "tls/tls.hpp"

#include <boost/asio/thread_pool.hpp>

#include <future>
#include <memory>
#include <optional>

namespace posthorn::receive {

class DnsNames final : public Names {
public:
    DnsNames(dns::Resolver& resolver, const Clock& clock, std::string hosts_file = "/etc/hosts")
        : resolver_(resolver), hosts_(clock, std::move(hosts_file))
    {
    }
    awaitable<Result<std::vector<std::string>>> names_of(std::string address) override;
    awaitable<Result<std::vector<std::string>>> addresses_of(std::string name) override;
    awaitable<Result<MailHost>> mail_host(std::string domain) override;
    awaitable<dns::Answer> records(std::string name, dns::Type type) override;
    awaitable<Result<std::vector<std::string>>> host_addresses(std::string name) override;

private:
    dns::Resolver& resolver_;
    dns::Hosts hosts_;
};

class TlsServer final : public TlsAcceptor {
public:
    /// `names`: none, or empty: it has the names of its own certificates alone.
    explicit TlsServer(std::shared_ptr<tls::Context> context, const ServerNames* names = nullptr) : context_(std::move(context)), names_(names) {}
    bool available() const override { return context_->has_certificate(); }
    awaitable<Result<Secured>> accept(std::unique_ptr<net::Stream> stream, std::string peer) override;

private:
    std::shared_ptr<tls::Context> context_;
    const ServerNames* names_;
};

/// "(using ...)" of the Received: field, from the text behind the peer in tls::summary: cipher, then key exchange on a line of its own.
std::string received_text_of(std::string_view summary, std::string_view peer);

/// Files of the incoming folder. Writing and syncing block, so they happen on a thread of `threads`, which outlive it; `files` outlives them.
class SpoolFolder final : public IncomingFolder {
public:
    SpoolFolder(spool::FileOps& files, asio::thread_pool& threads)
        : files_(files), threads_(threads), folder_(std::make_shared<spool::FolderSync>(files))
    {
    }
    awaitable<Result<std::unique_ptr<IncomingFile>>> create(std::string queue_id) override;
    /// At most a second old.
    std::uint64_t free_octets() override;

private:
    std::future<Result<void>> sync_name();

    spool::FileOps& files_;
    asio::thread_pool& threads_;
    std::shared_ptr<spool::FolderSync> folder_;     // the threads have it too
    std::uint64_t free_ = 0;
    std::optional<SteadyTime> measured_;
};

}  // namespace posthorn::receive
