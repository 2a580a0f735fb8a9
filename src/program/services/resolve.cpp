// Where addresses go, local submissions, and the words of reports: what needs tables and is not on a client's clock.
#include "accounts/params.hpp"
#include "base/strings.hpp"
#include "cleanup/cleaner.hpp"
#include "cleanup/params.hpp"
#include "config/site.hpp"
#include "handoff/counting.hpp"
#include "handoff/frames.hpp"
#include "ipc/client.hpp"
#include "ipc/dispatcher.hpp"
#include "mailauth/signer.hpp"
#include "net/listener.hpp"
#include "process/service.hpp"
#include "receive/params.hpp"
#include "report/explanations.hpp"
#include "report/params.hpp"
#include "route/router.hpp"
#include "services/account_limits.hpp"
#include "services/counters.hpp"
#include "services/own_transports.hpp"
#include "services/params.hpp"
#include "services/pickup.hpp"
#include "services/programs.hpp"
#include "services/queue_link.hpp"
#include "services/startup.hpp"
#include "services/table_desk.hpp"
#include "services/table_files.hpp"
#include "tables/login_senders.hpp"
#include "tables/params.hpp"
#include "verify/params.hpp"

#include <time.h>

#include <array>
#include <list>

namespace posthorn::services {

using handoff::Frame;
using process::May;

namespace {

std::chrono::minutes local_zone(WallTime when)
{
    const time_t seconds = std::chrono::duration_cast<std::chrono::seconds>(when.time_since_epoch()).count();
    tm parts{};
    ::localtime_r(&seconds, &parts);
    return std::chrono::minutes{parts.tm_gmtoff / 60};
}

/// bounce_template_file; the built-in words where it is not set or not right, which is said.
report::Templates templates(const config::Snapshot& snapshot, TableFiles& files, const observe::Log& log)
{
    const std::string path = snapshot.get(report::bounce_template_file);
    if (path.empty())
        return report::built_in_templates();
    const auto parse = [&]() -> Result<report::Templates> {
        TRY(const Fd file, files.open(path));
        TRY(const std::string text, tables::read_all(file.get()));
        return report::parse_templates(text, path);
    };
    auto parsed = parse();
    if (parsed)
        return *std::move(parsed);
    log.warning("bounce_template_file: {}; using the built-in texts", parsed.error().text());
    return report::built_in_templates();
}

/// What local forwards was checked, copied and judged when it came in.
cleanup::Options of_mail_on_its_way(cleanup::Options options)
{
    options.sender_bcc_maps.clear();
    options.recipient_bcc_maps.clear();
    options.always_bcc.clear();
    options.judged = true;
    return options;
}

/// Everything that depends on the configuration, made anew at a reload.
struct Configured {
    Configured(const config::Snapshot& rewrite, const config::Snapshot& bounce, const config::Snapshot& cleanup_line,
               const config::Snapshot& pickup_line, TableFiles& files, tables::Tables& tables, TaskGroup& tasks, Helpers& threads, const Clock& clock,
               const observe::Log& log, const observe::Log& cleanup_log)
        : interfaces(config::this_host("resolve").addresses), route(route::Options::from(rewrite, interfaces, files)),
          mail(route, route::Resolver::Purpose::mail, tables), probe(route, route::Resolver::Purpose::probe, tables),
          cleaner(cleanup::Options::from(cleanup_line, interfaces, files, pickup_line.get(receive::receive_override_options)), tables, cleanup_log),
          addresses(of_mail_on_its_way(cleanup::Options::from(cleanup_line, interfaces, files, "no_header_body_checks")), tables, cleanup_log),
          inspector(cleanup::Options::from(cleanup_line, interfaces, files, "no_address_mappings"), tables, cleanup_log),
          reports(report::Options::from(bounce, templates(bounce, files, log))), explanations(bounce, tables, tasks),
          control(tables::ListKind::domains, "address_verify_control_domains", rewrite.get(verify::address_verify_control_domains), true, tables),
          signer(std::make_shared<mailauth::Signer>(mailauth::Options::from(cleanup_line), tables, threads, clock, cleanup_log))
    {
        reports.zone = local_zone;
        for (const std::string& fault : explanations.faults())
            log.warning("{}", fault);
    }
    std::vector<config::HostAddress> interfaces;
    route::Options route;
    route::Router mail, probe;
    cleanup::Cleaner cleaner;
    cleanup::Cleaner addresses;               // of what is written here or forwarded: mapped, whatever pickup is told to leave to a filter
    cleanup::Cleaner inspector;               // and checked, where internal_mail_filter_classes says so
    report::Options reports;
    report::Explanations explanations;
    tables::MatchList control;                // where a random address may be asked about
    std::shared_ptr<mailauth::Signer> signer;
};

/// Hands on to what is in force: pickup outlives a reload.
class CurrentCleaner final : public handoff::Cleaner {
public:
    CurrentCleaner(const std::unique_ptr<Configured>& configured, cleanup::Cleaner Configured::* which) : configured_(configured), which_(which) {}
    awaitable<std::expected<handoff::Cleaned, handoff::Refusal>> clean(handoff::Envelope envelope, std::string head) override
    {
        return cleaner().clean(std::move(envelope), std::move(head));
    }

    awaitable<std::expected<handoff::Envelope, handoff::Refusal>> changed(handoff::Envelope envelope,
                                                                          std::vector<milter::EnvelopeChange> changes) override
    {
        return cleaner().changed(std::move(envelope), std::move(changes));
    }
    awaitable<std::expected<handoff::FieldsChecked, handoff::Refusal>> check_made(handoff::Envelope envelope,
                                                                                  std::vector<std::string> fields) override
    {
        return cleaner().check_made(std::move(envelope), std::move(fields));
    }

private:
    cleanup::Cleaner& cleaner() const { return configured_.get()->*which_; }
    const std::unique_ptr<Configured>& configured_;
    cleanup::Cleaner Configured::* which_;
};

/// Nobody waits longer for an answer (ipc::ChannelOptions::call_limit): what was in force before is used no more.
constexpr std::chrono::hours longest_question{1};

class ResolveService final : public process::Work {
public:
    explicit ResolveService(process::Service& service)
        : service_(service), files_(TableFiles::fetch(service)), tables_(service.log(), clock_, files_), databases_(tables_, service.config()),
          tasks_(service.executor()), configured_(configure(service.config())), dispatcher_(tasks_),
          queue_(service.executor(),
                 {.socket = std::string(qmgr_socket), .service = service.name(), .long_queue_ids = service.config().get(enable_long_queue_ids)},
                 clock_, service.log()),
          cleaner_(configured_, &Configured::cleaner), inspector_(configured_, &Configured::inspector),
          forwarder_(configured_, &Configured::addresses), milters_(service.executor(), cleaner_, service.log_as("cleanup", cleanup_line(service))),
          pickup_(
              service.executor(), pickup_options(service.config_for("pickup")), [this]() -> const report::Options& { return configured_->reports; },
              queue_, [this](std::string queue_id) { return queue_.was_committed(std::move(queue_id)); }, cleaner_, clock_, service.log_as("pickup"),
              service.log_as("bounce"))
    {
        dispatcher_.on<handoff::RouteRequest, handoff::RouteReply>(Frame::route,
                                                                   [this](handoff::RouteRequest request) { return route(std::move(request)); });
        dispatcher_.on<handoff::RequeueRequest, handoff::RequeueReply>(
            Frame::requeue,
            [this](handoff::RequeueRequest request, std::vector<Fd> content) { return pickup_.requeue(std::move(request), std::move(content)); });
        dispatcher_.on<handoff::TableRequest, handoff::TableReply>(
            Frame::table, [this](handoff::TableRequest request) { return databases_.answer(std::move(request)); });
        dispatcher_.on<handoff::ReportRequest, handoff::ReportReply>(
            Frame::report, [this](handoff::ReportRequest request) { return pickup_.report(std::move(request)); });
        dispatcher_.on<handoff::SessionNotice, handoff::SessionNoticeReply>(
            Frame::session_notice, [this](handoff::SessionNotice notice) { return pickup_.tell_postmaster(std::move(notice)); });
        dispatcher_.on<handoff::SignRequest, handoff::SignReply>(Frame::sign,
                                                                 [this](handoff::SignRequest request) { return sign(std::move(request)); });
        show_to_milters(milter_options());
        milters_.sign_by(local_signer());
        pickup_.show_to(&milters_);
        pickup_.inspect_by(&inspector_);
        pickup_.forward_by(&forwarder_);
        judge_senders();
        limit_accounts();
        pickup_.explain_reports(
            [this](const handoff::ReportRequest& request) { return configured_->explanations.of(request, configured_->reports); });
        pickup_.address_reports([this](handoff::Envelope* envelope) { return address(envelope); });
    }

    const TableDesk& databases() const { return databases_; }
    /// What this process is allowed to do once it is confined.
    bool asks_network() { return may_connect_ = databases_.asks_network() || milters_over_network_; }

    void start() override
    {
        queue_.start();
        for (process::ListeningSocket& listening : service_.take_listeners()) {
            if (listening.inet || listening.datagram)
                continue;
            if (listening.name == "public/pickup") {
                wakers_.push_back(std::make_unique<net::Listener>(service_.executor(), std::move(listening.socket),
                                                                  [this](std::unique_ptr<net::Stream> stream) { return woken(std::move(stream)); }));
                wakers_.back()->start();
                continue;
            }
            servers_.push_back(std::make_unique<ipc::Server>(service_.executor(), std::move(listening.socket),
                                                             ipc::ChannelOptions{.name = listening.name, .frame_limit = handoff::large_frame},
                                                             [this](std::weak_ptr<ipc::Channel>) { return dispatcher_.handler(); }));
            servers_.back()->start();
        }
        pickup_.start();
    }

    awaitable<void> stop(process::Stop) override
    {
        for (const auto& waker : wakers_)
            co_await waker->close();
        for (const auto& server : servers_)
            co_await server->close();
        co_await tasks_.close();
        co_await pickup_.close();                                  // tasks use its thread
        co_await queue_.close();
    }

    Result<process::Reload> reload(const config::Snapshot& snapshot) override
    {
        if (!databases_.can_take(snapshot) || files_->lacks_any(service_))
            return process::Reload::by_successor;
        milter::Options milters;
        try {
            milters = milter_options();
        } catch (const std::exception& wrong) {
            return Error{wrong.what()};
        }
        if (services::asks_network(milters) && !may_connect_)
            return process::Reload::by_successor;
        tables_.forget_settings();                                 // mysql:/etc/x.cf is the same name still, and says something else now
        databases_.reload(snapshot);
        try {
            retired_.emplace_back(clock_.steady(), std::exchange(configured_, configure(snapshot)));   // questions under way still use it
        } catch (const std::exception& wrong) {
            return Error{wrong.what()};
        }
        while (clock_.steady() - retired_.front().first > longest_question)
            retired_.pop_front();
        pickup_.reconfigure(pickup_options(service_.config_for("pickup")));
        judge_senders();
        limit_accounts();
        show_to_milters(std::move(milters));
        milters_.sign_by(local_signer());
        return process::Reload::in_place;
    }

    void count(handoff::CountersReply& reply) override { handoff::count(reply, pickup_messages, pickup_.picked_up()); }

private:
    /// The line whose cleanup local mail goes through.
    static std::string cleanup_line(const process::Service& service) { return service.config_for("pickup").get(receive::cleanup_service_name); }
    std::unique_ptr<Configured> configure(const config::Snapshot&)
    {
        return std::make_unique<Configured>(service_.config_for("rewrite"), service_.config_for("bounce"),
                                            service_.config_for(cleanup_line(service_)), service_.config_for("pickup"), *files_, tables_, tasks_,
                                            signing_threads_, clock_, service_.log(), service_.log_as("cleanup", cleanup_line(service_)));
    }

    static PickupOptions pickup_options(const config::Snapshot& snapshot)
    {
        PickupOptions options;
        options.myhostname = snapshot.text("myhostname");
        options.mail_name = snapshot.text("mail_name");
        options.content_filter = snapshot.get(receive::content_filter);
        options.hopcount_limit = static_cast<std::uint32_t>(snapshot.get(cleanup::hopcount_limit));
        options.limits.hold = snapshot.get(receive::smtpd_future_release_limit);
        options.limits.content = parse_number(snapshot.text("message_size_limit")).value_or(0);
        if (const auto set = set_internal_filter_classes(options, snapshot.get(internal_mail_filter_classes)); !set)
            throw config::BadValue(set.error().text());
        return options;
    }

    /// local_login_sender_maps. What is asked meanwhile keeps the tables of before.
    void judge_senders()
    {
        const config::Snapshot pickup = service_.config_for("pickup");
        const std::string list = pickup.get(local_login_sender_maps);
        std::string null_sender = pickup.get(empty_address_local_login_sender_maps_lookup_key);
        if (tables::LoginSenders::allows_all(list))
            return pickup_.judge_senders({});
        tables::Delimiter delimiter;
        delimiter.characters = pickup.get(tables::recipient_delimiter);
        delimiter.owner_request_special = pickup.get(tables::owner_request_special);
        const auto senders = std::make_shared<const tables::LoginSenders>(list, std::move(null_sender), std::move(delimiter), tables_);
        pickup_.judge_senders([this, senders](std::uint32_t user, std::string sender) { return judge(senders, user, std::move(sender)); });
    }
    awaitable<Result<Pickup::Verdict>> judge(std::shared_ptr<const tables::LoginSenders> senders, std::uint32_t user, std::string sender)
    {
        Pickup::Verdict verdict;
        CO_TRY(verdict.login, login_of(user));
        std::string asked = verdict.login.empty() ? fmt::format("uid:{}", user) : verdict.login;
        CO_TRY(verdict.allowed, co_await senders->allows(std::move(asked), std::move(sender)));
        co_return verdict;
    }
    /// account_limit_maps, likewise.
    void limit_accounts()
    {
        const auto limits = std::make_shared<const AccountLimits>(service_.config_for("pickup").get(accounts::account_limit_maps), tables_);
        if (!limits->any())
            return pickup_.limit_by({});
        pickup_.limit_by([this, limits](std::uint32_t user) { return limits_of(limits, user); });
    }
    awaitable<Result<std::string>> limits_of(std::shared_ptr<const AccountLimits> limits, std::uint32_t user)
    {
        CO_TRY(std::string name, login_of(user));
        co_return co_await limits->of_user(name.empty() ? fmt::format("uid:{}", user) : std::move(name));
    }
    /// As /etc/passwd has it, which the supervisor opens: a confined process asks no name service.
    Result<std::string> login_of(std::uint32_t user) const
    {
        TRY(const Fd file, files_->open("/etc/passwd"));
        TRY(const std::string text, tables::read_all(file.get()));
        for (const std::string_view line : split(text, "\n")) {
            const auto fields = split_exact(line, ':');
            if (fields.size() > 2 && parse_number(fields[2]) == user)
                return std::string(fields[0]);
        }
        return std::string();
    }

    milter::Options milter_options() const
    {
        const auto& pickup = service_.config_for("pickup");
        return milter::Options::from(service_.config_for(cleanup_line(service_)), pickup.get(receive::receive_override_options));
    }
    void show_to_milters(milter::Options options)
    {
        milters_over_network_ = services::asks_network(options);
        milters_.reconfigure(std::move(options), service_.config().text("myhostname"),
                             parse_number(service_.config().text("message_size_limit")).value_or(0));
    }

    /// A report goes where other mail to its addressee goes; who sends it stays. Aliases that lead nowhere leave it as it is: its message waits.
    awaitable<Result<void>> address(handoff::Envelope* report)
    {
        auto mapped = co_await configured_->addresses.rewritten(*report);
        if (mapped && mapped->recipients_size() > 0)
            *report->mutable_recipients() = std::move(*mapped->mutable_recipients());
        else if (!mapped && mapped.error().status != "4.6.0")
            co_return Error{mapped.error().text, mapped.error().status};
        co_return Result<void>{};
    }

    /// Of what smtpd has received.
    awaitable<Result<handoff::SignReply>> sign(handoff::SignRequest request)
    {
        const std::string queue_id = request.queue_id();
        const auto body = request.relaxed_body() ? mailauth::Canonical::relaxed : mailauth::Canonical::simple;
        std::string head = std::move(*request.mutable_head()), hash = std::move(*request.mutable_body_hash());
        const auto signer = configured_->signer;                   // a reload may put another in its place meanwhile
        Result<std::string> fields = std::string();
        if (request.chain().empty())
            fields = co_await signer->sign(queue_id, std::move(head), std::move(hash), body);
        else
            fields = co_await signer->seal(queue_id, std::move(head), std::move(hash), body, std::move(*request.mutable_results()), request.chain());
        handoff::SignReply reply;
        if (fields) {
            reply.set_fields(*std::move(fields));
        } else {
            service_.log().warning("{}: {}", queue_id, fields.error().text());
            reply.set_status(fields.error().status().empty() ? "4.3.0" : fields.error().status());
        }
        co_return reply;
    }
    /// None: what the sendmail command submits is not signed.
    std::shared_ptr<mailauth::Signer> local_signer() const
    {
        const bool any =
            mailauth::signed_body(service_.config_for(cleanup_line(service_)), service_.config_for("pickup").get(receive::receive_override_options))
                .has_value();
        return any ? configured_->signer : nullptr;
    }

    awaitable<Result<handoff::RouteReply>> route(handoff::RouteRequest request)
    {
        ++service_.gauges().messages;
        std::vector<std::string> addresses(request.addresses().begin(), request.addresses().end());
        if (request.verify())
            co_return co_await route_probes(request.sender(), std::move(addresses));
        Result<std::vector<handoff::Route>> routes = request.filter().empty()
                                                         ? co_await configured_->mail.route(request.sender(), std::move(addresses))
                                                         : co_await configured_->mail.route_to_filter(request.filter(), std::move(addresses));
        handoff::RouteReply reply;
        if (!routes) {
            reply.set_retry(true);
            reply.set_text(routes.error().text());
            co_return reply;
        }
        for (handoff::Route& one : *routes)
            *reply.add_routes() = std::move(one);
        co_return reply;
    }

    /// A probe is no message that cleanup saw: its address is completed and expanded here. What becomes several is deliverable, as far as
    /// anybody can say.
    awaitable<Result<handoff::RouteReply>> route_probes(std::string sender, std::vector<std::string> addresses)
    {
        handoff::RouteReply reply;
        for (const std::string& address : addresses) {
            const auto expanded = co_await configured_->cleaner.expanded(address);
            Result<std::vector<handoff::Route>> routes = Error{"", ""};
            if (!expanded)
                routes = expanded.error();
            else if (expanded->size() == 1)
                routes = co_await configured_->probe.route(sender, *expanded);
            else {
                handoff::Route route;
                route.set_transport("discard");
                route.set_nexthop(std::string(several_recipients));
                route.set_address(address);
                routes = std::vector{route};
            }
            if (!routes) {
                reply.set_retry(true);
                reply.set_text(routes.error().text());
                co_return reply;
            }
            handoff::Route& route = *reply.add_routes() = std::move(routes->front());
            // A list that cannot be read asks nobody anything.
            reply.add_control((co_await configured_->control.ask(to_lower(route.address().substr(route.address().rfind('@') + 1)))).value_or(false));
        }
        co_return reply;
    }

    awaitable<void> woken(std::unique_ptr<net::Stream> stream)
    {
        pickup_.wake();
        stream->expires_after(std::chrono::seconds{10});
        std::array<char, 16> letters{};
        (void)co_await stream->read_some(letters);                 // whoever writes them is not to find the socket closed
        stream->close();
    }

    process::Service& service_;
    SystemClock clock_;
    std::shared_ptr<TableFiles> files_;
    tables::Tables tables_;
    TableDesk databases_;
    Helpers signing_threads_{2};                      // RSA takes a millisecond
    TaskGroup tasks_;
    std::unique_ptr<Configured> configured_;
    std::list<std::pair<SteadyTime, std::unique_ptr<Configured>>> retired_;
    ipc::Dispatcher dispatcher_;
    QueueLink queue_;
    CurrentCleaner cleaner_, inspector_, forwarder_;
    LocalMilters milters_;
    bool milters_over_network_ = false, may_connect_ = false;
    Pickup pickup_;
    std::list<std::unique_ptr<ipc::Server>> servers_;
    std::list<std::unique_ptr<net::Listener>> wakers_;
};

}  // namespace

int serve_resolve(process::Service& service)
{
    ResolveService work(service);
    process::Confinement confinement{.may = {May::pick_up, May::write_incoming, May::compile}, .readable = {"/etc/localtime", "/usr/share/zoneinfo"}};
    if (work.asks_network()) {
        confinement.may = {May::pick_up, May::write_incoming, May::compile, May::connect, May::resolve};
        std::ranges::copy(name_service_files(), std::back_inserter(confinement.readable));
        std::ranges::copy(work.databases().paths(), std::back_inserter(confinement.readable));
    }
    service.confine(confinement);
    return service.run(work);
}

}  // namespace posthorn::services
