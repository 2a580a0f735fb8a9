#include "services/local_milters.hpp"

#include "base/strings.hpp"
#include "handoff/made_fields.hpp"
#include "mailauth/hash_body.hpp"
#include "net/connect.hpp"
#include "smtp/path.hpp"

#include <fmt/format.h>
#include <netdb.h>

#include <algorithm>
#include <cstring>

namespace posthorn::services {

namespace {

constexpr std::uint64_t largest_new_body = 1ULL << 28;              // where message_size_limit sets none

struct Lookup {
    explicit Lookup(std::string name) : host(std::move(name)) {}
    Result<std::vector<net::IpAddress>> operator()() const
    {
        std::vector<net::IpAddress> addresses;
        addrinfo hints{}, *found = nullptr;
        hints.ai_socktype = SOCK_STREAM;
        if (const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &found); error != 0)
            return Error{::gai_strerror(error)};
        for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
            sockaddr_storage raw{};
            std::memcpy(&raw, one->ai_addr, one->ai_addrlen);
            addresses.push_back(net::Endpoint::from(raw, one->ai_addrlen).ip);
        }
        ::freeaddrinfo(found);
        return addresses;
    }
    std::string host;
};

}  // namespace

bool asks_network(const milter::Options& options)
{
    return std::ranges::any_of(options.other, [](const milter::Spec& spec) { return !spec.is_unix; });
}

/// One message, on its way past the filters.
struct LocalMilters::Visit {
    Visit(handoff::Envelope e, std::shared_ptr<const milter::Options> o) : options(std::move(o)), shown(std::move(e))
    {
        const handoff::Client& client = shown.envelope.client();
        if (client.protocol() != handoff::qmqp_protocol)
            return;
        name = client.name();
        reverse_name = client.reverse_name();
        address = client.address();
        port = client.port();
        protocol = fmt::format(" proto={}", client.protocol());
    }
    std::shared_ptr<const milter::Options> options;
    Shown shown;
    std::unique_ptr<milter::Mail> mail;
    std::unique_ptr<milter::Chain> chain;
    std::string name = "localhost", reverse_name = name, address = "127.0.0.1", protocol;
    std::uint32_t port = 0;
    std::string recipient;                // in hand
    std::optional<handoff::Refusal> refusal;
};

LocalMilters::LocalMilters(Executor executor, handoff::Cleaner& cleaner, observe::Log log)
    : executor_(std::move(executor)), cleaner_(cleaner), log_(std::move(log))
{
}

LocalMilters::~LocalMilters() { names_.join(); }

void LocalMilters::reconfigure(milter::Options options, std::string myhostname, std::uint64_t message_size_limit)
{
    options_ = std::make_shared<const milter::Options>(std::move(options));
    myhostname_ = std::move(myhostname);
    size_limit_ = message_size_limit;
}

awaitable<Result<std::unique_ptr<net::Stream>>> LocalMilters::connect(const milter::Spec& spec)
{
    const net::ConnectOptions limit(spec.settings.connect_timeout);
    if (spec.is_unix)
        co_return co_await net::connect(executor_, net::Endpoint::unix(spec.path), limit);
    std::vector<net::IpAddress> addresses;
    if (const auto ip = net::IpAddress::parse(spec.host)) {
        addresses.push_back(*ip);
    } else {
        CO_TRY(addresses, co_await on_thread(names_, Lookup(spec.host)));
    }
    Error failure{"Host not found"};
    for (const net::IpAddress& address : addresses) {
        auto stream = co_await net::connect(executor_, net::Endpoint(address, spec.port), limit);
        if (stream)
            co_return stream;
        failure = stream.error();
    }
    co_return failure;
}

std::optional<handoff::Refusal> LocalMilters::heed(Visit& visit, std::string_view where, const milter::Verdict& verdict)
{
    using Kind = milter::Verdict::Kind;
    handoff::Envelope& envelope = visit.shown.envelope;
    const auto log = [&](std::string_view what, std::string_view text) {
        std::string line = fmt::format("{}: {}: {} from {}[{}]: {}; from=<{}>", envelope.queue_id(), what, where, visit.name, visit.address, text,
                                       smtp::external_address(envelope.sender()));
        if (where == "RCPT")
            line += fmt::format(" to=<{}>", visit.recipient);
        else if (where == "END-OF-MESSAGE" && !envelope.recipients().empty())
            line += fmt::format(" to=<{}>", smtp::external_address(envelope.recipients().rbegin()->address()));
        // Before the first recipient Postfix does not know it yet.
        if (where != "CONNECT" && where != "EHLO" && where != "MAIL")
            line += visit.protocol;
        log_.info("{}", printable(line, true));
    };
    switch (verdict.kind) {
    case Kind::go_on: break;
    case Kind::hold:
        if (!envelope.hold())
            log("milter-hold", "milter triggers HOLD action");
        envelope.set_hold(true);
        break;
    case Kind::discard:
        log("milter-discard", "milter triggers DISCARD action");
        visit.shown.discard = true;
        break;
    case Kind::shutdown:
    case Kind::reply: {
        // A filter that refuses a session refuses nobody's mail for good.
        const std::string reply = verdict.kind == Kind::reply ? verdict.reply : "451 4.7.0 Server closing connection";
        const std::string_view text = std::string_view(reply).substr(std::min<std::size_t>(4, reply.size()));
        log("milter-reject", text);
        const std::string_view status = text.substr(0, text.find(' '));
        const bool has_status = status.size() >= 5 && is_digit(status.front()) && status[1] == '.';
        handoff::Refusal refusal(reply.front() == '5' ? 550 : 451, has_status ? std::string(status) : fmt::format("{}.7.1", reply.front()),
                                 printable(has_status ? trim(text.substr(status.size())) : text, true));
        refusal.logged = true;
        return refusal;
    }
    }
    return std::nullopt;
}

awaitable<milter::Verdict> LocalMilters::check(Visit& visit, milter::Mail& mail)
{
    auto found = co_await handoff::check_made_fields(cleaner_, &visit.shown.envelope, mail);
    visit.shown.discard |= found.discard;
    if (!found.refusal)
        co_return milter::Verdict();
    visit.refusal = std::move(found.refusal);
    co_return milter::Verdict(milter::Verdict::Kind::reply);
}

/// The session that there was not.
awaitable<std::optional<handoff::Refusal>> LocalMilters::tell(Visit& visit)
{
    milter::Chain& chain = *visit.chain;
    milter::Peer peer;
    peer.name = visit.name;
    peer.address = visit.address;
    peer.port = static_cast<std::uint16_t>(visit.port);
    peer.v6 = visit.address.find(':') != std::string::npos;
    if (auto refusal = heed(visit, "CONNECT", co_await chain.connect(std::move(peer))))
        co_return refusal;
    if (auto refusal = heed(visit, "EHLO", co_await chain.helo(visit.name)))
        co_return refusal;
    std::vector<std::string> words(1, smtp::external_address(visit.shown.envelope.sender()));
    if (auto refusal = heed(visit, "MAIL", co_await chain.mail(std::move(words))); refusal || visit.shown.discard)
        co_return refusal;
    for (const handoff::Recipient& recipient : visit.shown.envelope.recipients()) {
        visit.recipient = smtp::external_address(recipient.address());
        std::vector<std::string> whom(1, visit.recipient);
        if (const auto refusal = heed(visit, "RCPT", co_await chain.recipient(std::move(whom)))) {
            log_.warning("{}: milter configuration error: can't reject recipient in non-smtpd(8) submission", visit.shown.envelope.queue_id());
            log_.warning("{}: {}", visit.shown.envelope.queue_id(),
                         visit.protocol.empty() ? "deferring delivery of this message" : "message not accepted, try again later");
            co_return handoff::Refusal(451, "4.3.5", "Server configuration error");
        }
        if (visit.shown.discard)
            co_return std::nullopt;
    }
    visit.recipient.clear();
    if (auto refusal = heed(visit, "DATA", co_await chain.data()); refusal || visit.shown.discard)
        co_return refusal;
    const milter::Verdict verdict = co_await chain.message(*visit.mail, [this, &visit](milter::Mail& changed) { return check(visit, changed); });
    if (visit.refusal)
        co_return visit.refusal;
    co_return heed(visit, "END-OF-MESSAGE", verdict);
}

/// All of them, one after the other. None: they let it pass, or discard it.
awaitable<std::optional<handoff::Refusal>> LocalMilters::ask(Visit& visit, const std::string& queue_id)
{
    if (visit.options->other.empty())
        co_return std::nullopt;
    const auto value = [this, &visit, &queue_id](std::string_view name) -> std::optional<std::string> {
        if (name == "daemon_name")
            return visit.options->daemon_name;
        if (name == "daemon_addr" && visit.protocol.empty())        // no client called anywhere; as the name, it is this host's
            return visit.address;
        if (name == "v")
            return visit.options->v;
        if (name == "j")
            return myhostname_;
        if (name == "_")
            return fmt::format("{} [{}]", visit.name, visit.address);
        if (name == "client_addr")
            return visit.address;
        if (name == "client_name")
            return visit.name;
        if (name == "client_ptr")
            return visit.reverse_name;
        if (name == "client_port")
            return std::to_string(visit.port);
        if (name == "i")
            return queue_id;
        if (name == "mail_addr")
            return smtp::external_address(visit.shown.envelope.sender());
        if (name == "rcpt_addr" && !visit.recipient.empty())
            return visit.recipient;
        return std::nullopt;
    };
    visit.chain = std::make_unique<milter::Chain>(
        visit.options->other, *visit.options, [this](const milter::Spec& spec) { return connect(spec); }, value,
        [this](std::string warning) { log_.warning("{}", warning); });
    auto refusal = co_await tell(visit);
    co_await visit.chain->quit();
    co_return refusal;
}

/// Fields to go in front.
awaitable<Result<std::string>> LocalMilters::signature(std::string queue_id, const milter::Mail& mail) const
{
    const auto signer = signer_;                                  // a reload may put another in its place meanwhile
    if (!signer)
        co_return std::string();
    CO_TRY(std::string hash,
           co_await mailauth::hash_body([&mail](std::uint64_t offset, std::size_t most) { return mail.body(offset, most); }, signer->body()));
    co_return co_await signer->sign(std::move(queue_id), mail.head(), std::move(hash), signer->body());
}

awaitable<std::expected<Shown, handoff::Refusal>> LocalMilters::show(handoff::Envelope envelope, std::uint64_t size, Read read)
{
    const std::string queue_id = envelope.queue_id();
    Visit visit(std::move(envelope), options_);
    auto mail = co_await milter::Mail::load(size, std::move(read), size_limit_ == 0 ? largest_new_body : size_limit_);
    if (!mail)
        co_return std::unexpected(handoff::Refusal(451, "4.3.0", mail.error().text()));
    visit.mail = *std::move(mail);
    if (auto refusal = co_await ask(visit, queue_id))
        co_return std::unexpected(*std::move(refusal));
    if (visit.shown.discard)
        co_return std::move(visit.shown);
    const auto fields = co_await signature(queue_id, *visit.mail);
    if (!fields)
        co_return std::unexpected(handoff::Refusal(451, fields.error().status(), "not signed: " + fields.error().text()));
    if (visit.mail->changed() || !fields->empty()) {
        visit.shown.head = *fields + visit.mail->head();
        visit.shown.old_head = visit.mail->old_head_size();
        visit.shown.body = visit.mail->take_new_body();
    }
    if (!visit.mail->envelope_changes().empty()) {
        auto changed = co_await cleaner_.changed(std::move(visit.shown.envelope), visit.mail->take_envelope_changes());
        if (!changed)
            co_return std::unexpected(std::move(changed).error());
        visit.shown.envelope = *std::move(changed);
    }
    co_return std::move(visit.shown);
}

}  // namespace posthorn::services
