#include "receive/wired.hpp"

#include "base/strings.hpp"
#include "dns/idna.hpp"

#include <fmt/format.h>

#include <optional>

namespace posthorn::receive {

namespace {

class SpoolFile final : public IncomingFile {
public:
    /// `named`: that the folder is on the disk as it was when the file was made.
    SpoolFile(std::unique_ptr<spool::IncomingFile> file, asio::thread_pool& threads, std::future<Result<void>> named)
        : file_(std::move(file)), threads_(threads), named_(std::move(named))
    {
    }
    awaitable<Result<void>> append(std::string_view octets) override { co_return co_await on_thread(threads_, Append(*this, octets)); }
    awaitable<Result<std::string>> read(std::uint64_t offset, std::size_t most) override
    {
        co_return co_await on_thread(threads_, Read(*this, offset, most));
    }
    awaitable<Result<void>> sync() override { co_return co_await on_thread(threads_, Sync(*this)); }
    awaitable<Result<void>> give_up_name() override { co_return co_await on_thread(threads_, GiveUpName(*this)); }
    void keep() override { file_->keep(); }
    std::string name() const override { return file_->name(); }

private:
    struct Append {
        Append(SpoolFile& to, std::string_view text) : file(&to), octets(text) {}
        Result<void> operator()() const { return file->file_->append(octets); }
        SpoolFile* file;
        std::string_view octets;
    };
    struct Read {
        Read(SpoolFile& of, std::uint64_t from, std::size_t octets) : file(&of), offset(from), most(octets) {}
        Result<std::string> operator()() const { return file->file_->read(offset, most); }
        SpoolFile* file;
        std::uint64_t offset;
        std::size_t most;
    };
    struct GiveUpName {
        explicit GiveUpName(SpoolFile& of) : file(&of) {}
        Result<void> operator()() const { return file->file_->give_up_name(); }
        SpoolFile* file;
    };
    struct Sync {
        explicit Sync(SpoolFile& of) : file(&of) {}
        Result<void> operator()() const
        {
            TRY_VOID(file->file_->sync_octets());
            // It was given to the threads before this was, so one of them has it: nobody waits for who waits.
            if (file->named_.valid())
                file->name_ = file->named_.get();
            return file->name_;
        }
        SpoolFile* file;
    };

    std::unique_ptr<spool::IncomingFile> file_;
    asio::thread_pool& threads_;
    std::future<Result<void>> named_;
    Result<void> name_;                             // what it said
};

struct Create {
    Create(spool::FileOps& in, std::string name) : files(&in), queue_id(std::move(name)) {}
    // On the heap: what a thread hands back has a default constructor.
    Result<std::unique_ptr<spool::IncomingFile>> operator()() const
    {
        TRY(auto file, spool::IncomingFile::create(*files, queue_id));
        return std::make_unique<spool::IncomingFile>(std::move(file));
    }
    spool::FileOps* files;
    std::string queue_id;
};

}  // namespace

awaitable<Result<std::vector<std::string>>> DnsNames::names_of(std::string address)
{
    const auto ip = net::IpAddress::parse(address);
    if (!ip)
        co_return std::vector<std::string>{};
    if (std::string known = hosts_.name(*ip); !known.empty())
        co_return std::vector<std::string>{std::move(known)};
    const dns::Answer answer = co_await resolver_.names(*ip);
    if (answer.transient())
        co_return dns::lookup_error(ip->reverse_name(), dns::Type::ptr, answer);
    std::vector<std::string> names;
    for (const dns::Record& record : answer.records)
        if (record.type == dns::Type::ptr)
            names.push_back(record.host);
    co_return names;
}

awaitable<Result<std::vector<std::string>>> DnsNames::addresses_of(std::string name)
{
    const dns::Addresses answer = co_await resolver_.addresses(name);
    if (answer.status == dns::Status::temporary || answer.status == dns::Status::bogus)
        co_return Error{answer.reason.empty() ? "Temporary failure in name resolution" : answer.reason, "4.4.3"};
    std::vector<std::string> addresses;
    for (const net::IpAddress& address : answer.list)
        addresses.push_back(address.text());
    co_return addresses;
}

awaitable<Result<MailHost>> DnsNames::mail_host(std::string domain)
{
    if (domain.ends_with('.'))
        domain.pop_back();
    const auto ascii = dns::to_a_labels(domain);
    if (!ascii)
        co_return MailHost::absent;
    const dns::Answer mx = co_await resolver_.mx(*ascii);
    if (mx.transient())
        co_return dns::lookup_error(*ascii, dns::Type::mx, mx);
    if (dns::is_null_mx(mx))
        co_return MailHost::null_mx;
    if (mx.found())
        co_return MailHost::found;
    // Not addresses(), for which localhost and the hosts file are known: whoever gets mail of this domain asks the DNS.
    for (const dns::Type type : {dns::Type::a, dns::Type::aaaa}) {
        const dns::Answer addresses = co_await resolver_.query(*ascii, type);
        if (addresses.transient())
            co_return dns::lookup_error(*ascii, type, addresses);
        if (addresses.found())
            co_return MailHost::found;
    }
    co_return MailHost::absent;
}

awaitable<dns::Answer> DnsNames::records(std::string name, dns::Type type)
{
    if (name.ends_with('.'))
        name.pop_back();
    if (const auto ascii = dns::to_a_labels(name))
        co_return type == dns::Type::mx ? co_await resolver_.mx(*ascii) : co_await resolver_.query(*ascii, type);
    dns::Answer answer;
    answer.status = dns::Status::nxdomain;
    co_return answer;
}

awaitable<Result<std::vector<std::string>>> DnsNames::host_addresses(std::string name)
{
    std::vector<std::string> known;
    for (const net::IpAddress& address : hosts_.addresses(name))
        known.push_back(address.text());
    if (known.empty() && iequals(name, "localhost"))                  // a file without it changes nothing of what it is
        known = {"127.0.0.1", "::1"};
    if (!known.empty())
        co_return known;
    co_return co_await addresses_of(std::move(name));
}

std::string received_text_of(std::string_view summary, std::string_view peer)
{
    // "... from PEER: TLSv1.3 ...", "... from PEER to NAME: TLSv1.3 ..."
    const auto at = summary.find(peer);
    const auto mark = at == std::string_view::npos ? at : summary.find(": ", at + peer.size());
    std::string text(mark == std::string_view::npos ? summary : summary.substr(mark + 2));
    if (const auto exchange = text.find(" key-exchange"); exchange != std::string::npos)
        text.insert(exchange, "\r\n\t");
    return text;
}

awaitable<Result<Secured>> TlsServer::accept(std::unique_ptr<net::Stream> stream, std::string peer)
{
    tls::FindChain find;
    if (names_ && !names_->empty())
        find = [names = names_, peer](std::string name) { return names->chain(std::move(name), peer); };
    auto secured = co_await tls::accept(context_, std::move(stream), {}, {}, std::move(find));
    if (!secured)
        co_return std::move(secured).error();
    std::string line = tls::summary(secured->facts, peer);
    const tls::Facts& found = secured->facts;
    TlsFacts facts;
    facts.protocol = found.protocol;
    facts.cipher = found.cipher;
    facts.bits = found.bits_used;
    facts.resumed = found.resumed;
    if (found.trust != tls::Trust::absent)
        facts.certificate = {found.peer_cn, found.issuer_cn, found.certificate_fingerprint, found.key_fingerprint,
                             found.trust >= tls::Trust::trusted};
    facts.received_text = received_text_of(line, peer);
    co_return Secured(std::move(secured->stream), std::move(line), std::move(facts));
}

awaitable<Result<std::unique_ptr<IncomingFile>>> SpoolFolder::create(std::string queue_id)
{
    auto file = co_await on_thread(threads_, Create(files_, std::move(queue_id)));
    if (!file)
        co_return std::move(file).error();
    co_return std::make_unique<SpoolFile>(*std::move(file), threads_, sync_name());
}

/// Begun with the file, while its octets come: at their end there is one sync to wait for.
std::future<Result<void>> SpoolFolder::sync_name()
{
    std::packaged_task<Result<void>()> task([folder = folder_] { return folder->sync(); });
    auto named = task.get_future();
    asio::post(threads_, [moved = std::move(task)] mutable { moved(); });
    return named;
}

std::uint64_t SpoolFolder::free_octets()
{
    const SteadyTime now = std::chrono::steady_clock::now();
    if (!measured_ || now - *measured_ >= std::chrono::seconds{1}) {
        free_ = files_.free_octets();
        measured_ = now;
    }
    return free_;
}

}  // namespace posthorn::receive
