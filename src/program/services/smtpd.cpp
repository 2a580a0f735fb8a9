// The SMTP server process: sessions, restrictions, cleanup of what they receive, and the way to qmgr; or a service that has them behind a front.
#include "accounts/params.hpp"
#include "aggregate/settings.hpp"
#include "cleanup/cleaner.hpp"
#include "cleanup/params.hpp"
#include "config/site.hpp"
#include "dns/params.hpp"
#include "handoff/counting.hpp"
#include "handoff/frames.hpp"
#include "mailauth/public_suffixes.hpp"
#include "net/listener.hpp"
#include "process/service.hpp"
#include "receive/params.hpp"
#include "receive/server.hpp"
#include "receive/wired.hpp"
#include "route/router.hpp"
#include "services/account_limits.hpp"
#include "services/count_names.hpp"
#include "services/counters.hpp"
#include "services/local_milters.hpp"
#include "services/params.hpp"
#include "services/programs.hpp"
#include "services/queue_link.hpp"
#include "services/rates_link.hpp"
#include "services/records.hpp"
#include "services/report_link.hpp"
#include "services/sasl_link.hpp"
#include "services/screen_link.hpp"
#include "services/smtp_front.hpp"
#include "services/startup.hpp"
#include "services/table_desk.hpp"
#include "services/table_files.hpp"
#include "services/tls_files.hpp"
#include "services/trial_link.hpp"
#include "services/verify_links.hpp"
#include "tls/params.hpp"

#include <boost/asio/thread_pool.hpp>

#include <algorithm>
#include <limits>
#include <list>
#include <optional>

namespace posthorn::services {

using handoff::Frame;
using process::May;

namespace {

/// smtp_dns_support_level is the client's: who connects, and whether a sender's domain is there, a name server says,
/// signed or not.
dns::Options names_for_server(const config::Snapshot& snapshot)
{
    dns::Options options = at_start(dns::options_from(snapshot));
    options.dnssec = false;
    return options;
}

/// What is read before the process is confined.
struct PreparedSmtpd {
    PreparedSmtpd(process::Service& service, const FrontOf* front)
        : files(TableFiles::fetch(service)), interfaces(config::this_host("smtpd").addresses),
          options(receive::Options::from(front != nullptr ? service.config().with(front->settings, service.program()) : service.config())),
          records(record_options(service.config())),
          cleanup(cleanup::Options::from(cleanup_line(service), interfaces, *files, service.config().get(receive::receive_override_options))),
          route(route::Options::from(service.config_for("rewrite"), interfaces, *files)),
          resolver(std::make_unique<dns::Resolver>(service.executor(), clock, names_for_server(service.config())))
    {
        if (front != nullptr)
            go_behind(*front);
        if (options.checks.dmarc)
            suffixes = std::make_unique<mailauth::PublicSuffixes>();
        // The column is for the line; each of its processes has a share.
        options.client.service = service.name();
        const process::Start& start = service.start_record();
        options.transaction_limit = (start.process_limit() + std::max(start.processes(), 1u) - 1) / std::max(start.processes(), 1u);
        if (options.tls_level != receive::TlsLevel::none || options.tls_wrapper) {
            const tls::Options wanted = tls::server_options(service.config(), options.tls_level == receive::TlsLevel::encrypt);
            tls = tls_at_start(tls::Context::server(wanted), service);
            if (!tls)
                tls = tls::Context::without_files(wanted);
            else if (!tls->has_certificate())
                service.log().warning("No server certs available. TLS won't be enabled");
        }
    }
    /// What the line of cleanup says; but the line that receives says whose header is completed, a port behind a filter nobody's, and who
    /// is ours.
    static config::Snapshot cleanup_line(const process::Service& service)
    {
        const auto& clients = cleanup::local_header_rewrite_clients;
        const config::Assignment own[] = {{std::string(clients.name), service.config().get(clients)},
                                          {"mynetworks", service.config().text("mynetworks")}};
        return service.config_for(service.config().get(receive::cleanup_service_name)).with(own, service.name());
    }
    void go_behind(const FrontOf& front)
    {
        options.protocol = front.protocol;
        options.screen.enabled = options.upstream_proxy = options.tls_wrapper = false;
        options.tls_level = receive::TlsLevel::none;
        cleanup.always_add_missing = cleanup.always_add_missing || front.complete_header;
        // What is refused is a recipient of a list, and no misbehaviour of who speaks to the session.
        for (receive::Pace* const pace : {&options.calm, &options.stressed})
            pace->soft_error_limit = pace->hard_error_limit = pace->junk_command_limit = std::numeric_limits<int>::max();
    }
    static inline const SystemClock clock;
    std::shared_ptr<TableFiles> files;
    std::vector<config::HostAddress> interfaces;
    receive::Options options;
    handoff::RecordOptions records;
    cleanup::Options cleanup;
    route::Options route;
    std::unique_ptr<dns::Resolver> resolver;
    std::shared_ptr<tls::Context> tls;
    std::unique_ptr<mailauth::PublicSuffixes> suffixes;
};

/// What smtpd_milter_maps names is not known before it is looked up.
bool asks_milters_over_tcp(const milter::Options& options, const FrontOf* front)
{
    if (front != nullptr && front->other_filters)
        return asks_network(options);
    return !options.smtpd_maps.empty() || std::ranges::any_of(options.smtpd, [](const milter::Spec& spec) { return !spec.is_unix; });
}

/// A policy server on a Unix socket needs no power: who may write to the socket may ask.
bool asks_policy_over_tcp(const receive::policy::Lists& lists)
{
    bool found = false;
    lists.each([&](const receive::policy::Restriction& restriction) {
        if (restriction.kind == receive::policy::Kind::check_policy_service)
            if (const auto spec = receive::policy::parse_service(restriction.argument); spec && !spec->is_unix)
                found = true;
    });
    return found;
}

class SmtpServer final : public process::Work, receive::Postmaster, handoff::Signer {
public:
    SmtpServer(process::Service& service, PreparedSmtpd prepared, const FrontOf* front)
        : service_(service), records_(std::move(prepared.records)),
          resolve_(service.executor(), std::string(resolve_socket), {.channel = {.name = "resolve"}}),
          tables_(service.log(), PreparedSmtpd::clock, prepared.files), databases_(tables_, resolve_, service.config()),
          queue_(service.executor(),
                 {.socket = std::string(qmgr_socket), .service = service.name(), .long_queue_ids = service.config().get(enable_long_queue_ids)},
                 PreparedSmtpd::clock, service.log()),
          cleaner_(std::move(prepared.cleanup), tables_, service.log_as("cleanup", service.config().get(receive::cleanup_service_name))),
          classes_(prepared.route, route::Resolver::Purpose::mail, tables_), resolver_(std::move(prepared.resolver)),
          names_(*resolver_, PreparedSmtpd::clock), files_(spool::system_files(std::string(spool_folder))), incoming_(*files_, threads_),
          tls_(std::move(prepared.tls)), suffixes_(std::move(prepared.suffixes)),
          tls_files_(tls_ ? std::make_unique<TlsFiles>(service.executor(), tls_, prepared.files, service.log()) : nullptr),
          farewell_(front != nullptr || prepared.options.tls_wrapper
                        ? ""
                        : fmt::format("421 4.3.2 {} Service temporarily unavailable\r\n", prepared.options.myhostname)),
          sni_(service.config().get(receive::tls_server_sni_maps), tables_, service.log()), acceptor_(tls_, &sni_),
          memory_(service.executor(), std::string(memory_socket), {.channel = {.name = "memory"}}),
          verifier_(memory_, verify::Options::from(service.config_for("verify"), prepared.route.own.myorigin), PreparedSmtpd::clock, service.log()),
          account_limits_(service.config().get(accounts::account_limit_maps), tables_), rates_(memory_),
          asks_cyrus_(prepared.options.sasl.enable && !prepared.options.sasl.dovecot),
          sasl_(service.executor(), std::string(sasl_socket),
                {.channel = {.name = "sasl", .call_limit = std::chrono::minutes{1}}, .wait_limit = std::chrono::seconds{3}}, {},
                sasl_hello(service.start_record().generation())),
          other_filters_(filters_of(prepared.options, front)),
          screen_(prepared.options.screen.enabled ? std::make_unique<ScreenLink>(service.executor(), std::string(memory_socket), service.name())
                                                  : nullptr),
          reporter_(prepared.options.checks.dmarc && aggregate::Wanted::from(service.config()).dmarc
                        ? std::make_unique<ReportLink>(service.executor())
                        : nullptr),
          trials_(service.executor(), memory_), server_(service.executor(), std::move(prepared.options), outside()),
          front_(front != nullptr ? front->make(service, server_) : nullptr), tasks_(service.executor())
    {
    }

    awaitable<Result<void>> ready() { return queue_.ready(); }

    void start() override
    {
        queue_.start();
        memory_.start();
        resolve_.start();
        if (asks_cyrus_)
            sasl_.start();
        if (screen_)
            screen_->start();
        if (reporter_)
            reporter_->start();
        if (tls_) {
            tasks_.spawn(follow_ticket_keys());
            tasks_.spawn(tls_files_->follow());
        }
        tasks_.spawn(listen_when_ready());
    }

    awaitable<void> stop(process::Stop how) override
    {
        stopping_ = true;
        if (how == process::Stop::generation)
            tasks_.spawn(drain_after(service_.config().get(reload_grace_time)));
        else {
            server_.close();
            queue_.answer_now();
        }
        for (const auto& listener : listeners_)
            listener->pause();
        if (front_ && how != process::Stop::generation)
            front_->hurry();
        if (how == process::Stop::abort)
            for (const auto& listener : listeners_)
                co_await listener->close();
        if (front_)
            co_await front_->finish();
        if (how != process::Stop::abort)
            for (const auto& listener : listeners_)
                co_await listener->drain();
        co_await tasks_.close();
        co_await queue_.close();
        co_await trials_.close();
        co_await memory_.close();
        co_await resolve_.close();
        if (asks_cyrus_)
            co_await sasl_.close();
        if (screen_)
            co_await screen_->close();
        if (reporter_)
            co_await reporter_->close();
    }

    void hurry() override
    {
        server_.close();
        if (front_)
            front_->hurry();
    }

    void count(handoff::CountersReply& reply) override
    {
        const receive::Server::Counters counters = server_.counters();
        service_.gauges().messages = counters.accepted;          // also of sessions that go on
        handoff::count(reply, smtpd_sessions, counters.sessions);
        handoff::count(reply, smtpd_transactions, counters.transactions);
        handoff::count(reply, smtpd_memory, counters.memory);
        handoff::count(reply, smtpd_connections, counters.connections);
        handoff::count(reply, smtpd_accepted, counters.accepted);
        handoff::count(reply, smtpd_refused_for_memory, counters.refused_for_memory);
        count_names(reply, *resolver_);
        if (reporter_)
            handoff::count(reply, reports_dropped, reporter_->dropped());
        handoff::count(reply, trials_dropped, trials_.dropped());
        if (front_)
            front_->count(reply);
        constexpr std::array<std::string_view, 3> labels{"command", "code", "by"};
        handoff::count(reply, smtpd_rejections, labels, server_.rejections());
        handoff::count(reply, smtpd_reject_warnings, labels, server_.reject_warnings());
    }

private:
    /// Where filters of mail that comes by no SMTP session are asked.
    std::unique_ptr<LocalMilters> filters_of(const receive::Options& options, const FrontOf* front)
    {
        if (front == nullptr || !front->other_filters || options.milters.other.empty())
            return nullptr;
        auto made = std::make_unique<LocalMilters>(service_.executor(), cleaner_,
                                                   service_.log_as("cleanup", service_.config().get(receive::cleanup_service_name)));
        made->reconfigure(options.milters, options.myhostname, options.message_size_limit);
        return made;
    }

    receive::Outside outside()
    {
        receive::Outside made(queue_, cleaner_, classes_, names_, tables_, incoming_, PreparedSmtpd::clock, service_.log());
        made.verifier = &verifier_;
        made.router = &classes_;
        made.other_filters = other_filters_.get();
        made.cleanup_log = service_.log_as("cleanup", service_.config().get(receive::cleanup_service_name));
        made.screen_log = service_.log_as("postscreen", service_.name());
        made.rates = &rates_;
        made.remembered = screen_.get();
        made.postmaster = this;
        made.trials = &trials_;
        if (reporter_) {
            dmarc_reports_.emplace(*reporter_);
            made.dmarc_reports = &*dmarc_reports_;
        }
        made.cyrus = [this] {
            return std::make_shared<SaslLink>(
                sasl_, sasl_place(service_.config(), service_.start_record().chroot()), [this] { service_.want("sasl"); }, PreparedSmtpd::clock,
                service_.log());
        };
        made.signer = this;
        if (records_.wants(handoff::RecordType::rejection))
            made.record_rejection = [this](const handoff::Rejected& rejected) {
                service_.recorder().record(handoff::rejection_record(rejected, records_, PreparedSmtpd::clock.wall().time_since_epoch().count()));
            };
        made.threads = &checking_threads_;
        made.suffixes = suffixes_.get();
        made.tls = tls_ ? &acceptor_ : nullptr;
        if (account_limits_.any())
            made.account_limits = [this](std::string login) { return account_limits_.of_login(std::move(login)); };
        made.flush_site = [this](std::string domain) { return flush_site(std::move(domain)); };
        return made;
    }

    void tell(handoff::SessionNotice notice) override
    {
        if (tasks_.size() < most_notices)
            tasks_.spawn(tell_postmaster(std::move(notice)));
        else if (notices_left_out_++ == 0)
            service_.log().warning("postmaster notify: too many sessions to tell of; some are left out");
    }

    awaitable<void> tell_postmaster(handoff::SessionNotice notice)
    {
        const std::string client = notice.client();
        const auto told = co_await resolve_.call<handoff::SessionNoticeReply>(Frame::session_notice, std::move(notice));
        if (!told)
            service_.log().warning("postmaster notify: session of {}: {}", client, told.error().text());
        else
            notices_left_out_ = 0;
    }

    awaitable<Result<std::string>> sign(std::string queue_id, std::string head, std::string body_hash, bool relaxed_body) override
    {
        return ask_resolve(sign_request(std::move(queue_id), std::move(head), std::move(body_hash), relaxed_body));
    }
    awaitable<Result<std::string>> seal(std::string queue_id, std::string head, std::string body_hash, bool relaxed_body,
                                        handoff::Proof proof) override
    {
        auto request = sign_request(std::move(queue_id), std::move(head), std::move(body_hash), relaxed_body);
        request.set_results(std::move(proof.results));
        request.set_chain(std::move(proof.chain));
        return ask_resolve(std::move(request));
    }
    static handoff::SignRequest sign_request(std::string queue_id, std::string head, std::string body_hash, bool relaxed_body)
    {
        handoff::SignRequest request;
        request.set_queue_id(std::move(queue_id));
        request.set_head(std::move(head));
        request.set_body_hash(std::move(body_hash));
        request.set_relaxed_body(relaxed_body);
        return request;
    }
    awaitable<Result<std::string>> ask_resolve(handoff::SignRequest request)
    {
        CO_TRY(auto reply, co_await resolve_.call<handoff::SignReply>(Frame::sign, std::move(request)));
        if (!reply.status().empty())
            co_return Error{"resolve cannot sign it", reply.status()};
        co_return std::move(*reply.mutable_fields());
    }

    /// ETRN.
    awaitable<Result<void>> flush_site(std::string domain)
    {
        handoff::QueueCommand command;
        command.set_verb(handoff::QueueCommand::FLUSH_SITE);
        command.set_argument(std::move(domain));
        CO_TRY_VOID(co_await queue_.client().call<handoff::QueueReply>(Frame::queue_command, std::move(command)));
        co_return Result<void>{};
    }

    /// A newer generation takes the new sessions; those of this one may go on for a while, and then begin no more mail.
    awaitable<void> drain_after(std::chrono::seconds grace)
    {
        co_await sleep_for(grace);
        server_.drain();
    }

    /// Nobody is greeted before the queue can take mail.
    awaitable<void> listen_when_ready()
    {
        while (!stopping_ && !co_await queue_.ready()) {
        }
        if (front_ && !stopping_)
            co_await front_->prepare();
        if (stopping_)
            co_return;
        for (process::ListeningSocket& listening : service_.take_listeners()) {
            listeners_.push_back(std::make_unique<net::Listener>(
                service_.executor(), std::move(listening.socket), [this](std::unique_ptr<net::Stream> stream) { return session(std::move(stream)); },
                [log = service_.log()](Error error) { log.warning("{}", error.text()); }, farewell_));
            listeners_.back()->start();
        }
    }

    awaitable<void> session(std::unique_ptr<net::Stream> stream)
    {
        if (front_)
            co_await front_->serve(std::move(stream));
        else
            co_await server_.serve(std::move(stream));
        service_.gauges().messages = server_.counters().accepted;
    }

    /// Every smtpd seals its session tickets with the same keys, so that a session resumes at any of them.
    awaitable<void> follow_ticket_keys()
    {
        while (!co_await cancelled()) {
            const auto reply = co_await memory_.call<handoff::TicketKeysReply>(Frame::ticket_keys, handoff::TicketKeysRequest{});
            if (reply)
                if (auto keys = tls::TicketKeys::from_octets(reply->octets()))
                    tls_->set_ticket_keys(*std::move(keys));
            co_await sleep_for(reply ? std::chrono::minutes{5} : std::chrono::minutes{1});
        }
    }

    process::Service& service_;
    handoff::RecordOptions records_;
    ipc::Client resolve_;
    tables::Tables tables_;
    RemoteDatabases databases_;
    QueueLink queue_;
    cleanup::Cleaner cleaner_;
    route::Router classes_;
    std::unique_ptr<dns::Resolver> resolver_;
    receive::DnsNames names_;
    std::unique_ptr<spool::FileOps> files_;
    Helpers checking_threads_{2};                    // what signatures prove takes up to a few milliseconds
    asio::thread_pool threads_{16};                  // large messages wait for the disk here, side by side
    receive::SpoolFolder incoming_;
    std::shared_ptr<tls::Context> tls_;
    std::unique_ptr<mailauth::PublicSuffixes> suffixes_; // none: DMARC is not checked
    std::unique_ptr<TlsFiles> tls_files_;
    std::string farewell_;                      // to who comes when no descriptor is left; under TLS from the first octet there is none
    receive::ServerNames sni_;
    receive::TlsServer acceptor_;
    ipc::Client memory_;
    VerifyLink verifier_;
    AccountLimits account_limits_;
    RatesLink rates_;
    bool asks_cyrus_;
    ipc::Client sasl_;
    std::unique_ptr<LocalMilters> other_filters_;        // none: nothing comes that is not smtpd's, or nobody is to see it
    std::unique_ptr<ScreenLink> screen_;        // none: clients are not tested before the greeting
    std::unique_ptr<ReportLink> reporter_;          // none: no domain is told what its mail proved
    TrialLink trials_;
    std::optional<DmarcReportLink> dmarc_reports_;
    receive::Server server_;
    std::unique_ptr<Front> front_;              // none: clients speak SMTP themselves
    static constexpr std::size_t most_notices = 100;     // on their way at once: an attack must not become as many mails in memory
    std::uint64_t notices_left_out_ = 0;
    bool stopping_ = false;
    std::list<std::unique_ptr<net::Listener>> listeners_;
    TaskGroup tasks_;
};

int serve_sessions(process::Service& service, const FrontOf* front)
{
    PreparedSmtpd prepared(service, front);
    process::Confinement confinement{.may = {May::resolve, May::write_incoming, May::read_state, May::compile}, .readable = name_service_files()};
    const auto& filter = prepared.options.filter;
    const receive::SaslOptions& sasl = prepared.options.sasl;
    if (asks_policy_over_tcp(prepared.options.policy.lists) || (sasl.enable && sasl.dovecot && !sasl.server.is_unix) ||
        (filter && !filter->server.is_unix) || asks_milters_over_tcp(prepared.options.milters, front))
        confinement.may = {May::resolve, May::write_incoming, May::read_state, May::compile, May::connect};
    service.confine(confinement);
    SmtpServer work(service, std::move(prepared), front);
    return service.run(work);
}

}  // namespace

int serve_smtpd(process::Service& service) { return serve_sessions(service, nullptr); }

int serve_behind(process::Service& service, const FrontOf& front) { return serve_sessions(service, &front); }

}  // namespace posthorn::services
