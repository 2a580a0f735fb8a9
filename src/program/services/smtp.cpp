// The SMTP and LMTP client process: takes requests from qmgr, speaks with the next hosts, gives verdicts back.
#include "aggregate/settings.hpp"
#include "dns/params.hpp"
#include "dns/search_domains.hpp"
#include "handoff/counting.hpp"
#include "net/params.hpp"
#include "process/service.hpp"
#include "send/agent.hpp"
#include "send/params.hpp"
#include "send/search_names.hpp"
#include "send/wire_tls.hpp"
#include "services/count_names.hpp"
#include "services/counters.hpp"
#include "services/delivery_link.hpp"
#include "services/peer_memory.hpp"
#include "services/peer_tables.hpp"
#include "services/programs.hpp"
#include "services/report_link.hpp"
#include "services/startup.hpp"
#include "services/sts_link.hpp"
#include "services/transcripts.hpp"
#include "services/trial_link.hpp"
#include "sts/fetch.hpp"
#include "sts/params.hpp"
#include "tls/params.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>

namespace posthorn::services {

using process::May;

namespace {

std::unique_ptr<send::SocketReports> socket_reports(const process::Service& service, const Clock& clock)
{
    if (!service.config().get(send::smtp_tlsrpt_enable, service.program()))
        return nullptr;
    const std::string name = service.config().get(send::smtp_tlsrpt_socket_name, service.program());
    if (name.empty()) {
        service.log().warning("smtp_tlsrpt_enable = yes, but smtp_tlsrpt_socket_name is empty: nobody is told what became of TLS");
        return nullptr;
    }
    const std::string path = name.starts_with('/') ? name : fmt::format("{}/{}", service.start_record().queue_directory(), name);
    return std::make_unique<send::SocketReports>(path, clock, service.log());
}

/// The policies of domains, as this process fetches them and memory keeps them.
struct StsDomains {
    StsDomains(process::Service& service, const Clock& clock, dns::Resolver& resolver, std::shared_ptr<tls::Context> context,
               const send::Options& options)
        : link(service.executor(), std::string(handoff::memory_socket)),
          source(service.executor(), resolver, std::move(context),
                 {.port = static_cast<std::uint16_t>(service.config().get(sts::smtp_mta_sts_port)),
                  .bind4 = options.bind4,
                  .bind6 = options.bind6,
                  .families = !options.ipv6   ? dns::Families::v4
                              : !options.ipv4 ? dns::Families::v6
                                              : dns::Families::both}),
          book(service.executor(), clock, service.log(), source, &link)
    {
    }
    StsLink link;
    sts::HttpsSource source;
    sts::Book book;
};

/// What became of levels of TLS on trial, on its way to memory.
struct SmtpTrials {
    explicit SmtpTrials(Executor executor)
        : memory(executor, std::string(handoff::memory_socket), {.channel = {.name = "memory"}}), link(executor, memory)
    {
    }
    awaitable<void> close()
    {
        co_await link.close();
        co_await memory.close();
    }
    ipc::Client memory;
    TrialLink link;
};

/// smtp_dns_resolver_options, and the domains of this machine where it wants some.
struct Search {
    explicit Search(const process::Service& service)
    {
        const std::string name = config::name_as(send::smtp_dns_resolver_options.name, service.program());
        auto parsed = send::parse_search_rules(service.config().get(send::smtp_dns_resolver_options, service.program()));
        if (!parsed)
            throw config::BadValue(fmt::format("parameter {}: {}", name, parsed.error().text()));
        rules = *parsed;
        if (!rules.any())
            return;
        std::ifstream file("/etc/resolv.conf");
        std::array<char, 256> host{};
        ::gethostname(host.data(), host.size() - 1);
        domains = dns::search_domains(file, host.data());
    }
    send::SearchRules rules;
    std::vector<std::string> domains;
};

/// What is read before the process is confined: names, keys, interfaces.
struct PreparedSmtp {
    explicit PreparedSmtp(process::Service& service)
        : options(send::Options::from(service.config(), service.program())), own_addresses(at_start(net::own_addresses(service.config()))),
          search(service), resolver(std::make_unique<dns::Resolver>(service.executor(), clock(), names_of(service)))
    {
        tables = std::make_unique<PeerTables>(service, clock());
        if (options.tls_level != send::TlsLevel::none || options.tls_wrapper || tables->tls_policy())
            tls = tls_at_start(send::WireTls::make(send::WireTls::settings(service.config(), service.program()), clock()), service);
        if (options.sts != sts::Use::no && tls)
            sts_context = at_start(tls::Context::client(tls_for_https(service.config())));
        peers = std::make_unique<PeerMemory>(service, clock());
        transcripts = std::make_unique<TranscriptLink>(service, clock());
        if (aggregate::Wanted::from(service.config()).tls)
            reporter = std::make_unique<ReportLink>(service.executor());
        if (options.tls_trial_level != send::TlsLevel::none || tables->tls_trial())
            trials = std::make_unique<SmtpTrials>(service.executor());
    }
    static dns::Options names_of(process::Service& service)
    {
        dns::Options made = at_start(dns::options_from(service.config(), service.program()));
        made.remark = [log = service.log()](std::string text) { log.warning("{}", text); };
        return made;
    }
    static const Clock& clock()
    {
        static const SystemClock system;
        return system;
    }
    send::Options options;
    std::vector<net::IpAddress> own_addresses;
    Search search;
    std::unique_ptr<dns::Resolver> resolver;
    std::unique_ptr<send::WireTls> tls;
    std::shared_ptr<tls::Context> sts_context;      // none: domains are not asked
    std::unique_ptr<PeerTables> tables;
    std::unique_ptr<PeerMemory> peers;
    std::unique_ptr<TranscriptLink> transcripts;
    std::unique_ptr<ReportLink> reporter;           // none: no domain has reports of TLS
    std::unique_ptr<SmtpTrials> trials;                 // none: no level of TLS is on trial
};

/// A session says up to eight mails before it waits (send/plan.hpp), and eight more are at hand when the answers come.
constexpr std::uint32_t requests_ahead = 16;

class DeliveryService final : public process::Work {
public:
    DeliveryService(process::Service& service, PreparedSmtp prepared)
        : service_(service), tables_(std::move(prepared.tables)), peers_(std::move(prepared.peers)), transcripts_(std::move(prepared.transcripts)),
          reporter_(std::move(prepared.reporter)), trials_(std::move(prepared.trials)), reports_(reports_of(service, reporter_.get())),
          tls_(std::move(prepared.tls)), resolver_(std::move(prepared.resolver)), names_(*resolver_), search_(std::move(prepared.search)),
          sts_(prepared.sts_context ? std::make_unique<StsDomains>(service, PreparedSmtp::clock(), *resolver_, prepared.sts_context, prepared.options)
                                    : nullptr),
          agent_(std::move(prepared.options), surroundings(std::move(prepared.own_addresses))),
          link_(
              service.executor(), std::string(qmgr_socket), service.name(), service.program(),
              delivery_limit(service.start_record().process_limit(), descriptors_at_most()), requests_ahead,
              [this](handoff::DeliveryRequest request, Fd content) {
                  ++service_.gauges().messages;
                  return agent_.deliver(std::move(request), std::move(content));
              },
              service.log())
    {
    }

    void start() override
    {
        peers_->on_change = [this] { agent_.forget_sessions(); };
        peers_->start();
        transcripts_->start();
        if (reporter_)
            reporter_->start();
        if (trials_)
            trials_->memory.start();
        if (sts_)
            sts_->link.start();
        link_.on_call_back = [this](std::uint64_t attempt) { agent_.call_back(attempt); };
        link_.on_progress = [this](std::uint64_t attempt) -> std::optional<DeliveryLink::Waits> {
            const auto now = agent_.progress(attempt);
            if (!now)
                return std::nullopt;
            return DeliveryLink::Waits{now->waits_for,
                                       std::chrono::duration_cast<std::chrono::microseconds>(PreparedSmtp::clock().steady() - now->since)};
        };
        link_.start();
    }

    awaitable<void> stop(process::Stop how) override
    {
        if (how != process::Stop::abort) {
            agent_.give_back();
            co_await link_.drain();
        }
        co_await agent_.drain();
        if (sts_) {
            co_await sts_->book.close();
            co_await sts_->link.close();
        }
        co_await peers_->close();
        co_await transcripts_->close();
        if (reporter_)
            co_await reporter_->close();
        if (trials_)
            co_await trials_->close();
        co_await link_.close();
    }

    void count(handoff::CountersReply& reply) override
    {
        const send::Agent::Counts& counts = agent_.counts();
        handoff::count(reply, smtp_deliveries, counts.deliveries);
        handoff::count(reply, smtp_recipients, counts.recipients);
        handoff::count(reply, smtp_sessions, counts.sessions);
        handoff::count(reply, smtp_sessions_reused, counts.reused);
        handoff::count(reply, smtp_failed_connects, counts.failed_connects);
        handoff::count(reply, smtp_round_trips, counts.round_trips);
        count_names(reply, *resolver_);
        handoff::count(reply, smtp_observations_dropped, peers_->dropped());
        handoff::count(reply, smtp_transcripts_dropped, transcripts_->dropped());
        if (reporter_)
            handoff::count(reply, reports_dropped, reporter_->dropped());
        if (trials_)
            handoff::count(reply, trials_dropped, trials_->link.dropped());
    }

private:
    static std::unique_ptr<TlsReportLink> reports_of(const process::Service& service, ReportLink* reporter)
    {
        auto socket = socket_reports(service, PreparedSmtp::clock());
        return socket || reporter != nullptr ? std::make_unique<TlsReportLink>(reporter, std::move(socket)) : nullptr;
    }

    send::Surroundings surroundings(std::vector<net::IpAddress> own_addresses)
    {
        if (send::Lookup* const filter = tables_->dns_filter())
            filtered_ = std::make_unique<send::FilteredNames>(names_, *filter, service_.log());
        send::Names& names = filtered_ ? static_cast<send::Names&>(*filtered_) : names_;
        if (search_.rules.any())
            searching_ = std::make_unique<send::SearchNames>(names, search_.rules, std::move(search_.domains));
        send::Surroundings made(service_.executor(), PreparedSmtp::clock(), service_.log(),
                                searching_ ? static_cast<send::Names&>(*searching_) : names);
        made.own_addresses = std::move(own_addresses);
        made.tls = tls_.get();
        made.reports = reports_.get();
        made.trials = trials_ ? &trials_->link : nullptr;
        made.tls_trial = tables_->tls_trial();
        made.sts = sts_ ? &sts_->book : nullptr;
        made.peers = peers_->peers();
        made.transcripts = transcripts_->transcripts();
        made.passwords = tables_->passwords();
        made.tls_policy = tables_->tls_policy();
        made.requiretls_policy = tables_->requiretls_policy();
        made.discard = tables_->discard();
        made.debug = tables_->debug();
        made.editor = tables_->editor();
        made.pix = tables_->pix();
        made.reply_filter = tables_->reply_filter();
        made.status_filter = tables_->status_filter();
        made.bounce_classes = tables_->bounce_classes();
        return made;
    }

    process::Service& service_;
    std::unique_ptr<PeerTables> tables_;
    std::unique_ptr<PeerMemory> peers_;
    std::unique_ptr<TranscriptLink> transcripts_;
    std::unique_ptr<ReportLink> reporter_;
    std::unique_ptr<SmtpTrials> trials_;
    std::unique_ptr<TlsReportLink> reports_;
    std::unique_ptr<send::WireTls> tls_;
    std::unique_ptr<dns::Resolver> resolver_;
    send::DnsNames names_;
    Search search_;
    std::unique_ptr<StsDomains> sts_;
    std::unique_ptr<send::FilteredNames> filtered_;
    std::unique_ptr<send::SearchNames> searching_;
    send::Agent agent_;
    DeliveryLink link_;
};

}  // namespace

int serve_smtp(process::Service& service)
{
    PreparedSmtp prepared(service);
    process::Confinement confinement{.may = {May::connect, May::resolve, May::read_message, May::read_state}, .readable = name_service_files()};
    std::ranges::copy(prepared.tables->trust_anchor_files(), std::back_inserter(confinement.readable));
    if (prepared.tls)
        std::ranges::copy(prepared.tls->looked_into(), std::back_inserter(confinement.readable));
    if (prepared.sts_context)
        std::ranges::copy(tls::default_authorities(), std::back_inserter(confinement.readable));
    service.confine(confinement);
    DeliveryService work(service, std::move(prepared));
    return service.run(work);
}

}  // namespace posthorn::services
