// What other domains report of ours: the transport of mail for report_addresses. It reads, keeps, and tells operators; no network, no queue.
// Promise  a report is on the disk before its mail is delivered, and counts once, however often that mail is tried.
// Bounce   of what a person sent that is no report; a program hears nothing, and the log says what could not be read.
#include "async/async.hpp"
#include "base/strings.hpp"
#include "deliver/message.hpp"
#include "deliver/teller.hpp"
#include "handoff/counting.hpp"
#include "handoff/frames.hpp"
#include "handoff/heard.pb.h"
#include "heard/ledger.hpp"
#include "heard/letter.hpp"
#include "heard/params.hpp"
#include "heard/summary.hpp"
#include "ipc/dispatcher.hpp"
#include "mailauth/params.hpp"
#include "net/address.hpp"
#include "net/params.hpp"
#include "process/service.hpp"
#include "send/params.hpp"
#include "services/counters.hpp"
#include "services/delivery_link.hpp"
#include "services/params.hpp"
#include "services/programs.hpp"
#include "services/startup.hpp"
#include "verify/params.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <set>

namespace posthorn::services {

using namespace std::chrono_literals;
using handoff::Frame;
using process::May;

namespace {

constexpr std::uint32_t letters_at_once = 4;               // each may take what letter.hpp and tls_json.hpp allow
constexpr auto wait_for_database = 10'000ms, look_for_database = 100ms, forget_every = 3'600'000ms;
constexpr std::size_t findings_told = 20, reports_told = 1'000, rows_told = 5'000, findings_warned = 3;

enum class Became : std::uint8_t { kept, known, no_room, not_ours };     // the first three as heard::Ledger::Kept has them
constexpr std::array<std::string_view, 4> became_words{"kept", "known", "no room", "not ours"};
std::string_view word(Became became) { return became_words[static_cast<std::size_t>(became)]; }

const Clock& reports_clock()
{
    static const SystemClock system;
    return system;
}

/// Of mail that leaves from here.
std::set<std::string> addresses_mail_has(const config::Snapshot& config)
{
    std::set<std::string> own;
    for (const net::IpAddress& address : at_start(net::own_addresses(config)))
        own.insert(address.text());
    for (const char* name : {"smtp_bind_address", "smtp_bind_address6"})
        if (const auto address = net::IpAddress::parse(trim(config.text(name))))
            own.insert(address->text());
    return own;
}

/// Empty where smtpd checks nothing: then it removes no field that others made in our name either, and none can be believed.
std::string service_id_of(const config::Snapshot& config)
{
    return trim(config.text(mailauth::mailauth_checks.name)).empty() ? std::string() : config.get(mailauth::mailauth_service_id);
}

std::vector<std::string> words_of(std::string_view text)
{
    const auto words = split(text, ", \t\r\n");
    return {words.begin(), words.end()};
}

/// A stranger's words in a line whose fields others take apart.
std::string in_quotes(std::string_view text)
{
    std::string made = printable(text);
    std::ranges::replace(made, '"', '?');
    return "\"" + made + "\"";
}

std::string day_text(aggregate::Day day)
{
    const std::chrono::year_month_day date{day};
    return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()), static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
}

handoff::HeardReport told_of(const heard::Entry& entry)
{
    const auto seconds = [](WallTime time) { return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count(); };
    handoff::HeardReport told;
    told.set_id(entry.number);
    told.set_kind(std::string(aggregate::kind_name(entry.report.kind)));
    told.set_domain(entry.report.domain);
    told.set_organization(entry.report.organization);
    told.set_contact(entry.report.contact);
    told.set_report(entry.report.id);
    told.set_author(entry.origin.author);
    told.set_sender(entry.origin.sender);
    told.set_proof(entry.origin.proof);
    told.set_policy(entry.report.policy);
    told.set_begin(seconds(entry.report.begin));
    told.set_end(seconds(entry.report.end));
    told.set_arrived(seconds(entry.origin.arrived));
    told.set_good(entry.report.good);
    told.set_bad(entry.report.bad);
    told.set_left_out(entry.report.left_out);
    told.set_queue_id(entry.origin.queue_id);
    return told;
}

deliver::TellerOptions reports_told_as(process::Service& service)
{
    deliver::TellerOptions options;
    options.relay = std::string(handoff::reports_transport);
    options.soft_bounce = service.config().get(soft_bounce);
    options.failed_probes_cached = service.config().get(verify::address_verify_negative_cache);
    options.delay_digits = service.config().get(send::send_delay_logging_resolution_limit);
    return options;
}

class Reports final : public process::Work {
public:
    Reports(process::Service& service, std::set<std::string> own)
        : service_(service), own_(std::move(own)), service_id_(service_id_of(service.config())),
          keep_for_(service.config().get(heard::received_reports_keep_days)),
          daily_limit_(static_cast<std::size_t>(service.config().get(heard::received_reports_daily_limit))),
          domains_(words_of(service.config().text(heard::received_reports_domains.name))),
          teller_(reports_told_as(service), service.log(), reports_clock(), {}),
          link_(
              service.executor(), std::string(qmgr_socket), std::string(handoff::reports_transport), service.program(), letters_at_once, 0,
              [this](handoff::DeliveryRequest request, Fd content) {
                  ++service_.gauges().messages;
                  return deliver(std::move(request), std::move(content));
              },
              service.log()),
          opened_(service.executor()), tasks_(service.executor()), dispatcher_(tasks_)
    {
        dispatcher_.on<handoff::HeardCommand, handoff::HeardReply>(Frame::heard,
                                                                   [this](handoff::HeardCommand command) { return obey(std::move(command)); });
    }

    void start() override
    {
        for (process::ListeningSocket& listening : service_.take_listeners()) {
            servers_.push_back(std::make_unique<ipc::Server>(service_.executor(), std::move(listening.socket),
                                                             ipc::ChannelOptions{.name = listening.name},
                                                             [this](std::weak_ptr<ipc::Channel> channel) { return handler(std::move(channel)); }));
            servers_.back()->start();
        }
        link_.start();
        tasks_.spawn(keep_books());
    }

    awaitable<void> stop(process::Stop) override
    {
        for (const auto& server : servers_)
            co_await server->close();
        co_await link_.drain();
        co_await link_.close();
        co_await tasks_.close();
        helpers_.join();
        ledger_.reset();                                        // a successor waits for it
    }

    void count(handoff::CountersReply& reply) override
    {
        for (const auto& [what, times] : received_)
            handoff::count(reply, reports_received, times, {{"kind", aggregate::kind_name(what.first)}, {"result", word(what.second)}});
        handoff::count(reply, reports_unreadable, unreadable_);
    }

private:
    /// Operators are root or ourselves.
    ipc::Channel::Handler handler(std::weak_ptr<ipc::Channel> connection)
    {
        return [this, connection = std::move(connection)](ipc::Incoming incoming) {
            const auto channel = connection.lock();
            const unsigned uid = channel ? channel->credentials().uid : ~0U;
            if (uid != 0 && uid != ::geteuid())
                return incoming.responder.fail(Error{"permission denied", "5.7.1"});
            dispatcher_.dispatch(std::move(incoming));
        };
    }

    /// The process before this one has the database until it ends.
    awaitable<void> keep_books()
    {
        bool said = false;
        while (!ledger_ && !co_await cancelled()) {
            try {
                ledger_ = std::make_unique<heard::Ledger>(service_.start_record().data_directory() + "/received_reports.db",
                                                          heard::LedgerLimits{.of_domain_and_day = daily_limit_});
                if (!ledger_->remark().empty())
                    service_.log().warning("{}", ledger_->remark());
                opened_.notify_all();
            } catch (const spool::Failed& failed) {
                if (failed.kind != spool::Failed::Kind::busy && !std::exchange(said, true))
                    service_.log().warning("received reports: {}", failed.what());
            }
            if (!ledger_)
                co_await sleep_for(look_for_database);
        }
        for (; !co_await cancelled(); co_await sleep_for(forget_every)) {
            try {
                ledger_->forget_before(reports_clock().wall() - std::chrono::days{keep_for_});
            } catch (const spool::Failed& failed) {
                service_.log().warning("received reports: {}", failed.what());
            }
        }
    }

    // ---- Deliveries

    awaitable<handoff::Verdicts> deliver(handoff::DeliveryRequest request, Fd content)
    {
        handoff::Verdicts all;
        const std::int64_t began = teller_.now();
        deliver::Fate fate = deliver::Fate::delivered("delivers to reports");
        if (!deliver::only_asked(request)) {
            auto message = content ? deliver::Message::of(std::move(content)) : deliver::Message(request.content().inline_octets());
            fate = message ? co_await take(&request.envelope(), &*message)
                           : deliver::Fate::deferred("4.3.0", "cannot read the message: " + message.error().text());
        }
        for (const handoff::Recipient& recipient : request.envelope().recipients())
            *all.add_verdicts() = co_await teller_.tell(&request, &recipient, fate, began);
        co_return all;
    }

    static Result<std::string> octets_of(const deliver::Message& message)
    {
        std::string octets(message.size(), '\0');
        for (std::size_t at = 0; at < octets.size();) {
            TRY(const std::size_t size, message.read(at, std::span(octets).subspan(at)));
            if (size == 0)
                return Error{"the file is shorter than it was"};
            at += size;
        }
        return octets;
    }

    awaitable<deliver::Fate> take(const handoff::Envelope* envelope, const deliver::Message* message)
    {
        for (const SteadyTime end = reports_clock().steady() + wait_for_database;
             !ledger_ && reports_clock().steady() < end && !co_await cancelled();)
            co_await opened_.wait_for(look_for_database);
        if (!ledger_)
            co_return deliver::Fate::deferred("4.3.0", "the database of received reports is not open");
        heard::Letter letter;
        if (message->size() > heard::largest_letter) {
            letter.automatic = true;
            letter.wrong = Error{fmt::format("it has more than {} octets", heard::largest_letter)};
        } else {
            auto octets = octets_of(*message);
            if (!octets)
                co_return deliver::Fate::deferred("4.3.0", "cannot read the message: " + octets.error().text());
            letter = co_await on_thread(helpers_, [octets = *std::move(octets), id = service_id_] { return heard::read_letter(octets, id); });
        }
        if (letter.wrong)
            co_return unreadable(*envelope, letter, *letter.wrong);
        heard::Origin origin{.author = letter.author,
                             .sender = heard::text_of(envelope->sender()),
                             .proof = letter.proof,
                             .queue_id = envelope->queue_id(),
                             .arrived = WallTime(std::chrono::microseconds(envelope->arrival()))};
        std::vector<heard::Report> ours, others;
        for (heard::Report& report : letter.reports)
            (wanted(report.domain) ? ours : others).push_back(std::move(report));
        std::vector<heard::Ledger::Kept> kept;
        try {
            kept = ledger_->keep(ours, origin);
        } catch (const spool::Failed& failed) {
            co_return deliver::Fate::deferred("4.3.0", fmt::format("received reports: {}", failed.what()));
        }
        for (std::size_t at = 0; at < ours.size(); ++at)
            say(ours[at], origin, static_cast<Became>(kept[at]));
        for (const heard::Report& report : others)
            say(report, origin, Became::not_ours);
        const std::size_t all = ours.size() + others.size();
        if (all == 1)
            co_return deliver::Fate::delivered(fmt::format("report {}", word(kept.empty() ? Became::not_ours : static_cast<Became>(kept.front()))));
        co_return deliver::Fate::delivered(fmt::format("{} of {} reports kept", std::ranges::count(kept, heard::Ledger::Kept::kept), all));
    }

    deliver::Fate unreadable(const handoff::Envelope& envelope, const heard::Letter& letter, const Error& wrong)
    {
        ++unreadable_;
        const std::string why = printable(wrong.text());
        if (!letter.automatic && !envelope.sender().empty())
            return deliver::Fate::bounced("5.6.0", "this address takes daily reports of TLS and DMARC alone: " + why);
        service_.log().warning("{}: report: from={}, status=unreadable ({})", envelope.queue_id(), in_quotes(letter.author), why);
        return deliver::Fate::delivered("no report could be read");
    }

    /// received_reports_domains
    bool wanted(std::string_view domain) const
    {
        return domains_.empty() || std::ranges::any_of(domains_, [domain](const std::string& one) {
                   return iequals(one, domain) || (one.starts_with('.') && iends_with(domain, one));
               });
    }

    void say(const heard::Report& report, const heard::Origin& origin, Became became)
    {
        ++received_[{report.kind, became}];
        service_.log().info("{}: report: kind={}, domain={}, day={}, good={}, bad={}, organization={}, id={}, from={}, status={}", origin.queue_id,
                            aggregate::kind_name(report.kind), printable(report.domain), day_text(heard::day_of(report, origin.arrived)), report.good,
                            report.bad, in_quotes(report.organization), in_quotes(report.id), in_quotes(origin.author), word(became));
        if (became != Became::kept)
            return;
        heard::Summary summary(own_);
        heard::Entry entry;
        entry.report = report;
        entry.report.rows.clear();
        entry.origin = origin;
        summary.add(entry);
        for (const heard::Row& row : report.rows)
            summary.add(entry, row);
        for (const handoff::HeardSum& sum : summary.sums(findings_warned))
            for (const handoff::HeardSum::Finding& finding : sum.findings()) {
                if (!finding.act())
                    continue;
                if (report.kind == aggregate::Kind::dmarc)
                    service_.log().warning("{}: {} of {} messages from our own address {} fail DMARC of {}, reports {}: {}", origin.queue_id,
                                           finding.bad(), finding.good() + finding.bad(), printable(finding.what()), printable(report.domain),
                                           in_quotes(report.organization), printable(finding.advice()));
                else
                    service_.log().warning("{}: {} sessions with {} fail: {}{}, reports {}: {}", origin.queue_id, finding.bad(),
                                           printable(report.domain), printable(finding.what()),
                                           finding.where().empty() ? "" : " at " + printable(finding.where()), in_quotes(report.organization),
                                           printable(finding.advice()));
            }
    }

    // ---- Operators

    awaitable<Result<handoff::HeardReply>> obey(handoff::HeardCommand command)
    {
        if (!ledger_)
            co_return Error{"the process before this one has not ended yet", "4.3.0"};
        handoff::HeardReply reply;
        try {
            if (command.report() != 0) {
                const auto entry = ledger_->entry(command.report());
                if (!entry)
                    co_return Error{fmt::format("there is no report {}", command.report())};
                handoff::HeardReport& told = *reply.add_reports() = told_of(*entry);
                ledger_->each_row(*entry, [&](const heard::Row& row) {
                    if (static_cast<std::size_t>(told.rows_size()) >= rows_told)
                        return;
                    handoff::HeardReport::Row& one = *told.add_rows();
                    one.set_good(row.good);
                    one.set_count(row.count);
                    one.set_text(heard::row_text(entry->report.kind, row));
                });
                co_return reply;
            }
            const aggregate::Day today = std::chrono::floor<std::chrono::days>(reports_clock().wall());
            const aggregate::Day since = command.days() == 0 ? aggregate::Day{} : today - std::chrono::days{command.days() - 1};
            heard::Summary summary(own_);
            for (const heard::Entry& entry : ledger_->entries(to_lower(command.domain()), since)) {
                summary.add(entry);
                ledger_->each_row(entry, [&](const heard::Row& row) { summary.add(entry, row); });
                if (command.with_reports() && static_cast<std::size_t>(reply.reports_size()) < reports_told)
                    *reply.add_reports() = told_of(entry);
            }
            for (handoff::HeardSum& sum : summary.sums(findings_told))
                *reply.add_sums() = std::move(sum);
        } catch (const spool::Failed& failed) {
            co_return Error{failed.what(), "4.3.0"};
        }
        co_return reply;
    }

    process::Service& service_;
    const std::set<std::string> own_;
    const std::string service_id_;
    const int keep_for_;
    const std::size_t daily_limit_;
    const std::vector<std::string> domains_;                // empty: any
    deliver::Teller teller_;
    Helpers helpers_{1};
    DeliveryLink link_;
    std::unique_ptr<heard::Ledger> ledger_;                 // none: it is another process's still
    std::map<std::pair<aggregate::Kind, Became>, std::uint64_t> received_;
    std::uint64_t unreadable_ = 0;
    Signal opened_;
    TaskGroup tasks_;
    ipc::Dispatcher dispatcher_;
    std::vector<std::unique_ptr<ipc::Server>> servers_;
};

}  // namespace

int serve_reports(process::Service& service)
{
    std::set<std::string> own = addresses_mail_has(service.config());         // a confined process may not ask for them
    service.confine({.may = {May::state, May::read_message}});
    Reports work(service, std::move(own));
    return service.run(work);
}

}  // namespace posthorn::services
