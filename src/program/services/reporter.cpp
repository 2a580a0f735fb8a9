// What other domains asked to be told once a day (aggregate_reports): counted as smtp and smtpd tell it, composed and sent when the day is over.
#include "aggregate/sender.hpp"
#include "aggregate/settings.hpp"
#include "base/strings.hpp"
#include "dns/params.hpp"
#include "dns/resolver.hpp"
#include "handoff/counting.hpp"
#include "handoff/frames.hpp"
#include "ipc/dispatcher.hpp"
#include "process/memory_file.hpp"
#include "process/service.hpp"
#include "services/counters.hpp"
#include "services/http_post.hpp"
#include "services/params.hpp"
#include "services/programs.hpp"
#include "services/queue_link.hpp"
#include "services/startup.hpp"
#include "tls/tls.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>

namespace posthorn::services {

using namespace std::chrono_literals;
using aggregate::Report;
using aggregate::Subject;
using handoff::Frame;
using process::May;

namespace {

constexpr auto write_every = 5'000ms, look_every = 30'000ms, look_for_ledger = 100ms;
constexpr std::chrono::seconds post_within{60};
constexpr std::size_t most_in_memory = 10'000;             // rows, before they are written at once
constexpr std::size_t longest_record = 8'192;
constexpr std::chrono::days kept_for{31};

const Clock& reporter_clock()
{
    static const SystemClock system;
    return system;
}

aggregate::Day today() { return std::chrono::floor<std::chrono::days>(reporter_clock().wall()); }

/// What is read before the process is confined.
struct PreparedReporter {
    explicit PreparedReporter(process::Service& service)
        : wanted(aggregate::Wanted::from(service.config())), settings(aggregate::Settings::from(service.config())),
          resolver(std::make_unique<dns::Resolver>(service.executor(), reporter_clock(), at_start(dns::options_from(service.config()))))
    {
        if (wanted.tls)
            context = at_start(tls::Context::client(tls_for_https(service.config())));
        if (wanted.dmarc)
            suffixes = std::make_unique<mailauth::PublicSuffixes>();
    }
    aggregate::Wanted wanted;
    aggregate::Settings settings;
    std::unique_ptr<dns::Resolver> resolver;
    std::shared_ptr<tls::Context> context;                  // none: nothing goes by HTTPS
    std::unique_ptr<mailauth::PublicSuffixes> suffixes;     // none: no reports of DMARC
};

class Reporter final : public process::Work, aggregate::Ways {
public:
    Reporter(process::Service& service, PreparedReporter prepared)
        : service_(service), resolver_(std::move(prepared.resolver)), context_(std::move(prepared.context)), suffixes_(std::move(prepared.suffixes)),
          resolve_(service.executor(), std::string(resolve_socket), {.channel = {.name = "resolve"}}),
          queue_(service.executor(),
                 {.socket = std::string(qmgr_socket), .service = service.name(), .long_queue_ids = service.config().get(enable_long_queue_ids)},
                 reporter_clock(), service.log()),
          settings_(std::move(prepared.settings)), turn_over_(service.executor()), tasks_(service.executor()), dispatcher_(tasks_)
    {
        dispatcher_.on_notice<handoff::TlsSeen>(Frame::tls_seen, [this](handoff::TlsSeen seen) { take(std::move(seen)); });
        dispatcher_.on_notice<handoff::DmarcSeen>(Frame::dmarc_seen, [this](handoff::DmarcSeen seen) { take(std::move(seen)); });
        dispatcher_.on<handoff::AggregateCommand, handoff::AggregateReports>(
            Frame::aggregate, [this](handoff::AggregateCommand command) { return obey(std::move(command)); });
    }

    void start() override
    {
        for (process::ListeningSocket& listening : service_.take_listeners()) {
            servers_.push_back(std::make_unique<ipc::Server>(service_.executor(), std::move(listening.socket),
                                                             ipc::ChannelOptions{.name = listening.name},
                                                             [this](std::weak_ptr<ipc::Channel> channel) { return handler(std::move(channel)); }));
            servers_.back()->start();
        }
        resolve_.start();
        queue_.start();
        tasks_.spawn(keep_books());
    }

    awaitable<void> stop(process::Stop) override
    {
        for (const auto& server : servers_)
            co_await server->close();
        co_await tasks_.close();
        flush();
        sender_.reset();
        ledger_.reset();                                        // a successor waits for it
        co_await queue_.close();
        co_await resolve_.close();
    }

    void count(handoff::CountersReply& reply) override
    {
        handoff::count(reply, reports_counted, counted_);
        handoff::count(reply, reports_sent, sender_ ? sender_->counts().sent : 0);
        handoff::count(reply, reports_failed, sender_ ? sender_->counts().failed : 0);
        service_.gauges().messages = counted_;
    }

private:
    /// Commands come from root or ourselves.
    ipc::Channel::Handler handler(std::weak_ptr<ipc::Channel> connection)
    {
        return [this, connection = std::move(connection)](ipc::Incoming incoming) {
            if (incoming.kind == static_cast<ipc::Kind>(Frame::aggregate)) {
                const auto channel = connection.lock();
                const unsigned uid = channel ? channel->credentials().uid : ~0U;
                if (uid != 0 && uid != ::geteuid())
                    return incoming.responder.fail(Error{"permission denied", "5.7.1"});
            }
            dispatcher_.dispatch(std::move(incoming));
        };
    }

    // ---- Counting

    void take(handoff::TlsSeen seen)
    {
        const bool good = !seen.has_failure();
        const Subject subject{.kind = aggregate::Kind::tls, .domain = to_lower(seen.domain()), .day = today()};
        std::string record = std::move(*seen.mutable_record());
        seen.clear_domain();
        seen.clear_record();
        take(subject, std::move(record), seen.SerializeAsString(), good);
    }

    void take(handoff::DmarcSeen seen)
    {
        const bool good = seen.row().dkim() || seen.row().spf();
        const Subject subject{.kind = aggregate::Kind::dmarc, .domain = to_lower(seen.domain()), .day = today()};
        std::string record = std::move(*seen.mutable_record());
        seen.clear_domain();
        seen.clear_record();
        take(subject, std::move(record), seen.SerializeAsString(), good);
    }

    void take(const Subject& subject, std::string record, std::string row, bool good)
    {
        if (subject.domain.empty() || record.size() > longest_record || settings_.except(subject.domain))
            return;
        ++counted_;
        aggregate::Seen& seen = seen_[subject];
        seen.record = std::move(record);
        ++(good ? seen.good : seen.bad);
        rows_ += seen.rows[std::move(row)]++ == 0 ? 1 : 0;
        if (rows_ >= most_in_memory)
            flush();
    }

    /// What is in memory goes to the disk. What cannot stays; above the bound it is lost, which is said.
    void flush()
    {
        // What comes while a report is sent is of its next part: its rows go with what was sent.
        if (seen_.empty() || (sending_ && rows_ < most_in_memory))
            return;
        try {
            if (ledger_)
                ledger_->add(seen_);
            else if (rows_ < most_in_memory)
                return;
        } catch (const spool::Failed& failed) {
            say_trouble(failed.what());
            if (rows_ < most_in_memory)
                return;
            service_.log().warning("aggregate reports: what was counted since is lost");
        }
        seen_.clear();
        rows_ = 0;
    }

    /// Once, until it is well again.
    void say_trouble(std::string_view what)
    {
        if (!std::exchange(in_trouble_, true))
            service_.log().warning("aggregate reports: {}", what);
    }

    // ---- Sending

    /// The process before this one has the ledger until it ends.
    awaitable<void> open_ledger()
    {
        while (!ledger_ && !co_await cancelled()) {
            try {
                ledger_ = std::make_unique<aggregate::Ledger>(service_.start_record().data_directory() + "/aggregate_reports.db");
                if (!ledger_->remark().empty())
                    service_.log().warning("{}", ledger_->remark());
                sender_ = std::make_unique<aggregate::Sender>(*ledger_, static_cast<aggregate::Ways&>(*this), suffixes_.get(), reporter_clock(),
                                                              service_.log());
                sender_->configure(settings_);
                co_return;
            } catch (const spool::Failed& failed) {
                if (failed.kind != spool::Failed::Kind::busy)
                    say_trouble(failed.what());
            }
            co_await sleep_for(look_for_ledger);
        }
    }

    /// Until it goes out of scope nobody else sends: a report would go twice.
    struct Turn {
        explicit Turn(Reporter& of) : reporter(of) { reporter.sending_ = true; }
        Turn(Turn&&) = delete;
        ~Turn()
        {
            reporter.sending_ = false;
            reporter.turn_over_.notify_all();
        }
        Reporter& reporter;
    };
    /// None: there is no time for it any more.
    awaitable<std::unique_ptr<Turn>> my_turn()
    {
        while (sending_ && !co_await cancelled())
            co_await turn_over_.wait();
        co_return sending_ ? nullptr : std::make_unique<Turn>(*this);
    }

    awaitable<void> keep_books()
    {
        co_await open_ledger();
        for (auto looked = reporter_clock().steady() - look_every; !co_await cancelled(); co_await sleep_for(write_every)) {
            flush();
            if (reporter_clock().steady() - looked < look_every)
                continue;
            looked = reporter_clock().steady();
            try {
                const auto turn = co_await my_turn();
                if (!turn)
                    co_return;
                ledger_->forget_before(today() - kept_for);
                co_await sender_->send_due();
                in_trouble_ = false;
            } catch (const spool::Failed& failed) {
                say_trouble(failed.what());
            }
        }
    }

    awaitable<dns::Answer> texts(std::string name) override { co_return co_await resolver_->query(std::move(name), dns::Type::txt); }

    awaitable<Result<std::string>> mail(std::string from, std::string to, std::string octets) override
    {
        handoff::RequeueRequest request;
        std::vector<Fd> descriptors;
        handoff::Envelope& envelope = *request.mutable_envelope();
        envelope.set_sender(std::move(from));
        envelope.add_recipients()->set_address(std::move(to));
        envelope.set_size(octets.size());
        envelope.set_arrival(reporter_clock().wall().time_since_epoch().count());
        envelope.set_body(handoff::BODY_7BIT);
        request.set_submitted(true);
        if (octets.size() > handoff::inline_content_limit) {
            CO_TRY(Fd file, process::make_memory_file("report", octets));
            descriptors.push_back(std::move(file));
        } else
            request.mutable_content()->set_inline_octets(std::move(octets));
        co_return co_await hand_in(&resolve_, &queue_, std::move(request), std::move(descriptors), [](handoff::Envelope&) {});
    }

    awaitable<Result<int>> post(net::HttpUrl url, std::string type, std::string octets) override
    {
        if (!context_)
            co_return Error{"no TLS"};
        std::string request = post_request(url, type, "", octets);
        HttpPoster poster(service_.executor(), *resolver_, context_, std::move(url), post_within);
        auto answered = co_await poster.post(std::move(request));
        poster.close();
        co_return answered;
    }

    // ---- Operators

    awaitable<Result<handoff::AggregateReports>> obey(handoff::AggregateCommand command)
    {
        if (!ledger_)
            co_return Error{"the process before this one has not ended yet", "4.3.0"};
        handoff::AggregateReports reply;
        try {
            flush();
            std::unique_ptr<Turn> turn;
            if (command.verb() == handoff::AggregateCommand::SEND && !(turn = co_await my_turn()))
                co_return Error{"reporter is ending", "4.3.0"};
            std::vector<Report> chosen = ledger_->reports();
            std::erase_if(chosen, [&command](const Report& report) {
                return (!command.kind().empty() && command.kind() != aggregate::kind_name(report.subject.kind)) ||
                       (!command.domain().empty() && !iequals(command.domain(), report.subject.domain)) ||
                       (command.day() != 0 && command.day() != report.subject.day.time_since_epoch().count());
            });
            if (command.verb() == handoff::AggregateCommand::SHOW) {
                std::erase_if(chosen, &Report::done);
                if (chosen.empty())
                    co_return Error{"nothing is counted of it that is not sent"};
                chosen.erase(chosen.begin(), chosen.end() - 1);
                reply.set_text(sender_->document(chosen.front()));
            }
            if (command.verb() == handoff::AggregateCommand::SEND) {
                std::erase_if(chosen,
                              [&command](const Report& report) { return report.done() || (command.day() == 0 && report.subject.day >= today()); });
                for (Report& report : chosen) {
                    co_await sender_->send(report);
                    report = ledger_->report(report.subject).value_or(report);
                }
            }
            for (const Report& report : chosen)
                tell(report, reply.add_reports());
        } catch (const spool::Failed& failed) {
            co_return Error{failed.what(), "4.3.0"};
        }
        co_return reply;
    }

    void tell(const Report& report, handoff::AggregateReports::Report* told) const
    {
        constexpr std::array<std::string_view, 4> states{"collecting", "waiting", "sent", "given up"};
        told->set_kind(std::string(aggregate::kind_name(report.subject.kind)));
        told->set_domain(report.subject.domain);
        told->set_day(report.subject.day.time_since_epoch().count());
        told->set_record(report.record);
        told->set_good(report.good);
        told->set_bad(report.bad);
        told->set_left_out(report.left_out);
        told->set_state(std::string(states[static_cast<std::size_t>(report.state)]));
        told->set_next(sender_->due(report).time_since_epoch().count());
        told->set_attempts(report.attempts);
        told->set_note(report.note);
    }

    process::Service& service_;
    std::unique_ptr<dns::Resolver> resolver_;
    std::shared_ptr<tls::Context> context_;
    std::unique_ptr<mailauth::PublicSuffixes> suffixes_;
    ipc::Client resolve_;
    QueueLink queue_;
    const aggregate::Settings settings_;
    std::unique_ptr<aggregate::Ledger> ledger_;             // none: it is another process's still
    std::unique_ptr<aggregate::Sender> sender_;             // as long as there is a ledger
    bool sending_ = false;
    Signal turn_over_;
    std::map<Subject, aggregate::Seen> seen_;               // not written yet
    std::size_t rows_ = 0;
    std::uint64_t counted_ = 0;
    bool in_trouble_ = false;
    TaskGroup tasks_;
    ipc::Dispatcher dispatcher_;
    std::vector<std::unique_ptr<ipc::Server>> servers_;
};

}  // namespace

int serve_reporter(process::Service& service)
{
    PreparedReporter prepared(service);
    process::Confinement confinement{.may = {May::connect, May::resolve, May::state}, .readable = name_service_files()};
    if (prepared.context)
        std::ranges::copy(tls::default_authorities(), std::back_inserter(confinement.readable));
    service.confine(confinement);
    Reporter work(service, std::move(prepared));
    return service.run(work);
}

}  // namespace posthorn::services
