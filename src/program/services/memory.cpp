// What all processes know together, with one writer: the keys of TLS session tickets, which addresses are alive, what other servers do wrong,
// who passed the tests before the greeting, what domains ask of TLS, what stricter settings would have refused.
#include "handoff/counting.hpp"
#include "handoff/frames.hpp"
#include "ipc/client.hpp"
#include "ipc/dispatcher.hpp"
#include "peers/stored.pb.h"
#include "process/service.hpp"
#include "services/client_rates.hpp"
#include "services/counters.hpp"
#include "services/params.hpp"
#include "services/peer_memory.hpp"
#include "services/programs.hpp"
#include "services/screen_link.hpp"
#include "services/sibling_desk.hpp"
#include "services/startup.hpp"
#include "services/sts_link.hpp"
#include "services/table_files.hpp"
#include "services/transcripts.hpp"
#include "services/trial_link.hpp"
#include "services/verify_links.hpp"
#include "tables/own.hpp"
#include "tables/table.hpp"
#include "tls/params.hpp"
#include "tls/sessions.hpp"
#include "verify/params.hpp"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <set>

namespace posthorn::services {

using handoff::Frame;
using process::May;

namespace {

/// What it writes, for all lines that run here.
std::set<std::string> written_maps(const process::Service& service)
{
    std::set<std::string> maps{service.config_for("verify").get(verify::address_verify_map)};
    for (const config::Snapshot& config : service.all_configs())
        maps.insert(receive::screen::Kept::Settings::from(config).map);
    return maps;
}

class MemoryService final : public process::Work {
public:
    MemoryService(process::Service& service, std::shared_ptr<TableFiles> files, std::set<std::string> maps)
        : service_(service), files_(std::move(files)), maps_(std::move(maps)),
          origin_(at_start(tables::origin_of(service.config().text("myorigin"), *files_))),
          period_(service.config().get(tls::smtpd_tls_session_cache_timeout)),
          rates_(clock_, service.config().get(anvil_rate_time_unit), service.log_as("anvil")),
          report_every_(service.config().get(anvil_status_update_time)), prober_(service.executor()),
          desk_(service.executor(), verify::Options::from(service.config_for("verify"), origin_), prober_, clock_, service.log_as("verify")),
          reloaded_(service.executor()), tasks_(service.executor()), dispatcher_(tasks_),
          peers_(service, clock_, dispatcher_, [this] { return channels(); }),
          screen_(
              tasks_, [&service](const std::string& line) { return receive::screen::Kept::Settings::from(service.config_for(line)); },
              [&service](const std::string& line) { return service.log_as("postscreen", line); }, clock_, dispatcher_),
          sts_(service.start_record().data_directory(), clock_, service.log_as("smtp"), service.executor(), dispatcher_),
          transcripts_(service.executor(), fmt::format("{}/{}", service.start_record().data_directory(), handoff::transcript_folder),
                       TranscriptLimits::from(service.config()), clock_, service.log_as("smtp")),
          trials_(service.start_record().data_directory(), clock_, service.log(), service.executor(), dispatcher_),
          siblings_(service, clock_, peers_, desk_)
    {
        siblings_.serve(dispatcher_);
        transcripts_.serve(dispatcher_);
        dispatcher_.on<handoff::VerifyRequest, handoff::VerifyReply>(Frame::verify,
                                                                     [this](handoff::VerifyRequest request) { return verify(std::move(request)); });
        dispatcher_.on_now<handoff::VerifyQuestion, handoff::VerifyKnowledge>(
            Frame::verify_known, [this](const handoff::VerifyQuestion& question) { return known(question); });
        dispatcher_.on<handoff::TrialsCommand, handoff::Trials>(
            Frame::trials, [this](handoff::TrialsCommand command) { return trials_.command(std::move(command)); });
        dispatcher_.on_now<handoff::TicketKeysRequest, handoff::TicketKeysReply>(Frame::ticket_keys, [this](const handoff::TicketKeysRequest&) {
            handoff::TicketKeysReply reply;
            reply.set_octets(keys_.octets());
            return Result<handoff::TicketKeysReply>(reply);
        });
    }

    void start() override
    {
        for (process::ListeningSocket& listening : service_.take_listeners()) {
            if (listening.inet || listening.datagram)
                continue;
            servers_.push_back(std::make_unique<ipc::Server>(
                service_.executor(), std::move(listening.socket), ipc::ChannelOptions{.name = listening.name},
                [this](std::weak_ptr<ipc::Channel> channel) { return handler(std::move(channel)); },
                [this](const std::shared_ptr<ipc::Channel>& channel, const Error&) { rates_.gone(channel.get()); }));
            servers_.back()->start();
        }
        prober_.start();
        desk_.start();
        tasks_.spawn(rotate());
        tasks_.spawn(report_rates());
        tasks_.spawn(peers_.run());
        siblings_.start(service_.config());
        tasks_.spawn(sts_.run());
        tasks_.spawn(transcripts_.run());
        tasks_.spawn(trials_.run());
    }

    awaitable<void> stop(process::Stop) override
    {
        for (const auto& server : servers_)
            co_await server->close();
        co_await siblings_.close();
        co_await tasks_.close();
        rates_.report();
        co_await desk_.close();
        co_await prober_.close();
        peers_.write_out();
        screen_.write_out();
        sts_.write_out();
        transcripts_.write_out();
        co_await trials_.write_out();
    }

    Result<process::Reload> reload(const config::Snapshot& snapshot) override
    {
        if (files_->lacks_any(service_) || !std::ranges::includes(maps_, written_maps(service_)))
            return process::Reload::by_successor;
        TRY(origin_, tables::origin_of(snapshot.text("myorigin"), *files_));
        period_ = snapshot.get(tls::smtpd_tls_session_cache_timeout);
        desk_.reconfigure(verify::Options::from(service_.config_for("verify"), origin_));
        peers_.reload(snapshot);
        siblings_.reload(snapshot);
        screen_.reload();
        rates_.set_unit(snapshot.get(anvil_rate_time_unit));
        report_every_ = snapshot.get(anvil_status_update_time);
        transcripts_.limit(TranscriptLimits::from(snapshot));
        reloaded_.notify_all();
        return process::Reload::in_place;
    }

    void count(handoff::CountersReply& reply) override
    {
        const verify::Desk::Counts& counts = desk_.counts();
        handoff::count(reply, verify_questions, counts.questions);
        handoff::count(reply, verify_probes, counts.probes);
        handoff::count(reply, verify_from_cache, counts.from_cache);
        handoff::count(reply, verify_controls, counts.controls);
        handoff::count(reply, transcripts_stored, transcripts_.stored());
        handoff::count(reply, transcripts_dropped, transcripts_.dropped());
        handoff::count(reply, anvil_clients, rates_.clients());
        handoff::count(reply, screen_clients, screen_.clients());
        peers_.count(reply);
        siblings_.count(reply);
    }

private:
    /// Operators' commands come from root or ourselves, and are told apart by connection: one may come in several frames.
    ipc::Channel::Handler handler(std::weak_ptr<ipc::Channel> connection)
    {
        return [this, connection = std::move(connection), staged = std::make_shared<PeerKeeper::Staged>()](ipc::Incoming incoming) {
            if (incoming.kind == static_cast<ipc::Kind>(Frame::client_event))
                return client_event(connection.lock().get(), std::move(incoming));
            const bool for_operators = incoming.kind == static_cast<ipc::Kind>(Frame::trials) ||
                                       incoming.kind == static_cast<ipc::Kind>(Frame::sibling_comes) ||
                                       incoming.kind == static_cast<ipc::Kind>(Frame::siblings);
            if (!for_operators && incoming.kind != static_cast<ipc::Kind>(Frame::peer_command))
                return dispatcher_.dispatch(std::move(incoming));
            const auto channel = connection.lock();
            const unsigned uid = channel ? channel->credentials().uid : ~0U;
            if (uid != 0 && uid != ::geteuid())
                return incoming.responder.fail(Error{"permission denied", "5.7.1"});
            if (for_operators)
                return dispatcher_.dispatch(std::move(incoming));
            auto command = incoming.parse<peers::stored::Command>();
            if (!command)
                return incoming.responder.fail(command.error());
            tasks_.spawn(peers_.command(*std::move(command), staged, std::move(incoming.responder)));
        };
    }

    void client_event(const ipc::Channel* from, ipc::Incoming incoming)
    {
        const auto event = incoming.parse<handoff::ClientEvent>();
        if (!event)
            return incoming.responder.fail(event.error());
        if (!from)                                                   // it has gone: nobody would give back what is counted now
            return incoming.responder.fail(Error{"lost connection", "4.3.0"});
        const handoff::ClientCount count = rates_.heard(from, *event);
        if (event->what() != handoff::ClientEvent::DISCONNECT)       // a notice
            incoming.responder.reply(count);
    }

    /// As long as `length` says, also where a reload changes that meanwhile.
    awaitable<void> pause(std::function<std::chrono::seconds()> length)
    {
        for (const SteadyTime since = clock_.steady(); !co_await cancelled();) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(since + length() - clock_.steady());
            if (left.count() <= 0)
                co_return;
            co_await reloaded_.wait_for(left);
        }
    }

    awaitable<void> report_rates()
    {
        while (!co_await cancelled()) {
            co_await pause([this] { return report_every_; });
            if (!co_await cancelled())                               // the last report is stop()'s
                rates_.report();
        }
    }

    std::vector<std::shared_ptr<ipc::Channel>> channels() const
    {
        std::vector<std::shared_ptr<ipc::Channel>> all;
        for (const auto& server : servers_)
            std::ranges::copy(server->channels(), std::back_inserter(all));
        return all;
    }

    awaitable<Result<handoff::VerifyReply>> verify(handoff::VerifyRequest request)
    {
        const handoff::Finding finding = co_await desk_.ask(request.address(), std::chrono::milliseconds{request.patience()});
        handoff::VerifyReply reply;
        reply.set_kind(static_cast<std::uint32_t>(finding.kind));
        reply.set_text(finding.text);
        co_return reply;
    }

    Result<handoff::VerifyKnowledge> known(const handoff::VerifyQuestion& question)
    {
        TRY(const auto known, desk_.standing(question.address()));
        handoff::VerifyKnowledge told;
        if (known.asked_since)
            told.set_asked_since(known.asked_since->time_since_epoch().count());
        told.set_waiting(static_cast<std::uint32_t>(known.waiting));
        if (known.control && known.control->kind == handoff::Finding::Kind::deliverable)
            told.set_takes_all(known.control->updated.time_since_epoch().count());
        if (known.record) {
            told.set_known(true);
            told.set_kind(static_cast<std::uint32_t>(known.record->kind));
            told.set_text(known.record->text);
            told.set_told_by(known.record->told_by);
            told.set_updated(known.record->updated.time_since_epoch().count());
            told.set_refresh(known.worth.refresh.time_since_epoch().count());
            told.set_expires(known.worth.expires.time_since_epoch().count());
        }
        return told;
    }

    /// A ticket opens for at least its lifetime: the keys before the current ones are kept for one more period.
    awaitable<void> rotate()
    {
        while (!co_await cancelled()) {
            co_await pause([this] { return std::max<std::chrono::seconds>(period_, std::chrono::minutes{10}); });
            keys_ = keys_.rotated();
        }
    }

    process::Service& service_;
    SystemClock clock_;
    std::shared_ptr<TableFiles> files_;
    std::set<std::string> maps_;              // whose libraries are open
    std::string origin_;                      // completes the sender of probes
    std::chrono::seconds period_;
    ClientRates rates_;
    std::chrono::seconds report_every_;
    tls::TicketKeys keys_ = tls::TicketKeys::random();
    ProbeLink prober_;
    verify::Desk desk_;
    Signal reloaded_;
    TaskGroup tasks_;
    ipc::Dispatcher dispatcher_;
    PeerKeeper peers_;
    ScreenDesk screen_;
    StsDesk sts_;
    TranscriptKeeper transcripts_;
    TrialDesk trials_;
    SiblingDesk siblings_;
    std::vector<std::unique_ptr<ipc::Server>> servers_;
};

}  // namespace

int serve_memory(process::Service& service)
{
    static constexpr std::string_view named_by[] = {"myorigin"};
    auto files = TableFiles::fetch(service, named_by);
    const auto maps = written_maps(service);
    for (const std::string& map : maps)
        tables::open_libraries(map);
    service.confine({.may = {May::state}});
    MemoryService work(service, std::move(files), maps);
    return service.run(work);
}

}  // namespace posthorn::services
